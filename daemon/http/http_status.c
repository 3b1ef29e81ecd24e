/* The server's counters for whoever asks, in the broker's words. */
#include "base/json_write.h"
#include "bus/topics.h"
#include "http/http_peer.h"
#include "net/listener_status.h"

static void put(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_put_uint(w, value);
}

/* Of every door. */
static void put_doors(struct json_writer *w, const char *key, const struct http_server *server,
                      void (*put_one)(const struct listener *listener, struct json_writer *w))
{
    json_key(w, key);
    json_begin_array(w);
    list_for_each (link, &server->doors)
        put_one(list_entry(link, struct http_door, link)->listener, w);
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
    put_doors(&w, "listeners", server, listener_put_counters);
    put_doors(&w, "certificates", server, listener_put_certificate);
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
