/* pub and sub. */
#include "base/json_write.h"
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/print.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { INPUT_MAX = 4 << 20, PIECE = 65536 };

/* ---- pub ------------------------------------------------------------------------------------------------------------ */

struct publishing {
    const struct call *call;
    struct link *link;
    const char *topic;
    uint32_t qos;
    bool retain;
    unsigned long long count;
    char *bytes; /* input that is not published yet */
    size_t len, size;
};

static int publish(struct publishing *p, const char *payload, size_t len)
{
    p->count++;
    return link_publish(p->link, p->topic, payload, len, p->qos, p->retain);
}

/* Reads a piece of standard input; *n is 0 at its end. */
static int read_piece(struct publishing *p, size_t *n)
{
    if (p->len > INPUT_MAX) {
        (void)fprintf(stderr, "gatehouse: a message on standard input is too long: more than %d bytes\n",
                      INPUT_MAX);
        return CLI_REFUSED;
    }
    if (p->size - p->len < PIECE) {
        p->size = p->size * 2 + PIECE;
        char *bytes = realloc(p->bytes, p->size);
        if (!bytes)
            abort();
        p->bytes = bytes;
    }
    int code = link_wait_readable(p->link, STDIN_FILENO);
    if (code != CLI_DONE)
        return code;
    ssize_t got = read(STDIN_FILENO, p->bytes + p->len, PIECE);
    if (got < 0 && errno != EINTR && errno != EAGAIN) {
        perror("gatehouse: standard input");
        return CLI_REFUSED;
    }
    *n = got < 0 ? SIZE_MAX : (size_t)got;
    p->len += got > 0 ? (size_t)got : 0;
    return CLI_DONE;
}

/* Publishes the whole lines of the input, and forgets them. `from` has been looked at already. */
static int publish_lines(struct publishing *p, size_t from)
{
    size_t begin = 0;
    for (char *end; (end = memchr(p->bytes + from, '\n', p->len - from)); begin = from) {
        size_t at = (size_t)(end - p->bytes);
        int code = at > begin ? publish(p, p->bytes + begin, at - begin) : CLI_DONE;
        if (code != CLI_DONE)
            return code;
        from = at + 1;
    }
    p->len -= begin;
    memmove(p->bytes, p->bytes + begin, p->len);
    return CLI_DONE;
}

static int publish_input(struct publishing *p, bool lines)
{
    for (;;) {
        size_t n, before = p->len;
        int code = read_piece(p, &n);
        if (code == CLI_DONE && n && lines)
            code = publish_lines(p, before);
        if (code != CLI_DONE)
            return code;
        if (!n)
            break;
    }
    /* The last line may come without its end; and all of it is one message if it is not taken as lines. */
    return p->len || !lines ? publish(p, p->bytes, p->len) : CLI_DONE;
}

static int check_pub(const struct call *call)
{
    const char *topic = call->arguments[0];
    bool from_stdin = call_has(call, OPTION_STDIN), lines = call_has(call, OPTION_LINES);
    if (!wire_utf8_is_valid(topic, strlen(topic)) || !wire_topic_is_valid(topic, strlen(topic)) ||
        strlen(topic) > WIRE_TEXT_MAX)
        return call_usage(call, "expected a topic without wildcards, found \"%s\"", topic);
    if (from_stdin && lines)
        return call_usage(call, "expected one of --stdin and --lines, not both");
    if (call->count == 2 && (from_stdin || lines))
        return call_usage(call, "the payload comes from standard input: expected none as an argument");
    if (call->count == 1 && !from_stdin && !lines)
        return call_usage(call, "expected a PAYLOAD, --stdin or --lines");
    return CLI_DONE;
}

int cmd_pub(const struct call *call)
{
    struct publishing p = {
        .call = call, .topic = call->arguments[0], .retain = call_has(call, OPTION_RETAIN)};
    if (!call_number(call, OPTION_QOS, 0, 2, 1, &p.qos))
        return CLI_USAGE;
    int code = check_pub(call);
    if (code != CLI_DONE)
        return code;
    cleanup(link_close_p) struct link *link = NULL;
    code = call_link(call, &link);
    if (code != CLI_DONE)
        return code;
    p.link = link;
    if (call->count == 2)
        code = publish(&p, call->arguments[1], strlen(call->arguments[1]));
    else
        code = publish_input(&p, call_has(call, OPTION_LINES));
    free(p.bytes);
    if (code == CLI_DONE)
        code = link_settle(link);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        (void)printf("{\"published\":%llu}\n", p.count);
    return code;
}

