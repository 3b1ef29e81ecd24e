#include "services/functions/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* posix_spawn() and not fork(): the daemon has threads, and between fork() and exec() next to nothing would
 * be allowed. What has to happen in the child before foreign code runs (limits, dying with the parent) is
 * done by the program that is started, which is ours.
 *
 * Until the child has been waited for, its pid cannot be given to anybody else. So the group is killed first,
 * by that number, and then the child is waited for.
 *
 * A child that talks without end costs at most HEARD_MAX bytes each HEARD_MS: beyond, it is not listened to
 * until the time is over, and waits in write(), shortly. */

enum { HEARD_MAX = 64 * 1024, HEARD_MS = 50, MORE_MAX = 8 };

/* What a child may know of our environment. */
static const char *const passed_on[] = {"PATH",         "LANG",         "LC_ALL",          "TZ",
                                        "TMPDIR",       "HOME",         "LD_LIBRARY_PATH", "ASAN_OPTIONS",
                                        "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"};

static void make_environment(char *variables[array_size(passed_on) + MORE_MAX + 1], const char *const *more)
{
    size_t n = 0;
    for (size_t i = 0; i < array_size(passed_on); i++) {
        const char *value = getenv(passed_on[i]);
        if (value)
            variables[n++] = str_printf("%s=%s", passed_on[i], value);
    }
    for (size_t i = 0; more && more[i] && i < MORE_MAX; i++)
        variables[n++] = str_copy(more[i]);
    variables[n] = NULL;
}

static void free_environment(char **variables)
{
    for (; *variables; variables++) {
        explicit_bzero(*variables, strlen(*variables)); /* a token may be among them */
        free(*variables);
    }
}

static int spawn(pid_t *ret, const char *const argv[], const char *const *more, int output)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int r = posix_spawn_file_actions_init(&actions);
    if (r)
        return -r;
    r = posix_spawnattr_init(&attributes);
    if (r) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
    }

    sigset_t none, all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setflags(&attributes,
                                   POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!r)
        r = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (!r)
        r = posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
    if (!r) /* whatever we were started with is not for a child, either */
        r = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);

    if (!r) {
        char *environment[array_size(passed_on) + MORE_MAX + 1];
        make_environment(environment, more);
        r = posix_spawn(ret, argv[0], &actions, &attributes, (char *const *)argv, environment);
        free_environment(environment);
    }
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return -r;
}

/* ---- what it says -------------------------------------------------------------------------------------- */

static void say_line(struct child *child)
{
    child->line[child->len] = '\0';
    child->len = 0;
    if (child->said)
        child->said(child, child->line);
}

static void take_output(struct child *child, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n') {
            say_line(child);
            continue;
        }
        if (child->len == CHILD_LINE_MAX)
            say_line(child);
        child->line[child->len++] = bytes[i] ? bytes[i] : '?';
    }
}

static void close_output(struct child *child)
{
    if (child->output.fd < 0)
        return;
    timer_stop(child->loop, &child->hearing);
    loop_unwatch(child->loop, &child->output);
    fd_close_p(&child->output.fd);
    if (child->len)
        say_line(child);
}

/* Reads what is there now; false when there is nothing more. */
static bool read_output(struct child *child)
{
    char bytes[4096];
    ssize_t n = read(child->output.fd, bytes, sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        close_output(child);
        return false;
    }
    take_output(child, bytes, (size_t)n);
    child->heard += (size_t)n;
    return true;
}

static void on_output(struct watch *watch, unsigned events)
{
    (void)events;
    struct child *child = container_of(watch, struct child, output);
    int64_t now = loop_now(child->loop);
    if (now - child->since >= HEARD_MS) {
        child->since = now;
        child->heard = 0;
    }
    (void)read_output(child);
    if (child->output.fd >= 0 && child->heard >= HEARD_MAX) {
        loop_unwatch(child->loop, &child->output);
        timer_start(child->loop, &child->hearing, HEARD_MS);
    }
}

static void on_hearing(struct timer *timer)
{
    struct child *child = container_of(timer, struct child, hearing);
    if (loop_watch(child->loop, &child->output, EPOLLIN) < 0)
        close_output(child);
}

/* ---- its end ------------------------------------------------------------------------------------------- */

/* Gives everything back but what the owner set. Returns the status. */
static int reap(struct child *child)
{
    (void)kill(-child->pid, SIGKILL);
    siginfo_t info = {0};
    int status = 0;
    if (waitid(P_PIDFD, (id_t)child->process.fd, &info, WEXITED) == 0)
        status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
    timer_stop(child->loop, &child->timer);
    loop_unwatch(child->loop, &child->process);
    fd_close_p(&child->process.fd);
    child->pid = 0;
    return status;
}

static void on_process(struct watch *watch, unsigned events)
{
    (void)events;
    struct child *child = container_of(watch, struct child, process);
    /* Its last words: what is in the pipe is limited, and nobody adds to it any more. */
    for (size_t limit = HEARD_MAX; limit && child->output.fd >= 0 && read_output(child); limit -= 4096)
        continue;
    close_output(child);
    int status = reap(child);
    child->ended(child, status);
}

static void on_patience(struct timer *timer)
{
    child_kill(container_of(timer, struct child, timer));
}

int child_start(struct child *child, struct loop *loop, const char *const argv[])
{
    child->loop = loop;
    child->process = (struct watch){.fd = -1, .ready = on_process};
    child->output = (struct watch){.fd = -1, .ready = on_output};
    child->timer.fire = on_patience;
    child->hearing.fire = on_hearing;
    child->len = child->heard = 0;
    child->since = loop_now(loop);

    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    cleanup(fd_close_p) int write_end = ends[1];
    child->output.fd = ends[0];
    /* Our end only: the child's would be non-blocking for whatever it runs. */
    int r = fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
    if (r == 0)
        r = loop_watch(loop, &child->output, EPOLLIN);
    if (r == 0)
        r = spawn(&child->pid, argv, child->environment, write_end);
    if (r < 0) {
        child->pid = 0;
        close_output(child);
        return r;
    }

    child->process.fd = pidfd_open(child->pid, 0);
    r = child->process.fd < 0 ? -errno : loop_watch(loop, &child->process, EPOLLIN);
    if (r < 0) {
        (void)kill(-child->pid, SIGKILL);
        (void)waitpid(child->pid, NULL, 0);
        fd_close_p(&child->process.fd);
        child->pid = 0;
        close_output(child);
    }
    return r;
}

void child_stop(struct child *child)
{
    if (!child->pid || timer_is_running(&child->timer))
        return;
    (void)kill(child->pid, SIGTERM);
    timer_start(child->loop, &child->timer, CHILD_TERM_MS);
}

void child_kill(struct child *child)
{
    if (child->pid)
        (void)kill(-child->pid, SIGKILL);
}

void child_done(struct child *child)
{
    if (!child->loop)
        return;
    child->said = NULL;
    if (child->pid)
        (void)reap(child);
    close_output(child);
}

char *child_status_text(int status)
{
    if (WIFEXITED(status))
        return str_printf("exited with status %d", WEXITSTATUS(status));
    return str_printf("killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
}
