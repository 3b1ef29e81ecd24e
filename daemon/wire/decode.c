/* Bytes to packets. A cursor walks the body; what cannot be taken leaves it failed, and one check at the end of each
 * packet says so. */
#include "wire/props.h"

#include <string.h>

int wire_frame(const uint8_t *bytes, size_t len, size_t max, struct wire_frame *frame)
{
    frame->total = 0;
    if (len && bytes[0] < WIRE_CONNECT << 4)
        return -WIRE_MALFORMED; /* type 0 is reserved */
    if (len < 2)
        return 0;
    uint32_t remaining;
    int n = varint_read(bytes + 1, len - 1, &remaining);
    if (n < 0)
        return -WIRE_MALFORMED;
    if (n == 0)
        return 0;
    frame->header = bytes[0];
    frame->body = bytes + 1 + n;
    frame->body_len = remaining;
    frame->total = 1 + (uint32_t)n + remaining;
    if (frame->total > max)
        return -WIRE_TOO_LARGE;
    return len >= frame->total;
}

struct cursor {
    const uint8_t *at, *end;
    bool failed;
};

static uint8_t take_byte(struct cursor *c)
{
    if (c->failed || c->at == c->end) {
        c->failed = true;
        return 0;
    }
    return *c->at++;
}

static uint16_t take_u16(struct cursor *c)
{
    if (c->failed || c->end - c->at < 2) {
        c->failed = true;
        return 0;
    }
    c->at += 2;
    return (uint16_t)(c->at[-2] << 8 | c->at[-1]);
}

static struct wire_text take_binary(struct cursor *c)
{
    uint16_t len = take_u16(c);
    if (c->failed || c->end - c->at < len) {
        c->failed = true;
        return (struct wire_text){0};
    }
    struct wire_text text = {(const char *)c->at, len};
    c->at += len;
    return text;
}

static struct wire_text take_text(struct cursor *c)
{
    struct wire_text text = take_binary(c);
    if (!c->failed && !wire_utf8_is_valid(text.text, text.len))
        c->failed = true; /* [MQTT-1.5.4-1] */
    return text;
}

/* The properties must be clear. */
static uint8_t take_props(struct cursor *c, struct wire_props *props, unsigned place, enum wire_side side,
                          const char **why)
{
    uint32_t len;
    if (!c->failed && c->at < c->end && !*c->at) { /* most packets have none */
        c->at++;
        return 0;
    }
    int n = c->failed ? -1 : varint_read(c->at, (size_t)(c->end - c->at), &len);
    if (n <= 0 || (size_t)n != varint_size(len) || (size_t)(c->end - c->at - n) < len) {
        *why = "the properties are cut off";
        return WIRE_MALFORMED;
    }
    c->at += n;
    uint8_t reason = props_decode(props, c->at, len, place, side, why);
    c->at += len;
    return reason;
}

static uint8_t malformed(const char **why, const char *what)
{
    *why = what;
    return WIRE_MALFORMED;
}

static uint8_t protocol_error(const char **why, const char *what)
{
    *why = what;
    return WIRE_PROTOCOL_ERROR;
}

/* ---- CONNECT ------------------------------------------------------------------------------------------------------- */

static bool is_name(struct wire_text name, const char *expected)
{
    return name.len == strlen(expected) && memcmp(name.text, expected, name.len) == 0;
}

static uint8_t decode_will_flags(struct wire_packet *p, uint8_t flags, const char **why)
{
    p->will.qos = flags >> 3 & 3;
    p->will.retain = flags >> 5 & 1;
    p->has_will = flags & 4;
    if (!p->has_will)
        return p->will.qos || p->will.retain ? malformed(why, "will flags without a will")
                                             : 0; /* [MQTT-3.1.2-11, -13] */
    if (p->will.qos == 3)
        return malformed(why, "a will with QoS 3"); /* [MQTT-3.1.2-12] */
    return 0;
}

