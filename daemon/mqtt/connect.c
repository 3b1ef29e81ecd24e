/* CONNECT: who is it, may he, what does he have here already. Refusals first; nothing of an older connection with the
 * same client id is touched before the new one has been accepted, or anybody could throw anybody out. */
#include "mqtt/peer.h"

#include "base/log.h"
#include "identity/admission.h"
#include "mqtt/durable.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum {
    KEEPALIVE_GRACE_MS = 1500, /* one and a half times [MQTT-3.1.2-22] */
    CLIENT_ID_MAX = 1024,
};

/* false: it is larger than the client takes [MQTT-3.1.2-24], and nothing has been sent. */
static bool send_connack(struct peer *peer, struct wire_packet *connack)
{
    connack->type = WIRE_CONNACK;
    connack->version = peer->version;
    if (peer->version != WIRE_MQTT5)
        connack->reason = wire_connack_code(connack->reason);
    size_t size = wire_size(connack);
    if (size > peer->packet_max) { /* [MQTT-3.2.2-19] */
        connack->props.present &= ~(UINT64_C(1) << WIRE_REASON_STRING);
        size = wire_size(connack);
    }
    if (size > peer->packet_max)
        return false;
    uint8_t *out = conn_room(peer->conn, size);
    if (out)
        conn_wrote(peer->conn, wire_encode(out, size, connack));
    return true;
}

int peer_refuse_connect(struct peer *peer, uint8_t reason, const char *why)
{
    peer->broker->counters.refused++;
    refusals_count(&peer->broker->refusals, REFUSED_CONNECT, reason);
    struct wire_packet connack = {.reason = reason};
    if (peer->version == WIRE_MQTT5 &&
        reason != WIRE_UNSUPPORTED_VERSION) /* who knows what that one can read */
        peer_put_reason(&connack.props, why);
    (void)send_connack(peer, &connack);
    peer_close(peer, 0, why);
    return -EACCES;
}

/* ---- who --------------------------------------------------------------------------------------------------------- */

/* Whom the registry knows, or refuses. NULL and *why NULL: it knows nothing of him. */
static struct principal *who_is_registered(const struct peer *peer, enum listener_access access,
                                           const char **why)
{
    struct admission *admission = peer->broker->options.admission;
    size_t len;
    cleanup_free uint8_t *der = admission ? conn_certificate(peer->conn, &len) : NULL;
    *why = access == LISTENER_POLICY ? "has not proved who it is" : NULL;
    if (!der)
        return NULL;
    char address[ADDRESS_TEXT_BYTES];
    address_host_text(conn_address(peer->conn), address);
    const struct permit_origin origin = {der, len, *address ? address : NULL, conn_server_name(peer->conn)};
    struct principal *principal = NULL;
    int r = admission_enter(admission, &origin, access == LISTENER_POLICY, &principal, why);
    if (r != ADMISSION_REFUSED)
        *why = NULL;
    return principal;
}

static struct principal *who_is(const struct peer *peer, const char **why)
{
    *why = "has not proved who it is";
    if (!peer->door || !peer->door->listener)
        return NULL;
    if (peer->door->everybody)
        return principal_ref(peer->door->everybody);
    if (listener_has_psk(listener_uri(peer->door->listener))) {
        struct broker_nodes *nodes = peer->broker->options.nodes;
        const char *identity = conn_certificate_name(peer->conn);
        return identity ? nodes->who(nodes, identity) : NULL;
    }
    enum listener_access access = listener_uri(peer->door->listener)->access;
    const char *refused;
    struct principal *registered = who_is_registered(peer, access, &refused);
    if (registered)
        return registered;
    if (refused) {
        *why = refused;
        return NULL;
    }
    const char *name = conn_certificate_name(peer->conn);
    if (!name)
        return NULL;
    return access == LISTENER_FULL ? principal_new_unlimited(PRINCIPAL_CERTIFICATE, name)
                                   : principal_new_node(name);
}

/* A client without an id gets one. 3.1.1: only with a clean session [MQTT-3.1.3-8]; 3.1, whose ids have 1 to 23 characters:
 * never. */
