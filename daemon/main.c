/* gatehoused: wires the rooms; the only file that knows them all.
 *
 *      options ─▶ configuration ─▶ state directory ─▶ loop ─▶ stores ─▶ bus ─▶ services ─▶ doors ─▶ turn, turn, turn
 *
 * Doors open last, so that nobody is let in before everything that may promise is there. Stopping goes the other way:
 * doors close, clients are told, the loop turns until all is settled or the time is over, workers are quiesced, and the
 * rooms are freed in reverse order.
 */
#include "beside.h"
#include "notify.h"
#include "options.h"
#include "settings.h"

#include "base/log.h"
#include "base/loop.h"
#include "bus/bus.h"
#include "config/config.h"
#include "http/http_server.h"
#include "mqtt/broker.h"
#include "net/passed.h"
#include "services/ctl/ctl.h"
#include "services/functions/functions.h"
#include "services/gwshadow/gwshadow.h"
#include "services/metrics/metrics.h"
#include "services/shadow/shadow.h"
#include "services/shadowsync/shadowsync.h"
#include "services/streams/streams.h"
#include "services/uplink/uplink.h"
#include "store/seglog.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STOP_LIMIT_MS = 4000 };

struct house {
    const struct options *options;
    struct config config;
    char *state, *runtime;
    int lock;

    struct loop *loop;
    struct store *store;
    struct seglogs *logs;   /* of streams */
    struct seglogs *queues; /* of durable sessions: a flood of telemetry does not queue in front of them */
    struct bus *bus;
    struct broker *broker;
    struct http_server *http;
    struct principal *local;
    struct ctl *ctl;
    struct shadow *shadow;
    struct streams *streams;
    struct uplinks *uplinks;
    struct shadowsync *sync;
    struct gwshadow *own_shadow;
    struct metrics *metrics;
    struct functions *functions;
    struct door *doors[LISTENERS_MAX + 1];
    size_t door_count;

    struct watch signals;
    struct timer watchdog;
    int64_t watchdog_ms;
    bool stopping;
};

/* ---- configuration ------------------------------------------------------------------------------------------------ */

static bool load_config(struct config *config, const struct options *options)
{
    if (config_load(config, options->config) >= 0)
        return true;
    for (size_t i = 0; i < config->fault_count; i++)
        (void)fprintf(stderr, "gatehoused: %s\n", config->faults[i]);
    return false;
}

/* ---- directories ---------------------------------------------------------------------------------------------------- */

static int fault(const char *what, const char *where, int r)
{
    log_error("%s %s: %s", what, where, strerror(-r));
    return r;
}

static char *choose_directory(const char *option, const char *variable, const char *fallback)
{
    const char *given = option ? option : getenv(variable);
    return str_copy(given && *given ? given : fallback);
}

static int make_directory(const char *path, mode_t mode)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return fault("cannot make directory", path, -errno);
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) /* access() would speak of permissions */
        return fault("cannot use directory", path, -ENOTDIR);
    return access(path, R_OK | W_OK | X_OK) < 0 ? fault("cannot use directory", path, -errno) : 0;
}

/* Two daemons on one state would each believe to be the only writer. */
static int take_lock(struct house *house)
{
    cleanup_free char *path = str_printf("%s/lock", house->state);
    house->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (house->lock < 0)
        return fault("cannot open", path, -errno);
    if (flock(house->lock, LOCK_EX | LOCK_NB) < 0) {
        log_error("%s is in use by another gatehoused", house->state);
        return -EBUSY;
    }
    return 0;
}

static int open_directories(struct house *house)
{
    house->state = choose_directory(house->options->state, "STATE_DIRECTORY", "./gatehouse-state");
    cleanup_free char *run = str_printf("%s/run", house->state);
    house->runtime = choose_directory(house->options->runtime, "RUNTIME_DIRECTORY", run);
    int r = make_directory(house->state, 0700);
    if (r >= 0)
        r = take_lock(house);
    if (r >= 0)
        r = make_directory(house->runtime, 0755);
    return r;
}

/* ---- wiring --------------------------------------------------------------------------------------------------------- */

static int open_stores(struct house *house)
{
    cleanup_free char *db = str_printf("%s/state.db", house->state);
    cleanup_free char *logs = str_printf("%s/streams", house->state);
    cleanup_free char *queues = str_printf("%s/queues", house->state);
    int r = store_open(&house->store, house->loop, db, WORKER_THREAD);
    if (r < 0)
        return fault("cannot open", db, r);
    r = seglogs_open(&house->logs, house->loop, logs, WORKER_THREAD);
    if (r < 0)
        return fault("cannot open", logs, r);
    seglogs_set_reserve(house->logs, (uint64_t)house->config.streams_reserve_bytes);
    r = seglogs_open(&house->queues, house->loop, queues, WORKER_THREAD);
    return r < 0 ? fault("cannot open", queues, r) : 0;
}

