/* Records become messages to the cloud.
 *
 *      log ──read ahead──▶ [ ][ ][ ]──▶ the outlet's scheduler ──▶ bus ──▶ uplink ──▶ receipt ──▶ cursor
 *
 * An outlet has 64 shipments. While it has one and the uplink is up, the scheduler says whose turn it is. If that stream
 * has yet to read, everybody waits for the read: a slot that went to a lower priority meanwhile would be one in every
 * read, not one in eight.
 *
 * The cursor follows the oldest shipment that is not acknowledged. When one fails, its stream stops sending, waits until
 * every shipment is settled, goes back to the cursor and tries again: when the uplink comes back, or after a pause when it
 * was never away (the cloud refused). What was acknowledged behind the failed one is sent twice, in order.
 */
#include "services/streams/stream.h"

#include "base/json.h"
#include "base/log.h"
#include "bus/topics.h"
#include "services/streams/stream_topic.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    READ_RECORDS = 64,
    READ_BYTES = 256 * 1024,
    PAUSE_MIN = 1000,
    PAUSE_MAX = 5 * 60 * 1000,
};

void outlet_wake(struct outlet *outlet)
{
    if (outlet->up && !outlet->streams->closing)
        loop_at(bus_loop(outlet->streams->bus), LOOP_ROUTE, &outlet->pump);
}

static void pause_and_retry(struct stream *stream)
{
    if (!stream->streams->closing)
        timer_start(stream_loop(stream), &stream->retry, backoff_pause(&stream->backoff, backoff_random()));
}

static void on_retry(struct timer *timer)
{
    outlet_wake(container_of(timer, struct stream, retry)->outlet);
}

/* Numbers without a record are passed when everything before them is settled. */
static void pass_gap(struct stream *stream)
{
    if (!list_is_empty(&stream->under_way) || stream->failed || stream->passed)
        return;
    ledger_settle(&stream->uplink.ledger, stream->sent, LEDGER_DELIVERED, stream->gap);
    stream->gap = (struct ledger_gaps){0};
    cursor_moved(stream);
}

/* ---- reading ahead ----------------------------------------------------------------------------------------------- */

static bool has_record(const struct stream *stream)
{
    return stream->read_at < stream->read_count;
}

static void forget_read(struct stream *stream)
{
    stream->read_at = stream->read_count = 0;
    if (!stream->reading)
        seglog_read_done(&stream->read);
}

static void on_read(struct work *work)
{
    struct stream *stream = container_of(work, struct stream, read.work);
    stream->reading = false;
    if (stream->read.from != stream->sent) { /* it went back to its cursor meanwhile */
        forget_read(stream);
    } else if (work->r > 0) {
        stream->read_at = 0;
        stream->read_count = (size_t)work->r;
    } else if (work->r == 0 &&
               stream->read.skipped) { /* all that is left there is damaged, and has been reported */
        stream->sent += stream->read.skipped;
        stream->gap.unused += stream->read.unused;
        stream->gap.missing += stream->read.skipped - stream->read.unused;
        pass_gap(stream);
    } else { /* a fault, which the log has reported; nobody waits for this stream until it is tried again */
        pause_and_retry(stream);
    }
    stream_look_for_damage(stream);
    outlet_wake(stream->outlet);
}

static void read_ahead(struct stream *stream)
{
    if (stream->reading)
        return;
    stream->reading = true;
    stream->read.from = stream->sent;
    stream->read.max_records = READ_RECORDS;
    stream->read.patient = true;
    stream->read.max_bytes = READ_BYTES;
    stream->read.work.done = on_read;
    seglog_read(stream->log, &stream->read);
}

/* ---- receipts ---------------------------------------------------------------------------------------------------- */

static void put_back(struct outlet *outlet, struct shipment *shipment)
{
    shipment->stream->under_way_count--;
    list_remove(&shipment->link);
    list_append(&outlet->idle, &shipment->link);
}

