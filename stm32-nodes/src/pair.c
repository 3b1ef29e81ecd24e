/* An attempt goes through its steps in order; whatever goes wrong ends it, and the next begins five seconds after it began.
 *
 *      WAITING ─▶ OPENING ─▶ CONNECTING ─▶ SUBSCRIBING ─▶ ASKING ─▶ TELLING ─▶ done
 *                 handshake   CONNACK       SUBACK         offer     PUBACK of the commit
 *
 * A commit that is lost does no harm: the first connection with the new key is one. So TELLING is not waited for for long.
 */
#include "ghn/pair.h"

#include "ghn/json.h"

#include <string.h>

enum step { WAITING, OPENING, CONNECTING, SUBSCRIBING, ASKING, TELLING };

enum {
    HANDSHAKE_TIME = 15000, /* the gateway may let somebody who has failed often wait */
    ANSWER_TIME = 10000,
    COMMIT_TIME = 3000,
    OPENING_WAIT = 20,
    OUTPUT_WAIT = 5,
    TOPIC_SIZE = sizeof "gh/pair//commit" + GHN_SERIAL_MAX,
    HELLO_SIZE = 128,
};

/* SHA-256 of "gh-cable-v1": no secret, the cable is the proof. */
static const uint8_t cable_key[GHN_KEY_SIZE] = {
    0xc9, 0x53, 0xca, 0xc0, 0x39, 0x94, 0xde, 0x46, 0xd9, 0x16, 0x0b, 0x8d, 0x01, 0x95, 0x5c, 0x80,
    0x02, 0x6b, 0xd2, 0xff, 0x6b, 0xab, 0x88, 0x88, 0xab, 0x60, 0x44, 0x6f, 0x5a, 0xd9, 0x37, 0x35};

static ghn_pair *pair_of(struct wire_client *client)
{
    return (ghn_pair *)(void *)client;
}

static void tell(const ghn_pair *pair, ghn_pair_event event, int32_t detail)
{
    if (pair->config->on_event)
        pair->config->on_event(pair->config->ctx, event, detail);
}

static void go_to(ghn_pair *pair, enum step step, uint32_t now, uint32_t time)
{
    pair->step = (uint8_t)step;
    pair->at = now + time;
}

static uint32_t left(uint32_t until, uint32_t now)
{
    int32_t ms = (int32_t)(until - now);
    return ms > 0 ? (uint32_t)ms : 0;
}

static uint16_t topic_of(const ghn_pair *pair, char *topic, const char *last)
{
    const char *const parts[] = {"gh/pair/", pair->config->identity->serial, "/", last};
    size_t len = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t n = strlen(parts[i]);
        memcpy(topic + len, parts[i], n);
        len += n;
    }
    return (uint16_t)len;
}

static int say(ghn_pair *pair, const char *last, const char *payload, size_t len)
{
    char topic[TOPIC_SIZE];
    struct wire_packet p = {.qos = 1, .payload = (const uint8_t *)payload, .payload_len = (uint32_t)len};
    p.topic = (struct wire_text){topic, topic_of(pair, topic, last)};
    return wire_client_publish(&pair->mqtt, &p);
}

/* ---- the offer -------------------------------------------------------------------------------------------------------- */

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_key(const ghn_json *value, uint8_t key[GHN_KEY_SIZE])
{
    char text[2 * GHN_KEY_SIZE + 1];
    if (ghn_json_string(value, text, sizeof text) < 0 || strlen(text) != sizeof text - 1)
        return GHN_INVALID;
    int bad = 0;
    for (size_t i = 0; i < GHN_KEY_SIZE; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        bad |= high < 0 || low < 0;
        key[i] = (uint8_t)(((unsigned)high & 15U) << 4 | ((unsigned)low & 15U));
    }
    ghn_wipe(text, sizeof text);
    return bad ? GHN_INVALID : GHN_OK;
}

