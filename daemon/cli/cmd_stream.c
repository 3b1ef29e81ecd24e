/* stream: making, looking at, appending to, reading, and checking streams. The list is in cmd_services.c. */
#include "base/json_write.h"
#include "base/utf8.h"
#include "cli/ask.h"
#include "cli/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CTL_DESCRIBE "$gatehouse/ctl/stream/describe"
#define CTL_CREATE   "$gatehouse/ctl/stream/create"
#define CTL_DELETE   "$gatehouse/ctl/stream/delete"
#define CTL_VERIFY   "$gatehouse/ctl/stream/verify"
#define CTL_UPDATE   "$gatehouse/ctl/stream/update"
#define CTL_EXPORTER "$gatehouse/ctl/stream/exporter"
#define CTL_RETRY    "$gatehouse/ctl/stream/retry"

enum { NAME_MAX_LEN = 64, PIECE = 1000, WAIT_MS = 5000, VERIFY_MS = 3600 * 1000 };

static bool name_is_good(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return len >= 1 && len <= NAME_MAX_LEN && !name[len];
}

static int check_name(const struct call *call, const char *what, const char *name)
{
    return name_is_good(name)
               ? CLI_DONE
               : call_usage(call, "expected the name of a %s: 1 to 64 letters, digits, _ or -, found \"%s\"",
                            what, name);
}

static void begin(struct json_writer *w, struct arena *arena)
{
    json_writer_init(w, arena);
    json_begin_object(w);
}

static const char *end(struct json_writer *w)
{
    json_end_object(w);
    return json_writer_text(w, NULL);
}

static void put_text(struct json_writer *w, const char *key, const char *text)
{
    json_key(w, key);
    json_put_string(w, text);
}

static const char *name_request(struct arena *arena, const char *name)
{
    struct json_writer w;
    begin(&w, arena);
    put_text(&w, "name", name);
    return end(&w);
}

/* ---- create, describe, delete ------------------------------------------------------------------------------------ */

/* "max-size" as in gatehouse.conf is "maxSize" in a definition. */
static char *member_of(struct arena *arena, const char *key, size_t len)
{
    char *member = arena_copy(arena, key, len), *to = member;
    for (const char *from = member; *from; from++)
        if (*from == '-' && from[1] >= 'a' && from[1] <= 'z')
            *to++ = (char)(*++from - 'a' + 'A');
        else
            *to++ = *from;
    *to = '\0';
    return member;
}

