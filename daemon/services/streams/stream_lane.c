/* Records become messages to the cloud, in order.
 *
 *      log ──read ahead──▶ [ ][ ][ ]──▶ the outlet's scheduler ──▶ bus ──▶ uplink ──▶ receipt ──▶ place
 *
 * The place follows the oldest shipment that is not settled. When one fails, its lane stops sending, waits until every shipment
 * is settled, goes back to its place and tries again: when the uplink comes back, or after a pause when it was never away (the
 * cloud refused). What was acknowledged behind the failed one is sent twice, in order.
 *
 * One that will never be taken (stream_result.h) holds up nobody: when all before it are settled, a letter about it is written
 * to the dead letters, and when that is on disk it is passed, as dead. Letters are written in the order of the records, and what
 * was acknowledged behind them is not sent again.
 */
#include "services/streams/stream.h"

#include "bus/topics.h"
#include "services/streams/stream_result.h"
#include "services/streams/stream_topic.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    READ_RECORDS = 64,
    READ_BYTES = 256 * 1024, /* of a lane at once; one record whatever its size */
    READ_BYTES_MIN = 16 * 1024,
    READ_ALL_BYTES = 8 * 1024 * 1024, /* of all lanes together, about */
    HEADER = 8,                       /* of a message, about */
    PAUSE_MIN = 1000,
    PAUSE_MAX = 5 * 60 * 1000,
};

static struct stream *stream_of(const struct lane *lane)
{
    return lane->exporter->stream;
}

void lane_pause(struct lane *lane)
{
    struct stream *stream = stream_of(lane);
    int64_t pause = backoff_pause(&lane->backoff, backoff_random());
    if (stream->streams->closing)
        return;
    lane->retry_at = loop_now(stream_loop(stream)) + pause;
    timer_start(stream_loop(stream), &lane->retry, pause);
}

static void on_retry(struct timer *timer)
{
    outlet_wake(container_of(timer, struct lane, retry)->exporter->outlet);
}

uint64_t lane_end(const struct lane *lane)
{
    const struct exporter *exporter = lane->exporter;
    return lane == exporter->main && exporter->live ? exporter->ahead.ledger.start
                                                    : seglog_next(exporter->stream->log);
}

/* Numbers without a record are passed when everything before them is settled. */
static void pass_gap(struct lane *lane)
{
    if (!lane->reader || !list_is_empty(&lane->under_way) || lane->failed || lane->passed)
        return;
    ledger_settle(&lane->reader->ledger, lane->sent, LEDGER_DELIVERED, lane->gap);
    lane->gap = (struct ledger_gaps){0};
    cursor_moved(stream_of(lane));
}

/* ---- reading ahead ----------------------------------------------------------------------------------------------- */

const struct seglog_record *lane_record(const struct lane *lane)
{
    return lane->read_at < lane->read_count ? &lane->read.records[lane->read_at] : NULL;
}

void lane_forget_read(struct lane *lane)
{
    lane->read_at = lane->read_count = 0;
    lane->fresh = false;
    if (!lane->reading)
        seglog_read_done(&lane->read);
}

/* Nothing that can be read is left before the lane's end, where another one goes on. */
static void on_surveyed(struct work *work)
{
    struct lane *lane = container_of(work, struct lane, survey.work);
    lane->reading = false;
    if (lane->reader && lane->range.from == lane->sent && lane->range.to <= lane_end(lane)) {
        lane->sent = lane->range.to;
        lane->gap.unused += lane->range.unused;
        lane->gap.missing += lane->range.to - lane->range.from - lane->range.unused;
        pass_gap(lane);
        if (lane->reader)
            exporter_moved(lane->exporter);
    }
    exporter_is_back(lane->exporter);
}

static void survey_rest(struct lane *lane)
{
    lane->reading = true;
    lane->range = (struct seglog_range){.from = lane->sent, .to = lane_end(lane)};
    lane->survey = (struct seglog_survey){.work.done = on_surveyed, .ranges = &lane->range, .range_count = 1};
    seglog_survey(stream_of(lane)->log, &lane->survey);
}

