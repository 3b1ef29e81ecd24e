#include "services/metrics/metrics_text.h"

#include <stdio.h>
#include <string.h>

enum kind {
    COUNTER,
    GAUGE,
    MILLISECONDS /* a gauge that is told in seconds */,
    STATE /* 1 if it is that text */
};

/* A figure of the gateway as a whole. Rows of the same name follow each other and differ in their labels. */
static const struct figure {
    enum metrics_part part;
    enum kind kind;
    const char *path, *name, *labels, *help;
} figures[] = {
    {METRICS_GATEWAY, GAUGE, "uptime", "uptime_seconds", "", "Time since the daemon started."},
    {METRICS_GATEWAY, COUNTER, "turns", "loop_turns_total", "", "Turns of the event loop."},
    {METRICS_GATEWAY, COUNTER, "slowCallbacks", "loop_slow_callbacks_total", "",
     "Callbacks that took longer than their budget."},
    {METRICS_GATEWAY, COUNTER, "bus.published", "bus_published_total", "", "Messages published on the bus."},
    {METRICS_GATEWAY, COUNTER, "bus.delivered", "bus_delivered_total", "", "Deliveries to subscribers."},
    {METRICS_GATEWAY, COUNTER, "bus.unmatched", "bus_unmatched_total", "",
     "Messages that nobody had subscribed to."},
    {METRICS_GATEWAY, COUNTER, "bus.hopsExceeded", "bus_circles_total", "",
     "Messages dropped because they went in circles."},
    {METRICS_GATEWAY, GAUGE, "bus.subscriptions", "bus_subscriptions", "", "Subscriptions."},
    {METRICS_GATEWAY, GAUGE, "bus.retained", "retained_messages", "", "Retained messages."},
    {METRICS_GATEWAY, GAUGE, "bus.retainedBytes", "retained_bytes", "", "Memory of retained messages."},
    {METRICS_GATEWAY, COUNTER, "bus.retainedRefused", "retained_refused_total", "",
     "Messages not retained because a limit was reached."},
    {METRICS_GATEWAY, COUNTER, "store.commits", "store_commits_total", "", "Commits of the database."},
    {METRICS_GATEWAY, COUNTER, "store.writes", "store_writes_total", "", "Writes in those commits."},
    {METRICS_GATEWAY, COUNTER, "store.failures", "store_failures_total", "", "Writes that failed."},
    {METRICS_GATEWAY, GAUGE, "store.bytes", "store_bytes", "", "Size of the database."},
    {METRICS_GATEWAY, GAUGE, "store.damaged", "store_damaged", "",
     "1 if something in the database could not be read."},
    {METRICS_BROKER, GAUGE, "connections", "mqtt_connections", "", "Clients that are connected."},
    {METRICS_BROKER, GAUGE, "sessions", "mqtt_sessions", "", "Sessions, of clients that are away, too."},
    {METRICS_BROKER, GAUGE, "queuedBytes", "mqtt_queued_bytes", "", "Bytes that wait for clients."},
    {METRICS_BROKER, COUNTER, "connects", "mqtt_connects_total", "", "Clients that were let in."},
    {METRICS_BROKER, COUNTER, "refused", "mqtt_refused_connects_total", "", "Clients that were not let in."},
    {METRICS_BROKER, COUNTER, "leftEarly", "mqtt_left_early_total", "",
     "Connections that ended before CONNECT."},
    {METRICS_BROKER, COUNTER, "disconnects", "mqtt_disconnects_total", "", "Connections that ended."},
    {METRICS_BROKER, COUNTER, "takeovers", "mqtt_takeovers_total", "",
     "Connections that ended because another had the same client id."},
    {METRICS_BROKER, COUNTER, "keepaliveTimeouts", "mqtt_keepalive_timeouts_total", "",
     "Clients that were silent for too long."},
    {METRICS_BROKER, COUNTER, "protocolErrors", "mqtt_protocol_errors_total", "",
     "Packets that broke the protocol."},
    {METRICS_BROKER, COUNTER, "received", "mqtt_received_total", "", "PUBLISH packets from clients."},
    {METRICS_BROKER, COUNTER, "sent", "mqtt_sent_total", "", "PUBLISH packets to clients."},
    {METRICS_BROKER, COUNTER, "unauthorized", "mqtt_unauthorized_total", "",
     "PUBLISH and SUBSCRIBE packets that no policy allows."},
    {METRICS_BROKER, COUNTER, "droppedQos0", "mqtt_dropped_total", "reason=\"slow receiver, QoS 0\"",
     "Messages that a receiver did not get."},
    {METRICS_BROKER, COUNTER, "droppedQueueFull", "mqtt_dropped_total", "reason=\"queue full\"", ""},
    {METRICS_BROKER, COUNTER, "droppedTooLarge", "mqtt_dropped_total",
     "reason=\"larger than the client takes\"", ""},
    {METRICS_BROKER, COUNTER, "droppedExpired", "mqtt_dropped_total", "reason=\"expired\"", ""},
    {METRICS_BROKER, COUNTER, "refusedQueueFull", "mqtt_refused_queue_full_total", "",
     "Messages refused because a receiver's queue was full."},
    {METRICS_BROKER, COUNTER, "waits", "mqtt_waits_total", "",
     "Times that nothing was read from a client for a while, because the disk or a receiver was behind."},
    {METRICS_HTTP, GAUGE, "connections", "http_connections", "", "HTTP clients that are connected."},
    {METRICS_HTTP, COUNTER, "requests", "http_requests_total", "", "HTTP requests."},
    {METRICS_HTTP, COUNTER, "refused", "http_refused_total", "",
     "HTTP requests answered with 400 and above."},
    {METRICS_HTTP, COUNTER, "unauthorized", "http_unauthorized_total", "",
     "HTTP requests answered with 403."},
    {METRICS_HTTP, COUNTER, "timeouts", "http_timeouts_total", "", "HTTP clients that took too long."},
    {METRICS_HTTP, COUNTER, "turnedAway", "http_turned_away_total", "",
     "HTTP connections beyond connections-max."},
    {METRICS_PROVISIONING, GAUGE, "waiting", "provisioning_waiting", "",
     "Certificates that claimants were given and that are nobody's yet."},
    {METRICS_PROVISIONING, COUNTER, "created", "provisioning_certificates_total", "",
     "Certificates that claimants were given."},
    {METRICS_PROVISIONING, COUNTER, "provisioned", "provisioning_things_total", "by=\"token\"",
     "Devices that were provisioned."},
    {METRICS_PROVISIONING, COUNTER, "justInTime", "provisioning_things_total", "by=\"authority\"", ""},
    {METRICS_PROVISIONING, COUNTER, "rejected", "provisioning_rejected_total", "",
     "Provisioning requests that were refused."},
    {METRICS_PROVISIONING, COUNTER, "expired", "provisioning_expired_total", "",
     "Certificates that were nobody's after an hour."},
};

