/* A link against a broker that does what the test says. */
#include "cloud/cloud_rig.h"
#include "cloud/mqtt_link.h"
#include "cloud/scripted_broker.h"

#include <MQTTAsync.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { WINDOW = 64, WAITING_MAX = 1000, MESSAGES = 3000 };

/* ---- on which thread Paho is called ------------------------------------------------------------------------------ */

static pthread_t loop_thread;
static atomic_uint calls, calls_on_the_loop, handles;

static void count_call(void)
{
    atomic_fetch_add(&calls, 1);
    if (pthread_equal(pthread_self(), loop_thread))
        atomic_fetch_add(&calls_on_the_loop, 1);
}

#define WATCHED(name, parameters, arguments)                                                                 \
    int __real_MQTTAsync_##name parameters;                                                                  \
    int __wrap_MQTTAsync_##name parameters;                                                                  \
    int __wrap_MQTTAsync_##name parameters                                                                   \
    {                                                                                                        \
        count_call();                                                                                        \
        return __real_MQTTAsync_##name arguments;                                                            \
    }

WATCHED(setCallbacks,
        (MQTTAsync handle, void *context, MQTTAsync_connectionLost *lost, MQTTAsync_messageArrived *arrived,
         MQTTAsync_deliveryComplete *complete),
        (handle, context, lost, arrived, complete))
WATCHED(setDisconnected, (MQTTAsync handle, void *context, MQTTAsync_disconnected *callback),
        (handle, context, callback))
WATCHED(connect, (MQTTAsync handle, const MQTTAsync_connectOptions *options), (handle, options))
WATCHED(send,
        (MQTTAsync handle, const char *topic, int len, const void *payload, int qos, int retained,
         MQTTAsync_responseOptions *response),
        (handle, topic, len, payload, qos, retained, response))

int __real_MQTTAsync_createWithOptions(MQTTAsync *handle, const char *uri, const char *id, int kind,
                                       void *context, MQTTAsync_createOptions *options);
int __wrap_MQTTAsync_createWithOptions(MQTTAsync *handle, const char *uri, const char *id, int kind,
                                       void *context, MQTTAsync_createOptions *options);
int __wrap_MQTTAsync_createWithOptions(MQTTAsync *handle, const char *uri, const char *id, int kind,
                                       void *context, MQTTAsync_createOptions *options)
{
    count_call();
    int r = __real_MQTTAsync_createWithOptions(handle, uri, id, kind, context, options);
    if (r == MQTTASYNC_SUCCESS)
        atomic_fetch_add(&handles, 1);
    return r;
}

void __real_MQTTAsync_destroy(MQTTAsync *handle);
void __wrap_MQTTAsync_destroy(MQTTAsync *handle);
void __wrap_MQTTAsync_destroy(MQTTAsync *handle)
{
    count_call();
    if (*handle)
        atomic_fetch_sub(&handles, 1);
    __real_MQTTAsync_destroy(handle);
}

/* ---- a link and its broker --------------------------------------------------------------------------------------- */

struct world;

struct sent {
    struct mqtt_link_publish publish;
    struct world *world;
    unsigned number;
    bool done;
    int r;
    char topic[32];
};

struct world {
    struct cloud_rig rig;
    struct scripted_broker broker;
    struct mqtt_links *links;
    struct mqtt_link *link;
    char uri[64];
    unsigned ups, downs;
    char reason[256];
    struct sent sent[MESSAGES];
    unsigned sent_count, done_count;
    unsigned done_order[MESSAGES]; /* numbers, in the order they were done */
    bool again;                    /* a message that is done is published again at once */
    int again_r;
};

static void on_up(void *self)
{
    struct world *world = self;
    world->ups++;
}

static void on_down(void *self, const char *reason)
{
    struct world *world = self;
    world->downs++;
    (void)snprintf(world->reason, sizeof world->reason, "%s", reason);
}

static const struct mqtt_link_events events = {on_up, on_down};

