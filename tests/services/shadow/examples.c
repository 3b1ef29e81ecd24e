#include "examples.h"

#include "base/json_write.h"
#include "rig/test.h"

#include <stdio.h>

struct json *examples_load(struct arena *arena)
{
    FILE *file = fopen(EXAMPLES_FILE, "re");
    if (!file)
        FAIL("%s cannot be opened", EXAMPLES_FILE);
    enum { FILE_MAX = 1 << 20 };
    char *text = arena_alloc(arena, FILE_MAX);
    size_t len = fread(text, 1, FILE_MAX, file);
    (void)fclose(file);
    struct json *json = NULL;
    struct json_error error;
    if (json_parse(&json, arena, text, len, &error) != 0)
        FAIL("%s:%u:%u: expected %s", EXAMPLES_FILE, error.line, error.column, error.expected);
    return json;
}

const char *examples_text(struct arena *arena, const struct json *object, const char *key)
{
    const char *text = NULL;
    CHECK(json_text(json_get(object, key), arena, &text));
    return text;
}

const char *examples_update_topic(struct arena *arena, const struct json *example)
{
    const char *topic = examples_text(arena, json_first(json_get(example, "steps")), "topic");
    size_t len = strlen(topic);
    while (topic[len - 1] != '/')
        len--;
    return arena_printf(arena, "%.*supdate", (int)len, topic);
}

void examples_check(const struct json *example, const char *text, const struct json *expected)
{
    struct arena arena;
    arena_init(&arena);
    struct json *actual = NULL;
    bool same =
        text && json_parse(&actual, &arena, text, strlen(text), NULL) == 0 && json_equal(actual, expected);
    if (!same) {
        print_error("example %s\n    said     %s\n    expected %s\n",
                    json_write(&arena, json_get(example, "number"), NULL), text ? text : "nothing",
                    json_write(&arena, expected, NULL));
        arena_done(&arena);
        FAIL("the answer is another");
    }
    arena_done(&arena);
}
