#include "mqtt/script.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* One pass over lines. Everything lives in the script's arena; lists grow there, which leaves their old copies behind:
 * scripts are short. */

struct parser {
    struct script *script;
    int line;
    const char *at, *end; /* of the line */
    const char *why;
    struct script_case *now;
    size_t cases_size, steps_size;
};

static bool fail(struct parser *p, const char *why)
{
    if (!p->why)
        p->why = why;
    return false;
}

static void skip_blanks(struct parser *p)
{
    while (p->at < p->end && isspace((unsigned char)*p->at))
        p->at++;
    if (p->at < p->end && *p->at == '#')
        p->end = p->at;
}

static bool at_end(struct parser *p)
{
    skip_blanks(p);
    return p->at == p->end;
}

/* Takes the word if it comes next. */
static bool take(struct parser *p, const char *word)
{
    skip_blanks(p);
    size_t len = strlen(word);
    if ((size_t)(p->end - p->at) < len || memcmp(p->at, word, len) != 0)
        return false;
    if (p->at + len < p->end && !isspace((unsigned char)p->at[len]))
        return false;
    p->at += len;
    return true;
}

static const char *take_word(struct parser *p)
{
    skip_blanks(p);
    const char *begin = p->at;
    while (p->at < p->end && !isspace((unsigned char)*p->at))
        p->at++;
    return arena_copy(&p->script->arena, begin, (size_t)(p->at - begin));
}

bool script_number(const char *text, size_t len, uint64_t max, uint64_t *ret)
{
    bool hex = len > 2 && text[0] == '0' && text[1] == 'x';
    uint64_t value = 0;
    for (size_t i = hex ? 2 : 0; i < len; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = memchr(digits, tolower((unsigned char)text[i]), hex ? 16 : 10);
        if (!digit)
            return false;
        value = value * (hex ? 16 : 10) + (uint64_t)(digit - digits);
        if (value > max)
            return false;
    }
    *ret = value;
    return len > 0;
}

/* ---- values -------------------------------------------------------------------------------------------------------- */

/* A text in quotes, from behind the first one on. */
static bool take_quoted(struct parser *p, const char **ret, size_t *ret_len)
{
    char *out = arena_alloc(&p->script->arena, (size_t)(p->end - p->at) + 1);
    size_t len = 0;
    for (; p->at < p->end && *p->at != '"'; p->at++) {
        char c = *p->at;
        if (c != '\\') {
            out[len++] = c;
            continue;
        }
        if (++p->at == p->end)
            return fail(p, "a text ends in the middle of \\");
        uint64_t byte;
        char hex[] = {'0', 'x', 0, 0};
        switch (*p->at) {
        case 'n': out[len++] = '\n'; break;
        case 'r': out[len++] = '\r'; break;
        case '"':
        case '\\': out[len++] = *p->at; break;
        case 'x':
            if (p->end - p->at < 3)
                return fail(p, "\\x wants two digits");
            memcpy(hex + 2, p->at + 1, 2);
            if (!script_number(hex, 4, 255, &byte))
                return fail(p, "\\x wants two digits");
            out[len++] = (char)byte;
            p->at += 2;
            break;
        default: return fail(p, "in texts there are \\n, \\r, \\\", \\\\ and \\xNN");
        }
    }
    if (p->at == p->end)
        return fail(p, "a text without its closing quote");
    p->at++;
    out[len] = '\0';
    *ret = out;
    *ret_len = len;
    return true;
}

/* "x"*100 */
static bool take_repeat(struct parser *p, struct script_field *field)
{
    if (p->at == p->end || *p->at != '*')
        return true;
    p->at++;
    const char *count_text = take_word(p);
    uint64_t count;
    if (!script_number(count_text, strlen(count_text), 1 << 24, &count))
        return fail(p, "a number is expected behind *");
    char *out = arena_alloc(&p->script->arena, field->len * count + 1);
    for (uint64_t i = 0; i < count; i++)
        memcpy(out + i * field->len, field->value, field->len);
    field->len *= count;
    out[field->len] = '\0';
    field->value = out;
    return true;
}

