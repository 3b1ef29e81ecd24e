/* shadow list, log, at, diff, blame, revert, watch: what became of a shadow, and who did it. */
#include "base/json_write.h"
#include "cli/ask.h"
#include "cli/print.h"
#include "cli/shadow.h"

#include <inttypes.h>
#include <string.h>

/* ---- printing ------------------------------------------------------------------------------------------------------- */

static void print_value(const struct json *value)
{
    struct arena arena;
    arena_init(&arena);
    print_text(stdout, value ? json_write(&arena, value, NULL) : "(none)");
    arena_done(&arena);
}

static const struct json *or_none(const struct json *value)
{
    return json_is(value, JSON_NULL) ? NULL : value;
}

/* "    reported.rpm: 900 -> 950", a line for each value that is another in `now`. In patches null is what is not there. True
 * when there was one. */
static bool print_changes(struct arena *arena, const char *path, const struct json *was,
                          const struct json *now)
{
    was = or_none(was);
    now = or_none(now);
    bool objects = (!was || was->type == JSON_OBJECT) && (!now || now->type == JSON_OBJECT);
    if (objects && (was || now) && (json_first(was) || json_first(now))) {
        bool any = false;
        json_for_each (member, was) {
            const char *name = arena_copy(arena, member->key, member->key_len);
            any |= print_changes(arena, arena_printf(arena, "%s%s%s", path, *path ? "." : "", name), member,
                                 json_get_n(now, member->key, member->key_len));
        }
        json_for_each (member, now) {
            const char *name = arena_copy(arena, member->key, member->key_len);
            if (!json_get_n(was, member->key, member->key_len))
                any |= print_changes(arena, arena_printf(arena, "%s%s%s", path, *path ? "." : "", name), NULL,
                                     member);
        }
        return any;
    }
    if ((!was && !now) || (was && now && json_equal(was, now)))
        return false;
    (void)fputs("    ", stdout);
    print_text(stdout, *path ? path : "document");
    (void)fputs(": ", stdout);
    print_value(was);
    (void)fputs(" -> ", stdout);
    print_value(now);
    (void)fputs("\n", stdout);
    return true;
}

/* "12  2026-11-27 07:12:30  by app-7" */
static void print_head(struct arena *arena, const struct json *change)
{
    int64_t version = 0, at_s = 0;
    const char *by = "";
    bool deleted = false;
    (void)json_int(json_get(change, "version"), 0, INT64_MAX, &version);
    (void)json_bool(json_get(change, "deleted"), &deleted);
    (void)printf("%" PRId64, version);
    if (json_int(json_get(change, "timestamp"), 0, INT64_MAX / 1000, &at_s))
        (void)printf("  %s", text_of_time(arena, at_s * 1000));
    if (json_text(json_get(change, "by"), arena, &by)) {
        (void)fputs("  by ", stdout);
        print_text(stdout, *by ? by : "the gateway");
    }
    (void)puts(deleted ? "  deleted" : "");
}

/* ---- asking --------------------------------------------------------------------------------------------------------- */

static struct json *request_of(const struct call *call, struct arena *arena)
{
    struct json *request = json_new(arena, JSON_OBJECT);
    const char *thing = call->arguments[0], *name = call->values[OPTION_NAME];
    json_append(request, "thing", strlen("thing"), json_new_string(arena, thing, strlen(thing)));
    if (name)
        json_append(request, "name", strlen("name"), json_new_string(arena, name, strlen(name)));
    return request;
}

static bool add_version(const struct call *call, struct arena *arena, struct json *request, const char *key,
                        const char *text)
{
    struct json *version = json_new_number(arena, text, strlen(text));
    int64_t number;
    if (!version || !json_int(version, 1, INT64_MAX, &number)) {
        (void)call_usage(call, "expected a version, a whole number from 1, found \"%s\"", text);
        return false;
    }
    json_append(request, key, strlen(key), version);
    return true;
}

static int ask(const struct call *call, struct arena *arena, const char *topic, const struct json *request,
               struct json **answer)
{
    return ask_once(call, arena, topic, json_write(arena, request, NULL), answer);
}

