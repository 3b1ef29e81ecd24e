#include "net/websocket.h"

#include "net/websocket_frame.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* In: frames lie where the connection reads to, and what is in them has to lie there, too, without the heads. Both are
 * one pass, since every byte has to be unmasked anyway; bytes only ever move towards the beginning.
 *
 *      head│payload    │head│ping│head│payload│           what was read, over two pieces perhaps
 *      payload    payload│                                what is left there
 *
 * Out: what has once been offered to the layer below stands, for TLS may have encrypted it already:
 *
 *      [ owed: answer, pong or close ][ head of a frame ][ output ][ head of the next ][ output ] …
 *
 * Only when all of it is written, the next of these is made up. */

enum { FRAME_MAX = 256 * 1024 }; /* that we send: there are clients that gather the whole of one */

/* A frame that goes: its head, and how much of the output belongs to it. */
struct outgoing {
    size_t left; /* bytes of output */
    uint8_t head_len, head_at;
    uint8_t head[WEBSOCKET_SERVER_HEAD_MAX];
};

/* The frames of one write. */
struct batch {
    unsigned count, at;
    struct outgoing frames[WEBSOCKET_FRAMES];
};

struct owed {
    size_t len, at;
    uint8_t bytes[];
};

struct early {
    size_t len;
    uint8_t bytes[];
};

struct websocket {
    struct websocket_site *site;
    struct early *early;  /* of the handshake, or behind it */
    struct owed *owed;    /* is being written, or will be next */
    struct owed *pong;    /* waits for `owed` and the frame to be written */
    struct owed *control; /* payload of the control frame that is coming */
    struct batch *batch;  /* is being written, behind what is owed */
    const char *why;      /* the rule that was broken; NULL: none */
    uint64_t left_in;     /* bytes of the frame that is coming */
    size_t left_out;      /* bytes of a packet that did not fit in its frame */
    uint32_t mask;
    uint16_t code; /* of the close frame; 0: there will be none */
    uint8_t opcode;
    uint8_t head_in_len;
    uint8_t head_in[WEBSOCKET_CLIENT_HEAD_MAX];
    bool within;  /* a message: its next fragment is a continuation */
    bool over;    /* nothing that comes counts any more */
    bool leaving; /* no output will follow what there is: the close frame may */
    bool left;    /* the last thing that is said has been made up */
};

struct websocket *websocket_accept(struct websocket_site *site)
{
    struct websocket *websocket = mem_new(struct websocket);
    websocket->site = websocket_site_ref(site);
    return websocket;
}

struct websocket *websocket_free(struct websocket *websocket)
{
    if (!websocket)
        return NULL;
    (void)websocket_site_unref(websocket->site);
    free(websocket->early);
    free(websocket->owed);
    free(websocket->pong);
    free(websocket->control);
    free(websocket->batch);
    free(websocket);
    return NULL;
}

static struct owed *owed_new(const void *bytes, size_t len)
{
    struct owed *owed = mem_new_bytes(sizeof *owed + len);
    owed->len = len;
    memcpy(owed->bytes, bytes, len);
    return owed;
}

static void leave(struct websocket *websocket, unsigned code)
{
    websocket->over = true;
    websocket->code = (uint16_t)code;
}

static void break_off(struct websocket *websocket, unsigned code, const char *why)
{
    websocket->why = why;
    leave(websocket, code);
}

/* ---- the handshake ------------------------------------------------------------------------------------------------- */

size_t websocket_hello_room(const struct websocket *websocket)
{
    return HTTP_HEAD_MAX - (websocket->early ? websocket->early->len : 0);
}

/* The bytes go behind those that have come before. */
static int keep_early(struct websocket *websocket, const void *bytes, size_t len)
{
    size_t kept = websocket->early ? websocket->early->len : 0;
    struct early *early = realloc(websocket->early, sizeof *early + kept + len);
    if (!early)
        return -ENOMEM;
    memcpy(early->bytes + kept, bytes, len);
    early->len = kept + len;
    websocket->early = early;
    return 0;
}

/* What came behind the head stays. */
static void drop_head(struct websocket *websocket, size_t used)
{
    struct early *early = websocket->early;
    early->len -= used;
    memmove(early->bytes, early->bytes + used, early->len);
    if (!early->len)
        free(steal(websocket->early));
}

