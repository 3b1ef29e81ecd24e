#include "wire/notation.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bytes --------------------------------------------------------------------------------------------------------- */

struct scribe {
    const char *at, *whole;
    uint8_t *out, *end;
};

static void check(const struct scribe *s, bool holds, const char *what)
{
    if (holds)
        return;
    (void)fprintf(stderr, "notation: %s at \"%.20s\" of \"%.400s\"\n", what, s->at, s->whole);
    abort();
}

static void put(struct scribe *s, uint8_t byte, size_t times)
{
    check(s, (size_t)(s->end - s->out) >= times, "no room");
    memset(s->out, byte, times);
    s->out += times;
}

static unsigned hex_digit(const struct scribe *s, char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = c ? strchr(digits, c) : NULL;
    check(s, found != NULL, "not a lower-case hex digit");
    return (unsigned)(found - digits);
}

static void take_byte(struct scribe *s)
{
    unsigned high = hex_digit(s, s->at[0]);
    uint8_t byte = (uint8_t)(high << 4 | hex_digit(s, s->at[1]));
    s->at += 2;
    size_t times = 1;
    if (*s->at == '*') {
        char *behind;
        times = strtoul(s->at + 1, &behind, 10);
        s->at = behind;
    }
    put(s, byte, times);
}

static size_t length_prefix(uint8_t out[4], char bracket, size_t len)
{
    size_t n = 0;
    if (bracket == '[') {
        out[n++] = (uint8_t)(len >> 8);
        out[n++] = (uint8_t)len;
        return n;
    }
    for (; len >= 128; len >>= 7)
        out[n++] = (uint8_t)(len | 0x80);
    out[n++] = (uint8_t)len;
    return n;
}

static void take_sequence(struct scribe *s, char close);

static void take_bracket(struct scribe *s)
{
    char open = *s->at++;
    uint8_t *begin = s->out, prefix[4];
    take_sequence(s, open == '[' ? ']' : '}');
    size_t len = (size_t)(s->out - begin), n = length_prefix(prefix, open, len);
    put(s, 0, n);
    memmove(begin + n, begin, len);
    memcpy(begin, prefix, n);
}

static void take_sequence(struct scribe *s, char close)
{
    while (*s->at != close) {
        check(s, *s->at != '\0', "a bracket is not closed");
        if (*s->at == ' ') {
            s->at++;
        } else if (*s->at == '\'') {
            for (s->at++; *s->at != '\''; s->at++) {
                check(s, *s->at != '\0', "a quote is not closed");
                put(s, (uint8_t)*s->at, 1);
            }
            s->at++;
        } else if (*s->at == '[' || *s->at == '{') {
            take_bracket(s);
        } else {
            take_byte(s);
        }
    }
    if (close)
        s->at++;
}

size_t notation_bytes(const char *notation, uint8_t *out, size_t size)
{
    struct scribe s = {.at = notation, .whole = notation, .out = out, .end = out + size};
    take_sequence(&s, '\0');
    return (size_t)(s.out - out);
}

/* ---- lines --------------------------------------------------------------------------------------------------------- */

struct line {
    char *at, *end;
};

__attribute__((format(printf, 2, 3))) static void say(struct line *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->at, (size_t)(l->end - l->at), format, args);
    va_end(args);
    if (n < 0 || n >= l->end - l->at)
        abort();
    l->at += n;
}

static void say_text(struct line *l, const void *text, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = text;
    if (l->end - l->at <= (ptrdiff_t)(3 * len))
        abort();
    for (size_t i = 0; i < len; i++) {
        bool plain = bytes[i] > ' ' && bytes[i] < 0x7F && bytes[i] != '\\';
        *l->at++ = plain ? (char)bytes[i] : '\\';
        if (plain)
            continue;
        *l->at++ = digits[bytes[i] >> 4];
        *l->at++ = digits[bytes[i] & 15];
    }
    *l->at = '\0';
}

static void say_pair(struct line *l, const char *name, struct wire_text text)
{
    say(l, " %s=", name);
    say_text(l, text.text, text.len);
}

