/* Credential pages in a file of 512 bytes: what flash is on a board. A page is written and synced before write() says so. */
#pragma once

#include "ghn/keys.h"

struct pages_file {
    const char *path; /* made when it is first written */
    ghn_pages pages;
};

void pages_file_init(struct pages_file *file, const char *path);
/* The identity page in that file. 0, or GHN_INVALID. */
int pages_file_identity(const char *path, ghn_identity *ret);
