/* The store through its header: batches, items, faults, in both modes of the worker. */
#include "store/store.h"

#include "base/log.h"
#include "rig/test.h"
#include "store/folder.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

static int errors;

static void count_errors(enum log_level level, const char *line)
{
    (void)line;
    if (level == LOG_LEVEL_ERROR)
        errors++;
}

struct rig {
    char *folder, *path;
    struct clock clock;
    struct loop *loop;
    struct store *store;
    enum worker_mode mode;
};

static int create_table(struct store_db *db, void *arg)
{
    (void)arg;
    return store_execute(db,
                         store_statement(db, "CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY, v BLOB)"));
}

static void rig_open(struct rig *rig)
{
    CHECK_INT(store_open(&rig->store, rig->loop, rig->path, rig->mode), 0);
    CHECK_INT(store_run_now(rig->store, create_table, NULL), 0);
}

static void rig_init(struct rig *rig, enum worker_mode mode)
{
    errors = 0;
    log_capture(count_errors);
    *rig = (struct rig){.folder = folder_new(), .clock = {.by_hand = true}, .mode = mode};
    rig->path = str_printf("%s/state.db", rig->folder);
    CHECK_INT(loop_new(&rig->loop, &rig->clock), 0);
    rig_open(rig);
}

static void rig_done(struct rig *rig)
{
    rig->store = store_close(rig->store);
    rig->loop = loop_free(rig->loop);
    free(rig->path);
    folder_free(rig->folder);
    log_capture(NULL);
}

/* An item that writes one row, and then does what `then` says. */
enum then { SUCCEED, FAIL_ALONE, WRITE_TWICE, REFUSE, IGNORE_FAULTS, BREAK_SQL };
struct put {
    struct work work;
    int k;
    int size;
    enum then then;
    bool together;
    int done;
};

static int insert(struct store_db *db, int k, int size)
{
    sqlite3_stmt *s = store_statement(db, "INSERT INTO t VALUES (?, zeroblob(?))");
    sqlite3_bind_int(s, 1, k);
    sqlite3_bind_int(s, 2, size);
    return store_execute(db, s);
}

static void put_run(struct work *work, void *db)
{
    struct put *put = container_of(work, struct put, work);
    if (put->together)
        store_together(db);
    work->r = insert(db, put->k, put->size);
    switch (put->then) {
    case SUCCEED: break;
    case FAIL_ALONE: work->r = -EPERM; break;
    case WRITE_TWICE: work->r = insert(db, put->k, put->size); break;
    case REFUSE: work->r = 409; break;
    case IGNORE_FAULTS:
        (void)insert(db, put->k + 1, put->size);
        work->r = 0;
        break;
    case BREAK_SQL: work->r = store_step(db, store_statement(db, "SELEC 1")); break;
    }
}

static void put_done(struct work *work)
{
    container_of(work, struct put, work)->done++;
}

static struct put put_of(int k, enum then then)
{
    return (struct put){.work = {.run = put_run, .done = put_done}, .k = k, .size = 10, .then = then};
}

static int count_rows(struct store_db *db, void *arg)
{
    (void)arg;
    sqlite3_stmt *s = store_statement(db, "SELECT count(*) FROM t");
    int r = store_step(db, s);
    return r < 0 ? r : sqlite3_column_int(s, 0);
}

static int has_row(struct store_db *db, void *arg)
{
    sqlite3_stmt *s = store_statement(db, "SELECT 1 FROM t WHERE k = ?");
    sqlite3_bind_int(s, 1, *(int *)arg);
    return store_step(db, s);
}

static bool rig_has(struct rig *rig, int k)
{
    return store_run_now(rig->store, has_row, &k) == 1;
}

static uint64_t batches(struct rig *rig)
{
    struct store_counters counters;
    store_counters(rig->store, &counters);
    return counters.batches;
}

/* Turns until all are done. In a thread the results come when they come: the loop waits for them. */
static void rig_turn_until_done(struct rig *rig, struct put *puts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        while (!puts[i].done)
            CHECK(loop_turn(rig->loop, -1) >= 0);
}

static void check_writes_survive_reopening(enum worker_mode mode)
{
    struct rig rig;
    rig_init(&rig, mode);
    struct put put = put_of(7, SUCCEED);
    store_submit(rig.store, &put.work);
    rig_turn_until_done(&rig, &put, 1);
    CHECK_INT(put.work.r, 0);
    CHECK_INT(put.done, 1);

    rig.store = store_close(rig.store);
    rig_open(&rig);
    CHECK(rig_has(&rig, 7));
    CHECK_INT(errors, 0);
    rig_done(&rig);
}

