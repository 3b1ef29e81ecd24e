/* What an administrator wrote, as written: sections and entries, each with its file and line.
 *
 *      [stream telemetry]           kind "stream", name "telemetry"
 *      priority = 5                 key "priority", value "5", line 2
 *
 * ini_text.h says what a line may look like. Lines that go on with a value are joined with one blank. Files are read in
 * order; a later file's entry replaces an earlier one's of the same section and key. Within one file a section and, in a
 * section, a key stand once: the second is an oversight, and nobody knows which was meant.
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
    const char *file;  /* where it was seen last */
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

/* Gets a sentence with file and line, and frees it. */
struct ini_faults {
    void (*add)(struct ini_faults *faults, char *sentence);
};

enum { INI_FILE_MAX = 1024 * 1024 };

/* Adds what the text says; all that is wrong in it is told to `faults`, and the rest is taken all the same. */
void ini_parse(struct ini *ini, const char *path, const char *text, size_t len, struct ini_faults *faults);
/* The same with a file of at most INI_FILE_MAX bytes. That it cannot be read is a fault like the others. */
void ini_read(struct ini *ini, const char *path, struct ini_faults *faults);
/* And then those of PATH.d, NAME.conf in order of name. */
void ini_read_all(struct ini *ini, const char *path, struct ini_faults *faults);
void ini_done(struct ini *ini);

/* Marks the entry as used; NULL when it is not there. */
struct ini_entry *ini_find(struct ini_section *section, const char *key);

/* A copy for a sentence: what is not printable is written \xNN, what is long is cut. */
char *ini_shown(const char *text, size_t len);
