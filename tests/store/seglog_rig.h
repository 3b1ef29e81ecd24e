/* A folder, a loop, the logs' thread and one log, for tests of segment logs. */
#pragma once

#include "base/log.h"
#include "rig/test.h"
#include "store/folder.h"
#include "store/place.h"
#include "store/seglog.h"

struct seglog_rig {
    char *folder, *path; /* path: the folder of the logs */
    struct clock clock;
    struct loop *loop;
    struct seglogs *logs;
    struct seglog *log; /* "telemetry" */
    struct seglog_options options;
    const struct seal_source *seal; /* NULL: nothing is encrypted */
    enum worker_mode mode;
};

void rig_init(struct seglog_rig *rig, enum worker_mode mode, uint64_t segment_bytes, uint64_t max_bytes);
void rig_done(struct seglog_rig *rig);
void rig_close(struct seglog_rig *rig);
void rig_open(struct seglog_rig *rig);
static inline void rig_reopen(struct seglog_rig *rig)
{
    rig_close(rig);
    rig_open(rig);
}

/* Lines of the log at error level since rig_init(), and the last of them. */
extern int rig_errors;
extern char rig_last_error[512];

/* One append and what came of it. The payload is `size` bytes made from `number`. */
struct put {
    struct seglog_append append;
    uint64_t number;
    size_t size;
    bool done;
    uint8_t *payload;
};
void put_init(struct put *put, uint64_t number, size_t size);
void put_done(struct put *put);
bool payload_is(const struct seglog_record *record, uint64_t number, size_t size);

/* Appends `count` records in one turn, numbered from `number` on; returns the result of the last. */
int rig_append(struct seglog_rig *rig, struct seglog *log, uint64_t number, size_t count, size_t size);

/* Reads at most `max` records from `from` on; the caller calls seglog_read_done(). */
int rig_read(struct seglog_rig *rig, struct seglog *log, uint64_t from, size_t max, struct seglog_read *read);

/* Checks that exactly the records [from, from + count) are there, each with number == seq and of this size. */
void rig_check_records(struct seglog_rig *rig, uint64_t from, size_t count, size_t size);

void rig_release(struct seglog_rig *rig, uint64_t before);

/* Paths of the log's segments, sorted: how many, and the last one. */
size_t rig_segments(struct seglog_rig *rig);
char *rig_last_segment(struct seglog_rig *rig);
char *rig_segment(struct seglog_rig *rig, size_t i);

/* The boot that the log knows was another one: the machine started again. */
void rig_boot(struct seglog_rig *rig);
