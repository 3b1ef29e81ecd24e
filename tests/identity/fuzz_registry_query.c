/* Queries for things, as somebody sends them: they compile or are refused, and match without reading anywhere else. */
#include "identity/registry_query.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct registry_attribute attributes[] = {{"hall", "7"}, {"sn", "A5"}};
    static const struct registry_thing thing = {
        .key = {"press-07", 8, 0}, .id = "9c1b", .attributes = {attributes, array_size(attributes)}};
    struct registry_query *query;
    char *why = NULL;
    if (registry_query_compile(&query, (const char *)data, size, REGISTRY_QUERY_TERMS_MAX, &why) < 0) {
        if (!why)
            abort(); /* who refuses says why */
        free(why);
        return 0;
    }
    (void)registry_query_matches(query, &thing);
    (void)registry_query_free(query);
    return 0;
}
