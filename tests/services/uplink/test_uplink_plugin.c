/* Uplinks to a plugin, on a bus where the test is the plugin. */
#include "services/uplink/uplink.h"

#include "bus/bus.h"
#include "rig/test.h"

#include <stdio.h>

enum { LETTERS = 200, UNSETTLED = INT32_MIN };

struct letter {
    struct receipt receipt;
    unsigned number;
};

static struct {
    struct clock clock;
    struct loop *loop;
    struct bus *bus;
    struct uplinks *uplinks;
    struct subscriber ear;
    struct subscription requests, status;
    struct msg *asked[LETTERS]; /* requests, in order */
    unsigned asked_count, sent;
    struct letter letters[LETTERS];
    int settled[LETTERS];
    char last[2048]; /* the uplink's status */
} desk;

static void on_heard(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)subscriber, (void)delivery, (void)receipt;
    if (strcmp(msg->topic, "$gatehouse/status/cloud/out") == 0)
        (void)snprintf(desk.last, sizeof desk.last, "%s", (const char *)msg->payload);
    else if (desk.asked_count < LETTERS)
        desk.asked[desk.asked_count++] = msg_ref(msg);
}

static void turn(void)
{
    for (int i = 0; i < 5; i++)
        CHECK(loop_turn(desk.loop, 0) >= 0);
}

static void pass(int64_t ms)
{
    clock_move(&desk.clock, ms);
    turn();
}

static void plugin_is(const char *state)
{
    cleanup_free char *text = str_printf("{\"name\":\"hook\",\"state\":\"%s\",\"reason\":null}", state);
    bus_say(desk.bus, "$gatehouse/status/plugins/hook", text, BUS_KEEP);
    turn();
}

static void desk_open(bool connector)
{
    memset(&desk, 0, sizeof desk);
    desk.clock = (struct clock){.by_hand = true, .wall = INT64_C(1760000000000)};
    CHECK_INT(loop_new(&desk.loop, &desk.clock), 0);
    CHECK_INT(bus_new(&desk.bus, desk.loop, &(struct bus_options){0}), 0);
    desk.ear.deliver = on_heard;
    bus_subscribe_to(desk.bus, &desk.status, &desk.ear, "$gatehouse/status/cloud/#");
    bus_subscribe_to(desk.bus, &desk.requests, &desk.ear,
                     connector ? "$gatehouse/plugins/hook/deliver/#" : "$gatehouse/plugins/other/deliver/#");
    const struct uplink_options options = {.name = "out", .uri = "plugin:hook", .stall_timeout_s = 30};
    CHECK_INT(uplinks_new(&desk.uplinks, desk.bus, &options, 1), 0);
    turn();
}

static void forget_asked(void)
{
    for (unsigned i = 0; i < desk.asked_count; i++)
        desk.asked[i] = msg_unref(desk.asked[i]);
    desk.asked_count = 0;
}

static void desk_close(void)
{
    desk.uplinks = uplinks_free(desk.uplinks);
    turn();
    bus_unsubscribe(desk.bus, &desk.status);
    bus_unsubscribe(desk.bus, &desk.requests);
    forget_asked();
    desk.bus = bus_free(desk.bus);
    desk.loop = loop_free(desk.loop);
}

static void on_settled(struct receipt *receipt, int r)
{
    desk.settled[container_of(receipt, struct letter, receipt)->number] = r;
}

static void send_on(const char *topic)
{
    struct letter *letter = &desk.letters[desk.sent];
    letter->number = desk.sent;
    desk.settled[desk.sent++] = UNSETTLED;
    receipt_init(&letter->receipt, on_settled);
    cleanup_free char *full = str_printf("$gatehouse/cloud/out/publish/%s", topic);
    const struct msg_record record = {"s", letter->number, 5};
    cleanup(msg_unref_p) struct msg *msg = msg_new_record(full, strlen(full), &record, "x", 1);
    bus_publish(desk.bus, msg, &letter->receipt);
}

static void send(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        send_on("t");
    turn();
}

static void reply(unsigned request, const char *text)
{
    bus_reply(desk.bus, desk.asked[request], text);
    turn();
}

static bool is(const char *state)
{
    cleanup_free char *text = str_printf("\"state\":\"%s\"", state);
    return strstr(desk.last, text) != NULL;
}

