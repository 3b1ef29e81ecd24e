#include "lazy/paho_table.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

/* A link opens first. Links have a worker's thread each, so the part is loaded once for whichever comes first. */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct paho_table *part;
static char *why;

static void load(void)
{
    part = lazy_load("gatehouse-paho.so", "gatehouse_paho", &why);
}

int paho_open(struct paho *paho)
{
    (void)pthread_once(&once, load);
    if (part)
        return part->open(paho);
    (void)snprintf(paho->reason, sizeof paho->reason, "Paho %s", why);
    return -ENOTSUP;
}

void paho_close(struct paho *paho)
{
    if (part)
        part->close(paho);
}

int paho_publish(struct paho *paho, struct mqtt_link_publish *publish)
{
    return part ? part->publish(paho, publish) : -ENOTCONN;
}

int paho_subscribe(struct paho *paho, struct mqtt_link_subscribe *subscribe)
{
    return part ? part->subscribe(paho, subscribe) : -ENOTCONN;
}

bool paho_is_stuck(const struct paho *paho)
{
    return part && part->is_stuck(paho);
}

void paho_arrival_taken(struct paho_arrival *arrival)
{
    part->arrival_taken(arrival);
}
