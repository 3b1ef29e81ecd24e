/* What comes from the server: packets are taken off the front of `in` one by one, as long as `out` has room for the
 * acknowledgement that each may want, and end in an event, an acknowledgement, or a connection that is lost. */
#include "wire/client_inside.h"

#include <string.h>

/* ---- connecting ------------------------------------------------------------------------------------------------------ */

/* Without its session the server does not know what was under way: a PUBLISH goes out as new, and what was only still to
 * be completed is complete. */
static void begin_anew(struct wire_client *client)
{
    client->received_count = 0;
    for (uint16_t i = 0; i < client->config.slot_count; i++) {
        struct wire_slot *slot = &client->config.slots[i];
        if (!slot->len)
            continue;
        slot->buffer[0] &= (uint8_t)~8;
        if (slot->released)
            client_free_slot(client, slot, WIRE_SUCCESS);
    }
}

static void on_connack(struct wire_client *client, const struct wire_packet *packet)
{
    if (packet->reason) {
        client_lose(client, WIRE_LOST_REFUSED,
                    client_version(client) == WIRE_MQTT5 ? packet->reason
                                                         : wire_connack_reason(packet->reason));
        return;
    }
    if (packet->session_present && client->config.connect.clean_start) {
        client_lose(client, WIRE_LOST_PROTOCOL, WIRE_PROTOCOL_ERROR); /* [MQTT-3.2.2-2, -4] */
        return;
    }
    const struct wire_props *props = &packet->props;
    client->window = wire_has(props, WIRE_RECEIVE_MAX) ? props->receive_max : UINT16_MAX;
    client->packet_max = wire_has(props, WIRE_PACKET_MAX) ? props->packet_max : UINT32_MAX;
    if (wire_has(props, WIRE_SERVER_KEEPALIVE))
        client->keepalive = (uint32_t)props->server_keepalive * 1000; /* [MQTT-3.2.2-21] */
    for (uint16_t i = 0; i < client->config.slot_count; i++)
        client->config.slots[i].resend = true;
    if (!packet->session_present)
        begin_anew(client);
    client->state = WIRE_CLIENT_UP;
    if (client->config.events.connected)
        client->config.events.connected(client, packet->session_present);
    client_send_slots(client);
}

/* ---- messages and acknowledgements ------------------------------------------------------------------------------------ */

static bool remember(struct wire_client *client, uint16_t packet_id, bool *known)
{
    for (uint16_t i = 0; i < client->received_count; i++)
        if (client->config.received[i] == packet_id) {
            *known = true;
            return true;
        }
    *known = false;
    if (client->received_count == client->config.received_size)
        return false;
    client->config.received[client->received_count++] = packet_id;
    return true;
}

static bool forget(struct wire_client *client, uint16_t packet_id)
{
    for (uint16_t i = 0; i < client->received_count; i++)
        if (client->config.received[i] == packet_id) {
            client->config.received[i] = client->config.received[--client->received_count];
            return true;
        }
    return false;
}

static bool hand_over(struct wire_client *client, const struct wire_packet *packet)
{
    return !client->config.events.message || client->config.events.message(client, packet);
}

static void on_publish(struct wire_client *client, const struct wire_packet *packet)
{
    bool known;
    if (wire_has(&packet->props, WIRE_ALIAS)) { /* we offer none */
        client_lose(client, WIRE_LOST_PROTOCOL, WIRE_ALIAS_INVALID);
        return;
    }
    switch (packet->qos) {
    case 0: (void)hand_over(client, packet); break;
    case 1:
        if (hand_over(client, packet))
            client_put_ack(client, WIRE_PUBACK, packet->packet_id, WIRE_SUCCESS);
        break;
    default:
        if (!remember(client, packet->packet_id, &known)) {
            client_lose(client, WIRE_LOST_PROTOCOL, WIRE_RECEIVE_MAX_EXCEEDED);
            return;
        }
        if (!known)
            (void)hand_over(client, packet);
        client_put_ack(client, WIRE_PUBREC, packet->packet_id, WIRE_SUCCESS);
        break;
    }
}

