/* Who is at the other end of a socket, small enough to be kept for every connection. */
#pragma once

#include "base/base.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>

struct address {
    sa_family_t family; /* AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC: not known */
    uint16_t port;
    union {
        struct in_addr in;
        struct in6_addr in6;
        struct {
            pid_t pid;
            uid_t uid;
        } process; /* of a Unix socket: who connected */
    };
};

/* Asks the kernel once: after a reset it does not know any more. */
void address_of_peer(struct address *ret, int fd);

/* "127.0.0.1:51234", "[::1]:51234", "unix:pid=12,uid=0", "unknown peer". */
enum { ADDRESS_TEXT_BYTES = 64 };
void address_text(const struct address *address, char text[ADDRESS_TEXT_BYTES]);
