/* Two lanes: after an outage new records go at once, beside the old ones. Each lane is in order, nothing is lost, the books
 * balance at every moment, and after any crash. */
#include "services/streams/streams_rig.h"

#include "base/json.h"
#include "store/folder.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DIED = 42, NUMBERS = 4000, MINUTE = 60 * 1000, TOO_LARGE = 0x95, BUSY = 0x89 };

static const struct stream_options options[] = {
    {.name = "s", .uplink = "cloud", .segment_bytes = 4096, .rules.live_share = 50}};

static int64_t number(struct streams_rig *rig, const char *key)
{
    const char *answer = rig_request(rig->house, "$gatehouse/ctl/stream/list", "");
    struct arena memory = {0};
    struct json *list;
    int64_t found = -1;
    CHECK(answer);
    CHECK_INT(json_parse(&list, &memory, answer, strlen(answer), NULL), 0);
    json_for_each (at, json_get(list, "streams"))
        if (json_text_is(json_get(at, "name"), "s"))
            (void)json_int(json_get(json_first(json_get(at, "exporters")), key), 0, INT64_MAX, &found);
    arena_done(&memory);
    return found;
}

/* ---- one story --------------------------------------------------------------------------------------------------- */

TEST(after_an_outage_new_records_pass_the_old_ones_and_then_there_is_one_lane_again)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 1000);
    rig_wait(rig->house, MINUTE);
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), 64);
    CHECK_INT(number(rig, "live"), 1000);
    streams_rig_append(rig, "s", 1000, 50);
    cloud_settle_all(rig, 0);
    unsigned old = 64, new = 1000;
    for (size_t i = 64; i < cloud_count(rig); i++) {
        unsigned at = (unsigned)atoll(cloud_payload(rig, i));
        CHECK_INT(at, at < 1000 ? old++ : new ++); /* each lane in order */
    }
    CHECK(new > 1020 && old > 74); /* half of the bytes each */
    streams_rig_check_books(rig);
    while (cloud_holds(rig))
        cloud_settle_all(rig, 0);
    CHECK_INT(number(rig, "live"), -1);
    CHECK_INT(number(rig, "pending"), 0);
    CHECK_INT(number(rig, "cursor"), 1050);
    CHECK_INT((int64_t)cloud_count(rig), 1050); /* none twice */
    streams_rig_check_books(rig);
    streams_rig_restart(rig);
    CHECK_INT(number(rig, "cursor"), 1050);
    CHECK_INT(number(rig, "live"), -1);
    streams_rig_check_books(rig);
    streams_rig_append(rig, "s", 1050, 3);
    cloud_is_up(rig, "cloud");
    cloud_check(rig, 1050, 1050, 3);
}

TEST(without_a_live_share_everything_is_in_order)
{
    const struct stream_options strict[] = {{.name = "s", .uplink = "cloud"}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(strict, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 1000);
    rig_wait(rig->house, MINUTE);
    cloud_is_up(rig, "cloud");
    CHECK_INT(number(rig, "live"), -1);
    streams_rig_append(rig, "s", 1000, 50);
    while (cloud_holds(rig))
        cloud_settle_all(rig, 0);
    cloud_check(rig, 0, 0, 1050);
}

TEST(two_lanes_are_there_again_after_a_restart)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 1000);
    rig_wait(rig->house, MINUTE);
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 1000, 20);
    cloud_settle_all(rig, 0);
    cloud_settle_all(rig, 0);
    int64_t cursor = number(rig, "cursor"), live = number(rig, "live"), pending = number(rig, "pending");
    CHECK(cursor < 1000 && live > 1000);
    streams_rig_restart(rig);
    CHECK_INT(number(rig, "cursor"), cursor);
    CHECK_INT(number(rig, "live"), live);
    CHECK_INT(number(rig, "pending"), pending);
    streams_rig_check_books(rig);
    cloud_forget(rig);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), pending);
    CHECK_INT(number(rig, "cursor"), 1020);
    CHECK_INT(number(rig, "live"), -1);
    streams_rig_check_books(rig);
}

/* ---- whatever happens -------------------------------------------------------------------------------------------- */