TEST(what_was_done_with_0_is_there_after_reopening)
{
    check_writes_survive_reopening(WORKER_INLINE);
}

TEST(what_was_done_with_0_is_there_after_reopening_with_a_thread)
{
    check_writes_survive_reopening(WORKER_THREAD);
}

static void check_one_turn_is_one_commit(enum worker_mode mode)
{
    struct rig rig;
    rig_init(&rig, mode);
    struct put puts[50];
    uint64_t before = batches(&rig);
    for (int i = 0; i < 50; i++) {
        puts[i] = put_of(i, SUCCEED);
        store_submit(rig.store, &puts[i].work);
    }
    rig_turn_until_done(&rig, puts, 50);
    CHECK_INT(batches(&rig) - before, 1);
    CHECK_INT(store_run_now(rig.store, count_rows, NULL), 50);
    rig_done(&rig);
}

TEST(all_items_of_one_turn_share_one_commit)
{
    check_one_turn_is_one_commit(WORKER_INLINE);
}

TEST(all_items_of_one_turn_share_one_commit_with_a_thread)
{
    check_one_turn_is_one_commit(WORKER_THREAD);
}

TEST(an_item_that_fails_is_undone_alone)
{
    struct rig rig;
    rig_init(&rig, WORKER_INLINE);
    struct put puts[] = {put_of(1, SUCCEED), put_of(2, FAIL_ALONE), put_of(3, SUCCEED),
                         put_of(4, WRITE_TWICE), put_of(5, SUCCEED)};
    for (size_t i = 0; i < array_size(puts); i++)
        store_submit(rig.store, &puts[i].work);
    rig_turn_until_done(&rig, puts, array_size(puts));

    CHECK_INT(puts[0].work.r, 0);
    CHECK_INT(puts[1].work.r, -EPERM);
    CHECK_INT(puts[2].work.r, 0);
    CHECK_INT(puts[3].work.r, -EEXIST);
    CHECK_INT(puts[4].work.r, 0);
    CHECK(rig_has(&rig, 1) && !rig_has(&rig, 2) && rig_has(&rig, 3) && !rig_has(&rig, 4) && rig_has(&rig, 5));
    CHECK_INT(errors, 0); /* both are the item's own business */
    rig_done(&rig);
}

TEST(an_item_without_a_savepoint_that_fails_is_undone_alone_too)
{
    for (int which = 0; which < 32; which++) { /* every choice of those that have none */
        struct rig rig;
        rig_init(&rig, WORKER_INLINE);
        struct put puts[] = {put_of(1, SUCCEED), put_of(2, FAIL_ALONE), put_of(3, SUCCEED),
                             put_of(4, WRITE_TWICE), put_of(5, REFUSE)};
        uint64_t before = batches(&rig);
        for (int i = 0; i < 5; i++) {
            puts[i].together = which >> i & 1;
            store_submit(rig.store, &puts[i].work);
        }
        rig_turn_until_done(&rig, puts, array_size(puts));
        CHECK_INT(puts[0].work.r, 0);
        CHECK_INT(puts[1].work.r, -EPERM);
        CHECK_INT(puts[2].work.r, 0);
        CHECK_INT(puts[3].work.r, -EEXIST);
        CHECK_INT(puts[4].work.r, 409);
        CHECK(rig_has(&rig, 1) && !rig_has(&rig, 2) && rig_has(&rig, 3) && !rig_has(&rig, 4) &&
              rig_has(&rig, 5));
        CHECK_INT((int64_t)(batches(&rig) - before), 1 + 5); /* rig_has() is one each */
        CHECK_INT(errors, 0);
        rig_done(&rig);
    }
}

