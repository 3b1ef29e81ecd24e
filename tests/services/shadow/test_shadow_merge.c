/* What the worked examples leave open: single rules of validation, merge, difference and stored documents. */
#include "rig/test.h"
#include "services/shadow/shadow_answer.h"
#include "services/shadow/shadow_stamps.h"

#include <errno.h>

static const struct shadow_limits limits = {SHADOW_DOCUMENT_MAX, SHADOW_LEVELS_MAX};

struct bench {
    struct arena arena;
    struct shadow_doc doc;
    struct shadow_refusal refusal;
    int64_t now_s;
};

static int apply_n(struct bench *bench, const char *payload, size_t len)
{
    struct shadow_update update;
    struct shadow_doc doc;
    int r =
        shadow_update_parse(&update, &bench->arena, payload, len, bench->now_s + 1, &limits, &bench->refusal);
    if (r == 0)
        r = shadow_doc_update(&doc, &bench->arena, &bench->doc, &update, &limits, &bench->refusal);
    bench->now_s += r == 0;
    if (r == 0)
        bench->doc = doc;
    return r;
}

static int apply(struct bench *bench, const char *payload)
{
    return apply_n(bench, payload, strlen(payload));
}

#define CHECK_REFUSED(bench, payload, code, text)                                                            \
    do {                                                                                                     \
        CHECK_INT(apply((bench), (payload)), (code));                                                        \
        CHECK_STR((bench)->refusal.message, (text));                                                         \
    } while (0)

static const char *state(struct bench *bench)
{
    return bench->doc.text;
}

static const char *metadata(struct bench *bench)
{
    struct json_writer w;
    json_writer_init(&w, &bench->arena);
    json_begin_object(&w);
    if (bench->doc.desired) {
        json_key(&w, "desired");
        shadow_put_metadata(&w, bench->doc.desired);
    }
    if (bench->doc.reported) {
        json_key(&w, "reported");
        shadow_put_metadata(&w, bench->doc.reported);
    }
    json_end_object(&w);
    return json_writer_text(&w, NULL);
}

static const char *stamps(struct bench *bench)
{
    size_t len;
    return shadow_doc_stamps(&bench->arena, &bench->doc, &len);
}

static const char *delta(struct bench *bench)
{
    const struct json *delta = shadow_doc_delta(&bench->arena, &bench->doc);
    return delta ? json_write(&bench->arena, delta, NULL) : "";
}

TEST(an_update_is_checked_in_the_order_of_the_reference)
{
    struct bench bench = {0};
    CHECK_INT(apply_n(&bench, "{\"state\":\"\xC3(\"", 13), 415);
    CHECK_REFUSED(&bench, "", 400, "Invalid JSON");
    CHECK_REFUSED(&bench, "[]", 400, "Invalid JSON");
    CHECK_REFUSED(&bench, "{\"state\":{},}", 400, "Invalid JSON");
    CHECK_REFUSED(&bench, "{\"state\":{\"desired\":{\"a\":NaN}}}", 400, "Invalid JSON");
    CHECK_REFUSED(&bench, "{\"clientToken\":null,\"version\":-1}", 400, "Invalid clientToken");
    CHECK_REFUSED(&bench, "{\"clientToken\":\"a\",\"version\":-1}", 400, "Invalid version");
    CHECK_REFUSED(&bench, "{\"version\":1.5}", 400, "Invalid version");
    CHECK_REFUSED(&bench, "{\"version\":null}", 400, "Invalid version");
    CHECK_REFUSED(&bench, "{\"version\":7}", 400, "Missing required node: state");
    CHECK_REFUSED(&bench, "{\"version\":7,\"state\":[]}", 400, "State node must be an object");
    CHECK_REFUSED(&bench, "{\"version\":7,\"state\":{\"other\":1,\"reported\":1,\"desired\":1}}", 400,
                  "Desired node must be an object");
    CHECK_REFUSED(&bench, "{\"version\":7,\"state\":{\"other\":1,\"reported\":1,\"desired\":{}}}", 400,
                  "Reported node must be an object");
    CHECK_REFUSED(&bench, "{\"version\":7,\"state\":{\"other\":1,\"desired\":{\"a\":[[[[[[[[null]]]]]]]]}}}",
                  400, "State contains an invalid node: 'other'");
    CHECK_REFUSED(&bench, "{\"version\":7,\"state\":{\"desired\":{\"a\":[[[[[[[[null]]]]]]]]}}}", 400,
                  "JSON contains too many levels of nesting; maximum is 6");
    CHECK_REFUSED(&bench, "{\"version\":7,\"state\":{\"desired\":{\"a\":[{\"b\":null}]}}}", 400,
                  "State contains an invalid node");
    CHECK_REFUSED(&bench, "{\"version\":7,\"state\":{\"desired\":{\"a\":1}}}", 400, "Invalid version");
    CHECK(!bench.doc.exists);
    arena_done(&bench.arena);
}

