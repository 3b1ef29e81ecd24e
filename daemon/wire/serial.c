#include "wire/serial.h"

#include <string.h>

/* One frame at a time goes out, the most urgent first: CLOSE, OPENOK, OPEN, DATA, ACK. DATA carries an acknowledgement, so an
 * ACK goes alone only when there is nothing to say. Received bytes are gathered up to a 0x00 and taken apart in place. */

enum type { OPEN = 1, OPEN_OK, DATA, ACK, CLOSE, LOG };

enum {
    VERSION = 1,
    HEAD = 4,
    CRC = 4,
    OPEN_HEAD = 1 + WIRE_SERIAL_NONCE + 1,
    AGAIN_FIRST = 250,
    AGAIN = 500,
    OPEN_QUICKLY = 10, /* so often every AGAIN ms, then */
    OPEN_SLOWLY = 5000,
    SILENCE = 1000
};

/* ---- frames --------------------------------------------------------------------------------------------------------------- */

/* IEEE 802.3, reflected; a table of sixteen: it is for small flash. */
static uint32_t crc_of(const uint8_t *bytes, size_t len)
{
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc = table[(crc ^ bytes[i]) & 15U] ^ crc >> 4;
        crc = table[(crc ^ (uint32_t)bytes[i] >> 4) & 15U] ^ crc >> 4;
    }
    return ~crc;
}

/* COBS: every 0x00 becomes the distance to the next one. Below 254 bytes that is one byte more. */
static size_t cobs_encode(uint8_t *to, const uint8_t *raw, size_t len)
{
    size_t code = 0;
    for (size_t i = 0; i < len; i++) {
        to[i + 1] = raw[i];
        if (raw[i])
            continue;
        to[code] = (uint8_t)(i + 1 - code);
        code = i + 1;
    }
    to[code] = (uint8_t)(len + 1 - code);
    return len + 1;
}

/* In place: the raw bytes are at in + 1 then. 0: it is none. */
static size_t cobs_decode(uint8_t *in, size_t len)
{
    size_t code = 0;
    while (code < len) {
        size_t next = code + in[code];
        if (!in[code] || next > len)
            return 0;
        in[code] = 0; /* the first is in front of the raw bytes */
        code = next;
    }
    return code == len && len ? len - 1 : 0;
}

static void put_frame(struct wire_serial *link, enum type type, uint8_t sid, const void *payload, size_t len,
                      uint32_t now)
{
    uint8_t raw[WIRE_SERIAL_RAW_MAX];
    size_t at = 0;
    raw[0] = (uint8_t)type;
    raw[1] = link->seq;
    raw[2] = link->expected;
    raw[3] = sid;
    if (len)
        memcpy(raw + HEAD, payload, len);
    uint32_t crc = crc_of(raw, HEAD + len);
    for (size_t i = 0; i < CRC; i++)
        raw[HEAD + len + i] = (uint8_t)(crc >> 8 * i);
    if (!link->has_written || now - link->wrote >= SILENCE)
        link->out[at++] = 0;
    at += cobs_encode(link->out + at, raw, HEAD + len + CRC);
    link->out[at++] = 0;
    link->out_len = (uint16_t)at;
    link->out_at = 0;
}

/* ---- sessions --------------------------------------------------------------------------------------------------------------- */

static uint8_t sid_of(const struct wire_serial *link)
{
    return link->nonce[0];
}

static void forget(struct wire_serial *link)
{
    link->up = link->opening = link->under_way = link->ack_due = link->open_ok_due = false;
    link->expected = link->seq = link->tries = 0;
}

static void end(struct wire_serial *link, enum wire_serial_reason reason)
{
    bool was = link->up || link->opening;
    forget(link);
    if (was && link->events.closed)
        link->events.closed(link, reason);
}

static void begin(struct wire_serial *link, const char *serial)
{
    forget(link);
    link->up = true;
    if (link->events.opened)
        link->events.opened(link, serial);
}

void wire_serial_init(struct wire_serial *link, const struct wire_serial_events *events, const char *serial)
{
    *link = (struct wire_serial){.events = *events, .is_node = serial != NULL};
    if (serial && strlen(serial) <= WIRE_SERIAL_NAME_MAX)
        memcpy(link->serial, serial, strlen(serial) + 1);
}

