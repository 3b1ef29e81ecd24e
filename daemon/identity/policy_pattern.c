#include "identity/policy_pattern.h"

#include <string.h>

/* ---- compiling ------------------------------------------------------------------------------------------------------ */

static void put_literal(struct policy_pattern *pattern, const char *text, size_t len)
{
    if (!len)
        return;
    struct policy_piece *last = pattern->count ? &pattern->pieces[pattern->count - 1] : NULL;
    if (last && last->kind == POLICY_LITERAL && last->text + last->len == text)
        last->len += (uint32_t)len;
    else
        pattern->pieces[pattern->count++] =
            (struct policy_piece){.kind = POLICY_LITERAL, .len = (uint32_t)len, .text = text};
}

static void put_wildcard(struct policy_pattern *pattern, enum policy_piece_kind kind)
{
    /* Two stars are one. */
    if (kind == POLICY_ANY && pattern->count && pattern->pieces[pattern->count - 1].kind == POLICY_ANY)
        return;
    pattern->pieces[pattern->count++] = (struct policy_piece){.kind = kind};
}

static void put_variable(struct policy_pattern *pattern, struct arena *arena, const char *text, size_t len)
{
    /* ${*}, ${?}, ${$} */
    if (len == 1 && strchr("*?$", *text)) {
        put_literal(pattern, text, 1);
        return;
    }
    struct policy_key *key = arena_new(arena, struct policy_key);
    *key = policy_key_of(text, len);
    pattern->pieces[pattern->count++] = (struct policy_piece){.kind = POLICY_VARIABLE, .key = key};
}

struct policy_pattern policy_pattern_compile(struct arena *arena, const char *text, size_t len,
                                             bool wildcards)
{
    struct policy_pattern pattern = {.source = {arena_copy(arena, text, len), len}};
    /* Each piece but a literal takes a character at least, and literals stand between them. */
    size_t most = 1;
    for (size_t i = 0; i < len; i++)
        most += 2 * (text[i] == '*' || text[i] == '?' || text[i] == '$');
    pattern.pieces = arena_zero(arena, most * sizeof *pattern.pieces);
    const char *at = pattern.source.text, *end = at + len;
    while (at < end) {
        const char *close = end - at >= 2 && at[0] == '$' && at[1] == '{'
                                ? memchr(at + 2, '}', (size_t)(end - at) - 2)
                                : NULL;
        if (close && close > at + 2) {
            put_variable(&pattern, arena, at + 2, (size_t)(close - at) - 2);
            at = close + 1;
            continue;
        }
        if (wildcards && (*at == '*' || *at == '?'))
            put_wildcard(&pattern, *at == '*' ? POLICY_ANY : POLICY_ONE);
        else
            put_literal(&pattern, at, 1);
        at++;
    }
    return pattern;
}

/* ---- matching ------------------------------------------------------------------------------------------------------- */

static size_t character_len(const char *at, const char *end)
{
    uint8_t c = (uint8_t)*at;
    size_t len = c < 0xC0 ? 1 : (c < 0xE0 ? 2 : (c < 0xF0 ? 3 : 4));
    return size_min(len, (size_t)(end - at));
}

static bool begins(const struct policy_match *match, const char *at, const char *end, const char *text,
                   size_t len)
{
    return (size_t)(end - at) >= len &&
           (match->ignore_case ? policy_same(at, len, text, len) : memcmp(at, text, len) == 0);
}

/* Where the text goes on behind the piece; NULL when it does not match here. */
static const char *step(const struct policy_piece *piece, const struct policy_match *match, const char *at,
                        const char *end)
{
    struct policy_text value;
    switch (piece->kind) {
    case POLICY_LITERAL: return begins(match, at, end, piece->text, piece->len) ? at + piece->len : NULL;
    case POLICY_ONE: return at < end ? at + character_len(at, end) : NULL;
    case POLICY_VARIABLE:
        if (policy_context_substitute(match->context, piece->key, &value))
            return begins(match, at, end, value.text, value.len) ? at + value.len : NULL;
        if (match->on_missing)
            match->on_missing(match->self, piece->key);
        /* The name stands between "${" and "}" in the pattern's source. */
        value = (struct policy_text){piece->key->name.text - 2, piece->key->name.len + 3};
        return match->keep_as_text && begins(match, at, end, value.text, value.len) ? at + value.len : NULL;
    case POLICY_ANY: break;
    }
    return NULL;
}

/* Where a `*` could end next, so that what follows it may match: at the literal behind it if there is one. */
static const char *next_place(const struct policy_piece *piece, const struct policy_match *match,
                              const char *at, const char *end)
{
    if (at >= end)
        return NULL;
    at += character_len(at, end);
    if (piece->kind != POLICY_LITERAL || match->ignore_case)
        return at;
    return memmem(at, (size_t)(end - at), piece->text, piece->len);
}

bool policy_pattern_matches(const struct policy_pattern *pattern, const struct policy_match *match,
                            const char *text, size_t len)
{
    /* The last `*` is the only place to come back to: an earlier one that took more would leave it less. */
    const char *at = text, *end = text + len, *star_at = NULL;
    uint32_t i = 0, star = 0;
    for (;;) {
        if (i < pattern->count && pattern->pieces[i].kind == POLICY_ANY) {
            if (++i == pattern->count)
                return true;
            star = i;
            star_at = at;
            continue;
        }
        if (i == pattern->count && at == end)
            return true;
        const char *next = i < pattern->count ? step(&pattern->pieces[i], match, at, end) : NULL;
        if (next) {
            at = next;
            i++;
            continue;
        }
        if (!star_at)
            return false;
        at = star_at = next_place(&pattern->pieces[star], match, star_at, end);
        if (!at)
            return false;
        i = star;
    }
}
