#include "net/beacon.h"

#include "net/net_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* A beacon on a free port of loopback, and somebody who asks. */
struct scene {
    struct net_rig *rig;
    struct beacon *beacon;
    int asker;
    char answer[256];
};

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    cleanup(fd_close_p) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_INT(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static void scene_open(struct scene *scene)
{
    uint16_t port = free_port();
    char *why = NULL;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *scene = (struct scene){.rig = net_rig_new()};
    if (beacon_open(&scene->beacon, scene->rig->loop, "127.0.0.1", port, "plant \"1\"", &why) < 0)
        FAIL("%s", why);
    scene->asker = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK_INT(connect(scene->asker, (struct sockaddr *)&address, sizeof address), 0);
}

static void scene_done(struct scene *scene)
{
    scene->beacon = beacon_close(scene->beacon);
    fd_close_p(&scene->asker);
    scene->rig = net_rig_free(scene->rig);
}

/* What comes back; "" for nothing. Over loopback it is there at once. */
static const char *ask(struct scene *scene, const char *bytes, size_t len)
{
    CHECK_INT(send(scene->asker, bytes, len, 0), (ssize_t)len);
    net_turn(scene->rig);
    ssize_t n = recv(scene->asker, scene->answer, sizeof scene->answer - 1, 0);
    scene->answer[n > 0 ? n : 0] = '\0';
    return scene->answer;
}

TEST(who_asks_is_told_where_the_gateway_is)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    const char *answer = ask(&scene, "GHN1?A7", 7);
    CHECK(strstr(answer, "{\"gateway\":\"plant \\\"1\\\"\",\"port\":") == answer);
}

TEST(what_is_no_question_is_not_answered)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    static const char *const wrong[] = {
        "GHN1?", "GHN1?A 7", "GHN2?A7", "ghn1?A7", "GHN1?1234567890123456789012345", "x"};
    for (size_t i = 0; i < array_size(wrong); i++)
        CHECK_STR(ask(&scene, wrong[i], strlen(wrong[i])), "");
    CHECK_STR(ask(&scene, "GHN1?A7\0", 8), "");
    char long_one[300];
    memset(long_one, 'A', sizeof long_one);
    memcpy(long_one, "GHN1?", 5);
    CHECK_STR(ask(&scene, long_one, sizeof long_one), "");
    CHECK(*ask(&scene, "GHN1?123456789012345678901234", 29));
}

TEST(nobody_is_flooded_by_way_of_it)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    net_wait(scene.rig, 1000 - loop_now(scene.rig->loop) % 1000);
    unsigned answers = 0;
    for (int i = 0; i < 100; i++)
        answers += *ask(&scene, "GHN1?A7", 7) != '\0';
    CHECK_INT(answers, BEACON_ANSWERS_A_SECOND);
    net_wait(scene.rig, 1000);
    CHECK(*ask(&scene, "GHN1?A7", 7));
}

TEST(a_port_that_is_taken_is_said)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(beacon_close_p) struct beacon *first = NULL, *second = NULL;
    cleanup_free char *why = NULL;
    uint16_t port = free_port();
    CHECK_INT(beacon_open(&first, rig->loop, "127.0.0.1", port, "a", &why), 0);
    CHECK_INT(beacon_open(&second, rig->loop, "127.0.0.1", port, "b", &why), -EADDRINUSE);
    CHECK(strstr(why, "Address already in use"));
    first = beacon_close(first); /* before its loop */
}
