/* Sealed blocks: what the blocks of a log are that is encrypted (segments of version 3).
 *
 *      head     0  u32 'G','H','S','3'
 *               4  u32 CRC-32C of where in the file it begins (u64) and of the head from 8 on
 *               8  u32 bytes of content
 *              12  u32 how many records
 *              16  u64 number of the first
 *              24  which key: 8 bytes that are derived from it
 *              32  salt, 16 bytes
 *              48  u32 counter
 *              52  u32 0
 *              56  tag, 16 bytes
 *      content 72  AES-256-GCM of a block (seglog_block.h): its head, which says topics and times, and its records; without the head's copy
 *                  zeros up to a multiple of 8
 *
 * In clear are: how long blocks are, how many records they have and their numbers, the stream's name, and when a file was written. Topics,
 * payloads, their lengths and the records' times are not.
 *
 * The key is HKDF-SHA256(device key, salt, purpose, log, segment), the nonce is the counter. A salt is 128 random bits that
 * are drawn whenever a segment is begun, and whenever one that is there is opened to go on; under a salt the counter only grows, also when a write
 * has failed and is taken back. So what is written again at the place of a torn tail, after a crash or a failed write, is never
 * under a nonce that was used. Each block says its salt itself: damage to one costs no other, and there is no head whose loss is
 * the loss of all.
 *
 * Bound to the content is the head and where in the file it is; log, segment and purpose are in the key. So a block that was
 * moved, swapped, or taken from another file is not opened. Missing blocks and a file that was put back are not noticed by this.
 *
 * GCM says whether all of a block is right: one damaged bit costs the block, at most 64 KiB or one record, where a
 * log that is not encrypted loses one record. Opened with another key than that which the head names, nothing is called damaged: -EKEYREJECTED.
 *
 * In a packed segment (seglog_packed.h) the frames are sealed, and what was compressed is the file with its blocks opened: 'G','H','O','3', the
 * same head with salt and tag zero, and the content, all of it in the same places.
 */
#pragma once

#include "store/seal.h"
#include "store/seglog_block.h"

#define SEALED_PURPOSE        "segment"
#define SEALED_PURPOSE_PACKED "packed segment"

enum { SEALED_HEAD = 72 };

struct sealed_head {
    size_t len; /* of the content */
    uint32_t records, counter;
    uint64_t first;
    const uint8_t *id, *salt, *tag; /* in the bytes */
    bool opened;
};

/* 0, or -EUCLEAN. len >= SEALED_HEAD. */
int sealed_head_decode(const uint8_t *bytes, uint64_t offset, struct sealed_head *ret) must_check;
/* May it begin here: before more than four bytes are looked at? */
bool sealed_head_is_possible(const uint8_t *bytes);
static inline uint64_t sealed_size(size_t len)
{
    return SEALED_HEAD + len + seglog_block_padding(len);
}

/* Opens the content behind a head into `ret`, which has room for it. As seal_open(). */
int sealed_open(struct seal *seal, const uint8_t *bytes, uint64_t offset, const struct sealed_head *head,
                uint8_t *ret) must_check;

/* Makes a sealed block of SEALED_HEAD bytes, whatever they are, and the content behind them, in place. seal_renew() was before.
 * 0; -ENOMEM. */
int sealed_shut(struct seal *seal, uint32_t counter, uint64_t offset, uint64_t first, uint32_t records,
                uint8_t *bytes, size_t len) must_check;

/* Makes the head of an opened block out of that of a sealed one. */
void sealed_mark_opened(uint8_t *bytes, uint64_t offset);

/* DIR/NAME/.sealed: [u64 "GHSEALED"][which key][u32 CRC-32C][u32 0]. It says that something in the log's folder may be sealed, and with
 * which key, so that a start finds out before it reads. 1: it is there; 0: there is none; -EUCLEAN; −errno. */
int sealed_mark_read(int folder, uint8_t id[SEAL_ID]) must_check;
/* 0: it is on the medium. */
int sealed_mark_make(int folder, const uint8_t id[SEAL_ID]) must_check;
