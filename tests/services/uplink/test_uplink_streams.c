/* A stream and its uplink, with the threads of the daemon: nothing is lost when the broker dies in the middle of the
 * window. */
#include "services/streams/streams.h"
#include "services/uplink/uplink_rig.h"
#include "store/folder.h"

#include <signal.h>
#include <stdio.h>

enum { RECORDS = 1000 };

struct house {
    struct uplink_rig *rig;
    char *folder;
    struct store *store;
    struct seglogs *logs;
    struct streams *streams;
};

static struct house *house_new(void)
{
    static const struct stream_options options[] = {{.name = "s", .uplink = "cloud", .segment_bytes = 16384}};
    static const struct route_options routes[] = {{"all", "in/#", "s", "t/${seq}"}};
    struct house *house = mem_new(struct house);
    house->rig = uplink_rig_new("allow_anonymous true\n");
    house->folder = folder_new();
    cleanup_free char *db = str_printf("%s/state.db", house->folder);
    cleanup_free char *logs = str_printf("%s/streams", house->folder);
    CHECK_INT(store_open(&house->store, house->rig->cloud.loop, db, WORKER_THREAD), 0);
    CHECK_INT(seglogs_open(&house->logs, house->rig->cloud.loop, logs, WORKER_THREAD), 0);
    CHECK_INT(streams_new(&house->streams, house->rig->bus, house->logs, house->store, options, 1, routes, 1),
              0);
    uplink_rig_open(house->rig, (struct uplink_options){0});
    return house;
}

static struct house *house_free(struct house *house)
{
    store_quiesce(house->store);
    seglogs_quiesce(house->logs);
    uplink_rig_close(house->rig);
    house->streams = streams_free(house->streams);
    house->logs = seglogs_close(house->logs);
    house->store = store_close(house->store);
    house->rig = uplink_rig_free(house->rig);
    house->folder = folder_free(house->folder);
    free(house);
    return NULL;
}
define_cleanup(struct house *, house_free)

static void publish(struct house *house, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        cleanup(msg_unref_p) struct msg *msg = msg_new("in/x", 4, "12345", 5);
        msg->qos = 1;
        bus_publish(house->rig->bus, msg, NULL);
    }
}

static long number(struct house *house, const char *key)
{
    const char *answer = uplink_rig_ask(house->rig, "$gatehouse/ctl/stream/list", "");
    cleanup_free char *text = str_printf("\"%s\":", key);
    const char *found = strstr(answer, text);
    CHECK(found);
    return strtol(found + strlen(text), NULL, 10);
}

/* Numbers t/0, t/1, … as the broker's log has them: the first time of each is in order and none is missing. */
static void check_all_arrived(struct house *house)
{
    static const char mark[] = ", 't/";
    long next = 0, seen = 0;
    for (const char *at = house->rig->broker.log; (at = strstr(at, mark)); at++, seen++) {
        long found = strtol(at + strlen(mark), NULL, 10);
        if (found > next)
            FAIL("%ld came before %ld", found, next);
        next += found == next;
    }
    CHECK_INT(next, RECORDS);
    CHECK(seen >= RECORDS);
}

TEST(nothing_is_lost_when_the_broker_dies_in_the_middle_of_the_window)
{
    if (!mosquitto_exists())
        SKIP("mosquitto is not installed");
    cleanup(house_free_p) struct house *house = house_new();
    struct uplink_rig *rig = house->rig;
    mosquitto_start(&rig->broker);
    UNTIL(&rig->cloud, uplink_rig_is(rig, "up"));
    for (unsigned round = 0; round < 4; round++) {
        publish(house, RECORDS / 5);
        unsigned before = mosquitto_said(&rig->broker, "Received PUBLISH");
        UNTIL(&rig->cloud, mosquitto_said(&rig->broker, "Received PUBLISH") > before + 20);
        CHECK_INT(kill(rig->broker.pid, SIGSTOP), 0); /* now a window of records fills up without an answer */
        for (int turns = 0; turns < 5; turns++)
            cloud_rig_turn(&rig->cloud, clock_mono(&cloud_rig_clock), "", __FILE__, __LINE__);
        CHECK(number(house, "pending") > 0);
        CHECK(number(house, "underWay") > 0 && number(house, "underWay") <= 64);
        mosquitto_end(&rig->broker, SIGKILL);
        UNTIL(&rig->cloud, uplink_rig_is(rig, "down"));
        mosquitto_start(&rig->broker);
        UNTIL(&rig->cloud, uplink_rig_is(rig, "up"));
    }
    publish(house, RECORDS / 5);
    while (number(house, "next") < RECORDS || number(house, "pending") > 0)
        cloud_rig_turn(&rig->cloud, clock_mono(&cloud_rig_clock), "", __FILE__, __LINE__);
    CHECK(number(house, "retries") >= 4);
    mosquitto_end(&rig->broker, SIGTERM);
    check_all_arrived(house);
}
