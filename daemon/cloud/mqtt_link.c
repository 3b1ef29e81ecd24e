#include "cloud/mqtt_link.h"

#include "base/log.h"
#include "cloud/backoff.h"
#include "cloud/mqtt_link_paho.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* The loop's side: a state, lists of what is under way, one timer. What calls Paho is in mqtt_link_paho.c.
 *
 *      mqtt_link_publish ─▶ waiting ─▶ with_broker ─▶ done
 *                                      at most `window`, and not much in bytes: handed to the worker, then with Paho
 *
 *      mqtt_link_subscribe ─▶ subscribing ─▶ done
 *
 * A message leaves with_broker when the worker has let go of it and the answer is there, whichever comes last. Closing
 * is an item for the worker behind everything that was handed over before; when it is done, Paho has called back for the
 * last time, so the notes that are still in the inbox are run and whatever is left then has no answer. */

enum {
    WINDOW = 64,
    WINDOW_BYTES = 512 * 1024,
    KEEPALIVE_S = 60,
    WAITING_MAX = 1000,
    WAITING_BYTES_MAX = 8 * 1024 * 1024,
    PAUSE_MIN = 1000,
    PAUSE_MAX = 60 * 1000,
    HELD = 10 * 1000, /* a connection that lasted so long ends a series of failures */
};

enum state { OFF, WAITING, OPENING, UP, CLOSING };

struct mqtt_links {
    struct loop *loop;
    struct worker *worker;
    struct inbox *inbox;
};

struct mqtt_link {
    struct mqtt_links *links;
    struct mqtt_link_events events;
    void *self;
    struct paho paho;

    enum state state;
    bool wanted;  /* started, not stopped */
    bool at_once; /* started while it was closing: no pause */
    struct work open, close;
    struct timer pause;
    struct backoff backoff;
    int64_t up_since;

    unsigned window_asked, window;
    struct list waiting, with_broker, subscribing;
    size_t waiting_count, waiting_bytes, with_broker_count, with_broker_bytes;
};

int mqtt_links_new(struct mqtt_links **ret, struct loop *loop)
{
    cleanup(mqtt_links_free_p) struct mqtt_links *links = mem_new(struct mqtt_links);
    links->loop = loop;
    int r = worker_new(&links->worker, loop, "gh-cloud", NULL, NULL, WORKER_THREAD);
    if (r < 0)
        return r;
    r = inbox_new(&links->inbox, loop);
    if (r < 0)
        return r;
    *ret = steal(links);
    return 0;
}

struct mqtt_links *mqtt_links_free(struct mqtt_links *links)
{
    if (!links)
        return NULL;
    links->worker = worker_free(links->worker);
    links->inbox = inbox_free(links->inbox);
    free(links);
    return NULL;
}

static void fail(struct mqtt_link *link, const char *reason);

/* ---- what is under way ------------------------------------------------------------------------------------------- */

/* One that found no connection is the first sign that there is none any more; Paho says so a moment later. It stays where
 * it is until the link is closed, so that all come back in order, to somebody who knows that it is down. */
static void finish(struct mqtt_link_ask *ask, int r)
{
    if (r != -ENOTCONN)
        ask->finish(ask, r);
    else if (ask->link->state == UP)
        fail(ask->link, "the connection was lost");
}

static void on_handed(struct work *work)
{
    struct mqtt_link_ask *ask = container_of(work, struct mqtt_link_ask, work);
    ask->handing = false;
    if (work->r < 0)
        finish(ask, work->r);
    else if (ask->answered)
        finish(ask, ask->answer);
}

static void on_answer(struct note *note)
{
    struct mqtt_link_ask *ask = container_of(note, struct mqtt_link_ask, note);
    ask->answered = true;
    if (!ask->handing)
        finish(ask, ask->answer);
}

static void ask_init(struct mqtt_link_ask *ask, struct mqtt_link *link,
                     void (*run)(struct work *work, void *resource),
                     void (*finish_ask)(struct mqtt_link_ask *ask, int r))
{
    *ask = (struct mqtt_link_ask){
        .link = link,
        .inbox = link->links->inbox,
        .work = {.run = run, .done = on_handed},
        .note = {.run = on_answer},
        .finish = finish_ask,
    };
}

