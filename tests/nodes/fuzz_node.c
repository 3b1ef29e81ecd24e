/* Any bytes from the gateway. The first byte of the input says how: bit 0, whether the node is led through a proper
 * connection first (else it gets the bytes in place of a CONNACK); bits 1 to 3, in which pieces they come. What has to hold:
 * the node speaks MQTT whatever it hears, closes what it opens, and rests when nothing happens.
 */
#include "ghn/node.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { HEARD_MAX = 4096 };

struct gateway {
    const uint8_t *bytes; /* what it says after the handshake, or in place of it */
    size_t len, piece;
    bool polite;
    uint8_t answers[HEARD_MAX], heard[HEARD_MAX];
    size_t answers_len, heard_len;
    int open;
};

static uint32_t now;

static uint32_t now_ms(void)
{
    return now;
}

static int random_bytes(uint8_t *p, size_t n)
{
    memset(p, 0x5A, n);
    return 0;
}

static void require(bool condition)
{
    if (!condition)
        abort();
}

static int open_stream(void *ctx, const char *host, uint16_t port)
{
    struct gateway *g = ctx;
    (void)host;
    (void)port;
    require(g->open++ == 0);
    g->answers_len = g->heard_len = 0;
    return 0;
}

static int state(void *ctx)
{
    (void)ctx;
    return 1;
}

static void answer(struct gateway *g, const struct wire_packet *p)
{
    static const uint8_t granted[] = {1};
    struct wire_packet a = {.version = WIRE_MQTT311, .packet_id = p->packet_id};
    if (p->type == WIRE_CONNECT)
        a.type = WIRE_CONNACK;
    else if (p->type == WIRE_SUBSCRIBE)
        a.type = WIRE_SUBACK, a.list = granted, a.list_len = 1;
    else if (p->type == WIRE_PUBLISH && p->qos)
        a.type = WIRE_PUBACK;
    else
        return;
    g->answers_len += wire_encode(g->answers + g->answers_len, sizeof g->answers - g->answers_len, &a);
}

static int send_bytes(void *ctx, const uint8_t *p, size_t n)
{
    struct gateway *g = ctx;
    struct wire_frame frame;
    struct wire_packet packet;
    const char *why;
    size_t taken = sizeof g->heard - g->heard_len;
    if (n > taken)
        n = taken;
    memcpy(g->heard + g->heard_len, p, n);
    g->heard_len += n;
    while (wire_frame(g->heard, g->heard_len, sizeof g->heard, &frame) == 1) {
        require(wire_decode(&packet, &frame, WIRE_MQTT311, WIRE_FROM_CLIENT, &why) == 0);
        if (g->polite)
            answer(g, &packet);
        g->heard_len -= frame.total;
        memmove(g->heard, g->heard + frame.total, g->heard_len);
    }
    return (int)n;
}

static size_t give(uint8_t *to, size_t n, const uint8_t *from, size_t len)
{
    n = n < len ? n : len;
    memcpy(to, from, n);
    return n;
}

static int recv_bytes(void *ctx, uint8_t *p, size_t n)
{
    struct gateway *g = ctx;
    if (g->answers_len) {
        n = give(p, n, g->answers, g->answers_len);
        g->answers_len -= n;
        memmove(g->answers, g->answers + n, g->answers_len);
        return (int)n;
    }
    if (!g->len)
        return 0;
    n = give(p, n < g->piece ? n : g->piece, g->bytes, g->len);
    g->bytes += n;
    g->len -= n;
    return (int)n;
}

static void close_stream(void *ctx)
{
    struct gateway *g = ctx;
    require(--g->open == 0);
}

static int on_desired(void *ctx, const char *key, const ghn_json *value)
{
    ghn_node *node = *(ghn_node **)ctx;
    char text[64];
    int64_t n = 0;
    (void)ghn_json_int(value, &n);
    ghn_json_out out;
    ghn_json_begin(&out, text, sizeof text);
    ghn_json_put_int(&out, key, n);
    if (ghn_json_finish(&out) > 0)
        require(ghn_report(node, text) == 0);
    require(ghn_telemetry(node, "key", "{\"a\":1}", 1) >= 0);
    return 0;
}

/* Polls until the node rests. */
static void poll_node(ghn_node *node)
{
    int turns = 0;
    int wait;
    do {
        wait = ghn_poll(node);
        require(wait >= 0 && ++turns < 10000);
    } while (!wait);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const ghn_port port = {now_ms, random_bytes};
    static struct gateway g;
    static ghn_node node;
    static ghn_node *self = &node;
    uint8_t rx[128], tx[400], ring[256];
    char reported[160];
    if (!len)
        return 0;
    g = (struct gateway){.bytes = data + 1, .len = len - 1, .polite = data[0] & 1};
    g.piece = (size_t)1 << (data[0] >> 1 & 7);
    ghn_stream stream = {open_stream, state, send_bytes, recv_bytes, close_stream, &g};
    ghn_config config = {
        .thing = "pump",
        .host = "h",
        .port = 1,
        .info = "{}",
        .rx = rx,
        .rx_size = sizeof rx,
        .tx = tx,
        .tx_size = sizeof tx,
        .reported = reported,
        .reported_size = sizeof reported,
        .ring = ring,
        .ring_size = sizeof ring,
        .ctx = &self,
        .on_desired = on_desired,
    };
    require(ghn_init(&node, &config, &port, &stream) == 0);
    require(ghn_report(&node, "{\"a\":0}") == 0);
    for (int i = 0; i < 6; i++) {
        require(ghn_telemetry(&node, "env", "{\"b\":1}", (unsigned)i & 1) == 0);
        poll_node(&node);
        now += 10000; /* back-off, pings and deadlines come up too */
    }
    ghn_close(&node);
    require(!g.open);
    return 0;
}
