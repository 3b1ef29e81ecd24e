/* The load generator's engine: one loop, all clients.
 *
 *      CONNECTING ──▶ RUNNING ──▶ DRAINING ──▶ PROVING ──▶ done        idle:  CONNECTING ──▶ HOLDING ──▶ LEAVING
 *       64 at once     publish     wait for     PING every
 *                                  the rest     client
 *
 * away:  CONNECTING ──▶ RUNNING ──▶ DRAINING ──▶ done      and then      CONNECTING ──▶ DRAINING ──▶ PROVING ──▶ done
 *        receivers                  wait for                             receivers
 *        leave again                acknowledgements
 *
 * Closed loop: a publisher has at most `window` messages on the way. One is on the way until the broker has
 * acknowledged it (QoS 1, 2) and its receivers have got it or a later one of the same flow: a lost message is counted
 * and does not close the window for ever. Open loop: messages leave by the clock, and their delay counts from the
 * moment they were due, so a generator that is late does not flatter the broker.
 *
 * The measured time goes from the first publish to the end of DRAINING, so that all work for all counted messages is
 * in it. PROVING then asks every client for a ping: a doubled message that is still on its way would come before it.
 */
#include "bench/traffic.h"

#include "bench/client.h"
#include "bench/meter.h"
#include "bench/secure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTING_MAX = 64, TURN_EVENTS = 512, LEAVING_S = 3 };

/* Nothing has arrived for so long: nothing will. What waits for a disk may be kept waiting. */
static const double quiet_s = 5, quiet_disk_s = 10;
static const double tick_s = 0.05; /* how often the clock is looked at when nothing happens */

static bool may_send_more(const struct traffic *traffic)
{
    return traffic->phase == PHASE_RUNNING &&
           (traffic->plan->messages == 0 || traffic->outcome->sent < traffic->plan->messages);
}

static bool is_quiet(const struct traffic *traffic, double now)
{
    bool disk = (traffic->plan->durable && !traffic->returned) || traffic->plan->shape == APPEND;

    return now > traffic->last_arrival + (disk ? quiet_disk_s : quiet_s);
}

static void publish_by_window(struct traffic *traffic)
{
    uint64_t now = meter_now_ns();

    while (traffic->due) {
        struct client *client = traffic->due;
        traffic->due = client->next_due;
        client->due = false;
        while (may_send_more(traffic) && client_has_room(client))
            client_publish(client, now);
    }
}

/* When the n-th message is due, in seconds since the start. */
static double due_at(const struct traffic *traffic, uint64_t n)
{
    return (double)n / traffic->plan->rate;
}

static void publish_by_clock(struct traffic *traffic, double now)
{
    while (may_send_more(traffic) && due_at(traffic, traffic->outcome->sent) <= now - traffic->start) {
        double due = traffic->start + due_at(traffic, traffic->outcome->sent);
        client_publish(&traffic->clients[traffic->next_publisher], (uint64_t)(due * 1e9));
        traffic->next_publisher = (traffic->next_publisher + 1) % traffic->plan->publishers;
    }
}

static void open_more(struct traffic *traffic)
{
    while (traffic->opened < traffic->n_clients && traffic->opened - traffic->ready < CONNECTING_MAX)
        client_open(&traffic->clients[traffic->opened++]);
}

static void mark_cpu(struct traffic *traffic)
{
    if (traffic->pid > 0) {
        traffic->cpu = meter_cpu(traffic->pid);
        if (traffic->cpu < 0)
            die("there is no process %d", (int)traffic->pid);
    }
    traffic->own_cpu = meter_cpu(0);
}

static double broker_cpu_since(const struct traffic *traffic)
{
    return traffic->pid > 0 ? meter_cpu(traffic->pid) - traffic->cpu : -1;
}

static long broker_pss(const struct traffic *traffic)
{
    return traffic->pid > 0 ? meter_pss(traffic->pid) : -1;
}

static void start_publishing(struct traffic *traffic, double now)
{
    traffic->phase = PHASE_RUNNING;
    mark_cpu(traffic);
    traffic->start = traffic->last_arrival = now;
    traffic->end = now + traffic->plan->seconds;
    for (unsigned i = 0; i < traffic->plan->publishers; i++)
        client_push_due(&traffic->clients[i]);
}

/* Is all that can be waited for acknowledgements? */
static bool is_queueing(const struct traffic *traffic)
{
    return traffic->plan->shape == APPEND || (traffic->plan->away && !traffic->returned);
}

static bool has_all(const struct traffic *traffic)
{
    const struct outcome *outcome = traffic->outcome;
    bool acked = traffic->plan->qos == 0 || traffic->acked == outcome->sent;

    if (is_queueing(traffic))
        return acked;
    return acked && outcome->delivered == outcome->sent * traffic->plan->fan;
}

