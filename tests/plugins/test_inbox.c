#include "host/inbox.h"

#include "rig/test.h"
#include "wire/mqtt.h"

struct box {
    struct inbox inbox;
    uint16_t acknowledged[16];
    unsigned count;
};

static void on_acknowledge(struct inbox *inbox, uint16_t packet_id)
{
    struct box *box = container_of(inbox, struct box, inbox);
    box->acknowledged[box->count++] = packet_id;
}

static void box_init(struct box *box)
{
    *box = (struct box){0};
    inbox_init(&box->inbox, on_acknowledge);
}

static void box_done(struct box *box)
{
    inbox_done(&box->inbox);
}

static void add(struct box *box, uint8_t qos, uint16_t packet_id)
{
    struct wire_packet packet = {
        .type = WIRE_PUBLISH,
        .qos = qos,
        .packet_id = packet_id,
        .topic = {"a/b", 3},
        .payload = (const uint8_t *)"21",
        .payload_len = 2,
    };
    CHECK_INT(inbox_add(&box->inbox, &packet), 0);
}

TEST(a_message_is_copied_with_all_it_has)
{
    struct box box;
    box_init(&box);
    char topic[] = "a/b", payload[] = "21";
    struct wire_packet packet = {
        .type = WIRE_PUBLISH,
        .qos = 1,
        .dup = true,
        .retain = true,
        .packet_id = 7,
        .topic = {topic, 3},
        .payload = (const uint8_t *)payload,
        .payload_len = 2,
        .props = {.response_topic = {"r", 1}, .correlation = {"\0\1", 2}},
    };
    wire_set(&packet.props, WIRE_RESPONSE_TOPIC);
    wire_set(&packet.props, WIRE_CORRELATION);
    CHECK_INT(inbox_add(&box.inbox, &packet), 0);
    memset(topic, 'x', 3);
    memset(payload, 'x', 2);

    struct inbox_item *item = inbox_take(&box.inbox);
    CHECK_STR(item->message.topic, "a/b");
    CHECK_STR((const char *)item->message.payload, "21");
    CHECK_STR(item->message.response_topic, "r");
    CHECK_MEM(item->message.correlation, item->message.correlation_len, "\0\1", 2);
    CHECK_INT(item->message.again, 1);
    CHECK_INT(item->message.retain, 1);
    CHECK(item->message.token != 0);
    CHECK(inbox_take(&box.inbox) == NULL);
    box_done(&box);
}

TEST(what_a_message_does_not_have_is_null)
{
    struct box box;
    box_init(&box);
    add(&box, 1, 1);
    struct inbox_item *item = inbox_take(&box.inbox);
    CHECK(item->message.response_topic == NULL);
    CHECK(item->message.correlation == NULL);
    box_done(&box);
}

TEST(acknowledgements_leave_in_the_order_of_the_messages)
{
    struct box box;
    box_init(&box);
    for (uint16_t id = 1; id <= 3; id++)
        add(&box, 1, id);
    struct inbox_item *one = inbox_take(&box.inbox), *two = inbox_take(&box.inbox),
                      *three = inbox_take(&box.inbox);
    inbox_settle(&box.inbox, three);
    inbox_settle(&box.inbox, two);
    CHECK_INT(box.count, 0);
    inbox_settle(&box.inbox, one);
    CHECK_INT(box.count, 3);
    for (uint16_t i = 0; i < 3; i++)
        CHECK_INT(box.acknowledged[i], i + 1);
    CHECK_INT(box.inbox.count, 0);
    box_done(&box);
}

TEST(a_message_of_qos_0_keeps_nobody_waiting)
{
    struct box box;
    box_init(&box);
    add(&box, 0, 0);
    add(&box, 1, 1);
    (void)inbox_take(&box.inbox);
    inbox_settle(&box.inbox, inbox_take(&box.inbox));
    CHECK_INT(box.count, 1);
    CHECK_INT(box.inbox.count, 1);
    box_done(&box);
}

TEST(a_message_that_was_put_back_is_the_next_again)
{
    struct box box;
    box_init(&box);
    add(&box, 1, 1);
    add(&box, 1, 2);
    struct inbox_item *one = inbox_take(&box.inbox);
    CHECK_INT(one->message.again, 0);
    inbox_put_back(one);
    CHECK(inbox_take(&box.inbox) == one);
    CHECK_INT(one->message.again, 1);
    box_done(&box);
}

TEST(only_messages_that_were_handed_over_are_found)
{
    struct box box;
    box_init(&box);
    add(&box, 1, 1);
    add(&box, 1, 2);
    struct inbox_item *one = inbox_take(&box.inbox);
    uint64_t token = one->message.token;
    CHECK(inbox_find(&box.inbox, token) == one);
    CHECK(inbox_find(&box.inbox, token + 1) == NULL); /* waits */
    CHECK(inbox_find(&box.inbox, 0) == NULL);
    inbox_settle(&box.inbox, one);
    CHECK(inbox_find(&box.inbox, token) == NULL);
    box_done(&box);
}

TEST(a_settled_message_can_be_read_until_the_next_is_taken)
{
    struct box box;
    box_init(&box);
    add(&box, 1, 1);
    struct inbox_item *one = inbox_take(&box.inbox);
    const struct gh_message *message = &one->message;
    inbox_settle(&box.inbox, one); /* from inside the plugin's callback */
    CHECK_STR(message->topic, "a/b");
    box_done(&box);
}

TEST(a_message_that_was_given_up_is_acknowledged_once)
{
    struct box box;
    box_init(&box);
    add(&box, 1, 1);
    add(&box, 1, 2);
    struct inbox_item *one = inbox_take(&box.inbox), *two = inbox_take(&box.inbox);
    inbox_give_up(&box.inbox, one);
    CHECK_INT(box.count, 1);
    inbox_settle(&box.inbox, one);
    CHECK_INT(box.count, 1);
    inbox_settle(&box.inbox, two);
    CHECK_INT(box.count, 2);
    CHECK_INT(box.acknowledged[1], 2);
    box_done(&box);
}

TEST(too_many_messages_of_qos_0_are_dropped_and_counted)
{
    struct box box;
    box_init(&box);
    for (int i = 0; i < INBOX_QOS0_MAX + 5; i++)
        add(&box, 0, 0);
    add(&box, 1, 1);
    CHECK_INT(box.inbox.count, INBOX_QOS0_MAX + 1);
    CHECK_INT((int64_t)box.inbox.qos0_dropped, 5);
    inbox_settle(&box.inbox, inbox_take(&box.inbox));
    add(&box, 0, 0);
    CHECK_INT((int64_t)box.inbox.qos0_dropped, 5);
    box_done(&box);
}
