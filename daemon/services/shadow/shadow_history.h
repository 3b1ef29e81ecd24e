/* Answers about a shadow's past, composed from its document and its records. Pure; see schema/topics.md for the documents.
 *
 * What a change did is said twice, as merge patches: "now" makes the state after it of the one before, "was" the other way
 * round. null stands for a document that does not exist.
 */
#pragma once

#include "base/json_write.h"
#include "services/shadow/shadow_record.h"

struct shadow_history {
    struct arena *arena;
    uint64_t version;         /* of the document of today, or of its tombstone */
    const struct json *state; /* {"desired":…,"reported":…}; NULL: there is none */
    const char *records;
    size_t records_len;
    struct shadow_span span;
};

enum { SHADOW_LOG_MAX = 1000, SHADOW_ANSWER_MAX = 512 * 1024 /* bytes of an answer that may end early */ };

/* Each puts its answer's members into the object that the writer is in, or returns the code of *refusal and has put
 * nothing. */

/* Changes before version `before` (0: all), the newest first, at most max. */
int shadow_history_log(const struct shadow_history *history, struct json_writer *writer, uint64_t before,
                       unsigned max, struct shadow_refusal *refusal) must_check;
int shadow_history_at(const struct shadow_history *history, struct json_writer *writer, uint64_t version,
                      struct shadow_refusal *refusal) must_check;
int shadow_history_diff(const struct shadow_history *history, struct json_writer *writer, uint64_t from,
                        uint64_t to, struct shadow_refusal *refusal) must_check;
/* Who wrote what is there now, value by value, below a path: "/reported/net" or reported.net; "" is everything. */
int shadow_history_blame(const struct shadow_history *history, struct json_writer *writer, const char *path,
                         struct shadow_refusal *refusal) must_check;
/* The request that makes the state of that version the present one. */
int shadow_history_revert(const struct shadow_history *history, struct json_writer *writer, uint64_t version,
                          struct shadow_refusal *refusal) must_check;
