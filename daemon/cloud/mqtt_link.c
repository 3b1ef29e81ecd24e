#include "cloud/mqtt_link.h"

#include "base/log.h"
#include "cloud/backoff.h"
#include "cloud/mqtt_link_paho.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* The loop's side: a state, two lists of messages, one timer. What calls Paho is in mqtt_link_paho.c.
 *
 *      mqtt_link_publish ─▶ waiting ─▶ with_broker ─▶ done
 *                                      at most `window`: handed to the worker, then with Paho
 *
 * A message leaves with_broker when the worker has let go of it and the answer is there, whichever comes last. Closing
 * is an item for the worker behind everything that was handed over before; when it is done, Paho has called back for the
 * last time, so the notes that are still in the inbox are run and whatever is left then has no answer. */

enum {
    WINDOW = 64,
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
    struct list waiting, with_broker;
    size_t waiting_count, waiting_bytes, with_broker_count;
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

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static void hand_to_broker(struct mqtt_link *link, struct mqtt_link_publish *publish)
{
    publish->handing = true;
    publish->answered = false;
    list_append(&link->with_broker, &publish->place);
    link->with_broker_count++;
    worker_submit(link->links->worker, &publish->work);
}

static void fill_window(struct mqtt_link *link)
{
    while (link->state == UP && link->with_broker_count < link->window) {
        struct list *place = list_pop(&link->waiting);
        if (!place)
            return;
        struct mqtt_link_publish *publish = list_entry(place, struct mqtt_link_publish, place);
        link->waiting_count--;
        link->waiting_bytes -= msg_cost(publish->msg);
        hand_to_broker(link, publish);
    }
}

static void finish(struct mqtt_link_publish *publish, int r)
{
    struct mqtt_link *link = publish->link;
    list_remove(&publish->place);
    link->with_broker_count--;
    publish->done(publish, r);
    fill_window(link);
}

static void publish_run(struct work *work, void *resource)
{
    (void)resource;
    struct mqtt_link_publish *publish = container_of(work, struct mqtt_link_publish, work);
    work->r = paho_publish(&publish->link->paho, publish);
}

static void on_handed(struct work *work)
{
    struct mqtt_link_publish *publish = container_of(work, struct mqtt_link_publish, work);
    publish->handing = false;
    if (work->r < 0)
        finish(publish, work->r);
    else if (publish->answered)
        finish(publish, publish->answer);
}

static void on_answer(struct note *note)
{
    struct mqtt_link_publish *publish = container_of(note, struct mqtt_link_publish, note);
    publish->answered = true;
    if (!publish->handing)
        finish(publish, publish->answer);
}

/* Oldest first. Whoever publishes again from inside done() is told that the link is not up. */
static void fail_all(struct mqtt_link *link)
{
    for (struct list *place; (place = list_pop(&link->with_broker));) {
        link->with_broker_count--;
        struct mqtt_link_publish *publish = list_entry(place, struct mqtt_link_publish, place);
        publish->done(publish, -ENOTCONN);
    }
    for (struct list *place; (place = list_pop(&link->waiting));) {
        struct mqtt_link_publish *publish = list_entry(place, struct mqtt_link_publish, place);
        publish->done(publish, -ENOTCONN);
    }
    link->waiting_count = link->waiting_bytes = 0;
}

int mqtt_link_publish(struct mqtt_link *link, struct mqtt_link_publish *publish)
{
    assert(publish->qos <= 1);
    if (link->state != UP)
        return -ENOTCONN;
    publish->link = link;
    publish->inbox = link->links->inbox;
    publish->place = (struct list){0};
    publish->work = (struct work){.run = publish_run, .done = on_handed};
    publish->note = (struct note){.run = on_answer};
    if (link->with_broker_count < link->window) {
        hand_to_broker(link, publish);
        return 0;
    }
    size_t cost = msg_cost(publish->msg);
    if (link->waiting_count >= WAITING_MAX || link->waiting_bytes + cost > WAITING_BYTES_MAX)
        return -ENOBUFS;
    list_append(&link->waiting, &publish->place);
    link->waiting_count++;
    link->waiting_bytes += cost;
    return 0;
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
static void fail(struct mqtt_link *link)
{
    if (link->state == UP && loop_now(link->links->loop) - link->up_since >= HELD)
        backoff_reset(&link->backoff);
    begin_close(link);
    if (link->events.on_down)
        link->events.on_down(link->self, link->paho.reason);
}

static void on_opened(struct work *work)
{
    struct mqtt_link *link = container_of(work, struct mqtt_link, open);
    if (work->r < 0 && link->state == OPENING)
        fail(link);
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
        fail(link);
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
        uint32_t random = 0;
        (void)getrandom(&random, sizeof random, GRND_NONBLOCK); /* without it: the whole pause */
        link->state = WAITING;
        timer_start(link->links->loop, &link->pause, backoff_pause(&link->backoff, random));
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

int mqtt_link_new(struct mqtt_link **ret, struct mqtt_links *links, const struct mqtt_link_options *options,
                  const struct mqtt_link_events *events, void *self)
{
    if (strncmp(options->uri, "mqtt://", 7) != 0 && strncmp(options->uri, "mqtts://", 8) != 0) {
        log_error("uplink %s: expected mqtt://HOST:PORT or mqtts://HOST:PORT, found %s", options->name,
                  options->uri);
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
