/* The load generator is a witness, so it is heard first: it must find nothing wrong with a forwarder that makes no
 * mistakes, and every single mistake of one that does.
 */
#include "bench/frame.h"
#include "bench/tally.h"
#include "rig/test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 24, LINE_MAX_LEN = 2048 };

struct child {
    pid_t pid;
    int output; /* its stdout or stderr */
};

/* `stream` of the child can be read. It ends with us, even if a failed check jumps over child_end(). */
static struct child child_start(char *const *command, int stream)
{
    int ends[2];

    CHECK_INT(pipe(ends), 0);
    pid_t parent = getpid(), pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || dup2(ends[1], stream) < 0)
            _exit(126);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)execvp(command[0], command);
        _exit(127);
    }
    (void)close(ends[1]);
    return (struct child){.pid = pid, .output = ends[0]};
}

static int child_end(struct child *child)
{
    int status;

    (void)close(child->output);
    CHECK_INT(waitpid(child->pid, &status, 0), child->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Reads until a line is complete or the child has closed its end. */
static void child_line(const struct child *child, char line[LINE_MAX_LEN])
{
    size_t n = 0;

    while (n < LINE_MAX_LEN - 1 && read(child->output, line + n, 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
}

/* Splits `text` at its spaces behind the words that are already there. */
static void add_words(char **command, char *text)
{
    size_t n = 0;

    while (command[n])
        n++;
    for (char *rest, *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        CHECK(n < ARGUMENTS_MAX);
        command[n++] = word;
    }
}

struct floor {
    struct child child;
    char line[LINE_MAX_LEN];
    const char *uri;
};

static void floor_start(struct floor *floor, const char *options)
{
    char *command[ARGUMENTS_MAX + 1] = {(char *)(uintptr_t)BENCH_FLOOR};
    char text[256];

    (void)snprintf(text, sizeof(text), "%s", options);
    add_words(command, text);
    floor->child = child_start(command, STDERR_FILENO);
    child_line(&floor->child, floor->line);
    floor->uri = strstr(floor->line, "listening on ");
    CHECK(floor->uri);
    floor->uri += strlen("listening on ");
}

static void floor_end(struct floor *floor)
{
    CHECK_INT(kill(floor->child.pid, SIGTERM), 0);
    CHECK_INT(child_end(&floor->child), 128 + SIGTERM);
}

/* Runs the generator; returns its exit status and what it says on `stream`. */
static int load_says(const char *uri, const char *options, int stream, char line[LINE_MAX_LEN])
{
    char *command[ARGUMENTS_MAX + 1] = {(char *)(uintptr_t)BENCH_LOAD};
    char text[512];

    (void)snprintf(text, sizeof(text), "%s --to %s", options, uri);
    add_words(command, text);
    struct child child = child_start(command, stream);
    child_line(&child, line);
    return child_end(&child);
}

static long field(const char *line, const char *name)
{
    char key[64];

    (void)snprintf(key, sizeof(key), "\"%s\":", name);
    const char *found = strstr(line, key);
    return found ? strtol(found + strlen(key), NULL, 10) : -1;
}

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

/* The floor has no topic tree; Mosquitto has, and listens on a Unix socket so that no port needs to be guessed. */
TEST(wildcard_filters_bring_each_message_to_its_three_receivers)
{
    static char program[] = "/usr/sbin/mosquitto";
    char folder[] = "/tmp/bench-XXXXXX", line[LINE_MAX_LEN], path[64], config[64], uri[80];

    if (access(program, X_OK) < 0)
        SKIP("the packaged Mosquitto is not installed");
    CHECK(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    (void)snprintf(config, sizeof(config), "%s/conf", folder);
    (void)snprintf(uri, sizeof(uri), "unix://%s", path);
    FILE *file = fopen(config, "we");
    CHECK(file);
    fprintf(file, "listener 0 %s\nallow_anonymous true\nlog_dest stderr\nlog_type information\n%s", path,
            geteuid() == 0 ? "user root\n" : "");
    CHECK_INT(fclose(file), 0);

    char *command[] = {program, (char[]){"-c"}, config, NULL};
    struct child broker = child_start(command, STDERR_FILENO);
    do
        child_line(&broker, line);
    while (line[0] && !strstr(line, " running"));
    check_clean(uri, "wildcards --filters 3000 --messages 1500", 3 * 1500);

    CHECK_INT(kill(broker.pid, SIGTERM), 0);
    CHECK_INT(child_end(&broker), 0);
    (void)unlink(path);
    CHECK_INT(unlink(config), 0);
    CHECK_INT(rmdir(folder), 0);
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

/* ---- parts ---- */

TEST(a_tally_tells_doubled_from_reordered)
{
    struct tally tally = {0};

    CHECK_INT(tally_add(&tally, 0), ARRIVED);
    CHECK_INT(tally_add(&tally, 2), ARRIVED);
    CHECK_INT(tally_add(&tally, 2), DOUBLED);
    CHECK_INT(tally_add(&tally, 1), REORDERED);
    CHECK_INT(tally_add(&tally, 1), DOUBLED);
    CHECK_INT(tally_add(&tally, 100000), ARRIVED);
    CHECK_INT(tally_add(&tally, 99999), REORDERED);
    CHECK_INT(tally.distinct, 5);
    CHECK_INT(tally.next, 100001);
    tally_done(&tally);
}

TEST(percentiles_are_right_to_three_percent)
{
    static struct delays delays;

    for (uint64_t us = 1; us <= 1000; us++)
        delays_add(&delays, us * 1000);
    CHECK(delays_us(&delays, 50) > 485 && delays_us(&delays, 50) < 515);
    CHECK(delays_us(&delays, 99) > 960 && delays_us(&delays, 99) < 1020);
    CHECK_INT(delays_us(&delays, 100), 1000);
}

TEST(a_frame_is_read_when_it_is_complete_and_not_before)
{
    struct bytes b = {0};
    struct frame frame;
    struct publish m;

    memset(put_publish(&b, MQTT_5, 1, "a/b", 7, 300), 'x', 300);
    for (size_t n = 0; n < b.len; n++)
        CHECK_INT(frame_read(&frame, b.data, n), 0);
    CHECK_INT(frame_read(&frame, b.data, b.len), 1);
    CHECK_INT(frame.size, b.len);
    CHECK_INT(frame_publish(&m, &frame, MQTT_5), 0);
    CHECK_MEM(m.topic, m.topic_len, "a/b", 3);
    CHECK_INT(m.id, 7);
    CHECK_INT(m.payload_len, 300);
    free(b.data);
}

TEST(a_length_of_five_bytes_is_not_mqtt)
{
    static const uint8_t endless[] = {0x30, 0xff, 0xff, 0xff, 0xff};
    struct frame frame;

    CHECK_INT(frame_read(&frame, endless, sizeof(endless)), -EPROTO);
}

TEST(the_receive_maximum_is_found_among_other_properties)
{
    static const uint8_t bytes[] = {0x20, 22,  0,    0, 19, 0x24, 1,   0x26, 0,    1,    'k',  0,
                                    1,    'v', 0x12, 0, 2,  'i',  'd', 0x21, 0x01, 0x02, 0x25, 1};
    struct frame frame;
    struct connack connack;

    CHECK_INT(frame_read(&frame, bytes, sizeof(bytes)), 1);
    CHECK_INT(frame_connack(&connack, &frame, MQTT_5), 0);
    CHECK_INT(connack.receive_maximum, 0x0102);
}
