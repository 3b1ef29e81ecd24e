/* Receivers that are away while it is published, and what a disk alone would cost. */
#include "bench/batches.h"
#include "bench/programs.h"
#include "rig/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Queues through one broker, comes back to another; the generator's exit status and second line. */
static int away(const char *uri, const char *options, const char *back_to, long queued,
                char line[LINE_MAX_LEN])
{
    struct child load = load_start(uri, options, STDOUT_FILENO);

    child_line(&load, line);
    CHECK_INT(field(line, "acked"), queued);
    CHECK_INT(field(line, "unacked"), 0);
    child_say(&load, back_to);
    child_line(&load, line);
    return child_end(&load);
}

static void check_kept(const char *options)
{
    struct mosquitto mosquitto;
    char line[LINE_MAX_LEN];

    mosquitto_start(&mosquitto, "max_queued_messages 0\n");
    CHECK_INT(away(mosquitto.uri, options, mosquitto.uri, 3000, line), 0);
    CHECK_INT(field(line, "delivered"), 3000);
    CHECK_INT(field(line, "sessions_lost"), 0);
    mosquitto_end(&mosquitto);
}

/* The floor keeps nothing; Mosquitto does, as long as it lives. */
TEST(what_was_kept_for_those_who_were_away_arrives_whole)
{
    check_kept("offline --messages 3000");
}

TEST(what_was_kept_arrives_whole_with_mqtt_5_and_qos_2)
{
    check_kept("offline --messages 3000 --mqtt 5 --window 20 --qos 2");
}

TEST(what_was_not_kept_is_found_lost)
{
    struct floor floor;
    char line[LINE_MAX_LEN];

    floor_start(&floor, "");
    CHECK_INT(away(floor.uri, "offline --messages 1000", floor.uri, 1000, line), 3);
    CHECK_INT(field(line, "lost"), 1000);
    CHECK_INT(field(line, "sessions_lost"), 10);
    floor_end(&floor);
}

TEST(another_broker_may_be_come_back_to)
{
    struct floor one, other;
    char line[LINE_MAX_LEN], where[128];

    floor_start(&one, "");
    floor_start(&other, "");
    (void)snprintf(where, sizeof(where), "%s %d", other.uri, (int)other.child.pid);
    CHECK_INT(away(one.uri, "offline --clients 2 --messages 10", where, 10, line), 3);
    CHECK_INT(field(line, "lost"), 10);
    CHECK(strstr(line, "\"recovery_cpu_s\":0."));
    floor_end(&one);
    floor_end(&other);
}

TEST(nothing_is_kept_for_those_who_are_away_at_qos_0)
{
    char line[LINE_MAX_LEN];

    CHECK_INT(load_says("mqtt://127.0.0.1:1", "offline --qos 0", STDERR_FILENO, line), 2);
    CHECK(strstr(line, "QoS 0"));
}

/* ---- the disk ----------------------------------------------------------------------------------------------------- */

static void run_disk(char *const *command, char line[LINE_MAX_LEN])
{
    struct child child = child_start(command, STDOUT_FILENO);

    child_line(&child, line);
    CHECK_INT(child_end(&child), 0);
}

TEST(the_disk_is_given_what_was_synced_between_two_moments)
{
    char folder[] = FOLDER_TEMPLATE, line[LINE_MAX_LEN], file[64], path[64];
    const struct batch batch[] = {{1000000000, 100}, {2000000000, 200}, {3000000000, 400}, {4000000000, 800}};
    const uint64_t count = 4;

    CHECK(mkdtemp(folder));
    (void)snprintf(file, sizeof(file), "%s/file", folder);
    (void)snprintf(path, sizeof(path), "%s/batches", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_INT(ftruncate(fd, sizeof(struct batches)), 0);
    CHECK_INT(pwrite(fd, &count, sizeof(count), offsetof(struct batches, count)), sizeof(count));
    CHECK_INT(pwrite(fd, batch, sizeof(batch), offsetof(struct batches, batch)), sizeof(batch));
    CHECK_INT(close(fd), 0);

    char *command[] = {
        (char *)(uintptr_t)BENCH_DISK, file, (char[]){"--replay"}, path, (char[]){"--from=1.5"},
        (char[]){"--to=3.5"},          NULL};
    run_disk(command, line);
    CHECK_INT(field(line, "batches"), 2);
    CHECK_INT(field(line, "bytes"), 600);

    CHECK_INT(unlink(file), 0);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(rmdir(folder), 0);
}
