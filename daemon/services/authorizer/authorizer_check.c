#include "services/authorizer/authorizer.h"

#include <arpa/inet.h>
#include <string.h>

static const char expected[] = "https://HOST[:PORT]/PATH, or http:// with a loopback address or localhost";

static bool skip(const char **text, const char *scheme)
{
    size_t len = strlen(scheme);
    if (strncmp(*text, scheme, len) != 0)
        return false;
    *text += len;
    return true;
}

static bool is_loopback(const char *host)
{
    struct in_addr ip;
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &ip) == 1 && ntohl(ip.s_addr) >> 24 == 127);
}

/* HOST, [IPv6], with or without :PORT. No user before an @: a name there would be taken for the host. */
static bool host_is_good(const char *at, size_t len, bool must_be_loopback)
{
    char host[256];
    if (!len || len >= sizeof host)
        return false;
    memcpy(host, at, len);
    host[len] = '\0';
    char *behind = *host == '[' ? strchr(host, ']') : host + strcspn(host, ":");
    if (!behind)
        return false;
    const char *letters = *host == '[' ? "0123456789abcdefABCDEF:.["
                                       : "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-";
    if (*host == '[')
        behind++;
    if (*behind == ':') {
        size_t digits = strspn(behind + 1, "0123456789");
        if (!digits || digits > 5 || behind[1 + digits])
            return false;
    } else if (*behind) {
        return false;
    }
    *behind = '\0';
    size_t name = strspn(host, letters);
    bool good = *host == '[' ? name > 1 && strcmp(host + name, "]") == 0 : name && !host[name];
    return good && (!must_be_loopback || is_loopback(host));
}

bool authorizer_uri_has_tls(const char *text)
{
    return skip(&text, "https://");
}

const char *authorizer_uri_check(const char *text)
{
    bool is_plain = skip(&text, "http://");
    if (!is_plain && !skip(&text, "https://"))
        return expected;
    size_t host = strcspn(text, "/");
    if (!text[host] || !host_is_good(text, host, is_plain))
        return expected;
    for (const char *c = text + host; *c; c++)
        if (*c <= ' ' || *c >= 0x7f || *c == '#' || *c == '"' || *c == '<' || *c == '>' || *c == '\\')
            return expected;
    return NULL;
}
