/* A connection's output: chunks of copied bytes and references into messages, in order. For net's own files.
 *
 *      [ chunk: frame frame fra ][ message: payload ][ chunk: frame ]
 *        ▲ taken up to here
 *
 * Chunks come from a pool that all connections share and go back when they are empty: an idle connection has none. */
#pragma once

#include "base/msg.h"

#include <sys/uio.h>

struct output {
    struct piece *last; /* the others follow it in a ring, the first one next; NULL: none */
    size_t len;
};

/* Begins as zero. */
void output_done(struct output *output);
/* Frees the pool. */
void output_give_back(void);

static inline size_t output_len(const struct output *output)
{
    return output->len;
}

/* Room for len bytes at the end, in one piece; NULL: no memory. output_wrote() says how many became output. */
uint8_t *output_room(struct output *output, size_t len);
void output_wrote(struct output *output, size_t len);
void output_add_msg(struct output *output, struct msg *msg, const uint8_t *bytes, size_t len);

/* The first pieces for a gathered write; *len is their sum. */
int output_pieces(const struct output *output, struct iovec *pieces, int max, size_t *len);
/* So many bytes are gone; 0 gives room back that was not used. */
void output_take(struct output *output, size_t len);
