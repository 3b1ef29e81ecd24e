/* What is there after the power failed: at any moment, with a torn end, with damage in the middle. */
#include "mqtt/spool_rig.h"

#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct spool_options defaults;

/* Several segments, and moves, after little. */
static const struct spool_options small = {.segment_bytes = 4096, .waste_max = 8192};

static void quiet(enum log_level level, const char *line)
{
    (void)level, (void)line;
}

/* Turns, and compares what is there with what somebody finds who starts on a copy, and after a restart. */
static void check_recovers(struct spool_rig *rig, const char *expected)
{
    rig_turn(rig);
    CHECK_STR(rig_state(rig), expected);
    cleanup_free char *copy = rig_state_of_copy(rig);
    CHECK_STR(copy, expected);
    rig_restart(rig);
    CHECK_STR(rig_state(rig), expected);
    rig_restart(rig);
    CHECK_STR(rig_state(rig), expected);
}

/* ---- every combination ----------------------------------------------------------------------------------------------- */

TEST(a_message_waits_for_those_who_have_not_got_it)
{
    for (unsigned done = 0; done < 8; done++) {
        struct spool_rig rig;
        spool_rig_init(&rig, &defaults);
        rig_publish(&rig, "a", 1, NULL, "123");
        rig_turn(&rig);
        for (unsigned i = 0; i < 3; i++)
            if (done >> i & 1)
                rig_done_with(&rig, i + 1, 0);
        static const char *const left[] = {"1/0 a, 2/0 a, 3/0 a", "2/0 a, 3/0 a", "1/0 a, 3/0 a", "3/0 a",
                                           "1/0 a, 2/0 a",        "2/0 a",        "1/0 a",        ""};
        check_recovers(&rig, left[done]);
        spool_rig_done(&rig);
    }
}

/* The outgoing half of QoS 2: PUBREC, then PUBCOMP; each in the message's turn or later. */
TEST(a_message_is_received_and_then_done)
{
    for (unsigned later = 0; later < 4; later++) {
        struct spool_rig rig;
        spool_rig_init(&rig, &defaults);
        struct promise received;
        rig_publish(&rig, "a", 2, NULL, "12");
        if (later & 1)
            rig_turn(&rig);
        rig_receive(&rig, 1, 0, &received);
        if (later & 2)
            check_recovers(&rig, "1/0 a twice received, 2/0 a twice");
        rig_done_with(&rig, 1, 0);
        check_recovers(&rig, "2/0 a twice");
        spool_rig_done(&rig);
    }
}

/* The incoming half: taken with its message or alone, then released. */
TEST(a_packet_id_is_known_until_it_is_released)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    struct promise with, alone, released;
    rig_publish_from(&rig, "a", &with, "1", 3, 7);
    rig_take(&rig, 3, 8, &alone);
    check_recovers(&rig, "1/0 a twice, taken 3:7, taken 3:8");
    rig_done_with(&rig, 1, 0);
    check_recovers(&rig, "taken 3:7, taken 3:8");
    rig_release(&rig, 3, 7, &released);
    check_recovers(&rig, "taken 3:8");
    rig_release(&rig, 3, 8, &released);
    check_recovers(&rig, "");
    spool_rig_done(&rig);
}

TEST(a_packet_id_is_released_before_its_message_is_done)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    struct promise taken, released;
    rig_publish_from(&rig, "a", &taken, "12", 3, 7);
    rig_turn(&rig);
    rig_release(&rig, 3, 7, &released);
    check_recovers(&rig, "1/0 a twice, 2/0 a twice");
    rig_done_with(&rig, 2, 0);
    check_recovers(&rig, "1/0 a twice");
    spool_rig_done(&rig);
}

TEST(a_packet_id_can_be_taken_again)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    struct promise taken, released;
    for (int i = 0; i < 3; i++) {
        rig_take(&rig, 3, 7, &taken);
        check_recovers(&rig, "taken 3:7");
        rig_release(&rig, 3, 7, &released);
        check_recovers(&rig, "");
    }
    spool_rig_done(&rig);
}

/* ---- moved ----------------------------------------------------------------------------------------------------------- */

