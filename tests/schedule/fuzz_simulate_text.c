/* Whatever a trace, traffic and cuts hold: what is taken keeps its promises, and nothing is read beyond the end. */
#include "schedule/simulate_text.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool truth)
{
    if (!truth)
        abort();
}

static void check_trace(const char *text, size_t len)
{
    struct simulate_trace trace;
    struct simulate_trace_item item;
    const char *expected = NULL;
    int64_t last = 0;
    int r;
    simulate_trace_init(&trace, text, len);
    while ((r = simulate_trace_next(&trace, &item, &expected)) == 1) {
        must(item.record.at >= last && item.record.bytes <= 16 * 1024 * 1024);
        must(item.stream >= text && item.stream + item.stream_len <= text + len && item.stream_len <= 64);
        last = item.record.at;
    }
    must(r == 0 || expected);
}

static void check_texts(const char *text)
{
    static const char *const keys[] = {"priority",   "weight",      "deadline",     "day-budget", "window",
                                       "live-share", "sync",        "segment-size", "max-size",   "ttl",
                                       "on-full",    "persistence", "keep"};
    struct simulate_stream stream = simulate_stream_default();
    struct simulate_cut cuts[SIMULATE_CUTS_MAX];
    const char *expected;
    int count = simulate_cuts_parse(cuts, text, &expected);
    for (int i = 0; i < count; i++)
        must(cuts[i].from < cuts[i].to && (i == 0 || cuts[i - 1].to < cuts[i].from));
    if (!simulate_traffic_set(&stream, text))
        must(stream.interval_us > 0);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!simulate_stream_set(&stream, keys[i], text))
            must(stream.ttl >= 0 && stream.sync_every >= 0 && stream.sync_every <= 60000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 65536)
        return 0;
    char *text = malloc(len + 1);
    must(text != NULL);
    memcpy(text, data, len);
    text[len] = '\0';
    char *alone = malloc(len ? len : 1); /* not terminated: a read beyond it is seen */
    must(alone != NULL);
    memcpy(alone, data, len);
    check_trace(alone, len);
    check_texts(text);
    free(alone);
    free(text);
    return 0;
}