int ghn_offer_read(ghn_credentials *ret, const char *serial, const char *text, size_t len)
{
    ghn_json doc, value;
    int64_t number;
    char id[GHN_KEY_ID_SIZE];
    if (ghn_json_parse(&doc, text, len) < 0)
        return GHN_INVALID;
    if (ghn_json_member(&doc, "v", &value) && (ghn_json_int(&value, &number) < 0 || number != 1))
        return GHN_INVALID;
    if (!ghn_json_member(&doc, "gen", &value) || ghn_json_int(&value, &number) < 0 || number < 1 ||
        number > 999999999)
        return GHN_INVALID;
    ret->generation = (uint32_t)number;
    ghn_key_id(id, serial, ret->generation);
    if (!ghn_json_member(&doc, "id", &value) || !ghn_json_is(&value, id))
        return GHN_INVALID;
    if (!ghn_json_member(&doc, "key", &value) || read_key(&value, ret->key) < 0)
        return GHN_INVALID;
    if (ghn_json_member(&doc, "thing", &value) && ghn_json_string(&value, ret->thing, sizeof ret->thing) < 0)
        return GHN_INVALID;
    if (ghn_json_member(&doc, "host", &value) && ghn_json_string(&value, ret->host, sizeof ret->host) < 0)
        return GHN_INVALID;
    if (ghn_json_member(&doc, "port", &value)) {
        if (ghn_json_int(&value, &number) < 0 || number < 1 || number > UINT16_MAX)
            return GHN_INVALID;
        ret->port = (uint16_t)number;
    }
    return GHN_OK;
}

static void put_int_payload(char *text, size_t size, int *len, int64_t generation)
{
    ghn_json_out out;
    ghn_json_begin(&out, text, size);
    ghn_json_put_int(&out, "gen", generation);
    *len = ghn_json_finish(&out);
}

static void take_offer(ghn_pair *pair, const struct wire_packet *publish)
{
    ghn_credentials offered;
    char text[32];
    int len = 0;
    memset(&offered, 0, sizeof offered);
    int r = ghn_offer_read(&offered, pair->config->identity->serial, (const char *)publish->payload,
                           publish->payload_len);
    if (r < 0 || !offered.thing[0])
        return; /* not what a gateway says; ASKING ends by itself */
    tell(pair, GHN_PAIR_OFFERED, (int32_t)offered.generation);
    r = ghn_keys_put(pair->keys, &offered);
    ghn_wipe(offered.key, sizeof offered.key);
    if (r < 0) {
        static const char why[] = "{\"reason\":\"storage\"}";
        tell(pair, GHN_PAIR_REFUSED, r);
        pair->telling = say(pair, "refuse", why, sizeof why - 1);
    } else {
        put_int_payload(text, sizeof text, &len, offered.generation);
        pair->telling = say(pair, "commit", text, (size_t)len);
        pair->committed = true;
    }
    go_to(pair, TELLING, pair->mqtt.now, COMMIT_TIME);
}

/* ---- what the MQTT client says ----------------------------------------------------------------------------------------- */

static void on_connected(struct wire_client *client, bool session_present)
{
    (void)session_present;
    ghn_pair *pair = pair_of(client);
    char topic[TOPIC_SIZE];
    struct wire_filter filter = {.qos = 0};
    filter.filter = (struct wire_text){topic, topic_of(pair, topic, "offer")};
    if (wire_client_subscribe(client, &filter, 1) < 0)
        pair->lost = true;
    go_to(pair, SUBSCRIBING, client->now, ANSWER_TIME);
}

