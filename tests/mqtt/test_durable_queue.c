/* Queues of sessions that are kept: what happens when they are full, when what waits in them expires, and when it goes to
 * somebody else who shares the subscription. Nothing is acknowledged and dropped. */
#include "mqtt/talk.h"

static struct house_options small_queue(enum broker_queue_full when_full)
{
    struct house_options options = talk_options();
    options.broker.queue_max = 3;
    options.broker.queue_full = when_full;
    return options;
}

/* B publishes with QoS 1, and is answered. */
static void publish(struct talk *talk, const char *topic, int from, int to)
{
    for (int i = from; i <= to; i++) {
        TALKF(talk, "B> PUBLISH %s %d qos=1 id=%d", topic, i, i);
        TALKF(talk, "B< PUBACK id=%d", i);
    }
}

/* ---- full ------------------------------------------------------------------------------------------------------------ */

TEST(a_full_queue_of_a_client_that_is_away_refuses)
{
    struct house_options options = small_queue(BROKER_QUEUE_REFUSE);
    struct talk talk;
    talk_begin(&talk, &options);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "A> close", "wait 1s",
         "B connects clean");
    publish(&talk, "a", 1, 3);
    TALK(&talk, "B> PUBLISH a 4 qos=1 id=4", "B< PUBACK id=4 rc=0x97 ...", "B> PUBLISH a 4 qos=2 id=4",
         "B< PUBREC id=4 rc=0x97 ...");
    CHECK_INT((int64_t)broker_counters(talk.house->broker)->refused_queue_full, 2);
    TALK(&talk, "restart", "B connects clean", "B> PUBLISH a 4 qos=1 id=4", "B< PUBACK id=4 rc=0x97 ...",
         "A resumes session-expiry=1000", "A< PUBLISH a 1 qos=1 id=1", "A< PUBLISH a 2 qos=1 id=2",
         "A< PUBLISH a 3 qos=1 id=3", "B> PUBLISH a 5 qos=1 id=5", "B< PUBACK id=5",
         "A< PUBLISH a 5 qos=1 id=*");
    talk_end(&talk);
}

TEST(a_full_queue_closes_the_connection_of_a_3_1_1_publisher)
{
    struct house_options options = small_queue(BROKER_QUEUE_REFUSE);
    struct talk talk;
    talk_begin_old(&talk, &options);
    TALK(&talk, "A connects", "A subscribes a qos=1", "A> close", "B connects clean");
    publish(&talk, "a", 1, 3);
    TALK(&talk, "B> PUBLISH a 4 qos=1 id=4", "B< closed", "A resumes", "A< PUBLISH a 1 qos=1 id=1",
         "A< PUBLISH a 2 qos=1 id=2", "A< PUBLISH a 3 qos=1 id=3", "A< nothing");
    talk_end(&talk);
}

/* One is under way, three wait, and whoever publishes the fifth waits until there is room. */
TEST(a_slow_client_makes_its_publishers_wait)
{
    struct house_options options = small_queue(BROKER_QUEUE_REFUSE);
    struct talk talk;
    talk_begin(&talk, &options);
    TALK(&talk, "A connects session-expiry=1000 receive-max=1", "A subscribes a qos=1", "B connects clean");
    publish(&talk, "a", 1, 4);
    TALK(&talk, "A< PUBLISH a 1 qos=1 id=1", "B> PUBLISH a 5 qos=1 id=5", "B< nothing", "A> PUBACK id=1",
         "A< PUBLISH a 2 qos=1 id=2", "B< nothing", "A> PUBACK id=2", "A< PUBLISH a 3 qos=1 id=3",
         "A> PUBACK id=3", "A< PUBLISH a 4 qos=1 id=4", "A> PUBACK id=4", "A< PUBLISH a 5 qos=1 id=5",
         "B< PUBACK id=5");
    talk_end(&talk);
}

/* It is on disk, so it is kept whether there is room or not. */
TEST(a_publisher_that_waits_is_let_go_when_the_slow_client_leaves)
{
    struct house_options options = small_queue(BROKER_QUEUE_REFUSE);
    struct talk talk;
    talk_begin(&talk, &options);
    TALK(&talk, "A connects session-expiry=1000 receive-max=1", "A subscribes a qos=1", "B connects clean");
    publish(&talk, "a", 1, 4);
    TALK(&talk, "A< PUBLISH a 1 qos=1 id=1", "B> PUBLISH a 5 qos=1 id=5", "B< nothing", "A> close",
         "B< PUBACK id=5", "B> PUBLISH a 6 qos=1 id=6", "B< PUBACK id=6 rc=0x97 ...", "restart",
         "A resumes session-expiry=1000");
    for (int i = 1; i <= 5; i++)
        TALKF(&talk, "A< PUBLISH a %d qos=1 id=%d ...", i, i);
    talk_end(&talk);
}

