#include "mqtt/peer.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What must hold: a peer is freed when its connection is gone, its session is detached and `flow` has no holds; acks
 * refer to it only while it is attached to the session they are in. */

enum { CONNECT_MAX = 256 * 1024 };

static ssize_t on_received(struct conn_user *user, const uint8_t *bytes, size_t len);
static void on_drained(struct conn_user *user);
static void on_closed(struct conn_user *user, int why);
static void on_timer(struct timer *timer);
static void on_flow_settled(struct receipt *receipt, int r);

static const struct conn_events events = {
    .received = on_received, .drained = on_drained, .closed = on_closed};

int peer_new(struct broker *broker, struct door *door, const struct endpoint *endpoint)
{
    struct peer *peer = mem_new(struct peer);
    peer->broker = broker;
    peer->door = door;
    peer->version = WIRE_MQTT311;
    peer->packet_max = UINT32_MAX;
    peer->problem_info = true;
    peer->user.on = &events;
    peer->timer.fire = on_timer;
    receipt_init(&peer->flow, on_flow_settled);
    peer->last_heard = loop_now(broker->loop);
    int r = conn_new(&peer->conn, broker->loop, endpoint, &broker->conn_limits, &peer->user);
    if (r < 0) {
        free(peer);
        return r;
    }
    list_append(&broker->peers, &peer->link);
    broker->counters.connections++;
    peak_note(&broker->peak, broker->counters.connections);
    if (broker->counters.connections > broker->options.connections_max) {
        broker->counters.refused++;
        refusals_count(&broker->refusals, REFUSED_CONNECT, WIRE_QUOTA_EXCEEDED);
        peer_close(peer, 0, "more connections than connections-max allows");
        return 0;
    }
    timer_start(broker->loop, &peer->timer, broker->options.connect_timeout);
    return 0;
}

const char *peer_name(const struct peer *peer)
{
    if (peer->session)
        return peer->session->key.text;
    return peer->conn ? conn_peer(peer->conn) : "?";
}

bool peer_is_congested(const struct peer *peer)
{
    return conn_is_congested(peer->conn);
}

void peer_leave(struct peer *peer, bool will)
{
    if (peer->control)
        peer->control->peer = NULL;
    peer->control = NULL;
    struct session *session = peer->session;
    if (!session)
        return;
    presence_disconnected(peer);
    peer->session = NULL;
    if (!will)
        session_forget_will(session);
    session_detach(session);
}

void peer_release(struct peer *peer)
{
    if (!peer->conn && !peer->flow.holds)
        (void)peer_free(peer);
}

struct peer *peer_free(struct peer *peer)
{
    peer_leave(peer, false);
    timer_stop(peer->broker->loop, &peer->timer);
    if (peer->conn)
        peer->conn = conn_free(peer->conn);
    list_remove(&peer->link);
    (void)peer_end_free(peer->end);
    (void)principal_unref(peer->principal);
    (void)publisher_unref(peer->publisher);
    (void)aliases_free(peer->aliases);
    (void)auth_free(peer->auth);
    (void)peer_login_free(peer->login);
    free(peer);
    return NULL;
}

static void send_disconnect(struct peer *peer, uint8_t reason, const char *why)
{
    if (peer->state != PEER_CONNECTED || peer->version != WIRE_MQTT5 || !reason)
        return;
    struct wire_packet packet = {.type = WIRE_DISCONNECT, .version = WIRE_MQTT5, .reason = reason};
    if (why)
        peer_put_reason(&packet.props, why);
    if (wire_size(&packet) > peer->packet_max) /* [MQTT-3.14.2-3] */
        packet.props.present = 0;
    size_t size = wire_size(&packet);
    uint8_t *out = conn_room(peer->conn, size);
    if (out)
        conn_wrote(peer->conn, wire_encode(out, size, &packet));
}

void peer_close(struct peer *peer, uint8_t reason, const char *why)
{
    if (peer->state == PEER_CLOSING || !peer->conn)
        return;
    if (why)
        log_info("%s (%s): closed: %s", peer_name(peer), conn_peer(peer->conn), why);
    presence_reason_of(peer, reason, why);
    refusals_count(&peer->broker->refusals, REFUSED_CONNECTION, reason);
    send_disconnect(peer, reason, why);
    peer->state = PEER_CLOSING;
    timer_stop(peer->broker->loop, &peer->timer);
    peer->login = peer_login_free(peer->login);
    peer->end = peer_end_free(peer->end);
    peer_leave(peer, peer->will_wanted);
    conn_close(peer->conn);
}

int peer_fault(struct peer *peer, uint8_t reason, const char *why)
{
    peer->broker->counters.protocol_errors++;
    peer_close(peer, reason, why);
    return -EPROTO;
}

