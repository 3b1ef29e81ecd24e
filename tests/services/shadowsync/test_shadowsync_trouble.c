/* The service when things go wrong: races, refusals, silence, floods, and an end in the middle. */
#include "services/shadowsync/sync_rig.h"

#include <errno.h>
#include <stdio.h>

/* ---- races ------------------------------------------------------------------------------------------------------- */

TEST(a_write_at_the_cloud_that_comes_first_is_not_overwritten)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", NULL);
    sync_rig_connect(rig);
    update_here(rig, "p", "{'reported':{'r':1},'desired':{'d':1}}");
    sync_rig_turn(rig);
    update_here(rig, "p", "{'desired':{'d':2},'reported':{'r':2}}");
    rig_turn(rig->here); /* our update is under way */
    CHECK_INT((int64_t)rig->up.count, 1);
    update_there(rig, "p", "{'desired':{'d':3}}");
    sync_rig_turn(rig);
    CHECK_MESSAGE(rig->there, "$aws/things/p/shadow/update/rejected", "\"code\":409");
    CHECK_STATE(rig->here, "p", "{'desired':{'d':3},'reported':{'r':2}}");
    CHECK_STATE(rig->there, "p", "{'desired':{'d':3},'reported':{'r':2}}");
}

/* Writes as soon as somebody was asked for a document, so that whoever asked is always too late. */
struct rival {
    struct sync_rig *rig;
    int left, written;
    bool is_here;
};

static void on_read(void *self, const struct msg *msg)
{
    struct rival *rival = self;
    if (!strstr(msg->topic, "/get/accepted") || rival->left == 0)
        return;
    rival->left--;
    cleanup_free char *state = str_printf("{'reported':{'n':%d}}", ++rival->written);
    if (rival->is_here)
        update_here(rival->rig, "p", state);
    else
        update_there(rival->rig, "p", state);
}

TEST(who_writes_here_all_the_time_does_not_keep_the_cloud_out)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", NULL);
    sync_rig_connect(rig);
    update_here(rig, "p", "{'reported':{'n':0},'desired':{'d':1}}");
    sync_rig_turn(rig);
    struct rival rival = {.rig = rig, .left = 100, .is_here = true};
    rig->on_here = on_read;
    rig->self = &rival;
    update_there(rig, "p", "{'desired':{'d':2}}");
    sync_rig_turn(rig);
    CHECK(rival.written >= 4);
    rig->on_here = NULL;
    sync_rig_turn(rig);
    cleanup_free char *expected = str_printf("{'desired':{'d':2},'reported':{'n':%d}}", rival.written);
    CHECK_STATE(rig->here, "p", expected);
    CHECK_STATE(rig->there, "p", expected);
}

TEST(who_writes_at_the_cloud_all_the_time_does_not_keep_us_out)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", "reported: cloud desired: local");
    sync_rig_connect(rig);
    update_here(rig, "p", "{'reported':{'n':0},'desired':{'d':1}}");
    sync_rig_turn(rig);
    struct rival rival = {.rig = rig, .left = 100};
    rig->on_there = on_read;
    rig->self = &rival;
    update_there(rig, "p", "{'reported':{'n':0.5}}");
    update_here(rig, "p", "{'desired':{'d':2}}");
    sync_rig_turn(rig);
    CHECK(rival.written >= 4);
    rig->on_there = NULL;
    sync_rig_turn(rig);
    cleanup_free char *expected = str_printf("{'desired':{'d':2},'reported':{'n':%d}}", rival.written);
    CHECK_STATE(rig->here, "p", expected);
    CHECK_STATE(rig->there, "p", expected);
}

/* ---- a cloud that says no, or nothing ---------------------------------------------------------------------------- */

static char *large(char c)
{
    char *text = mem_new_bytes(9000);
    memset(text, c, 5000);
    return text;
}

TEST(what_a_side_refuses_is_told_and_tried_again_rarely_until_it_fits)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", NULL);
    cleanup_free char *a = large('a'), *b = large('b');
    cleanup_free char *here = str_printf("{'reported':{'a':'%s'}}", a);
    cleanup_free char *there = str_printf("{'desired':{'b':'%s'}}", b);
    update_here(rig, "p", here);
    update_there(rig, "p", there);
    sync_rig_connect(rig);
    sync_rig_turn(rig);
    CHECK(strstr(sync_list(rig),
                 "\"problem\":\"refused here: 413 The payload exceeds the maximum size allowed\""));
    CHECK_INT(sync_number(rig, "failures"), 1);
    uint64_t before = rig->sent_count;
    sync_rig_wait(rig, 3600 * 1000);
    CHECK(sync_number(rig, "failures") >= 10);
    CHECK(rig->sent_count - before <= 30);
    CHECK(sync_number(rig, "lag") >= 3600 * 1000);
    update_there(rig, "p", "{'desired':{'b':'short'}}");
    sync_rig_turn(rig);
    CHECK(strstr(sync_list(rig), "\"problems\":[]"));
    CHECK_INT(sync_number(rig, "lag"), 0);
    cleanup_free char *merged = str_printf("{'desired':{'b':'short'},'reported':{'a':'%s'}}", a);
    CHECK_STATE(rig->here, "p", merged);
    CHECK_STATE(rig->there, "p", merged);
}

