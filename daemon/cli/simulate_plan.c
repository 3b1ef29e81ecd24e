#include "cli/simulate_plan.h"

#include "base/value.h"
#include "cli/ask.h"
#include "cli/services.h"
#include "schedule/schedule_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CTL_DESCRIBE "$gatehouse/ctl/stream/describe"

enum { NAME_MAX_LEN = 64, TEXT_MAX = 200 };

/* ---- streams ----------------------------------------------------------------------------------------------------- */

static struct simulate_stream *find(struct plan *plan, const char *name, size_t len)
{
    for (size_t i = 0; i < plan->simulate.count; i++)
        if (strlen(plan->streams[i].name) == len && memcmp(plan->streams[i].name, name, len) == 0)
            return &plan->streams[i];
    return NULL;
}

/* NULL: there are too many, which has been said. */
static struct simulate_stream *add(struct plan *plan, const char *name, size_t len)
{
    if (plan->simulate.count == SIMULATE_STREAMS_MAX) {
        (void)fprintf(stderr, "gatehouse: expected at most %d streams\n", SIMULATE_STREAMS_MAX);
        return NULL;
    }
    struct simulate_stream *stream = &plan->streams[plan->simulate.count++];
    *stream = simulate_stream_default();
    stream->name = arena_copy(&plan->arena, name, len);
    return stream;
}

/* ---- a configuration --------------------------------------------------------------------------------------------- */

struct complaints {
    struct ini_faults faults;
    unsigned count;
};

static void on_fault(struct ini_faults *faults, char *sentence)
{
    container_of(faults, struct complaints, faults)->count++;
    (void)fprintf(stderr, "gatehouse: %s\n", sentence);
    free(sentence);
}

static int wrong_value(const struct ini_section *section, const struct ini_entry *entry, const char *expected)
{
    cleanup_free char *shown = ini_shown(entry->value, strlen(entry->value));
    (void)fprintf(stderr, "gatehouse: %s:%d: [%s %s] %s: expected %s, found \"%s\"\n", entry->file,
                  entry->line, section->kind, section->name, entry->key, expected, shown);
    return CLI_REFUSED;
}

/* Names with commas or blanks between them. */
static bool is_among(const char *names, const char *name)
{
    for (size_t len; *names; names += len) {
        names += strspn(names, ", \t");
        len = strcspn(names, ", \t");
        if (len && strlen(name) == len && memcmp(names, name, len) == 0)
            return true;
    }
    return false;
}

static const char *value_in(struct ini_section *section, const char *key)
{
    const struct ini_entry *entry = ini_find(section, key);
    return entry ? entry->value : "";
}

static int take_stream(struct plan *plan, struct ini_section *section)
{
    if (!is_among(value_in(section, "uplink"), plan->uplink))
        return CLI_DONE;
    struct simulate_stream *stream = add(plan, section->name, strlen(section->name));
    for (size_t i = 0; stream && i < section->count; i++) {
        const struct ini_entry *entry = &section->entries[i];
        const char *expected = simulate_stream_has(entry->key) && *entry->value
                                   ? simulate_stream_set(stream, entry->key, entry->value)
                                   : NULL;
        if (expected)
            return wrong_value(section, entry, expected);
    }
    return stream ? CLI_DONE : CLI_REFUSED;
}

static bool starts_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static int take_uplink(struct plan *plan, struct ini_section *section)
{
    const char *uri = value_in(section, "uri");
    plan->uplink = section->name;
    plan->simulate.link.tls = starts_with(uri, "mqtts:") || starts_with(uri, "https:");
    for (size_t i = 0; i < section->count; i++) {
        const struct ini_entry *entry = &section->entries[i];
        const char *expected = schedule_link_has(entry->key)
                                   ? schedule_link_set(&plan->simulate.link, entry->key, entry->value)
                                   : NULL;
        if (expected)
            return wrong_value(section, entry, expected);
    }
    return CLI_DONE;
}

