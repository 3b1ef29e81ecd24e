/* shadow sync: how shadows and their counterparts at a cloud get along, and how a thing's were merged. */
#include "base/json_write.h"
#include "cli/ask.h"
#include "cli/print.h"

#include <string.h>

static const struct column sync_columns[] = {
    {"SYNC", "name", COLUMN_TEXT},
    {"UPLINK", "uplink", COLUMN_TEXT},
    {"DIRECTION", "direction", COLUMN_TEXT},
    {"SHADOWS", "shadows", COLUMN_NUMBER},
    {"BEHIND", "behind", COLUMN_NUMBER},
    {"LAG MS", "lag", COLUMN_NUMBER},
    {"ROUNDS", "rounds", COLUMN_NUMBER},
    {"MESSAGES", "messages", COLUMN_NUMBER},
    {"CONFLICTS", "conflicts", COLUMN_NUMBER},
    {"FAILURES", "failures", COLUMN_NUMBER},
    {"PROBLEM", "problem", COLUMN_TEXT},
    {0},
};

static const struct column problem_columns[] = {
    {"THING", "thing", COLUMN_TEXT},
    {"SHADOW", "name", COLUMN_TEXT},
    {"PROBLEM", "problem", COLUMN_TEXT},
    {0},
};

static const struct column shadow_columns[] = {
    {"SHADOW", "name", COLUMN_TEXT},
    {"SYNC", "sync", COLUMN_TEXT},
    {"STATE", "state", COLUMN_TEXT},
    {"HERE", "localVersion", COLUMN_NUMBER},
    {"CLOUD", "cloudVersion", COLUMN_NUMBER},
    {"LAG MS", "lag", COLUMN_NUMBER},
    {"MESSAGES", "messages", COLUMN_NUMBER},
    {"CONFLICTS", "conflicts", COLUMN_NUMBER},
    {"MERGED", "merged", COLUMN_TIME},
    {"PROBLEM", "problem", COLUMN_TEXT},
    {0},
};

static const struct column choice_columns[] = {
    {"VALUE", "path", COLUMN_TEXT},
    {"FROM", "from", COLUMN_TEXT},
    {"BECAUSE", "why", COLUMN_TEXT},
    {"RULE", "rule", COLUMN_TEXT},
    {0},
};

static void print_syncs(const struct json *answer)
{
    const struct json *syncs = json_get(answer, "syncs");
    print_table(stdout, syncs, sync_columns, "Nothing is synchronised: [sync NAME] in gatehouse.conf.");
    json_for_each (sync, syncs)
        if (json_first(json_get(sync, "problems"))) {
            (void)fputs("\n", stdout);
            print_table(stdout, json_get(sync, "problems"), problem_columns, "");
        }
}

/* A path that is empty stands for all of it. */
static void name_documents(struct arena *arena, const struct json *choices)
{
    static const char all[] = "(the document)";
    json_for_each (choice, choices)
        if (json_text_is(json_get(choice, "path"), ""))
            json_set(choice, "path", strlen("path"), json_new_string(arena, all, strlen(all)));
}

static void print_shadows(struct arena *arena, const struct call *call, const struct json *answer)
{
    const struct json *shadows = json_get(answer, "shadows");
    print_table(stdout, shadows, shadow_columns, "");
    json_for_each (shadow, shadows) {
        const struct json *merge = json_get(shadow, "merge"), *choices = json_get(merge, "choices");
        const char *name = "";
        int64_t more = 0;
        if (!json_first(choices))
            continue;
        (void)json_text(json_get(shadow, "name"), arena, &name);
        (void)printf("\n%s%s%s, merged last:\n", call->arguments[0], *name ? "/" : "", name);
        name_documents(arena, choices);
        print_table(stdout, choices, choice_columns, "");
        if (json_int(json_get(merge, "more"), 1, INT64_MAX, &more))
            (void)printf("and %lld more\n", (long long)more);
    }
}

static char *request_of(struct arena *arena, const char *thing)
{
    struct json_writer w;
    json_writer_init(&w, arena);
    json_begin_object(&w);
    json_key(&w, "thing");
    json_put_string(&w, thing);
    json_end_object(&w);
    return json_writer_text(&w, NULL);
}

int cmd_shadow_sync(const struct call *call)
{
    struct arena arena;
    arena_init(&arena);
    struct json *answer;
    int code = call->count ? ask_once(call, &arena, "$gatehouse/ctl/sync/explain",
                                      request_of(&arena, call->arguments[0]), &answer)
                           : ask_once(call, &arena, "$gatehouse/ctl/sync/list", "{}", &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE && call->count)
        print_shadows(&arena, call, answer);
    else if (code == CLI_DONE)
        print_syncs(answer);
    arena_done(&arena);
    return code;
}
