/* ca, cert, can, audit: certificates, what they may do, and what has happened. */
#include "cli/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILE_MAX = 128 * 1024 };

static const struct column cert_columns[] = {
    {"CERTIFICATE", "short", COLUMN_TEXT},
    {"STATUS", "status", COLUMN_TEXT},
    {"SUBJECT", "subject", COLUMN_TEXT},
    {"THINGS", "things", COLUMN_TEXT},
    {"POLICIES", "policies", COLUMN_TEXT},
    {"EXPIRES", "expires", COLUMN_TIME},
    {0},
};
static const struct column ca_columns[] = {
    {"AUTHORITY", "short", COLUMN_TEXT},
    {"STATUS", "status", COLUMN_TEXT},
    {"SUBJECT", "subject", COLUMN_TEXT},
    {"REGISTERS", "registers", COLUMN_TEXT},
    {"TEMPLATE", "template", COLUMN_TEXT},
    {"EXPIRES", "expires", COLUMN_TIME},
    {0},
};
static const struct column audit_columns[] = {
    {"WHEN", "at", COLUMN_TIME},
    {"WHO", "who", COLUMN_TEXT},
    {"WHAT", "what", COLUMN_TEXT},
    {"OBJECT", "object", COLUMN_TEXT},
    {"REASON", "reason", COLUMN_TEXT},
    {"TIMES", "count", COLUMN_NUMBER},
    {0},
};
static const char *const no_members[] = {NULL};
static const char *const by_id[] = {"id", NULL};

int registry_read_file(struct arena *arena, const char *path, char **ret)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    char *text = arena_alloc(arena, FILE_MAX + 1);
    size_t len = file ? fread(text, 1, FILE_MAX, file) : 0;
    bool failed = !file || ferror(file);
    if (failed)
        (void)fprintf(stderr, "gatehouse: %s: %s\n", path, strerror(errno));
    if (file && !is_stdin)
        (void)fclose(file);
    text[len] = '\0';
    *ret = text;
    return failed ? CLI_REFUSED : CLI_DONE;
}

/* A row's id cut to what one can type, its lists as lines, its end in ms. */
static void flatten(struct arena *arena, struct json *row)
{
    const char *id = NULL;
    if (json_text(json_get(row, "id"), arena, &id))
        registry_set(arena, row, "short", strlen(id) == 64 ? arena_printf(arena, "%.16s", id) : id);
    registry_set(arena, row, "things", registry_flat(arena, json_get(row, "things")));
    registry_set(arena, row, "policies", registry_flat(arena, json_get(row, "policies")));
    bool registers = false;
    if (json_bool(json_get(row, "autoRegistration"), &registers))
        registry_set(arena, row, "registers", registers ? "yes" : "no");
    int64_t end_s;
    if (json_int(json_get(row, "notAfter"), 1, INT64_MAX / 1000, &end_s))
        json_set(row, "expires", 7, json_new_int(arena, end_s * 1000));
}

static int list(const struct call *call, const char *topic, const char *key, const struct column *columns,
                const char *none)
{
    struct arena arena;
    struct json *answer, *request = registry_request(call, &arena, no_members);
    int code = registry_ask(call, &arena, topic, request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON)) {
        answer_print(answer);
    } else if (code == CLI_DONE) {
        json_for_each (row, json_get(answer, key))
            flatten(&arena, row);
        print_table(stdout, json_get(answer, key), columns, none);
    }
    arena_done(&arena);
    return code;
}

/* ---- the gateway's own authority ----------------------------------------------------------------------------------------- */

int cmd_ca_show(const struct call *call)
{
    return registry_show(call, "$gatehouse/ctl/ca/show", no_members);
}

int cmd_ca_export(const struct call *call)
{
    struct arena arena;
    const char *pem = NULL;
    struct json *answer, *request = registry_request(call, &arena, no_members);
    int code = registry_ask(call, &arena, "$gatehouse/ctl/ca/show", request, &answer);
    if (code == CLI_DONE && json_text(json_get(answer, "pem"), &arena, &pem))
        (void)fputs(pem, stdout);
    arena_done(&arena);
    return code;
}

int cmd_ca_rotate(const struct call *call)
{
    return registry_show(call, "$gatehouse/ctl/ca/rotate", no_members);
}

int cmd_ca_list(const struct call *call)
{
    return list(call, "$gatehouse/ctl/ca/list", "authorities", ca_columns,
                "There is no authority: gatehouse ca init.");
}

