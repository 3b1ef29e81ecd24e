/* The spool as those use it who have something to keep: what is written when, who is told when, and that a message comes
 * back whole. */
#include "mqtt/session.h"
#include "mqtt/spool_rig.h"

static const struct spool_options defaults;

/* ---- what is written ----------------------------------------------------------------------------------------------- */

TEST(a_message_for_many_is_one_record)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    struct promise promise;
    rig_publish(&rig, "a", 1, &promise, "123456789");
    rig_turn(&rig);
    CHECK_STR(rig_kinds(&rig), "M");
    CHECK_INT((int64_t)rig_counters(&rig).messages, 1);
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "1/0 a, 2/0 a, 3/0 a, 4/0 a, 5/0 a, 6/0 a, 7/0 a, 8/0 a, 9/0 a");
    spool_rig_done(&rig);
}

TEST(another_message_ends_what_is_gathered)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    struct promise first, second;
    rig_publish(&rig, "a", 1, &first, "12");
    rig_publish(&rig, "b", 1, &second, "12");
    rig_turn(&rig);
    CHECK_STR(rig_kinds(&rig), "MM");
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "1/0 a, 1/1 b, 2/0 a, 2/1 b");
    spool_rig_done(&rig);
}

TEST(another_receipt_ends_what_is_gathered)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    cleanup(msg_unref_p) struct msg *msg = rig_msg(&rig, "a");
    struct promise first, second;
    rig_publish_msg(&rig, msg, 1, &first, "1");
    rig_publish_msg(&rig, msg, 1, &second, "1");
    rig_publish_msg(&rig, msg, 1, NULL, "1");
    rig_turn(&rig);
    CHECK_STR(rig_kinds(&rig), "MMM");
    CHECK_INT(first.r, 0);
    CHECK_INT(second.r, 0);
    spool_rig_done(&rig);
}

TEST(a_turn_ends_what_is_gathered)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    cleanup(msg_unref_p) struct msg *msg = rig_msg(&rig, "a");
    rig_publish_msg(&rig, msg, 1, NULL, "1");
    rig_turn(&rig);
    rig_publish_msg(&rig, msg, 1, NULL, "2");
    rig_turn(&rig);
    CHECK_STR(rig_kinds(&rig), "MM");
    spool_rig_done(&rig);
}

TEST(the_facts_of_a_turn_are_one_record)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    struct promise taken, received;
    rig_publish(&rig, "a", 1, NULL, "123");
    rig_publish(&rig, "b", 2, NULL, "1");
    rig_turn(&rig);
    rig_done_with(&rig, 1, 0);
    rig_done_with(&rig, 2, 0);
    rig_take(&rig, 4, 7, &taken);
    rig_receive(&rig, 1, 1, &received);
    rig_turn(&rig);
    CHECK_STR(rig_kinds(&rig), "MMF");
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "1/1 b twice received, 3/0 a, taken 4:7");
    spool_rig_done(&rig);
}

TEST(a_fact_never_stands_before_its_message)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    rig_publish(&rig, "a", 1, NULL, "12");
    rig_done_with(&rig, 1, 0); /* in the same turn */
    rig_publish(&rig, "b", 1, NULL, "1");
    rig_turn(&rig);
    CHECK_STR(rig_kinds(&rig), "MMF");
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "1/1 b, 2/0 a");
    spool_rig_done(&rig);
}

TEST(a_fact_does_not_end_what_is_gathered)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    cleanup(msg_unref_p) struct msg *msg = rig_msg(&rig, "a");
    rig_publish_msg(&rig, msg, 1, NULL, "1");
    rig_done_with(&rig, 1, 0);
    bool is_new;
    (void)spool_gather(rig.spool, msg, NULL, &is_new);
    CHECK(!is_new);
    rig_turn(&rig);
    CHECK_STR(rig_kinds(&rig), "MF");
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "");
    spool_rig_done(&rig);
}

TEST(very_many_facts_are_several_records)
{
    enum { COUNT = 30000 };
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    rig_publish(&rig, "a", 2, NULL, "1");
    rig_turn(&rig);
    struct promise first, last;
    rig_take(&rig, 2, 1, &first);
    for (int i = 0; i < COUNT; i++)
        spool_received(rig.spool, rig_mail(&rig, 1, 0), NULL);
    rig_take(&rig, 2, 2, &last);
    rig_turn(&rig);
    CHECK_STR(rig_kinds(&rig), "MFF");
    CHECK_INT(first.r, 0);
    CHECK_INT(last.r, 0);
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "1/0 a twice received, taken 2:1, taken 2:2");
    spool_rig_done(&rig);
}

