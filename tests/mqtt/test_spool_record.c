/* The bytes of the spool's log: what is written comes back, what is broken is refused, and nothing is read beyond the end
 * (every piece of memory here is exactly as long as it is said to be, so that the address sanitizer sees that). */
#include "mqtt/spool_record.h"
#include "rig/test.h"

#include <errno.h>
#include <string.h>

enum { TARGETS_MAX = 12, TEXT_MAX = 300, ID_LIMIT = 1 << 28 };

/* A message, those who are to get it, and its head. */
struct sample {
    struct spool_message message;
    struct spool_target targets[TARGETS_MAX];
    uint32_t ids[TARGETS_MAX][UINT8_MAX];
    uint32_t count;
    uint8_t props[TEXT_MAX];
    char topic[TEXT_MAX];
    uint8_t *head;
    size_t len;
};

static void *copy_of(const void *bytes, size_t len)
{
    void *copy = malloc(len ? len : 1);
    CHECK(copy);
    if (len)
        memcpy(copy, bytes, len);
    return copy;
}

static void encode(struct sample *s)
{
    size_t max = 0, len = 0;
    for (uint32_t i = 0; i < s->count; i++)
        max += spool_target_max(&s->targets[i]);
    cleanup_free uint8_t *targets = malloc(max + 1);
    CHECK(targets);
    for (uint32_t i = 0; i < s->count; i++) {
        size_t n = spool_put_target(targets + len, &s->targets[i]);
        CHECK(n <= spool_target_max(&s->targets[i]));
        len += n;
    }
    s->message.target_count = s->count;
    size_t head_max = spool_head_max(&s->message) + len;
    cleanup_free uint8_t *head = malloc(head_max);
    CHECK(head);
    s->len = spool_put_head(head, &s->message, targets, len);
    CHECK(s->len <= head_max);
    free(s->head);
    s->head = copy_of(head, s->len);
}

static void check_target(const struct spool_target *target, const struct spool_target *expected)
{
    CHECK_INT((int64_t)target->session, (int64_t)expected->session);
    CHECK_INT((int64_t)target->index, (int64_t)expected->index);
    CHECK_INT(target->qos, expected->qos);
    CHECK_INT(target->retain, expected->retain);
    CHECK_INT(target->received, expected->received);
    CHECK_MEM(target->ids, target->id_count * sizeof *target->ids, expected->ids,
              expected->id_count * sizeof *target->ids);
}

/* topic_len: that of what was decoded may be shorter than what was written. */
static void check_message(const struct sample *s, const struct spool_message *message, size_t topic_len)
{
    const struct spool_message *expected = &s->message;
    CHECK_INT(message->qos, expected->qos);
    CHECK_INT(message->retain, expected->retain);
    CHECK_INT(message->has_expiry, expected->has_expiry);
    CHECK_INT(message->expiry_s, expected->has_expiry ? expected->expiry_s : 0);
    CHECK_INT(message->born, expected->born);
    CHECK_INT((int64_t)message->from_session, (int64_t)expected->from_session);
    CHECK_INT(message->from_id, expected->from_session ? expected->from_id : 0);
    CHECK_MEM(message->props, message->props_len, expected->props, expected->props_len);
    bool placed = expected->props_len;
    CHECK_INT((int64_t)message->response_at, (int64_t)(placed ? expected->response_at : SIZE_MAX));
    CHECK_INT((int64_t)message->correlation_at, (int64_t)(placed ? expected->correlation_at : SIZE_MAX));
    if (message->response_at != SIZE_MAX)
        CHECK_INT((int64_t)message->response_len, (int64_t)expected->response_len);
    if (message->correlation_at != SIZE_MAX)
        CHECK_INT((int64_t)message->correlation_len, (int64_t)expected->correlation_len);
    CHECK_MEM(message->topic, message->topic_len, expected->topic, topic_len);
    CHECK_INT(message->target_count, s->count);
}

static void check_targets(const struct sample *s, const struct spool_message *message)
{
    struct spool_target target;
    uint32_t ids[UINT8_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        CHECK_INT(spool_target_next(message, &at, &target, ids), 1);
        check_target(&target, &s->targets[i]);
    }
    CHECK_INT(spool_target_next(message, &at, &target, ids), 0);
}

