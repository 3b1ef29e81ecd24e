#include "cloud/cloud_rig.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LIMIT = 60 * 1000 };

const struct clock cloud_rig_clock;
static struct cloud_rig *logged;

/* Paho's own leaks are known and bounded (daemon/cloud/mqtt_link_paho.c). That every handle is given back is counted by
 * test_mqtt_link. */
const char *__lsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:libpaho-mqtt3as\n";
}

static void on_log(enum log_level level, const char *line)
{
    if (!logged || level > LOG_LEVEL_NOTICE)
        return;
    size_t len = strlen(logged->log);
    (void)snprintf(logged->log + len, sizeof logged->log - len, "%s\n", line);
}

void cloud_rig_init(struct cloud_rig *rig)
{
    *rig = (struct cloud_rig){0};
    CHECK_INT(loop_new(&rig->loop, NULL), 0);
    logged = rig;
    log_capture(on_log);
}

void cloud_rig_done(struct cloud_rig *rig)
{
    log_capture(NULL);
    logged = NULL;
    rig->loop = loop_free(rig->loop);
}

void cloud_rig_turn(struct cloud_rig *rig, int64_t begun, const char *what, const char *file, int line)
{
    CHECK(loop_turn(rig->loop, 20) >= 0);
    if (rig->each_turn)
        rig->each_turn(rig->self);
    if (clock_mono(&cloud_rig_clock) - begun <= LIMIT)
        return;
    print_error("never came true: %s\nthe log:\n%s", what, rig->log);
    _fail(file, line);
}

uint16_t cloud_rig_free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, len) == 0 &&
          getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    (void)close(fd);
    return ntohs(at.sin_port);
}

unsigned cloud_rig_logged(const struct cloud_rig *rig, const char *text)
{
    unsigned count = 0;
    for (const char *at = rig->log; (at = strstr(at, text)); at++)
        count++;
    return count;
}
