/* The kind "http" of uplinks: records are posted to a server, several in one request.
 *
 *      outbox ──batch──▶ a lane: body, URL, headers ─▶ libcurl ─▶ the server       on the lane's own thread
 *             ◀─answer── what the status says (post_answer.h)                      on the loop
 *
 * There is one lane, and everything arrives in order, unless the administrator wants more and no order. A thread begins
 * with the first batch of its lane, and so does the library's part (lazy/).
 *
 * A server that got a batch and whose answer was lost gets it again. So that it can know it again every request has a
 * header Idempotency-Key when its records have numbers, and every record of a JSON body has its stream and number.
 */
#include "base/log.h"
#include "base/worker.h"
#include "cloud/outbox.h"
#include "cloud/post_answer.h"
#include "cloud/post_curl.h"
#include "cloud/record.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    BATCH_RECORDS = 100,
    BATCH_BYTES = 256 * 1024,
    CONNECT_LIMIT = 10 * 1000,
    STALL_LIMIT_S = 30,
    PAUSE_MIN = 1000,
    PAUSE_MAX = 5 * 60 * 1000,
    HEADERS_MAX = 40,
    REASON_SIZE = 256,
};

enum format { JSON_ARRAY_OF, NDJSON, RAW };

struct http_link;

struct lane {
    struct http_link *http;
    unsigned number;
    struct worker *worker;
    struct work work;
    struct outbox_batch *batch;
    int64_t now; /* wall, when it was handed over */
    atomic_bool abort;
    struct post_curl *_Atomic curl; /* made by the worker */
    struct post_reply reply;
    enum outbox_verdict verdict;
    char reason[REASON_SIZE];
};

struct http_link {
    struct link link;
    struct loop *loop;
    struct outbox outbox;
    char *name, *gateway, *uri, *method;
    char *headers, *authorization;
    char *ca, *cert, *key, *username, *password, *proxy;
    bool uri_varies, has_content_type, gzip;
    enum format format;
    int64_t connect_limit;
    unsigned stall_limit_s, lane_count;
    struct lane lanes[OUTBOX_LANES_MAX];
};

static struct http_link *http_of(const struct link *link)
{
    return container_of(link, struct http_link, link);
}

/* ---- the request (on the lane's thread) --------------------------------------------------------------------------- */

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("-._~/", c) != NULL;
}

static char *escape(struct arena *arena, const char *text, bool (*is_plain)(unsigned char c))
{
    char *escaped = arena_alloc(arena, 3 * strlen(text) + 1), *to = escaped;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c && is_plain(*c))
            *to++ = (char)*c;
        else
            to += snprintf(to, 4, "%%%02X", *c);
    }
    *to = '\0';
    return escaped;
}

/* Levels that lead elsewhere on a server, . and .., are no such thing in a topic. They are also with %2E in them, so their dots are
 * escaped twice. */
static char *escape_url(struct arena *arena, const char *text)
{
    static const char dot[] = "%252E";
    char *escaped = escape(arena, text, is_unreserved);
    char *safe = arena_alloc(arena, strlen(dot) * strlen(escaped) + 1), *to = safe;
    for (const char *level = escaped;; level++) {
        size_t len = strcspn(level, "/");
        bool leads = len && len <= 2 && strspn(level, ".") == len;
        for (size_t i = 0; i < len; i++) {
            size_t n = leads ? strlen(dot) : 1;
            memcpy(to, leads ? dot : level + i, n);
            to += n;
        }
        level += len;
        if (!*level)
            break;
        *to++ = '/';
    }
    *to = '\0';
    return safe;
}

/* In a header nothing may look like the end of its line. */
static bool is_header_text(unsigned char c)
{
    return c >= 0x20 && c < 0x7F && c != '%' && c != '"' && c != '\\';
}

static char *escape_header(struct arena *arena, const char *text)
{
    return escape(arena, text, is_header_text);
}

