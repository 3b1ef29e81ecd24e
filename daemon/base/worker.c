#include "base/worker.h"

#include "base/gather.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Three lists and one mutex. `fresh` is the loop's alone: what this turn submitted. HAND_OVER moves it to `queue` with
 * one lock and one wake-up, however many items there are. The thread takes all of `queue` as its batch and appends it to
 * `finished`; an eventfd tells the loop, once, until the loop has taken the list. Before that it may wait for more (gather.h).
 *
 * The thread begins with the first HAND_OVER. What is quiesced before that runs where it is waited for: the daemon reads
 * what it has stored before its loop turns, and would else wake a thread and wait for it a dozen times; and a worker that
 * never gets work has no stack. */

struct worker {
    struct loop *loop;
    struct worker_ops ops;
    void *resource;
    enum worker_mode mode;
    pthread_t thread;
    bool running;  /* the thread is there; the loop's */
    char name[16]; /* the kernel's limit */
    struct list fresh;
    uint64_t fresh_bytes;
    size_t pending;
    struct task hand_over;
    struct watch watch;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work_came, work_done;
    struct list queue, finished;
    uint64_t queue_bytes;
    struct gather gather;
    bool gathering; /* the thread waits for more than there is */
    bool hurried;   /* somebody waits for what there is */
    bool ending;
};

static void run_batch(struct worker *worker, struct list *batch)
{
    int r = worker->ops.begin ? worker->ops.begin(worker->resource) : 0;
    list_for_each (link, batch) {
        struct work *work = list_entry(link, struct work, link);
        work->r = r;
        if (r < 0)
            continue;
        if (worker->ops.run)
            worker->ops.run(worker->resource, work);
        else
            work->run(work, worker->resource);
    }
    if (r < 0)
        return;
    r = worker->ops.commit ? worker->ops.commit(worker->resource) : 0;
    if (r >= 0)
        return;
    list_for_each (link, batch) {
        struct work *work = list_entry(link, struct work, link);
        if (work->r >= 0)
            work->r = r;
    }
}

static void wake_loop(struct worker *worker)
{
    uint64_t one = 1;
    ssize_t n = write(worker->watch.fd, &one, sizeof one);
    (void)n; /* EAGAIN: the counter is full, so the loop is being woken anyway */
}