static struct world *world_new(struct mqtt_link_options options)
{
    struct world *world = mem_new(struct world);
    loop_thread = pthread_self();
    atomic_store(&calls, 0);
    atomic_store(&calls_on_the_loop, 0);
    cloud_rig_init(&world->rig);
    scripted_broker_init(&world->broker, world->rig.loop);
    (void)snprintf(world->uri, sizeof world->uri, "mqtt://127.0.0.1:%u", world->broker.port);
    options.uri = world->uri;
    options.name = "cloud";
    if (!options.pause_max)
        options.pause_max = 20;
    CHECK_INT(mqtt_links_new(&world->links, world->rig.loop), 0);
    CHECK_INT(mqtt_link_new(&world->link, world->links, &options, &events, world), 0);
    return world;
}

static struct world *world_free(struct world *world)
{
    world->link = mqtt_link_free(world->link);
    world->links = mqtt_links_free(world->links);
    scripted_broker_done(&world->broker);
    cloud_rig_done(&world->rig);
    CHECK_INT(atomic_load(&calls_on_the_loop), 0);
    CHECK_INT(atomic_load(&handles), 0);
    free(world);
    return NULL;
}
define_cleanup(struct world *, world_free)

static struct world *world_up(struct mqtt_link_options options)
{
    struct world *world = world_new(options);
    mqtt_link_start(world->link);
    UNTIL(&world->rig, world->ups == 1);
    return world;
}

static int publish_on(struct world *world, const char *topic, uint8_t qos, bool retain);

static void on_done(struct mqtt_link_publish *publish, int r)
{
    struct sent *sent = container_of(publish, struct sent, publish);
    struct world *world = sent->world;
    CHECK(!sent->done);
    sent->done = true;
    sent->r = r;
    world->done_order[world->done_count++] = sent->number;
    (void)msg_unref(publish->msg);
    if (world->again) {
        world->again = false;
        world->again_r = publish_on(world, "again", 1, false);
    }
}

static int publish_bytes(struct world *world, const char *topic, uint8_t qos, bool retain,
                         const char *payload, size_t len)
{
    CHECK(world->sent_count < MESSAGES);
    struct sent *sent = &world->sent[world->sent_count];
    *sent = (struct sent){.world = world, .number = world->sent_count};
    (void)snprintf(sent->topic, sizeof sent->topic, "%s", topic);
    sent->publish = (struct mqtt_link_publish){
        .msg = msg_new("x", 1, payload, len), .topic = sent->topic, .qos = qos, .done = on_done};
    sent->publish.msg->retain = retain;
    int r = mqtt_link_publish(world->link, &sent->publish);
    if (r < 0)
        (void)msg_unref(sent->publish.msg);
    else
        world->sent_count++;
    return r;
}

static int publish_on(struct world *world, const char *topic, uint8_t qos, bool retain)
{
    char payload[16];
    int len = snprintf(payload, sizeof payload, "%u", world->sent_count);
    return publish_bytes(world, topic, qos, retain, payload, (size_t)len);
}

static int publish(struct world *world)
{
    return publish_on(world, "t", 1, false);
}

static void publish_many(struct world *world, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        CHECK_INT(publish(world), 0);
}

/* ---- connecting -------------------------------------------------------------------------------------------------- */

TEST(what_was_configured_is_what_the_broker_hears)
{
    static const int protocols[] = {4, 5};
    for (size_t i = 0; i < array_size(protocols); i++) {
        cleanup(world_free_p) struct world *world =
            world_up((struct mqtt_link_options){.client_id = "plant-1",
                                                .username = "me",
                                                .password = "secret",
                                                .keepalive_s = 77,
                                                .protocol = protocols[i]});
        CHECK(mqtt_link_is_up(world->link));
        CHECK_INT(world->broker.version, protocols[i]);
        CHECK_STR(world->broker.client_id, "plant-1");
        CHECK_STR(world->broker.username, "me");
        CHECK_STR(world->broker.password, "secret");
        CHECK_INT(world->broker.keepalive_s, 77);
        CHECK(world->broker.clean); /* nothing is subscribed there, and what is sent again we decide */
    }
}

