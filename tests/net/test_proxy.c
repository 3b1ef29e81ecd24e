#include "net/proxy.h"

#include "rig/test.h"

#include <errno.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4        "\xc0\0\2\1\x0a\0\0\1\xc3\x50\x07\x5b" /* 192.0.2.1:50000 to 10.0.0.1:1883 */
#define V6                                                                                                   \
    "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7"                                                                 \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\x1f\x90\x07\x5b"
#define MAPPED                                                                                               \
    "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1"                                                                 \
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\x1f\x90\x07\x5b"

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

static const struct {
    const char *name;
    const uint8_t *bytes;
    size_t len;
    int expected;
    const char *from; /* of a whole one; else why it is refused */
} cases[] = {
    {"IPv4", BYTES(SIGNATURE "\x21\x11\0\x0c" V4), 28, "192.0.2.1:50000"},
    {"IPv6", BYTES(SIGNATURE "\x21\x21\0\x24" V6), 52, "[2001:db8::7]:8080"},
    {"IPv4 in IPv6", BYTES(SIGNATURE "\x21\x21\0\x24" MAPPED), 52, "192.0.2.1:8080"},
    {"what follows is not looked at", BYTES(SIGNATURE "\x21\x11\0\x0c" V4 "\x10\x0c"), 28, "192.0.2.1:50000"},
    {"additions", BYTES(SIGNATURE "\x21\x11\0\x16" V4 "\x04\0\0\x01\0\4mqtt"), 38, "192.0.2.1:50000"},
    {"the proxy itself", BYTES(SIGNATURE "\x20\0\0\0"), 16, "unknown peer"},
    {"the proxy itself, with addresses", BYTES(SIGNATURE "\x20\x11\0\x0c" V4), 28, "unknown peer"},
    {"the proxy itself, of another family", BYTES(SIGNATURE "\x20\x41\0\1?"), 17, "unknown peer"},
    {"not said", BYTES(SIGNATURE "\x21\0\0\0"), 16, "unknown peer"},
    {"not said, with more", BYTES(SIGNATURE "\x21\0\0\3abc"), 19, "unknown peer"},

    {"nothing", BYTES(""), 0, ""},
    {"one byte", BYTES("\r"), 0, ""},
    {"no length", BYTES(SIGNATURE "\x21\x11\0"), 0, ""},
    {"no addresses", BYTES(SIGNATURE "\x21\x11\0\x0c"), 0, ""},
    {"one byte short", BYTES(SIGNATURE "\x21\x11\0\x0d" V4), 0, ""},
    {"perhaps version 1", BYTES("PROX"), 0, ""},

    {"version 1", BYTES("PROXY TCP4 192.0.2.1 10.0.0.1 50000 1883\r\n"), -EPROTO,
     "expected a PROXY header of version 2 (HAProxy: send-proxy-v2), found version 1"},
    {"CONNECT", BYTES("\x10\x0c\0\4MQTT\4\2\0\0\0\0"), -EPROTO,
     "expected a PROXY header, found something else"},
    {"ClientHello", BYTES("\x16\3\1\2\0"), -EPROTO, "expected a PROXY header, found something else"},
    {"almost", BYTES("\r\n\r\n\0\r\nQUIT\r\x21\x11\0\x0c" V4), -EPROTO,
     "expected a PROXY header, found something else"},
    {"version 3", BYTES(SIGNATURE "\x31\x11\0\x0c" V4), -EPROTO,
     "expected version 2 and LOCAL or PROXY in a PROXY header, found another"},
    {"command 2", BYTES(SIGNATURE "\x22\x11\0\x0c" V4), -EPROTO,
     "expected version 2 and LOCAL or PROXY in a PROXY header, found another"},
    {"a datagram", BYTES(SIGNATURE "\x21\x12\0\x0c" V4), -EPROTO,
     "expected addresses of a stream in a PROXY header, found others"},
    {"family 4", BYTES(SIGNATURE "\x21\x41\0\x0c" V4), -EPROTO,
     "expected addresses of a stream in a PROXY header, found others"},
    {"too short for IPv4", BYTES(SIGNATURE "\x21\x11\0\x0b" V4), -EPROTO,
     "a PROXY header is too short for its addresses"},
    {"too short for IPv6", BYTES(SIGNATURE "\x21\x21\0\x0c" V4), -EPROTO,
     "a PROXY header is too short for its addresses"},
    {"too short for a path", BYTES(SIGNATURE "\x21\x31\0\xd7"), -EPROTO,
     "a PROXY header is too short for its addresses"},
    {"too long", BYTES(SIGNATURE "\x21\x11\x08\x01"), -EPROTO,
     "expected a PROXY header of at most 2064 bytes, found a longer one"},
    {"half an addition", BYTES(SIGNATURE "\x21\x11\0\x0e" V4 "\4\0"), -EPROTO,
     "a PROXY header's additions do not fit into it"},
    {"an addition longer than the header", BYTES(SIGNATURE "\x21\x11\0\x10" V4 "\4\0\2x"), -EPROTO,
     "a PROXY header's additions do not fit into it"},
};

TEST(a_header_says_who_it_is_or_why_not)
{
    for (size_t i = 0; i < array_size(cases); i++) {
        struct proxy_header header;
        size_t wanted = 0;
        int r = proxy_parse(&header, cases[i].bytes, cases[i].len, &wanted);
        if (r != cases[i].expected)
            FAIL("%s: %d, expected %d", cases[i].name, r, cases[i].expected);
        if (r < 0) {
            CHECK_STR(header.why, cases[i].from);
        } else if (r == 0) {
            CHECK(wanted > cases[i].len);
        } else {
            char text[ADDRESS_TEXT_BYTES];
            address_text(&header.from, text);
            CHECK_STR(text, cases[i].from);
        }
    }
}

TEST(a_path_of_a_unix_socket_says_nothing)
{
    uint8_t bytes[PROXY_FIXED_BYTES + 216] = SIGNATURE "\x21\x31\0\xd8/run/there.sock";
    struct proxy_header header;
    size_t wanted;
    CHECK_INT(proxy_parse(&header, bytes, sizeof bytes, &wanted), sizeof bytes);
    CHECK_INT(header.from.family, AF_UNSPEC);
}

TEST(in_pieces_it_is_the_same_and_never_asks_for_a_byte_behind_it)
{
    for (size_t i = 0; i < array_size(cases); i++) {
        struct proxy_header header;
        size_t wanted = PROXY_FIXED_BYTES;
        int r = 0;
        for (size_t len = 0; len <= cases[i].len && r == 0; len++) {
            r = proxy_parse(&header, cases[i].bytes, len, &wanted);
            if (r == 0)
                CHECK(wanted > len);
            if (r == 0 && cases[i].expected > 0)
                CHECK(wanted <= (size_t)cases[i].expected);
        }
        CHECK_INT(r, cases[i].expected);
    }
}
