#include "wire/client_inside.h"

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

enum wire_version client_version(const struct wire_client *client)
{
    return client->config.connect.version;
}

void client_lose(struct wire_client *client, enum wire_client_loss why, uint8_t reason)
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

uint32_t client_space(const struct wire_client *client)
{
    return client->config.out_size - client->out_len;
}

/* Room for what is not an acknowledgement. */
static uint32_t space_to_say(const struct wire_client *client)
{
    uint32_t kept = client->state == WIRE_CLIENT_UP ? client->reserve : 0;
    if (client->taking && kept < WIRE_ACK_MAX)
        kept = WIRE_ACK_MAX;
    return client_space(client) > kept ? client_space(client) - kept : 0;
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

void client_put_ack(struct wire_client *client, enum wire_type type, uint16_t packet_id, uint8_t reason)
{
    if (client->lost)
        return; /* an event has ended the connection: nothing may follow its DISCONNECT [MQTT-3.14.4-1] */
    uint8_t bytes[WIRE_ACK_MAX];
    size_t len = wire_encode_ack(bytes, type, client_version(client), packet_id, reason);
    if (client_space(client) < len)
        client_lose(client, WIRE_LOST_MEMORY, 0);
    else
        put_bytes(client, bytes, (uint32_t)len);
}

/* Why it did not go: later, or never? */
static int refuse(const struct wire_client *client, size_t len)
{
    return !len || len > client->config.out_size - client->reserve ? WIRE_TOO_LONG : WIRE_BUSY;
}

/* ---- slots ---------------------------------------------------------------------------------------------------------- */

struct wire_slot *client_slot_of(struct wire_client *client, uint16_t packet_id)
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
    while (!client->last_id || client_slot_of(client, client->last_id));
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

void client_free_slot(struct wire_client *client, struct wire_slot *slot, uint8_t reason)
{
    uint16_t packet_id = slot->packet_id;
    slot->len = 0;
    if (!slot->resend && client->in_window)
        client->in_window--;
    if (client->config.events.published)
        client->config.events.published(client, packet_id, reason);
}

/* Sends what is due from the slots, oldest first, as far as window and output go. */
void client_send_slots(struct wire_client *client)
{
    for (struct wire_slot *slot; client->state == WIRE_CLIENT_UP && (slot = oldest_to_send(client));) {
        if (slot->released) {
            if (space_to_say(client) < WIRE_ACK_MAX)
                return;
            client_put_ack(client, WIRE_PUBREL, slot->packet_id, WIRE_SUCCESS);
        } else if (slot->len > client->packet_max) {
            client_free_slot(client, slot,
                             WIRE_TOO_LARGE); /* this server will never take it [MQTT-3.2.2-15] */
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
    packet.version = client_version(client);
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
    if (refuse(client, len) == WIRE_TOO_LONG || (client->state == WIRE_CLIENT_UP && len > client->packet_max))
        return WIRE_TOO_LONG;
    slot->len = (uint32_t)len;
    slot->packet_id = packet.packet_id;
    slot->order = client->order++;
    slot->released = false;
    slot->resend = true;
    client_send_slots(client);
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
    if (!count)
        return WIRE_TOO_LONG; /* there is no packet that is so short [MQTT-3.8.3-2] */
    if (need > client_space(client))
        return refuse(client, need);
    uint8_t *list = client->config.out + client->config.out_size - need;
    size_t len = 0;
    for (unsigned i = 0; i < count; i++)
        len = wire_put_filter(list, len, need, type, &filters[i]);
    struct wire_packet packet = {.type = type,
                                 .version = client_version(client),
                                 .packet_id = new_id(client),
                                 .list = list,
                                 .list_len = need};
    size_t size = wire_size(&packet);
    if (size > client->packet_max)
        return WIRE_TOO_LONG; /* [MQTT-3.2.2-15] */
    return put_packet(client, &packet) ? packet.packet_id : refuse(client, size);
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
        client_lose(client, WIRE_LOST_MEMORY, 0);
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
    if (client_version(client) != WIRE_MQTT5 || !reason)
        bytes[1] = 0, len = 2;
    if (client->state != WIRE_CLIENT_UP || client_space(client) < len)
        return;
    put_bytes(client, bytes, len);
    client->state = WIRE_CLIENT_DOWN; /* nothing may follow [MQTT-3.14.4-1] */
    client->lost = true;
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
            client_lose(client, WIRE_LOST_SILENCE, 0);
        return wait;
    }
    if (client->state != WIRE_CLIENT_UP)
        return UINT32_MAX;
    client_send_slots(client);
    if (!client->keepalive)
        return UINT32_MAX;
    uint32_t until_lost = left(client->heard, client->keepalive + client->keepalive / 2, now);
    if (!until_lost) {
        client_lose(client, WIRE_LOST_SILENCE, 0);
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
