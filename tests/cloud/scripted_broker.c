#include "cloud/scripted_broker.h"

#include "rig/test.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void forget_peer(struct scripted_broker *broker)
{
    if (broker->peer.fd < 0)
        return;
    loop_unwatch(broker->loop, &broker->peer);
    (void)close(broker->peer.fd);
    broker->peer.fd = -1;
    broker->in_len = 0;
    broker->unacknowledged_count = 0;
}

static void send_packet(struct scripted_broker *broker, struct wire_packet *packet)
{
    uint8_t bytes[256];
    packet->version = broker->version;
    size_t len = wire_encode(bytes, sizeof bytes, packet);
    CHECK(len > 0);
    (void)!send(broker->peer.fd, bytes, len, MSG_NOSIGNAL);
}

static void acknowledge(struct scripted_broker *broker, uint16_t packet_id)
{
    struct wire_packet ack = {.type = WIRE_PUBACK, .packet_id = packet_id, .reason = broker->reason};
    send_packet(broker, &ack);
}

static void copy(char *to, size_t size, bool is_there, struct wire_text text)
{
    (void)snprintf(to, size, "%.*s", is_there ? (int)text.len : 0, is_there ? text.text : "");
}

static void on_connect(struct scripted_broker *broker, const struct wire_packet *packet)
{
    broker->connects++;
    broker->version = packet->version;
    broker->clean = packet->clean_start;
    broker->keepalive_s = packet->keepalive_s;
    copy(broker->client_id, sizeof broker->client_id, true, packet->client_id);
    copy(broker->username, sizeof broker->username, packet->has_username, packet->username);
    copy(broker->password, sizeof broker->password, packet->has_password, packet->password);
    if (broker->silent)
        return;
    struct wire_packet answer = {.type = WIRE_CONNACK, .reason = broker->refusal};
    if (broker->receive_max && broker->version == WIRE_MQTT5) {
        wire_set(&answer.props, WIRE_RECEIVE_MAX);
        answer.props.receive_max = broker->receive_max;
    }
    if (broker->packet_max && broker->version == WIRE_MQTT5) {
        wire_set(&answer.props, WIRE_PACKET_MAX);
        answer.props.packet_max = broker->packet_max;
    }
    send_packet(broker, &answer);
}

static void on_publish(struct scripted_broker *broker, const struct wire_packet *packet)
{
    CHECK(broker->publishes < SCRIPTED_MAX);
    unsigned i = broker->publishes++;
    char payload[24];
    (void)snprintf(payload, sizeof payload, "%.*s", (int)size_min(packet->payload_len, 16),
                   (const char *)packet->payload);
    broker->numbers[i] = (unsigned)strtoul(payload, NULL, 10);
    broker->qos[i] = packet->qos;
    broker->retain[i] = packet->retain;
    copy(broker->topics[i], sizeof broker->topics[i], true, packet->topic);
    if (packet->qos == 0)
        return;
    broker->unacknowledged[broker->unacknowledged_count++] = packet->packet_id;
    if (broker->unacknowledged_count > broker->unacknowledged_most)
        broker->unacknowledged_most = broker->unacknowledged_count;
    if (broker->acknowledges)
        scripted_broker_acknowledge(broker, 1);
}

static void note_filter(struct scripted_broker *broker, char sign, const struct wire_text *filter)
{
    size_t len = strlen(broker->filters);
    (void)snprintf(broker->filters + len, sizeof broker->filters - len, "%c%.*s ", sign, (int)filter->len,
                   filter->text);
}

static void on_subscribe(struct scripted_broker *broker, const struct wire_packet *packet)
{
    bool on = packet->type == WIRE_SUBSCRIBE;
    uint8_t codes[8];
    struct wire_packet answer = {
        .type = on ? WIRE_SUBACK : WIRE_UNSUBACK, .packet_id = packet->packet_id, .list = codes};
    struct wire_filter filter;
    for (uint32_t at = 0; wire_filter_next(packet, &at, &filter);) {
        CHECK(answer.list_len < sizeof codes);
        codes[answer.list_len++] = !on ? 0 : (broker->suback ? broker->suback : filter.qos);
        note_filter(broker, on ? '+' : '-', &filter.filter);
    }
    *(on ? &broker->subscribes : &broker->unsubscribes) += 1;
    if (!broker->mute)
        send_packet(broker, &answer);
}

