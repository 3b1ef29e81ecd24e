/* Who takes records: the log, a bare loop that writes their payloads and nothing else, and SQLite with the same rows.
 *
 * Each takes `batch` records at a time and has them on the disk when take() returns, or, with settle(), when that does.
 */
#pragma once

#include "base/base.h"

enum { TOPIC_LEN = 13, BATCH_MAX = 1000 };
#define TOPIC "dt/plant1/env"

struct peer {
    void *(*open)(const char *folder, size_t payload); /* ends the program when it cannot */
    void (*take)(void *self, const uint8_t *payload, size_t len, size_t batch);
    void (*settle)(void *self);   /* NULL: there is nothing left to wait for */
    double (*handed)(void *self); /* bytes given to the system so far; NULL: it cannot be known */
    void (*close)(void *self);    /* and removes its files */
};

extern bool log_is_encrypted; /* before it is opened */
extern const struct peer log_peer, alone_peer, bare_peer, sqlite_peer;

unsigned long log_syncs(void); /* of the program so far */

/* Says what went wrong, and ends. */
_Noreturn void give_up(const char *what);
