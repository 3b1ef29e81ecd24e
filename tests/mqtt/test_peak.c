#include "mqtt/peak.h"

#include "rig/test.h"

struct scene {
    struct clock clock;
    struct loop *loop;
    struct peak peak;
};

static void wait(struct scene *scene, int64_t ms)
{
    clock_move(&scene->clock, ms);
    (void)loop_turn(scene->loop, 0);
}

static void scene_begin(struct scene *scene)
{
    scene->clock = (struct clock){.by_hand = true, .mono = 1000};
    CHECK_INT(loop_new(&scene->loop, &scene->clock), 0);
    peak_init(&scene->peak, scene->loop);
    wait(scene, 10000); /* what the start needed */
    CHECK_INT((int64_t)scene->peak.given_back, 1);
    scene->peak.given_back = 0;
}

static void scene_done(struct scene *scene)
{
    peak_done(&scene->peak);
    scene->loop = loop_free(scene->loop);
}

static void go_to(struct scene *scene, size_t connections)
{
    size_t at = scene->peak.now;
    while (at != connections)
        peak_note(&scene->peak, at < connections ? ++at : --at);
}

TEST(memory_is_given_back_once_a_second_after_most_have_gone)
{
    cleanup(scene_done) struct scene scene;
    scene_begin(&scene);
    go_to(&scene, 1000);
    wait(&scene, 5000);
    CHECK_INT(scene.peak.given_back, 1);
    go_to(&scene, 251);
    wait(&scene, 5000);
    CHECK_INT(scene.peak.given_back, 1);
    go_to(&scene, 0);
    wait(&scene, 999);
    CHECK_INT(scene.peak.given_back, 1);
    wait(&scene, 1);
    CHECK_INT(scene.peak.given_back, 2);
    wait(&scene, 5000);
    CHECK_INT(scene.peak.given_back, 2);
    CHECK(!timer_is_running(&scene.peak.timer));
}

TEST(what_handshakes_needed_is_given_back_once_a_second_after_many_have_come)
{
    cleanup(scene_done) struct scene scene;
    scene_begin(&scene);
    go_to(&scene, 199);
    wait(&scene, 5000);
    CHECK_INT(scene.peak.given_back, 0);
    go_to(&scene, 1000);
    wait(&scene, 1000);
    CHECK_INT(scene.peak.given_back, 1);
    go_to(&scene, 1199);
    wait(&scene, 5000);
    CHECK_INT(scene.peak.given_back, 1);
    go_to(&scene, 1200);
    wait(&scene, 1000);
    CHECK_INT(scene.peak.given_back, 2);
    CHECK(!timer_is_running(&scene.peak.timer));
}

TEST(a_second_peak_counts_like_the_first)
{
    cleanup(scene_done) struct scene scene;
    scene_begin(&scene);
    for (unsigned i = 1; i <= 3; i++) {
        go_to(&scene, 800);
        go_to(&scene, 100);
        wait(&scene, 1000);
        CHECK_INT(scene.peak.given_back, i);
    }
}

TEST(a_few_that_come_and_go_are_no_peak)
{
    cleanup(scene_done) struct scene scene;
    scene_begin(&scene);
    for (int i = 0; i < 10; i++) {
        go_to(&scene, 199);
        go_to(&scene, 0);
        wait(&scene, 2000);
    }
    CHECK_INT(scene.peak.given_back, 0);
}
