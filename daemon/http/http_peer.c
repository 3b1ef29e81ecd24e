#include "http/http_peer.h"

#include "base/log.h"
#include "http/http_answer.h"
#include "http/http_body.h"
#include "http/http_login.h"
#include "http/http_page.h"
#include "identity/admission.h"
#include "net/conn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* One request at a time:
 *
 *                 ┌─▶ PROVING ─┐ where a password or a token says who asks
 *      FRESH ─▶ HEAD ─────────▶ BODY ─▶ ASKED ─▶ IDLE ─▶ HEAD …          any of them ─▶ CLOSING
 *                 └──────────────────────▲ without a body
 *
 * While it is PROVING or ASKED the connection is not read, so what a client sends ahead stays bounded, and while he does not read our
 * answers neither. What must hold: `bytes` is there in BODY only, `call` in BODY and ASKED only. */

enum state { FRESH, IDLE, HEAD, BODY, PROVING, ASKED, CLOSING };

enum {
    FRESH_LIMIT = 10 * 1000,
    IDLE_LIMIT = 60 * 1000,
    HEAD_LIMIT = 10 * 1000,
    BODY_LIMIT = 20 * 1000,
    BODY_BYTES_A_SECOND = 4096,
    ANSWER_LIMIT = 30 * 1000,

    FIRST_BYTES = 4096,
};

static const struct conn_limits limits = {.tail_max = CONN_UNEXPECTED_MAX, .high_water = 64 * 1024};

struct http_peer {
    struct conn_user user;
    struct conn *conn;
    struct http_server *server;
    struct http_door *door;
    struct principal *principal;
    struct rest_asker asker;
    struct http_login login;
    struct list link; /* in the server's peers */
    struct timer timer;
    struct rest_call *call;
    struct http_body body;
    uint8_t *bytes; /* of the body */
    size_t len, size;
    int64_t begun; /* the body */
    uint8_t state;
    bool last;    /* the connection ends with the next answer */
    bool paused;  /* it is not read */
    bool is_head; /* the answer to HEAD is a head */
    char id[HTTP_ID_BYTES];
};

static void on_timer(struct timer *timer);
static void on_answered(struct rest_asker *asker, const struct rest_answer *answer);

/* ---- state --------------------------------------------------------------------------------------------------------- */

static void enter(struct http_peer *peer, enum state state, int64_t limit)
{
    peer->state = (uint8_t)state;
    timer_start(peer->server->loop, &peer->timer, limit);
}

static void pause_reading(struct http_peer *peer)
{
    if (peer->paused)
        return;
    peer->paused = true;
    conn_pause(peer->conn);
}

static void resume_reading(struct http_peer *peer)
{
    if (!peer->paused)
        return;
    peer->paused = false;
    conn_resume(peer->conn);
}

static void forget_body(struct http_peer *peer)
{
    peer->server->counters.body_bytes -= peer->size;
    free(steal(peer->bytes));
    peer->len = peer->size = 0;
}

static void forget_call(struct http_peer *peer)
{
    if (peer->call)
        rest_forget(steal(peer->call));
}

static void hang_up(struct http_peer *peer)
{
    peer->state = CLOSING;
    timer_stop(peer->server->loop, &peer->timer);
    http_login_cancel(&peer->login);
    forget_body(peer);
    forget_call(peer);
    conn_close(peer->conn);
}

/* ---- answers ------------------------------------------------------------------------------------------------------- */

static void send_answer(struct http_peer *peer, struct http_answer *answer, const char *body)
{
    char head[HTTP_ANSWER_HEAD_MAX];
    answer->id = peer->id;
    answer->last = peer->last;
    conn_write(peer->conn, head, http_answer_head(head, answer));
    if (!peer->is_head)
        conn_write(peer->conn, body, answer->len);
    if (answer->status >= 400)
        peer->server->counters.refused++;
    peer->server->counters.unauthorized += answer->status == 403;
    if (peer->last)
        hang_up(peer);
    else
        enter(peer, IDLE, IDLE_LIMIT);
}

static void refuse(struct http_peer *peer, int status, const char *allow, const char *why)
{
    char body[HTTP_ERROR_MAX];
    struct http_answer answer = {.status = status, .allow = allow, .wall = loop_wall(peer->server->loop)};
    if (status == 401 && peer->door->listener)
        answer.authenticate = http_login_challenge(listener_uri(peer->door->listener));
    answer.id = peer->id;
    answer.len = http_answer_error(body, &answer, why);
    send_answer(peer, &answer, body);
}

/* What came cannot be told apart from what follows, or must not be waited for. */
static void refuse_and_end(struct http_peer *peer, int status, const char *why)
{
    log_info("%s: refused with %d: %s", conn_peer(peer->conn), status, why);
    peer->last = true;
    refuse(peer, status, NULL, why);
}