/* What was seen of each record; shared with the next process. */
struct seen {
    unsigned published, taken;
    uint8_t state[NUMBERS];
};
enum { TAKEN = 1, ARRIVED = 2 };

struct writer {
    struct receipt receipt;
    struct seen *seen;
    unsigned number;
};

static void on_taken(struct receipt *receipt, int r)
{
    struct writer *writer = container_of(receipt, struct writer, receipt);
    if (r == 0) {
        writer->seen->state[writer->number] |= TAKEN;
        writer->seen->taken++;
    }
    free(writer);
}

static void publish(struct streams_rig *rig, struct seen *seen)
{
    static const char topic[] = "$gatehouse/streams/s/append";
    char payload[40];
    if (seen->published == NUMBERS)
        return;
    struct writer *writer = mem_new(struct writer);
    writer->seen = seen;
    writer->number = seen->published++;
    int len = snprintf(payload, sizeof payload, "%u in a longer text", writer->number);
    receipt_init(&writer->receipt, on_taken);
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), payload, (size_t)len);
    bus_publish(rig->house->bus, msg, &writer->receipt);
}

static void settle_at(struct streams_rig *rig, struct seen *seen, size_t i, int r)
{
    struct receipt *receipt = rig->items[i].receipt;
    rig->items[i].receipt = NULL;
    if (r == 0)
        seen->state[atoll((const char *)rig->items[i].msg->payload)] |= ARRIVED;
    receipt_settle(receipt, r);
}

/* The cloud has some of what it holds, in any order, and refuses some. */
static void cloud_works(struct streams_rig *rig, struct seen *seen, unsigned *random)
{
    for (size_t i = 0; i < cloud_count(rig); i++) {
        unsigned dice = (unsigned)rand_r(random) % 100;
        if (rig->items[i].receipt && dice < 40)
            settle_at(rig, seen, i, dice == 0 ? BUSY : dice == 1 ? TOO_LARGE : 0);
    }
    if (cloud_count(rig) > 2000 && cloud_holds(rig) == 0)
        cloud_forget(rig);
}

static void one_step(struct streams_rig *rig, struct seen *seen, unsigned *random)
{
    unsigned dice = (unsigned)rand_r(random) % 100;
    for (unsigned n = (unsigned)rand_r(random) % 20; n; n--)
        publish(rig, seen);
    if (dice < 4) {
        bus_say(rig->house->bus, "$gatehouse/status/cloud/cloud", "{\"state\":\"down\"}", BUS_KEEP);
        for (size_t i = 0; i < cloud_count(rig); i++)
            if (rig->items[i].receipt)
                settle_at(rig, seen, i, CLOUD_NOT_CONNECTED);
    } else if (dice < 12) {
        bus_say(rig->house->bus, "$gatehouse/status/cloud/cloud", "{\"state\":\"up\"}", BUS_KEEP);
    }
    cloud_works(rig, seen, random);
    (void)loop_turn(rig->house->loop, 0);
    clock_move(&rig->house->clock, dice < 3 ? 40 * 1000 : 97);
}

/* What was refused for ever: the numbers in the letters. */
static void take_letters(struct streams_rig *rig, struct seen *seen)
{
    for (int64_t from = 0;;) {
        char request[64];
        (void)snprintf(request, sizeof request, "{\"from\":%lld,\"max\":1000}", (long long)from);
        const char *answer = rig_request(rig->house, "$gatehouse/streams/dead-letters/read", request);
        if (!answer || !strstr(answer, "\"next\":"))
            return;
        static const char mark[] = "\\\"payload\\\":\\\"";
        for (const char *at = answer; (at = strstr(at, mark)); at++)
            seen->state[atoll(at + strlen(mark))] |= ARRIVED;
        from = atoll(strstr(answer, "\"next\":") + strlen("\"next\":"));
    }
}

