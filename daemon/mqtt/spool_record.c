#include "mqtt/spool_record.h"

#include <errno.h>
#include <string.h>

enum { NUMBER_MAX = 10 };

/* Flags of a message and of a target. */
enum { QOS = 3, RETAIN = 4, EXPIRES = 8, FROM = 16, PROPS = 32, RECEIVED = 8, IDS = 16 };
enum { OF_A_HEAD = QOS | RETAIN | EXPIRES | FROM | PROPS, OF_A_TARGET = QOS | RETAIN | RECEIVED | IDS };

/* A flag that we do not know stands for something we would misread. */
static bool flags_are_known(uint8_t flags, int known)
{
    return !(flags & ~known) && (flags & QOS) != QOS;
}

/* ---- numbers --------------------------------------------------------------------------------------------------- */

size_t spool_put_number(uint8_t *out, uint64_t number)
{
    size_t len = 0;
    for (; number >= 0x80; number >>= 7)
        out[len++] = (uint8_t)(number | 0x80);
    out[len++] = (uint8_t)number;
    return len;
}

size_t spool_get_number(const uint8_t *bytes, size_t len, uint64_t *number)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len && i < NUMBER_MAX; i++) {
        if (i == NUMBER_MAX - 1 && bytes[i] > 1) /* more than 64 bits */
            return 0;
        value |= (uint64_t)(bytes[i] & 0x7F) << (7 * i);
        if (!(bytes[i] & 0x80)) {
            *number = value;
            return i + 1;
        }
    }
    return 0;
}

/* Bytes that are being read. A fault sticks: everything after it reads as zero. */
struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static uint64_t get(struct reader *reader)
{
    uint64_t number = 0;
    size_t n = reader->bad ? 0 : spool_get_number(reader->at, (size_t)(reader->end - reader->at), &number);
    reader->bad |= !n;
    reader->at += n;
    return n ? number : 0;
}

static uint64_t get_below(struct reader *reader, uint64_t limit)
{
    uint64_t number = get(reader);
    if (number < limit)
        return number;
    reader->bad = true;
    return 0;
}

static const uint8_t *get_bytes(struct reader *reader, size_t *len)
{
    *len = (size_t)get_below(reader, SIZE_MAX);
    const uint8_t *bytes = reader->at;
    if (reader->bad || *len > (size_t)(reader->end - reader->at)) {
        reader->bad = true;
        *len = 0;
        return bytes;
    }
    reader->at += *len;
    return bytes;
}

/* ---- targets --------------------------------------------------------------------------------------------------- */

size_t spool_target_max(const struct spool_target *target)
{
    return 2 * NUMBER_MAX + 3 + (size_t)target->id_count * 4; /* identifiers have 28 bits */
}

size_t spool_put_target(uint8_t *out, const struct spool_target *target)
{
    uint8_t flags = target->qos & QOS;
    flags |= target->retain ? RETAIN : 0;
    flags |= target->received ? RECEIVED : 0;
    flags |= target->id_count ? IDS : 0;
    size_t len = 0;
    out[len++] = flags;
    len += spool_put_number(out + len, target->session);
    len += spool_put_number(out + len, target->index);
    if (target->id_count)
        len += spool_put_number(out + len, target->id_count);
    for (uint8_t i = 0; i < target->id_count; i++)
        len += spool_put_number(out + len, target->ids[i]);
    return len;
}

int spool_target_next(const struct spool_message *message, size_t *at, struct spool_target *ret,
                      uint32_t *ids)
{
    if (*at == message->targets_len)
        return 0;
    struct reader reader = {message->targets + *at, message->targets + message->targets_len, false};
    uint8_t flags = *reader.at++;
    *ret = (struct spool_target){.qos = flags & QOS, .retain = flags & RETAIN, .received = flags & RECEIVED};
    ret->session = get(&reader);
    ret->index = get(&reader);
    if (flags & IDS)
        ret->id_count = (uint8_t)get_below(&reader, UINT8_MAX + 1);
    for (uint8_t i = 0; i < ret->id_count; i++)
        ids[i] = (uint32_t)get_below(&reader, UINT64_C(1) << 28);
    ret->ids = ids;
    if (reader.bad || !flags_are_known(flags, OF_A_TARGET))
        return -EBADMSG;
    *at = (size_t)(reader.at - message->targets);
    return 1;
}

/* ---- heads ----------------------------------------------------------------------------------------------------- */

size_t spool_head_max(const struct spool_message *message)
{
    return 1 + 12 * NUMBER_MAX + message->props_len + message->topic_len;
}

