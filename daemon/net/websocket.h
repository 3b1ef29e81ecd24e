/* WebSocket as a filter of a connection, server side (RFC 6455): frames become the bytes in them, output becomes frames.
 * For net's own files. Bytes to bytes: it has no descriptor, and what is below, TLS or nothing, is not its business.
 *
 *      hello ──▶ read, frame ──▶ leave or an end in read() ──▶ frame until nothing is owed
 *
 * Frames and MQTT packets need not be aligned [MQTT-6.0.0-2]: what comes is one run of bytes, moved together where it was
 * read to. Out goes one frame a packet where the site can cut its output into packets, since there are clients that read one
 * packet a frame and then wait (Paho C 1.3.12); else one frame a write. Pings are answered between frames; when several wait, the last one
 * (section 5.5.3), so nobody can make us keep more than one. Extensions are not offered.
 *
 * At rest it owns no buffers. */
#pragma once

#include "net/websocket_upgrade.h"

#include <sys/types.h>
#include <sys/uio.h>

struct websocket;

/* The accepting side of a connection; refers to the site. */
struct websocket *websocket_accept(struct websocket_site *site);
struct websocket *websocket_free(struct websocket *websocket);

enum { WEBSOCKET_HELLO_MAX = HTTP_HEAD_MAX };

/* Bytes of the handshake, as many as there is room for. 0: it is done, and what came behind the request waits for
 * websocket_early(). -EAGAIN: it goes on. -EPROTO: refused. Then, and with 0, the answer is owed. */
int websocket_hello(struct websocket *websocket, const void *bytes, size_t len) must_check;
size_t websocket_hello_room(const struct websocket *websocket);
/* What came behind the request: into the first piece, which has room for WEBSOCKET_HELLO_MAX. How many bytes; 0: none. */
size_t websocket_early(struct websocket *websocket, const struct iovec *pieces);
bool websocket_has_early(const struct websocket *websocket);

/* The first len bytes in the pieces are frames: what is in them comes to the beginning. How many bytes; -EAGAIN: none. When
 * it is over, further bytes are ignored, and the answer is 0 (the peer leaves) or -EPROTO (he has broken the rules). */
ssize_t websocket_read(struct websocket *websocket, const struct iovec *pieces, size_t len);
bool websocket_is_over(const struct websocket *websocket);
/* The peer is gone without a good-bye: he gets none either. */
void websocket_lost(struct websocket *websocket);
/* Which rule was broken, by the request or by a frame. */
const char *websocket_why(const struct websocket *websocket);

enum {
    WEBSOCKET_FRAMES = 32,                      /* in one write at most */
    WEBSOCKET_PIECES = 1 + 2 * WEBSOCKET_FRAMES /* what framing adds: heads, and cuts through pieces */
};

/* What is to be written for output of these pieces, which are len bytes (0: only what is owed): into `framed`, which has
 * room for WEBSOCKET_PIECES more. *framed_len is their sum. What was not written must come first in the next call. */
int websocket_frame(struct websocket *websocket, struct iovec *framed, const struct iovec *pieces, size_t len,
                    size_t *framed_len);
/* So many bytes of that have been written: how many of them were output. */
size_t websocket_wrote(struct websocket *websocket, size_t n);

/* Nothing will be read any more, and nothing written behind the output that there is: owes a close frame. why is that of
 * the connection. */
void websocket_leave(struct websocket *websocket, int why);
/* Is there something to write even without output? */
bool websocket_owes(const struct websocket *websocket);
