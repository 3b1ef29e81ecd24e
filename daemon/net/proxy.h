/* The PROXY protocol, version 2: the binary header with which a load balancer or TLS terminator says, before anything else,
 * who has connected to it. https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt
 *
 * Pure: bytes in, who it was out. */
#pragma once

#include "net/address.h"

enum {
    PROXY_FIXED_BYTES = 16,                     /* after these the whole length is known */
    PROXY_MAX_BYTES = PROXY_FIXED_BYTES + 2048, /* of a header that is taken, additions (TLV) included */
};

struct proxy_header {
    struct address
        from; /* AF_UNSPEC: it does not say, or the proxy speaks for itself (LOCAL): then it is the proxy */
    const char *why; /* it is refused: a sentence */
};

/* Looks at the beginning of a connection. Returns the header's length when all of it is there; 0: it is not, and *wanted
 * bytes or more make sense to ask with again; -EPROTO: this is not such a header. Never looks behind the header. */
int proxy_parse(struct proxy_header *ret, const uint8_t *bytes, size_t len, size_t *wanted) must_check;
