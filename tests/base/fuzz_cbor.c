/* What is accepted is written and read again and is the same, in CBOR and, without byte strings, in JSON; what is refused names
 * a place inside the input. What JSON can say, CBOR can. */
#include "base/cbor.h"
#include "base/json_write.h"
#include "base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

/* A byte string need not be UTF-8. */
static bool has_bytes(const struct json *json)
{
    if (json_is(json, JSON_STRING) && json->tag == CBOR_BYTES)
        return true;
    must(json->type != JSON_STRING || utf8_is_valid(json->text, json->len));
    json_for_each (at, json)
        if (has_bytes(at))
            return true;
    return false;
}

static bool has_huge(const struct json *json)
{
    double value;
    if (json->type == JSON_NUMBER && !json_double(json, &value))
        return true;
    json_for_each (at, json)
        if (has_huge(at))
            return true;
    return false;
}

static void cbor_round(const uint8_t *data, size_t len, struct arena *arena)
{
    struct json *json, *again;
    struct cbor_error error = {SIZE_MAX, NULL};
    int r = cbor_parse(&json, arena, data, len, &error);
    if (r != 0) {
        must(r == CBOR_INVALID || r == CBOR_TOO_DEEP);
        must(error.offset <= len && error.expected);
        return;
    }
    size_t written_len, twice_len, text_len;
    uint8_t *written = cbor_write(arena, json, &written_len);
    must(cbor_parse(&again, arena, written, written_len, NULL) == 0 && json_equal(json, again));
    uint8_t *twice = cbor_write(arena, again, &twice_len);
    must(twice_len == written_len && memcmp(written, twice, twice_len) == 0);
    if (has_bytes(json))
        return;
    char *text = json_write(arena, json, &text_len);
    must(json_parse(&again, arena, text, text_len, NULL) == 0 && json_equal(json, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena arena = {0};
    struct json *json, *again;
    cbor_round(data, len, &arena);
    if (json_parse(&json, &arena, (const char *)data, len, NULL) == 0 && !has_huge(json)) {
        size_t written_len;
        uint8_t *written = cbor_write(&arena, json, &written_len);
        int r = cbor_parse(&again, &arena, written, written_len, NULL);
        must(r == 0 || (r == CBOR_TOO_DEEP && json_depth(json) > CBOR_DEPTH_MAX));
    }
    arena_done(&arena);
    return 0;
}
