#include "store/seglog_rig.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int rig_errors;
char rig_last_error[512];

static void keep_errors(enum log_level level, const char *line)
{
    if (level != LOG_LEVEL_ERROR)
        return;
    rig_errors++;
    (void)snprintf(rig_last_error, sizeof rig_last_error, "%s", line);
}

void rig_open(struct seglog_rig *rig)
{
    CHECK_INT(seglogs_open(&rig->logs, rig->loop, rig->path, rig->mode), 0);
    if (rig->seal)
        seglogs_set_seal(rig->logs, rig->seal);
    CHECK_INT(seglog_open(&rig->log, rig->logs, "telemetry", &rig->options), 0);
}

void rig_close(struct seglog_rig *rig)
{
    rig->logs = seglogs_close(rig->logs);
    rig->log = NULL;
}

void rig_init(struct seglog_rig *rig, enum worker_mode mode, uint64_t segment_bytes, uint64_t max_bytes)
{
    rig_errors = 0;
    rig_last_error[0] = '\0';
    log_capture(keep_errors);
    *rig = (struct seglog_rig){.folder = folder_new(), .clock = {.by_hand = true}, .mode = mode};
    rig->options = (struct seglog_options){.segment_bytes = segment_bytes, .max_bytes = max_bytes};
    rig->path = str_printf("%s/streams", rig->folder);
    CHECK_INT(loop_new(&rig->loop, &rig->clock), 0);
    rig_open(rig);
}

void rig_done(struct seglog_rig *rig)
{
    rig_close(rig);
    rig->loop = loop_free(rig->loop);
    free(rig->path);
    folder_free(rig->folder);
    log_capture(NULL);
}

static void on_put(struct work *work)
{
    container_of(work, struct put, append.work)->done = true;
}

static uint8_t byte_of(uint64_t number, size_t i)
{
    return (uint8_t)((number * 31 + i) * 2654435761u >> 11);
}

void put_init(struct put *put, uint64_t number, size_t size)
{
    *put = (struct put){.number = number, .size = size, .payload = mem_new_bytes(size + 1)};
    for (size_t i = 0; i < size; i++)
        put->payload[i] = byte_of(number, i);
    put->append.work.done = on_put;
    put->append.record = (struct seglog_record){.wall = (int64_t)number * 1000,
                                                .topic = "dt/plant1/env",
                                                .topic_len = 13,
                                                .payload = put->payload,
                                                .payload_len = size};
}

void put_done(struct put *put)
{
    free(put->payload);
}

bool payload_is(const struct seglog_record *record, uint64_t number, size_t size)
{
    if (record->payload_len != size || record->topic_len != 13 ||
        memcmp(record->topic, "dt/plant1/env", 13) != 0 || record->wall != (int64_t)number * 1000)
        return false;
    for (size_t i = 0; i < size; i++)
        if (record->payload[i] != byte_of(number, i))
            return false;
    return true;
}

int rig_append(struct seglog_rig *rig, struct seglog *log, uint64_t number, size_t count, size_t size)
{
    struct put *puts = mem_new_bytes(count * sizeof *puts);
    for (size_t i = 0; i < count; i++) {
        put_init(&puts[i], number + i, size);
        seglog_append(log, &puts[i].append);
    }
    for (size_t i = 0; i < count; i++)
        while (!puts[i].done)
            CHECK(loop_turn(rig->loop, -1) >= 0);
    int r = puts[count - 1].append.work.r;
    for (size_t i = 0; i < count; i++)
        put_done(&puts[i]);
    free(puts);
    return r;
}

static void nothing(struct work *work)
{
    (void)work;
}

int rig_read(struct seglog_rig *rig, struct seglog *log, uint64_t from, size_t max, struct seglog_read *read)
{
    read->work.done = nothing;
    read->from = from;
    read->max_records = max;
    if (!read->max_bytes)
        read->max_bytes = 1 << 20;
    seglog_read(log, read);
    seglogs_quiesce(rig->logs);
    return read->work.r;
}

void rig_check_records(struct seglog_rig *rig, uint64_t from, size_t count, size_t size)
{
    struct seglog_read read = {.max_bytes = 10000};
    uint64_t seq = from;
    int n;
    while ((n = rig_read(rig, rig->log, seq, 100, &read)) > 0)
        for (int i = 0; i < n; i++, seq++) {
            CHECK_INT(read.records[i].seq, seq);
            CHECK(payload_is(&read.records[i], seq, size));
        }
    CHECK_INT(n, 0);
    CHECK_INT(seq - from, count);
    seglog_read_done(&read);
}

void rig_release(struct seglog_rig *rig, uint64_t before)
{
    struct seglog_release release = {.work.done = nothing, .before = before};
    seglog_release(rig->log, &release);
    seglogs_quiesce(rig->logs);
    CHECK_INT(release.work.r, 0);
}

static int is_segment(const struct dirent *entry)
{
    return strlen(entry->d_name) == 24;
}

size_t rig_segments(struct seglog_rig *rig)
{
    cleanup_free char *folder = str_printf("%s/telemetry", rig->path);
    struct dirent **names;
    int n = scandir(folder, &names, is_segment, alphasort);
    CHECK(n >= 0);
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return (size_t)n;
}

char *rig_segment(struct seglog_rig *rig, size_t wanted)
{
    cleanup_free char *folder = str_printf("%s/telemetry", rig->path);
    struct dirent **names;
    int n = scandir(folder, &names, is_segment, alphasort);
    CHECK((int)wanted < n);
    char *path = str_printf("%s/%s", folder, names[wanted]->d_name);
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return path;
}

char *rig_last_segment(struct seglog_rig *rig)
{
    return rig_segment(rig, rig_segments(rig) - 1);
}

void rig_boot(struct seglog_rig *rig)
{
    cleanup_free char *boot = str_printf("%s/telemetry/.boot", rig->path);
    (void)unlink(boot);
}
