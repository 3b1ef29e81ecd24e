/* Configuration files in a folder of the test's own, and what the daemon makes of them. */
#pragma once

#include "config/config.h"
#include "rig/test.h"

struct config_rig {
    char *folder;
    struct config config;
    int r;
};

struct config_rig *config_rig_new(void);
struct config_rig *config_rig_free(struct config_rig *rig);
define_cleanup(struct config_rig *, config_rig_free)

/* Writes FOLDER/NAME; folders on the way are made. */
void config_rig_write(struct config_rig *rig, const char *name, const void *bytes, size_t len);
/* Loads FOLDER/gatehouse.conf anew. */
void config_rig_load(struct config_rig *rig);
/* Both, for a configuration of one file. */
void config_rig_take(struct config_rig *rig, const char *text);

/* The i-th fault without the path of the folder; NULL beyond. Valid until the next call. */
const char *config_rig_fault(struct config_rig *rig, size_t i);
/* There is a fault that contains the text. */
bool config_rig_has(struct config_rig *rig, const char *text);
