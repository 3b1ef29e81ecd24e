/* Damaged databases: what can be read is saved, the file is kept, and nobody is told that nothing was there. */
#include "store/store.h"

#include "base/json.h"
#include "base/log.h"
#include "rig/test.h"
#include "store/folder.h"
#include "store/store_salvage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, ROWS = 2000 };

static char logged[16384];

static void keep_log(enum log_level level, const char *line)
{
    (void)level;
    size_t len = strlen(logged);
    (void)snprintf(logged + len, sizeof logged - len, "%s\n", line);
}

struct rig {
    char *folder, *path;
    struct clock clock;
    struct loop *loop;
    struct store *store;
};

static void rig_init(struct rig *rig)
{
    *logged = '\0';
    log_capture(keep_log);
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

static int execute(struct store_db *db, void *sql)
{
    return store_execute(db, store_statement(db, sql));
}

static void run(struct rig *rig, const char *sql)
{
    CHECK_INT(store_run_now(rig->store, execute, (void *)sql), 0);
}

static int ask(struct store_db *db, void *sql)
{
    sqlite3_stmt *st = store_statement(db, sql);
    int r = store_step(db, st);
    return r < 0 ? r : sqlite3_column_int(st, 0);
}

static int number(struct rig *rig, const char *sql)
{
    return store_run_now(rig->store, ask, (void *)sql);
}

/* Some of everything that is kept. A row of `shadow` is a tenth of a page. */
static void fill(struct rig *rig)
{
    CHECK_INT(rig_open(rig), 0);
    run(rig, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
             "INSERT INTO shadow (thing, name, version, state, metadata) "
             "SELECT 'thing' || i, '', i, hex(zeroblob(200)), '' FROM n");
    run(rig, "INSERT INTO shadow_history (shadow, version, bytes, at_s, records) "
             "SELECT id, version, 4, 1, 'text' FROM shadow");
    run(rig, "INSERT INTO retained (topic, payload, properties, qos, born) "
             "SELECT 'topic/' || thing, zeroblob(300), x'', 1, 5 FROM shadow");
    run(rig, "INSERT INTO session (client_id, expiry_s) VALUES ('a', 1), ('b', 2), ('c', 3)");
    run(rig, "DELETE FROM session WHERE client_id = 'c'");
    rig->store = store_close(rig->store);
}

/* The number of a page of the table: from the first half of its leaves. */
static off_t page_of(struct rig *rig, const char *table, unsigned nth)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    CHECK_INT(sqlite3_open(rig->path, &db), SQLITE_OK);
    /* Debian's library has no dbstat everywhere: a leaf is found by what it has in it. */
    char sql[200];
    (void)snprintf(sql, sizeof sql, "SELECT rootpage FROM sqlite_schema WHERE name = '%s'", table);
    CHECK_INT(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_step(st), SQLITE_ROW);
    uint32_t root = (uint32_t)sqlite3_column_int(st, 0);
    (void)sqlite3_finalize(st);
    (void)sqlite3_close(db);
    /* The root is an interior page: its cells begin with the number of a child. */
    cleanup(fd_close_p) int fd = open(rig->path, O_RDONLY | O_CLOEXEC);
    uint8_t page[PAGE];
    CHECK_INT(pread(fd, page, PAGE, (off_t)(root - 1) * PAGE), PAGE);
    CHECK(page[0] == 5 || page[0] == 2);
    unsigned cell = (unsigned)page[12 + 2 * nth] << 8 | page[13 + 2 * nth];
    return (off_t)page[cell] << 24 | (off_t)page[cell + 1] << 16 | (off_t)page[cell + 2] << 8 |
           page[cell + 3];
}

static void damage(struct rig *rig, off_t page)
{
    uint8_t garbage[PAGE];
    memset(garbage, 0xA7, sizeof garbage);
    cleanup(fd_close_p) int fd = open(rig->path, O_WRONLY | O_CLOEXEC);
    CHECK_INT(pwrite(fd, garbage, PAGE, (page - 1) * PAGE), PAGE);
    store_suspect(rig->path); /* or the file would only be looked through after a crash */
}

