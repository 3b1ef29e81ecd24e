#include "services/timekeeper/timekeeper.h"

#include "base/json_write.h"
#include "base/log.h"
#include "bus/topics.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MINUTE = 60 * 1000, TOUCH_EVERY = 60 * MINUTE, BELIEVE_AFTER = 15 * MINUTE };
#define DAY_MS INT64_C(86400000) /* clocks of build machines and time zones of file systems */

struct timekeeper {
    struct bus *bus;
    int file;             /* whose modification time is the last time seen; -1: there is none */
    int64_t built, floor; /* wall ms */
    struct watch setting; /* a timer that the kernel cancels when the clock is set; fd -1: there is none */
    struct timer hour, patience;
    bool said, set;
};

static struct loop *loop_of(const struct timekeeper *keeper)
{
    return bus_loop(keeper->bus);
}

static void say(struct timekeeper *keeper, bool set)
{
    struct arena arena = {0};
    struct json_writer w;
    if (keeper->said && keeper->set == set)
        return;
    keeper->said = true;
    keeper->set = set;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "set");
    json_put_bool(&w, set);
    json_key(&w, "floor");
    json_put_int(&w, keeper->floor);
    json_key(&w, "reason");
    json_put_string(&w, set ? NULL : "the clock is behind the last time that is known");
    json_end_object(&w);
    bus_say(keeper->bus, TOPIC_STATUS_CLOCK, json_writer_text(&w, NULL), BUS_KEEP);
    arena_done(&arena);
}

static void touch(struct timekeeper *keeper)
{
    int64_t wall = loop_wall(loop_of(keeper));
    const struct timespec now = {.tv_sec = (time_t)(wall / 1000)};
    if (keeper->file >= 0 && keeper->set)
        (void)futimens(keeper->file, (const struct timespec[]){now, now});
}

static void on_hour(struct timer *timer)
{
    struct timekeeper *keeper = container_of(timer, struct timekeeper, hour);
    touch(keeper);
    timer_start(loop_of(keeper), timer, TOUCH_EVERY);
}

static void believe(struct timekeeper *keeper)
{
    timer_stop(loop_of(keeper), &keeper->patience);
    if (keeper->said && !keeper->set)
        log_notice("the clock has been set");
    say(keeper, true);
    touch(keeper);
}

/* by_somebody: it has just been set. */
static void look(struct timekeeper *keeper, bool by_somebody)
{
    int64_t wall = loop_wall(loop_of(keeper));
    if (wall >= keeper->floor - DAY_MS || (by_somebody && wall >= keeper->built - DAY_MS)) {
        believe(keeper);
        return;
    }
    if (!keeper->said || keeper->set)
        log_warning(
            "the clock is behind the last time that is known: what checks certificates waits until it is set");
    say(keeper, false);
    timer_start(loop_of(keeper), &keeper->patience, BELIEVE_AFTER);
}

static void on_patience_over(struct timer *timer)
{
    struct timekeeper *keeper = container_of(timer, struct timekeeper, patience);
    if (loop_wall(loop_of(keeper)) >= keeper->built - DAY_MS)
        believe(keeper);
    else
        timer_start(loop_of(keeper), timer, BELIEVE_AFTER);
}

/* ---- who sets the clock ------------------------------------------------------------------------------------------ */

static void arm(struct timekeeper *keeper)
{
    /* Beyond what the kernel's clock can be set to: one that had come would be ready for ever. */
    const struct itimerspec never = {.it_value.tv_sec = sizeof(time_t) > 4 ? (time_t)INT64_MAX : INT32_MAX};
    (void)timerfd_settime(keeper->setting.fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

static void on_set(struct watch *watch, unsigned events)
{
    struct timekeeper *keeper = container_of(watch, struct timekeeper, setting);
    uint64_t count;
    (void)events;
    (void)!read(watch->fd, &count, sizeof count); /* ECANCELED, mostly: that is the news */
    arm(keeper);
    look(keeper, true);
}

void timekeeper_clock_was_set(struct timekeeper *keeper)
{
    look(keeper, true);
}

static int watch_clock(struct timekeeper *keeper)
{
    keeper->setting =
        (struct watch){.ready = on_set, .fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK)};
    if (keeper->setting.fd < 0)
        return -errno;
    arm(keeper);
    return loop_watch(loop_of(keeper), &keeper->setting, EPOLLIN);
}

static int64_t last_seen(struct timekeeper *keeper, const char *file)
{
    bool fresh = access(file, F_OK) < 0;
    struct stat st;
    keeper->file = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (keeper->file < 0)
        log_warning("%s: cannot be opened, so the last time that is seen will not be known: %s", file,
                    strerror(errno));
    if (keeper->file < 0 || fresh || fstat(keeper->file, &st) < 0)
        return 0;
    return (int64_t)st.st_mtim.tv_sec * 1000;
}

int timekeeper_new(struct timekeeper **ret, struct bus *bus, const char *file, int64_t built_s)
{
    cleanup(timekeeper_free_p) struct timekeeper *keeper = mem_new(struct timekeeper);
    keeper->bus = bus;
    keeper->setting.fd = keeper->file = -1;
    keeper->hour.fire = on_hour;
    keeper->patience.fire = on_patience_over;
    keeper->built = built_s * 1000;
    int64_t seen = last_seen(keeper, file);
    keeper->floor = seen > keeper->built ? seen : keeper->built;
    int r = watch_clock(keeper);
    if (r < 0)
        return r;
    look(keeper, false);
    timer_start(loop_of(keeper), &keeper->hour, TOUCH_EVERY);
    *ret = steal(keeper);
    return 0;
}

struct timekeeper *timekeeper_free(struct timekeeper *keeper)
{
    if (!keeper)
        return NULL;
    touch(keeper);
    timer_stop(loop_of(keeper), &keeper->hour);
    timer_stop(loop_of(keeper), &keeper->patience);
    loop_unwatch(loop_of(keeper), &keeper->setting);
    fd_close_p(&keeper->setting.fd);
    fd_close_p(&keeper->file);
    free(keeper);
    return NULL;
}
