/* MQTT on the wire: bytes to packets and back, 3.1, 3.1.1 and 5.0.
 *
 * Pure ISO C without heap, I/O, clock or globals, so that the daemon, the command line, the plugin host and the firmware
 * of a node with 64 KB share it. A decoded packet is a view: its pointers go into the bytes it was decoded from. The same
 * struct is what one fills in to encode; only user properties and further Subscription Identifiers are given to encode
 * another way, as `extra` and `ids` of struct wire_props.
 *
 *      bytes ─▶ wire_frame(): is a whole packet there? ─▶ wire_decode(): struct wire_packet
 *      struct wire_packet ─▶ wire_encode(): bytes
 *
 * Decoding checks everything that one packet alone can show; what needs a connection's state (is the alias known, is the
 * packet id in use) is the caller's. Source of all numbers: OASIS MQTT 3.1.1 and 5.0.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire_version { WIRE_MQTT31 = 3, WIRE_MQTT311 = 4, WIRE_MQTT5 = 5 };

enum wire_type {
    WIRE_CONNECT = 1,
    WIRE_CONNACK,
    WIRE_PUBLISH,
    WIRE_PUBACK,
    WIRE_PUBREC,
    WIRE_PUBREL,
    WIRE_PUBCOMP,
    WIRE_SUBSCRIBE,
    WIRE_SUBACK,
    WIRE_UNSUBSCRIBE,
    WIRE_UNSUBACK,
    WIRE_PINGREQ,
    WIRE_PINGRESP,
    WIRE_DISCONNECT,
    WIRE_AUTH
};

/* MQTT 5 reason codes. The CONNACK return codes of 3.1.1 are 0 to 5: wire_connack_code() translates. */
enum wire_reason {
    WIRE_SUCCESS = 0x00,
    WIRE_GRANTED_QOS1 = 0x01,
    WIRE_GRANTED_QOS2 = 0x02,
    WIRE_DISCONNECT_WITH_WILL = 0x04,
    WIRE_NO_MATCHING_SUBSCRIBERS = 0x10,
    WIRE_NO_SUBSCRIPTION_EXISTED = 0x11,
    WIRE_CONTINUE_AUTHENTICATION = 0x18,
    WIRE_REAUTHENTICATE = 0x19,
    WIRE_UNSPECIFIED = 0x80,
    WIRE_MALFORMED = 0x81,
    WIRE_PROTOCOL_ERROR = 0x82,
    WIRE_IMPLEMENTATION_ERROR = 0x83,
    WIRE_UNSUPPORTED_VERSION = 0x84,
    WIRE_CLIENT_ID_INVALID = 0x85,
    WIRE_BAD_CREDENTIALS = 0x86,
    WIRE_NOT_AUTHORIZED = 0x87,
    WIRE_SERVER_UNAVAILABLE = 0x88,
    WIRE_SERVER_BUSY = 0x89,
    WIRE_BANNED = 0x8A,
    WIRE_SHUTTING_DOWN = 0x8B,
    WIRE_BAD_AUTH_METHOD = 0x8C,
    WIRE_KEEPALIVE_TIMEOUT = 0x8D,
    WIRE_TAKEN_OVER = 0x8E,
    WIRE_FILTER_INVALID = 0x8F,
    WIRE_TOPIC_INVALID = 0x90,
    WIRE_ID_IN_USE = 0x91,
    WIRE_ID_NOT_FOUND = 0x92,
    WIRE_RECEIVE_MAX_EXCEEDED = 0x93,
    WIRE_ALIAS_INVALID = 0x94,
    WIRE_TOO_LARGE = 0x95,
    WIRE_RATE_TOO_HIGH = 0x96,
    WIRE_QUOTA_EXCEEDED = 0x97,
    WIRE_ADMINISTRATIVE = 0x98,
    WIRE_FORMAT_INVALID = 0x99,
    WIRE_RETAIN_UNSUPPORTED = 0x9A,
    WIRE_QOS_UNSUPPORTED = 0x9B,
    WIRE_USE_ANOTHER_SERVER = 0x9C,
    WIRE_SERVER_MOVED = 0x9D,
    WIRE_SHARED_UNSUPPORTED = 0x9E,
    WIRE_CONNECT_RATE = 0x9F,
    WIRE_CONNECT_TIME = 0xA0,
    WIRE_SUBSCRIPTION_IDS_UNSUPPORTED = 0xA1,
    WIRE_WILDCARDS_UNSUPPORTED = 0xA2
};

/* The name the standard gives a reason code; "unknown reason" for others. */
const char *wire_reason_text(uint8_t reason);
/* What a 3.1.1 CONNACK says for an MQTT 5 reason code: 0 to 5; and the other way round. */
uint8_t wire_connack_code(uint8_t reason);
uint8_t wire_connack_reason(uint8_t code);

/* ---- strings, topics, filters ------------------------------------------------------------------------------------- */

