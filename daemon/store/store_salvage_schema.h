/* A damaged database whose schema cannot be read, made readable again. Private to store_salvage.c and its neighbour. */
#pragma once

#include "base/base.h"

/* Does the file begin as one of SQLite's? Otherwise SQLite must not look at it. */
bool salvage_header_is_good(const char *path);

/* Makes a copy of the file and its WAL in which SQLite finds our tables where a new file has them. The file is not
 * changed. -EUCLEAN: it has no pages. Remove the copy afterwards, also when it failed. */
int salvage_copy(const char *path, const char *copy) must_check;
void salvage_copy_remove(const char *copy);