/* A write that went to the wrong place. */
static void misplace(struct rig *rig, off_t from, off_t to)
{
    uint8_t page[PAGE];
    cleanup(fd_close_p) int fd = open(rig->path, O_RDWR | O_CLOEXEC);
    CHECK_INT(pread(fd, page, PAGE, (from - 1) * PAGE), PAGE);
    CHECK_INT(pwrite(fd, page, PAGE, (to - 1) * PAGE), PAGE);
    store_suspect(rig->path);
}

static void take_report(void *self, const char *report)
{
    char **ret = self;
    free(*ret);
    *ret = str_copy(report);
}

static int64_t number_in(const struct json *report, const char *table, const char *key)
{
    json_for_each (entry, json_get(report, "tables")) {
        int64_t value = -1;
        if (json_text_is(json_get(entry, "table"), table))
            return json_int(json_get(entry, key), 0, INT64_MAX, &value) ? value : -1;
    }
    return -2;
}

/* Opens it, which saves what there is, and checks the report against what is there. */
static void check_saved(struct rig *rig, const char *table, int64_t lost_max)
{
    CHECK_INT(rig_open(rig), 0);
    char *text = NULL;
    store_reports(rig->store, take_report, &text);
    CHECK(text != NULL);
    struct arena arena = {0};
    struct json *report;
    CHECK_INT(json_parse(&report, &arena, text, strlen(text), NULL), 0);
    int64_t there = number(rig, strcmp(table, "shadow") == 0 ? "SELECT count(*) FROM shadow NOT INDEXED"
                                                             : "SELECT count(*) FROM retained");
    int64_t lost = number_in(report, table, "lost");
    CHECK_INT(number_in(report, table, "saved"), there);
    CHECK(there < ROWS && there >= ROWS - lost_max);
    if (lost != -1)
        CHECK_INT(lost, ROWS - there);
    arena_done(&arena);
    free(text);
}

static bool is_kept(struct rig *rig)
{
    DIR *folder = opendir(rig->folder);
    bool found = false;
    for (struct dirent *entry; (entry = readdir(folder));) {
        const char *dot = strstr(entry->d_name, ".damaged-");
        found |= dot && !strstr(dot, ".json") && !strstr(dot, "-wal");
    }
    (void)closedir(folder);
    return found;
}

TEST(a_damaged_page_costs_its_own_rows_and_no_others)
{
    static const unsigned places[][3] = {{0, 0, 0}, {3, 3, 3}, {1, 5, 5}, {0, 7, 20}};
    for (size_t i = 0; i < array_size(places); i++) {
        struct rig rig;
        rig_init(&rig);
        fill(&rig);
        off_t pages[3];
        for (size_t k = 0; k < 3; k++)
            pages[k] = page_of(&rig, "shadow", places[i][k]);
        for (size_t k = 0; k < 3; k++)
            damage(&rig, pages[k]);
        check_saved(&rig, "shadow", 3 * 10);
        CHECK(is_kept(&rig));
        CHECK_INT(number(&rig, "SELECT count(*) FROM retained"), ROWS);
        CHECK_INT(number(&rig, "SELECT count(*) FROM session"), 2);
        CHECK_INT(number(&rig, "SELECT seq FROM sqlite_sequence WHERE name = 'session'"), 3);
        CHECK_INT(
            number(&rig, "SELECT count(*) FROM shadow_history WHERE shadow NOT IN (SELECT id FROM shadow)"),
            0);
        CHECK(strstr(logged, "was damaged") != NULL);
        rig_done(&rig);
    }
}

TEST(a_page_in_the_wrong_place_costs_the_rows_that_were_there_and_adds_none)
{
    static const struct {
        const char *from, *to;
        unsigned from_nth, to_nth;
    } places[] = {{"shadow", "shadow", 7, 2}, {"shadow", "shadow", 2, 7}, {"shadow_history", "shadow", 1, 3}};
    for (size_t i = 0; i < array_size(places); i++) {
        struct rig rig;
        rig_init(&rig);
        fill(&rig);
        misplace(&rig, page_of(&rig, places[i].from, places[i].from_nth),
                 page_of(&rig, places[i].to, places[i].to_nth));
        check_saved(&rig, "shadow", 10);
        CHECK_INT(number(&rig, "SELECT count(*) FROM shadow WHERE thing = 'thing' || id AND version = id AND "
                               "state = hex(zeroblob(200))"),
                  number(&rig, "SELECT count(*) FROM shadow NOT INDEXED"));
        rig_done(&rig);
    }
}

