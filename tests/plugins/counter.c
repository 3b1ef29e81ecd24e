/* A plugin that uses all of the interface: messages in batches, acknowledged by the tick, in the order
 * opposite to theirs; completions; back-pressure; its configuration; last words. For tests.
 *
 *      count/in      counted; the tick says "N of LABEL, B batches" on count/out and acknowledges
 *      count/flood   publishes as many messages of QoS 1 on count/drop as the payload says, and says on count/out how many
 *                    were acknowledged and how often publish() was busy
 *      count/forbidden  publishes where it may not, and says the result on count/out
 */
#include <gatehouse_plugin.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned count, batches, kept, to_send, sent, acknowledged, busy;
static uint64_t tokens[GH_UNACKNOWLEDGED_MAX];

static void say(struct gh_host *host, const char *text)
{
    (void)gh_say(host, "count/out", text, strlen(text));
}

static void on_done(void *context, int32_t result)
{
    char text[64];
    acknowledged += result == GH_DONE;
    if (acknowledged < to_send)
        return;
    (void)snprintf(text, sizeof text, "flood of %u, %s busy", acknowledged, busy ? "was" : "never");
    say(context, text);
}

static void flood(struct gh_host *host)
{
    struct gh_publication p = {
        .size = sizeof p, .qos = 1, .topic = "count/drop", .payload = "x", .payload_len = 1};
    p.done = on_done;
    p.context = host;
    while (sent < to_send) {
        if (host->publish(host, &p) == GH_E_BUSY) {
            busy++;
            return;
        }
        sent++;
    }
}

static void on_refused(void *context, int32_t result)
{
    say(context, result == GH_E_REFUSED ? "refused" : "not refused");
}

static int32_t take(struct gh_host *host, const struct gh_message *m)
{
    if (strcmp(m->topic, "count/flood") == 0) {
        to_send += (unsigned)strtoul((const char *)m->payload, NULL, 10);
        flood(host);
        return GH_DONE;
    }
    if (strcmp(m->topic, "count/forbidden") == 0) {
        struct gh_publication p = {.size = sizeof p, .qos = 1, .topic = "not/mine", .done = on_refused};
        p.context = host;
        return host->publish(host, &p);
    }
    count++;
    tokens[kept++] = m->token;
    return GH_LATER;
}

static void messages(struct gh_host *host, const struct gh_message *const *list, int32_t *results, uint32_t n)
{
    batches++;
    for (uint32_t i = 0; i < n; i++)
        results[i] = take(host, list[i]);
}

static void tick(struct gh_host *host, uint64_t now_ms)
{
    char text[64];
    (void)now_ms;
    if (!kept)
        return;
    while (kept)
        (void)host->acknowledge(host, tokens[--kept], GH_DONE);
    (void)snprintf(text, sizeof text, "%u of %s", count, host->config(host, "label"));
    say(host, text);
}

static void stop(struct gh_host *host)
{
    say(host, "goodbye");
}

static int32_t start(struct gh_host *host)
{
    int32_t r = host->subscribe(host, "count/in", 1);
    if (r == GH_DONE)
        r = host->subscribe(host, "count/flood", 1);
    if (r == GH_DONE)
        r = host->subscribe(host, "count/forbidden", 1);
    if (r == GH_DONE)
        r = host->set_tick(host, GH_TICK_MIN_MS);
    return r;
}

GH_PLUGIN = {
    GH_PLUGIN_HEAD,       .name = "counter", .version = "1.0", .start = start,
    .messages = messages, .tick = tick,      .ready = flood,   .stop = stop,
};
