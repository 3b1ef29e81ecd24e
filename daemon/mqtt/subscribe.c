/* SUBSCRIBE and UNSUBSCRIBE: one code per filter, in their order; SUBACK goes out before any retained message. */
#include "mqtt/peer.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

enum { FILTERS_MAX = 1024 /* in one packet */ };

static void send_codes(struct peer *peer, enum wire_type type, uint16_t packet_id, const uint8_t *codes,
                       size_t count)
{
    struct wire_packet packet = {.type = type,
                                 .version = peer->version,
                                 .packet_id = packet_id,
                                 .list = codes,
                                 .list_len = (uint32_t)count};
    size_t size = count + 16;
    uint8_t *out = conn_room(peer->conn, size);
    if (out)
        conn_wrote(peer->conn, wire_encode(out, size, &packet));
}

/* What is said for a filter: 0 or a reason. 3.1.1 knows only 0x80. */
static uint8_t judge(struct peer *peer, const struct wire_filter *filter)
{
    const struct broker_options *options = &peer->broker->options;
    struct wire_text name, inner = filter->filter;
    if (wire_filter_is_shared(filter->filter.text, filter->filter.len, &name, &inner) &&
        !wire_filter_is_valid(filter->filter.text, filter->filter.len)) /* [MQTT-4.8.2-1, -2] */
        return WIRE_FILTER_INVALID;
    unsigned levels = 1;
    for (uint16_t i = 0; i < inner.len; i++)
        levels += inner.text[i] == '/';
    if (levels > options->topic_levels_max)
        return WIRE_FILTER_INVALID;
    if (!policy_allows(peer->principal, POLICY_SUBSCRIBE, inner.text, inner.len)) {
        peer->broker->counters.unauthorized++;
        return WIRE_NOT_AUTHORIZED;
    }
    if (peer->session->subscriptions.count >= options->subscriptions_max)
        return WIRE_QUOTA_EXCEEDED;
    return 0;
}

int peer_on_subscribe(struct peer *peer, const struct wire_packet *packet)
{
    uint8_t codes[FILTERS_MAX];
    struct subscription *replay[FILTERS_MAX];
    size_t count = 0, replays = 0;
    struct wire_filter filter;
    for (uint32_t at = 0; wire_filter_next(packet, &at, &filter); count++) {
        if (count == FILTERS_MAX)
            return peer_fault(peer, WIRE_IMPLEMENTATION_ERROR, "too many topic filters in one SUBSCRIBE");
        struct wire_text name, inner;
        if (filter.no_local &&
            wire_filter_is_shared(filter.filter.text, filter.filter.len, &name, &inner)) /* [MQTT-3.8.3-4] */
            return peer_fault(peer, WIRE_PROTOCOL_ERROR, "No Local on a shared subscription");
        uint8_t reason = judge(peer, &filter);
        if (reason) {
            log_info("%s: SUBSCRIBE to %.*s refused: %s", peer_name(peer), filter.filter.len,
                     filter.filter.text, wire_reason_text(reason));
            codes[count] = peer->version == WIRE_MQTT5 ? reason : 0x80;
            continue;
        }
        struct subscription options = {
            .qos = filter.qos,
            .no_local = filter.no_local,
            .retain_as_published = filter.retain_as_published,
            .id = wire_has(&packet->props, WIRE_SUBSCRIPTION_ID) ? packet->props.subscription_id : 0,
        };
        struct subscription *subscription;
        bool is_new =
            session_subscribe(peer->session, filter.filter.text, filter.filter.len, &options, &subscription);
        codes[count] = filter.qos;
        /* Retain Handling: 0 always, 1 only for a new subscription, 2 never; 3.1.1 always. [MQTT-3.3.1-9 to -11] */
        for (size_t i = 0; i < replays; i++) /* the same filter twice in one packet */
            if (replay[i] == subscription)
                replay[i] = NULL;
        if (filter.retain_handling == 0 || (filter.retain_handling == 1 && is_new))
            replay[replays++] = subscription;
    }
    send_codes(peer, WIRE_SUBACK, packet->packet_id, codes, count);
    for (size_t i = 0; i < replays; i++)
        if (replay[i])
            bus_send_retained(peer->broker->bus, replay[i]);
    return 0;
}

int peer_on_unsubscribe(struct peer *peer, const struct wire_packet *packet)
{
    uint8_t codes[FILTERS_MAX];
    size_t count = 0;
    struct wire_filter filter;
    for (uint32_t at = 0; wire_filter_next(packet, &at, &filter); count++) {
        if (count == FILTERS_MAX)
            return peer_fault(peer, WIRE_IMPLEMENTATION_ERROR, "too many topic filters in one UNSUBSCRIBE");
        bool existed = session_unsubscribe(peer->session, filter.filter.text, filter.filter.len);
        codes[count] = existed ? WIRE_SUCCESS : WIRE_NO_SUBSCRIPTION_EXISTED;
    }
    send_codes(peer, WIRE_UNSUBACK, packet->packet_id, codes, count);
    return 0;
}