/* The size limit of a process stands for a full disk: write() fails with EFBIG. */
static void limit_file_size(rlim_t bytes)
{
    (void)signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit;
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void count_run(struct work *work, void *db)
{
    struct put *put = container_of(work, struct put, work);
    int n = count_rows(db, NULL);
    put->k = n;
    work->r = n < 0 ? n : 0;
}

TEST(who_only_reads_behind_a_transaction_that_is_lost_reads_what_was_committed)
{
    struct rig rig;
    rig_init(&rig, WORKER_INLINE);
    struct put first = put_of(1, SUCCEED);
    store_submit(rig.store, &first.work);
    rig_turn_until_done(&rig, &first, 1);
    struct put puts[] = {put_of(2, SUCCEED), put_of(3, SUCCEED), put_of(0, SUCCEED)};
    puts[1].size = 4 << 20;
    puts[2].work.run = count_run;
    limit_file_size(256 << 10);
    for (size_t i = 0; i < array_size(puts); i++)
        store_submit(rig.store, &puts[i].work);
    rig_turn_until_done(&rig, puts, array_size(puts));
    limit_file_size(RLIM_INFINITY);
    CHECK_INT(puts[1].work.r, -ENOSPC);
    CHECK_INT(puts[2].work.r, -ENOSPC); /* as all of the batch */
    CHECK_INT(puts[2].k, 1);
    rig_done(&rig);
}

TEST(a_refusal_keeps_what_the_item_wrote)
{
    struct rig rig;
    rig_init(&rig, WORKER_INLINE);
    struct put put = put_of(1, REFUSE);
    store_submit(rig.store, &put.work);
    rig_turn_until_done(&rig, &put, 1);
    CHECK_INT(put.work.r, 409);
    CHECK(rig_has(&rig, 1));
    rig_done(&rig);
}

TEST(a_failed_commit_is_the_fault_of_every_item_and_the_next_one_works)
{
    struct rig rig;
    rig_init(&rig, WORKER_INLINE);
    struct put puts[] = {put_of(1, SUCCEED), put_of(2, FAIL_ALONE), put_of(3, REFUSE)};
    store_fail_next_commit(rig.store, -EIO);
    for (size_t i = 0; i < array_size(puts); i++)
        store_submit(rig.store, &puts[i].work);
    rig_turn_until_done(&rig, puts, array_size(puts));
    CHECK_INT(puts[0].work.r, -EIO);
    CHECK_INT(puts[1].work.r, -EPERM);
    CHECK_INT(puts[2].work.r, -EIO);
    CHECK_INT(store_run_now(rig.store, count_rows, NULL), 0);

    struct put again = put_of(1, SUCCEED);
    store_submit(rig.store, &again.work);
    rig_turn_until_done(&rig, &again, 1);
    CHECK_INT(again.work.r, 0);
    CHECK(rig_has(&rig, 1));
    struct store_counters counters;
    store_counters(rig.store, &counters);
    CHECK_INT(counters.failures, 1);
    rig_done(&rig);
}

TEST(a_wrong_statement_is_a_fault_of_its_item_and_logged)
{
    struct rig rig;
    rig_init(&rig, WORKER_INLINE);
    struct put puts[] = {put_of(1, BREAK_SQL), put_of(2, SUCCEED)};
    store_submit(rig.store, &puts[0].work);
    store_submit(rig.store, &puts[1].work);
    rig_turn_until_done(&rig, puts, 2);
    CHECK_INT(puts[0].work.r, -EINVAL);
    CHECK_INT(puts[1].work.r, 0);
    CHECK(!rig_has(&rig, 1) && rig_has(&rig, 2));
    CHECK_INT(errors, 1);
    rig_done(&rig);
}

static int leave_a_cursor_open(struct store_db *db, void *arg)
{
    (void)arg;
    sqlite3_stmt *s = store_statement(db, "SELECT k FROM t");
    return store_step(db, s) == 1 ? 0 : -EINVAL;
}

static int find_it_without_binding(struct store_db *db, void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        sqlite3_stmt *s = store_statement(db, "SELECT ?");
        int r = store_step(db, s);
        if (r != 1 || sqlite3_column_type(s, 0) != SQLITE_NULL)
            return -EINVAL;
        sqlite3_reset(s);
        sqlite3_bind_int(s, 1, 5);
        if (store_step(db, s) != 1 || sqlite3_column_int(s, 0) != 5)
            return -EINVAL;
    }
    return 0;
}

TEST(a_statement_is_handed_out_reset_and_without_bindings)
{
    struct rig rig;
    rig_init(&rig, WORKER_INLINE);
    CHECK_INT(store_run_now(rig.store, find_it_without_binding, NULL), 0);
    rig_done(&rig);
}

