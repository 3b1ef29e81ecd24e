/* The buffer always holds a whole update, so that sending the reported state needs no second one:
 *
 *      {"clientToken":"89abcdef-00000001","state":{"reported":   {…}   }}
 *      └──────────────── HEAD ──────────────────────────────┘  len   TAIL
 *
 * Only the token changes from one sending to the next, and it has a fixed length.
 */
#include "ghn/shadow.h"

#include <string.h>

static const char head[] = "{\"clientToken\":\"00000000-00000000\",\"state\":{\"reported\":";
static const char tail[] = "}}";

enum {
    HEAD_LEN = sizeof head - 1,
    TAIL_LEN = sizeof tail - 1,
    TOKEN_AT = 16, /* behind {"clientToken":" */
    TOKEN_LEN = 17,
    CODE_NOT_FOUND = 404,
    CODE_TOO_MANY_REQUESTS = 429,
    CODE_INTERNAL = 500
};

_Static_assert(HEAD_LEN + TAIL_LEN <= GHN_SHADOW_ENVELOPE, "the envelope holds head and tail");

const char *ghn_shadow_suffix(ghn_shadow_topic topic)
{
    switch (topic) {
    case GHN_SHADOW_DELTA: return "update/delta";
    case GHN_SHADOW_ACCEPTED: return "update/accepted";
    case GHN_SHADOW_REJECTED: return "update/rejected";
    case GHN_SHADOW_GET_ACCEPTED: return "get/accepted";
    case GHN_SHADOW_GET_REJECTED: return "get/rejected";
    case GHN_SHADOW_TOPICS: break;
    }
    return "";
}

void ghn_shadow_init(ghn_shadow *shadow, char *buffer, size_t size, ghn_on_desired on_desired, void *ctx)
{
    *shadow = (ghn_shadow){.buffer = buffer, .size = size, .on_desired = on_desired, .ctx = ctx};
}

void ghn_shadow_connected(ghn_shadow *shadow, uint32_t requester)
{
    shadow->requester = requester;
    shadow->get_due = true;
    shadow->get_asked = false;
    shadow->report_due = true;
}

/* ---- what is ------------------------------------------------------------------------------------------------------- */

int ghn_shadow_report(ghn_shadow *shadow, const char *json, size_t len)
{
    ghn_json state;
    if (ghn_json_parse(&state, json, len) < 0 || state.kind != GHN_JSON_OBJECT)
        return GHN_INVALID;
    if (shadow->size < GHN_SHADOW_ENVELOPE || state.len > shadow->size - GHN_SHADOW_ENVELOPE)
        return GHN_TOO_LONG;
    char *reported = shadow->buffer + HEAD_LEN;
    if (state.len == shadow->len && memcmp(reported, state.text, state.len) == 0)
        return 0;
    memcpy(shadow->buffer, head, HEAD_LEN);
    memcpy(reported, state.text, state.len);
    memcpy(reported + state.len, tail, TAIL_LEN);
    shadow->len = state.len;
    shadow->report_due = true;
    return 0;
}

static void put_hex8(char *to, uint32_t value)
{
    static const char hex[] = "0123456789abcdef";
    for (int i = 7; i >= 0; i--) {
        to[i] = hex[value & 15];
        value >>= 4;
    }
}

int ghn_shadow_due(ghn_shadow *shadow, const char **payload, size_t *payload_len, bool *is_report)
{
    if (shadow->get_due) {
        *payload = "";
        *payload_len = 0;
        *is_report = false;
        return 1;
    }
    if (!shadow->report_due || !shadow->len)
        return 0;
    put_hex8(shadow->buffer + TOKEN_AT, shadow->requester);
    put_hex8(shadow->buffer + TOKEN_AT + 9, shadow->requests + 1);
    *payload = shadow->buffer;
    *payload_len = HEAD_LEN + shadow->len + TAIL_LEN;
    *is_report = true;
    return 1;
}

void ghn_shadow_sent(ghn_shadow *shadow, bool is_report)
{
    if (is_report) {
        shadow->report_due = false;
        shadow->requests++;
    } else {
        shadow->get_due = false;
        shadow->get_asked = true;
    }
}

/* ---- what is wanted ------------------------------------------------------------------------------------------------ */

static bool is_ours(const ghn_shadow *shadow, const ghn_json *document)
{
    ghn_json token;
    char text[TOKEN_LEN + 1], ours[8];
    put_hex8(ours, shadow->requester);
    return ghn_json_member(document, "clientToken", &token) &&
           ghn_json_string(&token, text, sizeof text) == 0 && strlen(text) == TOKEN_LEN &&
           memcmp(text, ours, sizeof ours) == 0;
}

