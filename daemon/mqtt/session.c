#include "mqtt/session.h"

#include "mqtt/peer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* What must hold: a mail is in the mailbox (waiting), or in `again` or `under_way` with by_id[packet_id - 1] pointing to
 * it, or gone. The window counts what was sent as PUBLISH on this connection and is not finished: the quota starts anew
 * with every connection, and a PUBREL is never delayed by it [MQTT 5, 4.9]. */

enum { MS = 1000, BY_ID_FIRST = 16 };

static void on_deliver(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt);
static enum bus_readiness how_ready(const struct subscriber *subscriber);
static void forget(struct session *session, struct mail *mail);

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void on_expiry(struct timer *timer)
{
    (void)session_end(container_of(timer, struct session, expiry_timer));
}

static void publish_will(struct session *session)
{
    struct msg *will = steal(session->will);
    timer_stop(bus_loop(session->broker->bus), &session->will_timer);
    if (!will)
        return;
    will->born = loop_now(bus_loop(session->broker->bus)); /* its expiry starts now */
    bus_publish(session->broker->bus, will, NULL);
    (void)msg_unref(will);
}

static void on_will(struct timer *timer)
{
    publish_will(container_of(timer, struct session, will_timer));
}

struct session *session_find(struct broker *broker, const char *client_id, size_t len)
{
    struct map_key *key = map_get(&broker->sessions, client_id, len);
    return key ? container_of(key, struct session, key) : NULL;
}

struct session *session_new(struct broker *broker, const char *client_id, size_t len)
{
    struct session *session = mem_new_bytes(sizeof *session + len + 1);
    memcpy(session + 1, client_id, len);
    session->key.text = (char *)(session + 1);
    session->key.len = (uint32_t)len;
    session->broker = broker;
    session->subscriber = (struct subscriber){
        .deliver = on_deliver, .readiness = how_ready, .origin = bus_new_origin(broker->bus)};
    session->expiry_timer.fire = on_expiry;
    session->will_timer.fire = on_will;
    mailbox_init(&session->mailbox, broker->options.queue_max, broker->options.queue_bytes_max);
    list_init(&session->again);
    list_init(&session->under_way);
    list_init(&session->acks);
    map_put(&broker->sessions, &session->key);
    broker->counters.sessions++;
    return session;
}

static void drop_subscriptions(struct session *session)
{
    map_for_each(i, key, &session->subscriptions)
    {
        struct session_subscription *s = container_of(key, struct session_subscription, key);
        bus_unsubscribe(session->broker->bus, &s->subscription);
        free(s);
    }
    map_done(&session->subscriptions);
}

/* What came by shared subscriptions and is not under way with QoS 2 goes to others who share them: to somebody who is
 * connected or, when this session ends, to anybody. [MQTT-4.8.2-4, -5]: a QoS 2 message stays where it began. */
static void pass_on(struct session *session, bool connected)
{
    struct bus *bus = session->broker->bus;
    list_for_each_safe (link, &session->again) {
        struct mail *mail = list_entry(link, struct mail, link);
        if (mail->share && mail->qos == 1 &&
            bus_share_again(bus, mail->share, mail->msg, &session->subscriber, connected))
            forget(session, mail);
    }
    list_for_each_safe (link, &session->mailbox.queue) {
        struct mail *mail = list_entry(link, struct mail, link);
        if (mail->share && bus_share_again(bus, mail->share, mail->msg, &session->subscriber, connected))
            (void)mail_free(mailbox_remove(&session->mailbox, mail));
    }
}

struct session *session_end(struct session *session)
{
    struct broker *broker = session->broker;
    assert(!session->peer);
    publish_will(session);
    timer_stop(bus_loop(broker->bus), &session->expiry_timer);
    list_splice(&session->again, &session->under_way);
    if (!broker->closing)
        pass_on(session, false);
    drop_subscriptions(session);
    mailbox_done(&session->mailbox);
    for (struct list *link; (link = list_pop(&session->again));)
        (void)mail_free(list_entry(link, struct mail, link));
    for (struct list *link; (link = list_pop(&session->acks));) {
        struct ack *ack = list_entry(link, struct ack, link);
        ack->session = NULL; /* what is not settled yet frees itself then */
        if (ack->settled)
            free(ack);
    }
    free(session->by_id);
    free(session->received);
    map_remove(&broker->sessions, &session->key);
    broker->counters.sessions--;
    free(session);
    return NULL;
}

void session_attach(struct session *session, struct peer *peer)
{
    session->peer = peer;
    timer_stop(bus_loop(session->broker->bus), &session->expiry_timer);
    timer_stop(bus_loop(session->broker->bus), &session->will_timer);
    session->will = msg_unref(session->will); /* [MQTT-3.1.3-9]: back before the delay was over */

    list_for_each (link, &session->again)
        list_entry(link, struct mail, link)->state &= (uint8_t)~MAIL_IN_WINDOW;
    session->in_window = 0;
}

