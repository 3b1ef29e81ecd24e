/* Do the books agree with the log?
 *
 *      survey ──▶ read on, a piece at a time ──▶ the books again, in the same moment ──▶ the answer
 *
 * Everything from the floor to the end of the log is read, CRC and all, between other people's work. Every number there is a
 * record, or was never one, or is missing. Then, for the stream and for each who reads it:
 *
 *      its books add up; its place is in the log;
 *      accepted (the log's word) = delivered + expired + evicted + dead-lettered + pending (as counted)
 *
 * What is not in that sum is missing, and an alarm. A stream that drops segments meanwhile is begun again.
 */
#include "services/streams/stream.h"

#include "base/log.h"
#include "bus/topics.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { PIECE_RECORDS = 1000, PIECE_BYTES = 1024 * 1024, TRIES = 10 };

/* The books of one of them, when it began, and what was found from its place on. */
struct account {
    char *name; /* the uplink's, or the cursor's */
    const char *kind;
    struct ledger ledger;
    struct ledger live; /* of an exporter with two lanes; else from the end of the log on, empty */
    uint64_t pending, damaged;
};

struct verification {
    struct streams *streams;
    struct msg *request;
    struct stream *stream; /* that is being looked at; busy */
    bool only;             /* this one */
    struct seglog_survey survey;
    struct seglog_read read;
    uint64_t at, end; /* where it is, and how far it goes */
    uint64_t records, damaged, unused;
    struct account *accounts;
    size_t account_count;
    unsigned tries;
    bool balanced; /* all so far */
    struct arena arena;
    struct json_writer w;
};

static void begin(struct verification *v);

static void accounts_free(struct verification *v)
{
    for (size_t i = 0; i < v->account_count; i++)
        free(v->accounts[i].name);
    free(v->accounts);
    v->accounts = NULL;
    v->account_count = 0;
}

static void verification_free(struct verification *v)
{
    struct stream *stream = v->stream;
    accounts_free(v);
    seglog_read_done(&v->read);
    (void)msg_unref(v->request);
    arena_done(&v->arena);
    free(v);
    if (stream)
        stream_idles(stream);
}

static void refuse(struct verification *v, int code, const char *why)
{
    stream_refuse(v->streams, v->request, code, why);
    verification_free(v);
}

/* ---- the report -------------------------------------------------------------------------------------------------- */

/* NULL, or what is wrong with the books of one. */
static const char *judge(struct verification *v, const struct account *account, uint64_t accepted,
                         uint64_t total)
{
    const struct ledger *books[] = {&account->ledger, &account->live};
    const char *who = account->name ? account->name : "the stream";
    for (size_t i = 0; i < array_size(books); i++) {
        const struct ledger *l = books[i];
        if (!ledger_adds_up(l))
            return arena_printf(&v->arena,
                                "the books of %s do not add up: %" PRIu64 " numbers from %" PRIu64
                                " to %" PRIu64 ", %" PRIu64 " accounted for",
                                who, l->next - l->start, l->start, l->next,
                                ledger_total(l, 0) + l->missing + l->unused);
        if (l->next > v->end)
            return arena_printf(&v->arena, "%s is at %" PRIu64 ", and the log ends at %" PRIu64, who, l->next,
                                v->end);
    }
    if (total > accepted)
        return arena_printf(&v->arena, "%s has %" PRIu64 " records, and %" PRIu64 " were accepted", who,
                            total, accepted);
    if (total < accepted)
        return arena_printf(&v->arena, "%" PRIu64 " of %" PRIu64 " records are missing for %s",
                            accepted - total, accepted, who);
    return NULL;
}

static const char *put_account(struct verification *v, const struct account *account)
{
    const struct ledger *l = &account->ledger, *live = &account->live;
    struct json_writer *w = &v->w;
    uint64_t accepted = v->survey.next - v->survey.unused - l->base;
    uint64_t total = ledger_total(l, account->pending) + ledger_total(live, 0);
    const char *fault = judge(v, account, accepted, total);
    json_begin_object(w);
    json_key(w, "name");
    json_put_string(w, account->name);
    json_key(w, "kind");
    json_put_string(w, account->kind);
    stream_put_number(w, "start", l->start);
    stream_put_number(w, "next", l->next);
    stream_put_number(w, "accepted", accepted);
    stream_put_number(w, "delivered", l->delivered + live->delivered);
    stream_put_number(w, "pending", account->pending);
    stream_put_number(w, "expired", l->expired + live->expired);
    stream_put_number(w, "evicted", l->evicted + live->evicted);
    stream_put_number(w, "deadLettered", l->dead + live->dead);
    stream_put_number(w, "missing", accepted > total ? accepted - total : 0);
    json_key(w, "balanced");
    json_put_bool(w, !fault);
    json_key(w, "fault");
    json_put_string(w, fault);
    json_end_object(w);
    return fault;
}

