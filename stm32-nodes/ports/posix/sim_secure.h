/* A simulated node with an identity: its secure layer, its pages, and pairing. */
#pragma once

#include "ghn/pair.h"
#include "line.h"
#include "pages_file.h"

#include <signal.h>

struct sim_secure;

/* NULL: *why says what is wrong. identity: a file with an identity page; pages: where its keys are; device: a
 * serial line, NULL: line is TCP. */
struct sim_secure *sim_secure_new(const char *identity, const char *pages, struct line *line,
                                  const char *device, const char **why);
void sim_secure_free(struct sim_secure *secure);

const char *sim_secure_serial(const struct sim_secure *secure);
const ghn_secure *sim_secure_layer(const struct sim_secure *secure);
ghn_keys *sim_secure_keys(struct sim_secure *secure);

/* Gets a key from the gateway, for ten minutes at most; prints a line for what happens. False: it has none. */
bool sim_secure_pair(struct sim_secure *secure, const char *host, uint16_t port, bool quiet,
                     const volatile sig_atomic_t *stopped, const sigset_t *while_waiting);
