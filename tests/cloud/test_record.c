#include "cloud/record.h"

#include "base/base64.h"
#include "rig/test.h"

static struct link_publish publish_of(const char *topic, const char *payload, size_t len, bool is_record)
{
    const struct msg_record record = {"telemetry", 17, INT64_C(1760000000123)};
    return (struct link_publish){
        .msg = is_record ? msg_new_record(topic, strlen(topic), &record, payload, len)
                         : msg_new(topic, strlen(topic), payload, len),
        .topic = topic,
    };
}

static void check_put(const char *payload, size_t len, bool is_record, const char *expected)
{
    struct link_publish publish = publish_of("a/\"b", payload, len, is_record);
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    record_put(&w, &publish);
    CHECK_STR(json_writer_text(&w, NULL), expected);
    arena_done(&arena);
    (void)msg_unref(publish.msg);
}

TEST(a_record_says_where_it_is_from)
{
    check_put(
        "{\"t\":1}", 7, true,
        "{\"topic\":\"a/\\\"b\",\"time\":1760000000123,\"stream\":\"telemetry\",\"seq\":17,\"payload\":\"{\\\"t\\\":1}\"}");
    check_put("", 0, false, "{\"topic\":\"a/\\\"b\",\"payload\":\"\"}");
}

TEST(what_is_no_text_is_base64)
{
    check_put("\xff", 1, false, "{\"topic\":\"a/\\\"b\",\"base64\":\"/w==\"}");
    check_put("\xff\0\x01", 3, false, "{\"topic\":\"a/\\\"b\",\"base64\":\"/wAB\"}");
}

TEST(base64_is_that_of_rfc_4648)
{
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < array_size(rows); i++) {
        char text[16] = "";
        base64_write(text, rows[i][0], strlen(rows[i][0]));
        CHECK_STR(text, rows[i][1]);
        CHECK_INT(base64_size(strlen(rows[i][0])), (int64_t)strlen(rows[i][1]));
    }
}

TEST(words_of_a_pattern_are_filled_in)
{
    static const struct record_names names = {"plant-7", "archive", INT64_C(1709164800000)};
    struct link_publish record = publish_of("dt/x", "", 0, true), other = publish_of("dt/x", "", 0, false);
    struct arena arena = {0};
    CHECK_STR(record_fill(&arena, "http://h/${gateway}/${uplink}/${stream}/${seq}?t=${topic}&at=${time}$",
                          &record, &names, NULL),
              "http://h/plant-7/archive/telemetry/17?t=dt/x&at=1760000000123$");
    CHECK_STR(record_fill(&arena, "${year}-${month}-${day}T${hour}", &record, &names, NULL), "2025-10-09T08");
    CHECK_STR(record_fill(&arena, "${year}-${month}-${day} ${stream} ${seq}", &other, &names, NULL),
              "2024-02-29 - -");
    CHECK_STR(record_fill(&arena, "", &other, &names, NULL), "");
    arena_done(&arena);
    (void)msg_unref(record.msg);
    (void)msg_unref(other.msg);
}

TEST(a_word_that_nobody_knows_is_told_and_so_is_whether_a_pattern_varies)
{
    CHECK(!record_pattern_check("a/${topic}/$x/${hour}"));
    CHECK(record_pattern_check("a/${topics}"));
    CHECK(record_pattern_check("${"));
    CHECK(record_pattern_varies("a/${seq}"));
    CHECK(!record_pattern_varies("a/${gateway}/${uplink}/$"));
}