TEST(what_is_lost_is_named_when_an_index_knows_it)
{
    struct rig rig;
    rig_init(&rig);
    fill(&rig);
    damage(&rig, page_of(&rig, "shadow", 0));
    CHECK_INT(rig_open(&rig), 0);
    char *text = NULL;
    store_reports(rig.store, take_report, &text);
    CHECK(strstr(text, "\"keys\":[\"thing1\",") != NULL);
    CHECK(strstr(text, "\"table\":\"retained\",\"saved\":2000,\"lost\":0,\"keys\":[]") != NULL);
    free(text);
    rig_done(&rig);
}

TEST(a_table_without_row_numbers_is_read_from_both_ends)
{
    struct rig rig;
    rig_init(&rig);
    fill(&rig);
    damage(&rig, page_of(&rig, "retained", 4));
    check_saved(&rig, "retained", 300); /* a branch with its leaves */
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow"), ROWS);
    rig_done(&rig);
}

TEST(an_index_that_is_damaged_costs_nothing)
{
    struct rig rig;
    rig_init(&rig);
    fill(&rig);
    damage(&rig, page_of(&rig, "sqlite_autoindex_shadow_1", 2));
    CHECK_INT(rig_open(&rig), 0);
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow WHERE thing = 'thing77'"), 1);
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow NOT INDEXED"), ROWS);
    rig_done(&rig);
}

/* Page 1, or the first leaf below it. */
static off_t page_of_schema(struct rig *rig, bool leaf)
{
    uint8_t page[PAGE];
    cleanup(fd_close_p) int fd = open(rig->path, O_RDONLY | O_CLOEXEC);
    CHECK_INT(pread(fd, page, PAGE, 0), PAGE);
    CHECK_INT(page[100], 5);
    const uint8_t *cell = page + (page[112] << 8 | page[113]);
    return leaf ? (off_t)cell[2] << 8 | cell[3] : 1;
}

static void check_all_there(struct rig *rig)
{
    CHECK_INT(number(rig, "SELECT count(*) FROM shadow"), ROWS);
    CHECK_INT(number(rig, "SELECT count(*) FROM shadow_history"), ROWS);
    CHECK_INT(number(rig, "SELECT count(*) FROM retained"), ROWS);
    CHECK_INT(number(rig, "SELECT count(*) FROM session"), 2);
    CHECK_INT(number(rig, "SELECT seq FROM sqlite_sequence WHERE name = 'session'"), 3);
}

TEST(a_damaged_schema_costs_nothing_else)
{
    for (int leaf = 0; leaf < 2; leaf++) {
        struct rig rig;
        rig_init(&rig);
        fill(&rig);
        damage(&rig, page_of_schema(&rig, leaf));
        CHECK_INT(rig_open(&rig), 0);
        check_all_there(&rig);
        CHECK(is_kept(&rig));
        CHECK(strstr(logged, "was damaged") != NULL);
        cleanup_free char *copy = str_printf("%s.copy", rig.path);
        CHECK_INT(access(copy, F_OK), -1);
        rig_done(&rig);
    }
}

TEST(a_damaged_schema_with_a_log_costs_nothing_else)
{
    for (int leaf = 0; leaf < 2; leaf++) {
        struct rig rig;
        rig_init(&rig);
        fill(&rig);
        off_t page = page_of_schema(&rig, leaf);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            _exit(rig_open(&rig) == 0 &&
                          store_run_now(rig.store, execute,
                                        (void *)"UPDATE shadow SET version = 9999 WHERE id > 1900") == 0
                      ? 0
                      : 1);
        int status = -1;
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK_INT(status, 0);
        damage(&rig, page);
        CHECK_INT(rig_open(&rig), 0);
        check_all_there(&rig);
        CHECK_INT(number(&rig, "SELECT count(*) FROM shadow WHERE version = 9999"), 100);
        rig_done(&rig);
    }
}

