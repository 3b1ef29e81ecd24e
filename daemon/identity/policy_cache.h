/* Decisions that are remembered, so that a message on a topic that was asked about before costs a look-up.
 *
 *      topic ─▶ entry:  which actions were decided │ what, two bits each
 *
 * One cache belongs to one context and one set of policies: a principal on one connection. Whoever changes policies, what
 * they are attached to, things or groups counts a generation up; a cache that sees another generation forgets everything.
 * So does one that is full, of entries or of bytes: what is asked often is soon there again, and a client that asks for ever
 * new topics only hurts itself. An empty cache owns no memory.
 *
 * What depends on the time, and names of more than a quarter of the bytes, are decided anew each time.
 */
#pragma once

#include "base/map.h"
#include "identity/policy_eval.h"

struct policy_cache {
    struct map map;
    uint64_t generation;
    size_t bytes, bytes_max;
    uint32_t entries_max;
};

/* Room for so many names of together so many bytes; with 0 it remembers nothing. */
void policy_cache_init(struct policy_cache *cache, uint32_t entries_max, size_t bytes_max);
void policy_cache_clear(struct policy_cache *cache);

/* policy_decide(), or what it said last time. */
enum policy_decision policy_cache_decide(struct policy_cache *cache, uint64_t generation,
                                         const struct policy_set *set, const struct policy_context *context,
                                         const struct policy_request *request);
