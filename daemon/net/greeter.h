/* Who waits at a listener with proxy=1 until the proxy has said who has come: the PROXY header is read from the descriptor,
 * and not a byte behind it. For net's own files.
 *
 * A header has 5 s, and at most 1000 are waited for at the same time: proxies send theirs at once. */
#pragma once

#include "net/conn.h"

struct greeter {
    struct loop *loop;
    const char *name;
    /* endpoint->from is now who the header names. */
    void (*introduced)(struct greeter *greeter, struct endpoint *endpoint);
    struct list waiting;
    unsigned count;
    uint64_t refused; /* no header in time, another one, or too many at the same time */
};

void greeter_init(struct greeter *greeter, struct loop *loop, const char *name,
                  void (*introduced)(struct greeter *greeter, struct endpoint *endpoint));
/* Closes all. */
void greeter_done(struct greeter *greeter);
/* Takes the descriptor over; from is the proxy. */
void greeter_take(struct greeter *greeter, int fd, const struct address *from);