TEST(of_a_file_that_is_cut_off_the_rest_is_saved)
{
    struct rig rig;
    struct stat st;
    rig_init(&rig);
    fill(&rig);
    CHECK_INT(stat(rig.path, &st), 0);
    CHECK_INT(truncate(rig.path, st.st_size / 3), 0);
    CHECK_INT(rig_open(&rig), 0);
    int there = number(&rig, "SELECT count(*) FROM shadow WHERE thing = 'thing' || id AND version = id");
    CHECK(there > ROWS / 10 && there < ROWS);
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow"), there);
    CHECK(is_kept(&rig));
    rig_done(&rig);
}

TEST(what_a_crash_left_in_the_log_is_saved_too)
{
    struct rig rig;
    rig_init(&rig);
    fill(&rig);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int ok = rig_open(&rig) == 0 &&
                 store_run_now(rig.store, execute,
                               (void *)"UPDATE shadow SET version = 9999 WHERE id > 1900") == 0;
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    damage(&rig, page_of(&rig, "shadow", 2));
    check_saved(&rig, "shadow", 10);
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow WHERE version = 9999"), 100);
    rig_done(&rig);
}

TEST(the_file_is_as_good_as_a_new_one_afterwards)
{
    struct rig rig;
    rig_init(&rig);
    fill(&rig);
    damage(&rig, page_of(&rig, "shadow", 1));
    CHECK_INT(rig_open(&rig), 0);
    run(&rig, "INSERT INTO shadow (thing, name, version, state, metadata) VALUES ('new', '', 1, '{}', '')");
    rig.store = store_close(rig.store);
    *logged = '\0';
    CHECK_INT(rig_open(&rig), 0);
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow WHERE thing = 'new'"), 1);
    CHECK_STR(logged, "");
    char *text = NULL; /* the damaged file is still there, so it is still told */
    store_reports(rig.store, take_report, &text);
    CHECK(text != NULL);
    free(text);
    rig_done(&rig);
}

