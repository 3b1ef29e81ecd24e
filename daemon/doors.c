#include "house.h"

#include "base/log.h"
#include "net/passed.h"

#include <errno.h>

static int open_door(struct house *house, const struct listener_uri *uri, struct principal *everybody)
{
    char *why = NULL;
    int r = broker_open(house->broker, &house->doors[house->door_count], uri, everybody, &why);
    if (r < 0) {
        log_error("cannot listen: %s", why);
        free(why);
        return r;
    }
    const char *name = door_name(house->doors[house->door_count++]);
    if (listener_has_psk(uri)) /* whoever reads the line below may ask at once where the gateway is */
        nodes_listen(house, uri, name);
    log_notice("listening on %s", name);
    return 0;
}

static int open_http_door(struct house *house, const struct listener_uri *uri)
{
    const char *name;
    char *why = NULL;
    int r = http_server_listen(house->http, uri, &name, &why);
    if (r < 0)
        log_error("cannot listen: %s", why);
    else
        log_notice("listening on %s", name);
    free(why);
    return r;
}

static int open_door_uri(struct house *house, const char *text)
{
    struct listener_uri uri;
    char *why = NULL;
    int r = listener_uri_parse(&uri, text, &why); /* checked before; a file may have gone since */
    if (r < 0) {
        log_error("%s: %s", text, why);
        free(why);
        return r;
    }
    if (uri.own_certificate && house_fill_in_certificate(house, &uri) < 0)
        r = -EINVAL;
    else
        r = listener_has_http(&uri) ? open_http_door(house, &uri) : open_door(house, &uri, NULL);
    listener_uri_done(&uri);
    return r;
}

int open_doors(struct house *house)
{
    const struct options *options = house->options;
    cleanup_free char *control = str_printf("%s/control.sock", house->runtime);
    struct listener_uri uri = {
        .scheme = LISTENER_UNIX, .access = LISTENER_FULL, .host = control, .mode = 0660};
    int r = open_door(house, &uri, house->local);
    for (size_t i = 0; r >= 0 && i < options->listen_count; i++)
        r = open_door_uri(house, options->listen[i]);
    for (size_t i = 0;
         r >= 0 && !options->listen_count && i < house->config.listener_count && i < LISTENERS_MAX; i++)
        r = open_door_uri(house, house->config.listeners[i].uri);
    if (r >= 0 && !options->listen_count && !house->config.listener_count)
        r = open_door_uri(house, "mqtt://127.0.0.1:1883?access=open");
    unsigned unwanted = r >= 0 ? passed_close_rest() : 0;
    if (unwanted)
        log_warning(
            "%u sockets from the service manager are closed: no listener's URI has their name or address",
            unwanted);
    return r;
}

void house_reload_doors(struct house *house)
{
    for (size_t i = 0; i < house->door_count; i++) {
        char *why = NULL;
        if (door_reload(house->doors[i], &why) < 0)
            log_error("%s keeps its certificates: %s", door_name(house->doors[i]), why);
        free(why);
    }
    http_server_reload(house->http);
}
