#include "identity/registry_query.h"

#include "base/arena.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A query is parsed by descent into a tree:
 *
 *      OR ─┬─ AND ─┬─ match thingName "press*"
 *          │       └─ match attributes.hall "7"
 *          └─ NOT ─── match attributes.retired *
 */

enum node_type { NODE_AND, NODE_OR, NODE_NOT, NODE_TERM, NODE_PHRASE, NODE_RANGE, NODE_ALL };

/* One side of a range. */
struct bound {
    const char *text; /* NULL: open (*) */
    double number;
    bool is_number, inclusive;
};

struct node {
    enum node_type type;
    struct node *left, *right;
    const char *field; /* NULL: all of them */
    const char *text;  /* of a term, with \ before what is literal; of a phrase */
    struct bound low, high;
};

struct registry_query {
    struct arena arena;
    struct node *root;
};

struct parser {
    struct arena *arena;
    const char *start, *at, *end;
    unsigned terms, terms_max, depth;
    bool began_with_wildcard;
    char **why;
};

/* ---- parsing --------------------------------------------------------------------------------------------------------- */

static struct node *parse_or(struct parser *p, const char *field);

static struct node *wrong(struct parser *p, const char *expected)
{
    if (!*p->why) /* the first one counts */
        *p->why = str_printf("character %zu: expected %s", (size_t)(p->at - p->start) + 1, expected);
    return NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct parser *p)
{
    while (p->at < p->end && is_blank(*p->at))
        p->at++;
}

static bool looking_at(const struct parser *p, const char *word)
{
    size_t len = strlen(word);
    return (size_t)(p->end - p->at) >= len && memcmp(p->at, word, len) == 0 &&
           (p->at + len == p->end || is_blank(p->at[len]) || strchr("()", p->at[len]));
}

static struct node *node_new(struct parser *p, enum node_type type, const char *field)
{
    struct node *node = arena_new(p->arena, struct node);
    node->type = type;
    node->field = field;
    return node;
}

static struct node *join(struct parser *p, enum node_type type, struct node *left, struct node *right)
{
    struct node *node = node_new(p, type, NULL);
    node->left = left;
    node->right = right;
    return right || type == NODE_NOT ? node : NULL;
}

static bool number_of(const char *text, double *ret)
{
    char *end;
    if (!*text || text[strspn(text, "+-.0123456789eE")])
        return false; /* strtod() would take "inf" and hexadecimal */
    *ret = strtod(text, &end);
    return !*end && isfinite(*ret);
}

/* The characters of a term, up to what cannot be in one; backslashes stay, before what is literal. */
static const char *term_text(struct parser *p, const char *stop)
{
    const char *start = p->at;
    while (p->at < p->end && !is_blank(*p->at) && !strchr(stop, *p->at)) {
        if (*p->at == '\\' && p->at + 1 < p->end)
            p->at++;
        else if (strchr("\\`@#%/';,\"", *p->at))
            return (const char *)wrong(p, "a value; ` @ # % \\ / ' ; , and \" need a \\ before them");
        p->at++;
    }
    if (p->at == start)
        return (const char *)wrong(p, "a value");
    return arena_copy(p->arena, start, (size_t)(p->at - start));
}

static const char *phrase_text(struct parser *p)
{
    const char *start = ++p->at;
    char *text = arena_alloc(p->arena, (size_t)(p->end - start) + 1);
    size_t len = 0;
    for (; p->at < p->end && *p->at != '"'; p->at++) {
        if (*p->at == '\\' && p->at + 1 < p->end)
            p->at++;
        text[len++] = *p->at;
    }
    if (p->at == p->end)
        return (const char *)wrong(p, "a \" at the end of the phrase");
    p->at++;
    text[len] = '\0';
    return text;
}

/* Without the backslashes: for what knows no wildcards. */
static const char *plain(struct parser *p, const char *text)
{
    char *ret = arena_copy(p->arena, text, strlen(text)), *to = ret;
    for (; *text; text++) {
        if (*text == '\\' && text[1])
            text++;
        *to++ = *text;
    }
    *to = '\0';
    return ret;
}

