/* Messages become records: when their publishers are acknowledged, and when they are refused. */
#include "services/streams/streams_rig.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { FULL = 0x97, BAD_TOPIC = 0x90 };

/* ---- the disk, as the tests want it ------------------------------------------------------------------------------ */

static int sync_fault;  /* what fdatasync() says instead of syncing */
static unsigned synced; /* how often it really did */
static int *watched;    /* a receipt, and what it said at the last sync */
static int said_at_sync;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fdatasync(int fd)
{
    if (watched)
        said_at_sync = *watched;
    if (sync_fault) {
        errno = sync_fault;
        return -1;
    }
    synced++;
    return __real_fdatasync(fd);
}

/* ---- acknowledgements -------------------------------------------------------------------------------------------- */

static const struct stream_options two[] = {{.name = "telemetry"}, {.name = "alarms"}};

TEST(a_publisher_is_acknowledged_after_the_sync_and_not_before)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 2, NULL, 0);
    int settled;
    rig_publish_receipt(rig->house, "$gatehouse/streams/telemetry/append", "1", &settled);
    unsigned before = synced;
    watched = &settled;
    rig_turn(rig->house);
    watched = NULL;
    CHECK_INT(synced - before, 1);
    CHECK_INT(said_at_sync, RIG_UNSETTLED);
    CHECK_INT(settled, 0);
    CHECK_INT(streams_rig_number(rig, "telemetry", "next"), 1);
}

TEST(what_comes_in_one_turn_is_synced_once)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 2, NULL, 0);
    unsigned before = synced;
    streams_rig_append(rig, "telemetry", 0, 500);
    CHECK_INT(synced - before, 1);
    CHECK_INT(streams_rig_number(rig, "telemetry", "appended"), 500);
}

TEST(a_message_that_matches_two_routes_is_acknowledged_when_both_have_it)
{
    const struct route_options routes[] = {{"a", "dt/+/env", "telemetry", NULL},
                                           {"b", "dt/#", "alarms", NULL}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 2, routes, 2);
    int settled, other;
    rig_publish_receipt(rig->house, "dt/p1/env", "1", &settled);
    rig_publish_receipt(rig->house, "dt/p1/state", "2", &other);
    rig_publish(rig->house, "elsewhere", "3");
    rig_turn(rig->house);
    CHECK_INT(settled, 0);
    CHECK_INT(other, 0);
    CHECK_INT(streams_rig_number(rig, "telemetry", "next"), 1);
    CHECK_INT(streams_rig_number(rig, "alarms", "next"), 2);
}

TEST(a_message_of_two_routes_is_refused_when_one_of_them_cannot_keep_it)
{
    const struct route_options routes[] = {{"a", "x", "telemetry", NULL}, {"b", "x", "alarms", NULL}};
    const struct stream_options small[] = {{.name = "telemetry", .max_bytes = 4 * 4096},
                                           {.name = "alarms", .max_bytes = 0}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(small, 2, routes, 2);
    char large[4 * 4096 + 1];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    int settled;
    rig_publish_receipt(rig->house, "x", large, &settled);
    rig_turn(rig->house);
    CHECK_INT(settled, FULL);
}

TEST(a_publisher_who_does_not_ask_is_served_too)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 2, NULL, 0);
    rig_publish(rig->house, "$gatehouse/streams/telemetry/append", "1");
    rig_turn(rig->house);
    CHECK_INT(streams_rig_number(rig, "telemetry", "appended"), 1);
}

TEST(an_append_to_a_stream_that_does_not_exist_goes_nowhere)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 2, NULL, 0);
    rig_publish(rig->house, "$gatehouse/streams/nobody/append", "1");
    rig_turn(rig->house);
    CHECK_INT(streams_rig_number(rig, "telemetry", "next"), 0);
    CHECK_INT(streams_rig_number(rig, "alarms", "next"), 0);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

/* Appends one record after the other until one is refused; how many were taken. */
static unsigned fill(struct streams_rig *rig, const char *topic, int *refusal)
{
    char payload[1024];
    for (unsigned taken = 0;; taken++) {
        int settled;
        memset(payload, ' ', sizeof payload);
        payload[sizeof payload - 1] = '\0';
        payload[snprintf(payload, 16, "%u", taken)] = ' ';
        rig_publish_receipt(rig->house, topic, payload, &settled);
        rig_turn(rig->house);
        if (settled != 0) {
            *refusal = settled;
            return taken;
        }
        CHECK(taken < 10000);
    }
}