/* ---- sub ------------------------------------------------------------------------------------------------------------ */

struct hearing {
    bool json;
    uint32_t count, count_max; /* 0: no end */
};

static void print_json(const struct wire_packet *publish)
{
    struct arena arena;
    arena_init(&arena);
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "topic");
    json_put_string_n(&w, publish->topic.text, publish->topic.len);
    const char *payload = (const char *)publish->payload;
    if (utf8_is_valid(payload, publish->payload_len)) {
        json_key(&w, "payload");
        json_put_string_n(&w, payload, publish->payload_len);
    } else {
        json_key(&w, "base64");
        json_put_string(&w, text_of_base64(&arena, publish->payload, publish->payload_len));
    }
    json_key(&w, "qos");
    json_put_uint(&w, publish->qos);
    json_key(&w, "retain");
    json_put_bool(&w, publish->retain);
    json_end_object(&w);
    (void)puts(json_writer_text(&w, NULL));
    arena_done(&arena);
}

static bool on_message(void *self, const struct wire_packet *publish)
{
    struct hearing *hearing = self;
    if (hearing->json) {
        print_json(publish);
    } else {
        print_bytes(stdout, (const uint8_t *)publish->topic.text, publish->topic.len);
        (void)fputc(' ', stdout);
        print_bytes(stdout, publish->payload, publish->payload_len);
        (void)fputc('\n', stdout);
    }
    return ++hearing->count != hearing->count_max;
}

static int check_sub(const struct call *call)
{
    for (unsigned i = 0; i < call->count; i++) {
        const char *filter = call->arguments[i];
        if (!wire_utf8_is_valid(filter, strlen(filter)) || !wire_filter_is_valid(filter, strlen(filter)) ||
            strlen(filter) > WIRE_TEXT_MAX)
            return call_usage(call, "expected an MQTT topic filter, found \"%s\"", filter);
    }
    if (call_has(call, OPTION_RETAINED_ONLY) && call_has(call, OPTION_NO_RETAINED))
        return call_usage(call, "expected one of --retained-only and --no-retained, not both");
    return CLI_DONE;
}

int cmd_sub(const struct call *call)
{
    struct hearing hearing = {.json = call_has(call, OPTION_JSON)};
    struct listening listening = {
        .filters = call->arguments,
        .count = call->count,
        .retained_only = call_has(call, OPTION_RETAINED_ONLY),
        .no_retained = call_has(call, OPTION_NO_RETAINED),
        .on_message = on_message,
        .self = &hearing,
    };
    /* Whoever only looks must not slow down those who speak: at QoS 0 messages are dropped when nobody reads our output. What
     * is retained is a whole and ends, so none of it may be missing. */
    uint32_t qos, qos_default = listening.retained_only ? 2 : 0, limit_s;
    if (!call_number(call, OPTION_QOS, 0, 2, qos_default, &qos) ||
        !call_number(call, OPTION_COUNT, 1, UINT32_MAX, 0, &hearing.count_max) ||
        !call_number(call, OPTION_TIMEOUT, 1, 2000000, 0, &limit_s))
        return CLI_USAGE;
    listening.qos = qos;
    listening.limit_ms = limit_s * 1000;
    int code = check_sub(call);
    if (code != CLI_DONE)
        return code;
    cleanup(link_close_p) struct link *link = NULL;
    code = call_link(call, &link);
    if (code == CLI_DONE)
        code = link_listen(link, &listening);
    if (code == CLI_DONE && listening.is_late && hearing.count < hearing.count_max) {
        (void)fprintf(stderr, "gatehouse: %u of %u messages came\n", hearing.count, hearing.count_max);
        return CLI_REFUSED;
    }
    return code;
}