static bool parse_bound(struct parser *p, struct bound *bound, const char *stop)
{
    skip_blanks(p);
    bool is_phrase = p->at < p->end && *p->at == '"';
    const char *text = is_phrase ? phrase_text(p) : term_text(p, stop);
    if (!text)
        return false;
    if (!is_phrase && strcmp(text, "*") == 0)
        return true;
    bound->text = is_phrase ? text : plain(p, text);
    bound->is_number = !is_phrase && number_of(bound->text, &bound->number);
    return true;
}

static bool count_term(struct parser *p)
{
    if (++p->terms <= p->terms_max)
        return true;
    if (!*p->why)
        *p->why = str_printf("expected at most %u terms", p->terms_max);
    return false;
}

static struct node *parse_range(struct parser *p, const char *field)
{
    struct node *node = node_new(p, NODE_RANGE, field);
    node->low.inclusive = *p->at++ == '[';
    if (!parse_bound(p, &node->low, "]}"))
        return NULL;
    skip_blanks(p);
    if (!looking_at(p, "TO"))
        return wrong(p, "TO between the bounds of a range");
    p->at += 2;
    if (!parse_bound(p, &node->high, "]}"))
        return NULL;
    skip_blanks(p);
    if (p->at == p->end || (*p->at != ']' && *p->at != '}'))
        return wrong(p, "] or } at the end of a range");
    node->high.inclusive = *p->at++ == ']';
    return node;
}

static struct node *parse_comparison(struct parser *p, const char *field)
{
    struct node *node = node_new(p, NODE_RANGE, field);
    bool greater = *p->at++ == '>';
    struct bound *bound = greater ? &node->low : &node->high;
    if (p->at < p->end && *p->at == '=') {
        bound->inclusive = true;
        p->at++;
    }
    return parse_bound(p, bound, "()") && count_term(p) ? node : NULL;
}

/* Wildcards are what costs: two * and five ? in a term, and one term of a query may begin with one. */
static bool check_wildcards(struct parser *p, const char *text)
{
    unsigned stars = 0, marks = 0;
    bool first = *text == '*' || *text == '?';
    for (const char *at = text; *at; at++) {
        if (*at == '\\' && at[1])
            at++;
        else if (*at == '*')
            stars++;
        else if (*at == '?')
            marks++;
    }
    if (stars > 2 || marks > 5)
        return wrong(p, "at most two * and five ? in a term") != NULL;
    if (first && strcmp(text, "*") != 0) {
        if (p->began_with_wildcard || strlen(text) > 100)
            return wrong(p, "one term that begins with a wildcard, of at most 100 characters") != NULL;
        p->began_with_wildcard = true;
    }
    return true;
}

static struct node *parse_value(struct parser *p, const char *field)
{
    if (!count_term(p))
        return NULL;
    if (p->at < p->end && (*p->at == '[' || *p->at == '{'))
        return parse_range(p, field);
    struct node *node;
    if (p->at < p->end && *p->at == '"') {
        node = node_new(p, NODE_PHRASE, field);
        node->text = phrase_text(p);
    } else {
        node = node_new(p, NODE_TERM, field);
        node->text = term_text(p, "()");
        if (node->text && !check_wildcards(p, node->text))
            return NULL;
    }
    if (!node->text)
        return NULL;
    if (!field && strcmp(node->text, "*") == 0)
        node->type = NODE_ALL;
    return node;
}

static bool field_is_known(const char *field)
{
    static const char *const known[] = {"thingName",
                                        "thingId",
                                        "thingTypeName",
                                        "thingGroupNames",
                                        "connectivity.connected",
                                        "connectivity.timestamp",
                                        "connectivity.disconnectReason",
                                        "connectivity.clientId"};
    for (size_t i = 0; i < array_size(known); i++)
        if (strcmp(field, known[i]) == 0)
            return true;
    return strncmp(field, "attributes.", 11) == 0 && field[11];
}

