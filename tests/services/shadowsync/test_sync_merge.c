/* Three documents become one: by table. Documents are written with ' for ". */
#include "rig/test.h"
#include "services/shadowsync/sync_doc.h"

#include "base/json_write.h"

#include <stdio.h>

static const struct json *parse(struct arena *arena, const char *text)
{
    if (!text)
        return NULL;
    char *copy = arena_copy(arena, text, strlen(text));
    for (char *at = copy; *at; at++)
        if (*at == '\'')
            *at = '"';
    struct json *json;
    if (json_parse(&json, arena, copy, strlen(copy), NULL) != 0)
        FAIL("not JSON: %s", copy);
    return json;
}

static const char *written(struct arena *arena, const struct json *json)
{
    if (!json)
        return "nothing";
    char *text = json_write(arena, json, NULL);
    for (char *at = text; *at; at++)
        if (*at == '"')
            *at = '\'';
    return text;
}

/* "desired.a cloud only; …" */
static const char *choices(struct arena *arena, const struct sync_merge *merge)
{
    static const char *const from[] = {"local", "cloud", "both"};
    static const char *const why[] = {"only", "rule", "default", "direction", "survival"};
    const char *text = "";
    for (size_t i = 0; i < merge->choice_count; i++) {
        const struct sync_choice *c = &merge->choices[i];
        bool ruled = c->why == SYNC_BY_RULE || c->why == SYNC_BY_DEFAULT;
        text = arena_printf(arena, "%s%s%s %s %s%s%s", text, i ? "; " : "", c->path, from[c->from],
                            why[c->why], ruled ? " " : "", ruled ? sync_rule_name(c->rule) : "");
    }
    return text;
}

struct row {
    const char *policy, *base, *here, *there, *merged, *choices;
    enum sync_direction direction;
    const char *here_times, *there_times;
};

static void check(const struct row *row, int line)
{
    struct arena arena = {0};
    struct sync_policy policy;
    const char *expected, *at;
    if (sync_policy_parse(&policy, &arena, row->policy, &expected, &at) < 0)
        FAIL("row %d: expected %s at %s", line, expected, at);
    struct sync_merge merge = {.arena = &arena, .policy = &policy, .direction = row->direction};
    const struct sync_doc here = {parse(&arena, row->here), parse(&arena, row->here_times)};
    const struct sync_doc there = {parse(&arena, row->there), parse(&arena, row->there_times)};
    const struct json *merged = sync_merge(&merge, parse(&arena, row->base), &here, &there);
    const struct json *wanted = parse(&arena, row->merged);
    const char *said = choices(&arena, &merge);
    if (!sync_equal(merged, wanted))
        FAIL("row %d: %s\nexpected %s", line, written(&arena, merged), written(&arena, wanted));
    if (row->choices && strcmp(said, row->choices) != 0)
        FAIL("row %d: %s\nexpected %s", line, said, row->choices);
    /* Merging what came of it changes nothing, and the patches lead there. */
    const struct json *nothing = parse(&arena, "{}");
    if (here.state && there.state && merged) {
        const struct sync_doc both = {.state = merged};
        CHECK(sync_equal(sync_merge(&merge, merged, &both, &both), merged));
        CHECK((sync_patch(&arena, here.state, merged) == NULL) == sync_equal(here.state, merged));
        CHECK((sync_patch(&arena, merged, nothing) == NULL) == (merged->len == 0));
    }
    arena_done(&arena);
}

#define CHECK_ROWS(rows)                                                                                     \
    for (size_t i_ = 0; i_ < array_size(rows); i_++)                                                         \
    check(&(rows)[i_], (int)i_)

/* ---- one side ---------------------------------------------------------------------------------------------------- */

