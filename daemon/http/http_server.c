#include "http/http_server.h"

#include "base/log.h"
#include "http/http_peer.h"

#include <errno.h>
#include <string.h>

enum { BODIES_MAX = 16 * 1024 * 1024 };

struct http_server *http_server_new(struct bus *bus, const struct http_options *options)
{
    struct http_server *server = mem_new(struct http_server);
    server->bus = bus;
    server->loop = bus_loop(bus);
    server->options = *options;
    if (!server->options.bodies_max)
        server->options.bodies_max = BODIES_MAX;
    server->rest = rest_new(bus, &options->rest);
    list_init(&server->peers);
    list_init(&server->doors);
    if (!options->rest.credentials)
        http_status_open(server);
    return server;
}

void http_server_shutdown(struct http_server *server)
{
    server->stopping = true;
    list_for_each (link, &server->doors) {
        struct http_door *door = list_entry(link, struct http_door, link);
        door->listener = listener_close(door->listener);
    }
    list_for_each_safe (link, &server->peers)
        http_peer_stop(link);
}

bool http_server_is_quiet(const struct http_server *server)
{
    return list_is_empty(&server->peers);
}

static void door_free(struct http_door *door)
{
    door->listener = listener_close(door->listener);
    list_remove(&door->link);
    (void)principal_unref(door->everybody);
    free(door);
}

struct http_server *http_server_free(struct http_server *server)
{
    if (!server)
        return NULL;
    list_for_each_safe (link, &server->peers)
        http_peer_free(link);
    list_for_each_safe (link, &server->doors)
        door_free(list_entry(link, struct http_door, link));
    if (!server->options.rest.credentials)
        http_status_close(server);
    server->rest = rest_free(server->rest);
    free(server);
    return NULL;
}

const struct http_counters *http_counters(const struct http_server *server)
{
    return &server->counters;
}

/* ---- doors --------------------------------------------------------------------------------------------------------- */

static void on_accepted(struct listener_user *user, struct listener *listener, struct endpoint *endpoint)
{
    struct http_door *door = container_of(user, struct http_door, user);
    struct address from = endpoint->from;
    int r = http_peer_new(door->server, door, endpoint);
    if (r >= 0)
        return;
    listener_left(listener, &from);
    if (r != -EUSERS)
        log_warning("%s: a connection was refused: %s", listener_name(listener), strerror(-r));
}

int http_server_listen(struct http_server *server, const struct listener_uri *uri, const char **name,
                       char **why)
{
    struct http_door *door = mem_new(struct http_door);
    door->server = server;
    door->user.accepted = on_accepted;
    door->user.gate = server->options.gate;
    int r = listener_open(&door->listener, server->loop, uri, &door->user, why);
    if (r < 0) {
        free(door);
        return r;
    }
    if (uri->access == LISTENER_OPEN)
        door->everybody = principal_new_unlimited(PRINCIPAL_OPEN, "anybody");
    else if (uri->scheme == LISTENER_UNIX && !listener_has_login(uri))
        door->everybody = principal_new_unlimited(PRINCIPAL_CONTROL, "local");
    door->loopback = uri->scheme != LISTENER_UNIX && address_name_is_loopback(uri->host);
    list_append(&server->doors, &door->link);
    *name = listener_name(door->listener);
    return 0;
}

void http_server_reload(struct http_server *server)
{
    list_for_each (link, &server->doors) {
        struct listener *listener = list_entry(link, struct http_door, link)->listener;
        char *why = NULL;
        if (listener && listener_reload(listener, &why) < 0)
            log_error("%s keeps its certificates: %s", listener_name(listener), why);
        free(why);
    }
}