/* What stands before : < or >, if that comes before the word ends; NULL: it is a value. */
static const char *parse_field(struct parser *p)
{
    const char *at = p->at;
    while (at < p->end && !is_blank(*at) && !strchr("()\"[]{}:<>", *at))
        at += *at == '\\' && at + 1 < p->end ? 2 : 1;
    if (at >= p->end || !strchr(":<>", *at) || at == p->at)
        return NULL;
    const char *field = plain(p, arena_copy(p->arena, p->at, (size_t)(at - p->at)));
    if (strncmp(field, "registry.", 9) == 0)
        field += 9;
    if (!field_is_known(field))
        return (const char *)wrong(
            p, "a field: thingName, thingId, thingTypeName, thingGroupNames, attributes.NAME, "
               "connectivity.connected, .timestamp, .disconnectReason or .clientId");
    p->at = at;
    return field;
}

static struct node *parse_group(struct parser *p, const char *field)
{
    p->at++;
    if (++p->depth > REGISTRY_QUERY_DEPTH_MAX)
        return wrong(p, "fewer parentheses inside each other");
    struct node *node = parse_or(p, field);
    p->depth--;
    if (!node)
        return NULL;
    if (p->at == p->end || *p->at != ')')
        return wrong(p, ")");
    p->at++;
    return node;
}

static struct node *parse_primary(struct parser *p, const char *field)
{
    skip_blanks(p);
    if (p->at == p->end)
        return wrong(p, "a term");
    if (*p->at == '(')
        return parse_group(p, field);
    if (!field) {
        field = parse_field(p);
        if (*p->why)
            return NULL;
        if (field && *p->at != ':')
            return parse_comparison(p, field);
        if (field)
            p->at++;
        if (field && p->at < p->end && *p->at == '(')
            return parse_group(p, field);
    }
    return parse_value(p, field);
}

static struct node *parse_unary(struct parser *p, const char *field)
{
    skip_blanks(p);
    bool not = looking_at(p, "NOT");
    bool minus = !not &&p->at < p->end && *p->at == '-';
    if (!not &&!minus)
        return parse_primary(p, field);
    p->at += not ? 3 : 1;
    if (++p->depth > REGISTRY_QUERY_DEPTH_MAX)
        return wrong(p, "fewer NOTs");
    struct node *node = parse_unary(p, field);
    p->depth--;
    return node ? join(p, NODE_NOT, node, NULL) : NULL;
}

static struct node *parse_and(struct parser *p, const char *field)
{
    struct node *node = parse_unary(p, field);
    while (node) {
        skip_blanks(p);
        if (p->at == p->end || *p->at == ')' || looking_at(p, "OR"))
            break;
        if (looking_at(p, "AND"))
            p->at += 3;
        node = join(p, NODE_AND, node, parse_unary(p, field));
    }
    return node;
}

static struct node *parse_or(struct parser *p, const char *field)
{
    struct node *node = parse_and(p, field);
    while (node) {
        skip_blanks(p);
        if (!looking_at(p, "OR"))
            break;
        p->at += 2;
        node = join(p, NODE_OR, node, parse_and(p, field));
    }
    return node;
}

int registry_query_compile(struct registry_query **ret, const char *text, size_t len, unsigned terms_max,
                           char **why)
{
    *why = NULL;
    if (len > REGISTRY_QUERY_MAX || memchr(text, '\0', len)) {
        *why = str_printf("expected at most %d characters, none of them U+0000", REGISTRY_QUERY_MAX);
        return -EINVAL;
    }
    struct registry_query *query = mem_new(struct registry_query);
    arena_init(&query->arena);
    struct parser p = {.arena = &query->arena,
                       .start = text,
                       .at = text,
                       .end = text + len,
                       .terms_max = terms_max,
                       .why = why};
    query->root = parse_or(&p, NULL);
    if (query->root && p.at < p.end)
        query->root = wrong(&p, "the end, or another term");
    if (!query->root) {
        (void)registry_query_free(query);
        return -EINVAL;
    }
    *ret = query;
    return 0;
}

struct registry_query *registry_query_free(struct registry_query *query)
{
    if (!query)
        return NULL;
    arena_done(&query->arena);
    free(query);
    return NULL;
}

