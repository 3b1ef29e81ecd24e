#include "services/gwshadow/gwshadow.h"

#include "base/json_write.h"
#include "base/log.h"
#include "bus/bus.h"
#include "bus/topics.h"
#include "services/gwshadow/gw_report.h"

#include <string.h>

/* A timer asks, the answers come in the turns that follow, and the same timer, a moment later, makes the report of them:
 * who does not answer by then is not in it. Somebody's status that changes asks at once when the last report is old enough.
 *
 *      RESTING ── EVERY is over, or a status has changed ──▶ ASKING ── COLLECT ──▶ RESTING
 */

#define SHADOW_NAME "gatehouse"

enum {
    FIRST = 2000, /* ms after the start: uplinks and plugins have come so far */
    EVERY = 30 * 1000,
    COLLECT = 500,
    NAME_MAX_LEN = 128,
};

struct part {
    struct subscriber ear;
    struct subscription answers;
    struct loop *loop;
    struct msg *answer;
    int64_t heard; /* wall ms */
};

static const char *const asked[GW_PARTS] = {
    [GW_GATEWAY] = TOPIC_CTL_GATEWAY_STATUS, [GW_BROKER] = TOPIC_CTL_BROKER_STATUS,
    [GW_HTTP] = TOPIC_CTL_HTTP_STATUS,       [GW_STREAMS] = TOPIC_CTL_STREAM_LIST,
    [GW_UPLINKS] = TOPIC_CTL_UPLINK_LIST,    [GW_PLUGINS] = TOPIC_CTL_PLUGIN_LIST,
};

struct gwshadow {
    struct bus *bus;
    struct loop *loop;
    char *topic; /* …/update */
    struct part parts[GW_PARTS];
    struct subscriber watcher, judge;
    struct subscription clouds, plugins, rejected, deleted;
    struct timer timer;
    bool is_asking;
    int64_t reported; /* monotonic ms, of the last report */
    int64_t started;  /* wall ms */
    char *last;       /* what was reported, JSON; NULL: nothing, or it was not taken */
};

/* ---- the report -------------------------------------------------------------------------------------------------- */

static void ask(struct gwshadow *own)
{
    own->is_asking = true;
    for (int i = 0; i < GW_PARTS; i++) {
        own->parts[i].answer = msg_unref(own->parts[i].answer);
        bus_ask(own->bus, asked[i], "{}", own->parts[i].answers.filter);
    }
    timer_start(own->loop, &own->timer, COLLECT);
}

static struct json *read(struct arena *arena, const char *text, size_t len)
{
    struct json *json;
    return text && json_parse(&json, arena, text, len, NULL) == 0 ? json : NULL;
}

static void say(struct gwshadow *own, struct arena *arena, const struct json *report)
{
    struct json_writer w;
    json_writer_init(&w, arena);
    json_begin_object(&w);
    json_key(&w, "state");
    json_begin_object(&w);
    json_key(&w, "reported");
    json_put(&w, report);
    json_end_object(&w);
    json_key(&w, "clientToken");
    json_put_string(&w, SHADOW_NAME);
    json_end_object(&w);
    bus_say(own->bus, own->topic, json_writer_text(&w, NULL), BUS_PASS);
    free(own->last);
    own->last = str_copy(json_write(arena, report, NULL));
    own->reported = loop_now(own->loop);
}

/* A wall clock that is set right makes the start what it was: it is counted back from now. A second more or less is no
 * news. */
static void note_start(struct gwshadow *own, const struct json *gateway)
{
    int64_t uptime = 0;
    if (!json_int(json_get(gateway, "uptime"), 0, INT64_MAX / 1000, &uptime))
        return;
    int64_t started = own->parts[GW_GATEWAY].heard - uptime * 1000, drift = started - own->started;
    if (drift > 2000 || drift < -2000)
        own->started = started;
}

static void report(struct gwshadow *own)
{
    struct arena arena = {0};
    const struct json *answers[GW_PARTS];
    for (int i = 0; i < GW_PARTS; i++) {
        const struct msg *msg = own->parts[i].answer;
        answers[i] = msg ? read(&arena, (const char *)msg->payload, msg->payload_len) : NULL;
    }
    note_start(own, answers[GW_GATEWAY]);
    struct json *made = gw_report(&arena, answers, own->started / 1000, loop_wall(own->loop) / 1000);
    if (gw_report_differs(read(&arena, own->last, own->last ? strlen(own->last) : 0), made))
        say(own, &arena, made);
    for (int i = 0; i < GW_PARTS; i++)
        own->parts[i].answer = msg_unref(own->parts[i].answer);
    arena_done(&arena);
}