static void report(struct verification *v)
{
    struct stream *stream = v->stream;
    struct json_writer *w = &v->w;
    const char *first_fault = NULL;
    if (v->records + v->damaged + v->unused != v->end - v->survey.before)
        first_fault = arena_printf(&v->arena, "%" PRIu64 " numbers were not met",
                                   v->end - v->survey.before - v->records - v->damaged - v->unused);
    json_begin_object(w);
    json_key(w, "name");
    json_put_string(w, stream->name);
    stream_put_number(w, "first", v->survey.before);
    stream_put_number(w, "next", v->end);
    stream_put_number(w, "records", v->records);
    stream_put_number(w, "damaged", v->damaged);
    json_key(w, "accounts");
    json_begin_array(w);
    for (size_t i = 0; i < v->account_count; i++) {
        const char *fault = put_account(v, &v->accounts[i]);
        first_fault = first_fault ? first_fault : fault;
    }
    json_end_array(w);
    json_key(w, "balanced");
    json_put_bool(w, !first_fault);
    json_key(w, "fault");
    json_put_string(w, first_fault);
    json_end_object(w);
    v->balanced &= !first_fault;
    if (first_fault)
        log_error("stream %s: its books do not balance: %s", stream->name, first_fault);
    stream_look_for_damage(stream);
    if (first_fault || !seglog_damaged(stream->log))
        stream_alarm(stream, first_fault);
}

static void finish(struct verification *v)
{
    json_end_array(&v->w);
    json_key(&v->w, "balanced");
    json_put_bool(&v->w, v->balanced);
    json_end_object(&v->w);
    bus_reply(v->streams->bus, v->request, json_writer_text(&v->w, NULL));
    verification_free(v);
}