TEST(what_one_side_alone_has_changed_is_taken)
{
    static const struct row rows[] = {
        {"", "{'desired':{'a':1}}", "{'desired':{'a':2}}", "{'desired':{'a':1}}", "{'desired':{'a':2}}",
         "desired.a local only"},
        {"", "{'desired':{'a':1}}", "{'desired':{'a':1}}", "{'desired':{'a':2}}", "{'desired':{'a':2}}",
         "desired.a cloud only"},
        {"", "{'desired':{'a':1,'b':1}}", "{'desired':{'a':2,'b':1}}", "{'desired':{'a':1,'b':2}}",
         "{'desired':{'a':2,'b':2}}", "desired.a local only; desired.b cloud only"},
        {"", "{'reported':{'o':{'x':1,'y':1}}}", "{'reported':{'o':{'x':2,'y':1}}}",
         "{'reported':{'o':{'x':1,'y':2,'z':3}}}", "{'reported':{'o':{'x':2,'y':2,'z':3}}}",
         "reported.o.x local only; reported.o.y cloud only; reported.o.z cloud only"},
        {"", "{}", "{'desired':{'a':1}}", "{'reported':{'b':1}}", "{'desired':{'a':1},'reported':{'b':1}}",
         "desired local only; reported cloud only"},
        {"", "{'desired':{'a':1.0}}", "{'desired':{'a':1}}", "{'desired':{'a':1e0}}", "{'desired':{'a':1}}",
         ""},
        {"", "{'desired':{'l':[1,2]}}", "{'desired':{'l':[1,2]}}", "{'desired':{'l':[2]}}",
         "{'desired':{'l':[2]}}", "desired.l cloud only"},
    };
    CHECK_ROWS(rows);
}

TEST(deleting_is_a_change)
{
    static const struct row rows[] = {
        {"", "{'desired':{'a':1,'b':1}}", "{'desired':{'b':1}}", "{'desired':{'a':1,'b':1}}",
         "{'desired':{'b':1}}", "desired.a local only"},
        {"", "{'desired':{'a':1}}", "{}", "{'desired':{'a':1}}", "{}", "desired local only"},
        {"", "{'desired':{'o':{'x':1,'y':1}}}", "{'desired':{'o':{'x':1}}}", "{'desired':{'o':{'y':1}}}",
         "{'desired':{'o':{}}}", "desired.o.x cloud only; desired.o.y local only"},
        /* the object was deleted here, and one of its members changed there: member by member */
        {"desired.o.x: cloud", "{'desired':{'o':{'x':1,'y':1}}}", "{}", "{'desired':{'o':{'x':2,'y':1}}}",
         "{'desired':{'o':{'x':2}}}", "desired.o.x cloud rule cloud; desired.o.y local only"},
        {"desired.o.x: local", "{'desired':{'o':{'x':1,'y':1}}}", "{}", "{'desired':{'o':{'x':2,'y':1}}}",
         "{}", NULL},
        /* both */
        {"", "{'desired':{'a':1,'b':1}}", "{'desired':{'a':1}}", "{'desired':{'a':1}}", "{'desired':{'a':1}}",
         ""},
        {"", "{'desired':{'a':1}}", "{}", "{}", "{}", ""},
    };
    CHECK_ROWS(rows);
}

/* ---- both sides -------------------------------------------------------------------------------------------------- */

TEST(by_default_desired_is_the_clouds_and_reported_ours)
{
    static const struct row rows[] = {
        {"", "{'desired':{'a':1},'reported':{'a':1}}", "{'desired':{'a':2},'reported':{'a':2}}",
         "{'desired':{'a':3},'reported':{'a':3}}", "{'desired':{'a':3},'reported':{'a':2}}",
         "desired.a cloud rule cloud; reported.a local rule local"},
        /* never in agreement before */
        {"", NULL, "{'desired':{'a':2,'h':1}}", "{'desired':{'a':3,'t':1}}",
         "{'desired':{'a':3,'h':1,'t':1}}",
         "desired.a cloud rule cloud; desired.h local only; desired.t cloud only"},
        /* a deletion against a change: the side decides */
        {"", "{'desired':{'a':1},'reported':{'a':1}}", "{'desired':{'a':2},'reported':{'a':2}}", "{}",
         "{'reported':{'a':2}}", "desired.a cloud rule cloud; reported.a local rule local"},
        /* values of different kinds */
        {"", "{'desired':{'a':1}}", "{'desired':{'a':{'x':1}}}", "{'desired':{'a':[1]}}",
         "{'desired':{'a':[1]}}", "desired.a cloud rule cloud"},
        {"", "{'desired':{'a':1}}", "{'desired':{'a':{'x':1}}}", "{'desired':{'a':{'y':1}}}",
         "{'desired':{'a':{'x':1,'y':1}}}", NULL},
        {"", "{'reported':{'a':{'x':1}}}", "{'reported':{'a':5}}", "{'reported':{'a':{'x':2}}}",
         "{'reported':{'a':5}}", "reported.a local rule local"},
    };
    CHECK_ROWS(rows);
}

