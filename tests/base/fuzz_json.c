/* What is accepted is written, read again and is the same; what is refused names a place inside the input. */
#include "base/json_write.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

/* Uses every getter; their results are checked where there is something to check against. */
static void read_all(const struct json *json, struct arena *arena)
{
    bool truth;
    int64_t integer, again;
    double number;
    const char *text;
    (void)json_bool(json, &truth);
    (void)json_double(json, &number);
    if (json_int(json, INT64_MIN, INT64_MAX, &integer)) {
        const struct json *same = json_new_int(arena, integer);
        must(json_equal(json, same));
        must(json_int(same, integer, integer, &again) && again == integer);
    }
    if (json_text(json, arena, &text))
        must(json_text_is(json, text));
    uint32_t count = 0;
    json_for_each (at, json) {
        if (json_is(json, JSON_OBJECT))
            must(json_get_n(json, at->key, at->key_len) == at);
        read_all(at, arena);
        count++;
    }
    if (json->type >= JSON_ARRAY)
        must(count == json->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena arena;
    arena_init(&arena);
    struct json *json, *again;
    struct json_error error;
    int r = json_parse(&json, &arena, (const char *)data, len, &error);
    if (r != 0) {
        must(r == JSON_INVALID || r == JSON_TOO_DEEP);
        must(error.offset <= len && error.line >= 1 && error.column >= 1 && error.expected);
    } else {
        must(utf8_is_valid((const char *)data, len));
        size_t written_len, twice_len;
        char *written = json_write(&arena, json, &written_len);
        must(json_size(json) == written_len);
        must(json_parse(&again, &arena, written, written_len, NULL) == 0);
        must(json_equal(json, again) && json_equal(again, json) && json_equal(json, json_copy(&arena, json)));
        char *twice = json_write(&arena, again, &twice_len);
        must(twice_len == written_len && memcmp(twice, written, twice_len) == 0);
        read_all(json, &arena);
    }
    /* The same bytes as a string: always valid. */
    struct json_writer writer;
    json_writer_init(&writer, &arena);
    json_put_string_n(&writer, (const char *)data, len);
    size_t quoted_len;
    char *quoted = json_writer_text(&writer, &quoted_len);
    must(json_parse(&json, &arena, quoted, quoted_len, NULL) == 0 && json->type == JSON_STRING);
    must(json_size(json) == quoted_len);
    arena_done(&arena);
    return 0;
}
