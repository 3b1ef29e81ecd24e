#include "wire/gen.h"

#include <stdlib.h>
#include <string.h>

void gen_seed(struct gen *gen, uint64_t seed)
{
    gen->state = seed * 0x9E3779B97F4A7C15u + 1;
}

uint32_t gen_number(struct gen *gen, uint32_t below)
{
    gen->state ^= gen->state << 13;
    gen->state ^= gen->state >> 7;
    gen->state ^= gen->state << 17;
    return (uint32_t)(gen->state >> 32) % below;
}

static bool one_in(struct gen *gen, uint32_t n)
{
    return gen_number(gen, n) == 0;
}

static uint8_t *room(struct gen *gen, size_t len)
{
    if (GEN_STORAGE - gen->used < len)
        abort();
    gen->used += len;
    return gen->storage + gen->used - len;
}

/* Mostly short; now and then so long that a length takes two bytes. */
static uint16_t length(struct gen *gen)
{
    return (uint16_t)(one_in(gen, 12) ? 100 + gen_number(gen, 200) : gen_number(gen, 12));
}

static struct wire_text binary(struct gen *gen)
{
    uint16_t len = length(gen);
    uint8_t *bytes = room(gen, len);
    for (uint16_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)gen_number(gen, 256);
    return (struct wire_text){(const char *)bytes, len};
}