TEST(where_publishers_wait_they_wait_for_clients_that_are_away)
{
    struct house_options options = small_queue(BROKER_QUEUE_WAIT);
    struct talk talk;
    talk_begin(&talk, &options);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close", "B connects clean");
    publish(&talk, "a", 1, 3);
    TALK(&talk, "B> PUBLISH a 4 qos=1 id=4", "wait 60s", "B< nothing", "A resumes session-expiry=1000");
    for (int i = 1; i <= 4; i++)
        TALKF(&talk, "A< PUBLISH a %d qos=1 id=%d", i, i);
    TALK(&talk, "B< PUBACK id=4");
    CHECK_INT((int64_t)broker_counters(talk.house->broker)->refused_queue_full, 0);
    talk_end(&talk);
}

/* It was not acknowledged, so it is published again; the packet id says that it was. */
TEST(a_publisher_that_waited_when_the_daemon_ended_publishes_once)
{
    struct house_options options = small_queue(BROKER_QUEUE_WAIT);
    struct talk talk;
    talk_begin(&talk, &options);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "A> close",
         "B connects session-expiry=1000");
    publish(&talk, "a", 1, 3);
    TALK(&talk, "B> PUBLISH a 4 qos=2 id=4", "B< nothing", "restart", "B resumes session-expiry=1000",
         "B> PUBLISH a 4 qos=2 id=4 dup", "B< PUBREC id=4", "B> PUBREL id=4", "B< PUBCOMP id=4",
         "A resumes session-expiry=1000");
    for (int i = 1; i <= 4; i++)
        TALKF(&talk, "A< PUBLISH a %d qos=%d id=%d ...", i, i == 4 ? 2 : 1, i);
    talk_end(&talk);
}

TEST(publishers_are_let_go_when_the_session_ends)
{
    struct house_options options = small_queue(BROKER_QUEUE_WAIT);
    struct talk talk;
    talk_begin(&talk, &options);
    TALK(&talk, "A connects session-expiry=100", "A subscribes a qos=1", "A> close", "B connects clean");
    publish(&talk, "a", 1, 3);
    TALK(&talk, "B> PUBLISH a 4 qos=1 id=4", "B< nothing", "wait 101s", "B< PUBACK id=4");
    talk_end(&talk);
}

TEST(all_queues_together_have_a_limit)
{
    struct house_options options = talk_options();
    options.broker.queued_bytes_max = 10000;
    struct talk talk;
    talk_begin(&talk, &options);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close",
         "C connects session-expiry=1000", "C subscribes c qos=1", "C> close", "wait 1s", "B connects clean");
    int sent = 0;
    for (int i = 1; i <= 4; i++, sent++) {
        TALKF(&talk, "B> PUBLISH %s \"x\"*2000 qos=1 id=%d", i % 2 ? "a" : "c", i);
        TALKF(&talk, "B< PUBACK id=%d", i);
    }
    TALK(&talk, "B> PUBLISH a \"x\"*2000 qos=1 id=5", "B< PUBACK id=5 rc=0x97 ...",
         "B> PUBLISH c \"x\"*2000 qos=1 id=5", "B< PUBACK id=5 rc=0x97 ...", "A resumes session-expiry=1000",
         "A< PUBLISH a \"x\"*2000 qos=1 id=1", "A< PUBLISH a \"x\"*2000 qos=1 id=2",
         "B> PUBLISH c \"x\"*2000 qos=1 id=5", "B< PUBACK id=5", "restart", "B connects clean",
         "B> PUBLISH c \"y\"*9000 qos=1 id=6", "B< PUBACK id=6 rc=0x97 ...", "C resumes session-expiry=1000",
         "C< PUBLISH c \"x\"*2000 qos=1 id=1 ...", "C< PUBLISH c \"x\"*2000 qos=1 id=2 ...",
         "C< PUBLISH c \"x\"*2000 qos=1 id=3 ...", "B> PUBLISH c \"y\"*9000 qos=1 id=6", "B< PUBACK id=6",
         "C< PUBLISH c \"y\"*9000 qos=1 id=*");
    talk_end(&talk);
}

/* ---- expiry ---------------------------------------------------------------------------------------------------------- */

TEST(what_expires_in_a_queue_is_not_sent_and_does_not_come_back)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "A> close", "B connects clean",
         "B> PUBLISH a 1 qos=1 id=1 expiry=10", "B< PUBACK id=1", "B> PUBLISH a 2 qos=2 id=2 expiry=100",
         "B< PUBREC id=2", "B> PUBLISH a 3 qos=2 id=3 expiry=10", "B< PUBREC id=3", "wait 20s",
         "A resumes session-expiry=1000", "A< PUBLISH a 2 qos=2 id=* expiry=80", "A< nothing", "restart",
         "A resumes session-expiry=1000", "A< PUBLISH a 2 qos=2 id=* expiry=80 dup", "A< nothing");
    talk_end(&talk);
}

