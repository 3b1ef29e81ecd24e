/* What an exporter says of itself, and first of all: why nothing moves now, and until when. Nothing here changes anything. */
#include "services/streams/stream.h"

#include <inttypes.h>

struct waiting {
    const char *why;
    int64_t until; /* wall time; 0: something has to happen */
};

static int64_t wall_of(const struct stream *stream, int64_t at)
{
    struct loop *loop = stream_loop(stream);
    return at == INT64_MAX ? 0 : loop_wall(loop) + at - loop_now(loop);
}

/* What the scheduler would say if this lane were alone. */
static struct waiting ask_schedule(struct lane *lane)
{
    struct outlet *outlet = lane->exporter->outlet;
    lane_describe(lane);
    struct schedule_lane *const slots[] = {&lane->slot};
    struct schedule_turn turn = schedule_next(&outlet->schedule, slots, 1, outlet_time(outlet));
    if (turn.lane < 0)
        return (struct waiting){schedule_why_text(turn.why), wall_of(lane->exporter->stream, turn.at)};
    if (!outlet_has_room(outlet))
        return (struct waiting){.why = "the uplink's acknowledgements: no more may be under way"};
    return (struct waiting){.why = "its turn"};
}

static struct waiting lane_waits(struct lane *lane)
{
    const struct stream *stream = lane->exporter->stream;
    if (timer_is_running(&lane->retry))
        return (struct waiting){"its pause after a failure", wall_of(stream, lane->retry_at)};
    if (lane->failed || lane->passed)
        return (struct waiting){.why = "what is under way, before it is sent again"};
    if (lane->sent == lane_end(lane) && lane->under_way_count) {
        const struct shipment *oldest = list_entry(lane->under_way.next, struct shipment, link);
        return (struct waiting){.why = oldest->state == SHIPMENT_REFUSED || oldest->state == SHIPMENT_BURYING
                                           ? "a dead letter to be written"
                                           : "the uplink's acknowledgements"};
    }
    return lane->sent < lane_end(lane) ? ask_schedule(lane) : (struct waiting){0};
}

static struct waiting exporter_waits(const struct exporter *exporter, struct arena *arena)
{
    const struct outlet *outlet = exporter->outlet;
    if (!exporter_pending(exporter))
        return (struct waiting){0};
    if (exporter->paused)
        return (struct waiting){.why = "somebody to resume it: it is paused"};
    if (!outlet->up)
        return (struct waiting){.why = arena_printf(arena, "the link: the uplink is %s%s%s",
                                                    outlet->state ? outlet->state : "not there",
                                                    outlet->reason ? ": " : "",
                                                    outlet->reason ? outlet->reason : "")};
    struct waiting waiting = lane_waits(exporter->main);
    if (!waiting.why && exporter->live)
        waiting = lane_waits(exporter->live);
    return waiting;
}

static void put_time(struct json_writer *w, const char *key, int64_t wall)
{
    json_key(w, key);
    if (wall)
        json_put_int(w, wall);
    else
        json_put_null(w);
}

static uint64_t throttled_ms(const struct exporter *exporter)
{
    int64_t now = loop_now(stream_loop(exporter->stream));
    int64_t since = exporter->throttled_since;
    return (uint64_t)(exporter->throttled_ms + (since ? now - since : 0));
}

void exporter_put(struct json_writer *w, const struct exporter *exporter)
{
    struct waiting waiting = exporter_waits(exporter, w->arena);
    const struct ledger books = exporter_books(exporter);
    json_begin_object(w);
    json_key(w, "uplink");
    json_put_string(w, exporter->outlet->name);
    json_key(w, "paused");
    json_put_bool(w, exporter->paused);
    stream_put_number(w, "cursor", exporter->place.ledger.next);
    json_key(w, "live");
    if (exporter->live)
        json_put_uint(w, exporter->ahead.ledger.next);
    else
        json_put_null(w);
    stream_put_number(w, "pending", exporter_pending(exporter));
    stream_put_number(w, "underWay", exporter_under_way(exporter));
    stream_put_number(w, "deadLettered", books.dead);
    stream_put_number(w, "retries", exporter->retries);
    stream_put_number(w, "sentBytes", exporter->sent_bytes);
    stream_put_number(w, "dayBytes", exporter->flow.day.bytes);
    stream_put_number(w, "throttledMs", throttled_ms(exporter));
    put_time(w, "attempted", exporter->attempted);
    put_time(w, "succeeded", exporter->succeeded);
    put_time(w, "failed", exporter->failed);
    json_key(w, "error");
    json_put_string(w, exporter->error);
    json_key(w, "waitsFor");
    json_put_string(w, waiting.why);
    put_time(w, "until", waiting.why ? waiting.until : 0);
    json_end_object(w);
}