static char *url_of(const struct http_link *http, struct arena *arena, const struct outbox_item *item,
                    int64_t now)
{
    const struct record_names names = {http->gateway, http->name, now};
    return record_fill(arena, http->uri, &item->publish, &names, escape_url);
}

static const struct outbox_item *first_of(const struct outbox_batch *batch)
{
    return list_entry(batch->items.next, struct outbox_item, place);
}

struct header_list {
    struct arena *arena;
    const char *all[HEADERS_MAX + 1];
    size_t count;
};

static void add_header(struct header_list *list, const char *text)
{
    if (list->count < HEADERS_MAX)
        list->all[list->count++] = text;
}

/* "A: b | C: d" */
static void add_configured(struct header_list *list, const char *headers)
{
    while (headers && *headers) {
        const char *end = strstr(headers, " | ");
        size_t len = end ? (size_t)(end - headers) : strlen(headers);
        add_header(list, arena_copy(list->arena, headers, len));
        headers = end ? end + 3 : headers + len;
    }
}

static void mix(uint64_t *hash, const void *bytes, size_t len) /* FNV-1a */
{
    for (const uint8_t *at = bytes, *end = at + len; at < end; at++)
        *hash = (*hash ^ *at) * UINT64_C(0x100000001b3);
}

/* The same for the same records, another one for others; nothing when they cannot be told from others. */
static void add_idempotency_key(struct header_list *list, const struct http_link *http,
                                const struct outbox_batch *batch)
{
    const char *gateway = escape_header(list->arena, http->gateway);
    const struct msg_record *record = first_of(batch)->publish.msg->record;
    if (batch->count == 1 && record) {
        add_header(list, arena_printf(list->arena, "Idempotency-Key: \"%s/%s/%" PRIu64 "\"", gateway,
                                      escape_header(list->arena, record->stream), record->seq));
        return;
    }
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    list_for_each (at, &batch->items) {
        record = list_entry(at, struct outbox_item, place)->publish.msg->record;
        if (!record)
            return;
        mix(&hash, record->stream, strlen(record->stream) + 1);
        mix(&hash, &record->seq, sizeof record->seq);
    }
    add_header(list,
               arena_printf(list->arena, "Idempotency-Key: \"%s/batch/%016" PRIx64 "\"", gateway, hash));
}

/* What a raw body does not say. */
static void add_record_headers(struct header_list *list, const struct outbox_item *item)
{
    const struct msg_record *record = item->publish.msg->record;
    add_header(list, arena_printf(list->arena, "Gatehouse-Topic: %s",
                                  escape_header(list->arena, item->publish.topic)));
    if (!record)
        return;
    add_header(list,
               arena_printf(list->arena, "Gatehouse-Stream: %s", escape_header(list->arena, record->stream)));
    add_header(list, arena_printf(list->arena, "Gatehouse-Seq: %" PRIu64, record->seq));
    add_header(list, arena_printf(list->arena, "Gatehouse-Time: %" PRId64, record->wall));
}

static void fill_headers(struct header_list *list, const struct http_link *http,
                         const struct outbox_batch *batch)
{
    static const char *const types[] = {[JSON_ARRAY_OF] = "Content-Type: application/json",
                                        [NDJSON] = "Content-Type: application/x-ndjson",
                                        [RAW] = "Content-Type: application/octet-stream"};
    add_header(list,
               arena_printf(list->arena, "Gatehouse-Gateway: %s", escape_header(list->arena, http->gateway)));
    if (!http->has_content_type)
        add_header(list, types[http->format]);
    if (http->authorization)
        add_header(list, arena_printf(list->arena, "Authorization: %s", http->authorization));
    add_idempotency_key(list, http, batch);
    if (http->format == RAW)
        add_record_headers(list, first_of(batch));
    add_configured(list, http->headers);
}