void session_detach(struct session *session)
{
    struct loop *loop = bus_loop(session->broker->bus);
    session->peer = NULL;
    list_splice(&session->again, &session->under_way); /* what was not sent again last time comes first */
    if (!session->broker->closing)
        pass_on(session, true);
    list_for_each_safe (link, &session->acks) {
        struct ack *ack = list_entry(link, struct ack, link);
        ack->peer = NULL;
        if (ack->settled) {
            list_remove(link);
            free(ack);
        }
    }
    if (session->will && session->will_delay_s && session->expiry_s) {
        uint32_t delay_s =
            session->will_delay_s < session->expiry_s ? session->will_delay_s : session->expiry_s;
        timer_start(loop, &session->will_timer, (int64_t)delay_s * MS);
    } else {
        publish_will(session);
    }
    if (!session->expiry_s)
        (void)session_end(session);
    else if (session->expiry_s != UINT32_MAX)
        timer_start(loop, &session->expiry_timer, (int64_t)session->expiry_s * MS);
}

/* ---- out -------------------------------------------------------------------------------------------------------- */

static unsigned window_of(const struct session *session)
{
    return session->peer ? session->peer->window : 0;
}

static uint16_t new_id(struct session *session)
{
    if (session->under_way_count == session->by_id_size) {
        unsigned size = session->by_id_size ? 2 * session->by_id_size : BY_ID_FIRST;
        if (size > UINT16_MAX)
            size = UINT16_MAX;
        struct mail **by_id = mem_new_bytes(size * sizeof *by_id);
        if (session->by_id_size)
            memcpy(by_id, session->by_id, session->by_id_size * sizeof *by_id);
        free(session->by_id);
        session->by_id = by_id;
        session->by_id_size = size;
    }
    unsigned at = session->last_id % session->by_id_size; /* 0-based: the one after the last */
    while (session->by_id[at])
        at = (at + 1) % session->by_id_size;
    session->last_id = (uint16_t)(at + 1);
    return session->last_id;
}

static void forget(struct session *session, struct mail *mail)
{
    session->by_id[mail->packet_id - 1] = NULL;
    session->under_way_count--;
    if (mail->state & MAIL_IN_WINDOW)
        session->in_window--;
    list_remove(&mail->link);
    (void)mail_free(mail);
}

/* One that is too large for the client counts as delivered [MQTT-3.1.2-25]. */
static void send_publish(struct session *session, struct mail *mail, bool again)
{
    list_append(&session->under_way, &mail->link);
    mail->state |= MAIL_IN_WINDOW;
    session->in_window++;
    if (!peer_send_mail(session->peer, mail, again))
        forget(session, mail);
}

static void send_first(struct session *session, struct mail *mail)
{
    mail->packet_id = new_id(session);
    mail->state = 0;
    session->by_id[mail->packet_id - 1] = mail;
    session->under_way_count++;
    send_publish(session, mail, false);
}

/* The PUBRELs at once, the PUBLISHes as far as the window goes. */
static void send_again(struct session *session)
{
    list_for_each_safe (link, &session->again) {
        struct mail *mail = list_entry(link, struct mail, link);
        if (mail->state & MAIL_RECEIVED) {
            list_remove(link);
            list_append(&session->under_way, link);
            peer_send_pubrel(session->peer, mail->packet_id);
        } else if (session->in_window < window_of(session)) {
            list_remove(link);
            send_publish(session, mail, true);
        }
    }
}

static bool may_send(const struct session *session)
{
    return session->in_window < window_of(session) && session->under_way_count < UINT16_MAX &&
           !peer_is_congested(session->peer);
}

void session_pump(struct session *session)
{
    if (!session->peer)
        return;
    if (!list_is_empty(&session->again))
        send_again(session);
    int64_t now = loop_now(bus_loop(session->broker->bus));
    while (list_is_empty(&session->again) && may_send(session)) {
        struct mail *mail = mailbox_take(&session->mailbox);
        if (!mail)
            return;
        receipt_settle(mail->receipt, 0);
        mail->receipt = NULL;
        if (msg_expiry_left(mail->msg, now) == 0) {
            session->broker->counters.dropped_expired++;
            (void)mail_free(mail);
            continue;
        }
        send_first(session, mail);
    }
}

static enum bus_readiness how_ready(const struct subscriber *subscriber)
{
    const struct session *session = container_of(subscriber, struct session, subscriber);
    if (!session->peer)
        return BUS_AWAY;
    return session->mailbox.count || !may_send(session) ? BUS_BUSY : BUS_READY;
}

