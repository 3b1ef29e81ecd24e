/* Sequences of packets through the connection's state machine: four clients of a broker in this process, a clock that
 * moves, a keeper that settles late. The first byte says what the broker has: bit 0, sessions on disk; bit 1, an
 * authentication method. The rest is a program: an operation a byte, then what it needs.
 *
 *      bits 0, 1   which client            bits 2 to 6   which operation (enum below)
 *      bit 7       the broker turns afterwards; without it the next operation comes in the same piece
 *
 * What has to hold: whatever clients send, the broker says well-formed MQTT in the version of the connection: CONNACK
 * first and once, nothing behind DISCONNECT, no packet identifier twice at the same time.
 */
#include "base/log.h"
#include "mqtt/house.h"
#include "wire/mqtt.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum operation {
    CONNECT,
    SUBSCRIBE,
    UNSUBSCRIBE,
    PUBLISH,
    ACKNOWLEDGE,
    ANSWER, /* as a decent client would: acknowledges what has come */
    PING,
    DISCONNECT,
    AUTHENTICATE,
    RAW,    /* bytes of the input */
    DAMAGE, /* a well-formed PUBLISH with one byte changed */
    HANG_UP,
    WAIT,
    SETTLE,
    RESTART,
    OPERATIONS
};

enum { CLIENTS = 4, PACKET_BYTES = 4096, RESTARTS_MAX = 4, STEPS_MAX = 512 };

struct client {
    enum wire_version version;
    bool known;                /* the version: its first packet was a CONNECT of ours */
    bool sent;                 /* something on this connection */
    bool acked;                /* CONNACK has come */
    bool said_goodbye;         /* DISCONNECT has come */
    uint8_t in_use[65536 / 8]; /* packet identifiers that are under way to it */
};

