/* gatehoused: opens the rooms and closes them (house.h).
 *
 *      options ─▶ configuration ─▶ state directory ─▶ loop ─▶ stores ─▶ bus ─▶ services ─▶ doors ─▶ turn, turn, turn
 *
 * Doors open last, so that nobody is let in before everything that may promise is there. Stopping goes the other way:
 * doors close, clients are told, the loop turns until all is settled or the time is over, workers are quiesced, and the
 * rooms are freed in reverse order.
 */
#include "beside.h"
#include "certificates.h"
#include "house.h"
#include "notify.h"

#include "base/log.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { STOP_LIMIT_MS = 4000 };

/* ---- configuration ------------------------------------------------------------------------------------------------ */

static bool load_config(struct config *config, const struct options *options)
{
    if (config_load(config, options->config) >= 0)
        return true;
    for (size_t i = 0; i < config->fault_count; i++)
        (void)fprintf(stderr, "gatehoused: %s\n", config->faults[i]);
    return false;
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

/* Uplinks and what comes from them is taken over while everything goes on. A file with anything wrong in it changes
 * nothing. */
static void reload_config(struct house *house)
{
    static const char *const taken_over[] = {"uplink", "downlink", NULL};
    struct config fresh;
    int r = config_load(&fresh, house->options->config);
    for (size_t i = 0; i < fresh.fault_count; i++)
        log_error("%s", fresh.faults[i]);
    if (r >= 0)
        r = reload_uplinks(house, &fresh);
    cleanup_free char *other = r >= 0 ? config_differs(&house->config, &fresh, taken_over) : NULL;
    if (r < 0)
        log_error("the configuration stays as it was");
    else if (other)
        log_warning("uplinks are as configured now; %s has changed, too, which needs a restart", other);
    else
        log_notice("configuration and certificates have been read again");
    config_done(&fresh);
}

static void reload(struct house *house)
{
    notify("RELOADING=1");
    house_reload_doors(house);
    house_reload_keys(house);
    reload_config(house);
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
        r = open_registry(house);
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
           credentials_are_quiet(house) && (!house->functions || functions_are_quiet(house->functions));
}

static void wind_down(struct house *house)
{
    if (house->functions)
        functions_stop(house->functions);
    http_server_shutdown(house->http);
    credentials_stop(house);
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
    credentials_close(house);
    house->sync = shadowsync_free(house->sync);
    house->uplinks = uplinks_free(house->uplinks);
    house->network = network_free(house->network);
    house->timekeeper = timekeeper_free(house->timekeeper);
    house->streams = streams_free(house->streams);
    house->shadow = shadow_free(house->shadow);
    house->provision = provision_free(house->provision);
    house->registrar = registrar_free(house->registrar);
    house->ctl = ctl_free(house->ctl);
    nodes_close(house);
    house->broker = broker_free(house->broker);
    house->pairing = pairing_free(house->pairing); /* handshakes have asked it for keys until now */
    house->http = http_server_free(house->http);
    if (house->clock.deliver)
        bus_unsubscribe(house->bus, &house->clock_subscription);
    house->authorizer = authorizer_free(house->authorizer);
    house->login = login_free(house->login);
    house->admission = admission_free(house->admission);
    house->audit = audit_free(house->audit);
    house->registry = registry_close(house->registry);
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
        bool good = certificates_are_good(&house.config, &options);
        config_done(&house.config);
        return good ? EXIT_STOPPED : EXIT_BAD_CONFIG;
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
