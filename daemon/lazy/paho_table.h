/* The table of gatehouse-paho.so: the functions of cloud/mqtt_link_paho.h. */
#pragma once

#include "cloud/mqtt_link_paho.h"
#include "lazy/lazy.h"

struct paho_table {
    struct lazy_part part;
    __typeof__(paho_open) *open;
    __typeof__(paho_close) *close;
    __typeof__(paho_is_stuck) *is_stuck;
    __typeof__(paho_publish) *publish;
    __typeof__(paho_subscribe) *subscribe;
    __typeof__(paho_arrival_taken) *arrival_taken;
};
