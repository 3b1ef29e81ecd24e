#include "base/json.h"

#include "base/utf8.h"

#include <errno.h>
#include <string.h>

/* The parser: one recursive descent over the bytes, guided by a table of what a byte means inside a string.
 *
 * A member whose name is already in its object is parsed into the node that is there. Looking for that node is a walk,
 * so it is done only while the object is small; a larger one is cleaned of duplicates when it ends, with a hash table.
 * The bit set `seen` spares most of those walks. */

enum { WALK_MAX = 16 };

struct parser {
    struct arena *arena;
    const char *at, *end;
    const char *expected; /* of the error */
};

/* ---- characters ------------------------------------------------------------------------------------------------- */

enum { PLAIN, QUOTE, BACKSLASH, CONTROL, MULTI };

static const uint8_t class_of[256] = {
    [0 ... 0x1F] = CONTROL,
    ['"'] = QUOTE,
    ['\\'] = BACKSLASH,
    [0x80 ... 0xFF] = MULTI,
};

static inline void skip_space(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r'))
        p->at++;
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int fail(struct parser *p, const char *expected)
{
    p->expected = expected;
    return JSON_INVALID;
}

static inline bool at_char(const struct parser *p, char c)
{
    return p->at < p->end && *p->at == c;
}

/* ---- strings ---------------------------------------------------------------------------------------------------- */

static int hex4(struct parser *p, unsigned *ret)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++, p->at++) {
        char c = p->at < p->end ? *p->at : '\0';
        unsigned digit;
        if (is_digit(c))
            digit = (unsigned)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            digit = (unsigned)((c | 0x20) - 'a' + 10);
        else
            return fail(p, "four hexadecimal digits");
        value = value << 4 | digit;
    }
    *ret = value;
    return 0;
}

static char *put_utf8(char *to, unsigned c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xC0 | c >> 6);
        *to++ = (char)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *to++ = (char)(0xE0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    } else {
        *to++ = (char)(0xF0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 0x3F));
        *to++ = (char)(0x80 | (c >> 6 & 0x3F));
        *to++ = (char)(0x80 | (c & 0x3F));
    }
    return to;
}

