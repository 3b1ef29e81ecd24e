/* A plugin that behaves badly when it is told to, for tests of those who must live with it. It answers what
 * comes on work/NAME on done/NAME, NAME being its own; a message that has come again is answered with "again
 * " in front. Before that:
 *
 *      boom    crashes, unless it has come again      always   crashes
 *      hang    never returns, unless again            exit     ends the process
 *      leak    takes memory without end, unless again
 */
#include <gatehouse_plugin.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char done_topic[128];

static int is(const struct gh_message *m, const char *word)
{
    return m->payload_len == strlen(word) && memcmp(m->payload, word, m->payload_len) == 0;
}

static void crash(void)
{
    (void)signal(SIGSEGV, SIG_DFL); /* a sanitizer may have taken it */
    (void)raise(SIGSEGV);
}

static void hang(void)
{
    for (volatile int forever = 1; forever;)
        continue;
}

/* malloc() returns NULL beyond the limit; this plugin does not look. The volatile store keeps the compiler
 * from leaving all of it out. */
static char *volatile last;

static void leak(void)
{
    for (;;) {
        last = malloc(1 << 20);
        memset(last, 1, 1 << 20);
    }
}

static int32_t message(struct gh_host *host, const struct gh_message *m)
{
    char answer[256];
    if (is(m, "always") || (is(m, "boom") && !m->again))
        crash();
    if (is(m, "hang") && !m->again)
        hang();
    if (is(m, "leak") && !m->again)
        leak();
    if (is(m, "exit"))
        exit(7);
    int n = snprintf(answer, sizeof answer, "%s%.*s", m->again ? "again " : "", (int)m->payload_len,
                     (const char *)m->payload);
    return gh_answer(host, m, done_topic, answer, (size_t)n);
}

static int32_t start(struct gh_host *host)
{
    char topic[128];
    (void)snprintf(topic, sizeof topic, "work/%s", host->name);
    (void)snprintf(done_topic, sizeof done_topic, "done/%s", host->name);
    return host->subscribe(host, topic, 1);
}

GH_PLUGIN = {GH_PLUGIN_HEAD, .name = "unruly", .version = "1.0", .start = start, .message = message};
