/* A client that is told anything at any time: bytes from a server in pieces, good and bad, its owner's calls between them
 * and inside its events, a clock that jumps. What must hold:
 *
 *   - its output is a stream of whole packets that a server accepts; CONNECT first, nothing behind DISCONNECT;
 *   - it never has more messages under way than the server's window, and no packet id twice;
 *   - a message of QoS 2 is handed over once until it is released;
 *   - a connection is lost once, and then nothing more is said;
 *   - its buffers are never overrun (the sanitizer sees it: each is a block of its own).
 *
 * The first bytes are the sizes, then an operation a byte, with its arguments behind it. */
#include "wire/client.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { SLOTS_MAX = 4, SLOT_SIZE = 48, RECEIVED_MAX = 3, STREAM_MAX = 8192 };

struct game {
    struct wire_client client; /* first: events find the game by it */
    const uint8_t *data, *end;
    uint32_t now;
    bool begun, lost, connect_seen, goodbye;
    uint8_t habit; /* what the owner does inside of events */

    uint32_t judged;            /* bytes of the output that were looked at */
    uint8_t stream[STREAM_MAX]; /* what the server got, not yet a whole packet */
    size_t stream_len;
    uint8_t sent_ids[65536 / 8]; /* of PUBLISH on this connection: too few for the ids to come round */
    uint8_t held_ids[65536 / 8]; /* of QoS 2 messages handed over and not completed */
};

static struct game game;

static void must(bool holds)
{
    if (!holds)
        abort();
}

static uint8_t next(void)
{
    return game.data < game.end ? *game.data++ : 0;
}

static bool is_set(const uint8_t *bits, uint16_t id)
{
    return bits[id / 8] >> id % 8 & 1;
}

static void set(uint8_t *bits, uint16_t id, bool to)
{
    bits[id / 8] = (uint8_t)((bits[id / 8] & ~(1 << id % 8)) | to << id % 8);
}

/* ---- what the client says -------------------------------------------------------------------------------------------- */

static void judge(const struct wire_packet *p)
{
    must(game.connect_seen == (p->type != WIRE_CONNECT) && !game.goodbye);
    game.connect_seen = true;
    switch (p->type) {
    case WIRE_DISCONNECT: game.goodbye = true; break;
    case WIRE_PUBLISH:
        must(!p->qos || !is_set(game.sent_ids, p->packet_id));
        set(game.sent_ids, p->packet_id, p->qos != 0);
        break;
    case WIRE_PUBCOMP: set(game.held_ids, p->packet_id, false); break;
    default: break;
    }
}

/* Looks at what was added to the output. */
static void judge_output(void)
{
    uint32_t len;
    const uint8_t *out = wire_client_output(&game.client, &len);
    for (struct wire_frame frame; game.judged < len; game.judged += frame.total) {
        struct wire_packet packet;
        const char *why;
        must(wire_frame(out + game.judged, len - game.judged, len, &frame) == 1);
        must(wire_decode(&packet, &frame, game.client.config.connect.version, WIRE_FROM_CLIENT, &why) == 0);
        judge(&packet);
    }
    must(game.judged == len);
}

/* What arrived at the server is whole packets, too, however it was cut. */
static void read_stream(void)
{
    struct wire_frame frame;
    size_t used = 0;
    int r;
    while ((r = wire_frame(game.stream + used, game.stream_len - used, STREAM_MAX, &frame)) == 1) {
        struct wire_packet packet;
        const char *why;
        must(wire_decode(&packet, &frame, game.client.config.connect.version, WIRE_FROM_CLIENT, &why) == 0);
        used += frame.total;
    }
    must(r == 0);
    game.stream_len -= used;
    memmove(game.stream, game.stream + used, game.stream_len);
}

/* ---- the owner ----------------------------------------------------------------------------------------------------- */

static void publish(uint8_t how)
{
    static const uint8_t payload[256];
    struct wire_packet p = {.qos = how % 3, .topic = {"a/b", 3}, .payload = payload, .payload_len = next()};
    p.retain = how & 4;
    int r = wire_client_publish(&game.client, &p);
    must(r >= WIRE_IS_DOWN && r <= UINT16_MAX && (r <= 0 || p.qos));
}