TEST(the_longest_path_that_leads_there_decides)
{
    static const struct row rows[] = {
        {"desired: local desired.o: cloud desired.o.x: local", "{'desired':{'a':1,'o':{'x':1,'y':1},'ox':1}}",
         "{'desired':{'a':2,'o':{'x':2,'y':2},'ox':2}}", "{'desired':{'a':3,'o':{'x':3,'y':3},'ox':3}}",
         "{'desired':{'a':2,'o':{'x':2,'y':3},'ox':2}}",
         "desired.a local rule local; desired.o.x local rule local; desired.o.y cloud rule cloud; desired.ox local "
         "rule local"},
        {"reported: cloud", "{'reported':{'a':1}}", "{'reported':{'a':2}}", "{'reported':{'a':3}}",
         "{'reported':{'a':3}}", NULL},
    };
    CHECK_ROWS(rows);
}

TEST(max_and_min_choose_among_numbers)
{
    static const struct row rows[] = {
        {"desired: max", "{'desired':{'a':1,'b':1,'c':1}}",
         "{'desired':{'a':2,'b':12345678901234567891,'c':-2}}",
         "{'desired':{'a':3,'b':12345678901234567890,'c':-3}}",
         "{'desired':{'a':3,'b':12345678901234567891,'c':-2}}",
         "desired.a cloud rule max; desired.b local rule max; desired.c local rule max"},
        {"reported: min", "{'reported':{'a':1}}", "{'reported':{'a':2.5}}", "{'reported':{'a':2.25}}",
         "{'reported':{'a':2.25}}", "reported.a cloud rule min"},
        /* what is no number is decided as without the rule */
        {"desired: max reported: max", "{'desired':{'a':1},'reported':{'a':1}}",
         "{'desired':{'a':9},'reported':{'a':9}}", "{'desired':{'a':'x'},'reported':{'a':'x'}}",
         "{'desired':{'a':'x'},'reported':{'a':9}}",
         "desired.a cloud default max; reported.a local default max"},
        /* a number outlives a deletion */
        {"desired: max", "{'desired':{'a':1}}", "{'desired':{'a':0}}", "{}", "{'desired':{'a':0}}",
         "desired.a local rule max"},
        /* but one side alone may lower it, and delete it */
        {"desired: max", "{'desired':{'a':5}}", "{'desired':{'a':1}}", "{'desired':{'a':5}}",
         "{'desired':{'a':1}}", "desired.a local only"},
        {"desired: max", "{'desired':{'a':5}}", "{}", "{'desired':{'a':5}}", "{}", NULL},
    };
    CHECK_ROWS(rows);
}

TEST(newest_goes_by_the_timestamps_of_the_two_services)
{
#define TIMES(a) "{'desired':{'v':" a "}}"
#define AT(t)    "{'timestamp':" #t "}"
    static const struct row rows[] = {
        {"desired: newest", "{'desired':{'v':1}}", "{'desired':{'v':2}}", "{'desired':{'v':3}}",
         "{'desired':{'v':2}}", "desired.v local rule newest", SYNC_BOTH, TIMES(AT(20)), TIMES(AT(10))},
        {"desired: newest", "{'desired':{'v':1}}", "{'desired':{'v':2}}", "{'desired':{'v':3}}",
         "{'desired':{'v':3}}", "desired.v cloud rule newest", SYNC_BOTH, TIMES(AT(10)), TIMES(AT(20))},
        /* in the same second, or without times: as without the rule */
        {"desired: newest", "{'desired':{'v':1}}", "{'desired':{'v':2}}", "{'desired':{'v':3}}",
         "{'desired':{'v':3}}", "desired.v cloud default newest", SYNC_BOTH, TIMES(AT(10)), TIMES(AT(10))},
        {"reported: newest", "{'reported':{'v':1}}", "{'reported':{'v':2}}", "{'reported':{'v':3}}",
         "{'reported':{'v':2}}", "reported.v local default newest"},
        /* an array is as new as its newest element; metadata that do not fit the value are no help */
        {"desired: newest", "{'desired':{'v':[1]}}", "{'desired':{'v':[1,2]}}", "{'desired':{'v':[3]}}",
         "{'desired':{'v':[1,2]}}", NULL, SYNC_BOTH, TIMES("[" AT(1) "," AT(30) "]"), TIMES("[" AT(20) "]")},
        {"desired: newest", "{'desired':{'v':1}}", "{'desired':{'v':2}}", "{'desired':{'v':[3]}}",
         "{'desired':{'v':2}}", NULL, SYNC_BOTH, TIMES(AT(1)), TIMES("7")},
        /* a member called timestamp is one */
        {"desired: newest", "{'desired':{'v':1}}", "{'desired':{'v':{'timestamp':99}}}",
         "{'desired':{'v':'x'}}", "{'desired':{'v':'x'}}", NULL, SYNC_BOTH, TIMES("{'timestamp':" AT(5) "}"),
         TIMES(AT(6))},
    };
    CHECK_ROWS(rows);
}

