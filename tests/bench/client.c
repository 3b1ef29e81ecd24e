/* What a client keeps is small: counters of what it sent, what was acknowledged and what arrived, and one byte a packet
 * id, so that an acknowledgement nobody waits for is noticed. What has arrived is kept per flow and receiver.
 */
#include "bench/client.h"

#include "bench/meter.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILTERS_A_PACKET = 50 };

enum id_state { ID_FREE, ID_PUBLISHED, ID_RELEASED };

static const char *const phase_names[] = {
    "connecting and subscribing",
    "publishing",
    "waiting for the rest",
    "waiting for the last pings",
    "holding the connections",
    "leaving",
    "done",
};

void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("bench_load: ", stderr);
    (void)vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

void *allocate(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    if (!p)
        die("out of memory");
    return p;
}

const char *phase_name(enum phase phase)
{
    return phase_names[phase];
}

static struct bytes *out_of(struct client *client)
{
    return link_out(&client->traffic->hub, &client->link);
}

void client_on_error(struct link *link, int r)
{
    struct client *client = (struct client *)link;

    if (client->leaving && (r == -EPIPE || r == -ECONNRESET)) {
        link_close(link);
        client->leaving = false;
        client->traffic->ready++;
        return;
    }
    die("client %u while %s: %s", client->number, phase_name(client->traffic->phase),
        r == -EPIPE    ? "the broker closed the connection"
        : r == -EPROTO ? "the broker sent what is not MQTT"
                       : strerror(-r));
}

/* ---- publishing ---- */

static uint16_t next_id(struct client *client)
{
    if (client->traffic->plan->qos == 0)
        return 0;
    client->last_id = (uint16_t)(client->last_id == 65535 ? 1 : client->last_id + 1);
    if (!client->ids)
        client->ids = allocate(65536, 1);
    if (client->ids[client->last_id] != ID_FREE)
        die("client %u: the broker owes an acknowledgement for 65535 messages", client->number);
    client->ids[client->last_id] = ID_PUBLISHED;
    return client->last_id;
}

/* The payload: flow, number in the flow, when it was due; the rest repeats the number's low byte. */
void client_publish(struct client *client, uint64_t due_ns)
{
    struct traffic *traffic = client->traffic;
    const struct plan *plan = traffic->plan;
    struct flow *flow = &traffic->flows[client->flow];
    uint32_t head[2] = {client->flow, flow->sent++};
    char topic[PLAN_TOPIC_MAX];
    const char *to = flow->topic;

    if (plan->shape == ROUND_TRIP) { /* it leaves under another topic than it comes back */
        plan_topic(plan, client->flow, topic);
        to = topic;
    }
    uint8_t *p = put_publish(out_of(client), plan->version, plan->qos, to, next_id(client), plan->size);
    memcpy(p, head, 8);
    memcpy(p + 8, &due_ns, 8);
    memset(p + PAYLOAD_MIN, (uint8_t)head[1], plan->size - PAYLOAD_MIN);

    client->sent++;
    client->flow += plan->publishers;
    if (client->flow >= plan->flows)
        client->flow = client->number;
    traffic->outcome->sent++;
}

void client_push_due(struct client *client)
{
    struct traffic *traffic = client->traffic;

    if (client->due || traffic->plan->window == 0)
        return;
    client->due = true;
    client->next_due = traffic->due;
    traffic->due = client;
}

bool client_has_room(const struct client *client)
{
    const struct plan *plan = client->traffic->plan;

    if (plan->qos > 0 && client->sent - client->acked >= plan->window)
        return false;
    if (plan->away)
        return true;
    return client->sent * plan->fan - client->arrived <= (uint64_t)(plan->window - 1) * plan->fan;
}

/* ---- what arrives ---- */

static void echo(struct client *client, const struct publish *m)
{
    const struct plan *plan = client->traffic->plan;
    char topic[PLAN_TOPIC_MAX];

    plan_answer_topic(client->number - plan->publishers, topic);
    memcpy(put_publish(out_of(client), plan->version, plan->qos, topic, next_id(client), m->payload_len),
           m->payload, m->payload_len);
}