static uint8_t choose_id(const struct broker *broker, const struct wire_packet *packet, char *id, size_t size,
                         size_t *len)
{
    *len = packet->client_id.len;
    if (*len > CLIENT_ID_MAX ||
        (*len && *packet->client_id.text == '$' && broker->options.no_dollar_client_ids))
        return WIRE_CLIENT_ID_INVALID;
    if (*len) {
        memcpy(id, packet->client_id.text, *len);
        id[*len] = '\0';
        return 0;
    }
    if (packet->version == WIRE_MQTT31 || (packet->version != WIRE_MQTT5 && !packet->clean_start))
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

/* NULL, or why it has no room. */
static const char *take_will(struct peer *peer, const struct wire_packet *packet, struct msg **ret)
{
    const struct broker *broker = peer->broker;
    const struct wire_will *will = &packet->will;
    struct msg *msg = peer_msg_of(peer, will->topic, &will->props, will->payload.text, will->payload.len);
    if (!msg)
        return "no memory for its will";
    if (msg_cost(msg) > broker->options.queued_bytes_max / 4 -
                            size_min(broker->will_bytes, broker->options.queued_bytes_max / 4)) {
        (void)msg_unref(msg);
        return "the wills of all clients together have no room for its will";
    }
    msg->qos = will->qos;
    msg->retain = will->retain;
    msg->is_will = true;
    *ret = msg;
    return NULL;
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

/* A client id is in use, or was, by somebody who has proven who he is: may this one go on with his session, or end it? Where a policy
 * lets him connect with that client id he may, as at AWS IoT, or a new certificate could not go on where the old one was. */
static bool may_have_session(const struct peer *peer, const char *id, size_t len, const char **why)
{
    const struct session *session = session_find(peer->broker, id, len);
    const struct principal *principal = peer->principal;
    const char *name = principal_proven_name(principal);
    *why = "there is a session of somebody else with its client id";
    return !session || !session->owner || principal->permit || principal->client_id ||
           (principal->everything && principal->kind != PRINCIPAL_OPEN) ||
           (name && strcmp(name, session->owner) == 0);
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
    bool is_v5 = packet->version == WIRE_MQTT5;
    bool is_foreign = session && broker->options.versions_share_no_session && session->is_v5 != is_v5;
    if (session && (packet->clean_start || is_foreign)) {
        (void)session_end(session, receipt);
        session = NULL;
    }
    *present = session != NULL;
    if (!session)
        session = session_new(broker, id, len, expiry_of(broker, packet), 0);
    session->is_v5 = is_v5;
    const char *name = principal_proven_name(peer->principal);
    if (name && (!session->owner || strcmp(session->owner, name) != 0)) {
        free(session->owner);
        session->owner = str_copy(name);
    }
    return session;
}

/* ---- what was agreed --------------------------------------------------------------------------------------------- */

/* Keep Alive as it will be, in seconds; 0: none. */
static unsigned keepalive_of(const struct broker_options *options, const struct wire_packet *packet)
{
    unsigned asked_s = packet->keepalive_s, most_s = options->keepalive_max_s;
    if (packet->version != WIRE_MQTT5 && !options->keepalive_forced)
        return asked_s;
    if (most_s && (!asked_s || asked_s > most_s))
        return most_s;
    return asked_s && asked_s < options->keepalive_min_s ? options->keepalive_min_s : asked_s;
}

static void take_terms(struct peer *peer, const struct wire_packet *packet)
{
    const struct broker_options *options = &peer->broker->options;
    const struct wire_props *props = &packet->props;
    unsigned window = options->inflight_max;
    peer->window =
        wire_has(props, WIRE_RECEIVE_MAX) && props->receive_max < window ? props->receive_max : window;
    peer->keepalive = keepalive_of(options, packet) * KEEPALIVE_GRACE_MS;
    if (packet->version == WIRE_MQTT5) {
        peer->alias_max_in = options->alias_max;
        if (wire_has(props, WIRE_ALIAS_MAX))
            peer->alias_max_out =
                props->alias_max < options->alias_max ? props->alias_max : options->alias_max;
    }
}

/* What has to be known before the first answer. */
static void take_manners(struct peer *peer, const struct wire_packet *packet)
{
    peer->version = packet->version;
    if (wire_has(&packet->props, WIRE_PACKET_MAX))
        peer->packet_max = packet->props.packet_max;
    if (wire_has(&packet->props, WIRE_REQUEST_PROBLEM))
        peer->problem_info = packet->props.request_problem;
}

/* A CONNECT that has been accepted, while its session's changes are on their way to the disk. */
struct connecting {
    struct control control;
    bool session_present, tell_expiry, tell_keepalive, tell_id;
    bool goes_on; /* what is promised is on disk, but for the time since when the client has been away */
    struct wire_packet connack;
    uint8_t *auth_data;
};

static void put_flag(struct wire_props *props, enum wire_prop prop, uint8_t *field)
{
    *field = 0;
    wire_set(props, prop);
}

static void put_terms(const struct peer *peer, const struct connecting *connecting, struct wire_props *props)
{
    const struct broker_options *options = &peer->broker->options;
    props->receive_max = (uint16_t)options->inflight_max;
    wire_set(props, WIRE_RECEIVE_MAX);
    props->alias_max = peer->alias_max_in;
    wire_set(props, WIRE_ALIAS_MAX);
    props->packet_max = (uint32_t)options->packet_max;
    wire_set(props, WIRE_PACKET_MAX);
    if (options->qos_max < 2) {
        props->qos_max = options->qos_max;
        wire_set(props, WIRE_QOS_MAX);
    }
    if (options->no_subscription_ids)
        put_flag(props, WIRE_SUBSCRIPTION_IDS_AVAILABLE, &props->subscription_ids_available);
    if (connecting->tell_expiry) {
        props->session_expiry = peer->session->expiry_s;
        wire_set(props, WIRE_SESSION_EXPIRY);
    }
    if (connecting->tell_keepalive) { /* [MQTT-3.2.2-21] */
        props->server_keepalive = (uint16_t)(peer->keepalive / KEEPALIVE_GRACE_MS);
        wire_set(props, WIRE_SERVER_KEEPALIVE);
    }
    if (connecting->tell_id) { /* [MQTT-3.2.2-16] */
        props->assigned_id = (struct wire_text){peer->session->key.text, (uint16_t)peer->session->key.len};
        wire_set(props, WIRE_ASSIGNED_ID);
    }
}

static bool accept_connect(struct peer *peer, struct connecting *connecting)
{
    connecting->connack.session_present = connecting->session_present;
    if (peer->version == WIRE_MQTT5)
        put_terms(peer, connecting, &connecting->connack.props);
    return send_connack(peer, &connecting->connack);
}

/* What was refused leaves nothing. */
static int refuse_kept(struct peer *peer, const struct connecting *connecting, uint8_t reason,
                       const char *why)
{
    peer->will_wanted = false;
    if (!connecting->session_present)
        peer->session->expiry_s = 0;
    return peer_refuse_connect(peer, reason, why);
}

static void on_kept(struct control *control, int r)
{
    struct connecting *connecting = container_of(control, struct connecting, control);
    struct peer *peer = control->peer;
    if (peer && connecting->goes_on && (r == -ENOSPC || r == -EDQUOT)) {
        /* Who comes for his messages makes room. Should the gateway fail now, it takes him for away since he last was. */
        log_warning("%s: let in, though there is no room to note that it is here", peer_name(peer));
        r = 0;
    }
    if (peer && r < 0) {
        r = refuse_kept(peer, connecting,
                        r == -ENOSPC || r == -EDQUOT ? WIRE_QUOTA_EXCEEDED : WIRE_SERVER_UNAVAILABLE,
                        "its session could not be kept");
    } else if (peer && !accept_connect(peer, connecting)) {
        r = refuse_kept(peer, connecting, WIRE_TOO_LARGE, "its Maximum Packet Size is smaller than CONNACK");
    } else if (peer) {
        peer->state = PEER_CONNECTED;
        peer->broker->counters.connects++;
        timer_stop(peer->broker->loop, &peer->timer);
        peer->last_heard = loop_now(peer->broker->loop);
        if (peer->keepalive)
            timer_start(peer->broker->loop, &peer->timer, peer->keepalive);
        peer_end_begin(peer);
        log_debug("%s: connected from %s", peer_name(peer), conn_peer(peer->conn));
        presence_connected(peer);
        session_pump(peer->session);
    }
    free(connecting->auth_data);
    free(connecting);
}

int peer_on_connect(struct peer *peer, const struct wire_packet *packet, const struct wire_frame *frame)
{
    take_manners(peer, packet);
    if (wire_has(&packet->props, WIRE_AUTH_METHOD))
        return auth_begin(peer, packet, frame);
    if (login_is_wanted(peer))
        return login_connect(peer, packet, frame);
    return peer_accept(peer, packet, NULL);
}

/* Why its will cannot be kept; 0: it can. */
static uint8_t judge_will(const struct peer *peer, const struct wire_will *will, const char **why)
{
    const struct broker_options *options = &peer->broker->options;
    *why = "may not publish on the topic of its will";
    if (!policy_allows(peer->principal, POLICY_PUBLISH, will->topic.text, will->topic.len))
        return WIRE_NOT_AUTHORIZED;
    struct wire_text answer = will->props.response_topic;
    *why = "may not be answered on the response topic of its will";
    if (wire_has(&will->props, WIRE_RESPONSE_TOPIC) &&
        !principal_may_be_answered(peer->principal, answer.text, answer.len))
        return WIRE_NOT_AUTHORIZED;
    *why = "the topic of its will is too long or has too many levels";
    if (peer_topic_is_too_large(peer, will->topic))
        return WIRE_TOPIC_INVALID;
    *why = "the topic of its will is the broker's own";
    if (peer_topic_is_the_brokers(will->topic))
        return WIRE_TOPIC_INVALID;
    *why = "the QoS of its will is not supported";
    if (will->qos > options->qos_max)
        return WIRE_QOS_UNSUPPORTED;
    *why = "its will is to be retained on a topic that begins with $";
    return will->retain && options->no_retain_on_dollar && *will->topic.text == '$' ? WIRE_TOPIC_INVALID : 0;
}

/* What the policies of somebody in the registry say of this connection. */
static bool may_connect(struct peer *peer, const struct wire_packet *packet, const char *id, size_t id_len,
                        const char **why)
{
    struct principal_permit *permit = peer->principal->permit;
    if (peer->principal->client_id && strcmp(peer->principal->client_id, id) != 0) {
        *why = "its client id is not its own";
        return false;
    }
    const struct wire_will *will = &packet->will;
    const struct principal_connect connect = {
        .client_id = id,
        .client_id_len = id_len,
        .is_persistent = !packet->clean_start || expiry_of(peer->broker, packet) > 0,
        .has_will = packet->has_will,
        .will_retain = packet->has_will && will->retain,
        .will_topic = packet->has_will ? will->topic.text : NULL,
        .will_topic_len = packet->has_will ? will->topic.len : 0,
    };
    return !permit || permit->connect(permit, &connect, why);
}

int peer_accept(struct peer *peer, const struct wire_packet *packet, const struct auth_answer *answer)
{
    struct broker *broker = peer->broker;
    char id[CLIENT_ID_MAX + 1];
    size_t id_len;
    const char *why;
    uint8_t reason = choose_id(broker, packet, id, sizeof id, &id_len);
    if (reason)
        return peer_refuse_connect(peer, reason, "its client id is empty, too long or reserved");
    if (!peer->principal)
        peer->principal = who_is(peer, &why);
    if (!peer->principal || !may_connect(peer, packet, id, id_len, &why) ||
        !may_have_session(peer, id, id_len, &why)) {
        presence_failed(peer, id, id_len);
        if (peer->principal)
            peer_note_refusal(peer, "refused/connect", (struct wire_text){id, (uint16_t)id_len}, why);
        return peer_refuse_connect(peer, WIRE_NOT_AUTHORIZED, why);
    }
    reason = packet->has_will ? judge_will(peer, &packet->will, &why) : 0;
    if (reason)
        return peer_refuse_connect(peer, reason, why);
    struct msg *will = NULL;
    why = packet->has_will ? take_will(peer, packet, &will) : NULL;
    if (why)
        return peer_refuse_connect(peer, WIRE_QUOTA_EXCEEDED, why);

    struct connecting *connecting = mem_new(struct connecting);
    struct receipt *receipt = &connecting->control.receipt;
    peer_control_begin(peer, &connecting->control, on_kept);
    struct session *session = take_session(peer, packet, id, id_len, &connecting->session_present, receipt);
    session_attach(session, peer);
    peer->session = session;
    uint32_t expiry_s = expiry_of(broker, packet);
    connecting->goes_on =
        connecting->session_present && session->disk && session->expiry_s == expiry_s && !packet->has_will;
    session->expiry_s = expiry_s;
    if (session->disk)
        durable_put(broker->durable, session, false, receipt);
    if (will)
        keep_will(session, will, packet, receipt);
    (void)msg_unref(will);
    peer->will_wanted = true;
    take_terms(peer, packet);
    connecting->tell_id = !packet->client_id.len;
    connecting->tell_keepalive = peer->keepalive != (uint32_t)packet->keepalive_s * KEEPALIVE_GRACE_MS;
    if (answer) { /* kept until the answer is sent */
        connecting->auth_data = answer->len ? mem_new_bytes(answer->len) : NULL;
        if (answer->len)
            memcpy(connecting->auth_data, answer->data, answer->len);
        auth_put(peer, &connecting->connack.props, connecting->auth_data, answer->len);
    }
    connecting->tell_expiry =
        wire_has(&packet->props, WIRE_SESSION_EXPIRY) && packet->props.session_expiry != session->expiry_s;
    peer->state = PEER_ACCEPTED;
    peer_control_wait(&connecting->control);
    return 0;
}
