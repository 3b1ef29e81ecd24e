/* Shadow documents: what an update may look like, and what becomes of the document. The rules are AWS IoT's, byte for
 * byte where they are public.
 *
 * Pure functions over trees in an arena: no clock, no I/O. A document is never changed: an update makes a new one, which
 * shares with the old what the update did not name. So both are at hand for /update/documents, and an update that could
 * not be stored is undone by forgetting the new one.
 *
 *      {"rpm":900,"axes":[1,2]}          every scalar's tag is the second in which it was last written
 *            └ t       └ t,t
 *
 * Metadata are these tags in the shape of the state: {"rpm":{"timestamp":t},"axes":[{"timestamp":t},{"timestamp":t}]}.
 * They are in no tree of their own, so the two cannot disagree, and an attribute may be called "timestamp" itself.
 */
#pragma once

#include "base/json.h"

enum {
    SHADOW_DOCUMENT_MAX = 8192, /* bytes of desired and reported together, without metadata [AWS IoT quota] */
    SHADOW_LEVELS_MAX = 8, /* objects and arrays inside each other, the section included [AWS IoT quota] */
    SHADOW_REQUEST_MAX = 128 * 1024, /* bytes of a request's payload [AWS IoT: largest MQTT payload] */
    SHADOW_TOKEN_MAX = 64,           /* bytes of clientToken [AWS IoT] */
    SHADOW_TOMBSTONE_S = 48 * 3600,  /* how long a deleted shadow's version is remembered [AWS IoT] */
};

struct shadow_limits {
    size_t bytes;
    unsigned levels;
};

/* desired and reported are objects that are not empty; NULL when absent. */
struct shadow_doc {
    bool exists;
    uint64_t version; /* of the document; without one, of its tombstone, or 0 */
    const struct json *desired, *reported;
    const char *text; /* {"desired":…,"reported":…}, as stored; NULL when it does not exist */
    size_t text_len;
};

/* A request to update, found valid by itself. Trees point into the payload; their scalars have the time as tag. */
struct shadow_update {
    const struct json *token; /* clientToken, NULL when absent */
    bool has_version;
    int64_t version;
    int64_t now_s;
    bool clears;                           /* "state": null */
    const struct json *desired, *reported; /* NULL: not named; JSON_NULL: to be removed; else an object */
};

/* Why something was refused: the code is an HTTP status, the message AWS IoT's text. */
struct shadow_refusal {
    int code;
    const char *message;
};

/* Reads a payload. Returns 0, or the code of *refusal; ret->token is set in both cases, if it was found valid. */
int shadow_update_parse(struct shadow_update *ret, struct arena *arena, const char *payload, size_t len,
                        int64_t now_s, const struct shadow_limits *limits, struct shadow_refusal *refusal)
    must_check;
/* The token of a get or delete, whose payload is ignored otherwise; NULL when there is none. */
const struct json *shadow_token(struct arena *arena, const char *payload, size_t len);

/* The document after the update. Returns 0, or the code of *refusal, and then there is no new document. */
int shadow_doc_update(struct shadow_doc *ret, struct arena *arena, const struct shadow_doc *old,
                      const struct shadow_update *update, const struct shadow_limits *limits,
                      struct shadow_refusal *refusal) must_check;
/* What is left of a deleted document: its tombstone. */
struct shadow_doc shadow_doc_delete(const struct shadow_doc *old);
/* May the tombstone be forgotten? One from before the clock was set is kept: its age is unknown. */
bool shadow_tombstone_is_over(int64_t deleted_s, int64_t now_s);
enum { SHADOW_CLOCK_IS_SET_S = 1577836800 }; /* 2020-01-01: wall time before this is a clock nobody set */

/* Where desired differs from reported, with desired's tags; NULL when it does not. */
const struct json *shadow_doc_delta(struct arena *arena, const struct shadow_doc *doc);

/* The size that is limited: compact desired plus compact reported. */
size_t shadow_doc_size(const struct shadow_doc *doc);

/* As stored: the state's text and its stamps (shadow_stamps.h). -EUCLEAN when that is not what the texts are. The text of
 * the state must stay as long as the document. */
int shadow_doc_read(struct shadow_doc *ret, struct arena *arena, uint64_t version, const char *state,
                    size_t state_len, const char *stamps, size_t stamps_len) must_check;
char *shadow_doc_stamps(struct arena *arena, const struct shadow_doc *doc, size_t *len);