static void advance(struct stream *stream)
{
    struct ledger *ledger = &stream->uplink.ledger;
    uint64_t before = ledger->next;
    if (stream->passed)
        return;
    while (!list_is_empty(&stream->under_way)) {
        struct shipment *oldest = list_entry(stream->under_way.next, struct shipment, link);
        if (oldest->state != SHIPMENT_ACKNOWLEDGED)
            break;
        ledger_settle(ledger, oldest->seq + 1, LEDGER_DELIVERED, oldest->gap);
        put_back(stream->outlet, oldest);
    }
    if (list_is_empty(&stream->under_way) && ledger->next < stream->sent)
        pass_gap(stream); /* beyond damaged records */
    if (ledger->next == before)
        return;
    backoff_reset(&stream->backoff);
    cursor_moved(stream);
}

static void go_back(struct stream *stream)
{
    while (!list_is_empty(&stream->under_way))
        put_back(stream->outlet, list_entry(stream->under_way.next, struct shipment, link));
    bool passed = stream->passed;
    stream->failed = stream->passed = false;
    stream->sent = stream->uplink.ledger.next;
    stream->gap = (struct ledger_gaps){0};
    forget_read(stream);
    if (passed) {
        outlet_wake(stream->outlet);
        return;
    }
    stream->retries++;
    if (stream->outlet->up)
        pause_and_retry(stream);
}

void stream_export_passed(struct stream *stream)
{
    /* Of what is under way, some is settled already, in the books. It is waited for, and then it begins at the new place. */
    stream->passed = true;
    if (stream->unsettled == 0)
        go_back(stream);
}