TEST(what_was_said_last_is_written_when_the_spool_is_closed)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    struct promise promise;
    rig_publish(&rig, "a", 1, NULL, "12");
    rig_turn(&rig);
    rig_done_with(&rig, 1, 0);
    rig_publish(&rig, "b", 1, &promise, "3");
    rig_restart(&rig); /* without a turn */
    CHECK_INT(promise.r, 0);
    CHECK_STR(rig_state(&rig), "2/0 a, 3/0 b");
    spool_rig_done(&rig);
}

/* ---- who is told ----------------------------------------------------------------------------------------------------- */

/* The batch is written at the end of one turn, and done() comes at the beginning of the next. */
TEST(a_receipt_settles_when_its_record_is_synced_and_no_sooner)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    struct promise promise;
    rig_publish(&rig, "a", 2, &promise, "12");
    CHECK_INT(promise.r, RIG_UNSETTLED);
    CHECK(!spool_is_synced(rig_mail(&rig, 1, 0)));
    CHECK(loop_turn(rig.loop, 0) >= 0);
    CHECK_INT(promise.r, RIG_UNSETTLED);
    CHECK(!spool_is_synced(rig_mail(&rig, 1, 0)));
    CHECK_INT(rig.settled, 0);
    CHECK(loop_turn(rig.loop, 0) >= 0);
    CHECK_INT(promise.r, 0);
    CHECK(spool_is_synced(rig_mail(&rig, 1, 0)));
    CHECK(spool_is_synced(rig_mail(&rig, 2, 0)));
    CHECK(!spool_has_failed(rig_mail(&rig, 1, 0)));
    CHECK_INT(rig.settled, 1);
    spool_rig_done(&rig);
}

TEST(a_receipt_of_a_fact_settles_when_it_is_synced_and_no_sooner)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    struct promise received, taken, released;
    rig_publish(&rig, "a", 2, NULL, "1");
    rig_take(&rig, 2, 5, &taken);
    rig_turn(&rig);
    CHECK_INT(taken.r, 0);
    rig_receive(&rig, 1, 0, &received);
    rig_release(&rig, 2, 5, &released);
    CHECK(loop_turn(rig.loop, 0) >= 0);
    CHECK_INT(received.r, RIG_UNSETTLED);
    CHECK_INT(released.r, RIG_UNSETTLED);
    CHECK(loop_turn(rig.loop, 0) >= 0);
    CHECK_INT(received.r, 0);
    CHECK_INT(released.r, 0);
    CHECK_STR(rig_state(&rig), "1/0 a twice received");
    spool_rig_done(&rig);
}

TEST(a_message_that_is_given_up_before_it_is_written_settles_all_the_same)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    struct promise promise;
    rig_publish(&rig, "a", 1, &promise, "1");
    rig_done_with(&rig, 1, 0);
    rig_turn(&rig);
    CHECK_INT(promise.r, 0);
    CHECK_INT((int64_t)rig_counters(&rig).alive, 0);
    spool_rig_done(&rig);
}

/* ---- what comes back ------------------------------------------------------------------------------------------------- */

static void check_same(const struct msg *msg, const struct msg *expected)
{
    CHECK_MEM(msg->topic, msg->topic_len, expected->topic, expected->topic_len);
    CHECK_MEM(msg->payload, msg->payload_len, expected->payload, expected->payload_len);
    CHECK_MEM(msg->props, msg->props_len, expected->props, expected->props_len);
    CHECK_INT(msg->qos, expected->qos);
    CHECK_INT(msg->retain, expected->retain);
    CHECK_INT(msg->expiry_s, expected->expiry_s);
    CHECK_INT(msg->born, expected->born);
    CHECK_INT(msg->response_topic != NULL, expected->response_topic != NULL);
    CHECK_INT(msg->correlation != NULL, expected->correlation != NULL);
    if (msg->response_topic)
        CHECK_MEM(msg->response_topic, msg->response_topic_len, expected->response_topic,
                  expected->response_topic_len);
    if (msg->correlation)
        CHECK_MEM(msg->correlation, msg->correlation_len, expected->correlation, expected->correlation_len);
}

