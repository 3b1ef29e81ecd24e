/* Questions about a shadow's past, on $gatehouse/ctl/shadow/…
 *
 *      request ─▶ question ─▶ store: the shadow with its records ─▶ composed (shadow_history.h) ─▶ answer
 *                                                              └▶ revert: an update like any other ─▶ answer
 *
 * A revert carries the version it was composed for: when somebody changes the shadow in between it is refused, since the
 * state that it would lead to is not the one that was asked for.
 */
#include "services/shadow/shadow_twin.h"

#include "bus/topics.h"
#include "services/shadow/shadow_answer.h"
#include "services/shadow/shadow_history.h"

#include <errno.h>
#include <string.h>

enum { QUESTIONS_MAX = 64, LOG_DEFAULT = 20, REQUEST_MAX = 64 * 1024 };

enum ask { ASK_LOG, ASK_AT, ASK_DIFF, ASK_BLAME, ASK_REVERT };

static const struct {
    const char *topic;
    enum ask ask;
} asks[] = {
    {TOPIC_CTL_SHADOW_LOG, ASK_LOG},       {TOPIC_CTL_SHADOW_AT, ASK_AT},
    {TOPIC_CTL_SHADOW_DIFF, ASK_DIFF},     {TOPIC_CTL_SHADOW_BLAME, ASK_BLAME},
    {TOPIC_CTL_SHADOW_REVERT, ASK_REVERT},
};

struct ear {
    struct subscriber subscriber;
    struct subscription subscription;
    struct shadow_ctl *ctl;
    enum ask ask;
};

struct shadow_ctl {
    struct shadow *shadow;
    struct ear ears[array_size(asks)];
    size_t questions; /* under way */
};

/* A request that was found valid, while the store works for it. */
struct question {
    struct shadow_ctl *ctl;
    struct msg *msg;
    enum ask ask;
    int64_t version, to, max;
    char *thing, *name, *path;
    struct shadow_story story;
};

/* ---- answering ---------------------------------------------------------------------------------------------------- */

static void reply_refusal(struct shadow *shadow, struct msg *request, const struct shadow_refusal *refusal)
{
    struct shadow_text text =
        shadow_answer_rejected(&shadow->arena, refusal, NULL, loop_wall(shadow->loop) / 1000);
    bus_reply(shadow->bus, request, text.text);
}

static void question_done(struct question *question)
{
    question->ctl->questions--;
    (void)msg_unref(question->msg);
    free(question->thing);
    free(question->name);
    free(question->path);
    free(question);
}

static void begin_answer(struct json_writer *writer, struct arena *arena, const struct question *question)
{
    json_writer_init(writer, arena);
    json_begin_object(writer);
    json_key(writer, "thing");
    json_put_string(writer, question->thing);
    if (*question->name) {
        json_key(writer, "name");
        json_put_string(writer, question->name);
    }
}

static int compose(const struct question *question, const struct shadow_history *history,
                   struct json_writer *writer, struct shadow_refusal *refusal)
{
    uint64_t version = (uint64_t)question->version;
    switch (question->ask) {
    case ASK_LOG: return shadow_history_log(history, writer, version, (unsigned)question->max, refusal);
    case ASK_AT: return shadow_history_at(history, writer, version, refusal);
    case ASK_DIFF: return shadow_history_diff(history, writer, version, (uint64_t)question->to, refusal);
    case ASK_BLAME: return shadow_history_blame(history, writer, question->path, refusal);
    case ASK_REVERT: return shadow_history_revert(history, writer, version, refusal);
    }
    return 0;
}

static struct shadow_span span_of(const struct shadow *shadow, uint64_t version)
{
    uint64_t count = shadow->history.count;
    int64_t age_s = shadow->history.age_s;
    return (struct shadow_span){.first = version > count ? version - count + 1 : 1,
                                .first_s = age_s ? loop_wall(shadow->loop) / 1000 - age_s : 0};
}

