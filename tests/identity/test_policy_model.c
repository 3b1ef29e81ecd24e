/* Random policies and requests: the compiled evaluator and the model decide the same, and what lint says of patterns and
 * statements is so. The long form: POLICY_SEED=7 POLICY_TIMES=100, so many times the rounds with other numbers. */
#include "identity/policy_cover.h"
#include "identity/policy_lint.h"
#include "policy_model.h"
#include "policy_rig.h"

#include <stdio.h>
#include <stdlib.h>

enum { POLICY_ROUNDS = 4000, REQUESTS = 12, TEXT_MAX = 2000 };

/* The same numbers in every run: a failure comes again. */
static uint64_t state;

static long asked_for(const char *name, long fallback)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : fallback;
}

static void begin(uint64_t seed)
{
    state = seed + (uint64_t)asked_for("POLICY_SEED", 0) * 1000003;
}

static long times(long rounds)
{
    return rounds * asked_for("POLICY_TIMES", 1);
}

static unsigned pick(unsigned below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % below;
}

static const char *one_of(const char *const *list, size_t count)
{
    return list[pick((unsigned)count)];
}
#define ONE_OF(list) one_of(list, array_size(list))

struct text {
    char bytes[TEXT_MAX];
    size_t len;
};

static void put(struct text *text, const char *what)
{
    size_t len = strlen(what);
    if (text->len + len < sizeof text->bytes) {
        memcpy(text->bytes + text->len, what, len + 1);
        text->len += len;
    }
}

/* ---- what there is to say -------------------------------------------------------------------------------------------- */

static const char *const actions[] = {
    "Connect", "Publish",        "RetainPublish",        "Subscribe",
    "Receive", "GetThingShadow", "ListRetainedMessages", "UpdateJobExecution"};
static const char *const kinds[] = {"client/", "topic/", "topic/", "topicfilter/",
                                    "topic/",  "thing/", "*",      "thing/"};
static const char *const action_patterns[] = {"*",
                                              "iot:*",
                                              "iot:Publish",
                                              "IOT:publish",
                                              "iot:Conn?ct",
                                              "iot:Subscribe",
                                              "iot:Receive",
                                              "iot:*Publish",
                                              "iot:Get*",
                                              "iotjobsdata:Update*",
                                              "iot:Re*",
                                              "iot:?????????",
                                              "greengrass:*",
                                              "iotjobsdata:*"};
/* Few letters, so that texts and patterns meet often. */
static const char *const letters[] = {"a", "b", "/", "a", "ab",       "+",
                                      "#", "*", "?", "$", "\xC3\xA9", "\xE2\x82\xAC"};
static const char *const pattern_parts[] = {"a",
                                            "b",
                                            "/",
                                            "*",
                                            "*",
                                            "?",
                                            "ab",
                                            "+",
                                            "#",
                                            "${*}",
                                            "${?}",
                                            "${$}",
                                            "$",
                                            "${",
                                            "}",
                                            "${iot:ClientId}",
                                            "${IOT:clientid}",
                                            "${iot:Connection.Thing.ThingName}",
                                            "${iot:Certificate.Subject.Organization}",
                                            "${iot:Certificate.Subject.Organization.1}",
                                            "${}",
                                            "${nothing}",
                                            "\xC3\xA9",
                                            "\xE2\x82\xAC"};
static const char *const places[] = {"arn:aws:iot:local:000000000000:",
                                     "arn:aws:iot:*:*:",
                                     "arn:aws:iot:l?cal:*:",
                                     "arn:*:",
                                     "arn:aws:iot:other:1:",
                                     "arn:*"};
static const char *const keys[] = {"iot:ClientId",
                                   "aws:SourceIp",
                                   "iot:Connection.Thing.ThingName",
                                   "iot:Certificate.Subject.Organization",
                                   "iot:Certificate.Subject.Organization.List",
                                   "iot:Certificate.Subject.Organization.1",
                                   "iot:ConnectAttributes",
                                   "iot:LastWillTopic",
                                   "iot:Connection.Thing.IsAttached",
                                   "nothing"};
static const char *const string_operators[] = {
    "StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase",
    "StringLike",   "StringNotLike"};
static const char *const arn_operators[] = {"ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"};
static const char *const quantifiers[] = {"", "", "ForAllValues:", "ForAnyValue:"};
static const char *const networks[] = {"10.0.0.0/8", "10.1.2.3", "10.1.0.0/15", "192.168.0.0/16",
                                       "0.0.0.0/0"};

static void put_pattern(struct text *text, bool small)
{
    for (unsigned n = pick(small ? 3 : 7); n; n--)
        put(text, ONE_OF(pattern_parts));
}

