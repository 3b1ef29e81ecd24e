/* What a crash left at the end of a file of an archive. Pure but for reading. */
#pragma once

#include "cloud/archive.h"

#include <sys/types.h>

/* How many bytes of the file, from its beginning, are whole records; −errno. What was settled is among them. */
off_t archive_whole(int fd, enum archive_format format) must_check;