static void count_arrival(struct client *client, const struct publish *m)
{
    struct traffic *traffic = client->traffic;
    const struct plan *plan = traffic->plan;
    struct outcome *outcome = traffic->outcome;
    uint32_t head[2];
    uint64_t due_ns;

    if (m->payload_len != plan->size || m->qos != plan->qos) {
        outcome->damaged++;
        return;
    }
    memcpy(head, m->payload, 8);
    memcpy(&due_ns, m->payload + 8, 8);
    if (head[0] >= plan->flows || head[1] >= traffic->flows[head[0]].sent ||
        (plan->size > PAYLOAD_MIN && m->payload[plan->size - 1] != (uint8_t)head[1])) {
        outcome->damaged++;
        return;
    }
    const struct flow *flow = &traffic->flows[head[0]];
    unsigned position =
        (unsigned)client->receiver - flow->first_receiver; /* wraps if it is before the first */
    if (client->receiver < 0 || position >= plan->fan || m->topic_len != flow->topic_len ||
        memcmp(m->topic, flow->topic, m->topic_len) != 0) {
        outcome->astray++;
        return;
    }

    struct tally *tally = &traffic->tallies[(size_t)head[0] * plan->fan + position];
    struct client *publisher = &traffic->clients[head[0] % plan->publishers];
    uint32_t before = tally->next;
    switch (tally_add(tally, head[1])) {
    case DOUBLED:
        if (m->dup && m->qos == 1)
            outcome->redelivered++; /* as it may be after a connection has ended [MQTT-4.3.2-1] */
        else
            outcome->doubled++;
        return;
    case REORDERED: outcome->reordered++; break;
    case ARRIVED: break;
    }
    outcome->delivered++;
    delays_add(&outcome->delays, traffic->now_ns > due_ns ? traffic->now_ns - due_ns : 0);
    publisher->arrived += tally->next - before;
    client_push_due(publisher);
}

static int on_publish(struct client *client, const struct frame *frame)
{
    struct publish m;

    int r = frame_publish(&m, frame, client->traffic->plan->version);
    if (r < 0)
        return r;
    if (m.qos > 0)
        put_ack(out_of(client), m.qos == 1 ? PUBACK : PUBREC, m.id);
    if (client->echo)
        echo(client, &m);
    else
        count_arrival(client, &m);
    return 0;
}

static int on_ack(struct client *client, const struct frame *frame)
{
    struct traffic *traffic = client->traffic;
    struct ack ack;

    int r = frame_ack(&ack, frame);
    if (r < 0)
        return r;
    if (ack.code >= 0x80)
        die("client %u: a message was refused: reason 0x%02x", client->number, ack.code);
    if (frame->type == PUBREL) {
        put_ack(out_of(client), PUBCOMP, ack.id);
        return 0;
    }
    enum id_state expected = frame->type == PUBCOMP ? ID_RELEASED : ID_PUBLISHED;
    if ((frame->type == PUBACK) != (traffic->plan->qos == 1) || !client->ids ||
        client->ids[ack.id] != expected)
        die("client %u: an acknowledgement (type %d) for packet id %u, which waits for none", client->number,
            (int)frame->type, ack.id);
    if (frame->type == PUBREC) {
        client->ids[ack.id] = ID_RELEASED;
        put_ack(out_of(client), PUBREL, ack.id);
        return 0;
    }
    client->ids[ack.id] = ID_FREE;
    if (frame->type == PUBACK && client->acked &&
        ack.id != (client->acked_id == 65535 ? 1 : client->acked_id + 1))
        die("client %u: packet id %u was acknowledged directly after %u", client->number,
            ack.id, /* [MQTT-4.6.0-2] */
            client->acked_id);
    client->acked_id = ack.id;
    if (!client->echo) {
        client->acked++;
        traffic->acked++;
        client_push_due(client);
    }
    return 0;
}

