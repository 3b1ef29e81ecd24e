/* stream, plugin, uplink: lists, and what can be done to one of them. */
#include "base/json_write.h"
#include "cli/ask.h"
#include "cli/services.h"

#include <string.h>

const struct column stream_columns[] = {
    {"STREAM", "name", COLUMN_TEXT},         {"UPLINK", "uplink", COLUMN_TEXT},
    {"PRIORITY", "priority", COLUMN_NUMBER}, {"NEXT", "next", COLUMN_NUMBER},
    {"PENDING", "pending", COLUMN_NUMBER},   {"SIZE", "bytes", COLUMN_SIZE},
    {"REFUSED", "refused", COLUMN_NUMBER},   {"FAULTS", "faults", COLUMN_NUMBER},
    {"DAMAGED", "damaged", COLUMN_NUMBER},   {"FLASH", "flash", COLUMN_SIZE},
    {"A DAY", "flashDay", COLUMN_SIZE},      {"A YEAR", "flashYear", COLUMN_SIZE},
    {"ALARM", "alarm", COLUMN_TEXT},         {0},
};

const struct column exporter_columns[] = {
    {"STREAM", "stream", COLUMN_TEXT},      {"UPLINK", "uplink", COLUMN_TEXT},
    {"PENDING", "pending", COLUMN_NUMBER},  {"UNDER WAY", "underWay", COLUMN_NUMBER},
    {"RETRIES", "retries", COLUMN_NUMBER},  {"DEAD", "deadLettered", COLUMN_NUMBER},
    {"TODAY", "dayBytes", COLUMN_SIZE},     {"LAST TAKEN", "succeeded", COLUMN_TIME},
    {"WAITS FOR", "waitsFor", COLUMN_TEXT}, {"UNTIL", "until", COLUMN_TIME},
    {"LAST ERROR", "error", COLUMN_TEXT},   {0},
};

struct json *exporters_of(struct arena *arena, const struct json *streams)
{
    struct json *all = json_new(arena, JSON_ARRAY);
    json_for_each (stream, streams)
        json_for_each (exporter, json_get(stream, "exporters")) {
            struct json *row = json_copy(arena, exporter);
            json_set(row, "stream", strlen("stream"), json_share(arena, json_get(stream, "name")));
            json_push(all, row);
        }
    return all;
}

const struct column plugin_columns[] = {
    {"PLUGIN", "name", COLUMN_TEXT},
    {"STATE", "state", COLUMN_TEXT},
    {"PID", "pid", COLUMN_NUMBER},
    {"RESTARTS", "restarts", COLUMN_NUMBER},
    {"SINCE", "since", COLUMN_TIME},
    {"LAST END", "reason", COLUMN_TEXT},
    {0},
};

const struct column uplink_columns[] = {
    {"UPLINK", "name", COLUMN_TEXT},     {"STATE", "state", COLUMN_TEXT},
    {"SINCE", "since", COLUMN_TIME},     {"SENT", "sent", COLUMN_NUMBER},
    {"FAILED", "failed", COLUMN_NUMBER}, {"URI", "uri", COLUMN_TEXT},
    {"REASON", "reason", COLUMN_TEXT},   {0},
};

static const struct column uplink_status_columns[] = {
    {"UPLINK", "name", COLUMN_TEXT},       {"KIND", "kind", COLUMN_TEXT},
    {"STATE", "state", COLUMN_TEXT},       {"SINCE", "since", COLUMN_TIME},
    {"SENT", "sent", COLUMN_NUMBER},       {"BYTES", "bytes", COLUMN_NUMBER},
    {"FLYING", "inFlight", COLUMN_NUMBER}, {"FAILED", "failed", COLUMN_NUMBER},
    {"REFUSED", "refused", COLUMN_NUMBER}, {"LAST SUCCESS", "lastSuccess", COLUMN_TIME},
    {"REASON", "reason", COLUMN_TEXT},     {0},
};

