/* What a stream is to be: what is taken, and what is said of the rest. */
#include "rig/test.h"
#include "services/streams/stream_definition.h"

#include <stdio.h>
#include <string.h>

static struct arena arena;

/* "" or what was wrong. */
static const char *parse(const char *text, struct stream_definition *ret)
{
    const char *why = "";
    arena_done(&arena);
    arena = (struct arena){0};
    int r = stream_definition_parse(ret, &arena, text, strlen(text), &why);
    CHECK(r == 0 || r == STREAM_DEFINITION_BAD);
    CHECK((r == 0) == !*why);
    return why;
}

static const char *fault(const char *text)
{
    struct stream_definition definition;
    return parse(text, &definition);
}

TEST(a_name_is_enough)
{
    struct stream_definition d;
    CHECK_STR(parse("{\"name\":\"s\"}", &d), "");
    CHECK_STR(d.name, "s");
    CHECK_STR(d.uplink, "");
    CHECK_INT(d.priority, 5);
    CHECK_INT(d.max_bytes, 256 << 20);
    CHECK_INT(d.segment_bytes, 4 << 20);
    CHECK_INT(d.ttl_s, 0);
    CHECK_INT(d.sync_ms, 0);
    CHECK_INT(d.overwrite + d.memory + d.keep + d.compress + d.encrypt, 0);
}

TEST(values_are_numbers_or_what_stands_in_gatehouse_conf)
{
    struct stream_definition d;
    CHECK_STR(
        parse(
            "{\"name\":\"s\",\"uplink\":\"cloud\",\"priority\":1,\"maxSize\":\"2M\",\"segmentSize\":65536,"
            "\"ttl\":\"7d\",\"onFull\":\"overwrite\",\"sync\":\"250ms\",\"keep\":true,\"compress\":\"yes\",\"encrypt\":\"yes\"}",
            &d),
        "");
    CHECK_STR(d.uplink, "cloud");
    CHECK_INT(d.priority, 1);
    CHECK_INT(d.max_bytes, 2 << 20);
    CHECK_INT(d.segment_bytes, 65536);
    CHECK_INT(d.ttl_s, 7 * 86400);
    CHECK_INT(d.sync_ms, 250);
    CHECK_INT(d.overwrite + d.keep + d.compress + d.encrypt, 4);
    CHECK_STR(parse("{\"name\":\"m\",\"persistence\":\"memory\"}", &d), "");
    CHECK_INT(d.memory, 1);
    CHECK_INT(d.max_bytes, 16 << 20);
}

TEST(what_is_written_is_read_back)
{
    struct stream_definition d, again;
    CHECK_STR(
        parse(
            "{\"name\":\"s\",\"maxSize\":1048576,\"segmentSize\":\"1M\",\"ttl\":60,\"onFull\":\"overwrite\","
            "\"sync\":\"10ms\",\"keep\":true,\"compress\":true,\"uplink\":\"x\",\"priority\":10}",
            &d),
        "");
    struct arena memory = {0};
    struct json_writer w;
    json_writer_init(&w, &memory);
    json_begin_object(&w);
    stream_definition_put(&d, &w);
    json_end_object(&w);
    CHECK_STR(parse(json_writer_text(&w, NULL), &again), "");
    CHECK(memcmp(&d, &again, sizeof d) == 0);
    arena_done(&memory);
}

