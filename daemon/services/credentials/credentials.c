#include "services/credentials/credentials.h"

#include "base/json.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/worker.h"
#include "bus/topics.h"
#include "cloud/backoff.h"
#include "cloud/credentials_answer.h"
#include "cloud/post_curl.h"
#include "identity/audit.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Of each name: what was fetched last, one fetch at a time, and those who wait for the first. `timer` is running when the next fetch has
 * a time: a renewal, or another attempt. Without use a renewal is left out, and the next request fetches.
 *
 * The worker's thread sees `fetch` only. */

enum {
    WAITING_MAX = 64,
    TOKEN_BYTES = 65,
    PAUSE_MIN = 1000,
    PAUSE_MAX = 5 * 60 * 1000,
    CONNECT_LIMIT = 10 * 1000,
    STALL_LIMIT_S = 20,
};

struct fetch {
    char *url, *header;
    char *cert, *key, *ca;
    struct post_curl *curl; /* the thread's, and at the end the loop's */
    _Atomic(struct post_curl *) running;
    atomic_bool abort;
    struct post_reply reply;
};

struct credential {
    struct credential_set *set;
    char *name;
    char token[TOKEN_BYTES];
    struct fetch fetch;
    struct worker *worker;
    struct work work;
    bool fetching;
    bool used;              /* since they were fetched */
    bool told;              /* that they cannot be had */
    struct credentials now; /* empty: there are none */
    int status;             /* of the failure last, and in words */
    char why[CREDENTIALS_WHY_BYTES + POST_REASON_MAX];
    struct backoff backoff;
    struct timer timer;
    struct msg *waiting[WAITING_MAX];
    size_t waiting_count;
};

struct credential_set {
    struct bus *bus;
    struct loop *loop;
    struct audit *audit;
    struct subscriber subscriber;
    struct subscription subscription;
    struct credential *all;
    size_t count;
};

/* ---- answers ---------------------------------------------------------------------------------------------------------------- */

/* To the asker alone: nobody else who may have subscribed to that topic, no route, no spool. */
static void reply(struct bus *bus, const struct msg *request, const char *text, size_t len)
{
    uint8_t bytes[3 + UINT16_MAX];
    size_t n = 0;
    if (!request->response_topic || !request->origin) /* of a session; 0 would be everybody */
        return;
    if (request
            ->correlation) { /* back as it came: one property, 0x09 and a length of two bytes [MQTT 5, 3.3.2.3.6] */
        bytes[0] = 0x09;
        bytes[1] = (uint8_t)(request->correlation_len >> 8);
        bytes[2] = (uint8_t)request->correlation_len;
        memcpy(bytes + 3, request->correlation, request->correlation_len);
        n = 3u + request->correlation_len;
    }
    const struct msg_props props = {bytes, n, SIZE_MAX, 0, n ? 3 : SIZE_MAX, request->correlation_len};
    cleanup(msg_unref_p) struct msg *msg =
        msg_new_props(request->response_topic, request->response_topic_len, &props, text, len);
    if (!msg)
        return;
    msg->is_secret = true;
    msg->only_for = request->origin;
    msg->hops = (uint8_t)(request->hops + 1);
    msg->born = loop_now(bus_loop(bus));
    bus_publish(bus, msg, NULL);
}

static void put(struct json_writer *w, const char *key, const char *text)
{
    json_key(w, key);
    json_put_string(w, text);
}

static void refuse(struct credential_set *set, const struct msg *request, int code, const char *why)
{
    struct arena arena = {0};
    struct json_writer w;
    size_t len;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "code");
    json_put_int(&w, code);
    put(&w, "message", why);
    json_end_object(&w);
    const char *text = json_writer_text(&w, &len);
    reply(set->bus, request, text, len);
    arena_done(&arena);
}

/* In the form that AWS's SDKs read from a container's endpoint. Written by hand: a JSON writer leaves copies behind as it grows. The
 * texts are printable ASCII, and need no more than quotes and backslashes escaped. */
