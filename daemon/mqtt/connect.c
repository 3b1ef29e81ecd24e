/* CONNECT: who is it, may he, what does he have here already. Refusals first; nothing of an older connection with the
 * same client id is touched before the new one has been accepted, or anybody could throw anybody out. */
#include "mqtt/peer.h"

#include "base/log.h"
#include "mqtt/durable.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { ALIAS_MAX = 16, KEEPALIVE_GRACE_MS = 1500 /* one and a half times */, CLIENT_ID_MAX = 1024 };

static void send_connack(struct peer *peer, struct wire_packet *connack)
{
    connack->type = WIRE_CONNACK;
    connack->version = peer->version;
    if (peer->version != WIRE_MQTT5)
        connack->reason = wire_connack_code(connack->reason);
    uint8_t bytes[2048];
    conn_write(peer->conn, bytes, wire_encode(bytes, sizeof bytes, connack));
}

int peer_refuse_connect(struct peer *peer, uint8_t reason, const char *why)
{
    peer->broker->counters.refused++;
    struct wire_packet connack = {.reason = reason};
    send_connack(peer, &connack);
    peer_close(peer, 0, why);
    return -EACCES;
}

/* ---- who --------------------------------------------------------------------------------------------------------- */

static struct principal *who_is(const struct peer *peer)
{
    if (!peer->door)
        return NULL;
    if (peer->door->everybody)
        return principal_ref(peer->door->everybody);
    const char *name = conn_certificate_name(peer->conn);
    if (!name)
        return NULL;
    return listener_uri(peer->door->listener)->access == LISTENER_FULL
               ? principal_new_unlimited(PRINCIPAL_CERTIFICATE, name)
               : principal_new_node(name);
}

/* A client without an id gets one. 3.1.1: only with a clean session [MQTT-3.1.3-8]. */
static uint8_t choose_id(const struct wire_packet *packet, char *id, size_t size, size_t *len)
{
    *len = packet->client_id.len;
    if (*len > CLIENT_ID_MAX)
        return WIRE_CLIENT_ID_INVALID;
    if (*len) {
        memcpy(id, packet->client_id.text, *len);
        return 0;
    }
    if (packet->version != WIRE_MQTT5 && !packet->clean_start)
        return WIRE_CLIENT_ID_INVALID;
    uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return WIRE_UNSPECIFIED;
    *len = (size_t)snprintf(id, size, "auto-%016llx%016llx", (unsigned long long)random[0],
                            (unsigned long long)random[1]);
    return 0;
}

/* ---- the will ---------------------------------------------------------------------------------------------------- */

struct msg *peer_msg_of(struct peer *peer, struct wire_text topic, const struct wire_props *props,
                        const void *payload, size_t payload_len)
{
    struct msg_props travelling = {.response_at = SIZE_MAX, .correlation_at = SIZE_MAX};
    uint8_t small[512];
    cleanup_free uint8_t *large = NULL;
    uint8_t *bytes = small;
    if (props->len > sizeof small) {
        bytes = large = malloc(props->len);
        if (!bytes)
            return NULL;
    }
    if (props->len) {
        travelling.bytes = bytes;
        travelling.len =
            wire_props_forwardable(props, bytes, &travelling.response_at, &travelling.correlation_at);
        travelling.response_len = props->response_topic.len;
        travelling.correlation_len = props->correlation.len;
    }
    struct msg *msg = msg_new_props(topic.text, topic.len, &travelling, payload, payload_len);
    if (!msg)
        return NULL;
    if (wire_has(props, WIRE_MESSAGE_EXPIRY))
        msg->expiry_s = props->message_expiry;
    msg->born = loop_now(peer->broker->loop);
    return msg;
}

static int take_will(struct peer *peer, const struct wire_packet *packet, struct msg **ret)
{
    const struct wire_will *will = &packet->will;
    struct msg *msg = peer_msg_of(peer, will->topic, &will->props, will->payload.text, will->payload.len);
    if (!msg)
        return -ENOMEM;
    msg->qos = will->qos;
    msg->retain = will->retain;
    msg->is_will = true;
    *ret = msg;
    return 0;
}

