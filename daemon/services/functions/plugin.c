#include "services/functions/plugin.h"

#include "base/json_write.h"
#include "base/log.h"
#include "bus/topics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Whatever ends a process, on_ended() is the one place where the next state is decided: to end it, one notes
 * why and asks the child to stop. */

enum {
    START_MS = 15000, /* to load, connect and return from start() */
    LOST_MS = 1000,   /* to end by itself */
    PROVEN_MS = 60000,
    DELAY_MS = 1000,
    DELAY_MAX_MS = 60000,
    LINES_A_SECOND = 50
};

static const char *const state_names[] = {
    [PLUGIN_STOPPED] = "stopped",   [PLUGIN_STARTING] = "starting", [PLUGIN_RUNNING] = "running",
    [PLUGIN_STOPPING] = "stopping", [PLUGIN_BACKOFF] = "backoff",
};

/* ---- what it says about itself ------------------------------------------------------------------------- */

void plugin_write(const struct plugin *plugin, struct json_writer *writer)
{
    json_begin_object(writer);
    json_key(writer, "name");
    json_put_string(writer, plugin->name);
    json_key(writer, "state");
    json_put_string(writer, state_names[plugin->state]);
    json_key(writer, "pid");
    if (plugin->child.pid)
        json_put_int(writer, plugin->child.pid);
    else
        json_put_null(writer);
    json_key(writer, "restarts");
    json_put_uint(writer, plugin->restarts);
    json_key(writer, "reason");
    json_put_string(writer, plugin->reason);
    json_key(writer, "since");
    json_put_int(writer, plugin->since);
    json_end_object(writer);
}

static void enter(struct plugin *plugin, enum plugin_state state)
{
    plugin->state = state;
    plugin->since = loop_wall(plugin->loop);
    struct arena arena;
    arena_init(&arena);
    struct json_writer writer;
    json_writer_init(&writer, &arena);
    plugin_write(plugin, &writer);
    bus_say(plugin->bus, plugin->status_topic, json_writer_text(&writer, NULL), BUS_KEEP);
    arena_done(&arena);
}

static void replace(char **text, char *with)
{
    free(*text);
    *text = with;
}

/* The host begins a line with its level; a plugin that writes to its outputs itself does not. */
static enum log_level level_of(const char **line)
{
    size_t len = strcspn(*line, ":");
    if ((*line)[len] != ':' || len > 7)
        return LOG_LEVEL_INFO;
    char word[8] = "";
    memcpy(word, *line, len);
    int level = log_level_from_text(word);
    if (level < 0)
        return LOG_LEVEL_INFO;
    *line += len + 1;
    *line += strspn(*line, " ");
    return (enum log_level)level;
}

static void on_said(struct child *child, const char *line)
{
    struct plugin *plugin = container_of(child, struct plugin, child);
    enum log_level level = level_of(&line);
    if (level == LOG_LEVEL_ERROR && !plugin->error)
        plugin->error = str_copy(line);

    int64_t now = loop_now(plugin->loop);
    if (now - plugin->second >= 1000) {
        if (plugin->lines_dropped)
            log_warning("plugin %s: %u lines were not logged: more than %d a second", plugin->name,
                        plugin->lines_dropped, LINES_A_SECOND);
        plugin->second = now;
        plugin->lines = plugin->lines_dropped = 0;
    }
    if (plugin->lines == LINES_A_SECOND) {
        plugin->lines_dropped++;
        return;
    }
    plugin->lines++;
    log_line(level, "plugin %s: %s", plugin->name, line);
}

/* ---- starting and ending ------------------------------------------------------------------------------- */

static void back_off(struct plugin *plugin)
{
    int64_t delay = DELAY_MS;
    for (unsigned i = 0; i < plugin->attempt && delay < DELAY_MAX_MS; i++)
        delay *= 2;
    if (delay > DELAY_MAX_MS)
        delay = DELAY_MAX_MS;
    plugin->attempt++;
    log_warning("plugin %s: %s; next start in %" PRId64 " s", plugin->name, plugin->reason, delay / 1000);
    timer_start(plugin->loop, &plugin->timer, delay);
    enter(plugin, PLUGIN_BACKOFF);
}