static int take_config(struct plan *plan)
{
    const char *path = plan->call->values[OPTION_CONFIG], *wanted = plan->call->values[OPTION_UPLINK];
    struct complaints complaints = {.faults = {on_fault}};
    ini_read_all(&plan->ini, path, &complaints.faults);
    if (complaints.count)
        return CLI_REFUSED;
    int code = CLI_DONE;
    for (size_t i = 0; i < plan->ini.count && !plan->uplink; i++) {
        struct ini_section *section = &plan->ini.sections[i];
        if (strcmp(section->kind, "uplink") == 0 && (!wanted || strcmp(section->name, wanted) == 0))
            code = take_uplink(plan, section);
    }
    if (!plan->uplink) {
        (void)fprintf(stderr, "gatehouse: %s: expected a section [uplink %s]\n", path,
                      wanted ? wanted : "NAME");
        return CLI_REFUSED;
    }
    for (size_t i = 0; i < plan->ini.count && code == CLI_DONE; i++)
        if (strcmp(plan->ini.sections[i].kind, "stream") == 0)
            code = take_stream(plan, &plan->ini.sections[i]);
    plan->is_closed = true;
    return code;
}

/* ---- a running gateway ------------------------------------------------------------------------------------------- */

/* "maxSize" in a definition is "max-size" in gatehouse.conf. */
static void key_of(const struct json *member, char key[TEXT_MAX])
{
    size_t to = 0;
    for (size_t i = 0; i < member->key_len && to + 2 < TEXT_MAX; i++) {
        char c = member->key[i];
        if (c >= 'A' && c <= 'Z') {
            key[to++] = '-';
            c = (char)(c - 'A' + 'a');
        }
        key[to++] = c;
    }
    key[to] = '\0';
}

static const char *text_of(struct plan *plan, const struct json *value)
{
    const char *text;
    bool yes;
    if (json_bool(value, &yes))
        return yes ? "yes" : "no";
    if (json_is(value, JSON_NUMBER))
        return arena_printf(&plan->arena, "%.*s", (int)value->len, value->text);
    return json_text(value, &plan->arena, &text) ? text : NULL;
}

static int describe(struct plan *plan, struct link *link, struct simulate_stream *stream)
{
    const char *request = arena_printf(&plan->arena, "{\"name\":\"%s\"}", stream->name);
    struct json *answer;
    int code = ask_daemon(plan->call, link, &plan->arena, CTL_DESCRIBE, request, &answer);
    if (code != CLI_DONE)
        return code;
    json_for_each (member, json_get(answer, "definition")) {
        char key[TEXT_MAX];
        key_of(member, key);
        const char *text = text_of(plan, member);
        if (text && simulate_stream_has(key))
            (void)simulate_stream_set(stream, key,
                                      text); /* what the daemon says of itself is not to be judged */
    }
    return CLI_DONE;
}

/* The uplinks of a stream: one name, or several with commas; or a list of them. */
static bool goes_there(struct plan *plan, const struct json *stream)
{
    const struct json *uplink = json_get(stream, "uplink");
    const char *names;
    if (!json_text(uplink, &plan->arena, &names) || !*names)
        return false;
    if (!plan->uplink)
        plan->uplink = arena_copy(&plan->arena, names, strcspn(names, ", "));
    return is_among(names, plan->uplink);
}

static int list_streams(struct plan *plan, struct link *link, struct json **ret)
{
    return ask_daemon(plan->call, link, &plan->arena, CTL_STREAM_LIST, "{}", ret);
}

static int64_t number_in(const struct json *object, const char *key)
{
    int64_t value = 0;
    (void)json_int(json_get(object, key), 0, INT64_MAX, &value);
    return value;
}

static const struct json *of_name(struct plan *plan, const struct json *streams, const char *name)
{
    const char *text;
    json_for_each (stream, json_get(streams, "streams"))
        if (json_text(json_get(stream, "name"), &plan->arena, &text) && strcmp(text, name) == 0)
            return stream;
    return NULL;
}

static int64_t size_of_record(int64_t bytes, int64_t records)
{
    enum { RECORD_OVERHEAD = 36 }; /* head and half of the padding */
    return records > 0 && bytes / records > RECORD_OVERHEAD ? bytes / records - RECORD_OVERHEAD : 0;
}

/* What waits now. */
static int take_pending(struct plan *plan, struct simulate_stream *stream, const struct json *listed)
{
    const char *name;
    uint64_t all = 0;
    json_for_each (exporter, json_get(listed, "exporters"))
        if (json_text(json_get(exporter, "uplink"), &plan->arena, &name) && strcmp(name, plan->uplink) == 0)
            stream->backlog = (uint64_t)number_in(exporter, "pending");
    stream->backlog_bytes = (uint32_t)size_of_record(number_in(listed, "bytes"),
                                                     number_in(listed, "next") - number_in(listed, "first"));
    for (size_t i = 0; i < plan->simulate.count; i++)
        all += plan->streams[i].backlog;
    if (all <= SIMULATE_BACKLOG_MAX)
        return CLI_DONE;
    (void)fprintf(stderr, "gatehouse: expected at most %d records that wait, found more\n",
                  SIMULATE_BACKLOG_MAX);
    return CLI_REFUSED;
}

