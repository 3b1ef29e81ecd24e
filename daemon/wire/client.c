#include "wire/client.h"

#include <string.h>

/* What must hold: bytes in `out` are whole packets, except that the front of the first may have gone already; bytes in
 * `in` begin with a packet. A slot is free (len 0) or holds one PUBLISH as it was sent. */

enum { ACK_MAX = 8, CONNACK_MS = 10000 };

void wire_client_init(struct wire_client *client, const struct wire_client_config *config)
{
    memset(client, 0, sizeof *client);
    client->config = *config;
    client->config.connect.type = WIRE_CONNECT;
    if (!client->config.connack_ms)
        client->config.connack_ms = CONNACK_MS;
    for (uint16_t i = 0; i < config->slot_count; i++)
        client->config.slots[i].len = 0;
}

static enum wire_version version_of(const struct wire_client *client)
{
    return client->config.connect.version;
}

static void lose(struct wire_client *client, enum wire_client_loss why, uint8_t reason)
{
    if (client->lost)
        return;
    client->lost = true;
    client->state = WIRE_CLIENT_DOWN;
    if (client->config.events.lost)
        client->config.events.lost(client, why, reason);
}

/* ---- output --------------------------------------------------------------------------------------------------------- */

const uint8_t *wire_client_output(const struct wire_client *client, uint32_t *len)
{
    *len = client->out_len;
    return client->config.out;
}

void wire_client_sent(struct wire_client *client, uint32_t len)
{
    client->out_len -= len;
    memmove(client->config.out, client->config.out + len, client->out_len);
}

static bool put_bytes(struct wire_client *client, const uint8_t *bytes, uint32_t len)
{
    if (client->config.out_size - client->out_len < len)
        return false;
    memcpy(client->config.out + client->out_len, bytes, len);
    client->out_len += len;
    client->sent = client->now;
    return true;
}

static bool put_packet(struct wire_client *client, const struct wire_packet *packet)
{
    size_t len =
        wire_encode(client->config.out + client->out_len, client->config.out_size - client->out_len, packet);
    client->out_len += (uint32_t)len;
    if (len)
        client->sent = client->now;
    return len != 0;
}

static void put_ack(struct wire_client *client, enum wire_type type, uint16_t packet_id, uint8_t reason)
{
    uint8_t bytes[ACK_MAX];
    struct wire_packet packet = {
        .type = type, .version = version_of(client), .packet_id = packet_id, .reason = reason};
    if (!put_bytes(client, bytes, (uint32_t)wire_encode(bytes, sizeof bytes, &packet)))
        lose(client, WIRE_LOST_MEMORY, 0);
}

/* ---- slots ---------------------------------------------------------------------------------------------------------- */

static struct wire_slot *slot_of(struct wire_client *client, uint16_t packet_id)
{
    for (uint16_t i = 0; i < client->config.slot_count; i++)
        if (client->config.slots[i].len && client->config.slots[i].packet_id == packet_id)
            return &client->config.slots[i];
    return NULL;
}

static uint16_t new_id(struct wire_client *client)
{
    do
        client->last_id = (uint16_t)(client->last_id + 1);
    while (!client->last_id || slot_of(client, client->last_id));
    return client->last_id;
}

static struct wire_slot *oldest_to_send(struct wire_client *client)
{
    struct wire_slot *oldest = NULL;
    for (uint16_t i = 0; i < client->config.slot_count; i++) {
        struct wire_slot *slot = &client->config.slots[i];
        if (slot->len && slot->resend && (!oldest || (int32_t)(slot->order - oldest->order) < 0))
            oldest = slot;
    }
    return oldest;
}

/* Sends what is due from the slots, oldest first, as far as window and output go. */
static void send_slots(struct wire_client *client)
{
    for (struct wire_slot *slot; client->state == WIRE_CLIENT_UP && (slot = oldest_to_send(client));) {
        if (slot->released) {
            if (client->config.out_size - client->out_len < ACK_MAX)
                return;
            put_ack(client, WIRE_PUBREL, slot->packet_id, WIRE_SUCCESS);
        } else {
            if (client->in_window >= client->window || !put_bytes(client, slot->buffer, slot->len))
                return;
            slot->buffer[0] |= 8; /* DUP, should it go out again [MQTT-3.3.1-1] */
        }
        client->in_window++;
        slot->resend = false;
    }
}