static bool take_value(struct parser *p, struct script_field *field)
{
    if (p->at < p->end && *p->at == '"') {
        p->at++;
        field->quoted = true;
        return take_quoted(p, &field->value, &field->len) && take_repeat(p, field);
    }
    const char *begin = p->at;
    while (p->at < p->end && !isspace((unsigned char)*p->at))
        p->at++;
    field->len = (size_t)(p->at - begin);
    field->value = arena_copy(&p->script->arena, begin, field->len);
    if (strcmp(field->value, "*") == 0)
        field->kind = SCRIPT_ANYTHING;
    if (*field->value == '$' && isalpha((unsigned char)field->value[1]))
        field->kind = SCRIPT_VARIABLE;
    return true;
}

static bool take_field(struct parser *p, struct script_field *field)
{
    *field = (struct script_field){.key = ""};
    const char *equals = p->at;
    while (equals < p->end && (isalnum((unsigned char)*equals) || *equals == '-'))
        equals++;
    if (equals < p->end && *equals == '=' && equals > p->at) {
        field->key = arena_copy(&p->script->arena, p->at, (size_t)(equals - p->at));
        p->at = equals + 1;
    }
    return take_value(p, field);
}

static bool take_fields(struct parser *p, struct script_fields *fields)
{
    size_t size = fields->count;
    while (!at_end(p)) {
        if (take(p, "...")) {
            fields->open = true;
            return at_end(p) || fail(p, "nothing comes behind ...");
        }
        if (fields->count == size) {
            size_t before = size * sizeof *fields->list;
            size = size ? 2 * size : 8;
            fields->list = arena_grow(&p->script->arena, fields->list, before, size * sizeof *fields->list);
        }
        if (!take_field(p, &fields->list[fields->count++]))
            return false;
    }
    return true;
}

static bool is_mark(const struct script_field *piece, const char *mark)
{
    return !piece->quoted && !*piece->key && strcmp(piece->value, mark) == 0;
}

static bool put_hex(struct parser *p, const struct script_field *piece, uint8_t *out, size_t *len)
{
    if (piece->len % 2)
        return fail(p, "bytes are written with two digits each");
    for (size_t at = 0; at < piece->len; at += 2) {
        char hex[] = {'0', 'x', piece->value[at], piece->value[at + 1]};
        uint64_t byte;
        if (!script_number(hex, sizeof hex, 255, &byte))
            return fail(p, "bytes are written in hexadecimal, texts in quotes");
        out[(*len)++] = (uint8_t)byte;
    }
    return true;
}

/* Puts the length of what stands in brackets before it. */
static size_t put_length(uint8_t *out, size_t begin, size_t end, bool two_bytes)
{
    uint8_t prefix[4];
    size_t n = 0, len = end - begin;
    if (two_bytes) {
        prefix[n++] = (uint8_t)(len >> 8);
        prefix[n++] = (uint8_t)len;
    } else {
        do
            prefix[n++] = (uint8_t)((len & 127) | (len > 127 ? 128 : 0));
        while (len >>= 7);
    }
    memmove(out + begin + n, out + begin, end - begin);
    memcpy(out + begin, prefix, n);
    return end + n;
}

static bool put_pieces(struct parser *p, const struct script_fields *pieces, size_t *at, const char *closing,
                       uint8_t *out, size_t *len)
{
    for (; *at < pieces->count; ++*at) {
        const struct script_field *piece = &pieces->list[*at];
        if (closing && is_mark(piece, closing))
            return true;
        bool varint = is_mark(piece, "(");
        if (varint || is_mark(piece, "[")) {
            size_t begin = *len;
            ++*at;
            if (!put_pieces(p, pieces, at, varint ? ")" : "]", out, len))
                return false;
            *len = put_length(out, begin, *len, !varint);
        } else if (piece->quoted) {
            memcpy(out + *len, piece->value, piece->len);
            *len += piece->len;
        } else if (!put_hex(p, piece, out, len)) {
            return false;
        }
    }
    return !closing || fail(p, "a bracket is not closed");
}

