/* What becomes of a shadow's requests.
 *
 *      pump:     queue ──▶ batch     each request upon the document the one before it left; answers composed, not told
 *                            │
 *                nothing changed: told now            changed: the last document is saved, told when it is committed
 *
 * A get behind an update in one batch shows what the update made, so it waits for the commit like it: nobody is told
 * what may still be undone.
 */
#include "services/shadow/shadow_twin.h"

#include "base/log.h"
#include "services/shadow/shadow_answer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    LOADS_MAX = 128,                 /* twins being read, or read and not done yet */
    COMPOSED_MAX = 16 * 1024 * 1024, /* bytes of rows and answers that wait for their commit */
    COMPLAIN_EVERY = 60 * 1000,

    /* One batch of one twin, because a call has a budget and so has the arena: requests, their payloads, the answers. */
    BATCH_MAX = 64,
    BATCH_BYTES_MAX = 2 * SHADOW_REQUEST_MAX,
    BATCH_COMPOSED_MAX = 1024 * 1024,
};

static const struct shadow_refusal internal_failure = {500, "Internal service failure"};

static void wake_pump(struct shadow *shadow)
{
    loop_at(shadow->loop, LOOP_ROUTE, &shadow->pump);
}

/* ---- answers ------------------------------------------------------------------------------------------------------ */

/* A message below the request's topic; NULL when there is no memory for it. */
static struct msg *new_answer(struct shadow *shadow, const struct msg *request, const char *suffix,
                              struct shadow_text text)
{
    size_t suffix_len = strlen(suffix), len = request->topic_len + suffix_len;
    char *topic = arena_alloc(&shadow->arena, len);
    memcpy(topic, request->topic, request->topic_len);
    memcpy(topic + request->topic_len, suffix, suffix_len);
    struct msg *msg = msg_new(topic, len, text.text, text.len);
    if (!msg)
        return NULL;
    msg->qos = 1;
    msg->hops = (uint8_t)(request->hops + 1);
    return msg;
}

static void publish(struct shadow *shadow, struct msg *msg)
{
    msg->born = loop_now(shadow->loop);
    bus_publish(shadow->bus, msg, NULL);
}

static int64_t now_s(const struct shadow *shadow)
{
    return loop_wall(shadow->loop) / 1000;
}

void shadow_reject(struct shadow *shadow, const struct msg *request, const struct shadow_refusal *refusal)
{
    const struct json *token =
        shadow_token(&shadow->arena, (const char *)request->payload, request->payload_len);
    struct shadow_text text = shadow_answer_rejected(&shadow->arena, refusal, token, now_s(shadow));
    cleanup(msg_unref_p) struct msg *msg = new_answer(shadow, request, "/rejected", text);
    arena_reset(&shadow->arena);
    shadow->counters.rejected++;
    if (msg)
        publish(shadow, msg);
}

/* ---- the ends of a batch ------------------------------------------------------------------------------------------ */

void shadow_settle_all(struct shadow *shadow, struct list *requests, int r)
{
    for (struct list *link; (link = list_pop(requests));)
        request_done(shadow, list_entry(link, struct request, link), r);
}

static void tell_all(struct shadow *shadow, const struct list *requests)
{
    list_for_each (link, requests) {
        const struct request *request = list_entry(link, struct request, link);
        for (size_t i = 0; i < array_size(request->answers) && request->answers[i]; i++)
            publish(shadow, request->answers[i]);
    }
}

static void reject_all(struct shadow *shadow, const struct list *requests,
                       const struct shadow_refusal *refusal)
{
    list_for_each (link, requests)
        shadow_reject(shadow, list_entry(link, struct request, link)->msg, refusal);
}

/* One line a minute: a full disk would say the same for every request. */
static void complain(struct shadow *shadow, const struct twin *twin, const char *doing, int r)
{
    int64_t now = loop_now(shadow->loop);
    if (now < shadow->complain_after)
        return;
    shadow->complain_after = now + COMPLAIN_EVERY;
    log_error("shadow %s%s%s: %s: %s; %" PRIu64 " requests have failed so far", twin_thing(twin),
              twin_is_classic(twin) ? "" : "/", twin_name(twin), doing, strerror(-r),
              shadow->counters.faults);
}

static void fail_all(struct twin *twin, struct list *requests, const char *doing, int r)
{
    struct shadow *shadow = twin->shadow;
    list_for_each (link, requests)
        shadow->counters.faults++;
    complain(shadow, twin, doing, r);
    reject_all(shadow, requests, &internal_failure);
    shadow_settle_all(shadow, requests, r);
}

/* Nobody works on the row any more. */
static void come_to_rest(struct twin *twin)
{
    struct shadow *shadow = twin->shadow;
    twin->state = TWIN_RESTING;
    if (list_is_empty(&twin->queue)) {
        twin_rest(twin);
        return;
    }
    list_append(&shadow->ready, &twin->link);
    wake_pump(shadow);
}

