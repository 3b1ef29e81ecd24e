#include "wire/props.h"

#include <string.h>

enum kind { NONE, FLAG, U16, U32, VARINT, TEXT, BINARY, PAIR };

struct row {
    uint8_t kind;
    uint16_t places; /* bit per packet type, bit 0 the will */
    uint16_t offset; /* in struct wire_props */
};

#define IN(type) (1u << (type))
#define WILL     (1u << PROPS_WILL)
#define ACKS                                                                                                 \
    (IN(WIRE_PUBACK) | IN(WIRE_PUBREC) | IN(WIRE_PUBREL) | IN(WIRE_PUBCOMP) | IN(WIRE_SUBACK) |              \
     IN(WIRE_UNSUBACK))
#define ANY                                                                                                  \
    (WILL | ACKS | IN(WIRE_CONNECT) | IN(WIRE_CONNACK) | IN(WIRE_PUBLISH) | IN(WIRE_SUBSCRIBE) |             \
     IN(WIRE_UNSUBSCRIBE) | IN(WIRE_DISCONNECT) | IN(WIRE_AUTH))
#define AT(member) (uint16_t) offsetof(struct wire_props, member)

/* MQTT 5, table 2-4, by identifier. */
static const struct row rows[] = {
    [WIRE_PAYLOAD_FORMAT] = {FLAG, IN(WIRE_PUBLISH) | WILL, AT(payload_format)},
    [WIRE_MESSAGE_EXPIRY] = {U32, IN(WIRE_PUBLISH) | WILL, AT(message_expiry)},
    [WIRE_CONTENT_TYPE] = {TEXT, IN(WIRE_PUBLISH) | WILL, AT(content_type)},
    [WIRE_RESPONSE_TOPIC] = {TEXT, IN(WIRE_PUBLISH) | WILL, AT(response_topic)},
    [WIRE_CORRELATION] = {BINARY, IN(WIRE_PUBLISH) | WILL, AT(correlation)},
    [WIRE_SUBSCRIPTION_ID] = {VARINT, IN(WIRE_PUBLISH) | IN(WIRE_SUBSCRIBE), AT(subscription_id)},
    [WIRE_SESSION_EXPIRY] = {U32, IN(WIRE_CONNECT) | IN(WIRE_CONNACK) | IN(WIRE_DISCONNECT),
                             AT(session_expiry)},
    [WIRE_ASSIGNED_ID] = {TEXT, IN(WIRE_CONNACK), AT(assigned_id)},
    [WIRE_SERVER_KEEPALIVE] = {U16, IN(WIRE_CONNACK), AT(server_keepalive)},
    [WIRE_AUTH_METHOD] = {TEXT, IN(WIRE_CONNECT) | IN(WIRE_CONNACK) | IN(WIRE_AUTH), AT(auth_method)},
    [WIRE_AUTH_DATA] = {BINARY, IN(WIRE_CONNECT) | IN(WIRE_CONNACK) | IN(WIRE_AUTH), AT(auth_data)},
    [WIRE_REQUEST_PROBLEM] = {FLAG, IN(WIRE_CONNECT), AT(request_problem)},
    [WIRE_WILL_DELAY] = {U32, WILL, AT(will_delay)},
    [WIRE_REQUEST_RESPONSE] = {FLAG, IN(WIRE_CONNECT), AT(request_response)},
    [WIRE_RESPONSE_INFO] = {TEXT, IN(WIRE_CONNACK), AT(response_info)},
    [WIRE_SERVER_REFERENCE] = {TEXT, IN(WIRE_CONNACK) | IN(WIRE_DISCONNECT), AT(server_reference)},
    [WIRE_REASON_STRING] = {TEXT, ACKS | IN(WIRE_CONNACK) | IN(WIRE_DISCONNECT) | IN(WIRE_AUTH),
                            AT(reason_string)},
    [WIRE_RECEIVE_MAX] = {U16, IN(WIRE_CONNECT) | IN(WIRE_CONNACK), AT(receive_max)},
    [WIRE_ALIAS_MAX] = {U16, IN(WIRE_CONNECT) | IN(WIRE_CONNACK), AT(alias_max)},
    [WIRE_ALIAS] = {U16, IN(WIRE_PUBLISH), AT(alias)},
    [WIRE_QOS_MAX] = {FLAG, IN(WIRE_CONNACK), AT(qos_max)},
    [WIRE_RETAIN_AVAILABLE] = {FLAG, IN(WIRE_CONNACK), AT(retain_available)},
    [WIRE_USER_PROPERTY] = {PAIR, ANY, 0},
    [WIRE_PACKET_MAX] = {U32, IN(WIRE_CONNECT) | IN(WIRE_CONNACK), AT(packet_max)},
    [WIRE_WILDCARDS_AVAILABLE] = {FLAG, IN(WIRE_CONNACK), AT(wildcards_available)},
    [WIRE_SUBSCRIPTION_IDS_AVAILABLE] = {FLAG, IN(WIRE_CONNACK), AT(subscription_ids_available)},
    [WIRE_SHARED_AVAILABLE] = {FLAG, IN(WIRE_CONNACK), AT(shared_available)},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

int varint_read(const uint8_t *p, size_t left, uint32_t *value)
{
    uint32_t result = 0;
    for (int i = 0; i < 4; i++) {
        if ((size_t)i >= left)
            return 0;
        result |= (uint32_t)(p[i] & 0x7F) << (7 * i);
        if (!(p[i] & 0x80)) {
            *value = result;
            return i + 1;
        }
    }
    return -1;
}

size_t varint_size(uint32_t value)
{
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

uint8_t *varint_write(uint8_t *out, uint32_t value)
{
    for (; value >= 128; value >>= 7)
        *out++ = (uint8_t)(value | 0x80);
    *out++ = (uint8_t)value;
    return out;
}

/* A length of two bytes and what follows; the new position, NULL when it is not all there. */
static const uint8_t *take_text(const uint8_t *p, const uint8_t *end, struct wire_text *text)
{
    if (end - p < 2)
        return NULL;
    uint16_t len = (uint16_t)(p[0] << 8 | p[1]);
    if (end - p - 2 < len)
        return NULL;
    *text = (struct wire_text){(const char *)p + 2, len};
    return p + 2 + len;
}

/* The end of a value, NULL when it is not all there. */
static const uint8_t *skip_value(const uint8_t *p, const uint8_t *end, enum kind kind)
{
    struct wire_text ignored;
    uint32_t number;
    int n;
    switch (kind) {
    case FLAG: return end - p < 1 ? NULL : p + 1;
    case U16: return end - p < 2 ? NULL : p + 2;
    case U32: return end - p < 4 ? NULL : p + 4;
    case VARINT:
        n = varint_read(p, (size_t)(end - p), &number);
        return n <= 0 || (size_t)n != varint_size(number) ? NULL : p + n; /* [MQTT-1.5.5-1] */
    case TEXT:
    case BINARY: return take_text(p, end, &ignored);
    case PAIR: return (p = take_text(p, end, &ignored)) ? take_text(p, end, &ignored) : NULL;
    case NONE: break;
    }
    return NULL;
}

static bool is_utf8(const uint8_t *p, const uint8_t *end)
{
    struct wire_text text = {0};
    (void)take_text(p, end, &text);
    return wire_utf8_is_valid(text.text, text.len);
}

/* Puts a value that is all there where it belongs; false when it is not well-formed. */
static bool store_value(struct wire_props *props, const struct row *row, const uint8_t *p, const uint8_t *end)
{
    char *into = (char *)props + row->offset;
    struct wire_text text;
    uint32_t number = 0;
    uint16_t small;
    switch ((enum kind)row->kind) {
    case FLAG: *(uint8_t *)into = p[0]; return true;
    case U16:
        small = (uint16_t)(p[0] << 8 | p[1]);
        memcpy(into, &small, sizeof small);
        return true;
    case U32:
        number = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        memcpy(into, &number, sizeof number);
        return true;
    case VARINT: /* of several the first is kept, and 0, which check_value() refuses */
        (void)varint_read(p, (size_t)(end - p), &number);
        if (!number || !wire_has(props, WIRE_SUBSCRIPTION_ID))
            props->subscription_id = number;
        return true;
    case TEXT:
    case BINARY:
        (void)take_text(p, end, &text);
        memcpy(into, &text, sizeof text);
        return row->kind == BINARY || wire_utf8_is_valid(text.text, text.len);
    case PAIR: /* user properties stay where they are: wire_user_next() */
        return is_utf8(p, end) && is_utf8(skip_value(p, end, TEXT), end);
    case NONE: break;
    }
    return false;
}

/* Values that the standard calls a protocol error. */
static uint8_t check_value(unsigned id, const struct wire_props *props, const char **why)
{
    if (rows[id].kind == FLAG && *((const uint8_t *)props + rows[id].offset) > 1) {
        *why = "a property that is 0 or 1 has another value";
        return WIRE_PROTOCOL_ERROR;
    }
    bool zero = (id == WIRE_RECEIVE_MAX && !props->receive_max) ||
                (id == WIRE_PACKET_MAX && !props->packet_max) ||
                (id == WIRE_SUBSCRIPTION_ID && !props->subscription_id);
    if (zero) {
        *why = "Receive Maximum, Maximum Packet Size or Subscription Identifier is 0";
        return WIRE_PROTOCOL_ERROR;
    }
    if (id == WIRE_ALIAS && !props->alias) {
        *why = "Topic Alias is 0"; /* [MQTT-3.3.2-8] */
        return WIRE_ALIAS_INVALID;
    }
    if (id == WIRE_RESPONSE_TOPIC &&
        !wire_topic_is_valid(props->response_topic.text, props->response_topic.len)) {
        *why = "Response Topic has a wildcard or is empty"; /* [MQTT-3.3.2-14] */
        return WIRE_PROTOCOL_ERROR;
    }
    return 0;
}

/* May this property be here? 0 or a reason. */
static uint8_t check_place(unsigned id, const struct wire_props *props, unsigned place, enum wire_side side,
                           const char **why)
{
    if (id >= ROWS || !rows[id].kind) {
        *why = "an unknown property";
        return WIRE_MALFORMED;
    }
    if (!(rows[id].places & IN(place))) {
        *why = "a property that does not belong in this packet"; /* MQTT 5, 2.2.2.2 */
        return WIRE_MALFORMED;
    }
    bool many = id == WIRE_USER_PROPERTY || (id == WIRE_SUBSCRIPTION_ID && place == WIRE_PUBLISH);
    if (!many && wire_has(props, (enum wire_prop)id)) {
        *why = "a property twice";
        return WIRE_PROTOCOL_ERROR;
    }
    if (id == WIRE_SUBSCRIPTION_ID && place == WIRE_PUBLISH && side == WIRE_FROM_CLIENT) {
        *why = "PUBLISH of a client with a Subscription Identifier"; /* [MQTT-3.3.4-6] */
        return WIRE_PROTOCOL_ERROR;
    }
    if (id == WIRE_SESSION_EXPIRY && place == WIRE_DISCONNECT && side == WIRE_FROM_SERVER) {
        *why = "DISCONNECT of a server with Session Expiry Interval"; /* [MQTT-3.14.2-2] */
        return WIRE_PROTOCOL_ERROR;
    }
    return 0;
}

uint8_t props_decode(struct wire_props *props, const uint8_t *bytes, uint32_t len, unsigned place,
                     enum wire_side side, const char **why)
{
    props->bytes = bytes;
    props->len = len;
    for (const uint8_t *p = bytes, *end = bytes + len; p < end;) {
        unsigned id = *p++;
        uint8_t reason = check_place(id, props, place, side, why);
        if (reason)
            return reason;
        const uint8_t *next = skip_value(p, end, rows[id].kind);
        if (!next || !store_value(props, &rows[id], p, next)) {
            *why = "a property is cut off or not well-formed";
            return WIRE_MALFORMED;
        }
        wire_set(props, (enum wire_prop)id);
        if ((reason = check_value(id, props, why)))
            return reason;
        p = next;
    }
    if (wire_has(props, WIRE_AUTH_DATA) && !wire_has(props, WIRE_AUTH_METHOD)) {
        *why = "Authentication Data without Authentication Method";
        return WIRE_PROTOCOL_ERROR;
    }
    return 0;
}

void props_clear(struct wire_props *props)
{
    props->present = 0;
    props->bytes = props->extra = NULL;
    props->ids = NULL;
    props->len = props->extra_len = props->id_count = 0;
}

/* ---- reading on in what was decoded --------------------------------------------------------------------------------- */

/* The next property: its identifier, 0 behind the last. value: its bytes, of which there are len. */
static unsigned next_property(const struct wire_props *props, uint32_t *at, const uint8_t **value,
                              uint32_t *len)
{
    if (*at >= props->len)
        return 0;
    const uint8_t *begin = props->bytes + *at, *end = props->bytes + props->len;
    const uint8_t *next = *begin < ROWS ? skip_value(begin + 1, end, rows[*begin].kind) : NULL;
    if (!next)
        return 0;
    *value = begin + 1;
    *len = (uint32_t)(next - begin - 1);
    *at += *len + 1;
    return *begin;
}

bool wire_user_next(const struct wire_props *props, uint32_t *at, struct wire_text *key,
                    struct wire_text *value)
{
    const uint8_t *bytes;
    uint32_t len;
    for (unsigned id; (id = next_property(props, at, &bytes, &len));)
        if (id == WIRE_USER_PROPERTY)
            return take_text(take_text(bytes, bytes + len, key), bytes + len, value);
    return false;
}

bool wire_subscription_id_next(const struct wire_props *props, uint32_t *at, uint32_t *subscription_id)
{
    const uint8_t *bytes;
    uint32_t len;
    for (unsigned id; (id = next_property(props, at, &bytes, &len));)
        if (id == WIRE_SUBSCRIPTION_ID)
            return varint_read(bytes, len, subscription_id) > 0;
    return false;
}

size_t wire_props_forwardable(const struct wire_props *props, uint8_t *out, size_t *response_at,
                              size_t *correlation_at)
{
    const uint64_t simple = (uint64_t)1 << WIRE_PAYLOAD_FORMAT | (uint64_t)1 << WIRE_CONTENT_TYPE |
                            (uint64_t)1 << WIRE_USER_PROPERTY;
    *response_at = *correlation_at = SIZE_MAX;
    if (!(props->present & ~simple)) { /* nothing to leave out, nothing to point at */
        if (props->len)
            memcpy(out, props->bytes, props->len);
        return props->len;
    }
    size_t written = 0;
    const uint8_t *value;
    uint32_t len, at = 0;
    for (unsigned id; (id = next_property(props, &at, &value, &len));) {
        switch (id) {
        case WIRE_RESPONSE_TOPIC: *response_at = written + 3; break;
        case WIRE_CORRELATION: *correlation_at = written + 3; break;
        case WIRE_PAYLOAD_FORMAT:
        case WIRE_CONTENT_TYPE:
        case WIRE_USER_PROPERTY: break;
        default: continue;
        }
        out[written] = (uint8_t)id;
        memcpy(out + written + 1, value, len);
        written += len + 1;
    }
    return written;
}

/* ---- encoding ------------------------------------------------------------------------------------------------------ */

static uint16_t text_len(const void *member)
{
    struct wire_text text;
    memcpy(&text, member, sizeof text);
    return text.len;
}

/* Of what is present, what is encoded from its member: user properties are in `extra`, and with `ids`, so are all
 * Subscription Identifiers. */
static uint64_t in_members(const struct wire_props *props)
{
    uint64_t apart = (uint64_t)1 << WIRE_USER_PROPERTY;
    if (props->id_count)
        apart |= (uint64_t)1 << WIRE_SUBSCRIPTION_ID;
    return props->present & ~apart;
}

/* The next identifier, from `from` on, whose bit is set; ROWS when there is none. */
static unsigned next_of(uint64_t set, unsigned from)
{
    for (set >>= from; set; set >>= 1, from++)
        if (set & 1)
            return from;
    return ROWS;
}

static size_t row_size(const struct row *row, const struct wire_props *props)
{
    const char *member = (const char *)props + row->offset;
    switch ((enum kind)row->kind) {
    case FLAG: return 2;
    case U16: return 3;
    case U32: return 5;
    case VARINT: return 1 + varint_size(props->subscription_id);
    case TEXT:
    case BINARY: return 3u + text_len(member);
    case PAIR:
    case NONE: break;
    }
    return 0;
}

size_t props_size(const struct wire_props *props)
{
    uint64_t members = in_members(props);
    size_t size = props->extra_len;
    for (unsigned id = next_of(members, 0); id < ROWS; id = next_of(members, id + 1))
        size += row_size(&rows[id], props);
    for (uint32_t i = 0; i < props->id_count; i++)
        size += 1 + varint_size(props->ids[i]);
    return size;
}

static uint8_t *put_text(uint8_t *out, struct wire_text text)
{
    *out++ = (uint8_t)(text.len >> 8);
    *out++ = (uint8_t)text.len;
    if (text.len)
        memcpy(out, text.text, text.len);
    return out + text.len;
}

static uint8_t *put_property(uint8_t *out, unsigned id, const struct wire_props *props)
{
    const uint8_t *member = (const uint8_t *)props + rows[id].offset;
    struct wire_text text;
    uint32_t number;
    uint16_t small;
    if (!rows[id].kind) /* a bit that means nothing was set */
        return out;
    *out++ = (uint8_t)id;
    switch ((enum kind)rows[id].kind) {
    case FLAG: *out++ = *member; break;
    case U16:
        memcpy(&small, member, sizeof small);
        *out++ = (uint8_t)(small >> 8);
        *out++ = (uint8_t)small;
        break;
    case U32:
        memcpy(&number, member, sizeof number);
        for (int shift = 24; shift >= 0; shift -= 8)
            *out++ = (uint8_t)(number >> shift);
        break;
    case VARINT: return varint_write(out, props->subscription_id);
    case TEXT:
    case BINARY: memcpy(&text, member, sizeof text); return put_text(out, text);
    case PAIR:
    case NONE: break;
    }
    return out;
}

uint8_t *props_encode(uint8_t *out, const struct wire_props *props)
{
    uint64_t members = in_members(props);
    out = varint_write(out, (uint32_t)props_size(props));
    for (unsigned id = next_of(members, 0); id < ROWS; id = next_of(members, id + 1))
        out = put_property(out, id, props);
    for (uint32_t i = 0; i < props->id_count; i++) {
        *out++ = WIRE_SUBSCRIPTION_ID;
        out = varint_write(out, props->ids[i]);
    }
    if (props->extra_len)
        memcpy(out, props->extra, props->extra_len);
    return out + props->extra_len;
}

size_t wire_put_user(uint8_t *extra, size_t len, size_t size, struct wire_text key, struct wire_text value)
{
    if (size - len < 5u + key.len + value.len)
        return 0;
    extra[len] = WIRE_USER_PROPERTY;
    return (size_t)(put_text(put_text(extra + len + 1, key), value) - extra);
}
