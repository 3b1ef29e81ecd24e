/* A pattern taken apart into symbols, a character each, so that one pattern is matched with another as with a text. */
#include "identity/policy_cover.h"

#include "base/utf8.h"

#include <string.h>

struct symbol {
    enum policy_piece_kind kind;
    uint32_t len; /* of a literal's character */
    union {
        const char *text;
        const struct policy_key *key;
    };
};

struct symbols {
    struct symbol *list;
    size_t count;
};

static struct symbols take_apart(struct arena *scratch, const struct policy_pattern *pattern)
{
    struct symbols symbols = {arena_zero(scratch, (pattern->source.len + 1) * sizeof(struct symbol)), 0};
    for (uint32_t i = 0; i < pattern->count; i++) {
        const struct policy_piece *piece = &pattern->pieces[i];
        if (piece->kind != POLICY_LITERAL) {
            symbols.list[symbols.count++] = (struct symbol){
                .kind = piece->kind, .key = piece->kind == POLICY_VARIABLE ? piece->key : NULL};
            continue;
        }
        for (const char *at = piece->text, *end = at + piece->len; at < end;) {
            size_t len = size_max(utf8_sequence(at, end), 1);
            symbols.list[symbols.count++] =
                (struct symbol){.kind = POLICY_LITERAL, .len = (uint32_t)len, .text = at};
            at += len;
        }
    }
    return symbols;
}

static bool same_character(const struct symbol *a, const struct symbol *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

/* One symbol of the general pattern that is not a star, and one of the specific one. */
static bool symbol_covers(const struct symbol *general, const struct symbol *specific)
{
    switch (general->kind) {
    case POLICY_LITERAL: return specific->kind == POLICY_LITERAL && same_character(general, specific);
    case POLICY_ONE: return specific->kind == POLICY_LITERAL || specific->kind == POLICY_ONE;
    case POLICY_VARIABLE:
        return specific->kind == POLICY_VARIABLE && policy_key_equal(general->key, specific->key);
    case POLICY_ANY: break;
    }
    return false;
}

bool policy_pattern_covers(struct arena *scratch, const struct policy_pattern *general,
                           const struct policy_pattern *specific)
{
    struct symbols g = take_apart(scratch, general), s = take_apart(scratch, specific);
    size_t i = 0, k = 0, star = SIZE_MAX, star_k = 0;
    while (k < s.count) {
        if (i < g.count && g.list[i].kind == POLICY_ANY) {
            star = ++i;
            star_k = k;
        } else if (i < g.count && symbol_covers(&g.list[i], &s.list[k])) {
            i++;
            k++;
        } else if (star != SIZE_MAX) {
            i = star;
            k = ++star_k;
        } else {
            return false;
        }
    }
    while (i < g.count && g.list[i].kind == POLICY_ANY)
        i++;
    return i == g.count;
}

/* A variable may stand for anything. */
static bool is_any(const struct symbol *symbol)
{
    return symbol->kind == POLICY_ANY || symbol->kind == POLICY_VARIABLE;
}

static bool is_of_topic(const struct symbol *symbol)
{
    return symbol->kind != POLICY_LITERAL || (*symbol->text != '+' && *symbol->text != '#');
}

bool policy_pattern_meets(struct arena *scratch, const struct policy_pattern *pattern,
                          const struct policy_pattern *other, bool as_topic)
{
    /* Whether what is left of both meets, from the ends to the beginnings. */
    struct symbols a = take_apart(scratch, pattern), b = take_apart(scratch, other);
    size_t width = b.count + 1;
    bool *meets = arena_zero(scratch, (a.count + 1) * width * sizeof *meets);
    for (size_t i = a.count + 1; i-- > 0;)
        for (size_t k = b.count + 1; k-- > 0;) {
            const struct symbol *x = i < a.count ? &a.list[i] : NULL, *y = k < b.count ? &b.list[k] : NULL;
            bool *here = &meets[i * width + k];
            if (as_topic && ((x && !is_of_topic(x)) || (y && !is_of_topic(y))))
                continue;
            *here = !x && !y;
            if (x && is_any(x))
                *here |= here[width] || (y && here[1]);
            if (y && is_any(y))
                *here |= here[1] || (x && here[width]);
            if (x && y && !is_any(x) && !is_any(y))
                *here = (x->kind == POLICY_ONE || y->kind == POLICY_ONE || same_character(x, y)) &&
                        here[width + 1];
        }
    return meets[0];
}
