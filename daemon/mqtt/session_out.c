#include "mqtt/session.h"

#include "mqtt/durable.h"
#include "mqtt/peer.h"

#include <errno.h>

/* What goes out to the client.
 *
 * What must hold: a mail is in the mailbox (waiting), or in `again` or `under_way` (its packet id is taken), or gone.
 * The window counts what was sent as PUBLISH on this connection and is not finished: the quota starts anew with every
 * connection, and a PUBREL is never delayed by it [MQTT 5, 4.9].
 *
 * Packet ids go round: of a durable session they follow from the message's index, so that they are the same after a
 * restart; else they are counted. Both ways the ids under way are among the last 65,535 given, in their order, and only
 * the oldest of them can be in the way of the next. */

enum { ID_COUNT = UINT16_MAX };

static struct spool *spool_of(const struct session *session)
{
    return durable_spool(session->broker->durable);
}

/* ---- packet ids -------------------------------------------------------------------------------------------------- */

static uint16_t id_of(const struct traffic *traffic, const struct mail *mail)
{
    return mail->place ? (uint16_t)(mail->place->index % ID_COUNT + 1)
                       : (uint16_t)(traffic->last_id % ID_COUNT + 1);
}

static bool id_is_free(const struct traffic *traffic, const struct mail *mail)
{
    if (list_is_empty(&traffic->under_way))
        return true;
    const struct mail *oldest = list_entry(traffic->under_way.next, struct mail, link);
    if (mail->place && oldest->place)
        return mail->place->index - oldest->place->index < ID_COUNT;
    return oldest->packet_id != id_of(traffic, mail);
}

static struct mail *find_in(const struct list *list, uint16_t packet_id)
{
    list_for_each (link, list) {
        struct mail *mail = list_entry(link, struct mail, link);
        if (mail->packet_id == packet_id)
            return mail;
    }
    return NULL;
}

/* Clients acknowledge in order, so it is the first one mostly. */
static struct mail *find(const struct session *session, uint16_t packet_id)
{
    const struct traffic *traffic = session->traffic;
    struct mail *mail = traffic ? find_in(&traffic->under_way, packet_id) : NULL;
    return mail || !traffic ? mail : find_in(&traffic->again, packet_id);
}

/* ---- mailbox ----------------------------------------------------------------------------------------------------- */

static void wait_in_mailbox(struct session *session, struct mail *mail)
{
    mailbox_add(&session->traffic->mailbox, mail);
    session->broker->queued_bytes += msg_cost(mail->msg);
}