/* Waste for session 9, until what is older has been written again so many times more. */
static void waste(struct spool_rig *rig, uint64_t moves)
{
    static char payload[801];
    memset(payload, 'w', sizeof payload - 1);
    uint64_t before = rig_counters(rig).moved;
    for (int i = 0; rig_counters(rig).moved < before + moves; i++) {
        CHECK(i < 100 * (int)moves);
        uint64_t index = rig->next_index[9];
        rig_publish(rig, payload, 1, NULL, "9");
        rig_turn(rig);
        rig_done_with(rig, 9, index);
        rig_turn(rig);
    }
}

TEST(what_was_moved_once_or_twice_is_there_once)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &small);
    rig_publish(&rig, "a", 1, NULL, "12");
    rig_publish(&rig, "b", 2, NULL, "1");
    rig_turn(&rig);
    waste(&rig, 2);
    check_recovers(&rig, "1/0 a, 1/1 b twice, 2/0 a");
    waste(&rig, 4);
    check_recovers(&rig, "1/0 a, 1/1 b twice, 2/0 a");
    rig_done_with(&rig, 1, 0);
    check_recovers(&rig, "1/1 b twice, 2/0 a");
    spool_rig_done(&rig);
}

TEST(what_happened_before_a_move_stays_true_after_it)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &small);
    struct promise received, taken, alone, released, kept;
    rig_publish_from(&rig, "a", &taken, "123", 5, 7);
    rig_publish_from(&rig, "b", &kept, "1", 5, 8);
    rig_take(&rig, 6, 1, &alone);
    rig_turn(&rig);
    rig_done_with(&rig, 1, 0);
    rig_receive(&rig, 2, 0, &received);
    rig_turn(&rig);
    rig_release(&rig, 5, 7, &released);
    rig_turn(&rig);
    waste(&rig, 4);
    check_recovers(&rig, "1/1 b twice, 2/0 a twice received, 3/0 a twice, taken 5:8, taken 6:1");
    spool_rig_done(&rig);
}

TEST(what_happens_after_a_move_counts)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &small);
    struct promise received, taken, released;
    rig_publish_from(&rig, "a", &taken, "123", 5, 7);
    rig_take(&rig, 6, 1, &taken);
    rig_turn(&rig);
    waste(&rig, 1);
    rig_done_with(&rig, 1, 0);
    rig_receive(&rig, 2, 0, &received);
    rig_release(&rig, 5, 7, &released);
    rig_turn(&rig);
    rig_release(&rig, 6, 1, &released);
    check_recovers(&rig, "2/0 a twice received, 3/0 a twice");
    waste(&rig, 1);
    check_recovers(&rig, "2/0 a twice received, 3/0 a twice");
    spool_rig_done(&rig);
}

/* ---- any moment ------------------------------------------------------------------------------------------------------ */

static uint64_t seed;

static uint64_t below(uint64_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % limit;
}

static struct promise promises[4096];
static size_t promised;

static struct promise *promise(void)
{
    CHECK(promised < array_size(promises));
    return &promises[promised++];
}

static void publish_something(struct spool_rig *rig, uint64_t number)
{
    char payload[2100], sessions[4] = "";
    size_t len = (size_t)snprintf(payload, sizeof payload, "m%u", (unsigned)number);
    if (below(2)) { /* a long one: its number and length are what is compared */
        memset(payload + len, 'x', 2000);
        payload[len + 2000] = '\0';
    }
    size_t count = 1 + below(3);
    uint64_t first = 1 + below(5);
    for (size_t i = 0; i < count; i++)
        sessions[i] = (char)('0' + first + i);
    uint16_t packet_id = (uint16_t)(1 + number);
    if (below(4) == 0 && rig->taken_count < array_size(rig->taken) / 2)
        rig_publish_from(rig, payload, promise(), sessions, 8, packet_id);
    else
        rig_publish(rig, payload, (uint8_t)(1 + below(2)), promise(), sessions);
}

static void do_something(struct spool_rig *rig, uint64_t number)
{
    const struct held *held = rig->held_count ? &rig->held[below(rig->held_count)] : NULL;
    const struct taken *taken = rig->taken_count ? &rig->taken[below(rig->taken_count)] : NULL;
    switch (below(8)) {
    case 0:
    case 1: publish_something(rig, number); break;
    case 2:
        if (rig->taken_count < array_size(rig->taken) / 2)
            rig_take(rig, 7, (uint16_t)(1 + number), promise());
        break;
    case 3:
        if (taken)
            rig_release(rig, taken->session, taken->packet_id, promise());
        break;
    case 4:
        if (held && held->mail->qos == 2 && !held->mail->state)
            rig_receive(rig, held->session, held->index, promise());
        break;
    default:
        if (held)
            rig_done_with(rig, held->session, held->index);
    }
}

