/* PUBLISH in both directions, and everything that acknowledges one.
 *
 * In: a QoS 1 or 2 message has a struct ack with its receipt. Acknowledgements go out in the order the messages came
 * [MQTT-4.6.0-2, -3]: an ack that settles early waits in the session's list for those before it.
 *
 *      session->traffic->acks   [settled] [settled] [waits] [settled]
 *                       sent      sent      ▲ up to here
 */
#include "mqtt/peer.h"

#include "base/log.h"
#include "mqtt/durable.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { UNRELEASED_MAX = 4096 /* QoS 2 messages of a client: each new one is looked for among them */ };

/* ---- in: acknowledging ------------------------------------------------------------------------------------------- */

static uint8_t reason_of(int r)
{
    if (r > 0)
        return (uint8_t)r;
    if (r == -EMSGSIZE)
        return WIRE_IMPLEMENTATION_ERROR; /* it is valid, and will never be taken */
    return r == -ENOSPC || r == -EDQUOT || r == -ENOMEM ? WIRE_QUOTA_EXCEEDED : WIRE_UNSPECIFIED;
}

static const char *why_not_kept(int r)
{
    return r == -EMSGSIZE ? "a message that is to be stored has at most 16 MiB"
                          : "a message could not be kept";
}

/* 3.1.1 has no word for "not kept": the connection is closed without one, and the client sends the message again. */
static void answer(struct peer *peer, const struct ack *ack)
{
    if (ack->r == 0) {
        peer_send_ack(peer, ack->type, ack->packet_id, WIRE_SUCCESS, NULL);
        return;
    }
    uint8_t reason = reason_of(ack->r);
    refusals_count(&peer->broker->refusals, REFUSED_PUBLISH, reason);
    if (peer->version == WIRE_MQTT5)
        peer_send_ack(peer, ack->type, ack->packet_id, reason, ack->r < 0 ? why_not_kept(ack->r) : NULL);
    else
        peer_close(peer, 0, ack->r < 0 ? why_not_kept(ack->r) : wire_reason_text(reason));
}

/* After a reconnect the client may finish what it began before, which was not counted. */
static void less_under_way(struct peer *peer)
{
    if (peer->under_way)
        peer->under_way--;
}

static void ack_done(struct ack *ack)
{
    list_remove(&ack->link);
    slab_give(ack);
}

/* Sends what is settled at the front of the list. */
static void send_settled(struct session *session)
{
    while (!list_is_empty(&session->traffic->acks)) {
        struct ack *ack = list_entry(session->traffic->acks.next, struct ack, link);
        if (!ack->settled)
            return;
        struct peer *peer = ack->peer;
        if (peer) {
            peer->unsettled--;
            if (ack->type == WIRE_PUBACK || ack->r != 0)
                less_under_way(peer);
            ack->peer = NULL;
            answer(peer, ack); /* may end the connection, and with it the session and
                            its list */
            if (!peer->session)
                return;
            peer_resume_if_possible(peer);
        }
        ack_done(ack);
    }
}

/* A QoS 2 message that nobody durable gets: its packet id is kept all the same, or a repetition would not be known
 * after a restart. */
static bool keep_id(struct session *session, struct ack *ack)
{
    struct received *received = session_received(session, ack->packet_id);
    if (!session->disk || !received || received->spooled)
        return false;
    received->spooled = spool_taken(durable_spool(session->broker->durable), session->disk->number,
                                    ack->packet_id, &ack->receipt);
    return true;
}

/* A message that somebody refused, when its packet id is on disk already: it is free when that is not so any more. */
static bool give_up_id(struct session *session, struct ack *ack)
{
    struct received *received = session_received(session, ack->packet_id);
    if (!received || !received->spooled || received->releasing || !spool_has_taken(received->spooled))
        return false;
    received->releasing = true;
    spool_released(durable_spool(session->broker->durable), received->spooled, &ack->receipt);
    return true;
}