void wire_serial_open(struct wire_serial *link, const uint8_t nonce[WIRE_SERIAL_NONCE], uint32_t now)
{
    forget(link);
    memcpy(link->nonce, nonce, WIRE_SERIAL_NONCE);
    link->opening = true;
    link->again = now;
}

void wire_serial_close(struct wire_serial *link)
{
    if (!link->up)
        return;
    link->close_due = true;
    link->close_sid = sid_of(link);
    link->close_reason = WIRE_SERIAL_DONE;
    forget(link);
}

static void on_open(struct wire_serial *link, const uint8_t *payload, size_t len)
{
    char serial[WIRE_SERIAL_NAME_MAX + 1];
    size_t serial_len = len > OPEN_HEAD ? len - OPEN_HEAD : 0;
    if (link->is_node || !serial_len || serial_len > WIRE_SERIAL_NAME_MAX || payload[0] != VERSION)
        return;
    memcpy(serial, payload + OPEN_HEAD, serial_len);
    serial[serial_len] = '\0';
    for (size_t i = 0; i < serial_len; i++)
        if (serial[i] <= ' ' || serial[i] > '~')
            return;
    uint8_t mtu = payload[OPEN_HEAD - 1];
    if (!mtu)
        return;
    bool repeated = link->up && memcmp(link->nonce, payload + 1, WIRE_SERIAL_NONCE) == 0;
    if (!repeated) {
        end(link, WIRE_SERIAL_ANOTHER);
        memcpy(link->nonce, payload + 1, WIRE_SERIAL_NONCE);
        link->mtu = mtu < WIRE_SERIAL_PAYLOAD_MAX ? mtu : WIRE_SERIAL_PAYLOAD_MAX;
        memcpy(link->serial, serial, serial_len + 1);
        begin(link, link->serial);
    }
    link->open_ok_due = link->up; /* whoever is told may have closed it */
}

static void on_open_ok(struct wire_serial *link, const uint8_t *payload, size_t len)
{
    if (!link->opening || len != OPEN_HEAD || payload[0] != VERSION ||
        memcmp(link->nonce, payload + 1, WIRE_SERIAL_NONCE) != 0 || !payload[OPEN_HEAD - 1])
        return;
    uint8_t mtu = payload[OPEN_HEAD - 1];
    link->mtu = mtu < WIRE_SERIAL_PAYLOAD_MAX ? mtu : WIRE_SERIAL_PAYLOAD_MAX;
    begin(link, "");
}

static void on_data(struct wire_serial *link, uint8_t seq, const uint8_t *payload, size_t len)
{
    if (seq == link->expected && link->events.data(link, payload, len)) {
        link->expected++;
        link->ack_due = true;
    } else if (seq == (uint8_t)(link->expected - 1)) {
        link->ack_due = true; /* ours was lost */
    }
}

static void take_ack(struct wire_serial *link, uint8_t ack)
{
    if (!link->under_way || ack != (uint8_t)(link->seq + 1))
        return;
    link->under_way = false;
    link->tries = 0;
    link->seq++;
}

static void on_frame(struct wire_serial *link, const uint8_t *raw, size_t len)
{
    const uint8_t *payload = raw + HEAD;
    size_t payload_len = len - HEAD - CRC;
    bool is_ours = link->up && raw[3] == sid_of(link);
    if ((raw[0] == DATA || raw[0] == ACK) && !is_ours) {
        link->close_due = true;
        link->close_sid = raw[3];
        link->close_reason = WIRE_SERIAL_UNKNOWN;
        return;
    }
    switch (raw[0]) {
    case OPEN: on_open(link, payload, payload_len); break;
    case OPEN_OK: on_open_ok(link, payload, payload_len); break;
    case DATA:
        take_ack(link, raw[2]);
        on_data(link, raw[1], payload, payload_len);
        break;
    case ACK: take_ack(link, raw[2]); break;
    case CLOSE:
        if (is_ours)
            end(link, payload_len ? (enum wire_serial_reason)payload[0] : WIRE_SERIAL_DONE);
        break;
    case LOG:
        if (link->events.log)
            link->events.log(link, (const char *)payload, payload_len);
        break;
    default: break; /* of a later version */
    }
}

/* ---- the line --------------------------------------------------------------------------------------------------------------- */

