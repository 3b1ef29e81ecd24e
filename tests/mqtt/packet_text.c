#include "mqtt/packet_text.h"

#include "mqtt/packet_names.h"

#include <stdio.h>

/* Both directions go over a list of named fields: a packet that came becomes such a list, and what was expected is
 * brought into the same form, so that comparing is comparing texts. */

static const char *const names[] = {
    [WIRE_CONNECT] = "CONNECT",         [WIRE_CONNACK] = "CONNACK",       [WIRE_PUBLISH] = "PUBLISH",
    [WIRE_PUBACK] = "PUBACK",           [WIRE_PUBREC] = "PUBREC",         [WIRE_PUBREL] = "PUBREL",
    [WIRE_PUBCOMP] = "PUBCOMP",         [WIRE_SUBSCRIBE] = "SUBSCRIBE",   [WIRE_SUBACK] = "SUBACK",
    [WIRE_UNSUBSCRIBE] = "UNSUBSCRIBE", [WIRE_UNSUBACK] = "UNSUBACK",     [WIRE_PINGREQ] = "PINGREQ",
    [WIRE_PINGRESP] = "PINGRESP",       [WIRE_DISCONNECT] = "DISCONNECT", [WIRE_AUTH] = "AUTH",
};

static const struct packet_property properties[] = {
    {"format", WIRE_PAYLOAD_FORMAT, U8, offsetof(struct wire_props, payload_format)},
    {"expiry", WIRE_MESSAGE_EXPIRY, U32, offsetof(struct wire_props, message_expiry)},
    {"content-type", WIRE_CONTENT_TYPE, TEXT, offsetof(struct wire_props, content_type)},
    {"response", WIRE_RESPONSE_TOPIC, TEXT, offsetof(struct wire_props, response_topic)},
    {"correlation", WIRE_CORRELATION, TEXT, offsetof(struct wire_props, correlation)},
    {"sub-id", WIRE_SUBSCRIPTION_ID, VARINT, offsetof(struct wire_props, subscription_id)},
    {"session-expiry", WIRE_SESSION_EXPIRY, U32, offsetof(struct wire_props, session_expiry)},
    {"assigned-id", WIRE_ASSIGNED_ID, TEXT, offsetof(struct wire_props, assigned_id)},
    {"server-keepalive", WIRE_SERVER_KEEPALIVE, U16, offsetof(struct wire_props, server_keepalive)},
    {"auth-method", WIRE_AUTH_METHOD, TEXT, offsetof(struct wire_props, auth_method)},
    {"auth-data", WIRE_AUTH_DATA, TEXT, offsetof(struct wire_props, auth_data)},
    {"request-problem", WIRE_REQUEST_PROBLEM, U8, offsetof(struct wire_props, request_problem)},
    {"delay", WIRE_WILL_DELAY, U32, offsetof(struct wire_props, will_delay)},
    {"request-response", WIRE_REQUEST_RESPONSE, U8, offsetof(struct wire_props, request_response)},
    {"response-info", WIRE_RESPONSE_INFO, TEXT, offsetof(struct wire_props, response_info)},
    {"server-reference", WIRE_SERVER_REFERENCE, TEXT, offsetof(struct wire_props, server_reference)},
    {"reason", WIRE_REASON_STRING, TEXT, offsetof(struct wire_props, reason_string)},
    {"receive-max", WIRE_RECEIVE_MAX, U16, offsetof(struct wire_props, receive_max)},
    {"alias-max", WIRE_ALIAS_MAX, U16, offsetof(struct wire_props, alias_max)},
    {"alias", WIRE_ALIAS, U16, offsetof(struct wire_props, alias)},
    {"qos-max", WIRE_QOS_MAX, U8, offsetof(struct wire_props, qos_max)},
    {"retain-available", WIRE_RETAIN_AVAILABLE, U8, offsetof(struct wire_props, retain_available)},
    {"packet-max", WIRE_PACKET_MAX, U32, offsetof(struct wire_props, packet_max)},
    {"wildcards-available", WIRE_WILDCARDS_AVAILABLE, U8, offsetof(struct wire_props, wildcards_available)},
    {"sub-ids-available", WIRE_SUBSCRIPTION_IDS_AVAILABLE, U8,
     offsetof(struct wire_props, subscription_ids_available)},
    {"shared-available", WIRE_SHARED_AVAILABLE, U8, offsetof(struct wire_props, shared_available)},
};