static void on_settled(struct receipt *receipt, int r)
{
    struct shipment *shipment = container_of(receipt, struct shipment, receipt);
    struct stream *stream = shipment->stream;
    shipment->state = r == 0 ? SHIPMENT_ACKNOWLEDGED : SHIPMENT_FAILED;
    stream->failed |= r != 0;
    stream->unsettled--;
    advance(stream);
    if ((stream->failed || stream->passed) && stream->unsettled == 0)
        go_back(stream);
    if (stream->deleting && stream->unsettled == 0) {
        stream_is_idle(stream);
        return;
    }
    if (stream->read_at == stream->read_count && stream->sent == seglog_next(stream->log))
        forget_read(stream); /* nothing is left to read: its memory neither */
    outlet_wake(stream->outlet);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static struct msg *message_of(struct stream *stream, const struct seglog_record *record)
{
    char *topic = stream->streams->scratch;
    int prefix = snprintf(topic, STREAM_SCRATCH, TOPIC_CLOUD_PUBLISH_FORMAT, stream->outlet->name, "");
    int len = stream_topic_final(topic + prefix, STREAM_SCRATCH - (size_t)prefix, record->topic,
                                 record->topic_len, record->seq);
    assert(len >= 0);
    struct msg *msg = msg_new(topic, (size_t)(prefix + len), record->payload, record->payload_len);
    if (!msg)
        return NULL;
    msg->qos = 1;
    msg->born = loop_now(stream_loop(stream));
    return msg;
}

/* False when there is no memory for it. */
static bool ship(struct stream *stream)
{
    struct outlet *outlet = stream->outlet;
    const struct seglog_record *record = &stream->read.records[stream->read_at];
    cleanup(msg_unref_p) struct msg *msg = message_of(stream, record);
    if (!msg)
        return false;
    struct shipment *shipment = list_entry(list_pop(&outlet->idle), struct shipment, link);
    receipt_init(&shipment->receipt, on_settled);
    shipment->stream = stream;
    shipment->seq = record->seq;
    shipment->gap = stream->gap;
    shipment->gap.unused += record->unused;
    shipment->gap.missing += record->seq - stream->sent - record->unused;
    stream->gap = (struct ledger_gaps){0};
    shipment->state = SHIPMENT_SENT;
    list_append(&stream->under_way, &shipment->link);
    stream->under_way_count++;
    stream->unsettled++;
    stream->sent = record->seq + 1;
    stream->read_at++;
    bus_publish(stream->streams->bus, msg, &shipment->receipt);
    return true;
}

static bool is_ready(const struct stream *stream)
{
    return !stream->failed && !stream->passed && !stream->deleting && !timer_is_running(&stream->retry) &&
           stream->sent < seglog_next(stream->log);
}

static void on_pump(struct task *task)
{
    struct outlet *outlet = container_of(task, struct outlet, pump);
    for (size_t i = 0; i < outlet->user_count; i++)
        outlet->candidates[i].priority = (unsigned)outlet->users[i]->definition.priority;
    while (outlet->up && !list_is_empty(&outlet->idle)) {
        for (size_t i = 0; i < outlet->user_count; i++)
            outlet->candidates[i].ready = is_ready(outlet->users[i]);
        struct schedule schedule = outlet->schedule;
        int next = schedule_next(&schedule, outlet->candidates, outlet->user_count);
        if (next < 0)
            return;
        struct stream *stream = outlet->users[next];
        if (!has_record(stream)) {
            read_ahead(stream);
            return;
        }
        if (ship(stream))
            outlet->schedule = schedule;
        else
            pause_and_retry(stream);
    }
}

/* ---- the uplink's status ----------------------------------------------------------------------------------------- */

static bool says_up(const struct msg *msg)
{
    struct arena arena = {0};
    struct json *status;
    bool up = msg->payload_len <= 4096 &&
              json_parse(&status, &arena, (const char *)msg->payload, msg->payload_len, NULL) == 0 &&
              json_text_is(json_get(status, "state"), "up");
    arena_done(&arena);
    return up;
}

static void on_status(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct outlet *outlet = container_of(subscriber, struct outlet, status);
    if (msg->origin) /* not the house's word */
        return;
    bool was_up = outlet->up;
    outlet->up = says_up(msg);
    if (!outlet->up || was_up)
        return;
    for (size_t i = 0; i < outlet->user_count; i++) {
        struct stream *stream = outlet->users[i];
        timer_stop(stream_loop(stream), &stream->retry);
        backoff_reset(&stream->backoff);
    }
    outlet_wake(outlet);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void outlet_init(struct outlet *outlet, struct streams *streams, const char *name)
{
    outlet->streams = streams;
    outlet->name = str_copy(name);
    outlet->pump.run = on_pump;
    list_init(&outlet->idle);
    for (size_t i = 0; i < STREAM_WINDOW; i++)
        list_append(&outlet->idle, &outlet->shipments[i].link);
    outlet->status.deliver = on_status;
    cleanup_free char *topic = str_printf(TOPIC_STATUS_CLOUD_FORMAT, name);
    bus_subscribe_to(streams->bus, &outlet->status_subscription, &outlet->status, topic);
}

void outlet_done(struct outlet *outlet)
{
    bus_unsubscribe(outlet->streams->bus, &outlet->status_subscription);
    loop_forget(&outlet->pump);
    free(outlet->name);
    free(outlet->users);
    free(outlet->candidates);
}

void stream_export_init(struct stream *stream, struct outlet *outlet)
{
    stream->outlet = outlet;
    stream->retry.fire = on_retry;
    stream->backoff = (struct backoff){.min = PAUSE_MIN, .max = PAUSE_MAX};
    size_t count = outlet->user_count + 1;
    struct stream **users = realloc(outlet->users, count * sizeof(struct stream *));
    struct schedule_stream *candidates = realloc(outlet->candidates, count * sizeof *candidates);
    if (!users || !candidates)
        abort();
    outlet->users = users;
    outlet->candidates = candidates;
    outlet->users[outlet->user_count++] = stream;
}

void stream_export_done(struct stream *stream)
{
    struct outlet *outlet = stream->outlet;
    timer_stop(stream_loop(stream), &stream->retry);
    seglog_read_done(&stream->read);
    for (size_t i = 0; i < outlet->user_count; i++)
        if (outlet->users[i] == stream) {
            outlet->users[i] = outlet->users[--outlet->user_count];
            break;
        }
    outlet->schedule = (struct schedule){0};
}
