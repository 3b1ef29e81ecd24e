/* Messages become records.
 *
 * The message is held until its record is synced: the log writes from the message's memory. What is on its way to the log
 * is limited, for publishers who do not wait for an acknowledgement: beyond it is refused like a full stream.
 */
#include "services/streams/stream.h"

#include "base/log.h"
#include "services/streams/stream_topic.h"

#include <inttypes.h>
#include <string.h>

enum {
    APPENDING_MAX = 16384,
    APPENDING_BYTES_MAX = 16 * 1024 * 1024,
    COMPLAIN_EVERY = 60 * 1000,
};

/* MQTT 5 reason codes that a PUBACK may carry. */
enum { TOPIC_NAME_INVALID = 0x90, QUOTA_EXCEEDED = 0x97 };

struct taking {
    struct seglog_append append;
    struct stream *stream;
    struct msg *msg;
    struct receipt *receipt;
    char topic[];
};

static bool may_complain(struct stream *stream)
{
    int64_t now = loop_now(bus_loop(stream->streams->bus));
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

static void on_appended(struct work *work)
{
    struct taking *taking = container_of(work, struct taking, append.work);
    struct stream *stream = taking->stream;
    stream->appending--;
    stream->appending_bytes -= msg_cost(taking->msg);
    if (work->r == SEGLOG_FULL) {
        if (stream->keep)
            stream_make_room(stream);
        refuse(stream, taking->receipt, QUOTA_EXCEEDED, "is full");
    } else if (work->r < 0) {
        stream->faults++;
        if (may_complain(stream))
            log_error("stream %s: append: %s: %" PRIu64 " messages were not taken so far", stream->name,
                      strerror(-work->r), stream->faults);
        receipt_settle(taking->receipt, work->r);
    } else {
        stream->appended++;
        if (stream->outlet)
            outlet_wake(stream->outlet);
        receipt_settle(taking->receipt, 0);
    }
    (void)msg_unref(taking->msg);
    free(taking);
}

void stream_take(struct stream *stream, const char *pattern, struct msg *msg, struct receipt *receipt)
{
    struct streams *streams = stream->streams;
    receipt_hold(receipt);
    size_t cost = msg_cost(msg);
    if (stream->appending >= APPENDING_MAX || stream->appending_bytes + cost > APPENDING_BYTES_MAX) {
        refuse(stream, receipt, QUOTA_EXCEEDED, "the disk does not keep up");
        return;
    }
    int len = stream_topic_make(streams->scratch, STREAM_SCRATCH, pattern, msg->topic, msg->topic_len,
                                stream->name);
    if (len < 0) {
        refuse(stream, receipt, TOPIC_NAME_INVALID, "a topic became too long for the cloud");
        return;
    }
    struct taking *taking = mem_new_bytes(sizeof *taking + (size_t)len);
    memcpy(taking->topic, streams->scratch, (size_t)len);
    taking->stream = stream;
    taking->msg = msg_ref(msg);
    taking->receipt = receipt;
    taking->append.work.done = on_appended;
    taking->append.record = (struct seglog_record){
        .wall = loop_wall(bus_loop(streams->bus)),
        .topic = taking->topic,
        .topic_len = (size_t)len,
        .payload = msg->payload,
        .payload_len = msg->payload_len,
    };
    stream->appending++;
    stream->appending_bytes += cost;
    seglog_append(stream->log, &taking->append);
}
