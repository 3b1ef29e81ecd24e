#include "wire/props.h"

#include <string.h>

enum kind { BYTE, FLAG, U16, U32, VARINT, TEXT, BINARY, PAIR };

struct row {
    uint8_t id;
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

/* MQTT 5, table 2-4, in order of identifier. */
static const struct row rows[] = {
    {WIRE_PAYLOAD_FORMAT, FLAG, IN(WIRE_PUBLISH) | WILL, AT(payload_format)},
    {WIRE_MESSAGE_EXPIRY, U32, IN(WIRE_PUBLISH) | WILL, AT(message_expiry)},
    {WIRE_CONTENT_TYPE, TEXT, IN(WIRE_PUBLISH) | WILL, AT(content_type)},
    {WIRE_RESPONSE_TOPIC, TEXT, IN(WIRE_PUBLISH) | WILL, AT(response_topic)},
    {WIRE_CORRELATION, BINARY, IN(WIRE_PUBLISH) | WILL, AT(correlation)},
    {WIRE_SUBSCRIPTION_ID, VARINT, IN(WIRE_PUBLISH) | IN(WIRE_SUBSCRIBE), AT(subscription_id)},
    {WIRE_SESSION_EXPIRY, U32, IN(WIRE_CONNECT) | IN(WIRE_CONNACK) | IN(WIRE_DISCONNECT), AT(session_expiry)},
    {WIRE_ASSIGNED_ID, TEXT, IN(WIRE_CONNACK), AT(assigned_id)},
    {WIRE_SERVER_KEEPALIVE, U16, IN(WIRE_CONNACK), AT(server_keepalive)},
    {WIRE_AUTH_METHOD, TEXT, IN(WIRE_CONNECT) | IN(WIRE_CONNACK) | IN(WIRE_AUTH), AT(auth_method)},
    {WIRE_AUTH_DATA, BINARY, IN(WIRE_CONNECT) | IN(WIRE_CONNACK) | IN(WIRE_AUTH), AT(auth_data)},
    {WIRE_REQUEST_PROBLEM, FLAG, IN(WIRE_CONNECT), AT(request_problem)},
    {WIRE_WILL_DELAY, U32, WILL, AT(will_delay)},
    {WIRE_REQUEST_RESPONSE, FLAG, IN(WIRE_CONNECT), AT(request_response)},
    {WIRE_RESPONSE_INFO, TEXT, IN(WIRE_CONNACK), AT(response_info)},
    {WIRE_SERVER_REFERENCE, TEXT, IN(WIRE_CONNACK) | IN(WIRE_DISCONNECT), AT(server_reference)},
    {WIRE_REASON_STRING, TEXT, ACKS | IN(WIRE_CONNACK) | IN(WIRE_DISCONNECT) | IN(WIRE_AUTH),
     AT(reason_string)},
    {WIRE_RECEIVE_MAX, U16, IN(WIRE_CONNECT) | IN(WIRE_CONNACK), AT(receive_max)},
    {WIRE_ALIAS_MAX, U16, IN(WIRE_CONNECT) | IN(WIRE_CONNACK), AT(alias_max)},
    {WIRE_ALIAS, U16, IN(WIRE_PUBLISH), AT(alias)},
    {WIRE_QOS_MAX, FLAG, IN(WIRE_CONNACK), AT(qos_max)},
    {WIRE_RETAIN_AVAILABLE, FLAG, IN(WIRE_CONNACK), AT(retain_available)},
    {WIRE_USER_PROPERTY, PAIR, ANY, 0},
    {WIRE_PACKET_MAX, U32, IN(WIRE_CONNECT) | IN(WIRE_CONNACK), AT(packet_max)},
    {WIRE_WILDCARDS_AVAILABLE, FLAG, IN(WIRE_CONNACK), AT(wildcards_available)},
    {WIRE_SUBSCRIPTION_IDS_AVAILABLE, FLAG, IN(WIRE_CONNACK), AT(subscription_ids_available)},
    {WIRE_SHARED_AVAILABLE, FLAG, IN(WIRE_CONNACK), AT(shared_available)},
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
            if (i && !p[i])
                return -1;
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

static const struct row *row_of(uint8_t id)
{
    for (int i = 0; i < ROWS; i++)
        if (rows[i].id == id)
            return &rows[i];
    return NULL;
}

/* Takes a length of two bytes and what follows; NULL when it is not all there. */
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

/* One value; the new position, or NULL when it is malformed. */
static const uint8_t *take_value(const uint8_t *p, const uint8_t *end, const struct row *row, void *into)
{
    struct wire_text text;
    switch ((enum kind)row->kind) {
    case BYTE:
    case FLAG:
        if (end - p < 1)
            return NULL;
        *(uint8_t *)into = p[0];
        return p + 1;
    case U16: {
        if (end - p < 2)
            return NULL;
        uint16_t value = (uint16_t)(p[0] << 8 | p[1]);
        memcpy(into, &value, sizeof value);
        return p + 2;
    }
    case U32: {
        if (end - p < 4)
            return NULL;
        uint32_t value = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        memcpy(into, &value, sizeof value);
        return p + 4;
    }
    case VARINT: {
        uint32_t value;
        int n = varint_read(p, (size_t)(end - p), &value);
        if (n <= 0)
            return NULL;
        memcpy(into, &value, sizeof value);
        return p + n;
    }
    case TEXT:
    case BINARY:
        p = take_text(p, end, &text);
        if (!p || (row->kind == TEXT && !wire_utf8_is_valid(text.text, text.len)))
            return NULL;
        memcpy(into, &text, sizeof text);
        return p;
    case PAIR:
        p = take_text(p, end, &text);
        if (!p || !wire_utf8_is_valid(text.text, text.len))
            return NULL;
        p = take_text(p, end, &text);
        return p && wire_utf8_is_valid(text.text, text.len) ? p : NULL;
    }
    return NULL;
}

/* Values that the standard calls a protocol error. */
static uint8_t check_value(const struct row *row, const struct wire_props *props, const char **why)
{
    const uint8_t *value = (const uint8_t *)props + row->offset;
    if (row->kind == FLAG && *value > 1) {
        *why = "a property that is 0 or 1 has another value";
        return WIRE_PROTOCOL_ERROR;
    }
    bool zero = (row->id == WIRE_RECEIVE_MAX && !props->receive_max) ||
                (row->id == WIRE_PACKET_MAX && !props->packet_max) ||
                (row->id == WIRE_SUBSCRIPTION_ID && !props->subscription_id);
    if (zero) {
        *why = "Receive Maximum, Maximum Packet Size or Subscription Identifier is 0";
        return WIRE_PROTOCOL_ERROR;
    }
    if (row->id == WIRE_ALIAS && !props->alias) {
        *why = "Topic Alias is 0"; /* [MQTT-3.3.2-8] */
        return WIRE_ALIAS_INVALID;
    }
    if (row->id == WIRE_RESPONSE_TOPIC &&
        !wire_topic_is_valid(props->response_topic.text, props->response_topic.len)) {
        *why = "Response Topic has a wildcard or is empty"; /* [MQTT-3.3.2-14] */
        return WIRE_PROTOCOL_ERROR;
    }
    return 0;
}

static bool may_repeat(const struct row *row, unsigned place)
{
    return row->kind == PAIR || (row->id == WIRE_SUBSCRIPTION_ID && place == WIRE_PUBLISH);
}

uint8_t props_decode(struct wire_props *props, const uint8_t *bytes, uint32_t len, unsigned place,
                     enum wire_side side, const char **why)
{
    props->present = 0;
    props->bytes = bytes;
    props->len = len;
    props->extra = NULL;
    props->ids = NULL;
    props->extra_len = props->id_count = 0;
    for (const uint8_t *p = bytes, *end = bytes + len; p < end;) {
        const struct row *row = row_of(*p++);
        if (!row || !(row->places & IN(place))) {
            *why = row ? "a property that does not belong in this packet" : "an unknown property";
            return row ? WIRE_PROTOCOL_ERROR : WIRE_MALFORMED;
        }
        bool seen = wire_has(props, row->id);
        if (seen && !may_repeat(row, place)) {
            *why = "a property twice";
            return WIRE_PROTOCOL_ERROR;
        }
        if (row->id == WIRE_SUBSCRIPTION_ID && place == WIRE_PUBLISH && side == WIRE_FROM_CLIENT) {
            *why = "PUBLISH of a client with a Subscription Identifier"; /* [MQTT-3.3.4-6] */
            return WIRE_PROTOCOL_ERROR;
        }
        uint32_t repeated; /* of a repeated identifier the first is kept */
        p = take_value(p, end, row,
                       seen && row->kind == VARINT ? (void *)&repeated : (char *)props + row->offset);
        if (!p) {
            *why = "a property is cut off or not well-formed";
            return WIRE_MALFORMED;
        }
        wire_set(props, row->id);
        uint8_t reason = check_value(row, props, why);
        if (reason)
            return reason;
    }
    if (wire_has(props, WIRE_AUTH_DATA) && !wire_has(props, WIRE_AUTH_METHOD)) {
        *why = "Authentication Data without Authentication Method";
        return WIRE_PROTOCOL_ERROR;
    }
    return 0;
}

/* Walks properties that have been decoded, and so are well-formed. */
static const struct row *next_row(const struct wire_props *props, uint32_t *at, const uint8_t **value,
                                  uint32_t *len)
{
    if (*at >= props->len)
        return NULL;
    const uint8_t *begin = props->bytes + *at, *end = props->bytes + props->len;
    const struct row *row = row_of(*begin);
    uint64_t ignored[2];
    const uint8_t *next = row ? take_value(begin + 1, end, row, ignored) : NULL;
    if (!next)
        return NULL;
    *value = begin + 1;
    *len = (uint32_t)(next - begin - 1);
    *at += *len + 1;
    return row;
}

bool wire_user_next(const struct wire_props *props, uint32_t *at, struct wire_text *key,
                    struct wire_text *value)
{
    const uint8_t *bytes;
    uint32_t len;
    for (const struct row *row; (row = next_row(props, at, &bytes, &len));)
        if (row->kind == PAIR) {
            const uint8_t *second = take_text(bytes, bytes + len, key);
            return second && take_text(second, bytes + len, value);
        }
    return false;
}

size_t wire_props_forwardable(const struct wire_props *props, uint8_t *out, size_t *response_at,
                              size_t *correlation_at)
{
    size_t written = 0;
    *response_at = *correlation_at = SIZE_MAX;
    const uint8_t *value;
    uint32_t len, at = 0;
    for (const struct row *row; (row = next_row(props, &at, &value, &len));) {
        switch (row->id) {
        case WIRE_RESPONSE_TOPIC: *response_at = written + 3; break;
        case WIRE_CORRELATION: *correlation_at = written + 3; break;
        case WIRE_PAYLOAD_FORMAT:
        case WIRE_CONTENT_TYPE:
        case WIRE_USER_PROPERTY: break;
        default: continue;
        }
        out[written] = row->id;
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

static size_t row_size(const struct row *row, const struct wire_props *props)
{
    const char *member = (const char *)props + row->offset;
    switch ((enum kind)row->kind) {
    case BYTE:
    case FLAG: return 2;
    case U16: return 3;
    case U32: return 5;
    case VARINT: return 1 + varint_size(props->subscription_id);
    case TEXT:
    case BINARY: return 3u + text_len(member);
    case PAIR: break; /* they are in `extra` */
    }
    return 0;
}

size_t props_size(const struct wire_props *props)
{
    size_t size = props->extra_len;
    for (int i = 0; i < ROWS && props->present; i++)
        if (wire_has(props, rows[i].id))
            size += row_size(&rows[i], props);
    for (uint32_t i = 0; i < props->id_count; i++)
        size += 1 + varint_size(props->ids[i]);
    return size;
}

static uint8_t *put_row(uint8_t *out, const struct row *row, const struct wire_props *props)
{
    const uint8_t *member = (const uint8_t *)props + row->offset;
    if (row->kind == PAIR)
        return out;
    *out++ = row->id;
    switch ((enum kind)row->kind) {
    case BYTE:
    case FLAG: *out++ = *member; break;
    case U16: {
        uint16_t value;
        memcpy(&value, member, sizeof value);
        *out++ = (uint8_t)(value >> 8);
        *out++ = (uint8_t)value;
        break;
    }
    case U32: {
        uint32_t value;
        memcpy(&value, member, sizeof value);
        for (int shift = 24; shift >= 0; shift -= 8)
            *out++ = (uint8_t)(value >> shift);
        break;
    }
    case VARINT: return varint_write(out, props->subscription_id);
    case TEXT:
    case BINARY: {
        struct wire_text text;
        memcpy(&text, member, sizeof text);
        *out++ = (uint8_t)(text.len >> 8);
        *out++ = (uint8_t)text.len;
        if (text.len)
            memcpy(out, text.text, text.len);
        return out + text.len;
    }
    case PAIR: break;
    }
    return out;
}

uint8_t *props_encode(uint8_t *out, const struct wire_props *props)
{
    out = varint_write(out, (uint32_t)props_size(props));
    for (int i = 0; i < ROWS && props->present; i++)
        if (wire_has(props, rows[i].id))
            out = put_row(out, &rows[i], props);
    for (uint32_t i = 0; i < props->id_count; i++) {
        *out++ = WIRE_SUBSCRIPTION_ID;
        out = varint_write(out, props->ids[i]);
    }
    if (props->extra_len)
        memcpy(out, props->extra, props->extra_len);
    return out + props->extra_len;
}