/* ---- doing a batch ------------------------------------------------------------------------------------------------ */

/* A pass over a twin's queue. */
struct pass {
    struct shadow *shadow;
    struct twin *twin;
    struct arena *arena;
    int64_t now_s;
    struct shadow_doc doc; /* as the request before left it */
    bool changed;
    size_t count, bytes; /* of the requests so far */
    int r;               /* −errno: there was no memory for an answer */
};

/* Adds an answer to a request; one without text is not sent. */
static void answer(struct pass *pass, struct request *request, const char *suffix, struct shadow_text text)
{
    if (!text.text)
        return;
    size_t i = 0;
    while (request->answers[i])
        i++;
    request->answers[i] = new_answer(pass->shadow, request->msg, suffix, text);
    if (request->answers[i])
        pass->twin->composed += msg_cost(request->answers[i]);
    else
        pass->r = -ENOMEM;
}

static void refuse(struct pass *pass, struct request *request, const struct shadow_refusal *refusal,
                   const struct json *token)
{
    pass->shadow->counters.rejected++;
    answer(pass, request, "/rejected", shadow_answer_rejected(pass->arena, refusal, token, pass->now_s));
}

static void do_update(struct pass *pass, struct request *request)
{
    struct arena *arena = pass->arena;
    const struct shadow_limits *limits = &pass->shadow->limits;
    struct shadow_update update;
    struct shadow_refusal refusal;
    struct shadow_doc doc;
    int r = shadow_update_parse(&update, arena, (const char *)request->msg->payload,
                                request->msg->payload_len, limits, &refusal);
    if (r == 0)
        r = shadow_doc_update(&doc, arena, &pass->doc, &update, pass->now_s, limits, &refusal);
    if (r != 0) {
        refuse(pass, request, &refusal, update.token);
        return;
    }
    answer(pass, request, "/delta", shadow_answer_delta(arena, &doc, update.token, pass->now_s));
    answer(pass, request, "/documents",
           shadow_answer_documents(arena, &pass->doc, &doc, update.token, pass->now_s));
    answer(pass, request, "/accepted", shadow_answer_accepted(arena, &update, doc.version, pass->now_s));
    pass->doc = doc;
    pass->changed = true;
}

/* Gets and deletes, of which only the token is read. */
static void do_other(struct pass *pass, struct request *request)
{
    struct arena *arena = pass->arena;
    const struct json *token =
        shadow_token(arena, (const char *)request->msg->payload, request->msg->payload_len);
    if (!pass->doc.exists) {
        const char *name = twin_is_classic(pass->twin) ? twin_thing(pass->twin) : twin_name(pass->twin);
        struct shadow_refusal refusal = {404, arena_printf(arena, "No shadow exists with name: '%s'", name)};
        refuse(pass, request, &refusal, token);
    } else if (request->verb == SHADOW_GET) {
        answer(pass, request, "/accepted", shadow_answer_document(arena, &pass->doc, token, pass->now_s));
    } else {
        answer(pass, request, "/accepted",
               shadow_answer_deleted(arena, pass->doc.version, token, pass->now_s));
        pass->doc = shadow_doc_delete(&pass->doc);
        pass->changed = true;
    }
}

/* The document of the row, which must stay while the document is used. */
static int read_doc(struct pass *pass, const struct shadow_row *row)
{
    if (!row)
        return 0;
    if (!row->exists) {
        if (!shadow_tombstone_is_over(row->deleted_s, pass->now_s))
            pass->doc.version = row->version;
        return 0;
    }
    return shadow_doc_read(&pass->doc, pass->arena, row->version, row->text, row->state_len,
                           row->text + row->state_len, row->metadata_len);
}

static struct shadow_row *new_row(const struct pass *pass)
{
    if (!pass->doc.exists)
        return shadow_tombstone_new(pass->doc.version, pass->now_s);
    size_t state_len, metadata_len;
    const char *state = shadow_doc_state(pass->arena, &pass->doc, &state_len);
    const char *metadata = shadow_doc_metadata(pass->arena, &pass->doc, &metadata_len);
    return shadow_row_new(pass->doc.version, state, state_len, metadata, metadata_len);
}

/* Moves the next request from the queue to the batch; NULL when there is none or the batch is large enough. */
static struct request *next_request(struct pass *pass)
{
    struct twin *twin = pass->twin;
    if (list_is_empty(&twin->queue))
        return NULL;
    struct request *request = list_entry(twin->queue.next, struct request, link);
    pass->bytes += request->msg->payload_len;
    if (pass->count++ &&
        (pass->count > BATCH_MAX || pass->bytes > BATCH_BYTES_MAX || twin->composed > BATCH_COMPOSED_MAX))
        return NULL;
    list_remove(&request->link);
    list_append(&twin->batch, &request->link);
    return request;
}