TEST(the_number_of_levels_is_limited_by_section)
{
    struct bench bench = {0};
    CHECK_INT(
        apply(&bench, "{\"state\":{\"desired\":{\"1\":{\"2\":{\"3\":{\"4\":{\"5\":{\"6\":{\"7\":{}}}}}}}}}}"),
        0);
    CHECK_INT(apply(&bench,
                    "{\"state\":{\"desired\":{\"1\":{\"2\":{\"3\":{\"4\":{\"5\":{\"6\":{\"7\":[0]}}}}}}}}}"),
              0);
    CHECK_REFUSED(&bench,
                  "{\"state\":{\"desired\":{\"1\":{\"2\":{\"3\":{\"4\":{\"5\":{\"6\":{\"7\":[[]]}}}}}}}}}",
                  400, "JSON contains too many levels of nesting; maximum is 6");
    char deep[600] = "{\"state\":{\"desired\":{\"a\":";
    memset(deep + strlen(deep), '[', 300); /* more than the parser takes */
    CHECK_REFUSED(&bench, deep, 400, "JSON contains too many levels of nesting; maximum is 6");
    CHECK_INT((int64_t)bench.doc.version, 2);
    arena_done(&bench.arena);
}

TEST(a_token_is_given_back_when_it_was_valid_and_the_rest_was_not)
{
    struct bench bench = {0};
    struct shadow_update update;
    static const char good[] = "{\"clientToken\":\"t\",\"version\":\"x\"}",
                      bad[] = "{\"clientToken\":5,\"state\":{}}", none[] = "{\"clientToken\":\"t\"";
    CHECK_INT(shadow_update_parse(&update, &bench.arena, good, sizeof good - 1, 1, &limits, &bench.refusal),
              400);
    CHECK(json_text_is(update.token, "t"));
    CHECK_INT(shadow_update_parse(&update, &bench.arena, bad, sizeof bad - 1, 1, &limits, &bench.refusal),
              400);
    CHECK(!update.token);
    CHECK_INT(shadow_update_parse(&update, &bench.arena, none, sizeof none - 1, 1, &limits, &bench.refusal),
              400);
    CHECK(!update.token);
    CHECK(json_text_is(shadow_token(&bench.arena, good, sizeof good - 1), "t"));
    CHECK(!shadow_token(&bench.arena, bad, sizeof bad - 1));
    CHECK(!shadow_token(&bench.arena, none, sizeof none - 1));
    CHECK(!shadow_token(&bench.arena, "", 0));
    arena_done(&bench.arena);
}

TEST(numbers_and_texts_are_kept_as_they_were_written)
{
    struct bench bench = {0};
    CHECK_INT(
        apply(
            &bench,
            "{\"state\":{\"reported\":{\"a\":1.0,\"b\":9007199254740993,\"c\":1e400,\"d\":\"\\u00e9\\u0000\"}}}"),
        0);
    CHECK_STR(state(&bench),
              "{\"reported\":{\"a\":1.0,\"b\":9007199254740993,\"c\":1e400,\"d\":\"\xC3\xA9\\u0000\"}}");
    CHECK_INT(apply(&bench, "{\"state\":{\"desired\":{\"a\":1,\"b\":9007199254740992,\"c\":10e399}}}"), 0);
    CHECK_STR(delta(&bench), "{\"b\":9007199254740992}");
    arena_done(&bench.arena);
}

