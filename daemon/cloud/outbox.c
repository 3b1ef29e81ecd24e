#include "cloud/outbox.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
    WAITING_MAX = 2000,
    WAITING_BYTES_MAX = 16 * 1024 * 1024,
    RECORD_COST = 64,
    WINDOW_MIN = 64,
    WINDOW_MAX = 1000
};
enum { NOT_WANTED = 0x99, TOO_LARGE = 0x95 };

size_t outbox_item_bytes(const struct outbox_item *item)
{
    return strlen(item->publish.topic) + item->publish.msg->payload_len + RECORD_COST;
}

static void wake(struct outbox *outbox)
{
    loop_at(outbox->loop, LOOP_HAND_OVER, &outbox->pump);
}

/* ---- items and batches ------------------------------------------------------------------------------------------- */

static void settle(struct outbox_item *item, int r, const char *reason)
{
    list_remove(&item->place);
    item->publish.done(&item->publish, r, reason);
}

static struct outbox_batch *batch_new(void)
{
    struct outbox_batch *batch = mem_new(struct outbox_batch);
    list_init(&batch->items);
    return batch;
}

static void batch_add(struct outbox_batch *batch, struct outbox_item *item)
{
    list_remove(&item->place);
    list_append(&batch->items, &item->place);
    batch->count++;
    batch->bytes += outbox_item_bytes(item);
}

/* Frees it; its items are done. */
static void batch_settle(struct outbox_batch *batch, int r, const char *reason)
{
    list_for_each_safe (at, &batch->items)
        settle(list_entry(at, struct outbox_item, place), r, reason);
    free(batch);
}

static struct outbox_item *first_waiting(const struct outbox *outbox)
{
    return list_is_empty(&outbox->waiting) ? NULL
                                           : list_entry(outbox->waiting.next, struct outbox_item, place);
}

static struct outbox_batch *batch_from_waiting(struct outbox *outbox)
{
    struct outbox_batch *batch = batch_new();
    struct outbox_item *first = first_waiting(outbox), *item;
    size_t limit = size_min(outbox->options.bytes, outbox->bytes_limit);
    while ((item = first_waiting(outbox)) && batch->count < outbox->options.records) {
        size_t bytes = outbox_item_bytes(item);
        if (batch->count && batch->bytes + bytes > limit)
            break;
        if (item != first && outbox->carrier->fit && !outbox->carrier->fit(outbox, first, item))
            break;
        outbox->waiting_count--;
        outbox->waiting_bytes -= bytes;
        batch_add(batch, item);
    }
    return batch;
}