/* How many of those that were read are before the lane's end. */
static size_t count_own(const struct lane *lane, size_t count)
{
    while (count && lane->read.records[count - 1].seq >= lane_end(lane))
        count--;
    return count;
}

static void on_read(struct work *work)
{
    struct lane *lane = container_of(work, struct lane, read.work);
    struct exporter *exporter = lane->exporter;
    lane->reading = false;
    if (!lane->reader || lane->read.from != lane->sent) { /* it went back to its place meanwhile */
        lane_forget_read(lane);
    } else if (work->r > 0 && count_own(lane, (size_t)work->r)) {
        lane->read_at = 0;
        lane->read_count = count_own(lane, (size_t)work->r);
        lane->fresh = true;
    } else if (work->r > 0 || (work->r == 0 && lane->sent + lane->read.skipped > lane_end(lane))) {
        survey_rest(lane);
    } else if (work->r == 0 && lane->read.skipped) {
        /* all that is left there is damaged, and has been reported */
        lane->sent += lane->read.skipped;
        lane->gap.unused += lane->read.unused;
        lane->gap.missing += lane->read.skipped - lane->read.unused;
        pass_gap(lane);
        exporter_moved(exporter);
    } else { /* a fault, which the log has reported; nobody waits for this lane until it is tried again */
        if (work->r < 0)
            exporter_tell(exporter, work->r == -ELIBACC ? "the log cannot be read: it needs libzstd"
                                                        : "the log cannot be read");
        lane_pause(lane);
    }
    stream_look_for_damage(exporter->stream);
    exporter_is_back(exporter);
}

/* What this lane may read ahead. All have the same share of what there is; where large records make it more, those that were read
 * by others and are not sent yet are forgotten, and read again when it is their turn. What has just come is not: two uplinks
 * with large records would take it from each other for ever. */
static size_t make_room(struct lane *reader)
{
    size_t lanes = 0, bytes = 0;
    streams_for_each (stream, stream_of(reader)->streams)
        exporters_for_each(exporter, stream) for (size_t i = 0; i < array_size(exporter->lanes); i++)
        {
            lanes += exporter->lanes[i].reader != NULL;
            bytes += exporter->lanes[i].read.buffer_size;
        }
    size_t share = READ_ALL_BYTES / lanes;
    share = share < READ_BYTES_MIN ? READ_BYTES_MIN : share > READ_BYTES ? READ_BYTES : share;
    streams_for_each (stream, stream_of(reader)->streams)
        exporters_for_each(exporter, stream) for (size_t i = 0; i < array_size(exporter->lanes); i++)
        {
            struct lane *lane = &exporter->lanes[i];
            if (lane->reading || lane->fresh || bytes + share <= READ_ALL_BYTES)
                continue;
            bytes -= lane->read.buffer_size;
            lane_forget_read(lane);
        }
    return share;
}

void lane_read(struct lane *lane)
{
    if (lane->reading)
        return;
    size_t bytes = make_room(lane);
    lane->reading = true;
    lane->read.from = lane->sent;
    lane->read.max_records = READ_RECORDS;
    lane->read.patient = true;
    lane->read.max_bytes = bytes;
    lane->read.work.done = on_read;
    seglog_read(stream_of(lane)->log, &lane->read);
}

/* ---- receipts ---------------------------------------------------------------------------------------------------- */

static void put_back(struct lane *lane, struct shipment *shipment)
{
    lane->under_way_count--;
    list_remove(&shipment->link);
    outlet_give(lane->exporter->outlet, shipment);
}

static void fail(struct lane *lane, struct shipment *shipment, const char *why)
{
    shipment->state = SHIPMENT_FAILED;
    lane->failed = true;
    exporter_tell(lane->exporter, why);
}

