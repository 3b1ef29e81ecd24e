/* What the registry costs: a start with so many things and certificates, and a decision that is remembered.
 *
 *      bench_registry [THINGS] [FOLDER]
 */
#include "identity/permit.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1000 + (double)at.tv_nsec / 1e6;
}

static void fill(struct registry *registry, struct loop *loop, int things)
{
    static const char document[] =
        "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"iot:*\",\"Resource\":"
        "\"arn:aws:iot:*:*:topic/dt/${iot:Connection.Thing.ThingName}/*\"},"
        "{\"Effect\":\"Allow\",\"Action\":\"iot:Connect\",\"Resource\":\"*\"}]}";
    uint8_t der[600] = {1};
    int r = registry_policy_create(registry, "node", document, strlen(document), NULL);
    for (int i = 0; i < things && r == 0; i++) {
        char name[40], id[65], hall[8];
        (void)snprintf(name, sizeof name, "press-%05d", i);
        (void)snprintf(id, sizeof id, "%064x", i * 7919);
        (void)snprintf(hall, sizeof hall, "%d", i % 20);
        const struct registry_attribute attributes[] = {{"hall", hall}, {"maker", "Acme"}};
        const struct registry_certificate certificate = {
            .der = der, .der_len = sizeof der, .id = id, .subject = "CN = press"};
        r = registry_thing_create(registry, name, NULL, attributes, 2, NULL);
        if (!r)
            r = registry_certificate_register(registry, &certificate, REGISTRY_ACTIVE, NULL);
        if (!r)
            r = registry_attach_thing(registry, id, name, true, NULL);
        if (!r)
            r = registry_attach_policy(registry, "node", id, NULL);
        if (i % 500 == 0)
            (void)loop_turn(loop, 0);
    }
    if (r)
        (void)printf("cannot be filled: %s\n", registry_why(registry));
}

static void decide(struct registry *registry)
{
    enum { TIMES = 5000000, TOPICS = 16 };
    struct registry_principal *who[1];
    if (!registry_principals(registry, NULL, who, 1))
        return;
    struct principal *principal =
        permit_principal_new(registry, who[0], &(struct permit_origin){.address = "10.0.0.1"});
    const char *name = who[0]->things[0].thing->key.text, *why;
    const struct principal_connect connect = {.client_id = name, .client_id_len = strlen(name)};
    bool allowed = principal->permit->connect(principal->permit, &connect, &why);
    char topics[TOPICS][60];
    for (int i = 0; i < TOPICS; i++)
        (void)snprintf(topics[i], sizeof topics[i], "dt/%s/line-%d/env", name, i);
    double start = now_ms();
    for (int i = 0; i < TIMES; i++)
        allowed &= policy_allows(principal, POLICY_PUBLISH, topics[i % TOPICS], strlen(topics[i % TOPICS]));
    double spent = now_ms() - start;
    (void)printf("a decision that is remembered: %.1f ns%s\n", spent * 1e6 / TIMES,
                 allowed ? "" : " (denied)");
    (void)principal_unref(principal);
}

int main(int argc, char **argv)
{
    int things = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 10000;
    cleanup_free char *db = str_printf("%s/bench-registry.db", argc > 2 ? argv[2] : "/tmp");
    struct loop *loop;
    struct store *store;
    struct registry *registry;
    if (loop_new(&loop, NULL) < 0 || store_open(&store, loop, db, WORKER_THREAD) < 0 ||
        registry_open(&registry, loop, store) < 0)
        return 1;
    if (!registry_count(registry, REGISTRY_THING))
        fill(registry, loop, things);
    store_quiesce(store);
    registry = registry_close(registry);
    store = store_close(store);
    double start = now_ms();
    if (store_open(&store, loop, db, WORKER_THREAD) < 0)
        return 1;
    double opened = now_ms();
    if (registry_open(&registry, loop, store) < 0)
        return 1;
    (void)printf(
        "%zu things, %zu certificates: the registry is read in %.1f ms, the store is open after %.1f ms\n",
        registry_count(registry, REGISTRY_THING), registry_count(registry, REGISTRY_PRINCIPAL),
        now_ms() - opened, opened - start);
    decide(registry);
    registry = registry_close(registry);
    store = store_close(store);
    loop = loop_free(loop);
    return 0;
}
