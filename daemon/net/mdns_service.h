/* What is said about the gateway by DNS-SD (RFC 6763), and what of it an incoming message asks for or disputes.
 *
 *      _services._dns-sd._udp.local          PTR   _gatehouse._tcp.local                      shared with others
 *      _gatehouse._tcp.local                 PTR   Gatehouse on plant-1._gatehouse._tcp.local
 *      Gatehouse on plant-1._gatehouse…      SRV   port, gatehouse-plant-1.local              ours alone
 *                                            TXT   v=1, ca=FINGERPRINT
 *      gatehouse-plant-1.local               A, AAAA   of the interface that is asked on
 *
 * The machine's own name is left to whoever else answers for it. Pure.
 */
#pragma once

#include "net/mdns_message.h"

#include <netinet/in.h>

/* One bit a kind of record. */
enum {
    MDNS_SAYS_TYPES = 1,
    MDNS_SAYS_POINTER = 2,
    MDNS_SAYS_PLACE = 4,
    MDNS_SAYS_TEXT = 8,
    MDNS_SAYS_A = 16,
    MDNS_SAYS_AAAA = 32,
    MDNS_SAYS_ALL = 63,
    MDNS_SAYS_SHARED = MDNS_SAYS_TYPES | MDNS_SAYS_POINTER,
    MDNS_SAYS_KINDS = 6
};

enum { MDNS_ADDRESSES_MAX = 4, MDNS_FINGERPRINT_MAX = 64, MDNS_LEGACY_TTL_S = 10, MDNS_LEGACY_MAX = 512 };

struct mdns_service {
    struct mdns_name types, type, instance, host;
    uint16_t port;
    uint8_t text[MDNS_FINGERPRINT_MAX + 16];
    size_t text_len;
};

/* Of one interface, the first of each kind. */
struct mdns_addresses {
    struct in_addr in[MDNS_ADDRESSES_MAX];
    struct in6_addr in6[MDNS_ADDRESSES_MAX];
    size_t in_count, in6_count;
};

/* where: the machine's name, of which as much is used as fits. number: 1, or more when somebody has the name already. */
void mdns_service_name(struct mdns_service *service, const char *where, unsigned number);
/* fingerprint: of the certificate authority, NULL: there is none. */
void mdns_service_text(struct mdns_service *service, const char *fingerprint);

struct mdns_wanted {
    unsigned multicast, unicast; /* bits */
    bool more;                   /* what the asker knows already goes on in the next message */
};
/* What a query asks for and does not say that it knows. */
void mdns_service_asked(const struct mdns_service *service, const struct mdns_addresses *addresses,
                        struct mdns_message message, struct mdns_wanted *ret);
/* Of a message that goes on with it: what its asker knows. */
unsigned mdns_service_known(const struct mdns_service *service, const struct mdns_addresses *addresses,
                            struct mdns_message message);

/* A response that says something else than we do about a name that is ours alone. An address is no dispute if it is in
 * `machine`: this machine may be on one network by two interfaces. */
bool mdns_service_is_disputed(const struct mdns_service *service, const struct mdns_addresses *addresses,
                              const struct mdns_addresses *machine, size_t machine_count,
                              struct mdns_message message);
/* A probe of somebody who wants one of our names at the same moment, and goes first [RFC 6762, 8.2]. */
bool mdns_service_must_yield(const struct mdns_service *service, const struct mdns_addresses *addresses,
                             const struct mdns_addresses *machine, size_t machine_count,
                             struct mdns_message message);

/* What whoever asks for these will ask for next [RFC 6763, 12]. */
unsigned mdns_service_next(unsigned bits);
/* The answers of these bits, and those of `also` beside them, as far as there is room. goodbye: with a lifetime of 0. */
void mdns_service_say(const struct mdns_service *service, const struct mdns_addresses *addresses,
                      unsigned bits, unsigned also, bool goodbye, struct mdns_writer *ret);
void mdns_service_probe(const struct mdns_service *service, const struct mdns_addresses *addresses,
                        struct mdns_writer *ret);
/* To somebody who asked as one asks a name server (not from port 5353): his questions, short lifetimes, 512 bytes at most. */
void mdns_service_say_legacy(const struct mdns_service *service, const struct mdns_addresses *addresses,
                             unsigned bits, struct mdns_message question, struct mdns_writer *ret);
