/* How far a stream has come: when that is stored, what a restart makes of it, and what is released. */
#include "services/streams/streams_rig.h"

#include "store/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

enum { WINDOW = 64, SAVE_AFTER = 1000, FULL = 0x97 };

static const struct stream_options one[] = {{.name = "s", .uplink = "cloud"}};
/* Files of 4 KiB, so that a hundred records are several. */
enum { WIDTH = 40 };
static const struct stream_options small[] = {{.name = "s", .uplink = "cloud", .segment_bytes = 4096}};

/* The cursor in state.db, -1 when there is none. */
static int64_t stored(struct streams_rig *rig);

struct asked {
    const char *sql, *stream;
    int64_t next;
};

static int ask(struct store_db *db, void *arg)
{
    struct asked *asked = arg;
    sqlite3_stmt *st = store_statement(db, asked->sql);
    (void)sqlite3_bind_text(st, 1, asked->stream, -1, SQLITE_STATIC);
    int r = store_step(db, st);
    asked->next = r > 0 ? sqlite3_column_int64(st, 0) : -1;
    return r < 0 ? r : 0;
}

static int64_t stored(struct streams_rig *rig)
{
    struct asked asked = {"SELECT next FROM stream_reader WHERE stream = ?1 AND name = '@cloud'", "s", -1};
    CHECK_INT(store_run_now(rig->house->store, ask, &asked), 0);
    return asked.next;
}

static int write_cursor(struct store_db *db, void *arg)
{
    const struct asked *asked = arg;
    sqlite3_stmt *st = store_statement(
        db, "REPLACE INTO stream_reader VALUES (?1, '@cloud', 1, 0, 0, ?2, ?2, 0, 0, 0, 0, 0)");
    (void)sqlite3_bind_text(st, 1, asked->stream, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(st, 2, asked->next);
    return store_execute(db, st);
}

static void set_stored(struct streams_rig *rig, int64_t next)
{
    struct asked asked = {NULL, "s", next};
    CHECK_INT(store_run_now(rig->house->store, write_cursor, &asked), 0);
}

static unsigned segments(struct streams_rig *rig)
{
    cleanup_free char *path = str_printf("%s/streams/s", rig->folder);
    DIR *dir = opendir(path);
    CHECK(dir);
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        count += strstr(entry->d_name, ".seg") != NULL;
    (void)closedir(dir);
    return count;
}

static uint64_t commits(struct streams_rig *rig)
{
    struct store_counters counters;
    store_counters(rig->house->store, &counters);
    return counters.batches;
}

/* ---- storing ----------------------------------------------------------------------------------------------------- */

TEST(the_cursor_is_stored_a_second_after_it_moved_first)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    cloud_is_up(rig, "cloud");
    uint64_t before = commits(rig);
    cloud_settle(rig, 0, 0);
    rig_wait(rig->house, SAVE_AFTER / 2);
    cloud_settle(rig, 1, 0);
    cloud_settle(rig, 2, 0);
    rig_wait(rig->house, SAVE_AFTER / 2 - 1);
    CHECK_INT(stored(rig), -1);
    before = commits(rig);
    rig_wait(rig->house, 1);
    CHECK_INT((int64_t)(commits(rig) - before), 1);
    CHECK_INT(stored(rig), 3);
}

TEST(a_cursor_that_did_not_move_is_not_stored_again)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 0, 10);
    rig_wait(rig->house, SAVE_AFTER);
    uint64_t before = commits(rig);
    rig_wait(rig->house, 100 * SAVE_AFTER);
    CHECK_INT((int64_t)(commits(rig) - before), 0);
}

TEST(stopping_stores_the_cursor)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    cloud_is_up(rig, "cloud");
    cloud_settle(rig, 0, 0);
    streams_rig_stop(rig);
    CHECK_INT(stored(rig), 1);
}

TEST(a_store_that_fails_is_asked_again_and_complained_of_once)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(small, 1, NULL, 0);
    rig->width = WIDTH;
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 0, 400);
    unsigned files = segments(rig);
    for (int i = 0; i < 3; i++) {
        store_fail_next_commit(rig->house->store, -ENOSPC);
        rig_wait(rig->house, SAVE_AFTER);
        CHECK_INT(stored(rig), -1);
        CHECK_INT(segments(rig), files); /* and until then nothing goes */
    }
    const char *line = strstr(rig->warnings, "state.db: streams' cursors: No space left on device");
    CHECK(line && !strstr(line + 1, "state.db: streams' cursors: "));
    rig_wait(rig->house, SAVE_AFTER);
    CHECK_INT(stored(rig), 400);
    CHECK_INT(segments(rig), 1);
}

/* ---- restarting -------------------------------------------------------------------------------------------------- */

TEST(a_restart_goes_on_behind_what_was_acknowledged)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 100);
    cloud_is_up(rig, "cloud");
    for (size_t i = 0; i < 20; i++)
        cloud_settle(rig, i, 0);
    cloud_settle(rig, 30, 0); /* acknowledged behind one that is not: comes again */
    streams_rig_restart(rig);
    cloud_forget(rig);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), 80);
    cloud_check(rig, 0, 20, 80);
}

TEST(numbers_go_on_after_a_restart)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 0, 10);
    streams_rig_restart(rig);
    streams_rig_append(rig, "s", 10, 10);
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), 20);
    cloud_check(rig, 0, 0, 20);
    CHECK_INT(streams_rig_number(rig, "s", "next"), 20);
}