static void check(const struct sample *s)
{
    struct spool_message message;
    CHECK_INT(spool_get_head(&message, s->head, s->len), 0);
    check_message(s, &message, s->message.topic_len);
    check_targets(s, &message);
}

static struct sample *sample_new(void)
{
    struct sample *s = mem_new(struct sample);
    s->message = (struct spool_message){
        .topic = s->topic, .props = s->props, .response_at = SIZE_MAX, .correlation_at = SIZE_MAX};
    for (uint32_t i = 0; i < TARGETS_MAX; i++)
        s->targets[i].ids = s->ids[i];
    return s;
}

static struct sample *sample_free(struct sample *s)
{
    free(s->head);
    free(s);
    return NULL;
}
define_cleanup(struct sample *, sample_free)

/* A small one whose bytes a test can count. */
static struct sample *plain(void)
{
    struct sample *s = sample_new();
    s->message.qos = 1;
    s->message.topic = "a/b";
    s->message.topic_len = 3;
    s->message.born = 5;
    s->targets[0].session = 1;
    s->count = 1;
    encode(s);
    return s;
}

static int get(const uint8_t *bytes, size_t len)
{
    cleanup_free uint8_t *copy = copy_of(bytes, len);
    struct spool_message message;
    return spool_get_head(&message, copy, len);
}

/* ---- a generator ------------------------------------------------------------------------------------------------- */

static uint64_t seed;

static uint64_t any(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static uint64_t below(uint64_t limit)
{
    return any() % limit;
}

/* Of every length there is. */
static uint64_t number(void)
{
    return any() >> below(64);
}

static bool coin(void)
{
    return any() & 1;
}

static void fill(void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)any();
}

static void choose_place(size_t props_len, size_t *at, size_t *len)
{
    *at = *len = 0;
    if (coin()) {
        *at = below(props_len + 1);
        *len = below(props_len - *at + 1);
    } else {
        *at = SIZE_MAX;
    }
}

static struct sample *any_sample(void)
{
    struct sample *s = sample_new();
    struct spool_message *message = &s->message;
    message->qos = (uint8_t)below(3);
    message->retain = coin();
    message->has_expiry = coin();
    message->expiry_s = (uint32_t)number();
    message->born = (int64_t)(number() >> 1);
    message->from_session = coin() ? number() : 0;
    message->from_id = (uint16_t)number();
    message->props_len = coin() ? below(TEXT_MAX) : 0;
    fill(s->props, message->props_len);
    choose_place(message->props_len, &message->response_at, &message->response_len);
    choose_place(message->props_len, &message->correlation_at, &message->correlation_len);
    message->topic_len = below(TEXT_MAX);
    fill(s->topic, message->topic_len);
    s->count = (uint32_t)below(TARGETS_MAX + 1);
    for (uint32_t i = 0; i < s->count; i++) {
        struct spool_target *target = &s->targets[i];
        target->session = number();
        target->index = number();
        target->qos = (uint8_t)below(3);
        target->retain = coin();
        target->received = coin();
        target->id_count = (uint8_t)(coin() ? 0 : below(UINT8_MAX + 1) >> below(8));
        for (unsigned k = 0; k < target->id_count; k++)
            s->ids[i][k] = (uint32_t)(number() % ID_LIMIT);
    }
    encode(s);
    return s;
}

TEST(what_is_written_comes_back)
{
    seed = 20260101;
    for (int i = 0; i < 3000; i++) {
        cleanup(sample_free_p) struct sample *s = any_sample();
        check(s);
    }
}

TEST(numbers_of_every_length_come_back)
{
    for (unsigned bits = 0; bits < 64; bits++)
        for (int64_t around = -1; around <= 1; around++) {
            uint64_t expected = (UINT64_C(1) << bits) + (uint64_t)around, value;
            uint8_t bytes[10];
            size_t len = spool_put_number(bytes, expected);
            CHECK(len <= sizeof bytes);
            CHECK_INT((int64_t)spool_get_number(bytes, len, &value), (int64_t)len);
            CHECK_INT((int64_t)value, (int64_t)expected);
        }
}

