#include "store/seglog_packed.h"

#include "store/crc32c.h"
#include "store/late_zstd.h"
#include "store/seglog_file.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static const uint8_t HEAD_MAGIC[8] = {'G', 'H', 'S', 'E', 'G', 'Z', 'S', 'T'};
static const uint8_t BLOCK_MAGIC[4] = {'G', 'H', 'Z', '1'};
static const uint8_t SEALED_MAGIC[4] = {'G', 'H', 'Z', '2'};

enum {
    LEVEL = 1,  /* on a small board a higher one takes longer than the card to write it */
    WORTH = 10, /* percent that must be saved, judged by the first block */
    FRAME_MAX = PACKED_BLOCK + 16 * 1024, /* nothing of ours is longer */
    AT_ID = 16,
    AT_SALT = 24,
    AT_TAG = 40,
};

static size_t head_size(bool sealed)
{
    return sealed ? PACKED_SEALED_HEAD_SIZE : PACKED_BLOCK_HEAD_SIZE;
}

static void put(uint8_t *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << 8 * i;
    return value;
}

void packed_head_encode(uint8_t bytes[PACKED_HEAD_SIZE], const struct packed_head *head)
{
    memset(bytes, 0, PACKED_HEAD_SIZE);
    memcpy(bytes, HEAD_MAGIC, sizeof HEAD_MAGIC);
    put(bytes + 8, head->sealed ? PACKED_VERSION_SEALED : PACKED_VERSION, 4);
    put(bytes + 12, head->plain.unused, 4);
    put(bytes + 16, head->plain.first, 8);
    put(bytes + 24, head->plain.unused_total, 4);
    put(bytes + 32, head->length, 8);
    put(bytes + 40, PACKED_BLOCK, 4);
    put(bytes + 44, crc32c(0, bytes, 44), 4);
}

