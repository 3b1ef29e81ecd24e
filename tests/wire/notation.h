/* Packets as a reader wants them: bytes in a small notation, and decoded packets as one line of text.
 *
 *      30 {['a/b'] 'hello'}        PUBLISH a/b q0 = hello
 *
 *      hex digits   bytes
 *      ff*300       a byte so many times
 *      '…'          the characters between
 *      [ … ]        what is inside, behind its length in two bytes: strings and binary data
 *      { … }        what is inside, behind its length as a variable byte integer: bodies and properties
 *
 * The line says everything that a decoded packet holds, so packets with the same line are the same.
 */
#pragma once

#include "wire/mqtt.h"

/* Returns how many bytes it was; a mistake in the notation or too little room ends the program. */
size_t notation_bytes(const char *notation, uint8_t *out, size_t size);

/* Writes the line, NUL-terminated, and returns out. Too little room ends the program: five times the packet and 1000 will
 * always do. */
const char *notation_line(const struct wire_packet *packet, char *out, size_t size);

/* Encodes a decoded packet again, with its user properties and Subscription Identifiers. 0: it did not fit. */
size_t notation_encode(uint8_t *out, size_t size, const struct wire_packet *packet);
