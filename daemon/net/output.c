#include "net/output.h"

#include <assert.h>
#include <string.h>

/* A chunk and its head fill a page. At most POOL_MAX of them are kept for the next writer: what a peak needed beyond
 * that goes back to the allocator as soon as it is written. */
enum { CHUNK_BYTES = 4096 - 80, POOL_MAX = 64 };

struct piece {
    struct piece *next;
    struct msg *msg; /* what `at` points into; NULL: the piece's own bytes */
    const uint8_t *at;
    size_t len;  /* bytes from `at` */
    size_t size; /* of own bytes */
    uint8_t own[];
};

/* Empty chunks, for whoever writes next. Connections live on one thread, the loop's. */
static struct piece *pool;
static unsigned pool_count;

static struct piece *piece_new(size_t size)
{
    struct piece *piece = size == CHUNK_BYTES ? pool : NULL;
    if (piece) {
        pool = piece->next;
        pool_count--;
    } else {
        piece = malloc(sizeof *piece + size);
        if (!piece)
            return NULL;
    }
    *piece = (struct piece){.at = piece->own, .size = size};
    return piece;
}

static void piece_free(struct piece *piece)
{
    (void)msg_unref(piece->msg);
    if (piece->size == CHUNK_BYTES && pool_count < POOL_MAX) {
        piece->next = pool; /* the next writer gets what is still in the cache */
        pool = piece;
        pool_count++;
        return;
    }
    free(piece);
}

static void append(struct output *output, struct piece *piece)
{
    struct piece *last = output->last;
    piece->next = last ? last->next : piece;
    if (last)
        last->next = piece;
    output->last = piece;
}

static void drop_first(struct output *output)
{
    struct piece *first = output->last->next;
    if (first == output->last)
        output->last = NULL;
    else
        output->last->next = first->next;
    piece_free(first);
}

void output_done(struct output *output)
{
    while (output->last)
        drop_first(output);
    output->len = 0;
}

void output_give_back(void)
{
    while (pool) {
        struct piece *piece = pool;
        pool = piece->next;
        free(piece);
    }
    pool_count = 0;
}

static size_t room_left(const struct piece *piece)
{
    return piece->msg ? 0 : piece->size - (size_t)(piece->at - piece->own) - piece->len;
}

uint8_t *output_room(struct output *output, size_t len)
{
    struct piece *piece = output->last;
    if (!piece || room_left(piece) < len) {
        piece = piece_new(size_max(len, CHUNK_BYTES));
        if (!piece)
            return NULL;
        append(output, piece);
    }
    return (uint8_t *)piece->at + piece->len;
}

void output_wrote(struct output *output, size_t len)
{
    struct piece *piece = output->last;
    assert(len <= room_left(piece));
    piece->len += len;
    output->len += len;
}

void output_add_msg(struct output *output, struct msg *msg, const uint8_t *bytes, size_t len)
{
    struct piece *piece = mem_new(struct piece);
    piece->msg = msg_ref(msg);
    piece->at = bytes;
    piece->len = len;
    append(output, piece);
    output->len += len;
}

int output_pieces(const struct output *output, struct iovec *pieces, int max, size_t *len)
{
    int count = 0;
    *len = 0;
    const struct piece *piece = output->last;
    while (piece && count < max) {
        piece = piece->next;
        if (piece->len) { /* else it is room that was not used yet */
            pieces[count++] = (struct iovec){(void *)piece->at, piece->len};
            *len += piece->len;
        }
        if (piece == output->last)
            break;
    }
    return count;
}

void output_take(struct output *output, size_t len)
{
    assert(len <= output->len);
    output->len -= len;
    while (output->last) {
        struct piece *piece = output->last->next;
        size_t n = size_min(len, piece->len);
        piece->at += n;
        piece->len -= n;
        len -= n;
        if (piece->len)
            return;
        drop_first(output);
    }
}
