/* For tests of WebSocket: a connection that accepts it, and the client's side by hand.
 *
 *      cleanup(web_done) struct web web = {0};
 *      web_up(&web);
 *      web_send(&web, WEB_BINARY, "hello", 5);
 *      CHECK_MEM(web.recorder.bytes, web.recorder.len, "hello", 5);
 *      web_expect(&web, WEB_CLOSE, "\x03\xe8", 2);            what comes next is this frame
 */
#pragma once

#include "net/net_rig.h"
#include "net/websocket.h"

enum { /* the first byte of a frame */
       WEB_FRAGMENT = 0x00,
       WEB_LAST = 0x80,
       WEB_TEXT = 0x81,
       WEB_BEGIN = 0x02,
       WEB_BINARY = 0x82,
       WEB_CLOSE = 0x88,
       WEB_PING = 0x89,
       WEB_PONG = 0x8a
};

extern const char web_request[]; /* of a client that does everything right */
extern const char web_answer[];

struct web {
    struct net_rig *rig;
    struct websocket_site *site;
    struct recorder recorder;
    int raw, near;  /* the client's descriptor, and the connection's while that is there */
    uint8_t *bytes; /* what has come and was not looked at yet */
    size_t len;
    bool ended; /* and that was all */
};

/* A pair whose near end is a connection. The recorder's callbacks may be set before. */
void web_open(struct web *web);
/* The same, and the handshake is done. */
void web_up(struct web *web);
void web_done(struct web *web);

/* A frame as a client sends it, with a mask that depends on its length: how many bytes. */
enum { WEB_HEAD_MAX = 14 };
size_t web_frame(uint8_t *to, uint8_t first, const void *payload, size_t len);
/* Sends it and turns. */
void web_send(struct web *web, uint8_t first, const void *payload, size_t len);
void web_send_raw(struct web *web, const void *bytes, size_t len);

/* Turns and takes what comes, until nothing more does. */
void web_take(struct web *web);
/* What comes next are these bytes; is a frame with this first byte and that payload; is nothing; is the end, after which the
 * client closes, too, and the connection is gone. */
void web_expect_raw(struct web *web, const void *bytes, size_t len);
void web_expect(struct web *web, uint8_t first, const void *payload, size_t len);
void web_expect_nothing(struct web *web);
void web_expect_end(struct web *web);
/* The frame that begins what has come: its first byte, its payload. -1: none. */
int web_next(struct web *web, const uint8_t **payload, size_t *len);
/* The payloads of all that has come, which are binary frames, in one; how many frames. Free it. */
unsigned web_payloads(struct web *web, uint8_t **ret, size_t *len);