/* ---- limits ------------------------------------------------------------------------------------------------------ */

TEST(the_largest_numbers_fit_where_room_was_said_to_be)
{
    cleanup(sample_free_p) struct sample *s = sample_new();
    s->message = (struct spool_message){
        .qos = 2,
        .retain = true,
        .has_expiry = true,
        .expiry_s = UINT32_MAX,
        .born = INT64_MAX,
        .from_session = UINT64_MAX,
        .from_id = UINT16_MAX,
        .props = s->props,
        .props_len = TEXT_MAX,
        .response_at = TEXT_MAX - 1,
        .response_len = 1,
        .correlation_at = TEXT_MAX,
        .topic = s->topic,
        .topic_len = 1,
    };
    s->count = TARGETS_MAX;
    for (uint32_t i = 0; i < s->count; i++) {
        s->targets[i] = (struct spool_target){.session = UINT64_MAX,
                                              .index = UINT64_MAX,
                                              .qos = 2,
                                              .retain = true,
                                              .received = true,
                                              .id_count = UINT8_MAX,
                                              .ids = s->ids[i]};
        for (unsigned k = 0; k < UINT8_MAX; k++)
            s->ids[i][k] = ID_LIMIT - 1;
    }
    encode(s);
    check(s);
}

TEST(every_number_of_subscription_identifiers_comes_back)
{
    cleanup(sample_free_p) struct sample *s = plain();
    for (unsigned count = 0; count <= UINT8_MAX; count++) {
        s->targets[0].id_count = (uint8_t)count;
        for (unsigned i = 0; i < count; i++)
            s->ids[0][i] = i + 1;
        encode(s);
        check(s);
    }
}

TEST(a_topic_may_be_as_long_as_mqtt_allows_and_no_longer)
{
    cleanup(sample_free_p) struct sample *s = sample_new();
    cleanup_free char *topic = malloc(UINT16_MAX + 1);
    CHECK(topic);
    memset(topic, 't', UINT16_MAX + 1);
    s->message.topic = topic;
    s->message.topic_len = UINT16_MAX;
    encode(s);
    check(s);
    s->message.topic_len = UINT16_MAX + 1;
    encode(s);
    CHECK_INT(get(s->head, s->len), -EBADMSG);
}

TEST(properties_may_be_longer_than_a_record_s_topic)
{
    enum { LEN = 100000 };
    cleanup(sample_free_p) struct sample *s = sample_new();
    cleanup_free uint8_t *props = malloc(LEN);
    CHECK(props);
    seed = 7;
    fill(props, LEN);
    s->message.props = props;
    s->message.props_len = LEN;
    s->message.response_at = LEN - 10;
    s->message.response_len = 10;
    s->message.topic_len = 1;
    encode(s);
    CHECK(spool_head_max(&s->message) > SPOOL_HEAD_MAX);
    check(s);
}

TEST(a_message_may_be_for_very_many)
{
    enum { COUNT = 20000 };
    cleanup_free uint8_t *targets = malloc((size_t)COUNT * 30);
    CHECK(targets);
    size_t len = 0;
    for (uint64_t i = 0; i < COUNT; i++)
        len +=
            spool_put_target(targets + len, &(struct spool_target){.session = i, .index = i * i, .qos = 1});
    const struct spool_message message = {.topic = "t",
                                          .topic_len = 1,
                                          .response_at = SIZE_MAX,
                                          .correlation_at = SIZE_MAX,
                                          .target_count = COUNT};
    cleanup_free uint8_t *head = malloc(spool_head_max(&message) + len);
    CHECK(head);
    size_t head_len = spool_put_head(head, &message, targets, len);
    struct spool_message read;
    CHECK_INT(spool_get_head(&read, head, head_len), 0);
    CHECK_INT(read.target_count, COUNT);
    struct spool_target target;
    uint32_t ids[UINT8_MAX];
    uint64_t count = 0;
    for (size_t at = 0; spool_target_next(&read, &at, &target, ids) == 1; count++) {
        CHECK_INT((int64_t)target.session, (int64_t)count);
        CHECK_INT((int64_t)target.index, (int64_t)(count * count));
    }
    CHECK_INT((int64_t)count, COUNT);
}

