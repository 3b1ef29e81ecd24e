/* Plays conformance scripts: every case of the files given is a test, once for each version it names.
 *
 *      run_conformance [--only PATTERN] FILE...        --check: reads the files and plays nothing
 */
#include "mqtt/play.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct played {
    const struct script *script;
    const struct script_case *one;
    unsigned version;
    int (*run)(const struct script *script, const struct script_case *one, unsigned version, char **why);
};

static void run_one(void **state)
{
    const struct played *played = *state;
    char *why = NULL;
    int r = played->run(played->script, played->one, played->version, &why);
    if (r < 0)
        print_error("%s\n", why);
    free(why);
    assert_int_equal(r, 0);
}

static const struct {
    unsigned version;
    const char *name;
} versions[] = {{SCRIPT_31, "3.1"}, {SCRIPT_311, "3.1.1"}, {SCRIPT_5, "5.0"}};

/* A test a case and version; returns how many. */
static size_t add_tests(struct CMUnitTest *tests, struct played *played, const struct script *script,
                        bool check)
{
    size_t count = 0;
    for (size_t i = 0; i < script->count; i++)
        for (size_t v = 0; v < array_size(versions); v++) {
            if (!(script->cases[i].versions & versions[v].version))
                continue;
            played[count] =
                (struct played){script, &script->cases[i], versions[v].version, check ? play_check : play};
            tests[count] = (struct CMUnitTest){
                .name = str_printf("%s [%s]", script->cases[i].name, versions[v].name),
                .test_func = run_one,
                .initial_state = &played[count],
            };
            count++;
        }
    return count;
}

static char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        return NULL;
    }
    char *text = NULL;
    size_t size = 0;
    *len = 0;
    do {
        size = *len + 65536;
        char *larger = realloc(text, size);
        if (!larger)
            abort();
        text = larger;
        *len += fread(text + *len, 1, size - *len, f);
    } while (*len == size);
    (void)fclose(f);
    return text;
}

static int run_file(const char *path, bool check)
{
    size_t len;
    cleanup_free char *text = read_file(path, &len);
    if (!text)
        return 1;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    struct script script;
    cleanup_free char *why = NULL;
    if (script_parse(&script, name, text, len, &why) < 0) {
        (void)fprintf(stderr, "%s\n", why);
        return 1;
    }
    size_t most = script.count * array_size(versions);
    cleanup_free struct CMUnitTest *tests = mem_new_bytes((most + 1) * sizeof *tests);
    cleanup_free struct played *played = mem_new_bytes((most + 1) * sizeof *played);
    size_t count = add_tests(tests, played, &script, check);
    int failed = count ? _cmocka_run_group_tests(name, tests, count, NULL, NULL) : 1;
    for (size_t i = 0; i < count; i++)
        free((char *)tests[i].name);
    script_done(&script);
    return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
    bool check = false;
    int failed = 0, files = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--check") == 0)
            check = true;
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            cmocka_set_test_filter(argv[++i]);
        else
            failed |= run_file(argv[i], check), files++;
    }
    if (!files)
        (void)fprintf(stderr, "usage: run_conformance [--check] [--only PATTERN] FILE...\n");
    return failed || !files;
}