struct program {
    const uint8_t *at, *end;
    struct house *house;
    struct client clients[CLIENTS];
    unsigned restarts;
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void on_log(enum log_level level, const char *line)
{
    (void)level, (void)line;
}

static uint8_t next(struct program *p)
{
    return p->at < p->end ? *p->at++ : 0;
}

/* ---- what comes from the broker ------------------------------------------------------------------------------------ */

static void forget(struct program *p, char who)
{
    struct client *client = &p->clients[who - 'A'];
    memset(client, 0, sizeof *client);
    house_forget(p->house, who);
}

static bool is_in_use(struct client *client, uint16_t id, bool use)
{
    uint8_t *byte = &client->in_use[id / 8], bit = (uint8_t)(1 << id % 8);
    bool was = *byte & bit;
    *byte = (uint8_t)(use ? *byte | bit : *byte & ~bit);
    return was;
}

static void look_at(struct client *client, const struct wire_packet *packet)
{
    require(!client->said_goodbye);
    if (packet->type == WIRE_AUTH) /* before CONNACK or behind it */
        return;
    require(client->acked == (packet->type != WIRE_CONNACK));
    client->acked = true;
    client->said_goodbye =
        packet->type == WIRE_DISCONNECT || (packet->type == WIRE_CONNACK && packet->reason);
    if (packet->type == WIRE_PUBLISH && packet->qos)
        require(packet->packet_id && !is_in_use(client, packet->packet_id, true));
}

static void send_ack(struct program *p, char who, enum wire_type type, uint16_t id, uint8_t reason)
{
    uint8_t bytes[WIRE_ACK_MAX];
    enum wire_version version = p->clients[who - 'A'].version;
    house_send(p->house, who, bytes, wire_encode_ack(bytes, type, version, id, reason));
}

static void answer(struct program *p, char who, const struct wire_packet *packet)
{
    if (packet->type == WIRE_PUBLISH && packet->qos == 1)
        send_ack(p, who, WIRE_PUBACK, packet->packet_id, 0);
    else if (packet->type == WIRE_PUBLISH && packet->qos == 2)
        send_ack(p, who, WIRE_PUBREC, packet->packet_id, 0);
    else if (packet->type == WIRE_PUBREL)
        send_ack(p, who, WIRE_PUBCOMP, packet->packet_id, 0);
    else
        return;
    if (packet->type == WIRE_PUBREL || packet->qos == 1)
        (void)is_in_use(&p->clients[who - 'A'], packet->packet_id, false);
}

static void hear(struct program *p, char who, bool answers)
{
    struct client *client = &p->clients[who - 'A'];
    struct house_client *socket = &p->house->clients[who - 'A'];
    struct wire_frame frame;
    struct wire_packet packet;
    const char *why;
    while (client->known && wire_frame(socket->in, socket->in_len, WIRE_REMAINING_MAX, &frame) == 1) {
        require(wire_decode(&packet, &frame, client->version, WIRE_FROM_SERVER, &why) == 0);
        look_at(client, &packet);
        if (answers)
            answer(p, who, &packet);
        house_take(p->house, who, frame.total);
    }
    require(!client->known || !socket->in_len); /* in one process packets come whole */
    if (!client->known)
        house_take(p->house, who, socket->in_len);
    if (socket->ended)
        forget(p, who);
}

static void turn(struct program *p)
{
    house_turn(p->house);
    for (char who = 'A'; who < 'A' + CLIENTS; who++)
        if (p->house->clients[who - 'A'].fd >= 0)
            hear(p, who, false);
}

/* ---- what goes to it ----------------------------------------------------------------------------------------------- */

static const char *const topics[] = {
    "a", "a/b", "a/b/c", "/", "slow/a", "$x/y", "b/\xC3\xA4", "long/topic/with/levels", "a/+", ""};
static const char *const filters[] = {"a",    "a/#",          "+/b",        "#",        "a/+/c", "slow/#",
                                      "$x/#", "$share/g/a/#", "$share/h/a", "$share/g", "/",     "a#"};

static struct wire_text text_of(const char *s)
{
    return (struct wire_text){s, (uint16_t)strlen(s)};
}

static size_t send_packet(struct program *p, char who, const struct wire_packet *packet, bool damage)
{
    uint8_t bytes[PACKET_BYTES];
    size_t len = wire_encode(bytes, sizeof bytes, packet);
    struct client *client = &p->clients[who - 'A'];
    if (!len)
        return 0;
    if (damage) {
        uint8_t where = next(p);
        bytes[where % len] = next(p);
        memset(p->clients[who - 'A'].in_use, 0, sizeof p->clients[0].in_use);
    }
    if (!client->sent && packet->type == WIRE_CONNECT && !damage) {
        client->known = true;
        client->version = packet->version;
    }
    client->sent = true;
    house_send(p->house, who, bytes, len);
    return len;
}

static void send_connect(struct program *p, char who)
{
    uint8_t what = next(p), more = next(p);
    static const enum wire_version versions[] = {WIRE_MQTT311, WIRE_MQTT5, WIRE_MQTT31, WIRE_MQTT5};
    static const char *const ids[] = {"a", "b", "c", ""};
    struct wire_packet packet = {
        .type = WIRE_CONNECT,
        .version = versions[what & 3],
        .clean_start = what & 4,
        .has_will = what & 8,
        .has_username = what & 16,
        .keepalive_s = what & 32 ? 10 : 0,
        .client_id = text_of(ids[more & 3]),
        .username = text_of("user"),
        .will = {.topic = text_of(topics[more % 8]),
                 .payload = text_of("gone"),
                 .qos = more % 3,
                 .retain = more & 4},
    };
    struct wire_props *props = &packet.props;
    if (what & 64) {
        props->session_expiry = more & 8 ? 100 : UINT32_MAX;
        wire_set(props, WIRE_SESSION_EXPIRY);
        packet.will.props.will_delay = more & 16 ? 5 : 1000;
        wire_set(&packet.will.props, WIRE_WILL_DELAY);
    }
    if (what & 128) {
        props->receive_max = (uint16_t)(1 + (more >> 5));
        wire_set(props, WIRE_RECEIVE_MAX);
        props->packet_max = 20u + more;
        wire_set(props, WIRE_PACKET_MAX);
    }
    if (what & 16) {
        props->auth_method = text_of("swordfish");
        wire_set(props, WIRE_AUTH_METHOD);
    }
    (void)send_packet(p, who, &packet, false);
}

static void send_auth(struct program *p, char who)
{
    static const char *const words[] = {"swordfish", "ask again", "", "shark"};
    uint8_t what = next(p);
    struct wire_packet packet = {.type = WIRE_AUTH,
                                 .version = WIRE_MQTT5,
                                 .reason = what & 4 ? WIRE_REAUTHENTICATE : WIRE_CONTINUE_AUTHENTICATION};
    packet.props.auth_method = text_of(what & 8 ? "other" : "swordfish");
    packet.props.auth_data = text_of(words[what & 3]);
    wire_set(&packet.props, WIRE_AUTH_METHOD);
    wire_set(&packet.props, WIRE_AUTH_DATA);
    (void)send_packet(p, who, &packet, false);
}

static void send_filters(struct program *p, char who, enum wire_type type)
{
    uint8_t list[512], count = (uint8_t)(1 + next(p) % 3);
    struct wire_packet packet = {.type = type,
                                 .version = p->clients[who - 'A'].version,
                                 .packet_id = (uint16_t)(1 + next(p) % 8),
                                 .list = list};
    bool v5 = packet.version == WIRE_MQTT5;
    for (; count; count--) {
        uint8_t which = next(p), options = next(p);
        struct wire_filter filter = {.filter = text_of(filters[which % array_size(filters)]),
                                     .qos = options % 3};
        if (v5) {
            filter.no_local = options & 4;
            filter.retain_as_published = options & 8;
            filter.retain_handling = (options >> 4) % 3;
        }
        packet.list_len = (uint32_t)wire_put_filter(list, packet.list_len, sizeof list, type, &filter);
        if (v5 && type == WIRE_SUBSCRIBE && options & 64) {
            packet.props.subscription_id = 1u + which;
            wire_set(&packet.props, WIRE_SUBSCRIPTION_ID);
        }
    }
    (void)send_packet(p, who, &packet, false);
}

static void send_publish(struct program *p, char who, bool damage)
{
    static const uint8_t payload[2048];
    uint8_t what = next(p), more = next(p);
    struct wire_packet packet = {
        .type = WIRE_PUBLISH,
        .version = p->clients[who - 'A'].version,
        .topic = text_of(topics[what % array_size(topics)]),
        .qos = more % 3,
        .retain = more & 4,
        .dup = more & 8 && more % 3,
        .packet_id = (uint16_t)(1 + (more >> 4 & 3)),
        .payload = payload,
        .payload_len = more & 64    ? 2000
                       : more & 128 ? 0
                                    : 5,
    };
    if (what & 32) {
        packet.props.message_expiry = 5;
        wire_set(&packet.props, WIRE_MESSAGE_EXPIRY);
    }
    if (what & 64) {
        packet.props.alias = (uint16_t)(1 + (what >> 4 & 3));
        wire_set(&packet.props, WIRE_ALIAS);
        if (what & 128)
            packet.topic.len = 0;
    }
    (void)send_packet(p, who, &packet, damage);
}

static void send_some_ack(struct program *p, char who)
{
    static const enum wire_type types[] = {WIRE_PUBACK, WIRE_PUBREC, WIRE_PUBREL, WIRE_PUBCOMP};
    uint8_t what = next(p);
    uint16_t id = (uint16_t)(1 + (what >> 2 & 15));
    enum wire_type type = types[what & 3];
    p->clients[who - 'A'].sent = true;
    send_ack(p, who, type, id, what & 64 ? WIRE_UNSPECIFIED : 0);
    if (type != WIRE_PUBREL) /* it may be free now, or not: no claim is made about it any more */
        memset(p->clients[who - 'A'].in_use, 0, sizeof p->clients[0].in_use);
}

static void send_raw(struct program *p, char who)
{
    size_t len = size_min(next(p) % 32u, (size_t)(p->end - p->at));
    p->clients[who - 'A'].sent = true;
    house_send(p->house, who, p->at, len);
    p->at += len;
    memset(p->clients[who - 'A'].in_use, 0, sizeof p->clients[0].in_use);
}

static void send_goodbye(struct program *p, char who)
{
    uint8_t what = next(p);
    struct wire_packet packet = {
        .type = WIRE_DISCONNECT, .version = p->clients[who - 'A'].version, .reason = what & 1 ? 4 : 0};
    if (what & 2) {
        packet.props.session_expiry = what >> 2;
        wire_set(&packet.props, WIRE_SESSION_EXPIRY);
    }
    (void)send_packet(p, who, &packet, false);
}

static void step(struct program *p)
{
    uint8_t op = next(p);
    char who = (char)('A' + (op & 3));
    struct house_client *socket = &p->house->clients[who - 'A'];
    if (!p->clients[who - 'A'].version)
        p->clients[who - 'A'].version = WIRE_MQTT311;
    switch ((enum operation)((op >> 2 & 31) % OPERATIONS)) {
    case CONNECT: send_connect(p, who); break;
    case SUBSCRIBE: send_filters(p, who, WIRE_SUBSCRIBE); break;
    case UNSUBSCRIBE: send_filters(p, who, WIRE_UNSUBSCRIBE); break;
    case PUBLISH: send_publish(p, who, false); break;
    case ACKNOWLEDGE: send_some_ack(p, who); break;
    case ANSWER:
        house_turn(p->house);
        if (socket->fd >= 0)
            hear(p, who, true);
        break;
    case PING: (void)send_packet(p, who, &(struct wire_packet){.type = WIRE_PINGREQ}, false); break;
    case DISCONNECT: send_goodbye(p, who); break;
    case AUTHENTICATE: send_auth(p, who); break;
    case RAW: send_raw(p, who); break;
    case DAMAGE: send_publish(p, who, true); break;
    case HANG_UP:
        if (next(p) & 1) /* after the broker has read it, or in the middle */
            house_turn(p->house);
        forget(p, who);
        break;
    case WAIT: house_wait(p->house, next(p) * 100); break;
    case SETTLE: (void)house_settle(p->house, op & 1, next(p) & 1 ? WIRE_QUOTA_EXCEEDED : 0); break;
    case RESTART:
        if (p->restarts++ < RESTARTS_MAX) {
            house_restart(p->house);
            memset(p->clients, 0, sizeof p->clients);
        }
        break;
    case OPERATIONS: break;
    }
    if (op & 128)
        turn(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct program p;
    log_capture(on_log);
    struct house_options options = house_options();
    options.broker.queue_max = 4;
    options.broker.inflight_max = 3;
    options.broker.unsettled_max = 3;
    options.broker.subscriptions_max = 6;
    options.broker.packet_max = 4096;
    options.broker.connect_timeout = 5000;
    options.store = len && data[0] & 1;
    options.swordfish = len && data[0] & 2;
    p = (struct program){.at = data + !!len, .end = data + len, .house = house_new(&options)};
    for (int steps = 0; p.at < p.end && steps < STEPS_MAX; steps++)
        step(&p);
    turn(&p);
    p.house = house_free(p.house);
    return 0;
}
