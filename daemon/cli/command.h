/* Commands: one table of them, one of options, and what a command line becomes.
 *
 *      argv ─▶ call_parse() ─▶ struct call ─▶ call->command->run(call) ─▶ exit code
 *
 * Options may stand before and behind the command. The tables are what --help prints; the manual page and the bash
 * completion are held against it by a test.
 */
#pragma once

#include "cli/link.h"

#include <stdio.h>

enum option {
    OPTION_RUNTIME,
    OPTION_JSON,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_QOS,
    OPTION_RETAIN,
    OPTION_STDIN,
    OPTION_LINES,
    OPTION_COUNT,
    OPTION_TIMEOUT,
    OPTION_RETAINED_ONLY,
    OPTION_NO_RETAINED,
    OPTION_NAME,
    OPTION_FROM,
    OPTION_CURSOR,
    OPTION_NO_HOLD,
    OPTION_CONFIG,
    OPTION_UPLINK,
    OPTION_OUTAGE,
    OPTION_RATE,
    OPTION_LINK,
    OPTION_RTT,
    OPTION_WINDOW,
    OPTION_FOR,
    OPTION_BEGIN,
    OPTION_TRACE,
    OPTION_MEASURE,
    OPTION_TYPE,
    OPTION_PARENT,
    OPTION_QUERY,
    OPTION_OUT,
    OPTION_CLIENT,
    OPTION_SINCE,
    OPTION_THING,
    OPTION_ALL,
    OPTIONS
};

#define option_bit(option) (UINT64_C(1) << (option))

struct option_row {
    const char *name;  /* without the dashes */
    char letter;       /* '\0': none */
    const char *value; /* what it is called; NULL: the option takes none */
    const char *help;
};

struct call;

struct command {
    const char *noun, *verb; /* verb NULL: the noun is the command */
    const char *arguments;   /* as in the usage line */
    unsigned min, max;       /* how many */
    uint64_t options;        /* bits of those it takes beside the general ones */
    const char *help;        /* a sentence */
    const char *more;        /* what else there is to know, or NULL */
    int (*run)(const struct call *call);
};

extern const struct option_row option_rows[OPTIONS];
extern const struct command commands[];
extern const size_t command_count;

enum { ARGUMENTS_MAX = 64 };

struct call {
    const struct command *command;
    const char *values[OPTIONS]; /* of an option that was given; "" when it takes none; NULL: not given */
    const char *arguments[ARGUMENTS_MAX];
    unsigned count;
};

/* What is to be done with a command line: run it, or nothing more because all has been said (exit code). */
enum { CALL_RUN = -1 };
/* Help goes to `out`, what is wrong to `err`. */
int call_parse(struct call *call, int argc, char *const *argv, FILE *out, FILE *err) must_check;

static inline bool call_has(const struct call *call, enum option option)
{
    return call->values[option] != NULL;
}

/* A whole number from min to max, or `fallback` when the option was not given. False: it was something else, and that has
 * been said. */
bool call_number(const struct call *call, enum option option, uint32_t min, uint32_t max, uint32_t fallback,
                 uint32_t *ret) must_check;

/* The daemon's runtime directory: --runtime, $GATEHOUSE_RUNTIME, the system's, or the one of a daemon started by hand in
 * this folder. Free it. */
char *call_runtime(const struct call *call);
int call_link(const struct call *call, struct link **ret) must_check;

/* Says on stderr what is wrong with the arguments: CLI_USAGE. */
int call_usage(const struct call *call, const char *format, ...) printf_like(2, 3);

/* ---- the commands --------------------------------------------------------------------------------------------------- */

