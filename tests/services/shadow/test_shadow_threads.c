/* The service with the store on its own thread: many requests to few shadows with little memory for them. What comes out
 * is what a model says, and what is on disk is what came out. */
#include "bus/bus.h"
#include "rig/test.h"
#include "services/shadow/shadow.h"
#include "store/folder.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>

enum { THINGS = 60, REQUESTS = 4000, WINDOW = 100 };

/* What a shadow must be, by the requests published so far. */
struct model {
    bool exists;
    uint64_t version;
    int n;
};

struct house {
    struct loop *loop;
    struct store *store;
    struct bus *bus;
    struct shadow *shadow;
    struct subscriber subscriber;
    struct subscription subscription;
    uint64_t told[THINGS]; /* version of the last update that was told */
    size_t accepted, in_flight, failed;
    char answer[400]; /* to the last get */
    struct model models[THINGS];
};

static void on_message(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct house *house = container_of(subscriber, struct house, subscriber);
    int thing;
    char verb[20], answer[20];
    if (sscanf(msg->topic, "$aws/things/%d/shadow/%19[a-z]/%19[a-z]", &thing, verb, answer) != 3)
        return;
    if (strcmp(verb, "get") == 0)
        (void)snprintf(house->answer, sizeof house->answer, "%s", (const char *)msg->payload);
    if (strcmp(verb, "update") != 0 || strcmp(answer, "accepted") != 0)
        return;
    const char *version = strstr((const char *)msg->payload, "\"version\":");
    uint64_t told = version ? strtoull(version + strlen("\"version\":"), NULL, 10) : 0;
    if (told <= house->told[thing])
        house->failed++;
    house->told[thing] = told;
    house->accepted++;
}

static void house_open(struct house *house, const char *path, enum worker_mode mode, size_t cache_bytes)
{
    CHECK_INT(loop_new(&house->loop, NULL), 0);
    CHECK_INT(store_open(&house->store, house->loop, path, mode), 0);
    CHECK_INT(bus_new(&house->bus, house->loop, &(struct bus_options){.store = house->store}), 0);
    CHECK_INT(shadow_new(&house->shadow, house->bus, house->store,
                         &(struct shadow_options){.cache_bytes = cache_bytes}),
              0);
    house->subscriber.deliver = on_message;
    bus_subscribe_to(house->bus, &house->subscription, &house->subscriber, "$aws/#");
}

static void house_close(struct house *house)
{
    bus_unsubscribe(house->bus, &house->subscription);
    house->shadow = shadow_free(house->shadow);
    house->bus = bus_free(house->bus);
    house->store = store_close(house->store);
    house->loop = loop_free(house->loop);
}

struct asked {
    struct receipt receipt;
    struct house *house;
};

static void on_settled(struct receipt *receipt, int r)
{
    struct asked *asked = container_of(receipt, struct asked, receipt);
    asked->house->in_flight--;
    asked->house->failed += r != 0;
    free(asked);
}

static void ask(struct house *house, int thing, const char *verb, const char *payload)
{
    char topic[100];
    (void)snprintf(topic, sizeof topic, "$aws/things/%d/shadow/%s", thing, verb);
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), payload, strlen(payload));
    struct asked *asked = mem_new(struct asked);
    receipt_init(&asked->receipt, on_settled);
    asked->house = house;
    house->in_flight++;
    bus_publish(house->bus, msg, &asked->receipt);
}

static void turn_until(struct house *house, size_t in_flight)
{
    while (house->in_flight > in_flight)
        CHECK(loop_turn(house->loop, -1) >= 0);
}

static void ask_at_random(struct house *house, unsigned *seed, int n)
{
    int thing = rand_r(seed) % THINGS;
    struct model *model = &house->models[thing];
    switch (rand_r(seed) % 10) {
    case 0:
        ask(house, thing, "delete", "");
        model->version += model->exists;
        model->exists = false;
        return;
    case 1:
    case 2: ask(house, thing, "get", ""); return;
    default: break;
    }
    char payload[300];
    (void)snprintf(payload, sizeof payload, "{\"state\":{\"desired\":{\"n\":%d,\"fill\":\"%0100d\"}}}", n, 0);
    ask(house, thing, "update", payload);
    model->exists = true;
    model->version++;
    model->n = n;
}

static void check_all(struct house *house)
{
    for (int thing = 0; thing < THINGS; thing++) {
        const struct model *model = &house->models[thing];
        char version[60], n[40];
        (void)snprintf(version, sizeof version, "\"version\":%llu,", (unsigned long long)model->version);
        (void)snprintf(n, sizeof n, "{\"n\":%d,", model->n);
        ask(house, thing, "get", "");
        turn_until(house, 0);
        while (loop_turn(house->loop, 0) > 0)
            ;
        if (!model->exists) {
            CHECK(strstr(house->answer, "\"code\":404") != NULL);
            continue;
        }
        CHECK(strstr(house->answer, version) != NULL);
        CHECK(strstr(house->answer, n) != NULL);
    }
}

TEST(many_requests_with_the_store_on_its_thread_come_out_as_a_model_says)
{
    cleanup(folder_free_p) char *folder = folder_new();
    cleanup_free char *path = str_printf("%s/state.db", folder);
    struct house *house = mem_new(struct house);
    house_open(house, path, WORKER_THREAD, 10000);
    unsigned seed = 4711;
    for (int n = 0; n < REQUESTS; n++) {
        ask_at_random(house, &seed, n);
        turn_until(house, WINDOW - 1);
    }
    turn_until(house, 0);
    check_all(house);
    CHECK_INT((int64_t)house->failed, 0);
    CHECK(house->accepted > REQUESTS / 2);
    CHECK(shadow_counters(house->shadow)->evicted > 0);
    house_close(house);

    house_open(house, path, WORKER_INLINE, 0);
    check_all(house);
    house_close(house);
    free(house);
}

TEST(a_service_that_ends_while_requests_are_under_way_settles_them_all)
{
    cleanup(folder_free_p) char *folder = folder_new();
    cleanup_free char *path = str_printf("%s/state.db", folder);
    struct house *house = mem_new(struct house);
    house_open(house, path, WORKER_THREAD, 0);
    unsigned seed = 12;
    for (int n = 0; n < 500; n++) {
        ask_at_random(house, &seed, n);
        if (n % 50 == 49)
            CHECK(loop_turn(house->loop, 0) >= 0);
    }
    house->shadow = shadow_free(house->shadow);
    CHECK_INT((int64_t)house->in_flight, 0);
    house_close(house);
    free(house);
}
