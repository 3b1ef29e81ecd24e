/* Reading JSON in two steps, so that the second needs no error paths.
 *
 *      ghn_json_parse()   walks the whole text once and refuses what is not JSON: an iteration with one bit a level
 *                         ("is it an object?"), where a parser for larger machines would recurse
 *      everything else    walks text that is known to be JSON: a value ends where its quote or its brace ends
 *
 * Invariant: a ghn_json only ever points to text that ghn_json_parse() has let through.
 */
#include "ghn/json.h"

#include <string.h>

struct scan {
    const char *at, *end;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && is_space(*s->at))
        s->at++;
}

/* Takes the character if it is the next. */
static bool take(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool take_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return false;
    s->at += len;
    return true;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four digits of \uXXXX; negative when they are not there. */
static int32_t take_hex4(struct scan *s)
{
    int32_t code = 0;
    if (s->end - s->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(*s->at++);
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

/* A code point given as \u…, the cursor behind the u: one number or a pair of surrogates; negative when it is none. */
static int32_t take_escaped_code(struct scan *s)
{
    int32_t high = take_hex4(s);
    if (high < 0xD800 || high > 0xDFFF)
        return high;
    if (high > 0xDBFF || !take(s, '\\') || !take(s, 'u'))
        return -1;
    int32_t low = take_hex4(s);
    if (low < 0xDC00 || low > 0xDFFF)
        return -1;
    return 0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00);
}

/* One UTF-8 sequence of two to four bytes (RFC 3629: shortest form, no surrogates, nothing past U+10FFFF). */
static bool take_utf8(struct scan *s)
{
    static const int32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = (uint8_t)*s->at;
    int len = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || s->end - s->at < len)
        return false;
    int32_t code = first & (0x7F >> len);
    for (int i = 1; i < len; i++) {
        uint8_t next = (uint8_t)s->at[i];
        if ((next & 0xC0) != 0x80)
            return false;
        code = code * 64 + (next & 0x3F);
    }
    s->at += len;
    return code >= smallest[len] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
}

static bool take_string(struct scan *s)
{
    if (!take(s, '"'))
        return false;
    while (s->at < s->end) {
        uint8_t c = (uint8_t)*s->at;
        if (c < 0x20)
            return false;
        if (c >= 0x80) {
            if (!take_utf8(s))
                return false;
            continue;
        }
        s->at++;
        if (c == '"')
            return true;
        if (c != '\\')
            continue;
        if (take(s, 'u')) {
            if (take_escaped_code(s) < 0)
                return false;
        } else if (s->at == s->end || !memchr("\"\\/bfnrt", *s->at, 8)) {
            return false;
        } else {
            s->at++;
        }
    }
    return false;
}

static bool take_digits(struct scan *s)
{
    const char *begin = s->at;
    while (s->at < s->end && is_digit(*s->at))
        s->at++;
    return s->at > begin;
}

static bool take_number(struct scan *s)
{
    (void)take(s, '-');
    if (!take(s, '0') && !take_digits(s))
        return false;
    if (take(s, '.') && !take_digits(s))
        return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            (void)take(s, '-');
        return take_digits(s);
    }
    return true;
}

static bool take_scalar(struct scan *s)
{
    if (s->at == s->end)
        return false;
    switch (*s->at) {
    case '"': return take_string(s);
    case 't': return take_word(s, "true");
    case 'f': return take_word(s, "false");
    case 'n': return take_word(s, "null");
    default: return take_number(s);
    }
}

/* "name" : and the space around them. */
static bool take_name(struct scan *s)
{
    skip_space(s);
    if (!take_string(s))
        return false;
    skip_space(s);
    return take(s, ':');
}

/* Bit n of is_object: what was opened as number n is an object. */
struct levels {
    uint32_t is_object;
    unsigned depth;
};

_Static_assert(GHN_JSON_DEPTH_MAX <= 32, "one bit a level");

static bool in_object(const struct levels *levels)
{
    return levels->is_object >> (levels->depth - 1) & 1;
}

/* Behind a complete value: closes what ends here. True when another value has to follow, or when the depth is 0. */
static bool close_levels(struct scan *s, struct levels *levels)
{
    while (levels->depth) {
        skip_space(s);
        if (take(s, ','))
            return !in_object(levels) || take_name(s);
        if (!take(s, in_object(levels) ? '}' : ']'))
            return false;
        levels->depth--;
    }
    return true;
}

/* Behind an opening brace or bracket: into the first member, or over an empty one. */
static bool open_level(struct scan *s, struct levels *levels, bool object, bool *empty)
{
    if (levels->depth == GHN_JSON_DEPTH_MAX)
        return false;
    skip_space(s);
    *empty = take(s, object ? '}' : ']');
    if (*empty)
        return true;
    uint32_t bit = (uint32_t)1 << levels->depth++;
    levels->is_object = object ? levels->is_object | bit : levels->is_object & ~bit;
    return !object || take_name(s);
}

/* One value with everything in it. */
static bool take_value(struct scan *s)
{
    struct levels levels = {0};
    do {
        skip_space(s);
        bool object = take(s, '{');
        bool complete;
        if (object || take(s, '[')) {
            if (!open_level(s, &levels, object, &complete))
                return false;
        } else {
            complete = take_scalar(s);
            if (!complete)
                return false;
        }
        if (complete && !close_levels(s, &levels))
            return false;
    } while (levels.depth);
    return true;
}

/* ---- in checked text ------------------------------------------------------------------------------------------------ */