int cmd_status(const struct call *call);
int cmd_metrics(const struct call *call);
int cmd_pub(const struct call *call);
int cmd_sub(const struct call *call);
int cmd_shadow_get(const struct call *call);
int cmd_shadow_update(const struct call *call);
int cmd_shadow_delete(const struct call *call);
int cmd_shadow_list(const struct call *call);
int cmd_shadow_log(const struct call *call);
int cmd_shadow_at(const struct call *call);
int cmd_shadow_diff(const struct call *call);
int cmd_shadow_blame(const struct call *call);
int cmd_shadow_revert(const struct call *call);
int cmd_shadow_watch(const struct call *call);
int cmd_shadow_sync(const struct call *call);
int cmd_stream_list(const struct call *call);
int cmd_stream_create(const struct call *call);
int cmd_stream_update(const struct call *call);
int cmd_stream_exporter(const struct call *call);
int cmd_stream_retry(const struct call *call);
int cmd_stream_describe(const struct call *call);
int cmd_stream_append(const struct call *call);
int cmd_stream_read(const struct call *call);
int cmd_stream_tail(const struct call *call);
int cmd_stream_cursor(const struct call *call);
int cmd_stream_delete(const struct call *call);
int cmd_stream_verify(const struct call *call);
int cmd_stream_trace(const struct call *call);
int cmd_pair(const struct call *call);
int cmd_node_list(const struct call *call);
int cmd_node_rotate(const struct call *call);
int cmd_node_revoke(const struct call *call);
int cmd_node_repair(const struct call *call);
int cmd_node_approve(const struct call *call);
int cmd_plugin_list(const struct call *call);
int cmd_policy_lint(const struct call *call);
int cmd_template_list(const struct call *call);
int cmd_template_create(const struct call *call);
int cmd_template_describe(const struct call *call);
int cmd_template_enable(const struct call *call);
int cmd_template_disable(const struct call *call);
int cmd_template_delete(const struct call *call);
int cmd_ca_code(const struct call *call);
int cmd_plugin_restart(const struct call *call);
int cmd_uplink_list(const struct call *call);
int cmd_uplink_status(const struct call *call);
int cmd_uplink_cut(const struct call *call);
int cmd_uplink_restore(const struct call *call);
int cmd_uplink_simulate(const struct call *call);
int cmd_thing_create(const struct call *call);
int cmd_thing_import(const struct call *call);
int cmd_thing_update(const struct call *call);
int cmd_thing_list(const struct call *call);
int cmd_thing_search(const struct call *call);
int cmd_thing_describe(const struct call *call);
int cmd_thing_delete(const struct call *call);
int cmd_thing_attach(const struct call *call);
int cmd_thing_detach(const struct call *call);
int cmd_group_create(const struct call *call);
int cmd_group_list(const struct call *call);
int cmd_group_describe(const struct call *call);
int cmd_group_delete(const struct call *call);
int cmd_group_attach(const struct call *call);
int cmd_group_detach(const struct call *call);
int cmd_ca_show(const struct call *call);
int cmd_ca_export(const struct call *call);
int cmd_ca_issue(const struct call *call);
int cmd_ca_rotate(const struct call *call);
int cmd_ca_list(const struct call *call);
int cmd_ca_register(const struct call *call);
int cmd_user_list(const struct call *call);
int cmd_user_add(const struct call *call);
int cmd_user_passwd(const struct call *call);
int cmd_user_enable(const struct call *call);
int cmd_user_disable(const struct call *call);
int cmd_user_delete(const struct call *call);
int cmd_user_import(const struct call *call);
int cmd_cert_list(const struct call *call);
int cmd_cert_describe(const struct call *call);
int cmd_cert_register(const struct call *call);
int cmd_cert_activate(const struct call *call);
int cmd_cert_deactivate(const struct call *call);
int cmd_cert_revoke(const struct call *call);
int cmd_cert_delete(const struct call *call);
int cmd_policy_create(const struct call *call);
int cmd_policy_update(const struct call *call);
int cmd_policy_list(const struct call *call);
int cmd_policy_describe(const struct call *call);
int cmd_policy_delete(const struct call *call);
int cmd_policy_attach(const struct call *call);
int cmd_policy_detach(const struct call *call);
int cmd_can(const struct call *call);
int cmd_audit(const struct call *call);