/* ---- broken ------------------------------------------------------------------------------------------------------ */

/* The topic is what is left at the end, so a head that is cut within it is a head with a shorter topic; the sum of the
 * log's record is there for that. Everything else that is cut is refused. */
TEST(a_head_that_is_cut_is_refused_or_has_a_shorter_topic)
{
    seed = 11;
    for (int i = 0; i < 100; i++) {
        cleanup(sample_free_p) struct sample *s = any_sample();
        for (size_t len = 0; len < s->len; len++) {
            cleanup_free uint8_t *cut = copy_of(s->head, len);
            struct spool_message message;
            int r = spool_get_head(&message, cut, len);
            size_t missing = s->len - len;
            CHECK_INT(r, missing <= s->message.topic_len ? 0 : -EBADMSG);
            if (r == 0) {
                check_message(s, &message, s->message.topic_len - missing);
                check_targets(s, &message);
            }
        }
    }
}

TEST(targets_that_are_cut_are_refused_where_they_are_cut)
{
    seed = 13;
    for (int i = 0; i < 100; i++) {
        cleanup(sample_free_p) struct sample *s = any_sample();
        struct spool_message message;
        CHECK_INT(spool_get_head(&message, s->head, s->len), 0);
        for (size_t len = 0; len < message.targets_len; len++) {
            cleanup_free uint8_t *cut = copy_of(message.targets, len);
            struct spool_message shorter = message;
            shorter.targets = cut;
            shorter.targets_len = len;
            struct spool_target target;
            uint32_t ids[UINT8_MAX], count = 0;
            int r;
            for (size_t at = 0; (r = spool_target_next(&shorter, &at, &target, ids)) == 1; count++)
                check_target(&target, &s->targets[count]);
            CHECK(r == 0 || r == -EBADMSG);
            CHECK(count < s->count);
        }
    }
}

TEST(a_quality_of_service_of_3_is_refused)
{
    cleanup(sample_free_p) struct sample *s = plain();
    s->head[0] |= 3;
    CHECK_INT(get(s->head, s->len), -EBADMSG);
}

TEST(flags_that_nobody_knows_are_refused)
{
    cleanup(sample_free_p) struct sample *s = plain();
    for (unsigned flag = 64; flag <= 128; flag *= 2) {
        s->head[0] = (uint8_t)(1 | flag);
        CHECK_INT(get(s->head, s->len), -EBADMSG);
    }
}

TEST(flags_of_a_target_are_looked_at_too)
{
    cleanup(sample_free_p) struct sample *s = plain();
    uint8_t *target = s->head + 3; /* behind the flags, the number and the length of the targets */
    static const uint8_t bad[] = {3, 3 | 4, 32, 64, 128};
    for (size_t i = 0; i < sizeof bad; i++) {
        *target = bad[i];
        struct spool_message message;
        struct spool_target read;
        uint32_t ids[UINT8_MAX];
        size_t at = 0;
        CHECK_INT(spool_get_head(&message, s->head, s->len), 0);
        CHECK_INT(spool_target_next(&message, &at, &read, ids), -EBADMSG);
    }
}

/* Flags, then what they announce; everything but the last number is in order. */
TEST(numbers_beyond_what_they_count_are_refused)
{
    enum { EXPIRES = 8, FROM = 16, PROPS = 32 };
    static const struct {
        const char *what;
        uint8_t bytes[24];
        size_t len;
    } cases[] = {
        {"more targets than bytes", {0, 1, 9, 0, 1, 1, 5, 't'}, 8},
        {"2^32 targets", {0, 0x80, 0x80, 0x80, 0x80, 0x10, 0, 5, 't'}, 9},
        {"born at 2^63", {0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 't'}, 14},
        {"an expiry of 2^32", {EXPIRES, 0, 0, 5, 0x80, 0x80, 0x80, 0x80, 0x10, 't'}, 10},
        {"packet id 65536", {FROM, 0, 0, 5, 1, 0x80, 0x80, 0x04, 't'}, 9},
        {"more properties than bytes", {PROPS, 0, 0, 5, 9, 1, 2, 0, 0, 't'}, 10},
        {"a place behind the properties", {PROPS, 0, 0, 5, 2, 1, 2, 4, 0, 0, 't'}, 11},
        {"a value that ends behind them", {PROPS, 0, 0, 5, 2, 1, 2, 2, 2, 0, 't'}, 11},
        {"a number of 65 bits", {0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 't'}, 14},
        {"a number without end",
         {0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0},
         16},
        {"nothing", {0}, 0},
    };
    for (size_t i = 0; i < array_size(cases); i++)
        if (get(cases[i].bytes, cases[i].len) != -EBADMSG)
            FAIL("%s is accepted", cases[i].what);
}

