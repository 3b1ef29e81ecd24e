/* shadow get, update, delete: what a device would do, with the answer awaited. */
#include "base/json_write.h"
#include "base/utf8.h"
#include "cli/ask.h"
#include "cli/print.h"
#include "cli/shadow.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    DOCUMENT_MAX = 1 << 20, /* with white space */
    REQUEST_MAX =
        128 * 1024, /* AWS IoT: largest payload. Its refusal carries no token by which we would know it */
};

static bool name_is_good(const char *name)
{
    return *name && strlen(name) <= 128 && !strpbrk(name, "/+#") && wire_utf8_is_valid(name, strlen(name));
}

int shadow_check_names(const struct call *call)
{
    const char *thing = call->arguments[0], *name = call->values[OPTION_NAME];
    if (!name_is_good(thing))
        return call_usage(call, "expected the name of a thing, without / + #, found \"%s\"", thing);
    if (name && !name_is_good(name))
        return call_usage(call, "--name: expected the name of a shadow, without / + #, found \"%s\"", name);
    return CLI_DONE;
}

char *shadow_topic(const struct call *call, const char *action)
{
    const char *thing = call->arguments[0], *name = call->values[OPTION_NAME];
    return name ? str_printf("$aws/things/%s/shadow/name/%s/%s", thing, name, action)
                : str_printf("$aws/things/%s/shadow/%s", thing, action);
}

/* Sends a request document, with a token of ours in place of whatever it had, and takes the token out of the answer. */
static int shadow_call(const struct call *call, struct arena *arena, const char *action, struct json *request,
                       struct json **answer)
{
    cleanup(link_close_p) struct link *link = NULL;
    int code = call_link(call, &link);
    if (code != CLI_DONE)
        return code;
    cleanup_free char *topic = shadow_topic(call, action);
    cleanup_free char *token = str_printf("gatehouse-%d", (int)getpid());
    json_set(request, "clientToken", strlen("clientToken"), json_new_string(arena, token, strlen(token)));

    size_t len;
    const char *payload = json_write(arena, request, &len);
    if (len > REQUEST_MAX) {
        (void)fprintf(stderr, "gatehouse: expected a request of at most %d bytes, found %zu\n", REQUEST_MAX,
                      len);
        return CLI_REFUSED;
    }
    cleanup_free char *text = NULL;
    code = link_call(link, topic, payload, token, &text);
    if (!text)
        return code;
    code = answer_read(arena, text, answer);
    if (code != CLI_DONE)
        return code;
    (void)json_remove(*answer, "clientToken", strlen("clientToken"));
    return answer_judge(call, arena, *answer);
}

int cmd_shadow_get(const struct call *call)
{
    int code = shadow_check_names(call);
    if (code != CLI_DONE)
        return code;
    struct arena arena;
    arena_init(&arena);
    struct json *answer;
    code = shadow_call(call, &arena, "get", json_new(&arena, JSON_OBJECT), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        print_pretty(stdout, answer);
    arena_done(&arena);
    return code;
}

/* "press-7" or "press-7/firmware", and the version of its document. */
static void print_version(const struct call *call, const char *format, const struct json *answer)
{
    const char *name = call->values[OPTION_NAME];
    int64_t version = 0;
    (void)json_int(json_get(answer, "version"), 0, INT64_MAX, &version);
    (void)printf("shadow of %s%s%s: %s %" PRId64 "\n", call->arguments[0], name ? "/" : "", name ? name : "",
                 format, version);
}

static int finish(const struct call *call, int code, const char *what, const struct json *answer)
{
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        print_version(call, what, answer);
    return code;
}

/* All of standard input, in the arena. */
static const char *read_input(struct arena *arena, size_t *len)
{
    size_t size = 0, n;
    char *text = NULL;
    *len = 0;
    do {
        text = arena_grow(arena, text, size, size + 65536);
        size += 65536;
        n = fread(text + *len, 1, size - *len, stdin);
        *len += n;
    } while (n && *len <= DOCUMENT_MAX);
    return text;
}

/* {"desired":…} alone stands for {"state":{"desired":…}}: neither is a member of a request otherwise. */
static struct json *complete(struct arena *arena, struct json *document)
{
    if (json_get(document, "state") || (!json_get(document, "desired") && !json_get(document, "reported")))
        return document;
    struct json *request = json_new(arena, JSON_OBJECT);
    json_append(request, "state", strlen("state"), document);
    return request;
}

static int read_document(const struct call *call, struct arena *arena, struct json **ret)
{
    const char *text = call->arguments[1];
    size_t len = strlen(text);
    if (strcmp(text, "-") == 0)
        text = read_input(arena, &len);
    if (len > DOCUMENT_MAX)
        return call_usage(call, "expected a document of at most %d bytes", DOCUMENT_MAX);
    struct json_error error;
    struct json *document;
    int r = json_parse(&document, arena, text, len, &error);
    if (r == JSON_TOO_DEEP)
        return call_usage(call, "expected at most %d objects and arrays inside each other", JSON_DEPTH_MAX);
    if (r != 0)
        return call_usage(call, "line %u, column %u of the document: expected %s", error.line, error.column,
                          error.expected);
    if (!json_is(document, JSON_OBJECT))
        return call_usage(call, "expected an object, {\"state\":{...}}");
    *ret = complete(arena, document);
    return CLI_DONE;
}

int cmd_shadow_update(const struct call *call)
{
    int code = shadow_check_names(call);
    if (code != CLI_DONE)
        return code;
    struct arena arena;
    arena_init(&arena);
    struct json *request = NULL, *answer = NULL;
    code = read_document(call, &arena, &request);
    if (code == CLI_DONE)
        code = shadow_call(call, &arena, "update", request, &answer);
    code = finish(call, code, "now at version", answer);
    arena_done(&arena);
    return code;
}

int cmd_shadow_delete(const struct call *call)
{
    int code = shadow_check_names(call);
    if (code != CLI_DONE)
        return code;
    struct arena arena;
    arena_init(&arena);
    struct json *answer = NULL;
    code = shadow_call(call, &arena, "delete", json_new(&arena, JSON_OBJECT), &answer);
    code = finish(call, code, "deleted, it was at version", answer);
    arena_done(&arena);
    return code;
}