static char *put_escaped(char *at, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            *at++ = '\\';
        *at++ = *text;
    }
    return at;
}

static void hand_out(struct credential *credential, const struct msg *request)
{
    const struct credentials *now = &credential->now;
    const char *const parts[] = {"{\"AccessKeyId\":\"",  now->access_key,   "\",\"SecretAccessKey\":\"",
                                 now->secret_key,        "\",\"Token\":\"", now->token,
                                 "\",\"Expiration\":\"", now->expiration,   "\"}"};
    size_t size = 1;
    for (size_t i = 0; i < array_size(parts); i++)
        size += 2 * strlen(parts[i]);
    char *text = mem_new_bytes(size), *at = text;
    for (size_t i = 0; i < array_size(parts); i++)
        at = i % 2 ? put_escaped(at, parts[i]) : stpcpy(at, parts[i]);
    reply(credential->set->bus, request, text, (size_t)(at - text));
    explicit_bzero(text, size);
    free(text);
    credential->used = true;
}

static bool is_good(const struct credential *credential)
{
    return credential->now.token && loop_wall(credential->set->loop) < credential->now.ends;
}

static void answer_waiting(struct credential *credential)
{
    for (size_t i = 0; i < credential->waiting_count; i++) {
        if (is_good(credential))
            hand_out(credential, credential->waiting[i]);
        else
            refuse(credential->set, credential->waiting[i], credential->status, credential->why);
        credential->waiting[i] = msg_unref(credential->waiting[i]);
    }
    credential->waiting_count = 0;
}

/* ---- fetching --------------------------------------------------------------------------------------------------------------- */

/* On the worker's thread. */
static void fetch_run(struct work *work, void *resource)
{
    (void)work;
    struct fetch *fetch = resource;
    const char *const headers[] = {"Accept: application/json", fetch->header, NULL};
    char *why = NULL;
    fetch->reply = (struct post_reply){0};
    if (!fetch->curl && post_curl_new(&fetch->curl, &why) < 0) {
        (void)snprintf(fetch->reply.reason, sizeof fetch->reply.reason, "%s", why);
        free(why);
        return;
    }
    atomic_store(&fetch->running, fetch->curl);
    const struct post_request request = {
        .method = "GET",
        .url = fetch->url,
        .headers = headers,
        .ca = fetch->ca,
        .cert = fetch->cert,
        .key = fetch->key,
        .connect_limit = CONNECT_LIMIT,
        .stall_limit_s = STALL_LIMIT_S,
        .answer_max = CREDENTIALS_ANSWER_MAX,
        .secret = true,
        .abort = &fetch->abort,
    };
    post_curl_send(fetch->curl, &request, &fetch->reply);
}

static void fetch(struct credential *credential)
{
    if (credential->fetching)
        return;
    timer_stop(credential->set->loop, &credential->timer);
    credential->fetching = true;
    credential->used =
        is_good(credential) && credential->used; /* what fails is tried again when somebody asks again */
    worker_submit(credential->worker, &credential->work);
}

/* Which status whoever asks is told, and when it is tried again. */
static void fail(struct credential *credential, int status, const char *what, const char *more)
{
    bool stuck = status == 401 || status == 403 || status == 404;
    int64_t pause = backoff_pause(&credential->backoff, backoff_random());
    credential->status = stuck ? status : 503;
    (void)snprintf(credential->why, sizeof credential->why, "credentials %s: %s%s%s", credential->name, what,
                   *more ? ": " : "", more);
    if (!credential->told)
        log_warning("%s%s", credential->why,
                    is_good(credential) ? " (the old ones are good for a while)" : "");
    credential->told = true;
    timer_start(credential->set->loop, &credential->timer, stuck ? PAUSE_MAX : pause);
}

