/* Sessions with the threads that the daemon has, and a disk that takes its time: a sync of the log, or the database, lasts
 * until the test lets it go, so that what happens meanwhile happens while an answer is under way. */
#include "mqtt/talk.h"

#include "store/seglog.h"
#include "store/store.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

static struct {
    atomic_bool closed; /* syncs of the log last */
    sem_t entered, open;
} gate;

static void wait_for(sem_t *sem)
{
    while (sem_wait(sem) < 0)
        ;
}

int __wrap_fdatasync(int fd)
{
    if (atomic_load(&gate.closed)) {
        (void)sem_post(&gate.entered);
        wait_for(&gate.open);
    }
    return __real_fdatasync(fd);
}

static void begin(struct talk *talk)
{
    atomic_store(&gate.closed, false);
    CHECK_INT(sem_init(&gate.entered, 0, 0), 0);
    CHECK_INT(sem_init(&gate.open, 0, 0), 0);
    struct house_options options = talk_options();
    options.threads = true;
    talk_begin(talk, &options);
}

static void end(struct talk *talk)
{
    talk_end(talk);
    (void)sem_destroy(&gate.entered);
    (void)sem_destroy(&gate.open);
}

/* From now on a sync of the log lasts; this line makes one begin. */
static void hold_the_log(struct talk *talk, const char *line)
{
    atomic_store(&gate.closed, true);
    talk->house->disk_is_slow = true;
    TALK(talk, line);
    wait_for(&gate.entered);
}

static void let_the_log_go(struct talk *talk)
{
    atomic_store(&gate.closed, false);
    (void)sem_post(&gate.open);
    talk->house->disk_is_slow = false;
}

/* A work item before which nothing of the database gets done. */
struct obstacle {
    struct work work;
    sem_t entered, open;
};

static void lie_in_the_way(struct work *work, void *db)
{
    (void)db;
    struct obstacle *obstacle = container_of(work, struct obstacle, work);
    (void)sem_post(&obstacle->entered);
    wait_for(&obstacle->open);
    work->r = 0;
}

static void nothing(struct work *work)
{
    (void)work;
}

static void hold_the_database(struct talk *talk, struct obstacle *obstacle)
{
    *obstacle = (struct obstacle){.work = {.run = lie_in_the_way, .done = nothing}};
    CHECK_INT(sem_init(&obstacle->entered, 0, 0), 0);
    CHECK_INT(sem_init(&obstacle->open, 0, 0), 0);
    talk->house->disk_is_slow = true;
    store_submit(talk->house->store, &obstacle->work);
    house_turn(talk->house);
    wait_for(&obstacle->entered);
}

static void let_the_database_go(struct talk *talk, struct obstacle *obstacle)
{
    (void)sem_post(&obstacle->open);
    talk->house->disk_is_slow = false;
    house_turn(talk->house);
    (void)sem_destroy(&obstacle->entered);
    (void)sem_destroy(&obstacle->open);
}

/* ---- at its own pace ------------------------------------------------------------------------------------------------- */

TEST(a_session_survives_with_all_it_has)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000 will=w will-payload=gone will-qos=1",
         "A subscribes a qos=2 w qos=1", "B connects session-expiry=1000",
         "B subscribes \"$share/g/b\" qos=1");
    for (int i = 1; i <= 50; i++) {
        TALKF(&talk, "B> PUBLISH a %d qos=%d id=%d", i, 1 + i % 2, i);
        TALKF(&talk, "B< %s id=%d", i % 2 ? "PUBREC" : "PUBACK", i);
        TALKF(&talk, "A< PUBLISH a %d qos=%d id=%d", i, 1 + i % 2, i);
    }
    TALK(&talk, "restart", "B resumes session-expiry=1000", "A resumes session-expiry=1000");
    for (int i = 1; i <= 50; i++) {
        TALKF(&talk, "A< PUBLISH a %d qos=%d id=%d dup", i, 1 + i % 2, i);
        TALKF(&talk, "A> %s id=%d", i % 2 ? "PUBREC" : "PUBACK", i);
    }
    TALK(&talk, "A< PUBLISH w gone qos=1 id=51"); /* had come before the first PUBREC went */
    for (int i = 1; i <= 50; i += 2)
        TALKF(&talk, "A< PUBREL id=%d", i);
    end(&talk);
}