static void on_timer(struct timer *timer)
{
    struct gwshadow *own = container_of(timer, struct gwshadow, timer);
    if (!own->is_asking) {
        ask(own);
        return;
    }
    own->is_asking = false;
    report(own);
    timer_start(own->loop, &own->timer, EVERY - COLLECT);
}

/* ---- what is heard ----------------------------------------------------------------------------------------------- */

static void on_answer(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct part *part = container_of(subscriber, struct part, ear);
    if (msg->origin != 0)
        return;
    (void)msg_unref(part->answer);
    part->answer = msg_ref(msg);
    part->heard = loop_wall(part->loop);
}

/* Not earlier than the last report allows, and all that changes in one moment is one change. */
static void on_status(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)msg, (void)delivery, (void)receipt;
    struct gwshadow *own = container_of(subscriber, struct gwshadow, watcher);
    int64_t passed = loop_now(own->loop) - own->reported;
    if (!own->is_asking && passed >= EVERY)
        ask(own);
}

/* The shadow is not what we said: said again at the next occasion. */
static void on_verdict(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct gwshadow *own = container_of(subscriber, struct gwshadow, judge);
    if (msg->origin != 0)
        return;
    free(own->last);
    own->last = NULL;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static bool is_thing(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_-");
    return len >= 1 && len <= NAME_MAX_LEN && !name[len];
}

int gwshadow_new(struct gwshadow **ret, struct bus *bus, const char *name)
{
    *ret = NULL;
    if (!is_thing(name)) {
        log_notice(
            "the gateway has no shadow: its name \"%s\" has something else than letters, digits, : _ -",
            name);
        return 0;
    }
    struct gwshadow *own = mem_new(struct gwshadow);
    own->bus = bus;
    own->loop = bus_loop(bus);
    own->reported = loop_now(own->loop) - EVERY + FIRST; /* until then a status is no news */
    own->topic = str_printf(TOPIC_SHADOW_NAMED_UPDATE_FORMAT, name, SHADOW_NAME);
    own->timer.fire = on_timer;
    for (int i = 0; i < GW_PARTS; i++) {
        cleanup_free char *who = str_printf("gateway-shadow-%d", i);
        cleanup_free char *topic = str_printf(TOPIC_CTL_ANSWER_FORMAT, who);
        own->parts[i].loop = own->loop;
        own->parts[i].ear.deliver = on_answer;
        bus_subscribe_to(bus, &own->parts[i].answers, &own->parts[i].ear, topic);
    }
    own->watcher.deliver = on_status;
    own->judge.deliver = on_verdict;
    cleanup_free char *rejected = str_printf("%s/rejected", own->topic);
    cleanup_free char *deleted = str_printf(TOPIC_SHADOW_NAMED_DELETE_FORMAT "/accepted", name, SHADOW_NAME);
    cleanup_free char *plugins = str_printf(TOPIC_STATUS_PLUGIN_FORMAT, "+");
    bus_subscribe_to(bus, &own->clouds, &own->watcher, TOPIC_STATUS_CLOUD_FILTER);
    bus_subscribe_to(bus, &own->plugins, &own->watcher, plugins);
    bus_subscribe_to(bus, &own->rejected, &own->judge, rejected);
    bus_subscribe_to(bus, &own->deleted, &own->judge, deleted);
    timer_start(own->loop, &own->timer, FIRST);
    *ret = own;
    return 0;
}

struct gwshadow *gwshadow_free(struct gwshadow *own)
{
    if (!own)
        return NULL;
    timer_stop(own->loop, &own->timer);
    for (int i = 0; i < GW_PARTS; i++) {
        bus_unsubscribe(own->bus, &own->parts[i].answers);
        (void)msg_unref(own->parts[i].answer);
    }
    bus_unsubscribe(own->bus, &own->clouds);
    bus_unsubscribe(own->bus, &own->plugins);
    bus_unsubscribe(own->bus, &own->rejected);
    bus_unsubscribe(own->bus, &own->deleted);
    free(own->topic);
    free(own->last);
    free(own);
    return NULL;
}
