/* Three documents become one: what both sides had when they last agreed, what is here now, what is at the cloud now.
 *
 *      base   {"desired":{"speed":1,"mode":"auto"},"reported":{…}}
 *      local  {"desired":{"speed":2,"mode":"auto"},…}             speed was changed here alone: 2
 *      cloud  {"desired":{"speed":1,"mode":"eco"},…}              mode was changed there alone: eco
 *
 * A value that one side has changed is that side's; deleting is a change. What both have changed, differently, is decided
 * by the rule of its path. Objects are not values: their members are, one by one, and one side's missing object is one
 * without members. Arrays are values. A value that is there outlives a deletion, unless the rule names a side.
 *
 * A document is its state, {"desired":…,"reported":…}, as sync_doc.h reads it: NULL when there is none, sections that would
 * be empty left out. When one side has deleted its document and the other changed it, it stays as that one has it.
 *
 * Pure: no clock, no I/O. Results share what is below them with what they were made from, which must not be changed.
 */
#pragma once

#include "base/json.h"
#include "services/shadowsync/sync_policy.h"

enum sync_side { SYNC_HERE, SYNC_THERE };

/* One decision: the value at `path` was taken from there because of that. */
struct sync_choice {
    const char *path; /* in the arena */
    enum { SYNC_FROM_HERE, SYNC_FROM_THERE, SYNC_FROM_BOTH } from;
    enum {
        SYNC_ONLY_CHANGE, /* the other side has not changed it */
        SYNC_BY_RULE,     /* both have */
        SYNC_BY_DEFAULT,  /* both have, and the rule does not fit the values */
        SYNC_BY_DIRECTION,
        SYNC_BY_SURVIVAL, /* the other side has deleted it */
    } why;
    enum sync_rule rule; /* of SYNC_BY_RULE and SYNC_BY_DEFAULT: the one of its path */
};

enum { SYNC_CHOICES_MAX = 32 };

struct sync_merge {
    struct arena *arena;
    const struct sync_policy *policy;
    enum sync_direction direction;
    /* what came of it */
    struct sync_choice
        choices[SYNC_CHOICES_MAX]; /* where the two sides differed, in no order of importance */
    size_t choice_count, more;     /* more: those that are not in the list */
    size_t conflicts;              /* values that both had changed */
    bool stays; /* the side that leads has never had a document: the other one is left alone */
};

struct sync_doc {
    const struct json *state, *metadata; /* metadata: only for SYNC_NEWEST, may be NULL */
};

const struct json *sync_merge(struct sync_merge *merge, const struct json *base, const struct sync_doc *here,
                              const struct sync_doc *there);

/* The "state" of an update that makes `from` what `to` is; NULL when they are equal. Both exist. */
const struct json *sync_patch(struct arena *arena, const struct json *from, const struct json *to);

/* What the two sides last agreed on, when one of them was just being written: it was meant to become `intended`, after which
 * they would have agreed on `then`, and is now `seen`; before, they agreed on `base`. Where `seen` is as intended they
 * agree on `then`, elsewhere still on `base`. So it does not matter whether the write has happened, or in part, or what
 * came after it. */
const struct json *sync_rebase(struct arena *arena, const struct json *base, const struct json *intended,
                               const struct json *then, const struct json *seen);

/* json_equal() that takes NULL for nothing. */
bool sync_equal(const struct json *a, const struct json *b);