TEST(members_keep_their_place_and_new_ones_come_last)
{
    struct bench bench = {0};
    CHECK_INT(apply(&bench, "{\"state\":{\"reported\":{\"a\":1,\"b\":2,\"c\":{\"x\":1,\"y\":2}}}}"), 0);
    CHECK_INT(apply(&bench, "{\"state\":{\"reported\":{\"d\":4,\"c\":{\"z\":3,\"x\":9},\"a\":null}}}"), 0);
    CHECK_STR(state(&bench), "{\"reported\":{\"b\":2,\"c\":{\"x\":9,\"y\":2,\"z\":3},\"d\":4}}");
    CHECK_STR(metadata(&bench),
              "{\"reported\":{\"b\":{\"timestamp\":1},\"c\":{\"x\":{\"timestamp\":2},\"y\":{\"timestamp\":1},"
              "\"z\":{\"timestamp\":2}},\"d\":{\"timestamp\":2}}}");
    arena_done(&bench.arena);
}

TEST(an_object_of_nothing_but_nulls_leaves_a_scalar_alone_and_an_empty_one_replaces_it)
{
    struct bench bench = {0};
    CHECK_INT(apply(&bench, "{\"state\":{\"reported\":{\"a\":1,\"b\":2}}}"), 0);
    CHECK_INT(apply(&bench, "{\"state\":{\"reported\":{\"a\":{\"x\":{\"y\":null}},\"b\":{}}}}"), 0);
    CHECK_STR(state(&bench), "{\"reported\":{\"a\":1,\"b\":{}}}");
    CHECK_STR(metadata(&bench), "{\"reported\":{\"a\":{\"timestamp\":1},\"b\":{}}}");
    CHECK_INT(
        apply(&bench, "{\"state\":{\"reported\":{\"b\":{},\"c\":{\"x\":null,\"y\":{},\"z\":{\"n\":null}}}}}"),
        0);
    CHECK_STR(state(&bench), "{\"reported\":{\"a\":1,\"b\":{},\"c\":{\"y\":{}}}}");
    arena_done(&bench.arena);
}

TEST(an_empty_section_creates_none)
{
    struct bench bench = {0};
    CHECK_INT(apply(&bench, "{\"state\":{\"desired\":{},\"reported\":null}}"), 0);
    CHECK_STR(state(&bench), "{}");
    CHECK_STR(metadata(&bench), "{}");
    CHECK_STR(delta(&bench), "");
    CHECK(bench.doc.exists && bench.doc.version == 1);
    arena_done(&bench.arena);
}

TEST(a_document_is_not_changed_by_the_update_that_follows_it)
{
    struct bench bench = {0};
    CHECK_INT(
        apply(&bench, "{\"state\":{\"desired\":{\"a\":{\"b\":[1],\"c\":2}},\"reported\":{\"a\":{\"c\":1}}}}"),
        0);
    struct shadow_doc before = bench.doc;
    const char *text = state(&bench), *times = metadata(&bench);
    CHECK_INT(apply(&bench, "{\"state\":{\"desired\":{\"a\":{\"b\":null,\"d\":[{}]}},\"reported\":null}}"),
              0);
    bench.doc = before;
    CHECK_STR(state(&bench), text);
    CHECK_STR(metadata(&bench), times);
    CHECK_STR(delta(&bench), "{\"a\":{\"b\":[1],\"c\":2}}");
    arena_done(&bench.arena);
}