TEST(many_messages_at_once_are_kept_before_they_are_acknowledged)
{
    enum { COUNT = 90 };
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close", "B connects clean");
    talk.house->disk_is_slow = true; /* no waiting between them */
    for (int i = 1; i <= COUNT; i++)
        TALKF(&talk, "B> PUBLISH a %d qos=1 id=%d", i, i);
    talk.house->disk_is_slow = false;
    for (int i = 1; i <= COUNT; i++)
        TALKF(&talk, "B< PUBACK id=%d", i);
    TALK(&talk, "restart", "A resumes session-expiry=1000");
    for (int i = 1; i <= COUNT; i++)
        TALKF(&talk, "A< PUBLISH a %d qos=1 id=%d ...", i, i);
    end(&talk);
}

TEST(the_daemon_may_end_while_everything_is_under_way)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "B connects session-expiry=1000");
    talk.house->disk_is_slow = true;
    for (int i = 1; i <= 20; i++)
        TALKF(&talk, "B> PUBLISH a %d qos=2 id=%d", i, i);
    TALK(&talk, "A> SUBSCRIBE id=1 b qos=1", "C> CONNECT id=c session-expiry=1000");
    talk.house->disk_is_slow = false;
    house_restart(talk.house);
    TALK(&talk, "A resumes session-expiry=1000");
    for (int i = 1; i <= 20; i++)
        TALKF(&talk, "A< PUBLISH a %d qos=2 id=%d ...", i, i);
    end(&talk);
}

/* ---- the log is slow ------------------------------------------------------------------------------------------------- */

TEST(nothing_is_acknowledged_while_the_sync_lasts)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "B connects clean");
    hold_the_log(&talk, "B> PUBLISH a 1 qos=1 id=1");
    TALK(&talk, "A< PUBLISH a 1 qos=1 id=1", "B> PUBLISH a 2 qos=2 id=2", "A< nothing", "B< nothing");
    let_the_log_go(&talk);
    TALK(&talk, "A< PUBLISH a 2 qos=2 id=2", "B< PUBACK id=1", "B< PUBREC id=2");
    end(&talk);
}

/* PUBACK comes before the message is synced: it is done all the same. */
TEST(what_is_acknowledged_while_its_sync_lasts_does_not_come_again)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "B connects clean");
    hold_the_log(&talk, "B> PUBLISH a 1 qos=1 id=1");
    TALK(&talk, "A< PUBLISH a 1 qos=1 id=1", "A> PUBACK id=1");
    let_the_log_go(&talk);
    TALK(&talk, "B< PUBACK id=1", "restart", "A resumes session-expiry=1000", "A< nothing");
    end(&talk);
}

/* The client has gone and is back, and says PUBREL again, while the first is on its way to the disk. */
TEST(a_pubrel_that_is_under_way_is_answered_to_the_next_connection)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A> PUBLISH a x qos=2 id=7", "A< PUBREC id=7");
    hold_the_log(&talk, "A> PUBREL id=7");
    TALK(&talk, "A> close", "A> CONNECT id=a session-expiry=1000");
    store_quiesce(talk.house->store);
    TALK(&talk, "A< CONNACK rc=0 session-present ...", "A> PUBREL id=7", "A< nothing");
    let_the_log_go(&talk);
    TALK(&talk, "A< PUBCOMP id=7", "A> PUBREL id=7", "A< PUBCOMP id=7 rc=0x92");
    end(&talk);
}

TEST(a_pubrec_that_is_under_way_is_answered_to_the_next_connection)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "B connects clean",
         "B> PUBLISH a x qos=2 id=1", "B< PUBREC id=1", "A< PUBLISH a x qos=2 id=$m");
    hold_the_log(&talk, "A> PUBREC id=$m");
    TALK(&talk, "A> close", "A> CONNECT id=a session-expiry=1000");
    store_quiesce(talk.house->store);
    TALK(&talk, "A< CONNACK rc=0 session-present ...", "A< PUBLISH a x qos=2 id=$m dup", "A> PUBREC id=$m",
         "A< nothing");
    let_the_log_go(&talk);
    TALK(&talk, "A< PUBREL id=$m", "A> PUBCOMP id=$m", "restart", "A resumes session-expiry=1000",
         "A< nothing");
    end(&talk);
}

TEST(a_publish_that_is_under_way_is_answered_to_the_next_connection)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "B connects session-expiry=1000", "B subscribes a qos=2", "A connects session-expiry=1000");
    hold_the_log(&talk, "A> PUBLISH a x qos=2 id=7");
    TALK(&talk, "A> close", "A> CONNECT id=a session-expiry=1000");
    store_quiesce(talk.house->store);
    TALK(&talk, "A< CONNACK rc=0 session-present ...", "A> PUBLISH a x qos=2 id=7 dup", "A< nothing");
    let_the_log_go(&talk);
    TALK(&talk, "A< PUBREC id=7", "B< PUBLISH a x qos=2 id=*", "B< nothing", "A> PUBREL id=7",
         "A< PUBCOMP id=7");
    end(&talk);
}

