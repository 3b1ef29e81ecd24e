/* From argv to a call.
 *
 * First everything that begins with a dash is taken out, wherever it stands; of the words that are left the first, or the
 * first two, name the command. Only then it is known which options it takes. */
#include "cli/command.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum {
    GENERAL = option_bit(OPTION_RUNTIME) | option_bit(OPTION_JSON) | option_bit(OPTION_HELP) |
              option_bit(OPTION_VERSION)
};

#define SYSTEM_RUNTIME  "/run/gatehouse"
#define BY_HAND_RUNTIME "gatehouse-state/run"

/* ---- help ----------------------------------------------------------------------------------------------------------- */

static void print_name(FILE *out, const struct command *command)
{
    (void)fprintf(out, "%s%s%s", command->noun, command->verb ? " " : "", command->verb ? command->verb : "");
}

static void print_option(FILE *out, const struct option_row *row)
{
    char name[40];
    (void)snprintf(name, sizeof name, "--%s%s%s", row->name, row->value ? " " : "",
                   row->value ? row->value : "");
    if (row->letter)
        (void)fprintf(out, "  -%c, %-20s %s\n", row->letter, name, row->help);
    else
        (void)fprintf(out, "      %-20s %s\n", name, row->help);
}

static void print_options(FILE *out, uint64_t bits)
{
    for (unsigned i = 0; i < OPTIONS; i++)
        if (bits & option_bit(i))
            print_option(out, &option_rows[i]);
}

/* Those of one noun, or all. */
static void print_commands(FILE *out, const char *noun)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &commands[i];
        if (noun && strcmp(noun, command->noun) != 0)
            continue;
        int len = (int)strlen(command->noun) + (command->verb ? (int)strlen(command->verb) + 1 : 0);
        (void)fputs("  ", out);
        print_name(out, command);
        (void)fprintf(out, "%*s %s\n", len < 18 ? 18 - len : 0, "", command->help);
    }
}

static void print_program_help(FILE *out)
{
    (void)fputs("usage: gatehouse [--runtime DIR] [--json] COMMAND ...\n\n", out);
    print_commands(out, NULL);
    (void)fputs("\n", out);
    print_options(out, GENERAL);
    (void)fputs("\nThe runtime directory is $GATEHOUSE_RUNTIME without --runtime, else " SYSTEM_RUNTIME
                " if a daemon is there,\nelse ./" BY_HAND_RUNTIME ".\n"
                "Exit status: 0 done, 1 refused or not found, 2 usage, 3 cannot reach the daemon.\n"
                "`gatehouse COMMAND --help` says more of a command.\n",
                out);
}

static void print_noun_help(FILE *out, const char *noun)
{
    (void)fprintf(out, "usage: gatehouse %s COMMAND ...\n\n", noun);
    print_commands(out, noun);
}

static void print_command_help(FILE *out, const struct command *command)
{
    (void)fputs("usage: gatehouse ", out);
    print_name(out, command);
    (void)fprintf(out, "%s%s%s\n\n%s\n", command->options ? " [OPTION]..." : "",
                  *command->arguments ? " " : "", command->arguments, command->help);
    if (command->more)
        (void)fprintf(out, "%s\n", command->more);
    (void)fputs("\n", out);
    print_options(out, command->options);
    print_options(out, GENERAL);
}

/* ---- options -------------------------------------------------------------------------------------------------------- */

static int find_long(const char *name, size_t len)
{
    for (int i = 0; i < OPTIONS; i++)
        if (strlen(option_rows[i].name) == len && memcmp(option_rows[i].name, name, len) == 0)
            return i;
    return -1;
}

static int find_letter(char letter)
{
    for (int i = 0; i < OPTIONS; i++)
        if (option_rows[i].letter == letter)
            return i;
    return -1;
}

struct words {
    char *const *argv;
    int argc, at;
    FILE *err;
};

