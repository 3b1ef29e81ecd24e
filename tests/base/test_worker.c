#include "base/worker.h"

#include "rig/test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

struct counter {
    int begun, run, committed, idle;
    int fail_begin, fail_commit;
};

struct job {
    struct work work;
    struct worker *again; /* submit once more from done */
    int result;           /* what run shall say */
    int runs, dones;
    int last;
};

static int on_begin(void *resource)
{
    struct counter *counter = resource;
    counter->begun++;
    return counter->fail_begin;
}

static int on_commit(void *resource)
{
    struct counter *counter = resource;
    counter->committed++;
    return counter->fail_commit;
}

static const struct worker_ops ops = {.begin = on_begin, .commit = on_commit};

static void job_run(struct work *work, void *resource)
{
    struct job *job = container_of(work, struct job, work);
    ((struct counter *)resource)->run++;
    job->runs++;
    work->r = job->result;
}

static void job_done(struct work *work)
{
    struct job *job = container_of(work, struct job, work);
    job->dones++;
    job->last = work->r;
    if (job->again) {
        struct worker *worker = job->again;
        job->again = NULL;
        worker_submit(worker, &job->work);
    }
}

static struct job job(int result)
{
    return (struct job){.work = {.run = job_run, .done = job_done}, .result = result};
}

TEST(what_one_turn_submits_is_one_batch)
{
    cleanup(loop_free_p) struct loop *loop = NULL;
    CHECK_INT(loop_new(&loop, &(struct clock){.by_hand = true}), 0);
    struct counter counter = {0};
    cleanup(worker_free_p) struct worker *worker = NULL;
    CHECK_INT(worker_new(&worker, loop, "test", &ops, &counter, WORKER_INLINE), 0);

    struct job a = job(0), b = job(-EINVAL), c = job(7);
    worker_submit(worker, &a.work);
    worker_submit(worker, &b.work);
    worker_submit(worker, &c.work);
    CHECK_INT(counter.run, 0); /* not before HAND_OVER */
    (void)loop_turn(loop, 0);
    CHECK_INT(counter.begun, 1);
    CHECK_INT(counter.run, 3);
    CHECK_INT(counter.committed, 1);
    CHECK_INT(a.dones, 0); /* results come in a later turn */
    (void)loop_turn(loop, 0);
    CHECK_INT(a.last, 0);
    CHECK_INT(b.last, -EINVAL);
    CHECK_INT(c.last, 7);
    CHECK_INT(worker_pending(worker), 0);
}

TEST(a_commit_that_fails_is_the_fault_of_everything_it_would_have_kept)
{
    cleanup(loop_free_p) struct loop *loop = NULL;
    CHECK_INT(loop_new(&loop, &(struct clock){.by_hand = true}), 0);
    struct counter counter = {.fail_commit = -ENOSPC};
    cleanup(worker_free_p) struct worker *worker = NULL;
    CHECK_INT(worker_new(&worker, loop, "test", &ops, &counter, WORKER_INLINE), 0);
    struct job a = job(0), b = job(-EINVAL), c = job(7);
    worker_submit(worker, &a.work);
    worker_submit(worker, &b.work);
    worker_submit(worker, &c.work);
    worker_quiesce(worker);
    CHECK_INT(a.last, -ENOSPC);
    CHECK_INT(b.last, -EINVAL);
    CHECK_INT(c.last, -ENOSPC);
}

TEST(nothing_runs_when_begin_fails)
{
    cleanup(loop_free_p) struct loop *loop = NULL;
    CHECK_INT(loop_new(&loop, &(struct clock){.by_hand = true}), 0);
    struct counter counter = {.fail_begin = -EIO};
    cleanup(worker_free_p) struct worker *worker = NULL;
    CHECK_INT(worker_new(&worker, loop, "test", &ops, &counter, WORKER_INLINE), 0);
    struct job a = job(0);
    worker_submit(worker, &a.work);
    worker_quiesce(worker);
    CHECK_INT(a.runs, 0);
    CHECK_INT(a.last, -EIO);
    CHECK_INT(counter.committed, 0);
}