/* From two looks at the list: how many records came, and how large they were. */
static int measure(struct plan *plan, const struct json *before)
{
    struct json *after;
    uint32_t seconds;
    if (!call_number(plan->call, OPTION_MEASURE, 1, 86400, 10, &seconds))
        return CLI_USAGE;
    (void)fprintf(stderr, "gatehouse: measuring the streams for %u seconds\n", seconds);
    struct timespec pause = {.tv_sec = seconds};
    (void)nanosleep(&pause, NULL);
    cleanup(link_close_p) struct link *link = NULL;
    int code = call_link(plan->call, &link);
    if (code == CLI_DONE)
        code = list_streams(plan, link, &after);
    for (size_t i = 0; i < plan->simulate.count && code == CLI_DONE; i++) {
        struct simulate_stream *stream = &plan->streams[i];
        const struct json *old = of_name(plan, before, stream->name);
        const struct json *new = of_name(plan, after, stream->name);
        int64_t records = number_in(new, "appended") - number_in(old, "appended");
        int64_t bytes = number_in(new, "written") - number_in(old, "written");
        if (records <= 0)
            continue;
        stream->interval_us = (uint64_t)seconds * 1000000 / (uint64_t)records;
        stream->bytes = (uint32_t)size_of_record(bytes, records);
    }
    return code;
}

static void take_link(struct plan *plan, const struct json *links)
{
    const char *name;
    int64_t window;
    json_for_each (link, links) {
        if (!plan->uplink || !json_text(json_get(link, "uplink"), &plan->arena, &name) ||
            strcmp(name, plan->uplink) != 0)
            continue;
        (void)json_bool(json_get(link, "tls"), &plan->simulate.link.tls);
        if (json_int(json_get(link, "window"), 1, 1000, &window))
            plan->simulate.window = (unsigned)window;
        json_for_each (member, link) {
            char key[TEXT_MAX];
            key_of(member, key);
            const char *text = text_of(plan, member);
            if (text && schedule_link_has(key))
                (void)schedule_link_set(&plan->simulate.link, key, text);
        }
    }
}

