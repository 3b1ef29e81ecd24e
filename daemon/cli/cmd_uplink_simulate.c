/* uplink simulate: the prediction as a table, or as JSON (schema/json/uplink-simulate.schema.json). */
#include "base/json_write.h"
#include "cli/ask.h"
#include "cli/print.h"
#include "cli/simulate_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct column columns[] = {
    {"STREAM", "name", COLUMN_TEXT},
    {"PRIORITY", "priority", COLUMN_NUMBER},
    {"RECORDS", "produced", COLUMN_NUMBER},
    {"DELIVERED", "delivered", COLUMN_NUMBER},
    {"LATE", "late", COLUMN_NUMBER},
    {"REFUSED", "refused", COLUMN_NUMBER},
    {"EXPIRED", "expired", COLUMN_NUMBER},
    {"EVICTED", "evicted", COLUMN_NUMBER},
    {"PENDING", "pending", COLUMN_NUMBER},
    {"SENT", "sentBytes", COLUMN_SIZE},
    {"DISK", "diskPeak", COLUMN_SIZE},
    {"FLASH", "flash", COLUMN_SIZE},
    {"MEDIAN", "waitMedianText", COLUMN_TEXT},
    {"P99", "waitP99Text", COLUMN_TEXT},
    {"LONGEST", "waitMaxText", COLUMN_TEXT},
    {"P99 AFTER", "waitAfterP99Text", COLUMN_TEXT},
    {"CAUGHT UP", "caughtUpText", COLUMN_TEXT},
    {0},
};

static const struct column class_columns[] = {
    {"PRIORITY", "priority", COLUMN_NUMBER},
    {"RECORDS", "produced", COLUMN_NUMBER},
    {"DELIVERED", "delivered", COLUMN_NUMBER},
    {"LATE", "late", COLUMN_NUMBER},
    {"REFUSED", "refused", COLUMN_NUMBER},
    {"EXPIRED", "expired", COLUMN_NUMBER},
    {"EVICTED", "evicted", COLUMN_NUMBER},
    {"PENDING", "pending", COLUMN_NUMBER},
    {"SENT", "sentBytes", COLUMN_SIZE},
    {"FLASH", "flash", COLUMN_SIZE},
    {0},
};

static void put(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_put_uint(w, value);
}

static const char *span_of(struct arena *arena, int64_t ms)
{
    if (ms < 1000)
        return arena_printf(arena, "%" PRId64 " ms", ms);
    if (ms < 60 * 1000)
        return arena_printf(arena, "%" PRId64 ".%" PRId64 " s", ms / 1000, ms % 1000 / 100);
    return text_of_span(arena, ms / 1000);
}

static void put_text(struct json_writer *w, const char *key, const char *text)
{
    json_key(w, key);
    json_put_string(w, text);
}

/* What streams and classes have in common. */
static void put_counts(struct json_writer *w, const struct simulate_result *r)
{
    put(w, "produced", r->produced);
    put(w, "refused", r->refused);
    put(w, "accepted", r->accepted);
    put(w, "delivered", r->delivered);
    put(w, "late", r->late);
    put(w, "expired", r->expired);
    put(w, "evicted", r->evicted);
    put(w, "pending", r->pending);
    put(w, "sent", r->sent);
    put(w, "sentBytes", r->sent_bytes);
    put(w, "deliveredBytes", r->delivered_bytes);
    put(w, "disk", r->disk);
    put(w, "written", r->written);
    put(w, "flash", r->flash);
}

static void put_texts(struct json_writer *w, const struct simulate_result *r)
{
    bool none = !r->delivered;
    put_text(w, "waitMedianText", none ? NULL : span_of(w->arena, r->wait_median));
    put_text(w, "waitP99Text", none ? NULL : span_of(w->arena, r->wait_p99));
    put_text(w, "waitAfterP99Text", r->wait_after_p99 ? span_of(w->arena, r->wait_after_p99) : NULL);
    put_text(w, "waitMaxText", none ? NULL : span_of(w->arena, r->wait_max));
    put_text(w, "caughtUpText",
             r->is_behind        ? "not yet"
             : r->caught_up >= 0 ? arena_printf(w->arena, "after %s", span_of(w->arena, r->caught_up))
                                 : NULL);
}

static void put_stream(struct json_writer *w, const struct simulate_stream *stream, bool for_people)
{
    const struct simulate_result *r = &stream->result;
    json_begin_object(w);
    put_text(w, "name", stream->name);
    put(w, "priority", stream->rules.priority);
    put_counts(w, r);
    put(w, "diskPeak", r->disk_peak);
    put(w, "waitMedian", (uint64_t)r->wait_median);
    put(w, "waitP99", (uint64_t)r->wait_p99);
    put(w, "waitMax", (uint64_t)r->wait_max);
    put(w, "waitAfterP99", (uint64_t)r->wait_after_p99);
    json_key(w, "behind");
    json_put_bool(w, r->is_behind);
    json_key(w, "caughtUp");
    if (r->caught_up < 0)
        json_put_null(w);
    else
        json_put_int(w, r->caught_up);
    if (for_people)
        put_texts(w, r);
    json_end_object(w);
}

