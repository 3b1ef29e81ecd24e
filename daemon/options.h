/* The command line of gatehoused, and its exit codes. */
#pragma once

#include "base/base.h"

enum { EXIT_STOPPED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_BAD_CONFIG = 78 };
enum { LISTENERS_MAX = 64 };

struct options {
    const char *config, *state, *runtime; /* NULL: not given */
    const char *listen[LISTENERS_MAX];    /* in place of the configured listeners */
    size_t listen_count;
    bool check;
};

/* -1: go on; else the exit code, and what there is to say has been said. */
int options_parse(struct options *options, int argc, char **argv) must_check;

/* The listeners given on the command line are checked like those of a file; what is wrong goes to stderr. */
bool options_listeners_are_good(const struct options *options) must_check;