static void end_measuring(struct traffic *traffic)
{
    struct outcome *outcome = traffic->outcome;

    outcome->broker_cpu_s = broker_cpu_since(traffic);
    outcome->generator_cpu_s = meter_cpu(0) - traffic->own_cpu;
    outcome->began = traffic->start;
    outcome->seconds = traffic->last_arrival - traffic->start;
    outcome->expected = outcome->sent * traffic->plan->fan;
    outcome->acked = traffic->acked;
    outcome->unacked = traffic->plan->qos ? outcome->sent - traffic->acked : 0;
    if (is_queueing(traffic)) {
        for (unsigned i = 0; i < traffic->plan->publishers; i++)
            client_say_goodbye(&traffic->clients[i]);
        traffic->phase = PHASE_DONE;
        return;
    }
    traffic->phase = PHASE_PROVING;
    for (unsigned i = 0; i < traffic->n_clients; i++)
        client_ping(&traffic->clients[i]);
}

static void start_holding(struct traffic *traffic, double now)
{
    traffic->outcome->opening_s = now - traffic->start;
    traffic->outcome->opening_cpu_s = broker_cpu_since(traffic);
    traffic->phase = PHASE_HOLDING;
    mark_cpu(traffic);
    traffic->end = now + traffic->plan->seconds;
}

/* The broker gets a moment to give its memory back. */
static void start_leaving(struct traffic *traffic, double now)
{
    traffic->outcome->hold_cpu_s = broker_cpu_since(traffic);
    traffic->outcome->pss_open = broker_pss(traffic);
    traffic->outcome->seconds = traffic->plan->seconds;
    for (unsigned i = 0; i < traffic->n_clients; i++)
        link_close(&traffic->clients[i].link);
    traffic->phase = PHASE_LEAVING;
    traffic->end = now + LEAVING_S;
}

static void turn(struct traffic *traffic, double now)
{
    const struct plan *plan = traffic->plan;

    switch (traffic->phase) {
    case PHASE_CONNECTING:
        open_more(traffic);
        if (traffic->ready < traffic->n_clients)
            return;
        if (plan->shape == IDLE) {
            start_holding(traffic, now);
            return;
        }
        if (traffic->returned) {
            traffic->phase = PHASE_DRAINING;
            if (!traffic->outcome->delivered)
                traffic->last_arrival = now; /* from now on it is waited for */
            return;
        }
        start_publishing(traffic, now);
        __attribute__((fallthrough));
    case PHASE_RUNNING:
        if (plan->rate > 0)
            publish_by_clock(traffic, now);
        else
            publish_by_window(traffic);
        if (traffic->plan->messages && traffic->outcome->sent >= traffic->plan->messages)
            traffic->phase = PHASE_DRAINING;
        else if (plan->seconds > 0 && now >= traffic->end)
            traffic->phase = PHASE_DRAINING;
        else if (plan->rate <= 0 && is_quiet(traffic, now))
            traffic->phase = PHASE_DRAINING;
        return;
    case PHASE_DRAINING:
        if (has_all(traffic) || is_quiet(traffic, now))
            end_measuring(traffic);
        return;
    case PHASE_PROVING:
        if (traffic->pongs == traffic->pings)
            traffic->phase = PHASE_DONE;
        return;
    case PHASE_HOLDING:
        if (now >= traffic->end)
            start_leaving(traffic, now);
        return;
    case PHASE_LEAVING:
        if (now >= traffic->end) {
            traffic->outcome->pss_after = broker_pss(traffic);
            traffic->phase = PHASE_DONE;
        }
        return;
    case PHASE_DONE: return;
    }
}

static double wait_s(const struct traffic *traffic, double now)
{
    if (traffic->phase == PHASE_RUNNING && traffic->plan->rate > 0) {
        double due = traffic->start + due_at(traffic, traffic->outcome->sent) - now;
        return due < 0 ? 0 : due < tick_s ? due : tick_s;
    }
    return tick_s;
}

static void on_events(struct traffic *traffic, const struct epoll_event *events, int n)
{
    for (int i = 0; i < n; i++) {
        struct link *link = events[i].data.ptr;
        uint64_t delivered = traffic->outcome->delivered, acked = traffic->acked;
        int r = 0;
        traffic->now_ns = meter_now_ns();
        if (events[i].events & EPOLLOUT)
            r = link_flush(&traffic->hub, link);
        if (r == 0 && events[i].events & ~(unsigned)EPOLLOUT)
            r = link_receive(&traffic->hub, link, client_on_frame);
        if (r < 0)
            client_on_error(link, r);
        if (traffic->outcome->delivered != delivered || (is_queueing(traffic) && traffic->acked != acked))
            traffic->last_arrival = (double)traffic->now_ns / 1e9;
    }
}

