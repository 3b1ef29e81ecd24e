/* Knows whether the wall clock can be believed: a board without a battery begins in 1970.
 *
 *      $gatehouse/status/clock   retained: {"set":bool,"floor":ms,"reason":text|null}; said again when it changes
 *
 * A time is believed when it is not before the floor: the time at which this program was built, and the last time that was
 * seen here, which is the modification time of the file `clock` in the state folder (touched once an hour and at the end: no
 * bytes are written). When somebody sets the clock it is looked at anew, at once. What was seen last may have been wrong and
 * too late; so a time between the two floors is believed when somebody sets the clock to it, or when nobody has changed it
 * for a quarter of an hour. A time before the program was built is never believed.
 *
 * Nothing local depends on it. Whoever checks certificates waits for "set", or takes the floor for the time.
 */
#pragma once

#include "bus/bus.h"

struct timekeeper;

/* built_s: seconds since 1970. file: its path; that it cannot be written is told in the log, once. */
int timekeeper_new(struct timekeeper **ret, struct bus *bus, const char *file, int64_t built_s) must_check;
/* Somebody has set the clock. It hears of it by itself from the kernel; for clocks that a test moves by hand. */
void timekeeper_clock_was_set(struct timekeeper *keeper);
struct timekeeper *timekeeper_free(struct timekeeper *keeper);
define_cleanup(struct timekeeper *, timekeeper_free)
