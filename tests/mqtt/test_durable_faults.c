/* When the disk says no: whoever asked is told, nothing is half done, and it works again when the cause is gone. The
 * database fails by store_fail_next_commit(); the program is linked with --wrap, so that the log's writes fail when a
 * test says so. And what happens while an answer waits for the disk. */
#include "mqtt/talk.h"
#include "wire/mqtt.h"

#include "store/store.h"

#include <errno.h>
#include <sys/uio.h>

ssize_t __real_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset);

static bool log_is_full;

ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (!log_is_full)
        return __real_pwritev(fd, parts, count, offset);
    errno = ENOSPC;
    return -1;
}

static void begin(struct talk *talk)
{
    log_is_full = false;
    talk_begin(talk, NULL);
}

static void fail_next_commit(struct talk *talk, int fault)
{
    store_fail_next_commit(talk->house->store, fault);
}

/* ---- CONNECT --------------------------------------------------------------------------------------------------------- */

TEST(a_session_that_cannot_be_kept_is_refused_and_leaves_nothing)
{
    struct talk talk;
    begin(&talk);
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "A> CONNECT id=a session-expiry=1000", "A< CONNACK rc=0x88 ...", "A< closed");
    TALK(&talk, "A connects session-expiry=1000", "A> close", "restart", "A resumes session-expiry=1000");
    fail_next_commit(&talk, -ENOSPC);
    TALK(&talk, "B> CONNECT id=b session-expiry=1000", "B< CONNACK rc=0x97 ...", "B< closed", "restart",
         "B connects session-expiry=1000", "A resumes session-expiry=1000");
    talk_end(&talk);
}

TEST(a_session_of_3_1_1_that_cannot_be_kept_is_refused)
{
    struct talk talk;
    log_is_full = false;
    talk_begin_old(&talk, NULL);
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "A> CONNECT id=a", "A< CONNACK rc=3", "A< closed", "A connects");
    talk_end(&talk);
}

TEST(a_session_that_is_there_stays_when_its_client_is_refused)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close", "B connects clean",
         "B> PUBLISH a 1 qos=1 id=1", "B< PUBACK id=1");
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "A> CONNECT id=a session-expiry=1000", "A< CONNACK rc=0x88 ...", "A< closed",
         "B> PUBLISH a 2 qos=1 id=2", "B< PUBACK id=2", "A resumes session-expiry=1000",
         "A< PUBLISH a 1 qos=1 id=1", "A< PUBLISH a 2 qos=1 id=2", "restart", "A resumes session-expiry=1000",
         "A< PUBLISH a 1 qos=1 id=1 dup", "A< PUBLISH a 2 qos=1 id=2 dup");
    talk_end(&talk);
}

TEST(who_is_refused_leaves_no_will)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "B connects session-expiry=1000", "B subscribes will qos=1");
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "A> CONNECT id=a session-expiry=1000 will=will will-payload=gone will-qos=1",
         "A< CONNACK rc=0x88 ...", "A< closed", "B< nothing");
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "C> CONNECT id=c clean will=will will-payload=gone will-qos=1", "C< CONNACK rc=0x88 ...",
         "C< closed", "B< nothing", "restart", "B resumes session-expiry=1000", "B< nothing");
    talk_end(&talk);
}

TEST(a_clean_start_that_could_not_be_kept_works_at_the_next_try)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close");
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "A> CONNECT id=a clean session-expiry=1000", "A< CONNACK rc=0x88 ...", "A< closed",
         "A connects clean session-expiry=1000", "A> PUBLISH a x", "A< nothing", "restart",
         "A resumes session-expiry=1000", "A> PUBLISH a x", "A< nothing");
    talk_end(&talk);
}

TEST(a_clean_start_that_could_not_be_kept_works_after_a_restart)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close");
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "A> CONNECT id=a clean session-expiry=1000", "A< CONNACK rc=0x88 ...", "A< closed", "restart",
         "A connects clean session-expiry=1000", "A> PUBLISH a x", "A< nothing", "restart",
         "A resumes session-expiry=1000", "A> PUBLISH a x", "A< nothing");
    talk_end(&talk);
}

static int count_orphans(struct store_db *db, void *count)
{
    sqlite3_stmt *st = store_statement(db, "SELECT count(*) FROM session_subscription WHERE session NOT IN "
                                           "(SELECT number FROM session)");
    int r = store_step(db, st);
    *(int *)count = sqlite3_column_int(st, 0);
    return r < 0 ? r : 0;
}

