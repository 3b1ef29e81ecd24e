#include "bench/frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

int frame_varint(size_t *ret, size_t *ret_size, const uint8_t *p, size_t n)
{
    size_t value = 0;

    for (size_t i = 0; i < 4 && i < n; i++) {
        value |= (size_t)(p[i] & 0x7f) << (7 * i);
        if (!(p[i] & 0x80)) {
            *ret = value;
            *ret_size = i + 1;
            return 0;
        }
    }
    return -EPROTO;
}

int frame_read(struct frame *ret, const uint8_t *p, size_t n)
{
    size_t len, size;

    if (n < 2)
        return 0;
    if (frame_varint(&len, &size, p + 1, n - 1) < 0)
        return n < 5 ? 0 : -EPROTO;
    if (n < 1 + size + len)
        return 0;
    *ret = (struct frame){
        .type = (enum frame_type)(p[0] >> 4),
        .flags = p[0] & 0x0f,
        .body = p + 1 + size,
        .len = len,
        .start = p,
        .size = 1 + size + len,
    };
    return 1;
}

int frame_publish(struct publish *ret, const struct frame *f, unsigned version)
{
    const uint8_t *p = f->body, *end = p + f->len;
    struct publish m = {.qos = f->flags >> 1 & 3, .dup = f->flags & 8};

    if (end - p < 2)
        return -EPROTO;
    m.topic_len = get16(p);
    m.topic = p + 2;
    if ((size_t)(end - p) < 2 + m.topic_len)
        return -EPROTO;
    p += 2 + m.topic_len;
    if (m.qos > 0) {
        if (end - p < 2)
            return -EPROTO;
        m.id = get16(p);
        p += 2;
    }
    if (version == MQTT_5) {
        size_t len, size;
        if (frame_varint(&len, &size, p, (size_t)(end - p)) < 0 || (size_t)(end - p) < size + len)
            return -EPROTO;
        p += size + len;
    }
    m.payload = p;
    m.payload_len = (size_t)(end - p);
    *ret = m;
    return 0;
}

/* The bytes of a property's value, by its identifier [MQTT 5.0, 2.2.2.2]; -EPROTO for those a CONNACK cannot have. */
static int property_size(unsigned id, const uint8_t *p, size_t n)
{
    switch (id) {
    case 0x24:
    case 0x25:
    case 0x28:
    case 0x29:
    case 0x2a: return 1;
    case 0x13:
    case 0x21:
    case 0x22: return 2;
    case 0x11:
    case 0x27: return 4;
    case 0x12:
    case 0x15:
    case 0x16:
    case 0x1a:
    case 0x1c:
    case 0x1f: return n < 2 ? -EPROTO : 2 + get16(p);
    case 0x26: {
        int key = property_size(0x12, p, n);
        if (key < 0 || (size_t)key > n)
            return -EPROTO;
        int value = property_size(0x12, p + key, n - (size_t)key);
        return value < 0 ? value : key + value;
    }
    default: return -EPROTO;
    }
}

int frame_connack(struct connack *ret, const struct frame *f, unsigned version)
{
    struct connack c = {.receive_maximum = 65535};
    size_t len, size;

    if (f->len < 2)
        return -EPROTO;
    c.session_present = f->body[0] & 1;
    c.code = f->body[1];
    if (version == MQTT_5 && f->len > 2) {
        if (frame_varint(&len, &size, f->body + 2, f->len - 2) < 0 || len > f->len - 2 - size)
            return -EPROTO;
        const uint8_t *p = f->body + 2 + size, *end = p + len;
        while (p < end) {
            unsigned id = *p++;
            int value = property_size(id, p, (size_t)(end - p));
            if (value < 0 || value > end - p)
                return -EPROTO;
            if (id == 0x21)
                c.receive_maximum = get16(p);
            p += value;
        }
    }
    *ret = c;
    return 0;
}

int frame_ack(struct ack *ret, const struct frame *f)
{
    if (f->len < 2)
        return -EPROTO;
    *ret = (struct ack){.id = get16(f->body), .code = f->len > 2 ? f->body[2] : 0};
    return 0;
}