/* ---- matching -------------------------------------------------------------------------------------------------------- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

/* With one place to go back to: linear for all that matters. */
static bool glob(const char *pattern, const char *text, size_t len)
{
    const char *end = text + len, *star = NULL, *back = NULL;
    while (text < end) {
        bool literal = *pattern == '\\' && pattern[1];
        char c = literal ? pattern[1] : *pattern;
        if (!literal && c == '*') {
            star = ++pattern;
            back = text;
        } else if (c && ((!literal && c == '?') || lower(c) == lower(*text))) {
            pattern += literal ? 2 : 1;
            text++;
        } else if (star) {
            pattern = star;
            text = ++back;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

static bool is_above(const struct bound *low, const char *value, bool is_number, double number)
{
    if (!low->text)
        return true;
    if (low->is_number && is_number)
        return low->inclusive ? number >= low->number : number > low->number;
    int order = strcasecmp(value, low->text);
    return low->inclusive ? order >= 0 : order > 0;
}

static bool is_below(const struct bound *high, const char *value, bool is_number, double number)
{
    if (!high->text)
        return true;
    if (high->is_number && is_number)
        return high->inclusive ? number <= high->number : number < high->number;
    int order = strcasecmp(value, high->text);
    return high->inclusive ? order <= 0 : order < 0;
}

static bool value_matches(const struct node *node, const char *value)
{
    double number = 0, wanted;
    bool is_number = number_of(value, &number);
    if (node->type == NODE_RANGE)
        return is_above(&node->low, value, is_number, number) &&
               is_below(&node->high, value, is_number, number);
    if (node->type == NODE_PHRASE)
        return strcasecmp(node->text, value) == 0;
    if (is_number && number_of(node->text, &wanted))
        return number == wanted;
    return glob(node->text, value, strlen(value));
}

static bool in_groups(const struct node *node, const struct registry_thing *thing)
{
    for (size_t i = 0; i < thing->group_count; i++)
        for (const struct registry_group *group = thing->groups[i]; group; group = group->parent)
            if (value_matches(node, group->key.text))
                return true;
    return false;
}

static bool in_connectivity(const struct node *node, const struct registry_thing *thing, const char *field)
{
    char text[24];
    if (strcmp(field, "connected") == 0)
        return value_matches(node, thing->connected ? "true" : "false");
    if (strcmp(field, "clientId") == 0)
        return thing->connectivity_ms && value_matches(node, thing->key.text);
    if (strcmp(field, "disconnectReason") == 0)
        return thing->disconnect_reason && value_matches(node, thing->disconnect_reason);
    (void)snprintf(text, sizeof text, "%lld", (long long)thing->connectivity_ms);
    return thing->connectivity_ms && value_matches(node, text);
}

static bool in_type(const struct node *node, const struct registry_thing *thing)
{
    return thing->type && value_matches(node, thing->type->key.text);
}

static bool in_all(const struct node *node, const struct registry_thing *thing)
{
    bool found = value_matches(node, thing->key.text) || in_type(node, thing) || in_groups(node, thing);
    for (size_t i = 0; !found && i < thing->attributes.count; i++)
        found = value_matches(node, thing->attributes.list[i].value);
    return found;
}

static bool field_matches(const struct node *node, const struct registry_thing *thing)
{
    const char *field = node->field;
    if (!field)
        return in_all(node, thing);
    if (strncmp(field, "attributes.", 11) == 0) {
        const char *value = registry_attribute(&thing->attributes, field + 11);
        return value && value_matches(node, value);
    }
    if (strncmp(field, "connectivity.", 13) == 0)
        return in_connectivity(node, thing, field + 13);
    if (strcmp(field, "thingName") == 0)
        return value_matches(node, thing->key.text);
    if (strcmp(field, "thingId") == 0)
        return value_matches(node, thing->id);
    return strcmp(field, "thingTypeName") == 0 ? in_type(node, thing) : in_groups(node, thing);
}

/* As deep as the query has characters, at most. */
static bool matches(const struct node *node, const struct registry_thing *thing)
{
    switch (node->type) {
    case NODE_AND: return matches(node->left, thing) && matches(node->right, thing);
    case NODE_OR: return matches(node->left, thing) || matches(node->right, thing);
    case NODE_NOT: return !matches(node->left, thing);
    case NODE_ALL: return true;
    case NODE_TERM:
    case NODE_PHRASE:
    case NODE_RANGE: break;
    }
    return field_matches(node, thing);
}

bool registry_query_matches(const struct registry_query *query, const struct registry_thing *thing)
{
    return matches(query->root, thing);
}
