/* Lifecycle events, AWS IoT's: who came, who left and why, who subscribed to what; and the registry hears who is there.
 *
 * Composed only when somebody listens. Of the command line and of plugins nothing is said: they are the house's own. A client
 * id that could not be a topic level ('+', '#') has no events.
 */
#include "mqtt/peer.h"

#include "base/json_write.h"
#include "bus/topics.h"
#include "identity/admission.h"

#include <stdio.h>
#include <string.h>

static const char *const reasons[] = {
    [PRESENCE_LOST] = "CONNECTION_LOST",
    [PRESENCE_CLIENT] = "CLIENT_INITIATED_DISCONNECT",
    [PRESENCE_CLIENT_ERROR] = "CLIENT_ERROR",
    [PRESENCE_DUPLICATE] = "DUPLICATE_CLIENTID",
    [PRESENCE_KEEPALIVE] = "MQTT_KEEP_ALIVE_TIMEOUT",
    [PRESENCE_FORBIDDEN] = "FORBIDDEN_ACCESS",
    [PRESENCE_SERVER] = "SERVER_INITIATED_DISCONNECT",
    [PRESENCE_EXPIRED] = "CUSTOMAUTH_TTL_EXPIRATION",
};

/* An event that is being composed. */
struct event {
    struct arena arena;
    struct json_writer w;
    char *topic;
};

static void put(struct event *event, const char *key, const char *value)
{
    json_key(&event->w, key);
    json_put_string(&event->w, value);
}

static bool has_events(const struct peer *peer, const char *client_id, size_t len)
{
    enum principal_kind kind = peer->principal ? peer->principal->kind : PRINCIPAL_CERTIFICATE;
    return !peer->broker->closing && kind != PRINCIPAL_CONTROL && kind != PRINCIPAL_PLUGIN &&
           !memchr(client_id, '+', len) && !memchr(client_id, '#', len);
}

/* false: nobody listens. */
static bool begin(struct event *event, const struct peer *peer, const char *format, const char *type,
                  const char *client_id, size_t len)
{
    struct broker *broker = peer->broker;
    if (!has_events(peer, client_id, len))
        return false;
    arena_init(&event->arena);
    const char *id = arena_copy(&event->arena, client_id, len);
    event->topic =
        arena_printf(&event->arena, "%.*s%s", (int)strlen(format) - 2, format, id); /* for its %s */
    if (!bus_is_heard(broker->bus, event->topic, strlen(event->topic))) {
        arena_done(&event->arena);
        return false;
    }
    char session[40];
    (void)snprintf(session, sizeof session, "%016llx%016llx", (unsigned long long)broker->seed,
                   (unsigned long long)peer->number);
    json_writer_init(&event->w, &event->arena);
    json_begin_object(&event->w);
    put(event, "clientId", id);
    json_key(&event->w, "timestamp");
    json_put_int(&event->w, loop_wall(broker->loop));
    put(event, "eventType", type);
    put(event, "sessionIdentifier", session);
    const struct principal *who = peer->principal;
    put(event, "principalIdentifier", !who ? "" : who->id ? who->id : who->name);
    return true;
}

static void put_address(struct event *event, const struct peer *peer)
{
    char address[ADDRESS_TEXT_BYTES];
    address_host_text(conn_address(peer->conn), address);
    if (*address)
        put(event, "ipAddress", address);
}

/* The thing of somebody who is attached to it exclusively, as at AWS IoT. */
static void put_thing(struct event *event, const struct peer *peer)
{
    const struct registry *registry =
        peer->broker->options.admission ? admission_registry(peer->broker->options.admission) : NULL;
    const char *id = peer->principal ? peer->principal->id : NULL;
    const struct registry_principal *principal = registry && id ? registry_principal(registry, id) : NULL;
    for (size_t i = 0; principal && i < principal->thing_count; i++)
        if (principal->things[i].exclusive)
            put(event, "thingName", principal->things[i].thing->key.text);
}

static void put_version(struct event *event, const struct peer *peer)
{
    json_key(&event->w, "versionNumber");
    json_put_uint(&event->w, peer->number);
}

static void finish(struct event *event, struct broker *broker)
{
    json_end_object(&event->w);
    bus_say(broker->bus, event->topic, json_writer_text(&event->w, NULL), BUS_PASS);
    arena_done(&event->arena);
}

/* The thing whose connection this is: named like the client, or the principal's only one. */
static void tell_registry(const struct peer *peer, bool connected)
{
    struct admission *admission = peer->broker->options.admission;
    if (!admission || !peer->session)
        return;
    struct registry *registry = admission_registry(admission);
    const char *name = peer->session->key.text;
    const struct registry_principal *who =
        peer->principal && peer->principal->id ? registry_principal(registry, peer->principal->id) : NULL;
    const struct registry_thing *thing =
        who ? registry_thing_of(who, name, peer->session->key.len) : registry_thing(registry, name);
    if (thing)
        registry_thing_connected(registry, thing->key.text, connected, reasons[peer->gone]);
}

void presence_connected(struct peer *peer)
{
    struct event event;
    peer->number = ++peer->broker->connections;
    tell_registry(peer, true);
    if (!begin(&event, peer, TOPIC_EVENT_CONNECTED_FORMAT, "connected", peer->session->key.text,
               peer->session->key.len))
        return;
    put_thing(&event, peer);
    put_address(&event, peer);
    put_version(&event, peer);
    finish(&event, peer->broker);
}