/* Asks with versions from the arguments, and prints the answer as it is or for people. */
static int ask_about(const struct call *call, const char *topic, const char *const *keys, unsigned count,
                     void (*print)(struct arena *arena, const struct json *answer))
{
    int code = shadow_check_names(call);
    if (code != CLI_DONE)
        return code;
    struct arena arena;
    arena_init(&arena);
    struct json *request = request_of(call, &arena), *answer = NULL;
    for (unsigned i = 0; i < count && code == CLI_DONE; i++)
        if (!add_version(call, &arena, request, keys[i], call->arguments[1 + i]))
            code = CLI_USAGE;
    if (code == CLI_DONE)
        code = ask(call, &arena, topic, request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        print(&arena, answer);
    arena_done(&arena);
    return code;
}

/* ---- the commands --------------------------------------------------------------------------------------------------- */

static void print_log(struct arena *arena, const struct json *answer)
{
    bool more = false;
    json_for_each (change, json_get(answer, "changes")) {
        print_head(arena, change);
        if (!print_changes(arena, "", json_get(change, "was"), json_get(change, "now")))
            (void)puts("    nothing");
    }
    if (json_bool(json_get(answer, "more"), &more) && more)
        (void)puts("... and more before (--count)");
    if (!json_first(json_get(answer, "changes")))
        (void)puts("No change is kept.");
}

int cmd_shadow_log(const struct call *call)
{
    uint32_t max;
    if (!call_number(call, OPTION_COUNT, 1, 1000, 20, &max))
        return CLI_USAGE;
    int code = shadow_check_names(call);
    if (code != CLI_DONE)
        return code;
    struct arena arena;
    arena_init(&arena);
    struct json *request = request_of(call, &arena), *answer = NULL;
    json_append(request, "max", strlen("max"), json_new_int(&arena, max));
    code = ask(call, &arena, "$gatehouse/ctl/shadow/log", request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        print_log(&arena, answer);
    arena_done(&arena);
    return code;
}

static void print_at(struct arena *arena, const struct json *answer)
{
    const struct json *state = json_get(answer, "state");
    print_head(arena, answer);
    if (json_is(state, JSON_NULL))
        (void)puts("There was none.");
    else
        print_pretty(stdout, state);
}

int cmd_shadow_at(const struct call *call)
{
    static const char *const keys[] = {"version"};
    return ask_about(call, "$gatehouse/ctl/shadow/at", keys, array_size(keys), print_at);
}

static void print_diff(struct arena *arena, const struct json *answer)
{
    if (!print_changes(arena, "", json_get(answer, "was"), json_get(answer, "now")))
        (void)puts("    nothing");
}

int cmd_shadow_diff(const struct call *call)
{
    static const char *const keys[] = {"from", "to"};
    return ask_about(call, "$gatehouse/ctl/shadow/diff", keys, array_size(keys), print_diff);
}

static void print_reverted(struct arena *arena, const struct json *answer)
{
    int64_t version = 0;
    (void)arena;
    (void)json_int(json_get(answer, "version"), 0, INT64_MAX, &version);
    (void)printf("now at version %" PRId64 "\n", version);
}

int cmd_shadow_revert(const struct call *call)
{
    static const char *const keys[] = {"version"};
    return ask_about(call, "$gatehouse/ctl/shadow/revert", keys, array_size(keys), print_reverted);
}

static void print_blame(struct arena *arena, const struct json *answer)
{
    int64_t oldest = 0;
    (void)json_int(json_get(answer, "oldest"), 0, INT64_MAX, &oldest);
    json_for_each (value, json_get(answer, "values")) {
        const char *path = "";
        (void)json_text(json_get(value, "path"), arena, &path);
        print_text(stdout, path);
        (void)fputs(" = ", stdout);
        print_value(json_get(value, "value"));
        (void)fputs("\n    ", stdout);
        if (json_get(value, "version"))
            print_head(arena, value);
        else
            (void)printf("before %" PRId64 "\n", oldest);
    }
}

int cmd_shadow_blame(const struct call *call)
{
    int code = shadow_check_names(call);
    if (code != CLI_DONE)
        return code;
    struct arena arena;
    arena_init(&arena);
    struct json *request = request_of(call, &arena), *answer = NULL;
    const char *path = call->count > 1 ? call->arguments[1] : "";
    json_append(request, "path", strlen("path"), json_new_string(&arena, path, strlen(path)));
    code = ask(call, &arena, "$gatehouse/ctl/shadow/blame", request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        print_blame(&arena, answer);
    arena_done(&arena);
    return code;
}

/* ---- list ----------------------------------------------------------------------------------------------------------- */

/* All pages. */
static int list(const struct call *call, struct link *link, struct arena *arena, struct json *names)
{
    struct json *request = request_of(call, arena), *answer;
    json_append(request, "pageSize", strlen("pageSize"), json_new_int(arena, 100));
    for (;;) {
        int code = ask_daemon(call, link, arena, "$gatehouse/ctl/shadow/list",
                              json_write(arena, request, NULL), &answer);
        if (code != CLI_DONE)
            return code;
        json_for_each (name, json_get(answer, "results"))
            json_push(names, json_share(arena, name));
        struct json *token = json_get(answer, "nextToken");
        if (!token)
            return CLI_DONE;
        json_set(request, "nextToken", strlen("nextToken"), json_share(arena, token));
    }
}

int cmd_shadow_list(const struct call *call)
{
    int code = shadow_check_names(call);
    cleanup(link_close_p) struct link *link = NULL;
    if (code == CLI_DONE)
        code = call_link(call, &link);
    if (code != CLI_DONE)
        return code;
    struct arena arena;
    arena_init(&arena);
    struct json *names = json_new(&arena, JSON_ARRAY);
    code = list(call, link, &arena, names);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(names);
    else if (code == CLI_DONE)
        json_for_each (name, names) {
            print_bytes(stdout, (const uint8_t *)name->text, name->len);
            (void)fputs("\n", stdout);
        }
    arena_done(&arena);
    return code;
}

/* ---- watch ---------------------------------------------------------------------------------------------------------- */

struct watching {
    bool json;
    uint32_t count, count_max; /* 0: no end */
};

static void print_change(struct arena *arena, const struct json *documents)
{
    const struct json *previous = json_get(documents, "previous"), *current = json_get(documents, "current");
    struct json *head = json_new(arena, JSON_OBJECT);
    const struct json *at_s = json_get(documents, "timestamp"), *version = json_get(current, "version");
    if (version)
        json_append(head, "version", strlen("version"), json_share(arena, version));
    if (at_s)
        json_append(head, "timestamp", strlen("timestamp"), json_share(arena, at_s));
    print_head(arena, head);
    if (!print_changes(arena, "", json_get(previous, "state"), json_get(current, "state")))
        (void)puts("    nothing");
}

/* delete/accepted, which names the version that was deleted, as what the log has: the deletion counts, too. */
static const struct json *deletion(struct arena *arena, const struct json *accepted)
{
    int64_t version = 0;
    struct json *made = json_new(arena, JSON_OBJECT);
    const struct json *at_s = json_get(accepted, "timestamp");
    (void)json_int(json_get(accepted, "version"), 0, INT64_MAX - 1, &version);
    json_append(made, "deleted", strlen("deleted"), json_new(arena, JSON_TRUE));
    json_append(made, "version", strlen("version"), json_new_int(arena, version + 1));
    if (at_s)
        json_append(made, "timestamp", strlen("timestamp"), json_share(arena, at_s));
    return made;
}

static bool on_change(void *self, const struct wire_packet *publish)
{
    struct watching *watching = self;
    struct arena arena;
    struct json *told;
    arena_init(&arena);
    if (json_parse(&told, &arena, (const char *)publish->payload, publish->payload_len, NULL) == 0) {
        bool deleted = !json_get(told, "current");
        const struct json *change = deleted ? deletion(&arena, told) : told;
        if (watching->json)
            answer_print(change);
        else if (deleted)
            print_head(&arena, change);
        else
            print_change(&arena, change);
        watching->count++;
    }
    arena_done(&arena);
    return !watching->count_max || watching->count < watching->count_max;
}

int cmd_shadow_watch(const struct call *call)
{
    struct watching watching = {.json = call_has(call, OPTION_JSON)};
    uint32_t limit_s;
    if (!call_number(call, OPTION_COUNT, 1, UINT32_MAX, 0, &watching.count_max) ||
        !call_number(call, OPTION_TIMEOUT, 1, 2000000, 0, &limit_s))
        return CLI_USAGE;
    int code = shadow_check_names(call);
    if (code != CLI_DONE)
        return code;
    cleanup_free char *documents = shadow_topic(call, "update/documents");
    cleanup_free char *deleted = shadow_topic(call, "delete/accepted");
    const char *const filters[] = {documents, deleted};
    struct listening listening = {.filters = filters,
                                  .count = array_size(filters),
                                  .limit_ms = limit_s * 1000,
                                  .on_message = on_change,
                                  .self = &watching};
    cleanup(link_close_p) struct link *link = NULL;
    code = call_link(call, &link);
    if (code == CLI_DONE)
        code = link_listen(link, &listening);
    if (code == CLI_DONE && listening.is_late && watching.count < watching.count_max) {
        (void)fprintf(stderr, "gatehouse: %u of %u changes came\n", watching.count, watching.count_max);
        return CLI_REFUSED;
    }
    return code;
}
