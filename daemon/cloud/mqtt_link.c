#include "cloud/mqtt_link.h"

#include "base/log.h"
#include "cloud/mqtt_link_state.h"

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
    HEADER = 8, /* of a PUBLISH, about */
    WINDOW_BYTES = 512 * 1024,
    WAITING_MAX = 1000,
    WAITING_BYTES_MAX = 8 * 1024 * 1024,
    HELD = 10 * 1000,   /* a connection that lasted so long ends a series of failures */
    TRYING_LONG = 1500, /* an attempt that began so long before the network came is begun anew */
    HASTE_PAUSE = 1000, /* between attempts that the network's news cause */
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
    if (links->inbox)
        inbox_drain(links->inbox); /* names that nobody waits for any more */
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
    else if (ask->link->state == LINK_UP)
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
    return link->with_broker_count < link->window && link_window_has_room(&link->bytes);
}

static void hand_to_broker(struct mqtt_link *link, struct mqtt_link_publish *publish)
{
    link->with_broker_count++;
    link_window_sent(&link->bytes, &publish->ask.mark,
                     strlen(publish->topic) + publish->msg->payload_len + HEADER,
                     loop_now(link->links->loop));
    hand_over(&publish->ask, &link->with_broker);
}

/* acknowledged: by the broker, whatever it says; QoS 0 is done when it is written, which says nothing about the way. */
static void take_from_broker(struct mqtt_link_publish *publish, bool acknowledged)
{
    struct mqtt_link *link = publish->ask.link;
    list_remove(&publish->ask.place);
    link->with_broker_count--;
    link_window_done(&link->bytes, &publish->ask.mark, acknowledged && publish->qos,
                     loop_now(link->links->loop));
}

