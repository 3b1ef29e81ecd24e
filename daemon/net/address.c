#include "net/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool address_of_sockaddr(struct address *ret, const struct sockaddr_storage *from)
{
    *ret = (struct address){.family = from->ss_family};
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        ret->in = in->sin_addr;
        ret->port = ntohs(in->sin_port);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
        ret->port = ntohs(in6->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) { /* came to [::] by IPv4 */
            memcpy(&ret->in, &in6->sin6_addr.s6_addr[12], sizeof ret->in);
            ret->family = AF_INET;
        } else {
            ret->in6 = in6->sin6_addr;
        }
    } else {
        ret->family = AF_UNSPEC;
    }
    return ret->family != AF_UNSPEC;
}

void address_of_peer(struct address *ret, int fd)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    *ret = (struct address){.family = AF_UNSPEC};
    if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0 || address_of_sockaddr(ret, &peer) ||
        peer.ss_family != AF_UNIX)
        return;
    struct ucred credentials;
    len = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0)
        return;
    ret->process.pid = credentials.pid;
    ret->process.uid = credentials.uid;
    ret->family = AF_UNIX;
}

bool address_range_parse(struct address_range *ret, const char *text, size_t len)
{
    char host[INET6_ADDRSTRLEN];
    const char *slash = memchr(text, '/', len);
    size_t host_len = slash ? (size_t)(slash - text) : len;
    if (host_len >= sizeof host)
        return false;
    memcpy(host, text, host_len);
    host[host_len] = '\0';
    struct address_range range = {0};
    range.first.family = strchr(host, ':') ? AF_INET6 : AF_INET;
    unsigned most = range.first.family == AF_INET ? 32 : 128;
    if (inet_pton(range.first.family, host, &range.first.in6) != 1)
        return false;
    range.bits = slash ? 0 : most;
    for (const char *digit = slash ? slash + 1 : text + len; digit < text + len; digit++) {
        if (*digit < '0' || *digit > '9' || range.bits > most)
            return false;
        range.bits = range.bits * 10 + (unsigned)(*digit - '0');
    }
    if (range.bits > most || slash == text + len - 1)
        return false;
    *ret = range;
    return true;
}

bool address_is_in(const struct address *address, const struct address_range *range)
{
    if (address->family != range->first.family)
        return false;
    const uint8_t *a = address->in6.s6_addr,
                  *b = range->first.in6.s6_addr; /* or the IPv4 one at the same place */
    unsigned whole = range->bits / 8, rest = range->bits % 8;
    return memcmp(a, b, whole) == 0 && (!rest || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

void address_text(const struct address *address, char text[ADDRESS_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "?";
    switch (address->family) {
    case AF_UNIX:
        (void)snprintf(text, ADDRESS_TEXT_BYTES, "unix:pid=%d,uid=%u", (int)address->process.pid,
                       (unsigned)address->process.uid);
        return;
    case AF_INET:
        (void)inet_ntop(AF_INET, &address->in, host, sizeof host);
        (void)snprintf(text, ADDRESS_TEXT_BYTES, "%s:%u", host, (unsigned)address->port);
        return;
    case AF_INET6:
        (void)inet_ntop(AF_INET6, &address->in6, host, sizeof host);
        (void)snprintf(text, ADDRESS_TEXT_BYTES, "[%s]:%u", host, (unsigned)address->port);
        return;
    default: (void)snprintf(text, ADDRESS_TEXT_BYTES, "unknown peer");
    }
}

bool address_name_is_loopback(const char *name)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, name, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, name, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcasecmp(name, "localhost") == 0;
}

void address_host_text(const struct address *address, char text[ADDRESS_TEXT_BYTES])
{
    bool known = (address->family == AF_INET || address->family == AF_INET6) &&
                 inet_ntop(address->family, &address->in6, text, ADDRESS_TEXT_BYTES);
    if (!known)
        *text = '\0';
}
