/* Batches, answers, pauses: with a carrier that does as the test says. */
#include "cloud/outbox.h"

#include "rig/test.h"

#include <errno.h>
#include <stdio.h>

enum { ITEMS = 600, UNSETTLED = INT32_MIN, NOT_WANTED = 0x99, TOO_LARGE = 0x95 };

struct letter {
    struct outbox_item item;
    struct desk *desk;
    unsigned number;
};

struct desk {
    struct clock clock;
    struct loop *loop;
    struct outbox outbox;
    char said[256]; /* events: "up down(reason) probe " */
    char log[4096]; /* batches carried: "0-3 4 " by the letters' numbers */
    struct outbox_batch *carried[OUTBOX_LANES_MAX];
    unsigned aborted;
    struct letter letters[ITEMS];
    unsigned count;
    int settled[ITEMS];
    char order[8192]; /* of settling */
};

static struct desk *desk;

static void note(char *text, size_t size, const char *what)
{
    size_t len = strlen(text);
    (void)snprintf(text + len, size - len, "%s", what);
}

static void on_up(void *self)
{
    (void)self;
    note(desk->said, sizeof desk->said, "up ");
}

static void on_down(void *self, const char *reason)
{
    (void)self;
    note(desk->said, sizeof desk->said, "down(");
    note(desk->said, sizeof desk->said, reason);
    note(desk->said, sizeof desk->said, ") ");
}

static void on_probe(void *self)
{
    (void)self;
    note(desk->said, sizeof desk->said, "probe ");
}

static unsigned number_of(struct list *place)
{
    return container_of(list_entry(place, struct outbox_item, place), struct letter, item)->number;
}

static void carry(struct outbox *outbox, unsigned lane, struct outbox_batch *batch)
{
    (void)outbox;
    char text[32];
    unsigned first = number_of(batch->items.next), last = number_of(batch->items.prev);
    (void)snprintf(text, sizeof text, batch->count > 1 ? "%u-%u " : "%u ", first, last);
    note(desk->log, sizeof desk->log, text);
    CHECK(!desk->carried[lane]);
    desk->carried[lane] = batch;
}

static void abort_lane(struct outbox *outbox, unsigned lane)
{
    (void)outbox, (void)lane;
    desk->aborted++;
}

static bool fit(const struct outbox *outbox, const struct outbox_item *a, const struct outbox_item *b)
{
    (void)outbox;
    return a->publish.topic[0] == b->publish.topic[0];
}

static void on_settled(struct link_publish *publish, int r, const char *reason)
{
    (void)reason;
    struct letter *letter =
        container_of(container_of(publish, struct outbox_item, publish), struct letter, item);
    CHECK_INT(desk->settled[letter->number], UNSETTLED);
    desk->settled[letter->number] = r;
    char text[16];
    (void)snprintf(text, sizeof text, "%u ", letter->number);
    note(desk->order, sizeof desk->order, text);
    (void)msg_unref(publish->msg);
}

static void desk_open(struct outbox_options options)
{
    static const struct outbox_carrier carrier = {carry, abort_lane, fit};
    static const struct link_events events = {.on_up = on_up, .on_down = on_down, .on_probe = on_probe};
    desk = mem_new(struct desk);
    desk->clock.by_hand = true;
    CHECK_INT(loop_new(&desk->loop, &desk->clock), 0);
    if (!options.bytes)
        options.bytes = 1 << 20;
    if (!options.lanes)
        options.lanes = 1;
    options.pause_min = 1000;
    options.pause_max = 60000;
    outbox_init(&desk->outbox, desk->loop, &options, &carrier, &events, desk);
    outbox_start(&desk->outbox);
}

static void turn(void)
{
    for (int i = 0; i < 3; i++)
        CHECK(loop_turn(desk->loop, 0) >= 0);
}

static void pass(int64_t ms)
{
    clock_move(&desk->clock, ms);
    turn();
}

static int put_one(const char *topic, size_t len)
{
    static const char zeros[4096];
    struct letter *letter = &desk->letters[desk->count];
    letter->number = desk->count;
    letter->item.publish = (struct link_publish){
        .msg = msg_new(topic, strlen(topic), zeros, len), .topic = topic, .qos = 1, .done = on_settled};
    desk->settled[letter->number] = UNSETTLED;
    int r = outbox_publish(&desk->outbox, &letter->item);
    if (r < 0)
        (void)msg_unref(letter->item.publish.msg);
    else
        desk->count++;
    return r;
}

