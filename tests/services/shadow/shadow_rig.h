/* A house with the shadow service. Publishers are numbered like sessions: 0 is the house itself. */
#pragma once

#include "rig/rig.h"
#include "services/shadow/shadow.h"

struct shadow_rig {
    struct rig *house;
    struct shadow *shadow;
};

struct shadow_rig *shadow_rig_new(const struct shadow_options *options); /* NULL: the defaults */
struct shadow_rig *shadow_rig_free(struct shadow_rig *rig);
define_cleanup(struct shadow_rig *, shadow_rig_free)

/* As after a restart: the database is the same, nothing of it is in memory. What was heard is forgotten. */
void shadow_rig_restart(struct shadow_rig *rig, const struct shadow_options *options);

/* A request at QoS 1; settled as with rig_publish_receipt(), may be NULL. Nothing has turned yet. */
void ask_as(struct shadow_rig *rig, uint64_t origin, const char *topic, const char *payload, int *settled);
static inline void ask(struct shadow_rig *rig, const char *topic, const char *payload)
{
    ask_as(rig, 0, topic, payload, NULL);
}
/* Forgets what was heard, asks, turns until it is quiet, and returns what came on /accepted, else on /rejected. */
const char *answer_to(struct shadow_rig *rig, const char *topic, const char *payload);

/* The first column of the first row: a number. The SQL is a literal. */
int64_t number_in_store(struct shadow_rig *rig, const char *sql);
void change_store(struct shadow_rig *rig, const char *sql);

#define CHECK_HAS(text, part) check_has((text), (part), __FILE__, __LINE__)
void check_has(const char *text, const char *part, const char *file, int line);
