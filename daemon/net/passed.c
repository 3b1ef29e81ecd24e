#include "net/passed.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* What is left is in the environment's numbers and in a bit for each that has been taken. */

enum { FIRST_FD = 3, PASSED_MAX = 64 };

static uint64_t taken;

static long number_of(const char *variable)
{
    const char *text = getenv(variable);
    char *end;
    long number = text ? strtol(text, &end, 10) : 0;
    return text && *text && !*end ? number : 0;
}

/* How many were passed, if it was to this process and not to one that has started it. */
static int passed_count(void)
{
    long count = number_of("LISTEN_PID") == getpid() ? number_of("LISTEN_FDS") : 0;
    return count < 0 ? 0 : (int)size_min((size_t)count, PASSED_MAX);
}

static bool is_left(int i)
{
    return !(taken >> i & 1);
}

static int take(int i)
{
    taken |= UINT64_C(1) << i;
    int fd = FIRST_FD + i, flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return fd;
}

int passed_take_name(const char *name)
{
    const char *at = getenv("LISTEN_FDNAMES");
    for (int i = 0, count = passed_count(); at && i < count; i++) {
        size_t len = strcspn(at, ":");
        if (len == strlen(name) && memcmp(at, name, len) == 0 && is_left(i))
            return take(i);
        at = at[len] ? at + len + 1 : NULL;
    }
    return -ENOENT;
}

/* Sockets of the same kind at the same place? */
static bool is_same(const struct sockaddr_storage *a, const struct sockaddr *b, socklen_t len)
{
    if (a->ss_family != b->sa_family)
        return false;
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
        return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
    }
    if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
        return x->sin6_port == y->sin6_port && memcmp(&x->sin6_addr, &y->sin6_addr, sizeof x->sin6_addr) == 0;
    }
    (void)len;
    return a->ss_family == AF_UNIX &&
           strncmp(((const struct sockaddr_un *)a)->sun_path, ((const struct sockaddr_un *)b)->sun_path,
                   sizeof((struct sockaddr_un *)0)->sun_path) == 0;
}

int passed_take_address(const struct sockaddr *address, socklen_t len)
{
    for (int i = 0, count = passed_count(); i < count; i++) {
        struct sockaddr_storage found = {0};
        socklen_t found_len = sizeof found;
        if (is_left(i) && getsockname(FIRST_FD + i, (struct sockaddr *)&found, &found_len) == 0 &&
            is_same(&found, address, len))
            return take(i);
    }
    return -ENOENT;
}

unsigned passed_close_rest(void)
{
    unsigned closed = 0;
    for (int i = 0, count = passed_count(); i < count; i++)
        if (is_left(i)) {
            taken |= UINT64_C(1) << i;
            (void)close(FIRST_FD + i);
            closed++;
        }
    return closed;
}
