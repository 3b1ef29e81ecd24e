/* SUBSCRIBE and UNSUBSCRIBE: one code per filter, in their order; SUBACK goes out before any retained message. */
#include "mqtt/peer.h"

#include "base/log.h"
#include "mqtt/durable.h"

#include <errno.h>
#include <string.h>

enum {
    FILTERS_MIN = 1024, /* in one packet, if a client may have fewer subscriptions */
    LOGGED_MAX = 16,    /* refusals of one packet that are logged one by one */
};

/* false: it is larger than the client takes [MQTT-3.1.2-24], and the connection ends. */
static bool send_codes(struct peer *peer, enum wire_type type, uint16_t packet_id, const uint8_t *codes,
                       size_t count)
{
    struct wire_packet packet = {.type = type,
                                 .version = peer->version,
                                 .packet_id = packet_id,
                                 .list = codes,
                                 .list_len = (uint32_t)count};
    size_t size = wire_size(&packet);
    if (size > peer->packet_max) {
        peer_close(peer, WIRE_TOO_LARGE, "its Maximum Packet Size is smaller than the answer to its packet");
        return false;
    }
    uint8_t *out = conn_room(peer->conn, size);
    if (out)
        conn_wrote(peer->conn, wire_encode(out, size, &packet));
    return true;
}

/* What the packet adds already, and how many of it have been refused. */
struct begun {
    size_t count, bytes, refused;
};

/* One that is as long as can be always fits. */
static size_t filter_bytes_max(const struct broker_options *options)
{
    return UINT16_MAX + (size_t)options->subscriptions_max * BROKER_FILTER_BYTES;
}

/* What is said for a filter: 0 or a reason. 3.1.1 knows only 0x80. */
static uint8_t judge(struct peer *peer, const struct wire_filter *filter, const struct begun *begun)
{
    const struct broker_options *options = &peer->broker->options;
    struct wire_text name, inner = filter->filter;
    if (wire_filter_is_shared(filter->filter.text, filter->filter.len, &name, &inner) &&
        !wire_filter_is_valid(filter->filter.text, filter->filter.len)) /* [MQTT-4.8.2-1, -2] */
        return WIRE_FILTER_INVALID;
    if (peer_topic_is_too_large(peer, inner))
        return WIRE_FILTER_INVALID;

    struct wire_text asked =
        peer->principal->permit ? filter->filter : inner; /* policies speak of $share/…, too */
    if (!policy_allows(peer->principal, POLICY_SUBSCRIBE, asked.text, asked.len)) {
        peer_note_refusal(peer, "refused/subscribe", asked, "not authorized to subscribe there");
        return WIRE_NOT_AUTHORIZED;
    }
    const struct map *subscriptions = &peer->session->subscriptions;
    size_t bytes = peer->session->filter_bytes + begun->bytes + filter->filter.len;
    bool fits = subscriptions->count + begun->count < options->subscriptions_max &&
                bytes <= filter_bytes_max(options);
    if (!fits &&
        !map_get(subscriptions, filter->filter.text, filter->filter.len)) /* replacing one adds none */
        return WIRE_QUOTA_EXCEEDED;
    return 0;
}

/* A SUBSCRIBE while its subscriptions are on their way to the disk. */
struct wanted {
    struct map_key key; /* the filter, in take_effect() */
    char *filter;
    size_t len;
    struct subscription options;
    struct subscription *replay; /* gets the retained messages; NULL: it does not */
    uint8_t code;                /* what is said: the QoS, or why not */
    bool refused;
    uint8_t retain_handling;
};

struct subscribing {
    struct control control;
    struct broker *broker;
    struct session *session; /* of one that is not durable, which ends with its peer */
    uint64_t number;
    uint16_t packet_id;
    size_t count;
    struct wanted wanted[];
};

/* The session is asked for by its number: it may have ended meanwhile. */
static struct session *session_of(const struct subscribing *subscribing)
{
    return subscribing->number ? durable_find(subscribing->broker->durable, subscribing->number)
                               : subscribing->session;
}

static bool wants_retained(const struct subscribing *subscribing, const struct wanted *wanted, bool is_new)
{
    /* Retain Handling: 0 always, 1 only for a new subscription, 2 never; 3.1.1 always. [MQTT-3.3.1-9 to -11] */
    if (wanted->retain_handling > 1 || (wanted->retain_handling == 1 && !is_new))
        return false;
    bool is_pattern = memchr(wanted->filter, '+', wanted->len) || memchr(wanted->filter, '#', wanted->len);
    return !(is_pattern && subscribing->broker->options.no_retained_by_wildcard);
}

