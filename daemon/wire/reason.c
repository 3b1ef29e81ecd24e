/* Reason codes: what they are called, which packets may say them, and how 3.1.1 says the same. Two tables, because
 * firmware that checks codes has no use for their names. */
#include "wire/props.h"

enum { ACKED = 1 << 0, COMPLETED = 1 << 1, GOODBYE = 1 << 2, AUTHENTICATING = 1 << 3 };

/* Of what a client may send. ACKED: PUBACK and PUBREC; COMPLETED: PUBREL and PUBCOMP. */
static const struct {
    uint8_t reason, places;
} of_clients[] = {
    {WIRE_SUCCESS, ACKED | COMPLETED | GOODBYE},
    {WIRE_DISCONNECT_WITH_WILL, GOODBYE},
    {WIRE_NO_MATCHING_SUBSCRIBERS,
     ACKED}, /* a server's, but a broker that is a bridge's client says it, too */
    {WIRE_CONTINUE_AUTHENTICATION, AUTHENTICATING},
    {WIRE_REAUTHENTICATE, AUTHENTICATING},
    {WIRE_UNSPECIFIED, ACKED | GOODBYE},
    {WIRE_MALFORMED, GOODBYE},
    {WIRE_PROTOCOL_ERROR, GOODBYE},
    {WIRE_IMPLEMENTATION_ERROR, ACKED | GOODBYE},
    {WIRE_NOT_AUTHORIZED, ACKED},
    {WIRE_TOPIC_INVALID, ACKED | GOODBYE},
    {WIRE_ID_IN_USE, ACKED},
    {WIRE_ID_NOT_FOUND, COMPLETED},
    {WIRE_RECEIVE_MAX_EXCEEDED, GOODBYE},
    {WIRE_ALIAS_INVALID, GOODBYE},
    {WIRE_TOO_LARGE, GOODBYE},
    {WIRE_RATE_TOO_HIGH, GOODBYE},
    {WIRE_QUOTA_EXCEEDED, ACKED | GOODBYE},
    {WIRE_ADMINISTRATIVE, GOODBYE},
    {WIRE_FORMAT_INVALID, ACKED | GOODBYE},
};

bool reason_may_come(enum wire_type type, uint8_t reason)
{
    unsigned place;
    switch (type) {
    case WIRE_PUBACK:
    case WIRE_PUBREC: place = ACKED; break;
    case WIRE_PUBREL:
    case WIRE_PUBCOMP: place = COMPLETED; break;
    case WIRE_DISCONNECT: place = GOODBYE; break;
    case WIRE_AUTH: place = AUTHENTICATING; break;
    default: return true;
    }
    for (size_t i = 0; i < sizeof of_clients / sizeof of_clients[0]; i++)
        if (of_clients[i].reason == reason)
            return of_clients[i].places & place;
    return false;
}

uint8_t wire_connack_code(uint8_t reason)
{
    switch (reason) {
    case WIRE_SUCCESS: return 0;
    case WIRE_UNSUPPORTED_VERSION: return 1;
    case WIRE_CLIENT_ID_INVALID: return 2;
    case WIRE_BAD_CREDENTIALS: return 4;
    case WIRE_NOT_AUTHORIZED:
    case WIRE_BANNED: return 5;
    default: return 3; /* server unavailable */
    }
}

uint8_t wire_connack_reason(uint8_t code)
{
    static const uint8_t reasons[] = {WIRE_SUCCESS,           WIRE_UNSUPPORTED_VERSION,
                                      WIRE_CLIENT_ID_INVALID, WIRE_SERVER_UNAVAILABLE,
                                      WIRE_BAD_CREDENTIALS,   WIRE_NOT_AUTHORIZED};
    return code < sizeof reasons ? reasons[code] : WIRE_UNSPECIFIED;
}

const char *wire_reason_text(uint8_t reason)
{
    switch ((enum wire_reason)reason) {
    case WIRE_SUCCESS: return "success";
    case WIRE_GRANTED_QOS1: return "granted QoS 1";
    case WIRE_GRANTED_QOS2: return "granted QoS 2";
    case WIRE_DISCONNECT_WITH_WILL: return "disconnect with will message";
    case WIRE_NO_MATCHING_SUBSCRIBERS: return "no matching subscribers";
    case WIRE_NO_SUBSCRIPTION_EXISTED: return "no subscription existed";
    case WIRE_CONTINUE_AUTHENTICATION: return "continue authentication";
    case WIRE_REAUTHENTICATE: return "re-authenticate";
    case WIRE_UNSPECIFIED: return "unspecified error";
    case WIRE_MALFORMED: return "malformed packet";
    case WIRE_PROTOCOL_ERROR: return "protocol error";
    case WIRE_IMPLEMENTATION_ERROR: return "implementation specific error";
    case WIRE_UNSUPPORTED_VERSION: return "unsupported protocol version";
    case WIRE_CLIENT_ID_INVALID: return "client identifier not valid";
    case WIRE_BAD_CREDENTIALS: return "bad user name or password";
    case WIRE_NOT_AUTHORIZED: return "not authorized";
    case WIRE_SERVER_UNAVAILABLE: return "server unavailable";
    case WIRE_SERVER_BUSY: return "server busy";
    case WIRE_BANNED: return "banned";
    case WIRE_SHUTTING_DOWN: return "server shutting down";
    case WIRE_BAD_AUTH_METHOD: return "bad authentication method";
    case WIRE_KEEPALIVE_TIMEOUT: return "keep alive timeout";
    case WIRE_TAKEN_OVER: return "session taken over";
    case WIRE_FILTER_INVALID: return "topic filter invalid";
    case WIRE_TOPIC_INVALID: return "topic name invalid";
    case WIRE_ID_IN_USE: return "packet identifier in use";
    case WIRE_ID_NOT_FOUND: return "packet identifier not found";
    case WIRE_RECEIVE_MAX_EXCEEDED: return "receive maximum exceeded";
    case WIRE_ALIAS_INVALID: return "topic alias invalid";
    case WIRE_TOO_LARGE: return "packet too large";
    case WIRE_RATE_TOO_HIGH: return "message rate too high";
    case WIRE_QUOTA_EXCEEDED: return "quota exceeded";
    case WIRE_ADMINISTRATIVE: return "administrative action";
    case WIRE_FORMAT_INVALID: return "payload format invalid";
    case WIRE_RETAIN_UNSUPPORTED: return "retain not supported";
    case WIRE_QOS_UNSUPPORTED: return "QoS not supported";
    case WIRE_USE_ANOTHER_SERVER: return "use another server";
    case WIRE_SERVER_MOVED: return "server moved";
    case WIRE_SHARED_UNSUPPORTED: return "shared subscriptions not supported";
    case WIRE_CONNECT_RATE: return "connection rate exceeded";
    case WIRE_CONNECT_TIME: return "maximum connect time";
    case WIRE_SUBSCRIPTION_IDS_UNSUPPORTED: return "subscription identifiers not supported";
    case WIRE_WILDCARDS_UNSUPPORTED: return "wildcard subscriptions not supported";
    }
    return "unknown reason";
}