TEST(a_cloud_that_does_not_answer_is_asked_rarely_and_taken_up_when_it_does)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", NULL);
    sync_rig_connect(rig);
    update_here(rig, "p", "{'reported':{'r':1}}");
    uint64_t before = rig->sent_count;
    for (int i = 0; i < 600; i++) {
        clock_move(&rig->here->clock, 1000);
        clock_move(&rig->there->clock, 1000);
        rig_turn(rig->here);
        while (rig->up.count)
            (void)msg_unref(rig->up.list[--rig->up.count]);
    }
    CHECK(strstr(sync_list(rig), "\"problem\":\"the cloud does not answer\""));
    CHECK(rig->sent_count - before >= 5 && rig->sent_count - before <= 12);
    sync_rig_wait(rig, 15 * 60 * 1000);
    CHECK_STATE(rig->there, "p", "{'reported':{'r':1}}");
    CHECK(strstr(sync_list(rig), "\"problems\":[]"));
}

TEST(an_answer_that_is_lost_does_not_make_our_own_words_somebody_elses)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", NULL);
    sync_rig_connect(rig);
    update_here(rig, "p", "{'desired':{'d':1}}");
    sync_rig_turn(rig);
    update_here(rig, "p", "{'desired':{'d':2}}");
    rig_turn(rig->here);
    CHECK(sync_rig_move_up(rig));
    rig_turn(rig->there);
    CHECK_STATE(rig->there, "p", "{'desired':{'d':2}}");
    sync_rig_cut(rig); /* with the answer */
    rig_turn(rig->here);
    update_here(rig, "p", "{'desired':{'d':3}}");
    rig_turn(rig->here);
    sync_rig_connect(rig);
    sync_rig_turn(rig);
    CHECK_STATE(rig->there, "p",
                "{'desired':{'d':3}}"); /* desired is the cloud's, but the cloud has said nothing */
    CHECK_INT(sync_number(rig, "conflicts"), 0);
}

TEST(a_rejection_without_a_token_is_the_answer_to_the_get_that_waits)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", NULL);
    sync_rig_connect(rig);
    update_here(rig, "p", "{'reported':{'r':1}}");
    rig_turn(rig->here);
    CHECK_INT((int64_t)rig->up.count, 1);
    (void)msg_unref(rig->up.list[--rig->up.count]);
    rig_publish(rig->here, "$gatehouse/cloud/cloud/receive/$aws/things/p/shadow/get/rejected",
                "{\"code\":404,\"message\":\"No shadow exists with name: 'p'\"}");
    sync_rig_turn(rig);
    CHECK_STATE(rig->there, "p", "{'reported':{'r':1}}");
}

TEST(what_cannot_be_written_down_is_not_sent)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", NULL);
    sync_rig_connect(rig);
    update_here(rig, "p", "{'reported':{'r':1}}");
    rig_turn(rig->here);
    CHECK_INT((int64_t)rig->up.count, 1); /* a get */
    CHECK(sync_rig_move_up(rig));
    rig_turn(rig->there);
    store_fail_next_commit(rig->here->store, -ENOSPC);
    CHECK(sync_rig_move_down(rig));
    rig_turn(rig->here);
    CHECK_INT((int64_t)rig->up.count, 0);
    CHECK(strstr(sync_list(rig), "\"problem\":\"state.db: No space left on device\""));
    sync_rig_wait(rig, 2000);
    CHECK_STATE(rig->there, "p", "{'reported':{'r':1}}");
}

TEST(subscriptions_the_cloud_refuses_are_told_and_nothing_is_sent)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", NULL);
    CHECK_STR(rig->filters, "[\"$aws/things/p/shadow/get/+\",\"$aws/things/p/shadow/update/accepted\","
                            "\"$aws/things/p/shadow/update/rejected\",\"$aws/things/p/shadow/delete/+\"]");
    rig->is_up = true;
    bus_say(
        rig->here->bus, "$gatehouse/status/cloud/cloud",
        "{\"state\":\"up\",\"subscribed\":[{\"for\":\"sync\",\"filters\":4,\"standing\":3,\"refused\":1}]}",
        BUS_KEEP);
    update_here(rig, "p", "{'reported':{'r':1}}");
    sync_rig_turn(rig);
    CHECK_INT((int64_t)rig->sent_count, 0);
    CHECK(strstr(sync_list(rig), "\"connected\":false,\"problem\":\"the cloud refuses the subscriptions\""));
}

/* ---- how much ---------------------------------------------------------------------------------------------------- */

