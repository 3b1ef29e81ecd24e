/* pair, and node: nodes get their keys, and others, and lose them. */
#include "base/json_write.h"
#include "cli/ask.h"
#include "cli/print.h"

#include <stdarg.h>
#include <string.h>

enum { WAIT_S = 600, PATIENCE_MS = 20000 };

static const struct column node_columns[] = {
    {"SERIAL", "serial", COLUMN_TEXT},       {"THING", "thing", COLUMN_TEXT},
    {"STATE", "state", COLUMN_TEXT},         {"GENERATION", "generation", COLUMN_NUMBER},
    {"CONNECTED", "connected", COLUMN_TEXT}, {"MODEL", "model", COLUMN_TEXT},
    {"FIRMWARE", "firmware", COLUMN_TEXT},   {"PAIRED", "paired", COLUMN_TIME},
    {"KEY SINCE", "rotated", COLUMN_TIME},   {0},
};

struct pair {
    const char *key, *value; /* value NULL: it is left out */
};

static char *request_of(struct arena *arena, const struct pair *pairs, size_t count, int64_t timeout)
{
    struct json_writer w;
    json_writer_init(&w, arena);
    json_begin_object(&w);
    for (size_t i = 0; i < count; i++) {
        if (!pairs[i].value)
            continue;
        json_key(&w, pairs[i].key);
        json_put_string(&w, pairs[i].value);
    }
    if (timeout) {
        json_key(&w, "timeout");
        json_put_int(&w, timeout);
    }
    json_end_object(&w);
    return json_writer_text(&w, NULL);
}

static const char *word_of(struct arena *arena, const struct json *answer, const char *key)
{
    const char *text = "";
    (void)json_text(json_get(answer, key), arena, &text);
    return text;
}

/* ---- pair --------------------------------------------------------------------------------------------------------------- */

/* For people; with --json only what became of it is printed. */
static void say(const struct call *call, const char *format, ...) printf_like(2, 3);
static void say(const struct call *call, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!call_has(call, OPTION_JSON))
        (void)vprintf(format, args);
    va_end(args);
    (void)fflush(stdout);
}

static int wait_for(const struct call *call, struct link *link, struct arena *arena, const char *serial,
                    uint32_t seconds, struct json **answer)
{
    const struct pair pairs[] = {{"serial", serial}};
    link_be_patient(link, seconds * 1000 + PATIENCE_MS);
    return ask_daemon(call, link, arena, "$gatehouse/ctl/pair/wait",
                      request_of(arena, pairs, array_size(pairs), (int64_t)seconds * 1000), answer);
}

/* A line of standard input, without its end. */
static bool read_line(char *line, size_t size)
{
    if (!fgets(line, (int)size, stdin))
        return false;
    line[strcspn(line, "\r\n")] = '\0';
    return *line != '\0';
}

/* Waits for what becomes of a node that may be paired now. */
static int see_through(const struct call *call, struct link *link, struct arena *arena, const char *serial,
                       uint32_t seconds)
{
    struct json *answer;
    int r = wait_for(call, link, arena, serial, seconds, &answer);
    if (r != CLI_DONE)
        return r;
    const char *state = word_of(arena, answer, "state"), *reason = word_of(arena, answer, "reason");
    if (call_has(call, OPTION_JSON))
        answer_print(answer);
    if (strcmp(state, "paired") == 0) {
        say(call, "%s is paired as %s.\n", serial, word_of(arena, answer, "thing"));
        return CLI_DONE;
    }
    (void)fprintf(stderr, "gatehouse: %s is not paired: ", serial);
    print_text(stderr, *reason ? reason : state);
    (void)fputs("\n", stderr);
    return CLI_REFUSED;
}

/* Gives the code to the daemon, and waits for what becomes of it. */
static int pair(const struct call *call, struct link *link, struct arena *arena, const char *serial,
                const char *code, uint32_t seconds)
{
    bool is_qr = strncmp(code, "GHN1:", 5) == 0;
    const struct pair pairs[] = {{"serial", is_qr ? NULL : serial},
                                 {is_qr ? "qr" : "code", code},
                                 {"thing", call->values[OPTION_THING]}};
    struct json *answer;
    link_be_patient(link, PATIENCE_MS);
    int r = ask_daemon(call, link, arena, "$gatehouse/ctl/pair/code",
                       request_of(arena, pairs, array_size(pairs), 0), &answer);
    if (r != CLI_DONE)
        return r;
    serial = word_of(arena, answer, "serial");
    say(call, "The code of %s is good for 10 minutes. Hold its button for 5 seconds if it is not waiting.\n",
        serial);
    return see_through(call, link, arena, serial, seconds);
}

