/* Small strict JSON for a node: read without memory of its own, write into a buffer of the caller's.
 *
 * Reading: ghn_json_parse() checks the whole text once (RFC 8259, UTF-8 included). What it gives, and everything that is
 * taken out of that, are views into the text; reading them cannot meet bad syntax any more.
 *
 *      ghn_json doc, state, name, value;
 *      size_t at = 0;
 *      if (ghn_json_parse(&doc, text, len) == 0 && ghn_json_member(&doc, "state", &state))
 *          while (ghn_json_next(&state, &at, &name, &value))
 *              ...
 *
 * Writing: objects, strings, integers and booleans. Commas, quotes and braces are the writer's. What does not fit is
 * remembered and said once, by ghn_json_finish().
 *
 *      ghn_json_begin(&out, buffer, sizeof buffer);
 *      ghn_json_put_int(&out, "temperature", 2150);
 *      if (ghn_json_finish(&out) > 0) ...                              {"temperature":2150}
 *
 * No floating point: a number with a fraction or an exponent is a GHN_JSON_NUMBER whose text the caller may look at.
 */
#pragma once

#include "ghn/result.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A shadow is at most 8 levels deep; it arrives in an envelope (state, delta above; a timestamp below each leaf of the
 * metadata). 12 hold both. A deeper text is refused. */
enum { GHN_JSON_DEPTH_MAX = 12 };

typedef enum ghn_json_kind {
    GHN_JSON_NULL,
    GHN_JSON_BOOL,
    GHN_JSON_INT,    /* no fraction, no exponent; whether it fits says ghn_json_int() */
    GHN_JSON_NUMBER, /* any other number */
    GHN_JSON_STRING,
    GHN_JSON_ARRAY,
    GHN_JSON_OBJECT
} ghn_json_kind;

/* A value in a checked text, quotes and braces included. Lives as long as the text. */
typedef struct ghn_json {
    const char *text;
    size_t len;
    ghn_json_kind kind;
} ghn_json;

/* Checks a text and gives its one value. 0, or GHN_INVALID: not JSON, or deeper than GHN_JSON_DEPTH_MAX. */
int ghn_json_parse(ghn_json *ret, const char *text, size_t len);

/* The next member of an object, or the next element of an array (name may be NULL then, and is not written). *at begins
 * at 0. False at the end, and for values that hold no others. */
bool ghn_json_next(const ghn_json *holder, size_t *at, ghn_json *name, ghn_json *value);

/* The member of an object with this name; of several with one name, the last. */
bool ghn_json_member(const ghn_json *object, const char *name, ghn_json *ret);

/* Is it a string, and is it this one (escapes resolved)? */
bool ghn_json_is(const ghn_json *value, const char *text);

/* An integer. 0, GHN_INVALID (no integer) or GHN_RANGE. */
int ghn_json_int(const ghn_json *value, int64_t *ret);

/* 0, or GHN_INVALID when it is neither true nor false. */
int ghn_json_bool(const ghn_json *value, bool *ret);

/* Copies a string, escapes resolved and NUL-terminated. 0, GHN_INVALID (no string, or U+0000 in it), or GHN_TOO_LONG. */
int ghn_json_string(const ghn_json *value, char *buffer, size_t size);

/* ---- writing -------------------------------------------------------------------------------------------------------- */

typedef struct ghn_json_out {
    char *buffer;
    size_t size, len;
    unsigned levels; /* objects that are open */
    bool full;       /* something did not fit */
} ghn_json_out;

/* Begins a text with its outermost object. */
void ghn_json_begin(ghn_json_out *out, char *buffer, size_t size);
/* A member that is an object, open until its ghn_json_end(). */
void ghn_json_put_object(ghn_json_out *out, const char *name);
void ghn_json_end(ghn_json_out *out);
void ghn_json_put_int(ghn_json_out *out, const char *name, int64_t value);
void ghn_json_put_bool(ghn_json_out *out, const char *name, bool value);
/* The string must be UTF-8; the rest is escaped. */
void ghn_json_put_string(ghn_json_out *out, const char *name, const char *value);
/* A value that is JSON already. */
void ghn_json_put_raw(ghn_json_out *out, const char *name, const char *json, size_t len);
/* Closes the outermost object and terminates the text with NUL: returns its length, GHN_TOO_LONG when it did not fit, or
 * GHN_INVALID when ghn_json_end() was called too often or not often enough. */
int ghn_json_finish(ghn_json_out *out);