static void next_stream(struct verification *v)
{
    struct stream *stream = v->stream;
    struct list *next = stream->link.next;
    while (!v->only && next != &v->streams->all && list_entry(next, struct stream, link)->deleting)
        next = next->next;
    v->stream = NULL;
    if (!v->only && next != &v->streams->all) {
        v->stream = list_entry(next, struct stream, link);
        v->stream->busy++;
    }
    stream_idles(stream);
    if (!v->stream) {
        finish(v);
        return;
    }
    v->tries = 0;
    begin(v);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static uint64_t count_within(uint64_t from, uint64_t to, uint64_t a, uint64_t b)
{
    uint64_t low = from > a ? from : a, high = to < b ? to : b;
    return low < high ? high - low : 0;
}

/* Numbers from `from` on, `count` of them: records, or damaged ones. */
static void count_for(struct verification *v, uint64_t from, uint64_t count, bool damaged)
{
    for (size_t i = 0; i < v->account_count; i++) {
        struct account *account = &v->accounts[i];
        uint64_t counted = count_within(from, from + count, account->ledger.next, account->live.start) +
                           count_within(from, from + count, account->live.next, UINT64_MAX);
        *(damaged ? &account->damaged : &account->pending) += counted;
    }
}

static void read_on(struct verification *v);

static void on_read(struct work *work)
{
    struct verification *v = container_of(work, struct verification, read.work);
    struct stream *stream = v->stream;
    if (stream->deleting || v->streams->closing) {
        refuse(v, 503, "the stream is going");
        return;
    }
    if (stream->own.ledger.next > v->survey.before) { /* what was counted is gone */
        if (++v->tries < TRIES)
            begin(v);
        else
            refuse(v, 503, "records leave the disk faster than they can be read: try again");
        return;
    }
    if (work->r < 0) {
        cleanup_free char *why = str_printf("stream %s: read from %" PRIu64 ": %s", stream->name, v->at,
                                            seglog_fault_text(work->r));
        refuse(v, 500, why);
        return;
    }
    for (int i = 0; i < work->r && v->at < v->end; i++) {
        const struct seglog_record *record = &v->read.records[i];
        uint64_t seq = record->seq < v->end ? record->seq : v->end, damaged = seq - v->at - record->unused;
        v->damaged += damaged;
        v->unused += record->unused;
        count_for(v, seq - damaged, damaged, true);
        if (record->seq < v->end) {
            v->records++;
            count_for(v, seq, 1, false);
        }
        v->at = seq + (record->seq < v->end);
    }
    if (work->r == 0 && v->at < v->end) {
        uint64_t damaged = v->end - v->at - v->read.unused;
        v->damaged += damaged;
        v->unused += v->read.unused;
        count_for(v, v->end - damaged, damaged, true);
        v->at = v->end;
    }
    read_on(v);
}

static void read_on(struct verification *v)
{
    if (v->at >= v->end) {
        report(v);
        next_stream(v);
        return;
    }
    v->read.from = v->at;
    v->read.max_records = (size_t)(v->end - v->at < PIECE_RECORDS ? v->end - v->at : PIECE_RECORDS);
    v->read.max_bytes = PIECE_BYTES;
    v->read.patient = true;
    v->read.work.done = on_read;
    seglog_read(v->stream->log, &v->read);
}

static void take_accounts(struct verification *v)
{
    struct stream *stream = v->stream;
    const struct ledger none = {.start = v->survey.next, .next = v->survey.next};
    accounts_free(v);
    readers_for_each (reader, stream)
        v->account_count++;
    v->accounts = mem_new_bytes(v->account_count * sizeof *v->accounts);
    v->account_count = 0;
    readers_for_each (reader, stream) {
        const struct exporter *exporter = reader_exporter(reader);
        if (exporter && reader == &exporter->ahead)
            continue; /* in the account of its exporter */
        v->accounts[v->account_count++] = (struct account){
            .name = str_copy(exporter                 ? exporter->outlet->name
                             : reader == &stream->own ? NULL
                                                      : reader->name),
            .kind = exporter                 ? "uplink"
                    : reader == &stream->own ? "stream"
                                             : "cursor",
            .ledger = reader->ledger,
            .live = exporter && exporter->live ? exporter->ahead.ledger : none,
        };
    }
}

static void on_surveyed(struct work *work)
{
    struct verification *v = container_of(work, struct verification, survey.work);
    struct stream *stream = v->stream;
    if (stream->deleting || v->streams->closing) {
        refuse(v, 503, "the stream is going");
        return;
    }
    take_accounts(v);
    v->records = v->damaged = v->unused = 0;
    v->survey.before = stream->own.ledger.next;
    v->at = v->survey.before;
    v->end = v->survey.next;
    for (size_t i = 0; i < v->account_count; i++) { /* it has gone on since the survey */
        const struct account *account = &v->accounts[i];
        uint64_t furthest =
            account->live.next > account->ledger.next ? account->live.next : account->ledger.next;
        if (furthest > v->end && furthest <= seglog_next(stream->log)) {
            begin(v);
            return;
        }
    }
    read_on(v);
}

static void begin(struct verification *v)
{
    v->survey = (struct seglog_survey){.work.done = on_surveyed};
    seglog_survey(v->stream->log, &v->survey);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static struct stream *choose(struct streams *streams, struct arena *arena, const struct msg *msg, bool *only,
                             bool *refused)
{
    static const char *const members[] = {"name", NULL};
    struct json *request = stream_request(streams, arena, msg);
    const char *name;
    *refused = true;
    if (!request || !stream_members_are_known(streams, arena, msg, request, members))
        return NULL;
    *only = json_get(request, "name") != NULL;
    if (*only && !json_text(json_get(request, "name"), arena, &name)) {
        stream_refuse(streams, msg, 400, "name: expected the name of a stream");
        return NULL;
    }
    streams_for_each (stream, streams)
        if (!stream->deleting && (!*only || strcmp(stream->name, name) == 0)) {
            *refused = false;
            return stream;
        }
    *refused = *only;
    if (*only)
        stream_refuse(streams, msg, 404, arena_printf(arena, "there is no stream \"%s\"", name));
    return NULL;
}

static void on_verify(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct streams *streams = container_of(subscriber, struct streams, verify_commands);
    struct arena arena = {0};
    bool only = false, refused;
    struct stream *stream = choose(streams, &arena, msg, &only, &refused);
    if (!refused) {
        struct verification *v = mem_new(struct verification);
        v->streams = streams;
        v->request = msg_ref(msg);
        v->only = only;
        v->balanced = true;
        v->stream = stream;
        json_writer_init(&v->w, &v->arena);
        json_begin_object(&v->w);
        json_key(&v->w, "streams");
        json_begin_array(&v->w);
        if (stream) {
            stream->busy++;
            begin(v);
        } else {
            finish(v);
        }
    }
    arena_done(&arena);
}

void streams_verify_init(struct streams *streams)
{
    streams->verify_commands.deliver = on_verify;
    bus_subscribe_to(streams->bus, &streams->verify, &streams->verify_commands, TOPIC_CTL_STREAM_VERIFY);
}

void streams_verify_done(struct streams *streams)
{
    bus_unsubscribe(streams->bus, &streams->verify);
}