/* Of characters from one to four bytes, without wildcards. */
static struct wire_text text(struct gen *gen, uint16_t min)
{
    static const char *const characters[] = {
        "a", "Z", " ", "/", "~", "\xC2\xA0", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x82"};
    uint16_t characters_len = (uint16_t)(min + length(gen) / 4), len = 0;
    char *begin = (char *)gen->storage + gen->used;
    for (uint16_t i = 0; i < characters_len; i++) {
        const char *c = characters[gen_number(gen, sizeof characters / sizeof characters[0])];
        memcpy(room(gen, strlen(c)), c, strlen(c));
        len = (uint16_t)(len + strlen(c));
    }
    return (struct wire_text){begin, len};
}

static struct wire_text topic(struct gen *gen)
{
    return text(gen, 1);
}

static struct wire_text filter(struct gen *gen)
{
    static const char *const filters[] = {"#", "+",      "a/#", "+/b/+", "$share/g/a/#",
                                          "/", "$SYS/#", "a/b", "//+"};
    const char *chosen = filters[gen_number(gen, sizeof filters / sizeof filters[0])];
    return one_in(gen, 3) ? topic(gen) : (struct wire_text){chosen, (uint16_t)strlen(chosen)};
}

/* ---- properties ---------------------------------------------------------------------------------------------------- */

static bool maybe(struct gen *gen, struct wire_props *props, enum wire_prop prop)
{
    if (!one_in(gen, 3))
        return false;
    wire_set(props, prop);
    return true;
}

static uint32_t any_u32(struct gen *gen)
{
    return one_in(gen, 2) ? gen_number(gen, 300) : gen_number(gen, UINT32_MAX);
}

static uint32_t subscription_id(struct gen *gen)
{
    static const uint32_t edges[] = {1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455};
    return edges[gen_number(gen, sizeof edges / sizeof edges[0])];
}

/* User properties, and behind them, for the line only, the Subscription Identifiers. */
static void add_many(struct gen *gen, struct wire_props *props, uint32_t ids)
{
    uint8_t *begin = gen->storage + gen->used;
    size_t len = 0;
    for (uint32_t n = one_in(gen, 3) ? gen_number(gen, 4) : 0; n; n--) {
        struct wire_text key = {"key", (uint16_t)gen_number(gen, 4)};
        struct wire_text value = {"the value of it", (uint16_t)gen_number(gen, 16)};
        (void)room(gen, 5u + key.len + value.len);
        len = wire_put_user(begin, len, (size_t)(gen->storage + gen->used - begin), key, value);
        wire_set(props, WIRE_USER_PROPERTY);
    }
    props->extra = begin;
    props->extra_len = (uint32_t)len;
    for (uint32_t i = 0; i < ids; i++) {
        gen->ids[i] = subscription_id(gen);
        *room(gen, 1) = WIRE_SUBSCRIPTION_ID;
        uint32_t rest = gen->ids[i];
        for (; rest >= 128; rest >>= 7)
            *room(gen, 1) = (uint8_t)(rest | 0x80);
        *room(gen, 1) = (uint8_t)rest;
    }
    if (ids) {
        wire_set(props, WIRE_SUBSCRIPTION_ID);
        props->subscription_id = gen->ids[0];
    }
    if (ids > 1) {
        props->ids = gen->ids;
        props->id_count = ids;
    }
    props->bytes = begin;
    props->len = (uint32_t)(gen->storage + gen->used - begin);
}

static void message_props(struct gen *gen, struct wire_props *p)
{
    if (maybe(gen, p, WIRE_PAYLOAD_FORMAT))
        p->payload_format = (uint8_t)gen_number(gen, 2);
    if (maybe(gen, p, WIRE_MESSAGE_EXPIRY))
        p->message_expiry = any_u32(gen);
    if (maybe(gen, p, WIRE_CONTENT_TYPE))
        p->content_type = text(gen, 0);
    if (maybe(gen, p, WIRE_RESPONSE_TOPIC))
        p->response_topic = topic(gen);
    if (maybe(gen, p, WIRE_CORRELATION))
        p->correlation = binary(gen);
}

static void auth_props(struct gen *gen, struct wire_props *p, bool must)
{
    if (!maybe(gen, p, WIRE_AUTH_METHOD) && !must)
        return;
    wire_set(p, WIRE_AUTH_METHOD);
    p->auth_method = text(gen, 1);
    if (maybe(gen, p, WIRE_AUTH_DATA))
        p->auth_data = binary(gen);
}

/* What both ends say of themselves. */
static void terms(struct gen *gen, struct wire_props *p)
{
    if (maybe(gen, p, WIRE_SESSION_EXPIRY))
        p->session_expiry = any_u32(gen);
    if (maybe(gen, p, WIRE_RECEIVE_MAX))
        p->receive_max = (uint16_t)(1 + gen_number(gen, 65535));
    if (maybe(gen, p, WIRE_ALIAS_MAX))
        p->alias_max = (uint16_t)gen_number(gen, 65536);
    if (maybe(gen, p, WIRE_PACKET_MAX))
        p->packet_max = any_u32(gen) | 1;
}

static void connack_props(struct gen *gen, struct wire_props *p)
{
    const struct {
        enum wire_prop prop;
        uint8_t *value;
    } flags[] = {
        {WIRE_QOS_MAX, &p->qos_max},
        {WIRE_RETAIN_AVAILABLE, &p->retain_available},
        {WIRE_WILDCARDS_AVAILABLE, &p->wildcards_available},
        {WIRE_SUBSCRIPTION_IDS_AVAILABLE, &p->subscription_ids_available},
        {WIRE_SHARED_AVAILABLE, &p->shared_available},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (maybe(gen, p, flags[i].prop))
            *flags[i].value = (uint8_t)gen_number(gen, 2);
    if (maybe(gen, p, WIRE_ASSIGNED_ID))
        p->assigned_id = text(gen, 0);
    if (maybe(gen, p, WIRE_SERVER_KEEPALIVE))
        p->server_keepalive = (uint16_t)gen_number(gen, 65536);
    if (maybe(gen, p, WIRE_RESPONSE_INFO))
        p->response_info = text(gen, 0);
}

static void reason_props(struct gen *gen, struct wire_packet *packet)
{
    struct wire_props *p = &packet->props;
    bool may_refer = packet->type == WIRE_CONNACK || packet->type == WIRE_DISCONNECT;
    if (maybe(gen, p, WIRE_REASON_STRING))
        p->reason_string = text(gen, 0);
    if (may_refer && maybe(gen, p, WIRE_SERVER_REFERENCE))
        p->server_reference = text(gen, 0);
}

static void packet_props(struct gen *gen, struct wire_packet *packet, enum wire_side side)
{
    struct wire_props *p = &packet->props;
    uint32_t ids = 0;
    switch (packet->type) {
    case WIRE_CONNECT:
        terms(gen, p);
        auth_props(gen, p, false);
        if (maybe(gen, p, WIRE_REQUEST_PROBLEM))
            p->request_problem = (uint8_t)gen_number(gen, 2);
        if (maybe(gen, p, WIRE_REQUEST_RESPONSE))
            p->request_response = (uint8_t)gen_number(gen, 2);
        break;
    case WIRE_CONNACK:
        terms(gen, p);
        auth_props(gen, p, false);
        connack_props(gen, p);
        reason_props(gen, packet);
        break;
    case WIRE_PUBLISH:
        message_props(gen, p);
        if (maybe(gen, p, WIRE_ALIAS))
            p->alias = (uint16_t)(1 + gen_number(gen, 65535));
        ids = side == WIRE_FROM_SERVER ? gen_number(gen, 4) : 0;
        break;
    case WIRE_SUBSCRIBE: ids = gen_number(gen, 2); break;
    case WIRE_DISCONNECT:
        if (side == WIRE_FROM_CLIENT && maybe(gen, p, WIRE_SESSION_EXPIRY))
            p->session_expiry = any_u32(gen);
        reason_props(gen, packet);
        break;
    case WIRE_AUTH:
        auth_props(gen, p, true);
        reason_props(gen, packet);
        break;
    case WIRE_UNSUBSCRIBE:
    case WIRE_PINGREQ:
    case WIRE_PINGRESP: break;
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBREL:
    case WIRE_PUBCOMP:
    case WIRE_SUBACK:
    case WIRE_UNSUBACK: reason_props(gen, packet); break;
    }
    add_many(gen, p, ids);
}

/* ---- packets ------------------------------------------------------------------------------------------------------- */

bool gen_may_come(enum wire_type type, enum wire_version version, enum wire_side side)
{
    static const enum wire_side sides[] = {
        [WIRE_CONNECT] = WIRE_FROM_CLIENT,     [WIRE_CONNACK] = WIRE_FROM_SERVER,
        [WIRE_SUBSCRIBE] = WIRE_FROM_CLIENT,   [WIRE_SUBACK] = WIRE_FROM_SERVER,
        [WIRE_PINGREQ] = WIRE_FROM_CLIENT,     [WIRE_PINGRESP] = WIRE_FROM_SERVER,
        [WIRE_UNSUBSCRIBE] = WIRE_FROM_CLIENT, [WIRE_UNSUBACK] = WIRE_FROM_SERVER,
    };
    if (type == WIRE_AUTH)
        return version == WIRE_MQTT5;
    if (type == WIRE_DISCONNECT)
        return version == WIRE_MQTT5 || side == WIRE_FROM_CLIENT;
    if (type >= WIRE_PUBLISH && type <= WIRE_PUBCOMP)
        return true;
    return sides[type] == side;
}

static void gen_connect(struct gen *gen, struct wire_packet *p)
{
    p->clean_start = one_in(gen, 2);
    p->keepalive_s = (uint16_t)gen_number(gen, 65536);
    p->client_id = text(gen, 0);
    p->has_username = one_in(gen, 2);
    p->has_password = one_in(gen, 2) && (p->has_username || p->version == WIRE_MQTT5);
    p->username = text(gen, 0);
    p->password = binary(gen);
    p->has_will = one_in(gen, 2);
    if (!p->has_will)
        return;
    p->will.qos = (uint8_t)gen_number(gen, 3);
    p->will.retain = one_in(gen, 2);
    p->will.topic = topic(gen);
    p->will.payload = binary(gen);
    if (p->version != WIRE_MQTT5)
        return;
    message_props(gen, &p->will.props);
    if (maybe(gen, &p->will.props, WIRE_WILL_DELAY))
        p->will.props.will_delay = any_u32(gen);
    add_many(gen, &p->will.props, 0);
}

static void gen_publish(struct gen *gen, struct wire_packet *p)
{
    p->qos = (uint8_t)gen_number(gen, 3);
    p->dup = p->qos && one_in(gen, 2);
    p->retain = one_in(gen, 2);
    p->packet_id = p->qos ? p->packet_id : 0;
    p->topic = wire_has(&p->props, WIRE_ALIAS) && one_in(gen, 2) ? (struct wire_text){0} : topic(gen);
    struct wire_text payload = binary(gen);
    p->payload = (const uint8_t *)payload.text;
    p->payload_len = payload.len;
}

static void gen_filters(struct gen *gen, struct wire_packet *p)
{
    size_t len = 0;
    for (uint32_t n = 1 + gen_number(gen, 4); n; n--) {
        struct wire_filter f = {.filter = filter(gen)};
        struct wire_text name, inner;
        if (p->type == WIRE_SUBSCRIBE)
            f.qos = (uint8_t)gen_number(gen, 3);
        if (p->type == WIRE_SUBSCRIBE && p->version == WIRE_MQTT5) {
            f.no_local = one_in(gen, 2) && !wire_filter_is_shared(f.filter.text, f.filter.len, &name, &inner);
            f.retain_as_published = one_in(gen, 2);
            f.retain_handling = (uint8_t)gen_number(gen, 3);
        }
        len = wire_put_filter(gen->list, len, sizeof gen->list, p->type, &f);
    }
    p->list = gen->list;
    p->list_len = (uint32_t)len;
}

static void gen_codes(struct gen *gen, struct wire_packet *p)
{
    static const uint8_t old[] = {0, 1, 2, 0x80}, new[] = {0, 1, 2, 0x80, 0x87, 0x8F, 0x97, 0x9E, 0xA1};
    bool is_new = p->version == WIRE_MQTT5;
    uint8_t *codes = room(gen, 8);
    for (size_t i = 0; i < 8; i++)
        codes[i] = is_new ? new[gen_number(gen, sizeof new)] : old[gen_number(gen, sizeof old)];
    p->list = codes;
    p->list_len = p->type == WIRE_UNSUBACK && !is_new ? 0 : 1 + gen_number(gen, 8);
}

static uint8_t gen_reason(struct gen *gen, enum wire_type type, enum wire_version version)
{
    if (type == WIRE_CONNACK && version != WIRE_MQTT5)
        return (uint8_t)gen_number(gen, 6);
    if (version != WIRE_MQTT5 || (one_in(gen, 2) && type != WIRE_AUTH))
        return WIRE_SUCCESS;
    switch (type) {
    case WIRE_CONNACK:
    case WIRE_PUBACK:
    case WIRE_PUBREC: return WIRE_NOT_AUTHORIZED;
    case WIRE_PUBREL:
    case WIRE_PUBCOMP: return WIRE_ID_NOT_FOUND;
    case WIRE_DISCONNECT: return WIRE_PROTOCOL_ERROR;
    case WIRE_AUTH: return one_in(gen, 2) ? WIRE_CONTINUE_AUTHENTICATION : WIRE_REAUTHENTICATE;
    default: return WIRE_SUCCESS;
    }
}

void gen_packet(struct gen *gen, struct wire_packet *p, enum wire_type type, enum wire_version version,
                enum wire_side side)
{
    gen->used = 0;
    *p = (struct wire_packet){.type = type, .version = version};
    if (type >= WIRE_PUBLISH && type <= WIRE_UNSUBACK)
        p->packet_id = (uint16_t)(1 + gen_number(gen, 65535));
    p->reason = gen_reason(gen, type, version);
    if (version == WIRE_MQTT5 && type != WIRE_PINGREQ && type != WIRE_PINGRESP)
        packet_props(gen, p, side);
    switch (type) {
    case WIRE_CONNECT: gen_connect(gen, p); break;
    case WIRE_CONNACK: p->session_present = version != WIRE_MQTT31 && !p->reason && one_in(gen, 2); break;
    case WIRE_PUBLISH: gen_publish(gen, p); break;
    case WIRE_SUBSCRIBE:
    case WIRE_UNSUBSCRIBE: gen_filters(gen, p); break;
    case WIRE_SUBACK:
    case WIRE_UNSUBACK: gen_codes(gen, p); break;
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBREL:
    case WIRE_PUBCOMP:
    case WIRE_PINGREQ:
    case WIRE_PINGRESP:
    case WIRE_DISCONNECT:
    case WIRE_AUTH: break;
    }
}
