/* Packets to bytes. The size comes first, so that a packet is written whole or not at all. */
#include "wire/props.h"

#include <string.h>

static uint8_t *put_u16(uint8_t *out, unsigned value)
{
    *out++ = (uint8_t)(value >> 8);
    *out++ = (uint8_t)value;
    return out;
}

static uint8_t *put_text(uint8_t *out, struct wire_text text)
{
    out = put_u16(out, text.len);
    if (text.len)
        memcpy(out, text.text, text.len);
    return out + text.len;
}

static bool is_empty(const struct wire_props *props)
{
    return !props->present && !props->extra_len && !props->id_count;
}

static size_t props_total(const struct wire_packet *p, const struct wire_props *props)
{
    if (p->version != WIRE_MQTT5)
        return 0;
    if (is_empty(props))
        return 1;
    size_t size = props_size(props);
    return varint_size((uint32_t)size) + size;
}

static uint8_t *put_props(uint8_t *out, const struct wire_packet *p, const struct wire_props *props)
{
    if (p->version != WIRE_MQTT5)
        return out;
    if (!is_empty(props))
        return props_encode(out, props);
    *out++ = 0;
    return out;
}

/* MQTT 5 lets an acknowledgement end after the packet id, or after the reason. */
static size_t tail_size(const struct wire_packet *p)
{
    if (p->version != WIRE_MQTT5)
        return 0;
    if (props_size(&p->props))
        return 1 + props_total(p, &p->props);
    return p->reason ? 1 : 0;
}

static uint8_t *put_tail(uint8_t *out, const struct wire_packet *p)
{
    size_t size = tail_size(p);
    if (!size)
        return out;
    *out++ = p->reason;
    return size > 1 ? props_encode(out, &p->props) : out;
}

static size_t connect_size(const struct wire_packet *p)
{
    size_t size =
        (p->version == WIRE_MQTT31 ? 8u : 6u) + 4u + props_total(p, &p->props) + 2u + p->client_id.len;
    if (p->has_will)
        size += props_total(p, &p->will.props) + 4u + p->will.topic.len + p->will.payload.len;
    if (p->has_username)
        size += 2u + p->username.len;
    if (p->has_password)
        size += 2u + p->password.len;
    return size;
}

static uint8_t *put_connect(uint8_t *out, const struct wire_packet *p)
{
    bool old = p->version == WIRE_MQTT31;
    out = put_text(out, old ? (struct wire_text){"MQIsdp", 6} : (struct wire_text){"MQTT", 4});
    *out++ = (uint8_t)p->version;
    uint8_t flags = (uint8_t)(p->clean_start << 1 | p->has_password << 6 | p->has_username << 7);
    if (p->has_will)
        flags |= (uint8_t)(4 | p->will.qos << 3 | p->will.retain << 5);
    *out++ = flags;
    out = put_u16(out, p->keepalive_s);
    out = put_props(out, p, &p->props);
    out = put_text(out, p->client_id);
    if (p->has_will) {
        out = put_props(out, p, &p->will.props);
        out = put_text(out, p->will.topic);
        out = put_text(out, p->will.payload);
    }
    if (p->has_username)
        out = put_text(out, p->username);
    if (p->has_password)
        out = put_text(out, p->password);
    return out;
}

static size_t list_size(const struct wire_packet *p)
{
    bool no_codes = p->type == WIRE_UNSUBACK && p->version != WIRE_MQTT5;
    return 2 + props_total(p, &p->props) + (no_codes ? 0 : p->list_len);
}

static uint8_t *put_list(uint8_t *out, const struct wire_packet *p)
{
    out = put_u16(out, p->packet_id);
    out = put_props(out, p, &p->props);
    if (p->list_len && !(p->type == WIRE_UNSUBACK && p->version != WIRE_MQTT5)) {
        memmove(out, p->list, p->list_len); /* it may stand in the same buffer, behind */
        out += p->list_len;
    }
    return out;
}

static size_t publish_size(const struct wire_packet *p) /* without the payload */
{
    return 2u + p->topic.len + (p->qos ? 2 : 0) + props_total(p, &p->props);
}

static size_t body_size(const struct wire_packet *p)
{
    switch (p->type) {
    case WIRE_CONNECT: return connect_size(p);
    case WIRE_CONNACK: return 2 + props_total(p, &p->props);
    case WIRE_PUBLISH: return publish_size(p) + p->payload_len;
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBREL:
    case WIRE_PUBCOMP: return 2 + tail_size(p);
    case WIRE_SUBSCRIBE:
    case WIRE_SUBACK:
    case WIRE_UNSUBSCRIBE:
    case WIRE_UNSUBACK: return list_size(p);
    case WIRE_DISCONNECT:
    case WIRE_AUTH: return tail_size(p);
    case WIRE_PINGREQ:
    case WIRE_PINGRESP: return 0;
    }
    return 0;
}

