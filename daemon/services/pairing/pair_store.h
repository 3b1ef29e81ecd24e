/* Nodes in state.db: read at the start, written one at a time, on the store's thread. */
#pragma once

#include "services/pairing/pair_text.h"
#include "store/store.h"

enum { PAIR_THING_MAX = 128 };

struct pair_row {
    char serial[PAIR_SERIAL_MAX + 1];
    char thing[PAIR_THING_MAX + 1];
    char model[PAIR_WORD_MAX + 1], firmware[PAIR_WORD_MAX + 1];
    int64_t last_generation;
    int64_t generation, next_generation; /* 0: no such key */
    uint8_t key[PAIR_KEY_BYTES], next_key[PAIR_KEY_BYTES];
    int64_t paired, rotated, revoked; /* wall ms; 0: never */
};

struct pair_save {
    struct work work;
    struct pair_row row;
};
void pair_store_save(struct work *work, void *db);

struct pair_load {
    void *self;
    void (*found)(void *self, const struct pair_row *row);
};
int pair_store_load(struct store_db *db, void *load); /* for store_run_now() */