static void hand_over(struct mqtt_link_ask *ask, struct list *list)
{
    ask->handing = true;
    ask->answered = false;
    list_append(list, &ask->place);
    worker_submit(ask->link->links->worker, &ask->work);
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* Paho loses the memory of what it could not write before the connection ended, so it is given little of what is large. */
static bool has_room(const struct mqtt_link *link)
{
    return link->with_broker_count < link->window && link->with_broker_bytes < WINDOW_BYTES;
}

static void hand_to_broker(struct mqtt_link *link, struct mqtt_link_publish *publish)
{
    link->with_broker_count++;
    link->with_broker_bytes += msg_cost(publish->msg);
    hand_over(&publish->ask, &link->with_broker);
}

static void take_from_broker(struct mqtt_link_publish *publish)
{
    struct mqtt_link *link = publish->ask.link;
    list_remove(&publish->ask.place);
    link->with_broker_count--;
    link->with_broker_bytes -= msg_cost(publish->msg);
}

static void fill_window(struct mqtt_link *link)
{
    while (link->state == UP && has_room(link)) {
        struct list *place = list_pop(&link->waiting);
        if (!place)
            return;
        struct mqtt_link_publish *publish = list_entry(place, struct mqtt_link_publish, ask.place);
        link->waiting_count--;
        link->waiting_bytes -= msg_cost(publish->msg);
        hand_to_broker(link, publish);
    }
}

static void finish_publish(struct mqtt_link_ask *ask, int r)
{
    struct mqtt_link_publish *publish = container_of(ask, struct mqtt_link_publish, ask);
    struct mqtt_link *link = ask->link;
    take_from_broker(publish);
    publish->done(publish, r);
    fill_window(link);
}

static void publish_run(struct work *work, void *resource)
{
    (void)resource;
    struct mqtt_link_publish *publish = container_of(work, struct mqtt_link_publish, ask.work);
    work->r = paho_publish(&publish->ask.link->paho, publish);
}

int mqtt_link_publish(struct mqtt_link *link, struct mqtt_link_publish *publish)
{
    assert(publish->qos <= 1);
    if (link->state != UP)
        return -ENOTCONN;
    ask_init(&publish->ask, link, publish_run, finish_publish);
    if (has_room(link) && list_is_empty(&link->waiting)) {
        hand_to_broker(link, publish);
        return 0;
    }
    size_t cost = msg_cost(publish->msg);
    if (link->waiting_count >= WAITING_MAX || link->waiting_bytes + cost > WAITING_BYTES_MAX)
        return -ENOBUFS;
    list_append(&link->waiting, &publish->ask.place);
    link->waiting_count++;
    link->waiting_bytes += cost;
    return 0;
}

/* ---- subscriptions ----------------------------------------------------------------------------------------------- */

static void finish_subscribe(struct mqtt_link_ask *ask, int r)
{
    struct mqtt_link_subscribe *subscribe = container_of(ask, struct mqtt_link_subscribe, ask);
    list_remove(&ask->place);
    subscribe->done(subscribe, r);
}

static void subscribe_run(struct work *work, void *resource)
{
    (void)resource;
    struct mqtt_link_subscribe *subscribe = container_of(work, struct mqtt_link_subscribe, ask.work);
    work->r = paho_subscribe(&subscribe->ask.link->paho, subscribe);
}

int mqtt_link_subscribe(struct mqtt_link *link, struct mqtt_link_subscribe *subscribe)
{
    if (link->state != UP)
        return -ENOTCONN;
    ask_init(&subscribe->ask, link, subscribe_run, finish_subscribe);
    hand_over(&subscribe->ask, &link->subscribing);
    return 0;
}

static void on_arrival(struct note *note)
{
    struct paho_arrival *arrival = container_of(note, struct paho_arrival, note);
    struct mqtt_link *link = container_of(arrival->paho, struct mqtt_link, paho);
    paho_arrival_taken(arrival);
    arrival->msg->born = loop_now(link->links->loop);
    if (link->events.on_message)
        link->events.on_message(link->self, arrival->msg);
    (void)msg_unref(arrival->msg);
    free(arrival);
}

uint64_t mqtt_link_lost(const struct mqtt_link *link)
{
    return atomic_load(&link->paho.lost);
}

/* Whoever publishes or subscribes again from inside done() is told that the link is not up. */
static void fail_all(struct mqtt_link *link)
{
    while (!list_is_empty(&link->subscribing))
        finish_subscribe(list_entry(link->subscribing.next, struct mqtt_link_ask, place), -ENOTCONN);
    while (!list_is_empty(&link->with_broker)) {
        struct mqtt_link_publish *publish =
            list_entry(link->with_broker.next, struct mqtt_link_publish, ask.place);
        take_from_broker(publish);
        publish->done(publish, -ENOTCONN);
    }
    for (struct list *place; (place = list_pop(&link->waiting));) {
        struct mqtt_link_publish *publish = list_entry(place, struct mqtt_link_publish, ask.place);
        publish->done(publish, -ENOTCONN);
    }
    link->waiting_count = link->waiting_bytes = 0;
}

/* ---- the connection ---------------------------------------------------------------------------------------------- */

static void open_run(struct work *work, void *resource)
{
    (void)resource;
    work->r = paho_open(&container_of(work, struct mqtt_link, open)->paho);
}

static void close_run(struct work *work, void *resource)
{
    (void)resource;
    paho_close(&container_of(work, struct mqtt_link, close)->paho);
    work->r = 0;
}

static void begin_open(struct mqtt_link *link)
{
    link->state = OPENING;
    worker_submit(link->links->worker, &link->open);
}

static void begin_close(struct mqtt_link *link)
{
    link->state = CLOSING;
    worker_submit(link->links->worker, &link->close);
}

/* The connection ended, or did not come about, without having been asked to. */
static void fail(struct mqtt_link *link, const char *reason)
{
    if (link->state == UP && loop_now(link->links->loop) - link->up_since >= HELD)
        backoff_reset(&link->backoff);
    begin_close(link);
    if (link->events.on_down)
        link->events.on_down(link->self, reason);
}

static void on_opened(struct work *work)
{
    struct mqtt_link *link = container_of(work, struct mqtt_link, open);
    if (work->r < 0 && link->state == OPENING)
        fail(link, link->paho.reason);
}

static void on_up(struct note *note)
{
    struct mqtt_link *link = container_of(note, struct mqtt_link, paho.up);
    if (link->state != OPENING)
        return;
    link->state = UP;
    link->up_since = loop_now(link->links->loop);
    unsigned receive_max = link->paho.receive_max;
    link->window = receive_max && receive_max < link->window_asked ? receive_max : link->window_asked;
    if (link->events.on_up)
        link->events.on_up(link->self);
}

static void on_ended(struct note *note)
{
    struct mqtt_link *link = container_of(note, struct mqtt_link, paho.ended);
    if (link->state == OPENING || link->state == UP)
        fail(link, link->paho.reason);
}

static void on_closed(struct work *work)
{
    struct mqtt_link *link = container_of(work, struct mqtt_link, close);
    inbox_drain(link->links->inbox);
    fail_all(link);
    if (!link->wanted) {
        link->state = OFF;
    } else if (link->at_once) {
        link->at_once = false;
        begin_open(link);
    } else {
        link->state = WAITING;
        timer_start(link->links->loop, &link->pause, backoff_pause(&link->backoff, backoff_random()));
    }
}

static void on_pause_over(struct timer *timer)
{
    begin_open(container_of(timer, struct mqtt_link, pause));
}

void mqtt_link_start(struct mqtt_link *link)
{
    if (link->wanted && link->state != WAITING)
        return;
    link->wanted = true;
    backoff_reset(&link->backoff);
    timer_stop(link->links->loop, &link->pause);
    if (link->state == CLOSING)
        link->at_once = true;
    else
        begin_open(link);
}

void mqtt_link_stop(struct mqtt_link *link)
{
    link->wanted = link->at_once = false;
    switch (link->state) {
    case OFF:
    case CLOSING: break;
    case WAITING:
        timer_stop(link->links->loop, &link->pause);
        link->state = OFF;
        break;
    case OPENING:
    case UP: begin_close(link); break;
    }
}

bool mqtt_link_is_up(const struct mqtt_link *link)
{
    return link->state == UP;
}

static bool port_is_good(const char *port)
{
    unsigned number = 0;
    size_t len = strspn(port, "0123456789");
    for (size_t i = 0; i < len && i < 6; i++)
        number = number * 10 + (unsigned)(port[i] - '0');
    return len > 0 && !port[len] && number >= 1 && number <= 65535;
}

const char *mqtt_link_uri_check(const char *uri)
{
    const char *host = strncmp(uri, "mqtt://", 7) == 0    ? uri + 7
                       : strncmp(uri, "mqtts://", 8) == 0 ? uri + 8
                                                          : NULL;
    if (!host)
        return "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]";
    const char *end = host + strcspn(host, ":/?# \t");
    if (*host == '[') { /* an IPv6 address */
        end = strchr(host, ']');
        if (!end)
            return "] behind an IPv6 address";
        end++;
    }
    if (end == host)
        return "a host behind ://";
    if (*end == ':')
        return port_is_good(end + 1) ? NULL : "a port from 1 to 65535 behind the host, and nothing more";
    return *end ? "HOST[:PORT] and nothing more behind ://" : NULL;
}

int mqtt_link_new(struct mqtt_link **ret, struct mqtt_links *links, const struct mqtt_link_options *options,
                  const struct mqtt_link_events *events, void *self)
{
    const char *expected = mqtt_link_uri_check(options->uri);
    if (expected) {
        log_error("uplink %s: expected %s, found \"%s\"", options->name, expected, options->uri);
        return -EINVAL;
    }
    struct mqtt_link *link = mem_new(struct mqtt_link);
    link->links = links;
    link->events = *events;
    link->self = self;
    link->paho = (struct paho){
        .uri = str_copy(options->uri),
        .client_id = str_copy(options->client_id ? options->client_id : options->name),
        .ca = str_copy(options->ca),
        .cert = str_copy(options->cert),
        .key = str_copy(options->key),
        .username = str_copy(options->username),
        .password = str_copy(options->password),
        .keepalive_s = options->keepalive_s ? options->keepalive_s : KEEPALIVE_S,
        .protocol = options->protocol == 4 ? 4 : 5,
        .inbox = links->inbox,
        .up = {.run = on_up},
        .ended = {.run = on_ended},
        .prefix = str_copy(options->receive_prefix),
        .arrived = on_arrival,
    };
    link->open = (struct work){.run = open_run, .done = on_opened};
    link->close = (struct work){.run = close_run, .done = on_closed};
    link->pause.fire = on_pause_over;
    link->backoff.min = options->pause_min ? options->pause_min : PAUSE_MIN;
    link->backoff.max = options->pause_max ? options->pause_max : PAUSE_MAX;
    if (link->backoff.min > link->backoff.max)
        link->backoff.min = link->backoff.max;
    link->window_asked = link->window = options->window ? options->window : WINDOW;
    list_init(&link->waiting);
    list_init(&link->with_broker);
    list_init(&link->subscribing);
    *ret = link;
    return 0;
}

struct mqtt_link *mqtt_link_free(struct mqtt_link *link)
{
    if (!link)
        return NULL;
    link->events = (struct mqtt_link_events){0};
    mqtt_link_stop(link);
    worker_quiesce(link->links->worker);
    assert(link->state == OFF && list_is_empty(&link->with_broker));
    free(link->paho.prefix);
    free(link->paho.uri);
    free(link->paho.client_id);
    free(link->paho.ca);
    free(link->paho.cert);
    free(link->paho.key);
    free(link->paho.username);
    free(link->paho.password);
    free(link);
    return NULL;
}