/* Things happen, one a turn, and a copy of the disk is looked at after each. */
TEST(after_every_turn_the_disk_says_what_is_true)
{
    uint64_t moved = 0;
    for (uint64_t round = 1; round <= 6; round++) {
        struct spool_rig rig;
        spool_rig_init(&rig, &small);
        seed = round * 7919;
        promised = 0;
        for (uint64_t i = 0; i < 150; i++) {
            do_something(&rig, i);
            rig_turn(&rig);
            cleanup_free char *copy = rig_state_of_copy(&rig);
            CHECK_STR(copy, rig_state(&rig));
        }
        moved += rig_counters(&rig).moved;
        spool_rig_done(&rig);
    }
    CHECK(moved > 0);
}

/* Many things a turn, restarts between them; what goes on afterwards builds on what was read. */
TEST(restarts_change_nothing)
{
    for (uint64_t round = 1; round <= 4; round++) {
        struct spool_rig rig;
        spool_rig_init(&rig, &small);
        seed = round * 104729;
        for (uint64_t i = 0; i < 30; i++) {
            promised = 0;
            for (uint64_t k = 0; k < 20; k++)
                do_something(&rig, i * 20 + k);
            rig_turn(&rig);
            cleanup_free char *before = str_copy(rig_state(&rig));
            rig_restart(&rig);
            CHECK_STR(rig_state(&rig), before);
        }
        spool_rig_done(&rig);
    }
}

/* A turn's work is under way when the power fails: each piece of it is there or not, but what was settled is. */
TEST(what_was_settled_is_there_when_the_end_of_the_log_is_torn)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    log_capture(quiet);
    struct promise received, taken, released;
    rig_publish(&rig, "a", 2, NULL, "12");
    rig_take(&rig, 3, 5, &taken);
    rig_turn(&rig);
    char *before = rig_copy(&rig);
    cleanup_free char *was = str_printf("%s/logs/sessions/00000000000000000000.seg", before);
    struct stat st;
    CHECK_INT(stat(was, &st), 0);
    off_t settled = st.st_size;

    rig_publish(&rig, "b", 1, NULL, "1");
    rig_publish_from(&rig, "c", &taken, "2", 3, 6);
    rig_receive(&rig, 1, 0, &received);
    rig_release(&rig, 3, 5, &released);
    rig_turn(&rig);
    char *after = rig_copy(&rig);
    cleanup_free char *is = str_printf("%s/logs/sessions/00000000000000000000.seg", after);
    CHECK_INT(stat(is, &st), 0);
    CHECK(st.st_size > settled + 100);
    static const char *const states[] = {
        "1/0 a twice, 2/0 a twice, taken 3:5",
        "1/0 a twice, 1/1 b, 2/0 a twice, taken 3:5",
        "1/0 a twice, 1/1 b, 2/0 a twice, 2/1 c twice, taken 3:5, taken 3:6",
        "1/0 a twice received, 1/1 b, 2/0 a twice, 2/1 c twice, taken 3:6",
    };
    size_t at = array_size(states) - 1;
    for (off_t len = st.st_size; len >= settled; len--) {
        CHECK_INT(truncate(is, len), 0);
        cleanup_free char *state = rig_state_in(&rig, after);
        if (at && strcmp(state, states[at]) != 0)
            at--;
        CHECK_STR(state, states[at]);
    }
    CHECK_INT((int64_t)at, 0);
    folder_free(before);
    folder_free(after);
    spool_rig_done(&rig);
    log_capture(NULL);
}

/* ---- damage ---------------------------------------------------------------------------------------------------------- */

/* Changes a byte where the text stands in the log's only segment. */
static void damage(const struct spool_rig *rig, const char *text)
{
    static uint8_t bytes[65536];
    cleanup_free char *path = str_printf("%s/sessions/00000000000000000000.seg", rig->path);
    cleanup(fd_close_p) int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    ssize_t len = read(fd, bytes, sizeof bytes);
    CHECK(len > 0);
    const uint8_t *at = memmem(bytes, (size_t)len, text, strlen(text));
    CHECK(at);
    CHECK_INT(pwrite(fd, "#", 1, at - bytes), 1);
}

