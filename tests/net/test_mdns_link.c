#include "net/mdns_link.h"

#include "net/net_rig.h"

#include <arpa/inet.h>
#include <stdio.h>

/* One link, and what it sends. */
struct scene {
    struct net_rig *rig;
    struct mdns_user user;
    struct mdns_service service;
    struct mdns_link link;
    struct mdns_writer last;
    unsigned probes, news, goodbyes, alone, disputes;
    struct sockaddr_storage asker;
};

static void on_send(struct mdns_user *user, struct mdns_link *link, const struct mdns_writer *message,
                    const struct sockaddr_storage *to)
{
    (void)link;
    struct scene *scene = container_of(user, struct scene, user);
    struct mdns_message sent;
    struct mdns_item item;
    scene->last = *message;
    CHECK(mdns_message_open(&sent, message->bytes, message->len) && mdns_message_next(&sent, &item));
    if (to)
        scene->alone++;
    else if (!(sent.flags & MDNS_RESPONSE))
        scene->probes++;
    else if (item.ttl_s)
        scene->news++;
    else
        scene->goodbyes++;
}

static void on_disputed(struct mdns_user *user, struct mdns_link *link)
{
    struct scene *scene = container_of(user, struct scene, user);
    scene->disputes++;
    mdns_service_name(&scene->service, "a", 1 + scene->disputes);
    mdns_link_start(link, 0);
}

static void scene_open(struct scene *scene)
{
    *scene = (struct scene){
        .rig = net_rig_new(), .user = {.send = on_send, .disputed = on_disputed}, .service.port = 8884};
    mdns_service_name(&scene->service, "a", 1);
    mdns_service_text(&scene->service, NULL);
    struct sockaddr_in *asker = (void *)&scene->asker;
    *asker = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(MDNS_PORT), .sin_addr.s_addr = htonl(0x0a000009)};
    mdns_link_init(&scene->link, scene->rig->loop, &scene->user, &scene->service);
    scene->link.addresses.in_count = 1;
    scene->link.addresses.in[0].s_addr = htonl(0x0a000007);
    mdns_link_start(&scene->link, 0);
}

static void scene_done(struct scene *scene)
{
    mdns_link_done(&scene->link);
    scene->rig = net_rig_free(scene->rig);
}

/* In steps, as timers are started by timers. */
static void wait_ms(struct scene *scene, int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 10)
        net_wait(scene->rig, 10);
}

static void make_ready(struct scene *scene)
{
    wait_ms(scene, 4000);
    CHECK_INT(scene->link.state, MDNS_READY);
    CHECK_INT(scene->probes, 3);
    CHECK_INT(scene->news, 2);
    scene->news = scene->probes = 0;
}

static void hear(struct scene *scene, const struct mdns_writer *message)
{
    mdns_link_hear(&scene->link, message->bytes, message->len, &scene->asker);
    net_wait(scene->rig, 1);
}

static void ask(struct scene *scene, const char *name, uint16_t type, unsigned flags, bool alone)
{
    struct mdns_writer message;
    const struct mdns_name asked = mdns_name_of(name);
    mdns_write_head(&message, 0, (uint16_t)flags);
    CHECK(mdns_write_question(&message, &asked, type, (uint16_t)(MDNS_IN | (alone ? MDNS_FLAG : 0))));
    hear(scene, &message);
}

/* Somebody says that our host's name has another address. */
static void dispute(struct scene *scene)
{
    struct mdns_writer message;
    mdns_write_head(&message, 0, MDNS_RESPONSE);
    CHECK(mdns_write_record(&message, MDNS_ANSWER, &scene->service.host, MDNS_A, MDNS_IN, 120, "\x0a\0\0\x09",
                            4));
    hear(scene, &message);
}

#define TYPE "_gatehouse._tcp.local"
#define HOST "gatehouse-a.local"

TEST(a_name_is_asked_for_three_times_and_announced_twice)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    wait_ms(&scene, 600);
    CHECK_INT(scene.news, 0);
    make_ready(&scene);
}

TEST(when_nobody_asks_nothing_is_done)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    make_ready(&scene);
    CHECK(!timer_is_running(&scene.link.turn) && !timer_is_running(&scene.link.answer));
}

