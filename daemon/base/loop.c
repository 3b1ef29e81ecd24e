#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* What must hold: a watch, timer or task that was unwatched, stopped or forgotten is never called, not even later in
 * the same turn. Hence due watches are taken into a list first, from which unwatching removes them, and timers are
 * taken from the heap one by one.
 *
 * Timers: a binary heap by due time; each timer knows its place, so stopping one is cheap. The due time is in the heap
 * and not in the timer: settling looks at no timer's owner, and most timers of most owners are stopped. */

enum { EVENTS_A_TURN = 256, CALLBACK_BUDGET_US = 2000, HEAP_MIN = 64 };

struct moment {
    int64_t due; /* monotonic ms */
    struct timer *timer;
};

struct loop {
    int epoll;
    const struct clock *clock;
    int64_t now, wall;
    struct list due;
    struct list tasks[LOOP_PHASES];
    struct moment *heap; /* 1-based */
    uint32_t timers, heap_size;
    uint64_t slow, turns;
    bool stopping;
    int result;
};

static const struct clock system_clock;

int loop_new(struct loop **ret, const struct clock *clock)
{
    struct loop *loop = mem_new(struct loop);
    loop->clock = clock ? clock : &system_clock;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0) {
        int r = -errno;
        free(loop);
        return r;
    }
    list_init(&loop->due);
    for (int i = 0; i < LOOP_PHASES; i++)
        list_init(&loop->tasks[i]);
    loop->now = clock_mono(loop->clock);
    loop->wall = clock_wall(loop->clock);
    *ret = loop;
    return 0;
}

struct loop *loop_free(struct loop *loop)
{
    if (!loop)
        return NULL;
    (void)close(loop->epoll);
    free(loop->heap);
    free(loop);
    return NULL;
}

int64_t loop_now(const struct loop *loop)
{
    return loop->clock->by_hand ? loop->clock->mono : loop->now;
}

int64_t loop_wall(const struct loop *loop)
{
    return loop->clock->by_hand ? loop->clock->wall : loop->wall;
}

uint64_t loop_slow_callbacks(const struct loop *loop)
{
    return loop->slow;
}

uint64_t loop_turns(const struct loop *loop)
{
    return loop->turns;
}

/* ---- watches ---------------------------------------------------------------------------------------------------- */

static bool is_watched(const struct watch *watch)
{
    return watch->pending.next;
}

int loop_watch(struct loop *loop, struct watch *watch, unsigned events)
{
    bool watched = is_watched(watch);
    if (watched && watch->events == events)
        return 0;
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(loop->epoll, watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &event) < 0)
        return -errno;
    if (!watched)
        list_init(&watch->pending);
    watch->events = (uint16_t)events;
    return 0;
}

void loop_unwatch(struct loop *loop, struct watch *watch)
{
    if (!is_watched(watch))
        return;
    (void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    list_remove(&watch->pending);
    watch->pending = (struct list){0};
}

/* ---- timers ----------------------------------------------------------------------------------------------------- */

static void heap_set(struct loop *loop, uint32_t place, struct moment moment)
{
    loop->heap[place] = moment;
    moment.timer->place = place;
}

static void heap_settle(struct loop *loop, uint32_t place, struct moment moment)
{
    while (place > 1 && loop->heap[place / 2].due > moment.due) {
        heap_set(loop, place, loop->heap[place / 2]);
        place /= 2;
    }
    for (uint32_t child; (child = 2 * place) <= loop->timers; place = child) {
        if (child < loop->timers && loop->heap[child + 1].due < loop->heap[child].due)
            child++;
        if (loop->heap[child].due >= moment.due)
            break;
        heap_set(loop, place, loop->heap[child]);
    }
    heap_set(loop, place, moment);
}

static void heap_resize(struct loop *loop, uint32_t size)
{
    struct moment *heap = realloc(loop->heap, size * sizeof *heap);
    if (!heap)
        abort(); /* sixteen bytes a timer: the rule of mem_new() */
    loop->heap = heap;
    loop->heap_size = size;
}

void timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms)
{
    /* At least one millisecond: a timer that restarts itself with none would keep its turn from ending. */
    struct moment moment = {loop_now(loop) + (delay_ms > 1 ? delay_ms : 1), timer};
    if (timer->place) {
        heap_settle(loop, timer->place, moment);
        return;
    }
    if (loop->timers + 1 >= loop->heap_size)
        heap_resize(loop, loop->heap_size ? 2 * loop->heap_size : HEAP_MIN);
    heap_settle(loop, ++loop->timers, moment);
}

