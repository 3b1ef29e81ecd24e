/* The audit log: who changed what in the registry, and who was refused what; in state.db.
 *
 *      number │ when │ operator:1000 │ certificate/revoked │ 5e8a… │ REVOKED │ 1
 *      number │ when │ 10.0.0.7      │ refused/connect     │ 91c0… │ its certificate has expired │ 1
 *
 * Changes are written with the change itself. A refusal that repeats itself is written once and then counted: once a minute
 * there is a row that says how often. More than REFUSALS_A_MINUTE different ones in a minute are counted together. The oldest
 * of more than AUDIT_ROWS_MAX rows go.
 */
#pragma once

#include "base/worker.h"
#include "identity/registry.h"

enum { AUDIT_ROWS_MAX = 20000, AUDIT_REFUSALS_A_MINUTE = 100, AUDIT_ANSWER_MAX = 1000 };

struct audit;
/* registry may be NULL: only what is noted. */
int audit_new(struct audit **ret, struct loop *loop, struct store *store, struct registry *registry)
    must_check;
struct audit *audit_free(struct audit *audit); /* after the store is quiet */

/* Somebody has done something. `reason` may be "". */
void audit_note(struct audit *audit, const char *who, const char *what, const char *object,
                const char *reason);
/* Somebody was refused something; audit may be NULL. */
void audit_refused(struct audit *audit, const char *who, const char *what, const char *object,
                   const char *reason);

struct audit_query {
    int64_t since_ms, until_ms; /* until 0: no limit */
    const char *what;           /* only rows whose `what` begins so; NULL: all. Copied, as the next */
    const char *who;            /* only of them; NULL: all */
    size_t max;                 /* the newest so many, at most AUDIT_ANSWER_MAX */
    /* json: {"entries":[{"number","at","who","what","object","reason","count"}]}, oldest first, valid during the call; r < 0:
     * NULL. */
    void (*done)(struct audit_query *query, int r, const char *json);
    struct audit_query_private *private;
};
void audit_ask(struct audit *audit, struct audit_query *query);