/* A figure of each of several: streams, uplinks, listeners; those of the broker's may be the HTTP server's, too. */
static const struct each {
    enum metrics_part part;
    enum kind kind;
    const char *list, *id, *label, *member, *name, *help;
    const char *text; /* of a STATE */
} eachs[] = {
    {METRICS_BROKER, COUNTER, "listeners", "uri", "listener", "accepted", "listener_accepted_total",
     "Connections that were accepted.", NULL},
    {METRICS_BROKER, COUNTER, "listeners", "uri", "listener", "heldBack", "listener_held_back_total",
     "Times that clients had to wait because of connect-rate.", NULL},
    {METRICS_BROKER, COUNTER, "listeners", "uri", "listener", "refusedPerAddress",
     "listener_refused_per_address_total", "Connections refused because of connections-per-address.", NULL},
    {METRICS_BROKER, COUNTER, "listeners", "uri", "listener", "refusedProxy", "listener_refused_proxy_total",
     "Connections without the PROXY header that is asked for.", NULL},
    {METRICS_BROKER, COUNTER, "listeners", "uri", "listener", "exhausted", "listener_exhausted_total",
     "Times that descriptors or memory ran out.", NULL},
    {METRICS_BROKER, GAUGE, "certificates", "listener", "listener", "expires",
     "certificate_expiry_timestamp_seconds", "When the listener's certificate expires, since 1970.", NULL},
    {METRICS_STREAMS, GAUGE, "streams", "name", "stream", "pending", "stream_pending_records",
     "Records that the cloud has not acknowledged yet.", NULL},
    {METRICS_STREAMS, GAUGE, "streams", "name", "stream", "bytes", "stream_bytes", "Size on disk.", NULL},
    {METRICS_STREAMS, GAUGE, "streams", "name", "stream", "maxBytes", "stream_max_bytes",
     "Size that the stream may have.", NULL},
    {METRICS_STREAMS, COUNTER, "streams", "name", "stream", "appended", "stream_appended_total",
     "Records appended.", NULL},
    {METRICS_STREAMS, COUNTER, "streams", "name", "stream", "refused", "stream_refused_total",
     "Records refused because the stream was full or the disk behind.", NULL},
    {METRICS_STREAMS, COUNTER, "streams", "name", "stream", "retries", "stream_retries_total",
     "Times that sending began again.", NULL},
    {METRICS_STREAMS, COUNTER, "streams", "name", "stream", "faults", "stream_faults_total",
     "Appends and reads that the disk failed.", NULL},
    {METRICS_STREAMS, COUNTER, "streams", "name", "stream", "damaged", "stream_damaged_total",
     "Records found damaged and left out.", NULL},
    {METRICS_STREAMS, COUNTER, "streams", "name", "stream", "written", "stream_written_bytes_total",
     "Bytes written to the disk.", NULL},
    {METRICS_UPLINKS, STATE, "uplinks", "name", "uplink", "state", "uplink_up", "1 if it is connected.",
     "up"},
    {METRICS_UPLINKS, COUNTER, "uplinks", "name", "uplink", "sent", "uplink_sent_total",
     "Messages that the cloud has acknowledged.", NULL},
    {METRICS_UPLINKS, COUNTER, "uplinks", "name", "uplink", "failed", "uplink_failed_total",
     "Messages that it has not.", NULL},
    {METRICS_UPLINKS, COUNTER, "uplinks", "name", "uplink", "refused", "uplink_refused_total",
     "Messages that were refused for good.", NULL},
    {METRICS_UPLINKS, COUNTER, "uplinks", "name", "uplink", "bytes", "uplink_sent_bytes_total",
     "Bytes of the payloads that were acknowledged.", NULL},
    {METRICS_UPLINKS, GAUGE, "uplinks", "name", "uplink", "inFlight", "uplink_in_flight",
     "Messages that are under way.", NULL},
    {METRICS_UPLINKS, COUNTER, "uplinks", "name", "uplink", "received", "uplink_received_total",
     "Messages from the cloud.", NULL},
    {METRICS_UPLINKS, COUNTER, "uplinks", "name", "uplink", "lost", "uplink_lost_total",
     "Messages from the cloud that there was no room for.", NULL},
    {METRICS_PLUGINS, STATE, "plugins", "name", "plugin", "state", "plugin_up", "1 if it is running.",
     "running"},
    {METRICS_PLUGINS, COUNTER, "plugins", "name", "plugin", "restarts", "plugin_restarts_total",
     "Times that it was started again.", NULL},
    {METRICS_SYNCS, GAUGE, "syncs", "name", "sync", "connected", "sync_connected",
     "1 if the cloud's shadows can be heard.", NULL},
    {METRICS_SYNCS, GAUGE, "syncs", "name", "sync", "shadows", "sync_shadows", "Shadows kept equal.", NULL},
    {METRICS_SYNCS, GAUGE, "syncs", "name", "sync", "behind", "sync_behind_shadows",
     "Shadows that may differ now.", NULL},
    {METRICS_SYNCS, MILLISECONDS, "syncs", "name", "sync", "lag", "sync_lag_seconds",
     "How long the one that waits longest has.", NULL},
    {METRICS_SYNCS, COUNTER, "syncs", "name", "sync", "messages", "sync_messages_total",
     "Messages to the cloud.", NULL},
    {METRICS_SYNCS, COUNTER, "syncs", "name", "sync", "conflicts", "sync_conflicts_total",
     "Values that both sides had changed.", NULL},
    {METRICS_SYNCS, COUNTER, "syncs", "name", "sync", "failures", "sync_failures_total",
     "Rounds that failed.", NULL},
};

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static void head(FILE *out, const char *name, enum kind kind, const char *help)
{
    (void)fprintf(out, "# HELP gatehouse_%s %s\n# TYPE gatehouse_%s %s\n", name, help, name,
                  kind == COUNTER ? "counter" : "gauge");
}