static int64_t nanoseconds(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static bool waits_for_more(const struct worker *worker)
{
    return !worker->ending && !worker->hurried && worker->gather.wanted && /* else no clock is asked */
           gather_waits(&worker->gather, worker->queue_bytes, nanoseconds());
}

/* The thread has something to do, and the lock. */
static void wait_for_more(struct worker *worker)
{
    if (!waits_for_more(worker))
        return;
    int64_t until = worker->gather.until_ns;
    const struct timespec ts = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
    worker->gathering = true;
    do
        (void)pthread_cond_clockwait(&worker->work_came, &worker->lock, CLOCK_MONOTONIC, &ts);
    while (waits_for_more(worker));
    worker->gathering = false;
    gather_waited(&worker->gather, worker->queue_bytes);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    (void)pthread_mutex_lock(&worker->lock);
    for (;;) {
        if (list_is_empty(&worker->queue)) {
            if (worker->ending)
                break;
            if (worker->ops.idle) {
                (void)pthread_mutex_unlock(&worker->lock);
                worker->ops.idle(worker->resource);
                (void)pthread_mutex_lock(&worker->lock);
            }
            bool more = worker->ops.rest != NULL;
            while (more && list_is_empty(&worker->queue) && !worker->ending) {
                (void)pthread_mutex_unlock(&worker->lock);
                more = worker->ops.rest(worker->resource);
                (void)pthread_mutex_lock(&worker->lock);
            }
            while (list_is_empty(&worker->queue) && !worker->ending)
                (void)pthread_cond_wait(&worker->work_came, &worker->lock);
            continue;
        }
        wait_for_more(worker);
        struct list batch;
        list_init(&batch);
        list_splice(&batch, &worker->queue);
        uint64_t bytes = worker->queue_bytes;
        worker->queue_bytes = 0;
        (void)pthread_mutex_unlock(&worker->lock);
        int64_t began = nanoseconds();
        run_batch(worker, &batch);
        (void)pthread_mutex_lock(&worker->lock);
        gather_ended(&worker->gather, bytes, worker->queue_bytes, began, nanoseconds());
        bool wake = list_is_empty(&worker->finished);
        list_splice(&worker->finished, &batch);
        (void)pthread_cond_signal(&worker->work_done);
        if (wake)
            wake_loop(worker);
    }
    (void)pthread_mutex_unlock(&worker->lock);
    return NULL;
}

/* Calls done for everything that has finished. */
static void take_finished(struct worker *worker)
{
    struct list batch;
    list_init(&batch);
    (void)pthread_mutex_lock(&worker->lock);
    list_splice(&batch, &worker->finished);
    (void)pthread_mutex_unlock(&worker->lock);

    for (struct list *link; (link = list_pop(&batch));) {
        struct work *work = list_entry(link, struct work, link);
        worker->pending--;
        work->done(work);
    }
}

static void on_finished(struct watch *watch, unsigned events)
{
    struct worker *worker = container_of(watch, struct worker, watch);
    uint64_t count;
    ssize_t n = read(watch->fd, &count, sizeof count);
    (void)n, (void)events;
    take_finished(worker);
}

static int start_thread(struct worker *worker);

static void run_here(struct worker *worker)
{
    struct list batch;
    list_init(&batch);
    list_splice(&batch, &worker->fresh);
    worker->fresh_bytes = 0;
    run_batch(worker, &batch);
    while (worker->mode == WORKER_INLINE && worker->ops.rest && worker->ops.rest(worker->resource))
        ;
    list_splice(&worker->finished, &batch);
    wake_loop(worker);
}

static void hand_over(struct worker *worker)
{
    if (list_is_empty(&worker->fresh))
        return;
    if (!worker->running) {
        run_here(worker);
        return;
    }
    (void)pthread_mutex_lock(&worker->lock);
    list_splice(&worker->queue, &worker->fresh);
    worker->queue_bytes += worker->fresh_bytes;
    worker->fresh_bytes = 0;
    if (!worker->gathering || worker->queue_bytes >= worker->gather.wanted || worker->hurried)
        (void)pthread_cond_signal(&worker->work_came);
    (void)pthread_mutex_unlock(&worker->lock);
}

static void on_hand_over(struct task *task)
{
    struct worker *worker = container_of(task, struct worker, hand_over);
    if (worker->mode == WORKER_THREAD && !worker->running) {
        int r = start_thread(worker);
        if (r < 0)
            log_warning("worker %s: thread: %s; working on the loop until there is one", worker->name,
                        strerror(-r));
    }
    hand_over(worker);
}

/* Signals are the loop's: the thread is born with all of them blocked. */
static int start_thread(struct worker *worker)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&worker->thread, NULL, worker_main, worker);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return -r;
    (void)pthread_setname_np(worker->thread, worker->name);
    worker->running = true;
    return 0;
}

int worker_new(struct worker **ret, struct loop *loop, const char *name, const struct worker_ops *ops,
               void *resource, enum worker_mode mode)
{
    struct worker *worker = mem_new(struct worker);
    worker->loop = loop;
    if (ops)
        worker->ops = *ops;
    worker->resource = resource;
    worker->mode = mode;
    (void)snprintf(worker->name, sizeof worker->name, "%s", name);
    worker->hand_over.run = on_hand_over;
    list_init(&worker->fresh);
    list_init(&worker->queue);
    list_init(&worker->finished);
    (void)pthread_mutex_init(&worker->lock, NULL);
    (void)pthread_cond_init(&worker->work_came, NULL);
    (void)pthread_cond_init(&worker->work_done, NULL);

    worker->watch.ready = on_finished;
    worker->watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = worker->watch.fd < 0 ? -errno : loop_watch(loop, &worker->watch, EPOLLIN);
    if (r < 0) {
        (void)worker_free(worker);
        return r;
    }
    *ret = worker;
    return 0;
}