static void keep_will(struct session *session, struct msg *msg, const struct wire_packet *packet,
                      struct receipt *receipt)
{
    struct durable *durable = session->broker->durable;
    uint32_t delay_s = wire_has(&packet->will.props, WIRE_WILL_DELAY) ? packet->will.props.will_delay : 0;
    struct will *will = session_set_will(session, msg, delay_s);
    if (durable)
        will->number = durable_put_will(durable, session->key.text, session->key.len, msg, delay_s, receipt);
}

/* ---- the session ------------------------------------------------------------------------------------------------- */

static void take_over(struct broker *broker, struct session *session)
{
    if (!session->peer)
        return;
    broker->counters.takeovers++;
    session->peer->will_wanted = true; /* [MQTT-3.1.4-3] */
    peer_close(session->peer, WIRE_TAKEN_OVER, "taken over by a new connection with the same client id");
}

/* Session Expiry Interval as it will be; what the client asked for may be more than we give. */
static uint32_t expiry_of(const struct broker *broker, const struct wire_packet *packet)
{
    if (packet->version != WIRE_MQTT5)
        return packet->clean_start ? 0 : broker->options.session_expiry_s;
    uint32_t wanted = wire_has(&packet->props, WIRE_SESSION_EXPIRY) ? packet->props.session_expiry : 0;
    return wanted < broker->options.session_expiry_max_s ? wanted : broker->options.session_expiry_max_s;
}

/* The session this connection goes on with; *present says whether it was there before. */
static struct session *take_session(struct peer *peer, const struct wire_packet *packet, const char *id,
                                    size_t len, bool *present, struct receipt *receipt)
{
    struct broker *broker = peer->broker;
    struct session *session = session_find(broker, id, len);
    if (session)
        take_over(broker, session);
    session = session_find(broker, id, len); /* one that was to end with its connection has ended */
    if (session && packet->clean_start) {
        (void)session_end(session, receipt);
        session = NULL;
    }
    *present = session != NULL;
    return session ? session : session_new(broker, id, len, expiry_of(broker, packet), 0);
}

/* ---- what was agreed --------------------------------------------------------------------------------------------- */

static void take_terms(struct peer *peer, const struct wire_packet *packet)
{
    const struct wire_props *props = &packet->props;
    unsigned window = peer->broker->options.inflight_max;
    peer->window =
        wire_has(props, WIRE_RECEIVE_MAX) && props->receive_max < window ? props->receive_max : window;
    if (wire_has(props, WIRE_PACKET_MAX))
        peer->packet_max = props->packet_max;
    if (wire_has(props, WIRE_REQUEST_PROBLEM))
        peer->problem_info = props->request_problem;
    unsigned keepalive_s = packet->keepalive_s, most_s = peer->broker->options.keepalive_max_s;
    if (packet->version == WIRE_MQTT5) {
        peer->alias_max = ALIAS_MAX;
        if (most_s &&
            (!keepalive_s || keepalive_s > most_s)) /* 3.1.1 clients cannot be told: they keep theirs */
            keepalive_s = most_s;
    }
    peer->keepalive = keepalive_s * KEEPALIVE_GRACE_MS; /* [MQTT-3.1.2-22] */
}

/* A CONNECT that has been accepted, while its session's changes are on their way to the disk. */
struct connecting {
    struct control control;
    bool session_present;
    bool tell_expiry, tell_keepalive;
    bool tell_id;
};