/* FOLDER/NAME.pem, .key and ca.pem; what is there already is not replaced. */
static int write_file(const char *folder, const char *name, const char *end, const struct json *text,
                      struct arena *arena, mode_t mode)
{
    const char *bytes;
    if (!json_text(text, arena, &bytes))
        return CLI_DONE; /* there is no key when a request was signed */
    const char *path = arena_printf(arena, "%s/%s%s", folder, name, end);
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    size_t len = strlen(bytes);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len) {
        (void)fprintf(stderr, "gatehouse: %s: %s\n", path, strerror(errno));
        return CLI_REFUSED;
    }
    (void)printf("%s\n", path);
    return CLI_DONE;
}

/* Before anything is made: whether it can be written, and replaces nothing. */
static int check_files(const char *folder, const char *name, struct arena *arena)
{
    static const char *const ends[] = {".key", ".pem", "-ca.pem"};
    if (access(folder, W_OK | X_OK) < 0) {
        (void)fprintf(stderr, "gatehouse: %s: %s\n", folder, strerror(errno));
        return CLI_REFUSED;
    }
    for (size_t i = 0; i < array_size(ends); i++) {
        const char *path = arena_printf(arena, "%s/%s%s", folder, name, ends[i]);
        if (access(path, F_OK) < 0)
            continue;
        (void)fprintf(stderr, "gatehouse: %s: is there already\n", path);
        return CLI_REFUSED;
    }
    return CLI_DONE;
}

int cmd_ca_issue(const struct call *call)
{
    static const char *const members[] = {"name", NULL};
    const char *folder = call->values[OPTION_OUT] ? call->values[OPTION_OUT] : ".",
               *name = call->arguments[0];
    if (strchr(name, '/'))
        return call_usage(call, "expected the name of a thing, found \"%s\"", name);
    struct arena arena;
    char *csr = NULL;
    struct json *answer, *request = registry_request(call, &arena, members);
    int code = call_has(call, OPTION_JSON) ? CLI_DONE : check_files(folder, name, &arena);
    if (code == CLI_DONE && call->count > 1)
        code = registry_read_file(&arena, call->arguments[1], &csr);
    registry_set(&arena, request, "csr", csr);
    if (code == CLI_DONE)
        code = registry_ask(call, &arena, "$gatehouse/ctl/ca/issue", request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON)) {
        answer_print(answer);
    } else if (code == CLI_DONE) {
        code = write_file(folder, name, ".key", json_get(answer, "key"), &arena, 0600);
        if (code == CLI_DONE)
            code = write_file(folder, name, ".pem", json_get(answer, "certificate"), &arena, 0644);
        if (code == CLI_DONE)
            code = write_file(folder, name, "-ca.pem", json_get(answer, "ca"), &arena, 0644);
    }
    arena_done(&arena);
    return code;
}

/* A certificate from a file is registered: of a device, or of an authority. */
static int register_file(const struct call *call, const char *topic)
{
    struct arena arena;
    char *pem;
    const char *id = NULL;
    struct json *answer, *request = registry_request(call, &arena, no_members);
    int code = registry_read_file(&arena, call->arguments[0], &pem);
    registry_set(&arena, request, "pem", pem);
    if (code == CLI_DONE)
        code = registry_ask(call, &arena, topic, request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE && json_text(json_get(answer, "id"), &arena, &id))
        (void)puts(id);
    arena_done(&arena);
    return code;
}

/* ---- certificates --------------------------------------------------------------------------------------------------------- */

int cmd_cert_list(const struct call *call)
{
    return list(call, "$gatehouse/ctl/cert/list", "certificates", cert_columns,
                "There is no certificate: gatehouse ca issue, or gatehouse cert register.");
}

int cmd_cert_register(const struct call *call)
{
    return register_file(call, "$gatehouse/ctl/cert/register");
}

int cmd_cert_describe(const struct call *call)
{
    return registry_show(call, "$gatehouse/ctl/cert/describe", by_id);
}