static void on_settled(struct receipt *receipt, int r)
{
    struct ack *ack = container_of(receipt, struct ack, receipt);
    struct session *session = ack->session;
    if (!session) {
        slab_give(ack);
        return;
    }
    if (ack->r == 0)
        ack->r = r; /* the first refusal is the answer */
    if (ack->type == WIRE_PUBREC) {
        receipt_init(receipt, on_settled);
        if (ack->r == 0 ? keep_id(session, ack) : give_up_id(session, ack))
            return;
    }
    r = ack->r;
    ack->settled = true;
    if (r != 0 && ack->type == WIRE_PUBREC)
        session_forget_received(session, ack->packet_id); /* it was not taken: the id is free again */
    if (!ack->peer)
        ack_done(ack);
    else
        send_settled(session);
}

static struct ack *find_ack(struct session *session, uint16_t packet_id)
{
    list_for_each (link, &session->traffic->acks) {
        struct ack *ack = list_entry(link, struct ack, link);
        if (ack->packet_id == packet_id && ack->type == WIRE_PUBREC)
            return ack;
    }
    return NULL;
}

static struct ack *ack_new(struct session *session, struct list *list, enum wire_type type,
                           uint16_t packet_id, void (*settled)(struct receipt *receipt, int r))
{
    struct ack *ack = slab_take(&session->broker->acks);
    receipt_init(&ack->receipt, settled);
    ack->session = session;
    ack->peer = session->peer;
    ack->packet_id = packet_id;
    ack->type = type;
    list_append(list, &ack->link);
    return ack;
}

static struct receipt *receipt_of(struct peer *peer, const struct wire_packet *packet)
{
    if (!packet->qos)
        return &peer->flow;
    peer->unsettled++;
    peer->under_way++;
    return &ack_new(peer->session, &session_traffic(peer->session)->acks,
                    packet->qos == 1 ? WIRE_PUBACK : WIRE_PUBREC, packet->packet_id, on_settled)
                ->receipt;
}

/* A QoS 2 message that we have: it is not published again [MQTT-4.3.3-10]. */
static int on_repeated(struct peer *peer, uint16_t packet_id)
{
    struct ack *ack = find_ack(peer->session, packet_id);
    if (!ack) {
        peer_send_ack(peer, WIRE_PUBREC, packet_id, WIRE_SUCCESS, NULL);
        return 0;
    }
    if (!ack->peer) { /* it settles for this connection now */
        ack->peer = peer;
        peer->unsettled++;
        peer->under_way++;
    }
    return 0;
}

/* ---- in: publishing ---------------------------------------------------------------------------------------------- */

/* Replaces an alias by its topic, or learns it. */
static int resolve_alias(struct peer *peer, const struct wire_packet *packet, struct wire_text *topic)
{
    if (!wire_has(&packet->props, WIRE_ALIAS))
        return 0;
    if (packet->props.alias > peer->alias_max_in)
        return peer_fault(peer, WIRE_ALIAS_INVALID, "a topic alias above the maximum"); /* [MQTT-3.3.2-9] */
    if (aliases_receive(&peer->aliases, peer->alias_max_in, packet->props.alias, topic))
        return 0;
    return peer_fault(peer, WIRE_PROTOCOL_ERROR, "a topic alias that was never set");
}

bool peer_topic_is_too_large(const struct peer *peer, struct wire_text topic)
{
    const struct broker_options *options = &peer->broker->options;
    if (topic.len > options->topic_len_max)
        return true;
    if (topic.len < options->topic_levels_max) /* no level is shorter than its slash */
        return false;
    unsigned levels = 1;
    for (const char *at = topic.text, *end = at + topic.len; (at = memchr(at, '/', (size_t)(end - at))); at++)
        levels++;
    return levels > options->topic_levels_max;
}

bool peer_topic_is_the_brokers(struct wire_text topic)
{
    static const char sys[] = "$SYS";
    size_t len = sizeof sys - 1;
    return topic.len >= len && memcmp(topic.text, sys, len) == 0 &&
           (topic.len == len || topic.text[len] == '/');
}