/* Letters about those that were refused and have nothing before them that will be sent again. */
static void bury(struct lane *lane)
{
    list_for_each_safe (link, &lane->under_way) {
        struct shipment *shipment = list_entry(link, struct shipment, link);
        if (shipment->state == SHIPMENT_SENT || shipment->state == SHIPMENT_FAILED)
            return;
        if (shipment->state != SHIPMENT_REFUSED)
            continue;
        const char *why = letter_write(shipment);
        if (why) {
            fail(lane, shipment, why);
            return;
        }
        if (shipment->state == SHIPMENT_REFUSED) /* the stream for it is being made */
            return;
        lane->unsettled++;
    }
}

static void advance(struct lane *lane)
{
    if (lane->passed || !lane->reader)
        return;
    struct ledger *ledger = &lane->reader->ledger;
    uint64_t before = ledger->next;
    bury(lane);
    while (!list_is_empty(&lane->under_way)) {
        struct shipment *oldest = list_entry(lane->under_way.next, struct shipment, link);
        bool is_dead = oldest->state == SHIPMENT_DEAD;
        if (!is_dead && oldest->state != SHIPMENT_ACKNOWLEDGED)
            break;
        ledger_settle(ledger, oldest->seq + 1, is_dead ? LEDGER_DEAD : LEDGER_DELIVERED, oldest->gap);
        put_back(lane, oldest);
    }
    if (list_is_empty(&lane->under_way) && ledger->next < lane->sent)
        pass_gap(lane); /* beyond damaged records */
    if (ledger->next == before)
        return;
    backoff_reset(&lane->backoff);
    cursor_moved(stream_of(lane));
}

static void go_back(struct lane *lane)
{
    while (!list_is_empty(&lane->under_way))
        put_back(lane, list_entry(lane->under_way.next, struct shipment, link));
    bool failed = lane->failed && !lane->passed && lane->reader;
    lane->failed = lane->passed = false;
    lane->sent = lane->reader ? lane->reader->ledger.next : 0;
    lane->gap = (struct ledger_gaps){0};
    lane_forget_read(lane);
    if (!failed)
        return;
    lane->exporter->retries++;
    if (lane->exporter->outlet->up)
        lane_pause(lane);
}

void lane_look(struct lane *lane)
{
    struct exporter *exporter = lane->exporter;
    struct stream *stream = exporter->stream;
    advance(lane);
    exporter_moved(exporter);
    if ((lane->failed || lane->passed || !lane->reader) && lane->unsettled == 0)
        go_back(lane);
    if (stream->deleting && !exporter->leaving && stream_is_settled(stream)) {
        stream_is_idle(stream);
        return;
    }
    if (lane->read_at == lane->read_count && lane->sent == seglog_next(stream->log))
        lane_forget_read(lane); /* nothing is left to read: its memory neither */
    exporter_is_back(exporter);
}