static void fill_window(struct mqtt_link *link)
{
    while (link->state == LINK_UP && has_room(link)) {
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
    take_from_broker(publish, r >= 0);
    publish->done(publish, r);
    fill_window(link);
}

static void publish_run(struct work *work, void *resource)
{
    (void)resource;
    struct mqtt_link_publish *publish = container_of(work, struct mqtt_link_publish, ask.work);
    work->r = paho_publish(&publish->ask.link->paho, publish);
}

/* A PUBLISH of MQTT 5. */
static size_t packet_size(const struct mqtt_link_publish *publish)
{
    enum { TYPE = 1, TOPIC_LENGTH = 2, PACKET_ID = 2, PROPERTIES_LENGTH = 1 };
    size_t rest = TOPIC_LENGTH + strlen(publish->topic) + (publish->qos ? PACKET_ID : 0) + PROPERTIES_LENGTH +
                  (publish->msg->hops ? MQTT_LINK_HOPS_SIZE : 0) + publish->msg->payload_len;
    size_t length = rest < 1 << 7 ? 1 : rest < 1 << 14 ? 2 : rest < 1 << 21 ? 3 : 4;
    return TYPE + length + rest;
}

/* A broker that gets a packet larger than it takes ends the connection: with all that is under way, again and again. */
static bool is_too_large(const struct mqtt_link *link, const struct mqtt_link_publish *publish)
{
    return link->paho.packet_max && packet_size(publish) > link->paho.packet_max;
}

int mqtt_link_publish(struct mqtt_link *link, struct mqtt_link_publish *publish)
{
    assert(publish->qos <= 1);
    if (link->state != LINK_UP)
        return -ENOTCONN;
    if (is_too_large(link, publish))
        return -EMSGSIZE;
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
    if (link->state != LINK_UP)
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

unsigned mqtt_link_window(const struct mqtt_link *link)
{
    return link->window;
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
        take_from_broker(publish, false);
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

static void open_now(struct mqtt_link *link)
{
    link->paho.verify_time_s = link->verify_time_s; /* Paho has no thread now that could look at it */
    worker_submit(link->links->worker, &link->open);
}

static void on_name(void *self, const char *wrong)
{
    struct mqtt_link *link = self;
    link->name = NULL;
    timer_stop(link->links->loop, &link->pause);
    if (!wrong) {
        open_now(link);
        return;
    }
    cleanup_free char *reason = str_printf("cannot connect: no address for %s: %s", link->host, wrong);
    fail(link, reason);
}

static void begin_open(struct mqtt_link *link)
{
    struct mqtt_links *links = link->links;
    link->state = LINK_OPENING;
    link->opened = loop_now(links->loop);
    link->name = link_name_ask(links->inbox, link->host, strlen(link->host), on_name, link);
    if (link->name)
        timer_start(links->loop, &link->pause, (int64_t)link->paho.connect_timeout_s * 1000);
    else
        open_now(link);
}

static void begin_close(struct mqtt_link *link)
{
    link->state = LINK_CLOSING;
    link_name_forget(link->name);
    link->name = NULL;
    timer_stop(link->links->loop, &link->pause);
    worker_submit(link->links->worker, &link->close);
}

/* The connection ended, or did not come about, without having been asked to. */
static void fail(struct mqtt_link *link, const char *reason)
{
    if (link->state == LINK_UP && loop_now(link->links->loop) - link->up_since >= HELD)
        backoff_reset(&link->backoff);
    begin_close(link);
    if (link->events.on_down)
        link->events.on_down(link->self, reason);
}

static void on_opened(struct work *work)
{
    struct mqtt_link *link = container_of(work, struct mqtt_link, open);
    if (work->r < 0 && link->state == LINK_OPENING)
        fail(link, link->paho.reason);
}

static void on_up(struct note *note)
{
    struct mqtt_link *link = container_of(note, struct mqtt_link, paho.up);
    if (link->state != LINK_OPENING)
        return;
    link->state = LINK_UP;
    timer_stop(link->links->loop, &link->pause);
    link->up_since = loop_now(link->links->loop);
    link_window_init(&link->bytes, WINDOW_BYTES, link->up_since);
    unsigned receive_max = link->paho.receive_max;
    link->window = receive_max && receive_max < link->window_asked ? receive_max : link->window_asked;
    if (link->events.on_up)
        link->events.on_up(link->self);
}

static void on_ended(struct note *note)
{
    struct mqtt_link *link = container_of(note, struct mqtt_link, paho.ended);
    if (link->state == LINK_OPENING || link->state == LINK_UP)
        fail(link, link->paho.reason);
}

static void say_off(struct mqtt_link *link)
{
    link->state = LINK_OFF;
    if (link->events.on_off)
        link->events.on_off(link->self);
}

static void on_closed(struct work *work)
{
    struct mqtt_link *link = container_of(work, struct mqtt_link, close);
    inbox_drain(link->links->inbox);
    fail_all(link);
    if (!link->wanted) {
        say_off(link);
    } else if (link->at_once) {
        link->at_once = false;
        begin_open(link);
    } else {
        link->state = LINK_WAITING;
        timer_start(link->links->loop, &link->pause, backoff_pause(&link->backoff, backoff_random()));
    }
}

static void on_pause_over(struct timer *timer)
{
    struct mqtt_link *link = container_of(timer, struct mqtt_link, pause);
    if (link->state == LINK_WAITING) {
        begin_open(link);
        return;
    }
    if (!link->name) { /* it had begun just before the network came, and is still not up */
        link->at_once = true;
        begin_close(link);
        return;
    }
    cleanup_free char *reason = str_printf("cannot connect: nobody says for %u s what the address of %s is",
                                           link->paho.connect_timeout_s, link->host);
    fail(link, reason);
}

void mqtt_link_start(struct mqtt_link *link)
{
    if (link->wanted && link->state != LINK_WAITING)
        return;
    link->wanted = true;
    backoff_reset(&link->backoff);
    timer_stop(link->links->loop, &link->pause);
    if (link->state == LINK_CLOSING)
        link->at_once = true;
    else
        begin_open(link);
}

void mqtt_link_stop(struct mqtt_link *link)
{
    link->wanted = link->at_once = false;
    switch (link->state) {
    case LINK_OFF: say_off(link); break;
    case LINK_CLOSING: break;
    case LINK_WAITING:
        timer_stop(link->links->loop, &link->pause);
        say_off(link);
        break;
    case LINK_OPENING:
    case LINK_UP: begin_close(link); break;
    }
}

bool mqtt_link_is_up(const struct mqtt_link *link)
{
    return link->state == LINK_UP;
}

/* ---- the network ------------------------------------------------------------------------------------------------- */

static void probe_run(struct work *work, void *resource)
{
    (void)resource;
    work->r = paho_is_stuck(&container_of(work, struct mqtt_link, probe)->paho);
}

static void on_probed(struct work *work)
{
    struct mqtt_link *link = container_of(work, struct mqtt_link, probe);
    link->probing = false;
    if (link->state != LINK_UP || work->r <= 0)
        return;
    link->at_once = true;
    fail(link, "the connection did not outlive the network's absence");
}

/* TCP would try again by itself when it has waited as long as the network was away, or half of that: so what is being
 * repeated, or takes long to come about, is given up for a new attempt. */
void mqtt_link_network_came(struct mqtt_link *link)
{
    int64_t age = loop_now(link->links->loop) - link->opened;
    switch (link->state) {
    case LINK_OFF: break;
    case LINK_CLOSING: link->at_once = link->wanted; break;
    case LINK_WAITING:
        backoff_reset(&link->backoff);
        timer_start(link->links->loop, &link->pause, age < HASTE_PAUSE ? HASTE_PAUSE - age : 0);
        break;
    case LINK_OPENING:
        if (age >= TRYING_LONG) {
            link->at_once = true;
            begin_close(link);
        } else if (!link->name) {
            timer_start(link->links->loop, &link->pause, TRYING_LONG);
        }
        break;
    case LINK_UP:
        if (link->probing)
            break;
        link->probing = true;
        worker_submit(link->links->worker, &link->probe);
        break;
    }
}

void mqtt_link_set_verify_time(struct mqtt_link *link, int64_t time_s)
{
    link->verify_time_s = time_s;
}

bool mqtt_link_session_was_present(const struct mqtt_link *link)
{
    return link->state == LINK_UP && link->paho.session_present;
}

void mqtt_link_init(struct mqtt_link *link)
{
    link->paho.up.run = on_up;
    link->paho.ended.run = on_ended;
    link->paho.arrived = on_arrival;
    link->open = (struct work){.run = open_run, .done = on_opened};
    link->close = (struct work){.run = close_run, .done = on_closed};
    link->probe = (struct work){.run = probe_run, .done = on_probed};
    link->pause.fire = on_pause_over;
    list_init(&link->waiting);
    list_init(&link->with_broker);
    list_init(&link->subscribing);
}