static void put_resource(struct text *text)
{
    static const char *const some[] = {"client/", "topic/", "topicfilter/", "thing/", "t*/", "*"};
    put(text, "\"");
    if (pick(8) == 0) {
        put(text, "*");
    } else {
        put(text, ONE_OF(places));
        put(text, ONE_OF(some));
        put_pattern(text, false);
    }
    put(text, "\"");
}

static void put_action(struct text *text)
{
    put(text, "\"");
    put(text, ONE_OF(action_patterns));
    put(text, "\"");
}

static void put_list(struct text *text, void (*put_one)(struct text *text), unsigned least)
{
    unsigned count = pick(4);
    if (count == 1 || (count == 0 && least)) {
        put_one(text);
        return;
    }
    put(text, "[");
    for (unsigned i = 0; i < count; i++) {
        put(text, i ? "," : "");
        put_one(text);
    }
    put(text, "]");
}

static void put_string_operand(struct text *text)
{
    put(text, "\"");
    put_pattern(text, true);
    put(text, "\"");
}

static void put_arn_operand(struct text *text)
{
    put(text, pick(2) ? "\"arn:aws:iot:*:*:topic/" : "\"arn:*:iot:local:000000000000:t");
    put_pattern(text, true);
    put(text, "\"");
}

static void put_network(struct text *text)
{
    put(text, "\"");
    put(text, ONE_OF(networks));
    put(text, "\"");
}

static void put_truth(struct text *text)
{
    static const char *const truths[] = {"true", "false", "\"true\"", "\"FALSE\""};
    put(text, ONE_OF(truths));
}

static void put_condition(struct text *text)
{
    unsigned kind = pick(8);
    put(text, "\"");
    if (kind != 7)
        put(text, ONE_OF(quantifiers));
    put(text, kind < 4   ? ONE_OF(string_operators)
              : kind < 5 ? (pick(2) ? "IpAddress" : "NotIpAddress")
              : kind < 6 ? ONE_OF(arn_operators)
              : kind < 7 ? "Bool"
                         : "Null");
    if (kind != 7 && pick(4) == 0)
        put(text, "IfExists");
    put(text, "\":{\"");
    put(text, ONE_OF(keys));
    put(text, "\":");
    put_list(text,
             kind < 4   ? put_string_operand
             : kind < 5 ? put_network
             : kind < 6 ? put_arn_operand
                        : put_truth,
             0);
    put(text, "}");
}

static void put_statement(struct text *text)
{
    put(text, pick(3) ? "{\"Effect\":\"Allow\",\"" : "{\"Effect\":\"Deny\",\"");
    put(text, pick(10) ? "Action\":" : "NotAction\":");
    put_list(text, put_action, 1);
    put(text, pick(10) ? ",\"Resource\":" : ",\"NotResource\":");
    put_list(text, put_resource, 1);
    if (pick(3) == 0) {
        put(text, ",\"Condition\":{");
        put_condition(text);
        put(text, "}");
    }
    put(text, "}");
}

/* An action or a resource that is an empty list is no policy: those are made anew. */
static void make_document(struct text *text)
{
    do {
        *text = (struct text){0};
        put(text, "{\"Version\":\"2012-10-17\",\"Statement\":[");
        for (unsigned n = 1 + pick(3), i = 0; i < n; i++) {
            put(text, i ? "," : "");
            put_statement(text);
        }
        put(text, "]}");
    } while (strstr(text->bytes, "Action\":[]") || strstr(text->bytes, "Resource\":[]") ||
             text->bytes[text->len - 1] != '}' || text->bytes[text->len - 2] != ']');
}

static void make_word(struct text *text)
{
    *text = (struct text){0};
    for (unsigned n = 1 + pick(5); n; n--)
        put(text, ONE_OF(letters));
}

/* ---- asking ---------------------------------------------------------------------------------------------------------- */

struct known {
    struct model_known rows[MODEL_KNOWN_MAX];
    struct text words[MODEL_KNOWN_MAX];
    size_t count, words_count;
};

static void know(struct known *known, const char *key, const char *value)
{
    struct model_known *row = NULL;
    for (size_t i = 0; i < known->count; i++)
        if (strcmp(known->rows[i].key, key) == 0)
            row = &known->rows[i];
    if (!row) {
        row = &known->rows[known->count++];
        *row = (struct model_known){.key = key};
    }
    if (value)
        row->values[row->count++] = value;
}

static const char *word(struct known *known)
{
    struct text *text = &known->words[known->words_count++];
    make_word(text);
    return text->bytes;
}

