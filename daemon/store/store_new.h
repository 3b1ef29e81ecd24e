/* A state.db where there is none yet.
 *
 *      schema/state/NNNN-name.sql ─ embed_migrations.cmake ─> migrations.c ─┬─────────────────────────────> gatehoused
 *                                                                           └─ store_image_make ─> store_image.c ─┘
 *
 * What the migrations make of an empty file is always the same, and making it is more work than all the rest of a first
 * start: their text is parsed, and a page is written for each table and index. So it is done once, when the program is
 * built, by a program of the same sources, and gatehoused has the file's bytes. Where that program cannot run (a build for
 * another processor without an emulator) there are none, and the migrations run at the first start.
 */
#pragma once

#include "base/base.h"

/* Makes the file at `path`, which must not exist, with nobody else's rights. It is made beside its place ("PATH.new") and
 * moved there, so it is whole from the beginning; nothing is synced. 0 or -errno. */
int store_new(const char *path) must_check;

/* Runs all migrations on a file that is there and empty, and leaves it in WAL mode. 0; -errno, logged. */
int store_build(const char *path) must_check;

/* The built file: what is not zero of it, piece after piece. */
struct store_image {
    uint32_t size; /* bytes; 0: none was made */
    uint32_t count;
    const struct store_image_piece {
        uint32_t at, size;
    } * pieces;
    const uint8_t *bytes; /* of all pieces */
};
extern const struct store_image store_image;
