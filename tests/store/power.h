/* A power cut, simulated: what the system was told since the last sync of each file is on the medium or not, by sectors.
 *
 * The program is linked with POWER_WRAPS (CMakeLists.txt), so that every call that changes a file of a segment log comes by here.
 * Before each of them power_before() is called, if it is set: a boundary between writes. There the test forks, makes a copy
 * of the folder as a power cut would leave it, and looks at what a new start makes of it.
 *
 *      written since the last fdatasync/fsync      any subset of its 512-byte sectors is there; the length is anything in between
 *      a file made since the folder's fsync        there or not
 *      a file removed since                        gone or back, unless another one has its name
 *      a file renamed since                        it has the new name or the old one
 *
 * Databases (state.db and its WAL) are copied as they are: SQLite's own tests cut its power.
 */
#pragma once

#include <stdbool.h>

extern void (*power_before)(void);
/* errno of the next fdatasync() or fsync(), once; how many writes from now on one finds no room, once. 0: none. */
extern int power_bad_sync;
extern unsigned power_bad_write;

/* Copies FOLDER, with what a cut leaves of it now, to a new folder; what is left is drawn from the seed. Free the path. */
char *power_cut(const char *folder, unsigned seed);
/* Forgets what it knows: another run begins. */
void power_reset(void);
