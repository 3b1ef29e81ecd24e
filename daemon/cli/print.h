/* Answers for people: tables, indented documents, and bytes that a terminal may be shown.
 *
 * What came from outside (names, reasons, payloads) may hold control characters: they are written as \xNN, so that nobody
 * who may publish can talk to the terminal of whoever looks.
 */
#pragma once

#include "base/json.h"

#include <stdio.h>

enum column_kind {
    COLUMN_TEXT,
    COLUMN_NUMBER, /* right-aligned */
    COLUMN_SIZE,   /* bytes as KiB, MiB, … */
    COLUMN_TIME    /* wall time in ms, as local time */
};

struct column {
    const char *title;
    const char *key; /* member of each object */
    enum column_kind kind;
};

/* The array's objects as rows; says `none` when there are none. A column without title ends the list. What is missing or
 * null is "-". */
void print_table(FILE *out, const struct json *rows, const struct column *columns, const char *none);
/* With two blanks of indentation a level. */
void print_pretty(FILE *out, const struct json *json);
/* Bytes as one line: what is not printable UTF-8 is \xNN. */
void print_bytes(FILE *out, const uint8_t *bytes, size_t len);
void print_text(FILE *out, const char *text);

/* 1536 as "1.5 KiB"; seconds as "2 h 5 min". In the arena. */
char *text_of_size(struct arena *arena, uint64_t bytes);
char *text_of_span(struct arena *arena, int64_t seconds);
/* Wall time as local time. */
const char *text_of_time(struct arena *arena, int64_t wall_ms);
/* RFC 4648, with padding. In the arena. */
char *text_of_base64(struct arena *arena, const uint8_t *bytes, size_t len);
