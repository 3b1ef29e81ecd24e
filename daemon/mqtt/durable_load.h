/* What the files of durable sessions share: private to durable*.c. */
#pragma once

#include "mqtt/durable.h"

struct durable {
    struct broker *broker;
    struct store *store;
    struct spool *spool;
    struct spool_user user;
    struct map by_number;
    struct list waiting; /* struct on_disk.waiting */
    uint64_t last_number, last_will;
};

/* Makes the sessions that state.db and the spool tell of. */
int durable_load(struct durable *durable) must_check;
