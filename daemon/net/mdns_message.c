#include "net/mdns_message.h"

#include <string.h>

/* Names may point back to earlier ones (RFC 1035, 4.1.4). Each pointer must lead further to the front than the one before,
 * so that there is an end to it, and there are no more of them than a name has labels: a message may have hundreds of names,
 * and thousands of pointers that each of them would go through. */

enum { HEAD = 12, POINTER = 0xc0, POINTERS_MAX = MDNS_NAME_MAX / 2, OPCODE = 0x7800, RCODE = 0x000f };

static uint16_t get_16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put_16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* ---- names ------------------------------------------------------------------------------------------------------------- */

bool mdns_name_add(struct mdns_name *name, const char *label, size_t len)
{
    size_t at = name->len ? name->len - 1u : 0; /* over the root */
    if (!len || len > MDNS_LABEL_MAX || at + 1 + len + 1 > MDNS_NAME_MAX)
        return false;
    name->bytes[at] = (uint8_t)len;
    memcpy(name->bytes + at + 1, label, len);
    name->bytes[at + 1 + len] = 0;
    name->len = (uint8_t)(at + 1 + len + 1);
    return true;
}

struct mdns_name mdns_name_of(const char *text)
{
    struct mdns_name name = {.len = 1};
    while (*text) {
        size_t len = strcspn(text, ".");
        (void)mdns_name_add(&name, text, len);
        text += len + (text[len] == '.');
    }
    return name;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 'a' - 'A') : c; /* no length is a letter */
}

bool mdns_name_is(const struct mdns_name *a, const struct mdns_name *b)
{
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++)
        if (lower(a->bytes[i]) != lower(b->bytes[i]))
            return false;
    return true;
}

