/* CBOR [RFC 8949] for those who think in JSON: the same tree as json_parse() makes, and back.
 *
 *      A1 62 6F6E F5     {"on": true}
 *
 * Small devices speak it on topics that end in /cbor. A service works on the tree and does not know which of the two it was.
 *
 * What JSON has no word for is refused: keys that are not text, undefined, NaN and infinities, other simple values. Two members
 * with one name are, too [5.6]. Byte strings are strings whose tag is CBOR_BYTES; whoever wants text asks cbor_is_text(). Tags
 * are passed over. Text and bytes of definite length stay where they are in the input, which must live as long as the tree.
 * Integers are exact, from -2^64 to 2^64-1.
 *
 * Written are definite lengths in their shortest form; numbers as integers where they are, else as a double.
 *
 * Pure functions, any thread.
 */
#pragma once

#include "base/json.h"

enum {
    CBOR_BYTES = 0xB7E5,      /* struct json.tag of a byte string */
    CBOR_DEPTH_MAX = 32,      /* arrays, maps and tags inside each other */
    CBOR_COST_PER_BYTE = 128, /* what a document may cost its arena at most, times its length */
};

/* What cbor_parse() refuses. */
enum { CBOR_INVALID = 1, CBOR_TOO_DEEP = 2 };

/* Exactly one item. expected (may be NULL): "a text string as key", …, and where: for refusals. */
struct cbor_error {
    size_t offset;
    const char *expected;
};
int cbor_parse(struct json **ret, struct arena *arena, const void *bytes, size_t len,
               struct cbor_error *error) must_check;

static inline bool cbor_is_text(const struct json *json)
{
    return json_is(json, JSON_STRING) && json->tag != CBOR_BYTES;
}

/* The tree's CBOR, in the arena. Numbers beyond a double become infinities there; nothing else is lost. */
uint8_t *cbor_write(struct arena *arena, const struct json *json, size_t *len);
