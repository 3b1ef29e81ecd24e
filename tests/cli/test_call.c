#include "cli/command.h"

#include "rig/test.h"

#include <stdlib.h>

/* What a command line became, and what was said about it. */
struct parsed {
    struct call call;
    int code;
    char out[16384], err[4096];
};

static void take(FILE *file, char *text, size_t size)
{
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    (void)fclose(file);
}

/* Words are separated by one blank; '_' is an empty word. */
static struct parsed *parse(const char *line)
{
    static struct parsed parsed;
    static char words[1024], *argv[128];
    (void)snprintf(words, sizeof words, "gatehouse %s", line);
    int argc = 0;
    for (char *at = words; at && *at;) {
        argv[argc++] = at;
        at = strchr(at, ' ');
        if (at)
            *at++ = '\0';
    }
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "_") == 0)
            *argv[i] = '\0';
    parsed = (struct parsed){0};
    FILE *out = tmpfile(), *err = tmpfile();
    parsed.code = call_parse(&parsed.call, argc, argv, out, err);
    take(out, parsed.out, sizeof parsed.out);
    take(err, parsed.err, sizeof parsed.err);
    return &parsed;
}

#define CHECK_SAYS(text, part)                                                                               \
    do                                                                                                       \
        if (!strstr(text, part))                                                                             \
            FAIL("expected \"%s\" in \"%s\"", part, text);                                                   \
    while (0)

static void check_usage(const char *line, const char *said)
{
    struct parsed *p = parse(line);
    CHECK_INT(p->code, CLI_USAGE);
    CHECK_SAYS(p->err, said);
    CHECK_STR(p->out, "");
}

TEST(a_command_is_one_word_or_two)
{
    struct parsed *p = parse("pub a/b 1");
    CHECK_INT(p->code, CALL_RUN);
    CHECK(p->call.command->run == cmd_pub);
    CHECK_INT(p->call.count, 2);
    CHECK_STR(p->call.arguments[0], "a/b");

    p = parse("shadow get thing");
    CHECK_INT(p->code, CALL_RUN);
    CHECK(p->call.command->run == cmd_shadow_get);
    CHECK_INT(p->call.count, 1);
    CHECK_STR(p->call.arguments[0], "thing");
}

TEST(options_may_stand_anywhere)
{
    static const char *const lines[] = {"--json --runtime /r sub -q 1 a", "sub a --qos 1 --runtime=/r --json",
                                        "sub --qos=1 --json a --runtime /r", "--json sub -q1 --runtime=/r a"};
    for (size_t i = 0; i < array_size(lines); i++) {
        struct parsed *p = parse(lines[i]);
        CHECK_INT(p->code, CALL_RUN);
        CHECK(p->call.command->run == cmd_sub);
        CHECK(call_has(&p->call, OPTION_JSON));
        CHECK_STR(p->call.values[OPTION_RUNTIME], "/r");
        CHECK_STR(p->call.values[OPTION_QOS], "1");
        CHECK_INT(p->call.count, 1);
        CHECK_STR(p->call.arguments[0], "a");
    }
}

TEST(letters_may_stand_together)
{
    struct parsed *p = parse("pub -rsq2 a");
    CHECK_INT(p->code, CALL_RUN);
    CHECK(call_has(&p->call, OPTION_RETAIN) && call_has(&p->call, OPTION_STDIN));
    CHECK_STR(p->call.values[OPTION_QOS], "2");
}

TEST(behind_two_dashes_everything_is_an_argument)
{
    struct parsed *p = parse("pub t -- --json");
    CHECK_INT(p->code, CALL_RUN);
    CHECK(!call_has(&p->call, OPTION_JSON));
    CHECK_STR(p->call.arguments[1], "--json");
    check_usage("pub t -5", "--");
}

TEST(a_dash_alone_and_an_empty_word_are_arguments)
{
    struct parsed *p = parse("shadow update t -");
    CHECK_INT(p->code, CALL_RUN);
    CHECK_STR(p->call.arguments[1], "-");
    p = parse("pub t _");
    CHECK_INT(p->code, CALL_RUN);
    CHECK_STR(p->call.arguments[1], "");
}