/* Hands the update over; the asker is told when it is committed. */
static void revert(struct shadow *shadow, struct question *question, struct shadow_text request)
{
    static const struct shadow_refusal busy = {429, "Too many requests"};
    const char *topic = *question->name
                            ? arena_printf(&shadow->arena, "$aws/things/%s/shadow/name/%s/update",
                                           question->thing, question->name)
                            : arena_printf(&shadow->arena, "$aws/things/%s/shadow/update", question->thing);
    cleanup(msg_unref_p) struct msg *update = msg_new(topic, strlen(topic), request.text, request.len);
    if (update) {
        update->from = publisher_ref(question->msg->from);
        update->hops = question->msg->hops;
    }
    struct shadow_key key = {question->thing, question->name};
    if (!update || !shadow_update_for(shadow, update, question->msg, key))
        reply_refusal(shadow, question->msg, &busy);
}

static void answer_story(struct question *question, const struct shadow_row *row)
{
    struct shadow *shadow = question->ctl->shadow;
    struct arena *arena = &shadow->arena;
    struct shadow_refusal refusal = {500, "Internal service failure"};
    struct shadow_history history = {.arena = arena,
                                     .version = row->version,
                                     .records = question->story.records,
                                     .records_len = question->story.records_len,
                                     .span = span_of(shadow, row->version)};
    struct json *state = NULL;
    int r = row->exists && json_parse(&state, arena, row->text, row->state_len, NULL) != 0 ? -EUCLEAN : 0;
    if (r < 0)
        store_distrust(shadow->store);
    history.state = state;
    struct json_writer writer;
    if (question->ask == ASK_REVERT) {
        json_writer_init(&writer, arena);
        json_begin_object(&writer);
    } else {
        begin_answer(&writer, arena, question);
    }
    if (r == 0)
        r = compose(question, &history, &writer, &refusal);
    if (r != 0) {
        reply_refusal(shadow, question->msg, &refusal);
        return;
    }
    json_end_object(&writer);
    struct shadow_text text;
    text.text = json_writer_text(&writer, &text.len);
    if (question->ask == ASK_REVERT)
        revert(shadow, question, text);
    else
        bus_reply(shadow->bus, question->msg, text.text);
}

static void on_story(struct work *work)
{
    struct question *question = container_of(work, struct question, story.work);
    struct shadow *shadow = question->ctl->shadow;
    struct arena *arena = &shadow->arena;
    struct shadow_row *row = question->story.row;
    bool is_over =
        row && !row->exists && shadow_tombstone_is_over(row->deleted_s, loop_wall(shadow->loop) / 1000);
    if (work->r < 0) {
        reply_refusal(shadow, question->msg, &(struct shadow_refusal){500, "Internal service failure"});
    } else if (!row || is_over) {
        const char *name = *question->name ? question->name : question->thing;
        reply_refusal(
            shadow, question->msg,
            &(struct shadow_refusal){404, arena_printf(arena, "No shadow exists with name: '%s'", name)});
    } else {
        answer_story(question, row);
    }
    arena_reset(arena);
    free(row);
    free(question->story.records);
    question_done(question);
}

/* ---- asking ------------------------------------------------------------------------------------------------------- */

/* A whole number that may be missing when there is a fallback; false: it is something else. */
static bool take_number(const struct json *request, const char *key, int64_t max, int64_t fallback,
                        int64_t *ret)
{
    const struct json *number = json_get(request, key);
    *ret = fallback;
    return number ? json_int(number, 1, max, ret) : fallback >= 0;
}

static bool take_name(const struct json *request, const char *key, bool (*is_valid)(const char *, size_t),
                      char **ret)
{
    const struct json *name = json_get(request, key);
    bool is_good = json_is(name, JSON_STRING) && is_valid(name->text, name->len);
    *ret = is_good ? str_copy_n(name->text, name->len) : str_copy("");
    return is_good;
}

