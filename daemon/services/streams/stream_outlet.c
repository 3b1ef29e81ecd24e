/* An uplink as streams see it: whether it is up, how much may be under way to it, and whose record goes next.
 *
 * An outlet has so many shipments as its window has room, and so many bytes of them as the link carries in a moment
 * (link_window.h): what is behind them in line would hold up what is more urgent. While there is room and the uplink is up, the scheduler says whose
 * turn it is. If that lane has yet to read, everybody waits for the read: a turn that went to a lower priority meanwhile would
 * be one in every read, not its share.
 */
#include "services/streams/stream.h"

#include "base/json.h"
#include "bus/topics.h"

#include <string.h>
#include <time.h>

enum {
    UNDER_WAY_BYTES_MAX = 8 * 1024 * 1024, /* at once; one record whatever its size */
    LOOK_EVERY = 10 * 60 * 1000, /* whoever waits for a time of day, whose clock may be set meanwhile */
};

void outlet_wake(struct outlet *outlet)
{
    if (outlet->up && !outlet->streams->closing)
        loop_at(bus_loop(outlet->streams->bus), LOOP_ROUTE, &outlet->pump);
}

/* ---- shipments --------------------------------------------------------------------------------------------------- */

struct shipment *outlet_take(struct outlet *outlet)
{
    outlet->under_way++;
    if (list_is_empty(&outlet->idle))
        return mem_new(struct shipment);
    return list_entry(list_pop(&outlet->idle), struct shipment, link);
}

void outlet_give(struct outlet *outlet, struct shipment *shipment)
{
    shipment->msg = msg_unref(shipment->msg);
    outlet->bytes -= shipment->bytes;
    outlet->under_way--;
    list_append(&outlet->idle, &shipment->link);
}

bool outlet_has_room(const struct outlet *outlet)
{
    return outlet->under_way < outlet->window && outlet->bytes < UNDER_WAY_BYTES_MAX &&
           link_window_has_room(&outlet->line);
}

/* ---- whose turn -------------------------------------------------------------------------------------------------- */

struct schedule_time outlet_time(const struct outlet *outlet)
{
    struct loop *loop = bus_loop(outlet->streams->bus);
    struct schedule_time time = {.now = loop_now(loop), .local = SCHEDULE_NO_CLOCK};
    int64_t wall = loop_wall(loop);
    time_t seconds = (time_t)(wall / 1000);
    struct tm local;
    if (clock_was_set(wall) && localtime_r(&seconds, &local))
        time.local = wall + local.tm_gmtoff * 1000;
    return time;
}

void lane_describe(struct lane *lane)
{
    const struct exporter *exporter = lane->exporter;
    const struct seglog_record *record = lane_record(lane);
    struct schedule_lane *slot = &lane->slot;
    bool waits = lane->reader && lane->sent < lane_end(lane);
    slot->ready = !exporter->paused && lane_is_ready(lane);
    slot->cost = 0;
    slot->age = 0;
    if (record) {
        lane->next.sent = lane->sent;
        lane->next.topic_len = record->topic_len;
        lane->next.payload_len = record->payload_len;
        lane->next.wall = record->wall;
    }
    /* Forgotten again for want of memory, it still is the next one. */
    bool is_known = record || (waits && lane->next.topic_len && lane->next.sent == lane->sent);
    if (is_known) {
        int64_t wall = loop_wall(stream_loop(exporter->stream));
        slot->cost =
            schedule_cost(&exporter->outlet->schedule.link, lane->next.topic_len, lane->next.payload_len);
        slot->age = wall > lane->next.wall ? wall - lane->next.wall : 0;
    }
    if (is_known || !waits)
        slot->backlog = (exporter->live && lane == exporter->main) ||
                        schedule_is_backlog(slot->backlog, waits, slot->age);
}

void outlet_describe(struct outlet *outlet)
{
    for (size_t i = 0; i < outlet->lane_count; i++)
        lane_describe(outlet->lanes[i]);
}

/* Nobody's turn, for a limit: who could send is held up by it. */
static void count_throttled(struct outlet *outlet, bool is_throttled)
{
    int64_t now = loop_now(bus_loop(outlet->streams->bus));
    for (size_t i = 0; i < outlet->lane_count; i++) {
        struct exporter *exporter = outlet->lanes[i]->exporter;
        if (exporter->throttled_since) {
            exporter->throttled_ms += now - exporter->throttled_since;
            exporter->throttled_since = 0;
        }
    }
    for (size_t i = 0; i < outlet->lane_count && is_throttled; i++)
        if (outlet->lanes[i]->slot.ready)
            outlet->lanes[i]->exporter->throttled_since = now;
}

static void wait(struct outlet *outlet, const struct schedule_turn *turn, int64_t now)
{
    count_throttled(outlet, turn->why != SCHEDULE_IDLE);
    if (turn->at == INT64_MAX)
        return;
    if (turn->why == SCHEDULE_WAITS_FOR_DAY)
        allowances_changed(outlet->streams); /* nothing that moves would have it stored */
    int64_t left = turn->at > now ? turn->at - now : 0;
    timer_start(bus_loop(outlet->streams->bus), &outlet->again, left < LOOK_EVERY ? left : LOOK_EVERY);
}

static void pump(struct outlet *outlet)
{
    struct schedule_time time = outlet_time(outlet);
    timer_stop(bus_loop(outlet->streams->bus), &outlet->again);
    allowances_date(outlet);
    outlet_describe(outlet);
    while (outlet->up && outlet_has_room(outlet)) {
        struct schedule_turn turn = schedule_next(
            &outlet->schedule, (struct schedule_lane *const *)outlet->slots, outlet->lane_count, time);
        if (turn.lane < 0) {
            wait(outlet, &turn, time.now);
            return;
        }
        struct lane *lane = outlet->lanes[turn.lane];
        if (!lane_record(lane)) {
            lane_read(lane);
            break;
        }
        if (lane_ship(lane))
            schedule_sent(&outlet->schedule, &turn, &lane->slot, time);
        else
            lane_pause(lane);
        exporter_consider_split(lane->exporter);
        lane_describe(lane);
    }
    count_throttled(outlet, false);
}

