#include "cloud/mosquitto.h"

#include "cloud/cloud_rig.h"
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *program(void)
{
    static const char *const places[] = {"/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto",
                                         "/usr/bin/mosquitto"};
    for (size_t i = 0; i < array_size(places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

bool mosquitto_exists(void)
{
    return program() != NULL;
}

void mosquitto_init(struct mosquitto *broker, const char *configuration)
{
    *broker = (struct mosquitto){.folder = folder_new(), .port = cloud_rig_free_port(), .log_fd = -1};
    cleanup_free char *path = str_printf("%s/mosquitto.conf", broker->folder);
    FILE *file = fopen(path, "we");
    CHECK(file);
    (void)fprintf(file, "user root\nlistener %u 127.0.0.1\npersistence false\nlog_type all\n%s", broker->port,
                  configuration);
    CHECK_INT(fclose(file), 0);
}

void mosquitto_done(struct mosquitto *broker)
{
    if (broker->pid)
        mosquitto_end(broker, SIGKILL);
    fd_close_p(&broker->log_fd);
    free(broker->log);
    broker->folder = folder_free(broker->folder);
}

/* One read; false when there is nothing (now, or any more). */
static bool take(struct mosquitto *broker)
{
    enum { PIECE = 16384 };
    if (broker->log_size - broker->log_len < PIECE + 1) {
        broker->log_size = 2 * broker->log_size + 2 * PIECE;
        broker->log = realloc(broker->log, broker->log_size);
        CHECK(broker->log);
    }
    ssize_t n = read(broker->log_fd, broker->log + broker->log_len, PIECE);
    if (n > 0)
        broker->log_len += (size_t)n;
    broker->log[broker->log_len] = '\0';
    return n > 0;
}

static void run(const char *path, int log_fd)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it does not outlive a test that died */
    if (dup2(log_fd, STDERR_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0)
        _exit(1);
    (void)execl(program(), "mosquitto", "-c", path, (char *)NULL);
    _exit(1);
}

void mosquitto_start(struct mosquitto *broker)
{
    cleanup_free char *path = str_printf("%s/mosquitto.conf", broker->folder);
    int ends[2];
    CHECK(!broker->pid);
    CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
    broker->pid = fork();
    CHECK(broker->pid >= 0);
    if (broker->pid == 0)
        run(path, ends[1]);
    (void)close(ends[1]);
    fd_close_p(&broker->log_fd);
    broker->log_fd = ends[0];

    unsigned before = mosquitto_said(broker, " running\n");
    while (mosquitto_said(broker, " running\n") == before)
        if (!take(broker))
            FAIL("mosquitto ended before it listened:\n%s", broker->log);
    CHECK(fcntl(broker->log_fd, F_SETFL, O_NONBLOCK) == 0);
}

void mosquitto_read(struct mosquitto *broker)
{
    while (broker->log_fd >= 0 && take(broker))
        continue;
}

void mosquitto_end(struct mosquitto *broker, int signal_number)
{
    CHECK(broker->pid > 0);
    (void)kill(broker->pid, signal_number);
    CHECK(waitpid(broker->pid, NULL, 0) == broker->pid);
    broker->pid = 0;
    mosquitto_read(broker);
}

unsigned mosquitto_said(struct mosquitto *broker, const char *text)
{
    unsigned count = 0;
    for (const char *at = broker->log; at && (at = strstr(at, text)); at++)
        count++;
    return count;
}
