/* Exactly once, whoever dies at whichever step: the publisher, the subscriber, the daemon with them, once or twice in a
 * row. Clients do what the specification tells them when they are back: what they have not heard of is said again. */
#include "mqtt/talk.h"

/* What is sent last before the end, and whether the answer to it is still heard. */
enum step { SENT_PUBLISH, HEARD_PUBREC, SENT_PUBREL, HEARD_PUBCOMP, STEPS };

/* Who gets what A publishes. */
enum reader { NOBODY, READER_HERE, READER_AWAY, READER_AT_QOS1, READERS };

static void reader_begins(struct talk *talk, enum reader reader)
{
    if (reader == NOBODY)
        return;
    TALK(talk, "B connects session-expiry=1000");
    TALKF(talk, "B subscribes a qos=%d", reader == READER_AT_QOS1 ? 1 : 2);
    if (reader == READER_AWAY)
        TALK(talk, "B> close");
}

/* The reader gets this message now, once. */
static void reader_gets(struct talk *talk, enum reader reader, const char *payload)
{
    if (reader == READER_HERE) {
        TALKF(talk, "B< PUBLISH a %s qos=2 id=$%s", payload, payload);
        TALKF(talk, "B> PUBREC id=$%s", payload);
        TALKF(talk, "B< PUBREL id=$%s", payload);
        TALKF(talk, "B> PUBCOMP id=$%s", payload);
    } else if (reader == READER_AT_QOS1) {
        TALKF(talk, "B< PUBLISH a %s qos=1 id=$%s", payload, payload);
        TALKF(talk, "B> PUBACK id=$%s", payload);
    }
}

/* What A says from the beginning, or again, up to that step. */
static void publisher_goes_on(struct talk *talk, enum step from, enum step to, bool again)
{
    if (from <= SENT_PUBLISH)
        TALKF(talk, "A> PUBLISH a x qos=2 id=7 %s", again ? "dup" : "");
    if (from <= HEARD_PUBREC && to >= HEARD_PUBREC)
        TALK(talk, "A< PUBREC id=7");
    if (to >= SENT_PUBREL)
        TALK(talk, "A> PUBREL id=7");
    if (to >= HEARD_PUBCOMP)
        TALK(talk, "A< PUBCOMP id=7 ..."); /* with 0x92 when it had been released already */
}

static void everybody_comes_back(struct talk *talk, enum reader reader, bool restart)
{
    if (restart) {
        TALK(talk, "restart");
        if (reader == READER_HERE || reader == READER_AT_QOS1)
            TALK(talk, "B resumes session-expiry=1000");
    }
    TALK(talk, "A resumes session-expiry=1000");
}

static void kill_publisher(enum step step, enum reader reader, bool restart, int times)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    reader_begins(&talk, reader);
    TALK(&talk, "A connects session-expiry=1000");
    publisher_goes_on(&talk, SENT_PUBLISH, step, false);
    TALK(&talk, "A> close");
    reader_gets(&talk, reader, "x");
    /* Having heard PUBREC it says PUBREL again; before that, PUBLISH. */
    enum step from = step == SENT_PUBLISH ? SENT_PUBLISH : SENT_PUBREL;
    for (int i = 1; i < times; i++) {
        everybody_comes_back(&talk, reader, restart);
        publisher_goes_on(&talk, from, step == HEARD_PUBREC ? HEARD_PUBREC : step, true);
        TALK(&talk, "A> close");
    }
    everybody_comes_back(&talk, reader, restart);
    if (step < HEARD_PUBCOMP)
        publisher_goes_on(&talk, from, HEARD_PUBCOMP, true);

    /* The packet identifier is free, and what comes with it is a new message. */
    TALK(&talk, "A> PUBLISH a y qos=2 id=7", "A< PUBREC id=7", "A> PUBREL id=7", "A< PUBCOMP id=7");
    reader_gets(&talk, reader, "y");
    if (reader == READER_AWAY)
        TALK(&talk, "B resumes session-expiry=1000", "B< PUBLISH a x qos=2 id=* ...",
             "B< PUBLISH a y qos=2 id=* ...");
    TALK(&talk, "A< nothing");
    if (reader != NOBODY)
        TALK(&talk, "B< nothing");
    talk_end(&talk);
}

