#include "gatehouse_plugin.h"

#include "host/object.h"
#include "rig/test.h"

#include <errno.h>
#include <stddef.h>

/* What plugins were compiled with stays: members are only added behind these. Pointers are P bytes. */
#define P                        sizeof(void *)
#define AT(type, member, offset) CHECK_INT((int64_t)offsetof(struct type, member), (int64_t)(offset))

TEST(the_number_of_the_abi_is_one)
{
    CHECK_INT(GH_ABI, 1);
}

TEST(the_members_of_a_message_are_where_they_were)
{
    AT(gh_message, size, 0);
    AT(gh_message, qos, 4);
    AT(gh_message, retain, 5);
    AT(gh_message, again, 6);
    AT(gh_message, token, 8);
    AT(gh_message, topic, 16);
    AT(gh_message, payload, 16 + P);
    AT(gh_message, topic_len, 16 + 2 * P);
    AT(gh_message, payload_len, 20 + 2 * P);
    AT(gh_message, response_topic, 24 + 2 * P);
    AT(gh_message, correlation, 24 + 3 * P);
    AT(gh_message, response_topic_len, 24 + 4 * P);
    AT(gh_message, correlation_len, 28 + 4 * P);
    CHECK_INT((int64_t)sizeof(struct gh_message), (int64_t)(32 + 4 * P));
}

TEST(the_members_of_a_publication_are_where_they_were)
{
    AT(gh_publication, size, 0);
    AT(gh_publication, qos, 4);
    AT(gh_publication, retain, 5);
    AT(gh_publication, topic, 8);
    AT(gh_publication, payload, 8 + P);
    AT(gh_publication, payload_len, 8 + 2 * P);
    AT(gh_publication, correlation_len, 12 + 2 * P);
    AT(gh_publication, correlation, 16 + 2 * P);
    AT(gh_publication, done, 16 + 3 * P);
    AT(gh_publication, context, 16 + 4 * P);
    AT(gh_publication, acknowledges, 16 + 5 * P + (P == 4 ? 4 : 0));
}

TEST(the_members_of_a_record_are_where_they_were)
{
    AT(gh_record, size, 0);
    AT(gh_record, topic_len, 4);
    AT(gh_record, token, 8);
    AT(gh_record, topic, 16);
    AT(gh_record, payload, 16 + P);
    AT(gh_record, payload_len, 16 + 2 * P);
    AT(gh_record, stream, 24 + 2 * P);
    AT(gh_record, seq, 24 + 3 * P + (P == 4 ? 4 : 0));
    AT(gh_record, time, 32 + 3 * P + (P == 4 ? 4 : 0));
    AT(gh_record, uplink, 40 + 3 * P + (P == 4 ? 4 : 0));
}

TEST(the_members_of_the_host_are_where_they_were)
{
    AT(gh_host, size, 0);
    AT(gh_host, abi, 4);
    AT(gh_host, self, 8);
    AT(gh_host, name, 8 + P);
    AT(gh_host, publish, 8 + 2 * P);
    AT(gh_host, subscribe, 8 + 3 * P);
    AT(gh_host, acknowledge, 8 + 4 * P);
    AT(gh_host, set_tick, 8 + 5 * P);
    AT(gh_host, config, 8 + 6 * P);
    AT(gh_host, log, 8 + 7 * P);
    AT(gh_host, now, 8 + 8 * P);
    AT(gh_host, settle, 8 + 9 * P);
}

TEST(the_members_of_a_plugin_are_where_they_were)
{
    AT(gh_plugin, size, 0);
    AT(gh_plugin, abi, 4);
    AT(gh_plugin, name, 8);
    AT(gh_plugin, version, 8 + P);
    AT(gh_plugin, start, 8 + 2 * P);
    AT(gh_plugin, message, 8 + 3 * P);
    AT(gh_plugin, messages, 8 + 4 * P);
    AT(gh_plugin, tick, 8 + 5 * P);
    AT(gh_plugin, ready, 8 + 6 * P);
    AT(gh_plugin, stop, 8 + 7 * P);
    AT(gh_plugin, deliver, 8 + 8 * P);
}