/* The same filter may stand in one packet twice: as if in two, but what is retained comes once, by the last. */
static void take_effect(struct session *session, struct subscribing *subscribing)
{
    struct map seen = {0};
    for (size_t i = 0; i < subscribing->count; i++) {
        struct wanted *wanted = &subscribing->wanted[i];
        if (wanted->refused)
            continue;
        struct subscription *subscription;
        bool is_new =
            session_subscribe(session, wanted->filter, wanted->len, &wanted->options, &subscription);
        if (wants_retained(subscribing, wanted, is_new))
            wanted->replay = subscription;
        if (subscribing->count == 1)
            return;
        struct map_key *before = is_new ? NULL : map_get(&seen, wanted->filter, wanted->len);
        if (before) {
            struct wanted *first = container_of(before, struct wanted, key);
            wanted->replay = first->replay ? subscription : wanted->replay;
            first->replay = NULL;
            map_remove(&seen, before);
        }
        wanted->key = (struct map_key){.text = wanted->filter, .len = (uint32_t)wanted->len};
        map_put(&seen, &wanted->key);
    }
    map_done(&seen);
}

static void tell_subscribed(struct peer *peer, const struct subscribing *subscribing)
{
    cleanup_free const char **filters = mem_new_bytes(subscribing->count * sizeof *filters);
    size_t count = 0;
    for (size_t i = 0; i < subscribing->count; i++)
        if (!subscribing->wanted[i].refused)
            filters[count++] = subscribing->wanted[i].filter;
    if (count)
        presence_subscribed(peer, filters, count);
}

static void on_subscribed(struct control *control, int r)
{
    struct subscribing *subscribing = container_of(control, struct subscribing, control);
    struct session *session = session_of(subscribing);
    struct peer *peer = control->peer;
    if (session && r == 0)
        take_effect(session, subscribing);
    if (peer && r == 0)
        tell_subscribed(peer, subscribing);
    if (peer) {
        cleanup_free uint8_t *codes = mem_new_bytes(subscribing->count);
        for (size_t i = 0; i < subscribing->count; i++)
            codes[i] = r == 0 || subscribing->wanted[i].refused ? subscribing->wanted[i].code : 0x80;
        bool sent = send_codes(peer, WIRE_SUBACK, subscribing->packet_id, codes, subscribing->count);
        for (size_t i = 0; sent && i < subscribing->count; i++)
            if (subscribing->wanted[i].replay)
                bus_send_retained(subscribing->broker->bus, subscribing->wanted[i].replay);
    }
    for (size_t i = 0; i < subscribing->count; i++)
        free(subscribing->wanted[i].filter);
    free(subscribing);
}

static void want(struct peer *peer, struct wanted *wanted, const struct wire_packet *packet,
                 const struct wire_filter *filter, struct begun *begun)
{
    const struct broker_options *options = &peer->broker->options;
    uint8_t reason = judge(peer, filter, begun);
    uint8_t qos = filter->qos < options->qos_max ? filter->qos : options->qos_max;
    wanted->code = qos;
    if (reason) {
        refusals_count(&peer->broker->refusals, REFUSED_SUBSCRIBE, reason);
        if (begun->refused++ < LOGGED_MAX)
            log_info("%s: SUBSCRIBE to %.*s refused: %s", peer_name(peer), filter->filter.len,
                     filter->filter.text, wire_reason_text(reason));
        wanted->code = peer->version == WIRE_MQTT5 ? reason : 0x80;
        wanted->refused = true;
        return;
    }
    wanted->filter = str_copy_n(filter->filter.text, filter->filter.len);
    wanted->len = filter->filter.len;
    wanted->retain_handling = filter->retain_handling;
    wanted->options = (struct subscription){
        .qos = qos,
        .no_local = filter->no_local,
        .no_parent = options->no_parent,
        .retain_as_published = filter->retain_as_published,
        .id = wire_has(&packet->props, WIRE_SUBSCRIPTION_ID) ? packet->props.subscription_id : 0,
    };
}

/* How many filters there are, or why none of them is looked at: then 0 and the fault in *r. */
static size_t count_filters(struct peer *peer, const struct wire_packet *packet, int *r)
{
    struct wire_filter filter;
    struct wire_text name, inner;
    size_t count = 0, most = size_max(FILTERS_MIN, peer->broker->options.subscriptions_max);
    *r = 0;
    for (uint32_t at = 0; wire_filter_next(packet, &at, &filter); count++) {
        bool shared = wire_filter_is_shared(filter.filter.text, filter.filter.len, &name, &inner);
        if (count == most)
            *r = peer_fault(peer, WIRE_IMPLEMENTATION_ERROR,
                            "more topic filters in one packet than a client may have subscriptions");
        else if (wire_has(&packet->props, WIRE_SUBSCRIPTION_ID) && peer->broker->options.no_subscription_ids)
            *r = peer_fault(peer, WIRE_SUBSCRIPTION_IDS_UNSUPPORTED, "a Subscription Identifier");
        else if (shared && filter.no_local) /* [MQTT-3.8.3-4] */
            *r = peer_fault(peer, WIRE_PROTOCOL_ERROR, "No Local on a shared subscription");
        if (*r < 0)
            return 0;
    }
    return count;
}

