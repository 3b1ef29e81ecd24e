/* A mailbox: a bounded queue of messages for somebody who may be away.
 *
 * An MQTT session and a sleeping function are the same thing to the bus: messages wait here, oldest first, until there
 * is a window to send them. The limit counts messages and bytes; what happens when it is full is the owner's decision,
 * since mailbox_put() then takes nothing and says so.
 */
#pragma once

#include "base/list.h"
#include "base/msg.h"
#include "bus/bus.h"

struct mail {
    struct list link;
    struct msg *msg;           /* a reference */
    struct share *share;       /* a reference: the shared subscription it was chosen by; NULL mostly */
    struct spool_place *place; /* the owner's: where it is on disk; NULL: nowhere */
    struct receipt *receipt; /* the owner's: a publisher who waits until this has left the box; NULL mostly */
    uint16_t packet_id;      /* the owner's, once it is under way */
    uint8_t state;           /* the owner's */
    uint8_t qos;
    bool retain;
    uint8_t id_count;
    uint32_t ids[]; /* subscription identifiers */
};

struct mailbox {
    struct list queue;
    size_t count, bytes;
    size_t count_max, bytes_max;
};

void mailbox_init(struct mailbox *mailbox, size_t count_max, size_t bytes_max);
void mailbox_done(struct mailbox *mailbox);

/* A message and how it is to be delivered, in no box yet; takes a reference. NULL: no memory. */
struct mail *mail_new(struct msg *msg, const struct delivery *delivery);

bool mailbox_is_full(const struct mailbox *mailbox, const struct msg *msg);
/* Puts it behind the others, whether the box is full or not. */
void mailbox_add(struct mailbox *mailbox, struct mail *mail);
/* Both, with the limit; takes a reference; -ENOBUFS when full, -ENOMEM. */
int mailbox_put(struct mailbox *mailbox, struct msg *msg, const struct delivery *delivery) must_check;
/* The oldest, still in the box; NULL when empty. */
struct mail *mailbox_first(const struct mailbox *mailbox);
/* Takes the oldest out; free it with mail_free(), or keep it with its reference. */
struct mail *mailbox_take(struct mailbox *mailbox);
struct mail *mailbox_remove(struct mailbox *mailbox, struct mail *mail); /* the same with any */
struct mail *mail_free(struct mail *mail);
