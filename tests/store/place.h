/* Where in a segment file a record is, for tests that damage it. */
#pragma once

#include "store/seglog_file.h"

/* It must be there. What `record` points to is gone. */
struct segment_found rig_find(const char *path, uint64_t seq);
