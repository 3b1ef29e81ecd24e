#include "house.h"

#include "beside.h"
#include "settings.h"

#include "base/log.h"
#include "identity/aead.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Where the device key is: the state's own, unless somebody else gives it. */
static char *streams_key(const struct house *house)
{
    static const char credentials[] = "$CREDENTIALS_DIRECTORY/";
    const char *key = house->config.streams_key, *folder = getenv("CREDENTIALS_DIRECTORY");
    if (!*key)
        return str_printf("%s/device.key", house->state);
    if (strncmp(key, credentials, sizeof credentials - 1) != 0 || !folder)
        return str_copy(key); /* which is then said to be missing */
    return str_printf("%s/%s", folder, key + sizeof credentials - 1);
}

int open_stores(struct house *house)
{
    cleanup_free char *db = str_printf("%s/state.db", house->state);
    cleanup_free char *logs = str_printf("%s/streams", house->state);
    cleanup_free char *queues = str_printf("%s/queues", house->state);
    static const struct store_check *const checks[] = {&shadow_store_check, NULL};
    int r = store_open_checked(&house->store, house->loop, db, WORKER_THREAD, checks);
    if (r < 0)
        return house_fault("cannot open", db, r);
    r = seglogs_open(&house->logs, house->loop, logs, WORKER_THREAD);
    if (r < 0)
        return house_fault("cannot open", logs, r);
    seglogs_gather(
        house
            ->logs); /* not the queues: what of them is not on disk after a kill may come again without DUP */
    seglogs_set_reserve(house->logs, (uint64_t)house->config.streams_reserve_bytes);
    cleanup_free char *key = streams_key(house);
    seglogs_set_seal(
        house->logs,
        &(struct seal_source){.file = key, .may_make = !*house->config.streams_key, .load = aead_functions});
    r = seglogs_open(&house->queues, house->loop, queues, WORKER_THREAD);
    return r < 0 ? house_fault("cannot open", queues, r) : 0;
}

int open_broker(struct house *house)
{
    struct broker_options options = settings_broker(&house->config);
    options.store = house->store;
    options.logs = house->queues;
    options.admission = house->admission;
    options.gate = &house->gate;
    options.login = house->login;
    nodes_init(house);
    options.nodes = &house->nodes;
    house->local = principal_new_unlimited(PRINCIPAL_CONTROL, "local");
    struct http_options http = settings_http(&house->config);
    http.admission = house->admission;
    http.login = house->login;
    http.gate = &house->gate;
    house->http = http_server_new(house->bus, &http);
    return broker_new(&house->broker, house->bus, &options);
}

static int open_streams(struct house *house)
{
    const struct config *config = &house->config;
    struct stream_options *streams = mem_new_bytes(config->stream_count * sizeof *streams);
    struct route_options *routes = mem_new_bytes(config->route_count * sizeof *routes);
    for (size_t i = 0; i < config->stream_count; i++)
        streams[i] = settings_stream(&config->streams[i]);
    for (size_t i = 0; i < config->route_count; i++)
        routes[i] = (struct route_options){
            .name = config->routes[i].name,
            .filter = config->routes[i].filter,
            .stream = config->routes[i].stream,
            .topic = config->routes[i].topic,
        };
    int r = streams_new(&house->streams, house->bus, house->logs, house->store, streams, config->stream_count,
                        routes, config->route_count);
    free(streams);
    free(routes);
    if (r < 0)
        return r;
    streams_set_quota(house->streams, (uint64_t)config->streams_disk_bytes);
    for (size_t i = 0; i < config->uplink_count; i++)
        streams_set_link(house->streams, config->uplinks[i].name, &config->uplinks[i].link);
    return 0;
}

static int open_sync(struct house *house)
{
    cleanup_free struct sync_options *options = settings_syncs(&house->config);
    return shadowsync_new(&house->sync, house->bus, house->store, options, house->config.sync_count);
}

static int on_door_wanted(void *self, void **door, const char *socket_path, struct principal *principal,
                          char **why)
{
    struct house *house = self;
    struct listener_uri uri = {
        .scheme = LISTENER_UNIX, .access = LISTENER_NODE, .host = (char *)socket_path, .mode = 0600};
    struct door *opened;
    int r = broker_open(house->broker, &opened, &uri, principal, why);
    if (r >= 0)
        *door = opened;
    return r;
}

static void on_door_done_with(void *self, void *door)
{
    (void)self;
    (void)door_close(door);
}

static int open_functions(struct house *house)
{
    const struct config *config = &house->config;
    cleanup_free char *host =
        find_beside("../plugins/host/gatehouse-host", GATEHOUSE_LIBEXEC_DIR "/gatehouse-host");
    struct plugin_options *plugins = mem_new_bytes(config->plugin_count * sizeof *plugins);
    for (size_t i = 0; i < config->plugin_count; i++) {
        const struct config_plugin *plugin = &config->plugins[i];
        struct plugin_setting *settings = mem_new_bytes(plugin->section->count * sizeof *settings);
        size_t count = 0;
        for (size_t k = 0; k < plugin->section->count; k++)
            if (config_plugin_owns(plugin->section->entries[k].key))
                settings[count++] = (struct plugin_setting){plugin->section->entries[k].key,
                                                            plugin->section->entries[k].value};
        plugins[i] = (struct plugin_options){
            .name = plugin->name,
            .path = plugin->path,
            .publish = plugin->publish,
            .subscribe = plugin->subscribe,
            .memory_max = (uint64_t)plugin->memory_bytes,
            .environment = credentials_environment(house, plugin->credentials),
            .settings = settings,
            .setting_count = count,
        };
    }
    struct functions_options options = {
        .runtime_dir = house->runtime,
        .host_path = host,
        .plugin_dir = GATEHOUSE_PLUGIN_DIR,
        .doors = {house, on_door_wanted, on_door_done_with},
        .plugins = plugins,
        .plugin_count = config->plugin_count,
    };
    int r = functions_new(&house->functions, house->bus, &options);
    for (size_t i = 0; i < config->plugin_count; i++)
        free((void *)plugins[i].settings);
    free(plugins);
    return r;
}

static int open_shadow(struct house *house)
{
    const struct shadow_options options = settings_shadow(&house->config);
    return shadow_new(&house->shadow, house->bus, house->store, &options);
}

int open_services(struct house *house)
{
    cleanup_free char *clock = str_printf("%s/clock", house->state);
    int r = timekeeper_new(&house->timekeeper, house->bus, clock, house_built_s());
    if (r >= 0)
        r = network_new(&house->network, house->bus);
    if (r < 0)
        return house_fault("services", "cannot be started", r);
    bus_route(house->bus); /* uplinks are to know about the clock when they begin */
    r = ctl_new(&house->ctl, house->bus, house->store, house->config.name, GATEHOUSE_VERSION);
    if (r >= 0)
        r = open_authorizers(house);
    if (r >= 0)
        r = open_registrar(house);
    if (r >= 0)
        r = open_provision(house);
    if (r >= 0)
        r = open_shadow(house);
    if (r >= 0)
        r = open_streams(house);
    if (r >= 0)
        r = open_uplinks(house);
    if (r >= 0)
        r = open_sync(house);
    if (r >= 0)
        r = open_credentials(house);
    if (r >= 0)
        r = open_functions(house);
    if (r >= 0)
        r = open_pairing(house);
    if (r >= 0 && house->config.shadow)
        r = gwshadow_new(&house->own_shadow, house->bus, house->config.name);
    if (r >= 0)
        r = metrics_new(&house->metrics, house->bus);
    return r < 0 ? house_fault("services", "cannot be started", r) : 0;
}
