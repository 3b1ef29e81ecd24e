/* The window over links that are numbers: a rate, a way, and a line before it. */
#include "cloud/link_window.h"
#include "rig/test.h"

enum { FLIGHTS = 8192, MAX = 512 * 1024 };

struct flight {
    struct link_window_mark mark;
    int64_t back; /* when its acknowledgement is here */
};

struct model {
    struct link_window window;
    double rate;      /* bytes a ms */
    int64_t way;      /* ms there and back */
    double line_free; /* when the line is empty, ms */
    struct flight flights[FLIGHTS];
    unsigned first, count;
    int64_t now;
    uint64_t delivered;
    int64_t longest; /* that a message took, since it was set to 0 */
};

static struct model *model_new(double rate, int64_t way)
{
    struct model *model = mem_new(struct model);
    *model = (struct model){.rate = rate, .way = way, .now = 1000};
    link_window_init(&model->window, MAX, model->now);
    return model;
}

static void send_one(struct model *model, size_t bytes)
{
    struct flight *flight = &model->flights[(model->first + model->count++) % FLIGHTS];
    CHECK(model->count < FLIGHTS);
    link_window_sent(&model->window, &flight->mark, bytes, model->now);
    double begin = model->line_free > (double)model->now ? model->line_free : (double)model->now;
    model->line_free = begin + (double)bytes / model->rate;
    flight->back = (int64_t)model->line_free + model->way;
}

/* Sends whatever fits, for so long. */
static void run(struct model *model, int64_t ms, size_t bytes)
{
    for (int64_t end = model->now + ms; model->now < end; model->now++) {
        while (model->count && model->flights[model->first].back <= model->now) {
            struct flight *flight = &model->flights[model->first];
            link_window_done(&model->window, &flight->mark, true, model->now);
            model->delivered += flight->mark.bytes;
            int64_t took = model->now - flight->mark.sent_at;
            model->longest = took > model->longest ? took : model->longest;
            model->first = (model->first + 1) % FLIGHTS;
            model->count--;
        }
        while (link_window_has_room(&model->window))
            send_one(model, bytes);
    }
}

TEST(a_slow_link_is_used_and_its_line_stays_short)
{
    static const struct {
        double rate;
        int64_t way;
    } links[] = {{2.5, 20}, {2.5, 200}, {8, 100}, {2.5, 600}, {30, 300}, {125, 50}};
    for (size_t i = 0; i < array_size(links); i++) {
        struct model *model = model_new(links[i].rate, links[i].way);
        run(model, 10000, 150);
        model->longest = 0;
        uint64_t before = model->delivered;
        run(model, 60000, 150);
        double used = (double)(model->delivered - before) / (links[i].rate * 60000);
        if (used < 0.95)
            FAIL("%g bytes/ms, way %d: %g of it used", links[i].rate, (int)links[i].way, used);
        int64_t aim = links[i].way + 200 > 300 ? links[i].way + 200 : 300;
        if (model->longest > 2 * aim)
            FAIL("%g bytes/ms, way %d: a message took %d", links[i].rate, (int)links[i].way,
                 (int)model->longest);
        free(model);
    }
}

TEST(a_fast_link_has_all_of_the_window_in_no_time)
{
    struct model *model = model_new(100000, 1);
    run(model, 100, 500);
    CHECK_INT((int64_t)model->window.limit, MAX);
    free(model);
}

TEST(a_link_that_becomes_slower_is_followed)
{
    struct model *model = model_new(125, 20);
    run(model, 10000, 150);
    model->rate = 2.5;
    run(model, 60000, 150);
    model->longest = 0;
    run(model, 20000, 150);
    CHECK(model->longest < 1200);
    free(model);
}

TEST(a_link_that_becomes_faster_is_followed)
{
    struct model *model = model_new(2.5, 50);
    run(model, 20000, 150);
    model->rate = 125;
    run(model, 5000, 150);
    uint64_t before = model->delivered;
    run(model, 10000, 150);
    CHECK(model->delivered - before > 0.95 * 125 * 10000);
    free(model);
}

/* Single messages pass at the first hop's speed. What comes after them is many, and finds a line. */
TEST(a_trickle_says_nothing_of_what_a_link_carries)
{
    struct model *model = model_new(125, 3);
    for (int i = 0; i < 100; i++, model->now += 100) {
        struct link_window_mark mark;
        link_window_sent(&model->window, &mark, 150, model->now);
        link_window_done(&model->window, &mark, true, model->now + 3);
    }
    CHECK(model->window.limit <= 1536);
    model->rate = 2.5;
    model->longest = 0;
    run(model, 10000, 150);
    CHECK(model->longest < 900);
    free(model);
}

/* Its answers take two seconds from now on; that is no line, and is found out. */
TEST(a_broker_that_becomes_slower_is_not_taken_for_a_line_for_ever)
{
    struct model *model = model_new(125, 20);
    run(model, 10000, 150);
    model->way = 2000;
    run(model, 10 * 60 * 1000, 150);
    uint64_t before = model->delivered;
    run(model, 20000, 150);
    CHECK(model->delivered - before > 0.9 * 125 * 20000);
    free(model);
}

TEST(what_stands_in_line_is_not_taken_for_the_way_after_an_hour)
{
    struct model *model = model_new(2.5, 20);
    run(model, 60 * 60 * 1000, 150);
    model->longest = 0;
    run(model, 60000, 150);
    CHECK(model->longest < 1500);
    free(model);
}

TEST(a_large_message_goes_alone)
{
    struct link_window window = {0};
    struct link_window_mark mark, other;
    link_window_init(&window, MAX, 0);
    link_window_sent(&window, &mark, 4 * MAX, 0);
    CHECK(!link_window_has_room(&window));
    link_window_done(&window, &mark, true, 100000);
    CHECK(link_window_has_room(&window));
    link_window_sent(&window, &other, 100, 100000);
    link_window_done(&window, &other, false, 100001); /* lost: nothing is learnt */
    CHECK_INT((int64_t)window.used, 0);
    CHECK_INT((int64_t)window.delivered, 4 * MAX);
}