TEST(subscriptions_of_a_session_that_could_not_be_removed_go_at_the_next_start)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close");
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "A> CONNECT id=a clean session-expiry=1000", "A< CONNACK rc=0x88 ...", "A< closed",
         "A connects clean session-expiry=1000", "A subscribes b qos=1");
    int count = -1;
    CHECK_INT(store_run_now(talk.house->store, count_orphans, &count), 0);
    CHECK_INT(count, 1);
    TALK(&talk, "restart");
    CHECK_INT(store_run_now(talk.house->store, count_orphans, &count), 0);
    CHECK_INT(count, 0);
    talk_end(&talk);
}

TEST(that_a_client_has_gone_may_be_lost_and_its_session_is_not)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1");
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "A> close", "B connects clean", "B> PUBLISH a x qos=1 id=1", "B< PUBACK id=1", "restart",
         "A resumes session-expiry=1000", "A< PUBLISH a x qos=1 id=1 dup");
    talk_end(&talk);
}

/* ---- SUBSCRIBE, UNSUBSCRIBE ------------------------------------------------------------------------------------------ */

TEST(a_subscription_that_cannot_be_kept_is_refused_and_leaves_nothing)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A> PUBLISH a retained retain");
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "A> SUBSCRIBE id=1 a qos=1 \"$share/g/b\" qos=1", "A< SUBACK id=1 0x80 0x80",
         "A> PUBLISH a x", "A> PUBLISH b x", "A< nothing", "restart", "A resumes session-expiry=1000",
         "A> PUBLISH a x", "A< nothing", "A subscribes a qos=1", "A< PUBLISH a retained retain",
         "A> PUBLISH a y", "A< PUBLISH a y");
    talk_end(&talk);
}

TEST(a_subscription_that_cannot_be_replaced_stays_as_it_was)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes id=1 sub-id=5 a qos=1");
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "A> SUBSCRIBE id=2 sub-id=6 a qos=0 no-local", "A< SUBACK id=2 0x80",
         "A> PUBLISH a x qos=1 id=1", "A<~ PUBACK id=1", "A<~ PUBLISH a x qos=1 id=1 sub-id=5",
         "A> PUBACK id=1", "restart", "A resumes session-expiry=1000", "A> PUBLISH a x qos=1 id=1",
         "A<~ PUBACK id=1", "A<~ PUBLISH a x qos=1 id=* sub-id=5");
    talk_end(&talk);
}

TEST(what_is_refused_anyway_keeps_its_reason)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000");
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "A> SUBSCRIBE id=1 a qos=1 \"$share//b\" qos=1", "A< SUBACK id=1 0x80 0x8f ...");
    talk_end(&talk);
}

TEST(a_session_in_memory_does_not_ask_the_disk)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects clean");
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "A subscribes a qos=2", "A> PUBLISH a x qos=2 id=1", "A<~ PUBREC id=1",
         "A<~ PUBLISH a x qos=2 id=1", "A> UNSUBSCRIBE id=2 a", "A< UNSUBACK id=2 0");
    fail_next_commit(&talk, 0);
    talk_end(&talk);
}

/* The client is told, and says it again; then it is gone for good. */
TEST(an_unsubscribe_that_could_not_be_kept_can_be_repeated)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1");
    fail_next_commit(&talk, -EIO);
    TALK(&talk, "A> UNSUBSCRIBE id=1 a", "A< UNSUBACK id=1 0x80", "A> UNSUBSCRIBE id=2 a",
         "A< UNSUBACK id=2 ...", "restart", "A resumes session-expiry=1000", "A> PUBLISH a x", "A< nothing");
    talk_end(&talk);
}

/* ---- messages -------------------------------------------------------------------------------------------------------- */

TEST(a_message_that_cannot_be_kept_is_refused_and_nobody_gets_it_later)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "A> close",
         "B connects session-expiry=1000");
    log_is_full = true;
    TALK(&talk, "B> PUBLISH a 1 qos=1 id=1", "B< PUBACK id=1 rc=0x97 ...", "B> PUBLISH a 2 qos=2 id=2",
         "B< PUBREC id=2 rc=0x97 ...");
    log_is_full = false;
    TALK(&talk, "B> PUBLISH a 3 qos=1 id=1", "B< PUBACK id=1", "B> PUBLISH a 4 qos=2 id=2", "B< PUBREC id=2",
         "A resumes session-expiry=1000", "A< PUBLISH a 3 qos=1 id=*", "A< PUBLISH a 4 qos=2 id=*", "restart",
         "A resumes session-expiry=1000", "A< PUBLISH a 3 qos=1 id=* dup", "A< PUBLISH a 4 qos=2 id=* dup");
    talk_end(&talk);
}