static const void *body_of(const struct http_link *http, struct arena *arena,
                           const struct outbox_batch *batch, size_t *len)
{
    if (http->format == RAW) {
        *len = first_of(batch)->publish.msg->payload_len;
        return first_of(batch)->publish.msg->payload;
    }
    struct json_writer w;
    json_writer_init(&w, arena);
    if (http->format == JSON_ARRAY_OF) {
        json_begin_array(&w);
        list_for_each (at, &batch->items)
            record_put(&w, &list_entry(at, struct outbox_item, place)->publish);
        json_end_array(&w);
        return json_writer_text(&w, len);
    }
    char *text = NULL;
    size_t size = 0, at_byte = 0;
    list_for_each (at, &batch->items) {
        struct arena scratch = {0};
        size_t line_len;
        json_writer_init(&w, &scratch);
        record_put(&w, &list_entry(at, struct outbox_item, place)->publish);
        const char *line = json_writer_text(&w, &line_len);
        if (at_byte + line_len + 1 > size) {
            size_t grown = 2 * size + line_len + 1;
            text = arena_grow(arena, text, size, grown);
            size = grown;
        }
        memcpy(text + at_byte, line, line_len);
        text[at_byte + line_len] = '\n';
        at_byte += line_len + 1;
        arena_done(&scratch);
    }
    *len = at_byte;
    return text;
}

/* ---- the answer (on the lane's thread) ---------------------------------------------------------------------------- */

static void say_status(struct lane *lane)
{
    const struct post_reply *reply = &lane->reply;
    size_t len = size_min(reply->body_len, 100);
    char text[101];
    for (size_t i = 0; i < len; i++) /* a line of a log, or a status */
        text[i] = reply->body[i] >= 0x20 && reply->body[i] < 0x7F ? reply->body[i] : ' ';
    text[len] = '\0';
    (void)snprintf(lane->reason, sizeof lane->reason, "the server answers %d%s%s", reply->status,
                   len ? ": " : "", text);
}

static void judge_results(struct lane *lane)
{
    const struct post_reply *reply = &lane->reply;
    char why[200];
    enum outbox_verdict *verdicts = mem_new_bytes(lane->batch->count * sizeof *verdicts);
    enum post_results r = reply->cut && reply->body_len && *reply->body == '{'
                              ? POST_BAD_RESULTS
                              : post_results(reply->body, reply->body_len, verdicts, lane->batch->count, why);
    if (r == POST_RESULTS) {
        unsigned i = 0;
        list_for_each (at, &lane->batch->items)
            list_entry(at, struct outbox_item, place)->verdict = verdicts[i++];
        lane->verdict = OUTBOX_EACH;
    } else if (r == POST_BAD_RESULTS) {
        lane->verdict = OUTBOX_AGAIN;
    }
    if (r != POST_NO_RESULTS)
        (void)snprintf(lane->reason, sizeof lane->reason, "%s",
                       reply->cut ? "the server's answer is longer than 1 MiB" : why);
    free(verdicts);
}

static void judge(struct lane *lane)
{
    const struct post_reply *reply = &lane->reply;
    if (!reply->status) {
        lane->verdict = OUTBOX_AGAIN;
        (void)snprintf(lane->reason, sizeof lane->reason, "%s", reply->reason);
        return;
    }
    lane->verdict = post_verdict(reply->status);
    if (lane->verdict == OUTBOX_TAKEN)
        judge_results(lane);
    else
        say_status(lane);
}

