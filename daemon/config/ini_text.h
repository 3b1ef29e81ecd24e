/* The lines of an INI text, one after another, and what each of them is.
 *
 *      # anything                   skipped, like empty lines; so is a comment that begins with ; or is indented
 *      [stream telemetry]           INI_SECTION   kind "stream", name "telemetry"
 *      filter = dt/+/env            INI_ENTRY     key "filter", value "dt/+/env"
 *          and more                 INI_MORE      value "and more": goes on with the value above it
 *      priority                     INI_WRONG     value: the line; expected: what should stand there
 *
 * A value is everything behind the first =, without the blanks around it: there are no quotes, no escapes and no comments
 * behind a value, so that a topic filter or a line of SQL can be written as it is.
 *
 * Pure: pieces point into the text.
 */
#pragma once

#include "base/base.h"

struct ini_piece {
    const char *text;
    size_t len;
};

enum ini_type { INI_SECTION, INI_ENTRY, INI_MORE, INI_WRONG };

struct ini_item {
    enum ini_type type;
    int line;
    struct ini_piece kind, name; /* section; name may be empty */
    struct ini_piece key, value;
    const char *expected;  /* wrong: the end of a sentence about what should stand there */
    bool section_is_wrong; /* wrong: so nobody knows where the entries that follow belong */
};

struct ini_text {
    const char *at, *end;
    int line;
    enum {
        INI_ABOVE_NOTHING,
        INI_ABOVE_VALUE,
        INI_ABOVE_WRONG
    } above; /* what an indented line would go on with */
};

void ini_text_init(struct ini_text *text, const char *bytes, size_t len);
/* The next line that says something; false at the end. A zero byte ends it too: such a file is no text. */
bool ini_text_next(struct ini_text *text, struct ini_item *ret);