static void on_saved(struct work *work)
{
    struct twin *twin = container_of(work, struct twin, io.work);
    struct shadow *shadow = twin->shadow;
    static const struct shadow_refusal too_many = {429, "Too many named shadows"};
    shadow->composed -= twin->composed;
    twin->composed = 0;
    struct shadow_row *row = steal(twin->io.row);
    if (work->r == 0) {
        twin_set_row(twin, row);
        tell_all(shadow, &twin->batch);
        shadow_settle_all(shadow, &twin->batch, 0);
    } else {
        free(row);
        if (work->r == SHADOW_TOO_MANY_NAMES) {
            reject_all(shadow, &twin->batch, &too_many);
            shadow_settle_all(shadow, &twin->batch, 0);
        } else {
            fail_all(twin, &twin->batch, "save", work->r);
        }
    }
    come_to_rest(twin);
    if (!list_is_empty(&shadow->ready) || !list_is_empty(&shadow->cold)) /* there is room again */
        wake_pump(shadow);
}

static void save(struct twin *twin, struct shadow_row *row, bool is_new)
{
    struct shadow *shadow = twin->shadow;
    twin->state = TWIN_SAVING;
    twin->composed += shadow_row_size(row);
    shadow->composed += twin->composed;
    shadow->counters.saves++;
    twin->io.row = row;
    twin->io.names_max = is_new && !twin_is_classic(twin) ? shadow->options.named_max : 0;
    twin->io.work.run = shadow_store_save;
    twin->io.work.done = on_saved;
    store_submit(shadow->store, &twin->io.work);
}

static void do_requests(struct twin *twin)
{
    struct shadow *shadow = twin->shadow;
    struct pass pass = {.shadow = shadow, .twin = twin, .arena = &shadow->arena, .now_s = now_s(shadow)};
    int r = read_doc(&pass, twin->row);
    if (r < 0) {
        arena_reset(&shadow->arena);
        fail_all(twin, &twin->queue, "read", r);
        come_to_rest(twin);
        return;
    }
    bool existed = pass.doc.exists;
    for (struct request *request; (request = next_request(&pass));) {
        if (request->verb == SHADOW_UPDATE)
            do_update(&pass, request);
        else
            do_other(&pass, request);
    }
    struct shadow_row *row = pass.changed ? new_row(&pass) : NULL;
    if (pass.changed && !row)
        pass.r = -ENOMEM;
    arena_reset(&shadow->arena);

    if (pass.r == 0 && row) {
        save(twin, row, !existed && row->exists);
        return;
    }
    free(row);
    twin->composed = 0;
    if (pass.r == 0) {
        tell_all(shadow, &twin->batch);
        shadow_settle_all(shadow, &twin->batch, 0);
    } else {
        fail_all(twin, &twin->batch, "answer", pass.r);
    }
    come_to_rest(twin);
}

/* ---- reading, and the pump ---------------------------------------------------------------------------------------- */

static void on_loaded(struct work *work)
{
    struct twin *twin = container_of(work, struct twin, io.work);
    struct shadow *shadow = twin->shadow;
    shadow->loading--;
    if (work->r < 0) {
        fail_all(twin, &twin->queue, "read", work->r);
        twin_forget(twin); /* the next request tries again */
    } else {
        twin_set_row(twin, steal(twin->io.row));
        come_to_rest(twin);
    }
    if (!list_is_empty(&shadow->cold))
        wake_pump(shadow);
}

static void load(struct twin *twin)
{
    struct shadow *shadow = twin->shadow;
    twin->state = TWIN_LOADING;
    twin->io.work.run = shadow_store_load;
    twin->io.work.done = on_loaded;
    shadow->loading++;
    shadow->counters.loads++;
    store_submit(shadow->store, &twin->io.work);
}

void on_shadow_pump(struct task *task)
{
    struct shadow *shadow = container_of(task, struct shadow, pump);
    if (shadow->composed < COMPOSED_MAX) {
        struct list *link = list_pop(&shadow->ready);
        if (link)
            do_requests(list_entry(link, struct twin, link));
        if (!list_is_empty(&shadow->ready)) {
            wake_pump(shadow);
            return; /* what was read is done before more is read */
        }
    }
    while (shadow->loading < LOADS_MAX && shadow->composed < COMPOSED_MAX && !list_is_empty(&shadow->cold))
        load(list_entry(list_pop(&shadow->cold), struct twin, link));
}

void twin_enqueue(struct twin *twin, struct request *request)
{
    struct shadow *shadow = twin->shadow;
    bool is_first = list_is_empty(&twin->queue);
    list_append(&twin->queue, &request->link);
    if (!is_first || twin->state == TWIN_LOADING || twin->state == TWIN_SAVING)
        return;
    list_remove(&twin->link); /* from resting */
    list_append(twin->state == TWIN_COLD ? &shadow->cold : &shadow->ready, &twin->link);
    wake_pump(shadow);
}