static void free_slot(struct wire_client *client, struct wire_slot *slot, uint8_t reason)
{
    uint16_t packet_id = slot->packet_id;
    slot->len = 0;
    if (!slot->resend && client->in_window)
        client->in_window--;
    if (client->config.events.published)
        client->config.events.published(client, packet_id, reason);
    send_slots(client);
}

int wire_client_publish(struct wire_client *client, const struct wire_packet *publish)
{
    struct wire_packet packet = *publish;
    packet.type = WIRE_PUBLISH;
    packet.version = version_of(client);
    packet.dup = false;
    packet.packet_id = 0;
    size_t need = wire_publish_head_max(&packet) + packet.payload_len;
    if (!packet.qos) {
        if (client->state != WIRE_CLIENT_UP)
            return WIRE_IS_DOWN;
        if (put_packet(client, &packet))
            return 0;
        return need > client->config.out_size ? WIRE_TOO_LONG : WIRE_BUSY;
    }

    struct wire_slot *slot = NULL;
    for (uint16_t i = 0; i < client->config.slot_count && !slot; i++)
        if (!client->config.slots[i].len)
            slot = &client->config.slots[i];
    if (!slot)
        return client->config.slot_count ? WIRE_BUSY : WIRE_TOO_LONG;
    packet.packet_id = new_id(client);
    slot->len = (uint32_t)wire_encode(slot->buffer, slot->size, &packet);
    if (!slot->len || slot->len > client->config.out_size) {
        slot->len = 0;
        return WIRE_TOO_LONG;
    }
    slot->packet_id = packet.packet_id;
    slot->order = client->order++;
    slot->released = false;
    slot->resend = true;
    send_slots(client);
    return packet.packet_id;
}

/* ---- subscribing ----------------------------------------------------------------------------------------------------- */

/* The list of filters is written at the end of the output's free space and moved to its place by the encoder: no other
 * buffer is needed, and what is in front of the list never reaches it. */
static int send_filters(struct wire_client *client, enum wire_type type, const struct wire_filter *filters,
                        unsigned count)
{
    if (client->state != WIRE_CLIENT_UP)
        return WIRE_IS_DOWN;
    uint32_t need = 0;
    for (unsigned i = 0; i < count; i++)
        need += 2u + filters[i].filter.len + (type == WIRE_SUBSCRIBE);
    uint32_t free_space = client->config.out_size - client->out_len;
    if (need > free_space)
        return need > client->config.out_size ? WIRE_TOO_LONG : WIRE_BUSY;
    uint8_t *list = client->config.out + client->config.out_size - need;
    size_t len = 0;
    for (unsigned i = 0; i < count; i++)
        len = wire_put_filter(list, len, need, type, &filters[i]);
    struct wire_packet packet = {.type = type,
                                 .version = version_of(client),
                                 .packet_id = new_id(client),
                                 .list = list,
                                 .list_len = need};
    if (put_packet(client, &packet))
        return packet.packet_id;
    return client->out_len ? WIRE_BUSY : WIRE_TOO_LONG;
}

int wire_client_subscribe(struct wire_client *client, const struct wire_filter *filters, unsigned count)
{
    return send_filters(client, WIRE_SUBSCRIBE, filters, count);
}

int wire_client_unsubscribe(struct wire_client *client, const struct wire_filter *filters, unsigned count)
{
    return send_filters(client, WIRE_UNSUBSCRIBE, filters, count);
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

void wire_client_begin(struct wire_client *client, uint32_t now)
{
    client->state = WIRE_CLIENT_CONNECTING;
    client->in_len = client->out_len = client->skip = 0;
    client->now = client->heard = client->sent = now;
    client->lost = client->ping_waits = false;
    client->window = client->in_window = 0;
    client->keepalive = (uint32_t)client->config.connect.keepalive_s * 1000;
    if (!put_packet(client, &client->config.connect))
        lose(client, WIRE_LOST_MEMORY, 0);
}

void wire_client_end(struct wire_client *client)
{
    client->state = WIRE_CLIENT_DOWN;
    client->in_len = client->out_len = client->skip = 0;
    client->lost = true;
    for (uint16_t i = 0; i < client->config.slot_count; i++)
        client->config.slots[i].resend = true;
}

void wire_client_disconnect(struct wire_client *client, uint8_t reason)
{
    struct wire_packet packet = {.type = WIRE_DISCONNECT, .version = version_of(client), .reason = reason};
    if (client->state == WIRE_CLIENT_UP)
        (void)put_packet(client, &packet);
}

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
            free_slot(client, slot, WIRE_SUCCESS);
    }
}

