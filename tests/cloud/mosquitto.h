/* The packaged Mosquitto as a process of the test's own, on a port of the loopback address. What it logs is read as it
 * comes: there stands what it was sent.
 */
#pragma once

#include "base/base.h"

#include <sys/types.h>

struct mosquitto {
    char *folder; /* its configuration */
    uint16_t port;
    pid_t pid; /* 0: it does not run */
    int log_fd;
    char *log; /* all it said, across restarts */
    size_t log_len, log_size;
};

/* Is it installed? */
bool mosquitto_exists(void);
/* The configuration without its listener; lines with \n. A free port is chosen. Does not run yet. */
void mosquitto_init(struct mosquitto *broker, const char *configuration);
void mosquitto_done(struct mosquitto *broker);

/* Runs it, and waits until it listens. */
void mosquitto_start(struct mosquitto *broker);
/* Ends it with this signal, and waits for that. */
void mosquitto_end(struct mosquitto *broker, int signal_number);
/* Takes in what it has logged; it waits when nobody does. */
void mosquitto_read(struct mosquitto *broker);

/* How often its log says it. */
unsigned mosquitto_said(struct mosquitto *broker, const char *text);
