#include "services/gwshadow/gw_report.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CLOCK_IS_SET_S = 1577836800 /* 2020-01-01 */, DAY_S = 24 * 3600, WARN_S = 14 * DAY_S };

struct report {
    struct arena *arena;
    struct json *problems;
    int64_t now_s;
};

static void add(struct json *object, const char *key, struct json *value)
{
    json_append(object, key, strlen(key), value);
}

static struct json *text(struct arena *arena, const char *value)
{
    return json_new_string(arena, value, strlen(value));
}

static const char *text_at(struct arena *arena, const struct json *object, const char *key)
{
    const char *value = "";
    (void)json_text(json_get(object, key), arena, &value);
    return value;
}

static int64_t number_at(const struct json *object, const char *key)
{
    int64_t value = 0;
    (void)json_int(json_get(object, key), 0, INT64_MAX, &value);
    return value;
}

static void add_number(struct arena *arena, struct json *to, const struct json *from, const char *key)
{
    add(to, key, json_new_int(arena, number_at(from, key)));
}

printf_like(2, 3) static void problem(struct report *report, const char *format, ...)
{
    if (report->problems->len == GW_PROBLEMS_MAX)
        return;
    va_list args;
    va_start(args, format);
    char line[300];
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    size_t kept = len < 0 ? 0 : utf8_cut(line, strlen(line), size_min((size_t)len, sizeof line - 1));
    json_push(report->problems, json_new_string(report->arena, arena_copy(report->arena, line, kept), kept));
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static void put_damage(struct report *report, const struct json *store)
{
    bool damaged = false;
    (void)json_bool(json_get(store, "damaged"), &damaged);
    if (damaged)
        problem(report, "database: some of it cannot be read; the next start saves what can be");
    json_for_each (at, json_get(store, "salvaged"))
        problem(
            report,
            "database: it was damaged, and what could not be read is missing; the damaged one is kept as %s",
            text_at(report->arena, at, "file"));
}

static void put_gateway(struct report *report, struct json *to, const struct json *gateway)
{
    struct arena *arena = report->arena;
    int64_t uptime = number_at(gateway, "uptime");
    const struct json *store = json_get(gateway, "store");
    add(to, "version", text(arena, text_at(arena, gateway, "version")));
    add(to, "uptime", json_new_int(arena, uptime));
    struct json *database = json_new(arena, JSON_OBJECT);
    add_number(arena, database, store, "bytes");
    add_number(arena, database, store, "failures");
    add(to, "database", database);
    if (number_at(store, "failures"))
        problem(report, "database: %" PRId64 " commits have failed", number_at(store, "failures"));
    put_damage(report, store);
}

static void put_clients(struct report *report, struct json *to, const struct json *broker)
{
    struct json *clients = json_new(report->arena, JSON_OBJECT);
    add_number(report->arena, clients, broker, "connections");
    add_number(report->arena, clients, broker, "sessions");
    add_number(report->arena, clients, broker, "queuedBytes");
    add(to, "clients", clients);
}

static void add_certificates(struct report *report, struct json *list, const struct json *server)
{
    struct arena *arena = report->arena;
    json_for_each (at, json_get(server, "certificates")) {
        const char *listener = text_at(arena, at, "listener");
        int64_t expires = number_at(at, "expires"), left = expires - report->now_s;
        if (list->len == GW_LIST_MAX)
            break;
        struct json *row = json_new(arena, JSON_OBJECT);
        add(row, "listener", text(arena, listener));
        add(row, "expires", json_new_int(arena, expires));
        json_push(list, row);
        if (report->now_s >= CLOCK_IS_SET_S && left <= 0)
            problem(report, "the certificate of %s has expired", listener);
        else if (report->now_s >= CLOCK_IS_SET_S && left < WARN_S)
            problem(report, "the certificate of %s expires in %" PRId64 " days", listener, left / DAY_S);
    }
}

static void put_certificates(struct report *report, struct json *to, const struct json *broker,
                             const struct json *http)
{
    struct json *list = json_new(report->arena, JSON_ARRAY);
    add_certificates(report, list, broker);
    add_certificates(report, list, http);
    add(to, "certificates", list);
}

static void put_streams(struct report *report, struct json *to, const struct json *streams)
{
    struct arena *arena = report->arena;
    struct json *list = json_new(arena, JSON_ARRAY);
    json_for_each (at, json_get(streams, "streams")) {
        const char *name = text_at(arena, at, "name");
        int64_t lost = number_at(at, "faults") + number_at(at, "damaged");
        if (list->len == GW_LIST_MAX)
            break;
        struct json *row = json_new(arena, JSON_OBJECT);
        add(row, "name", text(arena, name));
        add_number(arena, row, at, "pending");
        json_push(list, row);
        if (lost)
            problem(report, "stream %s: %" PRId64 " records were not kept", name, lost);
    }
    add(to, "streams", list);
}

/* Rows of name and state; those whose state is not the good one are a problem, unless they are only on their way there. */
static void put_states(struct report *report, struct json *to, const char *key, const char *kind,
                       const struct json *answer, const char *bad, const char *worse)
{
    struct arena *arena = report->arena;
    struct json *list = json_new(arena, JSON_ARRAY);
    json_for_each (at, json_get(answer, key)) {
        const char *name = text_at(arena, at, "name"), *state = text_at(arena, at, "state");
        const char *reason = text_at(arena, at, "reason");
        if (list->len == GW_LIST_MAX)
            break;
        if (strcmp(state, "probing") ==
            0) /* to be tried, which it is again and again; nothing is better yet */
            state = "down";
        struct json *row = json_new(arena, JSON_OBJECT);
        add(row, "name", text(arena, name));
        add(row, "state", text(arena, state));
        json_push(list, row);
        if (strcmp(state, bad) == 0 || strcmp(state, worse) == 0)
            problem(report, "%s %s is %s%s%s", kind, name, state, *reason ? ": " : "", reason);
    }
    add(to, key, list);
}

struct json *gw_report(struct arena *arena, const struct json *const answers[GW_PARTS], int64_t started_s,
                       int64_t now_s)
{
    struct report report = {.arena = arena, .problems = json_new(arena, JSON_ARRAY), .now_s = now_s};
    struct json *made = json_new(arena, JSON_OBJECT);
    add(made, "started", json_new_int(arena, started_s));
    put_gateway(&report, made, answers[GW_GATEWAY]);
    put_clients(&report, made, answers[GW_BROKER]);
    put_streams(&report, made, answers[GW_STREAMS]);
    put_states(&report, made, "uplinks", "uplink", answers[GW_UPLINKS], "down", "down");
    put_states(&report, made, "plugins", "plugin", answers[GW_PLUGINS], "backoff", "stopped");
    put_certificates(&report, made, answers[GW_BROKER], answers[GW_HTTP]);
    add(made, "health", text(arena, report.problems->len ? "warning" : "ok"));
    add(made, "problems", report.problems);
    return made;
}

/* ---- is there something to say? ---------------------------------------------------------------------------------- */

/* Members that change all the time by themselves. */
static bool is_noise(const struct json *member)
{
    return json_key_is(member, "uptime", 6) || json_key_is(member, "bytes", 5);
}

static bool differs(const struct json *last, const struct json *report)
{
    if (!last || last->type != report->type)
        return true;
    if (report->type != JSON_OBJECT)
        return !json_equal(last, report);
    json_for_each (member, report)
        if (!is_noise(member) && differs(json_get_n(last, member->key, member->key_len), member))
            return true;
    return last->len != report->len;
}

bool gw_report_differs(const struct json *last, const struct json *report)
{
    return differs(last, report);
}
