#include "bus/mailbox.h"

#include "rig/test.h"

#include <errno.h>

static int put(struct mailbox *mailbox, const char *payload, unsigned ids)
{
    static const uint32_t all[3] = {5, 6, 7};
    cleanup(msg_unref_p) struct msg *msg = msg_new("t", 1, payload, strlen(payload));
    return mailbox_put(mailbox, msg, &(struct delivery){.qos = 1, .id_count = ids, .ids = all});
}

TEST(mail_comes_out_in_the_order_it_went_in)
{
    struct mailbox mailbox;
    mailbox_init(&mailbox, 10, 10000);
    CHECK_INT(put(&mailbox, "1", 0), 0);
    CHECK_INT(put(&mailbox, "2", 3), 0);
    CHECK_STR((const char *)mailbox_first(&mailbox)->msg->payload, "1");
    (void)mail_free(mailbox_take(&mailbox));
    struct mail *second = mailbox_take(&mailbox);
    CHECK_STR((const char *)second->msg->payload, "2");
    CHECK_INT(second->id_count, 3);
    CHECK_INT(second->ids[2], 7);
    (void)mail_free(second);
    CHECK(!mailbox_take(&mailbox));
    CHECK_INT(mailbox.bytes, 0);
}

TEST(a_full_mailbox_takes_nothing_and_says_so)
{
    struct mailbox mailbox;
    mailbox_init(&mailbox, 2, 10000);
    CHECK_INT(put(&mailbox, "1", 0), 0);
    CHECK_INT(put(&mailbox, "2", 0), 0);
    CHECK_INT(put(&mailbox, "3", 0), -ENOBUFS);
    CHECK_INT(mailbox.count, 2);
    mailbox_done(&mailbox);

    mailbox_init(&mailbox, 100, 400);
    int r, n = 0;
    while ((r = put(&mailbox, "0123456789", 0)) == 0)
        n++;
    CHECK_INT(r, -ENOBUFS);
    CHECK(n > 0 && n < 10);
    CHECK(mailbox.bytes <= 400);
    mailbox_done(&mailbox);
}
