/* Packets as conformance scripts write them, and back.
 *
 *      CONNECT id=a clean keepalive=60 username=… password=… will=TOPIC will-payload=… will-qos=1 will-retain will-delay=5 …
 *      CONNACK rc=0 session-present            SUBSCRIBE id=1 FILTER qos=1 no-local FILTER …     UNSUBSCRIBE id=1 FILTER …
 *      PUBLISH TOPIC "payload" qos=1 id=5 dup retain               SUBACK id=1 1 0x80            UNSUBACK id=1 0 0x11
 *      PUBACK id=5 rc=0x10  (PUBREC PUBREL PUBCOMP the same)       PINGREQ  PINGRESP  DISCONNECT rc=4  AUTH rc=0x18
 *
 * and the properties of MQTT 5 (packet_text.c has their names; those of a will begin with will-). What MQTT 3 has no
 * words for (properties, reason codes but CONNACK's, subscription options but the QoS) is left out of its packets and is
 * not expected in them, so that one conversation serves all versions.
 *
 * What is expected is exact: a field that is not named must be absent, or zero, or empty. Where "..." allows others,
 * without=FIELD says which one must not be there.
 */
#pragma once

#include "mqtt/script.h"
#include "wire/mqtt.h"

/* What $names stand for. */
struct variables {
    struct variable {
        char name[32];
        char value[256];
        size_t len;
    } list[32];
    size_t count;
};

/* Gives "$name" a value, if it has none and there is room. */
void variable_set(struct variables *variables, const char *name, const char *value, size_t len);

/* Encodes a packet into the arena. -EINVAL with *why (in the arena). */
int packet_encode(struct arena *arena, const char *name, const struct script_fields *fields,
                  enum wire_version version, const struct variables *variables, const uint8_t **ret,
                  size_t *ret_len, const char **why) must_check;

/* The fields of a decoded packet, in the words of the script; with them packet_print() writes it as one line. */
const char *packet_name(enum wire_type type);
struct script_fields packet_fields(struct arena *arena, const struct wire_packet *packet);
const char *packet_print(struct arena *arena, const char *name, const struct script_fields *fields);

/* Is this what was expected? $names get their values. NULL, or what is different. */
const char *packet_differs(struct arena *arena, const char *name, const struct script_fields *expected,
                           const struct wire_packet *packet, struct variables *variables);