static void on_subscribed(struct wire_client *client, uint16_t packet_id, const uint8_t *codes,
                          uint32_t count)
{
    (void)packet_id;
    ghn_pair *pair = pair_of(client);
    const ghn_identity *identity = pair->config->identity;
    char text[HELLO_SIZE];
    ghn_json_out out;
    ghn_json_begin(&out, text, sizeof text);
    ghn_json_put_int(&out, "v", 1);
    ghn_json_put_string(&out, "model", identity->model);
    ghn_json_put_string(&out, "fw", pair->config->firmware);
    ghn_json_put_raw(&out, "cred", "[\"psk\"]", 7);
    int len = ghn_json_finish(&out);
    if (count != 1 || codes[0] >= WIRE_UNSPECIFIED || len < 0 || say(pair, "hello", text, (size_t)len) < 0)
        pair->lost = true;
    go_to(pair, ASKING, client->now, ANSWER_TIME);
}

static bool on_message(struct wire_client *client, const struct wire_packet *publish)
{
    ghn_pair *pair = pair_of(client);
    char topic[TOPIC_SIZE];
    uint16_t len = topic_of(pair, topic, "offer");
    if (pair->step == ASKING && publish->topic.len == len && memcmp(publish->topic.text, topic, len) == 0)
        take_offer(pair, publish);
    return true;
}

static void on_published(struct wire_client *client, uint16_t packet_id, uint8_t reason)
{
    (void)reason;
    ghn_pair *pair = pair_of(client);
    if (pair->step == TELLING && pair->telling == (int)packet_id)
        pair->lost = true; /* all is said */
}

static void on_lost(struct wire_client *client, enum wire_client_loss why, uint8_t reason)
{
    (void)why, (void)reason;
    pair_of(client)->lost = true;
}

/* ---- life ---------------------------------------------------------------------------------------------------------------- */

int ghn_pair_init(ghn_pair *pair, const ghn_pair_config *config, const ghn_port *port,
                  const ghn_secure *secure, ghn_keys *keys)
{
    if (!config->identity || !config->host || !config->firmware)
        return GHN_INVALID;
    if (config->rx_size < GHN_PAIR_RX_MIN || config->tx_size < GHN_PAIR_TX_MIN)
        return GHN_TOO_LONG;
    memset(pair, 0, sizeof *pair);
    pair->config = config;
    pair->port = port;
    pair->secure = secure;
    pair->keys = keys;
    pair->begun = pair->at = port->now_ms();
    memcpy(pair->client_id, "pair-", 5);
    memcpy(pair->client_id + 5, config->identity->serial, strlen(config->identity->serial) + 1);
    uint32_t third = (uint32_t)(config->tx_size / 3);
    for (uint32_t i = 0; i < 2; i++)
        pair->slots[i] = (struct wire_slot){.buffer = config->tx + third * (i + 1), .size = third};
    struct wire_client_config mqtt = {
        .events = {.connected = on_connected,
                   .message = on_message,
                   .published = on_published,
                   .subscribed = on_subscribed,
                   .lost = on_lost},
        .in = config->rx,
        .in_size = (uint32_t)config->rx_size,
        .out = config->tx,
        .out_size = third,
        .slots = pair->slots,
        .slot_count = 2,
    };
    mqtt.connect.version = WIRE_MQTT311;
    mqtt.connect.clean_start = true;
    mqtt.connect.keepalive_s = 60;
    mqtt.connect.client_id = (struct wire_text){pair->client_id, (uint16_t)strlen(pair->client_id)};
    wire_client_init(&pair->mqtt, &mqtt);
    return GHN_OK;
}

static void hang_up(ghn_pair *pair, uint32_t now)
{
    if (pair->step != WAITING)
        pair->secure->stream.close(pair->secure->stream.ctx);
    wire_client_end(&pair->mqtt);
    pair->slots[0].len = pair->slots[1].len = 0; /* what was under way is of no use to the next attempt */
    pair->lost = false;
    if (pair->committed) {
        pair->state = GHN_PAIR_DONE;
        tell(pair, GHN_PAIR_KEPT, 0);
        return;
    }
    tell(pair, GHN_PAIR_FAILED, pair->was_through);
    go_to(pair, WAITING, now, GHN_PAIR_EVERY);
}

