/* Time goes on while the daemon is away: expiries of sessions and of messages, and wills that wait. And clocks are wrong:
 * a board without a battery says 1970 until somebody tells it the time, and nothing is destroyed because of that. */
#include "mqtt/talk.h"

enum { MS = 1000 };

static const int64_t year_1970 = 45 * MS, day = INT64_C(86400) * MS;

/* The daemon is away for so long. */
static void stay_away(struct talk *talk, int64_t ms)
{
    talk->house->clock.wall += ms;
    TALK(talk, "restart", "wait 2ms"); /* what is over fires with the first tick */
}

/* The same, and when it is back the clock says something else. */
static void come_back_at(struct talk *talk, int64_t wall)
{
    talk->house->clock.wall = wall;
    TALK(talk, "restart");
}

/* ---- sessions -------------------------------------------------------------------------------------------------------- */

TEST(an_expiry_goes_on_while_the_daemon_is_away)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=100", "B connects session-expiry=100", "A> close", "B> close");
    stay_away(&talk, 60 * MS);
    TALK(&talk, "wait 39s", "A resumes session-expiry=100", "wait 2s", "B connects session-expiry=100");
    talk_end(&talk);
}

TEST(a_session_that_expired_while_the_daemon_was_away_is_gone)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=100", "A subscribes a qos=1", "A> close", "B connects clean",
         "B> PUBLISH a x qos=1 id=1", "B< PUBACK id=1");
    stay_away(&talk, 101 * MS);
    TALK(&talk, "restart", "A connects session-expiry=100", "A< nothing");
    talk_end(&talk);
}

/* It was connected when the daemon ended: nobody knows since when it is away, so that counts from the start. */
TEST(an_expiry_begins_at_the_start_for_who_was_connected)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=100");
    stay_away(&talk, 1000 * MS);
    TALK(&talk, "wait 60s");
    stay_away(&talk, 30 * MS); /* 90 s since then */
    TALK(&talk, "A resumes session-expiry=100");
    stay_away(&talk, 1000 * MS);
    TALK(&talk, "wait 60s");
    stay_away(&talk, 41 * MS);
    TALK(&talk, "A connects session-expiry=100");
    talk_end(&talk);
}

TEST(a_session_that_never_expires_does_not)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=4294967295", "A> close");
    stay_away(&talk, 20 * 365 * day);
    TALK(&talk, "wait 1000s", "A resumes session-expiry=4294967295");
    talk_end(&talk);
}

TEST(what_disconnect_says_about_the_expiry_counts_after_a_restart)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=100", "A> DISCONNECT session-expiry=1000", "A< closed",
         "B connects session-expiry=1000", "B> DISCONNECT session-expiry=100", "B< closed");
    stay_away(&talk, 500 * MS);
    TALK(&talk, "A resumes session-expiry=100", "B connects session-expiry=100");
    talk_end(&talk);
}

TEST(what_the_last_connect_says_about_the_expiry_counts_after_a_restart)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=100", "A> close", "A resumes session-expiry=1000", "A> close");
    stay_away(&talk, 500 * MS);
    TALK(&talk, "A resumes session-expiry=100");
    talk_end(&talk);
}

TEST(a_clock_that_went_back_to_1970_ends_no_session)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=100", "A> close", "B connects session-expiry=100");
    come_back_at(&talk, year_1970);
    TALK(&talk, "wait 60s", "A resumes session-expiry=100", "B resumes session-expiry=100");
    talk_end(&talk);
}

/* They left while the clock said 1970; then somebody told it the time, before or after the next start. */
TEST(a_clock_that_was_at_1970_ends_no_session)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    int64_t today = talk.house->clock.wall;
    come_back_at(&talk, year_1970);
    TALK(&talk, "A connects session-expiry=100", "A> close", "B connects session-expiry=100", "B> close");
    come_back_at(&talk, today);
    TALK(&talk, "wait 60s", "A resumes session-expiry=100");
    talk.house->clock.wall += day; /* while the daemon runs: monotonic time counts */
    TALK(&talk, "wait 30s", "B resumes session-expiry=100");
    talk_end(&talk);
}

/* ---- messages -------------------------------------------------------------------------------------------------------- */

