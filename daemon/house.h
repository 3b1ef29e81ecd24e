/* What the daemon consists of, and the files that put it together.
 *
 *      main.c          configuration, signals, the order of opening and of closing
 *      directories.c   where it lives
 *      rooms.c         stores, broker, services: each with what the configuration says of it
 *      uplinks.c       uplinks, now and when the configuration is read again
 *      doors.c         listeners
 *      identities.c    who is known here, and what he may do
 *      credentials.c   temporary credentials for functions
 *      nodes.c         pairing, and the keys that listeners for nodes ask for
 *
 * Every open_ function leaves what it has opened in the house, says a fault in the log, and returns 0 or −errno.
 * house_close() in main.c closes what is there.
 */
#pragma once

#include "options.h"

#include "base/loop.h"
#include "bus/bus.h"
#include "config/config.h"
#include "http/http_server.h"
#include "identity/login.h"
#include "mqtt/broker.h"
#include "services/authorizer/authorizer.h"
#include "services/ctl/ctl.h"
#include "services/functions/functions.h"
#include "services/gwshadow/gwshadow.h"
#include "services/metrics/metrics.h"
#include "services/network/network.h"
#include "services/pairing/pairing.h"
#include "services/provision/provision.h"
#include "services/registrar/registrar.h"
#include "services/shadow/shadow.h"
#include "services/shadowsync/shadowsync.h"
#include "services/streams/streams.h"
#include "services/timekeeper/timekeeper.h"
#include "services/uplink/uplink.h"
#include "store/seglog.h"
#include "store/store.h"

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
    struct registry *registry;
    struct audit *audit;
    struct admission *admission;
    struct login *login;
    struct authorizer *authorizer; /* NULL: none is configured */
    struct subscriber clock;       /* tells it whether the clock is set */
    struct subscription clock_subscription;
    struct tls_gate gate;
    struct registrar *registrar;
    struct provision *provision;
    struct broker *broker;
    struct http_server *http;
    struct principal *local;
    struct ctl *ctl;
    struct shadow *shadow;
    struct streams *streams;
    struct timekeeper *timekeeper;
    struct network *network;
    struct uplinks *uplinks;
    struct shadowsync *sync;
    struct gwshadow *own_shadow;
    struct metrics *metrics;
    struct house_credentials *credentials; /* NULL: none are configured */
    struct functions *functions;
    struct pairing *pairing;
    struct psk_keys keys; /* what pairing knows, for listeners and the broker */
    struct psk_keys cable_keys, bench_keys;
    struct broker_nodes nodes;
    struct beacon *beacons[LISTENERS_MAX]; /* one for each listener for nodes */
    size_t beacon_count;
    struct mdns *mdns; /* for the first of them that is on a network */
    struct door *doors[LISTENERS_MAX + 1];
    size_t door_count;

    struct watch signals;
    struct timer watchdog;
    int64_t watchdog_ms;
    bool stopping;
};

/* Says in the log what could not be done with what; returns r. */
int house_fault(const char *what, const char *where, int r);

/* built.c: when this program was built, seconds since 1970. No clock that is right is before it. */
int64_t house_built_s(void);

/* directories.c: STATE and RUNTIME are there and this process's alone. */
int open_directories(struct house *house) must_check;

/* identities.c */
int open_registry(struct house *house) must_check;
int open_authorizers(struct house *house) must_check;
/* Reads the keys again that tokens are signed with; those of a file that is not good stay, and the log says why. */
void house_reload_keys(struct house *house);
int open_registrar(struct house *house) must_check;
int open_provision(struct house *house) must_check;
/* The gateway's own certificate for a listener without one; made with the first call. */
int house_fill_in_certificate(struct house *house, struct listener_uri *uri) must_check;

/* rooms.c */
int open_stores(struct house *house) must_check;
int open_broker(struct house *house) must_check;
int open_services(struct house *house) must_check;

/* uplinks.c. What is wrong with a configuration that was read again has been logged, and nothing has changed. */
int open_uplinks(struct house *house) must_check;
int reload_uplinks(struct house *house, const struct config *config) must_check;

/* doors.c: the control socket, and the listeners of the command line or else of the configuration. */
int open_doors(struct house *house) must_check;
/* Listeners read their certificates again. */
void house_reload_doors(struct house *house);

/* credentials.c: before functions, who get to know in their environment where they are. */
int open_credentials(struct house *house) must_check;
const char *const *credentials_environment(const struct house *house, const char *name);
void credentials_stop(struct house *house);
bool credentials_are_quiet(const struct house *house);
void credentials_close(struct house *house);

/* nodes.c: before the broker, with it, and when a listener for nodes is open. */
void nodes_init(struct house *house);
int open_pairing(struct house *house) must_check;
void nodes_listen(struct house *house, const struct listener_uri *uri, const char *name);
/* The gateway's certificate authority may be another one. */
void nodes_authority_changed(struct house *house);
void nodes_close(struct house *house);
