/* A node's life is a circle, and what it has to say waits in a fixed order:
 *
 *      WAITING ──time──▶ OPENING ──stream up, CONNECT──▶ TALKING ──CONNACK, SUBACKs──▶ READY
 *         ▲                 │                              │                             │
 *         └──── back-off ───┴───────────── lost ───────────┴─────────────────────────────┘
 *
 *      online, info  ▶  (READY)  get  ▶  report  ▶  ring, oldest first
 *
 * Only one message of QoS 1 is under way; `flight` says which kind, and its acknowledgement sets the next one free. The
 * MQTT client underneath keeps it over a lost connection.
 *
 * What ends a connection is only noted in `lost`, wherever it is seen; ghn_poll() hangs up when it is back on its own level.
 */
#include "ghn/node.h"

#include "node_keys.h"
#include "node_telemetry.h"
#include "node_topic.h"

#include <string.h>

enum {
    KEEPALIVE_S = 60,
    CONNECT_TIME = 20000, /* from opening the stream to the last SUBACK; a slow serial line has to fit */
    OPENING_WAIT = 20,    /* how often a stream that is opening is looked at */
    OUTPUT_WAIT = 5,      /* and one that takes no bytes */
    REPORT_HOLD = 10000,  /* after "too many requests" */
    READS_MAX = 8,        /* in one poll */
    PUBACK_LEN = 4,
    QOS1_PUBLISH_MIN = 7 /* bytes of the shortest packet that asks for a PUBACK */
};

static uint32_t milliseconds_left(uint32_t until, uint32_t now)
{
    int32_t left = (int32_t)(until - now);
    return left > 0 ? (uint32_t)left : 0;
}

static void tell(const ghn_node *node, ghn_event event, int64_t detail)
{
    if (node->config->on_state)
        node->config->on_state(node->config->ctx, event, (int32_t)(detail > INT32_MAX ? INT32_MAX : detail));
}

/* ---- what the MQTT client says --------------------------------------------------------------------------------------- */

/* The client is the node's first member. */
static ghn_node *node_of(struct wire_client *client)
{
    return (ghn_node *)(void *)client;
}

static void lose(ghn_node *node, enum ghn_lost why)
{
    if (!node->lost)
        node->lost = why;
}

static void on_connected(struct wire_client *client, bool session_present)
{
    ghn_node *node = node_of(client);
    node->connected = true;
    node->up_since = client->now;
    node->online_due = true;
    node->info_due = node->config->info != NULL;
    if (node->config->keys)
        ghn_keys_worked(node->config->keys);
    tell(node, GHN_CONNECTED, session_present);
}

static void on_subscribed(struct wire_client *client, uint16_t packet_id, const uint8_t *codes,
                          uint32_t count)
{
    ghn_node *node = node_of(client);
    if (packet_id != node->subscription_id || count != 1) {
        lose(node, GHN_LOST_PROTOCOL);
        return;
    }
    if (codes[0] >= WIRE_UNSPECIFIED) {
        lose(node, GHN_LOST_REFUSED);
        return;
    }
    node->subscription_id = 0;
    node->subscriptions++;
}

static void on_shadow(ghn_node *node, ghn_shadow_topic topic, const struct wire_packet *publish)
{
    int64_t detail = 0;
    node->shadow.timestamp = 0;
    ghn_shadow_news news =
        ghn_shadow_take(&node->shadow, topic, (const char *)publish->payload, publish->payload_len, &detail);
    if (node->shadow.timestamp)
        ghn_set_time(node, node->shadow.timestamp);
    switch (news) {
    case GHN_SHADOW_NOTHING: break;
    case GHN_SHADOW_OLD: tell(node, GHN_DESIRED_OLD, detail); break;
    case GHN_SHADOW_DESIRED: tell(node, GHN_DESIRED, detail); break;
    case GHN_SHADOW_TOLD: tell(node, GHN_REPORT_TAKEN, detail); break;
    case GHN_SHADOW_REFUSED_FOR_NOW:
        node->report_held = true;
        node->report_at = node->mqtt.now + REPORT_HOLD;
        tell(node, GHN_REPORT_REFUSED, detail);
        break;
    case GHN_SHADOW_REFUSED: tell(node, GHN_REPORT_REFUSED, detail); break;
    }
}