static void deliver_qos0(struct session *session, struct msg *msg, const struct delivery *delivery)
{
    if (!session->peer)
        return;
    if (peer_is_congested(session->peer)) {
        session->broker->counters.dropped_qos0++;
        return;
    }
    peer_send_qos0(session->peer, msg, delivery);
}

static void on_deliver(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    struct session *session = container_of(subscriber, struct session, subscriber);
    if (delivery->qos == 0) {
        deliver_qos0(session, msg, delivery);
        return;
    }
    bool full = mailbox_is_full(&session->mailbox, msg);
    if (full && (!session->peer || !receipt)) {
        session->broker->counters.dropped_queue_full++;
        return;
    }
    struct mail *mail = mail_new(msg, delivery);
    if (!mail) {
        receipt_hold(receipt);
        receipt_settle(receipt, -ENOMEM);
        return;
    }
    if (!session->mailbox.count && list_is_empty(&session->again) && may_send(session)) {
        send_first(session, mail);
        return;
    }
    if (full) { /* the client is there but slow: its publisher waits with it */
        receipt_hold(receipt);
        mail->receipt = receipt;
    }
    mailbox_add(&session->mailbox, mail);
}

/* ---- acknowledgements from the client ---------------------------------------------------------------------------- */

static struct mail *under_way(const struct session *session, uint16_t packet_id)
{
    return packet_id && packet_id <= session->by_id_size ? session->by_id[packet_id - 1] : NULL;
}

static void finish(struct session *session, struct mail *mail)
{
    forget(session, mail);
    if (!session->under_way_count && session->by_id_size > BY_ID_FIRST) {
        free(session->by_id);
        session->by_id = NULL;
        session->by_id_size = 0;
        session->last_id = 0;
    }
    session_pump(session);
}

bool session_puback(struct session *session, uint16_t packet_id)
{
    struct mail *mail = under_way(session, packet_id);
    if (!mail || mail->qos != 1)
        return false;
    finish(session, mail);
    return true;
}

bool session_pubrec(struct session *session, uint16_t packet_id, bool accepted)
{
    struct mail *mail = under_way(session, packet_id);
    if (!mail || mail->qos != 2)
        return false;
    if (!accepted) {
        finish(session, mail);
        return true;
    }
    mail->state |= MAIL_RECEIVED;
    return true;
}

bool session_pubcomp(struct session *session, uint16_t packet_id)
{
    struct mail *mail = under_way(session, packet_id);
    if (!mail || mail->qos != 2 || !(mail->state & MAIL_RECEIVED))
        return false;
    finish(session, mail);
    return true;
}

/* ---- QoS 2 from the client --------------------------------------------------------------------------------------- */

bool session_receive(struct session *session, uint16_t packet_id)
{
    for (unsigned i = 0; i < session->received_count; i++)
        if (session->received[i] == packet_id)
            return false;
    if (session->received_count == session->received_size) {
        uint32_t size = session->received_size ? 2 * session->received_size : 8;
        uint16_t *received = realloc(session->received, size * sizeof *received);
        if (!received)
            abort();
        session->received = received;
        session->received_size = size;
    }
    session->received[session->received_count++] = packet_id;
    return true;
}

bool session_release(struct session *session, uint16_t packet_id)
{
    for (unsigned i = 0; i < session->received_count; i++)
        if (session->received[i] == packet_id) {
            session->received[i] = session->received[--session->received_count];
            return true;
        }
    return false;
}

/* ---- subscriptions ----------------------------------------------------------------------------------------------- */

bool session_subscribe(struct session *session, const char *filter, size_t len,
                       const struct subscription *options, struct subscription **ret)
{
    struct map_key *key = map_get(&session->subscriptions, filter, len);
    struct session_subscription *s;
    if (key) { /* [MQTT-3.8.4-3]: the old one is replaced */
        s = container_of(key, struct session_subscription, key);
        map_remove(&session->subscriptions, key);
        bus_unsubscribe(session->broker->bus, &s->subscription);
    } else {
        s = mem_new(struct session_subscription);
    }
    s->subscription = *options;
    s->subscription.subscriber = &session->subscriber;
    bus_subscribe(session->broker->bus, &s->subscription, filter, len);
    s->key = (struct map_key){.text = s->subscription.filter, .len = (uint32_t)len};
    map_put(&session->subscriptions, &s->key);
    *ret = &s->subscription;
    return !key;
}

bool session_unsubscribe(struct session *session, const char *filter, size_t len)
{
    struct map_key *key = map_get(&session->subscriptions, filter, len);
    if (!key)
        return false;
    struct session_subscription *s = container_of(key, struct session_subscription, key);
    map_remove(&session->subscriptions, key);
    bus_unsubscribe(session->broker->bus, &s->subscription);
    free(s);
    return true;
}