/* By hand and not from the codec's own table, so that a wrong offset there shows. */
static void say_numbers(struct line *l, const struct wire_props *p)
{
    const struct {
        enum wire_prop prop;
        const char *name;
        uint32_t value;
    } numbers[] = {
        {WIRE_PAYLOAD_FORMAT, "payload-format", p->payload_format},
        {WIRE_MESSAGE_EXPIRY, "message-expiry", p->message_expiry},
        {WIRE_SESSION_EXPIRY, "session-expiry", p->session_expiry},
        {WIRE_SERVER_KEEPALIVE, "server-keepalive", p->server_keepalive},
        {WIRE_REQUEST_PROBLEM, "request-problem", p->request_problem},
        {WIRE_WILL_DELAY, "will-delay", p->will_delay},
        {WIRE_REQUEST_RESPONSE, "request-response", p->request_response},
        {WIRE_RECEIVE_MAX, "receive-max", p->receive_max},
        {WIRE_ALIAS_MAX, "alias-max", p->alias_max},
        {WIRE_ALIAS, "alias", p->alias},
        {WIRE_QOS_MAX, "qos-max", p->qos_max},
        {WIRE_RETAIN_AVAILABLE, "retain", p->retain_available},
        {WIRE_PACKET_MAX, "packet-max", p->packet_max},
        {WIRE_WILDCARDS_AVAILABLE, "wildcards", p->wildcards_available},
        {WIRE_SUBSCRIPTION_IDS_AVAILABLE, "subscription-ids", p->subscription_ids_available},
        {WIRE_SHARED_AVAILABLE, "shared", p->shared_available},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (wire_has(p, numbers[i].prop))
            say(l, " %s=%u", numbers[i].name, (unsigned)numbers[i].value);
}

static void say_texts(struct line *l, const struct wire_props *p)
{
    const struct {
        enum wire_prop prop;
        const char *name;
        struct wire_text value;
    } texts[] = {
        {WIRE_CONTENT_TYPE, "content-type", p->content_type},
        {WIRE_RESPONSE_TOPIC, "response-topic", p->response_topic},
        {WIRE_CORRELATION, "correlation", p->correlation},
        {WIRE_ASSIGNED_ID, "assigned-id", p->assigned_id},
        {WIRE_AUTH_METHOD, "auth-method", p->auth_method},
        {WIRE_AUTH_DATA, "auth-data", p->auth_data},
        {WIRE_RESPONSE_INFO, "response-info", p->response_info},
        {WIRE_SERVER_REFERENCE, "server-reference", p->server_reference},
        {WIRE_REASON_STRING, "reason-string", p->reason_string},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (wire_has(p, texts[i].prop))
            say_pair(l, texts[i].name, texts[i].value);
}

static void say_props(struct line *l, const struct wire_props *p)
{
    say_numbers(l, p);
    say_texts(l, p);
    uint32_t id, at = 0;
    bool first = true;
    for (; wire_subscription_id_next(p, &at, &id); first = false) {
        if (first && (!wire_has(p, WIRE_SUBSCRIPTION_ID) || id != p->subscription_id))
            abort();
        say(l, " subscription-id=%u", (unsigned)id);
    }
    struct wire_text key, value;
    for (at = 0; wire_user_next(p, &at, &key, &value);) {
        say(l, " user:");
        say_text(l, key.text, key.len);
        say(l, "=");
        say_text(l, value.text, value.len);
    }
}

static void say_connect(struct line *l, const struct wire_packet *p)
{
    say(l, " v%d%s keepalive=%u", p->version, p->clean_start ? " clean" : "", p->keepalive_s);
    say_pair(l, "id", p->client_id);
    if (p->has_username)
        say_pair(l, "username", p->username);
    if (p->has_password)
        say_pair(l, "password", p->password);
    say_props(l, &p->props);
    if (!p->has_will)
        return;
    say(l, " will q%u%s", p->will.qos, p->will.retain ? " retain" : "");
    say_pair(l, "topic", p->will.topic);
    say_pair(l, "payload", p->will.payload);
    say_props(l, &p->will.props);
}

static void say_publish(struct line *l, const struct wire_packet *p)
{
    say(l, " ");
    say_text(l, p->topic.text, p->topic.len);
    say(l, " q%u%s%s", p->qos, p->dup ? " dup" : "", p->retain ? " retain" : "");
    if (p->packet_id)
        say(l, " id=%u", p->packet_id);
    say_props(l, &p->props);
    say(l, " = ");
    say_text(l, p->payload, p->payload_len);
}

static void say_filters(struct line *l, const struct wire_packet *p)
{
    say(l, " id=%u", p->packet_id);
    say_props(l, &p->props);
    struct wire_filter f;
    for (uint32_t at = 0; wire_filter_next(p, &at, &f);) {
        say(l, "; ");
        say_text(l, f.filter.text, f.filter.len);
        if (p->type == WIRE_SUBSCRIBE)
            say(l, " q%u%s%s", f.qos, f.no_local ? " no-local" : "",
                f.retain_as_published ? " as-published" : "");
        if (f.retain_handling)
            say(l, " handling=%u", f.retain_handling);
    }
}

static void say_codes(struct line *l, const struct wire_packet *p)
{
    say(l, " id=%u", p->packet_id);
    for (uint32_t i = 0; i < p->list_len; i++)
        say(l, " %02x", p->list[i]);
    say_props(l, &p->props);
}

static void say_reason(struct line *l, const struct wire_packet *p)
{
    if (p->packet_id)
        say(l, " id=%u", p->packet_id);
    say(l, " %02x%s", p->reason, p->session_present ? " present" : "");
    say_props(l, &p->props);
}

const char *notation_line(const struct wire_packet *p, char *out, size_t size)
{
    static const char *const names[] = {
        "?",         "CONNECT", "CONNACK",     "PUBLISH",  "PUBACK",  "PUBREC",   "PUBREL",     "PUBCOMP",
        "SUBSCRIBE", "SUBACK",  "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"};
    struct line l = {out, out + size};
    say(&l, "%s", names[p->type]);
    switch (p->type) {
    case WIRE_CONNECT: say_connect(&l, p); break;
    case WIRE_PUBLISH: say_publish(&l, p); break;
    case WIRE_SUBSCRIBE:
    case WIRE_UNSUBSCRIBE: say_filters(&l, p); break;
    case WIRE_SUBACK:
    case WIRE_UNSUBACK: say_codes(&l, p); break;
    case WIRE_CONNACK:
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBREL:
    case WIRE_PUBCOMP:
    case WIRE_DISCONNECT:
    case WIRE_AUTH: say_reason(&l, p); break;
    case WIRE_PINGREQ:
    case WIRE_PINGRESP: break;
    }
    return out;
}

/* ---- and back ------------------------------------------------------------------------------------------------------ */

/* What a decoded packet has in its bytes only is given to the encoder: user properties and Subscription Identifiers. Room
 * for them is never more than the properties themselves took. */
struct rest {
    uint8_t *extra;
    uint32_t *ids;
};

static struct rest give(struct wire_props *p)
{
    struct rest rest = {malloc(p->len + 1u), malloc((p->len + 1u) * sizeof *rest.ids)};
    if (!rest.extra || !rest.ids)
        abort();
    struct wire_text key, value;
    size_t len = 0;
    uint32_t at = 0, id;
    while (wire_user_next(p, &at, &key, &value))
        if (!(len = wire_put_user(rest.extra, len, p->len, key, value)))
            abort();
    p->extra = rest.extra;
    p->extra_len = (uint32_t)len;
    for (at = 0; wire_subscription_id_next(p, &at, &id);)
        rest.ids[p->id_count++] = id;
    p->ids = rest.ids;
    return rest;
}

static void done(struct rest *rest)
{
    free(rest->extra);
    free(rest->ids);
}

size_t notation_encode(uint8_t *out, size_t size, const struct wire_packet *packet)
{
    struct wire_packet again = *packet;
    struct rest rest = give(&again.props), will = {0};
    if (again.has_will)
        will = give(&again.will.props);
    size_t len = wire_encode(out, size, &again);
    done(&rest);
    done(&will);
    return len;
}
