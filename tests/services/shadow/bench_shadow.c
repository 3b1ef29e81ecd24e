/* What durable shadow updates cost, over a bare SQLite loop that writes the same rows with the same setting. Not a test.
 *
 *      bench_shadow FOLDER [UPDATES]
 *
 * So many updates are in flight, each to a shadow of its own; when one is acknowledged the next is published for the same
 * shadow. The bare loop writes as many rows in a transaction. Both have WAL and synchronous=FULL, both files have the rows
 * before the clock starts, and CPU is this process's, all threads. Nobody subscribes to the answers, but they are
 * composed and published.
 *
 * The last column says how many updates shared a commit: were it lower for the service, its line would be the dearer one
 * for that reason alone.
 */
#include "bus/bus.h"
#include "services/shadow/shadow.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { IN_FLIGHT_MAX = 1000, COMMITS_MAX = 2000, DOCUMENT_MAX = 2048 };

struct measure {
    double wall, cpu;
};

static double seconds(const struct timespec *t)
{
    return (double)t->tv_sec + (double)t->tv_nsec / 1e9;
}

static struct measure now(void)
{
    struct timespec wall, cpu;
    (void)clock_gettime(CLOCK_MONOTONIC, &wall);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (struct measure){seconds(&wall), seconds(&cpu)};
}

static void print(const char *what, size_t in_flight, size_t n, struct measure from, uint64_t syncs)
{
    struct measure to = now();
    printf("%-8s %9zu %12.0f %12.2f %10.1f\n", what, in_flight, (double)n / (to.wall - from.wall),
           (to.cpu - from.cpu) * 1e6 / (double)n, (double)n / (double)syncs);
    (void)fflush(stdout);
}

static void must(bool is_so, const char *what)
{
    if (is_so)
        return;
    (void)fprintf(stderr, "bench_shadow: %s\n", what);
    exit(1);
}

/* ---- the service -------------------------------------------------------------------------------------------------- */

struct house {
    struct loop *loop;
    struct store *store;
    struct bus *bus;
    struct shadow *shadow;
    size_t to_ask, unsettled;
};

struct slot {
    struct receipt receipt;
    struct house *house;
    size_t thing;
    unsigned number;
};

static int update_text(char *text, size_t size, unsigned number)
{
    return snprintf(
        text, size,
        "{\"state\":{\"reported\":{\"rpm\":%u,\"temp\":%u.%u,\"mode\":\"auto\",\"alarm\":false}}}",
        number % 3000, number % 90, number % 10);
}

static void on_settled(struct receipt *receipt, int r);

static void ask(struct slot *slot)
{
    char topic[64], payload[256];
    int topic_len = snprintf(topic, sizeof topic, "$aws/things/pump%zu/shadow/update", slot->thing);
    int len = update_text(payload, sizeof payload, slot->number++);
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, (size_t)topic_len, payload, (size_t)len);
    must(msg != NULL, "no memory");
    receipt_init(&slot->receipt, on_settled);
    slot->house->to_ask--;
    slot->house->unsettled++;
    bus_publish(slot->house->bus, msg, &slot->receipt);
}

static void on_settled(struct receipt *receipt, int r)
{
    struct slot *slot = container_of(receipt, struct slot, receipt);
    must(r == 0, "an update failed");
    slot->house->unsettled--;
    if (slot->house->to_ask)
        ask(slot);
}

static void run(struct house *house, struct slot *slots, size_t in_flight, size_t n)
{
    house->to_ask = n;
    for (size_t i = 0; i < in_flight && house->to_ask; i++)
        ask(&slots[i]);
    while (house->unsettled)
        must(loop_turn(house->loop, -1) >= 0, "the loop failed");
}

static uint64_t batches(const struct house *house)
{
    struct store_counters counters;
    store_counters(house->store, &counters);
    return counters.batches;
}

static void bench_service(const char *folder, size_t updates)
{
    static struct slot slots[IN_FLIGHT_MAX];
    struct house house = {0};
    cleanup_free char *path = str_printf("%s/bench-shadow.db", folder);
    (void)unlink(path);
    must(loop_new(&house.loop, NULL) == 0 && store_open(&house.store, house.loop, path, WORKER_THREAD) == 0 &&
             bus_new(&house.bus, house.loop, &(struct bus_options){.store = house.store}) == 0 &&
             shadow_new(&house.shadow, house.bus, house.store, &(struct shadow_options){0}) == 0,
         "the service cannot be opened");
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
        slots[i] = (struct slot){.house = &house, .thing = i, .number = (unsigned)i * 7};
    run(&house, slots, IN_FLIGHT_MAX, IN_FLIGHT_MAX); /* now they exist */
    for (size_t in_flight = 1; in_flight <= IN_FLIGHT_MAX; in_flight *= 10) {
        size_t n = size_min(updates, COMMITS_MAX * in_flight);
        uint64_t before = batches(&house);
        struct measure from = now();
        run(&house, slots, in_flight, n);
        print("service", in_flight, n, from, batches(&house) - before);
    }
    house.shadow = shadow_free(house.shadow);
    house.bus = bus_free(house.bus);
    house.store = store_close(house.store);
    house.loop = loop_free(house.loop);
    (void)unlink(path);
}

