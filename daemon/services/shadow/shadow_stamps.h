/* When each scalar of a state was written, as stored: the seconds in the order of the scalars, as differences, equal ones
 * counted.
 *
 *      {"desired":{"rpm":900,"mode":"auto"},"reported":{"axes":[1,2]}}
 *                       t           t                          t t+12      "1760000000x3,12"
 *
 * The state says how many there are and what they belong to, so nothing else is written. Pure functions.
 */
#pragma once

#include "base/json_write.h"

/* Writes those of the scalars in `sections`, in order; each may be NULL. The text is in the arena. */
char *shadow_stamps_write(struct arena *arena, const struct json *const *sections, size_t count, size_t *len);
/* Sets the tags of all scalars in the sections. false: it is not such a text, or of another number of scalars. */
bool shadow_stamps_read(struct json *const *sections, size_t count, const char *text, size_t len) must_check;

/* Wall seconds as a tag: what does not fit is the nearest that does. */
uint32_t shadow_stamp_of(int64_t now_s);

/* Writes a value's metadata: {"timestamp":tag} for each scalar, null included. */
void shadow_put_metadata(struct json_writer *writer, const struct json *value);