static uint8_t header_of(const struct wire_packet *p)
{
    uint8_t flags = 0;
    if (p->type == WIRE_PUBLISH)
        flags = (uint8_t)(p->dup << 3 | p->qos << 1 | p->retain);
    else if (p->type == WIRE_PUBREL || p->type == WIRE_SUBSCRIBE || p->type == WIRE_UNSUBSCRIBE)
        flags = 2;
    return (uint8_t)(p->type << 4 | flags);
}

static uint8_t *put_publish_head(uint8_t *out, const struct wire_packet *p, const uint8_t **id)
{
    out = put_text(out, p->topic);
    *id = out;
    if (p->qos)
        out = put_u16(out, p->packet_id);
    return put_props(out, p, &p->props);
}

size_t wire_encode_publish_head(uint8_t *out, size_t size, const struct wire_packet *p, size_t *id_at)
{
    size_t head = publish_size(p);
    size_t body = head + p->payload_len;
    if (body > WIRE_REMAINING_MAX || 1 + varint_size((uint32_t)body) + head > size)
        return 0;
    uint8_t *at = out;
    *at++ = header_of(p);
    at = varint_write(at, (uint32_t)body);
    const uint8_t *id;
    at = put_publish_head(at, p, &id);
    *id_at = p->qos ? (size_t)(id - out) : 0;
    return (size_t)(at - out);
}

size_t wire_publish_head_max(const struct wire_packet *p)
{
    return 5 + publish_size(p);
}

static size_t total_size(const struct wire_packet *p, size_t body)
{
    bool is_new = p->version == WIRE_MQTT5;
    if (body > WIRE_REMAINING_MAX || (p->type == WIRE_AUTH && !is_new))
        return 0;
    if (p->type == WIRE_CONNECT && p->has_password && !p->has_username && !is_new)
        return 0; /* 3.1.1 [MQTT-3.1.2-22] */
    return 1 + varint_size((uint32_t)body) + body;
}

size_t wire_size(const struct wire_packet *p)
{
    return total_size(p, body_size(p));
}

bool wire_shorten(struct wire_packet *p, size_t max)
{
    if (p->type != WIRE_PUBLISH && wire_size(p) > max)
        p->props.extra_len = 0;
    if (wire_size(p) > max)
        p->props.present &= ~((uint64_t)1 << WIRE_REASON_STRING);
    size_t size = wire_size(p);
    return size && size <= max;
}

size_t wire_encode(uint8_t *out, size_t size, const struct wire_packet *p)
{
    size_t body = body_size(p), total = total_size(p, body);
    if (!total || total > size)
        return 0;
    *out++ = header_of(p);
    out = varint_write(out, (uint32_t)body);
    const uint8_t *id;
    switch (p->type) {
    case WIRE_CONNECT: (void)put_connect(out, p); break;
    case WIRE_CONNACK:
        *out++ = p->session_present && p->version != WIRE_MQTT31; /* 3.1 does not use this byte */
        *out++ = p->reason;
        (void)put_props(out, p, &p->props);
        break;
    case WIRE_PUBLISH:
        out = put_publish_head(out, p, &id);
        if (p->payload_len)
            memcpy(out, p->payload, p->payload_len);
        break;
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBREL:
    case WIRE_PUBCOMP: (void)put_tail(put_u16(out, p->packet_id), p); break;
    case WIRE_SUBSCRIBE:
    case WIRE_SUBACK:
    case WIRE_UNSUBSCRIBE:
    case WIRE_UNSUBACK: (void)put_list(out, p); break;
    case WIRE_DISCONNECT:
    case WIRE_AUTH: (void)put_tail(out, p); break;
    case WIRE_PINGREQ:
    case WIRE_PINGRESP: break;
    }
    return total;
}

size_t wire_encode_ack(uint8_t out[WIRE_ACK_MAX], enum wire_type type, enum wire_version version,
                       uint16_t packet_id, uint8_t reason)
{
    bool short_form = version != WIRE_MQTT5 || !reason;
    out[0] = (uint8_t)(type << 4 | (type == WIRE_PUBREL ? 2 : 0));
    out[1] = short_form ? 2 : 3;
    (void)put_u16(out + 2, packet_id);
    if (!short_form)
        out[4] = reason;
    return short_form ? 4 : 5;
}

size_t wire_put_filter(uint8_t *list, size_t len, size_t size, enum wire_type type,
                       const struct wire_filter *filter)
{
    size_t need = 2u + filter->filter.len + (type == WIRE_SUBSCRIBE);
    if (size - len < need)
        return 0;
    uint8_t *out = put_text(list + len, filter->filter);
    if (type == WIRE_SUBSCRIBE)
        *out = (uint8_t)(filter->qos | filter->no_local << 2 | filter->retain_as_published << 3 |
                         filter->retain_handling << 4);
    return len + need;
}
