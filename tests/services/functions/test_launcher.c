#include "services/functions/launcher.h"

#include "rig/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINES_KEPT = 400 };

/* Starts the test's own child program and keeps what it says. */
struct nursery {
    struct rig *rig;
    struct child child;
    bool ended;
    int status;
    unsigned said;
    char lines[LINES_KEPT][CHILD_LINE_MAX + 1];
};

static void on_said(struct child *child, const char *line)
{
    struct nursery *nursery = container_of(child, struct nursery, child);
    if (nursery->said < LINES_KEPT)
        (void)snprintf(nursery->lines[nursery->said], CHILD_LINE_MAX + 1, "%s", line);
    nursery->said++;
}

static void on_ended(struct child *child, int status)
{
    struct nursery *nursery = container_of(child, struct nursery, child);
    nursery->ended = true;
    nursery->status = status;
}

static struct nursery *nursery_free(struct nursery *nursery)
{
    child_done(&nursery->child);
    nursery->rig = rig_free(nursery->rig);
    free(nursery);
    return NULL;
}
define_cleanup(struct nursery *, nursery_free)

static struct nursery *nursery_new(const char *what)
{
    struct nursery *nursery = mem_new(struct nursery);
    nursery->rig = rig_new();
    nursery->child.said = on_said;
    nursery->child.ended = on_ended;
    const char *const argv[] = {CHILD, "two words", what, NULL};
    CHECK_INT(child_start(&nursery->child, nursery->rig->loop, argv), 0);
    return nursery;
}

static int64_t seconds(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

/* Turns until it is so; the clock of the house stands still meanwhile. */
#define TURN_UNTIL(nursery, condition)                                                                       \
    for (int64_t end_ = seconds() + 60; !(condition);) {                                                     \
        if (seconds() > end_)                                                                                \
            FAIL("it does not happen: " #condition);                                                         \
        CHECK(loop_turn((nursery)->rig->loop, 0) >= 0);                                                      \
        (void)sched_yield();                                                                                 \
    }

static bool has_said(const struct nursery *nursery, const char *line)
{
    for (unsigned i = 0; i < nursery->said && i < LINES_KEPT; i++)
        if (strcmp(nursery->lines[i], line) == 0)
            return true;
    return false;
}

TEST(a_child_that_exits_tells_its_status_and_its_last_words)
{
    cleanup(nursery_free_p) struct nursery *nursery = nursery_new("exit");
    TURN_UNTIL(nursery, nursery->ended);
    CHECK_INT(WIFEXITED(nursery->status), 1);
    CHECK_INT(WEXITSTATUS(nursery->status), 3);
    CHECK_INT(nursery->said, 1);
    CHECK_STR(nursery->lines[0], "error: no use");
    CHECK_INT(nursery->child.pid, 0);
}

TEST(a_child_that_crashes_tells_its_signal)
{
    cleanup(nursery_free_p) struct nursery *nursery = nursery_new("crash");
    TURN_UNTIL(nursery, nursery->ended);
    cleanup_free char *text = child_status_text(nursery->status);
    CHECK_STR(text, "killed by signal 11 (Segmentation fault)");
}

TEST(a_program_that_does_not_exist_is_refused_at_once)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct child child = {.ended = on_ended};
    const char *const argv[] = {"/nowhere/at-all", NULL};
    CHECK_INT(child_start(&child, rig->loop, argv), -ENOENT);
    CHECK_INT(child.pid, 0);
    child_done(&child);
}

TEST(a_child_that_is_asked_to_stop_ends_by_sigterm)
{
    cleanup(nursery_free_p) struct nursery *nursery = nursery_new("stay");
    TURN_UNTIL(nursery, has_said(nursery, "up"));
    child_stop(&nursery->child);
    TURN_UNTIL(nursery, nursery->ended);
    CHECK_INT(WTERMSIG(nursery->status), SIGTERM);
}

TEST(a_child_that_does_not_listen_is_killed_after_two_seconds)
{
    cleanup(nursery_free_p) struct nursery *nursery = nursery_new("deaf");
    TURN_UNTIL(nursery, has_said(nursery, "up"));
    child_stop(&nursery->child);
    rig_wait(nursery->rig, CHILD_TERM_MS - 1);
    CHECK_INT(kill(nursery->child.pid, 0), 0);
    CHECK(!nursery->ended);
    rig_wait(nursery->rig, 1);
    TURN_UNTIL(nursery, nursery->ended);
    CHECK_INT(WTERMSIG(nursery->status), SIGKILL);
}

TEST(what_a_child_has_started_is_killed_with_it)
{
    cleanup(nursery_free_p) struct nursery *nursery = nursery_new("family");
    TURN_UNTIL(nursery, nursery->ended);
    CHECK_INT(nursery->said, 1);
    int pid = 0;
    CHECK_INT(sscanf(nursery->lines[0], "child %d", &pid), 1);
    /* It was adopted by init or a subreaper; whoever that is may take a moment to wait for it. */
    cleanup_free char *path = str_printf("/proc/%d/stat", pid);
    char state = 'S';
    for (int64_t end = seconds() + 60; state != 'Z' && state != 'X';) {
        FILE *file = fopen(path, "re");
        if (!file)
            break;
        CHECK_INT(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
        (void)fclose(file);
        CHECK(seconds() <= end);
    }
}

TEST(a_child_inherits_three_descriptors_and_little_environment)
{
    CHECK_INT(setenv("NOTIFY_SOCKET", "/run/secret", 1), 0);
    CHECK_INT(setenv("TZ", "UTC", 1), 0);
    cleanup(fd_close_p) int inherited = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(inherited >= 0);
    CHECK_INT(fcntl(inherited, F_SETFD, 0), 0); /* like one that we were started with */
    cleanup(nursery_free_p) struct nursery *nursery = nursery_new("know");
    TURN_UNTIL(nursery, nursery->ended);
    (void)unsetenv("NOTIFY_SOCKET");

    CHECK(has_said(nursery, "argument two words"));
    CHECK(has_said(nursery, "descriptor 0"));
    CHECK(has_said(nursery, "descriptor 1"));
    CHECK(has_said(nursery, "descriptor 2"));
    CHECK(!has_said(nursery, "descriptor 3"));
    CHECK(has_said(nursery, "variable TZ=UTC"));
    CHECK(!has_said(nursery, "variable NOTIFY_SOCKET=/run/secret"));
    CHECK(has_said(nursery, "group own"));
}

TEST(a_line_that_is_too_long_comes_in_pieces)
{
    cleanup(nursery_free_p) struct nursery *nursery = nursery_new("long");
    TURN_UNTIL(nursery, nursery->ended);
    CHECK_INT(nursery->said, 3);
    CHECK_INT((int64_t)strlen(nursery->lines[0]), CHILD_LINE_MAX);
    CHECK_INT((int64_t)strlen(nursery->lines[2]), 3000 - 2 * CHILD_LINE_MAX);
}

TEST(a_child_that_talks_too_much_is_not_listened_to_for_a_while)
{
    cleanup(nursery_free_p) struct nursery *nursery = nursery_new("talk"); /* 10,000 lines are 88,890 bytes */
    TURN_UNTIL(nursery, timer_is_running(&nursery->child.hearing));
    unsigned before = nursery->said;
    CHECK(before < 10000);
    rig_turn(nursery->rig);
    CHECK_INT(nursery->said, before);
    rig_wait(nursery->rig, 50);
    TURN_UNTIL(nursery, nursery->said == 10001);
}