static bool on_message(struct wire_client *client, const struct wire_packet *publish)
{
    ghn_node *node = node_of(client);
    char topic[GHN_TOPIC_SIZE];
    if (node->config->keys && ghn_node_take_key(node, publish)) {
        node->rekeyed = true;
        return true;
    }
    for (ghn_shadow_topic t = GHN_SHADOW_DELTA; node->config->reported && t < GHN_SHADOW_TOPICS; t++) {
        size_t len = ghn_topic(topic, GHN_TOPIC_SHADOW, node->config->thing, ghn_shadow_suffix(t));
        if (len == publish->topic.len && memcmp(topic, publish->topic.text, len) == 0) {
            on_shadow(node, t, publish);
            break;
        }
    }
    return true; /* what is not ours is acknowledged too, or it would come again */
}

static void on_published(struct wire_client *client, uint16_t packet_id, uint8_t reason)
{
    ghn_node *node = node_of(client);
    (void)packet_id; /* there is only one */
    (void)reason;    /* 3.1.1 has none */
    enum ghn_flight flight = node->flight;
    node->flight = GHN_FLIGHT_NONE;
    if (flight == GHN_FLIGHT_TELEMETRY)
        tell(node, GHN_DELIVERED, node->flight_seq);
    if (flight == GHN_FLIGHT_REPORT)
        tell(node, GHN_REPORTED, 0);
}

static void on_too_long(struct wire_client *client, uint32_t packet_len)
{
    tell(node_of(client), GHN_PACKET_TOO_LONG, packet_len);
}

static void on_lost(struct wire_client *client, enum wire_client_loss why, uint8_t reason)
{
    (void)reason;
    switch (why) {
    case WIRE_LOST_REFUSED: lose(node_of(client), GHN_LOST_REFUSED); break;
    case WIRE_LOST_SILENCE: lose(node_of(client), GHN_LOST_SILENT); break;
    case WIRE_LOST_PROTOCOL:
    case WIRE_LOST_DISCONNECTED:
    case WIRE_LOST_MEMORY: lose(node_of(client), GHN_LOST_PROTOCOL); break;
    }
}

/* ---- beginning and ending ------------------------------------------------------------------------------------------- */

static const struct wire_client_events events = {
    .connected = on_connected,
    .message = on_message,
    .published = on_published,
    .subscribed = on_subscribed,
    .too_long = on_too_long,
    .lost = on_lost,
};

/* The longest of CONNECT, SUBSCRIBE and the two status messages has to fit in one half of tx. */
static bool tx_is_large_enough(const ghn_config *config)
{
    enum {
        CONNECT_FIXED = 48
    }; /* fixed header, variable header, lengths, the will's gh/nodes//online and "0" */
    return 2 * strlen(config->thing) + CONNECT_FIXED <= config->tx_size / 2 &&
           ghn_publish_fits(config, GHN_TOPIC_SHADOW, "update/rejected", 0) && /* as long as its SUBSCRIBE */
           ghn_publish_fits(config, GHN_TOPIC_STATUS, "info", config->info ? strlen(config->info) : 0);
}

