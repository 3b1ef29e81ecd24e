#include "services/uplink/uplink.h"

#include "base/json_write.h"
#include "base/log.h"
#include "bus/topics.h"
#include "cloud/link.h"
#include "services/uplink/uplink_filters.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* One subscriber an uplink for what it sends, one for what it is to receive, one for all for the commands. A message is
 * wrapped, given to the link and forgotten when the link says done: there is no other state than the links' and the
 * filters'.
 *
 * The status says "down" before the receipts of what was under way are settled, so whoever waits for "up" has heard that
 * there is something to wait for. Failed attempts are not said while they fail for the same reason: nothing has changed. */

enum { NAME_MAX_LEN = 64, REASON_LEN = 200, ASK_MAX = 1024 };

/* MQTT 5 reason codes that a PUBACK may carry. */
enum {
    UNSPECIFIED = 0x80,
    NOT_CONNECTED = 0x83,
    TOPIC_NAME_INVALID = 0x90,
    PACKET_TOO_LARGE = 0x95,
    QUOTA_EXCEEDED = 0x97,
    PAYLOAD_FORMAT_INVALID = 0x99
};

enum uplink_state { CONNECTING, UP, DOWN, PROBING };

static const struct link_kind *const kinds[] = {&link_mqtt, &link_http, &link_file};

struct uplink {
    struct uplinks *uplinks;
    char *name, *uri, *status_topic;
    struct link *link;
    struct subscriber sender, asker;
    struct subscription messages, requests;
    size_t prefix_len;         /* of the messages' topics, up to the cloud's topic */
    size_t request_prefix_len; /* of the requests', up to who asks */
    struct uplink_filters filters;
    enum uplink_state state;
    int64_t since; /* wall ms */
    char reason[REASON_LEN];
    uint64_t sent, failed, refused, received, bytes, in_flight;
    int64_t last_success;     /* wall ms; 0: none yet */
    char refusal[REASON_LEN]; /* why the last one was refused for good */
};

struct uplinks {
    struct bus *bus;
    void *shared[array_size(kinds)]; /* by links of a kind; NULL: there is none yet */
    struct subscriber commands;
    struct subscription list, cut, restore;
    struct uplink *all;
    size_t count;
};

/* ---- status ------------------------------------------------------------------------------------------------------ */

static void put_uplink(struct json_writer *w, const struct uplink *uplink)
{
    static const char *const names[] = {
        [CONNECTING] = "connecting", [UP] = "up", [DOWN] = "down", [PROBING] = "probing"};
    json_begin_object(w);
    json_key(w, "name");
    json_put_string(w, uplink->name);
    json_key(w, "uri");
    json_put_string(w, uplink->uri);
    json_key(w, "kind");
    json_put_string(w, uplink->link->kind->name);
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
    const struct link_kind *kind = uplink->link->kind;
    if (kind->window) {
        json_key(w, "window");
        json_put_uint(w, kind->window(uplink->link));
    }
    json_key(w, "received");
    json_put_uint(w, uplink->received);
    json_key(w, "lost");
    json_put_uint(w, kind->lost ? kind->lost(uplink->link) : 0);
    json_key(w, "subscribed");
    uplink_filters_put(w, &uplink->filters);
    json_end_object(w);
}

static void say(struct uplink *uplink)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    put_uplink(&w, uplink);
    bus_say(uplink->uplinks->bus, uplink->status_topic, json_writer_text(&w, NULL), BUS_KEEP);
    arena_done(&arena);
}

static void say_state(struct uplink *uplink, enum uplink_state state, const char *reason)
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
    say_state(uplink, UP, "");
    uplink_filters_up(&uplink->filters);
}

static void on_down(void *self, const char *reason)
{
    struct uplink *uplink = self;
    if (uplink->state != DOWN || strcmp(uplink->reason, reason) != 0)
        log_warning("uplink %s: %s", uplink->name, reason);
    uplink_filters_down(&uplink->filters);
    say_state(uplink, DOWN, reason);
}

