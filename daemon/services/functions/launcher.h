/* A child process: started, watched through a pidfd, its words turned into lines, and ended.
 *
 * The child gets /dev/null to read from, one pipe for what it writes (both outputs), a process group of its
 * own, default signals, and a small environment: nothing that the daemon was told in confidence. No
 * descriptor is inherited. Whatever it has started is killed together with it.
 *
 * Loop's thread. Embedded in its owner, who outlives it: child_done() before the memory goes away.
 */
#pragma once

#include "base/loop.h"

#include <sys/types.h>

enum { CHILD_LINE_MAX = 1024, CHILD_TERM_MS = 2000 };

struct child {
    /* Set by the owner before child_start(). */
    void (*said)(struct child *child,
                 const char *line); /* without the newline; a line that is too long comes in pieces */
    void (*ended)(struct child *child,
                  int status); /* as waitpid() has it; child_start() may be called from here */
    const char *const
        *environment; /* NAME=VALUE, the last NULL: besides what it gets anyway; NULL: nothing */
    pid_t pid;        /* read only; 0 when there is no process */
    /* private */
    struct loop *loop;
    struct watch process, output;
    struct timer timer;   /* SIGKILL */
    struct timer hearing; /* listens again to a child that talked too much */
    size_t heard;         /* bytes since listening began */
    int64_t since;
    size_t len;
    char line[CHILD_LINE_MAX + 1];
};

/* argv ends with NULL; argv[0] is the path of the program. -errno when it cannot be started. */
int child_start(struct child *child, struct loop *loop, const char *const argv[]) must_check;
/* SIGTERM now, SIGKILL after CHILD_TERM_MS; ended() says when it is over. */
void child_stop(struct child *child);
/* SIGKILL; ended() says when it is over. */
void child_kill(struct child *child);
/* Kills and waits, without callbacks. For shutdown: SIGKILL does not take long. */
void child_done(struct child *child);

/* "exited with status 1", "killed by signal 11 (Segmentation fault)": free it. */
char *child_status_text(int status) must_check;
