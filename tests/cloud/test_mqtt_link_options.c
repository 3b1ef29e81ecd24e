/* What a link's options do, seen from the far end: proxy, TLS, session, will; and what is said when it does not work. */
#include "cloud/cloud_rig.h"
#include "cloud/far_broker.h"
#include "cloud/mosquitto.h"
#include "cloud/mqtt_link.h"
#include "cloud/mqtt_uri.h"
#include "net/tls_rig.h"
#include "store/folder.h"
#include "wire/mqtt.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct world {
    struct cloud_rig rig;
    struct far_broker far;
    struct mqtt_links *links;
    struct mqtt_link *link;
    char *folder;
    char uri[64], proxy[64], ca[128], cert[128], key[128];
    unsigned ups, downs;
    char reason[256];
    char heard[256];
};

static void on_up(void *self)
{
    ((struct world *)self)->ups++;
}

static void on_down(void *self, const char *reason)
{
    struct world *world = self;
    world->downs++;
    (void)snprintf(world->reason, sizeof world->reason, "%s", reason);
}

static void on_message(void *self, struct msg *msg)
{
    struct world *world = self;
    size_t len = strlen(world->heard);
    (void)snprintf(world->heard + len, sizeof world->heard - len, "%s=%s ", msg->topic,
                   (const char *)msg->payload);
}

static const struct mqtt_link_events events = {on_up, on_down, on_message};

static void save(struct world *world, const struct identity *issuer, const char *name, const char *host,
                 int days)
{
    struct identity made = identity_new(issuer, host, strlen(host), days);
    identity_save(&made, world->folder, name);
    identity_done(&made);
}

/* The far end shows the certificate SERVER (NULL: no TLS), of those that are made here. */
static struct world *world_new(const char *server)
{
    struct world *world = mem_new(struct world);
    cloud_rig_init(&world->rig);
    world->folder = folder_new();
    struct identity ca = identity_new(NULL, "authority", 9, 10);
    identity_save(&ca, world->folder, "ca");
    save(world, &ca, "good", "localhost", 10);
    save(world, &ca, "elsewhere", "elsewhere", 10);
    save(world, &ca, "expired", "localhost", -1);
    save(world, NULL, "stranger", "localhost", 10);
    identity_done(&ca);
    (void)snprintf(world->ca, sizeof world->ca, "%s/ca.pem", world->folder);
    if (server) {
        (void)snprintf(world->cert, sizeof world->cert, "%s/%s.pem", world->folder, server);
        (void)snprintf(world->key, sizeof world->key, "%s/%s.key", world->folder, server);
        world->far.cert = world->cert;
        world->far.key = world->key;
    }
    CHECK_INT(mqtt_links_new(&world->links, world->rig.loop), 0);
    return world;
}

static void open_link(struct world *world, struct mqtt_link_options options)
{
    if (!options.name)
        options.name = "cloud";
    if (!options.pause_max)
        options.pause_max = 20;
    CHECK_INT(mqtt_link_new(&world->link, world->links, &options, &events, world), 0);
    mqtt_link_start(world->link);
}

/* To the far end, with TLS if it has a certificate. */
static void connect_far(struct world *world, struct mqtt_link_options options)
{
    far_broker_start(&world->far);
    (void)snprintf(world->uri, sizeof world->uri, "%s://localhost:%u", world->far.cert ? "mqtts" : "mqtt",
                   world->far.port);
    if (!options.uri)
        options.uri = world->uri;
    options.ca = world->far.cert ? world->ca : NULL;
    open_link(world, options);
}

static struct world *world_free(struct world *world)
{
    world->link = mqtt_link_free(world->link);
    world->links = mqtt_links_free(world->links);
    if (world->far.port)
        far_broker_end(&world->far);
    world->folder = folder_free(world->folder);
    cloud_rig_done(&world->rig);
    free(world);
    return NULL;
}
define_cleanup(struct world *, world_free)

static struct wire_packet connect_packet(struct world *world)
{
    struct wire_frame frame;
    struct wire_packet packet;
    const char *why;
    CHECK_INT(wire_frame(world->far.connect, world->far.connect_len, 1024, &frame), 1);
    CHECK_INT(wire_decode(&packet, &frame, WIRE_MQTT311, WIRE_FROM_CLIENT, &why), 0);
    return packet;
}

/* ---- addresses --------------------------------------------------------------------------------------------------- */

