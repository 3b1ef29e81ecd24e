#include "base/loop.h"

#include "rig/test.h"

#include <sys/epoll.h>
#include <unistd.h>

struct probe {
    struct loop *loop;
    struct timer timer;
    struct task task;
    struct watch watch;
    struct probe *other;
    int64_t due;
    int calls;
};

static char order[64];

static void note(char c)
{
    size_t len = strlen(order);
    order[len] = c;
    order[len + 1] = '\0';
}

static struct clock by_hand(void)
{
    return (struct clock){.by_hand = true, .mono = 1000, .wall = 1760000000000};
}

static void on_route(struct task *task)
{
    (void)task;
    note('R');
}

static void on_flush(struct task *task)
{
    (void)task;
    note('F');
}

static void on_hand_over(struct task *task)
{
    struct probe *probe = container_of(task, struct probe, task);
    note('H');
    loop_at(probe->loop, LOOP_ROUTE, &probe->other->task); /* its phase is over: the next turn's */
}

TEST(phases_run_in_the_order_of_the_house_and_not_of_registration)
{
    order[0] = '\0';
    cleanup(loop_free_p) struct loop *loop = NULL;
    struct clock clock = by_hand();
    CHECK_INT(loop_new(&loop, &clock), 0);
    struct probe route = {.task.run = on_route}, flush = {.task.run = on_flush};
    struct probe hand_over = {.loop = loop, .task.run = on_hand_over, .other = &route};

    loop_at(loop, LOOP_FLUSH, &flush.task);
    loop_at(loop, LOOP_HAND_OVER, &hand_over.task);
    loop_at(loop, LOOP_ROUTE, &route.task);
    loop_at(loop, LOOP_ROUTE, &route.task); /* asking twice is asking once */
    CHECK_INT(loop_turn(loop, -1), 3);
    CHECK_STR(order, "RHF");

    CHECK_INT(loop_turn(loop, -1), 1); /* does not sleep: there is work */
    CHECK_STR(order, "RHFR");
}

static void on_timer(struct timer *timer)
{
    struct probe *probe = container_of(timer, struct probe, timer);
    probe->calls++;
    if (probe->other)
        timer_stop(probe->loop, &probe->other->timer);
}

TEST(a_timer_fires_once_when_its_moment_has_come)
{
    cleanup(loop_free_p) struct loop *loop = NULL;
    struct clock clock = by_hand();
    CHECK_INT(loop_new(&loop, &clock), 0);
    struct probe probe = {.loop = loop, .timer.fire = on_timer};

    timer_start(loop, &probe.timer, 50);
    clock_move(&clock, 49);
    (void)loop_turn(loop, 0);
    CHECK_INT(probe.calls, 0);
    clock_move(&clock, 1);
    (void)loop_turn(loop, 0);
    CHECK_INT(probe.calls, 1);
    clock_move(&clock, 1000);
    (void)loop_turn(loop, 0);
    CHECK_INT(probe.calls, 1);
    CHECK(!timer_is_running(&probe.timer));
}

TEST(a_timer_stopped_by_another_in_the_same_turn_does_not_fire)
{
    cleanup(loop_free_p) struct loop *loop = NULL;
    struct clock clock = by_hand();
    CHECK_INT(loop_new(&loop, &clock), 0);
    struct probe second = {.loop = loop, .timer.fire = on_timer};
    struct probe first = {.loop = loop, .timer.fire = on_timer, .other = &second};
    timer_start(loop, &second.timer, 20);
    timer_start(loop, &first.timer, 10);
    clock_move(&clock, 30);
    (void)loop_turn(loop, 0);
    CHECK_INT(first.calls, 1);
    CHECK_INT(second.calls, 0);
}

static int64_t fired_at;

static void on_ordered(struct timer *timer)
{
    struct probe *probe = container_of(timer, struct probe, timer);
    CHECK(probe->due >= fired_at);
    fired_at = probe->due;
    probe->calls++;
}

TEST(many_timers_fire_in_order_whatever_the_order_of_starting_and_stopping)
{
    cleanup(loop_free_p) struct loop *loop = NULL;
    struct clock clock = by_hand();
    CHECK_INT(loop_new(&loop, &clock), 0);
    static struct probe probes[1000];
    memset(probes, 0, sizeof probes);
    uint32_t random = 12345;
    for (int round = 0; round < 5000; round++) {
        random = random * 1664525 + 1013904223;
        struct probe *probe = &probes[(random >> 8) % 1000];
        probe->timer.fire = on_ordered;
        if (random >> 31) {
            timer_stop(loop, &probe->timer);
        } else {
            probe->due = 1 + (random >> 4) % 10000;
            timer_start(loop, &probe->timer, probe->due);
        }
    }
    int running = 0;
    for (int i = 0; i < 1000; i++)
        running += timer_is_running(&probes[i].timer);
    fired_at = 0;
    clock_move(&clock, 20000);
    CHECK_INT(loop_turn(loop, 0), running);
    for (int i = 0; i < 1000; i++)
        CHECK(!timer_is_running(&probes[i].timer));
}

static void on_ready(struct watch *watch, unsigned events)
{
    struct probe *probe = container_of(watch, struct probe, watch);
    CHECK(events & EPOLLIN);
    probe->calls++;
    loop_unwatch(probe->loop, &probe->other->watch);
}

TEST(a_watch_removed_by_another_callback_of_the_turn_is_not_called)
{
    cleanup(loop_free_p) struct loop *loop = NULL;
    CHECK_INT(loop_new(&loop, NULL), 0);
    int a[2], b[2];
    CHECK_INT(pipe(a), 0);
    CHECK_INT(pipe(b), 0);
    struct probe first = {.loop = loop, .watch = {.fd = a[0], .ready = on_ready}};
    struct probe second = {.loop = loop, .watch = {.fd = b[0], .ready = on_ready}, .other = &first};
    first.other = &second;
    CHECK_INT(loop_watch(loop, &first.watch, EPOLLIN), 0);
    CHECK_INT(loop_watch(loop, &second.watch, EPOLLIN), 0);
    CHECK_INT(write(a[1], "x", 1), 1);
    CHECK_INT(write(b[1], "x", 1), 1);
    CHECK_INT(loop_turn(loop, 0), 1); /* whoever came first removed the other */
    CHECK_INT(first.calls + second.calls, 1);
    loop_unwatch(loop, &first.watch);
    loop_unwatch(loop, &second.watch);
    for (int i = 0; i < 2; i++) {
        (void)close(a[i]);
        (void)close(b[i]);
    }
}

static void on_stop(struct timer *timer)
{
    loop_stop(container_of(timer, struct probe, timer)->loop, 42);
}

TEST(run_turns_until_stopped_and_returns_what_it_was_given)
{
    cleanup(loop_free_p) struct loop *loop = NULL;
    CHECK_INT(loop_new(&loop, NULL), 0);
    struct probe probe = {.loop = loop, .timer.fire = on_stop};
    timer_start(loop, &probe.timer, 1);
    CHECK_INT(loop_run(loop), 42);
}
