/* Values that conditions compare: moments, addresses, numbers, as policies write them. Pure. */
#pragma once

#include "base/base.h"

/* "2026-11-27T10:00:00Z", with a fraction or an offset, "2026-11-27", or seconds since 1970: milliseconds since then. */
bool policy_moment(const char *text, size_t len, int64_t *ret_ms);
/* As "2026-11-27T10:00:00.000Z". */
enum { POLICY_MOMENT_SIZE = 64 };
void policy_moment_text(int64_t ms, char text[POLICY_MOMENT_SIZE]);

/* An address is the network of one. IPv4 is kept as IPv6 has it (::ffff:a.b.c.d), so the two compare. */
struct policy_network {
    uint8_t bytes[16];
    unsigned bits; /* 0 to 128 */
};
bool policy_network(const char *text, size_t len, struct policy_network *ret);
bool policy_network_contains(const struct policy_network *network, const struct policy_network *address);

/* Whether it is a number as JSON spells it: what json_number_compare() takes. */
bool policy_is_number(const char *text, size_t len);
