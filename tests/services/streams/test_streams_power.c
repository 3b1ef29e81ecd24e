/* The power goes at every boundary between two writes of a run, and what was written and not synced is there or not, sector by
 * sector. Each time: no acknowledged record is missing, twice in the log, or out of order, and the books balance.
 *
 *      test_streams_power                  one cut at each boundary, or at one of three
 *      GATEHOUSE_SECONDS=600 test_…        the runs again and again for so long together, each cut with other sectors
 *
 * All of it once more with streams that are encrypted, of which some are packed, too.
 */
#include "identity/aead.h"
#include "services/streams/streams_rig.h"
#include "store/folder.h"
#include "store/power.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RECORDS = 84, BURST = 7, SIZE = 150 };

static const struct stream_options plain[] = {
    {.name = "sent", .uplink = "cloud", .segment_bytes = 4096},
    {.name = "over", .segment_bytes = 4096, .max_bytes = 16384, .overwrite = true, .compress = true},
    {.name = "late", .segment_bytes = 4096, .sync_ms = 400},
};
static const struct stream_options sealed[] = {
    {.name = "sent", .uplink = "cloud", .segment_bytes = 4096, .compress = true, .encrypt = true},
    {.name = "over", .segment_bytes = 4096, .max_bytes = 16384, .overwrite = true, .encrypt = true},
    {.name = "late", .segment_bytes = 4096, .sync_ms = 400, .encrypt = true},
};
enum { STREAMS = array_size(plain), SENT = 0, OVER = 1, LATE = 2 };

/* A run that is cut, and what a new start finds then. */
struct drill {
    const char *name;
    const struct stream_options *options;
    size_t count;
    void (*live)(void);
    void (*check)(const char *folder);
    unsigned boundaries; /* there are more than so many */
    unsigned every;      /* of a short run's: so many boundaries, one is cut */
};
enum { DRILLS = 4 };

static struct {
    const struct drill *drill;
    const char *folder;
    struct streams_rig *rig;
    unsigned taken[STREAMS];   /* records whose publisher was told so: 0, 1, … */
    unsigned confirmed, heard; /* by the cloud, in order */
    unsigned boundaries, seed;
} run;

static struct {
    pid_t self;
    int64_t end, said; /* ms; 0: one run */
    unsigned runs, cuts;
} campaign;

static struct streams_rig *start_at(const char *folder)
{
    cleanup_free char *db = str_printf("%s/state.db", folder);
    return streams_rig_new_sealed(folder, db, run.drill->options, run.drill->count, aead_functions);
}

static bool is_refused(unsigned number)
{
    return number % 13 == 5;
}

/* What was refused for ever and is not kept any more is a dead letter. */
static void check_letters(struct streams_rig *rig, unsigned first)
{
    bool found[RECORDS] = {0};
    const char *answer =
        rig_request(rig->house, "$gatehouse/streams/dead-letters/read", "{\"from\":0,\"max\":1000}");
    static const char mark[] = "\\\"payload\\\":\\\"";
    for (const char *at = answer; at && (at = strstr(at, mark)); at++)
        found[atoll(at + strlen(mark))] = true;
    for (unsigned i = 0; i < first && i < RECORDS; i++)
        CHECK(!is_refused(i) || found[i]);
}

/* ---- what a new start finds -------------------------------------------------------------------------------------- */

/* The numbers in the payloads of what a stream has, from the first kept on: in order, none twice, and none left out of those
 * that are promised. The number after the last. */
static unsigned read_all(struct streams_rig *rig, int stream, unsigned promised, unsigned *first)
{
    cleanup_free char *topic = str_printf("$gatehouse/streams/%s/read", run.drill->options[stream].name);
    unsigned expected = 0, count = 0;
    for (int64_t from = 0;;) {
        char request[64];
        (void)snprintf(request, sizeof request, "{\"from\":%lld,\"max\":1000}", (long long)from);
        const char *answer = rig_request(rig->house, topic, request);
        CHECK(answer);
        if (strstr(answer, "\"code\":412"))
            return count ? expected : 0;
        for (const char *at = answer; (at = strstr(at, "\"payload\":\""));) {
            at += strlen("\"payload\":\"");
            unsigned number = (unsigned)strtoul(at, NULL, 10);
            if (count++ == 0)
                *first = expected = number;
            CHECK(number == expected || (number > expected && expected >= promised));
            expected = number + 1;
        }
        const char *next = strstr(answer, "\"next\":");
        CHECK(next);
        from = atoll(next + strlen("\"next\":"));
    }
}

static void check_start(const char *folder)
{
    struct streams_rig *rig = start_at(folder);
    for (int i = 0; i < 2; i++) { /* a second start finds nothing else */
        unsigned first = 0;
        unsigned next = read_all(rig, SENT, run.taken[SENT], &first);
        CHECK(first <= run.confirmed ||
              run.taken[SENT] <= run.confirmed); /* what the cloud has not confirmed is there */
        CHECK(next >= run.taken[SENT] || (next == 0 && run.confirmed >= run.taken[SENT]));
        check_letters(rig, next ? first : run.taken[SENT]);
        next = read_all(rig, OVER, run.taken[OVER], &first);
        CHECK(next >= run.taken[OVER]); /* the newest are kept */
        (void)read_all(rig, LATE, 0, &first);
        streams_rig_check_books(rig);
        streams_rig_restart(rig);
    }
    for (int stream = 0; stream < (int)STREAMS; stream++) /* and it goes on */
        streams_rig_append(rig, run.drill->options[stream].name, 100000, 3);
    streams_rig_check_books(rig);
    rig = streams_rig_free(rig);
}

