/* Writing JSON: compact, with no more escapes than needed, and always valid.
 *
 *      struct json_writer w;
 *      json_writer_init(&w, arena);
 *      json_begin_object(&w);
 *      json_key(&w, "version");
 *      json_put_int(&w, 12);
 *      json_key(&w, "state");
 *      json_put(&w, state);
 *      json_end_object(&w);
 *      text = json_writer_text(&w, &len);
 *
 * Strings may be any bytes: what is not UTF-8 becomes U+FFFD. Numbers of a tree are written as they were read. Begin and
 * end must match, and in objects every value follows a key: that is asserted, not checked.
 */
#pragma once

#include "base/json.h"

struct json_writer {
    struct arena *arena;
    char *text;
    size_t len, size;
    unsigned depth;
    bool comma; /* a value was written in this container */
};

void json_writer_init(struct json_writer *writer, struct arena *arena);
/* What was written so far, terminated, in the arena. len may be NULL. */
char *json_writer_text(struct json_writer *writer, size_t *len);

void json_begin_object(struct json_writer *writer);
void json_end_object(struct json_writer *writer);
void json_begin_array(struct json_writer *writer);
void json_end_array(struct json_writer *writer);

void json_key(struct json_writer *writer, const char *key);
void json_key_n(struct json_writer *writer, const char *key, size_t key_len);

void json_put(struct json_writer *writer, const struct json *json); /* NULL writes null */
void json_put_null(struct json_writer *writer);
void json_put_bool(struct json_writer *writer, bool value);
void json_put_int(struct json_writer *writer, int64_t value);
void json_put_uint(struct json_writer *writer, uint64_t value);
void json_put_double(struct json_writer *writer,
                     double value); /* shortest that reads back the same; not finite: null */
void json_put_string(struct json_writer *writer, const char *text); /* NULL writes null */
void json_put_string_n(struct json_writer *writer, const char *text, size_t len);
/* Text that is one valid JSON value already. */
void json_put_raw(struct json_writer *writer, const char *text, size_t len);

/* The tree's compact text, in the arena; len may be NULL. */
char *json_write(struct arena *arena, const struct json *json, size_t *len);
/* Its length, without writing it. */
size_t json_size(const struct json *json);