TEST(what_is_unknown_is_answered_with_what_was_expected)
{
    check_usage("", "plugin, thing, group, ca, cert, user, can, audit, policy, template or uplink");
    check_usage("_", "unknown command \"\"");
    check_usage("stat", "\"stat\", expected status, metrics, pub");
    check_usage("uplink", "expected list, status, cut, restore or simulate");
    check_usage("uplink mend x", "\"mend\", expected list, status, cut, restore or simulate");
    check_usage("stream list now", "expected no arguments");
    check_usage("plugin restart", "expected NAME, found 0 arguments");
    check_usage("shadow get a b", "expected THING, found 2 arguments");
    check_usage("--jsn status", "--jsn");
    check_usage("status -x", "-x");
    check_usage("status --qos 1", "does not take --qos; expected only --runtime --json");
    check_usage("status --json=yes", "--json takes no value");
    check_usage("status --runtime", "expected DIR");
}

TEST(every_command_has_help_and_so_have_nouns_and_the_program)
{
    CHECK_INT(parse("--help")->code, CLI_DONE);
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &commands[i];
        char name[64], line[80];
        (void)snprintf(name, sizeof name, "%s%s%s", command->noun, command->verb ? " " : "",
                       command->verb ? command->verb : "");
        CHECK_SAYS(parse("--help")->out, command->help);
        (void)snprintf(line, sizeof line, "%s --help", name);
        struct parsed *p = parse(line);
        CHECK_INT(p->code, CLI_DONE);
        CHECK_STR(p->err, "");
        CHECK_SAYS(p->out, name);
        CHECK_SAYS(p->out, command->help);
        CHECK_SAYS(p->out, command->arguments);
        (void)snprintf(line, sizeof line, "%s -h", command->noun);
        p = parse(line);
        CHECK_INT(p->code, CLI_DONE);
        CHECK_SAYS(p->out, command->help);
    }
    check_usage("nonsense --help", "unknown command \"nonsense\"");
}

TEST(commands_of_one_noun_stand_together)
{
    /* The list of what was expected relies on it. */
    for (size_t i = 0; i < command_count; i++)
        for (size_t k = i + 2; k < command_count; k++)
            if (strcmp(commands[i].noun, commands[k].noun) == 0)
                CHECK_STR(commands[k - 1].noun, commands[k].noun);
}

TEST(the_version_is_told)
{
    struct parsed *p = parse("--version");
    CHECK_INT(p->code, CLI_DONE);
    CHECK_STR(p->out, "gatehouse " GATEHOUSE_VERSION "\n");
}

TEST(a_number_is_whole_and_within_its_range)
{
    static const struct {
        const char *text;
        bool good;
        uint32_t value;
    } cases[] = {{"0", false, 0},          {"1", true, 1},
                 {"007", true, 7},         {"4294967295", true, UINT32_MAX},
                 {"4294967296", false, 0}, {"99999999999999999999999", false, 0},
                 {"-1", false, 0},         {"1.0", false, 0},
                 {"", false, 0},           {"1 ", false, 0},
                 {"x", false, 0}};
    struct parsed *p = parse("sub a");
    uint32_t value;
    CHECK(call_number(&p->call, OPTION_COUNT, 1, UINT32_MAX, 42, &value));
    CHECK_INT(value, 42);
    for (size_t i = 0; i < array_size(cases); i++) {
        p->call.values[OPTION_COUNT] = cases[i].text;
        CHECK_INT(call_number(&p->call, OPTION_COUNT, 1, UINT32_MAX, 42, &value), cases[i].good);
        if (cases[i].good)
            CHECK_INT(value, cases[i].value);
    }
}

TEST(the_runtime_directory_is_the_option_else_the_environment)
{
    CHECK_INT(setenv("GATEHOUSE_RUNTIME", "/of/environment", 1), 0);
    cleanup_free char *given = call_runtime(&parse("status --runtime /given")->call);
    cleanup_free char *environment = call_runtime(&parse("status")->call);
    CHECK_STR(given, "/given");
    CHECK_STR(environment, "/of/environment");
    CHECK_INT(unsetenv("GATEHOUSE_RUNTIME"), 0);
    cleanup_free char *fallback = call_runtime(&parse("status")->call);
    CHECK(strcmp(fallback, "/run/gatehouse") == 0 || strcmp(fallback, "gatehouse-state/run") == 0);
}