static void take(struct credential *credential, struct credentials *fresh)
{
    int64_t life = fresh->ends - loop_wall(credential->set->loop);
    if (life <= 0) {
        credentials_done(fresh);
        fail(credential, 503, "they have ended already, by the clock here", "");
        return;
    }
    credentials_done(&credential->now);
    credential->now = *fresh;
    credential->used = false;
    credential->told = false;
    credential->why[0] = '\0';
    backoff_reset(&credential->backoff);
    timer_start(credential->set->loop, &credential->timer, credentials_renew_after(life, backoff_random()));
    log_info("credentials %s: fetched, good until %s", credential->name, credential->now.expiration);
}

static void judge(struct credential *credential)
{
    const struct post_reply *got = &credential->fetch.reply;
    struct credentials fresh;
    char why[CREDENTIALS_WHY_BYTES], what[64];
    if (!got->status) {
        fail(credential, 503, "the provider cannot be reached", got->reason);
    } else if (got->status != 200) {
        credentials_refusal(why, got->body ? got->body : "", got->body_len);
        (void)snprintf(what, sizeof what, "the provider answers %d", got->status);
        fail(credential, got->status, what, why);
    } else if (got->cut || credentials_parse(&fresh, got->body ? got->body : "", got->body_len, why) < 0) {
        fail(credential, 503, "the provider's answer is none", got->cut ? "it is too long" : why);
    } else {
        take(credential, &fresh);
    }
}

static void on_fetched(struct work *work)
{
    struct credential *credential = container_of(work, struct credential, work);
    struct post_reply *got = &credential->fetch.reply;
    credential->fetching = false;
    if (!atomic_load(&credential->fetch.abort)) {
        judge(credential);
        answer_waiting(credential);
    }
    if (got->body)
        explicit_bzero(got->body, got->body_len);
    free(got->body);
    *got = (struct post_reply){0};
}

static void on_time(struct timer *timer)
{
    struct credential *credential = container_of(timer, struct credential, timer);
    if (credential->now.token && !credential->used && is_good(credential))
        return; /* nobody wants them */
    if (!is_good(credential))
        credentials_done(&credential->now);
    if (!credential->now.token && !credential->used)
        return; /* a request tries again */
    fetch(credential);
}

/* ---- requests --------------------------------------------------------------------------------------------------------------- */

/* Takes the same time for every wrong one of its length. */
static bool is_token(const struct json *given, const char *token)
{
    size_t len = strlen(token);
    if (!json_is(given, JSON_STRING) || given->len != len)
        return false;
    unsigned differs = 0;
    for (size_t i = 0; i < len; i++)
        differs |= (unsigned char)(given->text[i] ^ token[i]);
    return !differs;
}

static bool may_ask(const struct credential *credential, const struct msg *msg)
{
    if (!msg->payload_len)
        return true;
    struct arena arena = {0};
    struct json *json = NULL;
    bool good = json_parse(&json, &arena, (const char *)msg->payload, msg->payload_len, NULL) == 0 &&
                is_token(json_get(json, "authorization"), credential->token);
    arena_done(&arena);
    return good;
}

static void ask(struct credential *credential, struct msg *msg)
{
    credential->used = true;
    if (is_good(credential)) {
        hand_out(credential, msg);
        if (!credential->fetching && !timer_is_running(&credential->timer))
            fetch(credential); /* the renewal was left out */
    } else if (!credential->fetching && timer_is_running(&credential->timer) && credential->told) {
        refuse(credential->set, msg, credential->status, credential->why); /* it is tried again in a moment */
    } else if (credential->waiting_count == WAITING_MAX) {
        refuse(credential->set, msg, 503, "too many wait for these credentials");
    } else {
        credential->waiting[credential->waiting_count++] = msg_ref(msg);
        fetch(credential);
    }
}

static struct credential *find(const struct credential_set *set, const char *name, size_t len)
{
    for (size_t i = 0; i < set->count; i++)
        if (strlen(set->all[i].name) == len && strncmp(set->all[i].name, name, len) == 0)
            return &set->all[i];
    return NULL;
}