static bool take_bytes(struct parser *p, struct script_step *step)
{
    struct script_fields pieces = {0};
    if (!take_fields(p, &pieces))
        return false;
    size_t room = 1, at = 0;
    for (size_t i = 0; i < pieces.count; i++)
        room += pieces.list[i].len + 4;
    uint8_t *out = arena_alloc(&p->script->arena, room);
    step->bytes = out;
    return put_pieces(p, &pieces, &at, NULL, out, &step->len) &&
           (step->len > 0 || fail(p, "bytes are expected"));
}

/* ---- steps --------------------------------------------------------------------------------------------------------- */

static bool take_packet(struct parser *p, struct script_step *step, enum script_verb verb)
{
    step->verb = verb;
    step->packet = take_word(p);
    if (!isupper((unsigned char)*step->packet))
        return fail(p, "a packet is expected, or what script.h names");
    return take_fields(p, &step->fields);
}

static bool take_reason(struct parser *p, struct script_step *step)
{
    const char *word = take_word(p);
    uint64_t value;
    if (!script_number(word, strlen(word), 255, &value))
        return fail(p, "a reason code is expected");
    step->number = (int64_t)value;
    return true;
}

static bool take_verb(struct script_step *step, enum script_verb verb)
{
    step->verb = verb;
    return true;
}

static bool take_send(struct parser *p, struct script_step *step)
{
    if (take(p, "open"))
        return take_verb(step, SEND_OPEN);
    if (take(p, "close"))
        return take_verb(step, SEND_CLOSE);
    if (take(p, "raw"))
        return take_verb(step, SEND_RAW) && take_bytes(p, step);
    return take_packet(p, step, SEND_PACKET);
}

static bool take_expect(struct parser *p, struct script_step *step)
{
    if (take(p, "closed"))
        return take_verb(step, EXPECT_CLOSED);
    if (take(p, "nothing"))
        return take_verb(step, EXPECT_NOTHING);
    if (take(p, "ended"))
        return take_verb(step, EXPECT_ENDED) && take_reason(p, step);
    if (take(p, "raw"))
        return take_verb(step, EXPECT_RAW) && take_bytes(p, step);
    if (take(p, "head"))
        return take_verb(step, EXPECT_HEAD) && take_bytes(p, step);
    return take_packet(p, step, EXPECT_PACKET);
}

static bool take_wait(struct parser *p, struct script_step *step)
{
    const char *word = take_word(p);
    size_t digits = strspn(word, "0123456789");
    uint64_t value;
    bool in_ms = strcmp(word + digits, "ms") == 0;
    if (!script_number(word, digits, UINT32_MAX, &value) || (!in_ms && strcmp(word + digits, "s") != 0))
        return fail(p, "a time like 1500ms or 90s is expected");
    step->number = (int64_t)(in_ms ? value : value * 1000);
    return take_verb(step, WAIT);
}

static bool take_settle(struct parser *p, struct script_step *step)
{
    step->newest = take(p, "newest");
    if (!step->newest && !take(p, "oldest"))
        return fail(p, "oldest or newest is expected");
    return take_verb(step, SETTLE) && take_reason(p, step);
}

static bool take_actor(struct parser *p, struct script_step *step)
{
    step->who = *p->at;
    const char *mark = p->at + 1;
    bool any_order = p->end - mark >= 2 && mark[0] == '<' && mark[1] == '~';
    if (mark < p->end && (*mark == '>' || *mark == '<')) {
        p->at = mark + 1 + any_order;
        if (any_order)
            return take_packet(p, step, EXPECT_ANY_ORDER);
        return *mark == '>' ? take_send(p, step) : take_expect(p, step);
    }
    p->at = mark;
    if (take(p, "connects"))
        return take_verb(step, CONNECTS) && take_fields(p, &step->fields);
    if (take(p, "resumes"))
        return take_verb(step, RESUMES) && take_fields(p, &step->fields);
    if (take(p, "subscribes"))
        return take_verb(step, SUBSCRIBES) && take_fields(p, &step->fields);
    return fail(p, "connects, resumes, subscribes, > or < is expected behind a connection's letter");
}

