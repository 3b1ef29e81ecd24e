#include "net/listener_socket.h"

#include "net/passed.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* What the URI says decides, also about a socket that is passed: one that listens elsewhere might let in people whom
 * nobody wanted to let in. */

static int fault(const char *name, char **why, int r)
{
    *why = str_printf("%s: %s", name, strerror(-r));
    return r;
}

/* ---- passed --------------------------------------------------------------------------------------------------------- */

/* Is it a stream socket at that address? A port of 0 is any. */
static bool is_as_wanted(int fd, const struct sockaddr *wanted)
{
    struct sockaddr_storage found = {0};
    socklen_t len = sizeof found;
    int type = 0;
    socklen_t type_len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 || type != SOCK_STREAM ||
        getsockname(fd, (struct sockaddr *)&found, &len) < 0 || found.ss_family != wanted->sa_family)
        return false;
    if (wanted->sa_family == AF_UNIX)
        return strcmp(((struct sockaddr_un *)&found)->sun_path,
                      ((const struct sockaddr_un *)wanted)->sun_path) == 0;
    struct address a, b;
    struct sockaddr_storage copy = {0};
    memcpy(&copy, wanted,
           wanted->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    return address_of_sockaddr(&a, &found) && address_of_sockaddr(&b, &copy) &&
           memcmp(&a.in6, &b.in6, sizeof a.in6) == 0 && (!b.port || a.port == b.port);
}

/* 0: taken over, 1: none was passed for this. */
static int take_over(struct listener_socket *got, const struct listener_uri *uri,
                     const struct sockaddr *address, socklen_t len, const char *name, char **why)
{
    int fd = uri->fd_name ? passed_take_name(uri->fd_name) : passed_take_address(address, len);
    if (fd == -ENOENT && !uri->fd_name)
        return 1;
    if (fd == -ENOENT) {
        *why = str_printf(
            "%s: expected a socket named \"%s\" from the service manager (FileDescriptorName=), found "
            "none",
            name, uri->fd_name);
        return fd;
    }
    if (fd < 0)
        return fault(name, why, fd);
    got->fd = fd;
    if (is_as_wanted(fd, address))
        return 0;
    *why = str_printf("%s: the socket that the service manager has passed for it listens elsewhere", name);
    return -EADDRNOTAVAIL;
}

/* ---- made ----------------------------------------------------------------------------------------------------------- */

static int bind_tcp(struct listener_socket *got, const struct addrinfo *address)
{
    int one = 1;
    got->fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return got->fd < 0 || setsockopt(got->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
                   bind(got->fd, address->ai_addr, address->ai_addrlen) < 0
               ? -errno
               : 0;
}

static int get_tcp(struct listener_socket *got, const struct listener_uri *uri, const char *name, char **why)
{
    char port[8];
    (void)snprintf(port, sizeof port, "%u", uri->port);
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *addresses;
    int r = getaddrinfo(uri->host, port, &hints, &addresses);
    if (r != 0) {
        *why = str_printf("%s: expected an address or a name of this machine, found \"%s\": %s", name,
                          uri->host, gai_strerror(r));
        return -EADDRNOTAVAIL;
    }
    r = take_over(got, uri, addresses->ai_addr, addresses->ai_addrlen, name, why);
    if (r > 0) {
        r = bind_tcp(got, addresses);
        if (r < 0)
            (void)fault(name, why, r);
    }
    freeaddrinfo(addresses);
    return r;
}

/* Is there a socket file that nobody listens on any more? Then it may be replaced; anything else may not. */
static int remove_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    /* Non-blocking: somebody with a full backlog would keep us waiting. He is alive then. */
    cleanup(fd_close_p) int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return -errno;
    if (connect(probe, (const struct sockaddr *)address, sizeof *address) == 0 || errno != ECONNREFUSED)
        return -EADDRINUSE;
    return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int bind_unix(struct listener_socket *got, const struct sockaddr_un *address, unsigned mode)
{
    int r = remove_stale(address);
    if (r < 0)
        return r;
    got->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* bind() gives the file the descriptor's mode without what umask forbids, so it is never more open than asked; and
     * chmod() then grants what umask took. umask itself belongs to all threads. */
    if (got->fd < 0 || fchmod(got->fd, mode) < 0 ||
        bind(got->fd, (const struct sockaddr *)address, sizeof *address) < 0)
        return -errno;
    got->made_file = true;
    return chmod(address->sun_path, mode) < 0 ? -errno : 0;
}

static int get_unix(struct listener_socket *got, const struct listener_uri *uri, const char *name, char **why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", uri->host);
    int r = take_over(got, uri, (struct sockaddr *)&address, sizeof address, name, why);
    if (r <= 0)
        return r;
    r = bind_unix(got, &address, uri->mode);
    return r < 0 ? fault(name, why, r) : 0;
}

int listener_socket_get(struct listener_socket *got, const struct listener_uri *uri, const char *name,
                        char **why)
{
    got->fd = -1;
    got->made_file = false;
    return uri->scheme == LISTENER_UNIX ? get_unix(got, uri, name, why) : get_tcp(got, uri, name, why);
}
