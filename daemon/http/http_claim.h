/* Who a request says that it is from: Authorization, Basic (RFC 7617: a user and his password) or Bearer (RFC 6750: a token). Pure. */
#pragma once

#include "identity/login.h"
#include "net/http_head.h"

enum { HTTP_CLAIM_BYTES = 8192 };

struct http_claim {
    unsigned ways; /* enum login_way of its scheme; 0: it says nothing, or in a scheme that is not known */
    const char *user, *password; /* NULL: none. In `text` */
    size_t user_len, password_len;
    char text[HTTP_CLAIM_BYTES];
};

/* 0, or 400 and *why (a constant). Wipe it. */
int http_claim_take(struct http_claim *ret, const struct http_head *head, const char **why) must_check;
