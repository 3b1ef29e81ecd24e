/* Dead letters: records that an uplink will never take, with the reason, in a stream of their own.
 *
 *      {"stream","seq","time","topic","uplink","code","reason","payload" or "base64"}
 *
 * A letter is on disk before the books of the exporter say `dead`: a crash in between writes it a second time, and loses none.
 * The stream for them is what the stream's definition names. The usual one, dead-letters, is made when it is first needed; what
 * was refused waits for that.
 *
 * A letter of a stream that is encrypted has its payload in it, so the stream for them is encrypted from then on.
 *
 * A payload that no letter in that stream can hold, however much room is made, is not in it: its size and its SHA-256 are, so that whoever has it
 * elsewhere finds out which it was.
 *
 * Where no letter can be written (there is to be none; the stream for them is full, or is not there; it is a dead letter itself)
 * the record is kept and tried again, and the reason is shown.
 */
#include "services/streams/stream.h"

#include "base/log.h"
#include "base/sha256.h"
#include "services/streams/stream_result.h"

#include <string.h>

static void put_sum(struct json_writer *w, const struct msg *msg)
{
    char sum[SHA256_TEXT];
    sha256_text(sum, msg->payload, msg->payload_len);
    stream_put_number(w, "size", msg->payload_len);
    json_key(w, "sha256");
    json_put_string(w, sum);
}

static char *compose(const struct shipment *shipment, bool whole)
{
    const struct exporter *exporter = shipment->lane->exporter;
    const struct msg *msg = shipment->msg;
    size_t prefix = strlen("$gatehouse/cloud//publish/") + strlen(exporter->outlet->name);
    char reason[RESULT_TEXT_MAX];
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "stream");
    json_put_string(&w, exporter->stream->name);
    stream_put_number(&w, "seq", shipment->seq);
    json_key(&w, "time");
    json_put_int(&w, shipment->wall);
    json_key(&w, "topic");
    json_put_string_n(&w, msg->topic + prefix, msg->topic_len - prefix);
    json_key(&w, "uplink");
    json_put_string(&w, exporter->outlet->name);
    json_key(&w, "code");
    json_put_int(&w, shipment->code);
    json_key(&w, "reason");
    json_put_string(&w, result_text(reason, shipment->code, exporter->outlet->reason));
    if (whole)
        stream_put_payload(&w, msg->payload, msg->payload_len);
    else
        put_sum(&w, msg);
    json_end_object(&w);
    char *text = str_copy(json_writer_text(&w, NULL));
    arena_done(&arena);
    return text;
}

/* For that stream. NULL: there is no memory. */
static struct msg *make(const struct shipment *shipment, const struct stream *letters)
{
    const char *topic = shipment->lane->exporter->stream->name;
    bool whole = stream_can_hold(letters, shipment->msg->payload_len);
    cleanup_free char *text = compose(shipment, whole);
    if (whole && !stream_can_hold(letters, strlen(text))) { /* base64 and escapes are longer */
        free(text);
        text = compose(shipment, false);
    }
    return msg_new(topic, strlen(topic), text, strlen(text));
}

/* ---- the letter's way to the disk -------------------------------------------------------------------------------- */

static void end(struct shipment *shipment, int r)
{
    struct lane *lane = shipment->lane;
    struct exporter *exporter = lane->exporter;
    lane->unsettled--;
    if (r == 0) {
        shipment->state = SHIPMENT_DEAD;
    } else {
        char code[RESULT_TEXT_MAX];
        cleanup_free char *why =
            str_printf("a dead letter could not be written to stream %s: %s",
                       exporter->stream->definition.dead_letter, result_text(code, r, NULL));
        shipment->state = SHIPMENT_FAILED;
        lane->failed = true;
        exporter_tell(exporter, why);
    }
    lane_look(lane);
}

static void on_synced(struct work *work)
{
    end(container_of(work, struct shipment, letter_sync.work), work->r);
}

static void on_settled(struct receipt *receipt, int r)
{
    struct shipment *shipment = container_of(receipt, struct shipment, letter);
    const struct stream *stream = shipment->lane->exporter->stream;
    struct stream *letters = streams_find(stream->streams, stream->definition.dead_letter);
    if (r != 0 || !letters || !letters->definition.sync_ms) {
        end(shipment, r);
        return;
    }
    shipment->letter_sync.work.done = on_synced; /* acknowledged is not on disk there */
    seglog_sync(letters->log, &shipment->letter_sync);
}

/* What waits for the stream for dead letters looks again. */
void letters_look(struct streams *streams)
{
    streams_for_each (stream, streams)
        exporters_for_each(exporter, stream) for (size_t i = 0; i < array_size(exporter->lanes);
                                                  i++) if (exporter->lanes[i].under_way_count &&
                                                           !stream->deleting) lane_look(&exporter->lanes[i]);
}

const char *letter_write(struct shipment *shipment)
{
    struct exporter *exporter = shipment->lane->exporter;
    struct stream *stream = exporter->stream;
    struct streams *streams = stream->streams;
    const char *name = stream->definition.dead_letter;
    struct stream *letters = streams_find(streams, name);
    if (strcmp(name, STREAM_NO_LETTERS) == 0)
        return "it will never be taken, and the stream's dead-letter is none";
    if (streams->closing)
        return NULL;
    if (letters == stream)
        return "it will never be taken, and is a dead letter already";
    if (!letters && strcmp(name, STREAM_LETTERS) != 0)
        return "it will never be taken, and the stream for dead letters does not exist";
    if (!letters && !streams->no_letters)
        letters = streams_make_letters(streams);
    if (!letters)
        return "it will never be taken, and the stream dead-letters cannot be made";
    if (stream->definition.encrypt && !letters->definition.encrypt && stream_is_stored(letters)) {
        letters->definition.encrypt = 1; /* the key is there, or this stream would not be */
        seglog_encrypt(letters->log);
    }
    if (letters->deleting) /* or is being made: it is looked at again then */
        return NULL;
    cleanup(msg_unref_p) struct msg *letter = make(shipment, letters);
    if (!letter)
        return "there is no memory for a dead letter";
    exporter_note_letter(exporter, shipment);
    shipment->state = SHIPMENT_BURYING;
    receipt_init(&shipment->letter, on_settled);
    receipt_hold(
        &shipment->letter); /* it may be refused at once, and must not come back before we have left */
    stream_take(letters, "streams/${stream}", letter, &shipment->letter, false);
    if (shipment->letter.holds == 1 && shipment->letter.r)
        return "it will never be taken, and a dead letter could not be written: the stream for them is full";
    receipt_settle(&shipment->letter, 0);
    return NULL;
}