static bool is_shadow_name(const char *name, size_t len)
{
    return shadow_name_is_valid(name, len, true);
}

static bool is_path(const char *path, size_t len)
{
    return !memchr(path, '\0', len);
}

/* What is wrong with it; NULL: nothing. */
static const char *take(struct question *question, const struct json *request)
{
    question->path = NULL;
    if (!json_is(request, JSON_OBJECT))
        return "Invalid JSON";
    if (!take_name(request, "thing", shadow_thing_is_valid, &question->thing))
        return "Invalid thing name";
    if (!take_name(request, "name", is_shadow_name, &question->name) && json_get(request, "name"))
        return "Invalid shadow name";
    switch (question->ask) {
    case ASK_LOG:
        if (!take_number(request, "max", SHADOW_LOG_MAX, LOG_DEFAULT, &question->max))
            return "Invalid max";
        return take_number(request, "before", INT64_MAX, 0, &question->version) ? NULL : "Invalid before";
    case ASK_AT:
    case ASK_REVERT:
        return take_number(request, "version", INT64_MAX, -1, &question->version) ? NULL : "Invalid version";
    case ASK_DIFF:
        if (!take_number(request, "from", INT64_MAX, -1, &question->version))
            return "Invalid from";
        return take_number(request, "to", INT64_MAX, -1, &question->to) ? NULL : "Invalid to";
    case ASK_BLAME:
        return take_name(request, "path", is_path, &question->path) || !json_get(request, "path")
                   ? NULL
                   : "Invalid path";
    }
    return NULL;
}

static void submit(struct question *question)
{
    struct shadow *shadow = question->ctl->shadow;
    question->story.work = (struct work){.run = shadow_store_story, .done = on_story};
    question->story.key = (struct shadow_key){question->thing, question->name};
    store_submit(shadow->store, &question->story.work);
}

static void on_ask(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                   struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct ear *ear = container_of(subscriber, struct ear, subscriber);
    struct shadow_ctl *ctl = ear->ctl;
    struct shadow *shadow = ctl->shadow;
    struct json *request = NULL;
    if (ctl->questions >= QUESTIONS_MAX) {
        reply_refusal(shadow, msg, &(struct shadow_refusal){429, "Too many requests"});
        arena_reset(&shadow->arena);
        return;
    }
    if (msg->payload_len <= REQUEST_MAX &&
        json_parse(&request, &shadow->arena, (const char *)msg->payload, msg->payload_len, NULL) != 0)
        request = NULL;
    struct question *question = mem_new(struct question);
    *question = (struct question){.ctl = ctl, .msg = msg_ref(msg), .ask = ear->ask};
    ctl->questions++;
    const char *wrong = take(question, request);
    if (wrong) {
        reply_refusal(shadow, msg, &(struct shadow_refusal){400, wrong});
        question_done(question);
    } else {
        submit(question);
    }
    arena_reset(&shadow->arena);
}

struct shadow_ctl *shadow_ctl_new(struct shadow *shadow)
{
    struct shadow_ctl *ctl = mem_new(struct shadow_ctl);
    ctl->shadow = shadow;
    for (size_t i = 0; i < array_size(asks); i++) {
        struct ear *ear = &ctl->ears[i];
        ear->ctl = ctl;
        ear->ask = asks[i].ask;
        ear->subscriber.deliver = on_ask;
        bus_subscribe_to(shadow->bus, &ear->subscription, &ear->subscriber, asks[i].topic);
    }
    return ctl;
}

struct shadow_ctl *shadow_ctl_free(struct shadow_ctl *ctl)
{
    if (!ctl)
        return NULL;
    for (size_t i = 0; i < array_size(asks); i++)
        bus_unsubscribe(ctl->shadow->bus, &ctl->ears[i].subscription);
    free(ctl);
    return NULL;
}