/* Sends it to session 1, restarts, and compares; kind: how it was written. */
static void check_comes_back(struct msg *msg, const char *kind)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    msg->born = loop_now(rig.loop) - 7;
    struct promise promise;
    rig_publish_msg(&rig, msg, 1, &promise, "1");
    rig_turn(&rig);
    CHECK_INT(promise.r, 0);
    CHECK_STR(rig_kinds(&rig), kind);
    rig_restart(&rig);
    check_same(rig_mail(&rig, 1, 0)->msg, msg);
    spool_rig_done(&rig);
}

static void check_size_comes_back(size_t topic_len, size_t payload_len, const char *kind)
{
    cleanup_free char *topic = mem_new_bytes(topic_len + 1);
    cleanup_free char *payload = mem_new_bytes(payload_len + 1);
    memset(topic, 't', topic_len);
    for (size_t i = 0; i < payload_len; i++)
        payload[i] = (char)(i * 31 >> 3);
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, topic_len, payload, payload_len);
    CHECK(msg);
    check_comes_back(msg, kind);
}

TEST(a_message_comes_back_without_payload)
{
    check_size_comes_back(3, 0, "M");
}

TEST(a_message_comes_back_with_a_payload_of_a_mebibyte)
{
    check_size_comes_back(3, 1 << 20, "M");
}

TEST(a_message_comes_back_with_the_longest_topic)
{
    check_size_comes_back(UINT16_MAX, 0, "L");
    check_size_comes_back(UINT16_MAX, 1 << 20, "L");
}

TEST(a_head_that_just_fits_is_an_ordinary_record)
{
    check_size_comes_back(61000, 10, "M");
    check_size_comes_back(61440, 10, "L");
}

static struct msg *msg_with_props(size_t filling)
{
    size_t len = filling + 20;
    cleanup_free uint8_t *bytes = mem_new_bytes(len);
    memset(bytes, 'p', len);
    const struct msg_props props = {.bytes = bytes,
                                    .len = len,
                                    .response_at = filling,
                                    .response_len = 8,
                                    .correlation_at = len - 5,
                                    .correlation_len = 5};
    struct msg *msg = msg_new_props("a/b", 3, &props, "payload", 7);
    CHECK(msg);
    return msg;
}

TEST(a_message_comes_back_with_all_it_has)
{
    cleanup(msg_unref_p) struct msg *msg = msg_with_props(30);
    msg->qos = 2;
    msg->retain = true;
    msg->expiry_s = 3600;
    check_comes_back(msg, "M");
}

TEST(properties_without_a_response_topic_come_back_without)
{
    const struct msg_props props = {
        .bytes = (const uint8_t *)"\x01\x01", .len = 2, .response_at = SIZE_MAX, .correlation_at = SIZE_MAX};
    cleanup(msg_unref_p) struct msg *msg = msg_new_props("a", 1, &props, "", 0);
    CHECK(msg);
    check_comes_back(msg, "M");
}

TEST(properties_that_are_too_long_for_a_head_make_a_large_record)
{
    cleanup(msg_unref_p) struct msg *msg = msg_with_props(100000);
    msg->expiry_s = 5;
    check_comes_back(msg, "L");
}

TEST(what_a_session_has_of_a_message_comes_back)
{
    static const uint32_t ids[] = {1, 128, 268435455};
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    cleanup(msg_unref_p) struct msg *msg = rig_msg(&rig, "a");
    const struct delivery delivery = {.qos = 2, .retain = true, .id_count = array_size(ids), .ids = ids};
    struct mail *mail = mail_new(msg, &delivery);
    bool is_new;
    (void)spool_gather(rig.spool, msg, NULL, &is_new);
    spool_add(rig.spool, mail, 3, 70000);
    rig_turn(&rig);
    spool_forget(rig.spool, mail);
    mail = mail_free(mail);

    rig_restart(&rig);
    mail = rig_mail(&rig, 3, 70000);
    CHECK(mail);
    CHECK_INT(mail->qos, 2);
    CHECK(mail->retain);
    CHECK_MEM(mail->ids, mail->id_count * sizeof *ids, ids, sizeof ids);
    spool_rig_done(&rig);
}

