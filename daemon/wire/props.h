/* MQTT 5 properties: one table says of each its type, where it lives in struct wire_props and in which packets it is
 * legal; decoding and encoding walk it. With what else the codec's own files share. */
#pragma once

#include "wire/mqtt.h"

/* Where properties stand: a bit per packet type, and bit 0 for a will's. */
enum { PROPS_WILL = 0 };

void props_clear(struct wire_props *props);
/* Decodes len bytes (without the length before them) into clear properties. Returns 0 or a reason code. */
uint8_t props_decode(struct wire_props *props, const uint8_t *bytes, uint32_t len, unsigned place,
                     enum wire_side side, const char **why);

/* Bytes of the encoded properties without the length before them. */
size_t props_size(const struct wire_props *props);
/* Encodes length and properties at out, which has room for both; returns the end. */
uint8_t *props_encode(uint8_t *out, const struct wire_props *props);

/* Variable byte integers: 1 to 4 bytes. Reading returns how many bytes it took, 0 when more are needed, -1 when it is
 * too long. That it took more than varint_size(), which MQTT 5 forbids [MQTT-1.5.5-1], is the caller's to see. */
int varint_read(const uint8_t *p, size_t left, uint32_t *value);
size_t varint_size(uint32_t value);
uint8_t *varint_write(uint8_t *out, uint32_t value);

/* May an MQTT 5 client say this reason in this packet? */
bool reason_may_come(enum wire_type type, uint8_t reason);
