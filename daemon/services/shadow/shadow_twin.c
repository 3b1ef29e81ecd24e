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
#include "base/topic.h"
#include "bus/topics.h"
#include "services/shadow/shadow_answer.h"
#include "services/shadow/shadow_record.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum {
    LOADS_MAX = 128,                 /* twins being read, or read and not done yet */
    COMPOSED_MAX = 16 * 1024 * 1024, /* bytes of rows and answers that wait for their commit */
    COMPLAIN_EVERY = 60 * 1000,

    /* Twins done in a turn. Then the store gets to work beside us, and the rest of the house to its turn: with a thousand in
     * flight half as many again a second as when all were done, and then all stored. */
    TURN_MAX = 256,

    /* One batch of one twin, because a call has a budget and so has the arena: requests, their payloads, the answers. */
    BATCH_MAX = 64,
    BATCH_BYTES_MAX = 2 * SHADOW_REQUEST_MAX,
    BATCH_COMPOSED_MAX = 1024 * 1024,

    /* Records that stand in the shadow's own row before they move. More make the row larger, fewer move more often: 6 to 8
     * of 70 bytes are the cheapest (3.2 µs an update in a bare SQLite loop; 3.6 with 3, 3.7 with 12; 1.5 without). */
    RECENT_MAX = 8,
    RECENT_BYTES_MAX = 1024,
};

static const struct shadow_refusal internal_failure = {500, "Internal service failure"};

static void wake_pump(struct shadow *shadow)
{
    loop_at(shadow->loop, LOOP_ROUTE, &shadow->pump);
}

/* ---- answers ------------------------------------------------------------------------------------------------------ */

/* A topic below the request's, in the arena. */
struct answer_topic {
    const char *text;
    size_t len;
};

static struct answer_topic topic_below(struct shadow *shadow, const struct msg *request, const char *suffix)
{
    size_t suffix_len = strlen(suffix), len = request->topic_len + suffix_len;
    char *topic = arena_alloc(&shadow->arena, len);
    memcpy(topic, request->topic, request->topic_len);
    memcpy(topic + request->topic_len, suffix, suffix_len);
    return (struct answer_topic){topic, len};
}

/* Whoever asks for a client of another kind (REST) has its answer sent where he says, and a refusal nowhere else. Others'
 * Response Topics are not looked at: they could have the house say something where they may not. */
static bool is_private(const struct msg *request)
{
    return request->response_topic &&
           topic_matches(TOPIC_REST_ANSWER_FILTER, strlen(TOPIC_REST_ANSWER_FILTER), request->response_topic,
                         request->response_topic_len);
}

static struct answer_topic response_topic(const struct msg *request)
{
    return (struct answer_topic){request->response_topic, request->response_topic_len};
}

/* NULL when there is no memory for it. */
static struct msg *new_answer(const struct msg *request, struct answer_topic topic, struct shadow_text text)
{
    struct msg *msg = msg_new(topic.text, topic.len, text.text, text.len);
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

static void tell_asker(struct shadow *shadow, struct msg *asker, struct shadow_text text)
{
    if (asker)
        bus_reply(shadow->bus, asker, text.text);
}

void shadow_reject(struct shadow *shadow, const struct msg *request, const struct shadow_refusal *refusal)
{
    const struct json *token =
        shadow_token(&shadow->arena, (const char *)request->payload, request->payload_len);
    struct shadow_text text = shadow_answer_rejected(&shadow->arena, refusal, token, now_s(shadow));
    cleanup(msg_unref_p) struct msg *msg = new_answer(
        request, is_private(request) ? response_topic(request) : topic_below(shadow, request, "/rejected"),
        text);
    arena_reset(&shadow->arena);
    shadow->counters.rejected++;
    if (msg)
        publish(shadow, msg);
}

/* A request that did not come to anything, or whose commit failed. */
static void reject(struct shadow *shadow, const struct request *request, const struct shadow_refusal *refusal)
{
    if (!request->asker) {
        shadow_reject(shadow, request->msg, refusal);
        return;
    }
    tell_asker(shadow, request->asker, shadow_answer_rejected(&shadow->arena, refusal, NULL, now_s(shadow)));
    arena_reset(&shadow->arena);
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
        if (!request->asker || !request->version)
            continue;
        tell_asker(shadow, request->asker,
                   shadow_answer_deleted(&shadow->arena, request->version, NULL, request->at_s));
        arena_reset(&shadow->arena);
    }
}

static void reject_all(struct shadow *shadow, const struct list *requests,
                       const struct shadow_refusal *refusal)
{
    list_for_each (link, requests)
        reject(shadow, list_entry(link, struct request, link), refusal);
}