static int set_status(const struct call *call, const char *status)
{
    struct arena arena;
    struct json *answer, *request = registry_request(call, &arena, by_id);
    registry_set(&arena, request, "status", status);
    int code = registry_ask(call, &arena, "$gatehouse/ctl/cert/status", request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        (void)printf("%s: %s\n", call->arguments[0], status);
    arena_done(&arena);
    return code;
}

int cmd_cert_activate(const struct call *call)
{
    return set_status(call, "ACTIVE");
}

int cmd_cert_deactivate(const struct call *call)
{
    return set_status(call, "INACTIVE");
}

int cmd_cert_revoke(const struct call *call)
{
    return set_status(call, "REVOKED");
}

int cmd_cert_delete(const struct call *call)
{
    return registry_do(call, "$gatehouse/ctl/cert/delete", by_id, "deleted");
}

/* ---- may he? ---------------------------------------------------------------------------------------------------------------- */

static void print_verdict(struct arena *arena, const struct json *answer)
{
    const char *decision = "", *policy = NULL, *sid = NULL, *status = "ACTIVE";
    int64_t version = 0, statement = 0;
    (void)json_text(json_get(answer, "decision"), arena, &decision);
    (void)json_text(json_get(answer, "policy"), arena, &policy);
    (void)json_text(json_get(answer, "sid"), arena, &sid);
    (void)json_text(json_get(answer, "status"), arena, &status);
    (void)json_int(json_get(answer, "version"), 0, INT64_MAX, &version);
    (void)json_int(json_get(answer, "statement"), 0, INT64_MAX, &statement);
    (void)fputs(strcmp(decision, "ALLOWED") == 0 ? "yes: " : "no: ", stdout);
    if (policy) {
        print_text(stdout, policy);
        (void)printf(", version %lld, statement %lld", (long long)version, (long long)statement);
    } else {
        (void)fputs("no statement of any policy is about it", stdout);
    }
    if (sid) {
        (void)fputs(" (", stdout);
        print_text(stdout, sid);
        (void)fputs(")", stdout);
    }
    (void)printf(": %s\n", decision);
    const char *missing = registry_flat(arena, json_get(answer, "missing"));
    if (missing)
        (void)printf("without a value: %s\n", missing);
    if (strcmp(status, "ACTIVE") != 0)
        (void)printf("but its certificate is %s, and it does not get in\n", status);
}

int cmd_can(const struct call *call)
{
    static const char *const members[] = {"node", "action", "resource", NULL};
    struct arena arena;
    const char *decision = "";
    struct json *answer, *request = registry_request(call, &arena, members);
    registry_set(&arena, request, "clientId", call->values[OPTION_CLIENT]);
    int code = registry_ask(call, &arena, "$gatehouse/ctl/policy/can", request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        print_verdict(&arena, answer);
    if (code == CLI_DONE && json_text(json_get(answer, "decision"), &arena, &decision))
        code = strcmp(decision, "ALLOWED") == 0 ? CLI_DONE : CLI_REFUSED;
    arena_done(&arena);
    return code;
}

/* ---- audit ------------------------------------------------------------------------------------------------------------------- */

/* "90s", "15m", "2h", "7d": so long ago; or a date. −1: neither. */
static int64_t since_of(const char *text)
{
    static const struct unit {
        char letter;
        int64_t s;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    long long number = strtoll(text, &end, 10);
    for (size_t i = 0; i < array_size(units); i++)
        if (end != text && *end == units[i].letter && !end[1] && number >= 0 && number < 100000)
            return ((int64_t)time(NULL) - number * units[i].s) * 1000;
    struct tm at = {.tm_isdst = -1};
    const char *rest = strptime(text, "%Y-%m-%d", &at);
    if (rest && (*rest == 'T' || *rest == ' '))
        rest = strptime(rest + 1, "%H:%M", &at);
    return rest && !*rest ? (int64_t)mktime(&at) * 1000 : -1;
}

int cmd_audit(const struct call *call)
{
    static const char *const members[] = {"what", NULL};
    uint32_t max;
    if (!call_number(call, OPTION_COUNT, 1, 1000, 100, &max))
        return CLI_USAGE;
    int64_t since = call_has(call, OPTION_SINCE) ? since_of(call->values[OPTION_SINCE]) : 0;
    if (since < 0)
        return call_usage(call, "--since: expected 90s, 15m, 2h, 7d or YYYY-MM-DD[THH:MM], found \"%s\"",
                          call->values[OPTION_SINCE]);
    struct arena arena;
    struct json *answer, *request = registry_request(call, &arena, members);
    json_set(request, "since", 5, json_new_int(&arena, since));
    json_set(request, "max", 3, json_new_int(&arena, max));
    int code = registry_ask(call, &arena, "$gatehouse/ctl/audit/list", request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        print_table(stdout, json_get(answer, "entries"), audit_columns, "Nothing has happened.");
    arena_done(&arena);
    return code;
}
