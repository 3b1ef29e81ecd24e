/* The log as a peer, with the thread that it has in the daemon: supplied, and waited for.
 *
 *      log      a batch is given while the one before is on its way, as the bare loop has its next bytes at once:
 *               what the log can take. Each batch has a sync of its own; the syncs are counted, so that this can be told.
 *      alone    each batch is waited for, with all that is between a producer and the disk: two threads that wake each other
 */
#include "bench/streams/peers.h"

#include "identity/aead.h"
#include "store/seglog.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

struct batch {
    struct seglog_append appends[BATCH_MAX];
    size_t pending;
};

struct log_self {
    struct loop *loop;
    struct seglogs *logs;
    struct seglog *log;
    struct batch batches[2];
    unsigned turn;
    bool ahead;
};

bool log_is_encrypted;

/* ---- syncs --------------------------------------------------------------------------------------------------------- */

static atomic_ulong syncs;

/* In the place of the C library's, for the whole program. */
int fdatasync(int fd)
{
    atomic_fetch_add_explicit(&syncs, 1, memory_order_relaxed);
    return (int)syscall(SYS_fdatasync, fd);
}

unsigned long log_syncs(void)
{
    return atomic_load_explicit(&syncs, memory_order_relaxed);
}

/* ---- taking -------------------------------------------------------------------------------------------------------- */

static struct log_self *running; /* there is one at a time */

static void on_done(struct work *work)
{
    struct seglog_append *append = container_of(work, struct seglog_append, work);
    errno = work->r < 0 ? -work->r : 0;
    if (work->r != 0)
        give_up("append");
    running->batches[append >= running->batches[1].appends].pending--;
}

static void *open_log(const char *folder, bool ahead)
{
    struct log_self *self = running = mem_new(struct log_self);
    cleanup_free char *path = str_printf("%s/log", folder);
    cleanup_free char *key = str_printf("%s/log/device.key", folder);
    const struct seal_source seal = {.file = key, .may_make = true, .load = aead_functions};
    const struct seglog_options options = {.encrypt = log_is_encrypted};
    self->ahead = ahead;
    if (loop_new(&self->loop, NULL) < 0 || seglogs_open(&self->logs, self->loop, path, WORKER_THREAD) < 0)
        give_up("log");
    if (!ahead)
        seglogs_gather(self->logs);
    seglogs_set_seal(self->logs, &seal);
    if (seglog_open(&self->log, self->logs, "bench", &options) < 0)
        give_up("log");
    return self;
}

static void *log_open(const char *folder, size_t payload)
{
    (void)payload;
    return open_log(folder, true);
}

static void *alone_open(const char *folder, size_t payload)
{
    (void)payload;
    return open_log(folder, false);
}

static void turn(struct log_self *self, int ms)
{
    if (loop_turn(self->loop, ms) < 0)
        give_up("loop");
}

static void wait_for(struct log_self *self, const struct batch *batch)
{
    while (batch->pending)
        turn(self, -1);
}

static void log_take(void *arg, const uint8_t *payload, size_t len, size_t count)
{
    struct log_self *self = arg;
    struct batch *batch = &self->batches[self->turn], *before = &self->batches[!self->turn];
    unsigned long began = log_syncs();
    bool is_late = !before->pending;
    for (size_t i = 0; i < count; i++) {
        batch->appends[i].work.done = on_done;
        batch->appends[i].record = (struct seglog_record){
            .topic = TOPIC, .topic_len = TOPIC_LEN, .payload = payload, .payload_len = len};
        seglog_append(self->log, &batch->appends[i]);
    }
    batch->pending = count;
    turn(self, 0); /* hands it over */
    if (!self->ahead) {
        wait_for(self, batch);
        return;
    }
    /* The thread was idle: the next one comes when this one is on its way, or both would go together. */
    while (is_late && batch->pending && log_syncs() == began)
        (void)sched_yield();
    wait_for(self, before);
    self->turn = !self->turn;
}

static void log_settle(void *arg)
{
    struct log_self *self = arg;
    wait_for(self, &self->batches[0]);
    wait_for(self, &self->batches[1]);
}

static void log_close(void *arg)
{
    struct log_self *self = arg;
    (void)seglog_remove(self->log);
    self->logs = seglogs_close(self->logs);
    self->loop = loop_free(self->loop);
    free(self);
}

static double log_handed(void *arg)
{
    const struct log_self *self = arg;
    return (double)seglog_written(self->log);
}

const struct peer log_peer = {log_open, log_take, log_settle, log_handed, log_close};
const struct peer alone_peer = {alone_open, log_take, log_settle, log_handed, log_close};
