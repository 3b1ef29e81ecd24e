#include "net/proxy.h"

#include <errno.h>
#include <string.h>

/*      0            12    13      14        16
 *      │ signature  │ver 2│family │ length  │ addresses │ TLV: type, length, value │ TLV …
 *      │ \r\n … \n  │comm.│transp.│ of what follows     │ */

static const uint8_t signature[12] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};
static const uint8_t version_1[5] = {'P', 'R', 'O', 'X', 'Y'};

enum { LOCAL = 0x20, PROXY = 0x21 };

/* Family and transport: how long their addresses are. */
static const struct form {
    uint8_t code;
    uint8_t bytes;
    sa_family_t family;
} forms[] = {
    {0x00, 0, AF_UNSPEC},
    {0x11, 12, AF_INET},
    {0x21, 36, AF_INET6},
    {0x31, 216, AF_UNSPEC}, /* a Unix socket on another machine, perhaps: its path says nothing here */
};

static int bad(struct proxy_header *ret, const char *why)
{
    ret->why = why;
    return -EPROTO;
}

static bool begins_like(const uint8_t *bytes, size_t len, const uint8_t *with, size_t with_len)
{
    return memcmp(bytes, with, size_min(len, with_len)) == 0;
}

static unsigned big_endian(const uint8_t *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

static bool additions_are_whole(const uint8_t *at, size_t left)
{
    while (left >= 3 && left - 3 >= big_endian(at + 1)) {
        size_t n = 3 + big_endian(at + 1);
        at += n;
        left -= n;
    }
    return left == 0;
}

static void take_address(struct address *ret, sa_family_t family, const uint8_t *bytes)
{
    struct sockaddr_storage from = {.ss_family = family};
    if (family == AF_INET) { /* source, destination, source port, destination port */
        struct sockaddr_in *in = (struct sockaddr_in *)&from;
        memcpy(&in->sin_addr, bytes, 4);
        memcpy(&in->sin_port, bytes + 8, 2);
    } else if (family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&from;
        memcpy(&in6->sin6_addr, bytes, 16);
        memcpy(&in6->sin6_port, bytes + 32, 2);
    }
    (void)address_of_sockaddr(ret, &from);
}

int proxy_parse(struct proxy_header *ret, const uint8_t *bytes, size_t len, size_t *wanted)
{
    *ret = (struct proxy_header){0};
    if (len && !begins_like(bytes, len, signature, sizeof signature)) {
        if (!begins_like(bytes, len, version_1, sizeof version_1))
            return bad(ret, "expected a PROXY header, found something else");
        *wanted = sizeof version_1;
        return len < sizeof version_1
                   ? 0
                   : bad(ret, "expected a PROXY header of version 2 (HAProxy: send-proxy-v2), "
                              "found version 1");
    }
    *wanted = PROXY_FIXED_BYTES;
    if (len < PROXY_FIXED_BYTES)
        return 0;

    uint8_t command = bytes[12];
    if (command != LOCAL && command != PROXY)
        return bad(ret, "expected version 2 and LOCAL or PROXY in a PROXY header, found another");
    const struct form *form = NULL;
    for (size_t i = 0; i < array_size(forms); i++)
        if (forms[i].code == bytes[13])
            form = &forms[i];
    if (command == LOCAL) /* whatever it says about addresses is to be left alone */
        form = &forms[0];
    if (!form)
        return bad(ret, "expected addresses of a stream in a PROXY header, found others");
    size_t rest = big_endian(bytes + 14);
    if (rest > PROXY_MAX_BYTES - PROXY_FIXED_BYTES)
        return bad(ret, "expected a PROXY header of at most 2064 bytes, found a longer one");
    if (rest < form->bytes)
        return bad(ret, "a PROXY header is too short for its addresses");
    *wanted = PROXY_FIXED_BYTES + rest;
    if (len < *wanted)
        return 0;
    if (form->bytes && !additions_are_whole(bytes + PROXY_FIXED_BYTES + form->bytes, rest - form->bytes))
        return bad(ret, "a PROXY header's additions do not fit into it");
    take_address(&ret->from, form->family, bytes + PROXY_FIXED_BYTES);
    return (int)*wanted;
}