/* \, " and line feeds are escaped. */
static void put_label(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n') {
            (void)fputs("\\n", out);
            continue;
        }
        if (*text == '\\' || *text == '"')
            (void)fputc('\\', out);
        (void)fputc(*text, out);
    }
}

/* The number as it stands in the answer; false: there is none. */
static bool put_value(FILE *out, const struct json *value, enum kind kind, const char *text)
{
    bool yes;
    double number;
    if (kind == STATE && json_is(value, JSON_STRING))
        return fprintf(out, " %d\n", json_text_is(value, text)) > 0;
    if (json_bool(value, &yes))
        return fprintf(out, " %d\n", yes) > 0;
    if (!json_double(value, &number))
        return false;
    return fprintf(out, " %.17g\n", kind == MILLISECONDS ? number / 1000 : number) > 0;
}

static bool has_value(const struct json *value, enum kind kind)
{
    bool yes;
    double number;
    return json_bool(value, &yes) || json_double(value, &number) ||
           (kind == STATE && json_is(value, JSON_STRING));
}

/* "bus.published" is a member of a member. */
static const struct json *at_path(const struct json *object, const char *path)
{
    const char *dot = strchr(path, '.');
    return dot ? json_get(json_get_n(object, path, (size_t)(dot - path)), dot + 1) : json_get(object, path);
}

