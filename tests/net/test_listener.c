#include "net/listener.h"

#include "net/door_rig.h"
#include "net/tls_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- TCP ------------------------------------------------------------------------------------------------------------- */

TEST(port_0_shows_the_real_port_and_there_somebody_answers)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    door_must_open(&door, "mqtt://127.0.0.1:0?access=open");
    char name[64];
    (void)snprintf(name, sizeof name, "mqtt://127.0.0.1:%u", port_of(&door));
    CHECK_STR(listener_name(door.listener), name);
    CHECK_INT(listener_uri(door.listener)->access, LISTENER_OPEN);
    cleanup(fd_close_p) int guest = knock_tcp(&door);
    net_turn_until(door.rig, &door.count);
    CHECK(!door.tls[0]);
    CHECK_INT(write(door.fds[0], "hello", 5), 5);
    char text[8];
    CHECK_INT(recv(guest, text, sizeof text, 0), 5);
    CHECK(fcntl(door.fds[0], F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(door.fds[0], F_GETFD) & FD_CLOEXEC);
}

TEST(ipv6_works_and_ipv4_guests_of_it_keep_their_names)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    if (door_open(&door, "mqtt://[::]:0?access=open&i-know=1") < 0)
        SKIP("no IPv6 here");
    char name[64];
    (void)snprintf(name, sizeof name, "mqtt://[::]:%u", port_of(&door));
    CHECK_STR(listener_name(door.listener), name);

    struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT,
                                   .sin6_port = htons((uint16_t)port_of(&door))};
    cleanup(fd_close_p) int v6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(connect(v6, (struct sockaddr *)&address, sizeof address), 0);
    net_turn_until(door.rig, &door.count);
    cleanup(recorder_done) struct recorder first = {0};
    net_conn(door.rig, &first, door.fds[0], NULL);
    CHECK(strncmp(conn_peer(first.conn), "[::1]:", 6) == 0);

    door.count = 0;
    cleanup(fd_close_p) int v4 = knock_tcp(&door);
    net_turn_until(door.rig, &door.count);
    cleanup(recorder_done) struct recorder second = {0};
    net_conn(door.rig, &second, door.fds[0], NULL);
    CHECK(strncmp(conn_peer(second.conn), "127.0.0.1:", 10) == 0);
    raw_write(v4, "hello", 5);
    net_turn_until(door.rig, &second.received);
    door.count = 0; /* the connections have the descriptors */
}

TEST(a_port_that_is_taken_is_named)
{
    cleanup(door_done) struct door first = {0}, second = {0};
    door_init(&first);
    door_init(&second);
    door_must_open(&first, "mqtt://127.0.0.1:0?access=open");
    char text[64], said[96];
    (void)snprintf(text, sizeof text, "mqtt://127.0.0.1:%u?access=open", port_of(&first));
    CHECK_INT(door_open(&second, text), -EADDRINUSE);
    (void)snprintf(said, sizeof said, "mqtt://127.0.0.1:%u: Address already in use", port_of(&first));
    CHECK_STR(second.why, said);
}

TEST(an_address_of_another_machine_is_named)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    CHECK_INT(door_open(&door, "mqtt://192.0.2.1:1883?access=open&i-know=1"), -EADDRNOTAVAIL);
    CHECK_STR(door.why, "mqtt://192.0.2.1:1883: Cannot assign requested address");
}

/* ---- Unix sockets ---------------------------------------------------------------------------------------------------- */

static char *unix_uri(const struct door *door, const char *rest)
{
    return str_printf("unix://%s/socket%s", door->folder, rest);
}

TEST(a_unix_socket_has_the_mode_that_was_asked_and_goes_with_its_listener)
{
    static const struct {
        const char *rest;
        mode_t mode;
    } cases[] = {{"", 0660}, {"?mode=0600", 0600}, {"?mode=0777", 0777}};
    mode_t before = umask(077);
    for (size_t i = 0; i < array_size(cases); i++) {
        cleanup(door_done) struct door door = {0};
        door_init(&door);
        cleanup_free char *text = unix_uri(&door, cases[i].rest),
                          *path = str_printf("%s/socket", door.folder);
        door_must_open(&door, text);
        cleanup_free char *name = str_printf("unix://%s", path);
        CHECK_STR(listener_name(door.listener), name);
        struct stat st;
        CHECK_INT(stat(path, &st), 0);
        CHECK(S_ISSOCK(st.st_mode));
        CHECK_INT(st.st_mode & 07777, cases[i].mode);
        cleanup(fd_close_p) int guest = knock_unix(path);
        CHECK(guest >= 0);
        net_turn(door.rig);
        CHECK_INT(door.count, 1);
        door.listener = listener_close(door.listener);
        CHECK_INT(access(path, F_OK), -1);
    }
    (void)umask(before);
}

