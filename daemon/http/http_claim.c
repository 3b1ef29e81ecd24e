#include "http/http_claim.h"

#include "base/base64.h"

#include <string.h>

/* What follows the scheme; false: it is another one. */
static bool take_scheme(struct http_text *value, const char *scheme)
{
    size_t len = strlen(scheme);
    if (value->len <= len || value->at[len] != ' ' ||
        !http_text_is_like((struct http_text){value->at, len}, scheme))
        return false;
    while (len < value->len && value->at[len] == ' ')
        len++;
    value->at += len;
    value->len -= len;
    return true;
}

static int take_basic(struct http_claim *ret, struct http_text value, const char **why)
{
    size_t len;
    *why = "expected USER:PASSWORD in base64 behind Basic";
    if (!base64_read((uint8_t *)ret->text, sizeof ret->text, &len, value.at, value.len))
        return 400;
    const char *colon = memchr(ret->text, ':', len);
    if (!colon)
        return 400;
    ret->ways = LOGIN_PASSWORD;
    ret->user = ret->text;
    ret->user_len = (size_t)(colon - ret->text);
    ret->password = colon + 1;
    ret->password_len = len - ret->user_len - 1;
    return 0;
}

static int take_bearer(struct http_claim *ret, struct http_text value, const char **why)
{
    *why = "expected a token behind Bearer";
    if (!value.len || value.len > sizeof ret->text)
        return 400;
    memcpy(ret->text, value.at, value.len);
    ret->ways = LOGIN_JWT;
    ret->password = ret->text;
    ret->password_len = value.len;
    return 0;
}

int http_claim_take(struct http_claim *ret, const struct http_head *head, const char **why)
{
    struct http_text value = {"", 0};
    unsigned count = http_head_find(head, "Authorization", &value);
    ret->ways = 0;
    ret->user = ret->password = NULL;
    ret->user_len = ret->password_len = 0;
    if (count > 1) {
        *why = "expected Authorization once";
        return 400;
    }
    if (take_scheme(&value, "Basic"))
        return take_basic(ret, value, why);
    return take_scheme(&value, "Bearer") ? take_bearer(ret, value, why) : 0;
}
