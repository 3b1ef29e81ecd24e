#include "bus/mailbox.h"

#include <errno.h>
#include <string.h>

void mailbox_init(struct mailbox *mailbox, size_t count_max, size_t bytes_max)
{
    *mailbox = (struct mailbox){.count_max = count_max, .bytes_max = bytes_max};
    list_init(&mailbox->queue);
}

void mailbox_done(struct mailbox *mailbox)
{
    for (struct mail *mail; (mail = mailbox_take(mailbox));)
        (void)mail_free(mail);
}

struct mail *mail_new(struct msg *msg, const struct delivery *delivery)
{
    unsigned ids = delivery->id_count > UINT8_MAX ? UINT8_MAX : delivery->id_count;
    struct mail *mail = malloc(sizeof *mail + ids * sizeof mail->ids[0]);
    if (!mail)
        return NULL;
    *mail = (struct mail){
        .msg = msg_ref(msg),
        .share = bus_share_ref(delivery->share),
        .qos = delivery->qos,
        .retain = delivery->retain,
        .id_count = (uint8_t)ids,
    };
    if (ids)
        memcpy(mail->ids, delivery->ids, ids * sizeof mail->ids[0]);
    return mail;
}

bool mailbox_is_full(const struct mailbox *mailbox, const struct msg *msg)
{
    return mailbox->count >= mailbox->count_max || mailbox->bytes + msg_cost(msg) > mailbox->bytes_max;
}

void mailbox_add(struct mailbox *mailbox, struct mail *mail)
{
    list_append(&mailbox->queue, &mail->link);
    mailbox->count++;
    mailbox->bytes += msg_cost(mail->msg);
}

int mailbox_put(struct mailbox *mailbox, struct msg *msg, const struct delivery *delivery)
{
    if (mailbox_is_full(mailbox, msg))
        return -ENOBUFS;
    struct mail *mail = mail_new(msg, delivery);
    if (!mail)
        return -ENOMEM;
    mailbox_add(mailbox, mail);
    return 0;
}

struct mail *mailbox_first(const struct mailbox *mailbox)
{
    return list_is_empty(&mailbox->queue) ? NULL : list_entry(mailbox->queue.next, struct mail, link);
}

struct mail *mailbox_remove(struct mailbox *mailbox, struct mail *mail)
{
    list_remove(&mail->link);
    mailbox->count--;
    mailbox->bytes -= msg_cost(mail->msg);
    return mail;
}

struct mail *mailbox_take(struct mailbox *mailbox)
{
    struct mail *mail = mailbox_first(mailbox);
    return mail ? mailbox_remove(mailbox, mail) : NULL;
}

struct mail *mail_free(struct mail *mail)
{
    if (mail) {
        receipt_settle(mail->receipt, 0);
        (void)bus_share_unref(mail->share);
        (void)msg_unref(mail->msg);
        free(mail);
    }
    return NULL;
}
