#include "wire/client.h"

#include <string.h>

/* What must hold: bytes in `out` are whole packets, except that the front of the first may have gone already; bytes in
 * `in` begin with a packet. A slot is free (len 0) or holds one PUBLISH as it was sent.
 *
 * Every packet that comes may want an acknowledgement. So no packet is taken from `in` while `out` has no room for one,
 * and what is sent from inside an event leaves that room: a peer that reads slowly makes us read slowly, no more. */

enum { CONNACK_MS = 10000 };

void wire_client_init(struct wire_client *client, const struct wire_client_config *config)
{
    memset(client, 0, sizeof *client);
    client->config = *config;
    struct wire_packet *connect = &client->config.connect;
    connect->type = WIRE_CONNECT;
    if (connect->version == WIRE_MQTT5 && !wire_has(&connect->props, WIRE_RECEIVE_MAX) &&
        config->received_size) {
        connect->props.receive_max = config->received_size;
        wire_set(&connect->props, WIRE_RECEIVE_MAX);
    }
    if (connect->version == WIRE_MQTT5 && wire_has(&connect->props, WIRE_RECEIVE_MAX)) {
        uint32_t all = (uint32_t)connect->props.receive_max * WIRE_ACK_MAX, most = config->out_size / 4;
        client->reserve = all < most ? all : most;
    }
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

static uint32_t space(const struct wire_client *client)
{
    return client->config.out_size - client->out_len;
}

/* Room for what is not an acknowledgement. */
static uint32_t space_to_say(const struct wire_client *client)
{
    uint32_t kept = client->state == WIRE_CLIENT_UP ? client->reserve : 0;
    if (client->taking && kept < WIRE_ACK_MAX)
        kept = WIRE_ACK_MAX;
    return space(client) > kept ? space(client) - kept : 0;
}

static void put_bytes(struct wire_client *client, const uint8_t *bytes, uint32_t len)
{
    memcpy(client->config.out + client->out_len, bytes, len);
    client->out_len += len;
    client->sent = client->now;
}

static bool put_packet(struct wire_client *client, const struct wire_packet *packet)
{
    size_t len = wire_encode(client->config.out + client->out_len, space_to_say(client), packet);
    client->out_len += (uint32_t)len;
    if (len)
        client->sent = client->now;
    return len != 0;
}

static void put_ack(struct wire_client *client, enum wire_type type, uint16_t packet_id, uint8_t reason)
{
    uint8_t bytes[WIRE_ACK_MAX];
    size_t len = wire_encode_ack(bytes, type, version_of(client), packet_id, reason);
    if (space(client) < len)
        lose(client, WIRE_LOST_MEMORY, 0);
    else
        put_bytes(client, bytes, (uint32_t)len);
}

/* Why it did not go: later, or never? */
static int refuse(const struct wire_client *client, size_t len)
{
    return !len || len > client->config.out_size - client->reserve ? WIRE_TOO_LONG : WIRE_BUSY;
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

static void free_slot(struct wire_client *client, struct wire_slot *slot, uint8_t reason)
{
    uint16_t packet_id = slot->packet_id;
    slot->len = 0;
    if (!slot->resend && client->in_window)
        client->in_window--;
    if (client->config.events.published)
        client->config.events.published(client, packet_id, reason);
}

/* Sends what is due from the slots, oldest first, as far as window and output go. */
static void send_slots(struct wire_client *client)
{
    for (struct wire_slot *slot; client->state == WIRE_CLIENT_UP && (slot = oldest_to_send(client));) {
        if (slot->released) {
            if (space_to_say(client) < WIRE_ACK_MAX)
                return;
            put_ack(client, WIRE_PUBREL, slot->packet_id, WIRE_SUCCESS);
        } else if (slot->len > client->packet_max) {
            free_slot(client, slot, WIRE_TOO_LARGE); /* this server will never take it [MQTT-3.2.2-15] */
            continue;
        } else {
            if (client->in_window >= client->window || space_to_say(client) < slot->len)
                return;
            put_bytes(client, slot->buffer, slot->len);
            slot->buffer[0] |= 8; /* DUP, should it go out again [MQTT-3.3.1-1] */
        }
        client->in_window++;
        slot->resend = false;
    }
}

static int publish_once(struct wire_client *client, const struct wire_packet *packet)
{
    if (client->state != WIRE_CLIENT_UP)
        return WIRE_IS_DOWN;
    size_t len = wire_size(packet);
    if (len > client->packet_max)
        return WIRE_TOO_LONG;
    return put_packet(client, packet) ? 0 : refuse(client, len);
}

int wire_client_publish(struct wire_client *client, const struct wire_packet *publish)
{
    struct wire_packet packet = *publish;
    packet.type = WIRE_PUBLISH;
    packet.version = version_of(client);
    packet.dup = false;
    packet.packet_id = 0;
    if (!packet.qos)
        return publish_once(client, &packet);

    struct wire_slot *slot = NULL;
    for (uint16_t i = 0; i < client->config.slot_count && !slot; i++)
        if (!client->config.slots[i].len)
            slot = &client->config.slots[i];
    if (!slot)
        return client->config.slot_count ? WIRE_BUSY : WIRE_TOO_LONG;
    packet.packet_id = new_id(client);
    size_t len = wire_encode(slot->buffer, slot->size, &packet);
    if (!len || refuse(client, len) == WIRE_TOO_LONG ||
        (client->state == WIRE_CLIENT_UP && len > client->packet_max))
        return WIRE_TOO_LONG;
    slot->len = (uint32_t)len;
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
    if (need > space(client))
        return refuse(client, need);
    uint8_t *list = client->config.out + client->config.out_size - need;
    size_t len = 0;
    for (unsigned i = 0; i < count; i++)
        len = wire_put_filter(list, len, need, type, &filters[i]);
    struct wire_packet packet = {.type = type,
                                 .version = version_of(client),
                                 .packet_id = new_id(client),
                                 .list = list,
                                 .list_len = need};
    return put_packet(client, &packet) ? packet.packet_id : refuse(client, wire_size(&packet));
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
    client->lost = client->taking = client->ping_waits = false;
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
    uint8_t bytes[] = {WIRE_DISCONNECT << 4, 1, reason};
    uint32_t len = 3;
    if (version_of(client) != WIRE_MQTT5 || !reason)
        bytes[1] = 0, len = 2;
    if (client->state != WIRE_CLIENT_UP || space(client) < len)
        return;
    put_bytes(client, bytes, len);
    client->state = WIRE_CLIENT_DOWN; /* nothing may follow [MQTT-3.14.4-1] */
    client->lost = true;
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
        lose(client, WIRE_LOST_REFUSED,
             version_of(client) == WIRE_MQTT5 ? packet->reason : wire_connack_reason(packet->reason));
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
    if (wire_has(&packet->props, WIRE_ALIAS)) { /* we offer none */
        lose(client, WIRE_LOST_PROTOCOL, WIRE_ALIAS_INVALID);
        return;
    }
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
        put_ack(client, WIRE_PUBACK, packet_id, reason);
}

/* The slot that an acknowledgement is for: of this QoS, and sent on this connection. */
static struct wire_slot *acknowledged(struct wire_client *client, uint16_t packet_id, uint8_t qos)
{
    struct wire_slot *slot = slot_of(client, packet_id);
    return slot && !slot->resend && (slot->buffer[0] >> 1 & 3) == qos ? slot : NULL;
}

static void on_puback(struct wire_client *client, const struct wire_packet *packet)
{
    struct wire_slot *slot = acknowledged(client, packet->packet_id, 1);
    if (slot)
        free_slot(client, slot, packet->reason);
}

static void on_pubrec(struct wire_client *client, const struct wire_packet *packet)
{
    struct wire_slot *slot = acknowledged(client, packet->packet_id, 2);
    if (slot && !slot->released && packet->reason >= 0x80) {
        free_slot(client, slot, packet->reason);
        return;
    }
    if (slot)
        slot->released = true;
    put_ack(client, WIRE_PUBREL, packet->packet_id, slot ? WIRE_SUCCESS : WIRE_ID_NOT_FOUND);
}

static void on_pubrel(struct wire_client *client, const struct wire_packet *packet)
{
    bool known = forget(client, packet->packet_id);
    put_ack(client, WIRE_PUBCOMP, packet->packet_id, known ? WIRE_SUCCESS : WIRE_ID_NOT_FOUND);
}

static void on_pubcomp(struct wire_client *client, const struct wire_packet *packet)
{
    struct wire_slot *slot = acknowledged(client, packet->packet_id, 2);
    if (slot && slot->released)
        free_slot(client, slot, WIRE_SUCCESS);
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
    case WIRE_DISCONNECT: lose(client, WIRE_LOST_DISCONNECTED, packet->reason); break;
    default: lose(client, WIRE_LOST_PROTOCOL, WIRE_PROTOCOL_ERROR); break;
    }
}

uint8_t *wire_client_room(struct wire_client *client, uint32_t *size)
{
    *size = client->config.in_size - client->in_len;
    return client->config.in + client->in_len;
}

/* Begins to read away a packet that is longer than the input. A PUBLISH that wants an acknowledgement gets one, or it would
 * come again on every connection; its packet id stands behind the topic. False: more bytes are needed for that. */
static bool begin_skip(struct wire_client *client, const uint8_t *bytes, uint32_t len,
                       const struct wire_frame *frame)
{
    uint8_t qos = frame->header >> 1 & 3;
    if (frame->header >> 4 == WIRE_PUBLISH && qos && client->state == WIRE_CLIENT_UP) {
        uint32_t need = (uint32_t)(frame->body - bytes) + 2;
        if (need <= len)
            need += 2u + (uint32_t)(frame->body[0] << 8 | frame->body[1]);
        if (len < need && need <= client->config.in_size)
            return false;
        if (need <= len)
            put_ack(client, qos == 1 ? WIRE_PUBACK : WIRE_PUBREC,
                    (uint16_t)(bytes[need - 2] << 8 | bytes[need - 1]), WIRE_QUOTA_EXCEEDED);
    }
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

static void take_packets(struct wire_client *client)
{
    uint32_t used = 0;
    client->taking = true;
    while (used < client->in_len && !client->lost && (client->skip || space(client) >= WIRE_ACK_MAX)) {
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
    send_slots(client);
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

/* ---- time ------------------------------------------------------------------------------------------------------------- */

static uint32_t left(uint32_t since, uint32_t span, uint32_t now)
{
    uint32_t passed = now - since;
    return passed < span ? span - passed : 0;
}

/* Who only sends QoS 0 need not ping to be heard, but has to ask whether somebody is there: an answer comes to nothing
 * else. */
static uint32_t until_ping_is_due(const struct wire_client *client, uint32_t now)
{
    uint32_t silent = left(client->sent, client->keepalive / 2, now);
    uint32_t deaf = client->ping_waits ? UINT32_MAX : left(client->heard, client->keepalive, now);
    return silent < deaf ? silent : deaf;
}

uint32_t wire_client_poll(struct wire_client *client, uint32_t now)
{
    static const uint8_t ping[] = {WIRE_PINGREQ << 4, 0};
    client->now = now;
    if (client->state == WIRE_CLIENT_CONNECTING) {
        uint32_t wait = left(client->sent, client->config.connack_ms, now);
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
    uint32_t until_ping = until_ping_is_due(client, now);
    if (until_ping)
        return until_ping < until_lost ? until_ping : until_lost;
    if (space_to_say(client) < sizeof ping)
        return until_lost; /* when there is room again, we are called again */
    put_bytes(client, ping, sizeof ping);
    client->ping_waits = true;
    return client->keepalive / 2 < until_lost ? client->keepalive / 2 : until_lost;
}
