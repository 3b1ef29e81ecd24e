/* Listening sockets that the service manager has opened and passed to this process: systemd's LISTEN_FDS, LISTEN_FDNAMES
 * and LISTEN_PID, see sd_listen_fds(3). Each can be taken once, and is then its taker's to close. */
#pragma once

#include "base/base.h"

#include <sys/socket.h>

/* The first with that name (FileDescriptorName= of the socket unit) that is left; -ENOENT: there is none. */
int passed_take_name(const char *name) must_check;
/* The one that listens there; -ENOENT: none does. */
int passed_take_address(const struct sockaddr *address, socklen_t len) must_check;
/* Closes those that nobody has taken and returns how many they were: whoever connects to one would wait for ever. */
unsigned passed_close_rest(void);
