#include "net/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void address_of_peer(struct address *ret, int fd)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    *ret = (struct address){.family = AF_UNSPEC};
    if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
        return;
    if (peer.ss_family == AF_UNIX) {
        struct ucred credentials;
        len = sizeof credentials;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0)
            return;
        ret->process.pid = credentials.pid;
        ret->process.uid = credentials.uid;
    } else if (peer.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&peer;
        ret->in = in->sin_addr;
        ret->port = ntohs(in->sin_port);
    } else if (peer.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&peer;
        ret->port = ntohs(in6->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) { /* came to [::] by IPv4 */
            memcpy(&ret->in, &in6->sin6_addr.s6_addr[12], sizeof ret->in);
            ret->family = AF_INET;
            return;
        }
        ret->in6 = in6->sin6_addr;
    } else {
        return;
    }
    ret->family = peer.ss_family;
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
