#include "net/door_rig.h"

#include "store/folder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

static void on_accepted(struct listener_user *user, struct listener *listener, struct endpoint *endpoint)
{
    struct door *door = container_of(user, struct door, user);
    CHECK(listener == door->listener);
    CHECK(door->count < GUESTS_MAX);
    door->tls[door->count] = endpoint->tls;
    door->websocket[door->count] = endpoint->websocket;
    door->from[door->count] = endpoint->from;
    door->fds[door->count++] = endpoint->fd;
}

void door_init(struct door *door)
{
    door->user.accepted = on_accepted;
    door->rig = net_rig_new();
    door->folder = folder_new();
    log_listen();
}

int door_open(struct door *door, const char *text)
{
    struct listener_uri uri;
    CHECK_INT(listener_uri_parse(&uri, text, &door->why), 0);
    int r = listener_open(&door->listener, door->rig->loop, &uri, &door->user, &door->why);
    listener_uri_done(&uri);
    return r;
}

void door_must_open(struct door *door, const char *text)
{
    if (door_open(door, text) < 0)
        FAIL("%s", door->why);
}

void door_done(struct door *door)
{
    door->listener = listener_close(door->listener);
    for (unsigned i = 0; i < door->count; i++)
        fd_close_p(&door->fds[i]);
    door->folder = folder_free(door->folder);
    free(door->why);
    door->rig = net_rig_free(door->rig);
}

unsigned port_of(const struct door *door)
{
    unsigned port = 0;
    CHECK_INT(sscanf(strrchr(listener_name(door->listener), ':'), ":%u", &port), 1);
    CHECK(port > 0);
    return port;
}

int knock_tcp(const struct door *door)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)port_of(door))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_INT(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

int knock_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int r = -errno;
    (void)close(fd);
    return r;
}