/* Behind "\u". */
static int parse_unicode_escape(struct parser *p, char **to)
{
    unsigned c, low;
    int r = hex4(p, &c);
    if (r != 0)
        return r;
    if (c >= 0xDC00 && c <= 0xDFFF) {
        p->at -= 6;
        return fail(p, "a high surrogate before a low one");
    }
    if (c >= 0xD800 && c <= 0xDBFF) {
        if (p->end - p->at < 2 || p->at[0] != '\\' || p->at[1] != 'u')
            return fail(p, "the low half of a surrogate pair");
        p->at += 2;
        r = hex4(p, &low);
        if (r != 0)
            return r;
        if (low < 0xDC00 || low > 0xDFFF) {
            p->at -= 6;
            return fail(p, "the low half of a surrogate pair");
        }
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    *to = put_utf8(*to, c);
    return 0;
}

static int parse_escape(struct parser *p, char **to)
{
    if (++p->at == p->end)
        return fail(p, "the end of the string");
    char c = *p->at++;
    switch (c) {
    case '"':
    case '\\':
    case '/': break;
    case 'b': c = '\b'; break;
    case 'f': c = '\f'; break;
    case 'n': c = '\n'; break;
    case 'r': c = '\r'; break;
    case 't': c = '\t'; break;
    case 'u': return parse_unicode_escape(p, to);
    default: p->at--; return fail(p, "one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
    }
    *(*to)++ = c;
    return 0;
}

/* The rest of a string from its first escape on. An escape is never shorter than what it stands for, so the place of
 * the raw text suffices. */
static int parse_escaped(struct parser *p, const char *begin, const char **ret, uint32_t *ret_len)
{
    const char *quote = p->at;
    while (quote < p->end && *quote != '"')
        quote += *quote == '\\' && quote + 1 < p->end ? 2 : 1;

    char *text = arena_alloc(p->arena, (size_t)(quote - begin));
    char *to = text;
    memcpy(to, begin, (size_t)(p->at - begin));
    to += p->at - begin;
    while (p->at < p->end) {
        size_t n = 1;
        int r;
        switch (class_of[(uint8_t)*p->at]) {
        case QUOTE:
            p->at++;
            *ret = text;
            *ret_len = (uint32_t)(to - text);
            return 0;
        case BACKSLASH:
            r = parse_escape(p, &to);
            if (r != 0)
                return r;
            continue;
        case CONTROL: return fail(p, "an escape for a control character");
        case MULTI:
            n = utf8_sequence(p->at, p->end);
            if (!n)
                return fail(p, "well-formed UTF-8");
            break;
        default: break;
        }
        memcpy(to, p->at, n);
        to += n;
        p->at += n;
    }
    return fail(p, "the end of the string");
}

/* At the opening quote. */
static inline int parse_string(struct parser *p, const char **ret, uint32_t *ret_len)
{
    const char *begin = ++p->at, *at = begin, *end = p->end;
    for (;;) {
        while (at < end && class_of[(uint8_t)*at] == PLAIN)
            at++;
        p->at = at;
        if (at == end)
            return fail(p, "the end of the string");
        if (*at == '"')
            break;
        if (*at == '\\')
            return parse_escaped(p, begin, ret, ret_len);
        if (class_of[(uint8_t)*at] == CONTROL)
            return fail(p, "an escape for a control character");
        size_t n = utf8_sequence(at, end);
        if (!n)
            return fail(p, "well-formed UTF-8");
        at += n;
    }
    *ret = begin;
    *ret_len = (uint32_t)(at - begin);
    p->at = at + 1;
    return 0;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static inline int parse_number(struct parser *p, struct json *json)
{
    const char *begin = p->at, *at = begin, *end = p->end;
    if (*at == '-')
        at++;
    if (at < end && *at == '0') {
        at++;
    } else {
        const char *digits = at;
        while (at < end && is_digit(*at))
            at++;
        if (at == digits) {
            p->at = at;
            return fail(p, begin == at ? "a value" : "a digit");
        }
    }
    if (at < end && *at == '.') {
        const char *digits = ++at;
        while (at < end && is_digit(*at))
            at++;
        p->at = at;
        if (at == digits)
            return fail(p, "a digit");
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        const char *digits = at;
        while (at < end && is_digit(*at))
            at++;
        p->at = at;
        if (at == digits)
            return fail(p, "a digit");
    }
    json->type = JSON_NUMBER;
    json->text = begin;
    json->len = (uint32_t)(at - begin);
    p->at = at;
    return 0;
}

static int parse_word(struct parser *p, struct json *json, const char *word, size_t len, enum json_type type)
{
    if ((size_t)(p->end - p->at) < len || memcmp(p->at, word, len) != 0)
        return fail(p, "a value");
    p->at += len;
    json->type = type;
    json->text = NULL;
    json->len = 0;
    return 0;
}

static int parse_value(struct parser *p, struct json *json, unsigned depth);

static void link_last(struct json *container, struct json *json)
{
    json->next = NULL;
    if (container->first)
        container->last->next = json;
    else
        container->first = json;
    container->last = json;
    container->len++;
}

static int parse_array(struct parser *p, struct json *array, unsigned depth)
{
    *array =
        (struct json){.type = JSON_ARRAY, .next = array->next, .key = array->key, .key_len = array->key_len};
    p->at++;
    skip_space(p);
    if (at_char(p, ']')) {
        p->at++;
        return 0;
    }
    for (;;) {
        struct json *element = arena_alloc(p->arena, sizeof *element);
        element->key = NULL;
        element->key_len = 0;
        element->tag = 0;
        link_last(array, element);
        int r = parse_value(p, element, depth);
        if (r != 0)
            return r;
        skip_space(p);
        if (at_char(p, ']')) {
            p->at++;
            return 0;
        }
        if (!at_char(p, ','))
            return fail(p, "',' or ']'");
        p->at++;
    }
}

/* One bit for a name: two names with the same bit may be equal, two with different bits are not. */
static inline uint64_t name_bit(const char *key, uint32_t len)
{
    unsigned mixed = len * 7u;
    if (len)
        mixed += (uint8_t)key[0] * 5u + (uint8_t)key[len - 1] * 11u;
    return (uint64_t)1 << (mixed & 63);
}

/* Unlinks members whose name came again later; the first takes the last one's value. */
static void drop_duplicates(struct parser *p, struct json *object)
{
    struct json *first = object->first;
    struct json_index unique;
    json_index_init(&unique, p->arena, object->len);
    *object = (struct json){
        .type = JSON_OBJECT, .next = object->next, .key = object->key, .key_len = object->key_len};
    for (struct json *member = first, *next; member; member = next) {
        next = member->next;
        struct json *before = json_index_add(&unique, member);
        if (!before) {
            link_last(object, member);
            continue;
        }
        before->type = member->type;
        before->len = member->len;
        before->first = member->first;
        before->last = member->last;
    }
}

/* The node for the member whose name was just read. */
static struct json *place_member(struct parser *p, struct json *object, const char *key, uint32_t key_len,
                                 uint64_t *seen, bool *twice)
{
    uint64_t bit = name_bit(key, key_len);
    if (*seen & bit) {
        if (object->len > WALK_MAX) {
            *twice = true; /* perhaps */
        } else {
            struct json *there = json_get_n(object, key, key_len);
            if (there)
                return there;
        }
    }
    *seen |= bit;
    struct json *member = arena_alloc(p->arena, sizeof *member);
    member->key = key;
    member->key_len = key_len;
    member->tag = 0;
    link_last(object, member);
    return member;
}

static int parse_object(struct parser *p, struct json *object, unsigned depth)
{
    *object = (struct json){
        .type = JSON_OBJECT, .next = object->next, .key = object->key, .key_len = object->key_len};
    uint64_t seen = 0;
    bool twice = false;
    p->at++;
    skip_space(p);
    if (at_char(p, '}')) {
        p->at++;
        return 0;
    }
    for (;;) {
        if (!at_char(p, '"'))
            return fail(p, object->len ? "a member's name in quotes" : "a member's name in quotes or '}'");
        const char *key;
        uint32_t key_len;
        int r = parse_string(p, &key, &key_len);
        if (r != 0)
            return r;
        skip_space(p);
        if (!at_char(p, ':'))
            return fail(p, "':'");
        p->at++;
        r = parse_value(p, place_member(p, object, key, key_len, &seen, &twice), depth);
        if (r != 0)
            return r;
        skip_space(p);
        if (at_char(p, '}'))
            break;
        if (!at_char(p, ','))
            return fail(p, "',' or '}'");
        p->at++;
        skip_space(p);
    }
    p->at++;
    if (twice)
        drop_duplicates(p, object);
    return 0;
}

/* Leaves the node's key and next alone. */
static int parse_value(struct parser *p, struct json *json, unsigned depth)
{
    skip_space(p);
    if (p->at == p->end)
        return fail(p, "a value");
    switch (*p->at) {
    case '{':
    case '[':
        if (depth == JSON_DEPTH_MAX) {
            p->expected = "fewer levels of nesting";
            return JSON_TOO_DEEP;
        }
        return *p->at == '{' ? parse_object(p, json, depth + 1) : parse_array(p, json, depth + 1);
    case '"': json->type = JSON_STRING; return parse_string(p, &json->text, &json->len);
    case 't': return parse_word(p, json, "true", 4, JSON_TRUE);
    case 'f': return parse_word(p, json, "false", 5, JSON_FALSE);
    case 'n': return parse_word(p, json, "null", 4, JSON_NULL);
    default: return parse_number(p, json);
    }
}

static void say_where(struct json_error *error, const char *text, const struct parser *p)
{
    *error = (struct json_error){
        .offset = (size_t)(p->at - text), .line = 1, .column = 1, .expected = p->expected};
    for (const char *at = text; at < p->at; at++) {
        if (*at == '\n') {
            error->line++;
            error->column = 1;
        } else if (((uint8_t)*at & 0xC0) != 0x80) {
            error->column++;
        }
    }
}

int json_parse(struct json **ret, struct arena *arena, const char *text, size_t len, struct json_error *error)
{
    if (len > UINT32_MAX / 2)
        return -E2BIG;
    struct parser p = {.arena = arena, .at = text, .end = text + len};
    struct json *json = arena_new(arena, struct json);
    int r = parse_value(&p, json, 0);
    if (r == 0) {
        skip_space(&p);
        if (p.at < p.end)
            r = fail(&p, "nothing after the value");
    }
    if (r != 0) {
        if (error)
            say_where(error, text, &p);
        return r;
    }
    *ret = json;
    return 0;
}