static void on_closed(struct conn_user *user, int why)
{
    struct peer *peer = container_of(user, struct peer, user);
    if (peer->state == PEER_CONNECTED && why < 0)
        log_info("%s (%s): connection lost: %s", peer_name(peer), conn_peer(peer->conn), strerror(-why));
    if (peer->state == PEER_NEW)
        peer->broker->counters.left_early++;
    if (peer->door)
        listener_left(peer->door->listener, conn_address(peer->conn));
    peer->conn = NULL; /* gone with this call */
    peer->state = PEER_CLOSING;
    peer->broker->counters.connections--;
    peak_note(&peer->broker->peak, peer->broker->counters.connections);
    peer->broker->counters.disconnects++;
    timer_stop(peer->broker->loop, &peer->timer);
    peer->login = peer_login_free(peer->login);
    peer->end = peer_end_free(peer->end);
    peer_leave(peer, peer->will_wanted);
    peer_release(peer);
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

/* The timer is not restarted with every packet: when it fires, it looks how long the silence has been. */
static void on_timer(struct timer *timer)
{
    struct peer *peer = container_of(timer, struct peer, timer);
    if (peer->state < PEER_CONNECTED) {
        peer->broker->counters.refused++;
        refusals_count(&peer->broker->refusals, REFUSED_CONNECT, WIRE_CONNECT_TIME);
        peer_close(peer, 0,
                   peer->state == PEER_NEW       ? "no CONNECT came in time"
                   : peer->state == PEER_PROVING ? "its authentication was not finished in time"
                                                 : "the disk does not answer");
        return;
    }
    int64_t silence = loop_now(peer->broker->loop) - peer->last_heard;
    if (peer->paused || silence < peer->keepalive) { /* while we do not read, silence is ours */
        timer_start(peer->broker->loop, timer, peer->paused ? peer->keepalive : peer->keepalive - silence);
        return;
    }
    peer->broker->counters.keepalive_timeouts++;
    peer_close(peer, WIRE_KEEPALIVE_TIMEOUT, "keep alive timeout");
}

/* ---- back-pressure ----------------------------------------------------------------------------------------------- */

void peer_pause_if_needed(struct peer *peer)
{
    unsigned limit = peer->broker->options.unsettled_max;
    if (!peer->paused && peer->conn && (peer->unsettled > limit || peer->flow.holds > limit)) {
        peer->paused = true;
        peer->broker->counters.waits++;
        conn_pause(peer->conn);
    }
}

void peer_resume_if_possible(struct peer *peer)
{
    unsigned limit = peer->broker->options.unsettled_max / 2;
    if (!peer->paused || !peer->conn || peer->unsettled > limit || peer->flow.holds > limit)
        return;
    peer->paused = false;
    peer->last_heard = loop_now(peer->broker->loop);
    conn_resume(peer->conn);
}

static void on_flow_settled(struct receipt *receipt, int r)
{
    (void)r; /* QoS 0: nobody is told */
    struct peer *peer = container_of(receipt, struct peer, flow);
    receipt_init(receipt, on_flow_settled);
    if (peer->conn)
        peer_resume_if_possible(peer);
    else
        peer_release(peer);
}

static void on_drained(struct conn_user *user)
{
    struct peer *peer = container_of(user, struct peer, user);
    if (peer->session)
        session_pump(peer->session);
}

/* ---- what waits for the disk ------------------------------------------------------------------------------------- */

static void on_control_settled(struct receipt *receipt, int r)
{
    struct control *control = container_of(receipt, struct control, receipt);
    struct peer *peer = control->peer;
    if (peer && peer->control) {
        peer->control = NULL;
        conn_resume(peer->conn);
    }
    control->finish(control, r);
}

void peer_control_begin(struct peer *peer, struct control *control,
                        void (*finish)(struct control *control, int r))
{
    receipt_init(&control->receipt, on_control_settled);
    receipt_hold(&control->receipt);
    control->peer = peer;
    control->finish = finish;
}

void peer_control_wait(struct control *control)
{
    if (control->receipt.holds > 1) {
        control->peer->control = control;
        conn_pause(control->peer->conn);
    }
    receipt_settle(&control->receipt, 0);
}

/* ---- in ---------------------------------------------------------------------------------------------------------- */

static int on_ping(struct peer *peer)
{
    static const uint8_t answer[] = {WIRE_PINGRESP << 4, 0};
    conn_write(peer->conn, answer, sizeof answer);
    return 0;
}

static int on_disconnect(struct peer *peer, const struct wire_packet *packet)
{
    struct session *session = peer->session;
    if (wire_has(&packet->props, WIRE_SESSION_EXPIRY)) {
        if (!session->expiry_s && packet->props.session_expiry)
            return peer_fault(peer, WIRE_PROTOCOL_ERROR, "DISCONNECT revives a session that was to end");
        uint32_t most_s = peer->broker->options.session_expiry_max_s;
        session->expiry_s = packet->props.session_expiry < most_s ? packet->props.session_expiry : most_s;
    }
    peer->will_wanted = packet->reason != WIRE_SUCCESS; /* [MQTT-3.14.4-3] */
    peer->gone = PRESENCE_CLIENT;
    peer_close(peer, 0, NULL);
    return 0;
}

static int on_packet(struct peer *peer, const struct wire_packet *packet, const struct wire_frame *frame)
{
    if (peer->state == PEER_NEW)
        return packet->type == WIRE_CONNECT
                   ? peer_on_connect(peer, packet, frame)
                   : peer_fault(peer, 0, "the first packet is not CONNECT"); /* [MQTT-3.1.0-1] */
    if (peer->state == PEER_PROVING && packet->type != WIRE_AUTH)
        return peer_fault(peer, 0, "neither AUTH nor an end while it proves who it is");

    switch (packet->type) {
    case WIRE_PUBLISH: return peer_on_publish(peer, packet);
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBREL:
    case WIRE_PUBCOMP: return peer_on_ack(peer, packet);
    case WIRE_SUBSCRIBE: return peer_on_subscribe(peer, packet);
    case WIRE_UNSUBSCRIBE: return peer_on_unsubscribe(peer, packet);
    case WIRE_PINGREQ: return on_ping(peer);
    case WIRE_DISCONNECT: return on_disconnect(peer, packet);
    case WIRE_CONNECT: return peer_fault(peer, WIRE_PROTOCOL_ERROR, "a second CONNECT"); /* [MQTT-3.1.0-2] */
    case WIRE_AUTH: return peer_on_auth(peer, packet);
    case WIRE_CONNACK:
    case WIRE_SUBACK:
    case WIRE_UNSUBACK:
    case WIRE_PINGRESP: break; /* the codec refuses them from a client */
    }
    return peer_fault(peer, WIRE_PROTOCOL_ERROR, "a packet that only a server sends");
}

/* A CONNECT that cannot be read is answered where its version has words for it. */
static int on_broken(struct peer *peer, const struct wire_packet *packet, uint8_t reason, const char *why)
{
    if (peer->state == PEER_NEW && packet && packet->type == WIRE_CONNECT) {
        bool answer = packet->version == WIRE_MQTT5 || reason == WIRE_UNSUPPORTED_VERSION;
        peer->version = packet->version == WIRE_MQTT5 ? WIRE_MQTT5 : WIRE_MQTT311;
        if (reason == WIRE_UNSUPPORTED_VERSION && (int)packet->version > WIRE_MQTT5)
            peer->version = WIRE_MQTT5; /* [MQTT-3.1.2-2]: from the future, so in the newest words we have */
        peer->broker->counters.protocol_errors++;
        if (answer)
            return peer_refuse_connect(peer, reason, why);
    }
    return peer_fault(peer, reason, why);
}

/* Before it is known who it is, no more is gathered than a CONNECT may need. */
static size_t packet_max(const struct peer *peer)
{
    size_t most = peer->broker->options.packet_max;
    return peer->state < PEER_ACCEPTED ? size_min(most, CONNECT_MAX) : most;
}

static ssize_t on_received(struct conn_user *user, const uint8_t *bytes, size_t len)
{
    struct peer *peer = container_of(user, struct peer, user);
    struct wire_packet packet;
    size_t used = 0;
    while (used < len && peer->state != PEER_CLOSING && !peer->control && !peer->login) {
        struct wire_frame frame;
        const char *why = "a packet larger than packet-max";
        if (peer->state == PEER_NEW && bytes[used] >> 4 != WIRE_CONNECT) {
            (void)on_broken(peer, NULL, 0, "the first packet is not CONNECT"); /* it is not even gathered */
            break;
        }

        int r = wire_frame(bytes + used, len - used, packet_max(peer), &frame);
        if (r == 0) {
            if (frame.total)
                conn_expect(peer->conn, frame.total);
            break;
        }
        if (r < 0) {
            if (r == -WIRE_MALFORMED)
                why = bytes[used] >> 4 ? "a packet length of more than four bytes"
                                       : "a packet of type 0, which is reserved";
            (void)on_broken(peer, NULL, (uint8_t)-r, why);
            break;
        }
        uint8_t reason = wire_decode(&packet, &frame, peer->version, WIRE_FROM_CLIENT, &why);
        if (reason)
            (void)on_broken(peer, &packet, reason, why);
        else
            (void)on_packet(peer, &packet, &frame);
        used += frame.total;
        peer->last_heard = loop_now(peer->broker->loop); /* half a packet is not a sign of life */
    }
    return (ssize_t)(peer->state == PEER_CLOSING ? len : used);
}