static void accept_connect(struct peer *peer, const struct connecting *connecting)
{
    const struct broker_options *options = &peer->broker->options;
    struct wire_packet connack = {.session_present = connecting->session_present};
    struct wire_props *props = &connack.props;
    if (peer->version == WIRE_MQTT5) {
        props->receive_max = (uint16_t)options->inflight_max;
        wire_set(props, WIRE_RECEIVE_MAX);
        props->alias_max = peer->alias_max;
        wire_set(props, WIRE_ALIAS_MAX);
        props->packet_max = (uint32_t)options->packet_max;
        wire_set(props, WIRE_PACKET_MAX);
        if (connecting->tell_expiry) {
            props->session_expiry = peer->session->expiry_s;
            wire_set(props, WIRE_SESSION_EXPIRY);
        }
        if (connecting->tell_keepalive) { /* [MQTT-3.2.2-21] */
            props->server_keepalive = (uint16_t)options->keepalive_max_s;
            wire_set(props, WIRE_SERVER_KEEPALIVE);
        }
        if (connecting->tell_id) { /* [MQTT-3.2.2-16] */
            props->assigned_id =
                (struct wire_text){peer->session->key.text, (uint16_t)peer->session->key.len};
            wire_set(props, WIRE_ASSIGNED_ID);
        }
    }
    send_connack(peer, &connack);
}

static void on_kept(struct control *control, int r)
{
    struct connecting *connecting = container_of(control, struct connecting, control);
    struct peer *peer = control->peer;
    if (peer && r < 0) {
        r = peer_refuse_connect(peer,
                                r == -ENOSPC || r == -EDQUOT ? WIRE_QUOTA_EXCEEDED : WIRE_SERVER_UNAVAILABLE,
                                "its session could not be kept");
    } else if (peer) {
        peer->state = PEER_CONNECTED;
        peer->broker->counters.connects++;
        timer_stop(peer->broker->loop, &peer->timer);
        peer->last_heard = loop_now(peer->broker->loop);
        if (peer->keepalive)
            timer_start(peer->broker->loop, &peer->timer, peer->keepalive);
        log_debug("%s: connected from %s", peer_name(peer), conn_peer(peer->conn));
        accept_connect(peer, connecting);
        session_pump(peer->session);
    }
    free(connecting);
}

int peer_on_connect(struct peer *peer, const struct wire_packet *packet)
{
    struct broker *broker = peer->broker;
    peer->version = packet->version;
    if (wire_has(&packet->props, WIRE_AUTH_METHOD))
        return peer_refuse_connect(peer, WIRE_BAD_AUTH_METHOD, "asks for an authentication method");
    char id[CLIENT_ID_MAX + 1];
    size_t id_len;
    uint8_t reason = choose_id(packet, id, sizeof id, &id_len);
    if (reason)
        return peer_refuse_connect(peer, reason, "its client id is empty or too long");
    id[id_len] = '\0';

    peer->principal = who_is(peer);
    if (!peer->principal)
        return peer_refuse_connect(peer, WIRE_NOT_AUTHORIZED, "has not proved who it is");
    if (packet->has_will &&
        !policy_allows(peer->principal, POLICY_PUBLISH, packet->will.topic.text, packet->will.topic.len))
        return peer_refuse_connect(peer, WIRE_NOT_AUTHORIZED, "may not publish on the topic of its will");
    struct msg *will = NULL;
    if (packet->has_will && take_will(peer, packet, &will) < 0)
        return peer_refuse_connect(peer, WIRE_QUOTA_EXCEEDED, "no memory for its will");

    struct connecting *connecting = mem_new(struct connecting);
    struct receipt *receipt = &connecting->control.receipt;
    peer_control_begin(peer, &connecting->control, on_kept);
    struct session *session = take_session(peer, packet, id, id_len, &connecting->session_present, receipt);
    session_attach(session, peer);
    peer->session = session;
    session->expiry_s = expiry_of(broker, packet);
    if (session->disk)
        durable_put(broker->durable, session, false, receipt);
    if (will)
        keep_will(session, will, packet, receipt);
    (void)msg_unref(will);
    peer->will_wanted = true;
    take_terms(peer, packet);
    connecting->tell_id = !packet->client_id.len;
    connecting->tell_keepalive = peer->keepalive != (uint32_t)packet->keepalive_s * KEEPALIVE_GRACE_MS;
    connecting->tell_expiry =
        wire_has(&packet->props, WIRE_SESSION_EXPIRY) && packet->props.session_expiry != session->expiry_s;
    peer->state = PEER_ACCEPTED;
    peer_control_wait(&connecting->control);
    return 0;
}