TEST(a_damaged_message_is_counted_and_the_rest_is_served)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    rig_publish(&rig, "first", 1, NULL, "12");
    rig_publish(&rig, "second", 1, NULL, "12");
    rig_publish(&rig, "third", 1, NULL, "12");
    rig_turn(&rig);
    rig_done_with(&rig, 1, 1); /* a fact about what is damaged says nothing any more */
    rig_done_with(&rig, 2, 2);
    rig_turn(&rig);
    rig_close(&rig);
    log_capture(quiet);
    damage(&rig, "second");
    rig_open(&rig);
    CHECK_STR(rig_state(&rig), "1/0 first, 1/2 third, 2/0 first");
    CHECK_INT((int64_t)rig_counters(&rig).damaged, 1);
    struct promise promise;
    rig_publish(&rig, "fourth", 1, &promise, "1");
    rig_turn(&rig);
    CHECK_INT(promise.r, 0);
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "1/0 first, 1/2 third, 1/3 fourth, 2/0 first");
    spool_rig_done(&rig);
    log_capture(NULL);
}

/* What the facts said is done once more: that is what losing them may cost. */
TEST(damaged_facts_cost_a_repetition)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    rig_publish(&rig, "first", 1, NULL, "12");
    rig_turn(&rig);
    struct promise taken;
    rig_done_with(&rig, 1, 0);
    rig_take(&rig, 3, 0x4141, &taken); /* whose varint is found in the file */
    rig_turn(&rig);
    rig_publish(&rig, "second", 1, NULL, "2");
    rig_turn(&rig);
    rig_close(&rig);
    log_capture(quiet);
    damage(&rig, "\xC1\x82\x01"); /* 0x4141 */
    rig_open(&rig);
    CHECK_STR(rig_state(&rig), "1/0 first, 2/0 first, 2/1 second");
    CHECK_INT((int64_t)rig_counters(&rig).damaged, 1);
    spool_rig_done(&rig);
    log_capture(NULL);
}

static void ignore(struct work *work)
{
    (void)work;
}

/* Records whose sums are right but that nobody could have written: counted in the log, served around. */
static void append(struct seglog *log, struct seglogs *logs, const char *topic, size_t topic_len,
                   const char *payload, size_t payload_len)
{
    struct seglog_append append = {.record = {.topic = topic,
                                              .topic_len = topic_len,
                                              .payload = (const uint8_t *)payload,
                                              .payload_len = payload_len},
                                   .work.done = ignore};
    seglog_append(log, &append);
    seglogs_quiesce(logs);
    CHECK_INT(append.work.r, 0);
}

static char error[512];

static void keep_error(enum log_level level, const char *line)
{
    if (level == LOG_LEVEL_ERROR)
        (void)snprintf(error, sizeof error, "%s", line);
}

TEST(records_that_cannot_be_read_are_said_and_the_rest_is_served)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &defaults);
    rig_publish(&rig, "a", 1, NULL, "1");
    rig_turn(&rig);
    rig_close(&rig);

    struct seglogs *logs;
    struct seglog *log;
    CHECK_INT(seglogs_open(&logs, rig.loop, rig.path, WORKER_INLINE), 0);
    CHECK_INT(seglog_open(&log, logs, "sessions", NULL), 0);
    append(log, logs, "", 0, "x", 1);             /* no kind */
    append(log, logs, "Z", 1, "x", 1);            /* one of tomorrow */
    append(log, logs, "M", 1, "x", 1);            /* no head */
    append(log, logs, "M\x03", 2, "x", 1);        /* a broken one */
    append(log, logs, "L", 1, "", 0);             /* no length */
    append(log, logs, "L", 1, "\x7Fxx", 3);       /* a head that is longer than all */
    append(log, logs, "F", 1, "\x09\x01\x01", 3); /* a fact of tomorrow */
    logs = seglogs_close(logs);

    log_capture(keep_error);
    rig_open(&rig);
    log_capture(NULL);
    CHECK(strstr(error, "7 records cannot be read"));
    CHECK_STR(rig_state(&rig), "1/0 a");
    rig_publish(&rig, "b", 1, NULL, "1");
    rig_turn(&rig);
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "1/0 a, 1/1 b");
    spool_rig_done(&rig);
}