/* One line a minute: a full disk would say the same for every request. */
static void complain(struct shadow *shadow, const struct twin *twin, const char *doing, int r)
{
    int64_t now = loop_now(shadow->loop);
    if (now < shadow->complain_after)
        return;
    shadow->complain_after = now + COMPLAIN_EVERY;
    struct shadow_key key = twin_key(twin);
    log_error("shadow %s%s%s: %s: %s; %" PRIu64 " requests have failed so far", key.thing,
              *key.name ? "/" : "", key.name, doing, strerror(-r), shadow->counters.faults);
}

static void fail_all(struct twin *twin, struct list *requests, const char *doing, int r)
{
    struct shadow *shadow = twin->shadow;
    list_for_each (link, requests)
        shadow->counters.faults++;
    complain(shadow, twin, doing, r);
    reject_all(shadow, requests, &internal_failure);
    /* A get has had its answer, and nothing of it was to be kept: who asks is not thrown out. */
    for (struct list *link; (link = list_pop(requests));) {
        struct request *request = list_entry(link, struct request, link);
        request_done(shadow, request, request->verb == SHADOW_GET ? 0 : r);
    }
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
    struct list batch;     /* what was done */
    size_t composed;       /* bytes of its answers */
    bool changed;
    bool is_reborn;      /* from a tombstone that is over */
    size_t count, bytes; /* of the requests so far */
    struct json_writer records;
    unsigned record_count;
    int r; /* −errno: there was no memory for an answer */
};

static void keep_answer(struct pass *pass, struct request *request, struct answer_topic topic,
                        struct shadow_text text)
{
    size_t i = 0;
    while (request->answers[i])
        i++;
    request->answers[i] = new_answer(request->msg, topic, text);
    if (request->answers[i])
        pass->composed += msg_cost(request->answers[i]);
    else
        pass->r = -ENOMEM;
}

/* Nobody who subscribes later than this can know whether a message that he does not get came before or after. */
static bool wanted(struct pass *pass, const struct request *request, const char *suffix,
                   struct answer_topic *topic)
{
    *topic = topic_below(pass->shadow, request->msg, suffix);
    return bus_is_heard(pass->shadow->bus, topic->text, topic->len);
}

static void refuse(struct pass *pass, struct request *request, const struct shadow_refusal *refusal,
                   const struct json *token)
{
    struct answer_topic topic;
    pass->shadow->counters.rejected++;
    struct shadow_text text = shadow_answer_rejected(pass->arena, refusal, token, pass->now_s);
    if (request->asker)
        tell_asker(pass->shadow, request->asker, text);
    else if (is_private(request->msg))
        keep_answer(pass, request, response_topic(request->msg), text);
    else if (wanted(pass, request, "/rejected", &topic))
        keep_answer(pass, request, topic, text);
}

/* The document changes: it is told to those who hear it, and written down. */
static void change(struct pass *pass, const struct request *request, const struct shadow_doc *doc)
{
    if (pass->shadow->history.count) {
        shadow_record_put(&pass->records, &pass->doc, doc, pass->now_s, publisher_name(request->msg->from));
        pass->record_count++;
    }
    pass->doc = *doc;
    pass->changed = true;
}

static void do_update(struct pass *pass, struct request *request)
{
    struct arena *arena = pass->arena;
    const struct shadow_limits *limits = &pass->shadow->limits;
    struct shadow_update update;
    struct shadow_refusal refusal;
    struct shadow_doc doc;
    struct answer_topic topic;
    int r = shadow_update_parse(&update, arena, (const char *)request->msg->payload,
                                request->msg->payload_len, pass->now_s, limits, &refusal);
    if (r == 0)
        r = shadow_doc_update(&doc, arena, &pass->doc, &update, limits, &refusal);
    if (r != 0) {
        refuse(pass, request, &refusal, update.token);
        return;
    }
    if (doc.desired && wanted(pass, request, "/delta", &topic)) {
        struct shadow_text delta = shadow_answer_delta(arena, &doc, update.token, pass->now_s);
        if (delta.text)
            keep_answer(pass, request, topic, delta);
    }
    if (wanted(pass, request, "/documents", &topic))
        keep_answer(pass, request, topic,
                    shadow_answer_documents(arena, &pass->doc, &doc, update.token, pass->now_s));
    if (wanted(pass, request, "/accepted", &topic))
        keep_answer(pass, request, topic, shadow_answer_accepted(arena, &update, doc.version));
    if (is_private(request->msg))
        keep_answer(pass, request, response_topic(request->msg),
                    shadow_answer_accepted(arena, &update, doc.version));
    request->version = doc.version;
    request->at_s = pass->now_s;
    change(pass, request, &doc);
}

