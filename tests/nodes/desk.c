#include "nodes/desk.h"

#include <stdio.h>

uint32_t desk_now;
int desk_random_byte;

/* ---- the port -------------------------------------------------------------------------------------------------------- */

static uint32_t now_ms(void)
{
    return desk_now;
}

static int random_bytes(uint8_t *p, size_t n)
{
    if (desk_random_byte < 0)
        return -1;
    memset(p, desk_random_byte, n);
    return 0;
}

static const ghn_port port = {.now_ms = now_ms, .random = random_bytes};

static int stream_open(void *ctx, const char *host, uint16_t number)
{
    struct desk *desk = ctx;
    CHECK_STR(host, "gateway");
    CHECK_INT(number, 1883);
    CHECK_INT(desk->opens, desk->closes); /* the former one was closed */
    if (desk->open_result < 0)
        return desk->open_result;
    desk->opens++;
    desk->to_node_len = desk->from_node_len = 0;
    desk->broken = false;
    return 0;
}

static int stream_state(void *ctx)
{
    const struct desk *desk = ctx;
    return desk->stream_state;
}

static int stream_send(void *ctx, const uint8_t *p, size_t n)
{
    struct desk *desk = ctx;
    if (desk->broken)
        return -1;
    n = n < desk->send_budget ? n : desk->send_budget;
    desk->send_budget -= desk->send_budget == SIZE_MAX ? 0 : n;
    CHECK(desk->from_node_len + n <= sizeof desk->from_node);
    memcpy(desk->from_node + desk->from_node_len, p, n);
    desk->from_node_len += n;
    return (int)n;
}

static int stream_recv(void *ctx, uint8_t *p, size_t n)
{
    struct desk *desk = ctx;
    if (desk->broken)
        return -1;
    n = n < desk->recv_limit ? n : desk->recv_limit;
    n = n < desk->to_node_len ? n : desk->to_node_len;
    memcpy(p, desk->to_node, n);
    desk->to_node_len -= n;
    memmove(desk->to_node, desk->to_node + n, desk->to_node_len);
    return (int)n;
}

static void stream_close(void *ctx)
{
    struct desk *desk = ctx;
    desk->closes++;
    CHECK_INT(desk->closes, desk->opens);
}

/* ---- the application -------------------------------------------------------------------------------------------------- */

static void report(struct desk *desk)
{
    char text[64];
    (void)snprintf(text, sizeof text, "{\"interval\":%lld}", (long long)desk->interval);
    CHECK_INT(ghn_report(&desk->node, text), 0);
}

static int on_desired(void *ctx, const char *key, const ghn_json *value)
{
    struct desk *desk = ctx;
    int64_t n;
    if (strcmp(key, "interval") != 0 || ghn_json_int(value, &n) < 0 || n > 5000)
        return 1;
    desk->interval = n;
    report(desk);
    return 0;
}

static void on_state(void *ctx, ghn_event event, int32_t detail)
{
    static const char *const names[] = {
        [GHN_CONNECTED] = "connected",
        [GHN_READY] = "ready",
        [GHN_LOST] = "lost",
        [GHN_WAITING] = "waiting",
        [GHN_DELIVERED] = "delivered",
        [GHN_DESIRED] = "desired",
        [GHN_DESIRED_OLD] = "desired old",
        [GHN_REPORTED] = "reported",
        [GHN_REPORT_TAKEN] = "taken",
        [GHN_REPORT_REFUSED] = "refused",
        [GHN_PACKET_TOO_LONG] = "too long",
        [GHN_DROPPED] = "dropped",
    };
    struct desk *desk = ctx;
    size_t len = strlen(desk->events);
    (void)snprintf(desk->events + len, sizeof desk->events - len, "%s %d; ", names[event], detail);
}

/* ---- the gateway's side ----------------------------------------------------------------------------------------------- */

void desk_init(struct desk *desk)
{
    memset(desk, 0, sizeof *desk);
    desk_now = UINT32_MAX - 5000; /* the clock wraps in most tests */
    desk_random_byte = 0xFF;
    desk->send_budget = desk->recv_limit = SIZE_MAX;
    desk->stream_state = 1;
    desk->interval = 1000;
    desk->stream = (ghn_stream){stream_open, stream_state, stream_send, stream_recv, stream_close, desk};
    desk->config = (ghn_config){
        .thing = "pump",
        .host = "gateway",
        .port = 1883,
        .rx = desk->rx,
        .rx_size = sizeof desk->rx,
        .tx = desk->tx,
        .tx_size = sizeof desk->tx,
        .reported = desk->reported,
        .reported_size = sizeof desk->reported,
        .ring = desk->ring,
        .ring_size = sizeof desk->ring,
        .ctx = desk,
        .on_desired = on_desired,
        .on_state = on_state,
    };
    CHECK_INT(desk_restart(desk), 0);
}

int desk_restart(struct desk *desk)
{
    int r = ghn_init(&desk->node, &desk->config, &port, &desk->stream);
    if (r == 0 && desk->config.reported)
        report(desk);
    return r;
}

void desk_poll(struct desk *desk)
{
    int turns = 0;
    do {
        desk->wait = ghn_poll(&desk->node);
        CHECK(desk->wait >= 0);
        CHECK(++turns < 1000); /* a node that never rests would drain its battery */
    } while (!desk->wait);
}

void desk_after(struct desk *desk, uint32_t ms)
{
    desk_now += ms;
    desk_poll(desk);
}