int websocket_hello(struct websocket *websocket, const void *bytes, size_t len)
{
    struct http_head head;
    char answer[HTTP_REFUSAL_MAX];
    size_t used, answer_len;
    int r = keep_early(websocket, bytes, len);
    if (r < 0)
        return r;
    r = http_head_parse(&head, websocket->early->bytes, websocket->early->len, &used, &websocket->why);
    if (r == -EAGAIN)
        return r;
    if (r == 0)
        r = websocket_upgrade(websocket->site, &head, answer, &answer_len, &websocket->why);
    else
        answer_len = http_refusal(answer, r, "", websocket->why);
    websocket->owed = owed_new(answer, answer_len);
    if (r == 0) {
        drop_head(websocket, used);
        return 0;
    }
    websocket->over = websocket->left = true;
    return -EPROTO;
}

bool websocket_has_early(const struct websocket *websocket)
{
    return websocket->early;
}

size_t websocket_early(struct websocket *websocket, const struct iovec *pieces)
{
    struct early *early = steal(websocket->early);
    size_t len = early ? early->len : 0;
    if (len) {
        assert(len <= pieces->iov_len);
        memcpy(pieces->iov_base, early->bytes, len);
    }
    free(early);
    return len;
}

/* ---- in: control frames -------------------------------------------------------------------------------------------- */

static void on_close(struct websocket *websocket, const struct owed *close)
{
    unsigned code = close->len < 2 ? 0 : (unsigned)close->bytes[0] << 8 | close->bytes[1];
    if (!close->len)
        leave(websocket, WEBSOCKET_NORMAL);
    else if (websocket_code_is_valid(code))
        leave(websocket, code);
    else
        break_off(websocket, WEBSOCKET_PROTOCOL_ERROR, "a close frame with no code that there is");
}

static void on_ping(struct websocket *websocket, const struct owed *ping)
{
    uint8_t pong[WEBSOCKET_SERVER_HEAD_MAX + WEBSOCKET_CONTROL_MAX];
    size_t head = websocket_frame_encode(pong, WEBSOCKET_PONG, ping->len);
    memcpy(pong + head, ping->bytes, ping->len);
    free(websocket->pong);
    websocket->pong = owed_new(pong, head + ping->len);
}

/* The frame is complete. */
static void on_control(struct websocket *websocket)
{
    struct owed *control = steal(websocket->control);
    if (websocket->opcode == WEBSOCKET_CLOSE)
        on_close(websocket, control);
    else if (websocket->opcode == WEBSOCKET_PING)
        on_ping(websocket, control);
    free(control);
}

static void take_control(struct websocket *websocket, const uint8_t *bytes, size_t len)
{
    struct owed *control = websocket->control;
    websocket->mask = websocket_unmask(control->bytes + control->len, bytes, len, websocket->mask);
    control->len += len;
}

/* ---- in ------------------------------------------------------------------------------------------------------------ */

/* Where what is read comes to lie. */
struct target {
    const struct iovec *piece;
    size_t at;  /* in the piece */
    size_t len; /* in all */
};

static void take_payload(struct websocket *websocket, struct target *to, const uint8_t *bytes, size_t len)
{
    while (len) {
        if (to->at == to->piece->iov_len) {
            to->piece++;
            to->at = 0;
        }
        uint8_t *room = (uint8_t *)to->piece->iov_base + to->at;
        size_t n = size_min(len, to->piece->iov_len - to->at);
        websocket->mask = websocket_unmask(room, bytes, n, websocket->mask);
        to->at += n;
        to->len += n;
        bytes += n;
        len -= n;
    }
}

/* Does the frame fit in what came before? */
static bool accept_frame(struct websocket *websocket, const struct websocket_frame *frame)
{
    bool goes_on = frame->opcode == WEBSOCKET_CONTINUATION;
    switch (frame->opcode) {
    case WEBSOCKET_TEXT: /* [MQTT-6.0.0-1] */
        break_off(websocket, WEBSOCKET_UNSUPPORTED, "a text frame, expected binary ones");
        return false;
    case WEBSOCKET_BINARY:
    case WEBSOCKET_CONTINUATION:
        if (websocket->within != goes_on) {
            break_off(websocket, WEBSOCKET_PROTOCOL_ERROR,
                      goes_on ? "a continuation of nothing" : "a message within another");
            return false;
        }
        websocket->within = !frame->fin;
        return true;
    case WEBSOCKET_CLOSE:
    case WEBSOCKET_PING:
    case WEBSOCKET_PONG: break;
    }
    websocket->control = mem_new_bytes(sizeof(struct owed) + WEBSOCKET_CONTROL_MAX);
    return true;
}

