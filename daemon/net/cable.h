/* A serial line with a node at its other end (wire/serial.h): what it sends comes as a connection, like any other.
 *
 *      tty ◀─▶ frames ◀─▶ one end of a pair of sockets │ the other end ◀─▶ TLS, MQTT
 *
 * One node at a time; a new session ends the one before. A line that is not there, or goes, is looked for again with pauses
 * up to CABLE_AGAIN_MAX; so it may be plugged in later. What the node writes to its log goes to ours, at most ten lines a second.
 */
#pragma once

#include "base/loop.h"

enum { CABLE_AGAIN_MAX = 10000 };

struct cable;

struct cable_user {
    /* A session has begun: fd does not block and is the user's. */
    void (*came)(struct cable_user *user, int fd, const char *serial);
};

/* Is it a speed that lines have: 9600, 19200, 38400, 57600, 115200, 230400, 460800 or 921600? */
bool cable_baud_is_known(unsigned baud);

/* Does not fail because the line is not there. path, user: outlive it. */
int cable_open(struct cable **ret, struct loop *loop, const char *path, unsigned baud,
               struct cable_user *user) must_check;
struct cable *cable_close(struct cable *cable);
define_cleanup(struct cable *, cable_close)
