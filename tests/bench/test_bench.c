/* The load generator is a witness, so it is heard first: it must find nothing wrong with a forwarder that makes no
 * mistakes, and every single mistake of one that does.
 */
#include "bench/programs.h"
#include "rig/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void check_clean(const char *uri, const char *options, long delivered)
{
    char line[LINE_MAX_LEN];

    CHECK_INT(load_says(uri, options, STDOUT_FILENO, line), 0);
    CHECK_INT(field(line, "expected"), delivered);
    CHECK_INT(field(line, "delivered"), delivered);
    CHECK_INT(field(line, "lost"), 0);
    CHECK_INT(field(line, "doubled"), 0);
    CHECK_INT(field(line, "reordered"), 0);
    CHECK_INT(field(line, "astray"), 0);
    CHECK_INT(field(line, "damaged"), 0);
    CHECK_INT(field(line, "unacked"), 0);
}

static void check_clean_through_floor(const char *options, long delivered)
{
    struct floor floor;

    floor_start(&floor, "");
    check_clean(floor.uri, options, delivered);
    floor_end(&floor);
}

TEST(a_fan_in_arrives_whole)
{
    check_clean_through_floor("fan-in --messages 4000", 4000);
}

TEST(a_fan_in_with_one_message_outstanding_arrives_whole)
{
    check_clean_through_floor("fan-in --clients 200 --window 1 --messages 4000", 4000);
}

TEST(a_fan_out_arrives_whole_at_every_receiver)
{
    check_clean_through_floor("fan-out --messages 100", 100 * 100);
}

TEST(pairs_arrive_whole_with_qos_0)
{
    check_clean_through_floor("pairs --messages 4000", 4000);
}

TEST(pairs_arrive_whole_with_qos_1)
{
    check_clean_through_floor("pairs --qos 1 --messages 4000", 4000);
}

TEST(pairs_arrive_whole_with_qos_2)
{
    check_clean_through_floor("pairs --qos 2 --messages 4000", 4000);
}

TEST(pairs_arrive_whole_with_mqtt_5)
{
    check_clean_through_floor("pairs --mqtt 5 --qos 1 --messages 4000", 4000);
    check_clean_through_floor("pairs --mqtt 5 --qos 2 --messages 4000", 4000);
}

TEST(what_nobody_receives_is_counted_by_its_acknowledgements)
{
    struct floor floor;
    char line[LINE_MAX_LEN];

    floor_start(&floor, "");
    CHECK_INT(load_says(floor.uri, "append --messages 70000", STDOUT_FILENO, line), 0);
    CHECK_INT(field(line, "acked"), 70000);
    CHECK_INT(field(line, "unacked"), 0);
    floor_end(&floor);
}

TEST(packet_ids_are_used_again_after_65535_messages)
{
    check_clean_through_floor("pairs --clients 1 --window 1000 --size 16 --qos 1 --messages 70000", 70000);
}

TEST(messages_larger_than_the_socket_buffer_takes_at_once_arrive_whole)
{
    check_clean_through_floor("pairs --clients 2 --window 100 --size 65536 --messages 500", 500);
}

TEST(an_open_loop_sends_by_the_clock_and_arrives_whole)
{
    char line[LINE_MAX_LEN];
    struct floor floor;

    floor_start(&floor, "");
    CHECK_INT(load_says(floor.uri, "open-loop --rate 20000 --messages 2000", STDOUT_FILENO, line), 0);
    CHECK_INT(field(line, "delivered"), 2000);
    CHECK(field(line, "max_us") > 0);
    floor_end(&floor);
}

TEST(round_trips_come_back_whole)
{
    check_clean_through_floor("round-trip --clients 5 --rate 10000 --messages 1000", 1000);
    check_clean_through_floor("round-trip --clients 5 --qos 2 --rate 10000 --messages 1000", 1000);
}

TEST(idle_connections_are_opened_and_measured)
{
    char line[LINE_MAX_LEN], options[128];
    struct floor floor;

    floor_start(&floor, "");
    (void)snprintf(options, sizeof(options), "idle --clients 300 --filters 600 --seconds 0.05 --pid %d",
                   (int)floor.child.pid);
    CHECK_INT(load_says(floor.uri, options, STDOUT_FILENO, line), 0);
    CHECK_INT(field(line, "connections"), 300);
    CHECK_INT(field(line, "filters"), 600);
    CHECK(field(line, "pss_before") > 0);
    CHECK(field(line, "bytes_per_connection") > 0);
    floor_end(&floor);
}