/* The first half becomes a batch of its own, before the second. */
static void halve(struct outbox *outbox, struct outbox_batch *batch)
{
    struct outbox_batch *first = batch_new();
    unsigned half = batch->count / 2;
    while (first->count < half)
        batch_add(first, list_entry(batch->items.next, struct outbox_item, place));
    batch->count -= first->count;
    batch->bytes -= first->bytes;
    list_prepend(&outbox->ready, &batch->place);
    list_prepend(&outbox->ready, &first->place);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static bool is_full(const struct outbox *outbox)
{
    return outbox->waiting_count >= outbox->options.records ||
           outbox->waiting_bytes >= size_min(outbox->options.bytes, outbox->bytes_limit);
}

static struct outbox_batch *next_ready(struct outbox *outbox)
{
    struct outbox_batch *batch;
    for (;;) {
        batch = list_entry(list_pop(&outbox->ready), struct outbox_batch, place);
        if (batch->count == 1 ||
            batch->bytes <= outbox->bytes_limit) /* what is known now may not have been then */
            return batch;
        halve(outbox, batch);
    }
}

static struct outbox_batch *next_batch(struct outbox *outbox)
{
    if (!list_is_empty(&outbox->ready))
        return next_ready(outbox);
    if (list_is_empty(&outbox->waiting))
        return NULL;
    if (!is_full(outbox) && !outbox->due && outbox->options.interval) {
        if (!timer_is_running(&outbox->interval))
            timer_start(outbox->loop, &outbox->interval, outbox->options.interval);
        return NULL;
    }
    struct outbox_batch *batch = batch_from_waiting(outbox);
    timer_stop(outbox->loop, &outbox->interval);
    outbox->due = false;
    return batch;
}

static void on_pump(struct task *task)
{
    struct outbox *outbox = container_of(task, struct outbox, pump);
    for (unsigned lane = 0; lane < outbox->options.lanes; lane++) {
        if (outbox->lanes[lane])
            continue;
        if ((outbox->state != OUTBOX_UP && outbox->state != OUTBOX_PROBING) ||
            timer_is_running(&outbox->pause))
            return;
        struct outbox_batch *batch = next_batch(outbox);
        if (!batch)
            return;
        batch->epoch = outbox->epoch;
        outbox->lanes[lane] = batch;
        outbox->carrier->carry(outbox, lane, batch);
        if (outbox->state == OUTBOX_PROBING) /* one is enough to see */
            return;
    }
}

static void on_interval(struct timer *timer)
{
    struct outbox *outbox = container_of(timer, struct outbox, interval);
    outbox->due = true;
    wake(outbox);
}

int outbox_publish(struct outbox *outbox, struct outbox_item *item)
{
    size_t bytes = outbox_item_bytes(item);
    if (outbox->state != OUTBOX_UP && outbox->state != OUTBOX_PROBING)
        return -ENOTCONN;
    if (outbox->waiting_count >= WAITING_MAX ||
        (outbox->waiting_count && outbox->waiting_bytes + bytes > WAITING_BYTES_MAX))
        return -ENOBUFS;
    list_append(&outbox->waiting, &item->place);
    outbox->waiting_count++;
    outbox->waiting_bytes += bytes;
    wake(outbox);
    return 0;
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

/* Everything that is not with the carrier, oldest first. */
static void settle_rest(struct outbox *outbox, struct outbox_batch *failed, const char *reason)
{
    struct list batches, items;
    list_init(&batches), list_init(&items);
    list_splice(&batches, &outbox->ready);
    list_splice(&items, &outbox->waiting);
    outbox->waiting_count = outbox->waiting_bytes = 0;
    timer_stop(outbox->loop, &outbox->interval);
    outbox->due = false;
    if (failed)
        batch_settle(failed, -ENOTCONN, reason);
    for (struct list *at; (at = list_pop(&batches));)
        batch_settle(list_entry(at, struct outbox_batch, place), -ENOTCONN, reason);
    list_for_each_safe (at, &items)
        settle(list_entry(at, struct outbox_item, place), -ENOTCONN, reason);
}

static int64_t pause_of(struct outbox *outbox, const struct outbox_answer *answer, bool stuck)
{
    int64_t pause = backoff_pause(&outbox->backoff, backoff_random());
    if (stuck && pause < outbox->options.pause_max / 2)
        pause = outbox->options.pause_max / 2;
    return pause < answer->pause ? answer->pause : pause;
}

static void fail(struct outbox *outbox, struct outbox_batch *batch, const struct outbox_answer *answer,
                 bool stuck)
{
    outbox->epoch++;
    outbox->state = OUTBOX_DOWN;
    timer_start(outbox->loop, &outbox->pause, pause_of(outbox, answer, stuck));
    outbox->events.on_down(outbox->self, answer->reason);
    settle_rest(outbox, batch, answer->reason);
}

static void on_pause_over(struct timer *timer)
{
    struct outbox *outbox = container_of(timer, struct outbox, pause);
    if (outbox->state == OUTBOX_DOWN) {
        outbox->state = OUTBOX_PROBING;
        outbox->events.on_probe(outbox->self);
    }
    wake(outbox);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static void succeed(struct outbox *outbox, const struct outbox_batch *batch)
{
    if (batch->epoch != outbox->epoch)
        return;
    backoff_reset(&outbox->backoff);
    if (outbox->state != OUTBOX_PROBING)
        return;
    outbox->state = OUTBOX_UP;
    outbox->events.on_up(outbox->self);
}

static void refuse(struct outbox *outbox, struct outbox_batch *batch, const struct outbox_answer *answer)
{
    succeed(outbox, batch); /* it answers, and others may be wanted */
    bool too_large = answer->verdict == OUTBOX_TOO_LARGE;
    if (batch->count == 1) {
        batch_settle(batch, too_large ? TOO_LARGE : NOT_WANTED, answer->reason);
        return;
    }
    if (too_large)
        outbox->bytes_limit = size_min(outbox->bytes_limit, batch->bytes / 2);
    if (outbox->state == OUTBOX_UP)
        halve(outbox, batch);
    else
        batch_settle(batch, -ENOTCONN, answer->reason);
}

/* A part was taken, or refused: the rest is sent again, before all else. */
static void settle_each(struct outbox *outbox, struct outbox_batch *batch, const struct outbox_answer *answer)
{
    struct outbox_batch *rest = batch_new();
    unsigned count = batch->count, stuck = 0;
    bool current = batch->epoch == outbox->epoch;
    list_for_each (at, &batch->items) {
        enum outbox_verdict verdict = list_entry(at, struct outbox_item, place)->verdict;
        rest->count += verdict == OUTBOX_AGAIN || verdict == OUTBOX_STUCK;
        stuck += verdict == OUTBOX_STUCK;
    }
    bool progress = rest->count < count;
    rest->count = 0;
    if (progress)
        succeed(outbox, batch);
    list_for_each_safe (at, &batch->items) {
        struct outbox_item *item = list_entry(at, struct outbox_item, place);
        switch (item->verdict) {
        case OUTBOX_TAKEN: settle(item, 0, NULL); break;
        case OUTBOX_NEVER: settle(item, NOT_WANTED, answer->reason); break;
        case OUTBOX_TOO_LARGE: settle(item, TOO_LARGE, answer->reason); break;
        case OUTBOX_AGAIN:
        case OUTBOX_STUCK:
        case OUTBOX_EACH: batch_add(rest, item); break;
        }
    }
    free(batch);
    if (!rest->count) {
        free(rest);
    } else if (outbox->state == OUTBOX_UP && progress) {
        list_prepend(&outbox->ready, &rest->place);
        int64_t pause = outbox->options.pause_min;
        timer_start(outbox->loop, &outbox->pause, answer->pause > pause ? answer->pause : pause);
    } else if (current && outbox->state != OUTBOX_OFF) {
        fail(outbox, rest, answer, stuck > 0);
    } else {
        batch_settle(rest, -ENOTCONN, answer->reason);
    }
}

void outbox_answered(struct outbox *outbox, unsigned lane, const struct outbox_answer *answer)
{
    struct outbox_batch *batch = outbox->lanes[lane];
    assert(batch);
    outbox->lanes[lane] = NULL;
    switch (answer->verdict) {
    case OUTBOX_TAKEN:
        succeed(outbox, batch);
        batch_settle(batch, 0, NULL);
        break;
    case OUTBOX_AGAIN:
    case OUTBOX_STUCK:
        if (batch->epoch == outbox->epoch)
            fail(outbox, batch, answer, answer->verdict == OUTBOX_STUCK);
        else /* stopped, or another lane has said so before; and whatever is tried since, this says nothing of it */
            batch_settle(batch, -ENOTCONN, answer->reason);
        break;
    case OUTBOX_NEVER:
    case OUTBOX_TOO_LARGE: refuse(outbox, batch, answer); break;
    case OUTBOX_EACH: settle_each(outbox, batch, answer); break;
    }
    wake(outbox);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void outbox_init(struct outbox *outbox, struct loop *loop, const struct outbox_options *options,
                 const struct outbox_carrier *carrier, const struct link_events *events, void *self)
{
    *outbox = (struct outbox){.loop = loop,
                              .carrier = carrier,
                              .events = *events,
                              .self = self,
                              .options = *options,
                              .bytes_limit = SIZE_MAX,
                              .backoff = {.min = options->pause_min, .max = options->pause_max}};
    if (!outbox->options.records)
        outbox->options.records = 1;
    assert(options->lanes >= 1 && options->lanes <= OUTBOX_LANES_MAX);
    outbox->interval.fire = on_interval;
    outbox->pause.fire = on_pause_over;
    outbox->pump.run = on_pump;
    list_init(&outbox->waiting);
    list_init(&outbox->ready);
}

void outbox_done(struct outbox *outbox)
{
    assert(outbox->state == OUTBOX_OFF);
    loop_forget(&outbox->pump);
}

void outbox_start(struct outbox *outbox)
{
    if (outbox->state == OUTBOX_UP)
        return;
    bool first = outbox->state == OUTBOX_OFF;
    backoff_reset(&outbox->backoff);
    timer_stop(outbox->loop, &outbox->pause);
    outbox->bytes_limit = SIZE_MAX;
    outbox->state = first ? OUTBOX_UP : OUTBOX_PROBING;
    if (first) /* nothing is known against it */
        outbox->events.on_up(outbox->self);
    else
        outbox->events.on_probe(outbox->self);
    wake(outbox);
}

void outbox_stop(struct outbox *outbox)
{
    if (outbox->state == OUTBOX_OFF)
        return;
    outbox->state = OUTBOX_OFF;
    outbox->epoch++;
    timer_stop(outbox->loop, &outbox->pause);
    for (unsigned lane = 0; lane < outbox->options.lanes; lane++)
        if (outbox->lanes[lane] && outbox->carrier->abort)
            outbox->carrier->abort(outbox, lane);
    settle_rest(outbox, NULL, "the uplink was stopped");
}

bool outbox_is_up(const struct outbox *outbox)
{
    return outbox->state == OUTBOX_UP;
}

unsigned outbox_window(const struct outbox *outbox)
{
    unsigned window = 2 * outbox->options.lanes * outbox->options.records;
    return window < WINDOW_MIN ? WINDOW_MIN : window > WINDOW_MAX ? WINDOW_MAX : window;
}