TEST(without_options_there_are_defaults)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){0});
    CHECK_INT(world->broker.version, 5);
    CHECK_STR(world->broker.client_id, "cloud");
    CHECK_STR(world->broker.username, "");
    CHECK_INT(world->broker.keepalive_s, 60);
}

TEST(a_refusal_is_told_in_words)
{
    static const struct {
        int protocol;
        uint8_t refusal;
        const char *reason;
    } cases[] = {
        {4, 2, "the broker refused: client id rejected"},
        {4, 4, "the broker refused: bad user name or password"},
        {4, 5, "the broker refused: not authorized"},
        {5, WIRE_NOT_AUTHORIZED, "the broker refused: Not authorized"},
        {5, WIRE_SERVER_BUSY, "the broker refused: Server busy"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        cleanup(world_free_p) struct world *world =
            world_new((struct mqtt_link_options){.protocol = cases[i].protocol});
        world->broker.refusal = cases[i].refusal;
        mqtt_link_start(world->link);
        UNTIL(&world->rig, world->downs == 1);
        CHECK_STR(world->reason, cases[i].reason);
        CHECK_INT(world->ups, 0);
        world->broker.refusal = 0; /* and it is tried again */
        UNTIL(&world->rig, world->ups == 1);
    }
}

TEST(a_port_where_nobody_listens_is_told_and_tried_again)
{
    cleanup(world_free_p) struct world *world = world_new((struct mqtt_link_options){0});
    struct mqtt_link *other;
    char uri[64];
    (void)snprintf(uri, sizeof uri, "mqtt://127.0.0.1:%u", cloud_rig_free_port());
    const struct mqtt_link_options options = {.name = "o", .uri = uri, .pause_max = 10};
    CHECK_INT(mqtt_link_new(&other, world->links, &options, &events, world), 0);
    mqtt_link_start(other);
    UNTIL(&world->rig, world->downs == 3);
    CHECK(strncmp(world->reason, "cannot connect: ", 16) == 0);
    other = mqtt_link_free(other);
}

TEST(a_name_that_does_not_exist_is_told)
{
    cleanup(world_free_p) struct world *world = world_new((struct mqtt_link_options){0});
    struct mqtt_link *other;
    const struct mqtt_link_options options = {
        .name = "o", .uri = "mqtt://no-such-host.invalid", .pause_max = 10};
    CHECK_INT(mqtt_link_new(&other, world->links, &options, &events, world), 0);
    mqtt_link_start(other);
    UNTIL(&world->rig, world->downs == 1);
    CHECK(strncmp(world->reason, "cannot connect: ", 16) == 0);
    other = mqtt_link_free(other);
}

TEST(an_address_of_another_kind_is_refused)
{
    cleanup(world_free_p) struct world *world = world_new((struct mqtt_link_options){0});
    struct mqtt_link *other = NULL;
    const struct mqtt_link_options options = {.name = "o", .uri = "http://x"};
    CHECK_INT(mqtt_link_new(&other, world->links, &options, &events, world), -EINVAL);
    CHECK(!other);
    CHECK_INT(cloud_rig_logged(&world->rig,
                               "uplink o: expected mqtt://HOST[:PORT] or mqtts://HOST[:PORT], found "
                               "\"http://x\""),
              1);
}

TEST(a_link_can_be_freed_while_the_broker_does_not_answer)
{
    cleanup(world_free_p) struct world *world = world_new((struct mqtt_link_options){0});
    world->broker.silent = true;
    mqtt_link_start(world->link);
    UNTIL(&world->rig, world->broker.connects == 1);
    CHECK_INT(publish(world), -ENOTCONN);
}

TEST(stopping_says_goodbye_and_stays_off)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){0});
    mqtt_link_stop(world->link);
    CHECK(!mqtt_link_is_up(world->link));
    UNTIL(&world->rig, world->broker.hang_ups == 1);
    CHECK_INT(world->broker.disconnects, 1);
    CHECK_INT(world->downs, 0); /* who asked for it need not be told */
    CHECK_INT(publish(world), -ENOTCONN);
    CHECK_INT(world->broker.connects, 1);

    mqtt_link_start(world->link);
    UNTIL(&world->rig, world->ups == 2);
}

