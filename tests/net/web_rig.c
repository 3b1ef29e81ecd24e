#include "net/web_rig.h"

#include <errno.h>
#include <sys/socket.h>

const char web_request[] = "GET /mqtt HTTP/1.1\r\nHost: localhost:9001\r\nUpgrade: websocket\r\n"
                           "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
const char web_answer[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                          "Sec-WebSocket-Protocol: mqtt\r\n\r\n";

void web_open(struct web *web)
{
    int fds[2];
    web->rig = net_rig_new();
    web->site = websocket_site_new("/mqtt", NULL, true);
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    struct endpoint endpoint = {.fd = fds[0], .websocket = websocket_accept(web->site)};
    web->near = fds[0];
    web->raw = fds[1];
    net_endpoint(web->rig, &web->recorder, &endpoint);
    log_listen();
}

void web_up(struct web *web)
{
    web_open(web);
    web_send_raw(web, web_request, strlen(web_request));
    web_expect_raw(web, web_answer, strlen(web_answer));
    CHECK_INT(web->recorder.closed, 0);
}

void web_done(struct web *web)
{
    recorder_done(&web->recorder);
    web->site = websocket_site_unref(web->site);
    fd_close_p(&web->raw);
    free(web->bytes);
    web->rig = net_rig_free(web->rig);
}

/* ---- frames that go ------------------------------------------------------------------------------------------------ */

size_t web_frame(uint8_t *to, uint8_t first, const void *payload, size_t len)
{
    uint8_t mask[4] = {(uint8_t)(0x37 + len), 0xfa, 0x21, (uint8_t)(0x3d ^ len)};
    size_t size = len < 126 ? 0 : len < 65536 ? 2 : 8, at = 0;
    to[at++] = first;
    to[at++] = (uint8_t)(0x80 | (size == 0 ? len : size == 2 ? 126 : 127));
    for (size_t i = 0; i < size; i++)
        to[at++] = (uint8_t)((uint64_t)len >> 8 * (size - 1 - i));
    memcpy(to + at, mask, sizeof mask);
    at += sizeof mask;
    for (size_t i = 0; i < len; i++)
        to[at++] = ((const uint8_t *)payload)[i] ^ mask[i % 4];
    return at;
}

void web_send_raw(struct web *web, const void *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(web->raw, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        CHECK(n > 0 || errno == EAGAIN);
        if (n > 0) {
            bytes = (const char *)bytes + n;
            len -= (size_t)n;
        }
        net_turn(web->rig);
    }
}

void web_send(struct web *web, uint8_t first, const void *payload, size_t len)
{
    cleanup_free uint8_t *frame = malloc(len + WEB_HEAD_MAX);
    web_send_raw(web, frame, web_frame(frame, first, payload, len));
}

/* ---- frames that come ---------------------------------------------------------------------------------------------- */

void web_take(struct web *web)
{
    static uint8_t some[65536];
    for (;;) {
        net_turn(web->rig);
        ssize_t n = raw_read(web->raw, some, sizeof some);
        if (n <= 0) {
            web->ended |= n == 0;
            return;
        }
        web->bytes = realloc(web->bytes, web->len + (size_t)n);
        memcpy(web->bytes + web->len, some, (size_t)n);
        web->len += (size_t)n;
    }
}

static void drop(struct web *web, size_t len)
{
    web->len -= len;
    memmove(web->bytes, web->bytes + len, web->len);
}

void web_expect_raw(struct web *web, const void *bytes, size_t len)
{
    web_take(web);
    CHECK_MEM(web->bytes, size_min(web->len, len), bytes, len);
    drop(web, len);
}

/* Where its payload begins; 0: it is not complete. */
static size_t head_of(const struct web *web, size_t *len)
{
    const uint8_t *at = web->bytes;
    if (web->len < 2)
        return 0;
    CHECK(!(at[1] & 0x80)); /* a server does not mask */
    size_t size = at[1] == 126 ? 2 : at[1] == 127 ? 8 : 0;
    if (web->len < 2 + size)
        return 0;
    *len = size ? 0 : at[1];
    for (size_t i = 0; i < size; i++)
        *len = *len << 8 | at[2 + i];
    CHECK(size == 0 || *len >= (size == 2 ? 126u : 65536u));
    return web->len - 2 - size >= *len ? 2 + size : 0;
}

int web_next(struct web *web, const uint8_t **payload, size_t *len)
{
    web_take(web);
    size_t head = head_of(web, len);
    *payload = head ? web->bytes + head : NULL;
    return head ? web->bytes[0] : -1;
}

void web_expect(struct web *web, uint8_t first, const void *payload, size_t len)
{
    const uint8_t *found;
    size_t found_len;
    CHECK_INT(web_next(web, &found, &found_len), first);
    CHECK_MEM(found, found_len, payload, len);
    drop(web, (size_t)(found - web->bytes) + found_len);
}

void web_expect_nothing(struct web *web)
{
    web_take(web);
    CHECK_MEM(web->bytes, web->len, "", 0);
    CHECK(!web->ended);
}

void web_expect_end(struct web *web)
{
    web_take(web);
    CHECK_MEM(web->bytes, web->len, "", 0);
    CHECK(web->ended);
    fd_close_p(&web->raw);
    net_turn(web->rig);
    CHECK_INT(web->recorder.closed, 1);
}

unsigned web_payloads(struct web *web, uint8_t **ret, size_t *len)
{
    const uint8_t *payload;
    size_t payload_len;
    unsigned count = 0;
    *ret = NULL;
    *len = 0;
    while (web_next(web, &payload, &payload_len) == WEB_BINARY) {
        *ret = realloc(*ret, *len + payload_len);
        memcpy(*ret + *len, payload, payload_len);
        *len += payload_len;
        count++;
        drop(web, (size_t)(payload - web->bytes) + payload_len);
    }
    return count;
}
