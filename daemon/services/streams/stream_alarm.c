/* What an operator must know of a stream: a status that is retained, and a line in the log when it begins and when it ends. */
#include "services/streams/stream.h"

#include "base/log.h"
#include "bus/topics.h"

#include <inttypes.h>
#include <string.h>

static uint64_t missing(const struct stream *stream)
{
    uint64_t most = 0;
    readers_for_each (reader, stream)
        most = reader->ledger.missing > most ? reader->ledger.missing : most;
    return most;
}

void stream_say_status(struct stream *stream)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "name");
    json_put_string(&w, stream->name);
    json_key(&w, "state");
    json_put_string(&w, stream->alarm ? "alarm" : "fine");
    json_key(&w, "reason");
    json_put_string(&w, stream->alarm);
    json_key(&w, "since");
    json_put_int(&w, stream->alarm ? stream->alarm_since : loop_wall(stream_loop(stream)));
    stream_put_number(&w, "damaged", seglog_damaged(stream->log));
    stream_put_number(&w, "missing", missing(stream));
    json_end_object(&w);
    cleanup_free char *topic = str_printf(TOPIC_STATUS_STREAM_FORMAT, stream->name);
    bus_say(stream->streams->bus, topic, json_writer_text(&w, NULL), BUS_KEEP);
    arena_done(&arena);
}

void stream_unsay_status(struct stream *stream)
{
    cleanup_free char *topic = str_printf(TOPIC_STATUS_STREAM_FORMAT, stream->name);
    bus_say(stream->streams->bus, topic, "", BUS_KEEP);
}

void stream_alarm(struct stream *stream, const char *sentence)
{
    if (sentence ? stream->alarm && strcmp(stream->alarm, sentence) == 0 : !stream->alarm)
        return;
    if (sentence)
        log_error("stream %s: alarm: %s", stream->name, sentence);
    else
        log_notice("stream %s: fine again", stream->name);
    free(stream->alarm);
    stream->alarm = str_copy(sentence);
    stream->alarm_since = loop_wall(stream_loop(stream));
    stream_say_status(stream);
}

void stream_look_for_damage(struct stream *stream)
{
    uint64_t damaged = seglog_damaged(stream->log);
    if (damaged == stream->damaged_told)
        return;
    stream->damaged_told = damaged;
    cleanup_free char *sentence = str_printf(
        "%" PRIu64 " records are damaged; all others are served, and what could be read of the damaged "
        "is kept in the folder quarantine beside the segments",
        damaged);
    stream_alarm(stream, sentence);
}