TEST(a_subscription_identifier_beyond_its_range_is_refused)
{
    cleanup(sample_free_p) struct sample *s = plain();
    s->targets[0].id_count = 1;
    s->ids[0][0] = ID_LIMIT;
    encode(s);
    struct spool_message message;
    struct spool_target target;
    uint32_t ids[UINT8_MAX];
    size_t at = 0;
    CHECK_INT(spool_get_head(&message, s->head, s->len), 0);
    CHECK_INT(spool_target_next(&message, &at, &target, ids), -EBADMSG);
}

/* ---- facts ------------------------------------------------------------------------------------------------------- */

enum { FACTS = 50 };

struct facts {
    enum spool_fact fact[FACTS];
    uint64_t session[FACTS], value[FACTS];
    size_t end[FACTS];
    uint8_t bytes[FACTS * SPOOL_FACT_MAX];
    size_t len;
};

static void any_facts(struct facts *facts)
{
    facts->len = 0;
    for (int i = 0; i < FACTS; i++) {
        facts->fact[i] = SPOOL_DONE + (enum spool_fact)below(4);
        facts->session[i] = i ? number() : UINT64_MAX;
        facts->value[i] = i ? number() : UINT64_MAX;
        size_t n =
            spool_put_fact(facts->bytes + facts->len, facts->fact[i], facts->session[i], facts->value[i]);
        CHECK(n <= SPOOL_FACT_MAX);
        facts->len += n;
        facts->end[i] = facts->len;
    }
}

/* Reads facts until they end; returns what was said then. */
static int read_facts(const struct facts *facts, size_t len, int *count)
{
    cleanup_free uint8_t *bytes = copy_of(facts->bytes, len);
    enum spool_fact fact;
    uint64_t session, value;
    int r;
    *count = 0;
    for (size_t at = 0; (r = spool_fact_next(bytes, len, &at, &fact, &session, &value)) == 1; ++*count) {
        CHECK_INT(fact, facts->fact[*count]);
        CHECK_INT((int64_t)session, (int64_t)facts->session[*count]);
        CHECK_INT((int64_t)value, (int64_t)facts->value[*count]);
    }
    return r;
}

TEST(facts_come_back_in_their_order)
{
    static struct facts facts;
    seed = 17;
    int count;
    for (int i = 0; i < 100; i++) {
        any_facts(&facts);
        CHECK_INT(read_facts(&facts, facts.len, &count), 0);
        CHECK_INT(count, FACTS);
    }
}

TEST(facts_that_are_cut_end_with_the_last_whole_one)
{
    static struct facts facts;
    seed = 19;
    any_facts(&facts);
    for (size_t len = 0; len < facts.len; len++) {
        int count, whole = 0;
        while (facts.end[whole] <= len)
            whole++;
        bool between = len == 0 || facts.end[whole - (whole > 0)] == len;
        CHECK_INT(read_facts(&facts, len, &count), between ? 0 : -EBADMSG);
        CHECK_INT(count, whole);
    }
}

TEST(a_fact_that_nobody_knows_is_refused)
{
    for (unsigned kind = 0; kind <= UINT8_MAX; kind++) {
        const uint8_t bytes[] = {(uint8_t)kind, 1, 1};
        enum spool_fact fact;
        uint64_t session, value;
        size_t at = 0;
        CHECK_INT(spool_fact_next(bytes, sizeof bytes, &at, &fact, &session, &value),
                  kind >= SPOOL_DONE && kind <= SPOOL_RELEASED ? 1 : -EBADMSG);
    }
}