TEST(a_unix_socket_carries_it_too)
{
    char folder[] = "/tmp/bench-XXXXXX", options[128], path[64];
    struct floor floor;

    CHECK(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    (void)snprintf(options, sizeof(options), "--listen unix://%s", path);
    floor_start(&floor, options);
    check_clean(floor.uri, "fan-out --messages 100", 100 * 100);
    floor_end(&floor);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(rmdir(folder), 0);
}

TEST(tls_carries_it_too)
{
    char folder[] = FOLDER_TEMPLATE, options[128];
    struct floor floor;

    certificates_make(folder);
    (void)snprintf(options, sizeof(options), "--listen mqtts://127.0.0.1:0 --tls %s", folder);
    floor_start(&floor, options);
    (void)snprintf(options, sizeof(options), "fan-in --messages 4000 --tls %s", folder);
    check_clean(floor.uri, options, 4000);
    (void)snprintf(options, sizeof(options),
                   "pairs --clients 2 --window 100 --size 65536 --messages 500 --tls %s", folder);
    check_clean(floor.uri, options, 500);
    floor_end(&floor);
    certificates_remove(folder);
}

static long resumed_in_a_storm(const char *uri, const char *folder, const char *resume)
{
    char pid[16], line[LINE_MAX_LEN];
    const char *const command[] = {BENCH_STORM, "--to", uri,        "--tls", folder, "--pid", pid,
                                   "--clients", "20",   "--rounds", "3",     resume, NULL};

    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    struct child storm = child_start((char *const *)(uintptr_t)command, STDOUT_FILENO);
    child_line(&storm, line);
    child_say(&storm, "go\n");
    child_line(&storm, line);
    CHECK_INT(child_end(&storm), 0);
    return field(line, "resumed");
}

TEST(a_storm_comes_back_with_tickets_or_without)
{
    char folder[] = FOLDER_TEMPLATE, options[128];
    struct floor floor;

    certificates_make(folder);
    (void)snprintf(options, sizeof(options), "--listen mqtts://127.0.0.1:0 --tls %s", folder);
    floor_start(&floor, options);
    CHECK_INT(resumed_in_a_storm(floor.uri, folder, "--resume"), 60);
    CHECK_INT(resumed_in_a_storm(floor.uri, folder, NULL), 0);
    floor_end(&floor);
    certificates_remove(folder);
}

TEST(a_server_by_another_authority_is_not_talked_to)
{
    char folder[] = FOLDER_TEMPLATE, other[] = FOLDER_TEMPLATE, options[128], line[LINE_MAX_LEN];
    struct floor floor;

    certificates_make(folder);
    certificates_make(other);
    (void)snprintf(options, sizeof(options), "--listen mqtts://127.0.0.1:0 --tls %s", folder);
    floor_start(&floor, options);
    (void)snprintf(options, sizeof(options), "fan-in --messages 10 --tls %s", other);
    CHECK_INT(load_says(floor.uri, options, STDERR_FILENO, line), 1);
    CHECK(strstr(line, "certificate verify failed"));
    floor_end(&floor);
    certificates_remove(folder);
    certificates_remove(other);
}

/* The floor has no topic tree; Mosquitto has. */
TEST(wildcard_filters_bring_each_message_to_its_three_receivers)
{
    struct mosquitto mosquitto;

    mosquitto_start(&mosquitto, "");
    check_clean(mosquitto.uri, "wildcards --filters 3000 --messages 1500", 3 * 1500);
    mosquitto_end(&mosquitto);
}

/* ---- faults ---- */

struct faults {
    long lost, doubled, reordered;
};

/* One publisher sends 1000 messages; every seventh suffers, which are 142. */
static void check_found(const char *fault, const char *options, struct faults expected)
{
    char line[LINE_MAX_LEN];
    struct floor floor;

    floor_start(&floor, fault);
    CHECK_INT(load_says(floor.uri, options, STDOUT_FILENO, line), 3);
    CHECK_INT(field(line, "sent"), 1000);
    CHECK_INT(field(line, "lost"), expected.lost);
    CHECK_INT(field(line, "doubled"), expected.doubled);
    CHECK_INT(field(line, "reordered"), expected.reordered);
    floor_end(&floor);
}

TEST(lost_messages_are_found)
{
    check_found("--drop-every 7", "pairs --clients 1 --messages 1000", (struct faults){.lost = 142});
    check_found("--drop-every 7", "pairs --clients 1 --qos 1 --messages 1000", (struct faults){.lost = 142});
    check_found("--drop-every 7", "fan-out --clients 10 --messages 1000", (struct faults){.lost = 1420});
}

TEST(doubled_messages_are_found)
{
    check_found("--double-every 7", "pairs --clients 1 --messages 1000", (struct faults){.doubled = 142});
    check_found("--double-every 7", "fan-out --clients 10 --messages 1000", (struct faults){.doubled = 1420});
}

TEST(the_last_message_doubled_is_found)
{
    check_found("--double-every 1000", "pairs --clients 1 --messages 1000", (struct faults){.doubled = 1});
}

TEST(reordered_messages_are_found)
{
    check_found("--swap-every 7", "pairs --clients 1 --messages 1000", (struct faults){.reordered = 142});
    check_found("--swap-every 7", "fan-in --clients 1 --messages 1000", (struct faults){.reordered = 142});
}

TEST(a_broker_that_is_not_there_is_said_to_be_so)
{
    char line[LINE_MAX_LEN];

    CHECK_INT(load_says("unix:///nowhere", "pairs", STDERR_FILENO, line), 1);
    CHECK(strstr(line, "connect to unix:///nowhere: No such file or directory"));
}

TEST(a_broker_that_does_not_answer_is_given_up)
{
    char line[LINE_MAX_LEN];
    struct floor floor;

    floor_start(&floor, "");
    CHECK_INT(kill(floor.child.pid, SIGSTOP), 0);
    CHECK_INT(load_says(floor.uri, "pairs --limit 0.2", STDERR_FILENO, line), 1);
    CHECK(strstr(line, "time limit"));
    CHECK(strstr(line, "connecting"));
    CHECK_INT(kill(floor.child.pid, SIGCONT), 0);
    floor_end(&floor);
}