TEST(a_stale_socket_file_is_replaced)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    cleanup_free char *text = unix_uri(&door, "");
    const char *path = text + strlen("unix://");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int left = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(left, (struct sockaddr *)&address, sizeof address), 0);
    (void)close(left); /* as after a power cut: the file is there, and nobody behind it */
    door_must_open(&door, text);
    cleanup(fd_close_p) int guest = knock_unix(path);
    CHECK(guest >= 0);
}

TEST(a_socket_somebody_listens_on_is_not_taken_from_him)
{
    cleanup(door_done) struct door first = {0}, second = {0};
    door_init(&first);
    door_init(&second);
    cleanup_free char *text = unix_uri(&first, "");
    door_must_open(&first, text);
    CHECK_INT(door_open(&second, text), -EADDRINUSE);
    cleanup_free char *said = str_printf("%s: Address already in use", text);
    CHECK_STR(second.why, said);
    cleanup(fd_close_p) int guest = knock_unix(text + strlen("unix://"));
    CHECK(guest >= 0); /* still there */
}

TEST(a_socket_whose_owner_is_too_busy_to_accept_is_not_taken_and_not_waited_for)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    cleanup_free char *text = unix_uri(&door, "");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", text + strlen("unix://"));
    cleanup(fd_close_p) int busy = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(busy, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_INT(listen(busy, 0), 0);
    int guests[8], n = 0;
    while (n < 8 && (guests[n] = knock_unix(address.sun_path)) >= 0)
        n++;
    CHECK_INT(guests[n], -EAGAIN);
    CHECK_INT(door_open(&door, text), -EADDRINUSE);
    while (n)
        (void)close(guests[--n]);
}

TEST(a_file_that_is_no_socket_is_not_touched)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    cleanup_free char *text = unix_uri(&door, "");
    const char *path = text + strlen("unix://");
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_INT(write(fd, "mine", 4), 4);
    (void)close(fd);
    CHECK_INT(door_open(&door, text), -EEXIST);
    cleanup_free char *said = str_printf("%s: File exists", text);
    CHECK_STR(door.why, said);
    struct stat st;
    CHECK_INT(stat(path, &st), 0);
    CHECK_INT(st.st_size, 4);
}

TEST(a_folder_that_is_not_there_is_named)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    CHECK_INT(door_open(&door, "unix:///no/such/folder/socket"), -ENOENT);
    CHECK_STR(door.why, "unix:///no/such/folder/socket: No such file or directory");
}

/* ---- many guests ----------------------------------------------------------------------------------------------------- */

TEST(a_flood_of_guests_is_let_in_by_turns)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    cleanup_free char *text = unix_uri(&door, "");
    door_must_open(&door, text);
    int guests[100];
    for (size_t i = 0; i < array_size(guests); i++) {
        guests[i] = knock_unix(text + strlen("unix://"));
        CHECK(guests[i] >= 0);
    }
    CHECK_INT(loop_turn(door.rig->loop, 0), 1);
    CHECK_INT(door.count, 64);
    net_turn(door.rig);
    CHECK_INT(door.count, 100);
    for (size_t i = 0; i < array_size(guests); i++)
        (void)close(guests[i]);
}

TEST(without_descriptors_the_listener_rests_for_a_second_and_goes_on)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    cleanup_free char *text = unix_uri(&door, "");
    door_must_open(&door, text);
    cleanup(fd_close_p) int guest = knock_unix(text + strlen("unix://"));
    CHECK(guest >= 0);

    struct rlimit limit, none;
    CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3; /* those that are open stay */
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &none), 0);
    net_turn(door.rig); /* comes to rest */
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_INT(log_lines.count, 1);
    cleanup_free char *said = str_printf("%s: accept: Too many open files; trying again in a second", text);
    CHECK_STR(log_lines.last, said);
    net_wait(door.rig, 999);
    CHECK_INT(door.count, 0);
    net_wait(door.rig, 1);
    CHECK_INT(door.count, 1);
}

