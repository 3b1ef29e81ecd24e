/* In place of sim_secure.c where there is no mbedTLS. */
#include "sim_secure.h"

struct sim_secure *sim_secure_new(const char *identity, const char *pages, struct line *line,
                                  const char *device, const char **why)
{
    (void)identity, (void)pages, (void)line, (void)device;
    *why = "this ghn-sim was built without mbedTLS (libmbedtls-dev)";
    return NULL;
}

void sim_secure_free(struct sim_secure *secure)
{
    (void)secure;
}

const char *sim_secure_serial(const struct sim_secure *secure)
{
    (void)secure;
    return "";
}

const ghn_secure *sim_secure_layer(const struct sim_secure *secure)
{
    (void)secure;
    return NULL;
}

ghn_keys *sim_secure_keys(struct sim_secure *secure)
{
    (void)secure;
    return NULL;
}

bool sim_secure_pair(struct sim_secure *secure, const char *host, uint16_t port, bool quiet,
                     const volatile sig_atomic_t *stopped, const sigset_t *while_waiting)
{
    (void)secure, (void)host, (void)port, (void)quiet, (void)stopped, (void)while_waiting;
    return false;
}
