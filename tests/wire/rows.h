/* Tables of packets: bytes in, a line (notation.h) or a refusal out.
 *
 *      {"3.3.1-4", ALL, BOTH, "36 {['a'] 0001}", "81 PUBLISH with QoS 3"},
 *
 * statement  which sentence of the standard is at stake: "3.3.1-4" is [MQTT-3.3.1-4]; where 3.1.1 and 5.0 number it
 *            differently, both: "311: 2.2.2-1, 5: 2.1.3-1"
 * expect     the line; or, for a refusal, the reason in hex and why; "frame 81" when the framer refuses already
 *
 * A packet that is accepted is put to further tests without a row: it is encoded again and decodes to the same line; every
 * front part of it is incomplete for the framer; as a whole packet of its own, such a part is refused by the decoder unless
 * MQTT lets the packet end there; and no reading goes beyond the end (under the address sanitizer), at any alignment.
 */
#pragma once

#include "rig/test.h"
#include "wire/mqtt.h"

enum {
    V31 = 1 << WIRE_MQTT31,
    V311 = 1 << WIRE_MQTT311,
    V3 = V31 | V311,
    V5 = 1 << WIRE_MQTT5,
    ALL = V3 | V5
};
enum { CLIENT = 1 << WIRE_FROM_CLIENT, SERVER = 1 << WIRE_FROM_SERVER, BOTH = CLIENT | SERVER };

struct row {
    const char *statement;
    unsigned versions, sides; /* of which connections, from which side: every combination is tried */
    const char *bytes, *expect;
};

/* Tries all rows, says which are wrong, and fails if any is. */
void check_rows(const struct row *rows, size_t count, const char *file, int line);

#define CHECK_ROWS(rows) check_rows((rows), sizeof(rows) / sizeof((rows)[0]), __FILE__, __LINE__)

/* One packet of one connection: the line or refusal. Valid until the next call. */
const char *row_result(const uint8_t *bytes, size_t len, enum wire_version version, enum wire_side side);
