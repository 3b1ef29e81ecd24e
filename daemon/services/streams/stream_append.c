/* Messages become records.
 *
 * The message is held until its record is synced: the log writes from the message's memory. What is on its way to the log,
 * or waits for room in a stream that overwrites, is limited, for publishers who do not wait for an acknowledgement: beyond
 * it is refused like a full stream.
 *
 *      message ─▶ stream_take() ─┬─▶ log ─▶ done: acknowledged
 *                                └─▶ waiting ─▶ (the oldest segment has gone) ─▶ log
 *
 * Once something waits, everything waits behind it: records are in the order in which their messages came.
 */
#include "services/streams/stream.h"

#include "base/log.h"
#include "services/streams/stream_topic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    APPENDING_MAX = 16384,
    APPENDING_BYTES_MAX = 16 * 1024 * 1024,
    COMPLAIN_EVERY = 60 * 1000,
    RECORD_OVERHEAD = 40, /* head and padding of a record in the log, at most */
};

/* MQTT 5 reason codes that a PUBACK may carry. */
enum { TOPIC_NAME_INVALID = 0x90, QUOTA_EXCEEDED = 0x97 };

struct taking {
    struct seglog_append append;
    struct stream *stream;
    struct msg *msg;
    struct receipt *receipt;
    struct list link; /* in stream->waiting */
    size_t size;      /* of its record */
    bool answers;     /* who asks is told the number */
    char *topic;      /* NULL: the record's is the message's or the stream's own */
};

void stream_taking_init(struct streams *streams)
{
    slab_init(&streams->takings, sizeof(struct taking));
}

static bool may_complain(struct stream *stream)
{
    int64_t now = loop_now(stream_loop(stream));
    if (now < stream->complain_after)
        return false;
    stream->complain_after = now + COMPLAIN_EVERY;
    return true;
}

static void refuse(struct stream *stream, struct receipt *receipt, int reason, const char *why)
{
    stream->refused++;
    if (may_complain(stream))
        log_warning("stream %s: %s: %" PRIu64 " messages refused so far", stream->name, why, stream->refused);
    receipt_settle(receipt, reason);
}

static void taking_free(struct taking *taking)
{
    (void)msg_unref(taking->msg);
    free(taking->topic);
    slab_give(taking);
}

/* ---- room -------------------------------------------------------------------------------------------------------- */

void stream_weigh(struct stream *stream)
{
    uint64_t bytes = stream->definition.memory ? 0 : seglog_bytes(stream->log);
    stream->streams->bytes += bytes - stream->bytes_seen;
    stream->bytes_seen = bytes;
}

/* Why a record of that size has no room now; NULL: it has. */
static const char *no_room(const struct stream *stream, size_t size)
{
    const struct streams *streams = stream->streams;
    uint64_t max = (uint64_t)stream->definition.max_bytes, coming = stream->appending_size + size;
    if (stream->definition.overwrite && max && seglog_bytes(stream->log) + coming > max)
        return "is full";
    if (streams->quota && !stream->definition.memory && streams->bytes + coming > streams->quota)
        return "all streams together have reached streams-disk";
    return NULL;
}

static void append(struct taking *taking)
{
    struct stream *stream = taking->stream;
    stream->appending++;
    stream->appending_bytes += msg_cost(taking->msg);
    stream->appending_size += taking->size;
    seglog_append(stream->log, &taking->append);
}

static void wait_for_room(struct taking *taking)
{
    struct stream *stream = taking->stream;
    list_append(&stream->waiting, &taking->link);
    stream->waiting_count++;
    stream->waiting_size += taking->size;
    stream_reclaim(stream);
}

static struct taking *pop_waiting(struct stream *stream)
{
    struct taking *taking = list_entry(list_pop(&stream->waiting), struct taking, link);
    stream->waiting_count--;
    stream->waiting_size -= taking->size;
    return taking;
}

void stream_admit(struct stream *stream, bool none)
{
    while (!list_is_empty(&stream->waiting)) {
        struct taking *first = list_entry(stream->waiting.next, struct taking, link);
        const char *why = no_room(stream, first->size);
        if (why && !none)
            return;
        (void)pop_waiting(stream);
        if (!why) {
            append(first);
            continue;
        }
        refuse(stream, first->receipt, QUOTA_EXCEEDED, why);
        taking_free(first);
    }
}

/* ---- taking ------------------------------------------------------------------------------------------------------ */

static void answer(const struct taking *taking)
{
    char text[64];
    (void)snprintf(text, sizeof text, "{\"seq\":%" PRIu64 "}", taking->append.record.seq);
    bus_reply(taking->stream->streams->bus, taking->msg, text);
}

