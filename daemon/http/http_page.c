#include "http/http_page.h"

#include "net/address.h"

#include <string.h>

enum { HOST_MAX = 255 };

/* HOST:PORT, [HOST]:PORT or HOST. */
static bool names_loopback(struct http_text authority)
{
    char host[HOST_MAX + 1];
    const char *end = authority.at + authority.len;
    const char *bracket =
        authority.len && *authority.at == '[' ? memchr(authority.at, ']', authority.len) : NULL;
    const char *from = bracket ? bracket : authority.at;
    const char *colon = authority.len ? memchr(from, ':', (size_t)(end - from)) : NULL;
    const char *begin = authority.at + (bracket != NULL);
    const char *host_end = bracket ? bracket : colon ? colon : end;
    size_t len = (size_t)(host_end - begin);
    if (len > HOST_MAX)
        return false;
    memcpy(host, begin, len);
    host[len] = '\0';
    return address_name_is_loopback(host);
}

bool http_is_from_page(const struct http_head *head, bool loopback)
{
    struct http_text value = {0};
    if (http_head_find(head, "Origin", &value))
        return true;
    return loopback && http_head_find(head, "Host", &value) && !names_loopback(value);
}
