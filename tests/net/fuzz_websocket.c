/* Frames from any bytes, in any pieces, with any part of the output taken at once. Beside them goes a reader that knows no
 * pieces: what comes out of the filter must be what he found.
 *
 *      data[0], data[1]    in which pieces the others come and what is written meanwhile
 */
#include "net/websocket.h"
#include "net/websocket_frame.h"

#include <errno.h>
#include <string.h>

enum { SIZE = 1 << 20 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- a reader of the whole ----------------------------------------------------------------------------------------- */

struct reader {
    uint8_t payload[SIZE];
    size_t len;
    unsigned code; /* how it ended; 0: not yet */
    unsigned pings;
};

/* The code with which a head of n bytes ends everything; 0: it may go on. */
static unsigned judge(const uint8_t *head, size_t n, bool within)
{
    unsigned opcode = n ? head[0] & 15u : 0;
    if (n && (head[0] & 0x70 || (opcode > 2 && opcode < 8) || opcode > 10 || (opcode >= 8 && head[0] < 0x80)))
        return 1002;
    if (n > 1 && (head[1] < 0x80 || (opcode >= 8 && (head[1] & 127) > 125)))
        return 1002;
    if (n > 2 && head[1] == 0xff && head[2] > 127)
        return 1002;
    if (n >= 4 && head[1] == 0xfe && head[2] == 0 && head[3] < 126)
        return 1002;
    if (n >= 10 && head[1] == 0xff && memcmp(head + 2, "\0\0\0\0\0\0", 6) == 0)
        return 1002;
    size_t size = n < 2 ? 99 : head[1] == 0xff ? 14 : head[1] == 0xfe ? 8 : 6;
    if (n < size) /* whether it fits is asked when it is complete */
        return 0;
    return opcode == 1 ? 1003 : (opcode == 0 && !within) || (opcode == 2 && within) ? 1002 : 0;
}

static unsigned close_code(const uint8_t *payload, size_t len)
{
    unsigned code = len < 2 ? 0 : payload[0] * 256u + payload[1];
    return len == 0 ? 1000 : websocket_code_is_valid(code) ? code : 1002;
}

static void read_whole(struct reader *reader, const uint8_t *data, size_t len)
{
    bool within = false;
    size_t at = 0;
    reader->len = reader->code = reader->pings = 0;
    while (at < len) {
        const uint8_t *head = data + at;
        for (size_t n = 1; n <= 14 && n <= len - at && !reader->code; n++) {
            size_t full = n < 2 ? 99 : head[1] == 0xff ? 14 : head[1] == 0xfe ? 8 : 6;
            reader->code = judge(head, n, within);
            if (n == full)
                break;
        }
        size_t size = len - at < 2 ? 99 : head[1] == 0xff ? 14 : head[1] == 0xfe ? 8 : 6;
        if (reader->code || len - at < size)
            return;
        uint64_t payload = head[1] & 127;
        for (size_t i = 2; i < size - 4; i++)
            payload = (i == 2 ? 0 : payload << 8) | head[i];
        size_t there = payload < len - at - size ? (size_t)payload : len - at - size;
        uint8_t control[125];
        for (size_t i = 0; i < there; i++) {
            uint8_t byte = head[size + i] ^ head[size - 4 + i % 4];
            if (head[0] & 8)
                control[i] = byte;
            else
                reader->payload[reader->len++] = byte;
        }
        if ((head[0] & 15) <= 2)
            within = head[0] < 0x80;
        if (there == payload && (head[0] & 15) == 9)
            reader->pings++;
        if (there == payload && (head[0] & 15) == 8) {
            reader->code = close_code(control, there);
            return;
        }
        at += size + there;
    }
}

/* ---- the filter ---------------------------------------------------------------------------------------------------- */

struct writer {
    struct websocket *websocket;
    uint8_t sent[SIZE]; /* what went below */
    size_t sent_len;
    uint8_t output[SIZE]; /* what the user wrote, and how much of it went */
    size_t output_len, output_gone;
};

/* One write, of which not more than `room` bytes are taken. */
static void write_once(struct writer *writer, size_t room)
{
    size_t len = writer->output_len - writer->output_gone, framed_len, taken = 0;
    struct iovec pieces[2] = {{writer->output + writer->output_gone, len / 3},
                              {writer->output + writer->output_gone + len / 3, len - len / 3}};
    struct iovec framed[2 + WEBSOCKET_PIECES];
    int n = websocket_frame(writer->websocket, framed, pieces, len, &framed_len);
    must(n <= 2 + WEBSOCKET_PIECES);
    for (int i = 0; i < n && taken < room; i++) {
        size_t some = framed[i].iov_len < room - taken ? framed[i].iov_len : room - taken;
        must(writer->sent_len + some <= SIZE);
        memcpy(writer->sent + writer->sent_len, framed[i].iov_base, some);
        writer->sent_len += some;
        taken += some;
    }
    must(taken <= framed_len && (taken == framed_len || taken == room));
    writer->output_gone += websocket_wrote(writer->websocket, taken);
    must(writer->output_gone <= writer->output_len);
}

static bool is_done(const struct writer *writer)
{
    return writer->output_gone == writer->output_len && !websocket_owes(writer->websocket);
}

/* Everything that was sent, as a client sees it. */
static void check_sent(const struct writer *writer, const struct reader *reader)
{
    size_t at = 0, output = 0;
    unsigned pongs = 0, code = 0;
    while (at < writer->sent_len) {
        const uint8_t *head = writer->sent + at;
        size_t size = head[1] == 127 ? 10 : head[1] == 126 ? 4 : 2, len = head[1];
        must(!code && head[1] < 128 && writer->sent_len - at >= size);
        for (size_t i = 2; i < size; i++)
            len = (i == 2 ? 0 : len << 8) | head[i];
        must(writer->sent_len - at - size >= len);
        if (head[0] == 0x82) {
            must(memcmp(head + size, writer->output + output, len) == 0);
            output += len;
        } else if (head[0] == 0x8a) {
            pongs++;
        } else {
            must(head[0] == 0x88 && len == 2);
            code = head[2] * 256u + head[3];
        }
        at += size + len;
    }
    must(output == writer->output_len);
    must(pongs <= reader->pings && (!reader->pings || pongs || reader->code));
    must(code == (reader->code ? reader->code : 1000));
}

static const char request[] = "GET /mqtt HTTP/1.1\r\nHost: localhost:9001\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

static struct websocket *shake_hands(bool cut)
{
    struct websocket_site *site = websocket_site_new("/mqtt", NULL, true);
    site->cut = cut ? websocket_cut_mqtt : NULL;
    struct websocket *websocket = websocket_accept(site);
    (void)websocket_site_unref(site);
    struct iovec framed[WEBSOCKET_PIECES];
    size_t len = 0;
    must(websocket_hello(websocket, request, sizeof request - 1) == 0 && !websocket_has_early(websocket));
    must(websocket_owes(websocket) && websocket_frame(websocket, framed, NULL, 0, &len) == 1);
    must(websocket_wrote(websocket, len) == 0 && !websocket_owes(websocket));
    return websocket;
}

/* The next n bytes, read into two pieces of memory that end where they end. */
static void read_once(struct websocket *websocket, const uint8_t *bytes, size_t n, size_t first,
                      uint8_t *found, size_t *found_len)
{
    first = first < n ? first : n;
    cleanup_free uint8_t *one = malloc(first ? first : 1), *two = malloc(n - first ? n - first : 1);
    memcpy(one, bytes, first);
    memcpy(two, bytes + first, n - first);
    struct iovec pieces[2] = {{one, first}, {two, n - first}};
    ssize_t r = websocket_read(websocket, pieces, n);
    must(r <= (ssize_t)n && (r > 0 || r == -EAGAIN || websocket_is_over(websocket)));
    if (r <= 0)
        return;
    size_t in_first = (size_t)r < first ? (size_t)r : first;
    memcpy(found + *found_len, one, in_first);
    memcpy(found + *found_len + in_first, two, (size_t)r - in_first);
    *found_len += (size_t)r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct reader reader;
    static struct writer writer;
    static uint8_t found[SIZE];
    if (len < 2 || len > SIZE / 8)
        return 0;
    unsigned random = data[0] * 256u + data[1];
    data += 2;
    len -= 2;
    read_whole(&reader, data, len);
    writer.websocket = shake_hands(random & 1);
    writer.sent_len = writer.output_len = writer.output_gone = 0;
    size_t found_len = 0;
    for (size_t at = 0; at < len;) {
        random = random * 1103515245 + 12345;
        size_t n = size_min(len - at, 1 + (random >> 16) % (random % 3 ? 9 : 4000));
        read_once(writer.websocket, data + at, n, (random >> 20) % 50, found, &found_len);
        at += n;
        if (random % 5 == 0 && writer.output_len < SIZE / 4) {
            size_t more = (random >> 18) % 300;
            memset(writer.output + writer.output_len, (int)random, more);
            writer.output_len += more;
        }
        if (random % 7 < 4 && !is_done(&writer))
            write_once(&writer, (random >> 17) % 200);
    }
    must(found_len == reader.len && (!found_len || memcmp(found, reader.payload, found_len) == 0));
    must(websocket_is_over(writer.websocket) == (reader.code != 0));
    websocket_leave(writer.websocket, 0);
    while (!is_done(&writer))
        write_once(&writer, 1000);
    check_sent(&writer, &reader);
    writer.websocket = websocket_free(writer.websocket);
    return 0;
}
