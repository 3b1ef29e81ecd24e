/* What leaves the disk: when it is too old, when there is no room; and that the books know, whatever happens in between. */
#include "services/streams/streams_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FULL = 0x97, SAVE_AFTER = 1000, HOUR = 3600 * 1000 };

#define CURSOR "$gatehouse/streams/s/cursor"

int __real_unlinkat(int folder, const char *path, int flags);
int __wrap_unlinkat(int folder, const char *path, int flags);
ssize_t __real_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset);

static int unlink_fault, write_fault; /* of the next call that asks; 0: none */

int __wrap_unlinkat(int folder, const char *path, int flags)
{
    if (!unlink_fault)
        return __real_unlinkat(folder, path, flags);
    errno = unlink_fault;
    return -1;
}

ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (!write_fault)
        return __real_pwritev(fd, parts, count, offset);
    errno = write_fault;
    return -1;
}

enum { WIDTH = 40 };
#define WIDE "a payload as wide as those of the rig are"

static const struct stream_options overwriting[] = {
    {.name = "s", .uplink = "cloud", .segment_bytes = 4096, .max_bytes = 16384, .overwrite = true}};
static const struct stream_options aging[] = {
    {.name = "s", .uplink = "cloud", .segment_bytes = 4096, .ttl_s = 3600}};

static const char *ask(struct streams_rig *rig, const char *topic, const char *request)
{
    const char *answer = rig_request(rig->house, topic, request);
    return answer ? answer : "none";
}

#define CHECK_ANSWER(rig, topic, request, part)                                                              \
    do {                                                                                                     \
        const char *answer_ = ask(rig, topic, request);                                                      \
        if (!strstr(answer_, part))                                                                          \
            CHECK_STR(answer_, part);                                                                        \
    } while (0)

/* Nearly full, and nothing has gone. */
static void fill(struct streams_rig *rig)
{
    for (unsigned i = 0; i < 300; i += 20)
        streams_rig_append(rig, "s", i, 20);
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);
}

/* At least so many are under way before it is known how wide the link is. */
enum { FIRST_SENT = 20 };

/* ---- overwriting ------------------------------------------------------------------------------------------------- */

TEST(a_stream_that_overwrites_takes_everything_and_keeps_within_its_limit)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(overwriting, 1, NULL, 0);
    rig->width = WIDTH;
    for (unsigned i = 0; i < 100; i++) {
        streams_rig_append(rig, "s", i * 20, 20); /* all are taken, and acknowledged */
        CHECK(streams_rig_number(rig, "s", "bytes") <= 16384);
    }
    int64_t first = streams_rig_number(rig, "s", "first");
    CHECK(first > 1500 && first == streams_rig_file(rig, "s", 0)); /* only whole files go */
    CHECK_INT(streams_rig_number(rig, "s", "refused"), 0);
    streams_rig_check_books(rig);
    char evicted[64];
    (void)snprintf(evicted, sizeof evicted, "\"expired\":0,\"evicted\":%lld,", (long long)first);
    CHECK_ANSWER(rig, "$gatehouse/ctl/stream/describe", "{\"name\":\"s\"}", evicted);
    cloud_is_up(rig, "cloud");
    cloud_check(rig, 0, (unsigned)first, FIRST_SENT);
}

TEST(more_in_one_turn_than_there_is_room_for_waits_in_order)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(overwriting, 1, NULL, 0);
    rig->width = WIDTH;
    streams_rig_append(rig, "s", 0, 1000);
    CHECK(streams_rig_number(rig, "s", "bytes") <= 16384 + 4096);
    rig->takes_all = true;
    int64_t first = streams_rig_number(rig, "s", "first");
    cloud_is_up(rig, "cloud");
    cloud_check(rig, 0, (unsigned)first, 1000 - (unsigned)first);
    streams_rig_check_books(rig);
}

TEST(records_under_way_that_are_overwritten_are_sent_no_further_and_the_books_balance)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(overwriting, 1, NULL, 0);
    rig->width = WIDTH;
    streams_rig_append(rig, "s", 0, 100);
    cloud_is_up(rig, "cloud");
    CHECK((int64_t)cloud_holds(rig) >= FIRST_SENT);
    cloud_settle(rig, 0, 0);
    cloud_settle(rig, 3, 0);
    streams_rig_append(rig, "s", 100, 900);
    int64_t first = streams_rig_number(rig, "s", "first");
    CHECK(first > 500);
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), first);
    streams_rig_check_books(rig);
    size_t sent = cloud_count(rig);
    cloud_settle_all(rig, 0); /* that they arrived makes no difference any more */
    cloud_check(rig, sent, (unsigned)first, FIRST_SENT);
    while (cloud_holds(rig))
        cloud_settle_all(rig, 0);
    CHECK_INT(streams_rig_number(rig, "s", "pending"), 0);
    streams_rig_check_books(rig);
    streams_rig_restart(rig);
    streams_rig_check_books(rig);
}