/* A request with the name and members from KEY=VALUE; `done` is what is printed when it is. */
static int ask_with_members(const struct call *call, const char *topic, const char *done)
{
    int code = check_name(call, "stream", call->arguments[0]);
    if (code != CLI_DONE)
        return code;
    struct arena arena = {0};
    struct json_writer w;
    begin(&w, &arena);
    put_text(&w, "name", call->arguments[0]);
    for (unsigned i = 1; i < call->count && code == CLI_DONE; i++) {
        const char *equals = strchr(call->arguments[i], '=');
        if (!equals || equals == call->arguments[i])
            code = call_usage(call, "expected KEY=VALUE, found \"%s\"", call->arguments[i]);
        else
            put_text(&w, member_of(&arena, call->arguments[i], (size_t)(equals - call->arguments[i])),
                     equals + 1);
    }
    struct json *answer;
    if (code == CLI_DONE)
        code = ask_once(call, &arena, topic, end(&w), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        (void)printf("stream %s: %s\n", call->arguments[0], done);
    arena_done(&arena);
    return code;
}

int cmd_stream_create(const struct call *call)
{
    return ask_with_members(call, CTL_CREATE, "created");
}

int cmd_stream_update(const struct call *call)
{
    return ask_with_members(call, CTL_UPDATE, "changed");
}

int cmd_stream_retry(const struct call *call)
{
    int code = check_name(call, "stream", call->arguments[0]);
    if (code != CLI_DONE)
        return code;
    struct arena arena = {0};
    struct json *answer;
    int64_t retried = 0, skipped = 0;
    code = ask_once(call, &arena, CTL_RETRY, name_request(&arena, call->arguments[0]), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE && json_int(json_get(answer, "retried"), 0, INT64_MAX, &retried))
        (void)printf("stream %s: %" PRId64 " dead letters were sent back to it\n", call->arguments[0],
                     retried);
    if (code == CLI_DONE && json_int(json_get(answer, "skipped"), 1, INT64_MAX, &skipped) &&
        !call_has(call, OPTION_JSON))
        (void)printf(
            "%" PRId64
            " were passed over: no stream takes a topic or a size like theirs, or they have no payload\n",
            skipped);
    arena_done(&arena);
    return code;
}

int cmd_stream_describe(const struct call *call)
{
    int code = check_name(call, "stream", call->arguments[0]);
    if (code != CLI_DONE)
        return code;
    struct arena arena = {0};
    struct json *answer;
    code = ask_once(call, &arena, CTL_DESCRIBE, name_request(&arena, call->arguments[0]), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        print_pretty(stdout, answer);
    arena_done(&arena);
    return code;
}

int cmd_stream_delete(const struct call *call)
{
    int code = check_name(call, "stream", call->arguments[0]);
    if (code != CLI_DONE)
        return code;
    struct arena arena = {0};
    struct json *answer;
    code = ask_once(call, &arena, CTL_DELETE, name_request(&arena, call->arguments[0]), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        (void)printf("stream %s: deleted\n", call->arguments[0]);
    arena_done(&arena);
    return code;
}

/* ---- append ------------------------------------------------------------------------------------------------------ */

/* Like pub; but a stream that is not there would be acknowledged, as any topic that nobody listens to. */
int cmd_stream_append(const struct call *call)
{
    int code = check_name(call, "stream", call->arguments[0]);
    if (code != CLI_DONE)
        return code;
    struct arena arena = {0};
    struct json *answer;
    code = ask_once(call, &arena, CTL_DESCRIBE, name_request(&arena, call->arguments[0]), &answer);
    arena_done(&arena);
    if (code != CLI_DONE)
        return code;
    cleanup_free char *topic = str_printf("$gatehouse/streams/%s/append", call->arguments[0]);
    struct call publishing = *call;
    publishing.arguments[0] = topic;
    return cmd_pub(&publishing);
}

/* ---- read and tail ----------------------------------------------------------------------------------------------- */

static void print_record(const struct call *call, struct arena *arena, const struct json *record)
{
    const struct json *payload = json_get(record, "payload");
    const char *topic = "", *base64 = "";
    int64_t seq = 0, wall = 0;
    if (call_has(call, OPTION_JSON)) {
        answer_print(record);
        return;
    }
    (void)json_int(json_get(record, "seq"), 0, INT64_MAX, &seq);
    (void)json_int(json_get(record, "time"), 0, INT64_MAX, &wall);
    (void)json_text(json_get(record, "topic"), arena, &topic);
    (void)printf("%" PRId64 " %s ", seq, text_of_time(arena, wall));
    print_text(stdout, topic);
    (void)putchar(' ');
    if (payload)
        print_bytes(stdout, (const uint8_t *)payload->text, payload->len);
    else if (json_text(json_get(record, "base64"), arena, &base64))
        (void)printf("base64:%s", base64);
    (void)putchar('\n');
}

struct scan {
    const struct call *call;
    struct link *link;
    const char *topic, *cursor; /* cursor: for the first request, NULL for from */
    int64_t from;
    uint32_t left; /* UINT32_MAX: no end */
    uint32_t timeout_ms;
};

/* Not an answer, but no fault either: nothing came in time. */
static bool is_not_enough(const struct json *answer)
{
    int64_t code;
    return json_int(json_get(answer, "code"), 412, 412, &code);
}

/* One request; *n records were printed. */
static int read_piece(struct scan *scan, uint32_t *n)
{
    struct arena arena = {0};
    struct json_writer w;
    struct json *answer;
    cleanup_free char *text = NULL;
    int64_t missing = 0;
    begin(&w, &arena);
    if (scan->cursor) {
        put_text(&w, "cursor", scan->cursor);
    } else {
        json_key(&w, "from");
        json_put_int(&w, scan->from);
    }
    json_key(&w, "max");
    json_put_uint(&w, scan->left < PIECE ? scan->left : PIECE);
    json_key(&w, "timeout");
    json_put_uint(&w, scan->timeout_ms);
    *n = 0;
    int code = link_request(scan->link, scan->topic, end(&w), &text);
    if (code == CLI_DONE)
        code = answer_read(&arena, text, &answer);
    if (code == CLI_DONE && !is_not_enough(answer))
        code = answer_judge(scan->call, &arena, answer);
    if (code == CLI_DONE && !is_not_enough(answer)) {
        json_for_each (record, json_get(answer, "records")) {
            print_record(scan->call, &arena, record);
            ++*n;
        }
        (void)json_int(json_get(answer, "next"), 0, INT64_MAX, &scan->from);
        if (json_int(json_get(answer, "missing"), 1, INT64_MAX, &missing))
            (void)fprintf(stderr, "gatehouse: %" PRId64 " records are not there any more, or damaged\n",
                          missing);
        scan->cursor = NULL;
        (void)fflush(stdout);
    }
    arena_done(&arena);
    return code;
}

static int parse_from(const struct call *call, int64_t *ret)
{
    const char *text = call->values[OPTION_FROM];
    char *rest;
    long long from = strtoll(text, &rest, 10);
    if (*text < '0' || *text > '9' || *rest)
        return call_usage(call, "--from: expected the number of a record, found \"%s\"", text);
    *ret = from;
    return CLI_DONE;
}

static int begin_scan(struct scan *scan, char **topic)
{
    const struct call *call = scan->call;
    int code = check_name(call, "stream", call->arguments[0]);
    if (code == CLI_DONE && call_has(call, OPTION_FROM) && call_has(call, OPTION_CURSOR))
        code = call_usage(call, "expected one of --from and --cursor, not both");
    if (code == CLI_DONE && call_has(call, OPTION_FROM))
        code = parse_from(call, &scan->from);
    scan->cursor = call->values[OPTION_CURSOR];
    *topic = str_printf("$gatehouse/streams/%s/read", call->arguments[0]);
    scan->topic = *topic;
    return code == CLI_DONE ? call_link(call, &scan->link) : code;
}

int cmd_stream_read(const struct call *call)
{
    struct scan scan = {.call = call};
    cleanup_free char *topic = NULL;
    uint32_t timeout_s, n = 1;
    if (!call_number(call, OPTION_COUNT, 1, UINT32_MAX - 1, UINT32_MAX, &scan.left) ||
        !call_number(call, OPTION_TIMEOUT, 1, 2000000, 0, &timeout_s))
        return CLI_USAGE;
    int code = begin_scan(&scan, &topic);
    cleanup(link_close_p) struct link *link = scan.link;
    (void)link; /* closed when all is read */
    uint64_t wait_ms = (uint64_t)timeout_s * 1000;
    uint32_t wanted = scan.left;
    while (code == CLI_DONE && scan.left && (n || wait_ms)) {
        scan.timeout_ms = wait_ms < WAIT_MS ? (uint32_t)wait_ms : WAIT_MS;
        code = read_piece(&scan, &n);
        scan.left -= scan.left == UINT32_MAX ? 0 : n;
        wait_ms -= n ? 0 : scan.timeout_ms;
    }
    if (code == CLI_DONE && timeout_s && scan.left && wanted != UINT32_MAX) {
        (void)fprintf(stderr, "gatehouse: %u of %u records came\n", wanted - scan.left, wanted);
        return CLI_REFUSED;
    }
    return code;
}

/* Where a stream ends now. */
static int find_end(const struct call *call, struct link *link, int64_t *ret)
{
    struct arena arena = {0};
    struct json *answer;
    int code =
        ask_daemon(call, link, &arena, CTL_DESCRIBE, name_request(&arena, call->arguments[0]), &answer);
    if (code == CLI_DONE)
        (void)json_int(json_get(json_get(answer, "status"), "next"), 0, INT64_MAX, ret);
    arena_done(&arena);
    return code;
}

int cmd_stream_tail(const struct call *call)
{
    struct scan scan = {.call = call, .timeout_ms = WAIT_MS};
    cleanup_free char *topic = NULL;
    uint32_t n;
    if (!call_number(call, OPTION_COUNT, 1, UINT32_MAX - 1, UINT32_MAX, &scan.left))
        return CLI_USAGE;
    int code = begin_scan(&scan, &topic);
    cleanup(link_close_p) struct link *link = scan.link;
    if (code == CLI_DONE && !call_has(call, OPTION_FROM) && !call_has(call, OPTION_CURSOR))
        code = find_end(call, link, &scan.from);
    while (code == CLI_DONE && scan.left) {
        code = read_piece(&scan, &n);
        scan.left -= scan.left == UINT32_MAX ? 0 : n;
    }
    return code;
}

/* ---- cursors ----------------------------------------------------------------------------------------------------- */

static const struct column cursor_columns[] = {
    {"CURSOR", "name", COLUMN_TEXT},
    {"UPLINK", "uplink", COLUMN_TEXT},
    {"HOLDS", "holds", COLUMN_TEXT},
    {"NEXT", "next", COLUMN_NUMBER},
    {"PENDING", "pending", COLUMN_NUMBER},
    {"DELIVERED", "delivered", COLUMN_NUMBER},
    {"EXPIRED", "expired", COLUMN_NUMBER},
    {"EVICTED", "evicted", COLUMN_NUMBER},
    {"DEAD", "deadLettered", COLUMN_NUMBER},
    {"MISSING", "missing", COLUMN_NUMBER},
    {0},
};

static int list_cursors(const struct call *call)
{
    struct arena arena = {0};
    struct json *answer;
    int code = ask_once(call, &arena, CTL_DESCRIBE, name_request(&arena, call->arguments[0]), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(json_get(answer, "readers"));
    else if (code == CLI_DONE)
        print_table(stdout, json_get(answer, "readers"), cursor_columns, "Nobody reads this stream.");
    arena_done(&arena);
    return code;
}

static int check_cursor(const struct call *call)
{
    const char *action = call->arguments[1];
    bool create = strcmp(action, "create") == 0, move = strcmp(action, "move") == 0;
    if (!create && !move && strcmp(action, "delete") != 0)
        return call_usage(call, "expected list, create, move or delete, found \"%s\"", action);
    if (call->count < 3)
        return call_usage(call, "expected the NAME of the cursor");
    if (move && call->count < 4)
        return call_usage(call, "expected where to: first, next, or the number of a record");
    if (!create && !move && call->count > 3)
        return call_usage(call, "expected no more arguments");
    if (!create && call_has(call, OPTION_NO_HOLD))
        return call_usage(call, "--no-hold: expected with create only");
    return check_name(call, "cursor", call->arguments[2]);
}

static void put_at(struct json_writer *w, const char *at)
{
    char *rest;
    long long number = strtoll(at, &rest, 10);
    json_key(w, "at");
    if (*at >= '0' && *at <= '9' && !*rest)
        json_put_int(w, number);
    else
        json_put_string(w, at);
}

int cmd_stream_cursor(const struct call *call)
{
    int code = check_name(call, "stream", call->arguments[0]);
    if (code == CLI_DONE && call->count >= 2 && strcmp(call->arguments[1], "list") == 0)
        return call->count == 2 ? list_cursors(call) : call_usage(call, "expected no more arguments");
    if (code == CLI_DONE && call->count < 2)
        return list_cursors(call);
    if (code == CLI_DONE)
        code = check_cursor(call);
    if (code != CLI_DONE)
        return code;
    struct arena arena = {0};
    struct json_writer w;
    struct json *answer;
    begin(&w, &arena);
    put_text(&w, "cursor", call->arguments[2]);
    put_text(&w, "action", call->arguments[1]);
    if (call->count > 3)
        put_at(&w, call->arguments[3]);
    if (call_has(call, OPTION_NO_HOLD)) {
        json_key(&w, "holds");
        json_put_bool(&w, false);
    }
    cleanup_free char *topic = str_printf("$gatehouse/streams/%s/cursor", call->arguments[0]);
    int64_t next;
    code = ask_once(call, &arena, topic, end(&w), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE && json_int(json_get(answer, "next"), 0, INT64_MAX, &next))
        (void)printf("cursor %s: at %" PRId64 "\n", call->arguments[2], next);
    else if (code == CLI_DONE)
        (void)printf("cursor %s: deleted\n", call->arguments[2]);
    arena_done(&arena);
    return code;
}

/* ---- exporters --------------------------------------------------------------------------------------------------- */

static int check_exporter(const struct call *call)
{
    const char *action = call->arguments[2];
    bool moves = strcmp(action, "move") == 0;
    if (!moves && strcmp(action, "pause") != 0 && strcmp(action, "resume") != 0)
        return call_usage(call, "expected pause, resume or move, found \"%s\"", action);
    if (moves && call->count < 4)
        return call_usage(call, "expected where to: first, next, or the number of a record");
    if (!moves && call->count > 3)
        return call_usage(call, "expected no more arguments");
    return check_name(call, "uplink", call->arguments[1]);
}

int cmd_stream_exporter(const struct call *call)
{
    static const char *const dones[] = {"paused", "resumed"};
    int code = check_name(call, "stream", call->arguments[0]);
    if (code == CLI_DONE)
        code = check_exporter(call);
    if (code != CLI_DONE)
        return code;
    struct arena arena = {0};
    struct json_writer w;
    struct json *answer;
    int64_t place;
    begin(&w, &arena);
    put_text(&w, "name", call->arguments[0]);
    put_text(&w, "uplink", call->arguments[1]);
    put_text(&w, "action", call->arguments[2]);
    if (call->count > 3)
        put_at(&w, call->arguments[3]);
    code = ask_once(call, &arena, CTL_EXPORTER, end(&w), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE && call->count == 3)
        (void)printf("stream %s: uplink %s: %s\n", call->arguments[0], call->arguments[1],
                     dones[strcmp(call->arguments[2], "resume") == 0]);
    else if (code == CLI_DONE &&
             json_int(json_get(json_get(answer, "exporter"), "cursor"), 0, INT64_MAX, &place))
        (void)printf("stream %s: uplink %s: at %" PRId64 "\n", call->arguments[0], call->arguments[1], place);
    arena_done(&arena);
    return code;
}

/* ---- verify ------------------------------------------------------------------------------------------------------ */

static const struct column account_columns[] = {
    {"ACCOUNT", "name", COLUMN_TEXT},        {"KIND", "kind", COLUMN_TEXT},
    {"ACCEPTED", "accepted", COLUMN_NUMBER}, {"DELIVERED", "delivered", COLUMN_NUMBER},
    {"PENDING", "pending", COLUMN_NUMBER},   {"EXPIRED", "expired", COLUMN_NUMBER},
    {"EVICTED", "evicted", COLUMN_NUMBER},   {"DEAD", "deadLettered", COLUMN_NUMBER},
    {"MISSING", "missing", COLUMN_NUMBER},   {0},
};

static void print_verified(struct arena *arena, const struct json *stream)
{
    const char *name = "", *fault;
    (void)json_text(json_get(stream, "name"), arena, &name);
    if (json_text(json_get(stream, "fault"), arena, &fault))
        (void)printf("stream %s: DOES NOT BALANCE: %s\n", name, fault);
    else
        (void)printf("stream %s: balances\n", name);
    print_table(stdout, json_get(stream, "accounts"), account_columns, "");
}

int cmd_stream_verify(const struct call *call)
{
    int code = call->count ? check_name(call, "stream", call->arguments[0]) : CLI_DONE;
    if (code != CLI_DONE)
        return code;
    struct arena arena = {0};
    struct json *answer = NULL;
    bool balanced = false;
    cleanup(link_close_p) struct link *link = NULL;
    code = call_link(call, &link);
    if (code == CLI_DONE) {
        link_be_patient(link, VERIFY_MS); /* it reads everything */
        code = ask_daemon(call, link, &arena, CTL_VERIFY,
                          call->count ? name_request(&arena, call->arguments[0]) : "{}", &answer);
    }
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        json_for_each (stream, json_get(answer, "streams"))
            print_verified(&arena, stream);
    if (code == CLI_DONE && !(json_bool(json_get(answer, "balanced"), &balanced) && balanced))
        code = CLI_REFUSED;
    arena_done(&arena);
    return code;
}