static uint8_t decode_connect(struct cursor *c, struct wire_packet *p, const char **why)
{
    struct wire_text name = take_text(c);
    uint8_t level = take_byte(c);
    if (c->failed)
        return malformed(why, "CONNECT is cut off");
    bool mqisdp = is_name(name, "MQIsdp");
    if (!mqisdp && !is_name(name, "MQTT"))
        return malformed(why, "CONNECT of another protocol"); /* [MQTT-3.1.2-1] */
    p->version = (enum wire_version)level;
    if (mqisdp ? level != WIRE_MQTT31 : level != WIRE_MQTT311 && level != WIRE_MQTT5) {
        *why = "an unknown protocol level";
        return WIRE_UNSUPPORTED_VERSION; /* [MQTT-3.1.2-2] */
    }

    uint8_t flags = take_byte(c);
    p->keepalive_s = take_u16(c);
    if (c->failed)
        return malformed(why, "CONNECT is cut off");
    if (flags & 1)
        return malformed(why, "the reserved connect flag is set"); /* [MQTT-3.1.2-3] */
    p->clean_start = flags >> 1 & 1;
    p->has_password = flags >> 6 & 1;
    p->has_username = flags >> 7 & 1;
    uint8_t reason = decode_will_flags(p, flags, why);
    if (reason)
        return reason;
    if (p->has_password && !p->has_username && p->version != WIRE_MQTT5)
        return malformed(why, "a password without a user name"); /* 3.1.1 [MQTT-3.1.2-22] */

    if (p->version == WIRE_MQTT5 && (reason = take_props(c, &p->props, WIRE_CONNECT, WIRE_FROM_CLIENT, why)))
        return reason;
    p->client_id = take_text(c);
    if (p->has_will) {
        props_clear(&p->will.props);
        if (p->version == WIRE_MQTT5 && !c->failed &&
            (reason = take_props(c, &p->will.props, PROPS_WILL, WIRE_FROM_CLIENT, why)))
            return reason;
        p->will.topic = take_text(c);
        p->will.payload = take_binary(c);
        if (!c->failed && !wire_topic_is_valid(p->will.topic.text, p->will.topic.len)) {
            *why = "the will's topic is empty or has a wildcard";
            return WIRE_TOPIC_INVALID;
        }
    }
    /* MQTT 3.1: user name and password may be promised by the flags and missing all the same. */
    bool may_miss = p->version == WIRE_MQTT31;
    if (may_miss && c->at == c->end)
        p->has_username = p->has_password = false;
    if (p->has_username)
        p->username = take_text(c);
    if (may_miss && c->at == c->end)
        p->has_password = false;
    if (p->has_password)
        p->password = take_binary(c);
    return 0;
}

static uint8_t decode_connack(struct cursor *c, struct wire_packet *p, const char **why)
{
    uint8_t flags = take_byte(c);
    p->reason = take_byte(c);
    if (p->version == WIRE_MQTT31)
        return 0; /* which does not use the flags */
    if (!c->failed && flags & 0xFE)
        return malformed(why, "reserved CONNACK flags are set"); /* [MQTT-3.2.2-1] */
    p->session_present = flags & 1;
    if (p->version == WIRE_MQTT5 && !c->failed)
        return take_props(c, &p->props, WIRE_CONNACK, WIRE_FROM_SERVER, why);
    return 0;
}

/* ---- PUBLISH and acknowledgements ----------------------------------------------------------------------------------- */

static uint8_t decode_publish(struct cursor *c, struct wire_packet *p, uint8_t flags, enum wire_side side,
                              const char **why)
{
    p->dup = flags >> 3 & 1;
    p->qos = flags >> 1 & 3;
    p->retain = flags & 1;
    if (p->qos == 3)
        return malformed(why, "PUBLISH with QoS 3"); /* [MQTT-3.3.1-4] */
    if (p->dup && !p->qos)
        return malformed(why, "PUBLISH with DUP and QoS 0"); /* [MQTT-3.3.1-2] */
    p->topic = take_text(c);
    if (p->qos) {
        p->packet_id = take_u16(c);
        if (!c->failed && !p->packet_id)
            return protocol_error(why, "PUBLISH with packet identifier 0"); /* [MQTT-2.2.1-3] */
    }
    if (p->version == WIRE_MQTT5 && !c->failed) {
        uint8_t reason = take_props(c, &p->props, WIRE_PUBLISH, side, why);
        if (reason)
            return reason;
    }
    if (c->failed)
        return malformed(why, "PUBLISH is cut off or its topic is not UTF-8");
    bool by_alias = !p->topic.len && wire_has(&p->props, WIRE_ALIAS);
    if (!by_alias && !p->topic.len)
        return protocol_error(why, "PUBLISH without a topic"); /* [MQTT-4.7.3-1] */
    if (!by_alias && !wire_topic_is_valid(p->topic.text, p->topic.len)) {
        *why = "PUBLISH on a topic with a wildcard"; /* [MQTT-3.3.2-2] */
        return WIRE_TOPIC_INVALID;
    }
    p->payload = c->at;
    p->payload_len = (uint32_t)(c->end - c->at);
    c->at = c->end;
    return 0;
}

/* PUBACK, PUBREC, PUBREL, PUBCOMP: reason and properties may be left out under MQTT 5. */
static uint8_t decode_ack(struct cursor *c, struct wire_packet *p, enum wire_side side, const char **why)
{
    p->packet_id = take_u16(c);
    if (!c->failed && !p->packet_id)
        return protocol_error(why, "an acknowledgement of packet identifier 0");
    if (p->version != WIRE_MQTT5 || c->failed || c->at == c->end)
        return 0;
    p->reason = take_byte(c);
    if (c->at == c->end)
        return 0;
    return take_props(c, &p->props, p->type, side, why);
}

