/* A temporary folder of the test's own, removed with all that is in it. */
#pragma once

#include "base/base.h"

char *folder_new(void); /* its path; ends the program when there is none to be had */
char *folder_free(char *folder);
define_cleanup(char *, folder_free)