/* The name at *at, which is moved behind it. */
static bool read_name(const struct mdns_message *message, size_t *at, size_t end, struct mdns_name *ret)
{
    size_t from = *at, limit = *at, behind = 0, pointers = 0;
    ret->len = 0;
    for (;;) {
        if (from >= (behind ? message->len : end))
            return false;
        uint8_t len = message->bytes[from];
        if ((len & POINTER) == POINTER) {
            if (from + 2 > (behind ? message->len : end))
                return false;
            size_t to = get_16(message->bytes + from) & 0x3fffu;
            behind = behind ? behind : from + 2;
            if (to < HEAD || to >= limit || ++pointers > POINTERS_MAX)
                return false;
            from = limit = to;
            continue;
        }
        if (len & POINTER || from + 1 + len > message->len || ret->len + 1u + len > MDNS_NAME_MAX)
            return false;
        memcpy(ret->bytes + ret->len, message->bytes + from, 1u + len);
        ret->len = (uint8_t)(ret->len + 1 + len);
        from += 1u + len;
        if (!len)
            break;
    }
    *at = behind ? behind : from;
    return *at <= end;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

static void keep(struct mdns_item *item, const uint8_t *bytes, size_t len)
{
    if (item->data_len < MDNS_DATA_MAX)
        memcpy(item->data + item->data_len, bytes, size_min(len, MDNS_DATA_MAX - (size_t)item->data_len));
    item->data_len = (uint16_t)(item->data_len + len);
}

/* Records are compared, so names in them are written out. */
static bool read_data(const struct mdns_message *message, size_t at, size_t end, struct mdns_item *item)
{
    item->data_len = 0;
    size_t before = item->type == MDNS_SRV ? 6 : 0;
    if (item->type != MDNS_SRV && item->type != MDNS_PTR) {
        keep(item, message->bytes + at, end - at);
        return true;
    }
    struct mdns_name name;
    if (end - at < before)
        return false;
    keep(item, message->bytes + at, before);
    at += before;
    if (!read_name(message, &at, end, &name) || at != end)
        return false;
    keep(item, name.bytes, name.len);
    return true;
}

/* 1: an item; 0: the end; −1: it is no message. */
static int read_item(struct mdns_message *message, struct mdns_item *item)
{
    unsigned section = MDNS_QUESTION;
    while (section < MDNS_SECTIONS && !message->counts[section])
        section++;
    if (section == MDNS_SECTIONS)
        return 0;
    message->counts[section]--;
    size_t at = message->at, fixed = section == MDNS_QUESTION ? 4 : 10;
    if (!read_name(message, &at, message->len, &item->name) || message->len - at < fixed)
        return -1;
    const uint8_t *bytes = message->bytes + at;
    item->section = (enum mdns_section)section;
    item->type = get_16(bytes);
    item->class = get_16(bytes + 2) & (uint16_t)~MDNS_FLAG;
    item->flag = get_16(bytes + 2) & MDNS_FLAG;
    item->ttl_s = 0;
    item->data_len = 0;
    at += fixed;
    if (section != MDNS_QUESTION) {
        size_t len = get_16(bytes + 8);
        item->ttl_s = (uint32_t)get_16(bytes + 4) << 16 | get_16(bytes + 6);
        if (message->len - at < len || !read_data(message, at, at + len, item))
            return -1;
        at += len;
    }
    message->at = at;
    return 1;
}

bool mdns_message_open(struct mdns_message *ret, const uint8_t *bytes, size_t len)
{
    if (len < HEAD || len > MDNS_READ_MAX || get_16(bytes + 2) & (OPCODE | RCODE))
        return false;
    struct mdns_message message = {.bytes = bytes, .len = len, .at = HEAD};
    message.id = get_16(bytes);
    message.flags = get_16(bytes + 2);
    for (size_t i = 0; i < MDNS_SECTIONS; i++)
        message.counts[i] = get_16(bytes + 4 + 2 * i);
    struct mdns_message once = message;
    struct mdns_item item;
    int r;
    while ((r = read_item(&once, &item)) > 0)
        continue;
    *ret = message;
    return r == 0;
}

bool mdns_message_next(struct mdns_message *message, struct mdns_item *ret)
{
    return read_item(message, ret) > 0;
}

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

void mdns_write_head(struct mdns_writer *writer, uint16_t id, uint16_t flags)
{
    memset(writer->bytes, 0, HEAD);
    put_16(writer->bytes, id);
    put_16(writer->bytes + 2, flags);
    writer->len = HEAD;
    writer->max = sizeof writer->bytes;
}

static bool write_item(struct mdns_writer *writer, enum mdns_section section, const struct mdns_name *name,
                       const uint8_t *fixed, size_t fixed_len, const void *data, size_t len)
{
    if (writer->len + name->len + fixed_len + len > writer->max)
        return false;
    uint8_t *at = writer->bytes + writer->len;
    memcpy(at, name->bytes, name->len);
    memcpy(at + name->len, fixed, fixed_len);
    if (len)
        memcpy(at + name->len + fixed_len, data, len);
    writer->len += name->len + fixed_len + len;
    uint8_t *count = writer->bytes + 4 + 2 * (size_t)section;
    put_16(count, get_16(count) + 1u);
    return true;
}

bool mdns_write_question(struct mdns_writer *writer, const struct mdns_name *name, uint16_t type,
                         uint16_t class)
{
    uint8_t fixed[4];
    put_16(fixed, type);
    put_16(fixed + 2, class);
    return write_item(writer, MDNS_QUESTION, name, fixed, sizeof fixed, NULL, 0);
}

bool mdns_write_record(struct mdns_writer *writer, enum mdns_section section, const struct mdns_name *name,
                       uint16_t type, uint16_t class, uint32_t ttl_s, const void *data, size_t len)
{
    uint8_t fixed[10];
    put_16(fixed, type);
    put_16(fixed + 2, class);
    put_16(fixed + 4, ttl_s >> 16);
    put_16(fixed + 6, ttl_s & 0xffff);
    put_16(fixed + 8, (unsigned)len);
    return write_item(writer, section, name, fixed, sizeof fixed, data, len);
}