static int open_broker(struct house *house)
{
    struct broker_options options = settings_broker(&house->config);
    options.store = house->store;
    options.logs = house->queues;
    house->local = principal_new_unlimited(PRINCIPAL_CONTROL, "local");
    const struct http_options http = settings_http(&house->config);
    house->http = http_server_new(house->bus, &http);
    return broker_new(&house->broker, house->bus, &options);
}

static const char *or_null(const char *text)
{
    return text && *text ? text : NULL;
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
    if (r >= 0)
        streams_set_quota(house->streams, (uint64_t)config->streams_disk_bytes);
    return r;
}

/* The first line of the file; what is secret is not in the configuration itself. */
static int read_password(const char *path, char **ret)
{
    if (!*path)
        return 0;
    cleanup(fd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[256];
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n < 0)
        return fault("cannot read", path, -errno);
    text[n] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    *ret = str_copy(text);
    return 0;
}

static int open_uplinks(struct house *house)
{
    const struct config *config = &house->config;
    struct uplink_options *options = mem_new_bytes(config->uplink_count * sizeof *options);
    char **passwords = mem_new_bytes(config->uplink_count * sizeof *passwords);
    int r = 0;
    for (size_t i = 0; i < config->uplink_count && r >= 0; i++) {
        const struct config_uplink *uplink = &config->uplinks[i];
        r = read_password(uplink->password_file, &passwords[i]);
        options[i] = (struct uplink_options){
            .name = uplink->name,
            .uri = uplink->uri,
            .client_id = *uplink->client_id ? uplink->client_id : config->name,
            .ca = or_null(uplink->ca),
            .cert = or_null(uplink->cert),
            .key = or_null(uplink->key),
            .username = or_null(uplink->username),
            .password = passwords[i],
            .keepalive_s = (unsigned)uplink->keepalive_s,
            .protocol = (int)uplink->protocol,
        };
    }
    if (r >= 0)
        r = uplinks_new(&house->uplinks, house->bus, options, config->uplink_count);
    for (size_t i = 0; i < config->uplink_count; i++)
        free(passwords[i]);
    free(passwords);
    free(options);
    return r;
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

static int open_services(struct house *house)
{
    int r = ctl_new(&house->ctl, house->bus, house->store, house->config.name, GATEHOUSE_VERSION);
    if (r >= 0)
        r = open_shadow(house);
    if (r >= 0)
        r = open_streams(house);
    if (r >= 0)
        r = open_uplinks(house);
    if (r >= 0)
        r = open_sync(house);
    if (r >= 0)
        r = open_functions(house);
    if (r >= 0 && house->config.shadow)
        r = gwshadow_new(&house->own_shadow, house->bus, house->config.name);
    if (r >= 0)
        r = metrics_new(&house->metrics, house->bus);
    return r < 0 ? fault("services", "cannot be started", r) : 0;
}

static int open_door(struct house *house, const struct listener_uri *uri, struct principal *everybody)
{
    char *why = NULL;
    int r = broker_open(house->broker, &house->doors[house->door_count], uri, everybody, &why);
    if (r < 0) {
        log_error("cannot listen: %s", why);
        free(why);
        return r;
    }
    log_notice("listening on %s", door_name(house->doors[house->door_count++]));
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
    r = listener_has_http(&uri) ? open_http_door(house, &uri) : open_door(house, &uri, NULL);
    listener_uri_done(&uri);
    return r;
}

static int open_doors(struct house *house)
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

/* ---- signals and systemd ---------------------------------------------------------------------------------------------- */

static void stop(struct house *house)
{
    if (house->stopping)
        return;
    house->stopping = true;
    notify("STOPPING=1");
    log_notice("stopping");
    loop_stop(house->loop, 0);
}

static void reload(struct house *house)
{
    notify("RELOADING=1");
    for (size_t i = 0; i < house->door_count; i++) {
        char *why = NULL;
        if (door_reload(house->doors[i], &why) < 0)
            log_error("%s keeps its certificates: %s", door_name(house->doors[i]), why);
        free(why);
    }
    http_server_reload(house->http);
    log_notice("certificates read again; a changed configuration needs a restart");
    notify("READY=1");
}

static void on_signal(struct watch *watch, unsigned events)
{
    (void)events;
    struct house *house = container_of(watch, struct house, signals);
    struct signalfd_siginfo info;
    while (read(watch->fd, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGHUP)
            reload(house);
        else
            stop(house);
    }
}

static int watch_signals(struct house *house)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to sockets without MSG_NOSIGNAL */
    house->signals = (struct watch){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .ready = on_signal};
    return house->signals.fd < 0 ? -errno : loop_watch(house->loop, &house->signals, EPOLLIN);
}