TEST(a_union_has_what_either_side_added_and_none_removed)
{
    static const struct row rows[] = {
        {"desired: union", "{'desired':{'l':[1,2,3]}}", "{'desired':{'l':[1,2,3,'h']}}",
         "{'desired':{'l':[3,1,'t']}}", "{'desired':{'l':[1,3,'h','t']}}", "desired.l both rule union"},
        {"desired: union", NULL, "{'desired':{'l':['b','a','b']}}", "{'desired':{'l':['c','a']}}",
         "{'desired':{'l':['b','a','c']}}", "desired.l both rule union"},
        {"desired: union", "{'desired':{'l':5}}", "{'desired':{'l':[1,true,null,'1']}}",
         "{'desired':{'l':[1.0,false]}}", "{'desired':{'l':[1,true,null,'1',false]}}", NULL},
        {"desired: union", "{'desired':{'l':[1]}}", "{'desired':{'l':[]}}", "{'desired':{'l':[1,2]}}",
         "{'desired':{'l':[2]}}", NULL},
        /* a set outlives a deletion; one side alone may delete it */
        {"desired: union", "{'desired':{'l':[1]}}", "{}", "{'desired':{'l':[1,2]}}",
         "{'desired':{'l':[1,2]}}", "desired.l cloud rule union"},
        {"desired: union", "{'desired':{'l':[1]}}", "{}", "{'desired':{'l':[1]}}", "{}", NULL},
        /* what is no set is decided as without the rule */
        {"desired: union", "{'desired':{'l':[1]}}", "{'desired':{'l':[[1]]}}", "{'desired':{'l':[2]}}",
         "{'desired':{'l':[2]}}", "desired.l cloud default union"},
        {"reported: union", "{'reported':{'l':[1]}}", "{'reported':{'l':7}}", "{'reported':{'l':[2]}}",
         "{'reported':{'l':7}}", "reported.l local default union"},
    };
    CHECK_ROWS(rows);
}

/* ---- whole documents --------------------------------------------------------------------------------------------- */

TEST(a_document_is_made_deleted_or_survives_as_a_whole)
{
    static const struct row rows[] = {
        {"", NULL, NULL, NULL, NULL, ""},
        {"", NULL, "{'desired':{'a':1}}", NULL, "{'desired':{'a':1}}", " local only"},
        {"", NULL, NULL, "{}", "{}", " cloud only"},
        {"", "{'desired':{'a':1}}", NULL, "{'desired':{'a':1}}", NULL, " local only"},
        {"", "{'desired':{'a':1}}", "{'desired':{'a':1}}", NULL, NULL, " cloud only"},
        {"", "{'desired':{'a':1,'b':1}}", NULL, "{'desired':{'a':2,'b':1}}", "{'desired':{'a':2,'b':1}}",
         " cloud survival"},
        {"", "{'desired':{'a':1}}", "{'desired':{'a':2}}", NULL, "{'desired':{'a':2}}", " local survival"},
        {"", "{'desired':{'a':1}}", NULL, NULL, NULL, ""},
    };
    CHECK_ROWS(rows);
}