/* A place in the properties, or none: one more than it is, or 0. */
static size_t put_place(uint8_t *out, size_t at, size_t len)
{
    if (at == SIZE_MAX)
        return spool_put_number(out, 0);
    size_t n = spool_put_number(out, at + 1);
    return n + spool_put_number(out + n, len);
}

static void get_place(struct reader *reader, size_t props_len, size_t *at, size_t *len)
{
    size_t place = (size_t)get_below(reader, props_len + 2);
    *at = place ? place - 1 : SIZE_MAX;
    *len = place ? (size_t)get_below(reader, props_len - *at + 1) : 0;
}

size_t spool_put_head(uint8_t *out, const struct spool_message *message, const uint8_t *targets,
                      size_t targets_len)
{
    uint8_t flags = message->qos & QOS;
    flags |= message->retain ? RETAIN : 0;
    flags |= message->has_expiry ? EXPIRES : 0;
    flags |= message->from_session ? FROM : 0;
    flags |= message->props_len ? PROPS : 0;
    size_t len = 0;
    out[len++] = flags;
    len += spool_put_number(out + len, message->target_count);
    len += spool_put_number(out + len, targets_len);
    if (targets_len)
        memcpy(out + len, targets, targets_len);
    len += targets_len;
    len += spool_put_number(out + len, (uint64_t)message->born);
    if (message->has_expiry)
        len += spool_put_number(out + len, message->expiry_s);
    if (message->from_session) {
        len += spool_put_number(out + len, message->from_session);
        len += spool_put_number(out + len, message->from_id);
    }
    if (message->props_len) {
        len += spool_put_number(out + len, message->props_len);
        memcpy(out + len, message->props, message->props_len);
        len += message->props_len;
        len += put_place(out + len, message->response_at, message->response_len);
        len += put_place(out + len, message->correlation_at, message->correlation_len);
    }
    memcpy(out + len, message->topic, message->topic_len); /* the rest */
    return len + message->topic_len;
}

int spool_get_head(struct spool_message *ret, const uint8_t *bytes, size_t len)
{
    if (!len)
        return -EBADMSG;
    struct reader reader = {bytes + 1, bytes + len, false};
    uint8_t flags = *bytes;
    struct spool_message message = {.qos = flags & QOS,
                                    .retain = flags & RETAIN,
                                    .has_expiry = flags & EXPIRES,
                                    .response_at = SIZE_MAX,
                                    .correlation_at = SIZE_MAX};
    message.target_count = (uint32_t)get_below(&reader, UINT64_C(1) << 32);
    message.targets = get_bytes(&reader, &message.targets_len);
    message.born = (int64_t)get_below(&reader, UINT64_C(1) << 63);
    if (message.has_expiry)
        message.expiry_s = (uint32_t)get_below(&reader, UINT64_C(1) << 32);
    if (flags & FROM) {
        message.from_session = get(&reader);
        message.from_id = (uint16_t)get_below(&reader, UINT16_MAX + 1);
    }
    if (flags & PROPS) {
        message.props = get_bytes(&reader, &message.props_len);
        get_place(&reader, message.props_len, &message.response_at, &message.response_len);
        get_place(&reader, message.props_len, &message.correlation_at, &message.correlation_len);
    }
    message.topic = (const char *)reader.at;
    message.topic_len = (size_t)(reader.end - reader.at);
    if (reader.bad || !flags_are_known(flags, OF_A_HEAD) || message.topic_len > UINT16_MAX)
        return -EBADMSG;
    *ret = message;
    return 0;
}

/* ---- facts ------------------------------------------------------------------------------------------------------- */

size_t spool_put_fact(uint8_t *out, enum spool_fact fact, uint64_t session, uint64_t value)
{
    size_t len = 0;
    out[len++] = (uint8_t)fact;
    len += spool_put_number(out + len, session);
    return len + spool_put_number(out + len, value);
}

int spool_fact_next(const uint8_t *bytes, size_t len, size_t *at, enum spool_fact *fact, uint64_t *session,
                    uint64_t *value)
{
    if (*at == len)
        return 0;
    struct reader reader = {bytes + *at + 1, bytes + len, false};
    uint8_t kind = bytes[*at];
    *session = get(&reader);
    *value = get(&reader);
    if (reader.bad || kind < SPOOL_DONE || kind > SPOOL_RELEASED)
        return -EBADMSG;
    *fact = (enum spool_fact)kind;
    *at = (size_t)(reader.at - bytes);
    return 1;
}