TEST(messages_that_expired_while_the_daemon_was_away_are_not_sent)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "A> close", "B connects clean",
         "wait 1s", "B> PUBLISH a 1 qos=1 id=1 expiry=50", "B< PUBACK id=1",
         "B> PUBLISH a 2 qos=2 id=2 expiry=200", "B< PUBREC id=2", "B> PUBLISH a 3 qos=2 id=3 expiry=50",
         "B< PUBREC id=3", "B> PUBLISH a 4 qos=1 id=4", "B< PUBACK id=4");
    stay_away(&talk, 60 * MS);
    TALK(&talk, "wait 10s", "A resumes session-expiry=1000", "A< PUBLISH a 2 qos=2 id=* expiry=130 ...",
         "A< PUBLISH a 4 qos=1 id=* ...", "A< nothing");
    CHECK_INT((int64_t)broker_counters(talk.house->broker)->dropped_expired, 2);
    TALK(&talk, "restart", "A resumes session-expiry=1000", "A< PUBLISH a 2 qos=2 id=* dup expiry=130 ...",
         "A< PUBLISH a 4 qos=1 id=* dup");
    talk_end(&talk);
}

TEST(a_clock_that_went_back_lets_no_message_expire)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close", "B connects clean",
         "B> PUBLISH a 1 qos=1 id=1 expiry=50", "B< PUBACK id=1");
    come_back_at(&talk, year_1970);
    TALK(&talk, "A resumes session-expiry=1000", "A< PUBLISH a 1 qos=1 id=* expiry=50 ...");
    talk_end(&talk);
}

TEST(a_clock_that_was_at_1970_lets_no_message_expire)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    int64_t today = talk.house->clock.wall;
    come_back_at(&talk, year_1970);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close", "B connects clean",
         "wait 1s", "B> PUBLISH a 1 qos=1 id=1 expiry=50", "B< PUBACK id=1");
    come_back_at(&talk, today);
    TALK(&talk, "A resumes session-expiry=1000", "A< PUBLISH a 1 qos=1 id=* expiry=50 ...");
    talk_end(&talk);
}

/* ---- wills ----------------------------------------------------------------------------------------------------------- */

/* B listens, and keeps doing so after a restart. */
static void listen_to_wills(struct talk *talk)
{
    TALK(talk, "B connects session-expiry=1000", "B subscribes will qos=1");
}

static void listen_again(struct talk *talk)
{
    TALK(talk, "B resumes session-expiry=1000");
}

TEST(the_will_of_who_was_connected_is_published_at_the_start_and_once)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    listen_to_wills(&talk);
    TALK(&talk, "A connects session-expiry=1000 will=will will-payload=gone will-qos=1",
         "C connects clean will=will "
         "will-payload=too will-qos=1",
         "restart");
    listen_again(&talk);
    TALK(&talk, "B<~ PUBLISH will gone qos=1 id=$x ...", "B<~ PUBLISH will too qos=1 id=$y ...",
         "B> PUBACK id=$x", "B> PUBACK id=$y", "restart");
    listen_again(&talk);
    TALK(&talk, "B< nothing", "A resumes session-expiry=1000", "A> close", "B< nothing");
    talk_end(&talk);
}

TEST(a_delay_goes_on_while_the_daemon_is_away)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    listen_to_wills(&talk);
    TALK(&talk, "A connects session-expiry=1000 will=will will-payload=gone will-delay=100", "A> close",
         "wait 20s");
    stay_away(&talk, 30 * MS);
    listen_again(&talk);
    TALK(&talk, "wait 49s", "B< nothing", "wait 2s", "B< PUBLISH will gone", "restart");
    listen_again(&talk);
    TALK(&talk, "wait 200s", "B< nothing");
    talk_end(&talk);
}

TEST(a_delay_that_was_over_before_the_daemon_came_back_is_over)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    listen_to_wills(&talk);
    TALK(&talk, "A connects session-expiry=1000 will=will will-payload=gone will-qos=1 will-delay=100",
         "A> close");
    stay_away(&talk, 200 * MS);
    listen_again(&talk);
    TALK(&talk, "B< PUBLISH will gone qos=1 id=* ...");
    talk_end(&talk);
}

TEST(a_delay_ends_with_the_session_after_a_restart_too)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    listen_to_wills(&talk);
    TALK(&talk, "A connects session-expiry=50 will=will will-payload=gone will-delay=100", "A> close");
    stay_away(&talk, 30 * MS);
    listen_again(&talk);
    TALK(&talk, "wait 19s", "B< nothing", "wait 2s", "B< PUBLISH will gone");
    talk_end(&talk);
}

