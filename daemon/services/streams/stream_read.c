/* Reading by topic: a request becomes an answer with records, now or when there are enough of them.
 *
 *      request ─▶ enough? ─yes─▶ log ─▶ answer
 *                    └─no─▶ waits ─┬─ (something was appended) ─▶ enough?
 *                                  └─ (the time is over) ─▶ NotEnoughMessages
 *
 * All or nothing: below the minimum nothing is returned. Reading does not consume; a cursor is moved by its owner, when it
 * has done what it wanted to do with the records.
 */
#include "services/streams/stream.h"

#include "bus/topics.h"
#include "services/streams/stream_topic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    READS_MAX = 256,               /* of one stream at once */
    RECORDS_MAX = 1000,            /* of one answer */
    ANSWER_BYTES_MAX = 256 * 1024, /* topics and payloads of one answer; one record whatever its size */
    TIMEOUT_MAX = 3600 * 1000,
};

struct reading {
    struct list link; /* in stream->reads */
    struct stream *stream;
    struct msg *request;
    struct seglog_read read;
    uint64_t from;
    int64_t min, max;
    uint64_t wait_for; /* numbers there must be below seglog_next() */
    struct timer timer;
    bool late, busy;
};

static void reading_free(struct reading *reading)
{
    struct stream *stream = reading->stream;
    timer_stop(stream_loop(stream), &reading->timer);
    list_remove(&reading->link);
    seglog_read_done(&reading->read);
    (void)msg_unref(reading->request);
    free(reading);
    stream->read_count_now--;
    stream_idles(stream);
}

static void refuse(struct reading *reading, int code, const char *message)
{
    stream_refuse(reading->stream->streams, reading->request, code, message);
    reading_free(reading);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

/* A stored topic with the record's number in place of its zero bytes. */
static void put_topic(struct json_writer *w, const struct seglog_record *record)
{
    char number[24];
    size_t len = record->topic_len;
    (void)stream_topic_hops(record->topic, &len);
    int digits = snprintf(number, sizeof number, "%" PRIu64, record->seq);
    char *text = arena_alloc(w->arena, len * (size_t)digits + 1), *at = text;
    for (size_t i = 0; i < len; i++) {
        if (record->topic[i]) {
            *at++ = record->topic[i];
        } else {
            memcpy(at, number, (size_t)digits);
            at += digits;
        }
    }
    json_key(w, "topic");
    json_put_string_n(w, text, (size_t)(at - text));
}

static void answer(struct reading *reading, size_t count)
{
    struct arena arena = {0};
    struct json_writer w;
    uint64_t unused = 0, next = reading->from;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "stream");
    json_put_string(&w, reading->stream->name);
    json_key(&w, "records");
    json_begin_array(&w);
    for (size_t i = 0; i < count; i++) {
        const struct seglog_record *record = &reading->read.records[i];
        unused += record->unused;
        next = record->seq + 1;
        json_begin_object(&w);
        stream_put_number(&w, "seq", record->seq);
        json_key(&w, "time");
        json_put_int(&w, record->wall);
        put_topic(&w, record);
        stream_put_payload(&w, record->payload, record->payload_len);
        json_end_object(&w);
    }
    json_end_array(&w);
    stream_put_number(&w, "next", next);
    stream_put_number(&w, "missing", reading->read.skipped - unused);
    json_end_object(&w);
    bus_reply(reading->stream->streams->bus, reading->request, json_writer_text(&w, NULL));
    arena_done(&arena);
    reading_free(reading);
}

/* ---- enough? ----------------------------------------------------------------------------------------------------- */

static void look(struct reading *reading);

static void not_enough(struct reading *reading, uint64_t found)
{
    cleanup_free char *why =
        str_printf("NotEnoughMessages: %" PRIu64 " from %" PRIu64 " on, %" PRId64 " were asked for", found,
                   reading->from, reading->min);
    refuse(reading, 412, why);
}

static void on_read(struct work *work)
{
    struct reading *reading = container_of(work, struct reading, read.work);
    struct stream *stream = reading->stream;
    reading->busy = false;
    stream_look_for_damage(stream);
    if (stream->deleting || stream->streams->closing) {
        refuse(reading, 503, "ResourceNotFound: the stream is going");
    } else if (work->r < 0) {
        cleanup_free char *why = str_printf("MessageStoreReadError: %s", seglog_fault_text(work->r));
        refuse(reading, 500, why);
    } else if (work->r >= reading->min) {
        answer(reading, (size_t)work->r);
    } else if (reading->read.from + reading->read.skipped + (uint64_t)work->r < seglog_next(stream->log) &&
               work->r > 0) {
        refuse(reading, 413, "ResponsePayloadTooLarge: ask for fewer records");
    } else {
        reading->wait_for = seglog_next(stream->log) + (uint64_t)(reading->min - work->r);
        if (reading->late)
            not_enough(reading, (uint64_t)work->r);
    }
}