const struct packet_property *packet_property(const char *name)
{
    for (size_t i = 0; i < array_size(properties); i++)
        if (strcmp(properties[i].name, name) == 0)
            return &properties[i];
    return NULL;
}

/* Words that stand alone; quoted they are values. */
static bool is_flag(const struct script_field *field)
{
    static const char *const flags[] = {
        "clean", "dup", "retain", "session-present", "will-retain", "no-local", "retain-as-published"};
    for (size_t i = 0; i < array_size(flags); i++)
        if (!field->quoted && !*field->key && strcmp(field->value, flags[i]) == 0)
            return true;
    return false;
}

/* Gives what was written without a key its name: by its place. */
struct script_fields packet_with_names(struct arena *arena, const char *packet,
                                       const struct script_fields *fields)
{
    struct script_fields named = *fields;
    named.list = arena_alloc(arena, (fields->count + 1) * sizeof *named.list);
    bool publish = strcmp(packet, "PUBLISH") == 0;
    bool answer = strstr(packet, "ACK") != NULL;
    for (size_t i = 0; i < fields->count; i++) {
        struct script_field *field = &named.list[i];
        *field = fields->list[i];
        if (*field->key)
            continue;
        if (is_flag(field)) {
            field->key = field->value;
            field->value = "";
            field->len = 0;
        } else if (publish) {
            field->key = i == 0 ? "topic" : "payload";
        } else {
            field->key = answer ? "code" : "filter";
        }
    }
    return named;
}

enum wire_type packet_type(const char *name)
{
    for (size_t i = 1; i < array_size(names); i++)
        if (strcmp(names[i], name) == 0)
            return (enum wire_type)i;
    return 0;
}

/* ---- a packet to fields -------------------------------------------------------------------------------------------- */

struct reader {
    struct arena *arena;
    struct script_fields fields;
    size_t size;
};

static void add(struct reader *r, const char *key, const void *value, size_t len)
{
    if (r->fields.count == r->size) {
        size_t before = r->size * sizeof *r->fields.list;
        r->size = r->size ? 2 * r->size : 16;
        r->fields.list = arena_grow(r->arena, r->fields.list, before, r->size * sizeof *r->fields.list);
    }
    r->fields.list[r->fields.count++] = (struct script_field){
        .key = key, .value = arena_copy(r->arena, len ? value : "", len), .len = len, .quoted = true};
}

static void add_number(struct reader *r, const char *key, uint64_t number)
{
    char text[24];
    add(r, key, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)number));
}

static void add_text(struct reader *r, const char *key, struct wire_text text)
{
    add(r, key, text.text, text.len);
}

static void add_property(struct reader *r, const struct packet_property *property,
                         const struct wire_props *props)
{
    const char *from = (const char *)props + property->offset;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    struct wire_text text;
    switch (property->kind) {
    case U8: memcpy(&u8, from, sizeof u8), add_number(r, property->name, u8); return;
    case U16: memcpy(&u16, from, sizeof u16), add_number(r, property->name, u16); return;
    case VARINT: return; /* there may be several */
    case U32: memcpy(&u32, from, sizeof u32), add_number(r, property->name, u32); return;
    case TEXT: memcpy(&text, from, sizeof text), add_text(r, property->name, text); return;
    }
}

static void add_properties(struct reader *r, const struct wire_props *props)
{
    for (size_t i = 0; i < array_size(properties); i++)
        if (wire_has(props, properties[i].id))
            add_property(r, &properties[i], props);
    uint32_t at = 0, id;
    while (wire_subscription_id_next(props, &at, &id))
        add_number(r, "sub-id", id);
    struct wire_text key, value;
    for (at = 0; wire_user_next(props, &at, &key, &value);) {
        char *user = arena_alloc(r->arena, (size_t)key.len + value.len + 2);
        int len = snprintf(user, (size_t)key.len + value.len + 2, "%.*s=%.*s", key.len, key.text, value.len,
                           value.text);
        add(r, "user", user, (size_t)len);
    }
}