/* Why it is not taken; 0: it is. */
static uint8_t judge(struct peer *peer, const struct wire_packet *packet, struct wire_text topic,
                     const char **why)
{
    const struct broker_options *options = &peer->broker->options;
    *why = "not authorized to publish there";
    if (!policy_allows(peer->principal, POLICY_PUBLISH, topic.text, topic.len)) {
        peer_note_refusal(peer, "refused/publish", topic, *why);
        return WIRE_NOT_AUTHORIZED;
    }
    if (packet->retain && !policy_allows(peer->principal, POLICY_RETAIN, topic.text, topic.len)) {
        *why = "not authorized to retain a message there";
        peer_note_refusal(peer, "refused/retain", topic, *why);
        return WIRE_NOT_AUTHORIZED;
    }
    struct wire_text answer = packet->props.response_topic;
    if (wire_has(&packet->props, WIRE_RESPONSE_TOPIC) &&
        !principal_may_be_answered(peer->principal, answer.text, answer.len)) {
        *why = "not authorized to be answered there";
        peer_note_refusal(peer, "refused/answer", answer, *why);
        return WIRE_NOT_AUTHORIZED;
    }
    *why = "the topic is too long or has too many levels";
    if (peer_topic_is_too_large(peer, topic))
        return WIRE_TOPIC_INVALID;
    *why = "$SYS is the broker's own";
    if (peer_topic_is_the_brokers(topic))
        return WIRE_TOPIC_INVALID;
    *why = "RETAIN on a topic that begins with $";
    return packet->retain && options->no_retain_on_dollar && *topic.text == '$' ? WIRE_TOPIC_INVALID : 0;
}

/* Refuses a PUBLISH in the words its version and QoS have. */
static int refuse_publish(struct peer *peer, const struct wire_packet *packet, uint8_t reason,
                          const char *why)
{
    refusals_count(&peer->broker->refusals, REFUSED_PUBLISH, reason);
    if (packet->qos == 2)
        session_forget_received(peer->session, packet->packet_id);
    if (peer->version == WIRE_MQTT5 && packet->qos) {
        log_info("%s: PUBLISH on %.*s refused: %s", peer_name(peer), packet->topic.len, packet->topic.text,
                 why);
        peer_send_ack(peer, packet->qos == 1 ? WIRE_PUBACK : WIRE_PUBREC, packet->packet_id, reason, why);
        return 0;
    }
    peer_close(peer, reason, why);
    return -EACCES;
}

/* Made with the first message; who only listens has none. */
static struct publisher *publisher_of(struct peer *peer)
{
    const struct map_key *id = &peer->session->key;
    if (!peer->publisher)
        peer->publisher = publisher_new(id->text, id->len, principal_proven_name(peer->principal));
    return peer->publisher;
}

int peer_on_publish(struct peer *peer, const struct wire_packet *packet)
{
    struct broker *broker = peer->broker;
    struct wire_text topic = packet->topic;
    const char *why;
    broker->counters.received++;
    int r = peer->version == WIRE_MQTT5 ? resolve_alias(peer, packet, &topic) : 0;
    if (r < 0)
        return r;
    if (packet->qos > broker->options.qos_max) /* [MQTT-3.2.2-11] */
        return peer_fault(peer, WIRE_QOS_UNSUPPORTED, "a QoS above the maximum");
    if (peer->version == WIRE_MQTT5 && packet->qos && peer->under_way >= broker->options.inflight_max)
        return peer_fault(peer, WIRE_RECEIVE_MAX_EXCEEDED,
                          "more messages unacknowledged than Receive Maximum");
    if (packet->qos == 2 && session_unreleased(peer->session) >= UNRELEASED_MAX &&
        !session_received(peer->session, packet->packet_id))
        return peer_fault(peer, WIRE_QUOTA_EXCEEDED, "too many QoS 2 messages that it has not released");
    bool again = packet->qos == 2 && !session_receive(peer->session, packet->packet_id);

    struct received *received = again ? session_received(peer->session, packet->packet_id) : NULL;
    if (again && !received->is_uncertain)
        return on_repeated(peer, packet->packet_id);
    uint8_t reason = judge(peer, packet, topic, &why);
    if (reason)
        return again ? on_repeated(peer, packet->packet_id) : refuse_publish(peer, packet, reason, why);

    cleanup(msg_unref_p) struct msg *msg =
        peer_msg_of(peer, topic, &packet->props, packet->payload, packet->payload_len);
    if (!msg)
        return refuse_publish(peer, packet, WIRE_QUOTA_EXCEEDED, "no memory for the message");
    msg->qos = packet->qos;
    msg->retain = packet->retain;
    msg->origin = peer->session->subscriber.origin;
    msg->from = publisher_ref(publisher_of(peer));
    if (packet->qos == 2 && peer->session->disk)
        msg->packet_id = packet->packet_id;
    if (again) { /* the rest of what the restart interrupted */
        msg->is_repetition = true;
        received->is_uncertain = false;
    }
    bus_publish(broker->bus, msg, receipt_of(peer, packet));
    peer_pause_if_needed(peer);
    return 0;
}

