/* Sessions that outlive the daemon: what a client finds when both are back. */
#include "mqtt/talk.h"

#include "base/log.h"

#include <stdio.h>

/* ---- subscriptions --------------------------------------------------------------------------------------------------- */

/* Filters t/0 to t/23, each with another combination of what a subscription can be. */
static void name_options(char *text, size_t size, unsigned i)
{
    (void)snprintf(text, size, "qos=%u%s%s", i % 3, i / 3 & 1 ? " no-local" : "",
                   i / 6 & 1 ? " retain-as-published" : "");
}

TEST(all_options_of_subscriptions_come_back)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000");
    for (unsigned i = 0; i < 24; i++) {
        char options[64], id[32] = "";
        name_options(options, sizeof options, i);
        if (i >= 12)
            (void)snprintf(id, sizeof id, "sub-id=%u", i == 12 ? 268435455 : i);
        TALKF(&talk, "A subscribes id=%u %s t/%u %s", i + 1, id, i, options);
    }
    TALK(&talk, "restart", "restart", "A resumes session-expiry=1000", "B connects clean");
    for (unsigned i = 0; i < 24; i++) {
        char id[32] = "";
        if (i >= 12)
            (void)snprintf(id, sizeof id, "sub-id=%u", i == 12 ? 268435455 : i);
        const char *as_published = i / 6 & 1 ? "retain" : "";
        TALKF(&talk, "B> PUBLISH t/%u x qos=2 id=%u retain", i, i + 1);
        TALKF(&talk, "B< PUBREC id=%u", i + 1);
        static const char *const qos[] = {"", "qos=1 id=*", "qos=2 id=*"};
        TALKF(&talk, "A< PUBLISH t/%u x %s %s %s", i, qos[i % 3], as_published, id);
        TALKF(&talk, "A> PUBLISH t/%u mine", i);
        if (i / 3 & 1) /* No Local */
            TALK(&talk, "A< nothing");
        else
            TALKF(&talk, "A< PUBLISH t/%u mine %s", i, id);
    }
    talk_end(&talk);
}

TEST(a_subscription_that_was_replaced_comes_back_as_it_was_last)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes id=1 sub-id=7 a qos=2 no-local",
         "A subscribes id=2 a qos=1", "restart", "A resumes session-expiry=1000", "A> PUBLISH a x qos=2 id=1",
         "A<~ PUBREC id=1", "A<~ PUBLISH a x qos=1 id=*");
    talk_end(&talk);
}

TEST(a_shared_subscription_comes_back_in_its_group)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes \"$share/g/a/+\" qos=1",
         "B connects session-expiry=1000", "B subscribes \"$share/g/a/+\" qos=1",
         "C connects session-expiry=1000", "C subscribes \"$share/h/a/+\" qos=1", "restart",
         "A resumes session-expiry=1000", "B resumes session-expiry=1000", "C resumes session-expiry=1000",
         "D connects clean");
    for (int i = 1; i <= 2; i++) {
        TALKF(&talk, "D> PUBLISH a/b x qos=1 id=%d", i);
        TALKF(&talk, "D< PUBACK id=%d", i);
        TALK(&talk, "C< PUBLISH a/b x qos=1 id=*");
    }
    /* One for each, whichever comes first. */
    TALK(&talk, "A< PUBLISH a/b x qos=1 id=*", "B< PUBLISH a/b x qos=1 id=*");
    talk_end(&talk);
}

TEST(what_was_unsubscribed_does_not_come_back)
{
    struct talk talk;
    talk_begin_old(&talk, NULL);
    TALK(&talk, "A connects", "A subscribes a qos=1 b qos=1", "A> UNSUBSCRIBE id=3 a", "A< UNSUBACK id=3",
         "restart", "A resumes", "A> PUBLISH a x", "A< nothing", "A> PUBLISH b x", "A< PUBLISH b x");
    talk_end(&talk);
}

/* ---- sessions -------------------------------------------------------------------------------------------------------- */

TEST(a_client_identifier_may_be_any_text)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects id=\"\\xc3\\xa4 %_'/+#\" session-expiry=1000",
         "B connects id=\"x\"*1024 session-expiry=1000", "restart",
         "A resumes id=\"\\xc3\\xa4 %_'/+#\" session-expiry=1000",
         "B resumes id=\"x\"*1024 session-expiry=1000");
    talk_end(&talk);
}

