#include "services/uplink/uplink_echo.h"

#include <string.h>

enum { PLACES = 1024, REMEMBERED = 60 * 1000 };

struct uplink_sent {
    uint64_t sum; /* of topic and payload */
    int64_t at;
    uint8_t hops; /* 0: nothing is here */
};

/* FNV-1a. */
static uint64_t add(uint64_t sum, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ p[i]) * 0x100000001b3;
    return sum;
}

static uint64_t sum_of(const char *topic, const struct msg *msg)
{
    return add(add(0xcbf29ce484222325, topic, strlen(topic) + 1), msg->payload, msg->payload_len);
}

void uplink_echo_done(struct uplink_echo *echo)
{
    free(echo->sent);
    *echo = (struct uplink_echo){0};
}

void uplink_echo_sent(struct uplink_echo *echo, const char *topic, const struct msg *msg, int64_t now)
{
    if (!echo->sent)
        echo->sent = mem_new_bytes(PLACES * sizeof *echo->sent);
    echo->sent[echo->next++ % PLACES] = (struct uplink_sent){sum_of(topic, msg), now, msg->hops};
}

uint8_t uplink_echo_hops(const struct uplink_echo *echo, const char *topic, const struct msg *msg,
                         int64_t now)
{
    if (!echo->sent)
        return 0;
    uint64_t sum = sum_of(topic, msg);
    uint8_t most = 0;
    for (size_t i = 0; i < PLACES; i++) {
        const struct uplink_sent *sent = &echo->sent[i];
        if (sent->sum == sum && now - sent->at < REMEMBERED && sent->hops > most)
            most = sent->hops;
    }
    return most;
}
