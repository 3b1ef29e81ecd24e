/* What a link subscribes to and what it receives, against a broker that does what the test says. */
#include "cloud/cloud_rig.h"
#include "cloud/mqtt_link.h"
#include "cloud/scripted_broker.h"

#include <MQTTAsync.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* ---- on which thread Paho is called ------------------------------------------------------------------------------ */

static pthread_t loop_thread;
static atomic_uint calls, calls_on_the_loop;

static void count_call(void)
{
    atomic_fetch_add(&calls, 1);
    if (pthread_equal(pthread_self(), loop_thread))
        atomic_fetch_add(&calls_on_the_loop, 1);
}

int __real_MQTTAsync_subscribe(MQTTAsync handle, const char *topic, int qos,
                               MQTTAsync_responseOptions *response);
int __wrap_MQTTAsync_subscribe(MQTTAsync handle, const char *topic, int qos,
                               MQTTAsync_responseOptions *response);
int __wrap_MQTTAsync_subscribe(MQTTAsync handle, const char *topic, int qos,
                               MQTTAsync_responseOptions *response)
{
    count_call();
    return __real_MQTTAsync_subscribe(handle, topic, qos, response);
}

int __real_MQTTAsync_unsubscribe(MQTTAsync handle, const char *topic, MQTTAsync_responseOptions *response);
int __wrap_MQTTAsync_unsubscribe(MQTTAsync handle, const char *topic, MQTTAsync_responseOptions *response);
int __wrap_MQTTAsync_unsubscribe(MQTTAsync handle, const char *topic, MQTTAsync_responseOptions *response)
{
    count_call();
    return __real_MQTTAsync_unsubscribe(handle, topic, response);
}

/* ---- a link and its broker --------------------------------------------------------------------------------------- */

enum { ASKS = 16 };

struct ask {
    struct mqtt_link_subscribe subscribe;
    struct world *world;
    int r; /* PENDING until it is done */
};
enum { PENDING = INT32_MIN };

struct world {
    struct cloud_rig rig;
    struct scripted_broker broker;
    struct mqtt_links *links;
    struct mqtt_link *link;
    char uri[64];
    unsigned ups, downs;
    struct ask asks[ASKS];
    unsigned ask_count, done_count;
    unsigned received;
    size_t received_bytes;
    char heard[8192]; /* "topic=payload/qos " */
};

static void on_up(void *self)
{
    struct world *world = self;
    world->ups++;
}

static void on_down(void *self, const char *reason)
{
    struct world *world = self;
    (void)reason;
    world->downs++;
}

static void on_message(void *self, struct msg *msg)
{
    struct world *world = self;
    size_t len = strlen(world->heard);
    CHECK_INT(msg->retain, false);
    CHECK_INT(msg->born, loop_now(world->rig.loop));
    world->received++;
    world->received_bytes += msg->payload_len;
    (void)snprintf(world->heard + len, sizeof world->heard - len, "%s=%.16s/%u ", msg->topic,
                   (const char *)msg->payload, msg->qos);
}

static struct world *world_up(int protocol, const char *prefix)
{
    static const struct mqtt_link_events events = {on_up, on_down, on_message};
    struct world *world = mem_new(struct world);
    loop_thread = pthread_self();
    atomic_store(&calls, 0);
    atomic_store(&calls_on_the_loop, 0);
    cloud_rig_init(&world->rig);
    scripted_broker_init(&world->broker, world->rig.loop);
    (void)snprintf(world->uri, sizeof world->uri, "mqtt://127.0.0.1:%u", world->broker.port);
    const struct mqtt_link_options options = {
        .name = "cloud", .uri = world->uri, .protocol = protocol, .receive_prefix = prefix, .pause_max = 20};
    CHECK_INT(mqtt_links_new(&world->links, world->rig.loop), 0);
    CHECK_INT(mqtt_link_new(&world->link, world->links, &options, &events, world), 0);
    mqtt_link_start(world->link);
    UNTIL(&world->rig, world->ups == 1);
    return world;
}

static struct world *world_free(struct world *world)
{
    world->link = mqtt_link_free(world->link);
    world->links = mqtt_links_free(world->links);
    scripted_broker_done(&world->broker);
    cloud_rig_done(&world->rig);
    CHECK_INT(atomic_load(&calls_on_the_loop), 0);
    free(world);
    return NULL;
}
define_cleanup(struct world *, world_free)

static void on_done(struct mqtt_link_subscribe *subscribe, int r)
{
    struct ask *ask = container_of(subscribe, struct ask, subscribe);
    CHECK_INT(ask->r, PENDING);
    ask->r = r;
    ask->world->done_count++;
}

static int subscribe_to(struct world *world, const char *filter, bool off)
{
    struct ask *ask = &world->asks[world->ask_count++];
    *ask = (struct ask){.world = world, .r = PENDING};
    ask->subscribe = (struct mqtt_link_subscribe){.filter = filter, .off = off, .done = on_done};
    return mqtt_link_subscribe(world->link, &ask->subscribe);
}

static void say(struct world *world, const char *topic, const char *payload, uint8_t qos)
{
    scripted_broker_publish(&world->broker, topic, payload, strlen(payload), qos, false);
}

static const int protocols[] = {4, 5};

/* ---- subscribing ------------------------------------------------------------------------------------------------- */

