/* Files that grow and are finished: names, formats, rotation, disks that are full or broken, and kills in between. */
#include "cloud/archive.h"

#include "base/utf8.h"
#include "cloud/archive_heal.h"
#include "cloud/archive_name.h"
#include "rig/test.h"
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WALL INT64_C(1760000000123) /* 2025-10-09T08:53:20.123Z */

/* ---- a disk that does as it is told ------------------------------------------------------------------------------- */

static int write_fault, sync_fault; /* errno of every write from now on, of the next sync */
static size_t write_room = SIZE_MAX;

ssize_t __real_pwrite(int fd, const void *bytes, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    if (write_fault && len > write_room) {
        if (!write_room) {
            errno = write_fault;
            return -1;
        }
        len = write_room;
        write_room = 0;
    }
    return __real_pwrite(fd, bytes, len, at);
}

int __wrap_fdatasync(int fd)
{
    if (!sync_fault)
        return __real_fdatasync(fd);
    errno = sync_fault;
    sync_fault = 0;
    return -1;
}

/* ---- a folder ----------------------------------------------------------------------------------------------------- */

struct scene {
    char *folder, *dir;
    struct archive *archive;
    struct archive_answer answer;
};

static void scene_open(struct scene *scene, struct archive_options options)
{
    if (!scene->folder) {
        scene->folder = folder_new();
        scene->dir = str_printf("%s/out", scene->folder);
    }
    options.dir = scene->dir;
    if (!options.pattern)
        options.pattern = "${topic}";
    options.gateway = "gw";
    options.uplink = "archive";
    if (!options.rotate_bytes)
        options.rotate_bytes = 1 << 20;
    scene->archive = archive_new(&options);
}

static void scene_close(struct scene *scene)
{
    scene->archive = archive_free(scene->archive);
    free(scene->dir);
    scene->folder = folder_free(scene->folder);
}

struct batch {
    struct list items;
    struct outbox_item rows[64];
    unsigned count;
};

static void batch_add(struct batch *batch, const char *topic, const char *payload, size_t len)
{
    if (!batch->count)
        list_init(&batch->items);
    struct outbox_item *item = &batch->rows[batch->count++];
    item->publish =
        (struct link_publish){.msg = msg_new(topic, strlen(topic), payload, len), .topic = topic, .qos = 1};
    list_append(&batch->items, &item->place);
}

static enum outbox_verdict batch_write(struct scene *scene, struct batch *batch, int64_t mono)
{
    archive_write(scene->archive, &batch->items, mono, WALL + mono, &scene->answer);
    for (unsigned i = 0; i < batch->count; i++)
        (void)msg_unref(batch->rows[i].publish.msg);
    batch->count = 0;
    return scene->answer.verdict;
}

static enum outbox_verdict put(struct scene *scene, const char *topic, const char *payload, int64_t mono)
{
    struct batch batch = {0};
    batch_add(&batch, topic, payload, strlen(payload));
    return batch_write(scene, &batch, mono);
}

/* Names and contents of all files, in order: "a/b.ndjson: …|". */
static char listing[4 << 20];
static const char *listed;

static int list_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)at;
    if (type != FTW_F)
        return 0;
    size_t len = strlen(listing);
    len += (size_t)snprintf(listing + len, sizeof listing - len, "%s: ", path + strlen(listed) + 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, listing + len, sizeof listing - len - 2);
    (void)close(fd);
    CHECK(n >= 0 && len + (size_t)n + 2 < sizeof listing);
    (void)snprintf(listing + len + n, sizeof listing - len - (size_t)n, "|");
    return 0;
}

