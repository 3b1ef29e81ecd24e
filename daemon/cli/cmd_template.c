/* template: what is made for devices that come for the first time; and the authorities whose devices may. */
#include "base/json_write.h"
#include "cli/ask.h"
#include "cli/print.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CTL_LIST     "$gatehouse/ctl/template/list"
#define CTL_CREATE   "$gatehouse/ctl/template/create"
#define CTL_DESCRIBE "$gatehouse/ctl/template/describe"
#define CTL_ENABLE   "$gatehouse/ctl/template/enable"
#define CTL_DISABLE  "$gatehouse/ctl/template/disable"
#define CTL_DELETE   "$gatehouse/ctl/template/delete"
#define CTL_CODE     "$gatehouse/ctl/provisioning/code"
#define CTL_REGISTER "$gatehouse/ctl/provisioning/register"

enum { FILE_SIZE_MAX = 48 * 1024 };

static const struct column template_columns[] = {{"NAME", "name", COLUMN_TEXT},
                                                 {"TYPE", "type", COLUMN_TEXT},
                                                 {"ENABLED", "enabled", COLUMN_TEXT},
                                                 {"HOOK", "hook", COLUMN_TEXT},
                                                 {"VERSION", "version", COLUMN_NUMBER},
                                                 {"MODIFIED", "modified", COLUMN_TIME},
                                                 {"DESCRIPTION", "description", COLUMN_TEXT},
                                                 {0}};

/* The file's text, terminated; CLI_REFUSED: it cannot be read, and that has been said. */
static int read_text(const char *path, struct arena *arena, const char **ret)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    char *text = arena_alloc(arena, FILE_SIZE_MAX + 1);
    size_t len = file ? fread(text, 1, FILE_SIZE_MAX + 1, file) : 0;
    bool failed = !file || ferror(file);
    if (failed)
        (void)fprintf(stderr, "gatehouse: %s: %s\n", path, strerror(errno));
    else if (len > FILE_SIZE_MAX || memchr(text, '\0', len))
        (void)fprintf(stderr, "gatehouse: %s: expected a text of at most 48 KiB\n", path);
    if (file && !is_stdin)
        (void)fclose(file);
    if (failed || len > FILE_SIZE_MAX || memchr(text, '\0', len))
        return CLI_REFUSED;
    text[len] = '\0';
    *ret = text;
    return CLI_DONE;
}

static void put_text(struct json_writer *w, const char *key, const char *text)
{
    json_key(w, key);
    json_put_string(w, text);
}

/* KEY=VALUE of those that a command takes. */
struct setting {
    const char *key, *member;
    enum { SETTING_TEXT, SETTING_TRUTH, SETTING_FILE } kind;
};

static int put_setting(const struct call *call, struct json_writer *w, struct arena *arena,
                       const struct setting *setting, const char *value)
{
    const char *text = value;
    bool yes = strcmp(value, "yes") == 0;
    if (setting->kind == SETTING_TRUTH && !yes && strcmp(value, "no") != 0)
        return call_usage(call, "%s: expected yes or no, found \"%s\"", setting->key, value);
    int code = setting->kind == SETTING_FILE ? read_text(value, arena, &text) : CLI_DONE;
    if (code != CLI_DONE)
        return code;
    json_key(w, setting->member);
    if (setting->kind == SETTING_TRUTH)
        json_put_bool(w, yes);
    else
        json_put_string(w, text);
    return CLI_DONE;
}

static int put_settings(const struct call *call, struct json_writer *w, struct arena *arena,
                        const struct setting *settings, unsigned first)
{
    for (unsigned i = first; i < call->count; i++) {
        const char *equals = strchr(call->arguments[i], '=');
        size_t len = equals ? (size_t)(equals - call->arguments[i]) : 0;
        const struct setting *setting = settings;
        while (setting->key &&
               (strlen(setting->key) != len || strncmp(setting->key, call->arguments[i], len) != 0))
            setting++;
        const char *list = settings[0].key;
        for (size_t k = 1; !setting->key && settings[k].key; k++)
            list = arena_printf(arena, "%s%s%s", list, settings[k + 1].key ? ", " : " or ", settings[k].key);
        if (!setting->key)
            return call_usage(call, "expected KEY=VALUE with %s, found \"%s\"", list, call->arguments[i]);
        int code = put_setting(call, w, arena, setting, equals + 1);
        if (code != CLI_DONE)
            return code;
    }
    return CLI_DONE;
}