static void subscribe(uint8_t how)
{
    struct wire_filter filters[] = {{.filter = {"a/#", 3}, .qos = 1}, {.filter = {"b", 1}}};
    unsigned count = how % 3;
    int r = how & 4 ? wire_client_subscribe(&game.client, filters, count)
                    : wire_client_unsubscribe(&game.client, filters, count);
    must(r >= WIRE_IS_DOWN && r != 0 && r <= UINT16_MAX && (r < 0 || count));
}

static void habit(void)
{
    must(!game.lost && game.client.state != WIRE_CLIENT_CONNECTING);
    switch (game.habit & 7) {
    case 1: publish(0); break;
    case 2: publish(1); break;
    case 3: publish(2); break;
    case 4: subscribe(4 | 1); break;
    case 5: wire_client_disconnect(&game.client, 0); break;
    default: break;
    }
}

static void on_connected(struct wire_client *client, bool session_present)
{
    must(client->state == WIRE_CLIENT_UP);
    if (!session_present)
        memset(game.held_ids, 0, sizeof game.held_ids);
    habit();
}

static bool on_message(struct wire_client *client, const struct wire_packet *packet)
{
    (void)client;
    must(packet->type == WIRE_PUBLISH && wire_topic_is_valid(packet->topic.text, packet->topic.len));
    uint32_t sum = 0;
    for (uint32_t i = 0; i < packet->payload_len; i++) /* every byte of it is there */
        sum += packet->payload[i];
    must(sum <= 255 * packet->payload_len);
    judge_output();
    if (packet->qos == 2) {
        must(!is_set(game.held_ids, packet->packet_id));
        set(game.held_ids, packet->packet_id, true);
    }
    habit();
    return game.habit & 8;
}

static void on_published(struct wire_client *client, uint16_t packet_id, uint8_t reason)
{
    (void)reason;
    must(packet_id != 0);
    for (uint16_t i = 0; i < client->config.slot_count; i++)
        must(!client->config.slots[i].len || client->config.slots[i].packet_id != packet_id);
    if (client->state == WIRE_CLIENT_UP)
        habit();
}

static void on_subscribed(struct wire_client *client, uint16_t packet_id, const uint8_t *codes,
                          uint32_t count)
{
    (void)client;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += codes[i];
    must(packet_id && sum <= 255 * count);
    habit();
}

static void on_lost(struct wire_client *client, enum wire_client_loss why, uint8_t reason)
{
    (void)why;
    (void)reason;
    must(game.begun && !game.lost && client->state == WIRE_CLIENT_DOWN);
    game.lost = true;
    publish(game.habit);
    subscribe(game.habit);
}

/* ---- operations ----------------------------------------------------------------------------------------------------- */

static void check(void)
{
    const struct wire_client *c = &game.client;
    must(c->in_len <= c->config.in_size && c->out_len <= c->config.out_size);
    must(c->received_count <= c->config.received_size && c->in_window <= c->config.slot_count);
    must(!c->taking && (!game.lost || c->state == WIRE_CLIENT_DOWN));
    judge_output();
    uint32_t under_way = 0;
    for (uint16_t i = 0; i < c->config.slot_count; i++)
        under_way += c->config.slots[i].len && !c->config.slots[i].resend && !c->config.slots[i].released;
    must(c->state != WIRE_CLIENT_UP || under_way <= c->window);
    for (uint16_t i = 0; i < c->config.slot_count; i++)
        for (uint16_t k = 0; k < i; k++)
            must(!c->config.slots[i].len || !c->config.slots[k].len ||
                 c->config.slots[i].packet_id != c->config.slots[k].packet_id);
}

static void give(const uint8_t *bytes, size_t len)
{
    while (len && game.begun) {
        uint32_t room;
        uint8_t *to = wire_client_room(&game.client, &room);
        if (room > len)
            room = (uint32_t)len;
        if (!room)
            return;
        memcpy(to, bytes, room);
        uint32_t before = game.client.out_len;
        bool was_lost = game.lost;
        wire_client_received(&game.client, room, game.now);
        must(!was_lost || game.client.out_len == before);
        check();
        bytes += room;
        len -= room;
    }
}