TEST(with_a_direction_one_side_leads)
{
    static const struct row rows[] = {
        {"desired: cloud", "{'desired':{'a':1}}", "{'desired':{'a':2}}", "{'desired':{'a':3,'b':1}}",
         "{'desired':{'a':2}}", " local direction", SYNC_UP},
        {"", "{'desired':{'a':1}}", "{'desired':{'a':2}}", "{'desired':{'a':3,'b':1}}",
         "{'desired':{'a':3,'b':1}}", " cloud direction", SYNC_DOWN},
        {"", "{'desired':{'a':1}}", NULL, "{'desired':{'a':3}}", NULL, " local direction", SYNC_UP},
        {"", "{'desired':{'a':1}}", "{'desired':{'a':3}}", NULL, NULL, " cloud direction", SYNC_DOWN},
        /* who has lost everything does not take the other's with him */
        {"", NULL, NULL, "{'desired':{'a':3}}", "{'desired':{'a':3}}", "", SYNC_UP},
        {"", NULL, "{'desired':{'a':3}}", NULL, "{'desired':{'a':3}}", "", SYNC_DOWN},
        {"", NULL, "{'desired':{'a':3}}", NULL, "{'desired':{'a':3}}", " local direction", SYNC_UP},
    };
    CHECK_ROWS(rows);
}

TEST(many_decisions_are_counted_and_the_first_ones_told)
{
    struct arena arena = {0};
    struct json *here = json_new(&arena, JSON_OBJECT), *there = json_new(&arena, JSON_OBJECT);
    for (int i = 0; i < 50; i++) {
        const char *key = arena_printf(&arena, "k%d", i);
        json_append(here, key, strlen(key), json_new_int(&arena, i));
        json_append(there, key, strlen(key), json_new_int(&arena, i + 1));
    }
    struct json *a = json_new(&arena, JSON_OBJECT), *b = json_new(&arena, JSON_OBJECT);
    json_append(a, "desired", 7, here);
    json_append(b, "desired", 7, there);
    const struct sync_policy policy = {0};
    struct sync_merge merge = {.arena = &arena, .policy = &policy};
    const struct json *merged =
        sync_merge(&merge, NULL, &(struct sync_doc){.state = a}, &(struct sync_doc){.state = b});
    CHECK(sync_equal(merged, b));
    CHECK_INT((int64_t)merge.choice_count, SYNC_CHOICES_MAX);
    CHECK_INT((int64_t)merge.more, 50 - SYNC_CHOICES_MAX);
    CHECK_INT((int64_t)merge.conflicts, 50);
    arena_done(&arena);
}

/* ---- patches ----------------------------------------------------------------------------------------------------- */

TEST(a_patch_says_what_has_to_change_and_nothing_else)
{
    static const struct {
        const char *from, *to, *patch;
    } rows[] = {
        {"{}", "{}", NULL},
        {"{'desired':{'a':1}}", "{'desired':{'a':1.0}}", NULL},
        {"{'desired':{'a':1,'b':2}}", "{'desired':{'b':3}}", "{'desired':{'a':null,'b':3}}"},
        {"{'desired':{'a':1},'reported':{'x':1}}", "{'reported':{'x':1}}", "{'desired':null}"},
        {"{}", "{'desired':{'a':{}}}", "{'desired':{'a':{}}}"},
        {"{'desired':{'o':{'x':1,'y':2}}}", "{'desired':{'o':{'x':1,'z':[]}}}",
         "{'desired':{'o':{'y':null,'z':[]}}}"},
        {"{'desired':{'o':{'x':1}}}", "{'desired':{'o':{}}}", "{'desired':{'o':{'x':null}}}"},
        {"{'desired':{'o':{'x':1}}}", "{'desired':{'o':7}}", "{'desired':{'o':7}}"},
        {"{'desired':{'o':7}}", "{'desired':{'o':{}}}", "{'desired':{'o':{}}}"},
        {"{'desired':{'l':[1,{'a':1}]}}", "{'desired':{'l':[1,{'a':2}]}}", "{'desired':{'l':[1,{'a':2}]}}"},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < array_size(rows); i++) {
        const struct json *patch = sync_patch(&arena, parse(&arena, rows[i].from), parse(&arena, rows[i].to));
        if (!sync_equal(patch, parse(&arena, rows[i].patch)))
            FAIL("row %zu: %s", i, written(&arena, patch));
    }
    arena_done(&arena);
}