static void on_ended(struct child *child, int status)
{
    struct plugin *plugin = container_of(child, struct plugin, child);
    timer_stop(plugin->loop, &plugin->timer);
    if (plugin->suspicion) {
        replace(&plugin->reason, steal(plugin->suspicion));
    } else {
        cleanup_free char *text = child_status_text(status);
        const char *error = plugin->error;
        replace(&plugin->reason, str_printf("%s%s%s", text, error ? ": " : "", error ? error : ""));
    }

    if (!plugin->wanted) {
        log_info("plugin %s: stopped", plugin->name);
        enter(plugin, PLUGIN_STOPPED);
    } else if (plugin->at_once) {
        plugin_start(plugin);
    } else {
        back_off(plugin);
    }
}

static void end(struct plugin *plugin, char *why)
{
    log_info("plugin %s: ending pid %d: %s", plugin->name, (int)plugin->child.pid, why);
    replace(&plugin->suspicion, why);
    timer_stop(plugin->loop, &plugin->timer);
    child_stop(&plugin->child);
    enter(plugin, PLUGIN_STOPPING);
}

static void on_timer(struct timer *timer)
{
    struct plugin *plugin = container_of(timer, struct plugin, timer);
    switch (plugin->state) {
    case PLUGIN_STARTING:
        end(plugin, plugin->lost ? str_copy("did not keep alive")
                                 : str_printf("was not ready within %d s", START_MS / 1000));
        break;
    case PLUGIN_RUNNING:
        if (plugin->lost)
            end(plugin, str_copy("did not keep alive"));
        else
            plugin->attempt = 0;
        break;
    case PLUGIN_BACKOFF: plugin_start(plugin); break;
    case PLUGIN_STOPPED:
    case PLUGIN_STOPPING: break;
    }
}

static int open_door(struct plugin *plugin, char **why)
{
    const struct plugin_doors *doors = &plugin->house->doors;
    if (plugin->door)
        return 0;
    return doors->open(doors->self, &plugin->door, plugin->socket, plugin->principal, why);
}

static int start_process(struct plugin *plugin, char **why)
{
    cleanup_free char *memory = str_printf("%" PRIu64, plugin->memory_max);
    cleanup_free char *attempt = str_printf("%u", plugin->attempt);
    const char *const argv[] = {plugin->house->host_path,
                                "--socket",
                                plugin->socket,
                                "--name",
                                plugin->name,
                                "--memory-max",
                                memory,
                                "--attempt",
                                attempt,
                                plugin->path,
                                NULL};
    int r = child_start(&plugin->child, plugin->loop, argv);
    if (r < 0)
        *why = str_printf("cannot start %s: %s", plugin->house->host_path, strerror(-r));
    return r;
}

void plugin_start(struct plugin *plugin)
{
    plugin->wanted = true;
    plugin->at_once = plugin->lost = false;
    replace(&plugin->error, NULL);
    timer_stop(plugin->loop, &plugin->timer);

    char *why = NULL;
    int r = open_door(plugin, &why);
    if (r == 0)
        r = start_process(plugin, &why);
    if (r < 0) {
        replace(&plugin->reason, why ? why : str_copy(strerror(-r)));
        back_off(plugin);
        return;
    }
    plugin->restarts += plugin->started;
    plugin->started = true;
    timer_start(plugin->loop, &plugin->timer, START_MS);
    enter(plugin, PLUGIN_STARTING);
}

void plugin_restart(struct plugin *plugin)
{
    plugin->wanted = true;
    plugin->attempt = 0;
    if (!plugin->child.pid) {
        plugin_start(plugin);
        return;
    }
    plugin->at_once = true;
    if (plugin->state != PLUGIN_STOPPING)
        end(plugin, str_copy("restart was asked for"));
}