/* Nobody was named: the one that asks, and a code from standard input. */
static int pair_whoever_asks(const struct call *call, struct link *link, struct arena *arena,
                             uint32_t seconds)
{
    char code[128];
    struct json *answer;
    say(call, "Waiting for a node that asks to be paired. Hold its button for 5 seconds.\n");
    int r = wait_for(call, link, arena, NULL, seconds, &answer);
    if (r != CLI_DONE)
        return r;
    const char *serial = word_of(arena, answer, "serial");
    say(call, "%s asks to be paired, from %s.\nThe code on its sticker, or the text of its QR code: ", serial,
        word_of(arena, answer, "reason"));
    if (!read_line(code, sizeof code)) {
        (void)fputs("gatehouse: expected a code on standard input\n", stderr);
        return CLI_USAGE;
    }
    return pair(call, link, arena, serial, code, seconds);
}

int cmd_pair(const struct call *call)
{
    bool is_qr = call->count == 1 && strncmp(call->arguments[0], "GHN1:", 5) == 0;
    uint32_t seconds;
    if (!call_number(call, OPTION_TIMEOUT, 1, WAIT_S, WAIT_S, &seconds))
        return CLI_USAGE;
    if (call->count == 1 && !is_qr)
        return call_usage(call, "expected SERIAL and CODE, or the text of a QR code, GHN1:SERIAL:CODE:MODEL");
    struct arena arena;
    arena_init(&arena);
    cleanup(link_close_p) struct link *link = NULL;
    int code = call_link(call, &link);
    if (code == CLI_DONE)
        code = call->count
                   ? pair(call, link, &arena, call->arguments[0], call->arguments[call->count - 1], seconds)
                   : pair_whoever_asks(call, link, &arena, seconds);
    arena_done(&arena);
    return code;
}

/* ---- node --------------------------------------------------------------------------------------------------------------- */

int cmd_node_list(const struct call *call)
{
    struct arena arena;
    arena_init(&arena);
    struct json *answer;
    int code = ask_once(call, &arena, "$gatehouse/ctl/node/list", "{}", &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        print_table(stdout, json_get(answer, "nodes"), node_columns,
                    "No node was paired yet: gatehouse pair.");
    arena_done(&arena);
    return code;
}

static int ask_about(const struct call *call, const char *topic, const char *done)
{
    const struct pair pairs[] = {{"name", call->arguments[0]}};
    struct arena arena;
    arena_init(&arena);
    struct json *answer;
    int code = ask_once(call, &arena, topic, request_of(&arena, pairs, array_size(pairs), 0), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        (void)printf("%s %s\n", word_of(&arena, answer, "serial"), done);
    arena_done(&arena);
    return code;
}

static int rotate_all(const struct call *call)
{
    struct arena arena;
    arena_init(&arena);
    struct json *answer;
    int64_t count = 0;
    int code = ask_once(call, &arena, "$gatehouse/ctl/node/rotate", "{\"all\":true}", &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE && json_int(json_get(answer, "rotating"), 0, INT64_MAX, &count))
        (void)printf("%lld nodes get other keys.\n", (long long)count);
    arena_done(&arena);
    return code;
}

int cmd_node_rotate(const struct call *call)
{
    if (!call->count == !call_has(call, OPTION_ALL))
        return call_usage(call, "expected the name of a node, or --all");
    return call->count ? ask_about(call, "$gatehouse/ctl/node/rotate", "gets another key.")
                       : rotate_all(call);
}

int cmd_node_revoke(const struct call *call)
{
    return ask_about(call, "$gatehouse/ctl/node/revoke", "is revoked.");
}

int cmd_node_repair(const struct call *call)
{
    return ask_about(call, "$gatehouse/ctl/node/re-pair", "may be paired again for 10 minutes.");
}

int cmd_node_approve(const struct call *call)
{
    const struct pair pairs[] = {{"serial", call->arguments[0]}, {"thing", call->values[OPTION_THING]}};
    uint32_t seconds;
    if (!call_number(call, OPTION_TIMEOUT, 1, WAIT_S, WAIT_S, &seconds))
        return CLI_USAGE;
    struct arena arena;
    arena_init(&arena);
    cleanup(link_close_p) struct link *link = NULL;
    struct json *answer;
    int code = call_link(call, &link);
    if (code == CLI_DONE)
        code = ask_daemon(call, link, &arena, "$gatehouse/ctl/node/approve",
                          request_of(&arena, pairs, array_size(pairs), 0), &answer);
    if (code == CLI_DONE)
        code = see_through(call, link, &arena, call->arguments[0], seconds);
    arena_done(&arena);
    return code;
}