/* Gets and deletes, of which only the token is read. */
static void do_other(struct pass *pass, struct request *request)
{
    struct arena *arena = pass->arena;
    struct answer_topic topic;
    const struct json *token =
        shadow_token(arena, (const char *)request->msg->payload, request->msg->payload_len);
    if (!pass->doc.exists) {
        struct shadow_key key = twin_key(pass->twin);
        const char *name = *key.name ? key.name : key.thing;
        struct shadow_refusal refusal = {404, arena_printf(arena, "No shadow exists with name: '%s'", name)};
        refuse(pass, request, &refusal, token);
        return;
    }
    bool privately = is_private(request->msg);
    bool is_heard = wanted(pass, request, "/accepted", &topic);
    if (request->verb == SHADOW_GET) {
        if (privately)
            topic = response_topic(request->msg);
        if (is_heard || privately)
            keep_answer(pass, request, topic, shadow_answer_document(arena, &pass->doc, token, pass->now_s));
        return;
    }
    if (is_heard)
        keep_answer(pass, request, topic,
                    shadow_answer_deleted(arena, pass->doc.version, token, pass->now_s));
    if (privately)
        keep_answer(pass, request, response_topic(request->msg),
                    shadow_answer_deleted(arena, pass->doc.version, token, pass->now_s));
    struct shadow_doc gone = shadow_doc_delete(&pass->doc);
    change(pass, request, &gone);
}

/* The document of the row, which must stay while the document is used. */
static int read_doc(struct pass *pass, const struct shadow_row *row)
{
    if (!row)
        return 0;
    if (!row->exists) {
        pass->is_reborn = shadow_tombstone_is_over(row->deleted_s, pass->now_s);
        if (!pass->is_reborn)
            pass->doc.version = row->version;
        return 0;
    }
    return shadow_doc_read(&pass->doc, pass->arena, row->version, row->text, row->state_len,
                           row->text + row->state_len, row->stamps_len);
}

static struct shadow_row *new_row(const struct pass *pass)
{
    if (!pass->doc.exists)
        return shadow_tombstone_new(pass->doc.version, pass->now_s);
    size_t stamps_len;
    const char *stamps = shadow_doc_stamps(pass->arena, &pass->doc, &stamps_len);
    return shadow_row_new(pass->doc.version, pass->doc.text, pass->doc.text_len, stamps, stamps_len);
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
        (pass->count > BATCH_MAX || pass->bytes > BATCH_BYTES_MAX || pass->composed > BATCH_COMPOSED_MAX))
        return NULL;
    list_remove(&request->link);
    list_append(&pass->batch, &request->link);
    return request;
}

/* ---- saving ------------------------------------------------------------------------------------------------------- */

static void on_saved(struct work *work)
{
    struct twin_job *job = container_of(work, struct twin_job, save.work);
    struct twin *twin = job->twin;
    struct shadow *shadow = twin->shadow;
    static const struct shadow_refusal too_many = {429, "Too many named shadows"};
    twin->job = NULL;
    shadow->composed -= job->composed;
    if (work->r == 0) {
        twin_set_row(twin, job->save.row);
        tell_all(shadow, &job->batch);
        shadow_settle_all(shadow, &job->batch, 0);
    } else {
        free(job->save.row);
        if (work->r == SHADOW_TOO_MANY_NAMES) {
            reject_all(shadow, &job->batch, &too_many);
            shadow_settle_all(shadow, &job->batch, 0);
        } else {
            fail_all(twin, &job->batch, "save", work->r);
        }
    }
    free(job);
    come_to_rest(twin);
    if (!list_is_empty(&shadow->ready) || !list_is_empty(&shadow->cold)) /* there is room again */
        wake_pump(shadow);
}

/* Where the records go, and what the new row remembers of those on disk. */
static void place_records(const struct pass *pass, struct twin_job *job, const char *records, size_t len)
{
    const struct shadow_row *old = pass->twin->row;
    struct shadow_row *row = job->save.row;
    bool has_past = old && !pass->is_reborn;
    size_t bytes = len + (has_past ? old->recent_len : 0);
    unsigned count = pass->record_count + (has_past ? old->recent_count : 0);
    row->id = old ? old->id : 0;
    job->save.records = memcpy(job->records, records, len);
    job->save.records_len = len;
    job->save.spill = row->id && pass->record_count && (count >= RECENT_MAX || bytes >= RECENT_BYTES_MAX);
    job->save.spill_bytes = bytes;
    row->recent_len = job->save.spill ? 0 : (uint32_t)bytes;
    row->recent_count = job->save.spill ? 0 : count;
}