static void on_connack(struct wire_client *client, const struct wire_packet *packet)
{
    if (packet->reason) {
        lose(client, WIRE_LOST_REFUSED, packet->reason);
        return;
    }
    const struct wire_props *props = &packet->props;
    client->window = wire_has(props, WIRE_RECEIVE_MAX) ? props->receive_max : UINT16_MAX;
    if (wire_has(props, WIRE_SERVER_KEEPALIVE))
        client->keepalive = (uint32_t)props->server_keepalive * 1000; /* [MQTT-3.2.2-21] */
    for (uint16_t i = 0; i < client->config.slot_count; i++)
        client->config.slots[i].resend = true;
    if (!packet->session_present)
        begin_anew(client);
    client->state = WIRE_CLIENT_UP;
    if (client->config.events.connected)
        client->config.events.connected(client, packet->session_present);
    send_slots(client);
}

/* ---- input ----------------------------------------------------------------------------------------------------------- */

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
    switch (packet->qos) {
    case 0: (void)hand_over(client, packet); break;
    case 1:
        if (hand_over(client, packet))
            put_ack(client, WIRE_PUBACK, packet->packet_id, WIRE_SUCCESS);
        break;
    default:
        if (!remember(client, packet->packet_id, &known)) {
            lose(client, WIRE_LOST_PROTOCOL, WIRE_RECEIVE_MAX_EXCEEDED);
            return;
        }
        if (!known)
            (void)hand_over(client, packet);
        put_ack(client, WIRE_PUBREC, packet->packet_id, WIRE_SUCCESS);
        break;
    }
}

void wire_client_acknowledge(struct wire_client *client, uint16_t packet_id, uint8_t reason)
{
    if (client->state == WIRE_CLIENT_UP)
        put_ack(client, WIRE_PUBACK, packet_id, version_of(client) == WIRE_MQTT5 ? reason : WIRE_SUCCESS);
}

static uint8_t qos_of(const struct wire_slot *slot)
{
    return slot->buffer[0] >> 1 & 3;
}

static void on_ack(struct wire_client *client, const struct wire_packet *packet)
{
    struct wire_slot *slot = slot_of(client, packet->packet_id);
    switch (packet->type) {
    case WIRE_PUBACK:
        if (slot && qos_of(slot) == 1)
            free_slot(client, slot, packet->reason);
        return;
    case WIRE_PUBREC:
        if (slot && qos_of(slot) == 2 && packet->reason >= 0x80) {
            free_slot(client, slot, packet->reason);
            return;
        }
        if (slot)
            slot->released = true;
        put_ack(client, WIRE_PUBREL, packet->packet_id,
                slot || version_of(client) != WIRE_MQTT5 ? WIRE_SUCCESS : WIRE_ID_NOT_FOUND);
        return;
    case WIRE_PUBREL:
        put_ack(client, WIRE_PUBCOMP, packet->packet_id,
                forget(client, packet->packet_id) || version_of(client) != WIRE_MQTT5 ? WIRE_SUCCESS
                                                                                      : WIRE_ID_NOT_FOUND);
        return;
    case WIRE_PUBCOMP:
        if (slot && slot->released)
            free_slot(client, slot, WIRE_SUCCESS);
        return;
    default: return;
    }
}

static void on_packet(struct wire_client *client, const struct wire_packet *packet)
{
    if (client->state == WIRE_CLIENT_CONNECTING) {
        if (packet->type == WIRE_CONNACK)
            on_connack(client, packet);
        else
            lose(client, WIRE_LOST_PROTOCOL, WIRE_PROTOCOL_ERROR);
        return;
    }
    switch (packet->type) {
    case WIRE_PUBLISH: on_publish(client, packet); break;
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBREL:
    case WIRE_PUBCOMP: on_ack(client, packet); break;
    case WIRE_SUBACK:
    case WIRE_UNSUBACK:
        if (client->config.events.subscribed)
            client->config.events.subscribed(client, packet->packet_id, packet->list, packet->list_len);
        break;
    case WIRE_PINGRESP: break;
    case WIRE_DISCONNECT: lose(client, WIRE_LOST_DISCONNECTED, packet->reason); break;
    default: lose(client, WIRE_LOST_PROTOCOL, WIRE_PROTOCOL_ERROR); break;
    }
}

uint8_t *wire_client_room(struct wire_client *client, uint32_t *size)
{
    *size = client->config.in_size - client->in_len;
    return client->config.in + client->in_len;
}