static void loop(struct traffic *traffic)
{
    struct epoll_event events[TURN_EVENTS];

    while (traffic->phase != PHASE_DONE) {
        double now = meter_now();
        if (now > traffic->limit)
            die("the time limit of %.0f s was reached while %s: %u of %u clients ready, %llu deliveries",
                traffic->plan->limit_s, phase_name(traffic->phase), traffic->ready, traffic->n_clients,
                (unsigned long long)traffic->outcome->delivered);
        turn(traffic, now);
        hub_flush(&traffic->hub, client_on_error);
        if (traffic->phase == PHASE_DONE)
            return;

        double wait = wait_s(traffic, meter_now());
        struct timespec timeout = {.tv_sec = (time_t)wait,
                                   .tv_nsec = (long)((wait - (double)(time_t)wait) * 1e9)};
        int n = epoll_pwait2(traffic->hub.epoll, events, TURN_EVENTS, &timeout, NULL);
        if (n < 0 && errno != EINTR)
            die("epoll: %s", strerror(errno));
        on_events(traffic, events, n);
    }
}

static void set_up(struct traffic *traffic)
{
    const struct plan *plan = traffic->plan;

    traffic->n_clients = plan->publishers + plan->subscribers;
    traffic->clients = allocate(traffic->n_clients, sizeof(struct client));
    for (unsigned i = 0; i < traffic->n_clients; i++)
        traffic->clients[i] = (struct client){
            .link.fd = -1,
            .traffic = traffic,
            .number = i,
            .receiver = plan_receiver_of(plan, i),
            .echo = plan_is_echo(plan, i),
            .flow = i,
        };
    traffic->flows = allocate(plan->flows, sizeof(struct flow));
    for (unsigned i = 0; i < plan->flows; i++) {
        struct flow *flow = &traffic->flows[i];
        if (plan->shape == ROUND_TRIP)
            plan_answer_topic(i, flow->topic);
        else
            plan_topic(plan, i, flow->topic);
        flow->topic_len = strlen(flow->topic);
        flow->first_receiver = plan_first_receiver(plan, i);
    }
    traffic->tallies = allocate((size_t)plan->flows * plan->fan, sizeof(struct tally));
}

struct traffic *traffic_new(const struct plan *plan, struct outcome *ret)
{
    struct traffic *traffic = allocate(1, sizeof(*traffic));
    const char *why;

    *ret = (struct outcome){.broker_cpu_s = -1, .pss_before = -1, .pss_open = -1, .pss_after = -1};
    *traffic = (struct traffic){.plan = plan, .outcome = ret, .uri = plan->uri, .pid = plan->pid};
    int r = hub_init(&traffic->hub);
    if (r < 0)
        die("epoll: %s", strerror(-r));
    if (address_is_secure(plan->uri)) {
        traffic->secure = secure_context(plan->tls, false, &why);
        if (!traffic->secure)
            die("certificates in %s: %s", plan->tls, why);
    }
    (void)prctl(PR_SET_TIMERSLACK, 1ul); /* open loops keep to the microsecond */
    set_up(traffic);
    return traffic;
}

void traffic_run(struct traffic *traffic)
{
    traffic->outcome->pss_before = broker_pss(traffic);
    mark_cpu(traffic);
    traffic->start = meter_now();
    traffic->limit = traffic->start + traffic->plan->limit_s;
    loop(traffic);
    for (unsigned i = 0; i < traffic->n_clients; i++)
        link_close(&traffic->clients[i].link);
}

void traffic_come_back(struct traffic *traffic, const char *uri, pid_t pid)
{
    traffic->uri = uri;
    traffic->pid = pid;
    traffic->returned = true;
    traffic->phase = PHASE_CONNECTING;
    traffic->opened = traffic->ready = traffic->plan->publishers;
    mark_cpu(traffic);
    traffic->outcome->recovery_cpu_s = traffic->cpu;
    traffic->start = traffic->last_arrival = meter_now();
    traffic->limit = traffic->start + traffic->plan->limit_s;
    loop(traffic);
}

void traffic_free(struct traffic *traffic)
{
    for (unsigned i = 0; i < traffic->n_clients; i++) {
        link_close(&traffic->clients[i].link);
        free(traffic->clients[i].ids);
    }
    for (size_t i = 0; i < (size_t)traffic->plan->flows * traffic->plan->fan; i++)
        tally_done(&traffic->tallies[i]);
    free(traffic->tallies);
    free(traffic->flows);
    free(traffic->clients);
    free(traffic->hub.in);
    (void)close(traffic->hub.epoll);
    secure_context_free(traffic->secure);
    free(traffic);
}