/* ---- TLS ------------------------------------------------------------------------------------------------------------- */

static char *tls_uri(const struct tls_world *world)
{
    return str_printf("mqtts://127.0.0.1:0?cert=%s&key=%s&ca=%s", tls_world_file(world, "server.pem"),
                      tls_world_file(world, "server.key"), tls_world_file(world, "ca.pem"));
}

/* Knocks, is let in, and shakes hands. */
static void come_in(struct door *door, struct tls_world *world, struct recorder *recorder, struct far *far)
{
    door->count = 0;
    int guest = knock_tcp(door);
    net_turn_until(door->rig, &door->count);
    CHECK(door->tls[0]);
    net_conn(door->rig, recorder, door->fds[0], door->tls[0]);
    door->count = 0;
    far_init(far, world->client_context, guest, false);
    door->rig->clock.by_hand = false;
    for (int i = 0; i < 1000 && !recorder->received; i++) {
        if (far_is_up(far) && !far->piece) {
            far_write(far, "hello", 5);
            far->piece = 65536; /* once */
        }
        (void)far_step(far);
        CHECK(loop_turn(door->rig->loop, 20) >= 0);
    }
    door->rig->clock.by_hand = true;
    CHECK_MEM(recorder->bytes, recorder->len, "hello", 5);
}

static void check_shown(const struct far *far, const struct identity *identity)
{
    X509 *shown = SSL_get1_peer_certificate(far->tls);
    CHECK(shown);
    CHECK_INT(X509_cmp(shown, identity->certificate), 0);
    X509_free(shown);
}

TEST(reloading_shows_new_certificates_to_those_who_come_and_leaves_alone_those_who_are_there)
{
    cleanup(tls_world_free_p) struct tls_world *world = tls_world_new();
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    cleanup_free char *text = tls_uri(world);
    door_must_open(&door, text);
    CHECK(strncmp(listener_name(door.listener), "mqtts://127.0.0.1:", 18) == 0);
    CHECK(!strchr(listener_name(door.listener), '?'));
    cleanup(recorder_done) struct recorder first = {0}, second = {0}, third = {0};
    cleanup(far_done) struct far first_far = {.fd = -1}, second_far = {.fd = -1}, third_far = {.fd = -1};
    come_in(&door, world, &first, &first_far);
    check_shown(&first_far, &world->server);
    CHECK_STR(conn_certificate_name(first.conn), "pump-7");

    cleanup(identity_done) struct identity fresh = identity_new(&world->ca, "gateway", 7, 1000);
    identity_save(&fresh, world->folder, "server");
    CHECK_INT(listener_reload(door.listener, &door.why), 0);
    come_in(&door, world, &second, &second_far);
    check_shown(&second_far, &fresh);
    far_write(&first_far, " again", 6);
    first.received = 0;
    (void)far_step(&first_far);
    net_turn_until(door.rig, &first.received);
    CHECK_MEM(first.bytes, first.len, "hello again", 11);

    CHECK_INT(truncate(tls_world_file(world, "server.key"), 0),
              0); /* halfway through being written, perhaps */
    CHECK_INT(listener_reload(door.listener, &door.why), -EINVAL);
    CHECK(strstr(door.why, "server.key: expected "));
    come_in(&door, world, &third, &third_far);
    check_shown(&third_far, &fresh); /* what worked goes on working */
}

TEST(a_listener_whose_certificate_will_not_do_is_not_opened)
{
    cleanup(tls_world_free_p) struct tls_world *world = tls_world_new();
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    cleanup_free char *text = tls_uri(world);
    CHECK_INT(unlink(tls_world_file(world, "ca.pem")), 0);
    CHECK_INT(door_open(&door, text), -EINVAL);
    CHECK(!door.listener);
    CHECK(strstr(door.why, "ca.pem: expected "));
}

TEST(reloading_what_has_no_certificates_is_nothing)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    cleanup_free char *text = unix_uri(&door, "");
    door_must_open(&door, text);
    CHECK_INT(listener_reload(door.listener, &door.why), 0);
}