/* A day passes while nobody is there; monotonic time begins anew with the next boot. */
TEST(time_goes_on_while_nobody_is_there)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    cleanup(msg_unref_p) struct msg *msg = rig_msg(&rig, "a");
    msg->expiry_s = 2 * 86400;
    rig_publish_msg(&rig, msg, 1, NULL, "1");
    clock_move(&rig.clock, 1000);
    rig_turn(&rig);
    rig_close(&rig);

    rig.clock.wall += 86400000;
    rig.clock.mono = 10;
    CHECK(loop_turn(rig.loop, 0) >= 0);
    rig_open(&rig);
    CHECK_INT(msg_expiry_left(rig_mail(&rig, 1, 0)->msg, loop_now(rig.loop)), 86400 - 1);
    spool_rig_done(&rig);
}

TEST(a_clock_that_went_back_lets_nothing_expire)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    cleanup(msg_unref_p) struct msg *msg = rig_msg(&rig, "a");
    msg->expiry_s = 100;
    rig_publish_msg(&rig, msg, 1, NULL, "1");
    rig_turn(&rig);
    rig_close(&rig);
    rig.clock.wall = 60000; /* 1970 */
    CHECK(loop_turn(rig.loop, 0) >= 0);
    rig_open(&rig);
    CHECK_INT(msg_expiry_left(rig_mail(&rig, 1, 0)->msg, loop_now(rig.loop)), 100);
    spool_rig_done(&rig);
}

/* ---- counters, limits ------------------------------------------------------------------------------------------------ */

TEST(counters_say_what_there_is)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    CHECK_INT((int64_t)rig_counters(&rig).messages, 0);
    uint64_t empty = rig_counters(&rig).bytes;
    rig_publish(&rig, "a", 1, NULL, "12");
    rig_publish(&rig, "b", 1, NULL, "1");
    rig_turn(&rig);
    struct spool_counters counters = rig_counters(&rig);
    CHECK_INT((int64_t)counters.messages, 2);
    CHECK_INT((int64_t)counters.failed, 0);
    CHECK(counters.bytes > empty);
    uint64_t each = msg_cost(rig_mail(&rig, 1, 0)->msg);
    CHECK_INT((int64_t)counters.alive, (int64_t)(2 * each));

    rig_done_with(&rig, 1, 0);
    CHECK_INT((int64_t)rig_counters(&rig).alive, (int64_t)(2 * each)); /* session 2 still wants it */
    rig_done_with(&rig, 2, 0);
    CHECK_INT((int64_t)rig_counters(&rig).alive, (int64_t)each);
    rig_turn(&rig);
    rig_restart(&rig);
    CHECK_INT((int64_t)rig_counters(&rig).alive, (int64_t)each);
    CHECK_INT((int64_t)rig_counters(&rig).damaged, 0);
    spool_rig_done(&rig);
}

TEST(a_spool_is_full_when_its_share_of_the_disk_is_used_up_and_no_longer_when_it_is_given_back)
{
    static char payload[1001];
    memset(payload, 'x', sizeof payload - 1);
    struct spool_rig rig;
    spool_rig_init(&rig, &(struct spool_options){.bytes_max = 20000, .segment_bytes = 4096});
    uint64_t count = 0;
    while (!spool_is_full(rig.spool)) {
        CHECK(count < 30);
        rig_publish(&rig, payload, 1, NULL, "1");
        rig_turn(&rig);
        count++;
    }
    CHECK(count >= 15);
    rig_restart(&rig);
    CHECK(spool_is_full(rig.spool));
    for (uint64_t i = 0; i < count; i++)
        rig_done_with(&rig, 1, i);
    rig_turn(&rig);
    CHECK(!spool_is_full(rig.spool));
    spool_rig_done(&rig);
}

TEST(what_is_for_sessions_that_nobody_knows_is_ignored)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    struct promise taken;
    rig_publish(&rig, "a", 1, NULL, "12");
    rig_take(&rig, 1, 9, &taken);
    rig_turn(&rig);
    rig_close(&rig);
    rig.nobody_is_known = true;
    rig_open(&rig);
    CHECK_STR(rig_state(&rig), "");
    CHECK_INT((int64_t)rig_counters(&rig).alive, 0);
    rig_turn(&rig);
    spool_rig_done(&rig);
}