static void look(struct reading *reading)
{
    struct stream *stream = reading->stream;
    uint64_t floor = stream->own.ledger.next, next = seglog_next(stream->log);
    uint64_t from = reading->from > floor ? reading->from : floor;
    if (reading->busy)
        return;
    if (next < reading->wait_for || next < from + (uint64_t)reading->min) {
        if (reading->late)
            not_enough(reading, next > from ? next - from : 0);
        return;
    }
    reading->busy = true;
    reading->read.from = from;
    reading->read.max_records = (size_t)reading->max;
    reading->read.max_bytes = ANSWER_BYTES_MAX;
    reading->read.patient = true;
    reading->read.work.done = on_read;
    seglog_read(stream->log, &reading->read);
}

static void on_late(struct timer *timer)
{
    struct reading *reading = container_of(timer, struct reading, timer);
    reading->late = true;
    look(reading);
}

void stream_reads_wake(struct stream *stream)
{
    list_for_each_safe (link, &stream->reads)
        look(list_entry(link, struct reading, link));
}

void stream_reads_end(struct stream *stream, const char *why)
{
    list_for_each_safe (link, &stream->reads) {
        struct reading *reading = list_entry(link, struct reading, link);
        if (!reading->busy) /* else it is refused when it comes back */
            refuse(reading, 503, why);
    }
}

/* ---- the request ------------------------------------------------------------------------------------------------- */

static const char *const members[] = {"from", "cursor", "min", "max", "timeout", NULL};

static bool take_number(const struct json *request, const char *key, int64_t min, int64_t max, int64_t *ret)
{
    const struct json *value = json_get(request, key);
    return !value || json_int(value, min, max, ret);
}

/* NULL, or why it cannot be done. */
static const char *parse(struct reading *reading, struct arena *arena, const struct json *request,
                         int64_t *timeout, int *code)
{
    const struct json *cursor = json_get(request, "cursor");
    int64_t from = 0;
    const char *name;
    *code = 400;
    if (cursor && json_get(request, "from"))
        return "InvalidRequest: expected one of from and cursor, not both";
    if (!take_number(request, "from", 0, INT64_MAX, &from))
        return "InvalidRequest: from: expected the number of a record";
    if (!take_number(request, "min", 1, RECORDS_MAX, &reading->min))
        return "InvalidRequest: min: expected a number from 1 to 1000";
    if (!take_number(request, "max", 1, INT32_MAX, &reading->max) || reading->max < reading->min)
        return "InvalidRequest: max: expected a number from min on";
    if (!take_number(request, "timeout", 0, TIMEOUT_MAX, timeout))
        return "InvalidRequest: timeout: expected milliseconds, at most 3600000";
    reading->max = reading->max > RECORDS_MAX ? RECORDS_MAX : reading->max;
    reading->from = (uint64_t)from;
    if (!cursor)
        return NULL;
    if (!json_text(cursor, arena, &name))
        return "InvalidRequest: cursor: expected its name";
    struct reader *reader = *name == '@' ? NULL : stream_reader(reading->stream, name);
    *code = 404;
    if (!reader)
        return arena_printf(arena, "ResourceNotFound: there is no cursor \"%s\"", name);
    reading->from = reader->ledger.next;
    return NULL;
}

static void on_request(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct streams *streams = container_of(subscriber, struct streams, read_requests);
    struct stream *stream = stream_of_topic(streams, msg);
    struct arena arena = {0};
    struct json *request = stream ? stream_request(streams, &arena, msg) : NULL;
    if (!request || !stream_members_are_known(streams, &arena, msg, request, members)) {
        arena_done(&arena);
        return;
    }
    if (stream->read_count_now >= READS_MAX) {
        stream_refuse(streams, msg, 503, "too many reads wait for records of this stream");
        arena_done(&arena);
        return;
    }
    struct reading *reading = mem_new(struct reading);
    int64_t timeout = 0;
    int code;
    reading->stream = stream;
    reading->request = msg_ref(msg);
    reading->min = reading->max = 1;
    reading->timer.fire = on_late;
    list_append(&stream->reads, &reading->link);
    stream->read_count_now++;
    stream->busy++;
    if (json_get(request, "min") && !json_get(request, "max"))
        reading->max = RECORDS_MAX;
    const char *why = parse(reading, &arena, request, &timeout, &code);
    if (why) {
        refuse(reading, code, why);
    } else {
        if (timeout)
            timer_start(stream_loop(stream), &reading->timer, timeout);
        else
            reading->late = true;
        look(reading);
    }
    arena_done(&arena);
}

void streams_read_init(struct streams *streams)
{
    streams->read_requests.deliver = on_request;
    bus_subscribe_to(streams->bus, &streams->read, &streams->read_requests, TOPIC_STREAM_READ_FILTER);
}

void streams_read_done(struct streams *streams)
{
    bus_unsubscribe(streams->bus, &streams->read);
}