/* Bytes of a packet: UTF-8 without U+0000 for strings, anything for binary data. Not NUL-terminated. */
struct wire_text {
    const char *text;
    uint16_t len;
};

enum { WIRE_TEXT_MAX = 65535, WIRE_REMAINING_MAX = 268435455 };

/* Well-formed UTF-8 without U+0000, surrogates, control characters and non-characters. [MQTT-1.5.4-1, -2] */
bool wire_utf8_is_valid(const char *text, size_t len);
/* At least one character, no wildcard. The text must be valid UTF-8. [MQTT-3.3.2-2, 4.7.3-1] */
bool wire_topic_is_valid(const char *topic, size_t len);
/* At least one character; `#` last and alone in its level, `+` alone in its level; if it begins with $share/, a NAME
 * without wildcards and a FILTER must follow [MQTT-4.8.2-1, -2]. */
bool wire_filter_is_valid(const char *filter, size_t len);
/* Does it begin with $share/? Then where NAME and FILTER are; they may be empty if the filter is not valid. */
bool wire_filter_is_shared(const char *filter, size_t len, struct wire_text *name, struct wire_text *inner);

/* ---- properties --------------------------------------------------------------------------------------------------- */

enum wire_prop {
    WIRE_PAYLOAD_FORMAT = 0x01,
    WIRE_MESSAGE_EXPIRY = 0x02,
    WIRE_CONTENT_TYPE = 0x03,
    WIRE_RESPONSE_TOPIC = 0x08,
    WIRE_CORRELATION = 0x09,
    WIRE_SUBSCRIPTION_ID = 0x0B,
    WIRE_SESSION_EXPIRY = 0x11,
    WIRE_ASSIGNED_ID = 0x12,
    WIRE_SERVER_KEEPALIVE = 0x13,
    WIRE_AUTH_METHOD = 0x15,
    WIRE_AUTH_DATA = 0x16,
    WIRE_REQUEST_PROBLEM = 0x17,
    WIRE_WILL_DELAY = 0x18,
    WIRE_REQUEST_RESPONSE = 0x19,
    WIRE_RESPONSE_INFO = 0x1A,
    WIRE_SERVER_REFERENCE = 0x1C,
    WIRE_REASON_STRING = 0x1F,
    WIRE_RECEIVE_MAX = 0x21,
    WIRE_ALIAS_MAX = 0x22,
    WIRE_ALIAS = 0x23,
    WIRE_QOS_MAX = 0x24,
    WIRE_RETAIN_AVAILABLE = 0x25,
    WIRE_USER_PROPERTY = 0x26,
    WIRE_PACKET_MAX = 0x27,
    WIRE_WILDCARDS_AVAILABLE = 0x28,
    WIRE_SUBSCRIPTION_IDS_AVAILABLE = 0x29,
    WIRE_SHARED_AVAILABLE = 0x2A
};

/* The properties of one packet. A value counts only if its bit is in `present`: wire_has(), wire_set(). */
struct wire_props {
    uint64_t present;     /* bit per identifier */
    const uint8_t *bytes; /* decoded: as they came, without their length */
    uint32_t len;
    const uint8_t *extra; /* to encode: further properties, encoded already, behind the others */
    uint32_t extra_len;
    const uint32_t *ids; /* to encode: several Subscription Identifiers, in place of subscription_id */
    uint32_t id_count;
    uint32_t message_expiry, session_expiry, will_delay, packet_max;
    uint32_t subscription_id; /* decoded: the first */
    uint16_t server_keepalive, receive_max, alias_max, alias;
    uint8_t payload_format, request_problem, request_response, qos_max, retain_available;
    uint8_t wildcards_available, subscription_ids_available, shared_available;
    struct wire_text content_type, response_topic, correlation, assigned_id, auth_method, auth_data,
        response_info, server_reference, reason_string;
};

static inline bool wire_has(const struct wire_props *props, enum wire_prop prop)
{
    return props->present >> prop & 1;
}

static inline void wire_set(struct wire_props *props, enum wire_prop prop)
{
    props->present |= (uint64_t)1 << prop;
}

/* The next user property of decoded properties; *at begins at 0. */
bool wire_user_next(const struct wire_props *props, uint32_t *at, struct wire_text *key,
                    struct wire_text *value);

/* The next Subscription Identifier, the same way. */
bool wire_subscription_id_next(const struct wire_props *props, uint32_t *at, uint32_t *subscription_id);
/* Appends a user property for wire_props.extra to a buffer: returns its new length, 0 when it does not fit. */
size_t wire_put_user(uint8_t *extra, size_t len, size_t size, struct wire_text key, struct wire_text value);

/* Copies the properties of a decoded PUBLISH or will that travel with the message (payload format, content type,
 * response topic, correlation data, user properties: in the order they came [MQTT-3.3.2-18]) to out, which has room for
 * props->len bytes; returns how many. *response_at and *correlation_at are where those two values begin in out, SIZE_MAX
 * when absent. */
