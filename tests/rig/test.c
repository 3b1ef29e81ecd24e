#include "rig/test.h"

#include <stdio.h>
#include <stdlib.h>

enum { TESTS_MAX = 1024 };

static struct CMUnitTest tests[TESTS_MAX];
static void (*runs[TESTS_MAX])(void);
static size_t count;

static void run_one(void **state)
{
    size_t i = (size_t)(uintptr_t)*state;
    runs[i]();
}

void rig_register(const char *name, void (*run)(void))
{
    if (count == TESTS_MAX)
        abort();
    runs[count] = run;
    tests[count] =
        (struct CMUnitTest){.name = name, .test_func = run_one, .initial_state = (void *)(uintptr_t)count};
    count++;
}

void rig_check_int(int64_t actual, int64_t expected, const char *what, const char *file, int line)
{
    if (actual == expected)
        return;
    print_error("%s is %lld, expected %lld\n", what, (long long)actual, (long long)expected);
    _fail(file, line);
}

void rig_check_str(const char *actual, const char *expected, const char *what, const char *file, int line)
{
    if (actual && expected && strcmp(actual, expected) == 0)
        return;
    print_error("%s is\n    \"%s\"\nexpected\n    \"%s\"\n", what, actual ? actual : "(null)",
                expected ? expected : "(null)");
    _fail(file, line);
}

static void dump(const char *title, const uint8_t *bytes, size_t len)
{
    print_error("%s (%zu bytes):", title, len);
    for (size_t i = 0; i < len && i < 256; i++)
        print_error("%s%02x", i % 32 ? " " : "\n    ", bytes[i]);
    print_error("\n");
}

void rig_check_mem(const void *actual, size_t len, const void *expected, size_t expected_len,
                   const char *what, const char *file, int line)
{
    if (len == expected_len && (len == 0 || memcmp(actual, expected, len) == 0))
        return;
    dump(what, actual, len);
    dump("expected", expected, expected_len);
    _fail(file, line);
}

int main(int argc, char **argv)
{
    if (argc > 1) /* test_x 'name*' runs only those */
        cmocka_set_test_filter(argv[1]);
    return _cmocka_run_group_tests(argv[0], tests, count, NULL, NULL);
}