TEST(starting_while_it_closes_connects_again)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){0});
    mqtt_link_stop(world->link);
    mqtt_link_start(world->link);
    CHECK(!mqtt_link_is_up(world->link));
    UNTIL(&world->rig, world->ups == 2);
    CHECK_INT(world->broker.connects, 2);
}

TEST(stopping_while_it_connects_is_stopping)
{
    cleanup(world_free_p) struct world *world = world_new((struct mqtt_link_options){0});
    world->broker.silent = true;
    mqtt_link_start(world->link);
    UNTIL(&world->rig, world->broker.connects == 1);
    mqtt_link_stop(world->link);
    UNTIL(&world->rig, world->broker.hang_ups == 1);
    CHECK_INT(world->ups + world->downs, 0);
}

TEST(starting_twice_is_starting_once)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){0});
    mqtt_link_start(world->link);
    publish_many(world, 1);
    UNTIL(&world->rig, world->done_count == 1);
    CHECK_INT(world->broker.connects, 1);
}

TEST(starting_while_it_waits_ends_the_pause)
{
    cleanup(world_free_p) struct world *world =
        world_new((struct mqtt_link_options){.pause_min = 3600 * 1000, .pause_max = 3600 * 1000});
    world->broker.refusal = WIRE_SERVER_BUSY;
    mqtt_link_start(world->link);
    UNTIL(&world->rig, world->downs == 1);
    world->broker.refusal = 0;
    while (world->broker.connects == 1) { /* nothing happens until it is closed, and then once */
        mqtt_link_start(world->link);
        UNTIL(&world->rig, true);
        cloud_rig_turn(&world->rig, clock_mono(&cloud_rig_clock), "", __FILE__, __LINE__);
    }
    UNTIL(&world->rig, world->ups == 1);
}

/* ---- publishing -------------------------------------------------------------------------------------------------- */

TEST(a_message_is_done_when_the_broker_has_acknowledged_it)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){0});
    world->broker.acknowledges = false;
    CHECK_INT(publish_on(world, "dt/env", 1, true), 0);
    CHECK_INT(publish_on(world, "dt/env", 1, false), 0);
    UNTIL(&world->rig, world->broker.publishes == 2);
    CHECK_INT(world->done_count, 0);
    CHECK_STR(world->broker.topics[0], "dt/env");
    CHECK_INT(world->broker.qos[0], 1);
    CHECK(world->broker.retain[0] && !world->broker.retain[1]);
    scripted_broker_acknowledge(&world->broker, 1);
    UNTIL(&world->rig, world->done_count == 1);
    CHECK(world->sent[0].done && !world->sent[1].done);
    CHECK_INT(world->sent[0].r, 0);
    scripted_broker_acknowledge(&world->broker, 1);
    UNTIL(&world->rig, world->done_count == 2);
}

TEST(a_message_of_qos_0_is_done_when_it_was_written)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){0});
    world->broker.acknowledges = false;
    CHECK_INT(publish_on(world, "t", 0, false), 0);
    UNTIL(&world->rig, world->done_count == 1 && world->broker.publishes == 1);
    CHECK_INT(world->sent[0].r, 0);
    CHECK_INT(world->broker.qos[0], 0);
}

TEST(messages_arrive_once_and_in_order)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){0});
    publish_many(world, WINDOW + WAITING_MAX);
    UNTIL(&world->rig, world->done_count == WINDOW + WAITING_MAX);
    CHECK_INT(world->broker.publishes, WINDOW + WAITING_MAX);
    for (unsigned i = 0; i < world->broker.publishes; i++)
        CHECK_INT(world->broker.numbers[i], i);
    CHECK(world->broker.unacknowledged_most <= WINDOW);
}

