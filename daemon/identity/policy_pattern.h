/* Patterns of policies: literal runs, `*`, `?` and ${variables}, compiled once and matched without building a string.
 *
 *      topic/hall/${iot:Connection.Thing.Attributes[hall]}/?-*
 *
 *      LITERAL "topic/hall/"   VARIABLE   LITERAL "/"   ONE   LITERAL "-"   ANY
 *
 * A pattern matches the whole text. `*` is any text, across `/` and `:`, also none; `?` is one character (code point).
 * MQTT's + and # mean nothing here. ${*}, ${?} and ${$} are the characters themselves; a `$` without `{` and a `${` without
 * `}` are ordinary text. What a variable stands for is literal: a client called `*` is not everybody.
 *
 * A variable without a value makes a resource's pattern match nothing, not even the text `${…}`: else whoever chooses his
 * own client id could choose that one. In a condition's value it stays as text.
 */
#pragma once

#include "base/arena.h"
#include "identity/policy_context.h"

enum policy_piece_kind { POLICY_LITERAL, POLICY_ANY, POLICY_ONE, POLICY_VARIABLE };

struct policy_piece {
    enum policy_piece_kind kind;
    uint32_t len;
    union {
        const char *text;             /* literal */
        const struct policy_key *key; /* variable */
    };
};

struct policy_pattern {
    struct policy_text source; /* as written */
    struct policy_piece *pieces;
    uint32_t count;
};

/* What the variables stand for, and how texts are compared. */
struct policy_match {
    const struct policy_context *context;
    bool ignore_case;  /* ASCII */
    bool keep_as_text; /* a variable without a value is its own text */
    /* Called for a variable that had no value when it was needed; may be NULL. */
    void (*on_missing)(void *self, const struct policy_key *key);
    void *self;
};

/* The text is copied into the arena. Without wildcards `*` and `?` are ordinary characters. */
struct policy_pattern policy_pattern_compile(struct arena *arena, const char *text, size_t len,
                                             bool wildcards);

bool policy_pattern_matches(const struct policy_pattern *pattern, const struct policy_match *match,
                            const char *text, size_t len);
