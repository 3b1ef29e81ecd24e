/* Which times are believed, and when. */
#include "bus/topics.h"
#include "rig/rig.h"
#include "services/timekeeper/timekeeper.h"
#include "store/folder.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE };
#define BUILT INT64_C(1750000000)
#define RIGHT INT64_C(1760000000) /* s: where the rig's clock begins */

struct world {
    struct rig *rig;
    char *folder, *file;
    struct timekeeper *keeper;
};

static struct world *world_new(void)
{
    struct world *world = mem_new(struct world);
    world->rig = rig_new();
    world->folder = folder_new();
    world->file = str_printf("%s/clock", world->folder);
    return world;
}

static struct world *world_free(struct world *world)
{
    world->keeper = timekeeper_free(world->keeper);
    world->rig = rig_free(world->rig);
    world->folder = folder_free(world->folder);
    free(world->file);
    free(world);
    return NULL;
}
define_cleanup(struct world *, world_free)

static void start_at(struct world *world, int64_t wall_s)
{
    world->rig->clock.wall = wall_s * 1000;
    rig_forget(world->rig);
    CHECK_INT(timekeeper_new(&world->keeper, world->rig->bus, world->file, BUILT), 0);
    rig_turn(world->rig);
}

static void check_said(struct world *world, size_t times, bool set)
{
    CHECK_INT((int64_t)rig_count(world->rig, TOPIC_STATUS_CLOCK), (int64_t)times);
    CHECK(strstr(rig_last(world->rig, TOPIC_STATUS_CLOCK), set ? "\"set\":true" : "\"set\":false"));
}

static int64_t seen(const struct world *world)
{
    struct stat st;
    CHECK_INT(stat(world->file, &st), 0);
    return st.st_mtim.tv_sec;
}

TEST(a_time_after_the_build_is_believed)
{
    cleanup(world_free_p) struct world *world = world_new();
    start_at(world, RIGHT);
    check_said(world, 1, true);
    CHECK(strstr(rig_last(world->rig, TOPIC_STATUS_CLOCK), "\"floor\":1750000000000"));
    CHECK_INT(seen(world), RIGHT);
}

TEST(the_time_of_1970_is_not_believed_until_it_is_set)
{
    cleanup(world_free_p) struct world *world = world_new();
    start_at(world, 30);
    check_said(world, 1, false);
    rig_wait(world->rig, INT64_C(24) * HOUR);
    check_said(world, 1, false);
    world->rig->clock.wall = RIGHT * 1000;
    timekeeper_clock_was_set(world->keeper);
    rig_turn(world->rig);
    check_said(world, 2, true);
    CHECK_INT(seen(world), RIGHT);
}

TEST(a_time_before_the_last_one_seen_is_not_believed_after_a_restart)
{
    cleanup(world_free_p) struct world *world = world_new();
    start_at(world, RIGHT);
    rig_wait(world->rig, 3 * HOUR);
    int64_t last = seen(world);
    CHECK(last >= RIGHT + 2 * 3600);
    world->keeper = timekeeper_free(world->keeper);
    start_at(world, RIGHT - 10 * 24 * 3600);
    check_said(world, 1, false);
    CHECK(seen(world) >= last); /* once more at the end, and not since */
}

TEST(a_last_time_that_was_wrong_does_not_hold_for_ever)
{
    cleanup(world_free_p) struct world *world = world_new();
    start_at(world, RIGHT + INT64_C(40) * 365 * 24 * 3600); /* somebody mistyped the year */
    world->keeper = timekeeper_free(world->keeper);
    start_at(world, RIGHT);
    check_said(world, 1, false);
    rig_wait(world->rig, 14 * MINUTE);
    check_said(world, 1, false);
    rig_wait(world->rig, 2 * MINUTE);
    check_said(world, 2, true);
    CHECK(seen(world) < RIGHT + 3600);
}

TEST(a_clock_that_is_set_back_before_the_build_is_told)
{
    cleanup(world_free_p) struct world *world = world_new();
    start_at(world, RIGHT);
    world->rig->clock.wall = 0;
    timekeeper_clock_was_set(world->keeper);
    rig_turn(world->rig);
    check_said(world, 2, false);
    world->keeper = timekeeper_free(world->keeper);
    CHECK_INT(seen(world), RIGHT); /* what is not believed is not written down */
}

TEST(without_a_file_the_build_is_the_floor)
{
    cleanup(world_free_p) struct world *world = world_new();
    free(world->file);
    world->file = str_copy("/nowhere/clock");
    start_at(world, RIGHT);
    check_said(world, 1, true);
}