/* ---- a write of which nobody knows whether it happened ----------------------------------------------------------- */

TEST(what_was_agreed_on_follows_from_what_is_seen_of_a_write)
{
    static const struct {
        const char *base, *intended, *then, *seen, *agreed;
    } rows[] = {
        /* it has not happened: still the old one where it would have made a difference */
        {"{'desired':{'a':1,'b':1}}", "{'desired':{'a':2,'b':1}}", "{'desired':{'a':2,'b':1}}",
         "{'desired':{'a':1,'b':1}}", "{'desired':{'a':1,'b':1}}"},
        /* it has */
        {"{'desired':{'a':1}}", "{'desired':{'a':2}}", "{'desired':{'a':2}}", "{'desired':{'a':2}}",
         "{'desired':{'a':2}}"},
        /* it has, and somebody changed something else afterwards */
        {"{'desired':{'a':1,'b':1}}", "{'desired':{'a':2,'b':1}}", "{'desired':{'a':2,'b':1}}",
         "{'desired':{'a':2,'b':9}}", "{'desired':{'a':2,'b':1}}"},
        /* here was being written with what the cloud has, which is what both will agree on */
        {"{'desired':{'a':1},'reported':{'r':1}}", "{'desired':{'a':2},'reported':{'r':5}}",
         "{'desired':{'a':2},'reported':{'r':1}}", "{'desired':{'a':2},'reported':{'r':5}}",
         "{'desired':{'a':2},'reported':{'r':1}}"},
        {"{'desired':{'a':1}}", "{'desired':{'a':2}}", "{'desired':{'a':2}}", "{'desired':{'a':7}}",
         "{'desired':{'a':1}}"},
        /* deletions */
        {"{'desired':{'a':1}}", NULL, NULL, NULL, NULL},
        {"{'desired':{'a':1}}", NULL, NULL, "{'desired':{'a':1}}", "{'desired':{'a':1}}"},
        {NULL, "{'desired':{'a':1}}", "{'desired':{'a':1}}", NULL, NULL},
        {"{'desired':{'a':1,'b':1}}", "{'desired':{'b':1}}", "{'desired':{'b':1}}", "{'desired':{'b':2}}",
         "{'desired':{'b':1}}"},
    };
    struct arena arena = {0};
    for (size_t i = 0; i < array_size(rows); i++) {
        const struct json *agreed =
            sync_rebase(&arena, parse(&arena, rows[i].base), parse(&arena, rows[i].intended),
                        parse(&arena, rows[i].then), parse(&arena, rows[i].seen));
        if (!sync_equal(agreed, parse(&arena, rows[i].agreed)))
            FAIL("row %zu: %s", i, written(&arena, agreed));
    }
    arena_done(&arena);
}

/* ---- policies ---------------------------------------------------------------------------------------------------- */

TEST(a_policy_that_is_none_is_told)
{
    static const struct {
        const char *text, *expected;
    } rows[] = {
        {"", NULL},
        {"desired: cloud\n reported.a.b:local  desired.x:  union", NULL},
        {"desired", "PATH: RULE"},
        {"desired :cloud", "PATH: RULE"},
        {"state: cloud", "a path that begins with desired or reported, with dots between its names"},
        {"desiredx: cloud", "a path that begins with desired or reported, with dots between its names"},
        {"desired.: cloud", "a path that begins with desired or reported, with dots between its names"},
        {"desired..a: cloud", "a path that begins with desired or reported, with dots between its names"},
        {"desired: cloud desired: local", "every path once"},
        {"desired: mine", "cloud, local, newest, max, min or union behind PATH:"},
        {"desired:", "cloud, local, newest, max, min or union behind PATH:"},
    };
    for (size_t i = 0; i < array_size(rows); i++) {
        const char *expected = sync_policy_check(rows[i].text);
        if (rows[i].expected)
            CHECK_STR(expected ? expected : "nothing", rows[i].expected);
        else
            CHECK(!expected);
    }
}

/* ---- topics and documents ---------------------------------------------------------------------------------------- */

