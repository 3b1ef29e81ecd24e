/* Who wins where: rules for paths of a shadow's document.
 *
 *      desired: cloud  reported: local  reported.energy: max  desired.tags: union
 *
 * A path is desired or reported and names below it with dots between them; the longest one that leads to a value decides.
 * A rule is asked only when both sides have changed the value since they last agreed. Without a rule of its own desired is
 * the cloud's and reported ours.
 *
 * Names with a dot, a colon or a blank in them cannot be written: what is above them decides.
 *
 * Pure functions.
 */
#pragma once

#include "base/arena.h"

enum sync_direction { SYNC_BOTH, SYNC_UP, SYNC_DOWN };
/* both, up or down; -1: it is none of them. */
int sync_direction_of(const char *text);
const char *sync_direction_name(enum sync_direction direction);

enum sync_rule {
    SYNC_CLOUD,
    SYNC_LOCAL,
    SYNC_NEWEST, /* by the timestamps of the two services */
    SYNC_MAX,    /* of two numbers */
    SYNC_MIN,
    SYNC_UNION, /* of two arrays of scalars: what either has added and neither has removed */
};

struct sync_path_rule {
    const char *path;
    size_t len;
    enum sync_rule rule;
};

enum { SYNC_RULES_MAX = 256 };

struct sync_policy {
    struct sync_path_rule *rules;
    size_t count;
};

/* Rules point into `text`, the list is in the arena. 0, or -EINVAL with *expected saying what should stand at *at. */
int sync_policy_parse(struct sync_policy *ret, struct arena *arena, const char *text, const char **expected,
                      const char **at) must_check;
/* NULL, or what was expected. */
const char *sync_policy_check(const char *text);

/* For the path of a value, which begins with desired or reported. */
enum sync_rule sync_policy_rule(const struct sync_policy *policy, const char *path, size_t len);
/* What decides when the rule cannot, because the values are not of its kind. */
enum sync_rule sync_policy_default(const char *path, size_t len);

const char *sync_rule_name(enum sync_rule rule);
