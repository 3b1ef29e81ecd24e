/* The only file of gatehouse-paho.so that is not in tests and tools. */
#include "lazy/paho_table.h"

extern const struct paho_table gatehouse_paho;

LAZY_EXPORTED const struct paho_table gatehouse_paho = {
    .part = LAZY_PART,
    .open = paho_open,
    .close = paho_close,
    .is_stuck = paho_is_stuck,
    .publish = paho_publish,
    .subscribe = paho_subscribe,
    .arrival_taken = paho_arrival_taken,
};