TEST(a_status_that_was_said_before_the_streams_began_is_heard)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    streams_rig_stop(rig);
    cloud_is_up(rig, "cloud");
    streams_rig_start(rig);
    rig_turn(rig->house);
    CHECK_INT((int64_t)cloud_count(rig), 10);
}

TEST(a_stream_that_gets_an_uplink_later_sends_all_it_has)
{
    const struct stream_options local[] = {{.name = "s"}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    streams_rig_stop(rig);
    rig->options[0].uplink = "cloud";
    streams_rig_start(rig);
    cloud_is_up(rig, "cloud");
    cloud_check(rig, 0, 0, 10);
}

TEST(a_log_that_is_shorter_than_the_cursor_is_another_log_and_is_sent_whole)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    streams_rig_stop(rig);
    set_stored(rig, 500);
    streams_rig_start(rig);
    CHECK(strstr(rig->warnings, "stream s: uplink cloud is at record 500, but the log ends at 10"));
    CHECK_INT(stored(rig),
              0); /* before anything grows: a crash now must not find 500 again when there are 600 */
    cloud_is_up(rig, "cloud");
    cloud_check(rig, 0, 0, 10);
}

TEST(a_cursor_of_another_log_releases_nothing)
{
    const struct stream_options options[] = {
        {.name = "s", .uplink = "cloud", .segment_bytes = 4096, .max_bytes = 16384, .keep = true}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 150);
    unsigned files = segments(rig);
    streams_rig_stop(rig);
    set_stored(rig, 100000);
    streams_rig_start(rig);
    for (int settled = 0; settled == 0;) {
        rig_publish_receipt(rig->house, "$gatehouse/streams/s/append", "0", &settled);
        rig_turn(rig->house);
    }
    CHECK(segments(rig) >= files);
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);
}

TEST(records_that_are_gone_before_they_were_sent_are_told)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(small, 1, NULL, 0);
    rig->width = WIDTH;
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 0, 400);
    rig_wait(rig->house, SAVE_AFTER);
    int64_t first = streams_rig_number(rig, "s", "first");
    CHECK(first > 1);
    streams_rig_stop(rig);
    set_stored(rig, 1);
    cloud_forget(rig);
    streams_rig_start(rig);
    cleanup_free char *told =
        str_printf("stream s: records 1 to %lld are gone; uplink cloud has not had them", (long long)first - 1);
    CHECK(strstr(rig->warnings, told));
    cloud_is_up(rig, "cloud");
    cloud_check(rig, 0, (unsigned)first, 400 - (unsigned)first);
}

/* ---- releasing --------------------------------------------------------------------------------------------------- */

TEST(files_go_when_their_records_are_acknowledged_and_the_cursor_is_stored)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(small, 1, NULL, 0);
    rig->width = WIDTH;
    streams_rig_append(rig, "s", 0, 400);
    unsigned files = segments(rig);
    CHECK(files >= 4);
    cloud_is_up(rig, "cloud");
    while (cloud_holds(rig))
        cloud_settle_all(rig, 0);
    CHECK_INT(segments(rig), files);
    rig_wait(rig->house, SAVE_AFTER);
    CHECK_INT(segments(rig), 1); /* the one that knows the next number */
    CHECK_INT(streams_rig_number(rig, "s", "next"), 400);
    streams_rig_restart(rig);
    CHECK_INT(streams_rig_number(rig, "s", "next"), 400);
}

TEST(what_is_not_acknowledged_is_never_released)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(small, 1, NULL, 0);
    rig->width = WIDTH;
    streams_rig_append(rig, "s", 0, 400);
    unsigned files = segments(rig);
    cloud_is_up(rig, "cloud");
    cloud_settle_all(rig, 0); /* the first window: less than the first file */
    rig_wait(rig->house, 10 * SAVE_AFTER);
    CHECK_INT(segments(rig), files);
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);
}

TEST(a_stream_that_keeps_gives_its_room_only_when_it_is_needed)
{
    const struct stream_options options[] = {
        {.name = "s", .uplink = "cloud", .segment_bytes = 4096, .max_bytes = 32768, .keep = true}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 0, 300);
    unsigned files = segments(rig);
    rig_wait(rig->house, 10 * SAVE_AFTER);
    CHECK_INT(segments(rig), files);
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);

    int settled = 0;
    unsigned count = 300;
    for (; settled == 0; count++) {
        rig_wait(rig->house, SAVE_AFTER);
        rig_publish_receipt(rig->house, "$gatehouse/streams/s/append", "1", &settled);
        rig_turn(rig->house);
        CHECK(count < 3000);
    }
    CHECK_INT(settled, FULL);                         /* the one that found it full keeps its message */
    CHECK(streams_rig_number(rig, "s", "first") > 0); /* and has made room */
    rig_publish_receipt(rig->house, "$gatehouse/streams/s/append", "1", &settled);
    rig_turn(rig->house);
    CHECK_INT(settled, 0);
}

TEST(a_stream_that_keeps_does_not_give_room_for_what_was_not_sent)
{
    const struct stream_options options[] = {
        {.name = "s", .uplink = "cloud", .segment_bytes = 4096, .max_bytes = 16384, .keep = true}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
    for (int settled = 0, tries = 0; tries < 5;) {
        rig_publish_receipt(rig->house, "$gatehouse/streams/s/append", "1", &settled);
        rig_turn(rig->house);
        tries += settled != 0;
    }
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);
}
