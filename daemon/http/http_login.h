/* A request on a listener whose clients say who they are (auth=password, auth=jwt), as over MQTT in CONNECT: the same users, tokens,
 * limits and audit log (identity/login.h). Every request says it anew. Looking at a password takes its time, so the request's head
 * waits as bytes, and nothing is read from the client meanwhile. */
#pragma once

#include "identity/login.h"
#include "net/conn.h"
#include "net/http_head.h"
#include "net/listener.h"

struct http_login {
    struct login_request request;
    /* Once, later. The head is the one that was begun with, and valid during the call. */
    void (*decided)(struct http_login *waiting, const struct http_head *head,
                    const struct login_verdict *verdict);
    uint8_t *bytes; /* of the head; NULL: nobody waits */
    size_t len;
};

/* Is it for a login to say who is there? Not on a listener that takes none, and not where a certificate says it. */
bool http_login_is_wanted(const struct listener_uri *uri, struct conn *conn);
/* `bytes`: what the head was read from. true: *ret is the verdict, or *status (400) refuses the request with *why; false: decided() is
 * called later. */
bool http_login_begin(struct http_login *waiting, struct login *login, const struct listener_uri *uri,
                      struct conn *conn, const struct http_head *head, const uint8_t *bytes, size_t len,
                      struct login_verdict *ret, int *status, const char **why);
/* Nobody waits any more. One that is not under way is none. */
void http_login_cancel(struct http_login *waiting);
/* What a refusal is called, and what may be said of it. */
int http_login_status(const struct login_verdict *verdict, const char **why);
/* WWW-Authenticate there. */
const char *http_login_challenge(const struct listener_uri *uri);
