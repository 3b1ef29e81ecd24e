/* What a stream is to be: the document of $gatehouse/ctl/stream/create, which is also what is stored of it.
 *
 *      {"name":"telemetry","uplink":"cloud","priority":5,"maxSize":"256M","segmentSize":"4M","ttl":"7d",
 *       "onFull":"reject","persistence":"file","sync":"always","deadLetter":"dead-letters","keep":false,"compress":false,"encrypt":false,
 *       "weight":10,"deadline":0,"dayBudget":0,"window":"22:00-06:00","liveShare":0}
 *
 * A stream may have several uplinks: "cloud, archive". All but the name may be left out. Values may be the texts that stand in gatehouse.conf under the same names (max-size =
 * 256M), so that an administrator learns one language; numbers are bytes and seconds, and switches may be true and false.
 *
 * Pure functions.
 */
#pragma once

#include "base/json_write.h"
#include "schedule/schedule.h"

/* Where dead letters go; and that there are to be none. */
#define STREAM_LETTERS    "dead-letters"
#define STREAM_NO_LETTERS "none"

enum { STREAM_NAME_MAX = 64, STREAM_UPLINKS_MAX = 8, STREAM_MEMORY_MAX = 64 * 1024 * 1024 };

struct stream_definition {
    char name[STREAM_NAME_MAX + 1];
    char uplink[STREAM_UPLINKS_MAX * (STREAM_NAME_MAX + 2)]; /* names: "cloud, archive"; "": stays here */
    char dead_letter[STREAM_NAME_MAX + 1];
    int64_t priority;
    int64_t max_bytes, segment_bytes;
    int64_t ttl_s;     /* 0: for ever */
    int64_t overwrite; /* when it is full the oldest go; else what comes is refused */
    int64_t memory;
    int64_t sync_ms; /* 0: before it is acknowledged */
    int64_t keep, compress, encrypt;
    struct schedule_rules rules; /* at its uplinks; all but the priority */
};

/* The defaults, without a name. */
struct stream_definition stream_definition_default(void);

/* Sets what is called `key` in gatehouse.conf from its text there. NULL; or what was expected: "reject or overwrite". */
const char *stream_definition_set(struct stream_definition *definition, const char *key, const char *text);

/* The i-th uplink's name; false: there are not so many. */
bool stream_definition_uplink(const struct stream_definition *definition, size_t i,
                              char name[static STREAM_NAME_MAX + 1]);

/* 0, or STREAM_DEFINITION_BAD with a sentence in the arena: "maxSize: expected …, found …". */
enum { STREAM_DEFINITION_BAD = 1 };
int stream_definition_parse(struct stream_definition *ret, struct arena *arena, const char *text, size_t len,
                            const char **why) must_check;

/* The same for an object's members, into what it is already; one that is new has no name yet. What is left of it when it is bad
 * says nothing. */
int stream_definition_change(struct stream_definition *definition, struct arena *arena,
                             const struct json *json, const char **why) must_check;

/* Its members, in an object that has begun; as stream_definition_parse() reads them. */
void stream_definition_put(const struct stream_definition *definition, struct json_writer *writer);
