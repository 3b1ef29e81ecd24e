/* The loop: one thread, one epoll_wait a turn, and a turn that has an order.
 *
 *      epoll ─▶ callbacks            ─▶ ROUTE        ─▶ HAND_OVER   ─▶ FLUSH ─▶ epoll
 *               sockets, timers,        the bus         workers        connections
 *               workers' results        drains          take work      write
 *
 * Everything one turn received is routed before anything is stored, stored in one batch with one sync, and answered in
 * one write per connection. The order is this enum, not the order of registration.
 *
 * Watches, timers and tasks are members of their owners: registering them cannot fail (but for the system's own limit
 * on epoll), and their callbacks find the owner with container_of(). A callback has a budget of two milliseconds; the
 * loop counts those that take longer.
 */
#pragma once

#include "base/clock.h"
#include "base/list.h"

struct loop;

enum loop_phase { LOOP_ROUTE, LOOP_HAND_OVER, LOOP_FLUSH, LOOP_PHASES };

/* A descriptor's readiness. events and ready's argument are EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP. Level-triggered. */
struct watch {
    void (*ready)(struct watch *watch, unsigned events);
    struct list pending; /* private: linked while due in this turn; zero while not watched */
    int fd;
    uint16_t events; /* private: what is asked of epoll now */
    uint16_t fired;  /* private: what this turn's epoll_wait said */
};

/* A moment. fire() is called once per start. */
struct timer {
    void (*fire)(struct timer *timer);
    uint32_t place; /* private: 1-based place in the heap, 0 when stopped */
};

/* Something to do in a phase of this turn; loop_at() again from inside asks for another call. */
struct task {
    void (*run)(struct task *task);
    struct list link; /* private */
};

/* clock: NULL for the system's. A clock moved by hand makes loop_turn() never sleep. */
int loop_new(struct loop **ret, const struct clock *clock) must_check;
struct loop *loop_free(struct loop *loop);
define_cleanup(struct loop *, loop_free)

    /* One turn: waits at most wait_ms (-1: until something happens) unless there is work already. Returns how many
 * callbacks and tasks ran, or -errno. */
    int loop_turn(struct loop *loop, int wait_ms);
/* Turns until loop_stop(); returns what was given to it. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop, int r);

/* Time of this turn, monotonic and wall, in milliseconds. */
int64_t loop_now(const struct loop *loop);
int64_t loop_wall(const struct loop *loop);
/* Callbacks that took longer than the budget, so far; turns so far. */
uint64_t loop_slow_callbacks(const struct loop *loop);
uint64_t loop_turns(const struct loop *loop);

/* Watches a descriptor, or changes what is asked (events may be 0: only errors). The watch keeps its place in memory
 * until loop_unwatch(), which comes before the descriptor is closed and may come from inside any callback. */
int loop_watch(struct loop *loop, struct watch *watch, unsigned events) must_check;
void loop_unwatch(struct loop *loop, struct watch *watch);

/* (Re)starts a timer: it fires delay_ms from now, in the turn in which that moment has come. */
void timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms);
void timer_stop(struct loop *loop, struct timer *timer);
static inline bool timer_is_running(const struct timer *timer)
{
    return timer->place != 0;
}

/* Asks for one call in that phase: of this turn if it is still to come or going on, else of the next, which then
 * begins without sleeping. Asking twice is asking once. */
void loop_at(struct loop *loop, enum loop_phase phase, struct task *task);
void loop_forget(struct task *task);