/* A session that ends while its messages are being written leaves nothing that could come back. */
TEST(a_session_that_ends_while_its_sync_lasts_is_gone)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "B connects session-expiry=1000");
    hold_the_log(&talk, "B> PUBLISH a x qos=2 id=1");
    TALK(&talk, "A> DISCONNECT session-expiry=0", "A< closed", "B> DISCONNECT session-expiry=0", "B< closed");
    let_the_log_go(&talk);
    TALK(&talk, "restart", "A connects session-expiry=1000", "A< nothing", "B connects session-expiry=1000");
    end(&talk);
}

/* ---- the database is slow -------------------------------------------------------------------------------------------- */

TEST(connack_waits_for_the_database)
{
    struct talk talk;
    struct obstacle obstacle;
    begin(&talk);
    hold_the_database(&talk, &obstacle);
    TALK(&talk, "A> CONNECT id=a session-expiry=1000", "A< nothing");
    let_the_database_go(&talk, &obstacle);
    TALK(&talk, "A< CONNACK rc=0 ...");
    end(&talk);
}

TEST(a_database_that_does_not_answer_ends_the_connection)
{
    struct talk talk;
    struct obstacle obstacle;
    begin(&talk);
    hold_the_database(&talk, &obstacle);
    TALK(&talk, "A> CONNECT id=a session-expiry=1000", "wait 11s", "A< closed");
    let_the_database_go(&talk, &obstacle);
    TALK(&talk, "A resumes session-expiry=1000"); /* it has answered at last: the session is there */
    end(&talk);
}

TEST(whoever_connects_last_is_answered_when_several_have_waited)
{
    struct talk talk;
    struct obstacle obstacle;
    begin(&talk);
    hold_the_database(&talk, &obstacle);
    TALK(&talk, "A> CONNECT id=x session-expiry=1000", "B> CONNECT id=x clean session-expiry=1000",
         "C> CONNECT id=x session-expiry=1000", "A< closed", "B< closed", "C< nothing");
    let_the_database_go(&talk, &obstacle);
    TALK(&talk, "C< CONNACK rc=0 session-present ...", "restart", "C resumes id=x session-expiry=1000");
    end(&talk);
}

TEST(a_client_that_leaves_while_its_subscribe_waits_has_subscribed)
{
    struct talk talk;
    struct obstacle obstacle;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000");
    hold_the_database(&talk, &obstacle);
    TALK(&talk, "A> SUBSCRIBE id=1 a qos=1", "A< nothing", "A> close");
    let_the_database_go(&talk, &obstacle);
    TALK(&talk, "B connects clean", "B> PUBLISH a x qos=1 id=1", "B< PUBACK id=1",
         "A resumes session-expiry=1000", "A< PUBLISH a x qos=1 id=*");
    end(&talk);
}

TEST(a_session_that_ends_while_its_subscribe_waits_has_not)
{
    struct talk talk;
    struct obstacle obstacle;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000");
    hold_the_database(&talk, &obstacle);
    TALK(&talk, "A> SUBSCRIBE id=1 a qos=1", "C> CONNECT id=a clean session-expiry=1000", "A< ended 0x8e");
    let_the_database_go(&talk, &obstacle);
    TALK(&talk, "C< CONNACK rc=0 ...", "C> PUBLISH a x", "C< nothing", "restart",
         "C resumes id=a session-expiry=1000", "C> PUBLISH a x", "C< nothing");
    end(&talk);
}

TEST(what_comes_while_subscribe_waits_is_answered_behind_it)
{
    struct talk talk;
    struct obstacle obstacle;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000");
    hold_the_database(&talk, &obstacle);
    TALK(&talk, "A> SUBSCRIBE id=1 a qos=1", "A> PUBLISH a x qos=1 id=1", "A> UNSUBSCRIBE id=2 a",
         "A> PINGREQ", "A< nothing");
    let_the_database_go(&talk, &obstacle);
    TALK(&talk, "A< SUBACK id=1 1", "A<~ PUBLISH a x qos=1 id=1", "A<~ PUBACK id=1", "A<~ UNSUBACK id=2 0",
         "A<~ PINGRESP");
    end(&talk);
}