void wire_client_acknowledge(struct wire_client *client, uint16_t packet_id, uint8_t reason)
{
    if (client->state == WIRE_CLIENT_UP)
        client_put_ack(client, WIRE_PUBACK, packet_id, reason);
}

/* The slot that an acknowledgement is for: of this QoS, and sent on this connection. */
static struct wire_slot *acknowledged(struct wire_client *client, uint16_t packet_id, uint8_t qos)
{
    struct wire_slot *slot = client_slot_of(client, packet_id);
    return slot && !slot->resend && (slot->buffer[0] >> 1 & 3) == qos ? slot : NULL;
}

static void on_puback(struct wire_client *client, const struct wire_packet *packet)
{
    struct wire_slot *slot = acknowledged(client, packet->packet_id, 1);
    if (slot)
        client_free_slot(client, slot, packet->reason);
}

static void on_pubrec(struct wire_client *client, const struct wire_packet *packet)
{
    struct wire_slot *slot = acknowledged(client, packet->packet_id, 2);
    if (packet->reason >= 0x80) { /* then no PUBREL follows [MQTT-4.3.3-4] */
        if (slot && !slot->released)
            client_free_slot(client, slot, packet->reason);
        return;
    }
    if (slot)
        slot->released = true;
    client_put_ack(client, WIRE_PUBREL, packet->packet_id, slot ? WIRE_SUCCESS : WIRE_ID_NOT_FOUND);
}

static void on_pubrel(struct wire_client *client, const struct wire_packet *packet)
{
    bool known = forget(client, packet->packet_id);
    client_put_ack(client, WIRE_PUBCOMP, packet->packet_id, known ? WIRE_SUCCESS : WIRE_ID_NOT_FOUND);
}

static void on_pubcomp(struct wire_client *client, const struct wire_packet *packet)
{
    struct wire_slot *slot = acknowledged(client, packet->packet_id, 2);
    if (slot && slot->released)
        client_free_slot(client, slot, WIRE_SUCCESS);
}

