/* Logs that are encrypted: what is on the disk, what is read again, and what becomes of it when somebody damages, moves or loses
 * something. */
#include "identity/aead.h"
#include "store/crc32c.h"
#include "store/seglog_rig.h"
#include "store/seglog_sealed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENT = 8192, FILE_MAX = 2 * 1024 * 1024 };

static char key[256];
static struct seal_source source;

static void init(struct seglog_rig *rig)
{
    rig_init(rig, WORKER_INLINE, SEGMENT, 0);
    rig_close(rig);
    cleanup_free char *first = rig_last_segment(rig);
    CHECK_INT(unlink(first), 0);
    (void)snprintf(key, sizeof key, "%s/device.key", rig->folder);
    source = (struct seal_source){.file = key, .may_make = true, .load = aead_functions};
    rig->seal = &source;
    rig->options.encrypt = true;
    rig_open(rig);
}

static uint8_t *load(const char *path, size_t *len)
{
    struct stat st;
    CHECK_INT(stat(path, &st), 0);
    uint8_t *bytes = mem_new_bytes((size_t)st.st_size + 1);
    cleanup(fd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK_INT(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
    *len = (size_t)st.st_size;
    return bytes;
}

static void save(const char *path, const void *bytes, size_t len)
{
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_INT(write(fd, bytes, len), (ssize_t)len);
}

/* Is it in any file of the log, and what do the files' names and bytes sum up to? */
static uint32_t look_through(struct seglog_rig *rig, const char *text, bool *found)
{
    cleanup_free char *folder = str_printf("%s/telemetry", rig->path);
    struct dirent **names;
    int n = scandir(folder, &names, NULL, alphasort);
    uint32_t sum = 0;
    *found = false;
    for (int i = 0; i < n; i++) {
        if (strcmp(names[i]->d_name, ".") != 0 && strcmp(names[i]->d_name, "..") != 0) {
            cleanup_free char *path = str_printf("%s/%s", folder, names[i]->d_name);
            size_t len;
            cleanup_free uint8_t *bytes = load(path, &len);
            *found |= memmem(bytes, len, text, strlen(text)) != NULL;
            sum = crc32c(crc32c(sum, names[i]->d_name, strlen(names[i]->d_name)), bytes, len);
        }
        free(names[i]);
    }
    free(names);
    return sum;
}

static bool is_there(struct seglog_rig *rig, const char *text)
{
    bool found;
    (void)look_through(rig, text, &found);
    return found;
}

static uint32_t sum_of(struct seglog_rig *rig)
{
    bool found;
    return look_through(rig, "?", &found);
}

static void put_number(uint8_t *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

/* Where the sealed blocks of a file are. */
static size_t blocks_of(const uint8_t *bytes, size_t len, size_t *at, size_t max)
{
    size_t count = 0;
    struct sealed_head head;
    for (size_t i = SEGLOG_HEAD_SIZE; i + SEALED_HEAD <= len && count < max;
         i += (size_t)sealed_size(head.len)) {
        CHECK_INT(sealed_head_decode(bytes + i, i, &head), 0);
        at[count++] = i;
    }
    return count;
}

/* Opens the log with what is at the key's place, and says what comes of it. */
static int try_open(struct seglog_rig *rig)
{
    struct seglog *log;
    CHECK_INT(seglogs_open(&rig->logs, rig->loop, rig->path, rig->mode), 0);
    seglogs_set_seal(rig->logs, &source);
    int r = seglog_open(&log, rig->logs, "telemetry", &rig->options);
    rig->logs = seglogs_close(rig->logs);
    return r;
}

TEST(what_seals_is_what_the_standards_say)
{
    const struct seal_functions *f = aead_functions(NULL);
    uint8_t ikm[22], out[42];
    memset(ikm, 0x0b, sizeof ikm);
    /* RFC 5869, A.1 */
    static const uint8_t okm[42] =
        "\x3c\xb2\x5f\x25\xfa\xac\xd5\x7a\x90\x43\x4f\x64\xd0\x36\x2f\x2a\x2d\x2d\x0a\x90"
        "\xcf\x1a\x5a\x4c\x5d\xb0\x2d\x56\xec\xc4\xc5\xbf\x34\x00\x72\x08\xd5\xb8\x87\x18"
        "\x58\x65";
    CHECK(f->derive(ikm, sizeof ikm, (const uint8_t *)"\0\1\2\3\4\5\6\7\10\11\12\13\14", 13,
                    "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9", 10, out, sizeof out));
    CHECK(memcmp(out, okm, sizeof okm) == 0);
    /* GCM specification, test case 14: key, nonce and text of zeros */
    uint8_t zeros[32] = {0}, text[16] = {0}, tag[16];
    static const uint8_t sealed[16] = "\xce\xa7\x40\x3d\x4d\x60\x6b\x6e\x07\x4e\xc5\xd3\xba\xf3\x9d\x18";
    static const uint8_t right[16] = "\xd0\xd1\xc8\xa7\x99\x99\x6b\xf0\x26\x5b\x98\xb5\xd4\x8a\xb9\x19";
    struct seal_key *k = f->key_new(zeros);
    CHECK(k && f->seal(k, zeros, NULL, 0, text, sizeof text, tag));
    CHECK(memcmp(text, sealed, 16) == 0 && memcmp(tag, right, 16) == 0);
    CHECK(f->open(k, zeros, NULL, 0, text, sizeof text, tag, text));
    CHECK(memcmp(text, zeros, 16) == 0);
    tag[3] ^= 1;
    CHECK(!f->open(k, zeros, NULL, 0, sealed, sizeof sealed, tag, text));
    (void)f->key_free(k);
}

TEST(what_is_encrypted_is_read_again_and_nothing_of_it_is_on_the_disk)
{
    struct seglog_rig rig;
    init(&rig);
    for (uint64_t i = 0; i < 200; i += 10)
        CHECK_INT(rig_append(&rig, rig.log, i, 10, 100), 0);
    rig_check_records(&rig, 0, 200, 100);
    CHECK(rig_segments(&rig) > 2);
    CHECK(!is_there(&rig, "dt/plant1"));
    rig_reopen(&rig);
    CHECK_INT(rig_append(&rig, rig.log, 200, 10, 100), 0);
    rig_check_records(&rig, 0, 210, 100);
    rig_check_records(&rig, 77, 133, 100);
    CHECK(!is_there(&rig, "dt/plant1"));
    struct stat st;
    CHECK_INT(stat(key, &st), 0);
    CHECK_INT(st.st_size, 32);
    CHECK_INT(st.st_mode & 07777, 0600);
    rig_release(&rig, 100);
    CHECK(seglog_first(rig.log) > 0);
    rig_check_records(&rig, 100, 110, 100);
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}

TEST(records_of_all_sizes_are_sealed)
{
    struct seglog_rig rig;
    static const size_t sizes[] = {0, 1, 7, 8, 15000, 17000, 65536, 250000, 300000, 1000000};
    init(&rig);
    for (size_t i = 0; i < array_size(sizes); i++)
        CHECK_INT(rig_append(&rig, rig.log, i, 1, sizes[i]), 0);
    for (int round = 0; round < 2; round++) {
        struct seglog_read read = {.max_bytes = 4 << 20};
        CHECK_INT(rig_read(&rig, rig.log, 0, 100, &read), array_size(sizes));
        for (size_t i = 0; i < array_size(sizes); i++)
            CHECK(payload_is(&read.records[i], i, sizes[i]));
        seglog_read_done(&read);
        rig_reopen(&rig);
    }
    CHECK(!is_there(&rig, "dt/plant1"));
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}

TEST(encryption_that_is_switched_applies_to_what_comes)
{
    struct seglog_rig rig;
    init(&rig);
    rig.options.encrypt = false;
    rig_reopen(&rig);
    CHECK_INT(rig_append(&rig, rig.log, 0, 10, 100), 0);
    CHECK(is_there(&rig, "dt/plant1"));
    size_t before = rig_segments(&rig);
    rig.options.encrypt = true;
    CHECK_INT(seglogs_need_key(rig.logs, "telemetry"), 0);
    seglog_change(rig.log, &rig.options);
    CHECK_INT(rig_append(&rig, rig.log, 10, 10, 100), 0);
    CHECK_INT(rig_segments(&rig), before + 1);
    rig_check_records(&rig, 0, 20, 100);
    rig_reopen(&rig);
    CHECK_INT(rig_append(&rig, rig.log, 20, 10, 100), 0);
    rig_release(&rig, 10);
    CHECK_INT(seglog_first(rig.log), 10);
    CHECK(!is_there(&rig, "dt/plant1"));
    rig.options.encrypt = false;
    rig_reopen(&rig);
    CHECK_INT(rig_append(&rig, rig.log, 30, 10, 100), 0);
    CHECK(is_there(&rig, "dt/plant1"));
    rig_reopen(&rig);
    rig_check_records(&rig, 10, 30, 100);
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}

TEST(with_another_key_or_none_nothing_is_opened_and_nothing_is_touched)
{
    struct seglog_rig rig;
    static const char *other = "this is another key, it has 44 bytes in all.";
    for (int plain_end = 0; plain_end < 2; plain_end++)
        for (int mark_lost = 0; mark_lost < 2 - plain_end; mark_lost++) {
            init(&rig);
            CHECK_INT(rig_append(&rig, rig.log, 0, 100, 100), 0);
            if (plain_end) {
                rig.options.encrypt = false;
                rig_reopen(&rig);
                CHECK_INT(rig_append(&rig, rig.log, 100, 10, 100), 0);
            }
            rig_close(&rig);
            cleanup_free char *mark = str_printf("%s/telemetry/.sealed", rig.path);
            if (mark_lost)
                CHECK_INT(unlink(mark), 0);
            size_t len;
            cleanup_free uint8_t *right = load(key, &len);
            uint32_t sum = sum_of(&rig);

            CHECK_INT(unlink(key), 0);
            source.may_make = !mark_lost; /* with the mark one knows not to make another one */
            CHECK_INT(try_open(&rig), -ENOKEY);
            CHECK(access(key, F_OK) < 0);
            CHECK(rig_errors > 0);
            save(key, other, strlen(other));
            CHECK_INT(try_open(&rig), -EKEYREJECTED);
            save(key, "short", 5);
            CHECK_INT(try_open(&rig), -EINVAL);
            save(key, right, len);
            CHECK_INT(chmod(key, 0644), 0);
            CHECK_INT(try_open(&rig), -EPERM);
            CHECK_INT(sum_of(&rig), sum);
            CHECK_INT(chmod(key, 0600), 0);
            rig_errors = 0;
            rig_open(&rig);
            rig_check_records(&rig, 0, plain_end ? 110 : 100, 100);
            CHECK_INT(seglog_damaged(rig.log), 0);
            CHECK_INT(rig_errors, 0);
            rig_done(&rig);
        }
}

/* The one who opens does not see it: an old segment was put there by somebody. */
TEST(a_segment_under_another_key_is_a_fault_of_who_reads_it_and_no_damage)
{
    struct seglog_rig rig;
    init(&rig);
    CHECK_INT(rig_append(&rig, rig.log, 0, 60, 100), 0);
    CHECK_INT(rig_append(&rig, rig.log, 60, 60, 100), 0);
    CHECK(rig_segments(&rig) > 1);
    rig_close(&rig);
    cleanup_free char *path = rig_segment(&rig, 0);
    size_t len, at[100];
    cleanup_free uint8_t *bytes = load(path, &len);
    size_t count = blocks_of(bytes, len, at, 100);
    for (size_t i = 0; i < count; i++) { /* the name of the key, and the sum */
        uint8_t where[8];
        bytes[at[i] + 24] ^= 1;
        put_number(where, at[i], 8);
        put_number(bytes + at[i] + 4, crc32c(crc32c(0, where, 8), bytes + at[i] + 8, SEALED_HEAD - 8), 4);
    }
    save(path, bytes, len);
    rig_open(&rig);
    struct seglog_read read = {.max_bytes = 1 << 20};
    for (int i = 0; i < 8; i++)
        CHECK_INT(rig_read(&rig, rig.log, 0, 1000, &read), -EKEYREJECTED);
    CHECK_INT(seglog_damaged(rig.log), 0);
    cleanup_free char *quarantine = str_printf("%s/telemetry/quarantine", rig.path);
    CHECK(access(quarantine, F_OK) < 0);
    seglog_read_done(&read);
    rig_done(&rig);
}

static void check_missing(struct seglog_rig *rig, uint64_t from, uint64_t to, uint64_t next)
{
    struct seglog_read read = {0};
    CHECK_INT(seglog_next(rig->log), next);
    CHECK_INT(rig_read(rig, rig->log, 0, 1000, &read), next - (to - from));
    for (uint64_t i = 0; i < next - (to - from); i++) {
        uint64_t seq = i < from ? i : i + to - from;
        CHECK_INT(read.records[i].seq, seq);
        CHECK(payload_is(&read.records[i], seq, 10));
    }
    CHECK_INT(seglog_damaged(rig->log), to - from);
    seglog_read_done(&read);
}

/* A damaged byte anywhere costs its block, told once, and no other; also at the end of the file, if the power has not gone. */
TEST(a_bit_that_flips_anywhere_in_a_block_costs_that_block)
{
    struct seglog_rig rig;
    init(&rig);
    for (uint64_t i = 0; i < 6; i += 2)
        CHECK_INT(rig_append(&rig, rig.log, i, 2, 10), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    size_t len, at[4];
    cleanup_free uint8_t *whole = load(path, &len);
    CHECK_INT(blocks_of(whole, len, at, 4), 3);
    at[3] = len;
    struct sealed_head head;
    for (size_t block = 1; block < 3; block++) {
        CHECK_INT(sealed_head_decode(whole + at[block], at[block], &head), 0);
        size_t end = at[block] + SEALED_HEAD + head.len, begin = at[block] + (block == 2 ? SEALED_HEAD : 0);
        for (size_t i = begin; i < end; i += 5) { /* every byte of eight in turn */
            whole[i] ^= 0x10;
            save(path, whole, len);
            rig_open(&rig);
            check_missing(&rig, 2 * block, 2 * block + 2, 6);
            rig_close(&rig);
            whole[i] ^= 0x10;
        }
    }
    save(path, whole, len);
    rig_open(&rig);
    rig_check_records(&rig, 0, 6, 10);
    rig_done(&rig);
}

static void move(uint8_t *bytes, const uint8_t *from, size_t len, uint64_t to)
{
    uint8_t where[8];
    memcpy(bytes + to, from, len);
    put_number(where, to, 8);
    put_number(bytes + to + 4, crc32c(crc32c(0, where, 8), bytes + to + 8, SEALED_HEAD - 8), 4);
}

TEST(a_block_that_was_moved_is_not_opened)
{
    struct seglog_rig rig;
    init(&rig);
    for (uint64_t i = 0; i < 8; i += 2)
        CHECK_INT(rig_append(&rig, rig.log, i, 2, 10), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    size_t len, at[4];
    cleanup_free uint8_t *whole = load(path, &len), *moved = load(path, &len);
    CHECK_INT(blocks_of(whole, len, at, 4), 4);
    size_t size = at[2] - at[1];
    CHECK_INT(at[3] - at[2], size);
    move(moved, whole + at[2], size, at[1]); /* with their sums made right */
    move(moved, whole + at[1], size, at[2]);
    save(path, moved, len);
    rig_open(&rig);
    struct seglog_read read = {0};
    CHECK_INT(rig_read(&rig, rig.log, 0, 1000, &read), 4);
    CHECK_INT(read.records[2].seq, 6);
    CHECK_INT(seglog_damaged(rig.log), 4);
    seglog_read_done(&read);

    /* Nor in another log, at the same place. */
    rig_close(&rig);
    cleanup_free char *folder = str_printf("%s/other", rig.path);
    CHECK_INT(mkdir(folder, 0700), 0);
    cleanup_free char *there = str_printf("%s/%s", folder, strrchr(path, '/') + 1);
    save(there, whole, len);
    CHECK_INT(seglogs_open(&rig.logs, rig.loop, rig.path, rig.mode), 0);
    seglogs_set_seal(rig.logs, &source);
    CHECK_INT(seglog_open(&rig.log, rig.logs, "other", &rig.options), 0);
    CHECK_INT(rig_read(&rig, rig.log, 0, 1000, &read), 0);
    seglog_read_done(&read);
    rig_done(&rig);
}

/* The process was killed, or the power went, while it wrote: and what is written there then is sealed under a nonce that was not used. */
TEST(a_file_cut_at_any_byte_of_its_last_two_blocks_goes_on_under_other_nonces)
{
    struct seglog_rig rig;
    init(&rig);
    for (uint64_t i = 0; i < 5; i++)
        CHECK_INT(rig_append(&rig, rig.log, i, 1, 10), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    size_t len, at[8], again[8];
    cleanup_free uint8_t *whole = load(path, &len);
    CHECK_INT(blocks_of(whole, len, at, 8), 5);
    for (size_t cut = at[3]; cut < len; cut += 11) {
        save(path, whole, cut);
        rig_open(&rig);
        struct sealed_head head;
        CHECK_INT(sealed_head_decode(whole + at[3], at[3], &head), 0);
        /* What is missing of the zeros behind a block is no matter. */
        uint64_t left = cut < at[3] + SEALED_HEAD + head.len ? 3 : 4;
        if (left == 4 && cut >= at[4] + SEALED_HEAD + head.len)
            left = 5;
        CHECK_INT(seglog_next(rig.log), left);
        CHECK_INT(rig_append(&rig, rig.log, left, 2, 10), 0);
        rig_check_records(&rig, 0, left + 2, 10);
        rig_reopen(&rig);
        CHECK_INT(rig_append(&rig, rig.log, left + 2, 1, 10), 0);
        rig_check_records(&rig, 0, left + 3, 10);
        CHECK_INT(seglog_damaged(rig.log), 0);
        rig_close(&rig);
        size_t new_len;
        cleanup_free uint8_t *now = load(path, &new_len);
        size_t count = blocks_of(now, new_len, again, 8);
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < 5; k++) { /* the same salt and counter: then it is the same block */
                bool same = memcmp(now + again[i] + 32, whole + at[k] + 32, 20) == 0;
                CHECK_INT(same, i == k && i < left);
                CHECK(i == k || memcmp(now + again[i] + 32, now + again[k < count ? k : i] + 32, 20) != 0 ||
                      k >= count);
            }
    }
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}

static void append_packable(struct seglog_rig *rig, uint64_t number, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct put put;
        put_init(&put, number + i, 400);
        memset(put.payload, (int)('a' + (number + i) % 26), 400);
        seglog_append(rig->log, &put.append);
        seglogs_quiesce(rig->logs);
        CHECK_INT(put.append.work.r, 0);
        put_done(&put);
    }
}

static void check_packable(struct seglog_rig *rig, uint64_t from, uint64_t to)
{
    struct seglog_read read = {.max_bytes = 50000};
    uint64_t seq = from;
    for (int n; (n = rig_read(rig, rig->log, seq, 1000, &read)) > 0;)
        for (int i = 0; i < n; i++, seq++) {
            CHECK_INT(read.records[i].seq, seq);
            for (size_t k = 0; k < 400; k++)
                CHECK(read.records[i].payload[k] == 'a' + seq % 26);
        }
    CHECK_INT(seq, to);
    seglog_read_done(&read);
}

TEST(full_segments_are_packed_and_then_sealed)
{
    struct seglog_rig rig;
    init(&rig);
    rig.options.segment_bytes = 300 * 1024;
    rig.options.compress = true;
    rig_reopen(&rig);
    append_packable(&rig, 0, 1500);
    cleanup_free char *packed = str_printf("%s/telemetry/%020d.segz", rig.path, 0);
    CHECK_INT(access(packed, F_OK), 0);
    CHECK(seglog_bytes(rig.log) < 500 * 1024);
    CHECK(!is_there(&rig, "dt/plant1") && !is_there(&rig, "aaaaaaaa"));
    check_packable(&rig, 0, 1500);
    for (uint64_t from = 1; from < 1500; from += 211)
        check_packable(&rig, from, 1500);
    rig_reopen(&rig);
    check_packable(&rig, 123, 1500);
    rig.options.encrypt = false; /* what was sealed stays so */
    rig_reopen(&rig);
    append_packable(&rig, 1500, 10);
    check_packable(&rig, 0, 1510);
    CHECK(!is_there(&rig, "dt/plant1") || is_there(&rig, "dt/plant1/env"));
    CHECK_INT(rig_errors, 0);

    /* A flipped bit in the second frame costs what is in it. */
    rig_close(&rig);
    size_t len;
    cleanup_free uint8_t *bytes = load(packed, &len);
    size_t second = (48 + 56 + (size_t)(bytes[48 + 12] | bytes[48 + 13] << 8) + 7) & ~(size_t)7;
    bytes[second + 60] ^= 1;
    save(packed, bytes, len);
    rig_open(&rig);
    struct seglog_read read = {.max_bytes = 4 << 20};
    int n = rig_read(&rig, rig.log, 0, 3000, &read);
    CHECK_INT(n + (int)read.skipped, 1510);
    CHECK(read.skipped > 200 && read.skipped < 300);
    CHECK_INT(seglog_damaged(rig.log), read.skipped);
    seglog_read_done(&read);
    rig_done(&rig);
}
