#include "services/pairing/pair_text.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

enum { GENERATION_DIGITS = 9, DOCUMENT_DEPTH = 4 };

static bool is_serial_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool pair_serial_is_valid(const char *serial, size_t len)
{
    bool valid = len >= 1 && len <= PAIR_SERIAL_MAX;
    for (size_t i = 0; valid && i < len; i++)
        valid = is_serial_char(serial[i]);
    return valid;
}

/* ---- codes --------------------------------------------------------------------------------------------------------- */

/* The letter of the alphabet that was meant; '\0': none. */
static char meant(char c)
{
    if (c >= 'a' && c <= 'z')
        c = (char)(c - 'a' + 'A');
    if (c == 'O')
        c = '0';
    if (c == 'I' || c == 'L')
        c = '1';
    return c && strchr(alphabet, c) ? c : '\0';
}

bool pair_code_read(const char *text, size_t len, char code[PAIR_CODE_CHARS + 1], char *check)
{
    char all[PAIR_CODE_CHARS + 1];
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '-' || text[i] == ' ')
            continue;
        char c = meant(text[i]);
        if (!c || n == sizeof all)
            return false;
        all[n++] = c;
    }
    if (n != sizeof all)
        return false;
    memcpy(code, all, PAIR_CODE_CHARS);
    code[PAIR_CODE_CHARS] = '\0';
    *check = all[PAIR_CODE_CHARS];
    return true;
}

char pair_code_check(uint8_t first_byte)
{
    return alphabet[first_byte & 31];
}

void pair_code_hashed(const char code[PAIR_CODE_CHARS + 1], char ret[PAIR_CODE_HASHED + 1])
{
    (void)snprintf(ret, PAIR_CODE_HASHED + 1, "gh-code|%.*s", PAIR_CODE_CHARS, code);
}

size_t pair_salt(const char *serial, char ret[PAIR_SALT_MAX + 1])
{
    return (size_t)snprintf(ret, PAIR_SALT_MAX + 1, "gh-pair-v1|%.*s", PAIR_SERIAL_MAX, serial);
}

/* The next part up to a colon or the end. */
static const char *next_part(const char **at, const char *end, size_t *len)
{
    const char *part = *at, *colon = memchr(part, ':', (size_t)(end - part));
    *len = (size_t)((colon ? colon : end) - part);
    *at = colon ? colon + 1 : end;
    return part;
}

bool pair_qr_read(const char *text, size_t len, struct pair_qr *ret)
{
    static const char head[] = "GHN1:";
    const char *at = text + sizeof head - 1, *end = text + len;
    if (len < sizeof head || memcmp(text, head, sizeof head - 1) != 0)
        return false;
    struct pair_qr qr;
    qr.serial = next_part(&at, end, &qr.serial_len);
    qr.code = next_part(&at, end, &qr.code_len);
    qr.model = next_part(&at, end, &qr.model_len);
    *ret = qr;
    return at == end && pair_serial_is_valid(qr.serial, qr.serial_len) && qr.code_len;
}

/* ---- identities ----------------------------------------------------------------------------------------------------- */

static bool take_serial(struct pair_identity *identity, const char *serial, size_t len)
{
    if (!pair_serial_is_valid(serial, len))
        return false;
    memcpy(identity->serial, serial, len);
    identity->serial[len] = '\0';
    return true;
}

/* Only one spelling: no sign, no zero in front. */
static bool take_generation(struct pair_identity *identity, const char *text, size_t len)
{
    if (!len || len > GENERATION_DIGITS || *text == '0')
        return false;
    identity->generation = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        identity->generation = identity->generation * 10 + (text[i] - '0');
    }
    return true;
}

bool pair_identity_read(const char *text, size_t len, struct pair_identity *ret)
{
    static const struct {
        const char *name;
        enum pair_role role;
    } roles[] = {{"pair", PAIR_ROLE_PAIRING}, {"n", PAIR_ROLE_NODE}, {"cable", PAIR_ROLE_CABLE}};
    const char *at = text, *end = text + len;
    size_t name_len, serial_len, rest_len;
    const char *name = next_part(&at, end, &name_len);
    const char *serial = next_part(&at, end, &serial_len);
    const char *rest = next_part(&at, end, &rest_len);
    struct pair_identity identity = {0};
    for (size_t i = 0; i < array_size(roles); i++) {
        if (strlen(roles[i].name) != name_len || memcmp(roles[i].name, name, name_len) != 0)
            continue;
        identity.role = roles[i].role;
        bool node = identity.role == PAIR_ROLE_NODE;
        bool good = take_serial(&identity, serial, serial_len) &&
                    (node ? rest + rest_len == end && take_generation(&identity, rest, rest_len)
                          : serial + serial_len == end); /* no colon behind it */
        if (good)
            *ret = identity;
        return good;
    }
    return false;
}

/* ---- documents ------------------------------------------------------------------------------------------------------- */

static struct json *parse(struct arena *arena, const char *text, size_t len)
{
    struct json *json;
    if (len > PAIR_DOCUMENT_MAX || json_parse(&json, arena, text, len, NULL) != 0 ||
        !json_is(json, JSON_OBJECT) || json_depth(json) > DOCUMENT_DEPTH)
        return NULL;
    return json;
}

/* A word of printable ASCII, else nothing: it is shown to people. */
static void take_word(const struct json *json, char ret[PAIR_WORD_MAX + 1])
{
    *ret = '\0';
    if (!json_is(json, JSON_STRING) || json->len > PAIR_WORD_MAX)
        return;
    for (uint32_t i = 0; i < json->len; i++)
        if (json->text[i] < ' ' || json->text[i] > '~')
            return;
    memcpy(ret, json->text, json->len);
    ret[json->len] = '\0';
}

const char *pair_hello_read(const char *text, size_t len, struct pair_hello *ret)
{
    struct arena arena;
    arena_init(&arena);
    const struct json *hello = parse(&arena, text, len);
    const char *expected = NULL;
    int64_t version;
    if (!hello)
        expected = "expected a JSON object of at most 1024 bytes";
    else if (!json_int(json_get(hello, "v"), 1, 1, &version))
        expected = "expected \"v\":1";
    if (!expected) {
        take_word(json_get(hello, "model"), ret->model);
        take_word(json_get(hello, "fw"), ret->firmware);
    }
    arena_done(&arena);
    return expected;
}

int64_t pair_commit_read(const char *text, size_t len)
{
    struct arena arena;
    arena_init(&arena);
    int64_t generation = 0;
    (void)json_int(json_get(parse(&arena, text, len), "gen"), 1, 999999999, &generation);
    arena_done(&arena);
    return generation;
}

void pair_refuse_read(const char *text, size_t len, char reason[PAIR_WORD_MAX + 1])
{
    struct arena arena;
    arena_init(&arena);
    take_word(json_get(parse(&arena, text, len), "reason"), reason);
    arena_done(&arena);
}

bool pair_topic_serial(const char *topic, size_t len, char serial[PAIR_SERIAL_MAX + 1])
{
    static const char head[] = "gh/pair/";
    if (len < sizeof head || memcmp(topic, head, sizeof head - 1) != 0)
        return false;
    const char *begin = topic + sizeof head - 1;
    const char *slash = memchr(begin, '/', len - (sizeof head - 1));
    if (!slash || !pair_serial_is_valid(begin, (size_t)(slash - begin)))
        return false;
    memcpy(serial, begin, (size_t)(slash - begin));
    serial[slash - begin] = '\0';
    return true;
}
