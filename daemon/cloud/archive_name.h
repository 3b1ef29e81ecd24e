/* Names of files made of topics: whatever a topic is, its file is inside the folder, and two topics have two files. Pure.
 *
 *      dt/plant 1/env      dt/plant%201/env
 *      ../../etc/passwd    %2E./%2E./etc/passwd       a level never begins with a dot
 *      a//b                a/%-/b
 *      a very long level   its beginning %~ and a hash of all of it
 */
#pragma once

#include "base/arena.h"

enum { ARCHIVE_LEVEL_MAX = 180, ARCHIVE_NAME_MAX = 2000 };

/* As a record_escape: what stands for the text in a file's path, levels being folders. Never empty. */
char *archive_name(struct arena *arena, const char *text);

/* NULL, or what was expected of a pattern for names, ${words} aside: a path below the folder. */
const char *archive_pattern_check(const char *pattern);
