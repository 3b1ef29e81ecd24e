#include "net/door_rig.h"
#include "net/tls_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define V2   "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\x0a\0\0\1\xc3\x50\x07\x5b"
#define SELF "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"

static struct listener_counters counters_of(const struct door *door)
{
    struct listener_counters counters;
    listener_counters(door->listener, &counters);
    return counters;
}

static void door_open_for_proxies(struct door *door, const char *rest)
{
    door_init(door);
    cleanup_free char *uri = str_printf("mqtt://127.0.0.1:0?access=open&proxy=1%s", rest);
    door_must_open(door, uri);
}

/* Turns until the kernel has brought it so far that the counter moves. */
static void turn_until_refused(struct door *door, uint64_t count)
{
    for (int i = 0; i < 100000 && counters_of(door).refused_proxy < count; i++)
        CHECK(loop_turn(door->rig->loop, 0) >= 0);
    CHECK_INT(counters_of(door).refused_proxy, count);
}

static bool is_closed(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0) <= 0;
}

TEST(who_the_header_names_is_the_peer_and_what_follows_is_his)
{
    cleanup(door_done) struct door door = {0};
    door_open_for_proxies(&door, "");
    cleanup(fd_close_p) int proxy = knock_tcp(&door);
    raw_write(proxy, V2 "hello", sizeof V2 + 4);
    net_turn_until(door.rig, &door.count);
    cleanup(recorder_done) struct recorder recorder = {0};
    net_endpoint(door.rig, &recorder, &(struct endpoint){.fd = door.fds[0], .from = door.from[0]});
    door.count = 0;
    net_turn_until(door.rig, &recorder.received);
    CHECK_MEM(recorder.bytes, recorder.len, "hello", 5);
    CHECK_STR(conn_peer(recorder.conn), "192.0.2.1:50000");
    pid_t pid;
    uid_t uid;
    CHECK(!conn_credentials(recorder.conn, &pid, &uid));
}

TEST(a_header_may_come_byte_by_byte)
{
    cleanup(door_done) struct door door = {0};
    door_open_for_proxies(&door, "");
    cleanup(fd_close_p) int proxy = knock_tcp(&door);
    for (size_t i = 0; i < sizeof V2 - 1; i++) {
        CHECK_INT(door.count, 0);
        raw_write(proxy, &V2[i], 1);
        net_turn(door.rig);
    }
    net_turn_until(door.rig, &door.count);
    char text[ADDRESS_TEXT_BYTES];
    address_text(&door.from[0], text);
    CHECK_STR(text, "192.0.2.1:50000");
}

TEST(a_proxy_that_speaks_for_itself_is_the_peer)
{
    cleanup(door_done) struct door door = {0};
    door_open_for_proxies(&door, "");
    cleanup(fd_close_p) int proxy = knock_tcp(&door);
    raw_write(proxy, SELF, sizeof SELF - 1);
    net_turn_until(door.rig, &door.count);
    CHECK_INT(door.from[0].family, AF_INET);
    CHECK_INT(ntohl(door.from[0].in.s_addr), INADDR_LOOPBACK);
}

TEST(another_beginning_is_refused_with_a_line_in_the_log)
{
    static const struct {
        const char *bytes, *said;
    } cases[] = {
        {"PROXY TCP4 192.0.2.1 10.0.0.1 50000 1883\r\n",
         "refused: expected a PROXY header of version 2 (HAProxy: send-proxy-v2), found version 1"},
        {"\x10\x0c..MQTT", "refused: expected a PROXY header, found something else"},
    };
    cleanup(door_done) struct door door = {0};
    door_open_for_proxies(&door, "");
    for (size_t i = 0; i < array_size(cases); i++) {
        cleanup(fd_close_p) int proxy = knock_tcp(&door);
        raw_write(proxy, cases[i].bytes, strlen(cases[i].bytes));
        turn_until_refused(&door, i + 1);
        CHECK(strstr(log_lines.last, cases[i].said));
        CHECK(strstr(log_lines.last, ": 127.0.0.1:"));
        CHECK(is_closed(proxy));
    }
    cleanup(fd_close_p) int proxy = knock_tcp(&door);
    raw_write(proxy, V2, 20);
    fd_close_p(&proxy);
    turn_until_refused(&door, array_size(cases) + 1);
    CHECK(strstr(log_lines.last, "refused: closed before the PROXY header"));
    CHECK_INT(door.count, 0);
}

