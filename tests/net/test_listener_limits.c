#include "net/door_rig.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Guests at a Unix socket: they are there as soon as they knock. */
struct crowd {
    int fds[GUESTS_MAX];
    unsigned count;
};

static void crowd_done(struct crowd *crowd)
{
    while (crowd->count)
        (void)close(crowd->fds[--crowd->count]);
}

static void crowd_knock(struct crowd *crowd, const char *path, unsigned count)
{
    for (; count; count--) {
        int fd = crowd->fds[crowd->count++] = knock_unix(path);
        CHECK(fd >= 0);
    }
}

static struct listener_counters counters_of(const struct door *door)
{
    struct listener_counters counters;
    listener_counters(door->listener, &counters);
    return counters;
}

TEST(a_rate_lets_in_what_may_come_in_a_second_and_the_others_one_after_the_other)
{
    cleanup(door_done) struct door door = {0};
    cleanup(crowd_done) struct crowd crowd = {.count = 0};
    door_init(&door);
    cleanup_free char *uri = str_printf("unix://%s/socket?connect-rate=10", door.folder);
    cleanup_free char *path = str_printf("%s/socket", door.folder);
    door_must_open(&door, uri);
    crowd_knock(&crowd, path, 13);
    net_turn(door.rig);
    CHECK_INT(door.count, 10);
    CHECK_INT(counters_of(&door).accepted, 10);
    CHECK_INT(counters_of(&door).held_back, 1);
    net_wait(door.rig, 99);
    CHECK_INT(door.count, 10);
    net_wait(door.rig, 1);
    CHECK_INT(door.count, 11);
    net_wait(door.rig, 100);
    net_wait(door.rig, 100);
    CHECK_INT(door.count, 13);
    net_wait(door.rig, 10000); /* quiet: the bucket fills up to a second's worth, not more */
    crowd_knock(&crowd, path, 12);
    net_turn(door.rig);
    CHECK_INT(door.count, 23);
}

TEST(a_rate_that_is_kept_holds_nobody_back)
{
    cleanup(door_done) struct door door = {0};
    cleanup(crowd_done) struct crowd crowd = {.count = 0};
    door_init(&door);
    cleanup_free char *uri = str_printf("unix://%s/socket?connect-rate=20", door.folder);
    cleanup_free char *path = str_printf("%s/socket", door.folder);
    door_must_open(&door, uri);
    for (unsigned i = 1; i <= 60; i++) {
        crowd_knock(&crowd, path, 1);
        net_turn(door.rig);
        CHECK_INT(door.count, i);
        net_wait(door.rig, 50);
    }
    CHECK_INT(counters_of(&door).held_back, 0);
}

/* Has it been closed without a byte? */
static bool is_turned_away(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0) <= 0;
}

static bool is_turned_away_yet(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

TEST(an_address_has_so_many_connections_at_the_same_time)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    door_must_open(&door, "mqtt://127.0.0.1:0?access=open&connections-per-address=2");
    cleanup(fd_close_p) int first = knock_tcp(&door), second = knock_tcp(&door), third = knock_tcp(&door),
                            fourth = knock_tcp(&door);
    CHECK(first >= 0 && second >= 0);
    while (counters_of(&door).accepted < 4)
        CHECK(loop_turn(door.rig->loop, 0) >= 0);
    CHECK_INT(door.count, 2);
    CHECK(is_turned_away(third) && is_turned_away(fourth));
    CHECK_INT(counters_of(&door).refused_per_address, 2);
    CHECK_INT(log_lines.count, 1); /* a flood of connections is not one of log lines */
    CHECK(strstr(log_lines.last, ": refused: more connections than connections-per-address allows"));

    listener_left(door.listener, &door.from[0]);
    cleanup(fd_close_p) int fifth = knock_tcp(&door), sixth = knock_tcp(&door);
    while (counters_of(&door).accepted < 6)
        CHECK(loop_turn(door.rig->loop, 0) >= 0);
    CHECK_INT(door.count, 3);
    CHECK(!is_turned_away_yet(fifth));
    CHECK(is_turned_away(sixth));
    CHECK_INT(log_lines.count, 2);
}

TEST(where_nothing_is_limited_leaving_is_nothing)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    door_must_open(&door, "mqtt://127.0.0.1:0?access=open");
    struct address from = {.family = AF_INET};
    listener_left(door.listener, &from);
    listener_left(NULL, &from);
    cleanup(fd_close_p) int guest = knock_tcp(&door);
    CHECK(guest >= 0);
    net_turn_until(door.rig, &door.count);
    CHECK_INT(door.from[0].family, AF_INET);
    CHECK_INT(counters_of(&door).refused_per_address, 0);
}