static void on_request(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct credential_set *set = container_of(subscriber, struct credential_set, subscriber);
    const char *name = msg->topic + strcspn(TOPIC_CREDENTIALS_FILTER, "+");
    struct credential *credential = find(set, name, strcspn(name, "/"));
    if (!credential) {
        refuse(set, msg, 404, "expected the name of [credentials NAME]");
    } else if (!may_ask(credential, msg)) {
        audit_refused(set->audit, "http", "refused/credentials", credential->name,
                      "the authorization token is wrong or missing");
        refuse(set, msg, 403, "expected the token in Authorization");
    } else {
        ask(credential, msg);
    }
}

/* ---- life ------------------------------------------------------------------------------------------------------------------- */

static int make_token(char ret[TOKEN_BYTES])
{
    uint8_t random[(TOKEN_BYTES - 1) / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return -EIO;
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(ret + 2 * i, 3, "%02x", random[i]);
    explicit_bzero(random, sizeof random);
    return 0;
}

static int open_one(struct credential *credential, struct credential_set *set,
                    const struct credential_options *options)
{
    struct fetch *fetch = &credential->fetch;
    credential->set = set;
    credential->name = str_copy(options->name);
    fetch->url = str_printf("%s/role-aliases/%s/credentials", options->endpoint, options->role_alias);
    fetch->header = options->thing ? str_printf("x-amzn-iot-thingname: %s", options->thing) : NULL;
    fetch->cert = str_copy(options->cert);
    fetch->key = str_copy(options->key);
    fetch->ca = str_copy(options->ca);
    credential->backoff = (struct backoff){.min = PAUSE_MIN, .max = PAUSE_MAX};
    credential->timer.fire = on_time;
    credential->work = (struct work){.run = fetch_run, .done = on_fetched};
    int r = make_token(credential->token);
    return r < 0 ? r
                 : worker_new(&credential->worker, set->loop, "gh-credential", NULL, fetch, WORKER_THREAD);
}

static void close_one(struct credential *credential)
{
    struct fetch *fetch = &credential->fetch;
    timer_stop(credential->set->loop, &credential->timer);
    atomic_store(&fetch->abort, true);
    struct post_curl *running = atomic_load(&fetch->running);
    if (running)
        post_curl_wake(running);
    credential->worker = worker_free(credential->worker);
    (void)post_curl_free(fetch->curl);
    for (size_t i = 0; i < credential->waiting_count; i++)
        (void)msg_unref(credential->waiting[i]);
    credentials_done(&credential->now);
    explicit_bzero(credential->token, sizeof credential->token);
    free(fetch->url), free(fetch->header);
    free(fetch->cert), free(fetch->key), free(fetch->ca);
    free(credential->name);
}

int credential_set_new(struct credential_set **ret, struct bus *bus,
                       const struct credentials_options *options)
{
    cleanup(credential_set_free_p) struct credential_set *set = mem_new(struct credential_set);
    set->bus = bus;
    set->loop = bus_loop(bus);
    set->audit = options->audit;
    set->all = mem_new_bytes((options->count + 1) * sizeof *set->all);
    set->subscriber.deliver = on_request;
    bus_subscribe_to(bus, &set->subscription, &set->subscriber, TOPIC_CREDENTIALS_FILTER);
    for (size_t i = 0; i < options->count; i++) {
        int r = open_one(&set->all[set->count++], set, &options->all[i]);
        if (r < 0)
            return r;
    }
    *ret = steal(set);
    return 0;
}

struct credential_set *credential_set_free(struct credential_set *set)
{
    if (!set)
        return NULL;
    bus_unsubscribe(set->bus, &set->subscription);
    for (size_t i = 0; i < set->count; i++)
        close_one(&set->all[i]);
    free(set->all);
    free(set);
    return NULL;
}

const char *credential_set_token(const struct credential_set *set, const char *name)
{
    const struct credential *credential = find(set, name, strlen(name));
    return credential ? credential->token : NULL;
}