static void lane_run(struct work *work, void *resource)
{
    (void)resource;
    struct lane *lane = container_of(work, struct lane, work);
    const struct http_link *http = lane->http;
    struct arena arena = {0};
    char *why = NULL;
    struct post_curl *curl = atomic_load(&lane->curl);
    lane->reply = (struct post_reply){0};
    if (!curl && post_curl_new(&curl, &why) < 0) {
        (void)snprintf(lane->reply.reason, sizeof lane->reply.reason, "%s", why);
        free(why);
        judge(lane);
        return;
    }
    atomic_store(&lane->curl, curl);
    struct header_list headers = {.arena = &arena};
    fill_headers(&headers, http, lane->batch);
    struct post_request request = {
        .method = http->method,
        .url = url_of(http, &arena, first_of(lane->batch), lane->now),
        .headers = headers.all,
        .gzip = http->gzip,
        .ca = http->ca,
        .cert = http->cert,
        .key = http->key,
        .username = http->username,
        .password = http->password,
        .proxy = http->proxy,
        .connect_limit = http->connect_limit,
        .stall_limit_s = http->stall_limit_s,
        .answer_max = POST_RESULTS_MAX,
        .abort = &lane->abort,
    };
    request.body = body_of(http, &arena, lane->batch, &request.body_len);
    post_curl_send(curl, &request, &lane->reply);
    judge(lane);
    arena_done(&arena);
}

/* ---- on the loop -------------------------------------------------------------------------------------------------- */

static void on_sent(struct work *work)
{
    struct lane *lane = container_of(work, struct lane, work);
    const char *retry_after = lane->reply.retry_after;
    const struct outbox_answer answer = {
        .verdict = lane->verdict,
        .reason = lane->verdict == OUTBOX_TAKEN ? NULL : lane->reason,
        .pause = post_retry_after(retry_after, strlen(retry_after), loop_wall(lane->http->loop)),
    };
    free(lane->reply.body);
    lane->reply.body = NULL;
    lane->batch = NULL;
    outbox_answered(&lane->http->outbox, lane->number, &answer);
}

static void carry(struct outbox *outbox, unsigned number, struct outbox_batch *batch)
{
    struct http_link *http = container_of(outbox, struct http_link, outbox);
    struct lane *lane = &http->lanes[number];
    lane->batch = batch;
    lane->now = loop_wall(http->loop);
    atomic_store(&lane->abort, false);
    worker_submit(lane->worker, &lane->work);
}

static void abort_lane(struct outbox *outbox, unsigned number)
{
    struct lane *lane = &container_of(outbox, struct http_link, outbox)->lanes[number];
    atomic_store(&lane->abort, true);
    struct post_curl *curl = atomic_load(&lane->curl);
    if (curl)
        post_curl_wake(curl);
}

/* A batch has one URL. */
static bool fit(const struct outbox *outbox, const struct outbox_item *a, const struct outbox_item *b)
{
    const struct http_link *http = container_of(outbox, struct http_link, outbox);
    if (!http->uri_varies)
        return true;
    struct arena arena = {0};
    int64_t now = loop_wall(http->loop);
    bool same = strcmp(url_of(http, &arena, a, now), url_of(http, &arena, b, now)) == 0;
    arena_done(&arena);
    return same;
}

static int publish_message(struct link *link, struct link_publish *publish)
{
    return outbox_publish(&http_of(link)->outbox, container_of(publish, struct outbox_item, publish));
}

static void start(struct link *link)
{
    outbox_start(&http_of(link)->outbox);
}

static void stop(struct link *link)
{
    outbox_stop(&http_of(link)->outbox);
}

static void network_came(struct link *link)
{
    struct http_link *http = http_of(link);
    if (http->outbox.state == OUTBOX_DOWN)
        outbox_start(&http->outbox);
}

static bool is_up(const struct link *link)
{
    return outbox_is_up(&http_of(link)->outbox);
}