static void on_packet(struct wire_client *client, const struct wire_packet *packet)
{
    if (client->state == WIRE_CLIENT_CONNECTING) {
        if (packet->type == WIRE_CONNACK)
            on_connack(client, packet);
        else
            client_lose(client, WIRE_LOST_PROTOCOL, WIRE_PROTOCOL_ERROR);
        return;
    }
    switch (packet->type) {
    case WIRE_PUBLISH: on_publish(client, packet); break;
    case WIRE_PUBACK: on_puback(client, packet); break;
    case WIRE_PUBREC: on_pubrec(client, packet); break;
    case WIRE_PUBREL: on_pubrel(client, packet); break;
    case WIRE_PUBCOMP: on_pubcomp(client, packet); break;
    case WIRE_SUBACK:
    case WIRE_UNSUBACK:
        if (client->config.events.subscribed)
            client->config.events.subscribed(client, packet->packet_id, packet->list, packet->list_len);
        break;
    case WIRE_PINGRESP: break;
    case WIRE_DISCONNECT: client_lose(client, WIRE_LOST_DISCONNECTED, packet->reason); break;
    default: client_lose(client, WIRE_LOST_PROTOCOL, WIRE_PROTOCOL_ERROR); break;
    }
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------ */

uint8_t *wire_client_room(struct wire_client *client, uint32_t *size)
{
    *size = client->config.in_size - client->in_len;
    return client->config.in + client->in_len;
}

/* The packet id of a PUBLISH whose front is there: it stands behind the topic. 1 found; 0 more bytes are needed; -1 it does
 * not fit into the input either. What is wrong with the packet is said as a reason. */
static int find_id(const struct wire_client *client, const uint8_t *bytes, uint32_t len,
                   const struct wire_frame *frame, uint16_t *packet_id, uint8_t *reason)
{
    uint32_t end = (uint32_t)(frame->body - bytes) + 2;
    if (end <= len)
        end += 2u + (uint32_t)(frame->body[0] << 8 | frame->body[1]);
    if (end > frame->total)
        *reason = WIRE_MALFORMED;
    if (end > len)
        return end <= client->config.in_size ? 0 : -1;
    *packet_id = (uint16_t)(bytes[end - 2] << 8 | bytes[end - 1]);
    if (!*packet_id)
        *reason = WIRE_PROTOCOL_ERROR;
    return 1;
}

/* Begins to read away a packet that is longer than the input. A PUBLISH that wants an acknowledgement gets one, or it would
 * come again on every connection. False: more bytes are needed for that. */
static bool begin_skip(struct wire_client *client, const uint8_t *bytes, uint32_t len,
                       const struct wire_frame *frame)
{
    unsigned type = frame->header >> 4, qos = frame->header >> 1 & 3;
    uint16_t packet_id = 0;
    uint8_t reason = 0;
    int found = -1;
    if (client->state == WIRE_CLIENT_CONNECTING && type != WIRE_CONNACK)
        reason = WIRE_PROTOCOL_ERROR;
    else if (type == WIRE_PUBLISH && qos == 3)
        reason = WIRE_MALFORMED;
    else if (type == WIRE_PUBLISH && qos)
        found = find_id(client, bytes, len, frame, &packet_id, &reason);
    if (reason) {
        client_lose(client, WIRE_LOST_PROTOCOL, reason);
        return false;
    }
    if (!found)
        return false;
    if (found > 0)
        client_put_ack(client, qos == 1 ? WIRE_PUBACK : WIRE_PUBREC, packet_id, WIRE_QUOTA_EXCEEDED);
    client->too_long++;
    client->skip = frame->total;
    if (client->config.events.too_long)
        client->config.events.too_long(client, frame->total);
    return true;
}

/* Takes one packet off the front of the input; how many bytes it was, 0 when it is not all there. */
static uint32_t take_packet(struct wire_client *client, const uint8_t *bytes, uint32_t len)
{
    struct wire_frame frame;
    int r = client->skip ? 0 : wire_frame(bytes, len, client->config.in_size, &frame);
    if (r == -WIRE_TOO_LARGE && !begin_skip(client, bytes, len, &frame))
        return 0;
    if (client->skip) {
        uint32_t n = client->skip < len ? client->skip : len;
        client->skip -= n;
        return n;
    }
    if (r < 0)
        client_lose(client, WIRE_LOST_PROTOCOL, WIRE_MALFORMED);
    if (r <= 0)
        return 0;
    struct wire_packet packet;
    const char *why;
    uint8_t reason = wire_decode(&packet, &frame, client_version(client), WIRE_FROM_SERVER, &why);
    if (reason)
        client_lose(client, WIRE_LOST_PROTOCOL, reason);
    else
        on_packet(client, &packet);
    return frame.total;
}

static void take_packets(struct wire_client *client)
{
    uint32_t used = 0;
    client->taking = true;
    while (used < client->in_len && !client->lost && (client->skip || client_space(client) >= WIRE_ACK_MAX)) {
        uint32_t n = take_packet(client, client->config.in + used, client->in_len - used);
        if (!n)
            break;
        used += n;
    }
    client->taking = false;
    if (client->lost)
        used = client->in_len;
    client->in_len -= used;
    memmove(client->config.in, client->config.in + used, client->in_len);
    client_send_slots(client);
}

void wire_client_received(struct wire_client *client, uint32_t len, uint32_t now)
{
    client->now = client->heard = now;
    client->ping_waits = false;
    client->in_len += len;
    take_packets(client);
}

void wire_client_sent(struct wire_client *client, uint32_t len)
{
    client->out_len -= len;
    memmove(client->config.out, client->config.out + len, client->out_len);
    take_packets(client);
}