/* A packet that is right, of a kind that leads on. */
static void give_good(uint8_t kind)
{
    uint8_t id = next() % 8, bytes[64];
    static const uint8_t code = 1;
    struct wire_packet p = {.version = game.client.config.connect.version, .packet_id = id + 1u};
    static const enum wire_type types[] = {WIRE_CONNACK, WIRE_PUBLISH, WIRE_PUBLISH, WIRE_PUBLISH,
                                           WIRE_PUBACK,  WIRE_PUBREC,  WIRE_PUBREL,  WIRE_PUBCOMP,
                                           WIRE_SUBACK,  WIRE_PINGRESP};
    kind %= sizeof types / sizeof types[0];
    p.type = types[kind];
    p.list = &code;
    p.list_len = 1;
    if (p.type == WIRE_CONNACK) {
        p.session_present = id & 1;
        p.props.receive_max = (uint16_t)(1 + id / 2);
        wire_set(&p.props, WIRE_RECEIVE_MAX);
    }
    if (p.type == WIRE_PUBLISH) {
        p.qos = kind - 1u;
        p.topic = (struct wire_text){"a", 1};
    }
    give(bytes, wire_encode(bytes, sizeof bytes, &p));
}

static void give_raw(uint8_t len)
{
    size_t left = (size_t)(game.end - game.data), n = len < left ? len : left;
    const uint8_t *bytes = game.data;
    game.data += n;
    give(bytes, n);
}

static void take(uint8_t most)
{
    uint32_t len;
    const uint8_t *bytes = wire_client_output(&game.client, &len);
    len = most < len ? most : len;
    if (len > STREAM_MAX - game.stream_len)
        abort();
    memcpy(game.stream + game.stream_len, bytes, len);
    game.stream_len += len;
    game.judged -= len;
    wire_client_sent(&game.client, len);
    check();
    read_stream();
}

static void begin(void)
{
    if (game.begun)
        wire_client_end(&game.client);
    game.begun = true;
    game.lost = game.goodbye = game.connect_seen = false;
    game.stream_len = 0;
    game.judged = 0;
    memset(game.sent_ids, 0, sizeof game.sent_ids);
    wire_client_begin(&game.client, game.now);
}

static void operate(uint8_t op)
{
    switch (op & 15) {
    case 0: begin(); break;
    case 1: give_good(op >> 4); break;
    case 2: give_raw(next()); break;
    case 3: take(next()); break;
    case 4: publish(op >> 4); break;
    case 5: subscribe(op >> 4); break;
    case 6:
        game.now += (uint32_t)next() << (op >> 4);
        (void)wire_client_poll(&game.client, game.now);
        break;
    case 7: wire_client_acknowledge(&game.client, 1 + next() % 8u, op & 16 ? WIRE_QUOTA_EXCEEDED : 0); break;
    case 8: game.habit = op >> 4; break;
    case 9: wire_client_disconnect(&game.client, 0); break;
    case 10:
        if (game.begun)
            wire_client_end(&game.client);
        game.begun = false;
        game.judged = 0;
        break;
    default: give_good(op & 15); break;
    }
    check();
}

static uint8_t *block(size_t len)
{
    uint8_t *bytes = malloc(len ? len : 1);
    must(bytes != NULL);
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    memset(&game, 0, sizeof game);
    game.data = data;
    game.end = data + len;
    uint8_t how = next();
    struct wire_slot slots[SLOTS_MAX] = {0};
    uint16_t received[RECEIVED_MAX];
    struct wire_client_config config = {
        .connect = {.version = how & 1 ? WIRE_MQTT5 : WIRE_MQTT311,
                    .clean_start = how & 2,
                    .keepalive_s = how & 4 ? 60 : 0,
                    .client_id = {"c", 1}},
        .events = {.connected = on_connected,
                   .message = on_message,
                   .published = on_published,
                   .subscribed = on_subscribed,
                   .lost = on_lost},
        .slots = slots,
        .slot_count = how >> 3 & 3,
        .received = received,
        .received_size = how >> 5 & 3,
        .in_size = 8 + next() % 64,
        .out_size = 8 + next() % 120,
    };
    game.now = (uint32_t)next() << 24 | 0xFFFFFF;
    config.in = block(config.in_size);
    config.out = block(config.out_size);
    for (uint16_t i = 0; i < config.slot_count; i++)
        slots[i] = (struct wire_slot){.buffer = block(SLOT_SIZE), .size = SLOT_SIZE};
    wire_client_init(&game.client, &config);
    while (game.data < game.end)
        operate(next());
    for (uint16_t i = 0; i < config.slot_count; i++)
        free(slots[i].buffer);
    free(config.out);
    free(config.in);
    return 0;
}