/* Gives an option its value: what stands behind it in the same word, or the next word. */
static bool set_option(struct call *call, struct words *words, int option, const char *value)
{
    const struct option_row *row = &option_rows[option];
    if (!row->value && value) {
        (void)fprintf(words->err, "gatehouse: --%s takes no value, found \"%s\"\n", row->name, value);
        return false;
    }
    if (row->value && !value) {
        if (words->at + 1 >= words->argc) {
            (void)fprintf(words->err, "gatehouse: --%s: expected %s behind it\n", row->name, row->value);
            return false;
        }
        value = words->argv[++words->at];
    }
    call->values[option] = value ? value : "";
    return true;
}

static bool take_long(struct call *call, struct words *words, const char *word)
{
    size_t len = strcspn(word, "=");
    int option = find_long(word, len);
    if (option < 0) {
        (void)fprintf(words->err, "gatehouse: unknown option --%s; expected one that --help shows\n", word);
        return false;
    }
    return set_option(call, words, option, word[len] ? word + len + 1 : NULL);
}

/* -s, -sr, -q1, -q 1 */
static bool take_letters(struct call *call, struct words *words, const char *word)
{
    for (const char *at = word; *at; at++) {
        int option = find_letter(*at);
        if (option < 0) {
            (void)fprintf(
                words->err,
                "gatehouse: unknown option -%s; expected one that --help shows, or -- before an argument "
                "that begins with a dash\n",
                at);
            return false;
        }
        bool takes_value = option_rows[option].value;
        if (!set_option(call, words, option, takes_value && at[1] ? at + 1 : NULL))
            return false;
        if (takes_value)
            break;
    }
    return true;
}

static bool take_word(struct call *call, struct words *words, const char *word)
{
    if (call->count == ARGUMENTS_MAX) {
        (void)fprintf(words->err, "gatehouse: expected at most %d arguments\n", ARGUMENTS_MAX);
        return false;
    }
    call->arguments[call->count++] = word;
    return true;
}

static bool take_words(struct call *call, struct words *words)
{
    bool dashes = true; /* "--" was not seen yet */
    for (; words->at < words->argc; words->at++) {
        const char *word = words->argv[words->at];
        bool good = true;
        if (!dashes || word[0] != '-' || !word[1])
            good = take_word(call, words, word);
        else if (strcmp(word, "--") == 0)
            dashes = false;
        else
            good = word[1] == '-' ? take_long(call, words, word + 2) : take_letters(call, words, word + 1);
        if (!good)
            return false;
    }
    return true;
}

/* ---- the command ---------------------------------------------------------------------------------------------------- */

static bool noun_exists(const char *noun)
{
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(commands[i].noun, noun) == 0)
            return true;
    return false;
}

static const struct command *find_command(const struct call *call)
{
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &commands[i];
        if (strcmp(command->noun, call->arguments[0]) == 0 &&
            (!command->verb || (call->count > 1 && strcmp(command->verb, call->arguments[1]) == 0)))
            return command;
    }
    return NULL;
}

/* "a, b or c": the nouns, or the verbs of one. */
static void print_choice(FILE *err, const char *noun)
{
    const char *found[64];
    size_t count = 0;
    for (size_t i = 0; i < command_count && count < array_size(found); i++) {
        if (noun && strcmp(commands[i].noun, noun) != 0)
            continue;
        const char *word = noun ? commands[i].verb : commands[i].noun;
        if (!count || strcmp(found[count - 1], word) != 0)
            found[count++] = word;
    }
    for (size_t i = 0; i < count; i++)
        (void)fprintf(err, "%s%s", i == 0 ? "" : (i + 1 < count ? ", " : " or "), found[i]);
    (void)fputs("\n", err);
}

static int say_unknown(const struct call *call, FILE *err)
{
    const char *noun = call->count && noun_exists(call->arguments[0]) ? call->arguments[0] : NULL;
    if (!call->count)
        (void)fputs("gatehouse: expected a command: ", err);
    else if (!noun)
        (void)fprintf(err, "gatehouse: unknown command \"%s\", expected ", call->arguments[0]);
    else if (call->count == 1)
        (void)fprintf(err, "gatehouse: %s: expected ", noun);
    else
        (void)fprintf(err, "gatehouse: %s: unknown command \"%s\", expected ", noun, call->arguments[1]);
    print_choice(err, noun);
    return CLI_USAGE;
}

