#include "base/json_write.h"
#include "base/log.h"
#include "bus/topics.h"
#include "services/uplink/link_plugin.h"
#include "services/uplink/uplink_state.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* One subscriber an uplink for what it sends, one for what it is to receive, one for all for the commands and one for the
 * network's and the clock's news. A message is wrapped, given to the link and forgotten when the link says done: there is no
 * other state than the links' and the filters'.
 *
 * The status says "down" before the receipts of what was under way are settled, so whoever waits for "up" has heard that
 * there is something to wait for. Failed attempts are not said while they fail for the same reason: nothing has changed. */

/* MQTT 5 reason codes that a PUBACK may carry. */
enum {
    UNSPECIFIED = 0x80,
    NOT_CONNECTED = 0x83,
    TOPIC_NAME_INVALID = 0x90,
    PACKET_TOO_LARGE = 0x95,
    QUOTA_EXCEEDED = 0x97,
    PAYLOAD_FORMAT_INVALID = 0x99
};

const struct link_kind *const uplink_kinds[] = {&link_mqtt, &link_http, &link_file, &link_plugin};
_Static_assert(array_size(uplink_kinds) <= UPLINK_KINDS_MAX, "more kinds");

size_t uplink_kind_count(void)
{
    return array_size(uplink_kinds);
}

/* ---- status ------------------------------------------------------------------------------------------------------ */

void uplink_put(struct json_writer *w, const struct uplink *uplink)
{
    static const char *const names[] = {[UPLINK_CONNECTING] = "connecting",
                                        [UPLINK_UP] = "up",
                                        [UPLINK_DOWN] = "down",
                                        [UPLINK_PROBING] = "probing"};
    json_begin_object(w);
    json_key(w, "name");
    json_put_string(w, uplink->name);
    json_key(w, "uri");
    json_put_string(w, uplink->uri);
    const struct link_kind *kind = uplink->link ? uplink->link->kind : NULL;
    json_key(w, "kind");
    json_put_string(w, kind ? kind->name : NULL);
    json_key(w, "state");
    json_put_string(w, names[uplink->state]);
    json_key(w, "since");
    json_put_int(w, uplink->since);
    json_key(w, "reason");
    json_put_string(w, uplink->reason[0] ? uplink->reason : NULL);
    json_key(w, "sent");
    json_put_uint(w, uplink->sent);
    json_key(w, "failed");
    json_put_uint(w, uplink->failed);
    json_key(w, "refused");
    json_put_uint(w, uplink->refused);
    json_key(w, "lastRefusal");
    json_put_string(w, uplink->refusal[0] ? uplink->refusal : NULL);
    json_key(w, "bytes");
    json_put_uint(w, uplink->bytes);
    json_key(w, "inFlight");
    json_put_uint(w, uplink->in_flight);
    json_key(w, "lastSuccess");
    if (uplink->last_success)
        json_put_int(w, uplink->last_success);
    else
        json_put_null(w);
    if (kind && kind->window) {
        json_key(w, "window");
        json_put_uint(w, kind->window(uplink->link));
    }
    json_key(w, "received");
    json_put_uint(w, uplink->received);
    json_key(w, "lost");
    json_put_uint(w, kind && kind->lost ? kind->lost(uplink->link) : 0);
    json_key(w, "looped");
    json_put_uint(w, uplink->looped);
    json_key(w, "subscribed");
    uplink_filters_put(w, &uplink->filters);
    json_end_object(w);
}

static void say(struct uplink *uplink)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    uplink_put(&w, uplink);
    bus_say(uplink->uplinks->bus, uplink->status_topic, json_writer_text(&w, NULL), BUS_KEEP);
    arena_done(&arena);
}

void uplink_say_state(struct uplink *uplink, enum uplink_state state, const char *reason)
{
    if (uplink->since && uplink->state == state && strcmp(uplink->reason, reason) == 0)
        return;
    if (uplink->state != state || !uplink->since)
        uplink->since = loop_wall(bus_loop(uplink->uplinks->bus));
    uplink->state = state;
    (void)snprintf(uplink->reason, sizeof uplink->reason, "%s", reason);
    say(uplink);
}

static void on_up(void *self)
{
    struct uplink *uplink = self;
    log_notice("uplink %s: connected to %s", uplink->name, uplink->uri);
    uplink_say_state(uplink, UPLINK_UP, "");
    uplink_filters_up(&uplink->filters);
}

static void on_down(void *self, const char *reason)
{
    struct uplink *uplink = self;
    if (uplink->state != UPLINK_DOWN || strcmp(uplink->reason, reason) != 0)
        log_warning("uplink %s: %s", uplink->name, reason);
    uplink_filters_down(&uplink->filters);
    uplink_say_state(uplink, UPLINK_DOWN, reason);
}

