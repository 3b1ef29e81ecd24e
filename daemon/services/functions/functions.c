#include "services/functions/functions.h"

#include "base/json_write.h"
#include "base/log.h"
#include "bus/topics.h"
#include "services/functions/plugin.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* This file is the service as the bus sees it: which messages it takes, and what it answers. What a plugin
 * needs to live is in plugin.c, how a process is started and ended in launcher.c. */

struct functions {
    struct bus *bus;
    struct functions_options options;
    char *runtime_dir, *host_path, *plugin_dir;
    struct plugin **plugins;
    size_t count;
    struct subscriber subscriber;
    struct subscription states, list, restart;
};

static struct plugin *find_plugin(const struct functions *functions, const char *name, size_t len)
{
    for (size_t i = 0; i < functions->count; i++)
        if (strlen(functions->plugins[i]->name) == len && memcmp(functions->plugins[i]->name, name, len) == 0)
            return functions->plugins[i];
    return NULL;
}

/* ---- what the hosts say -------------------------------------------------------------------------------- */

static void on_state(struct functions *functions, const struct msg *msg, struct arena *arena)
{
    static const size_t before = sizeof TOPIC_PLUGIN_STATE_FORMAT - sizeof "%s/state";
    static const size_t behind = sizeof "/state" - 1;
    struct plugin *plugin = find_plugin(functions, msg->topic + before, msg->topic_len - before - behind);
    struct json *said;
    int64_t pid;
    if (!plugin || json_parse(&said, arena, (const char *)msg->payload, msg->payload_len, NULL) != 0 ||
        !json_int(json_get(said, "pid"), 1, INT32_MAX, &pid))
        return;
    const struct json *state = json_get(said, "state");
    if (json_text_is(state, "ready"))
        plugin_is_ready(plugin, pid);
    else if (json_text_is(state, "lost"))
        plugin_is_lost(plugin, pid);
}

/* ---- commands ------------------------------------------------------------------------------------------ */

static void on_list(struct functions *functions, const struct msg *msg, struct arena *arena)
{
    struct json_writer writer;
    json_writer_init(&writer, arena);
    json_begin_object(&writer);
    json_key(&writer, "plugins");
    json_begin_array(&writer);
    for (size_t i = 0; i < functions->count; i++)
        plugin_write(functions->plugins[i], &writer);
    json_end_array(&writer);
    json_end_object(&writer);
    bus_reply(functions->bus, msg, json_writer_text(&writer, NULL));
}

static void refuse(struct functions *functions, const struct msg *msg, struct arena *arena, int code,
                   const char *why)
{
    struct json_writer writer;
    json_writer_init(&writer, arena);
    json_begin_object(&writer);
    json_key(&writer, "code");
    json_put_int(&writer, code);
    json_key(&writer, "message");
    json_put_string(&writer, why);
    json_end_object(&writer);
    bus_reply(functions->bus, msg, json_writer_text(&writer, NULL));
}

static void on_restart(struct functions *functions, const struct msg *msg, struct arena *arena)
{
    struct json *asked;
    const char *name;
    if (json_parse(&asked, arena, (const char *)msg->payload, msg->payload_len, NULL) != 0 ||
        !json_text(json_get(asked, "name"), arena, &name)) {
        refuse(functions, msg, arena, 400, "expected {\"name\":\"…\"}, the name of a plugin");
        return;
    }
    struct plugin *plugin = find_plugin(functions, name, strlen(name));
    if (!plugin) {
        refuse(functions, msg, arena, 404, arena_printf(arena, "there is no plugin \"%s\"", name));
        return;
    }
    plugin_restart(plugin);
    struct json_writer writer;
    json_writer_init(&writer, arena);
    json_begin_object(&writer);
    json_key(&writer, "name");
    json_put_string(&writer, name);
    json_end_object(&writer);
    bus_reply(functions->bus, msg, json_writer_text(&writer, NULL));
}

enum { REQUEST_MAX = 4096 };

static void on_message(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct functions *functions = container_of(subscriber, struct functions, subscriber);
    if (msg->payload_len > REQUEST_MAX)
        return;
    struct arena arena;
    arena_init(&arena);
    if (strcmp(msg->topic, TOPIC_CTL_PLUGIN_LIST) == 0)
        on_list(functions, msg, &arena);
    else if (strcmp(msg->topic, TOPIC_CTL_PLUGIN_RESTART) == 0)
        on_restart(functions, msg, &arena);
    else
        on_state(functions, msg, &arena);
    arena_done(&arena);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static int make_folder(const char *runtime_dir)
{
    cleanup_free char *folder = str_printf("%s/plugins", runtime_dir);
    if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
        int r = -errno;
        log_error("plugins: cannot make the folder %s: %s", folder, strerror(-r));
        return r;
    }
    return 0;
}

int functions_new(struct functions **ret, struct bus *bus, const struct functions_options *options)
{
    if (options->plugin_count) {
        int r = make_folder(options->runtime_dir);
        if (r < 0)
            return r;
    }
    struct functions *functions = mem_new(struct functions);
    functions->bus = bus;
    functions->runtime_dir = str_copy(options->runtime_dir);
    functions->host_path = str_copy(options->host_path);
    functions->plugin_dir = str_copy(options->plugin_dir);
    functions->options = (struct functions_options){
        .runtime_dir = functions->runtime_dir,
        .host_path = functions->host_path,
        .plugin_dir = functions->plugin_dir,
        .doors = options->doors,
    };
    functions->subscriber.deliver = on_message;
    bus_subscribe_to(bus, &functions->states, &functions->subscriber, TOPIC_PLUGIN_STATE_FILTER);
    bus_subscribe_to(bus, &functions->list, &functions->subscriber, TOPIC_CTL_PLUGIN_LIST);
    bus_subscribe_to(bus, &functions->restart, &functions->subscriber, TOPIC_CTL_PLUGIN_RESTART);

    functions->plugins = mem_new_bytes(options->plugin_count * sizeof *functions->plugins);
    for (size_t i = 0; i < options->plugin_count; i++) {
        functions->plugins[i] = plugin_new(bus, &functions->options, &options->plugins[i]);
        functions->count++;
        plugin_start(functions->plugins[i]);
    }
    *ret = functions;
    return 0;
}

void functions_stop(struct functions *functions)
{
    bus_unsubscribe(functions->bus, &functions->restart);
    for (size_t i = 0; i < functions->count; i++)
        plugin_stop(functions->plugins[i]);
}

bool functions_are_quiet(const struct functions *functions)
{
    for (size_t i = 0; i < functions->count; i++)
        if (functions->plugins[i]->child.pid)
            return false;
    return true;
}

struct functions *functions_free(struct functions *functions)
{
    if (!functions)
        return NULL;
    bus_unsubscribe(functions->bus, &functions->states);
    bus_unsubscribe(functions->bus, &functions->list);
    bus_unsubscribe(functions->bus, &functions->restart);
    for (size_t i = 0; i < functions->count; i++)
        functions->plugins[i] = plugin_free(functions->plugins[i]);
    free(functions->plugins);
    free(functions->runtime_dir);
    free(functions->host_path);
    free(functions->plugin_dir);
    free(functions);
    return NULL;
}
