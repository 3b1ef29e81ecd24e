/* A bare SQLite loop that writes the rows the shadow service writes, with the same setting: the limit. It has no bus, no
 * JSON, no savepoints, nothing that could fail alone, and no thread beside it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct bare;

/* with_history: what the service does with records, too; else the documents alone. */
struct bare *bare_open(const char *path, bool with_history, size_t shadows);
void bare_close(struct bare *bare, const char *path);

/* n updates, `together` of different shadows in a transaction. */
void bare_write(struct bare *bare, size_t together, size_t n);

void must(bool is_so, const char *what);
