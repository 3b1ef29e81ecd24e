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

int mailbox_put(struct mailbox *mailbox, struct msg *msg, const struct delivery *delivery)
{
    size_t cost = msg_cost(msg);
    if (mailbox->count >= mailbox->count_max || mailbox->bytes + cost > mailbox->bytes_max)
        return -ENOBUFS;
    unsigned ids = delivery->id_count > UINT8_MAX ? UINT8_MAX : delivery->id_count;
    struct mail *mail = malloc(sizeof *mail + ids * sizeof mail->ids[0]);
    if (!mail)
        return -ENOMEM;
    *mail = (struct mail){
        .msg = msg_ref(msg), .qos = delivery->qos, .retain = delivery->retain, .id_count = (uint8_t)ids};
    if (ids)
        memcpy(mail->ids, delivery->ids, ids * sizeof mail->ids[0]);
    list_append(&mailbox->queue, &mail->link);
    mailbox->count++;
    mailbox->bytes += cost;
    return 0;
}

struct mail *mailbox_first(const struct mailbox *mailbox)
{
    return list_is_empty(&mailbox->queue) ? NULL : list_entry(mailbox->queue.next, struct mail, link);
}

struct mail *mailbox_take(struct mailbox *mailbox)
{
    struct list *link = list_pop(&mailbox->queue);
    if (!link)
        return NULL;
    struct mail *mail = list_entry(link, struct mail, link);
    mailbox->count--;
    mailbox->bytes -= msg_cost(mail->msg);
    return mail;
}

struct mail *mail_free(struct mail *mail)
{
    if (mail) {
        (void)msg_unref(mail->msg);
        free(mail);
    }
    return NULL;
}
