/* A process for tests of those who start processes. The last argument says what it does:
 *
 *      stay        says "up", ends by SIGTERM                  exit        "error: no use", exit status 3
 *      deaf        says "up", ignores SIGTERM                  crash       SIGSEGV
 *      talk        10,000 lines, then stays                    long        one line of 3000 letters
 *      know        its arguments, descriptors, environment and process group, then ends
 *      family      starts a child that ignores SIGTERM, says its pid, ends
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

extern char **environ;

static _Noreturn void stay(void)
{
    (void)printf("up\n");
    for (;;)
        (void)pause();
}

static int know(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        (void)printf("argument %s\n", argv[i]);
    for (int fd = 0; fd < 256; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            (void)printf("descriptor %d\n", fd);
    for (char **variable = environ; *variable; variable++)
        (void)printf("variable %s\n", *variable);
    (void)printf("group %s\n", getpgrp() == getpid() ? "own" : "shared");
    return 0;
}

static int family(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)signal(SIGTERM, SIG_IGN);
        for (;;)
            (void)pause();
    }
    (void)printf("child %d\n", (int)pid);
    return 0;
}

int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    const char *what = argv[argc - 1];
    if (strrchr(what, '/'))
        what = strrchr(what, '/') + 1;

    if (strcmp(what, "stay") == 0)
        stay();
    if (strcmp(what, "deaf") == 0) {
        (void)signal(SIGTERM, SIG_IGN);
        stay();
    }
    if (strcmp(what, "exit") == 0) {
        (void)fprintf(stderr, "error: no use\n");
        return 3;
    }
    if (strcmp(what, "crash") == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer may have taken it */
        (void)raise(SIGSEGV);
    }
    if (strcmp(what, "talk") == 0) {
        for (int i = 0; i < 10000; i++)
            (void)printf("line %d\n", i);
        stay();
    }
    if (strcmp(what, "long") == 0) {
        for (int i = 0; i < 3000; i++)
            (void)putchar('x');
        return 0;
    }
    if (strcmp(what, "know") == 0)
        return know(argc, argv);
    if (strcmp(what, "family") == 0)
        return family();
    return 64;
}