/* A number of the document that is not negative; -1 when there is none. */
static int64_t number(const ghn_json *document, const char *name)
{
    ghn_json value;
    int64_t n;
    if (!ghn_json_member(document, name, &value) || ghn_json_int(&value, &n) < 0 || n < 0)
        return -1;
    return n;
}

static void learn_time(ghn_shadow *shadow, const ghn_json *document)
{
    int64_t timestamp = number(document, "timestamp");
    if (timestamp > 0)
        shadow->timestamp = timestamp;
}

static void offer(ghn_shadow *shadow, const ghn_json *wanted)
{
    ghn_json name, value;
    char key[GHN_SHADOW_KEY_MAX + 1];
    size_t at = 0;
    while (ghn_json_next(wanted, &at, &name, &value))
        if (ghn_json_string(&name, key, sizeof key) == 0) /* a longer one is no key of ours */
            (void)shadow->on_desired(shadow->ctx, key, &value);
}

static ghn_shadow_news take_delta(ghn_shadow *shadow, const ghn_json *document, int64_t *detail)
{
    ghn_json wanted;
    int64_t version = number(document, "version");
    if (version < 0 || !ghn_json_member(document, "state", &wanted) || wanted.kind != GHN_JSON_OBJECT)
        return GHN_SHADOW_NOTHING;
    *detail = version;
    if (version <= shadow->version)
        return GHN_SHADOW_OLD;
    shadow->version = version;
    offer(shadow, &wanted);
    if (!is_ours(shadow, document))
        shadow->report_due = true;
    return GHN_SHADOW_DESIRED;
}

static ghn_shadow_news take_document(ghn_shadow *shadow, const ghn_json *document, int64_t *detail)
{
    ghn_json state, wanted;
    int64_t version = number(document, "version");
    if (!shadow->get_asked || version < 0)
        return GHN_SHADOW_NOTHING;
    shadow->get_asked = false;
    shadow->version = version;
    learn_time(shadow, document);
    *detail = version;
    if (!ghn_json_member(document, "state", &state) || !ghn_json_member(&state, "delta", &wanted))
        return GHN_SHADOW_NOTHING;
    offer(shadow, &wanted);
    shadow->report_due = true;
    return GHN_SHADOW_DESIRED;
}

static ghn_shadow_news take_accepted(ghn_shadow *shadow, const ghn_json *document, int64_t *detail)
{
    if (!is_ours(shadow, document))
        return GHN_SHADOW_NOTHING;
    learn_time(shadow, document);
    *detail = number(document, "version");
    return GHN_SHADOW_TOLD;
}

static ghn_shadow_news take_rejected(ghn_shadow *shadow, const ghn_json *document, int64_t *detail)
{
    if (!is_ours(shadow, document))
        return GHN_SHADOW_NOTHING;
    *detail = number(document, "code");
    if (*detail != CODE_TOO_MANY_REQUESTS && *detail < CODE_INTERNAL)
        return GHN_SHADOW_REFUSED;
    shadow->report_due = true;
    return GHN_SHADOW_REFUSED_FOR_NOW;
}

/* There is no shadow (yet, or any more): versions begin anew. */
static ghn_shadow_news take_get_rejected(ghn_shadow *shadow, const ghn_json *document)
{
    if (shadow->get_asked && number(document, "code") == CODE_NOT_FOUND) {
        shadow->get_asked = false;
        shadow->version = 0;
    }
    return GHN_SHADOW_NOTHING;
}

ghn_shadow_news ghn_shadow_take(ghn_shadow *shadow, ghn_shadow_topic topic, const char *payload, size_t len,
                                int64_t *detail)
{
    ghn_json document;
    if (ghn_json_parse(&document, payload, len) < 0)
        return GHN_SHADOW_NOTHING;
    switch (topic) {
    case GHN_SHADOW_DELTA: return take_delta(shadow, &document, detail);
    case GHN_SHADOW_ACCEPTED: return take_accepted(shadow, &document, detail);
    case GHN_SHADOW_REJECTED: return take_rejected(shadow, &document, detail);
    case GHN_SHADOW_GET_ACCEPTED: return take_document(shadow, &document, detail);
    case GHN_SHADOW_GET_REJECTED: return take_get_rejected(shadow, &document);
    case GHN_SHADOW_TOPICS: break;
    }
    return GHN_SHADOW_NOTHING;
}
