/* Dead letters go back to the stream they came from: what was wrong has been put right.
 *
 *      letters ──read a piece──▶ those of the stream ──▶ appended to it ──▶ synced ──▶ the place in state.db ──▶ the next piece
 *
 * How far that has been done is a reader of the letters' stream, one for each stream they came from. It moves when what was read is
 * on disk there, so a crash sends the letters of one piece a second time and forgets none. Nothing is taken away: the letters stay
 * until they make room. What is refused again becomes a new letter, which this request does not come to. A letter whose topic or size no
 * stream takes, or that has no payload, is passed over, and counted.
 */
#include "services/streams/stream.h"

#include "base/log.h"
#include "bus/topics.h"
#include "services/streams/stream_result.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { PIECE_RECORDS = 256, PIECE_BYTES = 256 * 1024 };

struct retry {
    struct streams *streams;
    struct stream *stream, *letters; /* both busy */
    struct msg *request;
    char *name; /* of the reader */
    uint64_t at, end;
    struct seglog_read read;
    size_t waiting; /* of the piece, for the stream's disk */
    int r;          /* of these, the first that failed */
    uint64_t piece, sent, skipped;
    struct ledger_gaps gaps;
    uint64_t to; /* where the piece ends */
    struct seglog_sync sync;
    struct work commit;
    struct cursor_row row;
};

/* One letter on its way back. */
struct returning {
    struct receipt receipt;
    struct retry *retry;
};

static void retry_free(struct retry *retry)
{
    struct stream *stream = retry->stream, *letters = retry->letters;
    seglog_read_done(&retry->read);
    (void)msg_unref(retry->request);
    free(retry->name);
    free(retry);
    stream->retrying = false;
    stream_idles(letters);
    stream_idles(stream);
}

static void refuse(struct retry *retry, int code, const char *why)
{
    cleanup_free char *sentence =
        retry->sent ? str_printf("%s; %" PRIu64 " letters were sent back before that", why, retry->sent)
                    : str_copy(why);
    stream_refuse(retry->streams, retry->request, code, sentence);
    retry_free(retry);
}

static void answer(struct retry *retry)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "name");
    json_put_string(&w, retry->stream->name);
    json_key(&w, "letters");
    json_put_string(&w, retry->letters->name);
    stream_put_number(&w, "skipped", retry->skipped);
    stream_put_number(&w, "retried", retry->sent);
    json_end_object(&w);
    log_notice("stream %s: %" PRIu64 " dead letters were sent back to it", retry->stream->name, retry->sent);
    bus_reply(retry->streams->bus, retry->request, json_writer_text(&w, NULL));
    arena_done(&arena);
    retry_free(retry);
}

/* Why it cannot go on; NULL: it can. */
static const char *obstacle(const struct retry *retry)
{
    if (retry->streams->closing)
        return "the gateway stops";
    return retry->stream->deleting || retry->letters->deleting ? "the stream is going" : NULL;
}

/* ---- a piece ----------------------------------------------------------------------------------------------------- */

static void next_piece(struct retry *retry);

static void on_committed(struct work *work)
{
    struct retry *retry = container_of(work, struct retry, commit);
    struct reader *reader = stream_reader(retry->letters, retry->name);
    if (work->r < 0) {
        log_error("state.db: dead letters of stream %s: %s", retry->stream->name, strerror(-work->r));
        refuse(retry, 500, "how far it came could not be stored: the next time some are sent again");
        return;
    }
    if (reader)
        reader_is_in_db(reader, &retry->row);
    next_piece(retry);
}

static void commit_run(struct work *work, void *db)
{
    work->r = cursors_save(db, &container_of(work, struct retry, commit)->row, 1);
}

static void end_piece(struct retry *retry)
{
    struct reader *reader = stream_reader(retry->letters, retry->name);
    const char *why = obstacle(retry);
    retry->sent += retry->piece;
    if (why || !reader) {
        refuse(retry, 503, why ? why : "the stream is going");
        return;
    }
    if (reader->ledger.next ==
        retry->at) /* else the letters went while it was under way, and their end is in the books */
        ledger_settle(&reader->ledger, retry->to, LEDGER_DELIVERED, retry->gaps);
    retry->at = retry->to;
    if (!stream_is_stored(retry->letters)) {
        next_piece(retry);
        return;
    }
    retry->row = reader_row(reader);
    retry->row.reader = retry->name;
    retry->commit.run = commit_run;
    retry->commit.done = on_committed;
    store_submit(retry->streams->store, &retry->commit);
}

static void on_synced(struct work *work)
{
    struct retry *retry = container_of(work, struct retry, sync.work);
    if (work->r < 0)
        refuse(retry, 500, strerror(-work->r));
    else
        end_piece(retry);
}

/* All of the piece have their answer. */
static void piece_is_taken(struct retry *retry)
{
    if (retry->r) {
        refuse(retry, 503, "the stream does not take them: it is full, or its disk is");
    } else if (retry->stream->definition.sync_ms && retry->piece) { /* acknowledged is not on disk there */
        retry->sync.work.done = on_synced;
        seglog_sync(retry->stream->log, &retry->sync);
    } else {
        end_piece(retry);
    }
}

static void on_taken(struct receipt *receipt, int r)
{
    struct returning *returning = container_of(receipt, struct returning, receipt);
    struct retry *retry = returning->retry;
    free(returning);
    if (r == -EMSGSIZE || result_kind(r) == RESULT_NEVER) {
        retry->skipped++;
        retry->piece--;
    } else {
        retry->r = retry->r ? retry->r : r;
    }
    if (--retry->waiting == 0)
        piece_is_taken(retry);
}