struct worker *worker_free(struct worker *worker)
{
    if (!worker)
        return NULL;
    worker_quiesce(worker);
    if (worker->running) {
        (void)pthread_mutex_lock(&worker->lock);
        worker->ending = true;
        (void)pthread_cond_signal(&worker->work_came);
        (void)pthread_mutex_unlock(&worker->lock);
        (void)pthread_join(worker->thread, NULL);
    }
    loop_forget(&worker->hand_over);
    if (worker->watch.fd >= 0) {
        loop_unwatch(worker->loop, &worker->watch);
        (void)close(worker->watch.fd);
    }
    (void)pthread_cond_destroy(&worker->work_came);
    (void)pthread_cond_destroy(&worker->work_done);
    (void)pthread_mutex_destroy(&worker->lock);
    free(worker);
    return NULL;
}

void worker_gather(struct worker *worker, uint64_t enough)
{
    assert(!worker->running);
    worker->gather.enough = enough;
}

void worker_submit(struct worker *worker, struct work *work)
{
    assert(!list_is_linked(&work->link));
    list_append(&worker->fresh, &work->link);
    worker->fresh_bytes += work->bytes;
    worker->pending++;
    loop_at(worker->loop, LOOP_HAND_OVER, &worker->hand_over);
}

static void hurry(struct worker *worker, bool hurried)
{
    (void)pthread_mutex_lock(&worker->lock);
    worker->hurried = hurried;
    (void)pthread_cond_signal(&worker->work_came);
    (void)pthread_mutex_unlock(&worker->lock);
}

void worker_quiesce(struct worker *worker)
{
    if (!worker->pending)
        return;
    hurry(worker, true);
    while (worker->pending) {
        hand_over(worker);
        if (worker->running) {
            (void)pthread_mutex_lock(&worker->lock);
            while (list_is_empty(&worker->finished))
                (void)pthread_cond_wait(&worker->work_done, &worker->lock);
            (void)pthread_mutex_unlock(&worker->lock);
        }
        take_finished(worker);
    }
    hurry(worker, false);
}

size_t worker_pending(const struct worker *worker)
{
    return worker->pending;
}

/* ---- notes from threads that are not ours ------------------------------------------------------------------------ */

struct inbox {
    struct loop *loop;
    struct watch watch;
    pthread_mutex_t lock;
    struct list notes;
};

static void on_note(struct watch *watch, unsigned events)
{
    uint64_t count;
    ssize_t n = read(watch->fd, &count, sizeof count);
    (void)n, (void)events;
    inbox_drain(container_of(watch, struct inbox, watch));
}

int inbox_new(struct inbox **ret, struct loop *loop)
{
    struct inbox *inbox = mem_new(struct inbox);
    inbox->loop = loop;
    list_init(&inbox->notes);
    (void)pthread_mutex_init(&inbox->lock, NULL);
    inbox->watch.ready = on_note;
    inbox->watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = inbox->watch.fd < 0 ? -errno : loop_watch(loop, &inbox->watch, EPOLLIN);
    if (r < 0) {
        (void)inbox_free(inbox);
        return r;
    }
    *ret = inbox;
    return 0;
}

struct inbox *inbox_free(struct inbox *inbox)
{
    if (!inbox)
        return NULL;
    if (inbox->watch.fd >= 0) {
        loop_unwatch(inbox->loop, &inbox->watch);
        (void)close(inbox->watch.fd);
    }
    (void)pthread_mutex_destroy(&inbox->lock);
    free(inbox);
    return NULL;
}

void inbox_post(struct inbox *inbox, struct note *note)
{
    (void)pthread_mutex_lock(&inbox->lock);
    bool wake = list_is_empty(&inbox->notes);
    list_append(&inbox->notes, &note->link);
    (void)pthread_mutex_unlock(&inbox->lock);
    if (wake) {
        uint64_t one = 1;
        ssize_t n = write(inbox->watch.fd, &one, sizeof one);
        (void)n;
    }
}

void inbox_drain(struct inbox *inbox)
{
    struct list notes;
    list_init(&notes);
    (void)pthread_mutex_lock(&inbox->lock);
    list_splice(&notes, &inbox->notes);
    (void)pthread_mutex_unlock(&inbox->lock);
    for (struct list *link; (link = list_pop(&notes));) {
        struct note *note = list_entry(link, struct note, link);
        note->run(note);
    }
}