static unsigned window(const struct link *link)
{
    return outbox_window(&http_of(link)->outbox);
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static bool serves(const char *uri)
{
    return strncmp(uri, "http://", 7) == 0 || strncmp(uri, "https://", 8) == 0;
}

static enum format format_of(const char *text)
{
    return text && strcmp(text, "raw") == 0      ? RAW
           : text && strcmp(text, "ndjson") == 0 ? NDJSON
                                                 : JSON_ARRAY_OF;
}

static void set_outbox(struct http_link *http, const struct uplink_options *options,
                       const struct link_events *events, void *self)
{
    static const struct outbox_carrier carrier = {carry, abort_lane, fit};
    int64_t pause_max = options->pause_max ? options->pause_max : PAUSE_MAX;
    const struct outbox_options outbox_options = {
        .records = http->format == RAW      ? 1
                   : options->batch_records ? options->batch_records
                                            : BATCH_RECORDS,
        .bytes = options->batch_bytes ? options->batch_bytes : BATCH_BYTES,
        .interval = options->batch_interval,
        .lanes = http->lane_count,
        .pause_min = pause_max < PAUSE_MIN ? pause_max : PAUSE_MIN,
        .pause_max = pause_max,
    };
    outbox_init(&http->outbox, http->loop, &outbox_options, &carrier, events, self);
}

static struct link *free_link(struct link *link)
{
    if (!link)
        return NULL;
    struct http_link *http = http_of(link);
    outbox_stop(&http->outbox);
    for (unsigned i = 0; i < http->lane_count; i++) {
        http->lanes[i].worker = worker_free(http->lanes[i].worker);
        (void)post_curl_free(atomic_load(&http->lanes[i].curl));
    }
    outbox_done(&http->outbox);
    free(http->name), free(http->gateway), free(http->uri), free(http->method);
    free(http->headers), free(http->authorization);
    free(http->ca), free(http->cert), free(http->key);
    free(http->username), free(http->password), free(http->proxy);
    free(http);
    return NULL;
}

static int create(struct link **ret, void *shared, const struct link_house *house,
                  const struct uplink_options *options, const struct link_events *events, void *self)
{
    (void)shared;
    struct http_link *http = mem_new(struct http_link);
    http->link.kind = &link_http;
    http->loop = house->loop;
    http->name = str_copy(options->name);
    http->gateway = str_copy(options->gateway ? options->gateway : "gateway");
    http->uri = str_copy(options->uri);
    http->uri_varies = record_pattern_varies(options->uri);
    http->method = str_copy(options->method ? options->method : "POST");
    http->headers = str_copy(options->headers);
    http->has_content_type = options->headers && strcasestr(options->headers, "content-type:");
    http->authorization = str_copy(options->authorization);
    http->ca = str_copy(options->ca);
    http->cert = str_copy(options->cert);
    http->key = str_copy(options->key);
    http->username = str_copy(options->username);
    http->password = str_copy(options->password);
    http->proxy = str_copy(options->proxy);
    http->gzip = options->gzip;
    http->format = format_of(options->format);
    http->connect_limit =
        options->connect_timeout_s ? options->connect_timeout_s * INT64_C(1000) : CONNECT_LIMIT;
    http->stall_limit_s = options->stall_timeout_s ? options->stall_timeout_s : STALL_LIMIT_S;
    http->lane_count = options->connections ? options->connections : 1;
    set_outbox(http, options, events, self);
    for (unsigned i = 0; i < http->lane_count; i++) {
        struct lane *lane = &http->lanes[i];
        lane->http = http;
        lane->number = i;
        lane->work = (struct work){.run = lane_run, .done = on_sent};
        int r = worker_new(&lane->worker, house->loop, "gh-http", NULL, NULL, WORKER_THREAD);
        if (r < 0) {
            log_error("uplink %s: cannot start a thread: %s", http->name, strerror(-r));
            http->lane_count = i;
            (void)free_link(&http->link);
            return r;
        }
    }
    *ret = &http->link;
    return 0;
}

const struct link_kind link_http = {
    .name = "http",
    .serves = serves,
    .publish_size = sizeof(struct outbox_item),
    .create = create,
    .free = free_link,
    .start = start,
    .stop = stop,
    .is_up = is_up,
    .network_came = network_came,
    .publish = publish_message,
    .window = window,
};
