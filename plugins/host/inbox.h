/* The inbox: messages that the gateway has sent and that are not acknowledged yet, oldest first.
 *
 *      WAITING ──take──▶ HANDED ──settle──▶ DONE ──▶ gone, acknowledged, when all before it are
 *         ▲                 │
 *         └──── put back ───┘
 *
 * MQTT wants acknowledgements in the order of the messages [MQTT-4.6.0-2], a plugin may give them in any: a
 * message that is DONE waits for those before it. The gateway keeps the number of QoS 1 messages within its
 * window; of QoS 0 there are INBOX_QOS0_MAX at most, and what comes beyond is dropped and counted.
 */
#pragma once

#include "base/list.h"
#include "gatehouse_plugin.h"

struct wire_packet;

enum { INBOX_QOS0_MAX = 256 };
enum inbox_state { INBOX_WAITING, INBOX_HANDED, INBOX_DONE };

struct inbox_item {
    struct gh_message message; /* its pointers go into bytes */
    struct list link;
    enum inbox_state state;
    uint16_t packet_id;
    bool acknowledged; /* before it was handed over */
    char bytes[];
};

struct inbox {
    void (*acknowledge)(struct inbox *inbox, uint16_t packet_id);
    struct list items;
    struct list spent; /* acknowledged, but the plugin may be reading them: freed by the next inbox_take() */
    uint64_t last_token;
    unsigned count, qos0_count;
    uint64_t qos0_dropped;
};

void inbox_init(struct inbox *inbox, void (*acknowledge)(struct inbox *inbox, uint16_t packet_id));
void inbox_done(struct inbox *inbox); /* without acknowledging */

/* Copies a PUBLISH into the box. -ENOMEM; 0 also for one that was dropped. */
int inbox_add(struct inbox *inbox, const struct wire_packet *publish) must_check;

/* The oldest that waits; NULL: none. It becomes HANDED. Not from inside a callback of the plugin. */
struct inbox_item *inbox_take(struct inbox *inbox);
void inbox_put_back(struct inbox_item *item);
/* The handed one of that token; NULL: there is none. */
struct inbox_item *inbox_find(struct inbox *inbox, uint64_t token);
/* It is done with, and no longer found; perhaps others, too. */
void inbox_settle(struct inbox *inbox, struct inbox_item *item);
/* Acknowledges a message that is first in the box now, although it is still to be handed over. */
void inbox_give_up(struct inbox *inbox, struct inbox_item *item);
