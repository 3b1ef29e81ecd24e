#include "mqtt/peer.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

/* An exchange in CONNECT: the packet waits as bytes until the last step, because what it points to is gone by then. One in a
 * connection that is up: messages go on meanwhile. */

struct auth {
    struct authenticator *authenticator;
    void *state;
    uint8_t *connect; /* the CONNECT as it came, until it is accepted */
    size_t connect_len;
};

static struct authenticator *find(const struct broker *broker, struct wire_text method)
{
    struct authenticator *const *list = broker->options.authenticators;
    for (size_t i = 0; list && list[i]; i++)
        if (strlen(list[i]->method) == method.len && memcmp(list[i]->method, method.text, method.len) == 0)
            return list[i];
    return NULL;
}

static void forget_state(struct auth *auth)
{
    if (auth->state)
        auth->authenticator->forget(auth->authenticator, auth->state);
    auth->state = NULL;
}

struct auth *auth_free(struct auth *auth)
{
    if (!auth)
        return NULL;
    forget_state(auth);
    free(auth->connect);
    free(auth);
    return NULL;
}

void auth_put(const struct peer *peer, struct wire_props *props, const uint8_t *data, size_t len)
{
    const char *method = peer->auth->authenticator->method;
    props->auth_method = (struct wire_text){method, (uint16_t)strlen(method)};
    wire_set(props, WIRE_AUTH_METHOD);
    if (!len)
        return;
    props->auth_data = (struct wire_text){(const char *)data, (uint16_t)len};
    wire_set(props, WIRE_AUTH_DATA);
}

static void send_auth(struct peer *peer, uint8_t reason, const struct auth_answer *answer)
{
    struct wire_packet packet = {.type = WIRE_AUTH, .version = WIRE_MQTT5, .reason = reason};
    auth_put(peer, &packet.props, answer->data, answer->len);
    size_t size = wire_size(&packet);
    uint8_t *out = size ? conn_room(peer->conn, size) : NULL;
    if (out)
        conn_wrote(peer->conn, wire_encode(out, size, &packet));
}

static int step(struct peer *peer, const struct wire_props *props, struct auth_answer *answer)
{
    struct auth *auth = peer->auth;
    *answer = (struct auth_answer){0};
    struct wire_text data = wire_has(props, WIRE_AUTH_DATA) ? props->auth_data : (struct wire_text){"", 0};
    int r = auth->authenticator->step(auth->authenticator, &auth->state, (const uint8_t *)data.text, data.len,
                                      answer);
    if (r == AUTH_DONE && !answer->principal)
        r = WIRE_NOT_AUTHORIZED;
    if (r != AUTH_CONTINUE)
        forget_state(auth);
    if (r == AUTH_DONE) {
        (void)principal_unref(peer->principal);
        peer->principal = steal(answer->principal);
    }
    return r;
}

/* ---- in CONNECT -------------------------------------------------------------------------------------------------- */

/* The CONNECT again, now that it is known who it is. */
static int go_on(struct peer *peer, const struct auth_answer *answer)
{
    struct auth *auth = peer->auth;
    cleanup_free uint8_t *bytes = steal(auth->connect);
    struct wire_packet packet;
    struct wire_frame frame;
    const char *why = "";
    if (wire_frame(bytes, auth->connect_len, auth->connect_len, &frame) != 1 ||
        wire_decode(&packet, &frame, WIRE_MQTT5, WIRE_FROM_CLIENT, &why))
        return peer_fault(peer, WIRE_UNSPECIFIED, why); /* it could be read before */
    peer->state = PEER_NEW;
    return peer_accept(peer, &packet, answer);
}

static int on_step(struct peer *peer, const struct wire_props *props)
{
    struct auth_answer answer;
    int r = step(peer, props, &answer);
    if (r == AUTH_CONTINUE) {
        peer->state = PEER_PROVING;
        send_auth(peer, WIRE_CONTINUE_AUTHENTICATION, &answer);
        r = 0;
    } else if (r == AUTH_DONE) {
        r = go_on(peer, &answer);
    } else {
        r = peer_refuse_connect(peer, (uint8_t)r, "its authentication failed");
    }
    free(answer.data);
    return r;
}

int auth_begin(struct peer *peer, const struct wire_packet *packet, const struct wire_frame *frame)
{
    struct authenticator *authenticator = find(peer->broker, packet->props.auth_method);
    if (!authenticator)
        return peer_refuse_connect(peer, WIRE_BAD_AUTH_METHOD,
                                   "asks for an authentication method that is not known");
    struct auth *auth = peer->auth = mem_new(struct auth);
    auth->authenticator = authenticator;
    auth->connect_len = frame->total;
    auth->connect = mem_new_bytes(frame->total);
    memcpy(auth->connect, frame->body - (frame->total - frame->body_len), frame->total);
    return on_step(peer, &packet->props);
}

/* ---- AUTH -------------------------------------------------------------------------------------------------------- */

static int on_again(struct peer *peer, const struct wire_props *props)
{
    struct auth_answer answer;
    int r = step(peer, props, &answer);
    if (r == AUTH_CONTINUE)
        send_auth(peer, WIRE_CONTINUE_AUTHENTICATION, &answer);
    else if (r == AUTH_DONE)
        send_auth(peer, WIRE_SUCCESS, &answer);
    else
        peer_close(peer, (uint8_t)r, "it could not authenticate itself again"); /* [MQTT-4.12.1-2] */
    free(answer.data);
    return r > AUTH_CONTINUE ? -EACCES : 0;
}

int peer_on_auth(struct peer *peer, const struct wire_packet *packet)
{
    struct auth *auth = peer->auth;
    if (!auth) /* [MQTT-4.12.0-6], [MQTT-4.12.0-7] */
        return peer_fault(peer, WIRE_PROTOCOL_ERROR, "AUTH without an authentication method in CONNECT");
    struct wire_text method =
        wire_has(&packet->props, WIRE_AUTH_METHOD) ? packet->props.auth_method : (struct wire_text){"", 0};
    if (find(peer->broker, method) != auth->authenticator) /* [MQTT-4.12.0-5], [MQTT-4.12.1-1] */
        return peer_fault(peer, WIRE_PROTOCOL_ERROR, "AUTH with another authentication method than CONNECT");
    bool proving = peer->state == PEER_PROVING;
    bool begins = packet->reason == WIRE_REAUTHENTICATE;
    if (proving ? begins : begins == (auth->state != NULL))
        return peer_fault(peer, WIRE_PROTOCOL_ERROR, "AUTH at the wrong time");
    return proving ? on_step(peer, &packet->props) : on_again(peer, &packet->props);
}