void timer_stop(struct loop *loop, struct timer *timer)
{
    uint32_t place = timer->place;
    if (!place)
        return;
    struct moment last = loop->heap[loop->timers--];
    timer->place = 0;
    if (last.timer != timer)
        heap_settle(loop, place, last);
    if (loop->heap_size > HEAP_MIN && loop->timers < loop->heap_size / 8)
        heap_resize(loop, loop->heap_size / 2);
}

/* ---- tasks ------------------------------------------------------------------------------------------------------ */

void loop_at(struct loop *loop, enum loop_phase phase, struct task *task)
{
    if (!list_is_linked(&task->link))
        list_append(&loop->tasks[phase], &task->link);
}

void loop_forget(struct task *task)
{
    list_remove(&task->link);
}

/* ---- the turn --------------------------------------------------------------------------------------------------- */

static int64_t microseconds(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Accounts for the callback that ended just now. */
static void count_slow(struct loop *loop, int64_t *last)
{
    int64_t now = microseconds();
    if (now - *last > CALLBACK_BUDGET_US)
        loop->slow++;
    *last = now;
}

static int time_to_wait(struct loop *loop, int wait_ms)
{
    for (int i = 0; i < LOOP_PHASES; i++)
        if (!list_is_empty(&loop->tasks[i]))
            return 0;
    if (loop->clock->by_hand)
        return 0;
    if (!loop->timers)
        return wait_ms;
    int64_t left = loop->heap[1].due - clock_mono(loop->clock);
    if (left < 0)
        left = 0;
    if (wait_ms >= 0 && wait_ms < left)
        return wait_ms;
    return left > INT_MAX ? INT_MAX : (int)left;
}

int loop_turn(struct loop *loop, int wait_ms)
{
    struct epoll_event events[EVENTS_A_TURN];
    int n = epoll_wait(loop->epoll, events, EVENTS_A_TURN, time_to_wait(loop, wait_ms));
    if (n < 0 && errno != EINTR)
        return -errno;
    loop->turns++;
    loop->now = clock_mono(loop->clock);
    loop->wall = clock_wall(loop->clock);

    int calls = 0;
    int64_t last = microseconds();

    /* Take all first: a callback may unwatch others, and nobody is called twice in one turn. */
    for (int i = 0; i < n; i++) {
        struct watch *watch = events[i].data.ptr;
        watch->fired = (uint16_t)events[i].events;
        list_append(&loop->due, &watch->pending);
    }
    for (struct list *link; (link = list_pop(&loop->due)); calls++) {
        struct watch *watch = list_entry(link, struct watch, pending);
        watch->ready(watch, watch->fired);
        count_slow(loop, &last);
    }
    for (; loop->timers && loop->heap[1].due <= loop_now(loop); calls++) {
        struct timer *timer = loop->heap[1].timer;
        timer_stop(loop, timer);
        timer->fire(timer);
        count_slow(loop, &last);
    }
    for (int phase = 0; phase < LOOP_PHASES; phase++)
        for (struct list *link; (link = list_pop(&loop->tasks[phase])); calls++) {
            struct task *task = list_entry(link, struct task, link);
            task->run(task);
            count_slow(loop, &last);
        }
    return calls;
}

int loop_run(struct loop *loop)
{
    loop->stopping = false;
    while (!loop->stopping) {
        int r = loop_turn(loop, -1);
        if (r < 0)
            return r;
    }
    return loop->result;
}

void loop_stop(struct loop *loop, int r)
{
    loop->stopping = true;
    loop->result = r;
}
