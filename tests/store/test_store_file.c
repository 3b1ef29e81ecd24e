/* Opening state.db: what is there, what is wrong with it, which schema it has. */
#include "base/log.h"
#include "rig/test.h"
#include "store/folder.h"
#include "store/migration.h"
#include "store/store.h"
#include "store/store_new.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char last_error[2048];

static void keep_last_error(enum log_level level, const char *line)
{
    if (level == LOG_LEVEL_ERROR)
        (void)snprintf(last_error, sizeof last_error, "%s", line);
}

struct rig {
    char *folder, *path;
    struct clock clock;
    struct loop *loop;
    struct store *store;
};

static void rig_init(struct rig *rig)
{
    last_error[0] = '\0';
    log_capture(keep_last_error);
    *rig = (struct rig){.folder = folder_new(), .clock = {.by_hand = true}};
    rig->path = str_printf("%s/state.db", rig->folder);
    CHECK_INT(loop_new(&rig->loop, &rig->clock), 0);
}

static int rig_open(struct rig *rig)
{
    return store_open(&rig->store, rig->loop, rig->path, WORKER_INLINE);
}

static void rig_done(struct rig *rig)
{
    rig->store = store_close(rig->store);
    rig->loop = loop_free(rig->loop);
    free(rig->path);
    folder_free(rig->folder);
    log_capture(NULL);
}

#define CHECK_LOGGED(text)                                                                                   \
    do {                                                                                                     \
        if (!strstr(last_error, text))                                                                       \
            FAIL("the log says \"%s\", not \"%s\"", last_error, text);                                       \
    } while (0)

static int fill(struct store_db *db, void *arg)
{
    int r = store_execute(db, store_statement(db, "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)"));
    for (int i = 0; r == 0 && i < *(int *)arg; i++) {
        sqlite3_stmt *s = store_statement(db, "INSERT INTO t (v) VALUES (hex(zeroblob(1000)))");
        r = store_execute(db, s);
    }
    return r;
}

static int count_rows(struct store_db *db, void *arg)
{
    (void)arg;
    sqlite3_stmt *s = store_statement(db, "SELECT count(v) FROM t");
    int r = store_step(db, s);
    return r < 0 ? r : sqlite3_column_int(s, 0);
}

/* Writes rows in a process that dies without closing anything. */
static void fill_and_die(struct rig *rig, int rows)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int ok = rig_open(rig) == 0 && store_run_now(rig->store, fill, &rows) == 0;
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
}

static void overwrite(const char *path, off_t at, const char *text)
{
    cleanup(fd_close_p) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_INT(pwrite(fd, text, strlen(text), at), (ssize_t)strlen(text));
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 ? -1 : st.st_size;
}