TEST(a_record_that_nothing_could_make_room_for_is_refused_and_nothing_goes)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(overwriting, 1, NULL, 0);
    rig->width = WIDTH;
    fill(rig);
    cleanup_free char *large = mem_new_bytes(9001);
    memset(large, 'x', 9000);
    int settled;
    rig_publish_receipt(rig->house, "$gatehouse/streams/s/append", large, &settled);
    rig_turn(rig->house);
    CHECK_INT(settled, FULL);
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);
}

TEST(a_full_disk_makes_a_stream_that_overwrites_let_its_oldest_go)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(overwriting, 1, NULL, 0);
    rig->width = WIDTH;
    streams_rig_append(rig, "s", 0, 200);
    unsigned second = streams_rig_file(rig, "s", 1);
    write_fault = ENOSPC;
    int settled;
    rig_publish_receipt(rig->house, "$gatehouse/streams/s/append", "200", &settled);
    rig_turn(rig->house);
    write_fault = 0;
    CHECK_INT(settled, -ENOSPC); /* this one is told, so that its publisher can say it again */
    CHECK_INT(streams_rig_number(rig, "s", "first"), second);
    streams_rig_append(rig, "s", 200, 1);
    streams_rig_check_books(rig);
}

/* ---- age --------------------------------------------------------------------------------------------------------- */

TEST(records_that_are_too_old_go_whoever_has_not_had_them)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(aging, 1, NULL, 0);
    rig->width = WIDTH;
    streams_rig_append(rig, "s", 0, 100);
    (void)ask(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"create\",\"at\":10}");
    rig_wait(rig->house, HOUR / 2);
    streams_rig_append(rig, "s", 100, 100);
    rig_wait(rig->house, HOUR / 2 - 2000);
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);
    unsigned second = streams_rig_file(rig, "s", 1), third = streams_rig_file(rig, "s", 2);
    rig_wait(rig->house, 4000);
    CHECK_INT(streams_rig_number(rig, "s", "first"), second);
    char request[64], answer[32];
    (void)snprintf(request, sizeof request, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":%u}", second);
    (void)snprintf(answer, sizeof answer, "\"expired\":%u,", second - 10);
    CHECK_ANSWER(rig, CURSOR, request, answer);
    streams_rig_check_books(rig);
    rig_wait(rig->house, 10 * HOUR);
    CHECK_INT(streams_rig_number(rig, "s", "first"), third); /* the file that is being written stays */
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), third);
    streams_rig_check_books(rig);
    streams_rig_restart(rig);
    streams_rig_check_books(rig);
}

TEST(a_clock_that_was_not_set_makes_nothing_old)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(aging, 1, NULL, 0);
    rig->width = WIDTH;
    int64_t good = rig->house->clock.wall;
    rig->house->clock.wall = 1000;
    rig_turn(rig->house);
    streams_rig_append(rig, "s", 0, 200);
    rig_wait(rig->house, 5 * HOUR);
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);
    rig->house->clock.wall = good; /* now it is; but nobody knows how old they are */
    rig_wait(rig->house, 5 * HOUR);
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);
    streams_rig_append(rig, "s", 200, 200); /* until there is something behind them whose age is known */
    rig_wait(rig->house, HOUR + 1000);
    streams_rig_append(rig, "s", 400, 1);
    rig_wait(rig->house, HOUR + 1000);
    CHECK(streams_rig_number(rig, "s", "first") > 200);
    streams_rig_check_books(rig);
}

/* ---- all streams together ---------------------------------------------------------------------------------------- */

