/* Answers what is asked on hello/ask: on the request's Response Topic if it has one, else on hello/answer. */
#include <gatehouse_plugin.h>

static int32_t start(struct gh_host *host)
{
    return host->subscribe(host, "hello/ask", 1);
}

static int32_t message(struct gh_host *host, const struct gh_message *m)
{
    return gh_answer(host, m, "hello/answer", m->payload, m->payload_len);
}

GH_PLUGIN = {GH_PLUGIN_HEAD, .name = "hello", .version = "1.0", .start = start, .message = message};
