/* Packed segments: what a sealed segment is when it is compressed (zstd).
 *
 *      NNN.segz    head     0  "GHSEGZST"                block    0  u32 'G','H','Z','1'
 *                           8  u32 version: 1; 2 when sealed      4  u32 CRC-32C of all that follows, without the padding
 *                          12  u32 unused numbers before it       8  u32 its number, from 0
 *                          16  u64 first sequence number         12  u32 bytes of the frame
 *                          24  u32 unused in the log so far      16  zstd frame, zeros up to a multiple of 8
 *                          28  u32 0
 *                          32  u64 length of the plain file
 *                          40  u32 block size
 *                          44  u32 CRC-32C of the above
 *
 * Of a sealed log the frames are sealed, too, behind a longer head; the same counts bind the bytes before its tag:
 *
 *                                                      sealed    0  u32 'G','H','Z','2'
 *                                                      block     4  as above: sum, number, bytes of the frame
 *                                                               16  which key, 8 bytes; salt, 16 bytes; tag, 16 bytes
 *                                                               56  AES-256-GCM of the frame under the number, zeros
 *
 * Each block is a frame of its own of 128 KiB of the plain file, head and all: a reader sees the plain file's bytes at the plain
 * file's offsets and decompresses what it looks at. A block that is damaged costs the records in it, as 128 KiB of zeros would.
 *
 * The functions that take bytes are pure.
 */
#pragma once

#include "store/seal.h"
#include "store/seglog_record.h"

enum {
    PACKED_HEAD_SIZE = 48,
    PACKED_BLOCK_HEAD_SIZE = 16,
    PACKED_SEALED_HEAD_SIZE = 56,
    PACKED_BLOCK = 128 * 1024,
    PACKED_VERSION = 1,
    PACKED_VERSION_SEALED = 2,
};

struct packed_head {
    struct seglog_head plain;
    uint64_t length; /* of the plain file */
    bool sealed;
};

void packed_head_encode(uint8_t bytes[PACKED_HEAD_SIZE], const struct packed_head *head);
/* 0; -EUCLEAN; -EPROTONOSUPPORT for an intact head of another version. */
int packed_head_decode(const uint8_t *bytes, size_t len, struct packed_head *ret) must_check;

/* Where each block of a file is. */
struct packed_file {
    uint64_t length; /* of the plain file */
    struct packed_block {
        uint64_t offset; /* of its head; 0: it is not to be found */
        uint32_t len;    /* of its frame */
        bool sealed;
    } * blocks;
    size_t count;
    uint8_t *plain; /* the block that was looked at last */
    size_t plain_len, current;
    bool loaded;
    struct ZSTD_DCtx_s *context;
    struct seal seal; /* to be set by whoever opened the file */
};

/* Looks for the blocks of an open file. With a head that is damaged, as many as are found. −errno. */
int packed_open(struct packed_file *file, int fd, uint64_t size) must_check;
void packed_done(struct packed_file *file);
/* Bytes of the plain file; zeros where a block is damaged. The count, less at the end; −errno when the medium cannot be read or
 * there is no memory. */
ssize_t packed_read(struct packed_file *file, int fd, uint8_t *bytes, size_t len, uint64_t offset) must_check;

/* Packing, a block at a time. */
struct packer {
    int from, to;
    /* What is to be packed, a part behind the other; the count, less at the end, −errno. */
    ssize_t (*read)(void *self, uint8_t *bytes, size_t len, uint64_t offset);
    void *self;
    struct seal *seal;        /* for the frames; NULL: they are not sealed */
    uint64_t length, at, end; /* of the plain file; how much is packed; end of the packed file */
    struct packed_head head;
    uint8_t *plain, *packed;
    size_t room;
    struct ZSTD_CCtx_s *context;
};
/* Takes `from` and `to`, and closes them in any case with packer_done(). Then, if it is not just all of `from`: what is packed, and how. */
int packer_begin(struct packer *packer, int from, int to, const struct packed_head *head) must_check;
/* 1: there is more; 0: all is written and synced; -EUCLEAN: it is not worth it; −errno. */
int packer_go_on(struct packer *packer) must_check;
void packer_done(struct packer *packer);