struct mail *session_take_from_mailbox(struct session *session, struct mail *mail)
{
    session->broker->queued_bytes -= msg_cost(mail->msg);
    return mailbox_remove(&session->traffic->mailbox, mail);
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

void session_finish_mail(struct session *session, struct mail *mail)
{
    session->traffic->under_way_count--;
    if (mail->state & MAIL_IN_WINDOW)
        session->traffic->in_window--;
    list_remove(&mail->link);
    if (mail->place)
        spool_done(spool_of(session), mail);
    (void)mail_free(mail);
}

/* One that is too large for the client counts as delivered [MQTT-3.1.2-25]. */
static void send_publish(struct session *session, struct mail *mail, bool again)
{
    list_append(&session->traffic->under_way, &mail->link);
    mail->state |= MAIL_IN_WINDOW;
    session->traffic->in_window++;
    if (!peer_send_mail(session->peer, mail, again))
        session_finish_mail(session, mail);
}

static void send_first(struct session *session, struct mail *mail)
{
    struct traffic *traffic = session->traffic;
    mail->packet_id = traffic->last_id = id_of(traffic, mail);
    traffic->under_way_count++;
    send_publish(session, mail, mail->state & MAIL_READ_BACK);
}

static unsigned window_of(const struct session *session)
{
    return session->peer ? session->peer->window : 0;
}

/* The PUBRELs at once, the PUBLISHes as far as the window goes. */
static void send_again(struct session *session)
{
    struct traffic *traffic = session->traffic;
    list_for_each_safe (link, &traffic->again) {
        struct mail *mail = list_entry(link, struct mail, link);
        if (mail->state & MAIL_RECEIVED) {
            list_remove(link);
            list_append(&traffic->under_way, link);
            peer_send_ack(session->peer, WIRE_PUBREL, mail->packet_id, WIRE_SUCCESS, NULL);
        } else if (traffic->in_window < window_of(session)) {
            list_remove(link);
            send_publish(session, mail, true);
        }
    }
}

bool session_may_send(const struct session *session)
{
    const struct traffic *traffic = session->traffic;
    return session->peer && session->peer->state == PEER_CONNECTED &&
           (!traffic || (traffic->in_window < window_of(session) && traffic->under_way_count < ID_COUNT)) &&
           !peer_is_congested(session->peer);
}

/* May it be sent now? At QoS 2 a message that is not on disk could be sent again with another packet id after a
 * restart, and would be delivered twice. */
static bool is_ready(struct session *session, const struct mail *mail)
{
    if (mail->place && mail->qos == 2 && !spool_is_synced(mail)) {
        durable_wait(session->broker->durable, session);
        return false;
    }
    return id_is_free(session->traffic, mail);
}

static bool is_void(struct session *session, const struct mail *mail, int64_t now)
{
    if (mail->place && spool_has_failed(mail))
        return true; /* its publisher has been told */
    if (!peer_may_receive(session->peer, mail->msg))
        return true; /* it came while the client was away, or its policies have changed */
    if (msg_expiry_left(mail->msg, now) > 0)
        return false;
    session->broker->counters.dropped_expired++;
    return true;
}

/* It came while the client was away, or its policies have changed: it is for another who shares the subscription. */
static void pass_on_forbidden(struct session *session, struct mail *mail)
{
    if (!mail->share || peer_may_receive(session->peer, mail->msg))
        return;
    session->broker->passing_on = true;
    (void)bus_share_again(session->broker->bus, mail->share, mail->msg, &session->subscriber, false);
    session->broker->passing_on = false;
}

void session_pump(struct session *session)
{
    struct traffic *traffic = session->traffic;
    if (!traffic || !session->peer || session->peer->state != PEER_CONNECTED)
        return;
    if (!list_is_empty(&traffic->again))
        send_again(session);
    int64_t now = loop_now(session->broker->loop);
    while (list_is_empty(&traffic->again) && session_may_send(session)) {
        struct mail *mail = mailbox_first(&traffic->mailbox);
        if (!mail)
            return;
        bool is_void_now = is_void(session, mail, now);
        if (!is_void_now && !is_ready(session, mail))
            return;
        (void)session_take_from_mailbox(session, mail);
        receipt_settle(mail->receipt, 0);
        mail->receipt = NULL;
        if (!is_void_now) {
            send_first(session, mail);
            continue;
        }
        pass_on_forbidden(session, mail);
        if (mail->place)
            spool_done(spool_of(session), mail);
        (void)mail_free(mail);
    }
}

/* ---- delivery ---------------------------------------------------------------------------------------------------- */

enum bus_readiness session_how_ready(const struct subscriber *subscriber, const struct msg *msg)
{
    const struct session *session = container_of(subscriber, struct session, subscriber);
    if (!session->peer)
        return BUS_AWAY;
    if (!peer_may_receive(session->peer, msg))
        return BUS_FORBIDDEN;
    bool waits = session->traffic && session->traffic->mailbox.count;
    return waits || !session_may_send(session) ? BUS_BUSY : BUS_READY;
}

static void deliver_qos0(struct session *session, struct msg *msg, const struct delivery *delivery)
{
    if (!session->peer || session->peer->state != PEER_CONNECTED)
        return;
    if (peer_is_congested(session->peer)) {
        session->broker->counters.dropped_qos0++;
        return;
    }
    peer_send_qos0(session->peer, msg, delivery);
}

static bool is_full(const struct session *session, const struct msg *msg)
{
    return mailbox_is_full(&session->traffic->mailbox, msg) ||
           session->broker->queued_bytes + msg_cost(msg) > session->broker->options.queued_bytes_max;
}

/* The oldest that have expired make room, before anybody is refused for them. Those whose publishers wait are left to
 * session_pump(): here others are being delivered to. */
static void drop_expired(struct session *session)
{
    int64_t now = loop_now(session->broker->loop);
    for (struct mail *mail; (mail = mailbox_first(&session->traffic->mailbox)) && !mail->receipt &&
                            !msg_expiry_left(mail->msg, now);) {
        session->broker->counters.dropped_expired++;
        (void)session_take_from_mailbox(session, mail);
        if (mail->place)
            spool_done(spool_of(session), mail);
        (void)mail_free(mail);
    }
}

static void refuse(struct session *session, struct receipt *receipt, int why)
{
    if (receipt)
        session->broker->counters.refused_queue_full++;
    else
        session->broker->counters.dropped_queue_full++; /* nobody was promised anything */
    receipt_hold(receipt);
    receipt_settle(receipt, why);
}

/* Gives the mail its place on disk. The packet id by which its publisher would repeat it goes into the same record. */
static void keep(struct session *session, struct msg *msg, struct mail *mail, struct receipt *receipt)
{
    bool is_new;
    struct spooled *spooled = spool_gather(spool_of(session), msg, receipt, &is_new);
    if (is_new && receipt && msg->packet_id && (msg->origin & SESSION_DURABLE)) {
        struct session *from = durable_find(session->broker->durable, msg->origin & ~SESSION_DURABLE);
        struct received *received = from ? session_received(from, msg->packet_id) : NULL;
        if (received && !received->spooled) {
            received->spooled = spooled;
            spool_taken_with(spooled, from->disk->number, msg->packet_id);
        }
    }
    spool_add(spool_of(session), mail, session->disk->number, session->disk->next_index++);
}

void session_on_deliver(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                        struct receipt *receipt)
{
    struct session *session = container_of(subscriber, struct session, subscriber);
    if (session->disk && msg->is_repetition)
        return;
    if (session->peer && !peer_may_receive(session->peer, msg))
        return; /* as if it had not subscribed */
    if (delivery->qos == 0) {
        deliver_qos0(session, msg, delivery);
        return;
    }
    struct traffic *traffic = session_traffic(session);
    bool must = session->broker->passing_on;
    bool full = !must && is_full(session, msg);
    if (full) {
        drop_expired(session);
        full = is_full(session, msg);
    }
    bool may_wait = receipt && (session->peer || session->broker->options.queue_full == BROKER_QUEUE_WAIT);
    if ((full && !may_wait) || (!must && session->disk && spool_is_full(spool_of(session)))) {
        refuse(session, receipt, WIRE_QUOTA_EXCEEDED);
        return;
    }
    struct mail *mail = mail_new(msg, delivery);
    if (!mail) {
        refuse(session, receipt, -ENOMEM);
        return;
    }
    if (session->disk)
        keep(session, msg, mail, receipt);
    if (!traffic->mailbox.count && list_is_empty(&traffic->again) && session_may_send(session) &&
        is_ready(session, mail)) {
        send_first(session, mail);
        return;
    }
    if (full) { /* its publisher waits with it until there is room */
        receipt_hold(receipt);
        mail->receipt = receipt;
    }
    wait_in_mailbox(session, mail);
}

void session_take_back(struct session *session, struct mail *mail, bool is_new)
{
    struct traffic *traffic = session_traffic(session);
    mail->state |= is_new ? 0 : MAIL_READ_BACK;
    if (!(mail->state & MAIL_RECEIVED)) { /* those that are released may be as many as there are ids */
        if (is_new || traffic->mailbox.count || traffic->in_window >= session->broker->options.inflight_max) {
            wait_in_mailbox(session, mail);
            return;
        }
        mail->state |= MAIL_IN_WINDOW;
        traffic->in_window++;
    }
    mail->packet_id = id_of(traffic, mail);
    list_append(&traffic->again, &mail->link);
    traffic->under_way_count++;
}

/* ---- acknowledgements from the client ---------------------------------------------------------------------------- */

static void finish(struct session *session, struct mail *mail)
{
    session_finish_mail(session, mail);
    session_pump(session);
}

bool session_puback(struct session *session, uint16_t packet_id)
{
    struct mail *mail = find(session, packet_id);
    if (!mail || mail->qos != 1)
        return false;
    finish(session, mail);
    return true;
}

bool session_pubrec(struct session *session, uint16_t packet_id, bool accepted)
{
    struct mail *mail = find(session, packet_id);
    if (!mail || mail->qos != 2)
        return false;
    if (!accepted) {
        finish(session, mail);
    } else if (mail->place && !(mail->state & (MAIL_RECEIVED | MAIL_RECEIVING))) {
        mail->state |= MAIL_RECEIVING;
        spool_received(spool_of(session), mail, &session_promise(session, WIRE_PUBREL, packet_id)->receipt);
    } else if (mail->state & MAIL_RECEIVING) {
        session_promise_again(session, WIRE_PUBREL, packet_id);
    } else {
        mail->state |= MAIL_RECEIVED;
        peer_send_ack(session->peer, WIRE_PUBREL, packet_id, WIRE_SUCCESS, NULL);
    }
    return true;
}

void session_received_is_kept(struct session *session, uint16_t packet_id, bool kept)
{
    struct mail *mail = find(session, packet_id);
    if (!mail)
        return;
    mail->state &= (uint8_t)~MAIL_RECEIVING;
    if (kept)
        mail->state |= MAIL_RECEIVED;
}

bool session_pubcomp(struct session *session, uint16_t packet_id)
{
    struct mail *mail = find(session, packet_id);
    if (!mail || mail->qos != 2 || !(mail->state & MAIL_RECEIVED))
        return false;
    finish(session, mail);
    return true;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void drop(struct session *session, struct mail *mail)
{
    if (mail->place)
        spool_forget(spool_of(session), mail);
    (void)mail_free(mail);
}

void session_drop_mails(struct session *session)
{
    struct traffic *traffic = session->traffic;
    for (struct mail *mail; (mail = mailbox_first(&traffic->mailbox));)
        drop(session, session_take_from_mailbox(session, mail));
    list_splice(&traffic->again, &traffic->under_way);
    for (struct list *link; (link = list_pop(&traffic->again));)
        drop(session, list_entry(link, struct mail, link));
}
