#include "notify.h"

#include "base/base.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;
    if (len < 2 || len >= sizeof address.sun_path || (*path != '/' && *path != '@'))
        return;
    memcpy(address.sun_path, path, len);
    if (*path == '@') /* an abstract socket */
        address.sun_path[0] = '\0';
    cleanup(fd_close_p) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    ssize_t n = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    (void)n; /* whoever should have heard it will ask in his own way */
}

static uint64_t number_of(const char *variable)
{
    const char *text = getenv(variable);
    char *end;
    uint64_t number = text ? strtoull(text, &end, 10) : 0;
    return text && *text && !*end ? number : 0;
}

uint64_t notify_watchdog_us(void)
{
    uint64_t pid = number_of("WATCHDOG_PID");
    return !pid || pid == (uint64_t)getpid() ? number_of("WATCHDOG_USEC") : 0;
}
