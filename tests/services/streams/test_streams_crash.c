/* At least once, without a gap, and with books that balance, whenever the process dies: a child takes records, sends them and dies at its n-th step; the
 * next one goes on with what it finds. For many n. */
#include "services/streams/streams_rig.h"

#include "store/folder.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RECORDS = 120, BURST = 7, STEPS = 90, DIED = 42 };

/* What the child has seen; shared, so that it outlives it. */
struct seen {
    unsigned taken;     /* records whose publisher was acknowledged: 0, 1, … */
    unsigned confirmed; /* records that the cloud has acknowledged, in order */
    unsigned sent;      /* records that have reached the cloud */
    bool out_of_order;
};

static unsigned die_at_sync; /* 0: never; n: at the n-th, before it is done */
static unsigned syncs;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fdatasync(int fd)
{
    if (++syncs == die_at_sync)
        _exit(DIED);
    return __real_fdatasync(fd);
}

static const struct stream_options options[] = {{.name = "s", .uplink = "cloud", .segment_bytes = 4096}};

struct writer {
    struct receipt receipt;
    struct seen *seen;
};

static void on_taken(struct receipt *receipt, int r)
{
    struct writer *publisher = container_of(receipt, struct writer, receipt);
    if (r == 0)
        publisher->seen->taken++;
    free(publisher);
}

static void publish(struct streams_rig *rig, struct seen *seen, unsigned number)
{
    static const char topic[] = "$gatehouse/streams/s/append";
    char payload[40];
    int len = snprintf(payload, sizeof payload, "%u in a longer text", number);
    struct writer *publisher = mem_new(struct writer);
    publisher->seen = seen;
    receipt_init(&publisher->receipt, on_taken);
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), payload, (size_t)len);
    bus_publish(rig->house->bus, msg, &publisher->receipt);
}

/* Looks at what has come since the last time, and acknowledges some of it. */
static void cloud_works(struct streams_rig *rig, struct seen *seen, unsigned step)
{
    for (size_t i = seen->sent; i < cloud_count(rig); i++) {
        seen->out_of_order |= (unsigned)atoll(cloud_payload(rig, i)) != i;
        seen->sent++;
    }
    for (unsigned n = step % 4; n && seen->confirmed < cloud_count(rig); n--) {
        struct receipt *receipt = rig->items[seen->confirmed].receipt;
        rig->items[seen->confirmed].receipt = NULL;
        seen->confirmed++; /* before: from here on the cloud has it */
        receipt_settle(receipt, 0);
    }
}

static void live(const char *folder, const char *db, struct seen *seen, unsigned steps)
{
    struct streams_rig *rig = streams_rig_new_at(folder, db, options, 1);
    bus_say(rig->house->bus, "$gatehouse/status/cloud/cloud", "{\"state\":\"up\"}", BUS_KEEP);
    unsigned number = 0;
    for (unsigned step = 0; step < steps; step++) {
        for (int i = 0; i < BURST && number < RECORDS; i++)
            publish(rig, seen, number++);
        (void)loop_turn(rig->house->loop, 0);
        cloud_works(rig, seen, step);
        clock_move(&rig->house->clock, 97); /* a cursor is stored now and then */
    }
    _exit(DIED);
}

/* The next process: everything that was taken arrives, from no later than what the cloud has not confirmed. */
static void check_next(const char *folder, const char *db, const struct seen *seen)
{
    struct streams_rig *rig = streams_rig_new_at(folder, db, options, 1);
    streams_rig_check_books(rig);
    rig->takes_all = true;
    int64_t next = streams_rig_number(rig, "s", "next");
    CHECK(next >= seen->taken);
    cloud_is_up(rig, "cloud");
    size_t count = cloud_count(rig);
    unsigned from = count ? (unsigned)atoll(cloud_payload(rig, 0)) : (unsigned)next;
    CHECK(from <= seen->confirmed);
    CHECK_INT((int64_t)(from + count), next);
    for (size_t i = 0; i < count; i++)
        CHECK_INT(atoll(cloud_payload(rig, i)), (int64_t)(from + i));
    streams_rig_check_books(rig);
    rig = streams_rig_free(rig);
}

static void check_death(unsigned steps, unsigned sync)
{
    cleanup(folder_free_p) char *folder = folder_new();
    cleanup_free char *db = str_printf("%s/state.db", folder);
    struct seen *seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        die_at_sync = sync;
        live(folder, db, seen, steps);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == DIED);
    CHECK(!seen->out_of_order);
    check_next(folder, db, seen);
    (void)munmap(seen, sizeof *seen);
}

TEST(no_record_is_lost_or_skipped_when_the_process_dies_between_two_turns)
{
    for (unsigned steps = 0; steps < STEPS; steps += 1 + steps / 10) /* the first ones closely */
        check_death(steps, 0);
}

TEST(no_record_is_lost_or_skipped_when_the_process_dies_before_a_sync)
{
    for (unsigned sync = 1; sync <= RECORDS / BURST; sync++)
        check_death(STEPS, sync);
}