TEST(at_most_a_window_is_with_the_broker)
{
    enum {
        FEW = 16
    }; /* their bytes fit into the narrowest window that a slow broker is given (link_window.h) */
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){.window = FEW});
    world->broker.acknowledges = false;
    publish_many(world, 3 * FEW);
    UNTIL(&world->rig, world->broker.publishes == FEW);
    for (unsigned acknowledged = 4; acknowledged <= 2 * FEW; acknowledged += 4) {
        scripted_broker_acknowledge(&world->broker, 4);
        UNTIL(&world->rig, world->broker.publishes == FEW + acknowledged);
    }
    scripted_broker_acknowledge(&world->broker, world->broker.unacknowledged_count);
    world->broker.acknowledges = true;
    UNTIL(&world->rig, world->done_count == 3 * FEW);
    CHECK_INT(world->broker.unacknowledged_most, FEW);
}

TEST(a_broker_that_takes_less_gets_less)
{
    cleanup(world_free_p) struct world *world = world_new((struct mqtt_link_options){.protocol = 5});
    world->broker.receive_max = 3;
    world->broker.packet_max = 12; /* t, and a number of one digit or two */
    world->broker.acknowledges = false;
    mqtt_link_start(world->link);
    UNTIL(&world->rig, world->ups == 1);
    CHECK_INT(publish_on(world, "five/5", 1, false), -EMSGSIZE);
    publish_many(world, 10);
    for (unsigned i = 3; i <= 10; i++) {
        UNTIL(&world->rig, world->broker.publishes == i);
        scripted_broker_acknowledge(&world->broker, 1);
    }
    CHECK_INT(world->broker.unacknowledged_most, 3);
}

TEST(the_brokers_refusal_of_a_message_is_passed_on)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){.protocol = 5});
    world->broker.reason = WIRE_NOT_AUTHORIZED;
    publish_many(world, 1);
    UNTIL(&world->rig, world->done_count == 1);
    CHECK_INT(world->sent[0].r, WIRE_NOT_AUTHORIZED);
    world->broker.reason = WIRE_NO_MATCHING_SUBSCRIBERS; /* taken, though nobody listens there */
    publish_many(world, 1);
    UNTIL(&world->rig, world->done_count == 2);
    CHECK_INT(world->sent[1].r, 0);
    CHECK_INT(world->downs, 0);
}

TEST(more_than_can_wait_is_refused)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){0});
    world->broker.acknowledges = false;
    publish_many(world, WINDOW + WAITING_MAX);
    CHECK_INT(publish(world), -ENOBUFS);
    UNTIL(&world->rig, world->broker.publishes == WINDOW);
    scripted_broker_acknowledge(&world->broker, WINDOW); /* so many that some go, however slow the broker seems */
    UNTIL(&world->rig, world->done_count == WINDOW);
    CHECK_INT(publish(world), 0);
}

TEST(large_messages_go_one_after_the_other)
{
    enum { COUNT = 6 };
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){0});
    cleanup_free char *payload = mem_new_bytes(300 * 1000);
    memset(payload, ' ', 300 * 1000);
    world->broker.acknowledges = false;
    for (int i = 0; i < COUNT; i++) {
        payload[0] = (char)('0' + i);
        CHECK_INT(publish_bytes(world, "large", 1, false, payload, 300 * 1000), 0);
    }
    UNTIL(&world->rig, world->broker.publishes == 1); /* nothing is known of the link yet */
    for (unsigned i = 0; i < COUNT; i++) {
        UNTIL(&world->rig, world->broker.publishes > i);
        CHECK_INT(world->broker.numbers[i], i);
        scripted_broker_acknowledge(&world->broker, 1);
    }
    UNTIL(&world->rig, world->done_count == COUNT);
    CHECK(world->broker.unacknowledged_most <=
          2); /* what fits into half a MiB, and the one that crosses it */
}