static void take_gathered(struct wire_serial *link)
{
    size_t len = link->in_len <= sizeof link->in ? cobs_decode(link->in, link->in_len) : 0;
    const uint8_t *raw = link->in + 1;
    link->in_len = 0;
    if (len < HEAD + CRC)
        return;
    uint32_t crc = 0;
    for (size_t i = 0; i < CRC; i++)
        crc |= (uint32_t)raw[len - CRC + i] << 8 * i;
    if (crc == crc_of(raw, len - CRC))
        on_frame(link, raw, len);
}

void wire_serial_input(struct wire_serial *link, const uint8_t *bytes, size_t len, uint32_t now)
{
    (void)now;
    for (size_t i = 0; i < len; i++) {
        if (!bytes[i]) {
            take_gathered(link);
        } else if (link->in_len < sizeof link->in) {
            link->in[link->in_len++] = bytes[i];
        } else {
            link->in_len = sizeof link->in + 1;
        }
    }
}

size_t wire_serial_send(struct wire_serial *link, const void *bytes, size_t len, uint32_t now)
{
    if (!wire_serial_can_send(link) || !len)
        return 0;
    link->data_len = (uint8_t)(len < link->mtu ? len : link->mtu);
    memcpy(link->data, bytes, link->data_len);
    link->under_way = true;
    link->tries = 0;
    link->again = now;
    return link->data_len;
}

static bool is_due(const struct wire_serial *link, uint32_t now)
{
    return (int32_t)(now - link->again) >= 0;
}

static void put_close(struct wire_serial *link, uint32_t now)
{
    link->close_due = false;
    put_frame(link, CLOSE, link->close_sid, &link->close_reason, 1, now);
}

static void put_open(struct wire_serial *link, enum type type, uint32_t now)
{
    uint8_t payload[OPEN_HEAD + WIRE_SERIAL_NAME_MAX] = {VERSION};
    size_t len = OPEN_HEAD;
    memcpy(payload + 1, link->nonce, WIRE_SERIAL_NONCE);
    payload[OPEN_HEAD - 1] = WIRE_SERIAL_PAYLOAD_MAX;
    if (type == OPEN) {
        memcpy(payload + OPEN_HEAD, link->serial, strlen(link->serial));
        len += strlen(link->serial);
    }
    put_frame(link, type, sid_of(link), payload, len, now);
}

static void put_data(struct wire_serial *link, uint32_t now)
{
    if (link->tries > WIRE_SERIAL_RETRIES) {
        link->close_sid = sid_of(link);
        link->close_reason = WIRE_SERIAL_SILENT;
        end(link, WIRE_SERIAL_SILENT);
        put_close(link, now);
        return;
    }
    link->again = now + (link->tries++ ? AGAIN : AGAIN_FIRST);
    link->ack_due = false;
    put_frame(link, DATA, sid_of(link), link->data, link->data_len, now);
}

static void put_next(struct wire_serial *link, uint32_t now)
{
    if (link->close_due) {
        put_close(link, now);
    } else if (link->open_ok_due) {
        link->open_ok_due = false;
        put_open(link, OPEN_OK, now);
    } else if (link->opening && is_due(link, now)) {
        link->again = now + (link->tries < OPEN_QUICKLY ? AGAIN : OPEN_SLOWLY);
        link->tries = (uint8_t)(link->tries + (link->tries < OPEN_QUICKLY));
        put_open(link, OPEN, now);
    } else if (link->under_way && is_due(link, now)) {
        put_data(link, now);
    } else if (link->ack_due) {
        link->ack_due = false;
        put_frame(link, ACK, sid_of(link), NULL, 0, now);
    }
}

const uint8_t *wire_serial_output(struct wire_serial *link, size_t *len, uint32_t now)
{
    if (link->out_at == link->out_len) {
        link->out_at = link->out_len = 0;
        put_next(link, now);
    }
    *len = (size_t)(link->out_len - link->out_at);
    return *len ? link->out + link->out_at : NULL;
}

void wire_serial_wrote(struct wire_serial *link, size_t len, uint32_t now)
{
    link->out_at = (uint16_t)(link->out_at + len);
    link->wrote = now;
    link->has_written = true;
}

uint32_t wire_serial_wait(const struct wire_serial *link, uint32_t now)
{
    if (link->out_at != link->out_len || link->close_due || link->open_ok_due || link->ack_due)
        return 0;
    if (!link->opening && !link->under_way)
        return UINT32_MAX;
    return is_due(link, now) ? 0 : link->again - now;
}