TEST(a_full_stream_refuses_and_loses_nothing)
{
    const struct stream_options options[] = {{.name = "s", .uplink = "cloud", .max_bytes = 64 * 1024}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
    int refusal;
    unsigned taken = fill(rig, "$gatehouse/streams/s/append", &refusal);
    CHECK_INT(refusal, FULL);
    CHECK(taken > 30);
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);
    CHECK_INT(streams_rig_number(rig, "s", "next"), taken);
    CHECK(streams_rig_number(rig, "s", "bytes") <= 64 * 1024);
    CHECK_INT(streams_rig_number(rig, "s", "refused"), 1);

    rig->takes_all = true; /* the cloud comes back: all of them arrive, and there is room again */
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), taken);
    for (unsigned i = 0; i < taken; i++)
        CHECK_INT(atoll(cloud_payload(rig, i)), i);
    rig_wait(rig->house, 1000);
    int settled;
    rig_publish_receipt(rig->house, "$gatehouse/streams/s/append", "again", &settled);
    rig_turn(rig->house);
    CHECK_INT(settled, 0);
    CHECK_STR(cloud_payload(rig, taken), "again");
}

TEST(a_full_stream_is_a_warning_once_a_minute)
{
    const struct stream_options options[] = {{.name = "s", .max_bytes = 16 * 1024}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
    int refusal;
    (void)fill(rig, "$gatehouse/streams/s/append", &refusal);
    CHECK_INT(rig->warning_count, 1);
    CHECK(strstr(rig->warnings, "stream s: is full: 1 messages refused so far"));
    for (int i = 0; i < 5; i++)
        (void)fill(rig, "$gatehouse/streams/s/append", &refusal);
    CHECK_INT(rig->warning_count, 1);
    rig_wait(rig->house, 60 * 1000);
    (void)fill(rig, "$gatehouse/streams/s/append", &refusal);
    CHECK_INT(rig->warning_count, 2);
    CHECK(strstr(rig->warnings, "7 messages refused so far"));
}

TEST(a_disk_that_fails_refuses_and_what_follows_is_taken_when_it_works_again)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 2, NULL, 0);
    streams_rig_append(rig, "telemetry", 0, 1);
    sync_fault = ENOSPC;
    int settled, other;
    rig_publish_receipt(rig->house, "$gatehouse/streams/telemetry/append", "lost?", &settled);
    rig_turn(rig->house);
    rig_publish_receipt(rig->house, "$gatehouse/streams/telemetry/append", "lost?", &other);
    rig_turn(rig->house);
    sync_fault = 0;
    CHECK(settled < 0);
    CHECK(other < 0);
    CHECK_INT(streams_rig_number(rig, "telemetry", "faults"), 2);
    CHECK_INT(streams_rig_number(rig, "telemetry", "appended"), 1);
    CHECK(strstr(rig->warnings, "stream telemetry: append: No space left on device: 1 messages"));

    streams_rig_append(rig, "telemetry", 1, 1);
    CHECK_INT(streams_rig_number(rig, "telemetry", "appended"), 2);
}

TEST(more_than_the_disk_keeps_up_with_is_refused)
{
    enum { LIMIT = 16384 };
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 2, NULL, 0);
    static int settled[LIMIT + 2];
    for (int i = 0; i < LIMIT + 2; i++)
        rig_publish_receipt(rig->house, "$gatehouse/streams/telemetry/append", "x", &settled[i]);
    rig_turn(rig->house);
    for (int i = 0; i < LIMIT; i++)
        CHECK_INT(settled[i], 0);
    CHECK_INT(settled[LIMIT], FULL);
    CHECK_INT(settled[LIMIT + 1], FULL);
    CHECK_INT(streams_rig_number(rig, "telemetry", "next"), LIMIT);
    streams_rig_append(rig, "telemetry", 0, 1);
}

TEST(more_bytes_than_the_disk_keeps_up_with_are_refused)
{
    enum {
        MEGABYTE = 1024 * 1024,
        LIMIT = 15
    }; /* 16 MiB, and every message costs a little more than its payload */
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 2, NULL, 0);
    cleanup_free char *payload = mem_new_bytes(MEGABYTE + 1);
    memset(payload, 'x', MEGABYTE);
    int settled[LIMIT + 1];
    for (int i = 0; i <= LIMIT; i++)
        rig_publish_receipt(rig->house, "$gatehouse/streams/telemetry/append", payload, &settled[i]);
    rig_turn(rig->house);
    for (int i = 0; i < LIMIT; i++)
        CHECK_INT(settled[i], 0);
    CHECK_INT(settled[LIMIT], FULL);
}

TEST(a_topic_that_becomes_too_long_for_the_cloud_is_refused)
{
    const struct route_options routes[] = {{"r", "#", "telemetry", "prefix/${topic}"}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 2, routes, 1);
    cleanup_free char *topic = mem_new_bytes(60001);
    memset(topic, 'x', 60000);
    int settled;
    rig_publish_receipt(rig->house, topic, "1", &settled);
    rig_turn(rig->house);
    CHECK_INT(settled, BAD_TOPIC);
    topic[60000 - strlen("prefix/")] = '\0';
    rig_publish_receipt(rig->house, topic, "1", &settled);
    rig_turn(rig->house);
    CHECK_INT(settled, 0);
}