void plugin_stop(struct plugin *plugin)
{
    plugin->wanted = false;
    timer_stop(plugin->loop, &plugin->timer);
    if (!plugin->child.pid)
        enter(plugin, PLUGIN_STOPPED);
    else if (plugin->state != PLUGIN_STOPPING)
        end(plugin, str_copy("the gateway is stopping"));
}

void plugin_is_ready(struct plugin *plugin, int64_t pid)
{
    if (plugin->state != PLUGIN_STARTING || pid != plugin->child.pid)
        return;
    timer_start(plugin->loop, &plugin->timer, PROVEN_MS);
    log_info("plugin %s: running, pid %d", plugin->name, (int)plugin->child.pid);
    enter(plugin, PLUGIN_RUNNING);
}

void plugin_is_lost(struct plugin *plugin, int64_t pid)
{
    if ((plugin->state != PLUGIN_STARTING && plugin->state != PLUGIN_RUNNING) || pid != plugin->child.pid)
        return;
    /* A process that is crashing just now is lost, too, and how it ends says more. */
    plugin->lost = true;
    timer_start(plugin->loop, &plugin->timer, LOST_MS);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

/* Its own topics are added to what the configuration allows: the configuration it reads, the state it says, and what a
 * connector is to deliver and has delivered. */
static struct principal *make_principal(const struct plugin_options *options)
{
    cleanup_free char *publish =
        str_printf(TOPIC_PLUGIN_STATE_FORMAT " " TOPIC_PLUGIN_DELIVERED_FORMAT " %s", options->name,
                   options->name, "+", options->publish ? options->publish : "");
    cleanup_free char *subscribe =
        str_printf(TOPIC_PLUGIN_CONFIG_FORMAT " " TOPIC_PLUGIN_DELIVER_FORMAT " %s", options->name,
                   options->name, "#", options->subscribe ? options->subscribe : "");
    return principal_new_plugin(options->name, publish, subscribe);
}

static void say_config(struct plugin *plugin, const struct plugin_options *options)
{
    struct arena arena;
    arena_init(&arena);
    struct json_writer writer;
    json_writer_init(&writer, &arena);
    json_begin_object(&writer);
    for (size_t i = 0; i < options->setting_count; i++) {
        json_key(&writer, options->settings[i].key);
        json_put_string(&writer, options->settings[i].value);
    }
    json_end_object(&writer);
    cleanup_free char *topic = str_printf(TOPIC_PLUGIN_CONFIG_FORMAT, plugin->name);
    bus_say(plugin->bus, topic, json_writer_text(&writer, NULL), BUS_KEEP);
    arena_done(&arena);
}

struct plugin *plugin_new(struct bus *bus, const struct functions_options *house,
                          const struct plugin_options *options)
{
    struct plugin *plugin = mem_new(struct plugin);
    plugin->bus = bus;
    plugin->loop = bus_loop(bus);
    plugin->house = house;
    plugin->name = str_copy(options->name);
    plugin->path = strchr(options->path, '/') ? str_copy(options->path)
                                              : str_printf("%s/%s", house->plugin_dir, options->path);
    plugin->socket = str_printf("%s/plugins/%s.sock", house->runtime_dir, options->name);
    plugin->status_topic = str_printf(TOPIC_STATUS_PLUGIN_FORMAT, options->name);
    plugin->memory_max = options->memory_max;
    plugin->principal = make_principal(options);
    plugin->child.said = on_said;
    plugin->child.environment = options->environment;
    plugin->child.ended = on_ended;
    plugin->timer.fire = on_timer;
    say_config(plugin, options);
    return plugin;
}

struct plugin *plugin_free(struct plugin *plugin)
{
    if (!plugin)
        return NULL;
    child_done(&plugin->child);
    timer_stop(plugin->loop, &plugin->timer);
    if (plugin->door)
        plugin->house->doors.close(plugin->house->doors.self, plugin->door);
    plugin->principal = principal_unref(plugin->principal);
    free(plugin->name);
    free(plugin->path);
    free(plugin->socket);
    free(plugin->status_topic);
    free(plugin->reason);
    free(plugin->suspicion);
    free(plugin->error);
    free(plugin);
    return NULL;
}
