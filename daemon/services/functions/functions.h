/* Functions: plugins in processes of their own, kept running.
 *
 *      [plugin NAME] ──▶ a door            RUNTIME/plugins/NAME.sock: whoever comes in by it is plugin NAME
 *                    ──▶ a process         gatehouse-host --socket … --name NAME NAME.so, restarted when it ends
 *                    ──▶ its configuration $gatehouse/plugins/NAME/config, retained
 *
 * A plugin is an MQTT client like any other; this service knows neither MQTT nor what a plugin does. It
 * learns that one is ready, or has been lost because it did not keep alive, from
 * $gatehouse/plugins/NAME/state. What it knows it says on $gatehouse/status/plugins/NAME, retained:
 *
 *      {"name":"hello","state":"running","pid":312,"restarts":0,"reason":null,"since":1760000000000}
 *
 * state: starting, running, stopping, backoff, stopped. reason: how the last process ended. since: wall time
 * in ms.
 *
 * Commands, with a Response Topic:
 *      $gatehouse/ctl/plugin/list                         → {"plugins":[…]}, elements as above
 *      $gatehouse/ctl/plugin/restart  {"name":"hello"}    → {"name":"hello"}, or {"code":404,"message":"…"}
 */
#pragma once

#include "bus/bus.h"
#include "identity/principal.h"

/* Doors are the broker's; main.c, who knows it, gives them. */
struct plugin_doors {
    void *self;
    /* Opens a Unix socket, mode 0600, whose clients are all `principal` (a reference is taken). -errno with
     * *why, a sentence (free it). */
    int (*open)(void *self, void **door, const char *socket_path, struct principal *principal, char **why);
    void (*close)(void *self, void *door);
};

struct plugin_setting {
    const char *key, *value;
};

/* [plugin NAME] */
struct plugin_options {
    const char *name;
    const char *path;                /* of the shared object; without a slash it is in plugin_dir */
    const char *publish, *subscribe; /* topic filters separated by blanks; NULL: none */
    uint64_t memory_max;             /* bytes; 0: no limit */
    const char *const
        *environment; /* NAME=VALUE, the last NULL; as long as the functions live. NULL: nothing */
    const struct plugin_setting *settings;
    size_t setting_count;
};

struct functions_options {
    const char *runtime_dir; /* must exist; sockets are in plugins/ below */
    const char *host_path;   /* of gatehouse-host */
    const char *plugin_dir;
    struct plugin_doors doors;
    const struct plugin_options *plugins;
    size_t plugin_count;
};

struct functions;

/* Copies its options. Starts the plugins; one that cannot be started is tried again later like one that has ended. */
int functions_new(struct functions **ret, struct bus *bus, const struct functions_options *options)
    must_check;
/* Asks all to end, and starts no more. They get two seconds of the loop's turning. */
void functions_stop(struct functions *functions);
bool functions_are_quiet(const struct functions *functions); /* no process is left */
/* Kills what is left. */
struct functions *functions_free(struct functions *functions);
define_cleanup(struct functions *, functions_free)
