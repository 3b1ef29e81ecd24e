/* What the two shadow services say, read, and what they are asked, written.
 *
 * A request carries a token of ours, PREFIX and a number: answers go to everybody who listens, and this is how ours are
 * known. The prefix is new at every start, so that an answer to an earlier life is a stranger's.
 *
 * Pure functions; trees point into the payload.
 */
#pragma once

#include "services/shadowsync/sync_merge.h"
#include "services/shadowsync/sync_topic.h"

enum {
    SYNC_PAYLOAD_MAX = 512 * 1024, /* of an answer: a document of 30 KiB with its metadata is smaller */
    SYNC_TOKEN_SIZE = 64,
};

struct sync_answer {
    uint64_t number; /* of our request; 0: somebody else's, or it has no token */
    bool has_token;
    int64_t version;     /* -1: it has none */
    int code;            /* of a rejection; 0: it has none */
    const char *message; /* in the arena, "" when there is none */
    struct sync_doc doc; /* of get/accepted: state is never NULL there */
};

/* False: it is no such thing, or too large. */
bool sync_answer_read(struct sync_answer *ret, struct arena *arena, const char *token_prefix,
                      const struct sync_topic *topic, const char *payload, size_t len) must_check;
/* Might it be an answer to us? Without parsing it. */
bool sync_answer_is_ours(const char *token_prefix, const char *payload, size_t len);

/* Get and delete. */
char *sync_request(struct arena *arena, const char *token_prefix, uint64_t number);
/* The state is a patch; version 0 is that of a document that does not exist, -1 is any. */
char *sync_request_update(struct arena *arena, const char *token_prefix, uint64_t number,
                          const struct json *state, int64_t version);

/* A state as it is stored, and back, of which the tree needs nothing any more; NULL stands for NULL. */
char *sync_state_write(struct arena *arena, const struct json *state);
const struct json *sync_state_read(struct arena *arena, const char *text);