TEST(a_topic_that_is_not_utf_8_is_refused)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){0});
    CHECK_INT(publish_on(world, "t\xff", 1, false), 0);
    UNTIL(&world->rig, world->done_count == 1);
    CHECK_INT(world->sent[0].r, -EILSEQ);
    publish_many(world, 1);
    UNTIL(&world->rig, world->done_count == 2);
    CHECK_INT(world->sent[1].r, 0);
}

/* ---- losing the connection --------------------------------------------------------------------------------------- */

TEST(what_was_not_acknowledged_is_done_as_not_connected_oldest_first)
{
    enum { COUNT = 3 * WINDOW };
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){0});
    world->broker.acknowledges = false;
    publish_many(world, COUNT);
    UNTIL(&world->rig, world->broker.publishes == WINDOW);
    scripted_broker_acknowledge(&world->broker, 10);
    UNTIL(&world->rig, world->done_count == 10);
    world->broker.acknowledges = true;
    scripted_broker_hang_up(&world->broker);
    UNTIL(&world->rig, world->done_count == COUNT);
    CHECK_INT(world->downs, 1);
    CHECK_STR(world->reason, "the connection was lost");
    for (unsigned i = 0; i < COUNT; i++) {
        CHECK_INT(world->sent[i].r, i < 10 ? 0 : -ENOTCONN);
        CHECK_INT(world->done_order[i], i);
    }
    UNTIL(&world->rig, world->ups == 2);
    publish_many(world, 1);
    UNTIL(&world->rig, world->done_count == COUNT + 1);
    CHECK_INT(world->sent[COUNT].r, 0);
}

TEST(a_message_published_while_the_link_goes_down_is_not_taken)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){0});
    world->broker.acknowledges = false;
    publish_many(world, 2);
    UNTIL(&world->rig, world->broker.publishes == 2);
    world->again = true; /* from inside done() */
    scripted_broker_hang_up(&world->broker);
    UNTIL(&world->rig, world->done_count == 2);
    CHECK_INT(world->again_r, -ENOTCONN);
}

TEST(a_message_may_be_published_again_from_inside_done)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){0});
    world->again = true;
    publish_many(world, 1);
    UNTIL(&world->rig, world->done_count == 2);
    CHECK_INT(world->again_r, 0);
    CHECK_STR(world->broker.topics[1], "again");
}

TEST(the_brokers_goodbye_is_told_in_words)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){.protocol = 5});
    world->broker.acknowledges = false;
    publish_many(world, 10);
    UNTIL(&world->rig, world->broker.publishes == 10);
    scripted_broker_disconnect(&world->broker, WIRE_SHUTTING_DOWN);
    UNTIL(&world->rig, world->downs == 1);
    CHECK_STR(world->reason, "the broker disconnected: Server shutting down");
    UNTIL(&world->rig, world->ups == 2);
    CHECK_INT(world->done_count, 10);
}

TEST(freeing_a_link_finishes_what_is_under_way)
{
    struct world *world = world_up((struct mqtt_link_options){0});
    world->broker.acknowledges = false;
    publish_many(world, 2 * WINDOW);
    UNTIL(&world->rig, world->broker.publishes == WINDOW);
    world->link = mqtt_link_free(world->link);
    CHECK_INT(world->done_count, 2 * WINDOW);
    for (unsigned i = 0; i < 2 * WINDOW; i++)
        CHECK_INT(world->sent[i].r, -ENOTCONN);
    world = world_free(world);
}

TEST(paho_is_never_called_on_the_thread_of_the_loop)
{
    cleanup(world_free_p) struct world *world = world_up((struct mqtt_link_options){.protocol = 5});
    publish_many(world, 100);
    UNTIL(&world->rig, world->done_count == 100);
    scripted_broker_hang_up(&world->broker);
    UNTIL(&world->rig, world->ups == 2);
    mqtt_link_stop(world->link);
    UNTIL(&world->rig, world->broker.hang_ups == 1);
    CHECK(atomic_load(&calls) >= 100 + 2 * 4 + 1);
    CHECK_INT(atomic_load(&calls_on_the_loop), 0); /* and world_free() looks once more */
}
