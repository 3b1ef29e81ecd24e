/* Acknowledged means kept: a process updates shadows and is killed at some moment, again and again, on the same file. No
 * shadow is older than what was acknowledged, and each is one that was made as a whole. */
#include "bus/bus.h"
#include "rig/test.h"
#include "services/shadow/shadow.h"
#include "store/folder.h"
#include "store/store.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 20, THINGS = 6, UNDER_WAY = 3 /* updates of one shadow at once */ };

struct house {
    struct loop *loop;
    struct store *store;
    struct bus *bus;
    struct shadow *shadow;
    int pipe;
    uint64_t asked[THINGS]; /* number of the last update */
};

struct update {
    struct receipt receipt;
    struct house *house;
    int thing;
    uint64_t number;
};

static bool house_open(struct house *house, const char *path, enum worker_mode mode)
{
    return loop_new(&house->loop, NULL) == 0 && store_open(&house->store, house->loop, path, mode) == 0 &&
           bus_new(&house->bus, house->loop, &(struct bus_options){.store = house->store}) == 0 &&
           shadow_new(&house->shadow, house->bus, house->store, &(struct shadow_options){0}) == 0;
}

/* Two members that are always equal, so that a half of an update would be seen. */
static void update_next(struct update *update)
{
    char topic[60], payload[200];
    unsigned long long number = update->number = ++update->house->asked[update->thing];
    (void)snprintf(topic, sizeof topic, "$aws/things/%d/shadow/update", update->thing);
    (void)snprintf(payload, sizeof payload,
                   "{\"state\":{\"desired\":{\"n\":%llu},\"reported\":{\"n\":%llu}}}", number, number);
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), payload, strlen(payload));
    bus_publish(update->house->bus, msg, &update->receipt);
}

struct acknowledged {
    int thing;
    uint64_t number;
};

static void on_settled(struct receipt *receipt, int r)
{
    struct update *update = container_of(receipt, struct update, receipt);
    struct acknowledged note = {.thing = update->thing, .number = update->number};
    if (r != 0 || write(update->house->pipe, &note, sizeof note) != sizeof note)
        _exit(2);
    receipt_init(&update->receipt, on_settled);
    update_next(update);
}

static void run_child(const char *path, const uint64_t *known, int pipe)
{
    static struct house house;
    static struct update updates[THINGS * UNDER_WAY];
    house.pipe = pipe;
    memcpy(house.asked, known, sizeof house.asked);
    if (!house_open(&house, path, WORKER_THREAD))
        _exit(1);
    for (int i = 0; i < THINGS * UNDER_WAY; i++) {
        updates[i] = (struct update){.house = &house, .thing = i % THINGS};
        receipt_init(&updates[i].receipt, on_settled);
        update_next(&updates[i]);
    }
    for (;;)
        if (loop_turn(house.loop, -1) < 0)
            _exit(3);
}

struct row {
    int thing;
    uint64_t version;
    uint64_t desired, reported;
};

static int read_row(struct store_db *db, void *arg)
{
    struct row *row = arg;
    char thing[12];
    (void)snprintf(thing, sizeof thing, "%d", row->thing);
    sqlite3_stmt *st = store_statement(db, "SELECT version, json_extract(state, '$.desired.n'), "
                                           "json_extract(state, '$.reported.n') "
                                           "FROM shadow WHERE thing = ?1 AND name = ''");
    sqlite3_bind_text(st, 1, thing, -1, SQLITE_STATIC);
    int r = store_step(db, st);
    if (r <= 0)
        return r;
    row->version = (uint64_t)sqlite3_column_int64(st, 0);
    row->desired = (uint64_t)sqlite3_column_int64(st, 1);
    row->reported = (uint64_t)sqlite3_column_int64(st, 2);
    return 0;
}

/* Reads what is acknowledged until there are `wanted` of them, or to the end. */
static size_t read_notes(int from, uint64_t *acknowledged, size_t wanted)
{
    struct acknowledged note;
    size_t n = 0;
    for (; n < wanted && read(from, &note, sizeof note) == sizeof note; n++)
        if (note.number > acknowledged[note.thing])
            acknowledged[note.thing] = note.number;
    return n;
}

/* The version counts updates, so it is the number of the last one. */
static void check_file(const char *path, const uint64_t *acknowledged, uint64_t *known)
{
    struct loop *loop;
    struct store *store;
    CHECK_INT(loop_new(&loop, NULL), 0);
    CHECK_INT(store_open(&store, loop, path, WORKER_INLINE), 0);
    for (int thing = 0; thing < THINGS; thing++) {
        struct row row = {.thing = thing};
        CHECK_INT(store_run_now(store, read_row, &row), 0);
        CHECK(row.version >= acknowledged[thing]);
        CHECK_INT((int64_t)row.desired, (int64_t)row.version);
        CHECK_INT((int64_t)row.reported, (int64_t)row.version);
        known[thing] = row.version;
    }
    store = store_close(store);
    loop = loop_free(loop);
}

TEST(whatever_was_acknowledged_is_kept_when_the_process_is_killed_at_any_moment)
{
    cleanup(folder_free_p) char *folder = folder_new();
    cleanup_free char *path = str_printf("%s/state.db", folder);
    unsigned seed = 99;
    uint64_t known[THINGS] = {0}, acknowledged[THINGS] = {0};
    size_t total = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2];
        CHECK_INT(pipe(ends), 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            (void)close(ends[0]);
            run_child(path, known, ends[1]);
        }
        (void)close(ends[1]);
        total += read_notes(ends[0], acknowledged, (size_t)rand_r(&seed) % 200);
        CHECK_INT(kill(pid, SIGKILL), 0);
        total += read_notes(ends[0], acknowledged, SIZE_MAX);
        (void)close(ends[0]);
        CHECK_INT(waitpid(pid, NULL, 0), pid);
        check_file(path, acknowledged, known);
    }
    CHECK(total > ROUNDS * 20);
}