/* ---- the cuts ---------------------------------------------------------------------------------------------------- */

enum { AT_ONCE = 2, SAY_EVERY = 5000 };

static struct look {
    pid_t child; /* 0: none */
    unsigned boundary, seed;
} looks[AT_ONCE];

static int64_t time_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_over(void)
{
    return campaign.end && time_ms() >= campaign.end;
}

static void say_progress(void)
{
    int64_t now = time_ms();
    if (!campaign.end || now < campaign.said + SAY_EVERY)
        return;
    campaign.said = now;
    (void)fprintf(stderr, "%s: run %u, boundary %u, %u cuts so far, %lld s left\n", run.drill->name,
                  campaign.runs, run.boundaries, campaign.cuts, (long long)(campaign.end - now) / 1000);
}

static void await(struct look *look)
{
    int status = 0;
    if (!look->child)
        return;
    CHECK(waitpid(look->child, &status, 0) == look->child);
    look->child = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        (void)fprintf(stderr, "%s: boundary %u, seed %u\n", run.drill->name, look->boundary, look->seed);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What is on the disk now is copied; looking at it takes longer, and happens while the run goes on. */
static void cut_here(void)
{
    if (getpid() != campaign.self)
        return;
    run.boundaries++;
    if (is_over() || (!campaign.end && run.boundaries % run.drill->every))
        return;
    struct look *look = &looks[campaign.cuts++ % AT_ONCE];
    await(look);
    look->boundary = run.boundaries;
    look->seed = run.seed + run.boundaries * 131;
    void (*before)(void) = power_before;
    power_before = NULL;
    char *copy = power_cut(run.folder, look->seed);
    look->child = fork();
    if (look->child == 0) {
        run.drill->check(copy);
        copy = folder_free(copy);
        _exit(0);
    }
    power_before = before;
    free(copy);
    CHECK(look->child > 0);
    say_progress();
}

/* ---- the run ----------------------------------------------------------------------------------------------------- */

struct writer {
    struct receipt receipt;
    int stream;
};

static void on_taken(struct receipt *receipt, int r)
{
    struct writer *writer = container_of(receipt, struct writer, receipt);
    if (r == 0)
        run.taken[writer->stream]++;
    free(writer);
}

static void publish(int stream, unsigned number)
{
    cleanup_free char *topic = str_printf("$gatehouse/streams/%s/append", run.drill->options[stream].name);
    char payload[SIZE + 1];
    (void)snprintf(payload, sizeof payload, "%-*u", SIZE, number);
    struct writer *writer = mem_new(struct writer);
    writer->stream = stream;
    receipt_init(&writer->receipt, on_taken);
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), payload, SIZE);
    bus_publish(run.rig->house->bus, msg, &writer->receipt);
}

static void cloud_works(unsigned step)
{
    run.heard = (unsigned)cloud_count(run.rig);
    for (unsigned n = step % 9; n && run.confirmed < run.heard; n--) {
        struct receipt *receipt = run.rig->items[run.confirmed].receipt;
        run.rig->items[run.confirmed].receipt = NULL;
        int r = is_refused(run.confirmed) ? 0x95 : 0;
        run.confirmed++; /* before: from here on the cloud has it, or will never */
        receipt_settle(receipt, r);
    }
}

static void live(void)
{
    (void)rig_request(run.rig->house, "$gatehouse/streams/over/cursor",
                      "{\"cursor\":\"c\",\"action\":\"create\"}");
    bus_say(run.rig->house->bus, "$gatehouse/status/cloud/cloud", "{\"state\":\"up\"}", BUS_KEEP);
    for (unsigned step = 0, number = 0; number < RECORDS; step++) {
        for (int i = 0; i < BURST && number < RECORDS; i++, number++)
            for (int stream = 0; stream < (int)STREAMS; stream++)
                publish(stream, number);
        (void)loop_turn(run.rig->house->loop, 0);
        cloud_works(step);
        rig_wait(run.rig->house, 130); /* cursors are stored now and then, and the late ones synced */
    }
}

static void run_once(const struct drill *drill)
{
    cleanup(folder_free_p) char *folder = folder_new();
    memset(&run, 0, sizeof run);
    run.drill = drill;
    run.folder = folder;
    run.seed = campaign.end ? (unsigned)getpid() + campaign.runs * 7919 : 4711;
    campaign.runs++;
    power_reset();
    power_before = cut_here;
    run.rig = start_at(folder);
    drill->live();
    power_before = NULL;
    for (size_t i = 0; i < AT_ONCE; i++)
        await(&looks[i]);
    CHECK(run.boundaries > drill->boundaries);
    streams_rig_check_books(run.rig);
    run.rig = streams_rig_free(run.rig);
    power_reset();
}

