#include "mqtt/session.h"

#include "mqtt/durable.h"
#include "mqtt/peer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Life: from the first CONNECT to the end, the will, subscriptions, and the packet ids of QoS 2 messages that the
 * client has not released. What goes out is in session_out.c, what is acknowledged to the client in publish.c. */

enum { MS = 1000 };

static struct loop *loop_of(const struct session *session)
{
    return bus_loop(session->broker->bus);
}

/* ---- the will ---------------------------------------------------------------------------------------------------- */

/* A will that is being published: on disk until that is done. */
struct last_words {
    struct list link; /* in broker->last_words */
    struct receipt receipt;

    struct broker *broker;
    uint64_t number;
    size_t len;
    char client_id[];
};

static void on_published(struct receipt *receipt, int r)
{
    struct last_words *words = container_of(receipt, struct last_words, receipt);
    (void)r; /* refused is refused: there is nobody to say it to, and saying it
              again would not help */
    if (words->number && !words->broker->closing)
        durable_remove_will(words->broker->durable, words->client_id, words->len, words->number);
    list_remove(&words->link);
    free(words);
}

void session_forget_last_words(struct broker *broker)
{
    for (struct list *link; (link = list_pop(&broker->last_words));)
        free(list_entry(link, struct last_words, link));
}

void session_publish_will(struct broker *broker, const char *client_id, size_t len, struct msg *will,
                          uint64_t number)
{
    struct last_words *words = mem_new_bytes(sizeof *words + len);
    receipt_init(&words->receipt, on_published);
    list_append(&broker->last_words, &words->link);

    words->broker = broker;
    words->number = number;
    words->len = len;
    memcpy(words->client_id, client_id, len);
    will->born = loop_now(broker->loop); /* its expiry starts now */
    bus_publish(broker->bus, will, &words->receipt);
}

/* The session has none any more. */
static void will_free(struct session *session)
{
    struct will *will = steal(session->will);
    timer_stop(loop_of(session), &will->timer);
    session->broker->will_bytes -= msg_cost(will->msg);
    (void)msg_unref(will->msg);
    free(will);
}

static void publish_will(struct session *session)
{
    const struct will *will = session->will;
    if (!will)
        return;
    if (!session->broker->closing)
        session_publish_will(session->broker, session->key.text, session->key.len, will->msg, will->number);
    will_free(session);
}

static void on_will(struct timer *timer)
{
    publish_will(container_of(timer, struct will, timer)->session);
}

void session_forget_will(struct session *session)
{
    const struct will *will = session->will;
    if (!will)
        return;
    if (will->number && !session->broker->closing)
        durable_remove_will(session->broker->durable, session->key.text, session->key.len, will->number);
    will_free(session);
}