/* NULL when there is no memory. */
static struct twin_job *new_save(struct pass *pass)
{
    struct shadow *shadow = pass->shadow;
    const struct shadow_row *old = pass->twin->row;
    size_t len = 0;
    const char *records = pass->record_count ? json_writer_text(&pass->records, &len) : "";
    struct shadow_row *row = new_row(pass);
    struct twin_job *job = row ? malloc(sizeof *job + len) : NULL;
    if (!job) {
        free(row);
        return NULL;
    }
    *job = (struct twin_job){.twin = pass->twin, .composed = pass->composed + shadow_row_size(row) + len};
    job->save = (struct shadow_save){
        .work = {.run = shadow_store_save, .done = on_saved},
        .key = twin_key(pass->twin),
        .row = row,
        .is_insert = !old,
        .was_tombstone = old && !old->exists,
        .is_reborn = pass->is_reborn,
        .at_s = pass->now_s,
        .limits = &shadow->history,
    };
    place_records(pass, job, records, len);
    list_init(&job->batch);
    return job;
}

static void save(struct pass *pass, struct twin_job *job, bool is_new)
{
    struct twin *twin = pass->twin;
    struct shadow *shadow = pass->shadow;
    list_splice(&job->batch, &pass->batch);
    job->save.names_max = is_new && !twin_is_classic(twin) ? shadow->options.named_max : 0;
    twin->state = TWIN_SAVING;
    twin->job = job;
    shadow->composed += job->composed;
    shadow->counters.saves++;
    store_submit(shadow->store, &job->save.work);
}

static void do_requests(struct twin *twin)
{
    struct shadow *shadow = twin->shadow;
    struct pass pass = {.shadow = shadow, .twin = twin, .arena = &shadow->arena, .now_s = now_s(shadow)};
    list_init(&pass.batch);
    int r = read_doc(&pass, twin->row);
    if (r < 0) {
        arena_reset(&shadow->arena);
        if (r == -EUCLEAN)
            store_distrust(shadow->store);
        fail_all(twin, &twin->queue, "read", r);
        come_to_rest(twin);
        return;
    }
    bool existed = pass.doc.exists;
    json_writer_init(&pass.records, pass.arena);
    for (struct request *request; (request = next_request(&pass));) {
        if (request->verb == SHADOW_UPDATE)
            do_update(&pass, request);
        else
            do_other(&pass, request);
    }
    struct twin_job *job = pass.changed && pass.r == 0 ? new_save(&pass) : NULL;
    if (pass.changed && !job)
        pass.r = -ENOMEM;
    arena_reset(&shadow->arena);

    if (job) {
        save(&pass, job, !existed && job->save.row->exists);
        return;
    }
    if (pass.r == 0) {
        tell_all(shadow, &pass.batch);
        shadow_settle_all(shadow, &pass.batch, 0);
    } else {
        fail_all(twin, &pass.batch, "answer", pass.r);
    }
    come_to_rest(twin);
}

/* ---- reading, and the pump ---------------------------------------------------------------------------------------- */

static void on_loaded(struct work *work)
{
    struct twin_job *job = container_of(work, struct twin_job, load.work);
    struct twin *twin = job->twin;
    struct shadow *shadow = twin->shadow;
    int r = job->load.r == SHADOW_NOT_RUN ? work->r : job->load.r;
    struct shadow_row *row = r < 0 ? NULL : job->load.row;
    shadow->loading--;
    twin->job = NULL;
    free(job);
    if (r < 0) {
        fail_all(twin, &twin->queue, "read", r);
        twin_forget(twin); /* the next request tries again */
    } else {
        twin_set_row(twin, row);
        come_to_rest(twin);
    }
    if (!list_is_empty(&shadow->cold))
        wake_pump(shadow);
}

static void load(struct twin *twin)
{
    struct shadow *shadow = twin->shadow;
    struct twin_job *job = mem_new(struct twin_job);
    job->twin = twin;
    job->load = (struct shadow_load){
        .work = {.run = shadow_store_load, .done = on_loaded}, .key = twin_key(twin), .r = SHADOW_NOT_RUN};
    list_init(&job->batch);
    twin->job = job;
    twin->state = TWIN_LOADING;
    shadow->loading++;
    shadow->counters.loads++;
    store_submit(shadow->store, &job->load.work);
}

/* The turn has done its share. HAND_OVER is over when this runs, so the pump's next call is in the next turn. */
void on_shadow_rest(struct task *task)
{
    wake_pump(container_of(task, struct shadow, rest));
}

static bool has_done_enough(struct shadow *shadow)
{
    uint64_t turn = loop_turns(shadow->loop);
    if (shadow->turn != turn) {
        shadow->turn = turn;
        shadow->done_in_turn = 0;
    }
    return shadow->done_in_turn++ >= TURN_MAX;
}

void on_shadow_pump(struct task *task)
{
    struct shadow *shadow = container_of(task, struct shadow, pump);
    if (shadow->composed < COMPOSED_MAX && !list_is_empty(&shadow->ready)) {
        if (has_done_enough(shadow)) {
            loop_at(shadow->loop, LOOP_FLUSH, &shadow->rest);
            return;
        }
        do_requests(list_entry(list_pop(&shadow->ready), struct twin, link));
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