static void put(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        CHECK_INT(put_one("t", 1), 0);
    turn();
}

static void answer_with(unsigned lane, struct outbox_answer answer)
{
    CHECK(desk->carried[lane]);
    desk->carried[lane] = NULL;
    outbox_answered(&desk->outbox, lane, &answer);
    turn();
}

static void answer(enum outbox_verdict verdict)
{
    answer_with(0, (struct outbox_answer){verdict, verdict == OUTBOX_TAKEN ? NULL : "no", 0});
}

/* The verdicts of what is carried, a letter each: t again, a taken, n never. */
static void answer_each(const char *verdicts)
{
    list_for_each (at, &desk->carried[0]->items) {
        struct outbox_item *item = list_entry(at, struct outbox_item, place);
        item->verdict = *verdicts == 'a' ? OUTBOX_AGAIN : *verdicts == 'n' ? OUTBOX_NEVER : OUTBOX_TAKEN;
        verdicts++;
    }
    answer(OUTBOX_EACH);
}

static void desk_close(void)
{
    outbox_stop(&desk->outbox);
    for (unsigned lane = 0; lane < OUTBOX_LANES_MAX; lane++)
        if (desk->carried[lane])
            answer_with(lane, (struct outbox_answer){OUTBOX_AGAIN, "aborted", 0});
    outbox_done(&desk->outbox);
    desk->loop = loop_free(desk->loop);
    free(desk);
}

/* ---- batches ----------------------------------------------------------------------------------------------------- */

TEST(what_comes_in_one_turn_is_one_batch_and_what_comes_meanwhile_the_next)
{
    desk_open((struct outbox_options){.records = 10});
    put(3);
    put(4);
    CHECK_STR(desk->log, "0-2 ");
    answer(OUTBOX_TAKEN);
    CHECK_STR(desk->log, "0-2 3-6 ");
    answer(OUTBOX_TAKEN);
    CHECK_STR(desk->order, "0 1 2 3 4 5 6 ");
    CHECK_INT(desk->settled[6], 0);
    CHECK_STR(desk->said, "up ");
    desk_close();
}

TEST(a_batch_has_a_limit_in_records_and_one_in_bytes)
{
    desk_open((struct outbox_options){.records = 3, .bytes = 3000});
    put(5);
    answer(OUTBOX_TAKEN);
    answer(OUTBOX_TAKEN);
    for (int i = 0; i < 4; i++)
        CHECK_INT(put_one("t", 1400), 0);
    CHECK_INT(put_one("t", 4096), 0);
    turn();
    answer(OUTBOX_TAKEN);
    answer(OUTBOX_TAKEN);
    CHECK_STR(desk->log, "0-2 3-4 5-6 7-8 9 ");
    desk_close();
}

TEST(what_does_not_fit_together_is_in_batches_of_its_own)
{
    desk_open((struct outbox_options){.records = 10});
    CHECK_INT(put_one("a", 1), 0);
    CHECK_INT(put_one("a", 1), 0);
    CHECK_INT(put_one("b", 1), 0);
    CHECK_INT(put_one("a", 1), 0);
    turn();
    answer(OUTBOX_TAKEN);
    answer(OUTBOX_TAKEN);
    CHECK_STR(desk->log, "0-1 2 3 ");
    desk_close();
}

TEST(less_than_a_batch_waits_for_the_interval_and_a_full_one_does_not)
{
    desk_open((struct outbox_options){.records = 4, .interval = 500});
    put(2);
    pass(499);
    CHECK_STR(desk->log, "");
    pass(1);
    CHECK_STR(desk->log, "0-1 ");
    answer(OUTBOX_TAKEN);
    put(4);
    CHECK_STR(desk->log, "0-1 2-5 ");
    desk_close();
}

TEST(more_than_it_keeps_is_refused)
{
    enum { LARGE = 4096 };
    desk_open((struct outbox_options){.records = 1});
    put(1);
    for (int i = 2; i < ITEMS; i++)
        CHECK_INT(put_one("t", LARGE), 0);
    desk->outbox.waiting_bytes += 16 << 20; /* as if they were larger */
    CHECK_INT(put_one("t", 1), -ENOBUFS);
    desk->outbox.waiting_bytes -= 16 << 20;
    desk_close();
}

