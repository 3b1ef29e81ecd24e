#include "wire/talk.h"

#include "wire/notation.h"

#include <stdio.h>

static struct talk *talk_of(struct wire_client *client)
{
    return (struct talk *)client;
}

__attribute__((format(printf, 2, 3))) static void tell(struct talk *talk, const char *format, ...)
{
    size_t len = strlen(talk->events);
    va_list args;
    va_start(args, format);
    int n = vsnprintf(talk->events + len, sizeof talk->events - len, format, args);
    va_end(args);
    CHECK(n >= 0 && (size_t)n < sizeof talk->events - len);
}

/* ---- events -------------------------------------------------------------------------------------------------------- */

static void on_connected(struct wire_client *client, bool session_present)
{
    struct talk *talk = talk_of(client);
    tell(talk, "connected %d; ", session_present);
    if (talk->on_connected)
        talk->on_connected(talk);
}

static bool on_message(struct wire_client *client, const struct wire_packet *publish)
{
    struct talk *talk = talk_of(client);
    static char line[2048];
    tell(talk, "message%s; ", notation_line(publish, line, sizeof line) + strlen("PUBLISH"));
    if (talk->on_message)
        talk->on_message(talk);
    return talk->acknowledges;
}

static void on_published(struct wire_client *client, uint16_t packet_id, uint8_t reason)
{
    tell(talk_of(client), "published %u %02x; ", packet_id, reason);
}

static void on_subscribed(struct wire_client *client, uint16_t packet_id, const uint8_t *codes,
                          uint32_t count)
{
    struct talk *talk = talk_of(client);
    tell(talk, "subscribed %u", packet_id);
    for (uint32_t i = 0; i < count; i++)
        tell(talk, " %02x", codes[i]);
    tell(talk, "; ");
}

static void on_too_long(struct wire_client *client, uint32_t packet_len)
{
    tell(talk_of(client), "too long %u; ", (unsigned)packet_len);
}

static void on_lost(struct wire_client *client, enum wire_client_loss why, uint8_t reason)
{
    static const char *const whys[] = {"?", "refused", "protocol", "silence", "disconnected", "memory"};
    tell(talk_of(client), "lost %s %02x; ", whys[why], reason);
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

void talk_init(struct talk *talk, enum wire_version version)
{
    *talk = (struct talk){.acknowledges = true, .server_reads = SIZE_MAX};
    for (size_t i = 0; i < TALK_SLOTS; i++)
        talk->slots[i] = (struct wire_slot){.buffer = talk->buffers[i], .size = TALK_SLOT_SIZE};
    talk->config = (struct wire_client_config){
        .connect = {.version = version, .keepalive_s = 60, .client_id = {"c", 1}},
        .events = {.connected = on_connected,
                   .message = on_message,
                   .published = on_published,
                   .subscribed = on_subscribed,
                   .too_long = on_too_long,
                   .lost = on_lost},
        .in = talk->in,
        .out = talk->out,
        .in_size = TALK_IN,
        .out_size = TALK_OUT,
        .slots = talk->slots,
        .slot_count = TALK_SLOTS,
        .received = talk->received,
        .received_size = TALK_RECEIVED,
    };
    talk_restart(talk);
}

void talk_restart(struct talk *talk)
{
    wire_client_init(&talk->client, &talk->config);
}

void talk_begin(struct talk *talk)
{
    talk->from_client_len = 0;
    wire_client_begin(&talk->client, talk->now);
}

void talk_end(struct talk *talk)
{
    wire_client_end(&talk->client);
    talk->from_client_len = 0;
}

void talk_up_with(struct talk *talk, bool session_present, const char *props)
{
    char connack[256];
    bool is_new = talk->config.connect.version == WIRE_MQTT5;
    (void)snprintf(connack, sizeof connack, "20 {%02x 00 %s%s%s}", session_present, is_new ? "{" : "", props,
                   is_new ? "}" : "");
    talk_begin(talk);
    CHECK(strncmp(talk_next(talk), "CONNECT", strlen("CONNECT")) == 0);
    talk_server(talk, connack);
    CHECK_INT(talk->client.state, WIRE_CLIENT_UP);
    (void)talk_events(talk);
}

void talk_up(struct talk *talk)
{
    talk_up_with(talk, false, "");
}

/* ---- bytes --------------------------------------------------------------------------------------------------------- */

static void read_client(struct talk *talk)
{
    for (uint32_t len; talk->server_reads;) {
        const uint8_t *bytes = wire_client_output(&talk->client, &len);
        size_t n = len < talk->server_reads ? len : talk->server_reads;
        if (!n)
            return;
        CHECK(n <= sizeof talk->from_client - talk->from_client_len);
        memcpy(talk->from_client + talk->from_client_len, bytes, n);
        talk->from_client_len += n;
        talk->server_reads -= talk->server_reads == SIZE_MAX ? 0 : n;
        wire_client_sent(&talk->client, (uint32_t)n);
    }
}

size_t talk_server_bytes(struct talk *talk, const uint8_t *bytes, size_t len)
{
    while (len) {
        uint32_t room;
        uint8_t *to = wire_client_room(&talk->client, &room);
        uint32_t n = len < room ? (uint32_t)len : room;
        if (!n)
            return len;
        memcpy(to, bytes, n);
        wire_client_received(&talk->client, n, talk->now);
        read_client(talk);
        bytes += n;
        len -= n;
    }
    return 0;
}

void talk_server(struct talk *talk, const char *notation)
{
    static uint8_t bytes[4096];
    size_t len = notation_bytes(notation, bytes, sizeof bytes);
    CHECK_INT((int64_t)talk_server_bytes(talk, bytes, len), 0);
}

const char *talk_next(struct talk *talk)
{
    static char line[4096];
    read_client(talk);
    struct wire_frame frame;
    struct wire_packet packet;
    const char *why = "";
    int r = wire_frame(talk->from_client, talk->from_client_len, SIZE_MAX, &frame);
    CHECK(r >= 0);
    if (!r)
        return talk->from_client_len ? "a part" : "";
    uint8_t reason = wire_decode(&packet, &frame, talk->config.connect.version, WIRE_FROM_CLIENT, &why);
    if (reason)
        FAIL("the client sent what is refused: %02x %s", reason, why);
    (void)notation_line(&packet, line, sizeof line);
    talk->from_client_len -= frame.total;
    memmove(talk->from_client, talk->from_client + frame.total, talk->from_client_len);
    return line;
}

const char *talk_events(struct talk *talk)
{
    memcpy(talk->told, talk->events, sizeof talk->told);
    talk->events[0] = '\0';
    return talk->told;
}

/* ---- what the owner does -------------------------------------------------------------------------------------------- */

int talk_publish(struct talk *talk, uint8_t qos, const char *topic, const char *payload)
{
    struct wire_packet publish = {.qos = qos,
                                  .topic = {topic, (uint16_t)strlen(topic)},
                                  .payload = (const uint8_t *)payload,
                                  .payload_len = (uint32_t)strlen(payload)};
    return wire_client_publish(&talk->client, &publish);
}

int talk_subscribe(struct talk *talk, const char *filter)
{
    struct wire_filter f = {.filter = {filter, (uint16_t)strlen(filter)}, .qos = 1};
    return wire_client_subscribe(&talk->client, &f, 1);
}

void talk_after(struct talk *talk, uint32_t ms)
{
    talk->now += ms;
    talk->wait = wire_client_poll(&talk->client, talk->now);
}
