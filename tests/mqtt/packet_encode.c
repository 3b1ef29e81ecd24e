/* Fields of a script to the bytes of a packet. */
#include "mqtt/packet_names.h"

#include <errno.h>

enum { FILTERS_BYTES = 1 << 20 };

struct writer {
    struct arena *arena;
    const char *why;
    const struct variables *variables;
    struct wire_packet packet;
    uint8_t *extra[2]; /* user properties of the packet, of the will */
    uint8_t *list;
    struct wire_filter filter;
    bool filter_pending;
};

static bool refuse(struct writer *w, const struct script_field *field, const char *what)
{
    w->why = arena_printf(w->arena, "%s%s%s: %s", field->key, *field->key ? "=" : "", field->value, what);
    return false;
}

/* What a field says, with $name replaced. */
static bool value_of(struct writer *w, const struct script_field *field, struct script_field *ret)
{
    *ret = *field;
    if (field->kind == SCRIPT_ANYTHING)
        return refuse(w, field, "cannot be sent");
    if (field->kind == SCRIPT_TEXT)
        return true;
    for (size_t i = 0; i < w->variables->count; i++)
        if (strcmp(w->variables->list[i].name, field->value + 1) == 0) {
            ret->value = w->variables->list[i].value;
            ret->len = w->variables->list[i].len;
            return true;
        }
    return refuse(w, field, "has no value yet");
}

static bool take_number(struct writer *w, const struct script_field *field, uint64_t max, uint64_t *ret)
{
    return script_number(field->value, field->len, max, ret) ||
           refuse(w, field, "a smaller number is expected");
}

static bool take_text(struct writer *w, const struct script_field *field, struct wire_text *ret)
{
    if (field->len > WIRE_TEXT_MAX)
        return refuse(w, field, "is too long");
    *ret = (struct wire_text){field->value, (uint16_t)field->len};
    return true;
}

static bool take_user(struct writer *w, const struct script_field *field, struct wire_props *props,
                      uint8_t **extra)
{
    const char *equals = memchr(field->value, '=', field->len);
    if (!equals)
        return refuse(w, field, "user=NAME=VALUE is expected");
    struct wire_text key = {field->value, (uint16_t)(equals - field->value)};
    struct wire_text value = {equals + 1, (uint16_t)(field->len - key.len - 1)};
    size_t size = props->extra_len + 5u + field->len;
    *extra = arena_grow(w->arena, *extra, props->extra_len, size);
    props->extra_len = (uint32_t)wire_put_user(*extra, props->extra_len, size, key, value);
    props->extra = *extra;
    return true;
}

static bool take_property(struct writer *w, const struct script_field *field, const char *name,
                          struct wire_props *props, uint8_t **extra)
{
    if (strcmp(name, "user") == 0)
        return take_user(w, field, props, extra);
    const struct packet_property *property = packet_property(name);
    if (!property)
        return refuse(w, field, "no such field");
    char *into = (char *)props + property->offset;
    struct wire_text text;
    uint64_t number = 0;
    if (property->kind == TEXT) {
        if (!take_text(w, field, &text))
            return false;
        memcpy(into, &text, sizeof text);
    } else {
        uint64_t max = property->kind == U8 ? UINT8_MAX : property->kind == U16 ? UINT16_MAX : UINT32_MAX;
        if (!take_number(w, field, max, &number))
            return false;
        if (property->kind == U8)
            memcpy(into, &(uint8_t){(uint8_t)number}, 1);
        else if (property->kind == U16)
            memcpy(into, &(uint16_t){(uint16_t)number}, 2);
        else
            memcpy(into, &(uint32_t){(uint32_t)number}, 4);
    }
    wire_set(props, property->id);
    return true;
}

static bool put_filter(struct writer *w)
{
    if (!w->filter_pending)
        return true;
    w->filter_pending = false;
    if (!w->list)
        w->list = arena_alloc(w->arena, FILTERS_BYTES);
    if (w->packet.version != WIRE_MQTT5)
        w->filter.no_local = w->filter.retain_as_published = false, w->filter.retain_handling = 0;
    size_t len = wire_put_filter(w->list, w->packet.list_len, FILTERS_BYTES, w->packet.type, &w->filter);
    if (!len) {
        w->why = "more filters than fit";
        return false;
    }
    w->packet.list_len = (uint32_t)len;
    w->packet.list = w->list;
    return true;
}

/* true: it was one of a filter's fields. */
static bool take_of_filter(struct writer *w, const struct script_field *field)
{
    uint64_t number;
    if (field_is(field, "filter")) {
        if (!put_filter(w))
            return true;
        w->filter = (struct wire_filter){0};
        (void)take_text(w, field, &w->filter.filter);
        w->filter_pending = true;
    } else if (!w->filter_pending) {
        return false;
    } else if (field_is(field, "qos")) {
        if (take_number(w, field, 2, &number))
            w->filter.qos = (uint8_t)number;
    } else if (field_is(field, "retain-handling")) {
        if (take_number(w, field, 2, &number))
            w->filter.retain_handling = (uint8_t)number;
    } else if (field_is(field, "no-local")) {
        w->filter.no_local = true;
    } else if (field_is(field, "retain-as-published")) {
        w->filter.retain_as_published = true;
    } else {
        return false;
    }
    return true;
}