TEST(a_publisher_that_dies_at_any_step_has_published_once)
{
    for (int step = 0; step < STEPS; step++)
        for (int reader = 0; reader < READERS; reader++)
            for (int times = 1; times <= 3; times++)
                kill_publisher((enum step)step, (enum reader)reader, false, times);
}

TEST(a_publisher_that_dies_with_the_daemon_at_any_step_has_published_once)
{
    for (int step = 0; step < STEPS; step++)
        for (int reader = 0; reader < READERS; reader++)
            for (int times = 1; times <= 3; times++)
                kill_publisher((enum step)step, (enum reader)reader, true, times);
}

/* ---- the subscriber -------------------------------------------------------------------------------------------------- */

enum heard { GOT_PUBLISH, SENT_PUBREC, GOT_PUBREL, SENT_PUBCOMP, HEARD };

/* What A does from what comes first, up to that step. */
static void subscriber_goes_on(struct talk *talk, enum heard from, enum heard to, bool again)
{
    if (from <= GOT_PUBLISH)
        TALKF(talk, "A< PUBLISH a x qos=2 id=$m %s", again ? "dup" : "");
    if (from <= GOT_PUBLISH && to >= SENT_PUBREC)
        TALK(talk, "A> PUBREC id=$m");
    if (from <= GOT_PUBREL && to >= GOT_PUBREL)
        TALK(talk, "A< PUBREL id=$m");
    if (to >= SENT_PUBCOMP)
        TALK(talk, "A> PUBCOMP id=$m");
}

static void kill_subscriber(enum heard step, bool restart, int times)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "B connects clean",
         "B> PUBLISH a x qos=2 id=1", "B< PUBREC id=1", "B> close");
    subscriber_goes_on(&talk, GOT_PUBLISH, step, false);
    for (int i = 0; i < times; i++) {
        TALK(&talk, "A> close");
        if (restart)
            TALK(&talk, "restart");
        TALK(&talk, "A resumes session-expiry=1000");
        enum heard from = step == GOT_PUBLISH ? GOT_PUBLISH : GOT_PUBREL;
        bool last = i == times - 1;
        if (step < SENT_PUBCOMP)
            subscriber_goes_on(&talk, from, last ? SENT_PUBCOMP : from, true);
    }
    TALK(&talk, "A< nothing", "restart", "A resumes session-expiry=1000", "A< nothing", "B connects clean",
         "B> PUBLISH a y qos=2 id=1", "B< PUBREC id=1", "A< PUBLISH a y qos=2 id=*");
    talk_end(&talk);
}

TEST(a_subscriber_that_dies_at_any_step_has_got_it_once)
{
    for (int step = 0; step < HEARD; step++)
        for (int times = 1; times <= 3; times++)
            kill_subscriber((enum heard)step, false, times);
}

TEST(a_subscriber_that_dies_with_the_daemon_at_any_step_has_got_it_once)
{
    for (int step = 0; step < HEARD; step++)
        for (int times = 1; times <= 3; times++)
            kill_subscriber((enum heard)step, true, times);
}

TEST(what_a_subscriber_refused_does_not_come_again)
{
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "B connects clean",
         "B> PUBLISH a x qos=2 id=1", "B< PUBREC id=1", "A< PUBLISH a x qos=2 id=$m",
         "A> PUBREC id=$m rc=0x80", "A< nothing", "restart", "A resumes session-expiry=1000", "A< nothing");
    talk_end(&talk);
}

/* ---- many ------------------------------------------------------------------------------------------------------------ */