const char *packet_name(enum wire_type type)
{
    return type && type < (int)array_size(names) ? names[type] : "?";
}

struct script_fields packet_fields(struct arena *arena, const struct wire_packet *packet)
{
    struct reader r = {.arena = arena};
    if (packet->type == WIRE_PUBLISH) {
        add_text(&r, "topic", packet->topic);
        add(&r, "payload", packet->payload, packet->payload_len);
        if (packet->qos)
            add_number(&r, "qos", packet->qos);
        if (packet->dup)
            add(&r, "dup", "", 0);
        if (packet->retain)
            add(&r, "retain", "", 0);
    }
    if (packet->packet_id)
        add_number(&r, "id", packet->packet_id);
    if (packet->session_present)
        add(&r, "session-present", "", 0);
    if (packet->reason || packet->type == WIRE_CONNACK)
        add_number(&r, "rc", packet->reason);
    for (uint32_t i = 0; i < packet->list_len; i++)
        add_number(&r, "code", packet->list[i]);
    add_properties(&r, &packet->props);
    return r.fields;
}

static void print_value(struct arena *arena, const char **line, const struct script_field *field)
{
    enum { SHOWN = 80 };
    bool plain = field->len && field->len <= SHOWN && field->kind == SCRIPT_TEXT;
    for (size_t i = 0; i < field->len && plain; i++)
        plain = field->value[i] > ' ' && field->value[i] < 0x7F && field->value[i] != '"';
    if (plain || field->kind != SCRIPT_TEXT) {
        *line = arena_printf(arena, "%s%s", *line, field->value);
        return;
    }
    *line = arena_printf(arena, "%s\"", *line);
    for (size_t i = 0; i < field->len && i < SHOWN; i++) {
        unsigned char c = (unsigned char)field->value[i];
        bool printable = c >= ' ' && c < 0x7F && c != '"' && c != '\\';
        *line = arena_printf(arena, printable ? "%s%c" : "%s\\x%02x", *line, c);
    }
    *line = arena_printf(arena, field->len > SHOWN ? "%s…\"[%zu]" : "%s\"", *line, field->len);
}

static bool has_value(const struct script_field *field)
{
    return field->len || !is_flag(&(struct script_field){.key = "", .value = field->key});
}

const char *packet_print(struct arena *arena, const char *name, const struct script_fields *fields)
{
    const char *line = name;
    for (size_t i = 0; i < fields->count; i++) {
        const struct script_field *field = &fields->list[i];
        bool code = field_is(field, "rc") || field_is(field, "code");
        uint64_t number;
        if (code && field->kind == SCRIPT_TEXT && script_number(field->value, field->len, 255, &number)) {
            line = arena_printf(arena, number > 9 ? "%s %s0x%02x" : "%s %s%u", line,
                                field_is(field, "rc") ? "rc=" : "", (unsigned)number);
            continue;
        }
        bool by_place =
            code || field_is(field, "topic") || field_is(field, "payload") || field_is(field, "filter");
        line = arena_printf(arena, "%s %s%s", line, by_place ? "" : field->key,
                            by_place || !has_value(field) ? "" : "=");
        if (has_value(field))
            print_value(arena, &line, field);
    }
    return fields->open ? arena_printf(arena, "%s ...", line) : line;
}

/* ---- comparing ----------------------------------------------------------------------------------------------------- */

/* MQTT 3 has no words for these. */
static bool is_of_mqtt5(const struct script_field *field, enum wire_type type)
{
    if (field_is(field, "rc"))
        return type != WIRE_CONNACK;
    if (field_is(field, "code"))
        return type == WIRE_UNSUBACK;
    return field_is(field, "user") || packet_property(field->key);
}

static struct variable *find_variable(struct variables *variables, const char *name, size_t len)
{
    for (size_t i = 0; i < variables->count; i++)
        if (strlen(variables->list[i].name) == len && memcmp(variables->list[i].name, name, len) == 0)
            return &variables->list[i];
    return NULL;
}

static bool has_value_of(const struct variable *variable, const struct script_field *got)
{
    return variable && variable->len == got->len && memcmp(variable->value, got->value, got->len) == 0;
}