int cmd_template_create(const struct call *call)
{
    static const struct setting settings[] = {{"type", "type", SETTING_TEXT},
                                              {"hook", "hook", SETTING_TEXT},
                                              {"description", "description", SETTING_TEXT},
                                              {"enabled", "enabled", SETTING_TRUTH},
                                              {"replace", "replace", SETTING_TRUTH},
                                              {0}};
    struct arena arena = {0};
    struct json_writer w;
    struct json *answer;
    const char *body = NULL;
    int64_t version = 0;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    put_text(&w, "name", call->arguments[0]);
    int code = read_text(call->arguments[1], &arena, &body);
    if (code == CLI_DONE) {
        put_text(&w, "body", body);
        code = put_settings(call, &w, &arena, settings, 2);
    }
    json_end_object(&w);
    if (code == CLI_DONE)
        code = ask_once(call, &arena, CTL_CREATE, json_writer_text(&w, NULL), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE && json_int(json_get(answer, "version"), 1, INT64_MAX, &version))
        (void)printf("template %s: version %lld\n", call->arguments[0], (long long)version);
    arena_done(&arena);
    return code;
}

int cmd_template_list(const struct call *call)
{
    struct arena arena = {0};
    struct json *answer;
    int code = ask_once(call, &arena, CTL_LIST, "{}", &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        print_table(stdout, json_get(answer, "templates"), template_columns, "There is no template.");
    arena_done(&arena);
    return code;
}

static const char *name_request(struct arena *arena, const char *name)
{
    struct json_writer w;
    json_writer_init(&w, arena);
    json_begin_object(&w);
    put_text(&w, "name", name);
    json_end_object(&w);
    return json_writer_text(&w, NULL);
}

/* Does something to one of them. */
static int change(const struct call *call, const char *topic, const char *done)
{
    struct arena arena = {0};
    struct json *answer;
    int code = ask_once(call, &arena, topic, name_request(&arena, call->arguments[0]), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        (void)printf("template %s: %s\n", call->arguments[0], done);
    arena_done(&arena);
    return code;
}

/* Line by line, so that what is no text in it cannot be seen as such. */
static void print_body(const char *body)
{
    for (const char *end; *body; body = end + (*end == '\n')) {
        end = body + strcspn(body, "\n");
        print_bytes(stdout, (const uint8_t *)body, (size_t)(end - body));
        (void)putchar('\n');
    }
}

/* What is known of it, and the body as it was written. */
int cmd_template_describe(const struct call *call)
{
    struct arena arena = {0};
    struct json *answer;
    const char *body = "";
    int code = ask_once(call, &arena, CTL_DESCRIBE, name_request(&arena, call->arguments[0]), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON)) {
        answer_print(answer);
    } else if (code == CLI_DONE) {
        (void)json_text(json_get(answer, "body"), &arena, &body);
        (void)json_remove(answer, "body", 4);
        print_pretty(stdout, answer);
        print_body(body);
    }
    arena_done(&arena);
    return code;
}

int cmd_template_enable(const struct call *call)
{
    return change(call, CTL_ENABLE, "enabled");
}

int cmd_template_disable(const struct call *call)
{
    return change(call, CTL_DISABLE, "disabled");
}

int cmd_template_delete(const struct call *call)
{
    return change(call, CTL_DELETE, "deleted");
}

/* ---- ca ------------------------------------------------------------------------------------------------------------------- */

int cmd_ca_code(const struct call *call)
{
    struct arena arena = {0};
    struct json *answer;
    const char *code_text = "";
    int code = ask_once(call, &arena, CTL_CODE, "{}", &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE && json_text(json_get(answer, "registrationCode"), &arena, &code_text))
        (void)printf("%s\n", code_text);
    arena_done(&arena);
    return code;
}

int cmd_ca_register(const struct call *call)
{
    static const struct setting settings[] = {{"verification", "verification", SETTING_FILE},
                                              {"unverified", "unverified", SETTING_TRUTH},
                                              {"template", "template", SETTING_TEXT},
                                              {"active", "active", SETTING_TRUTH},
                                              {"auto-registration", "autoRegistration", SETTING_TRUTH},
                                              {0}};
    struct arena arena = {0};
    struct json_writer w;
    struct json *answer;
    const char *pem = NULL, *id = "";
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    int code = read_text(call->arguments[0], &arena, &pem);
    if (code == CLI_DONE) {
        put_text(&w, "certificate", pem);
        code = put_settings(call, &w, &arena, settings, 1);
    }
    json_end_object(&w);
    if (code == CLI_DONE)
        code = ask_once(call, &arena, CTL_REGISTER, json_writer_text(&w, NULL), &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE && json_text(json_get(answer, "id"), &arena, &id))
        (void)printf("authority %s: registered\n", id);
    arena_done(&arena);
    return code;
}
