/* Writing JSON into a buffer.
 *
 * Whether a comma is due shows in the last character written: behind a `{` begins the first member, behind anything else
 * the next one. So the writer needs no stack.
 */
#include "ghn/json.h"

#include <string.h>

static void put(ghn_json_out *out, const char *text, size_t len)
{
    if (out->full || len >= out->size - out->len) { /* one byte stays for the NUL */
        out->full = true;
        return;
    }
    memcpy(out->buffer + out->len, text, len);
    out->len += len;
}

static void put_char(ghn_json_out *out, char c)
{
    put(out, &c, 1);
}

static void put_quoted(ghn_json_out *out, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    put_char(out, '"');
    for (; *text; text++) {
        uint8_t c = (uint8_t)*text;
        if (c == '"' || c == '\\') {
            char escaped[2] = {'\\', *text};
            put(out, escaped, sizeof escaped);
        } else if (c < 0x20) {
            char escaped[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            put(out, escaped, sizeof escaped);
        } else {
            put_char(out, *text);
        }
    }
    put_char(out, '"');
}

static void put_name(ghn_json_out *out, const char *name)
{
    if (out->len && out->buffer[out->len - 1] != '{')
        put_char(out, ',');
    put_quoted(out, name);
    put_char(out, ':');
}

void ghn_json_begin(ghn_json_out *out, char *buffer, size_t size)
{
    *out = (ghn_json_out){.buffer = buffer, .size = size, .levels = 1, .full = size == 0};
    put_char(out, '{');
}

void ghn_json_put_object(ghn_json_out *out, const char *name)
{
    put_name(out, name);
    put_char(out, '{');
    out->levels++;
}

void ghn_json_end(ghn_json_out *out)
{
    put_char(out, '}');
    out->levels--;
}

void ghn_json_put_int(ghn_json_out *out, const char *name, int64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    uint64_t left = value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (value < 0)
        digits[--at] = '-';
    ghn_json_put_raw(out, name, digits + at, sizeof digits - at);
}

void ghn_json_put_bool(ghn_json_out *out, const char *name, bool value)
{
    ghn_json_put_raw(out, name, value ? "true" : "false", value ? 4 : 5);
}

void ghn_json_put_string(ghn_json_out *out, const char *name, const char *value)
{
    put_name(out, name);
    put_quoted(out, value);
}

void ghn_json_put_raw(ghn_json_out *out, const char *name, const char *json, size_t len)
{
    put_name(out, name);
    put(out, json, len);
}

int ghn_json_finish(ghn_json_out *out)
{
    if (out->levels != 1)
        return GHN_INVALID;
    ghn_json_end(out);
    if (out->full)
        return GHN_TOO_LONG;
    out->buffer[out->len] = '\0';
    return (int)out->len;
}
