#include "net/mdns_service.h"

#include <stdio.h>
#include <string.h>

/* Every record of ours is found by its bit and, for addresses, its number: one function says what it is, and all others
 * compare with it or write it. */

enum { TTL_S = 4500, TTL_HOST_S = 120 }; /* RFC 6762, 10 */

struct record {
    const struct mdns_name *name;
    uint16_t type;
    uint32_t ttl_s;
    bool shared;
    uint8_t data[6 + MDNS_NAME_MAX];
    size_t len;
};

static void set_data(struct record *record, const void *data, size_t len)
{
    memcpy(record->data, data, len);
    record->len = len;
}

/* False: there is none of that number. */
static bool get(const struct mdns_service *service, const struct mdns_addresses *addresses, unsigned bit,
                size_t i, struct record *ret)
{
    const uint8_t place[6] = {0, 0, 0, 0, (uint8_t)(service->port >> 8), (uint8_t)service->port};
    *ret = (struct record){.name = &service->instance, .ttl_s = TTL_S, .shared = bit & MDNS_SAYS_SHARED};
    switch (bit) {
    case MDNS_SAYS_TYPES:
        ret->name = &service->types;
        ret->type = MDNS_PTR;
        set_data(ret, service->type.bytes, service->type.len);
        return i == 0;
    case MDNS_SAYS_POINTER:
        ret->name = &service->type;
        ret->type = MDNS_PTR;
        set_data(ret, service->instance.bytes, service->instance.len);
        return i == 0;
    case MDNS_SAYS_PLACE:
        ret->type = MDNS_SRV;
        ret->ttl_s = TTL_HOST_S;
        set_data(ret, place, sizeof place);
        memcpy(ret->data + sizeof place, service->host.bytes, service->host.len);
        ret->len += service->host.len;
        return i == 0;
    case MDNS_SAYS_TEXT:
        ret->type = MDNS_TXT;
        set_data(ret, service->text, service->text_len);
        return i == 0;
    default: /* addresses */ break;
    }
    ret->name = &service->host;
    ret->ttl_s = TTL_HOST_S;
    ret->type = bit == MDNS_SAYS_A ? MDNS_A : MDNS_AAAA;
    if (i >= (bit == MDNS_SAYS_A ? addresses->in_count : addresses->in6_count))
        return false;
    if (bit == MDNS_SAYS_A)
        set_data(ret, &addresses->in[i], sizeof addresses->in[i]);
    else
        set_data(ret, &addresses->in6[i], sizeof addresses->in6[i]);
    return true;
}

static bool is_same(const struct record *record, const struct mdns_item *item)
{
    return record->type == item->type && item->class == MDNS_IN && record->len == item->data_len &&
           memcmp(record->data, item->data, record->len) == 0;
}

/* ---- what it is -------------------------------------------------------------------------------------------------------- */

/* As much of a label as it may have, and no half of a character of UTF-8. */
static size_t cut(const char *text, size_t max)
{
    size_t len = strlen(text);
    if (len <= max)
        return len;
    while (max && ((unsigned char)text[max] & 0xc0) == 0x80)
        max--;
    return max;
}