uint8_t *bytes_room(struct bytes *b, size_t n)
{
    if (b->capacity - b->len < n) {
        size_t capacity = b->capacity ? b->capacity : 256;
        while (capacity - b->len < n)
            capacity *= 2;
        b->data = realloc(b->data, capacity);
        if (!b->data) {
            fputs("bench: out of memory\n", stderr);
            exit(1);
        }
        b->capacity = capacity;
    }
    return b->data + b->len;
}

void bytes_add(struct bytes *b, const void *data, size_t n)
{
    memcpy(bytes_room(b, n), data, n);
    b->len += n;
}

static void put8(struct bytes *b, unsigned value)
{
    *bytes_room(b, 1) = (uint8_t)value;
    b->len += 1;
}

static void put16(struct bytes *b, unsigned value)
{
    put8(b, value >> 8);
    put8(b, value & 0xff);
}

static void put_varint(struct bytes *b, size_t value)
{
    do {
        put8(b, (value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value);
}

static void put_string(struct bytes *b, const char *s)
{
    size_t len = strlen(s);
    put16(b, (unsigned)len);
    bytes_add(b, s, len);
}

static void put_head(struct bytes *b, enum frame_type type, unsigned flags, size_t len)
{
    put8(b, (unsigned)type << 4 | flags);
    put_varint(b, len);
}

void put_connect(struct bytes *b, unsigned version, const char *client_id, bool durable)
{
    enum { SESSION_EXPIRY = 0x11, EXPIRY_S = 3600, EXPIRY_SIZE = 5 };
    size_t props = version == MQTT_5 && durable ? EXPIRY_SIZE : 0;

    put_head(b, CONNECT, 0, 10 + (version == MQTT_5) + props + 2 + strlen(client_id));
    put_string(b, "MQTT");
    put8(b, version);
    put8(b, durable ? 0 : 0x02); /* a clean session */
    put16(b, 0);                 /* no keep-alive: an idle client stays idle */
    if (version == MQTT_5)
        put8(b, (unsigned)props);
    if (props) {
        put8(b, SESSION_EXPIRY);
        put16(b, 0);
        put16(b, EXPIRY_S);
    }
    put_string(b, client_id);
}

void put_connack(struct bytes *b, unsigned version)
{
    put_head(b, CONNACK, 0, 2 + (version == MQTT_5));
    put16(b, 0);
    if (version == MQTT_5)
        put8(b, 0);
}

void put_subscribe(struct bytes *b, unsigned version, uint16_t id, const char *const *filters, size_t n,
                   unsigned qos)
{
    size_t len = 2 + (version == MQTT_5);

    for (size_t i = 0; i < n; i++)
        len += 2 + strlen(filters[i]) + 1;
    put_head(b, SUBSCRIBE, 2, len);
    put16(b, id);
    if (version == MQTT_5)
        put8(b, 0);
    for (size_t i = 0; i < n; i++) {
        put_string(b, filters[i]);
        put8(b, qos);
    }
}

void put_suback(struct bytes *b, unsigned version, uint16_t id, const uint8_t *codes, size_t n)
{
    put_head(b, SUBACK, 0, 2 + (version == MQTT_5) + n);
    put16(b, id);
    if (version == MQTT_5)
        put8(b, 0);
    bytes_add(b, codes, n);
}

void put_ack(struct bytes *b, enum frame_type type, uint16_t id)
{
    uint8_t *p = bytes_room(b, 4);
    p[0] = (uint8_t)(type << 4 | (type == PUBREL ? 2 : 0));
    p[1] = 2;
    p[2] = (uint8_t)(id >> 8);
    p[3] = (uint8_t)id;
    b->len += 4;
}

void put_empty(struct bytes *b, enum frame_type type)
{
    put_head(b, type, 0, 0);
}

uint8_t *put_publish(struct bytes *b, unsigned version, unsigned qos, const char *topic, uint16_t id,
                     size_t payload_len)
{
    size_t topic_len = strlen(topic);
    size_t len = 2 + topic_len + (qos ? 2 : 0) + (version == MQTT_5) + payload_len;

    (void)bytes_room(b, 5 + len); /* at once, so that what follows only writes */
    put_head(b, PUBLISH, qos << 1, len);
    put16(b, (unsigned)topic_len);
    bytes_add(b, topic, topic_len);
    if (qos)
        put16(b, id);
    if (version == MQTT_5)
        put8(b, 0);
    uint8_t *payload = b->data + b->len;
    b->len += payload_len;
    return payload;
}