/* ---- the bare loop ------------------------------------------------------------------------------------------------ */

static void execute(sqlite3 *db, const char *sql)
{
    must(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, sqlite3_errmsg(db));
}

/* The service's table and rows, without what watches over them: checks, and the index of tombstones. */
static sqlite3_stmt *open_bare(sqlite3 **ret, const char *path)
{
    sqlite3 *db;
    must(sqlite3_open(path, &db) == SQLITE_OK, "sqlite3_open");
    execute(db,
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -1024;"
            "PRAGMA wal_autocheckpoint = 1000; PRAGMA secure_delete = OFF;"
            "CREATE TABLE shadow (id INTEGER PRIMARY KEY, thing TEXT NOT NULL, name TEXT NOT NULL, "
            "version INTEGER NOT NULL, state TEXT, metadata TEXT, deleted_s INTEGER, UNIQUE (thing, name));");
    sqlite3_stmt *st;
    must(sqlite3_prepare_v2(db,
                            "INSERT INTO shadow (thing, name, version, state, metadata) "
                            "VALUES (?1, '', ?2, ?3, ?4) ON CONFLICT (thing, name) DO UPDATE SET "
                            "version = ?2, state = ?3, metadata = ?4",
                            -1, &st, NULL) == SQLITE_OK,
         sqlite3_errmsg(db));
    *ret = db;
    return st;
}

static void write_rows(sqlite3 *db, sqlite3_stmt *st, size_t in_flight, size_t n)
{
    static unsigned number;
    for (size_t done = 0; done < n; done += in_flight) {
        execute(db, "BEGIN");
        for (size_t i = 0; i < in_flight && done + i < n; i++, number++) {
            char thing[32], state[256], metadata[256];
            int thing_len = snprintf(thing, sizeof thing, "pump%zu", i);
            int state_len =
                snprintf(state, sizeof state,
                         "{\"reported\":{\"rpm\":%u,\"temp\":%u.%u,\"mode\":\"auto\",\"alarm\":false}}",
                         number % 3000, number % 90, number % 10);
            int metadata_len =
                snprintf(metadata, sizeof metadata,
                         "{\"reported\":{\"rpm\":{\"timestamp\":%u},\"temp\":{\"timestamp\":%u},"
                         "\"mode\":{\"timestamp\":%u},\"alarm\":{\"timestamp\":%u}}}",
                         1760000000 + number, 1760000000 + number, 1760000000 + number, 1760000000 + number);
            (void)sqlite3_bind_text(st, 1, thing, thing_len, SQLITE_STATIC);
            (void)sqlite3_bind_int64(st, 2, number + 1);
            (void)sqlite3_bind_text(st, 3, state, state_len, SQLITE_STATIC);
            (void)sqlite3_bind_text(st, 4, metadata, metadata_len, SQLITE_STATIC);
            must(sqlite3_step(st) == SQLITE_DONE, sqlite3_errmsg(db));
            (void)sqlite3_reset(st);
        }
        execute(db, "COMMIT");
    }
}

static void bench_bare(const char *folder, size_t updates)
{
    cleanup_free char *path = str_printf("%s/bench-shadow-bare.db", folder);
    (void)unlink(path);
    sqlite3 *db;
    sqlite3_stmt *st = open_bare(&db, path);
    write_rows(db, st, IN_FLIGHT_MAX, IN_FLIGHT_MAX);
    for (size_t in_flight = 1; in_flight <= IN_FLIGHT_MAX; in_flight *= 10) {
        size_t n = size_min(updates, COMMITS_MAX * in_flight);
        struct measure from = now();
        write_rows(db, st, in_flight, n);
        print("bare", in_flight, n, from, (n + in_flight - 1) / in_flight);
    }
    (void)sqlite3_finalize(st);
    (void)sqlite3_close(db);
    (void)unlink(path);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: bench_shadow FOLDER [UPDATES]\n");
        return 2;
    }
    size_t updates = argc > 2 ? strtoul(argv[2], NULL, 10) : 100000;
    printf("%-8s %9s %12s %12s %10s\n", "", "in flight", "updates/s", "CPU us/upd", "upd/commit");
    bench_service(argv[1], updates);
    bench_bare(argv[1], updates);
    return 0;
}