void mdns_service_name(struct mdns_service *service, const char *where, unsigned number)
{
    char instance[MDNS_LABEL_MAX * 2], host[MDNS_LABEL_MAX * 2], ending[16] = "", host_ending[16] = "";
    if (number > 1) {
        (void)snprintf(ending, sizeof ending, " (%u)", number);
        (void)snprintf(host_ending, sizeof host_ending, "-%u", number);
    }
    enum { ROOM = MDNS_LABEL_MAX - 26 }; /* "Gatehouse on " and an ending */
    int len = (int)cut(where, ROOM);
    (void)snprintf(instance, sizeof instance, "Gatehouse on %.*s%s", len, where, ending);
    (void)snprintf(host, sizeof host, "gatehouse-%.*s%s", len, where, host_ending);
    for (char *c = host; *c; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9')))
            *c = '-';
    service->types = mdns_name_of("_services._dns-sd._udp.local");
    service->type = mdns_name_of("_gatehouse._tcp.local");
    service->instance = service->host = (struct mdns_name){0};
    (void)mdns_name_add(&service->instance, instance, strlen(instance));
    for (const char *const *label = (const char *const[]){"_gatehouse", "_tcp", "local", NULL}; *label;
         label++)
        (void)mdns_name_add(&service->instance, *label, strlen(*label));
    (void)mdns_name_add(&service->host, host, strlen(host));
    (void)mdns_name_add(&service->host, "local", 5);
}

void mdns_service_text(struct mdns_service *service, const char *fingerprint)
{
    size_t len = fingerprint ? size_min(strlen(fingerprint), MDNS_FINGERPRINT_MAX) : 0;
    memcpy(service->text, "\3v=1", 4);
    service->text_len = 4;
    if (!len)
        return;
    service->text[4] = (uint8_t)(3 + len);
    memcpy(service->text + 5, "ca=", 3);
    memcpy(service->text + 8, fingerprint, len);
    service->text_len = 8 + len;
}

/* ---- what comes in ------------------------------------------------------------------------------------------------------ */

static bool is_question_for(const struct record *record, const struct mdns_item *item)
{
    return (item->type == record->type || item->type == MDNS_ANY) &&
           (item->class == MDNS_IN || item->class == MDNS_CLASS_ANY) &&
           mdns_name_is(record->name, &item->name);
}

static unsigned asked_bits(const struct mdns_service *service, const struct mdns_addresses *addresses,
                           const struct mdns_item *item)
{
    unsigned bits = 0;
    struct record record;
    for (unsigned bit = 1; bit < 1u << MDNS_SAYS_KINDS; bit <<= 1)
        if (get(service, addresses, bit, 0, &record) && is_question_for(&record, item))
            bits |= bit;
    return bits;
}

/* Which record of ours does it repeat? With several addresses in one bit, all of them must be known for it not to be said:
 * *seen counts. A lifetime that is half over is as good as not known [RFC 6762, 7.1]. */
static unsigned known_bit(const struct mdns_service *service, const struct mdns_addresses *addresses,
                          const struct mdns_item *item, size_t seen[MDNS_SAYS_KINDS])
{
    struct record record;
    for (unsigned k = 0; k < MDNS_SAYS_KINDS; k++)
        for (size_t i = 0; get(service, addresses, 1u << k, i, &record); i++)
            if (is_same(&record, item) && mdns_name_is(record.name, &item->name) &&
                item->ttl_s >= record.ttl_s / 2) {
                seen[k]++;
                return get(service, addresses, 1u << k, seen[k], &record) ? 0 : 1u << k;
            }
    return 0;
}

unsigned mdns_service_known(const struct mdns_service *service, const struct mdns_addresses *addresses,
                            struct mdns_message message)
{
    unsigned bits = 0;
    size_t seen[MDNS_SAYS_KINDS] = {0};
    for (struct mdns_item item; mdns_message_next(&message, &item);)
        if (item.section == MDNS_ANSWER)
            bits |= known_bit(service, addresses, &item, seen);
    return bits;
}

void mdns_service_asked(const struct mdns_service *service, const struct mdns_addresses *addresses,
                        struct mdns_message message, struct mdns_wanted *ret)
{
    *ret = (struct mdns_wanted){.more = message.flags & MDNS_TRUNCATED};
    struct mdns_message whole = message;
    for (struct mdns_item item; mdns_message_next(&message, &item) && item.section == MDNS_QUESTION;)
        *(item.flag ? &ret->unicast : &ret->multicast) |= asked_bits(service, addresses, &item);
    if (!ret->unicast && !ret->multicast)
        return;
    unsigned known = mdns_service_known(service, addresses, whole);
    ret->multicast &= ~known;
    ret->unicast &= ~known & ~ret->multicast; /* who hears it does not need it twice */
}

static bool has_address(const struct mdns_addresses *machine, size_t count, const struct mdns_item *item)
{
    struct record record;
    for (size_t k = 0; k < count; k++)
        for (unsigned bit = MDNS_SAYS_A; bit <= MDNS_SAYS_AAAA; bit <<= 1)
            for (size_t i = 0; get(&(const struct mdns_service){0}, &machine[k], bit, i, &record); i++)
                if (is_same(&record, item))
                    return true;
    return false;
}

/* A record of a name and a type that are ours alone, and it is none of ours. */
static bool is_other(const struct mdns_service *service, const struct mdns_addresses *addresses,
                     const struct mdns_item *item)
{
    bool instance = mdns_name_is(&service->instance, &item->name);
    bool host = mdns_name_is(&service->host, &item->name);
    if (!(instance && (item->type == MDNS_SRV || item->type == MDNS_TXT)) &&
        !(host && (item->type == MDNS_A || item->type == MDNS_AAAA)))
        return false;
    struct record record;
    for (unsigned bit = MDNS_SAYS_PLACE; bit <= MDNS_SAYS_AAAA; bit <<= 1)
        for (size_t i = 0; get(service, addresses, bit, i, &record); i++)
            if (is_same(&record, item) && mdns_name_is(record.name, &item->name))
                return false;
    return true;
}

bool mdns_service_is_disputed(const struct mdns_service *service, const struct mdns_addresses *addresses,
                              const struct mdns_addresses *machine, size_t machine_count,
                              struct mdns_message message)
{
    for (struct mdns_item item; mdns_message_next(&message, &item);)
        if (item.section != MDNS_QUESTION && item.class == MDNS_IN && item.ttl_s &&
            is_other(service, addresses, &item) && !has_address(machine, machine_count, &item))
            return true;
    return false;
}

/* Class, type and data in this order, as bytes [RFC 6762, 8.2]. All of it is of class IN. */
static int compare(uint16_t type, const uint8_t *data, size_t len, uint16_t type_b, const uint8_t *data_b,
                   size_t len_b)
{
    if (type != type_b)
        return type < type_b ? -1 : 1;
    int r = memcmp(data, data_b, size_min(len, len_b));
    return r ? r : len < len_b ? -1 : len > len_b;
}

/* The records of one name come in order of their types, ours by construction: A, TXT, AAAA, SRV. Theirs as they send them,
 * which is the same order if they keep to the rule; whoever does not is decided about all the same, and both sides see it. */
static bool goes_before_us(const struct mdns_service *service, const struct mdns_addresses *addresses,
                           const struct mdns_name *name, struct mdns_message message)
{
    static const unsigned order[] = {MDNS_SAYS_A, MDNS_SAYS_TEXT, MDNS_SAYS_AAAA, MDNS_SAYS_PLACE};
    size_t at = 0, i = 0;
    for (struct mdns_item item; mdns_message_next(&message, &item);) {
        if (item.section != MDNS_AUTHORITY || item.class != MDNS_IN || !mdns_name_is(name, &item.name))
            continue;
        struct record record;
        while (at < array_size(order) &&
               !(get(service, addresses, order[at], i, &record) && mdns_name_is(record.name, name))) {
            at++;
            i = 0;
        }
        if (at == array_size(order))
            return true; /* they have more */
        int r = compare(record.type, record.data, record.len, item.type, item.data,
                        size_min(item.data_len, sizeof item.data));
        if (r)
            return r < 0;
        i++;
    }
    return false; /* the same, or fewer */
}

bool mdns_service_must_yield(const struct mdns_service *service, const struct mdns_addresses *addresses,
                             const struct mdns_addresses *machine, size_t machine_count,
                             struct mdns_message message)
{
    struct mdns_message again = message;
    for (struct mdns_item item; mdns_message_next(&again, &item);)
        if (item.section == MDNS_AUTHORITY && has_address(machine, machine_count, &item))
            return false; /* this machine, on another interface */
    return goes_before_us(service, addresses, &service->instance, message) ||
           goes_before_us(service, addresses, &service->host, message);
}

/* ---- what goes out ------------------------------------------------------------------------------------------------------ */

enum how { AS_NEWS, AS_GOODBYE, AS_LEGACY, AS_PROBE };

static void write_bits(const struct mdns_service *service, const struct mdns_addresses *addresses,
                       unsigned bits, enum mdns_section section, enum how how, struct mdns_writer *writer)
{
    static const unsigned order[] = {MDNS_SAYS_TYPES, MDNS_SAYS_POINTER, MDNS_SAYS_A,
                                     MDNS_SAYS_TEXT,  MDNS_SAYS_AAAA,    MDNS_SAYS_PLACE};
    struct record record;
    for (size_t k = 0; k < array_size(order); k++)
        for (size_t i = 0; bits & order[k] && get(service, addresses, order[k], i, &record); i++) {
            unsigned class = MDNS_IN;
            uint32_t ttl_s = record.ttl_s;
            if (!record.shared && (how == AS_NEWS || how == AS_GOODBYE))
                class |= MDNS_FLAG;
            if (how == AS_GOODBYE)
                ttl_s = 0;
            if (how == AS_LEGACY && ttl_s > MDNS_LEGACY_TTL_S)
                ttl_s = MDNS_LEGACY_TTL_S;
            (void)mdns_write_record(writer, section, record.name, record.type, (uint16_t) class, ttl_s,
                                    record.data, record.len);
        }
}

unsigned mdns_service_next(unsigned bits)
{
    unsigned more = 0;
    if (bits & MDNS_SAYS_POINTER)
        more |= MDNS_SAYS_PLACE | MDNS_SAYS_TEXT;
    if ((bits | more) & (MDNS_SAYS_PLACE | MDNS_SAYS_A | MDNS_SAYS_AAAA))
        more |= MDNS_SAYS_A | MDNS_SAYS_AAAA;
    return more & ~bits;
}

void mdns_service_say(const struct mdns_service *service, const struct mdns_addresses *addresses,
                      unsigned bits, unsigned also, bool goodbye, struct mdns_writer *ret)
{
    mdns_write_head(ret, 0, MDNS_RESPONSE | MDNS_AUTHORITATIVE);
    write_bits(service, addresses, bits, MDNS_ANSWER, goodbye ? AS_GOODBYE : AS_NEWS, ret);
    write_bits(service, addresses, also & ~bits, MDNS_ADDITIONAL, goodbye ? AS_GOODBYE : AS_NEWS, ret);
}

void mdns_service_probe(const struct mdns_service *service, const struct mdns_addresses *addresses,
                        struct mdns_writer *ret)
{
    mdns_write_head(ret, 0, 0);
    (void)mdns_write_question(ret, &service->instance, MDNS_ANY, MDNS_IN | MDNS_FLAG);
    (void)mdns_write_question(ret, &service->host, MDNS_ANY, MDNS_IN | MDNS_FLAG);
    write_bits(service, addresses, MDNS_SAYS_ALL & ~MDNS_SAYS_SHARED, MDNS_AUTHORITY, AS_PROBE, ret);
}

static void repeat_questions(struct mdns_message question, struct mdns_writer *writer)
{
    for (struct mdns_item item; mdns_message_next(&question, &item) && item.section == MDNS_QUESTION;)
        if (writer->len + item.name.len + 4 <= MDNS_LEGACY_MAX / 2)
            (void)mdns_write_question(writer, &item.name, item.type, item.class);
}

void mdns_service_say_legacy(const struct mdns_service *service, const struct mdns_addresses *addresses,
                             unsigned bits, struct mdns_message question, struct mdns_writer *ret)
{
    mdns_write_head(ret, question.id, MDNS_RESPONSE | MDNS_AUTHORITATIVE);
    ret->max = MDNS_LEGACY_MAX;
    repeat_questions(question, ret);
    write_bits(service, addresses, bits, MDNS_ANSWER, AS_LEGACY, ret);
    write_bits(service, addresses, mdns_service_next(bits), MDNS_ADDITIONAL, AS_LEGACY, ret);
}