/* It keeps the reason: nothing is known to be better yet. */
static void on_probe(void *self)
{
    struct uplink *uplink = self;
    char reason[UPLINK_REASON_LEN];
    (void)snprintf(reason, sizeof reason, "%s", uplink->reason);
    uplink_say_state(uplink, UPLINK_PROBING, reason);
}

/* The link has gone, and another one may take its place; but not from inside its own callback. */
static void on_off(void *self)
{
    struct uplink *uplink = self;
    if (uplink->next || !uplink->written)
        timer_start(bus_loop(uplink->uplinks->bus), &uplink->swap, 0);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

struct sending {
    struct uplink *uplink;
    struct receipt *receipt;
    _Alignas(max_align_t) struct link_publish publish; /* and behind it the kind's part */
};

static int as_refusal(int r)
{
    switch (r) {
    case -ENOTCONN: return NOT_CONNECTED;
    case -ENOBUFS: return QUOTA_EXCEEDED;
    case -EILSEQ: return TOPIC_NAME_INVALID;
    case -EMSGSIZE: return PACKET_TOO_LARGE;
    default: return r;
    }
}

static bool is_for_good(int r)
{
    return r == TOPIC_NAME_INVALID || r == PACKET_TOO_LARGE || r == PAYLOAD_FORMAT_INVALID;
}

static void count(struct uplink *uplink, const struct msg *msg, int r, const char *reason)
{
    if (r == 0) {
        uplink->sent++;
        uplink->bytes += msg->payload_len;
        uplink->last_success = loop_wall(bus_loop(uplink->uplinks->bus));
        return;
    }
    uplink->failed++;
    if (!is_for_good(r))
        return;
    uplink->refused++;
    (void)snprintf(uplink->refusal, sizeof uplink->refusal, "%s", reason ? reason : "");
    log_info("uplink %s: a message is refused for good: %s", uplink->name,
             reason ? reason : "no reason is given");
}

static void on_sent(struct link_publish *publish, int r, const char *reason)
{
    struct sending *sending = container_of(publish, struct sending, publish);
    r = as_refusal(r);
    sending->uplink->in_flight--;
    count(sending->uplink, publish->msg, r, reason);
    receipt_settle(sending->receipt, r);
    (void)msg_unref(publish->msg);
    free(sending);
}

static int send_message(struct uplink *uplink, struct msg *msg, struct receipt *receipt)
{
    if (!uplink->link)
        return NOT_CONNECTED;
    if (msg->topic_len <= uplink->prefix_len)
        return TOPIC_NAME_INVALID;
    if (msg->from == uplink->publisher) { /* it came from there: it would come again */
        uplink->looped++;
        receipt_settle(receipt, 0);
        return 0;
    }
    const struct link_kind *kind = uplink->link->kind;
    struct sending *sending = mem_new_bytes(offsetof(struct sending, publish) + kind->publish_size);
    sending->uplink = uplink;
    sending->receipt = receipt;
    sending->publish = (struct link_publish){
        .msg = msg_ref(msg),
        .topic = msg->topic + uplink->prefix_len,
        .qos = msg->qos ? 1 : 0, /* clouds know no QoS 2 */
        .done = on_sent,
    };
    int r = kind->publish(uplink->link, &sending->publish);
    if (r < 0) {
        (void)msg_unref(msg);
        free(sending);
        return as_refusal(r);
    }
    uplink->in_flight++;
    if (msg->hops)
        uplink_echo_sent(&uplink->echo, msg->topic + uplink->prefix_len, msg,
                         loop_now(bus_loop(uplink->uplinks->bus)));
    return 0;
}

static void on_message(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery;
    struct uplink *uplink = container_of(subscriber, struct uplink, sender);
    receipt_hold(receipt);
    int r = send_message(uplink, msg, receipt);
    if (r == 0)
        return;
    count(uplink, msg, r,
          r == TOPIC_NAME_INVALID ? "it has no topic"
          : r == PACKET_TOO_LARGE ? "the other side takes no packet of that size"
                                  : NULL);
    receipt_settle(receipt, r);
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

/* The topic there: behind $gatehouse/cloud/NAME/receive/. */
static const char *topic_there(const struct msg *msg)
{
    enum { LEVELS = 4 };
    const char *at = msg->topic;
    for (int i = 0; i < LEVELS; i++)
        at = strchr(at, '/') + 1;
    return at;
}

static uint8_t hops_of(const struct uplink *uplink, const struct msg *msg)
{
    uint8_t sent =
        uplink_echo_hops(&uplink->echo, topic_there(msg), msg, loop_now(bus_loop(uplink->uplinks->bus)));
    return sent ? (uint8_t)(sent + MSG_HOPS_CLOUD) : 0;
}

static void on_received(void *self, struct msg *msg)
{
    struct uplink *uplink = self;
    uplink->received++;
    if (!msg->hops) /* which MQTT 3.1.1 cannot say */
        msg->hops = hops_of(uplink, msg);
    if (msg->hops > MSG_HOPS_MAX) { /* between clouds, or gateways */
        if (!uplink->told_loop)
            log_warning(
                "uplink %s: what comes on %.*s has passed too many gateways and clouds: dropped, there is a loop",
                uplink->name, (int)msg->topic_len, msg->topic);
        uplink->told_loop = true;
        uplink->looped++;
        return;
    }
    msg->from = publisher_ref(uplink->publisher);
    bus_publish(uplink->uplinks->bus, msg, NULL);
    uplink_maps_apply(&uplink->maps, uplink->uplinks->bus, msg);
}

static void on_wanted(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery;
    struct uplink *uplink = container_of(subscriber, struct uplink, asker);
    const char *who = msg->topic + uplink->request_prefix_len;
    int r = UNSPECIFIED;
    if (uplink->link && uplink->link->kind->subscribe)
        r = uplink_filters_set(&uplink->filters, who, (const char *)msg->payload, msg->payload_len);
    if (r == 0)
        return;
    log_info("uplink %s: the subscriptions \"%.*s\" asks for are refused: reason 0x%02x", uplink->name,
             UPLINK_USER_NAME_MAX, who, (unsigned)r);
    receipt_hold(receipt);
    receipt_settle(receipt, r);
}

static void on_settled(struct uplink_filters *filters)
{
    say(container_of(filters, struct uplink, filters));
}

/* ---- connecting -------------------------------------------------------------------------------------------------- */

static bool may_connect(struct uplink *uplink)
{
    struct uplinks *uplinks = uplink->uplinks;
    const struct link_kind *kind = uplink->link->kind;
    bool by_floor =
        uplinks->time_unknown && uplink->needs_time && uplink->trusts_floor && kind->set_verify_time;
    if (kind->set_verify_time)
        kind->set_verify_time(uplink->link, by_floor ? uplinks->floor / 1000 : 0);
    return !uplinks->time_unknown || !uplink->needs_time || by_floor;
}

void uplink_begin(struct uplink *uplink)
{
    uplink->waits_for_time = !may_connect(uplink);
    if (uplink->waits_for_time) {
        uplink_say_state(uplink, UPLINK_DOWN,
                         "waits until the clock is set: without the time no certificate can be looked at");
        return;
    }
    uplink_say_state(uplink, UPLINK_CONNECTING, "");
    uplink->link->kind->start(uplink->link);
}

void uplink_end(struct uplink *uplink, const char *reason)
{
    uplink->waits_for_time = false;
    uplink_filters_down(&uplink->filters);
    uplink_say_state(uplink, UPLINK_DOWN, reason);
    uplink->link->kind->stop(uplink->link);
}

struct link_events uplink_link_events(const char *receive_prefix)
{
    return (struct link_events){on_up, on_down, on_probe, on_received, receive_prefix, on_off};
}

/* Filters outlive their link, and the next one may be of another kind. */
static size_t ask_size(void)
{
    size_t size = sizeof(struct link_subscribe);
    for (size_t i = 0; i < uplink_kind_count(); i++)
        size = size_max(size, uplink_kinds[i]->subscribe_size);
    return size;
}

void uplink_init_topics(struct uplink *uplink)
{
    struct bus *bus = uplink->uplinks->bus;
    uplink->status_topic = str_printf(TOPIC_STATUS_CLOUD_FORMAT, uplink->name);
    uplink_filters_init(&uplink->filters, uplink->link, ask_size(), uplink->name, on_settled);
    uplink->sender.deliver = on_message;
    uplink->asker.deliver = on_wanted;
    cleanup_free char *filter = str_printf(TOPIC_CLOUD_PUBLISH_FORMAT, uplink->name, "#");
    uplink->prefix_len = strlen(filter) - 1;
    bus_subscribe_to(bus, &uplink->messages, &uplink->sender, filter);
    cleanup_free char *requests = str_printf(TOPIC_CLOUD_SUBSCRIBE_FORMAT, uplink->name, "+");
    uplink->request_prefix_len = strlen(requests) - 1;
    bus_subscribe_to(bus, &uplink->requests, &uplink->asker, requests);
    bus_send_retained(bus, &uplink->requests);
}
