/* One plugin: its door, its process, and when to start it again.
 *
 *                     ┌────────────── delay is over, or restart is asked for ─────────────┐
 *                     ▼                                                                   │
 *      STOPPED ─▶ STARTING ──"ready"──▶ RUNNING ──┬── its process ends ──────────────▶ BACKOFF
 *                     │                           │                                       ▲
 *                     └─── not ready in time ─────┴── "lost" ──▶ STOPPING ── it ends ─────┘
 *
 * The delay is 1 s and doubles up to 60 s with every end that came within 60 s of being ready. Private to
 * functions/.
 */
#pragma once

#include "services/functions/functions.h"
#include "services/functions/launcher.h"

struct json_writer;

enum plugin_state { PLUGIN_STOPPED, PLUGIN_STARTING, PLUGIN_RUNNING, PLUGIN_STOPPING, PLUGIN_BACKOFF };

struct plugin {
    struct bus *bus;
    struct loop *loop;
    const struct functions_options *house; /* outlives it; its plugins are not looked at */
    char *name, *path, *socket, *status_topic;
    uint64_t memory_max;
    struct principal *principal;
    void *door; /* NULL: not open */
    struct child child;
    struct timer timer; /* STARTING: not ready in time. RUNNING: has proved itself. BACKOFF: start */
    enum plugin_state state;
    bool lost;         /* its connection is gone */
    bool wanted;       /* start it again when it has ended */
    bool at_once;      /* and without a delay */
    unsigned attempt;  /* ends in a row that came too early */
    unsigned restarts; /* processes after the first */
    bool started;      /* a first one there was */
    char *reason;      /* of the last end; NULL: none yet */
    char *suspicion;   /* why we are ending it */
    char *error;       /* the first line it said at level error: mostly the cause of the others */
    int64_t since;     /* wall, of the state */
    int64_t second;    /* of lines below */
    unsigned lines, lines_dropped;
};

/* Says its configuration; plugin_start() does the rest. */
struct plugin *plugin_new(struct bus *bus, const struct functions_options *house,
                          const struct plugin_options *options);
struct plugin *plugin_free(struct plugin *plugin);

void plugin_start(struct plugin *plugin);
/* Ends it and starts it again, without delay. */
void plugin_restart(struct plugin *plugin);
/* Ends it for good. */
void plugin_stop(struct plugin *plugin);
/* Its host says so. pid: whose word it is; that of an earlier process does not count. */
void plugin_is_ready(struct plugin *plugin, int64_t pid);
void plugin_is_lost(struct plugin *plugin, int64_t pid);

/* As $gatehouse/status/plugins/NAME has it. */
void plugin_write(const struct plugin *plugin, struct json_writer *writer);
