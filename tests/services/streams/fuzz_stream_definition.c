/* Arbitrary bytes as a stream's definition: it is refused with a sentence, or what is written of it is read back the same. */
#include "services/streams/stream_definition.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void expect(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena arena = {0};
    struct stream_definition definition, again;
    struct json_writer w;
    const char *why = NULL;
    char *copy = malloc(len + 1); /* not terminated, and nothing readable behind it */
    expect(copy != NULL);
    copy = realloc(copy, len ? len : 1);
    expect(copy != NULL);
    if (len)
        memcpy(copy, data, len);
    int r = stream_definition_parse(&definition, &arena, copy, len, &why);
    expect(r == 0 || (r == STREAM_DEFINITION_BAD && why && *why));
    if (r == 0) {
        json_writer_init(&w, &arena);
        json_begin_object(&w);
        stream_definition_put(&definition, &w);
        json_end_object(&w);
        size_t written;
        const char *text = json_writer_text(&w, &written);
        expect(stream_definition_parse(&again, &arena, text, written, &why) == 0);
        expect(strcmp(again.name, definition.name) == 0 && strcmp(again.uplink, definition.uplink) == 0);
        expect(again.max_bytes == definition.max_bytes && again.segment_bytes == definition.segment_bytes &&
               again.ttl_s == definition.ttl_s && again.sync_ms == definition.sync_ms &&
               again.overwrite == definition.overwrite && again.memory == definition.memory &&
               again.keep == definition.keep && again.compress == definition.compress &&
               again.encrypt == definition.encrypt && again.priority == definition.priority);
    }
    arena_done(&arena);
    free(copy);
    return 0;
}