TEST(every_limit_holds_at_its_edge_and_not_one_beyond)
{
    static const struct {
        const char *good, *bad;
    } edges[] = {
        {"\"maxSize\":\"1M\",\"segmentSize\":\"64K\"", "\"maxSize\":1048575,\"segmentSize\":\"64K\""},
        {"\"maxSize\":\"8T\"", "\"maxSize\":8796093022209"},
        {"\"segmentSize\":65536", "\"segmentSize\":65535"},
        {"\"maxSize\":\"1G\",\"segmentSize\":\"1G\"", "\"maxSize\":\"2G\",\"segmentSize\":1073741825"},
        {"\"priority\":1", "\"priority\":0"},
        {"\"priority\":10", "\"priority\":11"},
        {"\"ttl\":\"1m\"", "\"ttl\":59"},
        {"\"ttl\":0", "\"ttl\":-1"},
        {"\"ttl\":\"36500d\"", "\"ttl\":\"36501d\""},
        {"\"sync\":\"10ms\"", "\"sync\":\"9ms\""},
        {"\"sync\":\"60s\"", "\"sync\":\"61s\""},
        {"\"persistence\":\"memory\",\"maxSize\":\"64M\"", "\"persistence\":\"memory\",\"maxSize\":\"65M\""},
        {"\"maxSize\":\"4M\",\"segmentSize\":\"4M\"", "\"maxSize\":\"3M\",\"segmentSize\":\"4M\""},
    };
    for (size_t i = 0; i < array_size(edges); i++) {
        cleanup_free char *good = str_printf("{\"name\":\"s\",%s}", edges[i].good);
        cleanup_free char *bad = str_printf("{\"name\":\"s\",%s}", edges[i].bad);
        CHECK_STR(fault(good), "");
        CHECK(*fault(bad));
    }
}

TEST(what_is_wrong_is_told_with_what_was_expected_and_found)
{
    CHECK_STR(fault("{\"name\":\"s\""), "line 1, column 12: expected ',' or '}'");
    CHECK_STR(fault("[]"), "expected an object");
    CHECK_STR(fault("{}"), "name: expected 1 to 64 letters, digits, _ or -, found none");
    CHECK_STR(fault("{\"name\":\"a/b\"}"), "name: expected 1 to 64 letters, digits, _ or -, found \"a/b\"");
    CHECK_STR(fault("{\"name\":\"s\",\"maxSize\":\"1 M\"}"),
              "maxSize: expected a size (in bytes, or with K, M, G or T) from 1M to 8T, found \"1 M\"");
    CHECK_STR(fault("{\"name\":\"s\",\"maxSize\":1.5e6}"),
              "maxSize: expected a size (in bytes, or with K, M, G or T) from 1M to 8T, found 1.5e6");
    CHECK_STR(fault("{\"name\":\"s\",\"onFull\":1}"), "onFull: expected reject or overwrite, found 1");
    CHECK_STR(fault("{\"name\":\"s\",\"keep\":\"true\"}"), "keep: expected yes or no, found \"true\"");
    CHECK_STR(fault("{\"name\":\"s\",\"sync\":\"never\"}"),
              "sync: expected always, or an interval from 10ms to 60s, found \"never\"");
    CHECK_STR(fault("{\"name\":\"s\",\"persistence\":\"memory\",\"sync\":\"1s\"}"),
              "sync: a stream in memory has none");
    CHECK_STR(
        fault("{\"name\":\"s\",\"size\":1}"),
        "expected name, uplink, priority, maxSize, segmentSize, ttl, onFull, persistence, sync, deadLetter, keep, "
        "compress, encrypt, weight, deadline, dayBudget, window or liveShare, found a member \"size\"");
    CHECK_STR(
        fault("{\"name\":\"s\",\"ttl\":null}"),
        "ttl: expected a time (in seconds, or with s, m, h or d) from 1m to 36500d, or 0 for ever, found null");
    CHECK_STR(
        fault("{\"name\":\"s\",\"ttl\":99999999999999999999}"),
        "ttl: expected a time (in seconds, or with s, m, h or d) from 1m to 36500d, or 0 for ever, found "
        "99999999999999999999");
}

TEST(a_name_has_at_most_64_characters)
{
    char text[128];
    for (int len = 64; len <= 65; len++) {
        (void)snprintf(text, sizeof text, "{\"name\":\"%.*s\"}", len,
                       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        CHECK_INT(*fault(text) == '\0', len == 64);
    }
}

TEST(a_single_key_is_set_as_in_gatehouse_conf)
{
    struct stream_definition d = stream_definition_default();
    CHECK(!stream_definition_set(&d, "on-full", "overwrite"));
    CHECK_INT(d.overwrite, 1);
    CHECK_STR(stream_definition_set(&d, "on-full", "drop"), "reject or overwrite");
    CHECK_STR(stream_definition_set(&d, "colour", "red"), "a key of [stream NAME]");
    CHECK(!stream_definition_set(&d, "sync", "always"));
    arena_done(&arena);
}