static void on_answered(struct rest_asker *asker, const struct rest_answer *answer)
{
    struct http_peer *peer = container_of(asker, struct http_peer, asker);
    peer->call = NULL;
    if (answer->body) {
        struct http_answer head = {.status = answer->status,
                                   .len = answer->len,
                                   .type = answer->type,
                                   .wall = loop_wall(peer->server->loop)};
        send_answer(peer, &head, answer->body);
    } else {
        refuse(peer, answer->status, NULL, answer->why);
    }
    if (peer->state == CLOSING)
        return;
    if (conn_is_congested(peer->conn))
        pause_reading(peer);
    else
        resume_reading(peer);
}

static void on_drained(struct conn_user *user)
{
    struct http_peer *peer = container_of(user, struct http_peer, user);
    if (peer->state == IDLE)
        resume_reading(peer);
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

static void new_id(struct http_peer *peer)
{
    uint8_t random[16] = {0};
    ssize_t n = getrandom(random, sizeof random, 0); /* does not fail for so few */
    (void)n;
    http_id(peer->id, random);
}

/* Whom the registry knows, or refuses. */
static struct principal *who_is_registered(const struct http_peer *peer, bool *refused)
{
    struct admission *admission = peer->server->options.admission;
    size_t len;
    cleanup_free uint8_t *der = admission ? conn_certificate(peer->conn, &len) : NULL;
    bool strict = listener_uri(peer->door->listener)->access == LISTENER_POLICY;
    *refused = strict;
    if (!der)
        return NULL;
    char address[ADDRESS_TEXT_BYTES];
    address_host_text(conn_address(peer->conn), address);
    const struct permit_origin origin = {der, len, *address ? address : NULL, conn_server_name(peer->conn)};
    struct principal *principal = NULL;
    const char *why;
    int r = admission_enter(admission, &origin, strict, &principal, &why);
    *refused = r == ADMISSION_REFUSED;
    if (*refused)
        log_info("%s: refused: %s", conn_peer(peer->conn), why);
    return principal;
}

/* From now on it asks as that principal. */
static void know(struct http_peer *peer)
{
    cleanup_free char *client = str_printf("http %s", conn_peer(peer->conn));
    (void)publisher_unref(peer->asker.publisher);
    peer->asker.principal = peer->principal;
    peer->asker.publisher = publisher_new(client, strlen(client), principal_proven_name(peer->principal));
    if (!peer->asker.origin)
        peer->asker.origin = bus_new_origin(peer->server->bus);
}

/* Who it is; false: nobody knows. */
static bool identify(struct http_peer *peer)
{
    if (peer->principal)
        return true;
    const char *name = peer->door->everybody ? NULL : conn_certificate_name(peer->conn);
    bool refused = false;
    if (peer->door->everybody)
        peer->principal = principal_ref(peer->door->everybody);
    else if (peer->door->listener)
        peer->principal = who_is_registered(peer, &refused);
    if (refused)
        return false;
    if (!peer->principal && name && peer->door->listener)
        peer->principal = listener_uri(peer->door->listener)->access == LISTENER_FULL
                              ? principal_new_unlimited(PRINCIPAL_CERTIFICATE, name)
                              : principal_new_node(name);
    if (!peer->principal)
        return false;
    know(peer);
    return true;
}

static void ask(struct http_peer *peer)
{
    enter(peer, ASKED, ANSWER_LIMIT);
    rest_ask(peer->call, &peer->asker, peer->bytes ? (const char *)peer->bytes : "", peer->len);
    forget_body(peer);
    if (peer->state == ASKED) /* not answered at once */
        pause_reading(peer);
}

/* Before it is looked at who asks: 0, or the status that refuses it. */
static int judge_head(const struct http_peer *peer, const struct http_head *head, const char **why)
{
    struct http_text expect = {0};
    unsigned expects = http_head_find(head, "Expect", &expect);
    if (head->minor && (expects > 1 || (expects && !http_text_is_like(expect, "100-continue")))) {
        *why = "expected Expect: 100-continue";
        return 417;
    }
    if (http_is_from_page(head, peer->door->loopback)) {
        *why = "Pages in a browser may not come in";
        return 403;
    }
    return 0;
}

/* 0: it goes on. Else the status that refuses it. */
static int judge(struct http_peer *peer, const struct http_head *head, const char **allow, const char **why)
{
    int status = rest_begin(&peer->call, peer->server->rest, &peer->asker, head, allow, why);
    if (status == 0 && !peer->body.chunked && peer->body.left > rest_body_max(peer->call)) {
        *why = "The payload exceeds the maximum size allowed";
        status = 413;
    }
    return status;
}

/* What follows that head is not a request's any more, unless it has no body. */
static void refuse_request(struct http_peer *peer, int status, const char *allow, const char *why)
{
    forget_call(peer);
    peer->last |= !http_body_is_over(&peer->body); /* nobody reads that body */
    refuse(peer, status, allow, why);
}

/* It is known who asks. */
static void admit(struct http_peer *peer, const struct http_head *head)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const char *why = NULL, *allow = NULL;
    struct http_text expect;
    int status = judge(peer, head, &allow, &why);
    if (status != 0) {
        refuse_request(peer, status, allow, why);
        return;
    }
    if (http_body_is_over(&peer->body)) {
        ask(peer);
        return;
    }
    if (head->minor && http_head_find(head, "Expect", &expect))
        conn_write(peer->conn, go_on, sizeof go_on - 1);
    peer->begun = loop_now(peer->server->loop);
    enter(peer, BODY, BODY_LIMIT);
}

