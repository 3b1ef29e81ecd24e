/* Any bytes as JSON: what is let through can be walked, member by member, without leaving the text. */
#include "ghn/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Walks a value and everything in it, in document order, with a stack as deep as the reader allows. */
static void walk(const ghn_json *root)
{
    struct {
        ghn_json holder;
        size_t at;
    } open[GHN_JSON_DEPTH_MAX + 1] = {{*root, 0}};
    size_t depth = 1;
    char text[16];
    int64_t n;
    bool b;
    while (depth) {
        ghn_json name, value;
        if (!ghn_json_next(&open[depth - 1].holder, &open[depth - 1].at, &name, &value)) {
            depth--;
            continue;
        }
        if (value.text < root->text || value.text + value.len > root->text + root->len || !value.len)
            abort();
        (void)ghn_json_int(&value, &n);
        (void)ghn_json_bool(&value, &b);
        (void)ghn_json_string(&value, text, sizeof text);
        if (value.kind == GHN_JSON_OBJECT || value.kind == GHN_JSON_ARRAY) {
            if (depth == GHN_JSON_DEPTH_MAX)
                abort(); /* the reader's limit does not hold */
            open[depth].holder = value;
            open[depth++].at = 0;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = malloc(len ? len : 1);
    ghn_json doc, again, member;
    if (!text)
        return 0;
    if (len)
        memcpy(text, data, len);
    if (ghn_json_parse(&doc, text, len) == 0) {
        walk(&doc);
        (void)ghn_json_member(&doc, "state", &member);
        if (ghn_json_parse(&again, doc.text, doc.len) < 0 || again.kind != doc.kind || again.len != doc.len)
            abort(); /* a value alone is a text too */
    }
    free(text);
    return 0;
}