static void on_pump(struct task *task)
{
    struct outlet *outlet = container_of(task, struct outlet, pump);
    pump(outlet);
    for (size_t i = 0; i < outlet->lane_count; i++)
        outlet->lanes[i]->fresh = false;
}

static void on_again(struct timer *timer)
{
    outlet_wake(container_of(timer, struct outlet, again));
}

void outlet_limit(struct outlet *outlet, const struct schedule_link *link)
{
    schedule_configure(&outlet->schedule, link, loop_now(bus_loop(outlet->streams->bus)));
    outlet_wake(outlet);
}

/* ---- the uplink's status ----------------------------------------------------------------------------------------- */

static void take(char **into, const struct json *text, struct arena *arena)
{
    const char *found;
    free(*into);
    *into = text && json_text(text, arena, &found) ? str_copy(found) : NULL;
}

static void take_status(struct outlet *outlet, const struct msg *msg)
{
    struct arena arena = {0};
    struct json *status = NULL;
    int64_t window = STREAM_WINDOW;
    if (msg->payload_len > 4096 ||
        json_parse(&status, &arena, (const char *)msg->payload, msg->payload_len, NULL) != 0)
        status = NULL;
    take(&outlet->state, json_get(status, "state"), &arena);
    take(&outlet->reason, json_get(status, "reason"), &arena);
    (void)json_int(json_get(status, "window"), 1, STREAM_WINDOW_MAX, &window);
    outlet->window = (size_t)window;
    /* probing: it was down, and what comes now shows whether it still is. */
    outlet->up = outlet->state && (strcmp(outlet->state, "up") == 0 || strcmp(outlet->state, "probing") == 0);
    arena_done(&arena);
}

static void on_status(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct outlet *outlet = container_of(subscriber, struct outlet, status);
    if (msg->origin) /* not the house's word */
        return;
    bool was_up = outlet->up;
    take_status(outlet, msg);
    for (size_t i = 0; i < outlet->lane_count && !outlet->up; i++)
        if (!outlet->lanes[i]->reading)
            lane_forget_read(outlet->lanes[i]);
    if (outlet->up && !was_up)
        for (size_t i = 0; i < outlet->lane_count; i++) {
            struct lane *lane = outlet->lanes[i];
            timer_stop(bus_loop(outlet->streams->bus), &lane->retry);
            backoff_reset(&lane->backoff);
        }
    if (outlet->up && !was_up)
        link_window_init(&outlet->line, UNDER_WAY_BYTES_MAX, loop_now(bus_loop(outlet->streams->bus)));
    outlet_wake(outlet);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

struct outlet *outlet_of(struct streams *streams, const char *name)
{
    for (size_t i = 0; i < streams->outlet_count; i++)
        if (strcmp(streams->outlets[i]->name, name) == 0)
            return streams->outlets[i];
    struct outlet **grown = realloc(streams->outlets, (streams->outlet_count + 1) * sizeof(struct outlet *));
    if (!grown)
        abort();
    struct outlet *outlet = mem_new(struct outlet);
    streams->outlets = grown;
    streams->outlets[streams->outlet_count++] = outlet;
    outlet->streams = streams;
    outlet->name = str_copy(name);
    outlet->window = STREAM_WINDOW;
    outlet->pump.run = on_pump;
    outlet->again.fire = on_again;
    schedule_init(&outlet->schedule, &(struct schedule_link){0}, loop_now(bus_loop(streams->bus)));
    list_init(&outlet->idle);
    outlet->status.deliver = on_status;
    cleanup_free char *topic = str_printf(TOPIC_STATUS_CLOUD_FORMAT, name);
    bus_subscribe_to(streams->bus, &outlet->status_subscription, &outlet->status, topic);
    return outlet;
}

void outlet_free(struct outlet *outlet)
{
    bus_unsubscribe(outlet->streams->bus, &outlet->status_subscription);
    loop_forget(&outlet->pump);
    timer_stop(bus_loop(outlet->streams->bus), &outlet->again);
    while (!list_is_empty(&outlet->idle))
        free(list_entry(list_pop(&outlet->idle), struct shipment, link));
    free(outlet->name);
    free(outlet->state);
    free(outlet->reason);
    free(outlet->lanes);
    free(outlet->slots);
    free(outlet);
}

void outlet_add(struct outlet *outlet, struct lane *lane)
{
    size_t count = outlet->lane_count + 1;
    struct lane **lanes = realloc(outlet->lanes, count * sizeof(struct lane *));
    struct schedule_lane **slots = realloc(outlet->slots, count * sizeof(struct schedule_lane *));
    if (!lanes || !slots)
        abort();
    outlet->lanes = lanes;
    outlet->slots = slots;
    outlet->slots[outlet->lane_count] = &lane->slot;
    outlet->lanes[outlet->lane_count++] = lane;
}

void outlet_remove(struct outlet *outlet, struct lane *lane)
{
    size_t i = 0;
    while (outlet->lanes[i] != lane)
        i++;
    size_t left = --outlet->lane_count - i;
    memmove(&outlet->lanes[i], &outlet->lanes[i + 1], left * sizeof(struct lane *));
    memmove(&outlet->slots[i], &outlet->slots[i + 1], left * sizeof(struct schedule_lane *));
}
