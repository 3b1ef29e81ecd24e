#include "services/pairing/pair_inside.h"

#include "base/log.h"
#include "base/worker.h"
#include "bus/topics.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What people ask: one table of topics, one function each. */

enum { WAIT_MAX_MS = 600000, REPAIR_MS = PAIR_WINDOW_MS };

struct question {
    struct pairing *pairing;
    struct msg *msg;
    struct arena arena;
    const struct json *json; /* an object */
};

static void refuse(const struct question *q, int code, const char *format, ...) printf_like(3, 4);
static void refuse(const struct question *q, int code, const char *format, ...)
{
    char message[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    struct arena arena;
    arena_init(&arena);
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "code");
    json_put_int(&w, code);
    json_key(&w, "message");
    json_put_string(&w, message);
    json_end_object(&w);
    bus_reply(q->pairing->bus, q->msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

static const char *text_of(struct question *q, const char *key)
{
    const char *text = NULL;
    (void)json_text(json_get(q->json, key), &q->arena, &text);
    return text;
}

static void reply_node(const struct question *q, const struct pair_node *node)
{
    struct arena arena;
    arena_init(&arena);
    struct json_writer w;
    json_writer_init(&w, &arena);
    pair_put_node(&w, node);
    bus_reply(q->pairing->bus, q->msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

static const char *who(const struct question *q)
{
    return *publisher_name(q->msg->from) ? publisher_name(q->msg->from) : "operator";
}

/* ---- pair ------------------------------------------------------------------------------------------------------------- */

static void on_pair_list(struct question *q)
{
    struct json_writer w;
    json_writer_init(&w, &q->arena);
    json_begin_object(&w);
    json_key(&w, "asking");
    pair_put_asking(&w, q->pairing);
    json_key(&w, "waiting");
    pair_put_windows(&w, q->pairing);
    json_end_object(&w);
    bus_reply(q->pairing->bus, q->msg, json_writer_text(&w, NULL));
}

/* A code on its way to be a key. */
struct pair_job {
    struct work work;
    struct pairing *pairing;
    bool (*scrypt)(const char *password, const char *salt, uint8_t ret[32]);
    struct msg *request;
    char serial[PAIR_SERIAL_MAX + 1], thing[PAIR_THING_MAX + 1];
    char code[PAIR_CODE_CHARS + 1], salt[PAIR_SALT_MAX + 1];
    uint8_t key[PAIR_KEY_BYTES];
};

static void run_job(struct work *work, void *resource)
{
    (void)resource;
    struct pair_job *job = container_of(work, struct pair_job, work);
    work->r = job->scrypt(job->code, job->salt, job->key) ? 0 : -1;
}

static void reply_window(const struct question *q, const char *serial, const char *thing)
{
    struct arena arena;
    arena_init(&arena);
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "serial");
    json_put_string(&w, serial);
    json_key(&w, "thing");
    json_put_string(&w, thing);
    json_key(&w, "seconds");
    json_put_int(&w, PAIR_WINDOW_MS / 1000);
    json_end_object(&w);
    bus_reply(q->pairing->bus, q->msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

/* What a code may not be typed for; asked again when it has become a key, for a node may have been revoked meanwhile. */
static bool judge(const struct question *q, const char *serial, const char *thing)
{
    const struct pairing *pairing = q->pairing;
    const struct pair_node *node = pair_node_get(pairing, serial);
    const struct pair_node *named = pair_node_of_thing(pairing, thing);
    const struct pair_window *other = pair_window_rival(pairing, serial, thing);
    if (!pairing->listens)
        refuse(q, 409,
               "there is no listener for nodes: expected one with mqtts+psk://HOST:PORT or serial:///DEVICE");
    else if (node && !pair_node_may_be_paired(node))
        refuse(q, 409, "%s is %s already: gatehouse node re-pair %s allows it to be paired again", serial,
               node->row.revoked ? "revoked" : "paired", serial);
    else if (node && node->row.generation && strcmp(node->row.thing, thing) != 0)
        refuse(q, 409, "%s is %s and stays it", serial, node->row.thing);
    else if (named && strcmp(named->row.serial, serial) != 0)
        refuse(q, 409, "%s is the name of node %s", thing, named->row.serial);
    else if (other)
        refuse(q, 409, "%s is to be the name of %s, whose code waits", thing, other->serial);
    else
        return true;
    return false;
}

static void on_job_done(struct work *work)
{
    struct pair_job *job = container_of(work, struct pair_job, work);
    struct pairing *pairing = job->pairing;
    const struct question q = {.pairing = pairing, .msg = job->request};
    pairing->job_count--;
    if (work->r < 0) {
        refuse(&q, 500, "the code could not be made a key: there is no memory for it");
    } else if (!pair_window_get(pairing, job->serial) && pairing->window_count == PAIR_WINDOWS_MAX) {
        refuse(&q, 429, "%d codes wait for their nodes already", PAIR_WINDOWS_MAX);
    } else if (judge(&q, job->serial, job->thing)) {
        (void)pair_window_open(pairing, job->serial, job->thing, job->key);
        pair_asking_forget(pairing, job->serial);
        pair_note(pairing, who(&q), "node/code", job->serial, "");
        log_info("node %s: its code was entered", job->serial);
        reply_window(&q, job->serial, job->thing);
    }
    (void)msg_unref(job->request);
    explicit_bzero(job, sizeof *job);
    free(job);
}

static bool is_thing_name(const char *name)
{
    size_t len = strlen(name);
    bool valid = len >= 1 && len <= PAIR_THING_MAX;
    for (size_t i = 0; valid && i < len; i++)
        valid = name[i] == ':' || pair_serial_is_valid(name + i, 1);
    return valid;
}

/* The code behind its check character; false: it was refused. */
static bool take_code(struct question *q, struct pair_job *job, const char *text, size_t len)
{
    char check, hashed[PAIR_CODE_HASHED + 1];
    uint8_t digest[32];
    if (!pair_code_read(text, len, job->code, &check)) {
        refuse(q, 400, "code: expected 16 letters and digits as on the sticker, like QTH5-GKR5-WXFC-1V1Z");
        return false;
    }
    pair_code_hashed(job->code, hashed);
    if (!q->pairing->options.sha256(hashed, PAIR_CODE_HASHED, digest) ||
        pair_code_check(digest[0]) != check) {
        refuse(q, 400, "code: a character is mistyped");
        return false;
    }
    return true;
}

static void submit(struct question *q, struct pair_job *job)
{
    struct pairing *pairing = q->pairing;
    int r = pairing->worker ? 0
                            : worker_new(&pairing->worker, pairing->loop, "pairing",
                                         &(const struct worker_ops){0}, NULL, pairing->options.mode);
    if (r < 0) {
        refuse(q, 500, "the code could not be made a key: %s", strerror(-r));
        free(job);
        return;
    }
    (void)pair_salt(job->serial, job->salt);
    job->pairing = pairing;
    job->scrypt = pairing->options.scrypt;
    job->request = msg_ref(q->msg);
    job->work = (struct work){.run = run_job, .done = on_job_done};
    pairing->job_count++;
    worker_submit(pairing->worker, &job->work);
}

static bool is_room(const struct question *q)
{
    bool room = q->pairing->job_count < PAIR_JOBS_MAX;
    if (!room)
        refuse(q, 429, "%d codes are being made keys", PAIR_JOBS_MAX);
    return room;
}

static void on_pair_code(struct question *q)
{
    const char *serial = text_of(q, "serial"), *code = text_of(q, "code"), *qr_text = text_of(q, "qr");
    const char *thing = text_of(q, "thing");
    size_t serial_len = serial ? strlen(serial) : 0, code_len = code ? strlen(code) : 0;
    struct pair_qr qr;
    if (qr_text && !pair_qr_read(qr_text, strlen(qr_text), &qr)) {
        refuse(q, 400, "qr: expected GHN1:SERIAL:CODE:MODEL");
        return;
    }
    if (qr_text)
        serial = qr.serial, serial_len = qr.serial_len, code = qr.code, code_len = qr.code_len;
    if (!serial || !pair_serial_is_valid(serial, serial_len) || !code) {
        refuse(q, 400, "expected serial, 1 to %d letters, digits, '_' and '-', and code; or qr",
               PAIR_SERIAL_MAX);
        return;
    }
    if (thing && !is_thing_name(thing)) {
        refuse(q, 400, "thing: expected 1 to %d of letters, digits, ':', '_' and '-'", PAIR_THING_MAX);
        return;
    }
    struct pair_job *job = mem_new(struct pair_job);
    memcpy(job->serial, serial, serial_len);
    const struct pair_node *node = pair_node_get(q->pairing, job->serial);
    (void)snprintf(job->thing, sizeof job->thing, "%s", thing ? thing : node ? node->row.thing : job->serial);
    if (judge(q, job->serial, job->thing) && take_code(q, job, code, code_len) && is_room(q)) {
        submit(q, job);
        return;
    }
    explicit_bzero(job, sizeof *job);
    free(job);
}

static void on_pair_cancel(struct question *q)
{
    const char *serial = text_of(q, "serial");
    struct pair_window *window = serial ? pair_window_get(q->pairing, serial) : NULL;
    if (!window) {
        refuse(q, 404, "no code waits for such a node");
        return;
    }
    pair_event(q->pairing, serial, "closed", "it was cancelled", true);
    pair_window_close(window);
    bus_reply(q->pairing->bus, q->msg, "{\"cancelled\":true}");
}

static void on_pair_wait(struct question *q)
{
    const char *serial = text_of(q, "serial");
    int64_t timeout = 60000;
    const struct json *json = json_get(q->json, "timeout");
    if (json && !json_int(json, 1, WAIT_MAX_MS, &timeout))
        refuse(q, 400, "timeout: expected milliseconds from 1 to %d", WAIT_MAX_MS);
    else if (serial && !pair_window_get(q->pairing, serial))
        refuse(q, 404, "no code waits for such a node");
    else if (!pair_watch(q->pairing, q->msg, serial ? serial : "", timeout))
        refuse(q, 429, "%d wait already", PAIR_WATCHES_MAX);
}

/* ---- node -------------------------------------------------------------------------------------------------------------- */

static void on_node_list(struct question *q)
{
    struct json_writer w;
    json_writer_init(&w, &q->arena);
    json_begin_object(&w);
    json_key(&w, "nodes");
    json_begin_array(&w);
    struct pair_node **all = pair_nodes_sorted(q->pairing);
    for (size_t i = 0; i < q->pairing->nodes.count; i++)
        pair_put_node(&w, all[i]);
    free(all);
    json_end_array(&w);
    json_end_object(&w);
    bus_reply(q->pairing->bus, q->msg, json_writer_text(&w, NULL));
}

static struct pair_node *node_of(struct question *q)
{
    const char *name = text_of(q, "name");
    struct pair_node *node = name ? pair_node_named(q->pairing, name, strlen(name)) : NULL;
    if (!name)
        refuse(q, 400, "expected name, a node's serial or the name of its thing");
    else if (!node)
        refuse(q, 404, "there is no node \"%.60s\"", name);
    return node;
}

static void rotate_all(struct question *q)
{
    int64_t count = 0;
    map_for_each(i, key, &q->pairing->nodes)
    {
        struct pair_node *node = container_of(key, struct pair_node, key);
        if (node->row.generation && pair_node_rotate(node, NULL))
            count++;
    }
    pair_note(q->pairing, who(q), "node/rotate", "*", "");
    struct json_writer w;
    json_writer_init(&w, &q->arena);
    json_begin_object(&w);
    json_key(&w, "rotating");
    json_put_int(&w, count);
    json_end_object(&w);
    bus_reply(q->pairing->bus, q->msg, json_writer_text(&w, NULL));
}

static void on_node_rotate(struct question *q)
{
    bool all = false;
    if (json_bool(json_get(q->json, "all"), &all) && all) {
        rotate_all(q);
        return;
    }
    struct pair_node *node = node_of(q);
    if (!node)
        return;
    if (!node->row.generation) {
        refuse(q, 409, "%s has no key that could be replaced", node->row.serial);
        return;
    }
    pair_note(q->pairing, who(q), "node/rotate", node->row.serial, "");
    if (!pair_node_rotate(node, q->msg))
        refuse(q, 500, "there are no random numbers for a key");
}

static void on_revoked(struct pair_node *node, struct pair_wait *wait, int r)
{
    const struct question q = {.pairing = node->pairing, .msg = wait->request};
    pair_event(node->pairing, node->row.serial, "revoked", NULL, true);
    if (r < 0)
        refuse(&q, 500, "%s is revoked until the gateway starts again: it could not be stored",
               node->row.serial);
    else
        reply_node(&q, node);
}

static void on_node_revoke(struct question *q)
{
    struct pair_node *node = node_of(q);
    if (!node)
        return;
    struct pair_window *window = pair_window_get(q->pairing, node->row.serial);
    if (window)
        pair_window_close(window);
    pair_note(q->pairing, who(q), "node/revoke", node->row.serial, "");
    pair_node_revoke(node);
    pair_expel(q->pairing, "psk", node->row.serial, "its key is revoked");
    pair_node_save(node, pair_wait_new(on_revoked, q->msg));
}

static void on_node_repair(struct question *q)
{
    struct pair_node *node = node_of(q);
    if (!node)
        return;
    node->repair_until = loop_now(q->pairing->loop) + REPAIR_MS;
    pair_note(q->pairing, who(q), "node/re-pair", node->row.serial, "");
    log_notice("node %s: may be paired again for %d minutes", node->row.serial, REPAIR_MS / 60000);
    reply_node(q, node);
}

/* For a node that asks by a cable: no code is needed, a person has it in his hand. */
static void on_node_approve(struct question *q)
{
    struct pairing *pairing = q->pairing;
    const char *serial = text_of(q, "serial"), *thing = text_of(q, "thing");
    const struct pair_node *node = serial ? pair_node_get(pairing, serial) : NULL;
    if (!serial || !pair_serial_is_valid(serial, strlen(serial))) {
        refuse(q, 400, "expected serial, 1 to %d letters, digits, '_' and '-'", PAIR_SERIAL_MAX);
        return;
    }
    if (thing && !is_thing_name(thing)) {
        refuse(q, 400, "thing: expected 1 to %d of letters, digits, ':', '_' and '-'", PAIR_THING_MAX);
        return;
    }
    if (!pair_asks_by_cable(pairing, serial)) {
        refuse(q, 404, "no node %s asks by a cable", serial);
        return;
    }
    thing = thing ? thing : node ? node->row.thing : serial;
    if (!judge(q, serial, thing))
        return;
    if (!pair_window_get(pairing, serial) && pairing->window_count == PAIR_WINDOWS_MAX) {
        refuse(q, 429, "%d codes wait for their nodes already", PAIR_WINDOWS_MAX);
        return;
    }
    if (!pair_window_at_cable(pairing, serial, thing)) {
        refuse(q, 500, "its key could not be made");
        return;
    }
    pair_asking_forget(pairing, serial);
    pair_note(pairing, who(q), "node/approved", serial, "by a cable");
    log_notice("node %s: approved, by a cable", serial);
    reply_window(q, serial, thing);
}

/* ---- the table ------------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *topic;
    void (*answer)(struct question *q);
} topics[] = {
    {TOPIC_CTL_PAIR_LIST, on_pair_list},       {TOPIC_CTL_PAIR_CODE, on_pair_code},
    {TOPIC_CTL_PAIR_CANCEL, on_pair_cancel},   {TOPIC_CTL_PAIR_WAIT, on_pair_wait},
    {TOPIC_CTL_NODE_LIST, on_node_list},       {TOPIC_CTL_NODE_ROTATE, on_node_rotate},
    {TOPIC_CTL_NODE_REVOKE, on_node_revoke},   {TOPIC_CTL_NODE_REPAIR, on_node_repair},
    {TOPIC_CTL_NODE_APPROVE, on_node_approve},
};

static void on_request(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct question q = {.pairing = container_of(subscriber, struct pairing, asker), .msg = msg};
    struct json *json = NULL;
    arena_init(&q.arena);
    bool good = !msg->payload_len ||
                (msg->payload_len <= PAIR_DOCUMENT_MAX &&
                 json_parse(&json, &q.arena, (const char *)msg->payload, msg->payload_len, NULL) == 0 &&
                 json_is(json, JSON_OBJECT));
    q.json = json;
    if (!good)
        refuse(&q, 400, "expected a JSON object of at most %d bytes", PAIR_DOCUMENT_MAX);
    for (size_t i = 0; good && i < array_size(topics); i++)
        if (strcmp(topics[i].topic, msg->topic) == 0)
            topics[i].answer(&q);
    arena_done(&q.arena);
}

void pair_ctl_open(struct pairing *pairing)
{
    static_assert(array_size(topics) == array_size(pairing->ctl), "a subscription for each");
    pairing->asker.deliver = on_request;
    for (size_t i = 0; i < array_size(topics); i++)
        bus_subscribe_to(pairing->bus, &pairing->ctl[i], &pairing->asker, topics[i].topic);
}

void pair_ctl_close(struct pairing *pairing)
{
    for (size_t i = 0; i < array_size(topics); i++)
        bus_unsubscribe(pairing->bus, &pairing->ctl[i]);
    pairing->worker = worker_free(pairing->worker);
}