static int say_wrong_count(const struct command *command, unsigned count, FILE *err)
{
    (void)fputs("gatehouse: ", err);
    print_name(err, command);
    if (*command->arguments)
        (void)fprintf(err, ": expected %s, found %u argument%s\n", command->arguments, count,
                      count == 1 ? "" : "s");
    else
        (void)fputs(": expected no arguments\n", err);
    return CLI_USAGE;
}

static int check_options(const struct call *call, FILE *err)
{
    uint64_t taken = call->command->options | GENERAL;
    for (unsigned i = 0; i < OPTIONS; i++) {
        if (!call->values[i] || taken & option_bit(i))
            continue;
        (void)fputs("gatehouse: ", err);
        print_name(err, call->command);
        (void)fprintf(err, " does not take --%s; expected only", option_rows[i].name);
        for (unsigned k = 0; k < OPTIONS; k++)
            if (taken & option_bit(k))
                (void)fprintf(err, " --%s", option_rows[k].name);
        (void)fputs("\n", err);
        return CLI_USAGE;
    }
    return CALL_RUN;
}

static int give_help(const struct call *call, FILE *out, FILE *err)
{
    if (call->command)
        print_command_help(out, call->command);
    else if (!call->count)
        print_program_help(out);
    else if (call->count == 1 && noun_exists(call->arguments[0]))
        print_noun_help(out, call->arguments[0]);
    else
        return say_unknown(call, err);
    return CLI_DONE;
}

int call_parse(struct call *call, int argc, char *const *argv, FILE *out, FILE *err)
{
    *call = (struct call){0};
    struct words words = {.argv = argv, .argc = argc, .at = 1, .err = err};
    if (!take_words(call, &words))
        return CLI_USAGE;
    call->command = call->count ? find_command(call) : NULL;
    if (call_has(call, OPTION_HELP))
        return give_help(call, out, err);
    if (call_has(call, OPTION_VERSION)) {
        (void)fputs("gatehouse " GATEHOUSE_VERSION "\n", out);
        return CLI_DONE;
    }
    if (!call->command)
        return say_unknown(call, err);

    const struct command *command = call->command;
    unsigned words_of_name = command->verb ? 2 : 1;
    call->count -= words_of_name;
    memmove(call->arguments, call->arguments + words_of_name, call->count * sizeof *call->arguments);
    if (call->count < command->min || call->count > command->max)
        return say_wrong_count(command, call->count, err);
    return check_options(call, err);
}

/* ---- what commands ask of their call --------------------------------------------------------------------------------- */

int call_usage(const struct call *call, const char *format, ...)
{
    (void)fputs("gatehouse: ", stderr);
    print_name(stderr, call->command);
    (void)fputs(": ", stderr);
    va_list args;
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputs("\n", stderr);
    return CLI_USAGE;
}

bool call_number(const struct call *call, enum option option, uint32_t min, uint32_t max, uint32_t fallback,
                 uint32_t *ret)
{
    const char *text = call->values[option];
    if (!text) {
        *ret = fallback;
        return true;
    }
    uint64_t value = 0;
    size_t digits = strspn(text, "0123456789");
    for (size_t i = 0; i < digits && value <= max; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    if (!digits || text[digits] || value < min || value > max) {
        (void)call_usage(call, "--%s: expected a whole number from %u to %u, found \"%s\"",
                         option_rows[option].name, min, max, text);
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

char *call_runtime(const struct call *call)
{
    if (call_has(call, OPTION_RUNTIME))
        return str_copy(call->values[OPTION_RUNTIME]);
    const char *environment = getenv("GATEHOUSE_RUNTIME");
    if (environment && *environment)
        return str_copy(environment);
    return str_copy(access(SYSTEM_RUNTIME "/control.sock", F_OK) == 0 ? SYSTEM_RUNTIME : BY_HAND_RUNTIME);
}

int call_link(const struct call *call, struct link **ret)
{
    cleanup_free char *runtime = call_runtime(call);
    return link_open(ret, runtime);
}
