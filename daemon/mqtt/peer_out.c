/* What is sent: PUBLISH and acknowledgements, encoded straight into the connection's output. */
#include "mqtt/peer.h"

#include <string.h>

enum {
    COPY_MAX = 1024, /* bytes of payload that are copied rather than referenced */
    ALIAS_MIN = 4,   /* bytes of a topic that an alias is worth */
};

/* ---- acknowledgements -------------------------------------------------------------------------------------------- */

void peer_put_reason(struct wire_props *props, const char *why)
{
    props->reason_string = (struct wire_text){why, (uint16_t)strlen(why)};
    wire_set(props, WIRE_REASON_STRING);
}

static void send_ack_with_reason(struct peer *peer, struct wire_packet *packet, const char *why)
{
    peer_put_reason(&packet->props, why);
    size_t size = wire_size(packet);
    if (size > peer->packet_max) { /* [MQTT-3.4.2-2] */
        packet->props.present = 0;
        size = wire_size(packet);
    }
    uint8_t *out = conn_room(peer->conn, size);
    if (out)
        conn_wrote(peer->conn, wire_encode(out, size, packet));
}

void peer_send_ack(struct peer *peer, enum wire_type type, uint16_t packet_id, uint8_t reason,
                   const char *why)
{
    if (why && peer->version == WIRE_MQTT5 && peer->problem_info) {
        struct wire_packet packet = {
            .type = type, .version = peer->version, .packet_id = packet_id, .reason = reason};
        send_ack_with_reason(peer, &packet, why);
        return;
    }
    uint8_t *out = conn_room(peer->conn, WIRE_ACK_MAX);
    if (out)
        conn_wrote(peer->conn, wire_encode_ack(out, type, peer->version, packet_id, reason));
}

/* ---- PUBLISH ----------------------------------------------------------------------------------------------------- */

/* The client may know the topic by a number; true when it is told the number with this packet. */
static bool put_alias(struct peer *peer, const struct msg *msg, struct wire_packet *packet)
{
    bool known;
    uint16_t alias = aliases_send(&peer->aliases, peer->alias_max_out, msg->topic, msg->topic_len, &known);
    if (!alias)
        return false;
    packet->props.alias = alias;
    wire_set(&packet->props, WIRE_ALIAS);
    if (known)
        packet->topic.len = 0;
    return !known;
}

/* The bound that is cheap to have says it may be: is it really? */
static bool is_too_large(const struct peer *peer, const struct msg *msg, const struct wire_packet *packet,
                         size_t head_max)
{
    struct wire_packet whole = *packet;
    whole.payload = msg->payload;
    size_t id_at;
    cleanup_free uint8_t *head = malloc(head_max);
    size_t len = head ? wire_encode_publish_head(head, head_max, &whole, &id_at) : 0;
    return !len || len + msg->payload_len > peer->packet_max;
}

/* One PUBLISH to one client; false when it is larger than the client takes. */
static bool send_publish(struct peer *peer, struct msg *msg, struct wire_packet *packet, const uint32_t *ids,
                         unsigned id_count)
{
    packet->type = WIRE_PUBLISH;
    packet->version = peer->version;
    packet->topic = (struct wire_text){msg->topic, msg->topic_len};
    packet->payload_len = msg->payload_len;
    packet->props.present = 0;
    packet->props.extra = msg->props;
    packet->props.extra_len = msg->props_len;
    packet->props.ids = ids;
    packet->props.id_count = id_count;
    if (msg->expiry_s != MSG_NO_EXPIRY) { /* [MQTT-3.3.2-6] */
        packet->props.message_expiry = msg_expiry_left(msg, loop_now(peer->broker->loop));
        wire_set(&packet->props, WIRE_MESSAGE_EXPIRY);
    }
    bool tells = peer->alias_max_out && msg->topic_len >= ALIAS_MIN && put_alias(peer, msg, packet);

    size_t head_max = wire_publish_head_max(packet);
    if (head_max + msg->payload_len > peer->packet_max && is_too_large(peer, msg, packet, head_max)) {
        if (tells)
            aliases_take_back(peer->aliases);
        peer->broker->counters.dropped_too_large++;
        return false;
    }
    bool copy = msg->payload_len <= COPY_MAX;
    uint8_t *out = conn_room(peer->conn, head_max + (copy ? msg->payload_len : 0));
    if (!out)
        return true; /* the connection is going: what must be kept is under way in the session */
    size_t id_at;
    size_t len = wire_encode_publish_head(out, head_max, packet, &id_at);
    if (copy)
        memcpy(out + len, msg->payload, msg->payload_len);
    conn_wrote(peer->conn, len + (copy ? msg->payload_len : 0));
    if (!copy)
        conn_write_msg(peer->conn, msg, msg->payload, msg->payload_len);
    peer->broker->counters.sent++;
    return true;
}

void peer_send_qos0(struct peer *peer, struct msg *msg, const struct delivery *delivery)
{
    struct wire_packet packet;
    packet.qos = 0;
    packet.dup = false;
    packet.packet_id = 0;
    packet.retain = delivery->retain;
    (void)send_publish(peer, msg, &packet, delivery->ids, delivery->id_count);
}

bool peer_send_mail(struct peer *peer, const struct mail *mail, bool again)
{
    struct wire_packet packet;
    packet.qos = mail->qos;
    packet.dup = again; /* [MQTT-3.3.1-1] */
    packet.packet_id = mail->packet_id;
    packet.retain = mail->retain;
    return send_publish(peer, mail->msg, &packet, mail->ids, mail->id_count);
}