/* The packet id of a PUBLISH of QoS 1 or 2 whose beginning is here; 0 when there is none. */
static uint16_t id_of_publish(const struct wire_frame *frame, const uint8_t *end)
{
    const uint8_t *at = frame->body;
    if (frame->header >> 4 != WIRE_PUBLISH || !(frame->header & 6) || end - at < 2)
        return 0;
    uint32_t topic_len = (uint32_t)at[0] << 8 | at[1];
    if ((uint32_t)(end - at) < 2 + topic_len + 2)
        return 0;
    at += 2 + topic_len;
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* A message that will never fit is acknowledged, or it would come again on every connection and stop the others. */
static void skip_too_long(struct wire_client *client, const struct wire_frame *frame, const uint8_t *end)
{
    uint16_t packet_id = id_of_publish(frame, end);
    if (packet_id)
        put_ack(client, frame->header & 4 ? WIRE_PUBREC : WIRE_PUBACK, packet_id,
                version_of(client) == WIRE_MQTT5 ? WIRE_IMPLEMENTATION_ERROR : WIRE_SUCCESS);
    client->too_long++;
    client->skip = frame->total;
    if (client->config.events.too_long)
        client->config.events.too_long(client, frame->total);
}

/* Takes one packet off the front of the input; how many bytes it was, 0 when it is not all there. */
static uint32_t take_packet(struct wire_client *client, const uint8_t *bytes, uint32_t len)
{
    if (client->skip) {
        uint32_t n = client->skip < len ? client->skip : len;
        client->skip -= n;
        return n;
    }
    struct wire_frame frame;
    int r = wire_frame(bytes, len, client->config.in_size, &frame);
    if (r == -WIRE_TOO_LARGE) {
        if (len < client->config.in_size)
            return 0; /* as much of it as there is room for: its packet id is at the beginning */
        skip_too_long(client, &frame, bytes + len);
        return take_packet(client, bytes, len);
    }
    if (r < 0)
        lose(client, WIRE_LOST_PROTOCOL, WIRE_MALFORMED);
    if (r <= 0)
        return 0;
    struct wire_packet packet;
    const char *why;
    uint8_t reason = wire_decode(&packet, &frame, version_of(client), WIRE_FROM_SERVER, &why);
    if (reason)
        lose(client, WIRE_LOST_PROTOCOL, reason);
    else
        on_packet(client, &packet);
    return frame.total;
}

void wire_client_received(struct wire_client *client, uint32_t len, uint32_t now)
{
    client->now = client->heard = now;
    client->ping_waits = false;
    client->in_len += len;
    uint32_t used = 0;
    while (used < client->in_len && !client->lost) {
        uint32_t n = take_packet(client, client->config.in + used, client->in_len - used);
        if (!n)
            break;
        used += n;
    }
    if (client->lost)
        used = client->in_len;
    client->in_len -= used;
    memmove(client->config.in, client->config.in + used, client->in_len);
}

/* ---- time ------------------------------------------------------------------------------------------------------------- */

static uint32_t left(uint32_t since, uint32_t span, uint32_t now)
{
    uint32_t passed = now - since;
    return passed < span ? span - passed : 0;
}

uint32_t wire_client_poll(struct wire_client *client, uint32_t now)
{
    static const uint8_t ping[] = {WIRE_PINGREQ << 4, 0};
    client->now = now;
    if (client->state == WIRE_CLIENT_CONNECTING) {
        uint32_t wait = left(client->heard, client->config.connack_ms, now);
        if (!wait)
            lose(client, WIRE_LOST_SILENCE, 0);
        return wait;
    }
    if (client->state != WIRE_CLIENT_UP)
        return UINT32_MAX;
    send_slots(client);
    if (!client->keepalive)
        return UINT32_MAX;
    uint32_t until_lost = left(client->heard, client->keepalive + client->keepalive / 2, now);
    if (!until_lost) {
        lose(client, WIRE_LOST_SILENCE, 0);
        return 0;
    }
    uint32_t until_ping = left(client->sent, client->keepalive / 2, now);
    if (!client->ping_waits) { /* who sends QoS 0 all the time need not ping, but has to hear that somebody is there */
        uint32_t until_ask = left(client->heard, client->keepalive, now);
        until_ping = until_ask < until_ping ? until_ask : until_ping;
    }
    if (!until_ping && put_bytes(client, ping, sizeof ping)) {
        client->ping_waits = true;
        until_ping = client->keepalive / 2;
    }
    if (!until_ping)
        until_ping = 1; /* no room for it now */
    return until_ping < until_lost ? until_ping : until_lost;
}