static void put_figures(FILE *out, const struct json *const answers[METRICS_PARTS])
{
    const char *last = "";
    for (size_t i = 0; i < array_size(figures); i++) {
        const struct figure *figure = &figures[i];
        const struct json *value = at_path(answers[figure->part], figure->path);
        if (!has_value(value, figure->kind))
            continue;
        if (strcmp(figure->name, last) != 0)
            head(out, last = figure->name, figure->kind, figure->help);
        (void)fprintf(out, "gatehouse_%s%s%s%s", figure->name, *figure->labels ? "{" : "", figure->labels,
                      *figure->labels ? "}" : "");
        (void)put_value(out, value, figure->kind, NULL);
    }
}

static void put_rows(FILE *out, struct arena *arena, const struct each *each, const struct json *answer,
                     bool *begun)
{
    json_for_each (row, json_get(answer, each->list)) {
        const struct json *value = json_get(row, each->member);
        const char *id;
        if (!has_value(value, each->kind) || !json_text(json_get(row, each->id), arena, &id))
            continue;
        if (!*begun)
            head(out, each->name, each->kind, each->help);
        *begun = true;
        (void)fprintf(out, "gatehouse_%s{%s=\"", each->name, each->label);
        put_label(out, id);
        (void)fputs("\"}", out);
        (void)put_value(out, value, each->kind, each->text);
    }
}

static void put_each(FILE *out, struct arena *arena, const struct each *each,
                     const struct json *const answers[METRICS_PARTS])
{
    bool begun = false;
    put_rows(out, arena, each, answers[each->part], &begun);
    if (each->part == METRICS_BROKER)
        put_rows(out, arena, each, answers[METRICS_HTTP], &begun);
}

/* {"connect":{"not authorized":3}}: of what, and why. */
static void put_refusals(FILE *out, struct arena *arena, const struct json *refusals)
{
    bool begun = false;
    json_for_each (kind, refusals) {
        json_for_each (reason, kind) {
            const char *what = arena_printf(arena, "%.*s", (int)kind->key_len, kind->key);
            const char *why = arena_printf(arena, "%.*s", (int)reason->key_len, reason->key);
            if (!begun)
                head(out, "mqtt_refusals_total", COUNTER, "What was refused, by the standard's reason.");
            begun = true;
            (void)fputs("gatehouse_mqtt_refusals_total{what=\"", out);
            put_label(out, what);
            (void)fputs("\",reason=\"", out);
            put_label(out, why);
            (void)fputs("\"}", out);
            (void)put_value(out, reason, COUNTER, NULL);
        }
    }
}

static void put_version(FILE *out, struct arena *arena, const struct json *gateway)
{
    const char *name, *version;
    if (!json_text(json_get(gateway, "name"), arena, &name) ||
        !json_text(json_get(gateway, "version"), arena, &version))
        return;
    head(out, "info", GAUGE, "Always 1: who this is.");
    (void)fputs("gatehouse_info{name=\"", out);
    put_label(out, name);
    (void)fputs("\",version=\"", out);
    put_label(out, version);
    (void)fputs("\"} 1\n", out);
}

const char *metrics_text(struct arena *arena, const struct json *const answers[METRICS_PARTS])
{
    cleanup_free char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return "";
    put_version(out, arena, answers[METRICS_GATEWAY]);
    put_figures(out, answers);
    put_refusals(out, arena, json_get(answers[METRICS_BROKER], "refusals"));
    for (size_t i = 0; i < array_size(eachs); i++)
        put_each(out, arena, &eachs[i], answers);
    if (fclose(out) != 0)
        return "";
    return arena_printf(arena, "%s", text);
}