static bool take_step(struct parser *p, unsigned versions)
{
    struct script_case *now = p->now;
    skip_blanks(p);
    struct script_step step = {.line = p->line, .versions = versions};
    step.text = arena_copy(&p->script->arena, p->at, (size_t)(p->end - p->at));
    bool actor = isupper((unsigned char)*p->at) && p->end - p->at > 1 && strchr(" ><", p->at[1]);
    bool fine = actor                 ? take_actor(p, &step)
                : take(p, "wait")     ? take_wait(p, &step)
                : take(p, "settle")   ? take_settle(p, &step)
                : take(p, "shutdown") ? take_verb(&step, SHUTDOWN)
                : take(p, "restart")  ? take_verb(&step, RESTART)
                                      : fail(p, "this is no step");
    if (!fine)
        return false;
    if (!at_end(p))
        return fail(p, "something is left at the end of the line");
    if (now->count == p->steps_size) {
        size_t before = p->steps_size * sizeof *now->steps;
        p->steps_size = p->steps_size ? 2 * p->steps_size : 16;
        now->steps = arena_grow(&p->script->arena, now->steps, before, p->steps_size * sizeof *now->steps);
    }
    now->steps[now->count++] = step;
    return true;
}

/* ---- cases --------------------------------------------------------------------------------------------------------- */

static bool begin_case(struct parser *p)
{
    struct script *script = p->script;
    skip_blanks(p);
    const char *begin = p->at, *end = p->end;
    while (end > begin && isspace((unsigned char)end[-1]))
        end--;
    if (begin == end)
        return fail(p, "a case needs a name");
    if (script->count == p->cases_size) {
        size_t before = p->cases_size * sizeof *script->cases;
        p->cases_size = p->cases_size ? 2 * p->cases_size : 16;
        script->cases =
            arena_grow(&script->arena, script->cases, before, p->cases_size * sizeof *script->cases);
    }
    p->now = &script->cases[script->count++];
    *p->now = (struct script_case){.name = arena_copy(&script->arena, begin, (size_t)(end - begin)),
                                   .line = p->line};
    p->steps_size = 0;
    return true;
}

static unsigned take_versions(struct parser *p)
{
    return take(p, "3.1.1") ? SCRIPT_311
           : take(p, "3.1") ? SCRIPT_31
           : take(p, "3.x") ? SCRIPT_31 | SCRIPT_311
           : take(p, "5.0") ? SCRIPT_5
                            : 0;
}

/* "5.0 MQTT-3.1.0-1 …" or "3.1" alone stands at the head of a case; "5.0 A< …" is a step. */
static bool take_version_line(struct parser *p, unsigned versions)
{
    while (!at_end(p))
        if (strncmp(take_word(p), "MQTT-", 5) != 0)
            return fail(p, "a statement's number like MQTT-3.1.0-1 is expected");
    if (p->now->count)
        return fail(p, "what a case shows stands before its steps");
    p->now->versions |= versions;
    return true;
}

static bool take_line(struct parser *p)
{
    if (at_end(p))
        return true;
    if (take(p, "case"))
        return begin_case(p);
    if (!p->now)
        return fail(p, "a script begins with a case");
    if (take(p, "with"))
        return take_fields(p, &p->now->options);
    unsigned versions = take_versions(p);
    if (versions && (at_end(p) || strncmp(p->at, "MQTT-", size_min(5, (size_t)(p->end - p->at))) == 0))
        return take_version_line(p, versions);
    if (!p->now->versions)
        return fail(p, "a case says what it is played as before its steps");
    return take_step(p, versions ? versions : SCRIPT_31 | SCRIPT_311 | SCRIPT_5);
}

int script_parse(struct script *ret, const char *name, const char *text, size_t len, char **why)
{
    *ret = (struct script){.name = name};
    arena_init(&ret->arena);
    struct parser p = {.script = ret};
    for (const char *at = text, *end = text + len; at < end && !p.why;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        p.line++;
        p.at = at;
        p.end = newline ? newline : end;
        (void)take_line(&p);
        at = newline ? newline + 1 : end;
    }
    for (size_t i = 0; i < ret->count && !p.why; i++)
        if (!ret->cases[i].count) {
            p.line = ret->cases[i].line;
            p.why = "a case without steps";
        }
    if (!p.why)
        return 0;
    *why = str_printf("%s:%d: %s", name, p.line, p.why);
    script_done(ret);
    return -EINVAL;
}

void script_done(struct script *script)
{
    arena_done(&script->arena);
    *script = (struct script){0};
}