size_t wire_props_forwardable(const struct wire_props *props, uint8_t *out, size_t *response_at,
                              size_t *correlation_at);

/* ---- packets ------------------------------------------------------------------------------------------------------ */

struct wire_will {
    struct wire_text topic;
    struct wire_text payload;
    struct wire_props props;
    uint8_t qos;
    bool retain;
};

struct wire_packet {
    enum wire_type type;
    enum wire_version version;
    uint16_t packet_id; /* 0 where there is none */
    uint8_t reason;     /* CONNACK (3.1.1: return code), acknowledgements, DISCONNECT, AUTH */

    uint8_t qos; /* PUBLISH */
    bool dup, retain;
    struct wire_text topic;
    const uint8_t *payload;
    uint32_t payload_len;

    const uint8_t *list; /* SUBSCRIBE, UNSUBSCRIBE: filters as on the wire; SUBACK, UNSUBACK: a code each */
    uint32_t list_len;

    bool session_present; /* CONNACK */

    bool clean_start, has_will, has_username, has_password; /* CONNECT */
    uint16_t keepalive_s;
    struct wire_text client_id, username, password;

    struct wire_props props;
    struct wire_will will; /* CONNECT, if has_will. Last: only then it is written */
};

struct wire_filter {
    struct wire_text filter;
    uint8_t qos; /* SUBSCRIBE only, as all below */
    bool no_local, retain_as_published;
    uint8_t retain_handling;
};

/* The next filter of a decoded SUBSCRIBE or UNSUBSCRIBE; *at begins at 0. Its wildcards are in order, but a $share filter
 * without NAME or FILTER comes through: that is for SUBACK to refuse, filter by filter. */
bool wire_filter_next(const struct wire_packet *packet, uint32_t *at, struct wire_filter *filter);
/* Appends a filter for wire_packet.list to a buffer: returns its new length, 0 when it does not fit. */
size_t wire_put_filter(uint8_t *list, size_t len, size_t size, enum wire_type type,
                       const struct wire_filter *filter);

struct wire_frame {
    const uint8_t *body; /* behind the fixed header */
    uint32_t body_len;
    uint32_t total; /* bytes of the whole packet, header included */
    uint8_t header; /* type and flags */
};

/* Looks at the beginning of len bytes: 1 a whole packet is there; 0 more bytes are needed (frame->total says how many in
 * all, 0 while that is not known yet); negative: the stream is broken, -WIRE_MALFORMED or, when the packet is longer than
 * `max` bytes, -WIRE_TOO_LARGE (known before its body has come; frame->total says how long it is). */
int wire_frame(const uint8_t *bytes, size_t len, size_t max, struct wire_frame *frame);

enum wire_side { WIRE_FROM_CLIENT, WIRE_FROM_SERVER };

/* Decodes a packet. version: the connection's (a CONNECT says its own). What an older version allows is allowed in it only:
 * a remaining length with more bytes than it takes (3.1, 3.1.1); DUP on PUBREL, SUBSCRIBE and UNSUBSCRIBE, and a user name
 * and password that the flags promise and that are missing (3.1). Returns 0, or a reason code of 0x80 and above;
 * *why is then what was wrong, for the log. An unknown protocol level gives WIRE_UNSUPPORTED_VERSION with packet->version
 * as it was asked for. */
uint8_t wire_decode(struct wire_packet *packet, const struct wire_frame *frame, enum wire_version version,
                    enum wire_side side, const char **why);

/* Bytes of the encoded packet; 0 when it is longer than MQTT allows or cannot be said in its version. */
size_t wire_size(const struct wire_packet *packet);
/* Encodes a packet; returns its length, or 0 when that is more than `size` or wire_size() is 0. */
size_t wire_encode(uint8_t *out, size_t size, const struct wire_packet *packet);

/* Makes a packet fit into what its receiver takes (his Maximum Packet Size): leaves out first its user properties, then the
 * Reason String. False: it does not fit even so. [MQTT-3.2.2-19, -20 and their like in every packet with a reason] */
bool wire_shorten(struct wire_packet *packet, size_t max);

/* PUBACK, PUBREC, PUBREL or PUBCOMP without properties, without filling in a packet; returns its length. */
enum { WIRE_ACK_MAX = 5 };
size_t wire_encode_ack(uint8_t out[WIRE_ACK_MAX], enum wire_type type, enum wire_version version,
                       uint16_t packet_id, uint8_t reason);

/* PUBLISH without its payload, whose payload_len bytes are to follow; *id_at is where the packet id stands (0: none). */
size_t wire_encode_publish_head(uint8_t *out, size_t size, const struct wire_packet *packet, size_t *id_at);
/* An upper bound of what that needs. */
size_t wire_publish_head_max(const struct wire_packet *packet);