/* The loop feeds the watchdog, so a loop that stands still is noticed. */
static void on_watchdog(struct timer *timer)
{
    struct house *house = container_of(timer, struct house, watchdog);
    notify("WATCHDOG=1");
    timer_start(house->loop, timer, house->watchdog_ms);
}

static void start_watchdog(struct house *house)
{
    uint64_t us = notify_watchdog_us();
    house->watchdog.fire = on_watchdog;
    if (!us)
        return;
    house->watchdog_ms = (int64_t)(us / 1000 / 3);
    timer_start(house->loop, &house->watchdog, house->watchdog_ms);
}

/* A burst's messages are freed together. With the allocator's defaults the heap would be trimmed and grow again in every
 * turn, which cost a fifth of the processor at QoS 2; what a peak needed goes back a second after it (mqtt/peak.h). */
static void keep_heap(void)
{
    (void)mallopt(M_TRIM_THRESHOLD, 2 << 20);
    (void)mallopt(M_TOP_PAD, 256 << 10);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* ---- life ------------------------------------------------------------------------------------------------------------- */

static int house_open(struct house *house)
{
    keep_heap();
    raise_descriptor_limit();

    int r = open_directories(house);
    if (r >= 0)
        r = loop_new(&house->loop, NULL);
    if (r >= 0)
        r = watch_signals(house);
    if (r >= 0)
        r = open_stores(house);
    if (r >= 0)
        r = bus_new(&house->bus, house->loop, &(struct bus_options){.store = house->store});
    if (r >= 0)
        r = open_broker(house);
    if (r >= 0)
        r = open_services(house);
    if (r >= 0)
        r = open_doors(house);
    return r;
}

static bool is_quiet(const struct house *house)
{
    return broker_is_quiet(house->broker) && http_server_is_quiet(house->http) &&
           (!house->functions || functions_are_quiet(house->functions));
}

static void wind_down(struct house *house)
{
    if (house->functions)
        functions_stop(house->functions);
    http_server_shutdown(house->http);
    broker_shutdown(house->broker);
    int64_t limit = loop_now(house->loop) + STOP_LIMIT_MS;
    while (!is_quiet(house) && loop_now(house->loop) < limit)
        if (loop_turn(house->loop, 100) < 0)
            return;
    (void)loop_turn(house->loop, 0); /* what the last of them left on the bus */
}

static void house_close(struct house *house)
{
    if (house->store)
        store_quiesce(house->store);
    if (house->logs)
        seglogs_quiesce(house->logs);
    if (house->queues)
        seglogs_quiesce(house->queues);
    house->metrics = metrics_free(house->metrics);
    house->own_shadow = gwshadow_free(house->own_shadow);
    house->functions = functions_free(house->functions);
    house->sync = shadowsync_free(house->sync);
    house->uplinks = uplinks_free(house->uplinks);
    house->streams = streams_free(house->streams);
    house->shadow = shadow_free(house->shadow);
    house->ctl = ctl_free(house->ctl);
    house->broker = broker_free(house->broker);
    house->http = http_server_free(house->http);
    (void)principal_unref(house->local);
    house->bus = bus_free(house->bus);
    house->queues = seglogs_close(house->queues);
    house->logs = seglogs_close(house->logs);
    house->store = store_close(house->store);
    if (house->loop) {
        timer_stop(house->loop, &house->watchdog);
        loop_unwatch(house->loop, &house->signals);
    }
    fd_close_p(&house->signals.fd);
    house->loop = loop_free(house->loop);
    fd_close_p(&house->lock);
    free(house->state);
    free(house->runtime);
}

int main(int argc, char **argv)
{
    struct options options = {0};
    int code = options_parse(&options, argc, argv);
    if (code >= 0)
        return code;

    struct house house = {.options = &options, .lock = -1, .signals.fd = -1};
    if (!options_listeners_are_good(&options) || !load_config(&house.config, &options)) {
        config_done(&house.config);
        return EXIT_BAD_CONFIG;
    }
    if (options.check) {
        config_done(&house.config);
        return EXIT_STOPPED;
    }
    log_set_level((enum log_level)log_level_from_text(house.config.log_level));

    int r = house_open(&house);
    if (r >= 0) {
        start_watchdog(&house);
        notify("READY=1");
        r = loop_run(house.loop);
        wind_down(&house);
    }
    house_close(&house);
    config_done(&house.config);
    if (r < 0) {
        log_error("gatehoused ends: %s", strerror(-r));
        return EXIT_FAILED;
    }
    log_notice("stopped");
    return EXIT_STOPPED;
}