int packed_head_decode(const uint8_t *bytes, size_t len, struct packed_head *ret)
{
    if (len < PACKED_HEAD_SIZE || memcmp(bytes, HEAD_MAGIC, sizeof HEAD_MAGIC) != 0 ||
        get(bytes + 44, 4) != crc32c(0, bytes, 44))
        return -EUCLEAN;
    uint64_t version = get(bytes + 8, 4);
    if ((version != PACKED_VERSION && version != PACKED_VERSION_SEALED) || get(bytes + 40, 4) != PACKED_BLOCK)
        return -EPROTONOSUPPORT;
    *ret = (struct packed_head){
        .plain = {get(bytes + 16, 8), (uint32_t)get(bytes + 12, 4), (uint32_t)get(bytes + 24, 4)},
        .length = get(bytes + 32, 8),
        .sealed = version == PACKED_VERSION_SEALED};
    return 0;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static ssize_t read_all(int fd, uint8_t *bytes, size_t len, uint64_t offset)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, bytes + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static int add_block(struct packed_file *file, size_t number, const struct packed_block *block)
{
    if (number >= file->count) {
        struct packed_block *grown = realloc(file->blocks, (number + 1) * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        memset(grown + file->count, 0, (number + 1 - file->count) * sizeof *grown);
        file->blocks = grown;
        file->count = number + 1;
    }
    file->blocks[number] = *block;
    return 0;
}

/* Goes from block to block; where none begins, it is looked for at multiples of 8. A number must be one that is possible. */
static int find_blocks(struct packed_file *file, int fd, uint64_t size)
{
    uint8_t head[PACKED_BLOCK_HEAD_SIZE];
    size_t expected = 0, most = (size_t)(size / PACKED_BLOCK_HEAD_SIZE);
    for (uint64_t at = PACKED_HEAD_SIZE; at + sizeof head <= size;) {
        ssize_t n = read_all(fd, head, sizeof head, at);
        if (n < 0)
            return (int)n;
        uint32_t number = (uint32_t)get(head + 8, 4), len = (uint32_t)get(head + 12, 4);
        bool sealed = memcmp(head, SEALED_MAGIC, sizeof SEALED_MAGIC) == 0;
        bool is_one = n == (ssize_t)sizeof head &&
                      (sealed || memcmp(head, BLOCK_MAGIC, sizeof BLOCK_MAGIC) == 0) && number >= expected &&
                      number < most && len <= FRAME_MAX && head_size(sealed) + len <= size - at;
        if (!is_one) {
            at += 8;
            continue;
        }
        int r = add_block(file, number, &(struct packed_block){at, len, sealed});
        if (r < 0)
            return r;
        expected = number + 1;
        at = (at + head_size(sealed) + len + 7) & ~(uint64_t)7;
    }
    return 0;
}

int packed_open(struct packed_file *file, int fd, uint64_t size)
{
    uint8_t bytes[PACKED_HEAD_SIZE];
    struct packed_head head;
    *file = (struct packed_file){0};
    ssize_t n = read_all(fd, bytes, sizeof bytes, 0);
    int r = n < 0 ? (int)n : find_blocks(file, fd, size);
    if (r < 0) {
        packed_done(file);
        return r;
    }
    bool whole = packed_head_decode(bytes, (size_t)n, &head) == 0;
    file->length = whole ? head.length : (uint64_t)file->count * PACKED_BLOCK;
    return 0;
}

void packed_done(struct packed_file *file)
{
    if (file->context)
        (void)late_zstd()->free_dctx(file->context);
    seal_done(&file->seal);
    free(file->blocks);
    free(file->plain);
    *file = (struct packed_file){0};
}

/* The frame of a block whose bytes are these, opened in its place if it is sealed; NULL: damaged, or what *r says. */
static const uint8_t *frame_of(struct packed_file *file, const struct packed_block *block, uint8_t *bytes,
                               int *r)
{
    size_t head = head_size(block->sealed);
    if (get(bytes + 4, 4) != crc32c(0, bytes + 8, head + block->len - 8))
        return NULL;
    if (!block->sealed)
        return bytes + head;
    uint8_t bound[AT_TAG];
    memcpy(bound, bytes, sizeof bound);
    memset(bound + 4, 0, 4);
    int opened = seal_open(&file->seal, bytes + AT_ID, bytes + AT_SALT, (uint32_t)get(bytes + 8, 4), bound,
                           sizeof bound, bytes + head, block->len, bytes + AT_TAG, bytes + head);
    *r = opened == -EUCLEAN ? 0 : opened;
    return opened == 0 ? bytes + head : NULL;
}

/* The plain bytes of a block; what cannot be had of it is zeros. */
static int load_block(struct packed_file *file, int fd, size_t number)
{
    if (file->loaded && file->current == number)
        return 0;
    const struct late_zstd *zstd = late_zstd();
    if (!zstd)
        return -ELIBACC;
    if (!file->plain)
        file->plain = malloc(PACKED_BLOCK);
    if (!file->context)
        file->context = zstd->create_dctx();
    if (!file->plain || !file->context)
        return -ENOMEM;
    file->loaded = false;
    memset(file->plain, 0, PACKED_BLOCK);
    const struct packed_block *block = number < file->count ? &file->blocks[number] : NULL;
    if (block && block->offset) {
        size_t len = head_size(block->sealed) + block->len;
        uint8_t *bytes = malloc(len);
        if (!bytes)
            return -ENOMEM;
        ssize_t n = read_all(fd, bytes, len, block->offset);
        int r = n < 0 ? (int)n : 0;
        const uint8_t *frame = n == (ssize_t)len ? frame_of(file, block, bytes, &r) : NULL;
        size_t plain =
            frame ? zstd->decompress(file->context, file->plain, PACKED_BLOCK, frame, block->len) : 0;
        if (zstd->is_error(plain))
            memset(file->plain, 0, PACKED_BLOCK);
        free(bytes);
        if (r < 0)
            return r;
    }
    file->current = number;
    file->loaded = true;
    return 0;
}

ssize_t packed_read(struct packed_file *file, int fd, uint8_t *bytes, size_t len, uint64_t offset)
{
    size_t done = 0;
    while (done < len && offset + done < file->length) {
        uint64_t at = offset + done;
        size_t within = (size_t)(at % PACKED_BLOCK), piece = size_min(PACKED_BLOCK - within, len - done);
        if (file->length - at < piece)
            piece = (size_t)(file->length - at);
        int r = load_block(file, fd, (size_t)(at / PACKED_BLOCK));
        if (r < 0)
            return done ? (ssize_t)done : r;
        memcpy(bytes + done, file->plain + within, piece);
        done += piece;
    }
    return (ssize_t)done;
}

/* ---- packing ----------------------------------------------------------------------------------------------------- */

static ssize_t read_from(void *self, uint8_t *bytes, size_t len, uint64_t offset)
{
    const struct packer *packer = self;
    return read_all(packer->from, bytes, len, offset);
}

int packer_begin(struct packer *packer, int from, int to, const struct packed_head *head)
{
    *packer = (struct packer){.from = from,
                              .to = to,
                              .read = read_from,
                              .self = packer,
                              .head = *head,
                              .length = head->length,
                              .end = PACKED_HEAD_SIZE};
    const struct late_zstd *zstd = late_zstd();
    if (!zstd)
        return -ELIBACC;
    packer->room = PACKED_SEALED_HEAD_SIZE + ZSTD_COMPRESSBOUND(PACKED_BLOCK) + 8;
    packer->plain = malloc(PACKED_BLOCK);
    packer->packed = malloc(packer->room);
    packer->context = zstd->create_cctx();
    return packer->plain && packer->packed && packer->context ? 0 : -ENOMEM;
}

/* A block's number is the counter: a salt is drawn for each packing. */
static int shut(struct packer *packer, uint8_t *out, size_t len)
{
    uint8_t bound[AT_TAG];
    memcpy(out + AT_ID, packer->seal->vault->id, SEAL_ID);
    memcpy(out + AT_SALT, packer->seal->salt, SEAL_SALT);
    memcpy(bound, out, sizeof bound);
    memset(bound + 4, 0, 4);
    return seal_shut(packer->seal, (uint32_t)(packer->at / PACKED_BLOCK), bound, sizeof bound,
                     out + PACKED_SEALED_HEAD_SIZE, len, out + AT_TAG);
}

static int write_block(struct packer *packer, size_t plain)
{
    uint8_t *out = packer->packed;
    bool sealed = packer->seal != NULL;
    size_t head = head_size(sealed);
    size_t len = late_zstd()->compress(packer->context, out + head, packer->room - head - 8, packer->plain,
                                       plain, LEVEL);
    if (late_zstd()->is_error(len))
        return -ENOMEM;
    if (packer->at == 0 && len > plain - plain * WORTH / 100)
        return -EUCLEAN;
    memcpy(out, sealed ? SEALED_MAGIC : BLOCK_MAGIC, sizeof BLOCK_MAGIC);
    put(out + 8, packer->at / PACKED_BLOCK, 4);
    put(out + 12, len, 4);
    int r = sealed ? shut(packer, out, len) : 0;
    if (r < 0)
        return r;
    put(out + 4, crc32c(0, out + 8, head - 8 + len), 4);
    size_t padded = (head + len + 7) & ~(size_t)7;
    memset(out + head + len, 0, padded - head - len);
    r = segment_write(packer->to, &(struct iovec){out, padded}, 1, packer->end);
    packer->end += padded;
    return r;
}

int packer_go_on(struct packer *packer)
{
    size_t len =
        packer->length - packer->at < PACKED_BLOCK ? (size_t)(packer->length - packer->at) : PACKED_BLOCK;
    if (len) {
        ssize_t n = packer->read(packer->self, packer->plain, len, packer->at);
        if (n != (ssize_t)len)
            return n < 0 ? (int)n : -EIO;
        int r = write_block(packer, len);
        packer->at += len;
        return r < 0 ? r : 1;
    }
    uint8_t bytes[PACKED_HEAD_SIZE];
    packed_head_encode(bytes, &packer->head);
    int r = segment_write(packer->to, &(struct iovec){bytes, sizeof bytes}, 1, 0);
    return r < 0 ? r : fsync(packer->to) < 0 ? -errno : 0;
}

void packer_done(struct packer *packer)
{
    if (packer->context)
        (void)late_zstd()->free_cctx(packer->context);
    free(packer->plain);
    free(packer->packed);
    fd_close_p(&packer->from);
    fd_close_p(&packer->to);
    packer->context = NULL;
    packer->plain = packer->packed = NULL;
}
