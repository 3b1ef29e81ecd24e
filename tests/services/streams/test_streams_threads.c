/* The same with the threads of the daemon: logs and database have their own, the loop only asks. */
#include "rig/test.h"
#include "services/streams/streams.h"
#include "store/folder.h"

#include <stdio.h>

enum { RECORDS = 3000, UNDER_WAY = 200, STREAMS = 2, TURN_LIMIT = 60 * 1000 };

struct house {
    struct loop *loop;
    struct store *store;
    struct seglogs *logs;
    struct bus *bus;
    struct streams *streams;

    struct subscriber cloud;
    struct subscription subscription;
    struct receipt *held[UNDER_WAY];
    unsigned held_count;
    unsigned arrived[STREAMS], taken[STREAMS], published[STREAMS];
    unsigned outages;
    bool up;
};

static const struct stream_options options[STREAMS] = {
    {.name = "a", .uplink = "cloud", .priority = 1, .segment_bytes = 65536},
    {.name = "b", .uplink = "cloud", .priority = 2, .segment_bytes = 65536},
};

/* Records may come again after an outage, and never with a gap. */
static void on_record(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery;
    struct house *house = container_of(subscriber, struct house, cloud);
    size_t stream = strstr(msg->topic, "/streams/a") ? 0 : 1;
    unsigned number = (unsigned)atoll((const char *)msg->payload);
    CHECK(number <= house->arrived[stream]);
    if (number == house->arrived[stream])
        house->arrived[stream]++;
    CHECK(house->held_count < UNDER_WAY);
    receipt_hold(receipt);
    house->held[house->held_count++] = receipt;
}

static void settle_all(struct house *house, int r)
{
    unsigned count = house->held_count;
    struct receipt *held[UNDER_WAY];
    memcpy(held, house->held, sizeof held);
    house->held_count = 0;
    for (unsigned i = 0; i < count; i++)
        receipt_settle(held[i], r);
}

static void say(struct house *house, bool up)
{
    house->up = up;
    bus_say(house->bus, "$gatehouse/status/cloud/cloud", up ? "{\"state\":\"up\"}" : "{\"state\":\"down\"}",
            BUS_KEEP);
}

struct writer {
    struct receipt receipt;
    unsigned *taken;
};

static void on_taken(struct receipt *receipt, int r)
{
    struct writer *publisher = container_of(receipt, struct writer, receipt);
    CHECK_INT(r, 0);
    (*publisher->taken)++;
    free(publisher);
}

static void publish(struct house *house, size_t stream)
{
    char payload[16], topic[64];
    int len = snprintf(payload, sizeof payload, "%u", house->published[stream]++);
    (void)snprintf(topic, sizeof topic, "$gatehouse/streams/%s/append", options[stream].name);
    struct writer *publisher = mem_new(struct writer);
    publisher->taken = &house->taken[stream];
    receipt_init(&publisher->receipt, on_taken);
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), payload, (size_t)len);
    bus_publish(house->bus, msg, &publisher->receipt);
}

static bool is_done(const struct house *house)
{
    for (size_t i = 0; i < STREAMS; i++)
        if (house->arrived[i] < RECORDS || house->taken[i] < RECORDS)
            return false;
    return house->held_count == 0;
}

static void work(struct house *house, unsigned turn)
{
    for (size_t i = 0; i < STREAMS; i++)
        for (int n = 0; n < 10 && house->published[i] < RECORDS; n++)
            publish(house, i);
    if (!house->up) {
        say(house, true);
    } else if (turn % 50 == 49 && house->held_count) {
        say(house, false); /* an outage in the middle of the window */
        house->outages++;
        settle_all(house, 0x83);
    } else if (turn % 3 == 0) {
        settle_all(house, 0);
    }
    CHECK(loop_turn(house->loop, 10) >= 0);
}

TEST(with_threads_and_outages_every_record_arrives_in_order)
{
    cleanup(folder_free_p) char *folder = folder_new();
    cleanup_free char *db = str_printf("%s/state.db", folder), *logs = str_printf("%s/streams", folder);
    struct house house = {.cloud.deliver = on_record};
    CHECK_INT(loop_new(&house.loop, NULL), 0);
    CHECK_INT(store_open(&house.store, house.loop, db, WORKER_THREAD), 0);
    CHECK_INT(seglogs_open(&house.logs, house.loop, logs, WORKER_THREAD), 0);
    CHECK_INT(bus_new(&house.bus, house.loop, &(struct bus_options){.store = house.store}), 0);
    bus_subscribe_to(house.bus, &house.subscription, &house.cloud, "$gatehouse/cloud/+/publish/#");
    CHECK_INT(streams_new(&house.streams, house.bus, house.logs, house.store, options, STREAMS, NULL, 0), 0);

    for (unsigned turn = 0; !is_done(&house); turn++) {
        CHECK(turn < TURN_LIMIT);
        work(&house, turn);
    }
    CHECK(house.outages > 0);

    house.streams = streams_free(house.streams);
    bus_unsubscribe(house.bus, &house.subscription);
    house.logs = seglogs_close(house.logs);
    house.bus = bus_free(house.bus);
    house.store = store_close(house.store);
    house.loop = loop_free(house.loop);
}