/* Everything that was taken has arrived, or is a letter. */
static void check_all(struct streams_rig *rig, struct seen *seen)
{
    streams_rig_check_books(rig);
    for (size_t i = 0; i < cloud_count(rig); i++)
        if (rig->items[i].receipt)
            settle_at(rig, seen, i, 0);
    bus_say(rig->house->bus, "$gatehouse/status/cloud/cloud", "{\"state\":\"up\"}", BUS_KEEP);
    for (int i = 0; i < 10000 && (number(rig, "pending") || i == 0); i++) {
        rig_wait(rig->house, 20 * 1000);
        for (size_t k = 0; k < cloud_count(rig); k++)
            if (rig->items[k].receipt)
                settle_at(rig, seen, k, 0);
        rig_turn(rig->house);
    }
    CHECK_INT(number(rig, "pending"), 0);
    streams_rig_check_books(rig);
    take_letters(rig, seen);
    for (unsigned i = 0; i < seen->published; i++)
        CHECK(!(seen->state[i] & TAKEN) || (seen->state[i] & ARRIVED));
}

static struct seen *seen_new(void)
{
    struct seen *seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED);
    return seen;
}

TEST(books_balance_at_every_moment_and_nothing_is_lost_whatever_the_cloud_does)
{
    for (unsigned seed = 1; seed <= 2; seed++) {
        struct seen *seen = seen_new();
        unsigned random = seed, splits = 0;
        cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
        for (int step = 0; step < 400; step++) {
            one_step(rig, seen, &random);
            if (step % 20 == 0) {
                streams_rig_check_books(rig);
                splits += number(rig, "live") >= 0;
            }
        }
        if (splits == 0)
            printf("seed %u: never two lanes\n", seed);
        check_all(rig, seen);
        CHECK(seen->taken > 1000);
        (void)munmap(seen, sizeof *seen);
    }
}

static void live(const char *folder, const char *db, struct seen *seen, unsigned seed, unsigned steps)
{
    unsigned random = seed;
    struct streams_rig *rig = streams_rig_new_at(folder, db, options, 1);
    for (unsigned step = 0; step < steps; step++)
        one_step(rig, seen, &random);
    _exit(DIED);
}

TEST(nothing_is_lost_when_the_process_dies_at_any_time)
{
    for (unsigned seed = 100; seed < 103; seed++) {
        cleanup(folder_free_p) char *folder = folder_new();
        cleanup_free char *db = str_printf("%s/state.db", folder);
        struct seen *seen = seen_new();
        for (unsigned life = 0; life < 4; life++) { /* it dies more than once */
            pid_t child = fork();
            if (child == 0)
                live(folder, db, seen, seed + 1000 * life, 60 + seed % 80 + 31 * life);
            int status;
            CHECK(waitpid(child, &status, 0) == child);
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == DIED);
        }
        struct streams_rig *rig = streams_rig_new_at(folder, db, options, 1);
        check_all(rig, seen);
        rig = streams_rig_free(rig);
        (void)munmap(seen, sizeof *seen);
    }
}

/* ---- what leaves the disk meanwhile ------------------------------------------------------------------------------ */

TEST(both_lanes_are_told_what_expires_or_makes_room)
{
    static const struct stream_options over[] = {{.name = "s",
                                                  .uplink = "cloud",
                                                  .segment_bytes = 4096,
                                                  .max_bytes = 65536,
                                                  .overwrite = true,
                                                  .rules.live_share = 50}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(over, 1, NULL, 0);
    rig->width = 40;
    streams_rig_append(rig, "s", 0, 800);
    rig_wait(rig->house, MINUTE);
    cloud_is_up(rig, "cloud");
    CHECK_INT(number(rig, "live"), 800);
    streams_rig_append(rig, "s", 800, 300);
    cloud_settle_all(rig, 0);
    for (unsigned i = 0; i < 20; i++) { /* the old ones go, then what the live lane has yet to send */
        streams_rig_append(rig, "s", 1100 + 200 * i, 200);
        streams_rig_check_books(rig);
        if (i % 3 == 0)
            cloud_settle_all(rig, 0);
        streams_rig_check_books(rig);
    }
    CHECK_INT(number(rig, "live"), -1); /* they have met: all of the old ones are gone */
    while (cloud_holds(rig))
        cloud_settle_all(rig, 0);
    CHECK_INT(number(rig, "pending"), 0);
    streams_rig_check_books(rig);
    streams_rig_restart(rig);
    streams_rig_check_books(rig);
}