static int list(const struct call *call, const char *topic, const char *key, const struct column *columns,
                const char *none)
{
    struct arena arena;
    arena_init(&arena);
    struct json *answer;
    int code = ask_once(call, &arena, topic, "{}", &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        print_table(stdout, json_get(answer, key), columns, none);
    arena_done(&arena);
    return code;
}

static const struct column locked_columns[] = {
    {"NAME", "name", COLUMN_TEXT}, {"REASON", "reason", COLUMN_TEXT}, {0}};

int cmd_stream_list(const struct call *call)
{
    struct arena arena = {0};
    struct json *answer;
    int code = ask_once(call, &arena, CTL_STREAM_LIST, "{}", &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON)) {
        answer_print(answer);
    } else if (code == CLI_DONE) {
        const struct json *streams = json_get(answer, "streams"), *exporters = exporters_of(&arena, streams);
        print_table(stdout, streams, stream_columns,
                    "There is no stream: [stream NAME] in gatehouse.conf, or gatehouse stream create.");
        if (json_first(exporters)) {
            (void)putchar('\n');
            print_table(stdout, exporters, exporter_columns, "");
        }
        if (json_first(json_get(answer, "locked"))) {
            (void)putchar('\n');
            print_table(stdout, json_get(answer, "locked"), locked_columns, "");
        }
    }
    arena_done(&arena);
    return code;
}

int cmd_plugin_list(const struct call *call)
{
    return list(call, CTL_PLUGIN_LIST, "plugins", plugin_columns,
                "There is no plugin: [plugin NAME] in gatehouse.conf.");
}

int cmd_uplink_list(const struct call *call)
{
    return list(call, CTL_UPLINK_LIST, "uplinks", uplink_columns,
                "There is no uplink: [uplink NAME] in gatehouse.conf.");
}

/* A request with the name of what it is about; the answer is printed, or the sentence `done` when that is not NULL. */
static int ask_by_name(const struct call *call, const char *topic, const char *kind, const char *done)
{
    struct arena arena;
    arena_init(&arena);
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "name");
    json_put_string(&w, call->arguments[0]);
    json_end_object(&w);
    struct json *answer;
    int code = ask_once(call, &arena, topic, json_writer_text(&w, NULL), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON)) {
        answer_print(answer);
    } else if (code == CLI_DONE) {
        const char *state;
        if (!done && json_text(json_get(answer, "state"), &arena, &state))
            done = state;
        (void)printf("%s %s: %s\n", kind, call->arguments[0], done ? done : "done");
    }
    arena_done(&arena);
    return code;
}

int cmd_plugin_restart(const struct call *call)
{
    return ask_by_name(call, "$gatehouse/ctl/plugin/restart", "plugin", "restarting");
}

static struct json *named(const struct json *list, const char *name)
{
    json_for_each (at, list)
        if (json_text_is(json_get(at, "name"), name))
            return at;
    return NULL;
}

static int print_uplink(const struct call *call, struct arena *arena, const struct json *uplinks)
{
    struct json *one = named(uplinks, call->arguments[0]);
    if (!one) {
        (void)fprintf(stderr, "gatehouse: there is no uplink \"%s\"\n", call->arguments[0]);
        return CLI_REFUSED;
    }
    if (call_has(call, OPTION_JSON)) {
        answer_print(one);
        return CLI_DONE;
    }
    struct json *rows = json_new(arena, JSON_ARRAY);
    json_push(rows, json_share(arena, one));
    print_table(stdout, rows, uplink_status_columns, "");
    return CLI_DONE;
}

int cmd_uplink_status(const struct call *call)
{
    if (!call->count)
        return list(call, CTL_UPLINK_LIST, "uplinks", uplink_status_columns,
                    "There is no uplink: [uplink NAME] in gatehouse.conf.");
    struct arena arena;
    arena_init(&arena);
    struct json *answer;
    int code = ask_once(call, &arena, CTL_UPLINK_LIST, "{}", &answer);
    if (code == CLI_DONE)
        code = print_uplink(call, &arena, json_get(answer, "uplinks"));
    arena_done(&arena);
    return code;
}

int cmd_uplink_cut(const struct call *call)
{
    return ask_by_name(call, "$gatehouse/ctl/uplink/cut", "uplink", NULL);
}

int cmd_uplink_restore(const struct call *call)
{
    return ask_by_name(call, "$gatehouse/ctl/uplink/restore", "uplink", NULL);
}