TEST(a_new_file_is_for_its_owner_only)
{
    struct rig rig;
    rig_init(&rig);
    CHECK_INT(rig_open(&rig), 0);
    struct stat st;
    CHECK_INT(stat(rig.path, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    cleanup_free char *wal = str_printf("%s-wal", rig.path);
    CHECK_INT(stat(wal, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    rig_done(&rig);
}

TEST(a_clean_close_leaves_one_file)
{
    struct rig rig;
    rig_init(&rig);
    CHECK_INT(rig_open(&rig), 0);
    int rows = 10;
    CHECK_INT(store_run_now(rig.store, fill, &rows), 0);
    rig.store = store_close(rig.store);
    cleanup_free char *wal = str_printf("%s-wal", rig.path);
    CHECK_INT(size_of(wal), -1);
    CHECK_INT(rig_open(&rig), 0);
    CHECK_INT(store_run_now(rig.store, count_rows, NULL), 10);
    rig_done(&rig);
}

TEST(a_process_that_died_leaves_what_it_committed)
{
    struct rig rig;
    rig_init(&rig);
    fill_and_die(&rig, 50);
    cleanup_free char *wal = str_printf("%s-wal", rig.path);
    CHECK(size_of(wal) > 0);
    CHECK_INT(rig_open(&rig), 0);
    CHECK_INT(store_run_now(rig.store, count_rows, NULL), 50);
    rig_done(&rig);
}

TEST(a_missing_folder_is_named)
{
    struct rig rig;
    rig_init(&rig);
    free(rig.path);
    rig.path = str_printf("%s/not/there/state.db", rig.folder);
    CHECK_INT(rig_open(&rig), -ENOENT);
    CHECK_LOGGED("not/there/state.db");
    CHECK_LOGGED("state directory must exist");
    rig_done(&rig);
}

TEST(a_file_that_may_not_be_read_is_refused_with_advice)
{
    struct rig rig;
    rig_init(&rig);
    if (geteuid() == 0) {
        rig_done(&rig);
        SKIP("root may read everything");
    }
    overwrite(rig.path, 0, "");
    CHECK_INT(chmod(rig.path, 0), 0);
    CHECK_INT(rig_open(&rig), -EACCES);
    CHECK_LOGGED("must belong to the user");
    rig_done(&rig);
}

TEST(a_second_process_is_refused)
{
    struct rig rig;
    rig_init(&rig);
    CHECK_INT(rig_open(&rig), 0);
    struct store *second;
    CHECK_INT(store_open(&second, rig.loop, rig.path, WORKER_INLINE), -EBUSY);
    CHECK_LOGGED("in use by another");
    int rows = 1; /* and the first one has kept its locks */
    CHECK_INT(store_run_now(rig.store, fill, &rows), 0);
    rig_done(&rig);
}

TEST(a_file_of_another_kind_is_damaged_and_left_as_it_is)
{
    struct rig rig;
    rig_init(&rig);
    overwrite(rig.path, 0,
              "this is a letter to my aunt, who would be very sorry if somebody wrote into it. "
              "It is longer than a page head.");
    off_t before = size_of(rig.path);
    CHECK_INT(rig_open(&rig), -EUCLEAN);
    CHECK_LOGGED("not an SQLite database");
    CHECK_INT(size_of(rig.path), before);
    rig_done(&rig);
}

TEST(a_truncated_file_is_noticed_at_once)
{
    struct rig rig;
    rig_init(&rig);
    CHECK_INT(rig_open(&rig), 0);
    int rows = 100;
    CHECK_INT(store_run_now(rig.store, fill, &rows), 0);
    rig.store = store_close(rig.store);
    off_t half = (size_of(rig.path) - 30 * 4096) & ~4095;
    CHECK_INT(truncate(rig.path, half), 0);
    CHECK_INT(rig_open(&rig), 0);
    CHECK_LOGGED("was damaged");
    int saved = store_run_now(rig.store, count_rows, NULL);
    CHECK(saved > 20 && saved < 100);
    rig_done(&rig);
}

TEST(damage_found_after_a_crash_changes_neither_the_file_nor_its_log)
{
    struct rig rig;
    rig_init(&rig);
    CHECK_INT(rig_open(&rig), 0);
    int rows = 100;
    CHECK_INT(store_run_now(rig.store, fill, &rows), 0);
    rig.store = store_close(rig.store);
    cleanup_free char *wal = str_printf("%s-wal", rig.path);
    for (off_t at = 8192; at < size_of(rig.path); at += 4096)
        overwrite(rig.path, at, "\x7f garbage garbage garbage");
    overwrite(wal, 0, "a log that was left behind by a crash, longer than its head of thirty-two bytes");
    off_t before = size_of(rig.path), wal_before = size_of(wal);
    CHECK_INT(rig_open(&rig), -EUCLEAN);
    CHECK_LOGGED("is damaged");
    CHECK_INT(size_of(rig.path), before);
    CHECK_INT(size_of(wal), wal_before);
    rig_done(&rig);
}

TEST(an_empty_file_beside_a_log_with_data_is_damage_not_a_new_database)
{
    struct rig rig;
    rig_init(&rig);
    fill_and_die(&rig, 50);
    cleanup_free char *wal = str_printf("%s-wal", rig.path);
    off_t before = size_of(wal);
    CHECK_INT(truncate(rig.path, 0), 0);
    CHECK_INT(rig_open(&rig), -EUCLEAN);
    CHECK_INT(size_of(wal), before);
    rig_done(&rig);
}

TEST(a_log_with_data_whose_file_is_gone_is_damage_not_a_new_database)
{
    struct rig rig;
    rig_init(&rig);
    fill_and_die(&rig, 50);
    cleanup_free char *wal = str_printf("%s-wal", rig.path);
    off_t before = size_of(wal);
    CHECK_INT(unlink(rig.path), 0);
    CHECK_INT(rig_open(&rig), -EUCLEAN);
    CHECK_LOGGED("it is gone, but there is a WAL with data");
    CHECK_INT(size_of(wal), before);
    CHECK_INT(size_of(rig.path), -1);
    rig_done(&rig);
}

TEST(a_start_that_was_cut_short_is_not_in_the_way)
{
    struct rig rig;
    rig_init(&rig);
    cleanup_free char *beside = str_printf("%s.new", rig.path);
    overwrite(beside, 0, "half a database");
    CHECK_INT(rig_open(&rig), 0);
    CHECK_INT(size_of(beside), -1);
    int rows = 1;
    CHECK_INT(store_run_now(rig.store, fill, &rows), 0);
    rig_done(&rig);

    rig_init(&rig);
    overwrite(rig.path, 0, ""); /* there, but nothing of it had reached the disk when the power went */
    CHECK_INT(rig_open(&rig), 0);
    CHECK_INT(store_run_now(rig.store, fill, &rows), 0);
    rig_done(&rig);
}

/* ---- schema ------------------------------------------------------------------------------------------------------ */

static const struct migration base = {
    1, "0001-migration.sql",
    "CREATE TABLE migration (number INTEGER PRIMARY KEY, name TEXT, applied INTEGER);"};

static sqlite3 *database(void)
{
    sqlite3 *sqlite = NULL;
    CHECK_INT(sqlite3_open(":memory:", &sqlite), SQLITE_OK);
    last_error[0] = '\0';
    log_capture(keep_last_error);
    return sqlite;
}

static int64_t value(sqlite3 *sqlite, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int64_t v = -1;
    if (sqlite3_prepare_v2(sqlite, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        v = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return v;
}

TEST(the_embedded_steps_begin_with_1_and_rise)
{
    CHECK(migrations_count >= 1);
    CHECK_INT(migrations[0].number, 1);
    for (size_t i = 1; i < migrations_count; i++)
        CHECK(migrations[i].number > migrations[i - 1].number);
}

/* Page by page, but for the times. */
static void check_alike(const char *one, const char *other)
{
    cleanup_free char *attach = str_printf("ATTACH '%s' AS one; ATTACH '%s' AS other", one, other);
    sqlite3 *sqlite = database();
    CHECK_INT(sqlite3_exec(sqlite, attach, NULL, NULL, NULL), SQLITE_OK);
    static const char *const both[] = {"one", "other", "one"};
    for (int i = 0; i < 2; i++) {
        cleanup_free char *schema = str_printf(
            "SELECT count(*) FROM (SELECT type, name, tbl_name, rootpage, sql FROM %s.sqlite_schema EXCEPT "
            "SELECT type, name, tbl_name, rootpage, sql FROM %s.sqlite_schema)",
            both[i], both[i + 1]);
        CHECK_INT(value(sqlite, schema), 0);
        cleanup_free char *steps =
            str_printf("SELECT count(*) FROM (SELECT number, name FROM %s.migration EXCEPT "
                       "SELECT number, name FROM %s.migration)",
                       both[i], both[i + 1]);
        CHECK_INT(value(sqlite, steps), 0);
    }
    CHECK_INT(value(sqlite, "SELECT count(*) FROM one.migration"), (int64_t)migrations_count);
    sqlite3_close(sqlite);
    CHECK_INT(size_of(one), size_of(other));
}

TEST(what_was_built_is_what_the_steps_make)
{
    struct rig rig;
    rig_init(&rig);
    cleanup_free char *made = str_printf("%s.made", rig.path);
    CHECK(store_image.size > 0);
    CHECK_INT(store_new(rig.path), 0);
    overwrite(made, 0, ""); /* where none could be built */
    CHECK_INT(store_build(made), 0);
    check_alike(rig.path, made);
    CHECK_INT(rig_open(&rig), 0);
    int rows = 1;
    CHECK_INT(store_run_now(rig.store, fill, &rows), 0);
    rig_done(&rig);
}

TEST(steps_are_applied_in_order_and_once)
{
    sqlite3 *sqlite = database();
    const struct migration list[] = {
        base,
        {2, "0002-a.sql", "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);"},
        {7, "0007-b.sql", "UPDATE a SET x = x * 10;"}, /* fails before 2 */
        {8, "0008-c.sql", "UPDATE a SET x = x + 1;"},
    };
    CHECK_INT(migrations_apply(sqlite, "db", list, 4), 0);
    CHECK_INT(migrations_apply(sqlite, "db", list, 4), 0);
    CHECK_INT(value(sqlite, "SELECT x FROM a"), 11);
    CHECK_INT(value(sqlite, "SELECT count(*) FROM migration"), 4);
    sqlite3_close(sqlite);
}

TEST(a_step_that_fails_is_undone_and_those_before_it_stay)
{
    sqlite3 *sqlite = database();
    const struct migration list[] = {
        base,
        {2, "0002-a.sql", "CREATE TABLE a (x INTEGER);"},
        {3, "0003-bad.sql", "CREATE TABLE b (x INTEGER); CREATE TABLE a (x INTEGER);"},
        {4, "0004-c.sql", "CREATE TABLE c (x INTEGER);"},
    };
    CHECK_INT(migrations_apply(sqlite, "db", list, 4), -EINVAL);
    CHECK_LOGGED("0003-bad.sql");
    CHECK_INT(value(sqlite, "SELECT count(*) FROM sqlite_schema WHERE name IN ('b', 'c')"), 0);
    CHECK_INT(value(sqlite, "SELECT max(number) FROM migration"), 2);
    CHECK_INT(sqlite3_get_autocommit(sqlite), 1);
    sqlite3_close(sqlite);
}

static int become_newer(struct store_db *db, void *arg)
{
    (void)arg;
    return store_execute(db,
                         store_statement(db, "INSERT INTO migration VALUES (9999, '9999-future.sql', 0)"));
}

TEST(a_newer_schema_is_left_alone)
{
    struct rig rig;
    rig_init(&rig);
    CHECK_INT(rig_open(&rig), 0);
    CHECK_INT(store_run_now(rig.store, become_newer, NULL), 0);
    rig.store = store_close(rig.store);
    CHECK_INT(rig_open(&rig), -EPROTONOSUPPORT);
    CHECK_LOGGED("9999-future.sql");
    CHECK_LOGGED("newer");
    rig_done(&rig);
}