TEST(a_payload_that_no_log_takes_is_refused)
{
    enum {
        SIZE = SEGLOG_RECORD_MAX - 1024
    }; /* with its head too long for the 16 MiB of what may be under way */
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 2, NULL, 0);
    cleanup_free char *payload = mem_new_bytes(SEGLOG_RECORD_MAX + 2);
    memset(payload, 'x', SEGLOG_RECORD_MAX + 1);
    int settled;
    rig_publish_receipt(rig->house, "$gatehouse/streams/telemetry/append", payload, &settled);
    rig_turn(rig->house);
    CHECK(settled != 0);
    payload[SIZE] = '\0';
    rig_publish_receipt(rig->house, "$gatehouse/streams/telemetry/append", payload, &settled);
    rig_turn(rig->house);
    CHECK_INT(settled, 0);
}

/* ---- wiring ------------------------------------------------------------------------------------------------------ */

TEST(the_list_says_how_every_stream_is)
{
    const struct stream_options options[] = {
        {.name = "telemetry", .uplink = "cloud", .priority = 3, .max_bytes = 1 << 20}, {.name = "local"}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 2, NULL, 0);
    streams_rig_append(rig, "telemetry", 0, 3);
    cloud_is_up(rig, "cloud");
    cloud_settle(rig, 0, 0);
    const char *answer = rig_request(rig->house, "$gatehouse/ctl/stream/list", "");
    CHECK(strstr(answer,
                 "{\"streams\":[{\"name\":\"telemetry\",\"priority\":3,\"uplink\":\"cloud\",\"first\":0,"
                 "\"next\":3,\"cursor\":1,\"pending\":2,\"underWay\":2,\"retries\":0,"));
    CHECK(strstr(answer, "\"maxBytes\":1048576,\"appended\":3,\"refused\":0,\"faults\":0,\"damaged\":0,"));
    CHECK(strstr(answer,
                 "{\"name\":\"local\",\"priority\":5,\"uplink\":null,\"first\":0,\"next\":0,\"bytes\":"));
}

static int refused(const struct stream_options *streams, size_t stream_count,
                   const struct route_options *routes, size_t route_count)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 2, NULL, 0);
    streams_rig_stop(rig);
    cleanup_free char *logs = str_printf("%s/streams", rig->folder);
    CHECK_INT(seglogs_open(&rig->logs, rig->house->loop, logs, WORKER_INLINE), 0);
    int r = streams_new(&rig->streams, rig->house->bus, rig->logs, rig->house->store, streams, stream_count,
                        routes, route_count);
    if (r < 0)
        CHECK_INT(rig->warning_count, 1);
    else
        streams_rig_stop(rig);
    rig->logs = seglogs_close(rig->logs);
    return r;
}

TEST(wrong_options_are_refused_with_a_line_in_the_log)
{
    const struct stream_options good = {.name = "a"};
    const struct route_options no_stream = {"r", "x", "b", NULL}, no_topic = {"r", "x", "a", "${x}"};
    CHECK_INT(refused(&good, 1, NULL, 0), 0);
    CHECK_INT(refused(&(struct stream_options){.name = "a/b"}, 1, NULL, 0), -EINVAL);
    CHECK_INT(refused(&(struct stream_options){.name = "a", .priority = 11}, 1, NULL, 0), -EINVAL);
    CHECK_INT(refused((struct stream_options[]){{.name = "a"}, {.name = "a"}}, 2, NULL, 0), -EBUSY);
    CHECK_INT(refused(&good, 1, &no_stream, 1), -EINVAL);
    CHECK_INT(refused(&good, 1, &no_topic, 1), -EINVAL);
}

/* ---- streams that are not open ----------------------------------------------------------------------------------- */

TEST(a_stream_without_its_key_refuses_and_the_others_go_on)
{
    const struct stream_options options[] = {{.name = "sealed", .encrypt = true}, {.name = "plain"}};
    const struct route_options routes[] = {{"r", "dt/#", "sealed", NULL}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 2, routes, 1);
    streams_rig_append(rig, "plain", 0, 1);
    int direct, routed;
    rig_publish_receipt(rig->house, "$gatehouse/streams/sealed/append", "1", &direct);
    rig_publish_receipt(rig->house, "dt/1", "2", &routed);
    rig_turn(rig->house);
    CHECK_INT(direct, -ENOKEY);
    CHECK_INT(routed, -ENOKEY);
    CHECK(strstr(rig_request(rig->house, "$gatehouse/ctl/stream/list", ""),
                 "\"locked\":[{\"name\":\"sealed\",\"reason\":\"it is not open: the device key is missing"));
    CHECK(strstr(rig_request(rig->house, "$gatehouse/streams/sealed/read", ""), "\"code\":503"));
    CHECK(strstr(rig_request(rig->house, "$gatehouse/ctl/stream/create", "{\"name\":\"sealed\"}"),
                 "\"code\":409"));
}
