#include "cli/ask.h"

#include "base/json_write.h"
#include "cli/print.h"

#include <string.h>

void answer_print(const struct json *answer)
{
    struct arena arena;
    arena_init(&arena);
    (void)puts(json_write(&arena, answer, NULL));
    arena_done(&arena);
}

int answer_read(struct arena *arena, const char *text, struct json **answer)
{
    size_t len = strlen(text);
    const char *kept = arena_copy(arena, text, len); /* the tree points into it */
    if (json_parse(answer, arena, kept, len, NULL) == 0)
        return CLI_DONE;
    (void)fputs("gatehouse: expected JSON as an answer, found ", stderr);
    print_text(stderr, text);
    (void)fputs("\n", stderr);
    return CLI_REFUSED;
}

int answer_judge(const struct call *call, struct arena *arena, const struct json *answer)
{
    const char *why;
    if (!json_is(json_get(answer, "code"), JSON_NUMBER) ||
        !json_text(json_get(answer, "message"), arena, &why))
        return CLI_DONE;
    (void)fputs("gatehouse: ", stderr);
    print_text(stderr, why);
    (void)fputs("\n", stderr);
    if (call_has(call, OPTION_JSON))
        answer_print(answer);
    return CLI_REFUSED;
}

int ask_daemon(const struct call *call, struct link *link, struct arena *arena, const char *topic,
               const char *payload, struct json **answer)
{
    cleanup_free char *text = NULL;
    int code = link_request(link, topic, payload, &text);
    if (code == CLI_DONE)
        code = answer_read(arena, text, answer);
    return code == CLI_DONE ? answer_judge(call, arena, *answer) : code;
}

int ask_once(const struct call *call, struct arena *arena, const char *topic, const char *payload,
             struct json **answer)
{
    cleanup(link_close_p) struct link *link = NULL;
    int code = call_link(call, &link);
    return code == CLI_DONE ? ask_daemon(call, link, arena, topic, payload, answer) : code;
}