int ghn_init(ghn_node *node, const ghn_config *config, const ghn_port *port, const ghn_stream *stream)
{
    if (!ghn_name_is_valid(config->thing, GHN_THING_MAX) || (config->reported && !config->on_desired) ||
        (config->keys && (!config->secure || !config->serial)))
        return GHN_INVALID;
    if (config->rx_size < GHN_RX_MIN || !tx_is_large_enough(config))
        return GHN_TOO_LONG;

    memset(node, 0, sizeof *node);
    node->config = config;
    node->port = port;
    node->stream = stream;
    node->at = port->now_ms();
    ghn_shadow_init(&node->shadow, config->reported, config->reported_size, config->on_desired, config->ctx);
    ghn_ring_init(&node->ring, config->ring, config->ring ? config->ring_size : 0,
                  !config->ring_keeps_oldest);

    uint32_t half = (uint32_t)(config->tx_size / 2);
    node->slot = (struct wire_slot){.buffer = config->tx + half, .size = half};
    struct wire_client_config mqtt = {
        .events = events,
        .in = config->rx,
        .in_size = (uint32_t)config->rx_size,
        .out = config->tx,
        .out_size = half,
        .slots = &node->slot,
        .slot_count = 1,
        .connack_ms = CONNECT_TIME,
    };
    mqtt.connect.version = WIRE_MQTT311;
    mqtt.connect.keepalive_s = config->keepalive_s ? config->keepalive_s : KEEPALIVE_S;
    mqtt.connect.client_id = (struct wire_text){config->thing, (uint16_t)strlen(config->thing)};
    mqtt.connect.has_will = true;
    mqtt.connect.will.payload = (struct wire_text){"0", 1};
    mqtt.connect.will.qos = 1;
    mqtt.connect.will.retain = true;
    wire_client_init(&node->mqtt, &mqtt);
    return 0;
}

static void wait_for_next_attempt(ghn_node *node, uint32_t now)
{
    uint8_t chance[2] = {0x80, 0}; /* without entropy: the middle */
    (void)node->port->random(chance, sizeof chance);
    uint32_t wait = ghn_backoff_next(&node->backoff, (uint16_t)(chance[0] << 8 | chance[1]));
    node->state = GHN_STATE_WAITING;
    node->at = now + wait;
    tell(node, GHN_WAITING, wait);
}

/* Ends this connection, or this attempt at one. */
static void hang_up(ghn_node *node, uint32_t now)
{
    enum ghn_lost why = node->lost;
    if (node->state != GHN_STATE_WAITING)
        node->stream->close(node->stream->ctx);
    wire_client_end(&node->mqtt);
    if (node->connected)
        ghn_backoff_after(&node->backoff, now - node->up_since);
    node->connected = false;
    node->lost = GHN_NOT_LOST;
    tell(node, GHN_LOST, why);
    if (why == GHN_LOST_CLOSED)
        node->state = GHN_STATE_CLOSED;
    else
        wait_for_next_attempt(node, now);
}

static void open_stream(ghn_node *node, uint32_t now)
{
    uint8_t chance[4];
    if (node->port->random(chance, sizeof chance) < 0) {
        lose(node, GHN_LOST_ENTROPY);
        return;
    }
    ghn_shadow_connected(&node->shadow, (uint32_t)chance[0] << 24 | (uint32_t)chance[1] << 16 |
                                            (uint32_t)chance[2] << 8 | chance[3]);
    node->report_held = node->rekeyed = false;
    node->subscriptions = 0;
    node->subscription_id = 0;
    const char *host = node->config->host;
    uint16_t host_port = node->config->port;
    if ((node->config->keys && !ghn_node_use_key(node, &host, &host_port)) ||
        node->stream->open(node->stream->ctx, host, host_port) < 0) {
        lose(node, GHN_LOST_STREAM);
        return;
    }
    node->state = GHN_STATE_OPENING;
    node->at = now + CONNECT_TIME;
}

static void begin_mqtt(ghn_node *node, uint32_t now)
{
    char topic[GHN_TOPIC_SIZE];
    struct wire_text *will_topic = &node->mqtt.config.connect.will.topic;
    *will_topic = (struct wire_text){
        topic, (uint16_t)ghn_topic(topic, GHN_TOPIC_STATUS, node->config->thing, "online")};
    node->state = GHN_STATE_TALKING;
    wire_client_begin(&node->mqtt, now);
    *will_topic = (struct wire_text){0}; /* CONNECT is encoded; the topic need not live any longer */
}

/* ---- what the node has to say --------------------------------------------------------------------------------------- */