TEST(results_and_limits_keep_their_numbers)
{
    CHECK_INT(GH_DONE, 0);
    CHECK_INT(GH_LATER, 1);
    CHECK_INT(GH_E_INVALID, -1);
    CHECK_INT(GH_E_BUSY, -2);
    CHECK_INT(GH_E_REFUSED, -3);
    CHECK_INT(GH_E_TOO_LARGE, -4);
    CHECK_INT(GH_E_MEMORY, -5);
    CHECK_INT(GH_E_FAILED, -6);
    CHECK_INT(GH_UNACKNOWLEDGED_MAX, 64);
    CHECK_INT(GH_LOG_DEBUG, 4);
}

/* ---- what the host makes of it ------------------------------------------------------------------------- */

static int32_t start(struct gh_host *host)
{
    (void)host;
    return GH_DONE;
}

static int32_t message(struct gh_host *host, const struct gh_message *m)
{
    (void)host, (void)m;
    return GH_DONE;
}

static void messages(struct gh_host *host, const struct gh_message *const *list, int32_t *results, uint32_t n)
{
    (void)host, (void)list, (void)results, (void)n;
}

static void check_refused(const struct gh_plugin *plugin, const char *expected)
{
    struct gh_plugin copy;
    cleanup_free char *why = NULL;
    CHECK_INT(object_check(&copy, plugin, &why), -EINVAL);
    CHECK_STR(why, expected);
}

TEST(a_plugin_for_another_abi_is_refused)
{
    check_refused(&(struct gh_plugin){.size = sizeof(struct gh_plugin), .abi = 2, .start = start},
                  "it was made for ABI 2, this gateway has 1");
}

TEST(a_plugin_without_start_is_refused)
{
    check_refused(&(struct gh_plugin){GH_PLUGIN_HEAD}, "it has no start()");
    check_refused(&(struct gh_plugin){.size = 8, .abi = GH_ABI, .start = start},
                  P == 8 ? "its struct gh_plugin has 8 bytes, expected at least 32"
                         : "its struct gh_plugin has 8 bytes, expected at least 20");
}

TEST(a_plugin_with_both_ways_to_take_messages_is_refused)
{
    check_refused(
        &(struct gh_plugin){GH_PLUGIN_HEAD, .start = start, .message = message, .messages = messages},
        "it has message() and messages(), expected one of them");
}

TEST(what_a_shorter_plugin_does_not_have_is_empty)
{
    struct gh_plugin plugin = {.abi = GH_ABI, .start = start, .message = message, .messages = messages};
    plugin.size = offsetof(struct gh_plugin, messages);
    struct gh_plugin copy;
    char *why = NULL;
    CHECK_INT(object_check(&copy, &plugin, &why), 0);
    CHECK(copy.message == message);
    CHECK(copy.messages == NULL);
}

TEST(a_longer_plugin_from_the_future_is_taken)
{
    struct {
        struct gh_plugin plugin;
        void *more[4];
    } future = {.plugin = {.size = sizeof future, .abi = GH_ABI, .name = "x", .start = start}};
    struct gh_plugin copy;
    char *why = NULL;
    CHECK_INT(object_check(&copy, &future.plugin, &why), 0);
    CHECK_STR(copy.name, "x");
    CHECK_STR(copy.version, "?");
}

TEST(an_object_that_is_none_is_refused_with_its_name)
{
    struct gh_plugin copy;
    char *why = NULL;
    CHECK_INT(object_load(&copy, "/nowhere/x.so", &why), -EINVAL);
    CHECK(strstr(why, "/nowhere/x.so") != NULL);
    free(why);
    CHECK_INT(object_load(&copy, "libm.so.6", &why), -EINVAL);
    CHECK_STR(why, "libm.so.6 is not a plugin for this gateway: it does not export gh_plugin");
    free(why);
}