/* Where the bytes lie, unless the head comes in parts. */
static int decode_head(struct websocket *websocket, struct websocket_frame *frame, const uint8_t **at,
                       const uint8_t *end, const char **why)
{
    int r = 0;
    if (!websocket->head_in_len) {
        r = websocket_frame_decode(frame, *at, (size_t)(end - *at), why);
        *at += r > 0 ? r : 0;
    }
    while (r == 0 && *at < end) {
        websocket->head_in[websocket->head_in_len++] = *(*at)++;
        r = websocket_frame_decode(frame, websocket->head_in, websocket->head_in_len, why);
    }
    if (r > 0)
        websocket->head_in_len = 0;
    return r;
}

static void take_head(struct websocket *websocket, const uint8_t **at, const uint8_t *end)
{
    struct websocket_frame frame;
    const char *why;
    int r = decode_head(websocket, &frame, at, end, &why);
    if (r < 0)
        break_off(websocket, WEBSOCKET_PROTOCOL_ERROR, why);
    if (r <= 0 || !accept_frame(websocket, &frame))
        return;
    websocket->opcode = (uint8_t)frame.opcode;
    websocket->left_in = frame.len;
    websocket->mask = frame.mask;
    if (websocket->control && !frame.len)
        on_control(websocket);
}

static void take_frames(struct websocket *websocket, struct target *to, const uint8_t *at, size_t len)
{
    const uint8_t *end = at + len;
    while (at < end && !websocket->over) {
        if (!websocket->left_in) {
            take_head(websocket, &at, end);
            continue;
        }
        size_t there = (size_t)(end - at);
        size_t n = websocket->left_in < there ? (size_t)websocket->left_in : there;
        if (websocket->control)
            take_control(websocket, at, n);
        else
            take_payload(websocket, to, at, n);
        at += n;
        websocket->left_in -= n;
        if (websocket->control && !websocket->left_in)
            on_control(websocket);
    }
}

ssize_t websocket_read(struct websocket *websocket, const struct iovec *pieces, size_t len)
{
    struct target to = {.piece = pieces};
    for (const struct iovec *piece = pieces; len && !websocket->over; piece++) {
        size_t n = size_min(len, piece->iov_len);
        take_frames(websocket, &to, piece->iov_base, n);
        len -= n;
    }
    if (to.len)
        return (ssize_t)to.len;
    if (!websocket->over)
        return -EAGAIN;
    return websocket->why ? -EPROTO : 0;
}

void websocket_lost(struct websocket *websocket)
{
    websocket->over = true;
    free(steal(websocket->pong));
}

bool websocket_is_over(const struct websocket *websocket)
{
    return websocket->over;
}

const char *websocket_why(const struct websocket *websocket)
{
    return websocket->why;
}

/* ---- out ----------------------------------------------------------------------------------------------------------- */

static bool owes_close(const struct websocket *websocket)
{
    return websocket->leaving && !websocket->left && websocket->code;
}

static struct owed *close_new(unsigned code)
{
    uint8_t close[WEBSOCKET_SERVER_HEAD_MAX + 2];
    size_t len = websocket_frame_encode(close, WEBSOCKET_CLOSE, 2);
    close[len++] = (uint8_t)(code >> 8);
    close[len++] = (uint8_t)code;
    return owed_new(close, len);
}

/* What is left of the output that is to be framed. */
struct source {
    const struct iovec *piece;
    size_t at;  /* in the piece */
    size_t len; /* in all */
};

static void skip(struct source *source, size_t len)
{
    source->len -= len;
    source->at += len;
    while (source->len && source->at >= source->piece->iov_len) {
        source->at -= source->piece->iov_len;
        source->piece++;
    }
}

/* How much of the output is one packet, or what is left of one; all of it where that cannot be told. */
static size_t next_cut(const struct websocket *websocket, const struct source *source)
{
    size_t len = websocket->left_out;
    if (!len && websocket->site->cut)
        len = websocket->site->cut((const uint8_t *)source->piece->iov_base + source->at,
                                   source->piece->iov_len - source->at);
    return len ? len : source->len;
}