TEST(what_expires_while_the_window_is_full_makes_room)
{
    struct house_options options = small_queue(BROKER_QUEUE_WAIT);
    struct talk talk;
    talk_begin(&talk, &options);
    TALK(&talk, "A connects session-expiry=1000 receive-max=1", "A subscribes a qos=1", "B connects clean",
         "B> PUBLISH a 1 qos=1 id=1", "B< PUBACK id=1", "A< PUBLISH a 1 qos=1 id=1");
    for (int i = 2; i <= 4; i++) {
        TALKF(&talk, "B> PUBLISH a %d qos=1 id=%d expiry=10", i, i);
        TALKF(&talk, "B< PUBACK id=%d", i);
    }
    TALK(&talk, "B> PUBLISH a 5 qos=1 id=5", "B< nothing", "wait 20s", "A> PUBACK id=1", "B< PUBACK id=5",
         "A< PUBLISH a 5 qos=1 id=*", "A< nothing");
    talk_end(&talk);
}

/* ---- shared ---------------------------------------------------------------------------------------------------------- */

/* A gets one of two, and leaves before it has acknowledged; QoS 1 goes on to C. */
TEST(what_one_could_not_finish_goes_to_another_who_shares_and_stays_there)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes \"$share/g/a\" qos=1", "B connects clean",
         "B> PUBLISH a 1 qos=1 id=1", "B< PUBACK id=1", "A< PUBLISH a 1 qos=1 id=1",
         "C connects session-expiry=1000", "C subscribes \"$share/g/a\" qos=1", "A> close",
         "C< PUBLISH a 1 qos=1 id=1", "restart", "A resumes session-expiry=1000", "A< nothing",
         "C resumes session-expiry=1000", "C< PUBLISH a 1 qos=1 id=1 dup", "C> PUBACK id=1", "restart",
         "A resumes session-expiry=1000", "A< nothing", "C resumes session-expiry=1000", "C< nothing");
    talk_end(&talk);
}

TEST(what_was_begun_at_qos_2_stays_where_it_was_begun)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes \"$share/g/a\" qos=2", "B connects clean",
         "B> PUBLISH a 1 qos=2 id=1", "B< PUBREC id=1", "A< PUBLISH a 1 qos=2 id=1",
         "C connects session-expiry=1000", "C subscribes \"$share/g/a\" qos=2", "A> close", "C< nothing",
         "restart", "C resumes session-expiry=1000", "C< nothing", "A resumes session-expiry=1000",
         "A< PUBLISH a 1 qos=2 id=1 dup");
    talk_end(&talk);
}

TEST(what_waits_for_a_session_that_ends_goes_to_another_who_shares)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=100", "A subscribes \"$share/g/a\" qos=1", "A> close",
         "B connects clean", "B> PUBLISH a 1 qos=1 id=1", "B< PUBACK id=1", "C connects session-expiry=1000",
         "C subscribes \"$share/g/a\" qos=1", "C> close", "wait 101s", "restart",
         "C resumes session-expiry=1000", "C< PUBLISH a 1 qos=1 id=* ...", "A connects session-expiry=100",
         "A< nothing");
    talk_end(&talk);
}

/* The other one is slow and his queue is full: what has been acknowledged is not dropped for that. */
TEST(what_has_been_acknowledged_is_not_dropped_when_it_goes_to_a_full_queue)
{
    struct house_options options = small_queue(BROKER_QUEUE_REFUSE);
    struct talk talk;
    talk_begin(&talk, &options);
    TALK(&talk, "A connects session-expiry=1000 receive-max=1", "A subscribes \"$share/g/a\" qos=1",
         "B connects clean");
    publish(&talk, "a", 1, 4); /* one under way, three wait */
    TALK(&talk, "A< PUBLISH a 1 qos=1 id=1", "C connects session-expiry=1000 receive-max=1",
         "C subscribes c qos=1", "C subscribes \"$share/g/a\" qos=1");
    publish(&talk, "c", 5, 8); /* the same for C */
    TALK(&talk, "C< PUBLISH c 5 qos=1 id=1", "A> close", "restart", "C resumes session-expiry=1000");
    for (int i = 5; i <= 8; i++)
        TALKF(&talk, "C< PUBLISH c %d qos=1 id=* ...", i);
    for (int i = 1; i <= 4; i++)
        TALKF(&talk, "C< PUBLISH a %d qos=1 id=* ...", i);
    TALK(&talk, "A resumes session-expiry=1000", "A< nothing");
    talk_end(&talk);
}