TEST(all_streams_together_keep_within_their_quota)
{
    const struct stream_options options[] = {
        {.name = "a", .segment_bytes = 4096, .max_bytes = 1 << 20},
        {.name = "b", .segment_bytes = 4096, .max_bytes = 1 << 20, .overwrite = true}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 2, NULL, 0);
    rig->width = WIDTH;
    streams_set_quota(rig->streams, 40960);
    streams_rig_append(rig, "a", 0, 400); /* 19,200 bytes */
    for (unsigned i = 0; i < 30; i++)
        streams_rig_append(rig, "b", i * 20, 20);
    CHECK(streams_rig_number(rig, "b", "first") > 0);
    int settled = 0;
    unsigned taken = 0;
    for (; settled == 0 && taken < 1000; taken++) {
        rig_publish_receipt(rig->house, "$gatehouse/streams/a/append", "1", &settled);
        rig_turn(rig->house);
    }
    CHECK_INT(settled, FULL);
    CHECK(taken < 120); /* 4 KiB at most were free */
    CHECK(strstr(rig->warnings, "stream a: all streams together have reached streams-disk"));
    CHECK(streams_rig_number(rig, "a", "bytes") + streams_rig_number(rig, "b", "bytes") <= 40960);
    streams_rig_check_books(rig);
    CHECK_ANSWER(rig, "$gatehouse/ctl/stream/create", "{\"name\":\"c\"}", "\"code\":413");
}

/* ---- what comes in between --------------------------------------------------------------------------------------- */

TEST(the_books_are_stored_before_the_files_go)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(overwriting, 1, NULL, 0);
    rig->width = WIDTH;
    fill(rig);
    unsigned second = streams_rig_file(rig, "s", 1);
    unlink_fault = EIO; /* as if it died right behind the commit */
    int settled[60];
    for (int i = 0; i < 60; i++)
        rig_publish_receipt(rig->house, "$gatehouse/streams/s/append", WIDE, &settled[i]);
    rig_turn(rig->house);
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);
    streams_rig_stop(rig);
    unlink_fault = 0;
    streams_rig_start(rig);
    CHECK(streams_rig_number(rig, "s", "first") >= second); /* the books said so: now they are gone */
    streams_rig_check_books(rig);
}

TEST(books_that_cannot_be_stored_keep_the_files_and_what_waits_for_room)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(overwriting, 1, NULL, 0);
    rig->width = WIDTH;
    fill(rig);
    unsigned second = streams_rig_file(rig, "s", 1);
    store_fail_next_commit(rig->house->store, -ENOSPC);
    int settled[40];
    for (int i = 0; i < 40; i++)
        rig_publish_receipt(rig->house, "$gatehouse/streams/s/append", WIDE, &settled[i]);
    rig_turn(rig->house);
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);
    CHECK_INT(settled[39], RIG_UNSETTLED);
    rig_wait(rig->house, 1000);
    CHECK_INT(streams_rig_number(rig, "s", "first"), second);
    CHECK_INT(settled[39], 0);
    streams_rig_check_books(rig);
}

TEST(what_the_cloud_had_is_known_when_it_is_overwritten_a_moment_later)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(overwriting, 1, NULL, 0);
    rig->width = WIDTH;
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 0, 300); /* all are at the cloud, and state.db does not know yet */
    cloud_is_down(rig, "cloud");
    streams_rig_append(rig, "s", 300, 100);
    CHECK(streams_rig_number(rig, "s", "first") > 0);
    streams_rig_check_books(rig);
    CHECK_ANSWER(rig, "$gatehouse/ctl/stream/describe", "{\"name\":\"s\"}", "\"delivered\":300,");
}

/* ---- kinds ------------------------------------------------------------------------------------------------------- */

TEST(a_stream_in_memory_is_gone_after_a_restart_and_its_books_begin_again)
{
    const struct stream_options options[] = {
        {.name = "s", .uplink = "cloud", .segment_bytes = 4096, .max_bytes = 65536, .memory = true}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
    rig->width = WIDTH;
    (void)ask(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"create\"}");
    streams_rig_append(rig, "s", 0, 400);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0); /* the cursor holds them */
    (void)ask(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":400}");
    rig_turn(rig->house);
    CHECK(streams_rig_number(rig, "s", "first") > 300);
    streams_rig_check_books(rig);
    cleanup_free char *folder = str_printf("%s/streams/s", rig->folder);
    CHECK(access(folder, F_OK) < 0);
    streams_rig_restart(rig);
    CHECK_INT(streams_rig_number(rig, "s", "next"), 0);
    streams_rig_check_books(rig);
}

TEST(with_an_interval_a_cursor_is_stored_when_its_records_are_synced)
{
    const struct stream_options options[] = {{.name = "s", .uplink = "cloud", .sync_ms = 30000}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 0, 10);
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), 10);
    rig_wait(rig->house, 3 * SAVE_AFTER); /* it asks for the sync, and stores it then */
    (void)ask(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"create\",\"at\":\"next\"}");
    streams_rig_append(rig, "s", 10, 10);
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":\"next\"}", "\"next\":20,");
    streams_rig_check_books(rig);
    streams_rig_restart(rig);
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), 20);
    streams_rig_check_books(rig);
}