/* PUBRELs of earlier connections do not count against the window of this one, so there may be more than it is wide. */
TEST(more_pubrels_than_the_window_is_wide_come_again_in_their_order)
{
    enum { COUNT = 250 };
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "B connects clean");
    for (int i = 1; i <= COUNT; i++) {
        TALKF(&talk, "B> PUBLISH a %d qos=1 id=%d", i, i);
        TALKF(&talk, "B< PUBACK id=%d", i);
        TALKF(&talk, "A< PUBLISH a %d qos=1 id=%d", i, i);
        TALKF(&talk, "A> PUBACK id=%d", i);
    }
    for (int i = COUNT + 1; i <= 2 * COUNT; i++) {
        if (i % 100 == 0) {
            TALK(&talk, "A> close", "A resumes session-expiry=1000");
            for (int k = COUNT + 1; k < i; k++)
                TALKF(&talk, "A< PUBREL id=%d", k);
        }
        TALKF(&talk, "B> PUBLISH a %d qos=2 id=%d", i, i - COUNT);
        TALKF(&talk, "B< PUBREC id=%d", i - COUNT);
        TALKF(&talk, "B> PUBREL id=%d", i - COUNT);
        TALKF(&talk, "B< PUBCOMP id=%d", i - COUNT);
        TALKF(&talk, "A< PUBLISH a %d qos=2 id=%d", i, i);
        TALKF(&talk, "A> PUBREC id=%d", i);
        TALKF(&talk, "A< PUBREL id=%d", i);
    }
    TALK(&talk, "restart", "A resumes session-expiry=1000");
    for (int i = COUNT + 1; i <= 2 * COUNT; i++)
        TALKF(&talk, "A< PUBREL id=%d", i);
    TALK(&talk, "B connects clean", "B> PUBLISH a new qos=2 id=1", "B< PUBREC id=1",
         "A< PUBLISH a new qos=2 id=*");
    for (int i = COUNT + 1; i <= 2 * COUNT; i++)
        TALKF(&talk, "A> PUBCOMP id=%d", i);
    TALK(&talk, "restart", "A resumes session-expiry=1000", "A< PUBLISH a new qos=2 id=* dup");
    talk_end(&talk);
}

/* Sixty messages, each cut at another step. */
TEST(every_message_goes_on_where_it_was)
{
    enum { COUNT = 60 };
    struct talk talk;
    talk_begin(&talk, NULL);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "B connects session-expiry=1000");
    for (int i = 1; i <= COUNT; i++) {
        TALKF(&talk, "B> PUBLISH a %d qos=2 id=%d", i, i);
        TALKF(&talk, "B< PUBREC id=%d", i);
        TALKF(&talk, "A< PUBLISH a %d qos=2 id=%d", i, i);
        if (i % 2) {
            TALKF(&talk, "B> PUBREL id=%d", i);
            TALKF(&talk, "B< PUBCOMP id=%d", i);
        }
        if (i % 3) {
            TALKF(&talk, "A> PUBREC id=%d", i);
            TALKF(&talk, "A< PUBREL id=%d", i);
        }
        if (i % 3 == 2)
            TALKF(&talk, "A> PUBCOMP id=%d", i);
    }
    TALK(&talk, "restart", "A resumes session-expiry=1000", "B resumes session-expiry=1000");
    for (int i = 1; i <= COUNT; i++) {
        if (i % 3 == 0)
            TALKF(&talk, "A< PUBLISH a %d qos=2 id=%d dup", i, i);
        else if (i % 3 == 1)
            TALKF(&talk, "A< PUBREL id=%d", i);
    }
    for (int i = 2; i <= COUNT; i += 2) {
        TALKF(&talk, "B> PUBLISH a %d qos=2 id=%d dup", i, i);
        TALKF(&talk, "B< PUBREC id=%d", i);
        TALKF(&talk, "B> PUBREL id=%d", i);
        TALKF(&talk, "B< PUBCOMP id=%d", i);
    }
    TALK(&talk, "A< nothing");
    talk_end(&talk);
}