TEST(clean_start_leaves_nothing_of_the_old_session)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "A> PUBLISH b x qos=2 id=5",
         "A< PUBREC id=5", "A> close", "B connects clean", "B> PUBLISH a waits qos=2 id=1", "B< PUBREC id=1",
         "A connects clean session-expiry=1000", "restart", "A resumes session-expiry=1000", "A< nothing",
         "A> PUBREL id=5", "A< PUBCOMP id=5 rc=0x92", "B connects clean", "B> PUBLISH a x qos=1 id=1",
         "B< PUBACK id=1", "A< nothing");
    talk_end(&talk);
}

TEST(clean_start_after_a_restart_leaves_nothing_either)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "A> close", "B connects clean",
         "B> PUBLISH a waits qos=2 id=1", "B< PUBREC id=1", "restart", "A connects clean session-expiry=1000",
         "A< nothing", "restart", "A resumes session-expiry=1000", "A< nothing", "A> PUBLISH a x qos=1 id=1",
         "A< PUBACK id=1", "A< nothing");
    talk_end(&talk);
}

/* Its number is not given again, or it would get what was meant for another. */
TEST(a_session_gets_nothing_of_one_that_ended)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close", "B connects clean",
         "B> PUBLISH a waits qos=1 id=1", "B< PUBACK id=1", "A connects clean", "A> DISCONNECT", "A< closed",
         "restart", "C connects session-expiry=1000", "C subscribes a qos=1", "restart",
         "C resumes session-expiry=1000", "C< nothing");
    talk_end(&talk);
}

TEST(a_session_that_is_to_end_with_its_connection_ends_with_the_daemon)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close", "A resumes", "restart",
         "A connects session-expiry=1000", "restart", "A resumes session-expiry=1000", "A> PUBLISH a x",
         "A< nothing");
    talk_end(&talk);
}

TEST(disconnect_may_end_a_session)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A> DISCONNECT session-expiry=0", "A< closed", "restart",
         "A connects session-expiry=1000");
    talk_end(&talk);
}

TEST(a_session_of_3_1_1_comes_back_as_well)
{
    struct talk talk;
    talk_begin_old(&talk, NULL);
    TALK(&talk, "A connects", "A subscribes a qos=1", "restart", "A resumes", "A> PUBLISH a x qos=1 id=1",
         "A<~ PUBACK id=1", "A<~ PUBLISH a x qos=1 id=*");
    talk_end(&talk);
}

/* ---- what waits ------------------------------------------------------------------------------------------------------ */

/* More than the window is wide: the first ones may have been sent, the others waited behind them. */
TEST(a_long_queue_comes_back_in_its_order_with_its_identifiers)
{
    enum { COUNT = 250 };
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000 receive-max=10", "A subscribes a qos=2", "B connects clean");
    for (int i = 0; i < COUNT; i++) {
        TALKF(&talk, "B> PUBLISH a %d qos=1 id=%d", i, i + 1);
        TALKF(&talk, "B< PUBACK id=%d", i + 1);
        if (i < 10)
            TALKF(&talk, "A< PUBLISH a %d qos=1 id=%d", i, i + 1);
    }
    TALK(&talk, "restart", "A resumes session-expiry=1000 receive-max=10");
    for (int i = 0; i < COUNT; i++) {
        TALKF(&talk, "A< PUBLISH a %d qos=1 id=%d ...", i, i + 1);
        TALKF(&talk, "A> PUBACK id=%d", i + 1);
    }
    TALK(&talk, "A< nothing", "restart", "A resumes session-expiry=1000", "A< nothing");
    talk_end(&talk);
}

TEST(acknowledgements_in_any_order_leave_the_others_as_they_were)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "B connects clean");
    for (int i = 1; i <= 5; i++) {
        TALKF(&talk, "B> PUBLISH a %d qos=1 id=%d", i, i);
        TALKF(&talk, "B< PUBACK id=%d", i);
        TALKF(&talk, "A< PUBLISH a %d qos=1 id=%d", i, i);
    }
    TALK(&talk, "A> PUBACK id=4", "A> PUBACK id=2", "restart", "A resumes session-expiry=1000",
         "A< PUBLISH a 1 qos=1 id=1 dup", "A< PUBLISH a 3 qos=1 id=3 dup", "A< PUBLISH a 5 qos=1 id=5 dup",
         "A> PUBACK id=3", "B connects clean", "B> PUBLISH a 6 qos=1 id=1", "B< PUBACK id=1",
         "A< PUBLISH a 6 qos=1 id=6", "restart", "A resumes session-expiry=1000",
         "A< PUBLISH a 1 qos=1 id=1 dup", "A< PUBLISH a 5 qos=1 id=5 dup", "A< PUBLISH a 6 qos=1 id=6 dup");
    talk_end(&talk);
}

