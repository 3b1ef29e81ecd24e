#include "services/streams/streams.h"

#include "base/json_write.h"
#include "base/log.h"
#include "base/topic.h"
#include "bus/topics.h"
#include "services/streams/stream.h"
#include "services/streams/stream_topic.h"
#include "services/streams/streams_store.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Wiring: options to streams, routes and outlets, and the list of them. What they do is in stream_append.c,
 * stream_export.c and stream_cursor.c. */

/* The cloud's topic of what was appended directly: the topic of such a message says no more than the stream's name. */
#define DIRECT_PATTERN "streams/${stream}"

enum { PRIORITY_DEFAULT = 5, PRIORITY_LAST = 10 };

/* ---- taking ------------------------------------------------------------------------------------------------------ */

static void on_direct(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery;
    stream_take(container_of(subscriber, struct stream, direct), DIRECT_PATTERN, msg, receipt);
}

static void on_routed(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery;
    struct route *route = container_of(subscriber, struct route, subscriber);
    if (topic_matches(TOPIC_CLOUD_PUBLISH_FILTER, strlen(TOPIC_CLOUD_PUBLISH_FILTER), msg->topic,
                      msg->topic_len))
        return; /* a record on its way out, maybe of this very stream: it would come round for ever */
    stream_take(route->stream, route->pattern, msg, receipt);
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static void put_number(struct json_writer *w, const char *key, uint64_t number)
{
    json_key(w, key);
    json_put_uint(w, number);
}

static void put_export(struct json_writer *w, const struct stream *stream)
{
    put_number(w, "cursor", stream->cursor);
    put_number(w, "pending", seglog_next(stream->log) - stream->cursor);
    put_number(w, "underWay", stream->under_way_count);
    put_number(w, "retries", stream->retries);
}

static void put_stream(struct json_writer *w, const struct stream *stream)
{
    json_begin_object(w);
    json_key(w, "name");
    json_put_string(w, stream->name);
    put_number(w, "priority", stream->priority);
    json_key(w, "uplink");
    json_put_string(w, stream->outlet ? stream->outlet->name : NULL);
    put_number(w, "first", seglog_first(stream->log));
    put_number(w, "next", seglog_next(stream->log));
    if (stream->outlet)
        put_export(w, stream);
    put_number(w, "bytes", seglog_bytes(stream->log));
    put_number(w, "maxBytes", stream->max_bytes);
    put_number(w, "appended", stream->appended);
    put_number(w, "refused", stream->refused);
    put_number(w, "faults", stream->faults);
    put_number(w, "damaged", seglog_damaged(stream->log));
    put_number(w, "written", seglog_written(stream->log));
    json_end_object(w);
}

static void on_command(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct streams *streams = container_of(subscriber, struct streams, commands);
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "streams");
    json_begin_array(&w);
    for (size_t i = 0; i < streams->count; i++)
        put_stream(&w, &streams->all[i]);
    json_end_array(&w);
    json_end_object(&w);
    bus_reply(streams->bus, msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

/* ---- wiring ------------------------------------------------------------------------------------------------------ */

static struct stream *find(struct streams *streams, const char *name)
{
    for (size_t i = 0; i < streams->count; i++)
        if (strcmp(streams->all[i].name, name) == 0)
            return &streams->all[i];
    return NULL;
}

static struct outlet *outlet_of(struct streams *streams, const char *name, size_t users_max)
{
    for (size_t i = 0; i < streams->outlet_count; i++)
        if (strcmp(streams->outlets[i]->name, name) == 0)
            return streams->outlets[i];
    struct outlet *outlet = mem_new(struct outlet);
    streams->outlets[streams->outlet_count++] = outlet;
    outlet_init(outlet, streams, name, users_max);
    return outlet;
}

static int add_stream(struct streams *streams, const struct stream_options *options, size_t stream_count)
{
    if (options->priority > PRIORITY_LAST) {
        log_error("stream %s: priority: expected 1 to %d, found %u", options->name, PRIORITY_LAST,
                  options->priority);
        return -EINVAL;
    }
    struct stream *stream = &streams->all[streams->count];
    const struct seglog_options log_options = {options->segment_bytes, options->max_bytes};
    int r = seglog_open(&stream->log, streams->logs, options->name, &log_options);
    if (r < 0)
        return r;
    stream->streams = streams;
    stream->name = str_copy(options->name);
    stream->priority = options->priority ? options->priority : PRIORITY_DEFAULT;
    stream->keep = options->keep;
    stream->max_bytes = options->max_bytes;
    list_init(&stream->under_way);
    if (options->uplink && *options->uplink)
        stream_export_init(stream, outlet_of(streams, options->uplink, stream_count));
    stream->direct.deliver = on_direct;
    cleanup_free char *topic = str_printf(TOPIC_STREAM_APPEND_FORMAT, stream->name);
    bus_subscribe_to(streams->bus, &stream->direct_subscription, &stream->direct, topic);
    streams->count++;
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
    route->stream = find(streams, options->stream);
    if (!route->stream) {
        log_error("route %s: stream: expected the name of a stream, found \"%s\"", options->name,
                  options->stream);
        return -EINVAL;
    }
    route->pattern = str_copy(pattern);
    route->subscriber.deliver = on_routed;
    route->subscription = (struct subscription){.subscriber = &route->subscriber, .qos = 2};
    bus_subscribe(streams->bus, &route->subscription, options->filter, strlen(options->filter));
    streams->route_count++;
    return 0;
}

int streams_new(struct streams **ret, struct bus *bus, struct seglogs *logs, struct store *store,
                const struct stream_options *options, size_t stream_count, const struct route_options *routes,
                size_t route_count)
{
    cleanup(streams_free_p) struct streams *streams = mem_new(struct streams);
    streams->bus = bus;
    streams->logs = logs;
    streams->store = store;
    streams->all = mem_new_bytes((stream_count + 1) * sizeof *streams->all);
    streams->routes = mem_new_bytes((route_count + 1) * sizeof *streams->routes);
    streams->outlets = mem_new_bytes((stream_count + 1) * sizeof(struct outlet *));
    streams->rows = mem_new_bytes((stream_count + 1) * sizeof *streams->rows);
    streams->row_streams = mem_new_bytes((stream_count + 1) * sizeof(struct stream *));
    streams->scratch = mem_new_bytes(STREAM_SCRATCH);

    int r = 0;
    for (size_t i = 0; i < stream_count && r == 0; i++)
        r = add_stream(streams, &options[i], stream_count);
    for (size_t i = 0; i < route_count && r == 0; i++)
        r = add_route(streams, &routes[i]);
    if (r == 0)
        r = cursors_begin(streams);
    if (r < 0)
        return r;
    streams->commands.deliver = on_command;
    bus_subscribe_to(bus, &streams->list, &streams->commands, TOPIC_CTL_STREAM_LIST);
    for (size_t i = 0; i < streams->outlet_count; i++)
        bus_send_retained(bus, &streams->outlets[i]->status_subscription);
    *ret = steal(streams);
    return 0;
}

static void stream_done(struct stream *stream)
{
    bus_unsubscribe(stream->streams->bus, &stream->direct_subscription);
    if (stream->outlet)
        stream_export_done(stream);
    stream->log = seglog_close(stream->log);
    free(stream->name);
}

struct streams *streams_free(struct streams *streams)
{
    if (!streams)
        return NULL;
    streams->closing = true;
    bus_unsubscribe(streams->bus, &streams->list);
    for (size_t i = 0; i < streams->route_count; i++) {
        bus_unsubscribe(streams->bus, &streams->routes[i].subscription);
        free(streams->routes[i].pattern);
    }
    seglogs_quiesce(streams->logs);
    cursors_end(streams);
    seglogs_quiesce(streams->logs); /* what was released by that */
    for (size_t i = 0; i < streams->count; i++)
        stream_done(&streams->all[i]);
    for (size_t i = 0; i < streams->outlet_count; i++) {
        outlet_done(streams->outlets[i]);
        free(streams->outlets[i]);
    }
    free(streams->all);
    free(streams->routes);
    free(streams->outlets);
    free(streams->rows);
    free(streams->row_streams);
    free(streams->scratch);
    free(streams);
    return NULL;
}