static void make_known(struct known *known)
{
    static const char *const addresses[] = {"10.1.2.3", "10.9.0.1", "192.168.7.7", "172.16.0.1"};
    static const char *const wills[] = {"arn:aws:iot:local:000000000000:topic/a",
                                        "arn:aws:iot:local:000000000000:topic/a/b"};
    *known = (struct known){0};
    if (pick(4))
        know(known, "iot:ClientId", word(known));
    if (pick(4))
        know(known, "aws:SourceIp", ONE_OF(addresses));
    if (pick(2))
        know(known, "iot:Connection.Thing.ThingName", word(known));
    know(known, "iot:Connection.Thing.IsAttached", pick(2) ? "true" : "false");
    for (unsigned n = pick(3) ? pick(4) : 0; n; n--)
        know(known, "iot:Certificate.Subject.Organization", pick(2) ? "a" : word(known));
    if (pick(2)) {
        know(known, "iot:ConnectAttributes", NULL);
        if (pick(2))
            know(known, "iot:ConnectAttributes", "a");
        if (pick(2))
            know(known, "iot:ConnectAttributes", "b");
    }
    if (pick(3) == 0)
        know(known, "iot:LastWillTopic", ONE_OF(wills));
}

static struct policy_rig *make_rig(const struct text *documents, size_t count, const struct known *known)
{
    struct policy_rig *rig = policy_rig_new();
    for (size_t i = 0; i < count; i++) {
        struct policy_error error;
        if (policy_compile(&rig->policies[i], "p", documents[i].bytes, documents[i].len, &error) != 0)
            FAIL("%s: %u:%u: %s", documents[i].bytes, error.line, error.column, error.text);
        rig->set.count++;
    }
    for (size_t i = 0; i < known->count; i++) {
        policy_context_add_key(&rig->context, known->rows[i].key);
        for (size_t k = 0; k < known->rows[i].count; k++)
            policy_rig_know(rig, known->rows[i].key, known->rows[i].values[k]);
    }
    return rig;
}

TEST(random_policies_decide_as_the_model_does)
{
    static struct known known;
    static struct text documents[2], name, resource;
    unsigned tally[POLICY_ALLOWED + 1] = {0};
    begin(20121017);
    for (int round = 0; round < times(POLICY_ROUNDS); round++) {
        size_t count = 1 + pick(2);
        const char *texts[2] = {documents[0].bytes, documents[1].bytes};
        for (size_t i = 0; i < count; i++)
            make_document(&documents[i]);
        make_known(&known);
        cleanup(policy_rig_free_p) struct policy_rig *rig = make_rig(documents, count, &known);
        for (int i = 0; i < REQUESTS; i++) {
            unsigned action = pick(array_size(actions));
            make_word(&name);
            resource = (struct text){0};
            put(&resource, kinds[action]);
            if (*kinds[action] != '*')
                put(&resource, pick(6) == 0 && known.rows[0].count ? known.rows[0].values[0] : name.bytes);
            const char *expected =
                model_decide(texts, count, known.rows, known.count, actions[action], resource.bytes);
            const char *decided = policy_rig_ask(rig, actions[action], resource.bytes);
            if (strcmp(decided, expected) != 0)
                FAIL("round %d: %s on %s: %s, by the model %s\n%s\n%s", round, actions[action],
                     resource.bytes, decided, expected, texts[0], count == 2 ? texts[1] : "");
            tally[rig->verdict.decision]++;
        }
    }
    /* It was about something: each answer was given often. */
    for (int i = 0; i <= POLICY_ALLOWED; i++)
        CHECK(tally[i] > times(POLICY_ROUNDS) * REQUESTS / 20);
    print_message("%u allowed, %u explicitly denied, %u implicitly denied\n", tally[POLICY_ALLOWED],
                  tally[POLICY_EXPLICIT_DENY], tally[POLICY_IMPLICIT_DENY]);
}

/* ---- what lint relies on --------------------------------------------------------------------------------------------- */

static struct policy_pattern make_pattern(struct arena *arena, struct text *text)
{
    *text = (struct text){0};
    put_pattern(text, false);
    return policy_pattern_compile(arena, text->bytes, text->len, true);
}

/* A text that the pattern matches, unless a variable has no value. */
static void make_fitting(const struct policy_pattern *pattern, const struct policy_context *context,
                         struct text *text)
{
    *text = (struct text){0};
    for (uint32_t i = 0; i < pattern->count; i++) {
        const struct policy_piece *piece = &pattern->pieces[i];
        char literal[64];
        struct policy_text value;
        switch (piece->kind) {
        case POLICY_LITERAL:
            (void)snprintf(literal, sizeof literal, "%.*s", (int)piece->len, piece->text);
            put(text, literal);
            break;
        case POLICY_ANY: put(text, pick(2) ? ONE_OF(letters) : ""); break;
        case POLICY_ONE: put(text, pick(2) ? "a" : "\xC3\xA9"); break;
        case POLICY_VARIABLE:
            if (policy_context_substitute(context, piece->key, &value))
                put(text, value.text);
        }
    }
}