TEST(what_all_hear_is_said_once_a_second)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    make_ready(&scene);
    for (int i = 0; i < 200; i++) {
        ask(&scene, TYPE, MDNS_PTR, 0, false);
        wait_ms(&scene, 10);
    }
    wait_ms(&scene, 1500);
    CHECK(scene.news >= 3 && scene.news <= 4);
}

TEST(a_name_of_ours_alone_is_answered_at_once)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    make_ready(&scene);
    ask(&scene, HOST, MDNS_A, 0, false);
    CHECK_INT(scene.news, 1);
}

TEST(who_wants_it_alone_gets_it_alone_and_not_too_often)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    make_ready(&scene);
    net_wait(scene.rig, 1000 - loop_now(scene.rig->loop) % 1000);
    for (int i = 0; i < 100; i++)
        ask(&scene, TYPE, MDNS_PTR, 0, true);
    CHECK_INT(scene.alone, MDNS_UNICAST_A_SECOND);
    wait_ms(&scene, 1000);
    CHECK_INT(scene.news, 0);
    ((struct sockaddr_in *)(void *)&scene.asker)->sin_port = htons(50000); /* as one asks a name server */
    ask(&scene, TYPE, MDNS_PTR, 0, false);
    CHECK_INT(scene.alone, MDNS_UNICAST_A_SECOND + 1);
}

TEST(what_an_asker_knows_may_come_in_the_next_message)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    make_ready(&scene);
    ask(&scene, TYPE, MDNS_PTR, MDNS_TRUNCATED, false);
    wait_ms(&scene, 300);
    CHECK_INT(scene.news, 0);
    struct mdns_writer message;
    mdns_write_head(&message, 0, 0);
    CHECK(mdns_write_record(&message, MDNS_ANSWER, &scene.service.type, MDNS_PTR, MDNS_IN, 4500,
                            scene.service.instance.bytes, scene.service.instance.len));
    hear(&scene, &message);
    wait_ms(&scene, 1000);
    CHECK_INT(scene.news, 0);
    ask(&scene, TYPE, MDNS_PTR, MDNS_TRUNCATED, false);
    wait_ms(&scene, 510);
    CHECK_INT(scene.news, 1);
}

TEST(who_has_the_name_first_keeps_it)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    wait_ms(&scene, 300);
    dispute(&scene);
    CHECK_INT(scene.disputes, 1);
    scene.probes = 0;
    make_ready(&scene);
    ask(&scene, "gatehouse-a-2.local", MDNS_A, 0, false);
    CHECK_INT(scene.news, 1);
}

TEST(a_name_that_is_disputed_later_is_asked_for_again)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    make_ready(&scene);
    dispute(&scene);
    CHECK_INT(scene.disputes, 0);
    ask(&scene, HOST, MDNS_A, 0, false);
    CHECK_INT(scene.news, 0);
    make_ready(&scene); /* he said no more */
}

TEST(a_dispute_from_another_port_is_none)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    make_ready(&scene);
    ((struct sockaddr_in *)(void *)&scene.asker)->sin_port = htons(50000);
    dispute(&scene);
    CHECK_INT(scene.link.state, MDNS_READY);
}

TEST(who_probes_at_the_same_moment_may_go_first)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    wait_ms(&scene, 600);
    struct mdns_service other = scene.service;
    const struct mdns_addresses theirs = {.in = {{htonl(0x0a000009)}}, .in_count = 1};
    struct mdns_writer message;
    mdns_service_probe(&other, &theirs, &message);
    hear(&scene, &message);
    scene.probes = 0;
    wait_ms(&scene, 900);
    CHECK_INT(scene.probes, 0);
    make_ready(&scene);
}

TEST(at_the_end_it_says_goodbye)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    mdns_link_goodbye(&scene.link);
    CHECK_INT(scene.goodbyes, 0); /* it has not said anything yet */
    make_ready(&scene);
    mdns_link_goodbye(&scene.link);
    CHECK_INT(scene.goodbyes, 1);
}

TEST(what_has_changed_is_announced_again)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    make_ready(&scene);
    mdns_service_text(&scene.service, "00ff");
    mdns_link_announce(&scene.link);
    wait_ms(&scene, 3000);
    CHECK_INT(scene.news, 2);
}