static void put_classes(struct json_writer *w, const struct simulate *simulate)
{
    json_key(w, "classes");
    json_begin_array(w);
    for (unsigned priority = 1; priority <= SCHEDULE_PRIORITIES; priority++) {
        struct simulate_result sum = {0};
        unsigned streams = 0;
        for (size_t i = 0; i < simulate->count; i++) {
            const struct simulate_result *r = &simulate->streams[i].result;
            if (simulate->streams[i].rules.priority != priority)
                continue;
            streams++;
            sum.produced += r->produced;
            sum.refused += r->refused;
            sum.accepted += r->accepted;
            sum.delivered += r->delivered;
            sum.late += r->late;
            sum.expired += r->expired;
            sum.evicted += r->evicted;
            sum.pending += r->pending;
            sum.sent += r->sent;
            sum.sent_bytes += r->sent_bytes;
            sum.delivered_bytes += r->delivered_bytes;
            sum.disk += r->disk;
            sum.written += r->written;
            sum.flash += r->flash;
        }
        if (!streams)
            continue;
        json_begin_object(w);
        put(w, "priority", priority);
        put_counts(w, &sum);
        json_end_object(w);
    }
    json_end_array(w);
}

static char *prediction(struct arena *arena, const struct plan *plan, bool for_people)
{
    const struct simulate *simulate = &plan->simulate;
    struct json_writer w;
    json_writer_init(&w, arena);
    json_begin_object(&w);
    put_text(&w, "uplink", plan->uplink);
    put(&w, "rate", simulate->link.rate);
    put(&w, "link", simulate->capacity);
    put(&w, "rtt", (uint64_t)simulate->rtt);
    put(&w, "window", simulate->window);
    put(&w, "until", (uint64_t)simulate->until);
    json_key(&w, "outages");
    json_begin_array(&w);
    for (size_t i = 0; i < simulate->cut_count; i++) {
        json_begin_object(&w);
        put(&w, "from", (uint64_t)simulate->cuts[i].from);
        put(&w, "to", (uint64_t)simulate->cuts[i].to);
        json_end_object(&w);
    }
    json_end_array(&w);
    json_key(&w, "streams");
    json_begin_array(&w);
    for (size_t i = 0; i < simulate->count; i++)
        put_stream(&w, &simulate->streams[i], for_people);
    json_end_array(&w);
    put_classes(&w, simulate);
    json_end_object(&w);
    return json_writer_text(&w, NULL);
}

static const char *rate_of(struct arena *arena, uint64_t rate)
{
    if (!rate)
        return "no limit";
    if (rate % 1000)
        return arena_printf(arena, "%" PRIu64 " bit/s", rate);
    if (rate % 1000000)
        return arena_printf(arena, "%" PRIu64 " kbit/s", rate / 1000);
    return arena_printf(arena, "%" PRIu64 " Mbit/s", rate / 1000000);
}

static void print_input(struct arena *arena, const struct plan *plan)
{
    const struct simulate *simulate = &plan->simulate;
    (void)printf("%s, uplink's rate: %s, link: %s, round trip: %" PRId64 " ms",
                 span_of(arena, simulate->until), rate_of(arena, simulate->link.rate),
                 rate_of(arena, simulate->capacity), simulate->rtt);
    for (size_t i = 0; i < simulate->cut_count; i++)
        (void)printf("%s %s",
                     i ? "," : "; outage:", span_of(arena, simulate->cuts[i].to - simulate->cuts[i].from));
    for (size_t i = 0; i < simulate->cut_count; i++)
        if (simulate->cuts[i].from)
            (void)printf("%s %s", i ? "," : " from", span_of(arena, simulate->cuts[i].from));
    (void)fputs("\n\n", stdout);
}

int cmd_uplink_simulate(const struct call *call)
{
    struct plan *plan = mem_new(struct plan);
    int code = plan_make(plan, call);
    if (code == CLI_DONE) {
        bool for_people = !call_has(call, OPTION_JSON);
        struct json *answer;
        simulate_run(&plan->simulate);
        code = answer_read(&plan->arena, prediction(&plan->arena, plan, for_people), &answer);
        if (code == CLI_DONE && for_people) {
            print_input(&plan->arena, plan);
            print_table(stdout, json_get(answer, "streams"), columns,
                        "There is no stream that goes to this uplink.");
            (void)putchar('\n');
            print_table(stdout, json_get(answer, "classes"), class_columns, "");
        } else if (code == CLI_DONE) {
            answer_print(answer);
        }
    }
    plan_done(plan);
    free(plan);
    return code;
}
