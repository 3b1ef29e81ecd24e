/* What durable shadow updates cost, beside a bare SQLite loop that writes the same rows with the same setting. Not a test.
 *
 *      bench_shadow updates FOLDER [ROUNDS [UPDATES]]     the table
 *      bench_shadow one FOLDER KIND IN_FLIGHT [UPDATES]   one line of it, for a profiler
 *      bench_shadow memory FOLDER [SHADOWS]               what a shadow in memory takes
 *      bench_shadow fill STATE.DB [SHADOWS]               a database of so many shadows, to start something with
 *
 * So many updates are in flight, each to a shadow of its own; when one is acknowledged the next is published for the same
 * shadow. The bare loop writes as many rows in a transaction. Both have WAL and synchronous=FULL, both files have the rows
 * and a full history before the clock starts, and CPU is this process's, all threads. The kinds take turns, and the medians
 * are printed: another program's noise falls on all of them.
 *
 *      heard     somebody hears all answers: delta, documents and accepted are composed and delivered
 *      unheard   nobody does: they are not composed
 *      bare      the same rows; documents: without the history's
 */
#include "bench_bare.h"
#include "bus/bus.h"
#include "services/shadow/shadow.h"
#include "store/store.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { IN_FLIGHT_MAX = 1000, COMMITS_MAX = 400, FULL_HISTORY = 130, ROUNDS_MAX = 99 };

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

void must(bool is_so, const char *what)
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
    struct subscriber listener;
    struct subscription listening;
    size_t heard;
    size_t to_ask, unsettled;
    const char *verb;
};

struct slot {
    struct receipt receipt;
    struct house *house;
    size_t thing;
    unsigned number;
};

static void house_open(struct house *house, const char *path, size_t cache_bytes)
{
    must(loop_new(&house->loop, NULL) == 0 &&
             store_open(&house->store, house->loop, path, WORKER_THREAD) == 0 &&
             bus_new(&house->bus, house->loop, &(struct bus_options){.store = house->store}) == 0 &&
             shadow_new(&house->shadow, house->bus, house->store,
                        &(struct shadow_options){.cache_bytes = cache_bytes}) == 0,
         "the service cannot be opened");
    house->verb = "update";
}

static void house_close(struct house *house)
{
    house->shadow = shadow_free(house->shadow);
    house->bus = bus_free(house->bus);
    house->store = store_close(house->store);
    house->loop = loop_free(house->loop);
}

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
    int topic_len =
        snprintf(topic, sizeof topic, "$aws/things/pump%zu/shadow/%s", slot->thing, slot->house->verb);
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

static void on_heard(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)msg, (void)delivery, (void)receipt;
    container_of(subscriber, struct house, listener)->heard++;
}

static void listen_to_all(struct house *house, bool listen)
{
    house->listener.deliver = on_heard;
    if (listen)
        bus_subscribe_to(house->bus, &house->listening, &house->listener, "$aws/things/+/shadow/update/+");
    else
        bus_unsubscribe(house->bus, &house->listening);
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

enum kind { HEARD, UNHEARD, BARE, DOCUMENTS, KINDS };
static const char *const kind_names[KINDS] = {"heard", "unheard", "bare", "documents"};

struct table {
    struct house house;
    struct slot slots[IN_FLIGHT_MAX];
    struct bare *bares[KINDS];
};

static struct measure measure_one(struct table *table, enum kind kind, size_t in_flight, size_t n)
{
    if (kind == HEARD)
        listen_to_all(&table->house, true);
    struct measure from = now();
    if (kind <= UNHEARD)
        run(&table->house, table->slots, in_flight, n);
    else
        bare_write(table->bares[kind], in_flight, n);
    struct measure to = now();
    if (kind == HEARD)
        listen_to_all(&table->house, false);
    return (struct measure){(to.wall - from.wall) / (double)n, (to.cpu - from.cpu) * 1e6 / (double)n};
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_size);
    return values[n / 2];
}

static void measure_row(struct table *table, size_t in_flight, size_t rounds, size_t updates)
{
    static double wall[KINDS][ROUNDS_MAX], cpu[KINDS][ROUNDS_MAX], share[KINDS][ROUNDS_MAX];
    size_t n = updates < COMMITS_MAX * in_flight ? updates : COMMITS_MAX * in_flight;
    for (size_t round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < KINDS; i++) {
            unsigned kind = (i + (unsigned)round) % KINDS;
            struct measure m = measure_one(table, kind, in_flight, n);
            wall[kind][round] = m.wall;
            cpu[kind][round] = m.cpu;
        }
        for (unsigned kind = 0; kind < KINDS; kind++)
            share[kind][round] = wall[BARE][round] / wall[kind][round];
    }
    for (unsigned kind = 0; kind < KINDS; kind++)
        printf("%-10s %9zu %12.0f %12.2f %11.0f%%\n", kind_names[kind], in_flight,
               1 / median(wall[kind], rounds), median(cpu[kind], rounds), 100 * median(share[kind], rounds));
    (void)fflush(stdout);
}

static const char *const file_names[] = {"shadow", "bare", "documents"};

static void table_open(struct table *table, char *const paths[3])
{
    (void)unlink(paths[0]);
    house_open(&table->house, paths[0], 0);
    table->bares[BARE] = bare_open(paths[1], true, IN_FLIGHT_MAX);
    table->bares[DOCUMENTS] = bare_open(paths[2], false, IN_FLIGHT_MAX);
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
        table->slots[i] = (struct slot){.house = &table->house, .thing = i, .number = (unsigned)i * 7};
}

