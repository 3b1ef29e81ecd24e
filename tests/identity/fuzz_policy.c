/* A policy, a line of blanks, what is known of who asks, and requests:
 *
 *      {"Version":…}
 *      (an empty line)
 *      iot:ClientId=press-07            knows something
 *      Publish topic/a                  a request; the last bytes of the input may lack their line's end
 *
 * What is refused names a place inside of it. What is decided is decided the same by the cache, and named; what lint says of
 * a policy is true of its requests: what never matches or is unreachable decides nothing. */
#include "identity/policy_cache.h"
#include "identity/policy_lint.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

struct asked {
    struct policy *policy;
    struct policy_context context;
    struct policy_cache cache;
    struct arena arena;
    struct policy_finding *findings;
    size_t finding_count;
};

static void ask(struct asked *asked, enum iot_action action, const char *name, size_t len)
{
    struct policy *const list[] = {asked->policy};
    struct policy_set set = {list, 1};
    struct policy_request request = {.action = action, .name = name, .len = len, .wall_ms = 1795773601500};
    struct policy_verdict verdict;
    enum policy_decision decision = policy_decide(&set, &asked->context, &request, &verdict);
    must(verdict.decision == decision && verdict.missing_count <= POLICY_MISSING_MAX);
    must((verdict.policy != NULL) == (decision != POLICY_IMPLICIT_DENY));
    if (verdict.policy) {
        must(verdict.statement < asked->policy->count);
        must(asked->policy->statements[verdict.statement].deny == (decision == POLICY_EXPLICIT_DENY));
        must(asked->policy->statements[verdict.statement].actions & iot_action_bit(action));
    }
    for (int i = 0; i < 2; i++)
        must(policy_cache_decide(&asked->cache, 1, &set, &asked->context, &request) == decision);
    /* An Allow that another statement shadows cannot be missed. */
    for (size_t i = 0; i < asked->finding_count; i++) {
        const struct policy_finding *finding = &asked->findings[i];
        if (finding->kind != POLICY_UNREACHABLE || strncmp(finding->text, "it ", 3) != 0)
            continue;
        struct policy_statement *statement = &asked->policy->statements[finding->statement];
        uint32_t actions = statement->actions;
        statement->actions = 0;
        must(policy_decide(&set, &asked->context, &request, NULL) == decision);
        statement->actions = actions;
    }
}

static void line(struct asked *asked, const char *text, size_t len)
{
    const char *equal = memchr(text, '=', len), *blank = memchr(text, ' ', len);
    if (blank && (!equal || blank < equal)) {
        enum iot_action action = iot_action_find(text, (size_t)(blank - text));
        if (action != IOT_ACTIONS)
            ask(asked, action, blank + 1, len - 1 - (size_t)(blank - text));
    } else if (equal) {
        const char *key = arena_copy(&asked->arena, text, (size_t)(equal - text));
        policy_context_add(&asked->context, key, equal + 1, len - 1 - (size_t)(equal - text));
        policy_cache_clear(&asked->cache);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data, *end = text + len;
    const char *gap = memmem(text, len, "\n\n", 2);
    size_t policy_len = gap ? (size_t)(gap - text) : len;
    struct asked asked = {0};
    struct policy_error error;
    int r = policy_compile(&asked.policy, "fuzz", text, policy_len, &error);
    if (r != 0) {
        must(r == POLICY_MALFORMED && error.line >= 1 && error.column >= 1);
        must(strstr(error.text, "expected ") != NULL);
        return 0;
    }
    policy_context_init(&asked.context, NULL);
    policy_cache_init(&asked.cache, 4, 256);
    asked.finding_count = policy_lint(asked.policy, &asked.arena, &asked.findings);
    for (size_t i = 0; i < asked.finding_count; i++)
        must(asked.findings[i].statement < asked.policy->count &&
             asked.findings[i].kind < POLICY_FINDING_KINDS);
    for (const char *at = gap ? gap + 2 : end, *next; at < end; at = next + 1) {
        next = memchr(at, '\n', (size_t)(end - at));
        next = next ? next : end;
        line(&asked, at, (size_t)(next - at));
    }
    policy_cache_clear(&asked.cache);
    policy_context_done(&asked.context);
    arena_done(&asked.arena);
    (void)policy_unref(asked.policy);
    return 0;
}