TEST(addresses_are_taken_apart)
{
    struct mqtt_uri uri;
    CHECK(!mqtt_uri_parse(&uri, "mqtts://[fe80::1]:443"));
    CHECK_MEM(uri.host, uri.host_len, "fe80::1", 7);
    CHECK_INT(uri.port, 443);
    CHECK(!mqtt_uri_parse(&uri, "mqtts://broker.example"));
    CHECK_INT(uri.port, 8883);
    CHECK(!mqtt_proxy_parse(&uri, "http://me@proxy:3128"));
    CHECK_MEM(uri.user, uri.user_len, "me", 2);
    CHECK_MEM(uri.host, uri.host_len, "proxy", 5);
    CHECK_INT(uri.port, 3128);
    static const char *const wrong[] = {"proxy:3128",          "https://proxy:3128", "http://proxy",
                                        "http://me:x@proxy:1", "http://@proxy:3128", "http://proxy:0",
                                        "http://proxy:3128/x", "http://me@",         ""};
    for (size_t i = 0; i < array_size(wrong); i++)
        if (!mqtt_proxy_parse(&uri, wrong[i]))
            FAIL("%s is taken for a proxy", wrong[i]);
}

/* ---- TLS --------------------------------------------------------------------------------------------------------- */

TEST(the_host_and_the_protocol_are_named_in_the_handshake)
{
    cleanup(world_free_p) struct world *world = world_new("good");
    world->far.alpn = "x-amzn-mqtt-ca";
    connect_far(world, (struct mqtt_link_options){.alpn = "x-amzn-mqtt-ca"});
    UNTIL(&world->rig, world->ups == 1);
    CHECK_STR(world->far.sni, "localhost");
    CHECK_STR(world->far.offered, "x-amzn-mqtt-ca ");
}

TEST(without_the_option_no_protocol_is_offered)
{
    cleanup(world_free_p) struct world *world = world_new("good");
    connect_far(world, (struct mqtt_link_options){0});
    UNTIL(&world->rig, world->ups == 1);
    CHECK_STR(world->far.offered, "");
}