const char *desk_events(struct desk *desk)
{
    size_t len = strlen(desk->events);
    if (len >= 2)
        len -= 2; /* the last separator */
    memcpy(desk->line, desk->events, len);
    desk->line[len] = '\0';
    desk->events[0] = '\0';
    return desk->line;
}

static void describe(struct desk *desk, const struct wire_packet *p)
{
    char *line = desk->line;
    size_t size = sizeof desk->line;
    struct wire_filter filter;
    uint32_t at = 0;
    switch (p->type) {
    case WIRE_CONNECT:
        (void)snprintf(line, size, "CONNECT %.*s clean=%d keepalive=%d will=%.*s:%.*s:q%d%s",
                       p->client_id.len, p->client_id.text, p->clean_start, p->keepalive_s, p->will.topic.len,
                       p->will.topic.text, p->will.payload.len, p->will.payload.text, p->will.qos,
                       p->will.retain ? ":retain" : "");
        break;
    case WIRE_PUBLISH:
        (void)snprintf(line, size, "PUBLISH %d q%d%s%s %.*s %.*s", p->packet_id, p->qos, p->dup ? " dup" : "",
                       p->retain ? " retain" : "", p->topic.len, p->topic.text, (int)p->payload_len,
                       (const char *)p->payload);
        break;
    case WIRE_SUBSCRIBE:
        CHECK(wire_filter_next(p, &at, &filter));
        (void)snprintf(line, size, "SUBSCRIBE %d q%d %.*s", p->packet_id, filter.qos, filter.filter.len,
                       filter.filter.text);
        CHECK(!wire_filter_next(p, &at, &filter));
        break;
    case WIRE_PUBACK: (void)snprintf(line, size, "PUBACK %d", p->packet_id); break;
    case WIRE_PINGREQ: (void)snprintf(line, size, "PINGREQ"); break;
    case WIRE_DISCONNECT: (void)snprintf(line, size, "DISCONNECT"); break;
    default: FAIL("a node does not send packets of type %d", p->type);
    }
}

/* Takes the node's next packet; its fields are valid until the next call. False when none is complete. */
static bool take(struct desk *desk, struct wire_packet *packet)
{
    static uint8_t bytes[1024]; /* the packet's own: the sanitizer guards its end */
    struct wire_frame frame;
    const char *why = NULL;
    if (wire_frame(desk->from_node, desk->from_node_len, sizeof bytes, &frame) != 1)
        return false;
    memcpy(bytes, desk->from_node, frame.total);
    desk->from_node_len -= frame.total;
    memmove(desk->from_node, desk->from_node + frame.total, desk->from_node_len);
    frame.body = bytes + (frame.total - frame.body_len);
    if (wire_decode(packet, &frame, WIRE_MQTT311, WIRE_FROM_CLIENT, &why) != 0)
        FAIL("the node sent what is not MQTT: %s", why);
    return true;
}

const char *desk_next(struct desk *desk)
{
    struct wire_packet packet;
    if (!take(desk, &packet))
        return desk->from_node_len ? "part" : "";
    describe(desk, &packet);
    return desk->line;
}

void desk_send_bytes(struct desk *desk, const void *bytes, size_t len)
{
    CHECK(desk->to_node_len + len <= sizeof desk->to_node);
    memcpy(desk->to_node + desk->to_node_len, bytes, len);
    desk->to_node_len += len;
}

void desk_send(struct desk *desk, const struct wire_packet *packet)
{
    uint8_t bytes[2048];
    size_t len = wire_encode(bytes, sizeof bytes, packet);
    CHECK(len);
    desk_send_bytes(desk, bytes, len);
}

void desk_send_publish(struct desk *desk, unsigned qos, uint16_t id, const char *topic, const char *payload)
{
    struct wire_packet p = {
        .type = WIRE_PUBLISH, .version = WIRE_MQTT311, .qos = (uint8_t)qos, .packet_id = id};
    p.topic = (struct wire_text){topic, (uint16_t)strlen(topic)};
    p.payload = (const uint8_t *)payload;
    p.payload_len = (uint32_t)strlen(payload);
    desk_send(desk, &p);
}

void desk_connack(struct desk *desk, bool session_present, uint8_t reason)
{
    struct wire_packet p = {.type = WIRE_CONNACK, .version = WIRE_MQTT311};
    p.session_present = session_present;
    p.reason = reason;
    desk_send(desk, &p);
}

void desk_ack(struct desk *desk, enum wire_type type, uint16_t id)
{
    static const uint8_t granted[] = {1};
    struct wire_packet p = {.type = type, .version = WIRE_MQTT311, .packet_id = id};
    if (type == WIRE_SUBACK) {
        p.list = granted;
        p.list_len = 1;
    }
    desk_send(desk, &p);
}

void desk_serve(struct desk *desk)
{
    struct wire_packet p;
    desk_poll(desk);
    while (take(desk, &p)) {
        if (p.type == WIRE_CONNECT)
            desk_connack(desk, false, 0);
        else if (p.type == WIRE_SUBSCRIBE)
            desk_ack(desk, WIRE_SUBACK, p.packet_id);
        else if (p.type == WIRE_PUBLISH && p.qos)
            desk_ack(desk, WIRE_PUBACK, p.packet_id);
        else if (p.type == WIRE_PINGREQ)
            desk_send_bytes(desk, "\xD0\x00", 2);
        desk_poll(desk);
    }
}

void desk_make_ready(struct desk *desk)
{
    desk_serve(desk);
    CHECK(ghn_ready(&desk->node));
    (void)desk_events(desk);
}
