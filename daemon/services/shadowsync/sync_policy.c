#include "services/shadowsync/sync_policy.h"

#include <errno.h>
#include <string.h>

static const char blanks[] = " \t\n";

static const char *const names[] = {
    [SYNC_CLOUD] = "cloud", [SYNC_LOCAL] = "local", [SYNC_NEWEST] = "newest",
    [SYNC_MAX] = "max",     [SYNC_MIN] = "min",     [SYNC_UNION] = "union",
};

static const char *const directions[] = {[SYNC_BOTH] = "both", [SYNC_UP] = "up", [SYNC_DOWN] = "down"};

int sync_direction_of(const char *text)
{
    for (size_t i = 0; i < array_size(directions); i++)
        if (strcmp(text, directions[i]) == 0)
            return (int)i;
    return -1;
}

const char *sync_direction_name(enum sync_direction direction)
{
    return directions[direction];
}

const char *sync_rule_name(enum sync_rule rule)
{
    return names[rule];
}

/* Is `prefix` the path or something above it? */
static bool leads_to(const char *prefix, size_t prefix_len, const char *path, size_t len)
{
    return prefix_len <= len && memcmp(prefix, path, prefix_len) == 0 &&
           (prefix_len == len || path[prefix_len] == '.');
}

static bool path_is_good(const char *path, size_t len)
{
    if (!leads_to("desired", 7, path, len) && !leads_to("reported", 8, path, len))
        return false;
    for (size_t i = 0; i < len; i++)
        if (path[i] == '.' && (i + 1 == len || path[i + 1] == '.'))
            return false;
    return true;
}

static bool is_named(const char *word, size_t len, enum sync_rule *ret)
{
    for (size_t i = 0; i < array_size(names); i++)
        if (strlen(names[i]) == len && memcmp(names[i], word, len) == 0) {
            *ret = (enum sync_rule)i;
            return true;
        }
    return false;
}

static bool is_there(const struct sync_policy *policy, const char *path, size_t len)
{
    for (size_t i = 0; i < policy->count; i++)
        if (policy->rules[i].len == len && memcmp(policy->rules[i].path, path, len) == 0)
            return true;
    return false;
}

int sync_policy_parse(struct sync_policy *ret, struct arena *arena, const char *text, const char **expected,
                      const char **at)
{
    struct sync_policy policy = {.rules = arena_alloc(arena, SYNC_RULES_MAX * sizeof *policy.rules)};
    while (*(text += strspn(text, blanks))) {
        size_t len = strcspn(text, ": \t\n");
        struct sync_path_rule rule = {.path = text, .len = len};
        const char *word = text + len + 1;
        *at = text;
        *expected = NULL;
        if (text[len] != ':')
            *expected = "PATH: RULE";
        else if (!path_is_good(text, len))
            *expected = "a path that begins with desired or reported, with dots between its names";
        else if (is_there(&policy, text, len))
            *expected = "every path once";
        else if (policy.count == SYNC_RULES_MAX)
            *expected = "at most 256 rules";
        if (*expected)
            return -EINVAL;
        word += strspn(word, blanks);
        len = strcspn(word, blanks);
        if (!is_named(word, len, &rule.rule)) {
            *expected = "cloud, local, newest, max, min or union behind PATH:";
            return -EINVAL;
        }
        policy.rules[policy.count++] = rule;
        text = word + len;
    }
    *ret = policy;
    return 0;
}

const char *sync_policy_check(const char *text)
{
    struct arena arena = {0};
    struct sync_policy policy;
    const char *expected = NULL, *at;
    int r = sync_policy_parse(&policy, &arena, text, &expected, &at);
    arena_done(&arena);
    return r < 0 ? expected : NULL;
}

enum sync_rule sync_policy_default(const char *path, size_t len)
{
    return leads_to("reported", 8, path, len) ? SYNC_LOCAL : SYNC_CLOUD;
}

enum sync_rule sync_policy_rule(const struct sync_policy *policy, const char *path, size_t len)
{
    const struct sync_path_rule *longest = NULL;
    for (size_t i = 0; i < policy->count; i++) {
        const struct sync_path_rule *rule = &policy->rules[i];
        if (leads_to(rule->path, rule->len, path, len) && (!longest || rule->len > longest->len))
            longest = rule;
    }
    return longest ? longest->rule : sync_policy_default(path, len);
}