TEST(who_is_back_before_the_delay_is_over_has_no_will_on_disk)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    listen_to_wills(&talk);
    TALK(&talk, "A connects session-expiry=1000 will=will will-payload=gone will-delay=100", "A> close");
    stay_away(&talk, 30 * MS);
    listen_again(&talk);
    TALK(&talk, "A resumes session-expiry=1000", "restart");
    listen_again(&talk);
    TALK(&talk, "wait 200s", "B< nothing");
    talk_end(&talk);
}

TEST(disconnect_takes_the_will_from_the_disk)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    listen_to_wills(&talk);
    TALK(&talk, "A connects session-expiry=1000 will=will will-payload=gone", "A> DISCONNECT", "A< closed",
         "C connects clean will=will will-payload=gone", "C> DISCONNECT", "C< closed", "restart");
    listen_again(&talk);
    TALK(&talk, "B< nothing");
    talk_end(&talk);
}

TEST(disconnect_with_the_will_publishes_it_once)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    listen_to_wills(&talk);
    TALK(&talk, "A connects session-expiry=1000 will=will will-payload=gone", "A> DISCONNECT rc=4",
         "A< closed", "B< PUBLISH will gone", "restart");
    listen_again(&talk);
    TALK(&talk, "B< nothing");
    talk_end(&talk);
}

TEST(a_will_comes_back_with_all_it_has)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    listen_to_wills(&talk);
    TALK(
        &talk,
        "A connects session-expiry=1000 will=will will-payload=\"\\x00gone\" will-qos=1 will-retain will-expiry=60 "
        "will-response=r will-correlation=c will-user=b=1 will-user=a=2 will-content-type=t");
    stay_away(&talk, 500 * MS); /* its expiry begins when it is published */
    listen_again(&talk);
    TALK(
        &talk,
        "B< PUBLISH will \"\\x00gone\" qos=1 id=* expiry=60 response=r correlation=c user=b=1 user=a=2 content-type=t "
        "...",
        "C connects clean", "C subscribes will qos=1",
        "C< PUBLISH will \"\\x00gone\" qos=1 id=* retain expiry=60 response=r correlation=c user=b=1 user=a=2 "
        "content-type=t");
    talk_end(&talk);
}

TEST(the_last_will_is_the_one_that_counts)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    listen_to_wills(&talk);
    TALK(&talk, "A connects session-expiry=1000 will=will will-payload=old will-delay=100", "A> close",
         "A resumes session-expiry=1000 will=will will-payload=new will-qos=1", "restart");
    listen_again(&talk);
    TALK(&talk, "B< PUBLISH will new qos=1 id=* ...", "wait 200s", "B< nothing");
    talk_end(&talk);
}

/* The old will has been published, but somebody has not kept it yet; meanwhile the client is back with a new one. That the
 * old one is kept at last must not remove the new one. */
TEST(the_end_of_an_older_will_leaves_the_newer_one)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "B connects session-expiry=1000", "B subscribes slow/will qos=1",
         "A connects session-expiry=1000 will=slow/will will-payload=old will-qos=1", "A> close",
         "B< PUBLISH slow/will old qos=1 id=$x", "B> PUBACK id=$x",
         "A resumes session-expiry=1000 will=slow/will will-payload=new will-qos=1", "settle oldest 0",
         "restart", "B resumes session-expiry=1000", "B< PUBLISH slow/will new qos=1 id=* ...");
    talk_end(&talk);
}

TEST(taking_over_publishes_the_old_will_and_keeps_the_new_one)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    listen_to_wills(&talk);
    TALK(&talk, "A connects session-expiry=1000 will=will will-payload=old will-qos=1",
         "C> CONNECT id=a session-expiry=1000 will=will will-payload=new will-qos=1",
         "C< CONNACK rc=0 session-present ...", "A< ended 0x8e", "B< PUBLISH will old qos=1 id=$x",
         "B> PUBACK id=$x", "restart");
    listen_again(&talk);
    TALK(&talk, "B< PUBLISH will new qos=1 id=* ...");
    talk_end(&talk);
}

/* Said at shutdown, so not again at the next start. */
TEST(shutting_down_publishes_wills_once)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    listen_to_wills(&talk);
    TALK(&talk, "A connects session-expiry=1000 will=will will-payload=gone will-qos=1", "shutdown",
         "A< ended 0x8b", "B< ended 0x8b", "restart");
    listen_again(&talk);
    TALK(&talk, "B< PUBLISH will gone qos=1 id=$x ...", "B> PUBACK id=$x", "B< nothing");
    talk_end(&talk);
}
