/* A second opinion on JSON, from another library. Its names and ours are the same, so it lives in a file of its own. */
#pragma once

#include <stddef.h>

enum oracle {
    ORACLE_ACCEPTS,
    ORACLE_REJECTS,
    ORACLE_CANNOT, /* a number or name beyond what that library can hold */
};

/* Reads a document and gives it back in one form for every spelling of the same value: *ret is to be freed. */
enum oracle oracle_read(const char *text, size_t len, char **ret);