/* It keeps the reason: nothing is known to be better yet. */
static void on_probe(void *self)
{
    struct uplink *uplink = self;
    char reason[REASON_LEN];
    (void)snprintf(reason, sizeof reason, "%s", uplink->reason);
    say_state(uplink, PROBING, reason);
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
    if (msg->topic_len <= uplink->prefix_len)
        return TOPIC_NAME_INVALID;
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
    count(uplink, msg, r, r == TOPIC_NAME_INVALID ? "it has no topic" : NULL);
    receipt_settle(receipt, r);
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

static void on_received(void *self, struct msg *msg)
{
    struct uplink *uplink = self;
    uplink->received++;
    bus_publish(uplink->uplinks->bus, msg, NULL);
}

static void on_wanted(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery;
    struct uplink *uplink = container_of(subscriber, struct uplink, asker);
    const char *who = msg->topic + uplink->request_prefix_len;
    int r = UNSPECIFIED;
    if (uplink->link->kind->subscribe)
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

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static struct uplink *find(struct uplinks *uplinks, const char *name)
{
    for (size_t i = 0; name && i < uplinks->count; i++)
        if (strcmp(uplinks->all[i].name, name) == 0)
            return &uplinks->all[i];
    return NULL;
}

static void put_refusal(struct json_writer *w, int code, const char *message)
{
    json_begin_object(w);
    json_key(w, "code");
    json_put_int(w, code);
    json_key(w, "message");
    json_put_string(w, message);
    json_end_object(w);
}

/* The uplink a request {"name":…} speaks of; NULL: the answer says why there is none. */
static struct uplink *find_asked(struct uplinks *uplinks, const struct msg *msg, struct arena *arena,
                                 struct json_writer *w)
{
    struct json *request;
    const char *name;
    if (msg->payload_len > ASK_MAX ||
        json_parse(&request, arena, (const char *)msg->payload, msg->payload_len, NULL) != 0 ||
        !json_text(json_get(request, "name"), arena, &name)) {
        put_refusal(w, 400, "expected {\"name\":\"…\"}, the name of an uplink");
        return NULL;
    }
    struct uplink *uplink = find(uplinks, name);
    if (!uplink)
        put_refusal(w, 404, arena_printf(arena, "there is no uplink \"%s\"", name));
    return uplink;
}

static void list_uplinks(struct uplinks *uplinks, struct json_writer *w)
{
    json_begin_object(w);
    json_key(w, "uplinks");
    json_begin_array(w);
    for (size_t i = 0; i < uplinks->count; i++)
        put_uplink(w, &uplinks->all[i]);
    json_end_array(w);
    json_end_object(w);
}

static void command(struct uplinks *uplinks, const struct msg *msg, struct arena *arena,
                    struct json_writer *w)
{
    if (strcmp(msg->topic, TOPIC_CTL_UPLINK_LIST) == 0) {
        list_uplinks(uplinks, w);
        return;
    }
    struct uplink *uplink = find_asked(uplinks, msg, arena, w);
    if (!uplink)
        return;
    if (strcmp(msg->topic, TOPIC_CTL_UPLINK_CUT) == 0) {
        log_notice("uplink %s: cut on request", uplink->name);
        uplink_filters_down(&uplink->filters);
        say_state(uplink, DOWN, "cut on request");
        uplink->link->kind->stop(uplink->link);
    } else if (uplink->state != UP) {
        log_notice("uplink %s: restored on request", uplink->name);
        say_state(uplink, CONNECTING, "");
        uplink->link->kind->start(uplink->link);
    }
    put_uplink(w, uplink);
}

static void on_command(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct uplinks *uplinks = container_of(subscriber, struct uplinks, commands);
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    command(uplinks, msg, &arena, &w);
    bus_reply(uplinks->bus, msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static bool name_is_valid(const char *name)
{
    size_t len = name ? strlen(name) : 0;
    return len > 0 && len <= NAME_MAX_LEN && !strpbrk(name, "/+#");
}

/* Which kind serves that URI; one of them does. */
static size_t kind_of(const char *uri)
{
    size_t i = 0;
    while (i + 1 < array_size(kinds) && !kinds[i]->serves(uri))
        i++;
    return i;
}

static int link_new(struct uplink *uplink, struct uplinks *uplinks, const struct uplink_options *options)
{
    size_t from = 0;
    const char *key, *expected = uplink_options_check(options, &from, &key);
    if (expected) {
        bool is_uri = strcmp(key, "uri") == 0;
        log_error("uplink %s: %s%sexpected %s%s%s%s", options->name, is_uri ? "" : key, is_uri ? "" : ": ",
                  expected, is_uri ? ", found \"" : "", is_uri ? options->uri : "", is_uri ? "\"" : "");
        return -EINVAL;
    }
    const struct link_house house = {bus_loop(uplinks->bus), uplinks->bus};
    cleanup_free char *receive = str_printf(TOPIC_CLOUD_RECEIVE_FORMAT, options->name, "");
    const struct link_events events = {on_up, on_down, on_probe, on_received, receive};
    size_t at = kind_of(options->uri);
    const struct link_kind *kind = kinds[at];
    if (kind->open && !uplinks->shared[at]) {
        int r = kind->open(&uplinks->shared[at], &house);
        if (r < 0) {
            log_error("uplink %s: the kind \"%s\" cannot begin: %s", options->name, kind->name, strerror(-r));
            return r;
        }
    }
    return kind->create(&uplink->link, uplinks->shared[at], &house, options, &events, uplink);
}

static int uplink_init(struct uplink *uplink, struct uplinks *uplinks, const struct uplink_options *options)
{
    if (!name_is_valid(options->name) || find(uplinks, options->name)) {
        log_error("uplink \"%s\": expected a name of its own, 1 to %d characters without / + #",
                  options->name ? options->name : "", NAME_MAX_LEN);
        return -EINVAL;
    }
    int r = link_new(uplink, uplinks, options);
    if (r < 0)
        return r;
    uplink->uplinks = uplinks;
    uplink->name = str_copy(options->name);
    uplink->uri = str_copy(options->uri);
    uplink->status_topic = str_printf(TOPIC_STATUS_CLOUD_FORMAT, options->name);
    uplink_filters_init(&uplink->filters, uplink->link, uplink->name, on_settled);
    uplink->sender.deliver = on_message;
    uplink->asker.deliver = on_wanted;
    cleanup_free char *filter = str_printf(TOPIC_CLOUD_PUBLISH_FORMAT, options->name, "#");
    uplink->prefix_len = strlen(filter) - 1;
    bus_subscribe_to(uplinks->bus, &uplink->messages, &uplink->sender, filter);
    cleanup_free char *requests = str_printf(TOPIC_CLOUD_SUBSCRIBE_FORMAT, options->name, "+");
    uplink->request_prefix_len = strlen(requests) - 1;
    bus_subscribe_to(uplinks->bus, &uplink->requests, &uplink->asker, requests);
    bus_send_retained(uplinks->bus, &uplink->requests);
    return 0;
}

static void uplink_done(struct uplink *uplink)
{
    bus_unsubscribe(uplink->uplinks->bus, &uplink->messages);
    bus_unsubscribe(uplink->uplinks->bus, &uplink->requests);
    uplink->link = uplink->link->kind->free(uplink->link);
    uplink_filters_done(&uplink->filters);
    free(uplink->name);
    free(uplink->uri);
    free(uplink->status_topic);
}

int uplinks_new(struct uplinks **ret, struct bus *bus, const struct uplink_options *options, size_t count)
{
    cleanup(uplinks_free_p) struct uplinks *uplinks = mem_new(struct uplinks);
    uplinks->bus = bus;
    uplinks->all = mem_new_bytes((count + 1) * sizeof *uplinks->all);
    for (size_t i = 0; i < count; i++) {
        int r = uplink_init(&uplinks->all[i], uplinks, &options[i]);
        if (r < 0)
            return r;
        uplinks->count++;
    }
    uplinks->commands.deliver = on_command;
    bus_subscribe_to(bus, &uplinks->list, &uplinks->commands, TOPIC_CTL_UPLINK_LIST);
    bus_subscribe_to(bus, &uplinks->cut, &uplinks->commands, TOPIC_CTL_UPLINK_CUT);
    bus_subscribe_to(bus, &uplinks->restore, &uplinks->commands, TOPIC_CTL_UPLINK_RESTORE);
    for (size_t i = 0; i < count; i++) {
        say_state(&uplinks->all[i], CONNECTING, "");
        uplinks->all[i].link->kind->start(uplinks->all[i].link);
    }
    *ret = steal(uplinks);
    return 0;
}

struct uplinks *uplinks_free(struct uplinks *uplinks)
{
    if (!uplinks)
        return NULL;
    bus_unsubscribe(uplinks->bus, &uplinks->list);
    bus_unsubscribe(uplinks->bus, &uplinks->cut);
    bus_unsubscribe(uplinks->bus, &uplinks->restore);
    for (size_t i = 0; i < uplinks->count; i++) {
        uplink_filters_down(&uplinks->all[i].filters);
        say_state(&uplinks->all[i], DOWN, "the gateway stops");
        uplinks->all[i].link->kind->stop(uplinks->all[i].link);
    }
    for (size_t i = 0; i < uplinks->count; i++)
        uplink_done(&uplinks->all[i]);
    for (size_t i = 0; i < array_size(kinds); i++)
        if (uplinks->shared[i])
            kinds[i]->close(uplinks->shared[i]);
    free(uplinks->all);
    free(uplinks);
    return NULL;
}