static int take_daemon(struct plan *plan)
{
    struct json *streams;
    cleanup(link_close_p) struct link *link = NULL;
    int code = call_link(plan->call, &link);
    plan->uplink = plan->call->values[OPTION_UPLINK];
    if (code == CLI_DONE)
        code = list_streams(plan, link, &streams);
    if (code != CLI_DONE)
        return code;
    json_for_each (stream, json_get(streams, "streams")) {
        const char *name;
        if (!goes_there(plan, stream) || !json_text(json_get(stream, "name"), &plan->arena, &name))
            continue;
        struct simulate_stream *added = add(plan, name, strlen(name));
        code = added ? describe(plan, link, added) : CLI_REFUSED;
        if (code == CLI_DONE && !call_has(plan->call, OPTION_TRACE))
            code = take_pending(plan, added, stream);
        if (code != CLI_DONE)
            return code;
    }
    take_link(plan, json_get(streams, "links"));
    plan->is_closed = true;
    link = link_close(link);
    return call_has(plan->call, OPTION_TRACE) ? CLI_DONE : measure(plan, streams);
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

/* "1000*200": so many records of that size wait. */
static const char *take_backlog(struct simulate_stream *stream, const char *text)
{
    size_t digits = strspn(text, "0123456789");
    int64_t count, bytes;
    char number[16] = "";
    if (digits < sizeof number)
        memcpy(number, text, digits);
    if (text[digits] != '*' || !value_parse(VALUE_NUMBER, number, &count) ||
        !value_parse(VALUE_NUMBER, text + digits + 1, &bytes) ||
        count > SIMULATE_BACKLOG_MAX / SIMULATE_STREAMS_MAX * 10 || bytes > 16 * 1024 * 1024)
        return "how many records wait and how large they are, like 1000*200, at most 1000000";
    stream->backlog = (uint64_t)count;
    stream->backlog_bytes = (uint32_t)bytes;
    return NULL;
}

static int take_part(struct plan *plan, struct simulate_stream *stream, const char *part)
{
    const char *equals = strchr(part, '='), *expected;
    if (!equals) {
        expected = simulate_traffic_set(stream, part);
    } else if (starts_with(part, "pending=")) {
        expected = take_backlog(stream, equals + 1);
    } else {
        const char *key = arena_copy(&plan->arena, part, (size_t)(equals - part));
        expected = simulate_stream_set(stream, key, equals + 1);
    }
    return expected ? call_usage(plan->call, "%s: expected %s, found \"%s\"", stream->name, expected, part)
                    : CLI_DONE;
}

/* STREAM=RATE*BYTES,KEY=VALUE,… */
static int take_argument(struct plan *plan, const char *argument)
{
    size_t len = strspn(argument, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    if (len == 0 || len > NAME_MAX_LEN || argument[len] != '=')
        return call_usage(plan->call, "expected STREAM=RATE*BYTES,KEY=VALUE..., found \"%s\"", argument);
    struct simulate_stream *stream = find(plan, argument, len);
    if (!stream)
        stream = add(plan, argument, len);
    int code = stream ? CLI_DONE : CLI_REFUSED;
    for (const char *at = argument + len; code == CLI_DONE && *at;) {
        size_t part = strcspn(++at, ",");
        code = take_part(plan, stream, arena_copy(&plan->arena, at, part));
        at += part;
    }
    return code;
}

/* ---- a trace ----------------------------------------------------------------------------------------------------- */

static int keep_record(struct plan *plan, const struct simulate_trace_item *item)
{
    enum { FIRST_ROOM = 1024 };
    struct simulate_stream *stream = find(plan, item->stream, item->stream_len);
    if (!stream && plan->is_closed) {
        plan->elsewhere++;
        return CLI_DONE;
    }
    if (!stream)
        stream = add(plan, item->stream, item->stream_len);
    if (!stream)
        return CLI_REFUSED;
    size_t i = (size_t)(stream - plan->streams);
    if (stream->count == plan->rooms[i]) {
        size_t room = plan->rooms[i] ? 2 * plan->rooms[i] : FIRST_ROOM;
        struct simulate_record *grown = realloc(plan->records[i], room * sizeof *grown);
        if (!grown) {
            (void)fputs("gatehouse: the trace does not fit into memory\n", stderr);
            return CLI_REFUSED;
        }
        plan->records[i] = grown;
        plan->rooms[i] = room;
        stream->records = grown;
    }
    plan->records[i][stream->count++] = item->record;
    return CLI_DONE;
}

static int take_lines(struct plan *plan, const char *path, const char *text, size_t len)
{
    struct simulate_trace trace;
    struct simulate_trace_item item;
    const char *expected;
    int r, code = CLI_DONE;
    simulate_trace_init(&trace, text, len);
    while (code == CLI_DONE && (r = simulate_trace_next(&trace, &item, &expected)) != 0) {
        if (r < 0) {
            (void)fprintf(stderr, "gatehouse: %s:%lu: expected %s\n", path, trace.line, expected);
            return CLI_REFUSED;
        }
        code = keep_record(plan, &item);
    }
    if (plan->elsewhere)
        (void)fprintf(stderr,
                      "gatehouse: %s: %lu records of streams that do not go to this uplink are left out\n",
                      path, plan->elsewhere);
    plan->simulate.until = trace.begins >= 0 ? trace.last - trace.begins : 0;
    return code;
}

static int take_trace(struct plan *plan)
{
    const char *path = plan->call->values[OPTION_TRACE];
    cleanup(fd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        (void)fprintf(stderr, "gatehouse: %s: %s\n", path, strerror(errno));
        return CLI_REFUSED;
    }
    if (!S_ISREG(st.st_mode)) {
        (void)fprintf(stderr, "gatehouse: %s: expected a file\n", path);
        return CLI_REFUSED;
    }
    if (st.st_size == 0)
        return CLI_DONE;
    void *text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (text == MAP_FAILED) {
        (void)fprintf(stderr, "gatehouse: %s: %s\n", path, strerror(errno));
        return CLI_REFUSED;
    }
    int code = take_lines(plan, path, text, (size_t)st.st_size);
    (void)munmap(text, (size_t)st.st_size);
    return code;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static int take_value(const struct plan *plan, enum option option, enum value_type type, const char *expected,
                      int64_t max, int64_t *ret)
{
    const char *text = plan->call->values[option];
    int64_t value;
    if (!text)
        return CLI_DONE;
    if (!value_parse(type, text, &value) || value > max)
        return call_usage(plan->call, "--%s: expected %s, found \"%s\"", option_rows[option].name, expected,
                          text);
    *ret = value;
    return CLI_DONE;
}

/* The link's rate is the uplink's, when only one of them is said. */
static int take_rates(struct plan *plan)
{
    static const char expected[] = "a rate like 20kbit (bit, kbit, mbit or gbit a second), or 0 for no limit";
    struct simulate *simulate = &plan->simulate;
    int64_t rate = (int64_t)simulate->link.rate, capacity = 0;
    int code = take_value(plan, OPTION_RATE, VALUE_RATE, expected, 1000000000000, &rate);
    if (code == CLI_DONE)
        code = take_value(plan, OPTION_LINK, VALUE_RATE, expected, 1000000000000, &capacity);
    simulate->link.rate = (uint64_t)rate;
    simulate->capacity = (uint64_t)capacity;
    return code;
}

static int take_times(struct plan *plan)
{
    struct simulate *simulate = &plan->simulate;
    const char *outages = plan->call->values[OPTION_OUTAGE], *expected;
    int cuts = outages ? simulate_cuts_parse(plan->cuts, outages, &expected) : 0;
    if (cuts < 0)
        return call_usage(plan->call, "--outage: expected %s, found \"%s\"", expected, outages);
    simulate->cuts = plan->cuts;
    simulate->cut_count = (size_t)cuts;

    enum { HOUR_S = 3600 };
    int64_t outage = cuts ? plan->cuts[cuts - 1].to : 0, lasts_s = 0;
    int code = take_value(plan, OPTION_FOR, VALUE_TIME,
                          "a time (in seconds, or with s, m, h or d) up to 3660d", 3660ll * 86400, &lasts_s);
    if (lasts_s)
        simulate->until = lasts_s * 1000;
    else if (simulate->until < outage || !call_has(plan->call, OPTION_TRACE))
        simulate->until = 2 * outage > HOUR_S * 1000 ? 2 * outage : HOUR_S * 1000;
    return code;
}

/* What a clock at the wall shows at the beginning. */
static int take_clock(struct plan *plan)
{
    const char *begins = plan->call->values[OPTION_BEGIN];
    struct schedule_link of_day = {0};
    time_t now = time(NULL);
    struct tm local;
    if (!localtime_r(&now, &local))
        return CLI_DONE;
    plan->simulate.local = ((int64_t)now + local.tm_gmtoff) * 1000;
    if (!begins)
        return CLI_DONE;
    const char *expected = schedule_link_set(&of_day, "day-begins", begins);
    if (expected)
        return call_usage(plan->call, "--begin: expected %s, found \"%s\"", expected, begins);
    plan->simulate.local -= plan->simulate.local % (86400 * 1000ll);
    plan->simulate.local += (int64_t)of_day.day_begins * 60 * 1000;
    return CLI_DONE;
}

static int take_options(struct plan *plan)
{
    uint32_t rtt, window, usual = plan->simulate.window ? plan->simulate.window : SIMULATE_WINDOW;
    int code = take_rates(plan);
    if (code == CLI_DONE)
        code = take_times(plan);
    if (code == CLI_DONE)
        code = take_clock(plan);
    if (code != CLI_DONE || !call_number(plan->call, OPTION_RTT, 0, 600000, SIMULATE_RTT, &rtt) ||
        !call_number(plan->call, OPTION_WINDOW, 1, 1000, usual, &window))
        return code == CLI_DONE ? CLI_USAGE : code;
    plan->simulate.rtt = rtt;
    plan->simulate.window = window;
    return CLI_DONE;
}

int plan_make(struct plan *plan, const struct call *call)
{
    *plan = (struct plan){.call = call};
    plan->simulate.streams = plan->streams;
    plan->simulate.local = SCHEDULE_NO_CLOCK;
    int code = CLI_DONE;
    if (call_has(call, OPTION_CONFIG))
        code = take_config(plan);
    else if (!call->count)
        code = take_daemon(plan);
    for (unsigned i = 0; i < call->count && code == CLI_DONE; i++)
        code = take_argument(plan, call->arguments[i]);
    if (code == CLI_DONE && call_has(call, OPTION_TRACE))
        code = take_trace(plan);
    return code == CLI_DONE ? take_options(plan) : code;
}

void plan_done(struct plan *plan)
{
    for (size_t i = 0; i < plan->simulate.count; i++)
        free(plan->records[i]);
    ini_done(&plan->ini);
    arena_done(&plan->arena);
}