/* RFC 4648; padding may be left out. */
static bool decode_base64(struct arena *arena, const char *text, const char **ret, size_t *len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = strlen(text), n = 0;
    char *bytes = arena_alloc(arena, size + 1);
    while (size && text[size - 1] == '=')
        size--;
    uint32_t group = 0;
    for (size_t i = 0; i < size; i++) {
        const char *digit = strchr(digits, text[i]);
        if (!digit)
            return false;
        group = group << 6 | (uint32_t)(digit - digits);
        if (i % 4)
            bytes[n++] = (char)(group >> (6 - 2 * (i % 4)));
    }
    *ret = bytes;
    *len = n;
    return true;
}

/* The message that a letter is about, when it is one of the stream's and has it; else NULL. */
static struct msg *message_of(struct retry *retry, const struct seglog_record *record)
{
    struct arena arena = {0};
    struct json *letter;
    struct msg *msg = NULL;
    const char *topic, *payload, *base64;
    size_t len;
    if (json_parse(&letter, &arena, (const char *)record->payload, record->payload_len, NULL) == 0 &&
        json_text_is(json_get(letter, "stream"), retry->stream->name) &&
        json_text(json_get(letter, "topic"), &arena, &topic) && *topic) {
        const struct json *text = json_get(letter, "payload");
        if (json_is(text, JSON_STRING))
            msg = msg_new(topic, strlen(topic), text->text, text->len);
        else if (json_text(json_get(letter, "base64"), &arena, &base64) &&
                 decode_base64(&arena, base64, &payload, &len))
            msg = msg_new(topic, strlen(topic), payload, len);
        else
            retry->skipped++;
    }
    arena_done(&arena);
    return msg;
}

static void send_back(struct retry *retry, struct msg *msg)
{
    struct returning *returning = mem_new(struct returning);
    returning->retry = retry;
    receipt_init(&returning->receipt, on_taken);
    retry->waiting++;
    retry->piece++;
    stream_take(retry->stream, "${topic}", msg, &returning->receipt, false);
}

static void on_read(struct work *work)
{
    struct retry *retry = container_of(work, struct retry, read.work);
    const char *why = obstacle(retry);
    if (why || work->r < 0) {
        refuse(retry, why ? 503 : 500, why ? why : seglog_fault_text(work->r));
        return;
    }
    retry->waiting = 1; /* ours: the stream may answer at once */
    for (int i = 0; i < work->r && retry->read.records[i].seq < retry->end; i++) {
        const struct seglog_record *record = &retry->read.records[i];
        cleanup(msg_unref_p) struct msg *msg = message_of(retry, record);
        retry->gaps.unused += record->unused;
        retry->gaps.missing += record->seq - retry->to - record->unused;
        retry->to = record->seq + 1;
        if (msg)
            send_back(retry, msg);
    }
    if (retry->to == retry->at) /* nothing that can be read is left before the end */
        retry->end = retry->at;
    if (--retry->waiting == 0)
        piece_is_taken(retry);
}

static void next_piece(struct retry *retry)
{
    struct reader *reader = stream_reader(retry->letters, retry->name);
    const char *why = obstacle(retry);
    if (why || !reader) {
        refuse(retry, 503, why ? why : "the stream is going");
        return;
    }
    retry->at = retry->to = reader->ledger.next > retry->at ? reader->ledger.next : retry->at;
    retry->gaps = (struct ledger_gaps){0};
    retry->piece = 0;
    if (retry->at >= retry->end) {
        answer(retry);
        return;
    }
    retry->read.from = retry->at;
    retry->read.max_records = PIECE_RECORDS;
    retry->read.max_bytes = PIECE_BYTES;
    retry->read.patient = true;
    retry->read.work.done = on_read;
    seglog_read(retry->letters->log, &retry->read);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static void begin(struct stream *stream, struct stream *letters, struct msg *msg)
{
    struct retry *retry = mem_new(struct retry);
    retry->streams = stream->streams;
    retry->stream = stream;
    retry->letters = letters;
    retry->request = msg_ref(msg);
    retry->name = str_printf(READER_RETRY_FORMAT, stream->name);
    retry->end = seglog_next(letters->log);
    stream->busy++;
    letters->busy++;
    stream->retrying = true;
    if (!stream_reader(letters, retry->name)) {
        struct reader *reader = mem_new(struct reader);
        reader_init(reader, letters, retry->name, false);
        list_append(&letters->readers, &reader->link);
        reader_begin(reader);
    }
    next_piece(retry);
}

static void on_command(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct streams *streams = container_of(subscriber, struct streams, retry_commands);
    struct stream *stream = stream_named(streams, msg);
    struct stream *letters = stream ? streams_find(streams, stream->definition.dead_letter) : NULL;
    if (!stream)
        return;
    if (!letters || letters->deleting || letters == stream) {
        stream_refuse(streams, msg, 404, "there are no dead letters of that stream");
        return;
    }
    if (stream->retrying) {
        stream_refuse(streams, msg, 409, "its dead letters are being sent back already");
        return;
    }
    if (letters->drop.active) {
        stream_refuse(streams, msg, 503, "letters are leaving the disk just now: try again");
        return;
    }
    begin(stream, letters, msg);
}

void streams_retry_init(struct streams *streams)
{
    streams->retry_commands.deliver = on_command;
    bus_subscribe_to(streams->bus, &streams->retry, &streams->retry_commands, TOPIC_CTL_STREAM_RETRY);
}

void streams_retry_done(struct streams *streams)
{
    bus_unsubscribe(streams->bus, &streams->retry);
}