static const char *string_end(const char *at)
{
    for (at++; *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at + 1;
}

static const char *holder_end(const char *at)
{
    size_t depth = 0;
    do {
        if (*at == '"') {
            at = string_end(at);
            continue;
        }
        if (*at == '{' || *at == '[')
            depth++;
        else if (*at == '}' || *at == ']')
            depth--;
        at++;
    } while (depth);
    return at;
}

/* The value that begins at `at`; numbers may reach as far as end. */
static ghn_json value_at(const char *at, const char *end)
{
    ghn_json value = {.text = at};
    switch (*at) {
    case '"':
        value.kind = GHN_JSON_STRING;
        value.len = (size_t)(string_end(at) - at);
        return value;
    case '{':
    case '[':
        value.kind = *at == '{' ? GHN_JSON_OBJECT : GHN_JSON_ARRAY;
        value.len = (size_t)(holder_end(at) - at);
        return value;
    case 't':
    case 'f':
        value.kind = GHN_JSON_BOOL;
        value.len = *at == 't' ? 4 : 5;
        return value;
    case 'n':
        value.kind = GHN_JSON_NULL;
        value.len = 4;
        return value;
    default: break;
    }
    value.kind = GHN_JSON_INT;
    for (const char *p = at; p < end && !is_space(*p) && *p != ',' && *p != '}' && *p != ']'; p++) {
        if (*p == '.' || *p == 'e' || *p == 'E')
            value.kind = GHN_JSON_NUMBER;
        value.len++;
    }
    return value;
}

int ghn_json_parse(ghn_json *ret, const char *text, size_t len)
{
    struct scan s = {text, text + len};
    skip_space(&s);
    const char *begin = s.at;
    if (begin == s.end || !take_value(&s))
        return GHN_INVALID;
    const char *end = s.at;
    skip_space(&s);
    if (s.at != s.end)
        return GHN_INVALID;
    *ret = value_at(begin, end);
    return 0;
}

bool ghn_json_next(const ghn_json *holder, size_t *at, ghn_json *name, ghn_json *value)
{
    if (holder->kind != GHN_JSON_OBJECT && holder->kind != GHN_JSON_ARRAY)
        return false;
    struct scan s = {holder->text + (*at ? *at : 1), holder->text + holder->len - 1};
    skip_space(&s);
    (void)take(&s, ',');
    skip_space(&s);
    if (s.at == s.end)
        return false;
    if (holder->kind == GHN_JSON_OBJECT) {
        ghn_json key = value_at(s.at, s.end);
        if (name)
            *name = key;
        s.at += key.len;
        skip_space(&s);
        (void)take(&s, ':');
        skip_space(&s);
    }
    *value = value_at(s.at, s.end);
    *at = (size_t)(value->text + value->len - holder->text);
    return true;
}

bool ghn_json_member(const ghn_json *object, const char *name, ghn_json *ret)
{
    ghn_json key, value;
    bool found = false;
    size_t at = 0;
    if (object->kind != GHN_JSON_OBJECT)
        return false;
    while (ghn_json_next(object, &at, &key, &value)) {
        if (!ghn_json_is(&key, name))
            continue;
        *ret = value;
        found = true;
    }
    return found;
}

static size_t put_utf8(uint8_t out[4], int32_t code)
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i; i--) {
        out[i] = (uint8_t)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (uint8_t)((0xF00 >> len & 0xFF) | code);
    return len;
}

/* The next bytes of a string's content, an escape resolved; 0 at its closing quote. */
static size_t next_bytes(struct scan *s, uint8_t out[4])
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    if (*s->at == '"')
        return 0;
    if (*s->at != '\\') {
        out[0] = (uint8_t)*s->at++;
        return 1;
    }
    s->at++;
    if (take(s, 'u'))
        return put_utf8(out, take_escaped_code(s));
    const char *known = memchr(from, *s->at, sizeof from - 1);
    out[0] = (uint8_t)(known ? to[known - from] : *s->at);
    s->at++;
    return 1;
}

bool ghn_json_is(const ghn_json *value, const char *text)
{
    if (value->kind != GHN_JSON_STRING)
        return false;
    struct scan s = {value->text + 1, value->text + value->len};
    size_t left = strlen(text), n;
    uint8_t bytes[4];
    while ((n = next_bytes(&s, bytes)) > 0) {
        if (n > left || memcmp(text, bytes, n) != 0)
            return false;
        text += n;
        left -= n;
    }
    return left == 0;
}

int ghn_json_int(const ghn_json *value, int64_t *ret)
{
    if (value->kind != GHN_JSON_INT)
        return GHN_INVALID;
    bool negative = value->text[0] == '-';
    uint64_t limit = (uint64_t)INT64_MAX + negative, sum = 0;
    for (size_t i = negative; i < value->len; i++) {
        uint64_t digit = (uint64_t)(value->text[i] - '0');
        if (sum > (limit - digit) / 10)
            return GHN_RANGE;
        sum = sum * 10 + digit;
    }
    /* -INT64_MIN is not an int64_t, so the sign goes in before the last step. */
    *ret = negative && sum ? -(int64_t)(sum - 1) - 1 : (int64_t)sum;
    return 0;
}

int ghn_json_bool(const ghn_json *value, bool *ret)
{
    if (value->kind != GHN_JSON_BOOL)
        return GHN_INVALID;
    *ret = value->text[0] == 't';
    return 0;
}

int ghn_json_string(const ghn_json *value, char *buffer, size_t size)
{
    if (value->kind != GHN_JSON_STRING)
        return GHN_INVALID;
    struct scan s = {value->text + 1, value->text + value->len};
    size_t len = 0, n;
    uint8_t bytes[4];
    while ((n = next_bytes(&s, bytes)) > 0) {
        if (!bytes[0])
            return GHN_INVALID;
        if (len + n >= size)
            return GHN_TOO_LONG;
        memcpy(buffer + len, bytes, n);
        len += n;
    }
    if (len >= size)
        return GHN_TOO_LONG;
    buffer[len] = '\0';
    return 0;
}
