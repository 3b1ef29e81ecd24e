/* The node's side of its device shadow: what somebody wants of it comes in, what it is goes out.
 *
 *      delta, answer to get  ─▶ each key ─▶ on_desired(): the application applies it or refuses
 *      ghn_shadow_report()   ─▶ the whole reported state, kept ─▶ sent when it changed, after each delta, after each connect
 *
 * Knows the documents and nothing of MQTT: ghn_node carries them. Two rules keep it calm and awake:
 *
 * - The service publishes what is still different after every update, the node's own reports included. A delta that our
 *   own report caused is offered like any other, but answered only if the application then reports something new: a
 *   key it refuses would otherwise go round and round.
 * - Versions only grow, except when the shadow was deleted and its number forgotten. So the answer to the get after each
 *   connect is believed whatever its version is; a delta only when its version is above the last one.
 */
#pragma once

#include "ghn/json.h"

/* One key that somebody wants to have a value. 0 when it was applied, anything else when it was refused (unknown, out of
 * range, not now). Whatever becomes of it, the application tells by ghn_report() what it is now. */
typedef int (*ghn_on_desired)(void *ctx, const char *key, const ghn_json *value);

enum { GHN_SHADOW_KEY_MAX = 32, GHN_SHADOW_ENVELOPE = 64 };

typedef enum ghn_shadow_topic {
    GHN_SHADOW_DELTA,
    GHN_SHADOW_ACCEPTED,
    GHN_SHADOW_REJECTED,
    GHN_SHADOW_GET_ACCEPTED,
    GHN_SHADOW_GET_REJECTED,
    GHN_SHADOW_TOPICS
} ghn_shadow_topic;

typedef enum ghn_shadow_news {
    GHN_SHADOW_NOTHING, /* not ours, or malformed: passed over */
    GHN_SHADOW_OLD,     /* a delta with a version not above the last one: passed over; detail: its version */
    GHN_SHADOW_DESIRED, /* keys were offered to the application; detail: the version */
    GHN_SHADOW_TOLD,    /* the service has our report; detail: the version */
    GHN_SHADOW_REFUSED, /* the service does not take our report, and will not another time; detail: the code */
    GHN_SHADOW_REFUSED_FOR_NOW /* too busy or broken: the report is due again, later; detail: the code */
} ghn_shadow_news;

typedef struct ghn_shadow {
    char *buffer; /* the update that tells the reported state, ready to send but for its token */
    size_t size;
    size_t len; /* of the reported state in it; 0: nothing was reported yet */
    ghn_on_desired on_desired;
    void *ctx;
    int64_t version;    /* newest that was offered; 0: none */
    int64_t timestamp;  /* the service's clock in its last answer to us, seconds since 1970; 0: not heard */
    uint32_t requester; /* random: the tokens that begin with it are ours */
    uint32_t requests;
    bool report_due, get_due;
    bool
        get_asked; /* and not answered yet: another client's answer would be just as true, but once is enough */
} ghn_shadow;

/* buffer has to hold the reported state and GHN_SHADOW_ENVELOPE bytes. */
void ghn_shadow_init(ghn_shadow *shadow, char *buffer, size_t size, ghn_on_desired on_desired, void *ctx);

/* A new connection: everything has to be asked and told again. `requester` is a random number. */
void ghn_shadow_connected(ghn_shadow *shadow, uint32_t requester);

/* The reported state, a JSON object. 0, GHN_INVALID (no object) or GHN_TOO_LONG. The same as before is not due again. */
int ghn_shadow_report(ghn_shadow *shadow, const char *json, size_t len);

/* What came on a topic of the shadow. */
ghn_shadow_news ghn_shadow_take(ghn_shadow *shadow, ghn_shadow_topic topic, const char *payload, size_t len,
                                int64_t *detail);

/* What has to be sent next. 1 and *payload, *payload_len, *is_report; 0 when nothing is due. The payload lives until the
 * next call of any function here; ghn_shadow_sent() says that it is on its way. */
int ghn_shadow_due(ghn_shadow *shadow, const char **payload, size_t *payload_len, bool *is_report);
void ghn_shadow_sent(ghn_shadow *shadow, bool is_report);

/* "update/delta" and so on: what stands behind $aws/things/THING/shadow/ */
const char *ghn_shadow_suffix(ghn_shadow_topic topic);