void lane_passed(struct lane *lane)
{
    /* Of what is under way, some is settled already, in the books. It is waited for, and then it begins at the new place. */
    lane->passed = true;
    if (lane->unsettled)
        return;
    go_back(lane);
    outlet_wake(lane->exporter->outlet);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static void on_settled(struct receipt *receipt, int r)
{
    struct shipment *shipment = container_of(receipt, struct shipment, receipt);
    struct lane *lane = shipment->lane;
    struct exporter *exporter = lane->exporter;
    lane->unsettled--;
    shipment->code = r;
    link_window_done(&exporter->outlet->line, &shipment->mark, result_kind(r) == RESULT_DELIVERED,
                     loop_now(stream_loop(exporter->stream)));
    switch (result_kind(r)) {
    case RESULT_DELIVERED:
        shipment->state = SHIPMENT_ACKNOWLEDGED;
        exporter->sent_bytes += shipment->bytes;
        exporter_tell(exporter, NULL);
        break;
    case RESULT_NEVER: shipment->state = SHIPMENT_REFUSED; break;
    case RESULT_AGAIN: {
        char why[RESULT_TEXT_MAX];
        fail(lane, shipment, result_text(why, r, exporter->outlet->up ? NULL : exporter->outlet->reason));
        break;
    }
    }
    if (shipment->state != SHIPMENT_REFUSED)
        shipment->msg = msg_unref(shipment->msg);
    lane_look(lane);
}

static struct msg *message_of(struct lane *lane, const struct seglog_record *record)
{
    struct stream *stream = stream_of(lane);
    char *topic = stream->streams->scratch;
    int prefix =
        snprintf(topic, STREAM_SCRATCH, TOPIC_CLOUD_PUBLISH_FORMAT, lane->exporter->outlet->name, "");
    int len = stream_topic_final(topic + prefix, STREAM_SCRATCH - (size_t)prefix, record->topic,
                                 record->topic_len, record->seq);
    assert(len >= 0);
    const struct msg_record from = {stream->name, record->seq, record->wall};
    struct msg *msg =
        msg_new_record(topic, (size_t)(prefix + len), &from, record->payload, record->payload_len);
    if (!msg)
        return NULL;
    size_t topic_len = record->topic_len;
    msg->hops = stream_topic_hops(record->topic, &topic_len);
    msg->qos = 1;
    msg->born = loop_now(stream_loop(stream));
    return msg;
}

bool lane_ship(struct lane *lane)
{
    struct stream *stream = stream_of(lane);
    const struct seglog_record *record = lane_record(lane);
    struct msg *msg = message_of(lane, record);
    if (!msg)
        return false;
    struct shipment *shipment = outlet_take(lane->exporter->outlet);
    receipt_init(&shipment->receipt, on_settled);
    shipment->lane = lane;
    shipment->msg = msg;
    shipment->bytes = record->topic_len + record->payload_len;
    shipment->seq = record->seq;
    shipment->wall = record->wall;
    shipment->gap = lane->gap;
    shipment->gap.unused += record->unused;
    shipment->gap.missing += record->seq - lane->sent - record->unused;
    lane->gap = (struct ledger_gaps){0};
    shipment->state = SHIPMENT_SENT;
    list_append(&lane->under_way, &shipment->link);
    lane->under_way_count++;
    lane->unsettled++;
    lane->sent = record->seq + 1;
    lane->read_at++;
    lane->exporter->attempted = loop_wall(stream_loop(stream));
    struct outlet *outlet = lane->exporter->outlet;
    outlet->bytes += shipment->bytes;
    link_window_sent(&outlet->line, &shipment->mark, shipment->bytes + HEADER, loop_now(stream_loop(stream)));
    bus_publish(stream->streams->bus, msg, &shipment->receipt);
    return true;
}

bool lane_is_ready(const struct lane *lane)
{
    return lane->reader && !lane->failed && !lane->passed && !stream_of(lane)->deleting &&
           !timer_is_running(&lane->retry) && lane->sent < lane_end(lane);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void lane_init(struct lane *lane, struct exporter *exporter)
{
    lane->exporter = exporter;
    lane->retry.fire = on_retry;
    lane->slot.flow = &exporter->flow;
    lane->backoff = (struct backoff){.min = PAUSE_MIN, .max = PAUSE_MAX};
    list_init(&lane->under_way);
}

void lane_begin(struct lane *lane, struct reader *reader)
{
    lane->reader = reader;
    lane->sent = reader->ledger.next;
    lane->gap = (struct ledger_gaps){0};
}

void lane_done(struct lane *lane)
{
    /* Those that wait for a dead letter, or behind one: the others may have their places. */
    while (!lane->unsettled && !list_is_empty(&lane->under_way))
        put_back(lane, list_entry(lane->under_way.next, struct shipment, link));
    timer_stop(stream_loop(stream_of(lane)), &lane->retry);
    seglog_read_done(&lane->read);
}