static void take_verdict(struct http_peer *peer, const struct http_head *head,
                         const struct login_verdict *verdict)
{
    const char *why = NULL;
    if (!verdict->principal) {
        int status = http_login_status(verdict, &why);
        log_info("%s: refused with %d: %s", conn_peer(peer->conn), status, verdict->why);
        refuse_request(peer, status, NULL, why);
        return;
    }
    (void)principal_unref(peer->principal);
    peer->principal = verdict->principal;
    know(peer);
    admit(peer, head);
}

static void on_decided(struct http_login *login, const struct http_head *head,
                       const struct login_verdict *verdict)
{
    struct http_peer *peer = container_of(login, struct http_peer, login);
    take_verdict(peer, head, verdict);
    if (peer->state == BODY || (peer->state == IDLE && !conn_is_congested(peer->conn)))
        resume_reading(peer);
}

/* Every request says who asks. */
static void prove(struct http_peer *peer, const struct http_head *head, const uint8_t *bytes, size_t len)
{
    const struct listener_uri *uri = listener_uri(peer->door->listener);
    struct login_verdict verdict;
    const char *why = NULL;
    int status;
    peer->login.decided = on_decided;
    if (!http_login_begin(&peer->login, peer->server->options.login, uri, peer->conn, head, bytes, len,
                          &verdict, &status, &why)) {
        enter(peer, PROVING, ANSWER_LIMIT);
        pause_reading(peer);
    } else if (status) {
        refuse_request(peer, status, NULL, why);
    } else {
        take_verdict(peer, head, &verdict);
    }
}

static void begin_request(struct http_peer *peer, const struct http_head *head, const uint8_t *bytes,
                          size_t len)
{
    const char *why = NULL;
    peer->server->counters.requests++;
    peer->is_head = http_text_is(head->method, "HEAD");
    peer->last = head->minor == 0 || http_head_has(head, "Connection", "close") || peer->server->stopping;
    int status = http_body_begin(&peer->body, head, &why);
    if (status != 0) {
        refuse_and_end(peer, status, why);
        return;
    }
    status = judge_head(peer, head, &why);
    if (status == 0 && peer->server->options.login && peer->door->listener &&
        http_login_is_wanted(listener_uri(peer->door->listener), peer->conn)) {
        prove(peer, head, bytes, len);
    } else if (status == 0 && identify(peer)) {
        admit(peer, head);
    } else {
        refuse_request(peer, status ? status : 401, NULL, status ? why : "Unauthorized");
    }
}

/* How many bytes were used; 0: more must come. */
static size_t take_head(struct http_peer *peer, const uint8_t *bytes, size_t len)
{
    struct http_head head;
    const char *why = NULL;
    size_t used = 0;
    int r = http_head_parse(&head, bytes, len, &used, &why);
    if (r == -EAGAIN) {
        if (peer->state != HEAD)
            enter(peer, HEAD, HEAD_LIMIT);
        return 0;
    }
    new_id(peer);
    if (r != 0) {
        peer->is_head = false;
        refuse_and_end(peer, r, why);
        return len;
    }
    begin_request(peer, &head, bytes, used);
    return used;
}

/* Room for more of the body; false: it is refused. */
static bool make_room(struct http_peer *peer, size_t more)
{
    struct http_server *server = peer->server;
    size_t max = rest_body_max(peer->call);
    if (more > max - peer->len) {
        refuse_and_end(peer, 413, "The payload exceeds the maximum size allowed");
        return false;
    }
    if (peer->len + more <= peer->size)
        return true;
    size_t size = size_max(size_min(size_max(2 * peer->size, FIRST_BYTES), max), peer->len + more);
    bool fits = server->counters.body_bytes - peer->size + size <= server->options.bodies_max;
    uint8_t *bytes = fits ? realloc(peer->bytes, size) : NULL;
    if (!bytes) {
        refuse_and_end(peer, 503, "Too much is being sent at the same time");
        return false;
    }
    server->counters.body_bytes += size - peer->size;
    peer->bytes = bytes;
    peer->size = size;
    return true;
}