TEST(a_thread_does_everything_once_and_quiesce_waits_for_what_done_submits)
{
    cleanup(loop_free_p) struct loop *loop = NULL;
    CHECK_INT(loop_new(&loop, NULL), 0);
    struct counter counter = {0};
    cleanup(worker_free_p) struct worker *worker = NULL;
    CHECK_INT(worker_new(&worker, loop, "test", &ops, &counter, WORKER_THREAD), 0);

    enum { JOBS = 1000 };
    static struct job jobs[JOBS];
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = job(0);
        jobs[i].again = worker;
        worker_submit(worker, &jobs[i].work);
        if (i % 7 == 0)
            (void)loop_turn(loop, 0);
    }
    worker_quiesce(worker);
    for (int i = 0; i < JOBS; i++) {
        CHECK_INT(jobs[i].runs, 2);
        CHECK_INT(jobs[i].dones, 2);
    }
    CHECK_INT(counter.run, 2 * JOBS);
}

static const struct worker_ops gathering_ops = {.begin = on_begin, .commit = on_commit};

TEST(what_waits_for_more_that_never_comes_is_done_all_the_same)
{
    enum { ROUNDS = 300 };
    cleanup(loop_free_p) struct loop *loop = NULL;
    CHECK_INT(loop_new(&loop, NULL), 0);
    struct counter counter = {0};
    cleanup(worker_free_p) struct worker *worker = NULL;
    CHECK_INT(worker_new(&worker, loop, "test", &gathering_ops, &counter, WORKER_THREAD), 0);
    worker_gather(worker, 4096);

    for (int i = 0; i < ROUNDS; i++) {
        struct job large = job(0), small = job(0);
        large.work.bytes = 1000;
        small.work.bytes = 1;
        worker_submit(worker, &large.work);
        while (!large.dones)
            CHECK(loop_turn(loop, -1) >= 0);
        worker_submit(worker, &small.work); /* while 1000 are waited for */
        if (i % 2)
            worker_quiesce(worker);
        while (!small.dones)
            CHECK(loop_turn(loop, -1) >= 0);
    }
    CHECK_INT(counter.run, 2 * ROUNDS);
}

TEST(a_finished_batch_wakes_a_sleeping_loop)
{
    cleanup(loop_free_p) struct loop *loop = NULL;
    CHECK_INT(loop_new(&loop, NULL), 0);
    struct counter counter = {0};
    cleanup(worker_free_p) struct worker *worker = NULL;
    CHECK_INT(worker_new(&worker, loop, "test", &ops, &counter, WORKER_THREAD), 0);
    struct job a = job(0);
    worker_submit(worker, &a.work);
    while (!a.dones) /* each turn sleeps until something happens */
        (void)loop_turn(loop, -1);
    CHECK_INT(a.runs, 1);
}

struct posted {
    struct note note;
    int runs;
};

static void on_posted(struct note *note)
{
    container_of(note, struct posted, note)->runs++;
}

enum { NOTES = 500 };
static struct posted notes[2][NOTES];

static void *post_all(void *arg)
{
    static int next;
    struct posted *mine = notes[__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)];
    for (int i = 0; i < NOTES; i++)
        inbox_post(arg, &mine[i].note);
    return NULL;
}

TEST(notes_from_foreign_threads_run_on_the_loop_once_each)
{
    cleanup(loop_free_p) struct loop *loop = NULL;
    CHECK_INT(loop_new(&loop, NULL), 0);
    cleanup(inbox_free_p) struct inbox *inbox = NULL;
    CHECK_INT(inbox_new(&inbox, loop), 0);
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < NOTES; i++)
            notes[t][i] = (struct posted){.note.run = on_posted};
    pthread_t threads[2];
    for (int t = 0; t < 2; t++)
        CHECK_INT(pthread_create(&threads[t], NULL, post_all, inbox), 0);
    for (int seen = 0; seen < 2 * NOTES;) {
        (void)loop_turn(loop, -1);
        seen = 0;
        for (int t = 0; t < 2; t++)
            for (int i = 0; i < NOTES; i++)
                seen += notes[t][i].runs;
    }
    for (int t = 0; t < 2; t++)
        CHECK_INT(pthread_join(threads[t], NULL), 0);
    inbox_drain(inbox);
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < NOTES; i++)
            CHECK_INT(notes[t][i].runs, 1);
}
