/* Saving what can be read of a damaged database.
 *
 *      state.db (damaged) ──rows──▶ state.db.new ─▶ state.db.salvaged ─▶ state.db
 *           └──────────────────────────────────────────────────────────▶ state.db.damaged-20261127T081500Z, with its -wal
 *
 * Rows are copied table by table into a fresh file. A table that breaks off is read from its other end, too, and what is
 * between is probed, so that a damaged page costs its own rows and hardly more. What can be read and not be used, because there
 * is garbage in it, is not copied (struct store_check). A damaged schema is replaced by that of a
 * new file (store_salvage_schema.h). The damaged file stays, under a dated name,
 * and so does a report beside it (….json); nothing is ever deleted here but what was copied. Whoever loses power in between
 * finds all of it again: the file is the old one, or, from the moment state.db.salvaged exists, the new one.
 */
#pragma once

#include "base/base.h"

struct store_check;

/* 0: the file is a new one. -EUCLEAN: nothing of it can be read, and nothing was changed. Another fault, logged. */
int store_salvage(const char *path, const char *why, const struct store_check *const *checks) must_check;

/* Finishes what a loss of power has interrupted. 0 when there is nothing to be done, too. */
int store_salvage_finish(const char *path) must_check;

/* A file whose damage was met at run time is checked at the next start, however it was closed. */
void store_suspect(const char *path);
bool store_is_suspect(const char *path);
void store_acquit(const char *path);

/* The reports of files that were damaged and are still there, oldest first: JSON objects
 *
 *      {"at":1760000000000,"why":"…","file":"state.db.damaged-…","tables":[{"table":"shadow","saved":120,"lost":3,"keys":["press-7/cfg"]}]}
 *
 * lost is null when nothing says how many there were; keys names at most twenty of those. Moving file or report away ends it. */
int store_each_report(const char *path, void (*found)(void *self, const char *report), void *self);
