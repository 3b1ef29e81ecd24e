/* The network's news, in a network of the test's own: a pair of interfaces that it makes, sets up and takes down. */
#include "bus/topics.h"
#include "rig/rig.h"
#include "services/network/network.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* What somebody on the bus hears, with the system's clock: the kernel has no other. */
struct world {
    struct loop *loop;
    struct bus *bus;
    struct network *network;
    struct subscriber ear;
    struct subscription status;
    unsigned came, went, other;
    char last[512];
};

static void on_heard(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct world *world = container_of(subscriber, struct world, ear);
    (void)snprintf(world->last, sizeof world->last, "%s", (const char *)msg->payload);
    if (strstr(world->last, "\"changed\":\"came\""))
        world->came++;
    else if (strstr(world->last, "\"changed\":\"went\""))
        world->went++;
    else
        world->other++;
}

static void run(const char *command)
{
    if (system(command) != 0)
        FAIL("%s fails", command);
}

static void turn_until(struct world *world, const unsigned *counter, unsigned count)
{
    for (int i = 0; *counter < count; i++) {
        if (i > 600)
            FAIL("it never came; the last word: %s", world->last);
        CHECK(loop_turn(world->loop, 100) >= 0);
    }
}

static void in_a_network_of_its_own(void)
{
    struct world world = {.ear.deliver = on_heard};
    run("ip link add dev gha type veth peer name ghb && ip link set dev ghb up");
    CHECK_INT(loop_new(&world.loop, NULL), 0);
    CHECK_INT(bus_new(&world.bus, world.loop, &(struct bus_options){0}), 0);
    bus_subscribe_to(world.bus, &world.status, &world.ear, TOPIC_STATUS_NETWORK);
    CHECK_INT(network_new(&world.network, world.bus), 0);
    turn_until(&world, &world.other, 1);
    CHECK(strstr(world.last, "\"state\":\"down\"") && strstr(world.last, "\"changes\":0"));

    run("ip addr add 192.0.2.1/24 dev gha && ip link set dev gha up");
    turn_until(&world, &world.came, 1);
    CHECK(strstr(world.last, "\"state\":\"up\"") && strstr(world.last, "\"what\":\"gha 192.0.2.1\""));

    run("ip route add default via 192.0.2.9");
    turn_until(&world, &world.came, 2);
    CHECK(strstr(world.last, "\"what\":\"default route\""));

    run("ip link set dev ghb down"); /* the cable is pulled at the other end */
    turn_until(&world, &world.went, 1);
    CHECK(strstr(world.last, "\"state\":\"down\""));
    run("ip link set dev ghb up");
    turn_until(&world, &world.came, 3);
    CHECK(strstr(world.last, "\"state\":\"up\""));

    /* Nothing new: the lifetime of an address is renewed. What comes after it is heard first. */
    unsigned came = world.came, went = world.went;
    run("ip addr change 192.0.2.1/24 dev gha valid_lft 1000 preferred_lft 1000 && ip addr add 198.51.100.1/24 dev gha");
    turn_until(&world, &world.came, came + 1);
    CHECK_INT(world.went, went);
    CHECK(strstr(world.last, "198.51.100.1"));

    bus_unsubscribe(world.bus, &world.status);
    world.network = network_free(world.network);
    world.bus = bus_free(world.bus);
    world.loop = loop_free(world.loop);
}

TEST(interfaces_addresses_and_default_routes_are_told_when_they_come_and_go)
{
    if (system("ip -V >/dev/null 2>&1") != 0)
        SKIP("iproute2 is not installed");
    if (unshare(CLONE_NEWNET) < 0)
        SKIP("this needs a network namespace");
    if (system("ip link add dev x type veth peer name y 2>/dev/null && ip link del x") != 0)
        SKIP("this kernel has no veth");
    in_a_network_of_its_own();
}