TEST(one_message_for_many_waits_for_each_of_them)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    for (char who = 'A'; who <= 'F'; who++) {
        TALKF(&talk, "%c connects session-expiry=1000", who);
        TALKF(&talk, "%c subscribes a qos=%d", who, 1 + who % 2);
        TALKF(&talk, "%c> close", who);
    }
    TALK(&talk, "Z connects clean", "Z> PUBLISH a x qos=2 id=1", "Z< PUBREC id=1");
    for (char who = 'A'; who <= 'F'; who++) {
        TALK(&talk, "restart");
        TALKF(&talk, "%c resumes session-expiry=1000", who);
        TALKF(&talk, "%c< PUBLISH a x qos=%d id=1 ...", who, 1 + who % 2);
        TALKF(&talk, "%c> %s id=1", who, who % 2 ? "PUBREC" : "PUBACK");
        if (who % 2) {
            TALKF(&talk, "%c< PUBREL id=1", who);
            TALKF(&talk, "%c> PUBCOMP id=1", who);
        }
    }
    TALK(&talk, "restart");
    for (char who = 'A'; who <= 'F'; who++) {
        TALKF(&talk, "%c resumes session-expiry=1000", who);
        TALKF(&talk, "%c< nothing", who);
    }
    talk_end(&talk);
}

TEST(a_message_of_the_largest_size_waits_as_well)
{
    struct house_options options = talk_options();
    options.broker.packet_max = 2 << 20;
    struct talk talk;
    talk_begin(&talk, &options);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close", "B connects clean",
         "B> PUBLISH a \"\\x00\\xff\"*524288 qos=1 id=1", "B< PUBACK id=1", "B> PUBLISH a \"\" qos=1 id=2",
         "B< PUBACK id=2", "restart", "A resumes session-expiry=1000",
         "A< PUBLISH a \"\\x00\\xff\"*524288 qos=1 id=1 ...", "A< PUBLISH a \"\" qos=1 id=2 ...");
    talk_end(&talk);
}

/* It was never sent, and what was not acknowledged may have been. */
TEST(only_what_may_have_been_sent_comes_with_dup)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "B connects clean",
         "B> PUBLISH a 1 qos=1 id=1", "B< PUBACK id=1", "A< PUBLISH a 1 qos=1 id=1", "wait 1s", "A> close",
         "wait 1s", "B> PUBLISH a 2 qos=1 id=2", "B< PUBACK id=2", "B> PUBLISH a 3 qos=2 id=3",
         "B< PUBREC id=3", "restart", "restart", "A resumes session-expiry=1000",
         "A< PUBLISH a 1 qos=1 id=1 dup", "A< PUBLISH a 2 qos=1 id=2", "A< PUBLISH a 3 qos=2 id=3");
    talk_end(&talk);
}

TEST(a_message_that_was_read_back_may_wait_again)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close", "B connects clean",
         "B> PUBLISH a 1 qos=1 id=1", "B< PUBACK id=1", "restart", "restart", "B connects clean",
         "B> PUBLISH a 2 qos=1 id=1", "B< PUBACK id=1", "restart", "A resumes session-expiry=1000",
         "A< PUBLISH a 1 qos=1 id=1 ...", "A< PUBLISH a 2 qos=1 id=2 ...");
    talk_end(&talk);
}

/* The log is as it was: closing the daemon forgets all mails, which is not to say that nobody needs them. */
TEST(a_queue_of_several_segments_survives_more_than_one_restart)
{
    enum { COUNT = 14 };
    struct house_options options = talk_options();
    options.broker.packet_max = 2 << 20;
    struct talk talk;
    talk_begin(&talk, &options);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close", "B connects clean");
    for (int i = 1; i <= COUNT; i++) {
        TALKF(&talk, "B> PUBLISH a \"%02d\"*200000 qos=1 id=%d", i, i);
        TALKF(&talk, "B< PUBACK id=%d", i);
    }
    TALK(&talk, "restart", "restart", "restart", "A resumes session-expiry=1000 receive-max=1");
    for (int i = 1; i <= COUNT; i++) {
        TALKF(&talk, "A< PUBLISH a \"%02d\"*200000 qos=1 id=%d ...", i, i);
        TALKF(&talk, "A> PUBACK id=%d", i);
    }
    talk_end(&talk);
}