/* ---- connecting ---- */

void client_say_goodbye(struct client *client)
{
    put_empty(out_of(client), DISCONNECT);
    client->leaving = true;
}

static void subscribe_more(struct client *client)
{
    const struct plan *plan = client->traffic->plan;
    char text[FILTERS_A_PACKET][PLAN_TOPIC_MAX];
    const char *filters[FILTERS_A_PACKET];
    unsigned n = 0;

    while (n < FILTERS_A_PACKET && plan_filter(plan, client->number, client->filters + n, text[n])) {
        filters[n] = text[n];
        n++;
    }
    if (n == 0) {
        if (plan->away && client->receiver >= 0)
            client_say_goodbye(client); /* and is ready when the broker has understood */
        else
            client->traffic->ready++;
        return;
    }
    client->asked = n;
    client->filters += n;
    put_subscribe(out_of(client), plan->version, 1, filters, n, plan->qos);
}

static int on_connack(struct client *client, const struct frame *frame)
{
    const struct plan *plan = client->traffic->plan;
    struct connack connack;

    int r = frame_connack(&connack, frame, plan->version);
    if (r < 0)
        return r;
    if (connack.code != 0)
        die("client %u: CONNECT was refused: code 0x%02x", client->number, connack.code);
    if (plan->qos > 0 && plan->window > connack.receive_maximum)
        die("the broker takes %u messages at once, the window is %u", connack.receive_maximum, plan->window);
    if (client->traffic->returned) {
        client->traffic->ready++;
        client->traffic->outcome->sessions_lost += !connack.session_present;
        return 0;
    }
    subscribe_more(client);
    return 0;
}

static int on_suback(struct client *client, const struct frame *frame)
{
    const struct plan *plan = client->traffic->plan;
    size_t head = 2, len, size;

    if (plan->version == MQTT_5 && frame->len > 2) {
        int r = frame_varint(&len, &size, frame->body + 2, frame->len - 2);
        if (r < 0)
            return r;
        head += size + len;
    }
    if (frame->len != head + client->asked)
        return -EPROTO;
    for (size_t i = head; i < frame->len; i++)
        if (frame->body[i] != plan->qos)
            die("client %u: SUBSCRIBE with QoS %u was answered with 0x%02x", client->number, plan->qos,
                frame->body[i]);
    subscribe_more(client);
    return 0;
}

int client_on_frame(struct link *link, const struct frame *frame)
{
    struct client *client = (struct client *)link;

    switch (frame->type) {
    case PUBLISH: return on_publish(client, frame);
    case PUBACK:
    case PUBREC:
    case PUBREL:
    case PUBCOMP: return on_ack(client, frame);
    case CONNACK: return on_connack(client, frame);
    case SUBACK: return on_suback(client, frame);
    case PINGRESP: client->traffic->pongs++; return 0;
    case DISCONNECT:
        die("client %u while %s: the broker disconnects: reason 0x%02x", client->number,
            phase_name(client->traffic->phase), frame->len ? frame->body[0] : 0);
    default: return -EPROTO;
    }
}

void client_open(struct client *client)
{
    struct traffic *traffic = client->traffic;
    const struct plan *plan = traffic->plan;
    char id[48];

    int r = address_connect(traffic->uri);
    if (r >= 0)
        r = link_open(&traffic->hub, &client->link, r);
    if (r >= 0 && traffic->secure)
        r = link_secure(&client->link, traffic->secure);
    if (r < 0)
        die("client %u: connect to %s: %s", client->number, traffic->uri, strerror(-r));
    (void)snprintf(id, sizeof(id), "bench-%d-%u", (int)getpid(), client->number);
    put_connect(out_of(client), plan->version, id, plan->durable && client->receiver >= 0);
}

void client_ping(struct client *client)
{
    if (client->link.fd < 0)
        return;
    client->traffic->pings++;
    put_empty(out_of(client), PINGREQ);
}