TEST(a_record_is_a_request_and_the_answer_settles_it)
{
    desk_open(true);
    CHECK(is("connecting"));
    plugin_is("running");
    CHECK(is("up"));
    send(2);
    CHECK_INT(desk.asked_count, 2);
    CHECK_STR(desk.asked[0]->topic, "$gatehouse/plugins/hook/deliver/t");
    CHECK_INT(desk.asked[0]->qos, 0);
    CHECK_MEM(desk.asked[0]->response_topic, desk.asked[0]->response_topic_len,
              "$gatehouse/plugins/hook/delivered/out", 37);
    static const char about[] = "{\"id\":1,\"uplink\":\"out\",\"stream\":\"s\",\"seq\":1,\"time\":5}";
    CHECK_MEM((const char *)desk.asked[1]->correlation, desk.asked[1]->correlation_len, about, strlen(about));
    reply(1, "{\"result\":\"delivered\"}");
    CHECK_INT(desk.settled[1], UNSETTLED);
    reply(0, "{\"result\":\"delivered\"}");
    CHECK_INT(desk.settled[0], 0);
    CHECK_INT(desk.settled[1], 0);
    desk_close();
}

TEST(never_is_for_good_and_again_is_asked_again_with_the_reason_shown)
{
    desk_open(true);
    plugin_is("running");
    send(3);
    reply(0, "{\"result\":\"delivered\"}");
    reply(1, "{\"result\":\"never\",\"reason\":\"no unit\"}");
    reply(2, "{\"result\":\"again\",\"reason\":\"busy\"}");
    CHECK_INT(desk.settled[0], 0);
    CHECK_INT(desk.settled[1], 0x99);
    CHECK_INT(desk.settled[2], UNSETTLED);
    CHECK(is("up"));
    pass(1000);
    CHECK_INT(desk.asked_count, 4);
    reply(3, "{\"result\":\"again\",\"reason\":\"busy\"}");
    CHECK_INT(desk.settled[2], 0x83);
    CHECK(is("down") && strstr(desk.last, "\"reason\":\"busy\""));
    desk_close();
}

TEST(what_is_no_answer_or_answers_nothing_is_no_success)
{
    desk_open(true);
    plugin_is("running");
    send(1);
    reply(0, "OK");
    CHECK_INT(desk.settled[0], 0x83);
    CHECK(strstr(desk.last, "expected {\\\"result\\\""));
    pass(60000);
    send(1);
    CHECK_INT(desk.asked_count, 2);
    reply(0, "{\"result\":\"delivered\"}"); /* of what was asked before */
    CHECK_INT(desk.settled[1], UNSETTLED);
    reply(1, "{\"result\":\"delivered\"}");
    CHECK_INT(desk.settled[1], 0);
    reply(1, "{\"result\":\"never\"}"); /* once more */
    CHECK_INT(desk.settled[1], 0);
    desk_close();
}

TEST(a_plugin_that_does_not_answer_is_down_until_it_is_tried_again)
{
    desk_open(true);
    plugin_is("running");
    send(2);
    pass(29999);
    reply(0, "{\"result\":\"delivered\"}"); /* it does something */
    pass(29999);
    CHECK(is("up"));
    pass(1);
    CHECK_INT(desk.settled[0], 0);
    pass(1000); /* a part of the batch was taken */
    pass(30000);
    CHECK_INT(desk.settled[1], 0x83);
    CHECK(is("down") && strstr(desk.last, "the plugin does not answer"));
    pass(300000);
    CHECK(is("probing"));
    desk_close();
}

TEST(a_plugin_that_ends_gives_back_what_it_had_and_the_next_one_is_asked)
{
    desk_open(true);
    plugin_is("running");
    send(70); /* more than a batch */
    CHECK_INT(desk.asked_count, 64);
    plugin_is("backoff");
    CHECK(is("down") && strstr(desk.last, "plugin hook: backoff"));
    for (unsigned i = 0; i < 70; i++)
        CHECK_INT(desk.settled[i], 0x83);
    send(1);
    CHECK_INT(desk.settled[70], 0x83);
    plugin_is("starting");
    CHECK(is("down"));
    plugin_is("running");
    CHECK(is("up"));
    send(1);
    CHECK_INT(desk.asked_count, 65);
    desk_close();
}

TEST(a_plugin_that_takes_no_records_is_told)
{
    desk_open(false);
    plugin_is("running");
    send(1);
    CHECK_INT(desk.settled[0], 0x83);
    CHECK(is("down") && strstr(desk.last, "it is no connector"));
    desk_close();
}

TEST(a_topic_that_the_bus_does_not_have_is_refused_alone)
{
    desk_open(true);
    plugin_is("running");
    send_on("a/#");
    send(1);
    CHECK_INT(desk.asked_count, 1);
    reply(0, "{\"result\":\"delivered\"}");
    CHECK_INT(desk.settled[0], 0x99);
    CHECK_INT(desk.settled[1], 0);
    send_on("a/+");
    turn();
    CHECK_INT(desk.settled[2], 0x99);
    desk_close();
}