TEST(a_flapping_value_here_costs_no_more_than_the_bucket_and_the_last_one_wins)
{
    enum { RATE = 12, BURST = 4, SECONDS = 600 };
    cleanup(sync_rig_free_p) struct sync_rig *rig =
        sync_rig_new(&(struct sync_options){.shadow = "p", .rate = RATE, .burst = BURST}, 1);
    rig->is_forgetful = true;
    sync_rig_connect(rig);
    for (int i = 0; i < SECONDS * 10; i++) {
        cleanup_free char *state = str_printf("{'reported':{'n':%d}}", i);
        update_here(rig, "p", state);
        sync_rig_wait(rig, 100);
    }
    CHECK(rig->sent_count <= BURST + RATE * SECONDS / 60);
    CHECK(rig->sent_count >= RATE * SECONDS / 60 / 2);
    CHECK_INT((int64_t)rig->sent_count, sync_number(rig, "messages"));
    sync_rig_wait(rig, 60 * 1000);
    cleanup_free char *last = str_printf("{'reported':{'n':%d}}", SECONDS * 10 - 1);
    CHECK_STATE(rig->there, "p", last);
}

TEST(a_flapping_value_at_the_cloud_costs_no_more_either)
{
    enum { RATE = 12, BURST = 4, SECONDS = 600 };
    cleanup(sync_rig_free_p) struct sync_rig *rig =
        sync_rig_new(&(struct sync_options){.shadow = "p", .rate = RATE, .burst = BURST}, 1);
    rig->is_forgetful = true;
    sync_rig_connect(rig);
    for (int i = 0; i < SECONDS * 10; i++) {
        cleanup_free char *state = str_printf("{'desired':{'n':%d}}", i);
        update_there(rig, "p", state);
        sync_rig_wait(rig, 100);
    }
    CHECK(rig->sent_count <= BURST + RATE * SECONDS / 60);
    sync_rig_wait(rig, 60 * 1000);
    cleanup_free char *last = str_printf("{'desired':{'n':%d}}", SECONDS * 10 - 1);
    CHECK_STATE(rig->here, "p", last);
}

TEST(many_shadows_after_a_reconnection_are_a_stream_and_not_a_storm)
{
    enum { SHADOWS = 300 };
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_new(&(struct sync_options){.shadow = "+/+"}, 1);
    rig->is_forgetful = true;
    for (int i = 0; i < SHADOWS; i++) {
        cleanup_free char *shadow = str_printf("t%d/s", i);
        update_here(rig, shadow, "{'reported':{'r':1}}");
    }
    sync_rig_turn(rig);
    sync_rig_connect(rig);
    size_t most = 0;
    for (int quiet = 0; quiet < 3;) {
        rig_turn(rig->here);
        most = rig->up.count > most ? rig->up.count : most;
        bool moved = sync_rig_move_up(rig);
        rig_turn(rig->there);
        moved |= sync_rig_move_down(rig);
        quiet = moved ? 0 : quiet + 1;
    }
    CHECK(most > 0 && most <= 8);
    CHECK_INT((int64_t)rig->sent_count, 2 * SHADOWS);
    CHECK_INT(sync_number(rig, "behind"), 0);
    CHECK_STATE(rig->there, "t299/s", "{'reported':{'r':1}}");
}

/* ---- in the middle ----------------------------------------------------------------------------------------------- */

/* Both sides have changed something; after `moves` messages something happens; what comes of it is always the same. */
static void check_interrupted(int moves, bool restart)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", "reported.n: newest");
    sync_rig_connect(rig);
    update_here(rig, "p", "{'desired':{'d':1,'o':{'x':1}},'reported':{'r':1,'n':1}}");
    sync_rig_turn(rig);
    sync_rig_cut(rig);
    update_here(rig, "p", "{'desired':{'d':2,'h':1},'reported':{'r':2,'n':2}}");
    sync_rig_wait(rig, 3000);
    update_there(rig, "p", "{'desired':{'d':3,'o':null},'reported':{'r':3,'n':3}}");
    sync_rig_wait(rig, 3000);
    sync_rig_connect(rig);
    rig_turn(rig->here);
    for (int i = 0; i < moves; i++) {
        (void)(i % 2 ? sync_rig_move_down(rig) : sync_rig_move_up(rig));
        (void)loop_turn(rig->here->loop, 0);
        (void)loop_turn(rig->there->loop, 0);
    }
    if (restart)
        sync_rig_restart(rig);
    else
        sync_rig_cut(rig);
    rig_turn(rig->there);
    update_here(rig, "p", "{'reported':{'late':1}}");
    sync_rig_wait(rig, 2000);
    sync_rig_connect(rig);
    sync_rig_wait(rig, 5000);
    static const char merged[] = "{'desired':{'d':3,'h':1},'reported':{'r':2,'n':3,'late':1}}";
    if (!state_is(rig->here, "p", merged) || !state_is(rig->there, "p", merged))
        FAIL("after %d messages: here %s\nthere %s", moves, state_of(rig->here, "p"),
             state_of(rig->there, "p"));
}

TEST(a_round_may_be_cut_anywhere)
{
    for (int moves = 0; moves < 24; moves++)
        check_interrupted(moves, false);
}

TEST(a_restart_may_come_anywhere_in_a_round)
{
    for (int moves = 0; moves < 24; moves++)
        check_interrupted(moves, true);
}
