#include "oracle.h"

#include <jansson.h>

enum oracle oracle_read(const char *text, size_t len, char **ret)
{
    json_error_t error;
    json_t *json = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (json) {
        *ret = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
        json_decref(json);
        return ORACLE_ACCEPTS;
    }
    *ret = NULL;
    switch (json_error_code(&error)) {
    case json_error_numeric_overflow:
    case json_error_null_byte_in_key:
    case json_error_stack_overflow: return ORACLE_CANNOT;
    default: return ORACLE_REJECTS;
    }
}
