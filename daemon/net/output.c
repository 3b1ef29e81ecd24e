#include "net/output.h"

#include <assert.h>
#include <string.h>

/* A chunk and its head fill a page. At most POOL_MAX of them are kept for the next writer: what a peak needed beyond
 * that goes back to the allocator as soon as it is written. */
enum { CHUNK_BYTES = 4096 - 80, POOL_MAX = 64 };

struct piece {
    struct list link;
    struct msg *msg; /* what `at` points into; NULL: the piece's own bytes */
    const uint8_t *at;
    size_t len;  /* bytes from `at` */
    size_t size; /* of own bytes */
    uint8_t own[];
};

/* Empty chunks, for whoever writes next. Connections live on one thread, the loop's. */
static struct list pool = {&pool, &pool};
static unsigned pool_count;

static struct piece *piece_new(size_t size)
{
    struct list *link = size == CHUNK_BYTES ? list_pop(&pool) : NULL;
    struct piece *piece;
    if (link) {
        pool_count--;
        piece = list_entry(link, struct piece, link);
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
        list_prepend(&pool, &piece->link); /* the next writer gets what is still in the cache */
        pool_count++;
        return;
    }
    free(piece);
}

void output_init(struct output *output)
{
    list_init(&output->pieces);
    output->len = 0;
}

void output_done(struct output *output)
{
    for (struct list *link; (link = list_pop(&output->pieces));)
        piece_free(list_entry(link, struct piece, link));
    output->len = 0;
}

static struct piece *last_piece(const struct output *output)
{
    return list_is_empty(&output->pieces) ? NULL : list_entry(output->pieces.prev, struct piece, link);
}

static size_t room_left(const struct piece *piece)
{
    return piece->msg ? 0 : piece->size - (size_t)(piece->at - piece->own) - piece->len;
}

uint8_t *output_room(struct output *output, size_t len)
{
    struct piece *piece = last_piece(output);
    if (!piece || room_left(piece) < len) {
        piece = piece_new(size_max(len, CHUNK_BYTES));
        if (!piece)
            return NULL;
        list_append(&output->pieces, &piece->link);
    }
    return (uint8_t *)piece->at + piece->len;
}

void output_wrote(struct output *output, size_t len)
{
    struct piece *piece = last_piece(output);
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
    list_append(&output->pieces, &piece->link);
    output->len += len;
}

int output_pieces(const struct output *output, struct iovec *pieces, int max, size_t *len)
{
    int count = 0;
    *len = 0;
    list_for_each (link, &output->pieces) {
        const struct piece *piece = list_entry(link, struct piece, link);
        if (count == max)
            break;
        if (!piece->len)
            continue; /* room that was not used yet */
        pieces[count++] = (struct iovec){(void *)piece->at, piece->len};
        *len += piece->len;
    }
    return count;
}

void output_take(struct output *output, size_t len)
{
    assert(len <= output->len);
    output->len -= len;
    while (!list_is_empty(&output->pieces)) {
        struct piece *piece = list_entry(output->pieces.next, struct piece, link);
        size_t n = size_min(len, piece->len);
        piece->at += n;
        piece->len -= n;
        len -= n;
        if (piece->len)
            return;
        list_remove(&piece->link);
        piece_free(piece);
    }
}