TEST(patterns_name_shadows)
{
    static const struct {
        const char *pattern, *thing, *name;
        bool matches;
    } rows[] = {
        {"a", "a", "", true},     {"a", "b", "", false},     {"a", "a", "n", false},
        {"a/n", "a", "n", true},  {"a/n", "a", "", false},   {"+", "any", "", true},
        {"+", "any", "n", false}, {"+/+", "any", "n", true}, {"+/n", "any", "n", true},
        {"a/+", "a", "x", true},  {"a/+", "b", "x", false},  {"a/$x", "a", "$x", true},
    };
    for (size_t i = 0; i < array_size(rows); i++) {
        struct sync_pattern patterns[SYNC_PATTERNS_MAX];
        CHECK_INT(sync_patterns_parse(patterns, rows[i].pattern), 1);
        const struct topic_piece thing = {rows[i].thing, strlen(rows[i].thing)},
                                 name = {rows[i].name, strlen(rows[i].name)};
        if (sync_pattern_matches(&patterns[0], &thing, &name) != rows[i].matches)
            FAIL("row %zu", i);
    }
    static const char *const wrong[] = {"", " ", "a/", "/a", "a/b/c", "a#", "#", "a/b+", "$a", "ä", "a a/"};
    for (size_t i = 0; i < array_size(wrong); i++) {
        struct sync_pattern patterns[SYNC_PATTERNS_MAX];
        if (sync_patterns_parse(patterns, wrong[i]) >= 0)
            FAIL("%s", wrong[i]);
    }
}

TEST(topics_of_answers_are_taken_apart)
{
    struct sync_topic topic;
    static const char named[] = "$aws/things/t/shadow/name/n/update/rejected",
                      classic[] = "$aws/things/t/shadow/get/accepted";
    CHECK(sync_topic_parse(&topic, named, strlen(named)));
    CHECK(topic.verb == SYNC_UPDATE && !topic.accepted && topic.name.len == 1 && *topic.thing.text == 't');
    CHECK(sync_topic_parse(&topic, classic, strlen(classic)));
    CHECK(topic.verb == SYNC_GET && topic.accepted && topic.name.len == 0);
    static const char *const others[] = {
        "$aws/things/t/shadow/update/delta", "$aws/things/t/shadow/update",
        "$aws/things//shadow/get/accepted",  "$aws/things/t/shadow/name//get/accepted",
        "$aws/things/t/shadow/put/accepted", "a"};
    for (size_t i = 0; i < array_size(others); i++)
        CHECK(!sync_topic_parse(&topic, others[i], strlen(others[i])));
}

static bool read_answer(struct sync_answer *answer, struct arena *arena, const char *text)
{
    const struct sync_topic topic = {.thing = {"t", 1}, .name = {"", 0}, .verb = SYNC_GET, .accepted = true};
    return sync_answer_read(answer, arena, "gw-", &topic, text, strlen(text));
}

TEST(answers_are_read_and_told_apart)
{
    struct arena arena = {0};
    struct sync_answer answer;
    CHECK(read_answer(&answer, &arena,
                      "{\"version\":7,\"clientToken\":\"gw-12\",\"state\":{\"desired\":{},\"reported\":"
                      "{\"a\":1,\"n\":null,\"o\":{\"n\":null}},\"delta\":{\"x\":1}}}"));
    CHECK_INT((int64_t)answer.number, 12);
    CHECK_INT(answer.version, 7);
    CHECK_STR(written(&arena, answer.doc.state), "{'reported':{'a':1,'o':{}}}");
    static const char *const strangers[] = {"gw", "gw-", "gw-x", "gw-1x", "xgw-1", "gw-1234567890123456789"};
    for (size_t i = 0; i < array_size(strangers); i++) {
        CHECK(read_answer(&answer, &arena,
                          arena_printf(&arena, "{\"version\":1,\"clientToken\":\"%s\"}", strangers[i])));
        CHECK_INT((int64_t)answer.number, 0);
        CHECK(answer.has_token);
    }
    static const char *const wrong[] = {
        "", "[]", "{", "{\"state\":{}}", "{\"version\":-1}", "{\"version\":\"1\"}"};
    for (size_t i = 0; i < array_size(wrong); i++)
        CHECK(!read_answer(&answer, &arena, wrong[i]));
    arena_done(&arena);
}
