#include "services/credentials/credentials.h"

#include <string.h>

const char *credential_endpoint_check(const char *text)
{
    static const char scheme[] = "https://", expected[] = "https://HOST[:PORT] of the credential provider";
    if (strncmp(text, scheme, strlen(scheme)) != 0)
        return expected;
    const char *host = text + strlen(scheme);
    size_t len = strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]");
    return len && !host[len] ? NULL : expected;
}

const char *credential_alias_check(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=,@-");
    return len >= 1 && len <= 128 && !text[len] ? NULL : "1 to 128 letters, digits, _, =, comma, @ or -";
}

const char *credential_thing_check(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_-");
    return len >= 1 && len <= 128 && !text[len] ? NULL
                                                : "the name of a thing: 1 to 128 letters, digits, :, _ or -";
}
