#include "mqtt/peer.h"

#include "identity/login.h"

#include <string.h>

/* A CONNECT with a user name and a password on a listener that takes them. Looking at a password takes its time, so the packet
 * waits as bytes, as in auth.c, and nothing is read from the client meanwhile. How long it waits in line is not its fault: its
 * time to connect stands still. */

struct peer_login {
    struct login_request request;
    struct peer *peer;
    uint8_t *connect; /* as it came, with the password in it */
    size_t connect_len;
};

struct peer_end {
    struct principal_end end;
    struct timer timer;
    struct peer *peer;
};

/* ---- who it is ---------------------------------------------------------------------------------------------------- */

bool login_is_wanted(const struct peer *peer)
{
    if (!peer->door || !peer->door->listener || peer->door->everybody || peer->principal)
        return false;
    const struct listener_uri *uri = listener_uri(peer->door->listener);
    size_t len;
    cleanup_free uint8_t *der =
        uri->auth & LISTENER_AUTH_CERTIFICATE ? conn_certificate(peer->conn, &len) : NULL;
    return listener_has_login(uri) && !der; /* who has a certificate is who it says */
}

static const char *text_of(struct wire_text text, bool there)
{
    return there ? text.text : NULL;
}

static unsigned ways_of(const struct listener_uri *uri)
{
    return (uri->auth & LISTENER_AUTH_PASSWORD ? LOGIN_PASSWORD : 0U) |
           (uri->auth & LISTENER_AUTH_JWT ? LOGIN_JWT : 0U) |
           (uri->auth & LISTENER_AUTH_AUTHORIZER ? LOGIN_AUTHORIZER : 0U);
}

static bool begin(struct peer *peer, struct login_request *request, const struct wire_packet *packet,
                  struct login_verdict *verdict)
{
    const struct listener_uri *uri = listener_uri(peer->door->listener);
    char address[ADDRESS_TEXT_BYTES];
    address_host_text(conn_address(peer->conn), address);
    const struct login_credentials credentials = {
        .ways = ways_of(uri),
        .access = uri->access == LISTENER_FULL   ? LOGIN_EVERYTHING
                  : uri->access == LISTENER_NODE ? LOGIN_OWN_TOPICS
                                                 : LOGIN_POLICIES,
        .authorizer = uri->authorizer,
        .user = text_of(packet->username, packet->has_username),
        .user_len = packet->username.len,
        .password = (const uint8_t *)text_of(packet->password, packet->has_password),
        .password_len = packet->password.len,
        .client_id = packet->client_id.text,
        .client_id_len = packet->client_id.len,
        .address = *address ? address : NULL,
        .host = conn_server_name(peer->conn),
        .tls = listener_has_tls(uri),
    };
    return login_begin(peer->broker->options.login, request, &credentials, verdict);
}

static int refuse(struct peer *peer, const struct wire_packet *packet, const struct login_verdict *verdict)
{
    static const uint8_t reasons[] = {[LOGIN_BAD] = WIRE_BAD_CREDENTIALS,
                                      [LOGIN_DENIED] = WIRE_NOT_AUTHORIZED,
                                      [LOGIN_TOO_MANY_ATTEMPTS] = WIRE_CONNECT_RATE,
                                      [LOGIN_BUSY] = WIRE_SERVER_BUSY};
    presence_failed(peer, packet->client_id.text, packet->client_id.len);
    return peer_refuse_connect(peer, reasons[verdict->refusal], verdict->why);
}

static int go_on(struct peer *peer, const struct wire_packet *packet, const struct login_verdict *verdict)
{
    if (!verdict->principal)
        return refuse(peer, packet, verdict);
    peer->principal = verdict->principal;
    return peer_accept(peer, packet, NULL);
}

/* ---- in line --------------------------------------------------------------------------------------------------------- */

struct peer_login *peer_login_free(struct peer_login *login)
{
    if (!login)
        return NULL;
    login_cancel(&login->request);
    if (login->connect)
        explicit_bzero(login->connect, login->connect_len);
    free(login->connect);
    free(login);
    return NULL;
}

/* The CONNECT again, now that it is known who it is. */
static int decide(struct peer *peer, const struct peer_login *login, const struct login_verdict *verdict)
{
    struct wire_packet packet;
    struct wire_frame frame;
    const char *why = "";
    if (wire_frame(login->connect, login->connect_len, login->connect_len, &frame) == 1 &&
        !wire_decode(&packet, &frame, peer->version, WIRE_FROM_CLIENT, &why))
        return go_on(peer, &packet, verdict);
    (void)principal_unref(verdict->principal);
    return peer_fault(peer, WIRE_UNSPECIFIED, why); /* it could be read before */
}

static void on_verdict(struct login_request *request, const struct login_verdict *verdict)
{
    struct peer_login *login = container_of(request, struct peer_login, request);
    struct peer *peer = login->peer;
    peer->login = NULL;
    peer->state = PEER_NEW;
    timer_start(peer->broker->loop, &peer->timer, peer->broker->options.connect_timeout);
    (void)decide(peer, login, verdict);
    conn_resume(peer->conn);
    (void)peer_login_free(login);
}

int login_connect(struct peer *peer, const struct wire_packet *packet, const struct wire_frame *frame)
{
    struct login_verdict verdict;
    struct peer_login *login = mem_new(struct peer_login);
    login->request.done = on_verdict;
    login->peer = peer;
    if (begin(peer, &login->request, packet, &verdict)) {
        (void)peer_login_free(login);
        return go_on(peer, packet, &verdict);
    }
    login->connect_len = frame->total;
    login->connect = mem_new_bytes(frame->total); /* at most 256 KiB (peer.c) */
    memcpy(login->connect, frame->body - (frame->total - frame->body_len), frame->total);
    peer->login = login;
    peer->state = PEER_PROVING;
    timer_stop(peer->broker->loop, &peer->timer);
    conn_pause(peer->conn);
    return 0;
}

/* ---- the end ----------------------------------------------------------------------------------------------------------- */

struct peer_end *peer_end_free(struct peer_end *end)
{
    if (!end)
        return NULL;
    timer_stop(end->peer->broker->loop, &end->timer);
    end->peer->principal->end = NULL;
    free(end);
    return NULL;
}

static void on_time_is_over(struct timer *timer)
{
    struct peer *peer = container_of(timer, struct peer_end, timer)->peer;
    peer_close(peer, WIRE_CONNECT_TIME, "what it came with has expired");
}

static void on_ended(struct principal_end *end, const char *why)
{
    peer_close(container_of(end, struct peer_end, end)->peer, WIRE_NOT_AUTHORIZED, why);
}

void peer_end_begin(struct peer *peer)
{
    if (!peer->principal || !peer->principal->ends_at)
        return;
    int64_t left = peer->principal->ends_at - loop_now(peer->broker->loop);
    peer->end = mem_new(struct peer_end);
    peer->end->peer = peer;
    peer->end->end.ended = on_ended;
    peer->principal->end = &peer->end->end;
    peer->end->timer.fire = on_time_is_over;
    timer_start(peer->broker->loop, &peer->end->timer, left > 0 ? left : 0);
}
