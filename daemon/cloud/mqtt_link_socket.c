#include "cloud/mqtt_link_socket.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

static bool is_connected_to(int fd, unsigned port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_storage storage;
    } peer;
    socklen_t len = sizeof peer;
    int type = 0;
    socklen_t type_len = sizeof type;
    if (getpeername(fd, &peer.any, &len) < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 ||
        type != SOCK_STREAM)
        return false;
    switch (peer.any.sa_family) {
    case AF_INET: return ntohs(peer.in.sin_port) == port;
    case AF_INET6: return ntohs(peer.in6.sin6_port) == port;
    default: return false;
    }
}

/* Calls each() for them until it says true. */
static bool find_socket(unsigned port, bool (*each)(int fd, unsigned argument), unsigned argument)
{
    DIR *folder = opendir("/proc/self/fd");
    bool found = false;
    for (struct dirent *entry; folder && !found && (entry = readdir(folder));) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);
        if (end != entry->d_name && !*end && is_connected_to((int)fd, port))
            found = each((int)fd, argument);
    }
    if (folder)
        (void)closedir(folder);
    return found;
}

static bool tune(int fd, unsigned give_up_ms)
{
    const int yes = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &give_up_ms, sizeof give_up_ms);
    return false;
}

void link_sockets_tune(unsigned port, unsigned give_up_ms)
{
    (void)find_socket(port, tune, give_up_ms);
}

static bool is_stuck(int fd, unsigned argument)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    (void)argument;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_backoff > 0;
}

static bool abandon(int fd, unsigned argument)
{
    static const struct linger at_once = {.l_onoff = 1};
    if (is_stuck(fd, argument))
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    return false;
}

bool link_sockets_abandon_stuck(unsigned port)
{
    bool found = find_socket(port, is_stuck, 0);
    if (found)
        (void)find_socket(port, abandon, 0);
    return found;
}