/* True when it has to be tried again. A text that can never go is left out: it must not keep the others from going. */
static bool send_status(ghn_node *node, const char *what, const char *payload)
{
    int id = ghn_publish(node, GHN_TOPIC_STATUS, what, 1, true, payload, strlen(payload));
    if (id > 0)
        node->flight = GHN_FLIGHT_STATUS;
    return id < 0 && id != WIRE_TOO_LONG;
}

static bool send_shadow(ghn_node *node)
{
    const char *payload;
    size_t len;
    bool is_report;
    if (node->report_held || !ghn_shadow_due(&node->shadow, &payload, &len, &is_report))
        return false;
    if (ghn_publish(node, GHN_TOPIC_SHADOW, is_report ? "update" : "get", 1, false, payload, len) < 0)
        return false;
    ghn_shadow_sent(&node->shadow, is_report);
    node->flight = is_report ? GHN_FLIGHT_REPORT : GHN_FLIGHT_GET;
    return true;
}

/* The next thing that is due, in the order of the picture above; false when nothing more can go now. */
static bool send_next(ghn_node *node)
{
    if (node->flight)
        return false;
    if (node->online_due) {
        node->online_due = send_status(node, "online", "1");
        return !node->online_due;
    }
    if (node->info_due) {
        node->info_due = send_status(node, "info", node->config->info);
        return !node->info_due;
    }
    if (node->state != GHN_STATE_READY)
        return false;
    if (node->config->reported && send_shadow(node))
        return true;
    return ghn_telemetry_send_oldest(node);
}

/* Asks for one topic of the shadow after the other; behind the last the node is ready. */
static void subscribe_next(ghn_node *node)
{
    char topic[GHN_TOPIC_SIZE];
    if (node->state != GHN_STATE_TALKING || !node->connected || node->subscription_id)
        return;
    unsigned of_keys = node->config->keys ? 1 : 0; /* first, so that it stands before "online" is said */
    if (node->subscriptions == of_keys + (node->config->reported ? GHN_SHADOW_TOPICS : 0)) {
        node->state = GHN_STATE_READY;
        tell(node, GHN_READY, 0);
        return;
    }
    struct wire_filter filter = {.qos = 1};
    filter.filter.text = topic;
    if (node->subscriptions < of_keys)
        filter.filter.len = (uint16_t)ghn_topic(topic, GHN_TOPIC_STATUS, node->config->thing, GHN_KEY_NEXT);
    else
        filter.filter.len =
            (uint16_t)ghn_topic(topic, GHN_TOPIC_SHADOW, node->config->thing,
                                ghn_shadow_suffix((ghn_shadow_topic)(node->subscriptions - of_keys)));
    int id = wire_client_subscribe(&node->mqtt, &filter, 1);
    if (id > 0)
        node->subscription_id = (uint16_t)id;
}

/* ---- a turn --------------------------------------------------------------------------------------------------------- */

static void write_stream(ghn_node *node)
{
    uint32_t len;
    for (const uint8_t *bytes; bytes = wire_client_output(&node->mqtt, &len), len;) {
        int n = node->stream->send(node->stream->ctx, bytes, len);
        if (n < 0)
            lose(node, GHN_LOST_STREAM);
        if (n <= 0)
            return;
        wire_client_sent(&node->mqtt, (uint32_t)n);
    }
}

/* As many bytes as surely do not ask for more acknowledgements than the output has room for. */
static uint32_t readable(const ghn_node *node, uint32_t room)
{
    uint32_t acks = (node->mqtt.config.out_size - node->mqtt.out_len) / PUBACK_LEN;
    uint32_t limit =
        acks > 1 ? (acks - 1) * QOS1_PUBLISH_MIN : 0; /* one may be finished by what has come already */
    return room < limit ? room : limit;
}

/* True when there may be more. */
static bool read_stream(ghn_node *node, uint32_t now)
{
    uint32_t room;
    uint8_t *to = wire_client_room(&node->mqtt, &room);
    uint32_t len = readable(node, room);
    if (!len)
        return false;
    int n = node->stream->recv(node->stream->ctx, to, len);
    if (n < 0)
        lose(node, GHN_LOST_STREAM);
    if (n <= 0)
        return false;
    node->reading = true;
    wire_client_received(&node->mqtt, (uint32_t)n, now);
    node->reading = false;
    return true;
}