static struct batch *batch_new(struct websocket *websocket, const struct iovec *pieces, size_t len)
{
    struct batch *batch = mem_new(struct batch);
    struct source source = {.piece = pieces, .len = len};
    skip(&source, 0);
    while (source.len && batch->count < WEBSOCKET_FRAMES) {
        size_t cut = next_cut(websocket, &source);
        if (cut > source.len && batch->count)
            break; /* the rest of the packet is not among these pieces */
        struct outgoing *frame = &batch->frames[batch->count++];
        frame->left = size_min(size_min(cut, source.len), FRAME_MAX);
        websocket->left_out = cut - frame->left;
        frame->head_len = (uint8_t)websocket_frame_encode(frame->head, WEBSOCKET_BINARY, frame->left);
        skip(&source, frame->left);
    }
    return batch;
}

/* What is written next: a pong goes before output, the close frame after all of it. */
static void make_up(struct websocket *websocket, const struct iovec *pieces, size_t len)
{
    assert(!len || !websocket->left);
    websocket->owed = steal(websocket->pong);
    if (len) {
        websocket->batch = batch_new(websocket, pieces, len);
    } else if (!websocket->owed && owes_close(websocket)) {
        websocket->owed = close_new(websocket->code);
        websocket->left = true;
    }
}

static struct iovec head_left(struct outgoing *frame)
{
    return (struct iovec){frame->head + frame->head_at, (size_t)(frame->head_len - frame->head_at)};
}

/* The frame's head and its part of the output. */
static int add_frame(struct iovec *framed, struct outgoing *frame, struct source *source)
{
    int n = 0;
    if (frame->head_at < frame->head_len)
        framed[n++] = head_left(frame);
    for (size_t left = frame->left; left;) {
        size_t len = size_min(left, source->piece->iov_len - source->at);
        if (len)
            framed[n++] = (struct iovec){(uint8_t *)source->piece->iov_base + source->at, len};
        skip(source, len);
        left -= len;
    }
    return n;
}

int websocket_frame(struct websocket *websocket, struct iovec *framed, const struct iovec *pieces, size_t len,
                    size_t *framed_len)
{
    if (!websocket->owed && !websocket->batch)
        make_up(websocket, pieces, len);
    int n = 0;
    if (websocket->owed)
        framed[n++] = (struct iovec){websocket->owed->bytes + websocket->owed->at,
                                     websocket->owed->len - websocket->owed->at};
    struct batch *batch = websocket->batch;
    struct source source = {.piece = pieces, .len = len};
    for (unsigned i = batch ? batch->at : 0; batch && i < batch->count; i++)
        n += add_frame(framed + n, &batch->frames[i], &source);
    *framed_len = 0;
    for (int i = 0; i < n; i++)
        *framed_len += framed[i].iov_len;
    return n;
}

/* Of n written bytes, those that the frames take: how many of them were output. */
static size_t batch_wrote(struct batch *batch, size_t n)
{
    size_t output = 0;
    while (n) {
        assert(batch->at < batch->count);
        struct outgoing *frame = &batch->frames[batch->at];
        size_t of_head = size_min(n, head_left(frame).iov_len);
        size_t of_output = size_min(n - of_head, frame->left);
        frame->head_at = (uint8_t)(frame->head_at + of_head);
        frame->left -= of_output;
        output += of_output;
        n -= of_head + of_output;
        if (!frame->left && !head_left(frame).iov_len)
            batch->at++;
    }
    return output;
}

size_t websocket_wrote(struct websocket *websocket, size_t n)
{
    struct owed *owed = websocket->owed;
    if (owed) {
        size_t taken = size_min(n, owed->len - owed->at);
        owed->at += taken;
        n -= taken;
        if (owed->at == owed->len)
            free(steal(websocket->owed));
    }
    struct batch *batch = websocket->batch;
    assert(batch || !n);
    size_t output = batch ? batch_wrote(batch, n) : 0;
    if (batch && batch->at == batch->count)
        free(steal(websocket->batch));
    return output;
}

void websocket_leave(struct websocket *websocket, int why)
{
    websocket->leaving = true;
    if (websocket->over)
        return; /* it is he who leaves, or he is told off */
    leave(websocket, why == -EMSGSIZE          ? WEBSOCKET_TOO_BIG
                     : why < 0                 ? WEBSOCKET_PROTOCOL_ERROR
                     : websocket->site->closed ? WEBSOCKET_GOING_AWAY
                                               : WEBSOCKET_NORMAL);
}

bool websocket_owes(const struct websocket *websocket)
{
    return websocket->owed || (websocket->pong && !websocket->left) || owes_close(websocket);
}