void variable_set(struct variables *variables, const char *name, const char *value, size_t len)
{
    size_t name_len = strcspn(name + 1, "!");
    if (find_variable(variables, name + 1, name_len) || variables->count == array_size(variables->list))
        return;
    struct variable *variable = &variables->list[variables->count];
    if (len >= sizeof variable->value || name_len >= sizeof variable->name)
        return;
    variables->count++;
    memcpy(variable->name, name + 1, name_len);
    memcpy(variable->value, value, len);
    variable->len = len;
}

/* "$name" or, when it gets its value now, "$name!other". */
static bool is_variable(const struct script_field *expected, const struct script_field *got,
                        struct variables *variables)
{
    const char *name = expected->value + 1;
    size_t len = strcspn(name, "!");
    const char *other = name[len] ? name + len + 1 : NULL;
    if (other && has_value_of(find_variable(variables, other, strlen(other)), got))
        return false;
    if (!find_variable(variables, name, len))
        variable_set(variables, expected->value, got->value, got->len);
    return has_value_of(find_variable(variables, name, len), got);
}

/* Numbers are compared as numbers, whatever they were written as. */
static bool same_text(const struct script_field *expected, const struct script_field *got)
{
    uint64_t a, b;
    bool text = field_is(got, "topic") || field_is(got, "payload") || field_is(got, "user");
    if (!text && !expected->quoted && script_number(expected->value, expected->len, UINT32_MAX, &a) &&
        script_number(got->value, got->len, UINT32_MAX, &b))
        return a == b;
    return expected->len == got->len && memcmp(expected->value, got->value, got->len) == 0;
}

static bool is_same(const struct script_field *expected, const struct script_field *got,
                    struct variables *variables)
{
    if (expected->kind == SCRIPT_ANYTHING)
        return true;
    if (expected->kind == SCRIPT_TEXT)
        return same_text(expected, got);
    return is_variable(expected, got, variables);
}

static bool is_nothing(const struct script_field *field)
{
    return (field_is(field, "payload") && !field->len) ||
           (field_is(field, "rc") && (field->kind == SCRIPT_ANYTHING || strcmp(field->value, "0") == 0));
}

static bool has_field(const struct script_fields *fields, const struct script_field *named)
{
    for (size_t i = 0; i < fields->count; i++)
        if (strcmp(fields->list[i].key, named->value) == 0)
            return true;
    return false;
}

/* Takes the field out of those that came. Repeated ones must come in the order they are expected, but for Subscription
 * Identifiers: theirs means nothing [MQTT-3.3.4-4]. */
static bool take_match(struct script_fields *got, const struct script_field *expected,
                       struct variables *variables)
{
    for (size_t i = 0; i < got->count; i++) {
        if (strcmp(got->list[i].key, expected->key) != 0)
            continue;
        if (is_same(expected, &got->list[i], variables)) {
            got->count--;
            memmove(&got->list[i], &got->list[i + 1], (got->count - i) * sizeof *got->list);
            return true;
        }
        if (!field_is(expected, "sub-id"))
            return false;
    }
    return is_nothing(expected);
}

const char *packet_differs(struct arena *arena, const char *name, const struct script_fields *expected,
                           const struct wire_packet *packet, struct variables *variables)
{
    struct script_fields got = packet_fields(arena, packet);
    const char *printed = packet_print(arena, packet_name(packet->type), &got);
    if (strcmp(packet_name(packet->type), name) != 0)
        return arena_printf(arena, "%s came", printed);
    struct script_fields named = packet_with_names(arena, name, expected);
    for (size_t i = 0; i < named.count; i++) {
        const struct script_field *field = &named.list[i];
        if (packet->version != WIRE_MQTT5 && is_of_mqtt5(field, packet->type))
            continue;
        if (field_is(field, "without") ? has_field(&got, field) : !take_match(&got, field, variables))
            return arena_printf(arena, "%s came: %s is different", printed, field->key);
    }
    /* A Reason String is for people: it may come where the script does not speak of it. */
    for (size_t i = 0; i < got.count && !expected->open; i++)
        if (!is_nothing(&got.list[i]) && !field_is(&got.list[i], "reason"))
            return arena_printf(arena, "%s came: %s is not expected", printed, got.list[i].key);
    return NULL;
}