TEST(large_objects_merge_and_differ_like_small_ones)
{
    struct bench bench = {0};
    struct json_writer w;
    json_writer_init(&w, &bench.arena);
    json_begin_object(&w);
    json_key(&w, "state");
    json_begin_object(&w);
    for (int section = 0; section < 2; section++) {
        json_key(&w, section ? "reported" : "desired");
        json_begin_object(&w);
        for (int i = 0; i < 300; i++) { /* the other way round, and every tenth is another */
            const char *key = arena_printf(&bench.arena, "k%d", section ? 299 - i : i);
            json_key(&w, key);
            json_put_int(&w, section && i % 10 == 0 ? -1 : 7);
        }
        json_end_object(&w);
    }
    json_end_object(&w);
    json_end_object(&w);
    CHECK_INT(apply(&bench, json_writer_text(&w, NULL)), 0);
    CHECK_INT(shadow_doc_delta(&bench.arena, &bench.doc)->len, 30);
    CHECK_INT(apply(&bench, "{\"state\":{\"reported\":{\"k299\":7,\"k5\":null,\"new\":1}}}"), 0);
    CHECK_INT(bench.doc.reported->len, 300);
    CHECK_INT(shadow_doc_delta(&bench.arena, &bench.doc)->len, 30); /* k299 agrees now, k5 is missing */
    arena_done(&bench.arena);
}

TEST(the_size_of_desired_and_reported_together_is_limited_to_the_byte)
{
    struct bench bench = {0};
    char payload[9000] = "{\"state\":{\"desired\":{\"d\":1},\"reported\":{\"r\":\"";
    size_t head = strlen(payload), fill = SHADOW_DOCUMENT_MAX - strlen("{\"d\":1}") - strlen("{\"r\":\"\"}");
    memset(payload + head, 'x', fill + 1);
    memcpy(payload + head + fill + 1, "\"}}}", 5);
    CHECK_REFUSED(&bench, payload, 413, "The payload exceeds the maximum size allowed");
    memcpy(payload + head + fill, "\"}}}", 5);
    CHECK_INT(apply(&bench, payload), 0);
    CHECK_INT((int64_t)shadow_doc_size(&bench.doc), SHADOW_DOCUMENT_MAX);
    CHECK_INT(apply(&bench, "{\"state\":{\"desired\":{\"d\":null}}}"), 0);
    CHECK_INT(apply(&bench, "{\"state\":{\"desired\":{\"d\":1}}}"), 0);
    CHECK_INT(apply(&bench, "{\"state\":{\"desired\":{\"d\":10}}}"), 413);
    arena_done(&bench.arena);
}

TEST(a_request_larger_than_a_message_may_be_is_too_large)
{
    struct bench bench = {0};
    char *payload = arena_zero(&bench.arena, SHADOW_REQUEST_MAX + 2);
    memset(payload, ' ', SHADOW_REQUEST_MAX + 1);
    CHECK_REFUSED(&bench, payload, 413, "The payload exceeds the maximum size allowed");
    arena_done(&bench.arena);
}

TEST(the_name_of_an_invalid_node_is_shown_shortened)
{
    struct bench bench = {0};
    CHECK_REFUSED(
        &bench, "{\"state\":{\"0123456789012345678901234567890123456789012345678901234567890123456789\":1}}",
        400,
        "State contains an invalid node: '0123456789012345678901234567890123456789012345678901234567890123'");
    arena_done(&bench.arena);
}

TEST(a_version_must_be_the_one_that_is_there)
{
    struct bench bench = {0};
    CHECK_REFUSED(&bench, "{\"state\":{},\"version\":2}", 400, "Invalid version");
    CHECK_INT(apply(&bench, "{\"state\":{},\"version\":0}"), 0);
    CHECK_REFUSED(&bench, "{\"state\":{},\"version\":0}", 409, "Version conflict");
    CHECK_REFUSED(&bench, "{\"state\":{},\"version\":2}", 409, "Version conflict");
    CHECK_INT(apply(&bench, "{\"state\":{},\"version\":1}"), 0);
    CHECK_INT((int64_t)bench.doc.version, 2);
    bench.doc = shadow_doc_delete(&bench.doc);
    CHECK_REFUSED(&bench, "{\"state\":{},\"version\":3}", 400, "Invalid version");
    CHECK_INT(apply(&bench, "{\"state\":{},\"version\":1}"), 0);
    CHECK_INT((int64_t)bench.doc.version, 4);
    arena_done(&bench.arena);
}

