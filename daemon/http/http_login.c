#include "http/http_login.h"

#include "base/log.h"
#include "http/http_claim.h"

#include <string.h>

bool http_login_is_wanted(const struct listener_uri *uri, struct conn *conn)
{
    size_t len;
    cleanup_free uint8_t *der = uri->auth & LISTENER_AUTH_CERTIFICATE ? conn_certificate(conn, &len) : NULL;
    return listener_has_login(uri) && !der;
}

static unsigned ways_of(const struct listener_uri *uri)
{
    return (uri->auth & LISTENER_AUTH_PASSWORD ? LOGIN_PASSWORD : 0U) |
           (uri->auth & LISTENER_AUTH_JWT ? LOGIN_JWT : 0U);
}

static void forget(struct http_login *waiting)
{
    if (waiting->bytes)
        explicit_bzero(waiting->bytes, waiting->len); /* a password is in it */
    free(steal(waiting->bytes));
    waiting->len = 0;
}

static void on_verdict(struct login_request *request, const struct login_verdict *verdict)
{
    struct http_login *waiting = container_of(request, struct http_login, request);
    uint8_t *bytes = steal(waiting->bytes);
    size_t len = waiting->len, used;
    struct http_head head;
    const char *why;
    if (http_head_parse(&head, bytes, len, &used, &why) == 0) /* it could be read before */
        waiting->decided(waiting, &head, verdict);
    else
        (void)principal_unref(verdict->principal);
    explicit_bzero(bytes, len); /* the waiting one may be gone */
    free(bytes);
}

static bool begin(struct http_login *waiting, struct login *login, const struct listener_uri *uri,
                  struct conn *conn, const struct http_claim *claim, struct login_verdict *ret)
{
    char address[ADDRESS_TEXT_BYTES];
    address_host_text(conn_address(conn), address);
    const struct login_credentials credentials = {
        .ways = claim->ways ? ways_of(uri) & claim->ways : ways_of(uri),
        .access = uri->access == LISTENER_FULL   ? LOGIN_EVERYTHING
                  : uri->access == LISTENER_NODE ? LOGIN_OWN_TOPICS
                                                 : LOGIN_POLICIES,
        .user = claim->user,
        .user_len = claim->user_len,
        .password = (const uint8_t *)claim->password,
        .password_len = claim->password_len,
        .client_id = "",
        .address = *address ? address : NULL,
        .host = conn_server_name(conn),
        .tls = listener_has_tls(uri),
        .once = true,
    };
    return login_begin(login, &waiting->request, &credentials, ret);
}

bool http_login_begin(struct http_login *waiting, struct login *login, const struct listener_uri *uri,
                      struct conn *conn, const struct http_head *head, const uint8_t *bytes, size_t len,
                      struct login_verdict *ret, int *status, const char **why)
{
    struct http_claim claim;
    *ret = (struct login_verdict){0};
    *status = http_claim_take(&claim, head, why);
    waiting->request.done = on_verdict;
    bool is_decided = *status != 0 || begin(waiting, login, uri, conn, &claim, ret);
    explicit_bzero(&claim, sizeof claim);
    if (is_decided)
        return true;
    waiting->len = len;
    waiting->bytes = (uint8_t *)str_copy_n((const char *)bytes, len);
    return false;
}

void http_login_cancel(struct http_login *waiting)
{
    if (!waiting->bytes)
        return;
    login_cancel(&waiting->request);
    forget(waiting);
}

int http_login_status(const struct login_verdict *verdict, const char **why)
{
    switch (verdict->refusal) {
    case LOGIN_BAD:
    case LOGIN_DENIED: break;
    case LOGIN_TOO_MANY_ATTEMPTS: *why = "Too many attempts have failed"; return 429;
    case LOGIN_BUSY: *why = verdict->why; return 503;
    }
    *why = "Unauthorized";
    return 401;
}

const char *http_login_challenge(const struct listener_uri *uri)
{
    bool password = uri->auth & LISTENER_AUTH_PASSWORD, token = uri->auth & LISTENER_AUTH_JWT;
    return password && token ? "Basic realm=\"gatehouse\", charset=\"UTF-8\", Bearer realm=\"gatehouse\""
           : password        ? "Basic realm=\"gatehouse\", charset=\"UTF-8\""
           : token           ? "Bearer realm=\"gatehouse\""
                             : NULL;
}
