/* The server's counters for whoever asks, in the broker's words. */
#include "base/json_write.h"
#include "bus/topics.h"
#include "http/http_peer.h"

static void put(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_put_uint(w, value);
}

static void put_listener(struct json_writer *w, const struct listener *listener)
{
    struct listener_counters counted;
    listener_counters(listener, &counted);
    json_begin_object(w);
    json_key(w, "uri");
    json_put_string(w, listener_name(listener));
    put(w, "accepted", counted.accepted);
    put(w, "heldBack", counted.held_back);
    put(w, "refusedPerAddress", counted.refused_per_address);
    put(w, "refusedProxy", counted.refused_proxy);
    put(w, "exhausted", counted.exhausted);
    json_end_object(w);
}

static void put_certificate(struct json_writer *w, const struct listener *listener)
{
    int64_t expires = listener_expires(listener);
    if (!expires)
        return;
    json_begin_object(w);
    json_key(w, "listener");
    json_put_string(w, listener_name(listener));
    json_key(w, "expires");
    json_put_int(w, expires);
    json_end_object(w);
}

/* Those that are open. */
static void put_each(struct json_writer *w, const char *key, const struct http_server *server,
                     void (*put_one)(struct json_writer *w, const struct listener *listener))
{
    json_key(w, key);
    json_begin_array(w);
    list_for_each (link, &server->doors) {
        const struct listener *listener = list_entry(link, struct http_door, link)->listener;
        if (listener)
            put_one(w, listener);
    }
    json_end_array(w);
}

static void on_request(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct http_server *server = container_of(subscriber, struct http_server, subscriber);
    const struct http_counters *counters = &server->counters;
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    put(&w, "connections", counters->connections);
    put(&w, "bodyBytes", counters->body_bytes);
    put(&w, "requests", counters->requests);
    put(&w, "refused", counters->refused);
    put(&w, "unauthorized", counters->unauthorized);
    put(&w, "timeouts", counters->timeouts);
    put(&w, "turnedAway", counters->turned_away);
    put_each(&w, "listeners", server, put_listener);
    put_each(&w, "certificates", server, put_certificate);
    json_end_object(&w);
    bus_reply(server->bus, msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

void http_status_open(struct http_server *server)
{
    server->subscriber.deliver = on_request;
    bus_subscribe_to(server->bus, &server->status, &server->subscriber, TOPIC_CTL_HTTP_STATUS);
}

void http_status_close(struct http_server *server)
{
    bus_unsubscribe(server->bus, &server->status);
}