TEST(a_tombstone_is_over_after_48_hours_unless_nobody_knows_when_they_began)
{
    int64_t day = 24 * 3600, set = 1760000000;
    CHECK(!shadow_tombstone_is_over(set, set));
    CHECK(!shadow_tombstone_is_over(set, set + 2 * day - 1));
    CHECK(shadow_tombstone_is_over(set, set + 2 * day));
    CHECK(!shadow_tombstone_is_over(set, 1000)); /* the clock went back */
    CHECK(!shadow_tombstone_is_over(1000, set)); /* and this one was deleted before it was set */
}

TEST(a_stored_document_that_is_not_as_written_is_refused_as_damaged)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"[]", ""},
        {"{}", "1"},
        {"{\"desired\":{\"a\":1}}", ""},
        {"{\"desired\":{\"a\":1}}", "1x2"},
        {"{\"desired\":{\"a\":1,\"b\":1}}", "1"},
        {"{\"desired\":{\"a\":1,\"b\":1}}", "1,"},
        {"{\"desired\":{\"a\":1,\"b\":1}}", "1,-2"},
        {"{\"desired\":{\"a\":1,\"b\":1}}", "1x0,1x2"},
        {"{\"desired\":{\"a\":1}}", "4294967296"},
        {"{\"desired\":{\"a\":1}}", "99999999999999999999"},
        {"{\"desired\":{\"a\":1}}", "x"},
        {"{\"desired\":{\"a\":1}}", "1 "},
        {"{\"desired\":{}}", ""},
        {"{\"desired\":[1]}", "1"},
        {"{\"desired\":{\"a\":1},\"other\":{\"b\":2}}", "1"},
    };
    struct bench bench = {0};
    for (size_t i = 0; i < array_size(pairs); i++)
        CHECK_INT(shadow_doc_read(&bench.doc, &bench.arena, 1, pairs[i][0], strlen(pairs[i][0]), pairs[i][1],
                                  strlen(pairs[i][1])),
                  -EUCLEAN);
    CHECK(!bench.doc.exists);
    arena_done(&bench.arena);
}

TEST(times_are_stored_as_differences_and_come_back_as_they_were)
{
    struct bench bench = {.now_s = 1760000000};
    CHECK_INT(apply(&bench, "{\"state\":{\"desired\":{\"a\":1,\"b\":{\"c\":[1,[],{\"d\":2}],\"e\":{}}}}}"),
              0);
    CHECK_STR(stamps(&bench), "1760000001x3");
    bench.now_s += 70;
    CHECK_INT(apply(&bench, "{\"state\":{\"desired\":{\"b\":{\"c\":5}},\"reported\":{\"timestamp\":7}}}"), 0);
    CHECK_STR(stamps(&bench), "1760000001,71x2");
    bench.now_s = -1; /* a clock that is not set */
    CHECK_INT(apply(&bench, "{\"state\":{\"desired\":{\"z\":1}}}"), 0);
    CHECK_STR(stamps(&bench), "1760000001,71,-1760000072,1760000072");
    const char *text = state(&bench), *times = metadata(&bench), *stored = stamps(&bench);
    CHECK_INT(shadow_doc_read(&bench.doc, &bench.arena, 3, text, strlen(text), stored, strlen(stored)), 0);
    CHECK_STR(metadata(&bench), times);
    CHECK_STR(
        times,
        "{\"desired\":{\"a\":{\"timestamp\":1760000001},\"b\":{\"c\":{\"timestamp\":1760000072},\"e\":{}},"
        "\"z\":{\"timestamp\":0}},\"reported\":{\"timestamp\":{\"timestamp\":1760000072}}}");
    arena_done(&bench.arena);
}