TEST(a_message_of_3_1_1_that_cannot_be_kept_closes_the_connection)
{
    struct talk talk;
    log_is_full = false;
    talk_begin_old(&talk, NULL);
    TALK(&talk, "A connects", "A subscribes a qos=2", "A> close", "B connects");
    log_is_full = true;
    TALK(&talk, "B> PUBLISH a x qos=2 id=1", "B< closed");
    log_is_full = false;
    TALK(&talk, "B resumes", "B> PUBLISH a x qos=2 id=1 dup", "B< PUBREC id=1", "B> PUBREL id=1",
         "B< PUBCOMP id=1", "A resumes", "A< PUBLISH a x qos=2 id=*");
    talk_end(&talk);
}

/* At QoS 2 nothing is sent before it is on disk; at QoS 1 it may be, and a copy more than once. */
TEST(a_message_at_qos_2_that_cannot_be_kept_is_not_sent)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "B connects clean");
    log_is_full = true;
    TALK(&talk, "B> PUBLISH a x qos=2 id=1", "B< PUBREC id=1 rc=0x97 ...", "A< nothing");
    log_is_full = false;
    TALK(&talk, "B> PUBLISH a y qos=2 id=1", "B< PUBREC id=1", "A< PUBLISH a y qos=2 id=*");
    talk_end(&talk);
}

TEST(a_pubrec_that_cannot_be_kept_is_asked_for_again)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=2", "B connects clean",
         "B> PUBLISH a x qos=2 id=1", "B< PUBREC id=1", "A< PUBLISH a x qos=2 id=$m");
    log_is_full = true;
    TALK(&talk, "A> PUBREC id=$m", "A< ended 0x80");
    log_is_full = false;
    TALK(&talk, "A resumes session-expiry=1000", "A< PUBLISH a x qos=2 id=$m dup", "A> PUBREC id=$m",
         "A< PUBREL id=$m", "restart", "A resumes session-expiry=1000", "A< PUBREL id=$m",
         "A> PUBCOMP id=$m");
    talk_end(&talk);
}

/* If it were answered, the packet id would be used for another message; after a restart that would be taken for a
 * repetition, and be lost. */
TEST(a_pubrel_that_cannot_be_kept_is_not_answered)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "A> PUBLISH a x qos=2 id=7", "A< PUBREC id=7");
    log_is_full = true;
    TALK(&talk, "A> PUBREL id=7", "A< ended 0x80");
    log_is_full = false;
    TALK(&talk, "A resumes session-expiry=1000", "A> PUBREL id=7", "A< PUBCOMP id=7", "restart",
         "B connects clean", "B subscribes a qos=1", "A resumes session-expiry=1000",
         "A> PUBLISH a y qos=2 id=7", "A< PUBREC id=7", "B< PUBLISH a y qos=1 id=*");
    talk_end(&talk);
}

/* The disk fails once in the middle of everything; nobody is answered wrongly. */
TEST(a_packet_id_that_cannot_be_kept_is_refused)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "B connects clean", "B subscribes a", "A connects session-expiry=1000");
    log_is_full = true; /* nobody durable gets it: only its packet id would be kept */
    TALK(&talk, "A> PUBLISH a x qos=2 id=7", "A< PUBREC id=7 rc=0x97 ...", "B< PUBLISH a x");
    log_is_full = false;
    TALK(&talk, "A> PUBLISH a y qos=2 id=7", "A< PUBREC id=7", "B< PUBLISH a y");
    talk_end(&talk);
}

TEST(a_spool_that_is_full_refuses_until_there_is_room)
{
    struct house_options options = talk_options();
    options.broker.packet_max = 2 << 20;
    options.broker.spool_bytes_max = 3 << 20;
    struct talk talk;
    log_is_full = false;
    talk_begin(&talk, &options);
    TALK(&talk, "A connects session-expiry=1000", "A subscribes a qos=1", "A> close", "C connects clean",
         "C subscribes a", "B connects clean");
    for (int i = 1; i <= 3; i++) {
        TALKF(&talk, "B> PUBLISH a \"%d\"*1100000 qos=1 id=1", i);
        TALK(&talk, "B< PUBACK id=1");
        TALKF(&talk, "C< PUBLISH a \"%d\"*1100000", i);
    }
    TALK(&talk, "B> PUBLISH a x qos=1 id=1", "B< PUBACK id=1 rc=0x97 ...", "C< PUBLISH a x");
    CHECK_INT((int64_t)broker_counters(talk.house->broker)->refused_queue_full, 1);
    TALK(&talk, "A resumes session-expiry=1000");
    for (int i = 1; i <= 3; i++) {
        TALKF(&talk, "A< PUBLISH a \"%d\"*1100000 qos=1 id=%d", i, i);
        TALKF(&talk, "A> PUBACK id=%d", i);
    }
    talk_end(&talk);
}