TEST(a_cursor_left_open_does_not_outlive_its_item)
{
    struct rig rig;
    rig_init(&rig, WORKER_INLINE);
    struct put puts[] = {put_of(1, SUCCEED), put_of(2, SUCCEED), put_of(3, SUCCEED)};
    store_submit(rig.store, &puts[0].work);
    store_submit(rig.store, &puts[1].work);
    rig_turn_until_done(&rig, puts, 2);
    CHECK_INT(store_run_now(rig.store, leave_a_cursor_open, NULL), 0);
    store_submit(rig.store, &puts[2].work);
    rig_turn_until_done(&rig, &puts[2], 1);
    CHECK_INT(puts[2].work.r, 0);
    rig.store = store_close(rig.store);

    cleanup_free char *wal = str_printf("%s-wal", rig.path);
    struct stat st;
    CHECK_INT(stat(wal, &st), -1); /* a snapshot still held would have kept it */
    rig_open(&rig);
    CHECK_INT(store_run_now(rig.store, count_rows, NULL), 3);
    rig_done(&rig);
}

static void check_full_disk(enum worker_mode mode, enum then then, bool together)
{
    struct rig rig;
    rig_init(&rig, mode);
    struct put small = put_of(1, SUCCEED);
    store_submit(rig.store, &small.work);
    rig_turn_until_done(&rig, &small, 1);

    /* The middle one is larger than the page cache, so SQLite meets the end of the disk inside the item's run. */
    struct put puts[] = {put_of(10, SUCCEED), put_of(11, then), put_of(13, SUCCEED)};
    puts[1].size = 4 << 20;
    limit_file_size(256 << 10);
    for (size_t i = 0; i < array_size(puts); i++) {
        puts[i].together = together;
        store_submit(rig.store, &puts[i].work);
    }
    rig_turn_until_done(&rig, puts, array_size(puts));
    for (size_t i = 0; i < array_size(puts); i++)
        CHECK_INT(puts[i].work.r, -ENOSPC);
    CHECK_INT(store_run_now(rig.store, count_rows, NULL), 1);
    CHECK_INT(errors, 1);

    limit_file_size(RLIM_INFINITY);
    for (size_t i = 0; i < array_size(puts); i++) {
        puts[i].done = 0;
        puts[i].then = SUCCEED;
        store_submit(rig.store, &puts[i].work);
    }
    rig_turn_until_done(&rig, puts, array_size(puts));
    for (size_t i = 0; i < array_size(puts); i++)
        CHECK_INT(puts[i].work.r, 0);
    CHECK_INT(store_run_now(rig.store, count_rows, NULL), 4);
    rig_done(&rig);
}

TEST(a_full_disk_fails_the_whole_batch_and_works_again_with_space)
{
    check_full_disk(WORKER_INLINE, SUCCEED, false);
    check_full_disk(WORKER_INLINE, SUCCEED, true);
}

TEST(a_full_disk_fails_the_whole_batch_and_works_again_with_space_with_a_thread)
{
    check_full_disk(WORKER_THREAD, SUCCEED, false);
}

TEST(an_item_that_overlooks_the_loss_of_its_transaction_does_not_write_outside_of_it)
{
    check_full_disk(WORKER_INLINE, IGNORE_FAULTS, false);
    check_full_disk(WORKER_INLINE, IGNORE_FAULTS, true);
}

TEST(a_small_batch_that_meets_a_full_disk_at_its_commit_fails_whole)
{
    struct rig rig;
    rig_init(&rig, WORKER_INLINE);
    struct put puts[] = {put_of(1, SUCCEED), put_of(2, SUCCEED)};
    limit_file_size(4096);
    for (size_t i = 0; i < array_size(puts); i++)
        store_submit(rig.store, &puts[i].work);
    rig_turn_until_done(&rig, puts, array_size(puts));
    limit_file_size(RLIM_INFINITY);
    CHECK_INT(puts[0].work.r, -ENOSPC);
    CHECK_INT(puts[1].work.r, -ENOSPC);
    CHECK_INT(store_run_now(rig.store, count_rows, NULL), 0);
    struct put again = put_of(1, SUCCEED);
    store_submit(rig.store, &again.work);
    rig_turn_until_done(&rig, &again, 1);
    CHECK_INT(again.work.r, 0);
    rig_done(&rig);
}

TEST(the_write_ahead_log_does_not_grow_without_end)
{
    struct rig rig;
    rig_init(&rig, WORKER_THREAD);
    for (int round = 0; round < 60; round++) {
        struct put put = put_of(round, SUCCEED);
        put.size = 512 << 10;
        store_submit(rig.store, &put.work);
        rig_turn_until_done(&rig, &put, 1);
        CHECK_INT(put.work.r, 0);
    }
    cleanup_free char *wal = str_printf("%s-wal", rig.path);
    struct stat st;
    CHECK_INT(stat(wal, &st), 0);
    CHECK(st.st_size < 20 << 20); /* 30 MiB were written */
    rig_done(&rig);
}
