/* What the spool's log says: messages with those who are to get them, and what became of them. Pure.
 *
 *      message   topic of the log's record   'M' head
 *                payload                     the message's payload
 *      large     topic                       'L'
 *                payload                     varint length of the head, head, the message's payload
 *      facts     topic                       'F'
 *                payload                     fact fact fact …
 *
 * A head holds everything of a message but its payload: flags, expiry, birth, the publisher's packet id when a
 * repetition must be recognised, MQTT 5 properties, targets, topic. Numbers are variable-length integers, 7 bits a byte,
 * least significant first.
 */
#pragma once

#include "base/base.h"

enum { SPOOL_HEAD_MAX = 60 * 1024 /* of an 'M': a record's topic is limited */ };

/* Somebody who is to get a message. Number and index are his place: a session, and how many messages came before. */
struct spool_target {
    uint64_t session, index;
    uint8_t qos;
    bool retain, received; /* received: QoS 2, the client has it and PUBREL is to be sent */
    uint8_t id_count;
    const uint32_t *ids; /* to encode */
};

struct spool_message {
    uint8_t qos;
    bool retain;
    bool has_expiry;
    uint32_t expiry_s;
    int64_t born;          /* wall, ms */
    uint64_t from_session; /* 0: no repetition needs to be recognised */
    uint16_t from_id;
    const uint8_t *props;
    size_t props_len;
    size_t response_at, response_len, correlation_at, correlation_len; /* in props; SIZE_MAX: absent */
    const char *topic;
    size_t topic_len;
    uint32_t target_count;
    const uint8_t *targets; /* decoded: as they are in the head, for spool_target_next() */
    size_t targets_len;
};

enum spool_fact {
    SPOOL_DONE = 1,     /* value: index. Delivered, or not to be delivered any more */
    SPOOL_RECEIVED = 2, /* value: index. PUBREC has come */
    SPOOL_TAKEN = 3,    /* value: packet id. A QoS 2 message of this session has been taken */
    SPOOL_RELEASED = 4, /* value: packet id. Its PUBREL has come */
};

/* Bytes of a head without its targets, at most; and of one target. */
size_t spool_head_max(const struct spool_message *message);
size_t spool_target_max(const struct spool_target *target);

/* Both return the number of bytes written; out has the room said above. The targets stand at the front of a head, behind
 * their number, so that they can be gathered before the head is made. */
size_t spool_put_target(uint8_t *out, const struct spool_target *target);
size_t spool_put_head(uint8_t *out, const struct spool_message *message, const uint8_t *targets,
                      size_t targets_len);

/* Reads a head: 0 or -EBADMSG. Pointers are into the bytes. */
int spool_get_head(struct spool_message *ret, const uint8_t *bytes, size_t len) must_check;
/* The next target; *at begins at 0; its ids are stored in ids[255]. 1, 0 at the end, -EBADMSG. */
int spool_target_next(const struct spool_message *message, size_t *at, struct spool_target *ret,
                      uint32_t *ids) must_check;

enum { SPOOL_FACT_MAX = 21 };
size_t spool_put_fact(uint8_t *out, enum spool_fact fact, uint64_t session, uint64_t value);
/* The next fact; 1, 0 at the end, -EBADMSG. */
int spool_fact_next(const uint8_t *bytes, size_t len, size_t *at, enum spool_fact *fact, uint64_t *session,
                    uint64_t *value) must_check;

/* For 'L': a number and how many bytes it has, 0 when there is none. */
size_t spool_put_number(uint8_t *out, uint64_t number);
size_t spool_get_number(const uint8_t *bytes, size_t len, uint64_t *number);
