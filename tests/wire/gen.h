/* Random packets that are right, the same for the same seed. */
#pragma once

#include "wire/mqtt.h"

enum { GEN_STORAGE = 8192 };

struct gen {
    uint64_t state;
    size_t used;
    uint8_t storage[GEN_STORAGE]; /* what the packet points to */
    uint8_t list[2048];
    uint32_t ids[4];
};

void gen_seed(struct gen *gen, uint64_t seed);
uint32_t gen_number(struct gen *gen, uint32_t below);

/* May a packet of this type come from this side in this version? */
bool gen_may_come(enum wire_type type, enum wire_version version, enum wire_side side);
/* Fills in a packet to encode. Its user properties and Subscription Identifiers stand in props.bytes, too, so that
 * notation_line() knows them. Valid until the next call. */
void gen_packet(struct gen *gen, struct wire_packet *packet, enum wire_type type, enum wire_version version,
                enum wire_side side);
