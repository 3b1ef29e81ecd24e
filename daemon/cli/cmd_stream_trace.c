/* stream trace: when records came and how large they are, of one stream or several, merged by time. */
#include "base/json_write.h"
#include "cli/ask.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CTL_DESCRIBE "$gatehouse/ctl/stream/describe"

enum { NAME_MAX_LEN = 64, PIECE = 1000 };

struct trace_record {
    int64_t wall;
    uint32_t bytes;
    unsigned stream;
};

struct recording {
    const struct call *call;
    struct link *link;
    int64_t from[ARGUMENTS_MAX], to[ARGUMENTS_MAX]; /* numbers of records */
    struct trace_record *records;
    size_t count, room;
    int64_t missing;
};

static int64_t number_in(const struct json *object, const char *key)
{
    int64_t value = 0;
    (void)json_int(json_get(object, key), 0, INT64_MAX, &value);
    return value;
}

static int find_range(struct recording *recording, unsigned i, bool is_end)
{
    struct arena arena = {0};
    struct json *answer;
    const char *request = arena_printf(&arena, "{\"name\":\"%s\"}", recording->call->arguments[i]);
    int code = ask_daemon(recording->call, recording->link, &arena, CTL_DESCRIBE, request, &answer);
    if (code == CLI_DONE) {
        const struct json *status = json_get(answer, "status");
        if (!is_end)
            recording->from[i] =
                number_in(status, call_has(recording->call, OPTION_TIMEOUT) ? "next" : "first");
        recording->to[i] = number_in(status, "next");
    }
    arena_done(&arena);
    return code;
}

static size_t len_in(const struct json *record, const char *key)
{
    const struct json *text = json_get(record, key);
    return json_is(text, JSON_STRING) ? text->len : 0;
}

static uint32_t size_of(const struct json *record)
{
    const struct json *base64 = json_get(record, "base64");
    size_t bytes = len_in(record, "topic") + len_in(record, "payload"), len = len_in(record, "base64");
    if (len >= 4)
        bytes += len / 4 * 3 - (base64->text[len - 1] == '=') - (base64->text[len - 2] == '=');
    return (uint32_t)bytes;
}

static void keep(struct recording *recording, struct trace_record record)
{
    enum { FIRST_ROOM = 1024 };
    if (recording->count == recording->room) {
        recording->room = recording->room ? 2 * recording->room : FIRST_ROOM;
        recording->records = realloc(recording->records, recording->room * sizeof *recording->records);
        if (!recording->records)
            abort();
    }
    recording->records[recording->count++] = record;
}

/* One request; `from` moves on. */
static int read_piece(struct recording *recording, unsigned i)
{
    struct arena arena = {0};
    struct json *answer;
    cleanup_free char *topic = str_printf("$gatehouse/streams/%s/read", recording->call->arguments[i]);
    int64_t left = recording->to[i] - recording->from[i];
    const char *request = arena_printf(&arena, "{\"from\":%" PRId64 ",\"max\":%" PRId64 "}",
                                       recording->from[i], left < PIECE ? left : PIECE);
    int code = ask_daemon(recording->call, recording->link, &arena, topic, request, &answer);
    if (code == CLI_DONE) {
        json_for_each (record, json_get(answer, "records"))
            if (number_in(record, "seq") < recording->to[i])
                keep(recording, (struct trace_record){number_in(record, "time"), size_of(record), i});
        int64_t next = number_in(answer, "next");
        recording->missing += number_in(answer, "missing");
        recording->from[i] = next > recording->from[i] ? next : recording->to[i];
    }
    arena_done(&arena);
    return code;
}

static int by_time(const void *a, const void *b)
{
    const struct trace_record *x = a, *y = b;
    return x->wall != y->wall ? (x->wall < y->wall ? -1 : 1)
                              : (x->stream > y->stream) - (x->stream < y->stream);
}

static void print_trace(struct recording *recording)
{
    if (recording->missing)
        (void)fprintf(stderr, "gatehouse: %" PRId64 " records are not there any more, or damaged\n",
                      recording->missing);
    (void)puts("# gatehouse trace: milliseconds, stream, bytes of topic and payload");
    if (recording->count)
        qsort(recording->records, recording->count, sizeof *recording->records, by_time);
    for (size_t i = 0; i < recording->count; i++) {
        const struct trace_record *record = &recording->records[i];
        (void)printf("%" PRId64 " %s %u\n", record->wall - recording->records[0].wall,
                     recording->call->arguments[record->stream], record->bytes);
    }
}

static int check_names(const struct call *call)
{
    for (unsigned i = 0; i < call->count; i++) {
        const char *name = call->arguments[i];
        size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
        if (len < 1 || len > NAME_MAX_LEN || name[len])
            return call_usage(
                call, "expected the name of a stream: 1 to 64 letters, digits, _ or -, found \"%s\"", name);
    }
    return CLI_DONE;
}

int cmd_stream_trace(const struct call *call)
{
    struct recording recording = {.call = call};
    uint32_t seconds;
    if (!call_number(call, OPTION_TIMEOUT, 1, 2000000, 0, &seconds))
        return CLI_USAGE;
    int code = check_names(call);
    cleanup(link_close_p) struct link *link = NULL;
    if (code == CLI_DONE)
        code = call_link(call, &link);
    recording.link = link;
    for (unsigned i = 0; i < call->count && code == CLI_DONE; i++)
        code = find_range(&recording, i, false);
    if (code == CLI_DONE && seconds) {
        struct timespec pause = {.tv_sec = seconds};
        link = link_close(link); /* nobody keeps it alive meanwhile */
        (void)nanosleep(&pause, NULL);
        code = call_link(call, &link);
        recording.link = link;
        for (unsigned i = 0; i < call->count && code == CLI_DONE; i++)
            code = find_range(&recording, i, true);
    }
    for (unsigned i = 0; i < call->count; i++)
        while (code == CLI_DONE && recording.from[i] < recording.to[i])
            code = read_piece(&recording, i);
    if (code == CLI_DONE)
        print_trace(&recording);
    free(recording.records);
    return code;
}