static void run_drill(const struct drill *drill)
{
    const char *seconds = getenv("GATEHOUSE_SECONDS");
    if (campaign.self && campaign.self != getpid())
        _exit(1); /* of a check that has failed */
    memset(&campaign, 0, sizeof campaign);
    campaign.self = getpid();
    campaign.said = time_ms();
    campaign.end = seconds ? campaign.said + atoll(seconds) * 1000 / DRILLS : 0;
    do
        run_once(drill);
    while (campaign.end && !is_over());
    printf("%s: %u runs, %u cuts\n", drill->name, campaign.runs, campaign.cuts);
}

static void live_and_count(void)
{
    live();
    for (int stream = 0; stream < (int)STREAMS; stream++)
        CHECK_INT(run.taken[stream], RECORDS);
}

TEST(no_acknowledged_record_is_lost_and_the_books_balance_when_the_power_goes_at_any_boundary)
{
    run_drill(&(struct drill){"plain", plain, STREAMS, live_and_count, check_start, 100, 1});
}

TEST(nor_when_the_streams_are_encrypted)
{
    run_drill(&(struct drill){"encrypted", sealed, STREAMS, live_and_count, check_start, 100, 3});
}

/* ---- two lanes that become one ----------------------------------------------------------------------------------- */

enum { OLD = 250, NEW = 12, MINUTE = 60 * 1000, A_STEP = 25 };

static const struct stream_options lanes[] = {
    {.name = "sent", .uplink = "cloud", .segment_bytes = 4096, .rules.live_share = 50}};
static const struct stream_options sealed_lanes[] = {
    {.name = "sent", .uplink = "cloud", .segment_bytes = 4096, .rules.live_share = 50, .encrypt = true}};
static bool confirmed[OLD + NEW]; /* the cloud has it, and has said so */

static void mark(struct streams_rig *rig, bool *has)
{
    for (size_t i = 0; i < cloud_count(rig); i++)
        has[atoll(cloud_payload(rig, i))] = true;
}

/* What the cloud has not confirmed is there, once and in order, and gets there; and the books balance all the way. */
static void check_lanes(const char *folder)
{
    struct streams_rig *rig = start_at(folder);
    unsigned first = 0;
    for (int i = 0; i < 2; i++) {
        unsigned next = read_all(rig, SENT, run.taken[SENT], &first);
        for (unsigned k = 0; k < run.taken[SENT]; k++)
            CHECK(confirmed[k] || (k >= first && k < next));
        streams_rig_check_books(rig);
        streams_rig_restart(rig);
    }
    bool has[OLD + NEW] = {0};
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    rig_wait(rig->house, 100);
    mark(rig, has);
    for (unsigned k = 0; k < run.taken[SENT]; k++)
        CHECK(confirmed[k] || has[k]);
    CHECK_INT(streams_rig_number(rig, "sent", "next"), streams_rig_number(rig, "sent", "cursor"));
    streams_rig_check_books(rig);
    rig = streams_rig_free(rig);
}

static void cloud_confirms(size_t *settled)
{
    struct streams_rig *rig = run.rig;
    for (int i = 0; i < A_STEP && *settled < cloud_count(rig); i++, (*settled)++) {
        confirmed[atoll(cloud_payload(rig, *settled))] = true; /* before: from here on the cloud has it */
        cloud_settle(rig, *settled, 0);
    }
}

static void live_with_lanes(void)
{
    memset(confirmed, 0, sizeof confirmed);
    power_before = NULL; /* what comes first was seen above */
    for (unsigned i = 0; i < OLD; i++)
        publish(SENT, i);
    rig_wait(run.rig->house, MINUTE);
    cloud_is_up(run.rig, "cloud");
    power_before = cut_here;
    size_t settled = 0, last_old = 0, first_new = 0;
    for (unsigned number = OLD; settled < OLD + NEW;) {
        if (number < OLD + NEW)
            publish(SENT, number++);
        (void)loop_turn(run.rig->house->loop, 0);
        cloud_confirms(&settled);
        rig_wait(run.rig->house, 130);
        cut_here(); /* also where only state.db was written */
    }
    CHECK_INT(run.taken[SENT], OLD + NEW);
    for (size_t i = 0; i < OLD + NEW; i++) {
        unsigned number = (unsigned)atoll(cloud_payload(run.rig, i));
        last_old = number == OLD - 1 ? i : last_old;
        first_new = number == OLD ? i : first_new;
    }
    CHECK(first_new < last_old); /* there were two lanes, and each was cut */
}

TEST(two_lanes_and_their_books_become_one_whenever_the_power_goes)
{
    run_drill(&(struct drill){"lanes", lanes, 1, live_with_lanes, check_lanes, 20, 1});
}

TEST(two_lanes_of_an_encrypted_stream_become_one_whenever_the_power_goes)
{
    run_drill(&(struct drill){"encrypted lanes", sealed_lanes, 1, live_with_lanes, check_lanes, 20, 3});
}