void presence_failed(struct peer *peer, const char *client_id, size_t len)
{
    struct event event;
    if (!begin(&event, peer, TOPIC_EVENT_FAILED_FORMAT, "connect_failed", client_id, len))
        return;
    put(&event, "connectFailureReason", "AUTHORIZATION_FAILED");
    put_address(&event, peer);
    finish(&event, peer->broker);
}

void presence_reason_of(struct peer *peer, uint8_t reason, const char *why)
{
    if (peer->gone != PRESENCE_LOST)
        return;
    switch (reason) {
    case WIRE_TAKEN_OVER: peer->gone = PRESENCE_DUPLICATE; break;
    case WIRE_KEEPALIVE_TIMEOUT: peer->gone = PRESENCE_KEEPALIVE; break;
    case WIRE_NOT_AUTHORIZED: peer->gone = PRESENCE_FORBIDDEN; break;
    case WIRE_CONNECT_TIME: peer->gone = PRESENCE_EXPIRED; break;
    case WIRE_SHUTTING_DOWN:
    case WIRE_ADMINISTRATIVE: peer->gone = PRESENCE_SERVER; break;
    default: peer->gone = why ? PRESENCE_CLIENT_ERROR : PRESENCE_SERVER; break;
    }
}

void presence_disconnected(struct peer *peer)
{
    struct event event;
    if (!peer->number) /* its CONNECT was not accepted */
        return;
    tell_registry(peer, false);
    if (!begin(&event, peer, TOPIC_EVENT_DISCONNECTED_FORMAT, "disconnected", peer->session->key.text,
               peer->session->key.len))
        return;
    put_thing(&event, peer);
    json_key(&event.w, "clientInitiatedDisconnect");
    json_put_bool(&event.w, peer->gone == PRESENCE_CLIENT);
    put(&event, "disconnectReason", reasons[peer->gone]);
    put_version(&event, peer);
    finish(&event, peer->broker);
}

static bool begin_topics(struct event *event, struct peer *peer, const char *format, const char *type)
{
    if (!begin(event, peer, format, type, peer->session->key.text, peer->session->key.len))
        return false;
    json_key(&event->w, "topics");
    json_begin_array(&event->w);
    return true;
}

static void finish_topics(struct event *event, struct broker *broker)
{
    json_end_array(&event->w);
    finish(event, broker);
}

void presence_subscribed(struct peer *peer, const char *const *filters, size_t count)
{
    struct event event;
    if (!begin_topics(&event, peer, TOPIC_EVENT_SUBSCRIBED_FORMAT, "subscribed"))
        return;
    for (size_t i = 0; i < count; i++)
        json_put_string(&event.w, filters[i]);
    finish_topics(&event, peer->broker);
}

void presence_unsubscribed(struct peer *peer, const struct wire_packet *packet)
{
    struct event event;
    struct wire_filter filter;
    if (!begin_topics(&event, peer, TOPIC_EVENT_UNSUBSCRIBED_FORMAT, "unsubscribed"))
        return;
    for (uint32_t at = 0; wire_filter_next(packet, &at, &filter);)
        json_put_string_n(&event.w, filter.filter.text, filter.filter.len);
    finish_topics(&event, peer->broker);
}

/* ---- who may not stay ---------------------------------------------------------------------------------------------------- */

static const char *who_is_not_active(const struct principal *principal)
{
    return principal->kind == PRINCIPAL_USER ? "its user is not ACTIVE any more"
                                             : "its certificate is not ACTIVE any more";
}

static void on_registry_changed(struct registry_watcher *watcher, const struct registry_change *change)
{
    struct broker *broker = container_of(watcher, struct broker, registry);
    bool everybody = change->kind == REGISTRY_KINDS;
    bool concerns = change->kind == REGISTRY_PRINCIPAL &&
                    (change->event == REGISTRY_UPDATED || change->event == REGISTRY_DELETED);
    if (!everybody && !concerns)
        return;
    const struct registry *registry = admission_registry(broker->options.admission);
    list_for_each_safe (link, &broker->peers) {
        struct peer *peer = list_entry(link, struct peer, link);
        const char *id = peer->principal ? peer->principal->id : NULL;
        if (!id || (!everybody && strcmp(id, change->name) != 0))
            continue;
        const struct registry_principal *principal = registry_principal(registry, id);
        if (!principal || principal->status != REGISTRY_ACTIVE)
            peer_close(peer, WIRE_NOT_AUTHORIZED, who_is_not_active(peer->principal));
        else if (change->proof_changed)
            peer_close(peer, WIRE_NOT_AUTHORIZED, "its password is another one now");
    }
}

void presence_watch(struct broker *broker)
{
    broker->registry.changed = on_registry_changed;
    if (broker->options.admission)
        registry_watch(admission_registry(broker->options.admission), &broker->registry);
}

void peer_note_refusal(struct peer *peer, const char *what, struct wire_text object, const char *why)
{
    peer->broker->counters.unauthorized++;
    struct admission *admission = peer->broker->options.admission;
    if (!admission)
        return;
    cleanup_free char *text = str_copy_n(object.text, object.len);
    const struct principal *who = peer->principal;
    admission_refused(admission, who->id ? who->id : who->name, what, text, why);
}
