/* Records of a shadow's history as text, and walking back through them.
 *
 *      [7,1760000020,"app",{"desired":{"rpm":900}}]              version 7: desired.rpm was 900 before
 *      [8,1760000034,"pump",{"reported":{"alarm":null}}]         version 8: reported.alarm was not there before
 *      [9,1760000071,"app",{"desired":{…},"reported":{…}},true]  version 9: deleted; that is what was there
 *
 * One a line, the newest last. A record has what its change replaced (shadow_patch.h), so the state of every version
 * comes from the document of today by going back record by record:
 *
 *      today ──9──▶ before 9 ──8──▶ before 8 = version 7 ──7──▶ …
 *
 * A version that does not follow on the one before it ends the walk: what is older cannot be known. Pure functions.
 */
#pragma once

#include "base/json_write.h"
#include "services/shadow/shadow_doc.h"

/* Adds the record of the change that made `now` of `old`. */
void shadow_record_put(struct json_writer *writer, const struct shadow_doc *old, const struct shadow_doc *now,
                       int64_t now_s, const char *by);

/* What is shown of the records; 0: no limit. */
struct shadow_span {
    uint64_t first;  /* version */
    int64_t first_s; /* time; those of a clock that was not set are shown */
};

struct shadow_past {
    struct arena *arena;
    const char *records, *end; /* those that were not walked yet */
    struct shadow_span span;
    uint64_t next; /* the version whose record must be the next one */

    /* The change that was walked last. */
    uint64_t version;
    int64_t at_s;
    const char *by; /* terminated; a blank for U+0000 */
    bool deleted;
    const struct json *now; /* the state of `version`; NULL: there is none */
    const struct json *was; /* the one before; NULL: there was none */
};

/* state: of the document of today, {"desired":…,"reported":…}, or NULL; version is its version or its tombstone's. The
 * records must stay. */
void shadow_past_init(struct shadow_past *past, struct arena *arena, uint64_t version,
                      const struct json *state, const char *records, size_t len, struct shadow_span span);
/* One change back. false: there is no older one, or the next one is not readable. */
bool shadow_past_back(struct shadow_past *past) must_check;
