/* What the shadow service says: the documents it publishes, composed. Pure; results are terminated and in the arena.
 *
 * Nothing is in them that AWS IoT does not send: clients have small buffers. token may be NULL everywhere.
 */
#pragma once

#include "base/json_write.h"
#include "services/shadow/shadow_doc.h"

/* Length is what of a composed text; a text of NULL is one that is not sent. */
struct shadow_text {
    char *text;
    size_t len;
};

/* update/accepted: the request's state comes back, with nulls. */
struct shadow_text shadow_answer_accepted(struct arena *arena, const struct shadow_update *update,
                                          uint64_t version);
/* update/delta: NULL when desired and reported agree. */
struct shadow_text shadow_answer_delta(struct arena *arena, const struct shadow_doc *doc,
                                       const struct json *token, int64_t now_s);
/* update/documents */
struct shadow_text shadow_answer_documents(struct arena *arena, const struct shadow_doc *previous,
                                           const struct shadow_doc *current, const struct json *token,
                                           int64_t now_s);
/* get/accepted */
struct shadow_text shadow_answer_document(struct arena *arena, const struct shadow_doc *doc,
                                          const struct json *token, int64_t now_s);
/* delete/accepted: the version of the document that was deleted. */
struct shadow_text shadow_answer_deleted(struct arena *arena, uint64_t version, const struct json *token,
                                         int64_t now_s);
/* …/rejected; 404 carries no timestamp, as observed. */
struct shadow_text shadow_answer_rejected(struct arena *arena, const struct shadow_refusal *refusal,
                                          const struct json *token, int64_t now_s);

/* {"desired":…,"reported":…}, each unless NULL. */
void shadow_put_sections(struct json_writer *writer, const struct json *desired, const struct json *reported);