static void table_close(struct table *table, char *const paths[3])
{
    house_close(&table->house);
    bare_close(table->bares[BARE], paths[1]);
    bare_close(table->bares[DOCUMENTS], paths[2]);
    (void)unlink(paths[0]);
}

static void measure_table(struct table *table, size_t rounds, size_t updates)
{
    run(&table->house, table->slots, IN_FLIGHT_MAX, IN_FLIGHT_MAX * FULL_HISTORY);
    bare_write(table->bares[BARE], IN_FLIGHT_MAX, IN_FLIGHT_MAX * FULL_HISTORY);
    bare_write(table->bares[DOCUMENTS], IN_FLIGHT_MAX, IN_FLIGHT_MAX);
    printf("%-10s %9s %12s %12s %12s\n", "", "in flight", "updates/s", "CPU us/upd", "of bare");
    for (size_t in_flight = 1; in_flight <= IN_FLIGHT_MAX; in_flight *= 10)
        measure_row(table, in_flight, rounds, updates);
}

static void measure_kind(struct table *table, const char *name, size_t in_flight, size_t updates)
{
    enum kind kind = HEARD;
    while (kind < KINDS && strcmp(kind_names[kind], name) != 0)
        kind++;
    must(kind < KINDS, "expected a kind: heard, unheard, bare or documents");
    struct measure m = measure_one(table, kind, in_flight, updates);
    printf("%-10s %9zu %12.0f %12.2f\n", kind_names[kind], in_flight, 1 / m.wall, m.cpu);
}

/* name: the only kind, in_flight of it; NULL: all */
static int bench_updates(const char *folder, const char *name, size_t number, size_t updates)
{
    static struct table table;
    char *paths[array_size(file_names)];
    for (size_t i = 0; i < array_size(paths); i++)
        paths[i] = str_printf("%s/bench-%s.db", folder, file_names[i]);
    table_open(&table, paths);
    if (name)
        measure_kind(&table, name, size_min(IN_FLIGHT_MAX, number), updates);
    else
        measure_table(&table, size_min(ROUNDS_MAX, number), updates);
    table_close(&table, paths);
    for (size_t i = 0; i < array_size(paths); i++)
        free(paths[i]);
    return 0;
}

/* ---- memory and start --------------------------------------------------------------------------------------------- */

static size_t used_bytes(void)
{
    return mallinfo2().uordblks + mallinfo2().hblkhd;
}

static int fill(const char *path, size_t shadows)
{
    (void)unlink(path);
    struct house house = {0};
    struct slot *slots = mem_new_bytes(IN_FLIGHT_MAX * sizeof *slots);
    house_open(&house, path, 0);
    for (size_t first = 0; first < shadows; first += IN_FLIGHT_MAX) {
        for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
            slots[i] = (struct slot){.house = &house, .thing = first + i, .number = (unsigned)i};
        for (int times = 0; times < 3; times++)
            run(&house, slots, IN_FLIGHT_MAX, size_min(IN_FLIGHT_MAX, shadows - first));
    }
    house_close(&house);
    free(slots);
    return 0;
}

/* Reads all of them into memory and looks at the heap. */
static int bench_memory(const char *folder, size_t shadows)
{
    cleanup_free char *path = str_printf("%s/bench-memory.db", folder);
    (void)fill(path, shadows);
    struct house house = {0};
    static struct slot slots[IN_FLIGHT_MAX];
    house_open(&house, path, (size_t)1 << 30);
    house.verb = "get";
    size_t before = used_bytes();
    for (size_t first = 0; first < shadows; first += IN_FLIGHT_MAX) {
        for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
            slots[i] = (struct slot){.house = &house, .thing = first + i};
        run(&house, slots, IN_FLIGHT_MAX, size_min(IN_FLIGHT_MAX, shadows - first));
    }
    const struct shadow_counters *counters = shadow_counters(house.shadow);
    printf("%zu shadows of 80 bytes in memory: %.0f bytes each, counted as %.0f\n", counters->cached,
           (double)(used_bytes() - before) / (double)counters->cached,
           (double)counters->cached_bytes / (double)counters->cached);
    house_close(&house);
    (void)unlink(path);
    return 0;
}

static size_t number_of(int argc, char **argv, int at, size_t fallback)
{
    return argc > at ? strtoul(argv[at], NULL, 10) : fallback;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "updates") == 0)
        return bench_updates(argv[2], NULL, size_max(1, number_of(argc, argv, 3, 7)),
                             number_of(argc, argv, 4, 50000));
    if (argc > 4 && strcmp(argv[1], "one") == 0)
        return bench_updates(argv[2], argv[3], size_max(1, number_of(argc, argv, 4, 1000)),
                             number_of(argc, argv, 5, 50000));
    if (argc > 2 && strcmp(argv[1], "memory") == 0)
        return bench_memory(argv[2], number_of(argc, argv, 3, 100000));
    if (argc > 2 && strcmp(argv[1], "fill") == 0)
        return fill(argv[2], number_of(argc, argv, 3, 100000));
    (void)fprintf(
        stderr, "usage: bench_shadow updates FOLDER [ROUNDS [UPDATES]] | "
                "one FOLDER KIND IN_FLIGHT [UPDATES] | memory FOLDER [SHADOWS] | fill STATE.DB [SHADOWS]\n");
    return 2;
}
