/* The kind "mqtt" of uplinks: passes on to mqtt_link.h. */
#include "cloud/link.h"
#include "cloud/mqtt_link.h"

#include <string.h>

struct mqtt_kind {
    struct link link;
    struct mqtt_link *mqtt;
};

struct publication {
    struct link_publish publish; /* first */
    struct mqtt_link_publish mqtt;
};

struct subscription {
    struct link_subscribe subscribe; /* first */
    struct mqtt_link_subscribe mqtt;
};

static struct mqtt_link *mqtt_of(const struct link *link)
{
    return container_of(link, struct mqtt_kind, link)->mqtt;
}

static bool serves(const char *uri)
{
    return strncmp(uri, "mqtt://", 7) == 0 || strncmp(uri, "mqtts://", 8) == 0;
}

static int open_kind(void **shared, const struct link_house *house)
{
    struct mqtt_links *links;
    int r = mqtt_links_new(&links, house->loop);
    if (r >= 0)
        *shared = links;
    return r;
}

static void close_kind(void *shared)
{
    (void)mqtt_links_free(shared);
}

static int create(struct link **ret, void *shared, const struct link_house *house,
                  const struct uplink_options *options, const struct link_events *events, void *self)
{
    (void)house;
    const struct mqtt_link_events mqtt_events = {events->on_up, events->on_down, events->on_message,
                                                 events->on_off};
    const struct mqtt_link_options mqtt_options = {
        .name = options->name,
        .uri = options->uri,
        .client_id = options->client_id,
        .ca = options->ca,
        .cert = options->cert,
        .key = options->key,
        .username = options->username,
        .password = options->password,
        .keepalive_s = options->keepalive_s,
        .protocol = options->protocol,
        .pause_max = options->pause_max,
        .alpn = options->alpn,
        .proxy = options->proxy,
        .proxy_password = options->proxy_password,
        .connect_timeout_s = options->connect_timeout_s,
        .window = options->window,
        .persistent = options->persistent,
        .session_expiry_s = options->session_expiry_s,
        .will_topic = options->will_topic,
        .will_message = options->will_message,
        .will_retain = options->will_retain,
        .receive_prefix = events->receive_prefix,
    };
    struct mqtt_link *mqtt;
    int r = mqtt_link_new(&mqtt, shared, &mqtt_options, &mqtt_events, self);
    if (r < 0)
        return r;
    struct mqtt_kind *link = mem_new(struct mqtt_kind);
    link->link.kind = &link_mqtt;
    link->mqtt = mqtt;
    *ret = &link->link;
    return 0;
}

static struct link *free_link(struct link *link)
{
    if (!link)
        return NULL;
    struct mqtt_kind *kind = container_of(link, struct mqtt_kind, link);
    kind->mqtt = mqtt_link_free(kind->mqtt);
    free(kind);
    return NULL;
}

static void start(struct link *link)
{
    mqtt_link_start(mqtt_of(link));
}

static void stop(struct link *link)
{
    mqtt_link_stop(mqtt_of(link));
}

static bool is_up(const struct link *link)
{
    return mqtt_link_is_up(mqtt_of(link));
}

static void network_came(struct link *link)
{
    mqtt_link_network_came(mqtt_of(link));
}

static void set_verify_time(struct link *link, int64_t time_s)
{
    mqtt_link_set_verify_time(mqtt_of(link), time_s);
}

static unsigned window(const struct link *link)
{
    return mqtt_link_window(mqtt_of(link));
}

static uint64_t lost(const struct link *link)
{
    return mqtt_link_lost(mqtt_of(link));
}

static void on_published(struct mqtt_link_publish *mqtt, int r)
{
    struct publication *publication = container_of(mqtt, struct publication, mqtt);
    publication->publish.done(&publication->publish, r, NULL);
}

static int publish_message(struct link *link, struct link_publish *publish)
{
    struct publication *publication = container_of(publish, struct publication, publish);
    publication->mqtt = (struct mqtt_link_publish){
        .msg = publish->msg, .topic = publish->topic, .qos = publish->qos, .done = on_published};
    return mqtt_link_publish(mqtt_of(link), &publication->mqtt);
}

static void on_subscribed(struct mqtt_link_subscribe *mqtt, int r)
{
    struct subscription *subscription = container_of(mqtt, struct subscription, mqtt);
    subscription->subscribe.done(&subscription->subscribe, r);
}

static int subscribe(struct link *link, struct link_subscribe *subscribe)
{
    struct subscription *subscription = container_of(subscribe, struct subscription, subscribe);
    subscription->mqtt = (struct mqtt_link_subscribe){
        .filter = subscribe->filter, .off = subscribe->off, .done = on_subscribed};
    return mqtt_link_subscribe(mqtt_of(link), &subscription->mqtt);
}

const struct link_kind link_mqtt = {
    .name = "mqtt",
    .serves = serves,
    .publish_size = sizeof(struct publication),
    .subscribe_size = sizeof(struct subscription),
    .says_off = true,
    .open = open_kind,
    .close = close_kind,
    .create = create,
    .free = free_link,
    .start = start,
    .stop = stop,
    .is_up = is_up,
    .network_came = network_came,
    .set_verify_time = set_verify_time,
    .publish = publish_message,
    .subscribe = subscribe,
    .window = window,
    .lost = lost,
};