static size_t take_body(struct http_peer *peer, const uint8_t *bytes, size_t len)
{
    struct http_text piece;
    const char *why = NULL;
    size_t used = 0;
    int status = http_body_take(&peer->body, bytes, len, &used, &piece, &why);
    if (status != 0) {
        refuse_and_end(peer, status, why);
        return len;
    }
    if (piece.len) {
        if (!make_room(peer, piece.len))
            return len;
        memcpy(peer->bytes + peer->len, piece.at, piece.len);
        peer->len += piece.len;
    }
    if (http_body_is_over(&peer->body))
        ask(peer);
    return used;
}

static ssize_t on_received(struct conn_user *user, const uint8_t *bytes, size_t len)
{
    struct http_peer *peer = container_of(user, struct http_peer, user);
    size_t at = 0, used = 1;
    while (at < len && used && peer->state < ASKED && !peer->paused) {
        used = peer->state == BODY ? take_body(peer, bytes + at, len - at)
                                   : take_head(peer, bytes + at, len - at);
        at += used;
    }
    return (ssize_t)at;
}

/* ---- time ---------------------------------------------------------------------------------------------------------- */

static void on_timer(struct timer *timer)
{
    struct http_peer *peer = container_of(timer, struct http_peer, timer);
    int64_t left = 0;
    if (peer->state == BODY)
        left = peer->begun + BODY_LIMIT + (int64_t)(peer->len * 1000 / BODY_BYTES_A_SECOND) -
               loop_now(peer->server->loop);
    if (left > 0) {
        timer_start(peer->server->loop, timer, left);
        return;
    }
    peer->server->counters.timeouts++;
    switch ((enum state)peer->state) {
    case FRESH:
    case IDLE: hang_up(peer); break;
    case HEAD:
        new_id(peer);
        peer->is_head = false;
        refuse_and_end(peer, 408, "The request did not come in time");
        break;
    case BODY: refuse_and_end(peer, 408, "The request did not come in time"); break;
    case PROVING:
    case ASKED:
        http_login_cancel(&peer->login);
        forget_call(peer);
        refuse_and_end(peer, 503, "Nobody has answered in time");
        break;
    case CLOSING: break;
    }
}

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static void forget(struct http_peer *peer)
{
    timer_stop(peer->server->loop, &peer->timer);
    forget_body(peer);
    http_login_cancel(&peer->login);
    forget_call(peer);
    list_remove(&peer->link);
    peer->server->counters.connections--;
    (void)publisher_unref(peer->asker.publisher);
    (void)principal_unref(peer->principal);
    free(peer);
}

static void on_closed(struct conn_user *user, int why)
{
    (void)why;
    struct http_peer *peer = container_of(user, struct http_peer, user);
    listener_left(peer->door->listener, conn_address(peer->conn));
    forget(peer);
}

int http_peer_new(struct http_server *server, struct http_door *door, struct endpoint *endpoint)
{
    static const struct conn_events events = {
        .received = on_received, .drained = on_drained, .closed = on_closed};
    if (server->counters.connections >= server->options.connections_max) {
        if (!server->counters.turned_away++) /* the first of perhaps very many */
            log_warning("more HTTP connections than connections-max allows are closed");
        endpoint_close(endpoint);
        return -EUSERS;
    }
    struct http_peer *peer = mem_new(struct http_peer);
    peer->user.on = &events;
    peer->server = server;
    peer->door = door;
    peer->timer.fire = on_timer;
    peer->asker.answered = on_answered;
    peer->asker.id = peer->id;
    int r = conn_new(&peer->conn, server->loop, endpoint, &limits, &peer->user);
    if (r < 0) {
        free(peer);
        return r;
    }
    list_append(&server->peers, &peer->link);
    server->counters.connections++;
    enter(peer, FRESH, FRESH_LIMIT);
    return 0;
}

void http_peer_stop(struct list *link)
{
    struct http_peer *peer = list_entry(link, struct http_peer, link);
    peer->last = true;
    if (peer->state < BODY)
        hang_up(peer);
}

void http_peer_free(struct list *link)
{
    struct http_peer *peer = list_entry(link, struct http_peer, link);
    peer->conn = conn_free(peer->conn);
    forget(peer);
}
