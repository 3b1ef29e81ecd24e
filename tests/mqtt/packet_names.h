/* What packet_text.c and packet_encode.c share: names and the table of properties. */
#pragma once

#include "mqtt/packet_text.h"

#include <string.h>

enum packet_kind { U8, U16, U32, VARINT, TEXT };

struct packet_property {
    const char *name;
    enum wire_prop id;
    enum packet_kind kind;
    size_t offset; /* in struct wire_props */
};

/* NULL: no such property. */
const struct packet_property *packet_property(const char *name);

/* 0: no such packet. */
enum wire_type packet_type(const char *name);

static inline bool field_is(const struct script_field *field, const char *key)
{
    return strcmp(field->key, key) == 0;
}

/* The fields with names for what was written without one: by its place in that packet. */
struct script_fields packet_with_names(struct arena *arena, const char *packet,
                                       const struct script_fields *fields);