static void on_appended(struct work *work)
{
    struct taking *taking = container_of(work, struct taking, append.work);
    struct stream *stream = taking->stream;
    stream->appending--;
    stream->appending_bytes -= msg_cost(taking->msg);
    stream->appending_size -= taking->size;
    stream_weigh(stream);
    if (work->r == SEGLOG_FULL) {
        stream->wants_room = true;
        stream_reclaim(stream);
        refuse(stream, taking->receipt, QUOTA_EXCEEDED, "is full");
    } else if (work->r < 0) {
        stream->faults++;
        if (may_complain(stream))
            log_error("stream %s: append: %s: %" PRIu64 " messages were not taken so far", stream->name,
                      strerror(-work->r), stream->faults);
        if (work->r ==
            -ENOSPC) { /* the next one finds room: the oldest goes. This one is its publisher's to repeat, in order. */
            stream->wants_room = stream->wants_disk = true;
            stream_reclaim(stream);
        }
        receipt_settle(taking->receipt, work->r);
    } else {
        stream->appended++;
        exporters_wake(stream);
        if (!list_is_empty(&stream->reads))
            stream_reads_wake(stream);
        if (taking->answers && taking->msg->response_topic)
            answer(taking);
        receipt_settle(taking->receipt, 0);
    }
    taking_free(taking);
    if (!list_is_empty(&stream->waiting)) /* a file may be full now, so that it can go */
        stream_reclaim(stream);
}

static bool is_too_much(const struct stream *stream, size_t cost)
{
    return stream->appending + stream->waiting_count >= APPENDING_MAX ||
           stream->appending_bytes + stream->waiting_size + cost > APPENDING_BYTES_MAX;
}

static bool is_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && memcmp(a, b, a_len) == 0;
}

/* A topic that stays until the record is written: a copy only if nobody has the same. */
static const char *keep_topic(struct taking *taking, const char *topic, size_t len)
{
    const struct stream *stream = taking->stream;
    if (is_text(topic, len, stream->direct_topic, stream->direct_topic_len))
        return stream->direct_topic;
    if (is_text(topic, len, taking->msg->topic, taking->msg->topic_len))
        return taking->msg->topic;
    return taking->topic = str_copy_n(topic, len);
}

bool stream_can_hold(const struct stream *stream, size_t len)
{
    enum {
        BESIDE = 1024, /* a short topic, and what goes with a record */
        SEGMENTS = 4,  /* at least, of a log with a limit */
    };
    const struct stream_definition *definition = &stream->definition;
    uint64_t size = (uint64_t)len + BESIDE, max = (uint64_t)definition->max_bytes;
    uint64_t quota = definition->memory ? 0 : stream->streams->quota;
    /* Of one that refuses when it is full the last segment stays, which is a quarter. */
    uint64_t most = definition->overwrite ? max / 2 : max - max / SEGMENTS;
    return size <= APPENDING_BYTES_MAX && size <= SEGLOG_RECORD_MAX && (!max || size <= most) &&
           (!quota || size <= quota / 2);
}

void stream_take(struct stream *stream, const char *pattern, struct msg *msg, struct receipt *receipt,
                 bool answers)
{
    struct streams *streams = stream->streams;
    receipt_hold(receipt);
    if (stream->deleting) {
        refuse(stream, receipt, QUOTA_EXCEEDED, "is not there yet, or not any more");
        return;
    }
    if (is_too_much(stream, msg_cost(msg))) {
        refuse(stream, receipt, QUOTA_EXCEEDED, "the disk does not keep up");
        return;
    }
    int len = stream_topic_make(streams->scratch, STREAM_SCRATCH, pattern, msg->topic, msg->topic_len,
                                stream->name);
    if (len < 0) {
        refuse(stream, receipt, TOPIC_NAME_INVALID, "a topic became too long for the cloud");
        return;
    }
    len = (int)stream_topic_add_hops(streams->scratch, (size_t)len, msg->hops);
    size_t size = (size_t)len + msg->payload_len + RECORD_OVERHEAD;
    if (stream->definition.overwrite && stream->definition.max_bytes &&
        size > (uint64_t)stream->definition.max_bytes / 2) { /* everything else would go for it */
        refuse(stream, receipt, QUOTA_EXCEEDED, "a record is larger than half of max-size");
        return;
    }
    bool waits = !list_is_empty(&stream->waiting);
    const char *why = no_room(stream, size);
    if (why && !stream->definition.overwrite) {
        stream->wants_room = true;
        stream_reclaim(stream);
        refuse(stream, receipt, QUOTA_EXCEEDED, why);
        return;
    }
    struct taking *taking = slab_take(&streams->takings);
    taking->stream = stream;
    taking->msg = msg_ref(msg);
    taking->receipt = receipt;
    taking->size = size;
    taking->answers = answers;
    taking->append.work.done = on_appended;
    taking->append.record = (struct seglog_record){
        .wall = loop_wall(stream_loop(stream)),
        .topic = keep_topic(taking, streams->scratch, (size_t)len),
        .topic_len = (size_t)len,
        .payload = msg->payload,
        .payload_len = msg->payload_len,
    };
    if (why || waits)
        wait_for_room(taking);
    else
        append(taking);
}
