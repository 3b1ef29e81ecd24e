/* The test rig's face: a test is a sentence about behaviour.
 *
 *      TEST(a_topic_with_a_wildcard_is_not_a_topic_name)
 *      {
 *          CHECK(!topic_is_valid("a/+", 3));
 *      }
 *
 * Tests of a program register themselves before main() and run in the order of the file, under cmocka. A check that
 * fails ends its test, names file and line, and the next test runs. A test that cannot run here says why: SKIP("…").
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

void rig_register(const char *name, void (*run)(void));

#define TEST(name)                                                                                           \
    static void name(void);                                                                                  \
    __attribute__((constructor)) static void name##_register(void)                                           \
    {                                                                                                        \
        rig_register(#name, name);                                                                           \
    }                                                                                                        \
    static void name(void)

#define CHECK(expression)           _assert_true((uintptr_t)(expression), #expression, __FILE__, __LINE__)
#define CHECK_INT(actual, expected) rig_check_int((actual), (expected), #actual, __FILE__, __LINE__)
#define CHECK_STR(actual, expected) rig_check_str((actual), (expected), #actual, __FILE__, __LINE__)
#define CHECK_MEM(actual, len, expected, expected_len)                                                       \
    rig_check_mem((actual), (len), (expected), (expected_len), #actual, __FILE__, __LINE__)
#define FAIL(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))
#define SKIP(why) (print_message("skipped: %s\n", why), skip())

void rig_check_int(int64_t actual, int64_t expected, const char *what, const char *file, int line);
void rig_check_str(const char *actual, const char *expected, const char *what, const char *file, int line);
void rig_check_mem(const void *actual, size_t len, const void *expected, size_t expected_len,
                   const char *what, const char *file, int line);