struct will *session_set_will(struct session *session, struct msg *msg, uint32_t delay_s)
{
    session_forget_will(session);
    struct will *will = session->will = mem_new(struct will);
    will->msg = msg_ref(msg);
    session->broker->will_bytes += msg_cost(msg);
    will->session = session;
    will->delay_s = delay_s;
    will->timer.fire = on_will;
    msg->origin = session->subscriber.origin;
    return will;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void on_expiry(struct timer *timer)
{
    (void)session_end(container_of(timer, struct session, expiry_timer), NULL);
}

struct session *session_find(struct broker *broker, const char *client_id, size_t len)
{
    struct map_key *key = map_get(&broker->sessions, client_id, len);
    return key ? container_of(key, struct session, key) : NULL;
}

struct session *session_new(struct broker *broker, const char *client_id, size_t len, uint32_t expiry_s,
                            uint64_t number)
{
    struct session *session = mem_new_bytes(sizeof *session + len + 1);
    memcpy(session + 1, client_id, len);
    session->key.text = (char *)(session + 1);
    session->key.len = (uint32_t)len;
    session->broker = broker;
    session->subscriber = (struct subscriber){.deliver = session_on_deliver, .readiness = session_how_ready};
    session->expiry_s = expiry_s;
    session->expiry_timer.fire = on_expiry;
    map_put(&broker->sessions, &session->key);
    broker->counters.sessions++;
    if (broker->durable && expiry_s)
        durable_name(broker->durable, session, number);
    else
        session->subscriber.origin = bus_new_origin(broker->bus);
    return session;
}

struct traffic *session_traffic(struct session *session)
{
    if (session->traffic)
        return session->traffic;
    const struct broker_options *options = &session->broker->options;
    struct traffic *traffic = session->traffic = mem_new(struct traffic);
    mailbox_init(&traffic->mailbox, options->queue_max, options->queue_bytes_max);
    list_init(&traffic->again);
    list_init(&traffic->under_way);
    list_init(&traffic->acks);
    list_init(&traffic->promises);
    return traffic;
}

static void drop_subscriptions(struct session *session)
{
    map_for_each(i, key, &session->subscriptions)
    {
        struct session_subscription *s = container_of(key, struct session_subscription, key);
        sys_unsubscribed(session->broker, s->key.text, s->key.len);
        bus_unsubscribe(session->broker->bus, &s->subscription);
        free(s);
    }
    map_done(&session->subscriptions);
    session->filter_bytes = 0;
}

/* What is not settled yet frees itself then. */
static void drop_acks(struct list *acks)
{
    for (struct list *link; (link = list_pop(acks));) {
        struct ack *ack = list_entry(link, struct ack, link);
        ack->session = NULL;
        ack->peer = NULL;
        if (ack->settled)
            slab_give(ack);
    }
}

/* What came by shared subscriptions and is not under way with QoS 2 goes to others who share them: to somebody who is
 * connected or, when this session ends, to anybody. [MQTT-4.8.2-4, -5]: a QoS 2 message stays where it began. */
static void pass_on(struct session *session, bool connected)
{
    struct bus *bus = session->broker->bus;
    struct traffic *traffic = session->traffic;
    session->broker->passing_on = true;
    list_for_each_safe (link, &traffic->again) {
        struct mail *mail = list_entry(link, struct mail, link);
        if (mail->share && mail->qos == 1 &&
            bus_share_again(bus, mail->share, mail->msg, &session->subscriber, connected))
            session_finish_mail(session, mail);
    }
    list_for_each_safe (link, &traffic->mailbox.queue) {
        struct mail *mail = list_entry(link, struct mail, link);
        if (!mail->share || !bus_share_again(bus, mail->share, mail->msg, &session->subscriber, connected))
            continue;
        (void)session_take_from_mailbox(session, mail);
        if (mail->place)
            spool_done(durable_spool(session->broker->durable), mail);
        (void)mail_free(mail);
    }
    session->broker->passing_on = false;
}

static void end_traffic(struct session *session)
{
    struct traffic *traffic = session->traffic;
    session_drop_mails(session);
    drop_acks(&traffic->acks);
    drop_acks(&traffic->promises);
    for (uint32_t i = 0; i < traffic->received_count; i++)
        if (traffic->received[i].spooled)
            spool_untake(durable_spool(session->broker->durable), traffic->received[i].spooled);
    free(traffic->received);
    free(traffic);
}

struct session *session_end(struct session *session, struct receipt *receipt)
{
    struct broker *broker = session->broker;
    assert(!session->peer);
    publish_will(session);
    timer_stop(loop_of(session), &session->expiry_timer);
    if (session->traffic) {
        list_splice(&session->traffic->under_way, &session->traffic->again);
        list_splice(&session->traffic->again, &session->traffic->under_way);
        if (!broker->closing)
            pass_on(session, false);
    }
    drop_subscriptions(session);
    if (session->traffic)
        end_traffic(session);
    if (session->disk) {
        if (!broker->closing)
            durable_remove(broker->durable, session->disk->number, receipt);
        durable_unname(broker->durable, session);
    }
    map_remove(&broker->sessions, &session->key);
    broker->counters.sessions--;
    free(session->owner);
    free(session);
    return NULL;
}

void session_attach(struct session *session, struct peer *peer)
{
    session->peer = peer;
    timer_stop(loop_of(session), &session->expiry_timer);
    session_forget_will(session); /* [MQTT-3.1.3-9]: back before the delay was over */
    struct traffic *traffic = session->traffic;
    if (!traffic)
        return;
    list_for_each (link, &traffic->again)
        list_entry(link, struct mail, link)->state &= (uint8_t)~MAIL_IN_WINDOW;
    traffic->in_window = 0;
}

/* The connection is gone: the will's delay and the session's time begin, `waited` ms ago. */
static void wait_for_return(struct session *session, int64_t waited)
{
    struct will *will = session->will;
    if (will && will->delay_s && session->expiry_s) {
        uint32_t delay_s = will->delay_s < session->expiry_s ? will->delay_s : session->expiry_s;
        int64_t left = (int64_t)delay_s * MS - waited;
        timer_start(loop_of(session), &will->timer, left > 0 ? left : 0);

    } else {
        publish_will(session);
    }
    int64_t left = (int64_t)session->expiry_s * MS - waited;
    if (!session->expiry_s)
        (void)session_end(session, NULL);
    else if (session->expiry_s != UINT32_MAX)
        timer_start(loop_of(session), &session->expiry_timer, left > 0 ? left : 0);
}

void session_restore(struct session *session, int64_t waited)
{
    wait_for_return(session, waited);
}

static void leave_acks(struct list *acks)
{
    list_for_each_safe (link, acks) {
        struct ack *ack = list_entry(link, struct ack, link);
        ack->peer = NULL;
        if (ack->settled) {
            list_remove(link);
            slab_give(ack);
        }
    }
}

/* Those who waited for room wait no longer: what is on disk is kept, whether there is room or not. */
static void let_publishers_go(struct session *session)
{
    if (!session->disk || session->broker->options.queue_full == BROKER_QUEUE_WAIT)
        return;
    list_for_each (link, &session->traffic->mailbox.queue) {
        struct mail *mail = list_entry(link, struct mail, link);
        receipt_settle(mail->receipt, 0);
        mail->receipt = NULL;
    }
}

void session_detach(struct session *session)
{
    struct traffic *traffic = session->traffic;
    session->peer = NULL;
    if (traffic) {
        list_splice(&traffic->under_way,
                    &traffic->again); /* what was not sent again this time comes last, as before */
        list_splice(&traffic->again, &traffic->under_way); /* [MQTT-4.6.0-1] */
        if (!session->broker->closing)
            pass_on(session, true);
        leave_acks(&traffic->acks);
        leave_acks(&traffic->promises);
        let_publishers_go(session);
    }
    if (session->disk && session->expiry_s && !session->broker->closing)
        durable_put(session->broker->durable, session, true, NULL);
    wait_for_return(session, 0);
}

/* ---- QoS 2 from the client --------------------------------------------------------------------------------------- */

struct received *session_received(struct session *session, uint16_t packet_id)
{
    struct traffic *traffic = session->traffic;
    for (unsigned i = 0; traffic && i < traffic->received_count; i++)
        if (traffic->received[i].packet_id == packet_id)
            return &traffic->received[i];
    return NULL;
}

uint32_t session_unreleased(const struct session *session)
{
    return session->traffic ? session->traffic->received_count : 0;
}

bool session_receive(struct session *session, uint16_t packet_id)
{
    if (session_received(session, packet_id))
        return false;
    struct traffic *traffic = session_traffic(session);
    if (traffic->received_count == traffic->received_size) {
        uint32_t size = traffic->received_size ? 2 * traffic->received_size : 8;
        struct received *received = realloc(traffic->received, size * sizeof *received);
        if (!received)
            abort();
        traffic->received = received;
        traffic->received_size = size;
    }
    traffic->received[traffic->received_count++] = (struct received){.packet_id = packet_id};
    return true;
}

void session_forget_received(struct session *session, uint16_t packet_id)
{
    struct received *received = session_received(session, packet_id);
    if (!received)
        return;
    if (received->spooled)
        spool_untake(durable_spool(session->broker->durable), received->spooled);
    *received = session->traffic->received[--session->traffic->received_count];
}

void session_released_is_kept(struct session *session, uint16_t packet_id, bool kept)
{
    struct received *received = session_received(session, packet_id);
    if (kept)
        session_forget_received(session, packet_id);
    else if (received)
        received->releasing = false;
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
        session->filter_bytes += len;
        sys_subscribed(session->broker, filter, len);
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
    session->filter_bytes -= len;
    sys_unsubscribed(session->broker, filter, len);
    bus_unsubscribe(session->broker->bus, &s->subscription);
    free(s);
    return true;
}