/* ---- promises: what is sent when something is on disk ------------------------------------------------------------ */

static void on_promise_settled(struct receipt *receipt, int r)
{
    struct ack *ack = container_of(receipt, struct ack, receipt);
    struct session *session = ack->session;
    struct peer *peer = ack->peer;
    if (session && ack->type == WIRE_PUBREL)
        session_received_is_kept(session, ack->packet_id, r == 0);
    else if (session)
        session_released_is_kept(session, ack->packet_id, r == 0);
    if (peer && r == 0)
        peer_send_ack(peer, ack->type, ack->packet_id, WIRE_SUCCESS, NULL);
    if (peer && ack->type == WIRE_PUBCOMP)
        less_under_way(peer);

    ack_done(ack);
    if (peer && r < 0) /* it asks again when it is back */
        peer_close(peer, WIRE_UNSPECIFIED, "an acknowledgement could not be kept");
}

struct ack *session_promise(struct session *session, uint8_t type, uint16_t packet_id)
{
    return ack_new(session, &session->traffic->promises, type, packet_id, on_promise_settled);
}

void session_promise_again(struct session *session, uint8_t type, uint16_t packet_id)
{
    list_for_each (link, &session->traffic->promises) {
        struct ack *ack = list_entry(link, struct ack, link);
        if (ack->type == type && ack->packet_id == packet_id)
            ack->peer = session->peer;
    }
}

/* ---- acknowledgements from the client, and its PUBREL ------------------------------------------------------------ */

static void on_pubrel(struct peer *peer, uint16_t packet_id)
{
    struct session *session = peer->session;
    struct received *received = session_received(session, packet_id);
    if (received && received->releasing) { /* it is answered when that is on disk */
        session_promise_again(session, WIRE_PUBCOMP, packet_id);
        return;
    }
    if (received && received->spooled) {
        received->releasing = true;
        spool_released(durable_spool(session->broker->durable), received->spooled,
                       &session_promise(session, WIRE_PUBCOMP, packet_id)->receipt);
        return;
    }
    if (received)
        less_under_way(peer);
    session_forget_received(session, packet_id);
    peer_send_ack(peer, WIRE_PUBCOMP, packet_id,
                  received || peer->version != WIRE_MQTT5 ? WIRE_SUCCESS : WIRE_ID_NOT_FOUND, NULL);
}

int peer_on_ack(struct peer *peer, const struct wire_packet *packet)
{
    struct session *session = peer->session;
    uint16_t id = packet->packet_id;
    switch (packet->type) {
    case WIRE_PUBACK: (void)session_puback(session, id); return 0;
    case WIRE_PUBREC:
        if (!session_pubrec(session, id, packet->reason < 0x80) &&
            packet->reason < 0x80) /* else that was its end [MQTT-4.3.3-4] */
            peer_send_ack(peer, WIRE_PUBREL, id,
                          peer->version == WIRE_MQTT5 ? WIRE_ID_NOT_FOUND : WIRE_SUCCESS, NULL);
        return 0;
    case WIRE_PUBREL: on_pubrel(peer, id); return 0;
    case WIRE_PUBCOMP: (void)session_pubcomp(session, id); return 0;
    default: return peer_fault(peer, WIRE_PROTOCOL_ERROR, "not an acknowledgement");
    }
}