static const char *list_files(const struct scene *scene)
{
    listing[0] = '\0';
    listed = scene->dir;
    CHECK_INT(nftw(scene->dir, list_one, 16, FTW_PHYS), 0);
    return listing;
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

TEST(no_topic_leads_out_of_the_folder)
{
    static const char *const rows[][2] = {
        {"dt/plant1/env", "dt/plant1/env"},
        {"../../etc/passwd", "%2E./%2E./etc/passwd"},
        {"..", "%2E."},
        {".", "%2E"},
        {"./a", "%2E/a"},
        {"/etc/passwd", "%-/etc/passwd"},
        {"a//b/", "a/%-/b/%-"},
        {"", "%-"},
        {"a b:c\\d", "a%20b%3Ac%5Cd"},
        {"50%", "50%25"},
        {"a\nb\x01", "a%0Ab%01"},
        {"$x/+/#", "%24x/%2B/%23"},
        {"\xC3\xA4.b..c", "\xC3\xA4.b..c"},
        {"x.part", "x.part"},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < array_size(rows); i++)
        CHECK_STR(archive_name(&arena, rows[i][0]), rows[i][1]);
    arena_done(&arena);
}

TEST(names_have_a_limit_and_stay_different)
{
    char text[60001];
    struct arena arena = {0};
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    const char *one = archive_name(&arena, text);
    text[59999] = 'b';
    const char *two = archive_name(&arena, text);
    CHECK(strlen(one) <= ARCHIVE_LEVEL_MAX && strcmp(one, two) != 0);
    for (size_t i = 1; i < sizeof text - 1; i += 2)
        text[i] = '/';
    one = archive_name(&arena, text);
    CHECK(strlen(one) <= ARCHIVE_NAME_MAX && one[0] == '%');
    for (size_t len = 150; len < 200; len++) { /* signs of one, two and three bytes at the limit */
        for (size_t i = 0; i < len; i++)
            text[i] = "a\xC3\xA4 "[i % 4];
        size_t cut = utf8_cut(text, len, len);
        text[cut] = '\0';
        one = archive_name(&arena, text);
        CHECK(strlen(one) <= ARCHIVE_LEVEL_MAX && utf8_is_valid(one, strlen(one)));
    }
    arena_done(&arena);
}

TEST(a_pattern_stays_below_the_folder)
{
    static const char *const good[] = {"${topic}", "a/${stream}.b/${topic}", "..a", "a..",
                                       "${year}-${month}"};
    static const char *const bad[] = {"", "/a", "a/", "a//b", "..", "../a", "a/..", ".", "a/./b"};
    for (size_t i = 0; i < array_size(good); i++)
        CHECK(!archive_pattern_check(good[i]));
    for (size_t i = 0; i < array_size(bad); i++)
        CHECK(archive_pattern_check(bad[i]));
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

TEST(records_are_appended_by_topic_and_files_are_finished_at_the_end)
{
    struct scene scene = {0};
    scene_open(&scene, (struct archive_options){0});
    CHECK_INT(put(&scene, "dt/1", "a", 0), OUTBOX_TAKEN);
    CHECK_INT(put(&scene, "../2", "b", 0), OUTBOX_TAKEN);
    CHECK_INT(put(&scene, "dt/1", "c", 5), OUTBOX_TAKEN);
    CHECK(strstr(list_files(&scene),
                 "dt/1.20251009T085320.123Z.ndjson.part: {\"topic\":\"dt/1\",\"payload\":\"a\"}\n"
                 "{\"topic\":\"dt/1\",\"payload\":\"c\"}\n|"));
    scene.archive = archive_free(scene.archive);
    CHECK(strstr(list_files(&scene), "dt/1.20251009T085320.123Z.ndjson: {"));
    CHECK(strstr(listing, "%2E./2.20251009T085320.123Z.ndjson: {\"topic\":\"../2\","));
    CHECK(!strstr(listing, ".part"));
    scene_close(&scene);
}

TEST(the_other_formats_have_nothing_but_payloads)
{
    struct scene scene = {0};
    struct batch batch = {0};
    scene_open(&scene, (struct archive_options){.format = ARCHIVE_LINES, .pattern = "all"});
    batch_add(&batch, "t", "one", 3);
    batch_add(&batch, "t", "two\nlines", 9);
    batch_add(&batch, "t", "three", 5);
    CHECK_INT(batch_write(&scene, &batch, 0), OUTBOX_EACH);
    CHECK_INT(batch.rows[0].verdict, OUTBOX_TAKEN);
    CHECK_INT(batch.rows[1].verdict, OUTBOX_NEVER);
    CHECK_INT(batch.rows[2].verdict, OUTBOX_TAKEN);
    CHECK_STR(list_files(&scene), "all.20251009T085320.123Z.txt.part: one\nthree\n|");
    scene_close(&scene);

    struct scene other = {0};
    scene_open(&other, (struct archive_options){.format = ARCHIVE_LENGTH, .pattern = "all"});
    CHECK_INT(put(&other, "t", "two\nlines", 0), OUTBOX_TAKEN);
    CHECK_INT(put(&other, "t", "", 0), OUTBOX_TAKEN);
    cleanup_free char *path = str_printf("%s/all.20251009T085320.123Z.bin.part", other.dir);
    char bytes[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, bytes, sizeof bytes);
    (void)close(fd);
    CHECK_MEM(bytes, (size_t)n, "\0\0\0\x09two\nlines\0\0\0\0", 17);
    scene_close(&other);
}

TEST(a_file_is_finished_when_it_is_large_or_old_and_names_do_not_collide)
{
    struct scene scene = {0};
    scene_open(&scene, (struct archive_options){
                           .format = ARCHIVE_LINES, .pattern = "f", .rotate_bytes = 8, .rotate_ms = 1000});
    CHECK_INT(put(&scene, "t", "1234567", 0), OUTBOX_TAKEN);
    CHECK_INT(archive_tidy(scene.archive, 0), -1);
    CHECK_INT(put(&scene, "t", "12345678", -1000), OUTBOX_TAKEN); /* the clock was set back */
    CHECK_INT(archive_tidy(scene.archive, 0), -1);
    CHECK_INT(put(&scene, "t", "a", 0), OUTBOX_TAKEN);
    CHECK_INT(archive_tidy(scene.archive, 400), 600);
    CHECK(strstr(list_files(&scene), "f.20251009T085320.123Z.txt: 1234567\n|"));
    CHECK(strstr(listing, "f.20251009T085319.123Z.txt: 12345678\n|"));
    CHECK(strstr(listing, "f.20251009T085320.123Z-1.txt.part: a\n|"));
    CHECK_INT(archive_tidy(scene.archive, 1000), -1);
    CHECK(strstr(list_files(&scene), "f.20251009T085320.123Z-1.txt: a\n|"));
    scene_close(&scene);
}

TEST(more_names_than_can_be_open_or_grow_are_written_all_the_same)
{
    enum { NAMES = 700 };
    struct scene scene = {0};
    scene_open(&scene, (struct archive_options){.format = ARCHIVE_LINES});
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < NAMES; i++) {
            char topic[16];
            (void)snprintf(topic, sizeof topic, "n/%d", i);
            CHECK_INT(put(&scene, topic, "x", round), OUTBOX_TAKEN);
            (void)archive_tidy(scene.archive, round);
        }
    scene.archive = archive_free(scene.archive);
    (void)list_files(&scene);
    unsigned lines = 0;
    for (const char *at = listing; (at = strstr(at, "x\n")); at++)
        lines++;
    CHECK_INT(lines, 2 * NAMES);
    CHECK(!strstr(listing, ".part"));
    scene_close(&scene);
}

TEST(what_was_deleted_by_somebody_is_begun_anew)
{
    struct scene scene = {0};
    scene_open(&scene, (struct archive_options){.format = ARCHIVE_LINES, .pattern = "d/f"});
    CHECK_INT(put(&scene, "t", "1", 0), OUTBOX_TAKEN);
    cleanup_free char *part = str_printf("%s/d/f.20251009T085320.123Z.txt.part", scene.dir);
    cleanup_free char *folder = str_printf("%s/d", scene.dir);
    CHECK_INT(unlink(part), 0);
    CHECK_INT(rmdir(folder), 0);
    CHECK_INT(put(&scene, "t", "2", 0), OUTBOX_TAKEN);
    CHECK_STR(list_files(&scene), "d/f.20251009T085320.123Z.txt.part: 2\n|");
    scene_close(&scene);
}

/* ---- disks that do not -------------------------------------------------------------------------------------------- */

TEST(a_batch_that_a_full_disk_did_not_take_leaves_nothing_behind)
{
    struct scene scene = {0};
    scene_open(&scene, (struct archive_options){.format = ARCHIVE_LINES, .pattern = "f"});
    CHECK_INT(put(&scene, "t", "first", 0), OUTBOX_TAKEN);
    write_fault = ENOSPC;
    write_room = 3;
    CHECK_INT(put(&scene, "t", "second", 0), OUTBOX_AGAIN);
    CHECK(strstr(scene.answer.reason, "No space left on device"));
    CHECK_STR(list_files(&scene), "f.20251009T085320.123Z.txt.part: first\n|");
    write_fault = 0;
    CHECK_INT(put(&scene, "t", "third", 0), OUTBOX_TAKEN);
    CHECK_STR(list_files(&scene), "f.20251009T085320.123Z.txt.part: first\nthird\n|");
    scene_close(&scene);
}

TEST(a_sync_that_failed_is_written_again)
{
    struct scene scene = {0};
    scene_open(&scene, (struct archive_options){.format = ARCHIVE_LINES, .pattern = "${topic}"});
    struct batch batch = {0};
    batch_add(&batch, "a", "1", 1);
    batch_add(&batch, "b", "2", 1);
    sync_fault = EIO;
    CHECK_INT(batch_write(&scene, &batch, 0), OUTBOX_AGAIN);
    CHECK(strstr(scene.answer.reason, "Input/output error"));
    CHECK_INT(put(&scene, "a", "3", 0), OUTBOX_TAKEN);
    scene.archive = archive_free(scene.archive);
    CHECK_STR(list_files(&scene), "a.20251009T085320.123Z.txt: 3\n|");
    scene_close(&scene);
}

TEST(the_folder_has_a_limit_and_what_was_taken_away_is_noticed)
{
    struct scene scene = {0};
    scene_open(&scene, (struct archive_options){.format = ARCHIVE_LINES, .rotate_bytes = 1, .bytes_max = 10});
    CHECK_INT(put(&scene, "a", "1234567", 0), OUTBOX_TAKEN);
    (void)archive_tidy(scene.archive, 0);
    CHECK_INT(put(&scene, "b", "123", 0), OUTBOX_AGAIN);
    CHECK(strstr(scene.answer.reason, "holds 8 bytes and may hold 10"));
    cleanup_free char *path = str_printf("%s/a.20251009T085320.123Z.txt", scene.dir);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(put(&scene, "b", "123", 0), OUTBOX_TAKEN);
    scene_close(&scene);
}

TEST(a_folder_that_cannot_be_is_somebodys_to_repair)
{
    struct scene scene = {0};
    scene_open(&scene, (struct archive_options){0});
    int fd = open(scene.dir, O_CREAT | O_WRONLY | O_CLOEXEC, 0600); /* a file in its place */
    CHECK(fd >= 0);
    (void)close(fd);
    CHECK_INT(put(&scene, "t", "1", 0), OUTBOX_STUCK);
    CHECK(strstr(scene.answer.reason, "Not a directory"));
    CHECK_INT(unlink(scene.dir), 0);
    CHECK_INT(put(&scene, "t", "1", 0), OUTBOX_TAKEN);
    scene_close(&scene);
}

/* ---- crashes ------------------------------------------------------------------------------------------------------ */

static void check_heal(enum archive_format format, const char *bytes, size_t len, int64_t whole)
{
    char path[] = "/tmp/gatehouse-archive-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    (void)unlink(path);
    CHECK_INT(archive_whole(fd, format), whole);
    (void)close(fd);
}

TEST(what_a_crash_left_is_whole_up_to_the_last_whole_record)
{
    check_heal(ARCHIVE_NDJSON, "", 0, 0);
    check_heal(ARCHIVE_NDJSON, "{}\n{}\n", 6, 6);
    check_heal(ARCHIVE_NDJSON, "{}\n{\"a", 6, 3);
    check_heal(ARCHIVE_NDJSON, "{", 1, 0);
    check_heal(ARCHIVE_NDJSON, "{}\n\0\0\0\n{}\n", 10, 3);
    check_heal(ARCHIVE_LINES, "a\n\0\nb", 5, 4);
    check_heal(ARCHIVE_LENGTH, "\0\0\0\1a\0\0\0\0", 9, 9);
    check_heal(ARCHIVE_LENGTH, "\0\0\0\1a\0\0\0\2b", 10, 5);
    check_heal(ARCHIVE_LENGTH, "\0\0\0\1a\0\0", 7, 5);
    check_heal(ARCHIVE_LENGTH, "\xff\xff\xff\xff", 4, 0);
}

enum { BATCH = 5 };

/* Writes batches of numbers and says which were settled, until it is killed. */
static void write_until_killed(const char *folder, int pipe, int from)
{
    cleanup_free char *dir = str_printf("%s/out", folder);
    const struct archive_options options = {.dir = dir,
                                            .pattern = "f/${topic}",
                                            .gateway = "gw",
                                            .uplink = "a",
                                            .format = ARCHIVE_LINES,
                                            .rotate_bytes = 100};
    struct archive *archive = archive_new(&options);
    struct scene scene = {.archive = archive};
    for (int64_t mono = 0;; mono++) {
        struct batch batch = {0};
        for (int i = 0; i < BATCH; i++) {
            char text[16];
            int len = snprintf(text, sizeof text, "%d", from + i);
            batch_add(&batch, i % 2 ? "odd" : "even", text, (size_t)len);
        }
        if (batch_write(&scene, &batch, mono) != OUTBOX_TAKEN)
            _exit(1);
        from += BATCH;
        if (write(pipe, &from, sizeof from) != sizeof from)
            _exit(1);
        (void)archive_tidy(archive, mono);
    }
}

static int next_number(const char **at)
{
    char *end;
    long number = strtol(*at, &end, 10);
    CHECK(end != *at && *end == '\n' && number > 0);
    *at = end + 1;
    return (int)number;
}

TEST(every_record_that_was_settled_is_in_a_finished_file_whenever_the_process_was_killed)
{
    enum { ROUNDS = 25, NUMBERS = 200000 };
    cleanup(folder_free_p) char *folder = folder_new();
    unsigned *seen = mem_new_bytes(NUMBERS * sizeof *seen);
    int settled = 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int ends[2], number;
        CHECK(pipe(ends) == 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            write_until_killed(folder, ends[1], settled);
        (void)close(ends[1]);
        for (unsigned reads = 0; read(ends[0], &number, sizeof number) == sizeof number; reads++) {
            settled = number;
            if (reads == round) /* and goes on reading what it had said before it died */
                CHECK_INT(kill(child, SIGKILL), 0);
        }
        (void)close(ends[0]);
        CHECK(waitpid(child, NULL, 0) == child);
        CHECK(settled < NUMBERS);
    }

    struct scene scene = {.folder = folder};
    scene.dir = str_printf("%s/out", folder);
    scene_open(&scene, (struct archive_options){.format = ARCHIVE_LINES});
    CHECK_INT(archive_tidy(scene.archive, 0), -1);
    (void)list_files(&scene);
    CHECK(!strstr(listing, ".part"));
    char *at = listing;
    for (char *end; (end = strchr(at, '|')); at = end + 1) {
        *end = '\0';
        const char *line = strstr(at, ": ") + 2;
        for (int last = 0; *line;) {
            int number = next_number(&line);
            CHECK(number > last && number < NUMBERS);
            seen[last = number]++;
        }
    }
    for (int i = 1; i < settled; i++)
        CHECK(seen[i] >= 1);
    scene.folder = NULL;
    scene.archive = archive_free(scene.archive);
    free(scene.dir);
    free(seen);
}
