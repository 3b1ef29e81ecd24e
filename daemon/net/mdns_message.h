/* Messages of multicast DNS, RFC 6762 and RFC 1035 section 4: questions and records, read and written.
 *
 *      struct mdns_message message;
 *      struct mdns_item item;
 *      if (mdns_message_open(&message, bytes, len))
 *          while (mdns_message_next(&message, &item)) …
 *
 * Reading believes nothing: a message is looked through as a whole before its first item is given out. Pure.
 */
#pragma once

#include "base/base.h"

enum {
    MDNS_PORT = 5353,
    MDNS_NAME_MAX = 255, /* bytes of a name, as it is sent */
    MDNS_LABEL_MAX = 63,
    MDNS_DATA_MAX = 512,   /* bytes of a record that are kept; ours are all shorter */
    MDNS_WRITE_MAX = 1400, /* bytes of a message of ours: one packet on Ethernet */
    MDNS_READ_MAX = 9000   /* RFC 6762, 17: the largest there may be */
};

enum { MDNS_A = 1, MDNS_PTR = 12, MDNS_TXT = 16, MDNS_AAAA = 28, MDNS_SRV = 33, MDNS_ANY = 255 };
enum { MDNS_IN = 1, MDNS_CLASS_ANY = 255, MDNS_FLAG = 0x8000 };
enum { MDNS_RESPONSE = 0x8000, MDNS_AUTHORITATIVE = 0x0400, MDNS_TRUNCATED = 0x0200 };

/* A name as it is sent, without compression: labels with their lengths, and the root's 0. */
struct mdns_name {
    uint8_t len, bytes[MDNS_NAME_MAX];
};

/* Appends a label of at most MDNS_LABEL_MAX bytes. False: it does not fit, or is empty; the name is as it was. */
bool mdns_name_add(struct mdns_name *name, const char *label, size_t len);
/* "_gatehouse._tcp.local": labels without dots in them. For texts of ours. */
struct mdns_name mdns_name_of(const char *text);
bool mdns_name_is(const struct mdns_name *a,
                  const struct mdns_name *b); /* whatever the case of ASCII letters */

enum mdns_section { MDNS_QUESTION, MDNS_ANSWER, MDNS_AUTHORITY, MDNS_ADDITIONAL, MDNS_SECTIONS };

struct mdns_message {
    const uint8_t *bytes;
    size_t len, at;
    uint16_t id, flags;
    uint16_t counts[MDNS_SECTIONS]; /* that are still to come */
};

struct mdns_item {
    enum mdns_section section;
    struct mdns_name name;
    uint16_t type, class;
    bool
        flag; /* of a question: the answer may come by unicast. Of a record: there are no others than these */
    uint32_t ttl_s;
    uint16_t data_len; /* as it is without compression, also when it is longer than what is kept */
    uint8_t data[MDNS_DATA_MAX];
};

/* False: it is no message, or none to be read: opcode and response code are 0 [RFC 6762, 18.3, 18.11]. */
bool mdns_message_open(struct mdns_message *ret, const uint8_t *bytes, size_t len);
bool mdns_message_next(struct mdns_message *message, struct mdns_item *ret);

struct mdns_writer {
    uint8_t bytes[MDNS_WRITE_MAX];
    size_t len, max; /* max: MDNS_WRITE_MAX, or less for whoever takes less */
};

void mdns_write_head(struct mdns_writer *writer, uint16_t id, uint16_t flags);
/* False: it has no room; the message is as it was. Sections come in their order. class: with MDNS_FLAG or without. */
bool mdns_write_question(struct mdns_writer *writer, const struct mdns_name *name, uint16_t type,
                         uint16_t class);
bool mdns_write_record(struct mdns_writer *writer, enum mdns_section section, const struct mdns_name *name,
                       uint16_t type, uint16_t class, uint32_t ttl_s, const void *data, size_t len);
