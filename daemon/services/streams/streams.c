#include "services/streams/streams.h"

#include "base/log.h"
#include "base/topic.h"
#include "bus/topics.h"
#include "services/streams/stream.h"
#include "services/streams/stream_topic.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Wiring: options and definitions to streams, routes and outlets. What they do is in the files that stream.h names. */

/* The cloud's topic of what was appended directly: the topic of such a message says no more than the stream's name. */
#define DIRECT_PATTERN "streams/${stream}"

enum { PRIORITY_DEFAULT = 5, PRIORITY_LAST = 10, SEGMENTS_MIN = 4 };

/* ---- taking ------------------------------------------------------------------------------------------------------ */

static void on_direct(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery;
    stream_take(container_of(subscriber, struct stream, direct), DIRECT_PATTERN, msg, receipt, true);
}

/* The cloud that it came from would get it again. */
static bool leads_back(const struct stream *stream, const struct msg *msg)
{
    exporters_for_each(exporter, stream) if (msg_came_from(msg, exporter->outlet->name)) return true;
    return false;
}

static void on_routed(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery;
    struct route *route = container_of(subscriber, struct route, subscriber);
    if (topic_matches(TOPIC_CLOUD_PUBLISH_FILTER, strlen(TOPIC_CLOUD_PUBLISH_FILTER), msg->topic,
                      msg->topic_len))
        return; /* a record on its way out, maybe of this very stream: it would come round for ever */
    if (route->locked) {
        locked_refuse(route->locked, receipt);
        return;
    }
    if (leads_back(route->stream, msg))
        return;
    stream_take(route->stream, route->pattern, msg, receipt, false);
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

struct stream *streams_find(struct streams *streams, const char *name)
{
    streams_for_each (stream, streams)
        if (strcmp(stream->name, name) == 0)
            return stream;
    return NULL;
}

struct seglog_options stream_log_options(const struct stream_definition *definition)
{
    /* One that overwrites is kept within its limit by letting segments go, which takes a moment. */
    uint64_t max = (uint64_t)definition->max_bytes, segment = (uint64_t)definition->segment_bytes;
    if (definition->overwrite && max && (!segment || segment > max / SEGMENTS_MIN))
        segment = max / SEGMENTS_MIN;
    return (struct seglog_options){
        .segment_bytes = segment,
        .segment_max = max / SEGMENTS_MIN,
        .max_bytes = definition->overwrite ? 0 : max,
        .memory = definition->memory != 0,
        .compress = definition->compress != 0,
        .encrypt = definition->encrypt != 0,
        .sync_every = (unsigned)definition->sync_ms,
    };
}

int stream_add(struct streams *streams, const struct stream_definition *definition, bool configured,
               struct stream **ret)
{
    struct seglog *log;
    const struct seglog_options options = stream_log_options(definition);
    int r = seglog_open(&log, streams->logs, definition->name, &options);
    if (r < 0)
        return r;
    struct stream *stream = mem_new(struct stream);
    stream->log = log;
    stream->streams = streams;
    stream->definition = *definition;
    stream->name = stream->definition.name;
    stream->configured = configured;
    list_init(&stream->waiting);
    list_init(&stream->exporters);
    list_init(&stream->reads);
    list_init(&stream->readers);
    list_append(&streams->all, &stream->link);
    reader_init(&stream->own, stream, READER_OWN, false);
    stream->own.embedded = true;
    list_append(&stream->readers, &stream->own.link);
    stream_reclaim_init(stream);
    char uplink[STREAM_NAME_MAX + 1];
    for (size_t i = 0; stream_definition_uplink(definition, i, uplink); i++)
        (void)exporter_new(stream, uplink);
    stream->damaged_told = 0;
    stream->direct.deliver = on_direct;
    cleanup_free char *topic = str_printf(TOPIC_STREAM_APPEND_FORMAT, stream->name);
    bus_subscribe_to(streams->bus, &stream->direct_subscription, &stream->direct, topic);
    int len = stream_topic_make(streams->scratch, STREAM_SCRATCH, DIRECT_PATTERN, "", 0, stream->name);
    stream->direct_topic_len = (size_t)len; /* names are short */
    stream->direct_topic = str_copy_n(streams->scratch, (size_t)len);
    stream_weigh(stream);
    *ret = stream;
    return 0;
}

void stream_free(struct stream *stream)
{
    struct streams *streams = stream->streams;
    bus_unsubscribe(streams->bus, &stream->direct_subscription);
    while (!list_is_empty(&stream->exporters))
        exporter_free(list_entry(stream->exporters.next, struct exporter, link));
    stream_reclaim_done(stream);
    stream->log = seglog_close(stream->log);
    streams->bytes -= stream->bytes_seen;
    while (!list_is_empty(&stream->readers))
        reader_remove(list_entry(stream->readers.next, struct reader, link));
    stream_deletion_done(stream);
    list_remove(&stream->link);
    free(stream->own.name);
    free(stream->direct_topic);
    free(stream->alarm);
    free(stream);
}

static int definition_of(const struct stream_options *options, struct stream_definition *ret)
{
    if (options->priority > PRIORITY_LAST) {
        log_error("stream %s: priority: expected 1 to %d, found %u", options->name, PRIORITY_LAST,
                  options->priority);
        return -EINVAL;
    }
    *ret = (struct stream_definition){
        .priority = options->priority ? options->priority : PRIORITY_DEFAULT,
        .segment_bytes = (int64_t)options->segment_bytes,
        .max_bytes = (int64_t)options->max_bytes,
        .ttl_s = (int64_t)options->ttl_s,
        .overwrite = options->overwrite,
        .memory = options->memory,
        .sync_ms = options->memory ? 0 : options->sync_ms,
        .keep = options->keep,
        .compress = options->compress,
        .encrypt = options->encrypt,
        .dead_letter = STREAM_LETTERS,
        .rules = options->rules,
    };
    const struct {
        const char *key, *text;
    } texts[] = {{"name", options->name}, {"uplink", options->uplink}, {"dead-letter", options->dead_letter}};
    for (size_t i = 0; i < array_size(texts); i++) {
        const char *expected = texts[i].text ? stream_definition_set(ret, texts[i].key, texts[i].text) : NULL;
        if (!expected)
            continue;
        log_error("stream %s: %s: expected %s, found \"%s\"", options->name, texts[i].key, expected,
                  texts[i].text);
        return -EINVAL;
    }
    return 0;
}

static int add_configured(struct streams *streams, const struct stream_options *options)
{
    struct stream_definition definition;
    struct stream *stream;
    int r = definition_of(options, &definition);
    if (r == 0)
        r = stream_add(streams, &definition, true, &stream);
    if (r != -ENOKEY && r != -EKEYREJECTED)
        return r;
    locked_add(streams, definition.name, r);
    return 0;
}

static int add_route(struct streams *streams, const struct route_options *options)
{
    const char *pattern = options->topic && *options->topic ? options->topic : "${topic}";
    const char *expected = stream_topic_check(pattern);
    if (expected) {
        log_error("route %s: topic: expected %s, found \"%s\"", options->name, expected, pattern);
        return -EINVAL;
    }
    struct route *route = &streams->routes[streams->route_count];
    route->stream = streams_find(streams, options->stream);
    route->locked = locked_find(streams, options->stream);
    if (!route->stream && !route->locked) {
        log_error("route %s: stream: expected the name of a stream, found \"%s\"", options->name,
                  options->stream);
        return -EINVAL;
    }
    route->name = str_copy(options->name);
    route->pattern = str_copy(pattern);
    route->subscriber.deliver = on_routed;
    route->subscription = (struct subscription){.subscriber = &route->subscriber, .qos = 2};
    bus_subscribe(streams->bus, &route->subscription, options->filter, strlen(options->filter));
    streams->route_count++;
    return 0;
}

void streams_set_link(struct streams *streams, const char *uplink, const struct schedule_link *link)
{
    outlet_limit(outlet_of(streams, uplink), link);
}

void streams_set_quota(struct streams *streams, uint64_t disk_bytes)
{
    streams->quota = disk_bytes;
}

int streams_new(struct streams **ret, struct bus *bus, struct seglogs *logs, struct store *store,
                const struct stream_options *options, size_t stream_count, const struct route_options *routes,
                size_t route_count)
{
    cleanup(streams_free_p) struct streams *streams = mem_new(struct streams);
    streams->bus = bus;
    streams->logs = logs;
    streams->store = store;
    streams->started = loop_now(bus_loop(bus));
    list_init(&streams->all);
    list_init(&streams->locked);
    list_init(&streams->leaving);
    stream_taking_init(streams);
    streams->sweep.run = exporters_sweep;
    streams->routes = mem_new_bytes((route_count + 1) * sizeof *streams->routes);
    streams->scratch = mem_new_buffer(STREAM_SCRATCH);

    int r = 0;
    for (size_t i = 0; i < stream_count && r == 0; i++)
        r = add_configured(streams, &options[i]);
    if (r == 0)
        r = cursors_begin(streams);
    for (size_t i = 0; i < route_count && r == 0; i++)
        r = add_route(streams, &routes[i]);
    if (r < 0)
        return r;
    streams_ctl_init(streams);
    streams_verify_init(streams);
    streams_read_init(streams);
    streams_cursor_init(streams);
    streams_exporter_init(streams);
    streams_retry_init(streams);
    streams_update_init(streams);
    for (size_t i = 0; i < streams->outlet_count; i++)
        bus_send_retained(bus, &streams->outlets[i]->status_subscription);
    *ret = steal(streams);
    return 0;
}

struct streams *streams_free(struct streams *streams)
{
    if (!streams)
        return NULL;
    streams->closing = true;
    streams_ctl_done(streams);
    streams_verify_done(streams);
    streams_read_done(streams);
    streams_cursor_done(streams);
    streams_exporter_done(streams);
    streams_retry_done(streams);
    streams_update_done(streams);
    for (size_t i = 0; i < streams->route_count; i++) {
        bus_unsubscribe(streams->bus, &streams->routes[i].subscription);
        free(streams->routes[i].name);
        free(streams->routes[i].pattern);
    }
    streams_for_each (stream, streams) {
        stream_admit(stream, true);
        stream_reads_end(stream, "the gateway stops");
    }
    seglogs_quiesce(streams->logs);
    cursors_end(streams);
    seglogs_quiesce(streams->logs); /* what was released by that */
    exporters_sweep(&streams->sweep);
    loop_forget(&streams->sweep);
    while (!list_is_empty(&streams->all))
        stream_free(list_entry(streams->all.next, struct stream, link));
    locked_done(streams);
    for (size_t i = 0; i < streams->outlet_count; i++)
        outlet_free(streams->outlets[i]);
    free(streams->routes);
    free(streams->outlets);
    free(streams->rows);
    free(streams->row_readers);
    free(streams->allowances);
    free(streams->scratch);
    slab_done(&streams->takings);
    free(streams);
    return NULL;
}