/* DISCONNECT, AUTH: the same without a packet id. */
static uint8_t decode_goodbye(struct cursor *c, struct wire_packet *p, enum wire_side side, const char **why)
{
    if (c->at == c->end)
        return 0;
    if (p->version != WIRE_MQTT5)
        return malformed(why, "DISCONNECT with a body");
    p->reason = take_byte(c);
    uint8_t reason = c->at == c->end ? 0 : take_props(c, &p->props, p->type, side, why);
    if (reason)
        return reason;
    /* A server's success may be said in the short form, which has no room for the method. */
    if (p->type == WIRE_AUTH && p->reason && !wire_has(&p->props, WIRE_AUTH_METHOD))
        return protocol_error(why, "AUTH without Authentication Method");
    return 0;
}

/* ---- SUBSCRIBE and its kin ------------------------------------------------------------------------------------------ */

static uint8_t check_options(uint8_t options, const struct wire_packet *p, bool shared, const char **why)
{
    bool is_new =
        p->version == WIRE_MQTT5; /* which calls other mistakes malformed than 3.1.1 [MQTT-3.8.3-4] does */
    if ((options & 3) == 3)
        return is_new ? protocol_error(why, "a subscription with QoS 3")
                      : malformed(why, "a subscription with QoS 3");
    if (options & (is_new ? 0xC0 : 0xFC))
        return malformed(why, "reserved subscription options are set"); /* [MQTT-3.8.3-5] */
    if ((options & 0x30) == 0x30)
        return protocol_error(why, "Retain Handling is 3");
    if (shared && options & 4)
        return protocol_error(why, "No Local on a shared subscription"); /* [MQTT-3.8.3-4] */
    return 0;
}

static uint8_t check_filters(struct cursor c, const struct wire_packet *p, const char **why)
{
    if (c.at == c.end)
        return protocol_error(why, "no topic filter"); /* [MQTT-3.8.3-2], [MQTT-3.10.3-2] */
    while (c.at < c.end) {
        struct wire_text filter = take_text(&c);
        uint8_t options = p->type == WIRE_SUBSCRIBE ? take_byte(&c) : 0;
        if (c.failed)
            return malformed(why, "a topic filter is cut off or not UTF-8");
        struct wire_text name, inner;
        bool shared = wire_filter_is_shared(filter.text, filter.len, &name, &inner);
        if (shared ? inner.len && !wire_filter_is_valid(inner.text, inner.len)
                   : !wire_filter_is_valid(filter.text, filter.len))
            return malformed(why, "a topic filter is empty or has a wildcard amiss"); /* [MQTT-4.7.1-1, -2] */
        uint8_t reason = check_options(options, p, shared, why);
        if (reason)
            return reason;
    }
    return 0;
}

/* SUBACK: QoS or refusal. 3.1.1 has one refusal, in MQTT 5 a server may know more of them than we do. [MQTT-3.9.3-2] */
static uint8_t check_codes(const struct wire_packet *p, const char **why)
{
    if (!p->list_len)
        return protocol_error(why, "an acknowledgement without codes");
    for (uint32_t i = 0; p->type == WIRE_SUBACK && i < p->list_len; i++)
        if (p->list[i] > 2 && (p->version == WIRE_MQTT5 ? p->list[i] < 0x80 : p->list[i] != 0x80))
            return malformed(why, "a SUBACK code that is reserved");
    return 0;
}

static uint8_t decode_list(struct cursor *c, struct wire_packet *p, enum wire_side side, const char **why)
{
    p->packet_id = take_u16(c);
    if (!c->failed && !p->packet_id)
        return protocol_error(why, "packet identifier 0"); /* [MQTT-2.2.1-3] */
    if (p->version == WIRE_MQTT5 && !c->failed) {
        uint8_t reason = take_props(c, &p->props, p->type, side, why);
        if (reason)
            return reason;
    }
    if (c->failed)
        return malformed(why, "the packet is cut off");
    p->list = c->at;
    p->list_len = (uint32_t)(c->end - c->at);
    struct cursor items = *c;
    c->at = c->end;
    if (p->type == WIRE_SUBSCRIBE || p->type == WIRE_UNSUBSCRIBE)
        return check_filters(items, p, why);
    if (p->type == WIRE_UNSUBACK && p->version != WIRE_MQTT5)
        return p->list_len ? malformed(why, "UNSUBACK with a payload") : 0;
    return check_codes(p, why);
}