TEST(a_subscription_is_done_when_the_broker_says_so)
{
    for (size_t p = 0; p < array_size(protocols); p++) {
        cleanup(world_free_p) struct world *world = world_up(protocols[p], "in/");
        world->broker.mute = true;
        CHECK_INT(subscribe_to(world, "a/+", false), 0);
        UNTIL(&world->rig, world->broker.subscribes == 1);
        CHECK_INT(world->asks[0].r, PENDING);
        world->broker.mute = false;
        CHECK_INT(subscribe_to(world, "b/#", false), 0);
        UNTIL(&world->rig, world->done_count == 1);
        CHECK_INT(world->asks[1].r, 0);
        CHECK_INT(subscribe_to(world, "b/#", true), 0);
        UNTIL(&world->rig, world->done_count == 2);
        CHECK_INT(world->asks[2].r, 0);
        CHECK_STR(world->broker.filters, "+a/+ +b/# -b/# ");
        CHECK_INT(atomic_load(&calls), 3);
    }
}

TEST(the_brokers_refusal_of_a_subscription_is_passed_on)
{
    static const uint8_t refusals[] = {0x80, WIRE_NOT_AUTHORIZED};
    for (size_t p = 0; p < array_size(protocols); p++) {
        cleanup(world_free_p) struct world *world = world_up(protocols[p], "in/");
        world->broker.suback = refusals[p];
        CHECK_INT(subscribe_to(world, "secret", false), 0);
        UNTIL(&world->rig, world->done_count == 1);
        CHECK_INT(world->asks[0].r, refusals[p]);
        CHECK_INT(world->downs, 0);
    }
}

TEST(a_subscription_without_answer_ends_with_the_connection)
{
    cleanup(world_free_p) struct world *world = world_up(5, "in/");
    world->broker.mute = true;
    CHECK_INT(subscribe_to(world, "a", false), 0);
    CHECK_INT(subscribe_to(world, "b", false), 0);
    UNTIL(&world->rig, world->broker.subscribes == 2);
    scripted_broker_hang_up(&world->broker);
    UNTIL(&world->rig, world->done_count == 2);
    CHECK_INT(world->asks[0].r, -ENOTCONN);
    CHECK_INT(world->asks[1].r, -ENOTCONN);
    UNTIL(&world->rig, world->ups == 2);
    world->broker.mute = false;
    CHECK_INT(subscribe_to(world, "a", false), 0);
    UNTIL(&world->rig, world->done_count == 3);
    CHECK_INT(world->asks[2].r, 0);
}

TEST(without_a_connection_a_subscription_is_not_taken)
{
    cleanup(world_free_p) struct world *world = world_up(4, "in/");
    mqtt_link_stop(world->link);
    CHECK_INT(subscribe_to(world, "a", false), -ENOTCONN);
    CHECK_INT(world->asks[0].r, PENDING);
}

TEST(freeing_a_link_finishes_its_subscriptions)
{
    struct world *world = world_up(4, "in/");
    world->broker.mute = true;
    CHECK_INT(subscribe_to(world, "a", false), 0);
    world->link = mqtt_link_free(world->link);
    CHECK_INT(world->asks[0].r, -ENOTCONN);
    world = world_free(world);
}

/* ---- receiving --------------------------------------------------------------------------------------------------- */

TEST(messages_arrive_in_order_under_the_prefix_and_are_acknowledged)
{
    for (size_t p = 0; p < array_size(protocols); p++) {
        cleanup(world_free_p) struct world *world = world_up(protocols[p], "in/");
        say(world, "a", "1", 1);
        say(world, "a/b", "2", 0);
        scripted_broker_publish(&world->broker, "c", "", 0, 1, true);
        say(world, "d", "4", 1);
        UNTIL(&world->rig, world->received == 4 && world->broker.pubacks == 3);
        CHECK_STR(world->heard, "in/a=1/1 in/a/b=2/0 in/c=/1 in/d=4/1 ");
        CHECK_INT((int64_t)mqtt_link_lost(world->link), 0);
    }
}

TEST(without_a_prefix_nothing_is_taken)
{
    cleanup(world_free_p) struct world *world = world_up(4, NULL);
    say(world, "a", "1", 1);
    UNTIL(&world->rig, world->broker.pubacks == 1);
    CHECK_INT(subscribe_to(world, "x", false), 0);
    UNTIL(&world->rig, world->done_count == 1);
    CHECK_INT(world->received, 0);
    CHECK_INT((int64_t)mqtt_link_lost(world->link), 0);
}

TEST(a_message_without_a_proper_topic_is_lost_and_counted)
{
    cleanup(world_free_p) struct world *world = world_up(4, "in/");
    say(world, "a/+", "1", 1);
    say(world, "a/#", "2", 1);
    say(world, "good", "3", 1);
    UNTIL(&world->rig, world->broker.pubacks == 3 && world->received == 1);
    CHECK_STR(world->heard, "in/good=3/1 ");
    CHECK_INT((int64_t)mqtt_link_lost(world->link), 2);
}

TEST(what_the_loop_does_not_take_in_time_is_lost_and_counted)
{
    enum { COUNT = 60, SIZE = 1 << 20 };
    cleanup(world_free_p) struct world *world = world_up(5, "in/");
    cleanup_free char *payload = mem_new_bytes(SIZE);
    memset(payload, 'x', SIZE);
    for (int i = 0; i < COUNT; i++) /* without a turn in between, and much more than sockets and Paho hold */
        scripted_broker_publish(&world->broker, "large", payload, SIZE, 1, false);
    UNTIL(&world->rig, world->received + mqtt_link_lost(world->link) == COUNT);
    CHECK(mqtt_link_lost(world->link) > 0);
    CHECK(world->received >= 8);
    CHECK_INT((int64_t)world->received_bytes, (int64_t)world->received * SIZE);
    world->heard[0] = '\0';
    say(world, "small", "s", 1);
    UNTIL(&world->rig, strstr(world->heard, "in/small=s/1"));
}
