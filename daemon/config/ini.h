/* What an administrator wrote, as written: sections and entries, each with its file and line.
 *
 *      [stream telemetry]           kind "stream", name "telemetry"
 *      priority = 5                 key "priority", value "5", line 2
 *
 * A line that begins with a blank continues the value above it; a comment is a line of its own that begins with # or ;.
 * Files are read in order; a later file's entry replaces an earlier one's of the same section and key.
 */
#pragma once

#include "base/base.h"

struct ini_entry {
    char *key, *value;
    const char *file; /* owned by the ini */
    int line;
    bool used; /* somebody asked for it: what nobody asks for is unknown */
};

struct ini_section {
    char *kind, *name; /* name is "" for [gateway] */
    const char *file;
    int line;
    struct ini_entry *entries;
    size_t count;
};

struct ini {
    struct ini_section *sections;
    size_t count;
    char **files;
    size_t file_count;
};

/* Reads one file into ini. On -EINVAL *why (free it) is a sentence with file and line; other −errno for a file that
 * cannot be read. */
int ini_read(struct ini *ini, const char *path, char **why) must_check;
void ini_done(struct ini *ini);

/* Marks the entry as used; NULL when it is not there. */
struct ini_entry *ini_find(struct ini_section *section, const char *key);
