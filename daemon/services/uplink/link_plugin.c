#include "services/uplink/link_plugin.h"

#include "base/json_write.h"
#include "base/log.h"
#include "bus/bus.h"
#include "bus/topics.h"
#include "cloud/outbox.h"
#include "services/uplink/plugin_answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A batch is as many requests as it has records, at QoS 0: what is lost with a process is published again from here, and
 * what waited in a queue for it would come twice. The batch is answered when all its records are, or nobody answers any
 * more. Records have numbers, so that answers to what was asked in an earlier life, or too late, are nobody's. */

enum {
    BATCH_RECORDS = 64,      /* GH_RECORDS_MAX */
    BATCH_BYTES = 64 * 1024, /* little enough for the plugin's socket */
    STALL_LIMIT_S = 30,
    PAUSE_MIN = 1000,
    PAUSE_MAX = 5 * 60 * 1000,
    STATUS_MAX = 4096,
};

struct plugin_link {
    struct link link;
    struct bus *bus;
    struct outbox outbox;
    struct link_events events;
    void *self;
    char *uplink, *plugin, *answer_topic;
    struct subscriber status, answers;
    struct subscription status_subscription, answer_subscription;
    bool wanted, running;
    char known[PLUGIN_REASON_MAX + 100]; /* why it is not running, in a sentence; "" while nothing is known */

    struct outbox_batch *batch;
    struct outbox_item *asked[BATCH_RECORDS]; /* of the batch, by their place; NULL: answered */
    uint64_t first_id, next_id;
    unsigned unanswered;
    int64_t stall_limit;
    struct timer stall;
    char reason[PLUGIN_REASON_MAX + 1]; /* of the batch's first result that was not good */
};