TEST(what_a_pattern_covers_it_matches)
{
    static struct known known;
    static struct text general_text, specific_text, name;
    struct arena arena;
    unsigned covered = 0, matched = 0;
    begin(42);
    arena_init(&arena);
    for (int round = 0; round < times(20 * POLICY_ROUNDS); round++) {
        arena_reset(&arena);
        struct policy_pattern general = make_pattern(&arena, &general_text);
        struct policy_pattern specific = make_pattern(&arena, &specific_text);
        if (!policy_pattern_covers(&arena, &general, &specific))
            continue;
        covered++;
        make_known(&known);
        cleanup(policy_rig_free_p) struct policy_rig *rig = make_rig(NULL, 0, &known);
        struct policy_match match = {.context = &rig->context};
        for (int i = 0; i < REQUESTS; i++) {
            make_fitting(&specific, &rig->context, &name);
            if (!policy_pattern_matches(&specific, &match, name.bytes, name.len))
                continue;
            matched++;
            if (!policy_pattern_matches(&general, &match, name.bytes, name.len))
                FAIL("%s does not cover %s: %s", general_text.bytes, specific_text.bytes, name.bytes);
        }
    }
    arena_done(&arena);
    print_message("%u covered, %u texts matched\n", covered, matched);
    CHECK(covered > 1000 && matched > 1000);
}

TEST(patterns_that_do_not_meet_match_nothing_in_common)
{
    static struct known known;
    static struct text one_text, other_text, name;
    struct arena arena;
    unsigned apart = 0, matched = 0;
    begin(43);
    arena_init(&arena);
    for (int round = 0; round < times(5 * POLICY_ROUNDS); round++) {
        arena_reset(&arena);
        struct policy_pattern one = make_pattern(&arena, &one_text),
                              other = make_pattern(&arena, &other_text);
        bool as_topic = pick(2), meets = policy_pattern_meets(&arena, &one, &other, as_topic);
        apart += !meets;
        make_known(&known);
        cleanup(policy_rig_free_p) struct policy_rig *rig = make_rig(NULL, 0, &known);
        struct policy_match match = {.context = &rig->context};
        for (int i = 0; i < REQUESTS; i++) {
            make_fitting(pick(2) ? &one : &other, &rig->context, &name);
            if ((as_topic && strpbrk(name.bytes, "+#")) ||
                !policy_pattern_matches(&one, &match, name.bytes, name.len) ||
                !policy_pattern_matches(&other, &match, name.bytes, name.len))
                continue;
            matched++;
            if (!meets)
                FAIL("%s and %s meet at %s", one_text.bytes, other_text.bytes, name.bytes);
        }
    }
    arena_done(&arena);
    print_message("%u do not meet, %u texts matched both of others\n", apart, matched);
    CHECK(apart > 1000 && matched > 1000);
}

TEST(a_statement_that_lint_calls_unreachable_decides_nothing)
{
    static struct known known;
    static struct text document, name, resource;
    struct arena arena;
    unsigned taken_out = 0;
    begin(44);
    arena_init(&arena);
    for (int round = 0; round < times(2 * POLICY_ROUNDS); round++) {
        arena_reset(&arena);
        make_document(&document);
        make_known(&known);
        cleanup(policy_rig_free_p) struct policy_rig *rig = make_rig(&document, 1, &known);
        struct policy_finding *findings;
        size_t count = policy_lint(rig->policies[0], &arena, &findings);
        for (size_t i = 0; i < count; i++) {
            struct policy_statement *statement = &rig->policies[0]->statements[findings[i].statement];
            if (findings[i].kind != POLICY_UNREACHABLE || strncmp(findings[i].text, "it ", 3) != 0)
                continue;
            taken_out++;
            for (int k = 0; k < REQUESTS; k++) {
                unsigned action = pick(array_size(actions));
                make_word(&name);
                resource = (struct text){0};
                put(&resource, kinds[action]);
                put(&resource, *kinds[action] == '*' ? "" : name.bytes);
                const char *decided = policy_rig_ask(rig, actions[action], resource.bytes);
                uint32_t kept = statement->actions;
                statement->actions = 0;
                CHECK_STR(policy_rig_ask(rig, actions[action], resource.bytes), decided);
                statement->actions = kept;
            }
        }
    }
    arena_done(&arena);
    CHECK(taken_out > 500);
}