TEST(who_is_not_listed_is_refused)
{
    cleanup(door_done) struct door door = {0};
    door_open_for_proxies(&door, "&proxy-from=127.0.0.2,::1");
    cleanup(fd_close_p) int stranger = knock_tcp(&door);
    raw_write(stranger, V2, sizeof V2 - 1);
    turn_until_refused(&door, 1);
    CHECK(strstr(log_lines.last, "refused: not in proxy-from"));
    CHECK_INT(door.count, 0);

    cleanup(fd_close_p) int proxy = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    CHECK_INT(bind(proxy, (struct sockaddr *)&from, sizeof from), 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port_of(&door))};
    CHECK_INT(connect(proxy, (struct sockaddr *)&to, sizeof to), 0);
    raw_write(proxy, V2, sizeof V2 - 1);
    net_turn_until(door.rig, &door.count);
}

TEST(a_header_that_does_not_come_is_waited_for_5_seconds)
{
    cleanup(door_done) struct door door = {0};
    door_open_for_proxies(&door, "");
    cleanup(fd_close_p) int silent = knock_tcp(&door);
    while (!counters_of(&door).accepted)
        CHECK(loop_turn(door.rig->loop, 0) >= 0);
    net_wait(door.rig, 4999);
    CHECK_INT(counters_of(&door).refused_proxy, 0);
    net_wait(door.rig, 1);
    CHECK_INT(counters_of(&door).refused_proxy, 1);
    CHECK(strstr(log_lines.last, "refused: no PROXY header within 5 s"));
    CHECK(is_closed(silent));
}

TEST(a_listener_that_closes_lets_go_of_those_who_have_not_introduced_themselves)
{
    cleanup(door_done) struct door door = {0};
    door_open_for_proxies(&door, "");
    cleanup(fd_close_p) int silent = knock_tcp(&door);
    while (!counters_of(&door).accepted)
        CHECK(loop_turn(door.rig->loop, 0) >= 0);
    door.listener = listener_close(door.listener);
    CHECK(is_closed(silent));
    net_wait(door.rig, 10000);
}

TEST(the_limit_of_an_address_counts_who_is_behind_the_proxy)
{
    cleanup(door_done) struct door door = {0};
    door_open_for_proxies(&door, "&connections-per-address=1");
    cleanup(fd_close_p) int first = knock_tcp(&door), second = knock_tcp(&door), other = knock_tcp(&door);
    raw_write(first, V2, sizeof V2 - 1);
    net_turn_until(door.rig, &door.count);
    raw_write(second, V2, sizeof V2 - 1);
    while (!counters_of(&door).refused_per_address)
        CHECK(loop_turn(door.rig->loop, 0) >= 0);
    CHECK(is_closed(second));
    uint8_t another[] = V2;
    another[19] = 2; /* 192.0.2.2 */
    raw_write(other, another, sizeof another - 1);
    unsigned before = door.count;
    while (door.count == before)
        CHECK(loop_turn(door.rig->loop, 0) >= 0);
    CHECK_INT(door.count, 2);
}

TEST(tls_begins_behind_the_header)
{
    cleanup(tls_world_free_p) struct tls_world *world = tls_world_new();
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    cleanup_free char *uri =
        str_printf("mqtts://127.0.0.1:0?proxy=1&cert=%s&key=%s&ca=%s", tls_world_file(world, "server.pem"),
                   tls_world_file(world, "server.key"), tls_world_file(world, "ca.pem"));
    door_must_open(&door, uri);
    int proxy = knock_tcp(&door);
    raw_write(proxy, V2, sizeof V2 - 1);
    net_turn_until(door.rig, &door.count);
    cleanup(recorder_done) struct recorder recorder = {0};
    net_endpoint(door.rig, &recorder,
                 &(struct endpoint){.fd = door.fds[0], .tls = door.tls[0], .from = door.from[0]});
    door.count = 0;
    CHECK_INT(fcntl(proxy, F_SETFL, O_NONBLOCK), 0);
    cleanup(far_done) struct far far;
    far_init(&far, world->client_context, proxy, false);
    for (int i = 0; i < 100000 && !far_is_up(&far); i++) {
        (void)far_step(&far);
        CHECK(loop_turn(door.rig->loop, 0) >= 0);
    }
    far_write(&far, "hello", 5);
    for (int i = 0; i < 100000 && !recorder.received; i++) {
        (void)far_step(&far);
        CHECK(loop_turn(door.rig->loop, 0) >= 0);
    }
    CHECK_MEM(recorder.bytes, recorder.len, "hello", 5);
    CHECK_STR(conn_peer(recorder.conn), "192.0.2.1:50000");
    CHECK_STR(conn_certificate_name(recorder.conn), "pump-7");
}