static bool take_of_will(struct writer *w, const struct script_field *field)
{
    struct wire_will *will = &w->packet.will;
    uint64_t number;
    const char *name = field->key + strlen("will-");
    w->packet.has_will = true;
    if (field_is(field, "will"))
        return take_text(w, field, &will->topic);
    if (field_is(field, "will-payload"))
        return take_text(w, field, &will->payload);
    if (field_is(field, "will-retain")) {
        will->retain = true;
        return true;
    }
    if (!field_is(field, "will-qos"))
        return take_property(w, field, name, &will->props, &w->extra[1]);
    if (!take_number(w, field, 2, &number))
        return false;
    will->qos = (uint8_t)number;
    return true;
}

static bool take_of_connect(struct writer *w, const struct script_field *field, bool *taken)
{
    struct wire_packet *packet = &w->packet;
    uint64_t number;
    *taken = true;
    if (field_is(field, "id"))
        return take_text(w, field, &packet->client_id);
    if (field_is(field, "clean")) {
        packet->clean_start = true;
        return true;
    }
    if (field_is(field, "username")) {
        packet->has_username = true;
        return take_text(w, field, &packet->username);
    }
    if (field_is(field, "password")) {
        packet->has_password = true;
        return take_text(w, field, &packet->password);
    }
    if (field_is(field, "keepalive")) {
        if (!take_number(w, field, UINT16_MAX, &number))
            return false;
        packet->keepalive_s = (uint16_t)number;
        return true;
    }
    if (strncmp(field->key, "will", 4) == 0)
        return take_of_will(w, field);
    *taken = false;
    return true;
}

static bool take_of_publish(struct writer *w, const struct script_field *field, bool *taken)
{
    struct wire_packet *packet = &w->packet;
    uint64_t number;
    *taken = true;
    if (field_is(field, "topic"))
        return take_text(w, field, &packet->topic);
    if (field_is(field, "dup")) {
        packet->dup = true;
        return true;
    }
    if (field_is(field, "retain")) {
        packet->retain = true;
        return true;
    }
    if (field_is(field, "qos")) {
        if (!take_number(w, field, 3, &number))
            return false;
        packet->qos = (uint8_t)number;
        return true;
    }
    if (field_is(field, "payload")) {
        packet->payload = (const uint8_t *)field->value;
        packet->payload_len = (uint32_t)field->len;
        return true;
    }
    *taken = false;
    return true;
}

static bool take_of_packet(struct writer *w, const struct script_field *written)
{
    struct wire_packet *packet = &w->packet;
    struct script_field value;
    if (!value_of(w, written, &value))
        return false;
    const struct script_field *field = &value;
    bool taken = false;
    if (packet->type == WIRE_CONNECT && (!take_of_connect(w, field, &taken) || taken))
        return taken && !w->why;
    if (packet->type == WIRE_PUBLISH && (!take_of_publish(w, field, &taken) || taken))
        return taken && !w->why;
    if ((packet->type == WIRE_SUBSCRIBE || packet->type == WIRE_UNSUBSCRIBE) && take_of_filter(w, field))
        return !w->why;
    uint64_t number;
    if (field_is(field, "id") || field_is(field, "rc")) {
        if (!take_number(w, field, field_is(field, "id") ? UINT16_MAX : UINT8_MAX, &number))
            return false;
        if (field_is(field, "id"))
            packet->packet_id = (uint16_t)number;
        else
            packet->reason = (uint8_t)number;
        return true;
    }
    return take_property(w, field, field->key, &packet->props, &w->extra[0]);
}

int packet_encode(struct arena *arena, const char *name, const struct script_fields *fields,
                  enum wire_version version, const struct variables *variables, const uint8_t **ret,
                  size_t *ret_len, const char **why)
{
    struct writer w = {
        .arena = arena, .variables = variables, .packet = {.type = packet_type(name), .version = version}};
    struct script_fields named = packet_with_names(arena, name, fields);
    if (!w.packet.type)
        w.why = arena_printf(arena, "%s is no packet", name);
    for (size_t i = 0; i < named.count && !w.why; i++)
        (void)take_of_packet(&w, &named.list[i]);
    (void)(w.why || put_filter(&w));
    size_t size = w.why ? 0 : wire_size(&w.packet);
    uint8_t *out = arena_alloc(arena, size + 1);
    if (!w.why && !wire_encode(out, size, &w.packet))
        w.why = "this packet cannot be written in that version";
    *why = w.why;
    *ret = out;
    *ret_len = size;
    return w.why ? -EINVAL : 0;
}
