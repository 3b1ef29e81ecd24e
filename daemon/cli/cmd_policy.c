/* policy: what can be said of policy documents in files, without a daemon. */
#include "base/json_write.h"
#include "cli/command.h"
#include "cli/print.h"
#include "identity/policy_lint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What is wrong with a file: of a policy that is none, the first fault; of one that is one, all findings. */
struct report {
    const struct policy *policy; /* NULL: there is none */
    struct policy_error error;
    struct policy_finding *findings;
    size_t count;
};

/* The file's text, cut off behind what no policy has. CLI_REFUSED: it cannot be read, and that has been said. */
static int read_file(const char *path, struct arena *arena, char **ret, size_t *ret_len)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");
    char *text = arena_alloc(arena, POLICY_TEXT_MAX + 1);
    size_t len = file ? fread(text, 1, POLICY_TEXT_MAX + 1, file) : 0;
    bool failed = !file || ferror(file);
    if (failed)
        (void)fprintf(stderr, "gatehouse: %s: %s\n", path, strerror(errno));
    if (file && !is_stdin)
        (void)fclose(file);
    *ret = text;
    *ret_len = len;
    return failed ? CLI_REFUSED : CLI_DONE;
}

static void print_fault(const char *path, unsigned line, unsigned column, const char *kind, const char *text)
{
    print_text(stdout, path);
    (void)printf(":%u:%u: %s: ", line, column, kind);
    print_text(stdout, text);
    (void)fputs("\n", stdout);
}

static void print_report(const char *path, const struct report *report)
{
    if (!report->policy) {
        print_fault(path, report->error.line, report->error.column, "malformed", report->error.text);
        return;
    }
    for (size_t i = 0; i < report->count; i++) {
        const struct policy_finding *finding = &report->findings[i];
        const struct policy_statement *statement = &report->policy->statements[finding->statement];
        print_fault(path, statement->line, statement->column, policy_finding_names[finding->kind],
                    finding->text);
    }
}

static void write_place(struct json_writer *w, unsigned line, unsigned column, const char *kind,
                        const char *text)
{
    json_key(w, "line");
    json_put_uint(w, line);
    json_key(w, "column");
    json_put_uint(w, column);
    json_key(w, "kind");
    json_put_string(w, kind);
    json_key(w, "text");
    json_put_string(w, text);
}

static void write_finding(struct json_writer *w, const struct report *report,
                          const struct policy_finding *finding)
{
    const struct policy_statement *statement = &report->policy->statements[finding->statement];
    write_place(w, statement->line, statement->column, policy_finding_names[finding->kind], finding->text);
    json_key(w, "statement");
    json_put_uint(w, finding->statement + 1);
    if (!statement->sid.text)
        return;
    json_key(w, "sid");
    json_put_string_n(w, statement->sid.text, statement->sid.len);
}

static void print_json(struct arena *arena, const char *path, const struct report *report)
{
    struct json_writer w;
    json_writer_init(&w, arena);
    json_begin_object(&w);
    json_key(&w, "file");
    json_put_string(&w, path);
    json_key(&w, "findings");
    json_begin_array(&w);
    if (!report->policy) {
        json_begin_object(&w);
        write_place(&w, report->error.line, report->error.column, "malformed", report->error.text);
        json_end_object(&w);
    }
    for (size_t i = 0; i < report->count; i++) {
        json_begin_object(&w);
        write_finding(&w, report, &report->findings[i]);
        json_end_object(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
    (void)puts(json_writer_text(&w, NULL));
}

static int lint(const struct call *call, const char *path, struct arena *arena)
{
    char *text;
    size_t len;
    struct report report = {0};
    cleanup(policy_unref_p) struct policy *policy = NULL;
    int code = read_file(path, arena, &text, &len);
    if (code != CLI_DONE)
        return code;
    if (policy_compile(&policy, path, text, len, &report.error) == 0)
        report.count = policy_lint(policy, arena, &report.findings);
    report.policy = policy;
    if (call_has(call, OPTION_JSON))
        print_json(arena, path, &report);
    else
        print_report(path, &report);
    return policy && !report.count ? CLI_DONE : CLI_REFUSED;
}

int cmd_policy_lint(const struct call *call)
{
    int code = CLI_DONE;
    for (unsigned i = 0; i < call->count; i++) {
        struct arena arena;
        arena_init(&arena);
        if (lint(call, call->arguments[i], &arena) != CLI_DONE)
            code = CLI_REFUSED;
        arena_done(&arena);
    }
    return code;
}