TEST(a_power_cut_in_between_leaves_the_old_file_or_the_new_one)
{
    struct rig rig;
    rig_init(&rig);
    fill(&rig);
    cleanup_free char *salvaged = str_printf("%s.salvaged", rig.path);
    cleanup_free char *wal = str_printf("%s-wal", rig.path);
    /* As it is just behind the moment from which the new one counts: the damaged one with its log is still there. */
    CHECK_INT(rename(rig.path, salvaged), 0);
    for (int i = 0; i < 2; i++) {
        cleanup(fd_close_p) int fd = open(i ? wal : rig.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        CHECK_INT(write(fd, "damaged beyond recognition", 26), 26);
    }
    CHECK_INT(rig_open(&rig), 0);
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow"), ROWS);
    struct stat st;
    CHECK_INT(stat(salvaged, &st), -1);
    rig_done(&rig);
}

TEST(damage_that_is_met_while_running_is_a_fault_and_mended_by_the_next_start)
{
    struct rig rig;
    rig_init(&rig);
    fill(&rig);
    off_t page = page_of(&rig, "shadow", 5);
    CHECK_INT(rig_open(&rig), 0);
    damage(&rig, page);
    store_acquit(rig.path);
    int r = number(&rig, "SELECT sum(version) FROM shadow");
    CHECK_INT(r, -EUCLEAN);
    struct store_counters counters;
    store_counters(rig.store, &counters);
    CHECK(counters.damaged);
    CHECK_INT(number(&rig, "SELECT count(*) FROM session"), 2);
    rig.store = store_close(rig.store);
    check_saved(&rig, "shadow", 10);
    store_counters(rig.store, &counters);
    CHECK(!counters.damaged);
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow WHERE thing = 'thing1'"), 1);
    rig_done(&rig);
}

/* Is the state what fill() wrote? */
static bool is_whole(sqlite3_stmt *row)
{
    const char *state = (const char *)sqlite3_column_text(row, store_column(row, "state"));
    return store_column(row, "nothing") == -1 && strlen(state) == 400 && strspn(state, "0") == 400;
}

static const struct store_check shadow_check = {"shadow", is_whole};
static const struct store_check *const checks[] = {&shadow_check, NULL};

/* Overwrites the middle of the text in the page's second cell: for SQLite all is well. */
static void scribble(struct rig *rig, off_t page)
{
    uint8_t garbage[50], head[12];
    memset(garbage, 0xA7, sizeof garbage);
    cleanup(fd_close_p) int fd = open(rig->path, O_RDWR | O_CLOEXEC);
    CHECK_INT(pread(fd, head, sizeof head, (page - 1) * PAGE), sizeof head);
    off_t cell = (off_t)head[10] << 8 | head[11];
    CHECK_INT(pwrite(fd, garbage, sizeof garbage, (page - 1) * PAGE + cell + 200), sizeof garbage);
}

static int rig_open_checked(struct rig *rig)
{
    return store_open_checked(&rig->store, rig->loop, rig->path, WORKER_INLINE, checks);
}

TEST(a_row_with_garbage_in_a_text_is_not_saved_but_named_and_costs_no_other)
{
    struct rig rig;
    rig_init(&rig);
    fill(&rig);
    scribble(&rig, page_of(&rig, "shadow", 0));
    damage(&rig, page_of(&rig, "shadow", 3)); /* SQLite itself finds this one */
    CHECK_INT(rig_open_checked(&rig), 0);
    char *text = NULL;
    store_reports(rig.store, take_report, &text);
    CHECK(strstr(text, "\"keys\":[\"thing2\",") != NULL);
    free(text);
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow WHERE id < 5"), 3);
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow WHERE state <> hex(zeroblob(200))"), 0);
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow_history WHERE shadow = 2"), 0);
    rig_done(&rig);
}

TEST(garbage_that_only_the_owner_of_a_row_sees_is_looked_for_at_the_next_start)
{
    struct rig rig;
    struct store_counters counters;
    rig_init(&rig);
    fill(&rig);
    scribble(&rig, page_of(&rig, "shadow", 0));
    CHECK_INT(rig_open_checked(&rig),
              0); /* nobody has looked at that row yet, and a start does not look at rows */
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow"), ROWS);
    store_distrust(rig.store);
    store_distrust(rig.store);
    store_quiesce(rig.store);
    store_counters(rig.store, &counters);
    CHECK(counters.damaged);
    rig.store = store_close(rig.store);
    CHECK_INT(rig_open_checked(&rig), 0);
    CHECK(strstr(logged, "table shadow: what is in a row cannot be read") != NULL);
    CHECK(is_kept(&rig));
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow"), ROWS - 1);
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow WHERE id = 2"), 0);
    rig.store = store_close(rig.store);
    *logged = '\0';
    CHECK_INT(rig_open_checked(&rig), 0);
    CHECK_STR(logged, "");
    rig_done(&rig);
}

TEST(a_suspicion_that_is_unfounded_ends_with_the_next_start)
{
    struct rig rig;
    rig_init(&rig);
    fill(&rig);
    store_suspect(rig.path);
    CHECK_INT(rig_open_checked(&rig), 0);
    CHECK(!store_is_suspect(rig.path));
    CHECK(!is_kept(&rig));
    CHECK_INT(number(&rig, "SELECT count(*) FROM shadow"), ROWS);
    rig_done(&rig);
}

TEST(a_file_in_which_nothing_can_be_read_is_left_as_it_is)
{
    struct rig rig;
    rig_init(&rig);
    fill(&rig);
    struct stat before, after;
    CHECK_INT(stat(rig.path, &before), 0);
    for (off_t page = 2; page <= before.st_size / PAGE; page++)
        damage(&rig, page);
    CHECK_INT(rig_open(&rig), -EUCLEAN);
    CHECK(strstr(logged, "nothing was changed") != NULL);
    CHECK_INT(stat(rig.path, &after), 0);
    CHECK_INT(after.st_size, before.st_size);
    CHECK(!is_kept(&rig));
    rig_done(&rig);
}
