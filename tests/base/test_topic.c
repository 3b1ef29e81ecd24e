#include "base/topic.h"

#include "rig/test.h"

static bool matches(const char *filter, const char *topic)
{
    return topic_matches(filter, strlen(filter), topic, strlen(topic));
}

static bool covers(const char *wide, const char *narrow)
{
    return topic_covers(wide, strlen(wide), narrow, strlen(narrow));
}

TEST(filters_match_as_the_standard_says)
{
    static const struct {
        const char *filter, *topic;
        bool matches;
    } cases[] = {
        {"a/b", "a/b", true},       {"a/b", "a/c", false},    {"a/b", "a", false},
        {"a", "a/b", false},        {"a/#", "a/b/c", true},   {"a/#", "a", true},
        {"a/#", "a/", true},        {"a/#", "ab", false},     {"#", "a/b", true},
        {"#", "$SYS/x", false},     {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true},
        {"$SYS/+", "$SYS/x", true}, {"+/+", "/x", true},      {"/+", "/x", true},
        {"+", "/x", false},         {"+", "", true},          {"a/+/c", "a//c", true},
        {"a/+", "a/", true},        {"a/+", "a", false},      {"a//b", "a/b", false},
        {"a/b/", "a/b", false},     {"+/b/#", "a/b", true},   {"+/b/#", "a/c", false},
        {"/", "/", true},           {"/#", "/a", true},       {"/#", "/", true},
        {"a/+/#", "a", false},
    };
    for (size_t i = 0; i < array_size(cases); i++)
        if (matches(cases[i].filter, cases[i].topic) != cases[i].matches)
            FAIL("%s and %s", cases[i].filter, cases[i].topic);
}

TEST(a_filter_covers_another_when_it_matches_everything_the_other_does)
{
    CHECK(covers("a/#", "a/b/+"));
    CHECK(covers("a/#", "a/#"));
    CHECK(covers("a/#", "a"));
    CHECK(covers("+/b", "a/b"));
    CHECK(covers("+/b", "+/b"));
    CHECK(covers("#", "a/+/#"));
    CHECK(!covers("a/+", "a/#"));
    CHECK(!covers("a/b", "a/+"));
    CHECK(!covers("a/b", "#"));
    CHECK(!covers("#", "$aws/x"));
    CHECK(!covers("+/x", "$aws/x"));
    CHECK(covers("$aws/things/t/#", "$aws/things/t/shadow/+"));
    CHECK(!covers("$aws/things/t/#", "$aws/things/+/shadow/get"));
}

TEST(levels_may_be_empty)
{
    const char *topic = "a//b/";
    const char *level;
    size_t len, at = 0, lens[8], n = 0;
    while (topic_level(topic, strlen(topic), &at, &level, &len))
        lens[n++] = len;
    CHECK_INT(n, 4);
    CHECK_INT(lens[0], 1);
    CHECK_INT(lens[1], 0);
    CHECK_INT(lens[2], 1);
    CHECK_INT(lens[3], 0);
}

TEST(pieces_are_what_the_wildcards_stand_for)
{
    struct topic_piece pieces[4];
    const char *topic = "$gatehouse/cloud/main/publish/dt/x/y";
    CHECK_INT(topic_pieces("$gatehouse/cloud/+/publish/#", topic, strlen(topic), pieces, 4), 2);
    CHECK_MEM(pieces[0].text, pieces[0].len, "main", 4);
    CHECK_MEM(pieces[1].text, pieces[1].len, "dt/x/y", 6);
    CHECK_INT(topic_pieces("$gatehouse/other/+", topic, strlen(topic), pieces, 4), -1);
    topic = "a/b";
    CHECK_INT(topic_pieces("a/b/#", topic, strlen(topic), pieces, 4), 1);
    CHECK_INT(pieces[0].len, 0);
}