static struct plugin_link *plugin_of(const struct link *link)
{
    return container_of(link, struct plugin_link, link);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static void say_once(struct plugin_link *plugin, const char *reason)
{
    if (!*plugin->reason)
        (void)snprintf(plugin->reason, sizeof plugin->reason, "%s", reason);
}

static void end_batch(struct plugin_link *plugin)
{
    for (unsigned i = 0; i < BATCH_RECORDS; i++)
        if (plugin->asked[i]) {
            plugin->asked[i]->verdict = OUTBOX_AGAIN;
            plugin->asked[i] = NULL;
        }
    plugin->unanswered = 0;
    plugin->batch = NULL;
    timer_stop(bus_loop(plugin->bus), &plugin->stall);
    char reason[sizeof plugin->reason];
    memcpy(reason, plugin->reason, sizeof reason);
    const struct outbox_answer answer = {OUTBOX_EACH, reason, 0};
    outbox_answered(&plugin->outbox, 0, &answer);
}

static void on_answer(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct plugin_link *plugin = container_of(subscriber, struct plugin_link, answers);
    struct plugin_answer answer;
    if (!plugin->batch || !msg->correlation ||
        !plugin_answer_parse(&answer, (const char *)msg->correlation, msg->correlation_len,
                             (const char *)msg->payload, msg->payload_len))
        return;
    uint64_t at = answer.id - plugin->first_id;
    if (answer.id < plugin->first_id || at >= BATCH_RECORDS || !plugin->asked[at])
        return;
    plugin->asked[at]->verdict = answer.verdict;
    plugin->asked[at] = NULL;
    if (answer.verdict != OUTBOX_TAKEN)
        say_once(plugin, *answer.reason ? answer.reason : "the plugin gives no reason");
    if (--plugin->unanswered == 0)
        end_batch(plugin);
    else
        timer_start(bus_loop(plugin->bus), &plugin->stall, plugin->stall_limit);
}

static void on_stall(struct timer *timer)
{
    struct plugin_link *plugin = container_of(timer, struct plugin_link, stall);
    say_once(plugin, "the plugin does not answer");
    end_batch(plugin);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void put_property(uint8_t *at, uint8_t id, const char *text, size_t len)
{
    /* Response Topic is 0x08, Correlation Data 0x09, each a length of two bytes and the value [MQTT 5, 2.2.2.2]. */
    at[0] = id;
    at[1] = (uint8_t)(len >> 8);
    at[2] = (uint8_t)len;
    memcpy(at + 3, text, len);
}

static const char *correlation_of(const struct plugin_link *plugin, const struct msg *msg, uint64_t id,
                                  struct arena *arena, size_t *len)
{
    struct json_writer w;
    json_writer_init(&w, arena);
    json_begin_object(&w);
    json_key(&w, "id");
    json_put_uint(&w, id);
    json_key(&w, "uplink");
    json_put_string(&w, plugin->uplink);
    if (msg->record) {
        json_key(&w, "stream");
        json_put_string(&w, msg->record->stream);
        json_key(&w, "seq");
        json_put_uint(&w, msg->record->seq);
        json_key(&w, "time");
        json_put_int(&w, msg->record->wall);
    }
    json_end_object(&w);
    return json_writer_text(&w, len);
}

static struct msg *request_of(const struct plugin_link *plugin, const struct link_publish *publish,
                              uint64_t id)
{
    struct arena arena = {0};
    size_t correlation_len, answer_len = strlen(plugin->answer_topic);
    const char *correlation = correlation_of(plugin, publish->msg, id, &arena, &correlation_len);
    const char *topic = arena_printf(&arena, TOPIC_PLUGIN_DELIVER_FORMAT, plugin->plugin, publish->topic);
    size_t len = 3 + answer_len + 3 + correlation_len;
    uint8_t *bytes = arena_alloc(&arena, len);
    put_property(bytes, 0x08, plugin->answer_topic, answer_len);
    put_property(bytes + 3 + answer_len, 0x09, correlation, correlation_len);
    const struct msg_props props = {bytes, len, 3, answer_len, 3 + answer_len + 3, correlation_len};
    struct msg *msg =
        msg_new_props(topic, strlen(topic), &props, publish->msg->payload, publish->msg->payload_len);
    arena_done(&arena);
    if (msg)
        msg->born = loop_now(bus_loop(plugin->bus));
    return msg;
}

/* No topic for the bus: the plugin would not get it. */
static bool fits(const struct plugin_link *plugin, const struct link_publish *publish)
{
    size_t len = strlen(publish->topic) + strlen(plugin->plugin) + sizeof TOPIC_PLUGIN_DELIVER_FORMAT;
    return len < MSG_TOPIC_MAX && !strpbrk(publish->topic, "+#");
}

static void ask(struct plugin_link *plugin, unsigned at, struct outbox_item *item)
{
    uint64_t id = plugin->next_id++;
    if (!fits(plugin, &item->publish)) {
        item->verdict = OUTBOX_NEVER;
        say_once(plugin, "its topic cannot be one on the bus");
        return;
    }
    cleanup(msg_unref_p) struct msg *request = request_of(plugin, &item->publish, id);
    if (!request) {
        item->verdict = OUTBOX_AGAIN;
        say_once(plugin, "there is no memory for it");
        return;
    }
    plugin->asked[at] = item;
    plugin->unanswered++;
    bus_publish(plugin->bus, request, NULL);
}

static bool is_heard(const struct plugin_link *plugin, const struct outbox_batch *batch)
{
    const struct outbox_item *item = list_entry(batch->items.next, struct outbox_item, place);
    cleanup_free char *topic = str_printf(TOPIC_PLUGIN_DELIVER_FORMAT, plugin->plugin, item->publish.topic);
    return bus_is_heard(plugin->bus, topic, strlen(topic));
}

static void carry(struct outbox *outbox, unsigned lane, struct outbox_batch *batch)
{
    (void)lane;
    struct plugin_link *plugin = container_of(outbox, struct plugin_link, outbox);
    unsigned at = 0;
    plugin->first_id = plugin->next_id;
    plugin->reason[0] = '\0';
    if (!is_heard(plugin, batch)) {
        const struct outbox_answer answer = {OUTBOX_STUCK, "the plugin takes no records: it is no connector",
                                             0};
        outbox_answered(outbox, 0, &answer);
        return;
    }
    plugin->batch = batch;
    list_for_each (link, &batch->items)
        ask(plugin, at++, list_entry(link, struct outbox_item, place));
    if (plugin->unanswered)
        timer_start(bus_loop(plugin->bus), &plugin->stall, plugin->stall_limit);
    else
        end_batch(plugin);
}

static void abort_batch(struct outbox *outbox, unsigned lane)
{
    (void)lane;
    struct plugin_link *plugin = container_of(outbox, struct plugin_link, outbox);
    say_once(plugin, "the uplink was stopped");
    end_batch(plugin);
}

/* ---- the plugin's state ------------------------------------------------------------------------------------------ */

static void go_up(struct plugin_link *plugin)
{
    if (plugin->wanted && plugin->running)
        outbox_start(&plugin->outbox);
}

static void go_down(struct plugin_link *plugin)
{
    if (!plugin->wanted)
        return;
    plugin->events.on_down(plugin->self, plugin->known);
    outbox_stop(&plugin->outbox);
}

/* Whoever starts is on the way: nothing is known yet. */
static void on_status(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct plugin_link *plugin = container_of(subscriber, struct plugin_link, status);
    struct arena arena = {0};
    struct json *status;
    const char *state = "", *reason = NULL;
    if (msg->origin) /* not the house's word */
        return;
    if (msg->payload_len <= STATUS_MAX &&
        json_parse(&status, &arena, (const char *)msg->payload, msg->payload_len, NULL) == 0) {
        (void)json_text(json_get(status, "state"), &arena, &state);
        (void)json_text(json_get(status, "reason"), &arena, &reason);
    }
    bool was_running = plugin->running;
    plugin->running = strcmp(state, "running") == 0;
    plugin->known[0] = '\0';
    if (!plugin->running && (was_running || strcmp(state, "starting") != 0))
        (void)snprintf(plugin->known, sizeof plugin->known, "plugin %s: %s%s%.*s", plugin->plugin, state,
                       reason ? ", " : "", PLUGIN_REASON_MAX, reason ? reason : "");
    arena_done(&arena);
    if (plugin->running && !was_running)
        go_up(plugin);
    else if (*plugin->known)
        go_down(plugin);
}

/* ---- the kind ---------------------------------------------------------------------------------------------------- */

static void start(struct link *link)
{
    struct plugin_link *plugin = plugin_of(link);
    plugin->wanted = true;
    if (plugin->outbox.state != OUTBOX_OFF)
        outbox_start(&plugin->outbox);
    else if (*plugin->known)
        go_down(plugin);
    else
        go_up(plugin);
}

static void stop(struct link *link)
{
    struct plugin_link *plugin = plugin_of(link);
    plugin->wanted = false;
    outbox_stop(&plugin->outbox);
}

static bool is_up(const struct link *link)
{
    return outbox_is_up(&plugin_of(link)->outbox);
}

static int publish_message(struct link *link, struct link_publish *publish)
{
    return outbox_publish(&plugin_of(link)->outbox, container_of(publish, struct outbox_item, publish));
}

static bool serves(const char *uri)
{
    return strncmp(uri, "plugin:", 7) == 0;
}

static struct link *free_link(struct link *link)
{
    if (!link)
        return NULL;
    struct plugin_link *plugin = plugin_of(link);
    stop(link);
    bus_unsubscribe(plugin->bus, &plugin->status_subscription);
    bus_unsubscribe(plugin->bus, &plugin->answer_subscription);
    outbox_done(&plugin->outbox);
    free(plugin->uplink);
    free(plugin->plugin);
    free(plugin->answer_topic);
    free(plugin);
    return NULL;
}

static int create(struct link **ret, void *shared, const struct link_house *house,
                  const struct uplink_options *options, const struct link_events *events, void *self)
{
    (void)shared;
    static const struct outbox_carrier carrier = {.carry = carry, .abort = abort_batch};
    int64_t pause_max = options->pause_max ? options->pause_max : PAUSE_MAX;
    const struct outbox_options outbox_options = {
        .records = BATCH_RECORDS,
        .bytes = BATCH_BYTES,
        .lanes = 1,
        .pause_min = pause_max < PAUSE_MIN ? pause_max : PAUSE_MIN,
        .pause_max = pause_max,
    };
    struct plugin_link *plugin = mem_new(struct plugin_link);
    plugin->link.kind = &link_plugin;
    plugin->bus = house->bus;
    plugin->events = *events;
    plugin->self = self;
    plugin->uplink = str_copy(options->name);
    plugin->plugin = str_copy(options->uri + strlen("plugin:"));
    plugin->answer_topic = str_printf(TOPIC_PLUGIN_DELIVERED_FORMAT, plugin->plugin, plugin->uplink);
    plugin->stall_limit =
        (options->stall_timeout_s ? options->stall_timeout_s : STALL_LIMIT_S) * INT64_C(1000);
    plugin->stall.fire = on_stall;
    outbox_init(&plugin->outbox, house->loop, &outbox_options, &carrier, events, self);
    plugin->status.deliver = on_status;
    plugin->answers.deliver = on_answer;
    cleanup_free char *status = str_printf(TOPIC_STATUS_PLUGIN_FORMAT, plugin->plugin);
    bus_subscribe_to(plugin->bus, &plugin->status_subscription, &plugin->status, status);
    bus_subscribe_to(plugin->bus, &plugin->answer_subscription, &plugin->answers, plugin->answer_topic);
    bus_send_retained(plugin->bus, &plugin->status_subscription);
    *ret = &plugin->link;
    return 0;
}

const struct link_kind link_plugin = {
    .name = "plugin",
    .serves = serves,
    .publish_size = sizeof(struct outbox_item),
    .create = create,
    .free = free_link,
    .start = start,
    .stop = stop,
    .is_up = is_up,
    .publish = publish_message,
};