/* Reads, answers, says what is due, writes. Returns when the next turn has to be. */
static uint32_t talk(ghn_node *node, uint32_t now)
{
    int reads = 0;
    write_stream(node);
    while (!node->lost && reads < READS_MAX && read_stream(node, now)) {
        write_stream(node);
        reads++;
    }
    if (node->report_held && !milliseconds_left(node->report_at, now))
        node->report_held = false;
    while (!node->lost) {
        subscribe_next(node);
        if (!send_next(node))
            break;
        write_stream(node);
    }
    uint32_t wait = wire_client_poll(&node->mqtt, now);
    write_stream(node);
    if (node->ring.dropped != node->dropped_told) {
        node->dropped_told = node->ring.dropped;
        tell(node, GHN_DROPPED, node->dropped_told);
    }

    if (node->rekeyed && !node->mqtt.out_len) {
        node->rekeyed = false;
        lose(node, GHN_LOST_REKEYED);
    }
    if (node->lost)
        return 0;
    if (node->state == GHN_STATE_TALKING) {
        uint32_t left = milliseconds_left(node->at, now);
        if (!left)
            lose(node, GHN_LOST_SILENT);
        wait = left < wait ? left : wait;
    }
    if (node->report_held) {
        uint32_t left = milliseconds_left(node->report_at, now);
        wait = left < wait ? left : wait;
    }
    if (reads == READS_MAX)
        wait = 0;
    if (node->mqtt.out_len && wait > OUTPUT_WAIT)
        wait = OUTPUT_WAIT;
    return wait;
}

static uint32_t turn(ghn_node *node, uint32_t now)
{
    int state;
    switch (node->state) {
    case GHN_STATE_CLOSED: return UINT32_MAX;
    case GHN_STATE_WAITING:
        if (milliseconds_left(node->at, now))
            return milliseconds_left(node->at, now);
        open_stream(node, now);
        return 0;
    case GHN_STATE_OPENING:
        state = node->stream->state(node->stream->ctx);
        if (state < 0)
            lose(node, GHN_LOST_STREAM);
        else if (!state && !milliseconds_left(node->at, now))
            lose(node, GHN_LOST_SILENT);
        if (state > 0)
            begin_mqtt(node, now);
        return state ? 0 : OPENING_WAIT;
    case GHN_STATE_TALKING:
    case GHN_STATE_READY: break;
    }
    return talk(node, now);
}

int ghn_poll(ghn_node *node)
{
    uint32_t now = node->port->now_ms();
    ghn_telemetry_keep_time(node, now);
    uint32_t wait = turn(node, now);
    if (node->lost) {
        hang_up(node, now);
        wait = milliseconds_left(node->at, now);
    }
    return wait > INT32_MAX ? INT32_MAX : (int)wait;
}

int ghn_ready(const ghn_node *node)
{
    return node->state == GHN_STATE_READY;
}

int ghn_report(ghn_node *node, const char *json)
{
    size_t len = strlen(json);
    if (!node->config->reported)
        return GHN_INVALID;
    if (!ghn_publish_fits(node->config, GHN_TOPIC_SHADOW, "update", len + GHN_SHADOW_ENVELOPE))
        return GHN_TOO_LONG;
    return ghn_shadow_report(&node->shadow, json, len);
}

void ghn_close(ghn_node *node)
{
    if (node->state == GHN_STATE_CLOSED)
        return;
    if (node->connected) {
        /* If the farewell does not fit, there is none, and the gateway publishes the will. */
        if (ghn_publish(node, GHN_TOPIC_STATUS, "online", 0, true, "0", 1) == 0)
            wire_client_disconnect(&node->mqtt, 0);
        write_stream(node);
    }
    node->lost = GHN_LOST_CLOSED;
    hang_up(node, node->port->now_ms());
}
