/* The kind "file" of uplinks: records are appended to files of a folder, from where others take them (archive.h).
 *
 *      outbox ──batch──▶ the archive, on the link's own thread ─▶ synced: taken; full or broken disk: again
 *
 * A timer finishes files that are old enough, also when nothing comes any more.
 */
#include "base/log.h"
#include "base/worker.h"
#include "cloud/archive.h"

#include <errno.h>
#include <string.h>

enum {
    BATCH_RECORDS = 500,
    BATCH_BYTES = 1024 * 1024,
    ROTATE_BYTES = 16 * 1024 * 1024,
    ROTATE_MS = 3600 * 1000,
    PAUSE_MIN = 1000,
    PAUSE_MAX = 60 * 1000,
};

struct file_link {
    struct link link;
    struct loop *loop;
    struct outbox outbox;
    struct worker *worker;
    struct archive *archive; /* the worker's */
    struct work write, tidy;
    struct outbox_batch *batch;
    struct archive_answer answer;
    int64_t mono, wall, tidy_mono; /* when it was handed over */
    int64_t left;                  /* until there is more to tidy, as the worker said last */
    bool tidying;
    struct timer due;
};

static struct file_link *file_of(const struct link *link)
{
    return container_of(link, struct file_link, link);
}

/* ---- on the worker's thread --------------------------------------------------------------------------------------- */

static void write_run(struct work *work, void *resource)
{
    struct file_link *file = container_of(work, struct file_link, write);
    archive_write(resource, &file->batch->items, file->mono, file->wall, &file->answer);
    file->left = archive_tidy(resource, file->mono);
}

static void tidy_run(struct work *work, void *resource)
{
    struct file_link *file = container_of(work, struct file_link, tidy);
    file->left = archive_tidy(resource, file->tidy_mono);
}

/* ---- on the loop -------------------------------------------------------------------------------------------------- */

static void set_timer(struct file_link *file)
{
    timer_stop(file->loop, &file->due);
    if (file->left >= 0 && file->outbox.state != OUTBOX_OFF)
        timer_start(file->loop, &file->due, file->left);
}

static void on_written(struct work *work)
{
    struct file_link *file = container_of(work, struct file_link, write);
    const struct outbox_answer answer = {file->answer.verdict, file->answer.reason, 0};
    file->batch = NULL;
    set_timer(file);
    outbox_answered(&file->outbox, 0, &answer);
}

static void on_tidied(struct work *work)
{
    struct file_link *file = container_of(work, struct file_link, tidy);
    file->tidying = false;
    set_timer(file);
}

static void on_due(struct timer *timer)
{
    struct file_link *file = container_of(timer, struct file_link, due);
    if (file->tidying)
        return;
    file->tidying = true;
    file->tidy_mono = loop_now(file->loop);
    worker_submit(file->worker, &file->tidy);
}

static void carry(struct outbox *outbox, unsigned lane, struct outbox_batch *batch)
{
    (void)lane;
    struct file_link *file = container_of(outbox, struct file_link, outbox);
    file->batch = batch;
    file->mono = loop_now(file->loop);
    file->wall = loop_wall(file->loop);
    worker_submit(file->worker, &file->write);
}

static int publish_message(struct link *link, struct link_publish *publish)
{
    return outbox_publish(&file_of(link)->outbox, container_of(publish, struct outbox_item, publish));
}

static void start(struct link *link)
{
    struct file_link *file = file_of(link);
    outbox_start(&file->outbox);
    on_due(&file->due); /* what an earlier life left */
}

static unsigned window(const struct link *link)
{
    return outbox_window(&file_of(link)->outbox);
}

static void stop(struct link *link)
{
    struct file_link *file = file_of(link);
    outbox_stop(&file->outbox);
    timer_stop(file->loop, &file->due);
}

static bool is_up(const struct link *link)
{
    return outbox_is_up(&file_of(link)->outbox);
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

static bool serves(const char *uri)
{
    return strncmp(uri, "file://", 7) == 0;
}

static enum archive_format format_of(const char *text)
{
    return text && strcmp(text, "lines") == 0    ? ARCHIVE_LINES
           : text && strcmp(text, "length") == 0 ? ARCHIVE_LENGTH
                                                 : ARCHIVE_NDJSON;
}

static struct archive *archive_of(const struct uplink_options *options)
{
    const struct archive_options archive_options = {
        .dir = options->uri + strlen("file://"),
        .pattern = options->path ? options->path : "${topic}",
        .gateway = options->gateway ? options->gateway : "gateway",
        .uplink = options->name,
        .format = format_of(options->format),
        .rotate_bytes = options->rotate_bytes ? options->rotate_bytes : ROTATE_BYTES,
        .rotate_ms = options->rotate_ms == 0  ? ROTATE_MS
                     : options->rotate_ms > 0 ? options->rotate_ms
                                              : 0,
        .bytes_max = options->disk_max,
    };
    return archive_new(&archive_options);
}

static struct link *free_link(struct link *link)
{
    if (!link)
        return NULL;
    struct file_link *file = file_of(link);
    stop(link);
    file->worker = worker_free(file->worker);
    timer_stop(file->loop, &file->due);
    file->archive = archive_free(file->archive);
    outbox_done(&file->outbox);
    free(file);
    return NULL;
}

static int create(struct link **ret, void *shared, const struct link_house *house,
                  const struct uplink_options *options, const struct link_events *events, void *self)
{
    (void)shared;
    static const struct outbox_carrier carrier = {.carry = carry};
    int64_t pause_max = options->pause_max ? options->pause_max : PAUSE_MAX;
    const struct outbox_options outbox_options = {
        .records = options->batch_records ? options->batch_records : BATCH_RECORDS,
        .bytes = options->batch_bytes ? options->batch_bytes : BATCH_BYTES,
        .interval = options->batch_interval,
        .lanes = 1,
        .pause_min = pause_max < PAUSE_MIN ? pause_max : PAUSE_MIN,
        .pause_max = pause_max,
    };
    struct file_link *file = mem_new(struct file_link);
    file->link.kind = &link_file;
    file->loop = house->loop;
    file->archive = archive_of(options);
    file->write = (struct work){.run = write_run, .done = on_written};
    file->tidy = (struct work){.run = tidy_run, .done = on_tidied};
    file->due.fire = on_due;
    outbox_init(&file->outbox, house->loop, &outbox_options, &carrier, events, self);
    int r = worker_new(&file->worker, house->loop, "gh-file", NULL, file->archive, WORKER_THREAD);
    if (r < 0) {
        log_error("uplink %s: cannot start a thread: %s", options->name, strerror(-r));
        (void)free_link(&file->link);
        return r;
    }
    *ret = &file->link;
    return 0;
}

const struct link_kind link_file = {
    .name = "file",
    .serves = serves,
    .publish_size = sizeof(struct outbox_item),
    .create = create,
    .free = free_link,
    .start = start,
    .stop = stop,
    .is_up = is_up,
    .publish = publish_message,
    .window = window,
};
