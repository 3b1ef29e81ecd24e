/* What is wrong with a configuration, sentence by sentence; shared by the files of this room. */
#pragma once

#include "config/config.h"

/* A configuration with more faults than this is not one: the rest is not told. */
enum { CONFIG_FAULTS_MAX = 100 };

/* Takes the sentence. */
void config_add_fault(struct config *config, char *sentence);

/* FILE:LINE: [SECTION] KEY: expected …, found "VALUE". The format says `expected …`. */
printf_like(4, 5) void config_fault_at(struct config *config, const struct ini_section *section,
                                       const struct ini_entry *entry, const char *format, ...);
/* FILE:LINE: [SECTION]: … about all of it. */
printf_like(3, 4) void config_fault_in(struct config *config, const struct ini_section *section,
                                       const char *format, ...);

/* config_check.c: what a value's own type does not say. */
void config_check(struct config *config);