static void open_stream(ghn_pair *pair, uint32_t now)
{
    const ghn_identity *identity = pair->config->identity;
    const ghn_stream *stream = &pair->secure->stream;
    const char *role = pair->config->cable ? "cable:" : "pair:";
    const uint8_t *key = pair->config->cable ? cable_key : identity->pairing_key;
    char id[sizeof "cable:" + GHN_SERIAL_MAX];
    size_t role_len = strlen(role), len = strlen(identity->serial);
    memcpy(id, role, role_len);
    memcpy(id + role_len, identity->serial, len + 1);
    pair->was_through = false;
    tell(pair, GHN_PAIR_ASKS, (int32_t)++pair->attempts);
    if (pair->secure->use(pair->secure->ctx, id, key) < 0 ||
        stream->open(stream->ctx, pair->config->host, pair->config->port) < 0) {
        pair->lost = true;
        return;
    }
    go_to(pair, OPENING, now, HANDSHAKE_TIME);
}

static void write_stream(ghn_pair *pair)
{
    const ghn_stream *stream = &pair->secure->stream;
    uint32_t len;
    for (const uint8_t *bytes; bytes = wire_client_output(&pair->mqtt, &len), len;) {
        int n = stream->send(stream->ctx, bytes, len);
        if (n < 0)
            pair->lost = true;
        if (n <= 0)
            return;
        wire_client_sent(&pair->mqtt, (uint32_t)n);
    }
}

static uint32_t talk(ghn_pair *pair, uint32_t now)
{
    const ghn_stream *stream = &pair->secure->stream;
    write_stream(pair);
    for (int i = 0; i < 8 && !pair->lost; i++) {
        uint32_t room;
        uint8_t *to = wire_client_room(&pair->mqtt, &room);
        int n = room ? stream->recv(stream->ctx, to, room) : 0;
        if (n < 0)
            pair->lost = true;
        if (n <= 0)
            break;
        wire_client_received(&pair->mqtt, (uint32_t)n, now);
        write_stream(pair);
    }
    uint32_t wait = wire_client_poll(&pair->mqtt, now), step_left = left(pair->at, now);
    write_stream(pair);
    if (!step_left)
        pair->lost = true;
    wait = step_left < wait ? step_left : wait;
    return pair->mqtt.out_len && wait > OUTPUT_WAIT ? OUTPUT_WAIT : wait;
}

static uint32_t turn(ghn_pair *pair, uint32_t now)
{
    int state;
    switch ((enum step)pair->step) {
    case WAITING:
        if (now - pair->begun >= GHN_PAIR_TIME) {
            pair->state = GHN_PAIR_GIVEN_UP;
            return 0;
        }
        if (left(pair->at, now))
            return left(pair->at, now);
        open_stream(pair, now);
        return 0;
    case OPENING:
        state = pair->secure->stream.state(pair->secure->stream.ctx);
        if (state < 0 || (!state && !left(pair->at, now)))
            pair->lost = true;
        if (state > 0) {
            pair->was_through = true;
            tell(pair, GHN_PAIR_CONNECTED, 0);
            go_to(pair, CONNECTING, now, ANSWER_TIME);
            wire_client_begin(&pair->mqtt, now);
        }
        return state ? 0 : OPENING_WAIT;
    case CONNECTING:
    case SUBSCRIBING:
    case ASKING:
    case TELLING: break;
    }
    return talk(pair, now);
}

int ghn_pair_poll(ghn_pair *pair)
{
    uint32_t now = pair->port->now_ms();
    if (pair->state != GHN_PAIR_TRYING)
        return 0;
    uint32_t wait = turn(pair, now);
    if (pair->lost) {
        hang_up(pair, now);
        wait = left(pair->at, now);
    }
    return (int)wait;
}

void ghn_pair_stop(ghn_pair *pair)
{
    if (pair->state == GHN_PAIR_TRYING && pair->step != WAITING)
        pair->secure->stream.close(pair->secure->stream.ctx);
    pair->state = GHN_PAIR_GIVEN_UP;
    pair->step = WAITING;
}