TEST(several_lanes_have_a_batch_each)
{
    desk_open((struct outbox_options){.records = 2, .lanes = 3});
    put(7);
    CHECK_STR(desk->log, "0-1 2-3 4-5 ");
    answer_with(1, (struct outbox_answer){OUTBOX_TAKEN, NULL, 0});
    CHECK_STR(desk->log, "0-1 2-3 4-5 6 ");
    desk_close();
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

TEST(a_refused_batch_is_halved_until_the_culprit_is_alone)
{
    enum { COUNT = 100, CULPRIT = 37 };
    desk_open((struct outbox_options){.records = COUNT});
    put(COUNT);
    unsigned requests = 0;
    while (desk->carried[0]) {
        unsigned first = number_of(desk->carried[0]->items.next),
                 last = number_of(desk->carried[0]->items.prev);
        answer(first <= CULPRIT && CULPRIT <= last ? OUTBOX_NEVER : OUTBOX_TAKEN);
        requests++;
    }
    CHECK(requests <= 16);
    for (unsigned i = 0; i < COUNT; i++)
        CHECK_INT(desk->settled[i], i == CULPRIT ? NOT_WANTED : 0);
    for (unsigned i = 0; i < COUNT; i++) {
        cleanup_free char *pair = str_printf("%u %u ", i, i + 1);
        CHECK(i + 1 == COUNT || strstr(desk->order, pair));
    }
    CHECK_STR(desk->said, "up ");
    desk_close();
}

TEST(several_culprits_are_all_found)
{
    desk_open((struct outbox_options){.records = 16});
    put(16);
    while (desk->carried[0]) {
        bool bad = false;
        list_for_each (at, &desk->carried[0]->items)
            bad |= number_of(at) % 5 == 0;
        answer(bad ? OUTBOX_NEVER : OUTBOX_TAKEN);
    }
    for (unsigned i = 0; i < 16; i++)
        CHECK_INT(desk->settled[i], i % 5 == 0 ? NOT_WANTED : 0);
    desk_close();
}

TEST(what_was_too_large_once_is_not_sent_in_that_size_again)
{
    desk_open((struct outbox_options){.records = 8});
    for (int i = 0; i < 16; i++)
        CHECK_INT(put_one("t", 1000), 0);
    turn();
    unsigned refused = 0;
    while (desk->carried[0]) {
        bool large = desk->carried[0]->bytes > 4 * 1100;
        refused += large;
        answer(large ? OUTBOX_TOO_LARGE : OUTBOX_TAKEN);
    }
    CHECK_INT(refused, 1);
    for (unsigned i = 0; i < 16; i++)
        CHECK_INT(desk->settled[i], 0);
    CHECK_INT(put_one("t", 4000), 0);
    turn();
    answer(OUTBOX_TOO_LARGE);
    CHECK_INT(desk->settled[16], TOO_LARGE);
    desk_close();
}

TEST(of_a_partial_success_only_the_rest_is_sent_again_and_after_a_pause)
{
    desk_open((struct outbox_options){.records = 10});
    put(6);
    put(1);
    answer_each("taatna");
    CHECK_STR(desk->order, "0 3 4 ");
    CHECK_INT(desk->settled[4], NOT_WANTED);
    CHECK_STR(desk->log, "0-5 ");
    pass(1000);
    CHECK_STR(desk->log, "0-5 1-5 ");
    answer_each("ttt");
    CHECK_STR(desk->log, "0-5 1-5 6 ");
    CHECK_STR(desk->said, "up ");
    desk_close();
}

TEST(a_partial_success_without_success_is_a_failure)
{
    desk_open((struct outbox_options){.records = 10});
    put(3);
    answer_each("aaa");
    CHECK_STR(desk->said, "up down(no) ");
    CHECK_INT(desk->settled[0], -ENOTCONN);
    CHECK_INT(desk->settled[2], -ENOTCONN);
    desk_close();
}

/* ---- down and up again ------------------------------------------------------------------------------------------- */

TEST(a_failure_is_told_before_everything_that_waits_is_given_back_in_order)
{
    desk_open((struct outbox_options){.records = 2});
    put(5);
    answer(OUTBOX_AGAIN);
    CHECK_STR(desk->said, "up down(no) ");
    CHECK_STR(desk->order, "0 1 2 3 4 ");
    for (unsigned i = 0; i < 5; i++)
        CHECK_INT(desk->settled[i], -ENOTCONN);
    CHECK_INT(put_one("t", 1), -ENOTCONN);
    desk_close();
}

TEST(after_the_pause_one_batch_is_tried_and_if_that_is_taken_all_others_follow)
{
    desk_open((struct outbox_options){.records = 2, .lanes = 2});
    put(1);
    answer(OUTBOX_AGAIN);
    pass(1000);
    CHECK_STR(desk->said, "up down(no) probe ");
    put(6);
    CHECK_STR(desk->log, "0 1-2 ");
    answer(OUTBOX_TAKEN);
    CHECK_STR(desk->said, "up down(no) probe up ");
    CHECK_STR(desk->log, "0 1-2 3-4 5-6 ");
    desk_close();
}

TEST(nothing_is_tried_while_there_is_nothing_to_send)
{
    desk_open((struct outbox_options){.records = 2});
    put(1);
    answer(OUTBOX_AGAIN);
    pass(1000);
    pass(3600 * 1000);
    CHECK_STR(desk->log, "0 ");
    CHECK_STR(desk->said, "up down(no) probe ");
    desk_close();
}

TEST(pauses_grow_and_a_success_makes_them_short_again)
{
    desk_open((struct outbox_options){.records = 2});
    for (int64_t pause = 1000; pause <= 8000; pause *= 2) {
        put(1);
        answer(OUTBOX_AGAIN);
        pass(pause / 2 - 1);
        CHECK_INT(desk->outbox.state, OUTBOX_DOWN);
        pass(pause / 2 + 1);
        CHECK_INT(desk->outbox.state, OUTBOX_PROBING);
    }
    put(1);
    answer(OUTBOX_TAKEN);
    put(1);
    answer(OUTBOX_AGAIN);
    pass(1000);
    CHECK_INT(desk->outbox.state, OUTBOX_PROBING);
    desk_close();
}

TEST(a_pause_is_at_least_what_was_asked_for)
{
    desk_open((struct outbox_options){.records = 2});
    put(1);
    answer_with(0, (struct outbox_answer){OUTBOX_AGAIN, "busy", 30000});
    pass(29999);
    CHECK_INT(desk->outbox.state, OUTBOX_DOWN);
    pass(1);
    CHECK_INT(desk->outbox.state, OUTBOX_PROBING);
    desk_close();
}

TEST(what_somebody_has_to_repair_is_tried_rarely)
{
    desk_open((struct outbox_options){.records = 2});
    put(1);
    answer(OUTBOX_STUCK);
    pass(29999);
    CHECK_INT(desk->outbox.state, OUTBOX_DOWN);
    outbox_start(&desk->outbox); /* and at once when somebody says so */
    CHECK_INT(desk->outbox.state, OUTBOX_PROBING);
    desk_close();
}

TEST(what_another_lane_sent_before_the_failure_proves_nothing)
{
    desk_open((struct outbox_options){.records = 1, .lanes = 2});
    put(2);
    answer(OUTBOX_AGAIN);
    answer_with(1, (struct outbox_answer){OUTBOX_TAKEN, NULL, 0});
    CHECK_INT(desk->settled[1], 0);
    CHECK_STR(desk->said, "up down(no) ");
    desk_close();
}

TEST(what_was_ended_by_stopping_says_nothing_of_what_was_started_since)
{
    desk_open((struct outbox_options){.records = 1});
    put(1);
    outbox_stop(&desk->outbox);
    outbox_start(&desk->outbox);
    answer(OUTBOX_AGAIN); /* aborted */
    CHECK_INT(desk->settled[0], -ENOTCONN);
    CHECK_INT(desk->outbox.state, OUTBOX_UP);
    CHECK_STR(desk->said, "up up ");
    put(1);
    CHECK_STR(desk->log, "0 1 ");
    desk_close();
}

TEST(stopping_gives_back_what_waits_and_ends_what_is_carried)
{
    desk_open((struct outbox_options){.records = 2});
    put(3);
    outbox_stop(&desk->outbox);
    CHECK_INT(desk->aborted, 1);
    CHECK_STR(desk->order, "2 ");
    answer(OUTBOX_TAKEN); /* it had been quicker */
    CHECK_INT(desk->settled[0], 0);
    CHECK_STR(desk->said, "up ");
    outbox_start(&desk->outbox);
    put(1);
    CHECK_STR(desk->log, "0-1 3 ");
    desk_close();
}