static void on_packet(struct scripted_broker *broker, const struct wire_packet *packet)
{
    struct wire_packet pong = {.type = WIRE_PINGRESP};
    switch (packet->type) {
    case WIRE_CONNECT: on_connect(broker, packet); break;
    case WIRE_PUBLISH: on_publish(broker, packet); break;
    case WIRE_SUBSCRIBE:
    case WIRE_UNSUBSCRIBE: on_subscribe(broker, packet); break;
    case WIRE_PUBACK: broker->pubacks++; break;
    case WIRE_PINGREQ: send_packet(broker, &pong); break;
    case WIRE_DISCONNECT: broker->disconnects++; break;
    default: FAIL("a packet of type %d", packet->type);
    }
}

static void on_bytes(struct watch *watch, unsigned events)
{
    (void)events;
    struct scripted_broker *broker = container_of(watch, struct scripted_broker, peer);
    ssize_t n = recv(watch->fd, broker->in + broker->in_len, sizeof broker->in - broker->in_len, 0);
    if (n <= 0) {
        broker->hang_ups++;
        forget_peer(broker);
        return;
    }
    broker->in_len += (size_t)n;
    struct wire_frame frame;
    size_t at = 0;
    int r;
    while ((r = wire_frame(broker->in + at, broker->in_len - at, sizeof broker->in, &frame)) > 0) {
        struct wire_packet packet;
        const char *why = NULL;
        CHECK_INT(wire_decode(&packet, &frame, broker->version, WIRE_FROM_CLIENT, &why), 0);
        on_packet(broker, &packet);
        at += frame.total;
    }
    CHECK_INT(r, 0);
    broker->in_len -= at;
    memmove(broker->in, broker->in + at, broker->in_len);
}

static void on_knock(struct watch *watch, unsigned events)
{
    (void)events;
    struct scripted_broker *broker = container_of(watch, struct scripted_broker, door);
    forget_peer(broker);
    broker->version = WIRE_MQTT311;
    broker->peer = (struct watch){.fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC), .ready = on_bytes};
    CHECK(broker->peer.fd >= 0);
    CHECK_INT(loop_watch(broker->loop, &broker->peer, EPOLLIN), 0);
}

void scripted_broker_init(struct scripted_broker *broker, struct loop *loop)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    *broker = (struct scripted_broker){.loop = loop, .acknowledges = true, .peer.fd = -1};
    broker->door.ready = on_knock;
    broker->door.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(broker->door.fd >= 0 && bind(broker->door.fd, (struct sockaddr *)&at, len) == 0 &&
          listen(broker->door.fd, 8) == 0 && getsockname(broker->door.fd, (struct sockaddr *)&at, &len) == 0);
    broker->port = ntohs(at.sin_port);
    CHECK_INT(loop_watch(loop, &broker->door, EPOLLIN), 0);
}

void scripted_broker_done(struct scripted_broker *broker)
{
    forget_peer(broker);
    loop_unwatch(broker->loop, &broker->door);
    (void)close(broker->door.fd);
}

void scripted_broker_acknowledge(struct scripted_broker *broker, unsigned n)
{
    CHECK(n <= broker->unacknowledged_count);
    for (unsigned i = 0; i < n; i++)
        acknowledge(broker, broker->unacknowledged[i]);
    broker->unacknowledged_count -= n;
    memmove(broker->unacknowledged, broker->unacknowledged + n,
            broker->unacknowledged_count * sizeof broker->unacknowledged[0]);
}

void scripted_broker_hang_up(struct scripted_broker *broker)
{
    CHECK(broker->peer.fd >= 0);
    forget_peer(broker);
}

void scripted_broker_disconnect(struct scripted_broker *broker, uint8_t reason)
{
    struct wire_packet packet = {.type = WIRE_DISCONNECT, .reason = reason};
    send_packet(broker, &packet);
    forget_peer(broker);
}

void scripted_broker_publish(struct scripted_broker *broker, const char *topic, const void *payload,
                             size_t len, uint8_t qos, bool retain)
{
    static uint16_t packet_id;
    struct wire_packet packet = {.type = WIRE_PUBLISH,
                                 .version = broker->version,
                                 .topic = {topic, (uint32_t)strlen(topic)},
                                 .payload = payload,
                                 .payload_len = (uint32_t)len,
                                 .qos = qos,
                                 .retain = retain};
    if (qos)
        packet.packet_id = ++packet_id ? packet_id : ++packet_id;
    size_t size = len + strlen(topic) + 64;
    cleanup_free uint8_t *bytes = mem_new_bytes(size);
    size = wire_encode(bytes, size, &packet);
    CHECK(size > 0);
    for (size_t at = 0; at < size;) {
        ssize_t n = send(broker->peer.fd, bytes + at, size - at, MSG_NOSIGNAL);
        CHECK(n > 0);
        at += (size_t)n;
    }
}
