#include "bus/retain.h"

#include "base/topic.h"
#include "rig/test.h"

#include <errno.h>
#include <stdio.h>

static char seen[512];

static void on_visit(void *self, struct msg *msg)
{
    (void)self;
    size_t len = strlen(seen);
    (void)snprintf(seen + len, sizeof seen - len, "%s ", msg->topic);
}

static const char *matching(struct retain *retain, const char *filter, int64_t now)
{
    seen[0] = '\0';
    retain_match(retain, filter, strlen(filter), now, on_visit, NULL);
    return seen;
}

static int put(struct retain *retain, const char *topic, const char *payload, uint32_t expiry_s)
{
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), payload, strlen(payload));
    msg->expiry_s = expiry_s;
    return retain_put(retain, msg);
}

TEST(a_filter_walks_the_topics_that_match_it)
{
    struct retain retain;
    retain_init(&retain, 100, 100000);
    CHECK_INT(put(&retain, "dt/p1/env", "1", MSG_NO_EXPIRY), 0);
    CHECK_INT(put(&retain, "dt/p1", "2", MSG_NO_EXPIRY), 0);
    CHECK_INT(put(&retain, "$status/x", "3", MSG_NO_EXPIRY), 0);
    CHECK_STR(matching(&retain, "dt/+/env", 0), "dt/p1/env ");
    CHECK_STR(matching(&retain, "dt/p1/#", 0), "dt/p1 dt/p1/env ");
    CHECK_STR(matching(&retain, "dt/p1", 0), "dt/p1 ");
    CHECK_STR(matching(&retain, "#", 0), "dt/p1 dt/p1/env "); /* [MQTT-4.7.2-1] */
    CHECK_STR(matching(&retain, "+/x", 0), "");
    CHECK_STR(matching(&retain, "$status/+", 0), "$status/x ");
    CHECK_STR(matching(&retain, "dt", 0), "");
    retain_done(&retain);
}

TEST(an_empty_payload_removes_and_a_new_one_replaces)
{
    struct retain retain;
    retain_init(&retain, 100, 100000);
    CHECK_INT(put(&retain, "a/b", "1", MSG_NO_EXPIRY), 0);
    CHECK_INT(put(&retain, "a/b", "22", MSG_NO_EXPIRY), 0);
    CHECK_INT(retain.count, 1);
    CHECK_INT(put(&retain, "a/b", "", MSG_NO_EXPIRY), 0);
    CHECK_INT(put(&retain, "never/was", "", MSG_NO_EXPIRY), 0);
    CHECK_INT(retain.count, 0);
    CHECK_INT(retain.bytes, 0);
    CHECK_INT(retain.root.children.count, 0);
    retain_done(&retain);
}

TEST(an_expired_message_is_not_delivered_and_goes)
{
    struct retain retain;
    retain_init(&retain, 100, 100000);
    CHECK_INT(put(&retain, "a/b", "1", 10), 0);
    CHECK_INT(put(&retain, "a/c", "1", MSG_NO_EXPIRY), 0);
    CHECK_STR(matching(&retain, "a/b", 9999), "a/b ");
    CHECK_STR(matching(&retain, "a/#", 10000), "a/c ");
    CHECK_INT(retain.count, 1);
    retain_done(&retain);
}

TEST(a_limit_refuses_the_new_and_keeps_the_old)
{
    struct retain retain;
    retain_init(&retain, 2, 100000);
    CHECK_INT(put(&retain, "a", "1", MSG_NO_EXPIRY), 0);
    CHECK_INT(put(&retain, "b", "1", MSG_NO_EXPIRY), 0);
    CHECK_INT(put(&retain, "c", "1", MSG_NO_EXPIRY), -ENOBUFS);
    CHECK_INT(put(&retain, "b", "2", MSG_NO_EXPIRY), 0); /* replacing needs no room */
    CHECK_STR(matching(&retain, "c", 0), "");
    retain_done(&retain);
}

TEST(retained_topics_agree_with_matching_one_by_one_through_a_random_life)
{
    struct retain retain;
    retain_init(&retain, 10000, 1000000);
    enum { TOPICS = 200 };
    bool in[TOPICS] = {false};
    char topics[TOPICS][32];
    for (int i = 0; i < TOPICS; i++)
        (void)snprintf(topics[i], sizeof topics[i], "%c/%c%s", 'a' + i % 5, 'k' + i % 7, i % 3 ? "/x" : "");
    uint32_t random = 3;
    static const char *const filters[] = {"#", "+/+", "a/#", "+/k/x", "b/+/x", "+/+/#", "c/l"};
    for (int round = 0; round < 3000; round++) {
        random = random * 1664525 + 1013904223;
        int i = (int)((random >> 8) % TOPICS);
        bool keep = random >> 31;
        CHECK_INT(put(&retain, topics[i], keep ? "1" : "", MSG_NO_EXPIRY), 0);
        for (int k = 0; k < TOPICS; k++) /* several names are the same topic */
            if (strcmp(topics[k], topics[i]) == 0)
                in[k] = keep;
        const char *filter = filters[(random >> 4) % array_size(filters)];
        size_t expected = 0;
        for (int k = 0; k < TOPICS; k++) {
            bool first = true;
            for (int j = 0; j < k; j++)
                first &= strcmp(topics[k], topics[j]) != 0;
            if (first && in[k] && topic_matches(filter, strlen(filter), topics[k], strlen(topics[k])))
                expected += strlen(topics[k]) + 1;
        }
        CHECK_INT(strlen(matching(&retain, filter, 0)), expected);
    }
    retain_done(&retain);
}
