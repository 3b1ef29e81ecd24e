/* Where a listener's socket comes from: passed by systemd, or made. For listener.c. */
#pragma once

#include "net/listener.h"

struct listener_socket {
    int fd;
    bool made_file; /* the Unix socket's file is ours to remove */
};

/* Not listening yet. name is for sentences; on failure *why (free it) says what could not be done, and what was got is
 * still to be given back. */
int listener_socket_get(struct listener_socket *got, const struct listener_uri *uri, const char *name,
                        char **why) must_check;