/* ---- while an answer waits ------------------------------------------------------------------------------------------- */

/* Sends without a turn, so that both are read in the same. */
static void send_connect(struct talk *talk, char who, const char *id, bool clean)
{
    struct wire_packet packet = {.type = WIRE_CONNECT, .version = WIRE_MQTT5, .clean_start = clean};
    packet.client_id = (struct wire_text){id, (uint16_t)strlen(id)};
    packet.props.session_expiry = 1000;
    wire_set(&packet.props, WIRE_SESSION_EXPIRY);
    uint8_t bytes[64];
    house_send(talk->house, who, bytes, wire_encode(bytes, sizeof bytes, &packet));
}

static void send_subscribe(struct talk *talk, char who, const char *filter)
{
    const struct wire_filter wanted = {.filter = {filter, (uint16_t)strlen(filter)}, .qos = 1};
    uint8_t list[64], bytes[64];
    struct wire_packet packet = {.type = WIRE_SUBSCRIBE, .version = WIRE_MQTT5, .packet_id = 1, .list = list};
    packet.list_len = (uint32_t)wire_put_filter(list, 0, sizeof list, WIRE_SUBSCRIBE, &wanted);
    house_send(talk->house, who, bytes, wire_encode(bytes, sizeof bytes, &packet));
}

TEST(taking_over_while_connack_waits_answers_the_second_only)
{
    for (int clean = 0; clean < 2; clean++) {
        struct talk talk;
        begin(&talk);
        TALK(&talk, "A> open", "B> open");
        send_connect(&talk, 'A', "x", clean);
        send_connect(&talk, 'B', "x", clean);
        TALK(&talk, "A< closed", "B< CONNACK rc=0 ...", "B subscribes a qos=1", "restart",
             "B resumes id=x session-expiry=1000", "B> PUBLISH a x", "B< PUBLISH a x");
        talk_end(&talk);
    }
}

TEST(a_connection_that_breaks_while_connack_waits_leaves_a_session)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A> open");
    send_connect(&talk, 'A', "a", true);
    TALK(&talk, "A> close", "restart");
    TALK(&talk, "A> CONNECT id=a session-expiry=1000", "A< CONNACK rc=0 ...", "A> PINGREQ", "A< PINGRESP");
    talk_end(&talk);
}

/* The next connection of the same client has taken the session: what was asked for is its. */
TEST(a_subscribe_whose_client_has_been_taken_over_counts)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "C> open");
    send_subscribe(&talk, 'A', "a");
    send_connect(&talk, 'C', "a", false);
    TALK(&talk, "A< ended 0x8e", "C< CONNACK rc=0 session-present ...", "C> PUBLISH a x", "C< PUBLISH a x",
         "restart", "C resumes id=a session-expiry=1000", "C> PUBLISH a x", "C< PUBLISH a x");
    talk_end(&talk);
}

/* A clean start: the session that had subscribed has ended, and the new one has not. */
TEST(a_subscribe_whose_session_has_ended_does_not)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "C> open");
    send_subscribe(&talk, 'A', "a");
    send_connect(&talk, 'C', "a", true);
    TALK(&talk, "A< ended 0x8e", "C< CONNACK rc=0 ...", "C> PUBLISH a x", "C< nothing", "restart",
         "C resumes id=a session-expiry=1000", "C> PUBLISH a x", "C< nothing");
    talk_end(&talk);
}

TEST(a_subscribe_that_fails_when_its_client_has_gone_leaves_nothing)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000", "C> open");
    fail_next_commit(&talk, -EIO);
    send_subscribe(&talk, 'A', "a");
    send_connect(&talk, 'C', "a", false);
    TALK(&talk, "A< ended 0x8e", "C< CONNACK rc=0x88 ...", "C< closed", "C resumes id=a session-expiry=1000",
         "C> PUBLISH a x", "C< nothing", "restart", "C resumes id=a session-expiry=1000", "C> PUBLISH a x",
         "C< nothing");
    talk_end(&talk);
}

/* Nothing is read while an answer waits, so what comes behind SUBSCRIBE is answered behind it. */
TEST(what_comes_behind_a_subscribe_waits_with_it)
{
    struct talk talk;
    begin(&talk);
    TALK(&talk, "A connects session-expiry=1000");
    send_subscribe(&talk, 'A', "a");
    send_subscribe(&talk, 'A', "b");
    house_send(talk.house, 'A', "\xC0\x00\xE0\x00", 4);
    TALK(&talk, "A< SUBACK id=1 1", "A< SUBACK id=1 1", "A< PINGRESP", "A< closed");
    talk_end(&talk);
}