/* What came before in the same piece is delivered first, to those who were subscribed then. That may end the connection. */
static int route_before(struct peer *peer)
{
    bus_route(peer->broker->bus);
    return peer->state == PEER_CONNECTED ? 0 : -EPIPE;
}

int peer_on_subscribe(struct peer *peer, const struct wire_packet *packet)
{
    int r = route_before(peer);
    if (r < 0)
        return r;

    size_t count = count_filters(peer, packet, &r);
    if (r < 0)
        return r;
    struct subscribing *subscribing =
        mem_new_bytes(sizeof *subscribing + count * sizeof subscribing->wanted[0]);
    subscribing->broker = peer->broker;
    subscribing->session = peer->session;
    subscribing->number = peer->session->disk ? peer->session->disk->number : 0;
    subscribing->packet_id = packet->packet_id;
    peer_control_begin(peer, &subscribing->control, on_subscribed);
    struct wire_filter filter;
    struct begun begun = {0};

    for (uint32_t at = 0; wire_filter_next(packet, &at, &filter);) {
        struct wanted *wanted = &subscribing->wanted[subscribing->count++];
        want(peer, wanted, packet, &filter, &begun);
        if (subscribing->count > peer->broker->options.filters_max && !wanted->refused) {
            wanted->refused = true;
            wanted->code = peer->version == WIRE_MQTT5 ? WIRE_QUOTA_EXCEEDED : 0x80;
        }

        if (!wanted->refused && !map_get(&peer->session->subscriptions, wanted->filter, wanted->len)) {
            begun.count++;
            begun.bytes += wanted->len;
        }

        if (subscribing->number && !wanted->refused)
            durable_subscribe(peer->broker->durable, subscribing->number, wanted->filter, wanted->len,
                              &wanted->options, &subscribing->control.receipt);
    }
    if (begun.refused > LOGGED_MAX)
        log_info("%s: SUBSCRIBE to %zu more refused", peer_name(peer), begun.refused - LOGGED_MAX);
    peer_control_wait(&subscribing->control);
    return 0;
}

/* An UNSUBSCRIBE takes effect at once; only its answer waits for the disk. */
struct unsubscribing {
    struct control control;
    uint16_t packet_id;
    size_t count;
    uint8_t codes[];
};

static void on_unsubscribed(struct control *control, int r)
{
    struct unsubscribing *unsubscribing = container_of(control, struct unsubscribing, control);
    for (size_t i = 0; r < 0 && i < unsubscribing->count; i++)
        unsubscribing->codes[i] = WIRE_UNSPECIFIED;
    if (control->peer)
        (void)send_codes(control->peer, WIRE_UNSUBACK, unsubscribing->packet_id, unsubscribing->codes,
                         unsubscribing->count);
    free(unsubscribing);
}

int peer_on_unsubscribe(struct peer *peer, const struct wire_packet *packet)
{
    int r = route_before(peer);
    if (r < 0)
        return r;

    size_t count = count_filters(peer, packet, &r);
    if (r < 0)
        return r;
    struct session *session = peer->session;
    struct unsubscribing *unsubscribing = mem_new_bytes(sizeof *unsubscribing + count);
    unsubscribing->packet_id = packet->packet_id;
    peer_control_begin(peer, &unsubscribing->control, on_unsubscribed);
    struct wire_filter filter;
    for (uint32_t at = 0; wire_filter_next(packet, &at, &filter);) {
        struct wire_text text = filter.filter;
        bool existed = session_unsubscribe(session, text.text, text.len);
        unsubscribing->codes[unsubscribing->count++] = existed ? WIRE_SUCCESS : WIRE_NO_SUBSCRIPTION_EXISTED;
        if (session->disk) /* even then: an earlier UNSUBSCRIBE may not have reached the disk */
            durable_unsubscribe(peer->broker->durable, session->disk->number, text.text, text.len,
                                &unsubscribing->control.receipt);
    }
    presence_unsubscribed(peer, packet);
    peer_control_wait(&unsubscribing->control);
    return 0;
}
