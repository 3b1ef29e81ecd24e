/* For tests of pairing: a gateway that pairs, and one node, A7, that talks to it. */
#pragma once

#include "services/pairing/pairing.h"

#include "base/log.h"
#include "rig/rig.h"

#define CODE "QTH5-GKR5-WXFC-1V1A"

/* A gateway that pairs, and one node that talks to it: what it gets for itself alone is in `got`. */
struct scene {
    struct rig *rig;
    struct pairing *pairing;
    struct subscriber node;
    struct subscription offer, next;
    char got[2][512];
    unsigned offers, nexts;
    char expelled[64], noted[128], told[64];
    unsigned expelled_count;
};

void scene_start(struct scene *scene, const char *db);
void scene_open(struct scene *scene);
void scene_stop(struct scene *scene);
void scene_done(struct scene *scene);
/* The node, or somebody who says that he is `principal`. */
void say_as(struct scene *scene, const char *principal, const char *topic, const char *payload);
void hello(struct scene *scene);
const char *ask(struct scene *scene, const char *what, const char *payload);
void type_code(struct scene *scene);
/* A handshake with that identity and the right key. */
bool handshake(struct scene *scene, const char *identity);
void wrong_key(struct scene *scene, const char *identity);
void pair(struct scene *scene);
bool knows(struct scene *scene, const char *identity);
/* For log_capture(): no key is in the log. */
void quiet(enum log_level level, const char *line);
