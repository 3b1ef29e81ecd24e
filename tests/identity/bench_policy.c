/* What a decision on a PUBLISH costs: nanoseconds when it is remembered, and when the policies are evaluated. Not a test.
 *
 *      bench_policy [COUNT]
 *
 * The policies are those of an ordinary node: one of its own with variables, one of its group. The best of several rounds
 * of COUNT decisions is shown: what is slower was something else on this machine. */
#include "identity/policy_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 9, TOPICS = 64 };

#define PLACE "arn:aws:iot:*:*:"

static const char own[] =
    "{\"Version\":\"2012-10-17\",\"Statement\":["
    "{\"Effect\":\"Allow\",\"Action\":\"iot:Connect\",\"Resource\":\"" PLACE
    "client/${iot:Connection.Thing.ThingName}\"},"
    "{\"Effect\":\"Allow\",\"Action\":\"iot:Subscribe\",\"Resource\":[\"" PLACE
    "topicfilter/cmd/${iot:Connection.Thing.ThingName}/*\",\"" PLACE
    "topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/*\"]},"
    "{\"Effect\":\"Allow\",\"Action\":\"iot:Publish\",\"Resource\":[\"" PLACE
    "topic/$aws/things/${iot:Connection.Thing.ThingName}/*\",\"" PLACE
    "topic/dt/${iot:Connection.Thing.Attributes[hall]}/${iot:Connection.Thing.ThingName}/*\"],"
    "\"Condition\":{\"Bool\":{\"iot:Connection.Thing.IsAttached\":true}}},"
    "{\"Effect\":\"Deny\",\"Action\":\"iot:Publish\",\"Resource\":\"" PLACE "topic/*/secret\"}]}";

static const char group[] = "{\"Version\":\"2012-10-17\",\"Statement\":["
                            "{\"Effect\":\"Allow\",\"Action\":\"iot:Receive\",\"Resource\":\"*\"},"
                            "{\"Effect\":\"Deny\",\"Action\":\"iot:*\",\"Resource\":\"*\",\"Condition\":"
                            "{\"NotIpAddress\":{\"aws:SourceIp\":[\"10.0.0.0/8\",\"192.168.0.0/16\"]}}}]}";

static void must(bool holds)
{
    if (!holds)
        abort();
}

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The compiler must not see that nobody wants the result. */
static void *opaque(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static unsigned long count = 500000;
static struct policy *policies[2];
static const struct policy_set set = {policies, array_size(policies)};
static struct policy_context context;
static struct policy_cache cache;
static char topics[TOPICS][64];

static void measure(const char *what, bool cached, unsigned topic_count)
{
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t from = now_ns();
        for (unsigned long i = 0; i < count; i++) {
            const char *topic = topics[i % topic_count];
            struct policy_request request = {.action = IOT_PUBLISH, .name = topic, .len = strlen(topic)};
            (void)opaque(&request);
            enum policy_decision decision = cached ? policy_cache_decide(&cache, 1, &set, &context, &request)
                                                   : policy_decide(&set, &context, &request, NULL);
            must(decision == POLICY_ALLOWED);
        }
        uint64_t took = now_ns() - from;
        best = took < best ? took : best;
    }
    printf("%-32s %8.1f ns\n", what, (double)best / (double)count);
}

static void know(const char *key, const char *value)
{
    policy_context_add(&context, key, value, strlen(value));
}

int main(int argc, char **argv)
{
    if (argc > 1)
        count = strtoul(argv[1], NULL, 10);
    must(policy_compile(&policies[0], "own", own, strlen(own), NULL) == 0);
    must(policy_compile(&policies[1], "group", group, strlen(group), NULL) == 0);
    policy_context_init(&context, NULL);
    know("iot:ClientId", "press-07");
    know("aws:SourceIp", "10.20.3.4");
    know("iot:CertificateId", "4f0c2a9e");
    know("iot:Certificate.Subject.CommonName", "press-07");
    know("iot:Connection.Thing.ThingName", "press-07");
    know("iot:Connection.Thing.ThingTypeName", "press");
    know("iot:Connection.Thing.Attributes[hall]", "7");
    know("iot:Connection.Thing.IsAttached", "true");
    for (unsigned i = 0; i < TOPICS; i++)
        (void)snprintf(topics[i], sizeof topics[i], "dt/7/press-07/line%u/env", i);
    policy_cache_init(&cache, 2 * TOPICS, 16384);
    if (count) {
        measure("publish, remembered", true, 1);
        measure("publish, remembered, 64 topics", true, TOPICS);
        measure("publish, evaluated", false, 1);
    }
    policy_cache_clear(&cache);
    policy_context_done(&context);
    for (size_t i = 0; i < array_size(policies); i++)
        (void)policy_unref(policies[i]);
    return 0;
}
