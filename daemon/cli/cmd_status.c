/* status: everybody's answer put together. */
#include "base/json_write.h"
#include "cli/ask.h"
#include "cli/print.h"
#include "cli/services.h"

#include <inttypes.h>

/* Whom to ask, and which member of the answer counts; NULL: all of it. */
enum part { GATEWAY, BROKER, HTTP, STREAMS, UPLINKS, PLUGINS, PARTS };

static const struct {
    const char *name, *topic, *member;
} parts[PARTS] = {
    [GATEWAY] = {"gateway", "$gatehouse/ctl/gateway/status", NULL},
    [BROKER] = {"broker", "$gatehouse/ctl/broker/status", NULL},
    [HTTP] = {"http", "$gatehouse/ctl/http/status", NULL},
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

/* "damaged   shadow: 1997 rows saved, 3 lost (press-7, press-9/cfg, press-11)" */
static void print_salvaged(struct arena *arena, const struct json *salvaged)
{
    (void)printf("damaged   %s in ", text_of_time(arena, (int64_t)number(salvaged, "at")));
    print_value(arena, json_get(salvaged, "file"));
    (void)fputs(", what could be read was saved\n", stdout);
    json_for_each (table, json_get(salvaged, "tables")) {
        bool unknown = json_is(json_get(table, "lost"), JSON_NULL);
        if (!unknown && !number(table, "lost"))
            continue;
        (void)fputs("          ", stdout);
        print_value(arena, json_get(table, "table"));
        (void)printf(": %" PRIu64 " rows saved, ", number(table, "saved"));
        if (unknown)
            (void)puts("others are lost");
        else
            (void)printf("%" PRIu64 " lost", number(table, "lost"));
        const char *before = " (";
        json_for_each (key, json_get(table, "keys")) {
            (void)fputs(before, stdout);
            print_value(arena, key);
            before = ", ";
        }
        if (!unknown)
            (void)puts(json_first(json_get(table, "keys")) ? ")" : "");
    }
}

/* "refused   subscribe: 3 not authorized" */
static void print_refusals(struct arena *arena, const struct json *refusals)
{
    json_for_each (kind, refusals) {
        if (!json_first(kind))
            continue;
        (void)fputs("refused   ", stdout);
        print_text(stdout, arena_printf(arena, "%.*s", (int)kind->key_len, kind->key));
        const char *before = ": ";
        json_for_each (reason, kind) {
            const char *why = arena_printf(arena, "%.*s", (int)reason->key_len, reason->key);
            (void)printf("%s%" PRIu64 " ", before, number(kind, why));
            print_text(stdout, why);
            before = ", ";
        }
        (void)fputs("\n", stdout);
    }
}

static void print_listeners(struct arena *arena, const struct json *listeners)
{
    json_for_each (listener, listeners) {
        (void)fputs("listens   ", stdout);
        print_value(arena, json_get(listener, "uri"));
        (void)printf(", %" PRIu64 " accepted", number(listener, "accepted"));
        uint64_t refused = number(listener, "refusedPerAddress") + number(listener, "refusedProxy");
        uint64_t delayed = number(listener, "heldBack") + number(listener, "exhausted");
        if (refused)
            (void)printf(", %" PRIu64 " refused", refused);
        if (delayed)
            (void)printf(", %" PRIu64 " times held back", delayed);
        (void)fputs("\n", stdout);
    }
}

static void print_gateway(struct arena *arena, const struct json *gateway, const struct json *broker,
                          const struct json *http)
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
    (void)printf("messages  %" PRIu64 " received, %" PRIu64 " sent, %" PRIu64 " retained (%s)\n",
                 number(broker, "received"), number(broker, "sent"), number(bus, "retained"),
                 text_of_size(arena, number(bus, "retainedBytes")));
    if (number(broker, "waits"))
        (void)printf("delayed   %" PRIu64 " times that nothing was read from a client for a while\n",
                     number(broker, "waits"));
    if (dropped)
        (void)printf("dropped   %" PRIu64 ": %" PRIu64 " of QoS 0 for slow clients, %" PRIu64
                     " for full queues, %" PRIu64 " larger than the client takes, %" PRIu64 " expired\n",
                     dropped, number(broker, "droppedQos0"), number(broker, "droppedQueueFull"),
                     number(broker, "droppedTooLarge"), number(broker, "droppedExpired"));
    (void)printf("database  %s, %" PRIu64 " writes in %" PRIu64 " commits, %" PRIu64 " failures\n",
                 text_of_size(arena, number(store, "bytes")), number(store, "writes"),
                 number(store, "commits"), number(store, "failures"));
    bool damaged = false;
    if (json_bool(json_get(store, "damaged"), &damaged) && damaged)
        (void)puts("damaged   something in the database cannot be read; the next start saves what can be");
    json_for_each (salvaged, json_get(store, "salvaged"))
        print_salvaged(arena, salvaged);
    print_refusals(arena, json_get(broker, "refusals"));
    print_listeners(arena, json_get(broker, "listeners"));
    if (json_first(json_get(http, "listeners")))
        (void)printf("http      %" PRIu64 " connected, %" PRIu64 " requests, %" PRIu64 " refused\n",
                     number(http, "connections"), number(http, "requests"), number(http, "refused"));
    print_listeners(arena, json_get(http, "listeners"));
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
    print_gateway(arena, answers[GATEWAY], answers[BROKER], answers[HTTP]);
    print_list(answers[STREAMS], stream_columns);
    print_list(exporters_of(arena, answers[STREAMS]), exporter_columns);
    print_list(answers[UPLINKS], uplink_columns);
    print_list(answers[PLUGINS], plugin_columns);
}

int cmd_metrics(const struct call *call)
{
    cleanup(link_close_p) struct link *link = NULL;
    cleanup_free char *text = NULL;
    int code = call_link(call, &link);
    if (code == CLI_DONE)
        code = link_request(link, "$gatehouse/ctl/gateway/metrics", "", &text);
    if (code == CLI_DONE && *text == '{') { /* no figures: a refusal */
        struct arena arena = {0};
        struct json *answer;
        code = answer_read(&arena, text, &answer);
        if (code == CLI_DONE)
            code = answer_judge(call, &arena, answer);
        arena_done(&arena);
    } else if (code == CLI_DONE) {
        (void)fputs(text, stdout);
    }
    return code;
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