bool wire_filter_next(const struct wire_packet *packet, uint32_t *at, struct wire_filter *filter)
{
    if (*at >= packet->list_len)
        return false;
    struct cursor c = {packet->list + *at, packet->list + packet->list_len, false};
    *filter = (struct wire_filter){.filter = take_binary(&c)};
    if (packet->type == WIRE_SUBSCRIBE) {
        uint8_t options = take_byte(&c);
        filter->qos = options & 3;
        filter->no_local = options >> 2 & 1;
        filter->retain_as_published = options >> 3 & 1;
        filter->retain_handling = options >> 4 & 3;
    }
    *at = (uint32_t)(c.at - packet->list);
    return !c.failed;
}

/* ---- all of them ---------------------------------------------------------------------------------------------------- */

/* Fixed header flags that each type must have; PUBLISH has its own. [MQTT-2.1.3-1] In 3.1, where those of 2 were messages
 * of QoS 1, DUP may say that it comes again. */
static bool flags_are_right(enum wire_type type, enum wire_version version, uint8_t flags)
{
    switch (type) {
    case WIRE_PUBLISH: return true;
    case WIRE_PUBREL:
    case WIRE_SUBSCRIBE:
    case WIRE_UNSUBSCRIBE: return flags == 2 || (flags == 10 && version == WIRE_MQTT31);
    default: return flags == 0;
    }
}

/* Is the remaining length written with more bytes than it takes? */
static bool is_padded(const struct wire_frame *frame)
{
    return frame->total - frame->body_len != 1 + varint_size(frame->body_len);
}

static bool may_come(enum wire_type type, enum wire_version version, enum wire_side side)
{
    switch (type) {
    case WIRE_CONNECT:
    case WIRE_SUBSCRIBE:
    case WIRE_UNSUBSCRIBE:
    case WIRE_PINGREQ: return side == WIRE_FROM_CLIENT;
    case WIRE_CONNACK:
    case WIRE_SUBACK:
    case WIRE_UNSUBACK:
    case WIRE_PINGRESP: return side == WIRE_FROM_SERVER;
    case WIRE_DISCONNECT: return side == WIRE_FROM_CLIENT || version == WIRE_MQTT5;
    case WIRE_AUTH: return version == WIRE_MQTT5;
    case WIRE_PUBLISH:
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBREL:
    case WIRE_PUBCOMP: return true;
    }
    return false;
}

static uint8_t decode_body(struct cursor *c, struct wire_packet *p, uint8_t flags, enum wire_side side,
                           const char **why)
{
    switch (p->type) {
    case WIRE_CONNECT: return decode_connect(c, p, why);
    case WIRE_CONNACK: return decode_connack(c, p, why);
    case WIRE_PUBLISH: return decode_publish(c, p, flags, side, why);
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBREL:
    case WIRE_PUBCOMP: return decode_ack(c, p, side, why);
    case WIRE_SUBSCRIBE:
    case WIRE_SUBACK:
    case WIRE_UNSUBSCRIBE:
    case WIRE_UNSUBACK: return decode_list(c, p, side, why);
    case WIRE_DISCONNECT:
    case WIRE_AUTH: return decode_goodbye(c, p, side, why);
    case WIRE_PINGREQ:
    case WIRE_PINGRESP: return 0;
    }
    return WIRE_MALFORMED;
}

uint8_t wire_decode(struct wire_packet *packet, const struct wire_frame *frame, enum wire_version version,
                    enum wire_side side, const char **why)
{
    uint8_t flags = frame->header & 15;
    packet->type = (enum wire_type)(frame->header >> 4);
    packet->version = version;
    packet->packet_id = 0;
    packet->reason = 0;
    packet->list = NULL;
    packet->list_len = 0;
    packet->has_will = packet->has_username = packet->has_password = false;
    packet->session_present = false;
    props_clear(&packet->props);

    if (!may_come(packet->type, version, side))
        return protocol_error(why, "a packet that does not come from this side");
    if (!flags_are_right(packet->type, version, flags))
        return malformed(why, "reserved flags in the fixed header");
    struct cursor c = {frame->body, frame->body + frame->body_len, false};
    uint8_t reason = decode_body(&c, packet, flags, side, why);
    if (reason)
        return reason;
    if (c.failed)
        return malformed(why, "the packet is cut off or a string in it is not UTF-8");
    if (c.at != c.end)
        return malformed(why, "bytes behind the end of the packet");
    if (packet->version == WIRE_MQTT5 && is_padded(frame))
        return malformed(why,
                         "the remaining length is longer than need be"); /* [MQTT-1.5.5-1]; 3.1.1 allows it */
    /* A server may know newer reasons than we do; a client that makes some up is refused. [MQTT-3.4.2-1, 3.14.2-1] */
    if (side == WIRE_FROM_CLIENT && version == WIRE_MQTT5 && !reason_may_come(packet->type, packet->reason))
        return protocol_error(why, "a reason code that does not belong in this packet");
    return 0;
}
