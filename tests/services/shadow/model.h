/* A shadow as the reference describes it, written a second time: with jansson, in the plainest way, without a look at
 * daemon/services/shadow. What both say about random requests must agree.
 *
 * Documents are values: a change makes a new one, and every version is kept, so the past can be asked, too.
 *
 * json_equal() and json_copy() of jansson must not be called: base/json has functions of these names, and the linker takes
 * those.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { MODEL_VERSIONS = 4096 };

struct model {
    json_t *state, *metadata;       /* {"desired":…,"reported":…}, both NULL when there is no document */
    uint64_t version;               /* of the document or its tombstone */
    json_t *states[MODEL_VERSIONS]; /* of each version; NULL: a deletion */
};

void model_init(struct model *model);
void model_done(struct model *model);

/* The same texts and numbers, without regard to the order of members. */
bool model_same(json_t *a, json_t *b);

/* A request that is valid by itself. Returns 0 and what is to be published, each new; or the code of the refusal. delta
 * is NULL when there is none. */
struct model_answers {
    json_t *delta, *documents, *accepted;
};
int model_update(struct model *model, json_t *request, int64_t now_s, struct model_answers *ret);
void model_answers_done(struct model_answers *answers);
/* What get answers, new; NULL: 404. */
json_t *model_get(const struct model *model, int64_t now_s);
/* False: 404. */
bool model_delete(struct model *model);