TEST(what_is_wrong_with_a_certificate_is_told)
{
    static const struct {
        const char *server, *reason;
    } cases[] = {
        {"expired", "has expired"},
        {"elsewhere", "its certificate is another host's"},
        {"stranger", "no CA that we trust vouches for its certificate"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        cleanup(world_free_p) struct world *world = world_new(cases[i].server);
        connect_far(world, (struct mqtt_link_options){0});
        UNTIL(&world->rig, world->downs >= 1);
        if (!strstr(world->reason, cases[i].reason))
            FAIL("%s: expected \"%s\" in \"%s\"", cases[i].server, cases[i].reason, world->reason);
        CHECK_INT(world->ups, 0);
    }
}

TEST(certificates_are_looked_at_at_the_time_that_was_set)
{
    enum { DAY = 24 * 3600 };
    cleanup(world_free_p) struct world *world = world_new("expired");
    struct mqtt_link_options options = {.pause_min = 60000, .pause_max = 60000};
    connect_far(world, options);
    UNTIL(&world->rig, world->downs == 1);
    mqtt_link_set_verify_time(world->link, clock_wall(&cloud_rig_clock) / 1000 - 5 * DAY);
    UNTIL(&world->rig, (mqtt_link_start(world->link), world->ups == 1));
    mqtt_link_set_verify_time(world->link, 0);
    mqtt_link_stop(world->link);
    mqtt_link_start(world->link);
    UNTIL(&world->rig, world->downs == 2);
}

/* ---- a proxy ----------------------------------------------------------------------------------------------------- */

TEST(a_proxy_is_asked_for_the_broker)
{
    for (int tls = 0; tls <= 1; tls++) {
        cleanup(world_free_p) struct world *world = world_new(tls ? "good" : NULL);
        world->far.is_proxy = true;
        far_broker_start(&world->far);
        (void)snprintf(world->proxy, sizeof world->proxy, "http://127.0.0.1:%u", world->far.port);
        open_link(world,
                  (struct mqtt_link_options){.uri = tls ? "mqtts://localhost" : "mqtt://broker.example",
                                             .proxy = world->proxy,
                                             .ca = tls ? world->ca : NULL});
        UNTIL(&world->rig, world->ups == 1);
        const char *line =
            tls ? "CONNECT localhost:8883 HTTP/1.1\r\n" : "CONNECT broker.example:1883 HTTP/1.1\r\n";
        CHECK(strncmp(world->far.proxy_head, line, strlen(line)) == 0);
        CHECK(!strstr(world->far.proxy_head, "uthorization"));
        CHECK_STR(world->far.sni, tls ? "localhost" : "");
    }
}

TEST(a_proxy_is_told_who_asks)
{
    cleanup(world_free_p) struct world *world = world_new("good");
    world->far.is_proxy = true;
    world->far.credentials = "Basic bWU6c0BjOnIlIHQ="; /* me:s@c:r% t */
    far_broker_start(&world->far);
    (void)snprintf(world->proxy, sizeof world->proxy, "http://me@127.0.0.1:%u", world->far.port);
    open_link(world, (struct mqtt_link_options){.uri = "mqtts://localhost:443",
                                                .proxy = world->proxy,
                                                .proxy_password = "s@c:r% t",
                                                .ca = world->ca});
    UNTIL(&world->rig, world->ups == 1);
    CHECK_INT(world->far.refused_by_proxy, 0);
}

TEST(a_proxy_that_refuses_is_told)
{
    cleanup(world_free_p) struct world *world = world_new("good");
    world->far.is_proxy = true;
    world->far.credentials = "Basic bWU6b3RoZXI=";
    far_broker_start(&world->far);
    (void)snprintf(world->proxy, sizeof world->proxy, "http://127.0.0.1:%u", world->far.port);
    open_link(world, (struct mqtt_link_options){
                         .uri = "mqtts://localhost:443", .proxy = world->proxy, .ca = world->ca});
    UNTIL(&world->rig, world->downs >= 1);
    CHECK(strstr(world->reason, "the proxy, which may have refused"));
}

/* ---- session and will -------------------------------------------------------------------------------------------- */

TEST(a_persistent_session_is_asked_for)
{
    static const int protocols[] = {4, 5};
    for (size_t p = 0; p < array_size(protocols); p++) {
        cleanup(world_free_p) struct world *world = world_new(NULL);
        world->far.session_present = true;
        connect_far(world, (struct mqtt_link_options){
                               .persistent = true, .session_expiry_s = 7200, .protocol = protocols[p]});
        UNTIL(&world->rig, world->ups == 1);
        const struct wire_packet packet = connect_packet(world);
        CHECK(!packet.clean_start);
        CHECK(mqtt_link_session_was_present(world->link));
        if (protocols[p] == 5)
            CHECK_INT(packet.props.session_expiry, 7200);
    }
}

TEST(a_will_is_left_with_the_broker)
{
    cleanup(world_free_p) struct world *world = world_new(NULL);
    connect_far(world, (struct mqtt_link_options){.will_topic = "plant/1/state",
                                                  .will_message = "gone",
                                                  .will_retain = true,
                                                  .protocol = 4});
    UNTIL(&world->rig, world->ups == 1);
    const struct wire_packet packet = connect_packet(world);
    CHECK(packet.has_will && packet.will.retain);
    CHECK_INT(packet.will.qos, 1);
    CHECK_MEM(packet.will.topic.text, packet.will.topic.len, "plant/1/state", 13);
    CHECK_MEM(packet.will.payload.text, packet.will.payload.len, "gone", 4);
    CHECK(packet.clean_start);
    CHECK(!mqtt_link_session_was_present(world->link));
}

struct asked {
    struct mqtt_link_subscribe subscribe;
    bool done;
};

static void on_subscribed(struct mqtt_link_subscribe *subscribe, int r)
{
    CHECK_INT(r, 0);
    container_of(subscribe, struct asked, subscribe)->done = true;
}

struct told {
    struct mqtt_link_publish publish;
    bool done;
};

static void on_published(struct mqtt_link_publish *publish, int r)
{
    CHECK_INT(r, 0);
    container_of(publish, struct told, publish)->done = true;
}

TEST(what_the_broker_queued_arrives_after_the_next_connection)
{
    if (!mosquitto_exists())
        SKIP("mosquitto is not installed");
    static const int protocols[] = {4, 5};
    for (size_t p = 0; p < array_size(protocols); p++) {
        cleanup(world_free_p) struct world *world = world_new(NULL);
        cleanup(world_free_p) struct world *other = world_new(NULL);
        struct mosquitto broker;
        mosquitto_init(&broker, "allow_anonymous true\n");
        mosquitto_start(&broker);
        (void)snprintf(world->uri, sizeof world->uri, "mqtt://127.0.0.1:%u", broker.port);
        open_link(world, (struct mqtt_link_options){.uri = world->uri,
                                                    .client_id = "stays",
                                                    .persistent = true,
                                                    .receive_prefix = "in/",
                                                    .protocol = protocols[p]});
        open_link(other, (struct mqtt_link_options){.uri = world->uri, .client_id = "other"});
        UNTIL(&world->rig, world->ups == 1);
        struct asked asked = {.subscribe = {.filter = "cmd/#", .done = on_subscribed}};
        CHECK_INT(mqtt_link_subscribe(world->link, &asked.subscribe), 0);
        UNTIL(&world->rig, asked.done);
        mqtt_link_stop(world->link);
        UNTIL(&world->rig, (mosquitto_read(&broker), mosquitto_said(&broker, "Client stays disconnected")));

        UNTIL(&other->rig, other->ups == 1);
        struct told told = {.publish = {.topic = "cmd/1", .qos = 1, .done = on_published}};
        told.publish.msg = msg_new("x", 1, "go", 2);
        CHECK_INT(mqtt_link_publish(other->link, &told.publish), 0);
        UNTIL(&other->rig, told.done);
        (void)msg_unref(told.publish.msg);

        mqtt_link_start(world->link);
        UNTIL(&world->rig, *world->heard);
        CHECK_STR(world->heard, "in/cmd/1=go ");
        CHECK(mqtt_link_session_was_present(world->link));
        other->link = mqtt_link_free(other->link);
        world->link = mqtt_link_free(world->link);
        mosquitto_done(&broker);
    }
}

/* ---- names and peers that do not answer -------------------------------------------------------------------------- */

TEST(a_name_that_nobody_has_is_told)
{
    cleanup(world_free_p) struct world *world = world_new(NULL);
    open_link(world, (struct mqtt_link_options){.uri = "mqtt://nobody.invalid"});
    UNTIL(&world->rig, world->downs >= 1);
    CHECK(strstr(world->reason, "cannot connect: no address for nobody.invalid: "));
}

TEST(a_link_can_be_stopped_and_freed_while_its_name_is_asked_for)
{
    for (int i = 0; i < 20; i++) {
        cleanup(world_free_p) struct world *world = world_new(NULL);
        open_link(world, (struct mqtt_link_options){.uri = "mqtt://nobody.invalid"});
        if (i % 2)
            (void)loop_turn(world->rig.loop, 0);
        mqtt_link_stop(world->link);
        if (i % 4 > 1)
            mqtt_link_start(world->link);
        CHECK_INT(world->ups, 0);
    }
}

static int silent_door(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(door >= 0 && bind(door, (struct sockaddr *)&at, len) == 0 && listen(door, 8) == 0 &&
          getsockname(door, (struct sockaddr *)&at, &len) == 0);
    *port = ntohs(at.sin_port);
    return door;
}

TEST(a_peer_that_accepts_and_says_nothing_is_given_up)
{
    static const char *const schemes[] = {"mqtt", "mqtts"};
    for (size_t i = 0; i < array_size(schemes); i++) {
        cleanup(world_free_p) struct world *world = world_new(NULL);
        uint16_t port;
        int door = silent_door(&port);
        (void)snprintf(world->uri, sizeof world->uri, "%s://127.0.0.1:%u", schemes[i], port);
        open_link(world, (struct mqtt_link_options){.uri = world->uri, .connect_timeout_s = 1});
        UNTIL(&world->rig, world->downs >= 1);
        CHECK(strstr(world->reason, "cannot connect: "));
        (void)close(door);
    }
}

/* ---- the network ------------------------------------------------------------------------------------------------- */

TEST(a_link_that_waits_tries_at_once_when_the_network_comes)
{
    cleanup(world_free_p) struct world *world = world_new(NULL);
    uint16_t port = cloud_rig_free_port();
    (void)snprintf(world->uri, sizeof world->uri, "mqtt://127.0.0.1:%u", port);
    open_link(world,
              (struct mqtt_link_options){.uri = world->uri, .pause_min = 3600000, .pause_max = 3600000});
    UNTIL(&world->rig, world->downs == 1);
    UNTIL(&world->rig, (mqtt_link_network_came(world->link), world->downs == 2));
}

TEST(a_connection_that_works_outlives_the_news)
{
    cleanup(world_free_p) struct world *world = world_new(NULL);
    connect_far(world, (struct mqtt_link_options){0});
    UNTIL(&world->rig, world->ups == 1);
    for (int i = 0; i < 20; i++) {
        mqtt_link_network_came(world->link);
        (void)loop_turn(world->rig.loop, 5);
    }
    CHECK_INT(world->downs, 0);
    CHECK(mqtt_link_is_up(world->link));
}

TEST(the_connections_socket_is_found_and_set)
{
    cleanup(world_free_p) struct world *world = world_new(NULL);
    connect_far(world, (struct mqtt_link_options){.keepalive_s = 10});
    UNTIL(&world->rig, world->ups == 1);
    unsigned found = 0;
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in peer;
        socklen_t len = sizeof peer, value_len = sizeof(int);
        int nodelay = 0, timeout = 0;
        if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0 || peer.sin_family != AF_INET ||
            ntohs(peer.sin_port) != world->far.port)
            continue;
        CHECK(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &value_len) == 0 && nodelay);
        CHECK(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, &value_len) == 0);
        CHECK_INT(timeout, 15000);
        found++;
    }
    CHECK_INT(found, 1);
}
