/* status: everybody's answer put together. */
#include "base/json_write.h"
#include "cli/ask.h"
#include "cli/print.h"
#include "cli/services.h"

#include <inttypes.h>

/* Whom to ask, and which member of the answer counts; NULL: all of it. */
enum part { GATEWAY, BROKER, STREAMS, UPLINKS, PLUGINS, PARTS };

static const struct {
    const char *name, *topic, *member;
} parts[PARTS] = {
    [GATEWAY] = {"gateway", "$gatehouse/ctl/gateway/status", NULL},
    [BROKER] = {"broker", "$gatehouse/ctl/broker/status", NULL},
    [STREAMS] = {"streams", CTL_STREAM_LIST, "streams"},
    [UPLINKS] = {"uplinks", CTL_UPLINK_LIST, "uplinks"},
    [PLUGINS] = {"plugins", CTL_PLUGIN_LIST, "plugins"},
};

static uint64_t number(const struct json *object, const char *key)
{
    int64_t value = 0;
    (void)json_int(json_get(object, key), 0, INT64_MAX, &value);
    return (uint64_t)value;
}

static void print_value(struct arena *arena, const struct json *value)
{
    const char *text = "-";
    (void)json_text(value, arena, &text);
    print_text(stdout, text);
}

static void print_gateway(struct arena *arena, const struct json *gateway, const struct json *broker)
{
    const struct json *bus = json_get(gateway, "bus"), *store = json_get(gateway, "store");
    print_value(arena, json_get(gateway, "name"));
    (void)fputs(": gatehouse ", stdout);
    print_value(arena, json_get(gateway, "version"));
    (void)printf(", pid %" PRIu64 ", up %s\n", number(gateway, "pid"),
                 text_of_span(arena, (int64_t)number(gateway, "uptime")));
    (void)printf("clients   %" PRIu64 " connected, %" PRIu64 " sessions; %" PRIu64 " refused, %" PRIu64
                 " not authorized, %" PRIu64 " protocol errors\n",
                 number(broker, "connections"), number(broker, "sessions"), number(broker, "refused"),
                 number(broker, "unauthorized"), number(broker, "protocolErrors"));
    uint64_t dropped = number(broker, "droppedQos0") + number(broker, "droppedQueueFull") +
                       number(broker, "droppedTooLarge") + number(broker, "droppedExpired");
    (void)printf("messages  %" PRIu64 " received, %" PRIu64 " sent, %" PRIu64 " dropped; %" PRIu64
                 " retained (%s)\n",
                 number(broker, "received"), number(broker, "sent"), dropped, number(bus, "retained"),
                 text_of_size(arena, number(bus, "retainedBytes")));
    (void)printf("database  %s, %" PRIu64 " writes in %" PRIu64 " commits, %" PRIu64 " failures\n",
                 text_of_size(arena, number(store, "bytes")), number(store, "writes"),
                 number(store, "commits"), number(store, "failures"));
    json_for_each (listener, json_get(broker, "listeners")) {
        (void)fputs("listens   ", stdout);
        print_value(arena, listener);
        (void)fputs("\n", stdout);
    }
}

static void print_list(const struct json *rows, const struct column *columns)
{
    if (!json_first(rows))
        return;
    (void)fputs("\n", stdout);
    print_table(stdout, rows, columns, "");
}

static void print_all(struct arena *arena, struct json *const *answers, bool as_json)
{
    if (as_json) {
        struct json_writer w;
        json_writer_init(&w, arena);
        json_begin_object(&w);
        for (int i = 0; i < PARTS; i++) {
            json_key(&w, parts[i].name);
            json_put(&w, answers[i]);
        }
        json_end_object(&w);
        (void)puts(json_writer_text(&w, NULL));
        return;
    }
    print_gateway(arena, answers[GATEWAY], answers[BROKER]);
    print_list(answers[STREAMS], stream_columns);
    print_list(answers[UPLINKS], uplink_columns);
    print_list(answers[PLUGINS], plugin_columns);
}

int cmd_status(const struct call *call)
{
    cleanup(link_close_p) struct link *link = NULL;
    int code = call_link(call, &link);
    struct arena arena;
    arena_init(&arena);
    struct json *answers[PARTS] = {0};
    for (int i = 0; i < PARTS && code == CLI_DONE; i++) {
        code = ask_daemon(call, link, &arena, parts[i].topic, "{}", &answers[i]);
        if (code == CLI_DONE && parts[i].member)
            answers[i] = json_get(answers[i], parts[i].member);
    }
    if (code == CLI_DONE)
        print_all(&arena, answers, call_has(call, OPTION_JSON));
    arena_done(&arena);
    return code;
}
