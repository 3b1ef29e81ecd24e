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
/* Of an Internet address; an IPv4 one that came to [::] is an IPv4 one. False for others. */
bool address_of_sockaddr(struct address *ret, const struct sockaddr_storage *from);

/* "127.0.0.1:51234", "[::1]:51234", "unix:pid=12,uid=0", "unknown peer". */
enum { ADDRESS_TEXT_BYTES = 64 };
void address_text(const struct address *address, char text[ADDRESS_TEXT_BYTES]);

/* The same without the port, "10.0.0.7"; "" for others than Internet addresses. */
void address_host_text(const struct address *address, char text[ADDRESS_TEXT_BYTES]);

/* All addresses whose first bits are the same: 10.0.0.0/8, ::1/128. */
struct address_range {
    struct address first;
    unsigned bits;
};
/* "ADDRESS" or "ADDRESS/BITS" of len bytes. False if it is neither. */
bool address_range_parse(struct address_range *ret, const char *text, size_t len);
bool address_is_in(const struct address *address, const struct address_range *range);

/* An address of this machine's own loopback, or its name "localhost"? */
bool address_name_is_loopback(const char *name);
