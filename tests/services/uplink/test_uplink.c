/* Uplinks against the packaged Mosquitto. */
#include "services/uplink/uplink_rig.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPEN "allow_anonymous true\n"
#define NEEDS_MOSQUITTO()                                                                                    \
    do {                                                                                                     \
        if (!mosquitto_exists())                                                                             \
            SKIP("mosquitto is not installed");                                                              \
    } while (0)

static struct uplink_rig *rig_up(struct uplink_options options)
{
    struct uplink_rig *rig = uplink_rig_new(OPEN);
    mosquitto_start(&rig->broker);
    uplink_rig_open(rig, options);
    UNTIL(&rig->cloud, uplink_rig_is(rig, "up"));
    return rig;
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

TEST(messages_arrive_with_qos_1_and_are_settled)
{
    NEEDS_MOSQUITTO();
    static const int protocols[] = {4, 5};
    for (size_t p = 0; p < array_size(protocols); p++) {
        cleanup(uplink_rig_free_p) struct uplink_rig *rig =
            rig_up((struct uplink_options){.protocol = protocols[p]});
        CHECK_STR(rig->states, "connecting up ");
        uplink_rig_send(rig, 300);
        UNTIL(&rig->cloud, rig->settled_count == 300);
        UNTIL(&rig->cloud, uplink_rig_received(rig, 299));
        for (unsigned i = 0; i < 300; i++) {
            CHECK_INT(rig->settled[i], 0);
            CHECK_INT(uplink_rig_received(rig, i), 1);
        }
        CHECK(strstr(rig->broker.log, "(d0, q1, r0, "));
        CHECK(!strstr(rig->broker.log, "(d0, q0, r0, "));
    }
}

TEST(qos_0_and_the_retain_flag_stay_and_qos_2_becomes_1)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = rig_up((struct uplink_options){0});
    uplink_rig_publish(rig, "zero", 0, false);
    uplink_rig_publish(rig, "one", 1, true);
    uplink_rig_publish(rig, "two", 2, false);
    UNTIL(&rig->cloud, rig->settled_count == 3 && mosquitto_said(&rig->broker, "'two'"));
    CHECK(strstr(rig->broker.log, "(d0, q0, r0, m0, 'zero'"));
    CHECK(strstr(rig->broker.log, "(d0, q1, r1, m1, 'one'"));
    CHECK(strstr(rig->broker.log, "(d0, q1, r0, m2, 'two'"));
}

TEST(a_receipt_waits_for_the_broker)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = rig_up((struct uplink_options){0});
    CHECK_INT(kill(rig->broker.pid, SIGSTOP), 0);
    uplink_rig_send(rig, 1);
    for (int turns = 0; turns < 20; turns++)
        cloud_rig_turn(&rig->cloud, clock_mono(&cloud_rig_clock), "", __FILE__, __LINE__);
    CHECK_INT(rig->settled[0], UNSETTLED);
    CHECK_INT(kill(rig->broker.pid, SIGCONT), 0);
    UNTIL(&rig->cloud, rig->settled[0] == 0);
}

TEST(without_a_topic_there_is_nothing_to_send)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = rig_up((struct uplink_options){0});
    uplink_rig_publish(rig, "", 1, false);
    UNTIL(&rig->cloud, rig->settled_count == 1);
    CHECK_INT(rig->settled[0], 0x90);
}

TEST(more_than_fits_is_refused_and_the_rest_arrives)
{
    enum { FITS = 64 + 1000, TOO_MANY = UPLINK_RIG_MESSAGES };
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = rig_up((struct uplink_options){.protocol = 4});
    CHECK_INT(kill(rig->broker.pid, SIGSTOP), 0);
    uplink_rig_send(rig, TOO_MANY); /* in one turn */
    cloud_rig_turn(&rig->cloud, clock_mono(&cloud_rig_clock), "", __FILE__, __LINE__);
    CHECK_INT(kill(rig->broker.pid, SIGCONT), 0);
    UNTIL(&rig->cloud, rig->settled_count == TOO_MANY);
    for (unsigned i = 0; i < TOO_MANY; i++)
        CHECK_INT(rig->settled[i], i < FITS ? 0 : 0x97);
}

/* ---- a broker that goes and comes -------------------------------------------------------------------------------- */

TEST(while_there_is_no_broker_messages_are_refused_and_it_is_tried_again)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = uplink_rig_new(OPEN);
    uplink_rig_open(rig, (struct uplink_options){0});
    UNTIL(&rig->cloud, uplink_rig_is(rig, "down"));
    CHECK(strstr(rig->last, "\"reason\":\"cannot connect: "));
    CHECK_INT(cloud_rig_logged(&rig->cloud, "uplink cloud: cannot connect: "), 1);
    uplink_rig_send(rig, 3);
    UNTIL(&rig->cloud, rig->settled_count == 3);
    CHECK_INT(rig->settled[0], NOT_CONNECTED);
    mosquitto_start(&rig->broker);
    UNTIL(&rig->cloud, uplink_rig_is(rig, "up"));
    CHECK_INT(cloud_rig_logged(&rig->cloud, "uplink cloud: cannot connect: "), 1);
    CHECK_INT(cloud_rig_logged(&rig->cloud, "uplink cloud: connected to mqtt://127.0.0.1:"), 1);
}

TEST(a_broker_that_was_killed_and_started_again_is_connected_again)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = rig_up((struct uplink_options){0});
    for (unsigned round = 0; round < 3; round++) {
        rig->states[0] = '\0';
        mosquitto_end(&rig->broker, round % 2 ? SIGTERM : SIGKILL);
        UNTIL(&rig->cloud, uplink_rig_is(rig, "down"));
        mosquitto_start(&rig->broker);
        UNTIL(&rig->cloud, uplink_rig_is(rig, "up"));
        unsigned i = rig->sent;
        uplink_rig_send(rig, 1);
        UNTIL(&rig->cloud, rig->settled[i] != UNSETTLED);
        CHECK_INT(rig->settled[i], 0);
        CHECK_INT(uplink_rig_received(rig, i), 1);
    }
}

TEST(what_was_under_way_when_the_broker_died_is_refused_not_forgotten)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = rig_up((struct uplink_options){0});
    CHECK_INT(kill(rig->broker.pid, SIGSTOP), 0);
    uplink_rig_send(rig, 200);
    cloud_rig_turn(&rig->cloud, clock_mono(&cloud_rig_clock), "", __FILE__, __LINE__);
    mosquitto_end(&rig->broker, SIGKILL);
    UNTIL(&rig->cloud, rig->settled_count == 200);
    for (unsigned i = 0; i < 200; i++)
        CHECK_INT(rig->settled[i], NOT_CONNECTED);
    CHECK_STR(rig->states, "connecting up down ");
}

TEST(a_reason_that_changes_is_logged_and_said)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = uplink_rig_new("allow_anonymous false\n");
    uplink_rig_open(rig, (struct uplink_options){0});
    UNTIL(&rig->cloud, strstr(rig->last, "cannot connect: "));
    mosquitto_start(&rig->broker);
    UNTIL(&rig->cloud, strstr(rig->last, "the broker refused: not authorized") ||
                           strstr(rig->last, "the broker refused: Not authorized"));
    CHECK_INT(cloud_rig_logged(&rig->cloud, "uplink cloud: the broker refused: "), 1);
    CHECK_STR(rig->states, "connecting down down ");
}

/* ---- who may --------------------------------------------------------------------------------------------------- */

static void make_passwords(const char *path)
{
    static const char *const places[] = {"/usr/bin/mosquitto_passwd", "/usr/local/bin/mosquitto_passwd"};
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (size_t i = 0; i < array_size(places); i++)
            (void)execl(places[i], "mosquitto_passwd", "-b", "-c", path, "plant", "secret", (char *)NULL);
        _exit(1);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(wrong_credentials_are_told_and_right_ones_let_in)
{
    NEEDS_MOSQUITTO();
    char file[64] = "/tmp/gatehouse-passwd-XXXXXX";
    int fd = mkstemp(file);
    CHECK(fd >= 0);
    (void)close(fd);
    make_passwords(file);
    cleanup_free char *configuration = str_printf("allow_anonymous false\npassword_file %s\n", file);
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = uplink_rig_new(configuration);
    mosquitto_start(&rig->broker);
    (void)unlink(file);

    static const struct {
        int protocol;
        const char *username, *password, *reason;
    } wrong[] = {
        {4, "plant", "guess", "the broker refused: not authorized"},
        {4, NULL, NULL, "the broker refused: not authorized"},
        {5, "plant", "guess", "the broker refused: Not authorized"},
        {5, "nobody", "secret", "the broker refused: Not authorized"},
    };
    for (size_t i = 0; i < array_size(wrong); i++) {
        uplink_rig_open(rig, (struct uplink_options){.protocol = wrong[i].protocol,
                                                     .username = wrong[i].username,
                                                     .password = wrong[i].password});
        UNTIL(&rig->cloud, strstr(rig->last, wrong[i].reason));
        CHECK(uplink_rig_is(rig, "down"));
        CHECK(cloud_rig_logged(&rig->cloud, wrong[i].reason) >= 1);
        uplink_rig_close(rig);
        rig->last[0] = '\0';
    }
    CHECK(!strstr(rig->states, "up"));
    uplink_rig_open(rig, (struct uplink_options){.username = "plant", .password = "secret"});
    UNTIL(&rig->cloud, uplink_rig_is(rig, "up"));
}

/* ---- commands and status ----------------------------------------------------------------------------------------- */

TEST(the_status_is_retained_and_says_how_the_uplink_is)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = rig_up((struct uplink_options){0});
    struct subscription late = {.subscriber = &rig->listener, .qos = 1};
    rig->last[0] = '\0';
    bus_subscribe(rig->bus, &late, "$gatehouse/status/cloud/+", strlen("$gatehouse/status/cloud/+"));
    bus_send_retained(rig->bus, &late);
    bus_unsubscribe(rig->bus, &late);
    cleanup_free char *begin = str_printf(
        "{\"name\":\"cloud\",\"uri\":\"%s\",\"kind\":\"mqtt\",\"state\":\"up\",\"since\":", rig->uri);
    CHECK(strncmp(rig->last, begin, strlen(begin)) == 0);
    CHECK(strstr(
        rig->last,
        ",\"reason\":null,\"sent\":0,\"failed\":0,\"refused\":0,\"lastRefusal\":null,\"bytes\":0,\"inFlight\":0,"
        "\"lastSuccess\":null,\"window\":20,\"received\":0,\"lost\":0,\"looped\":0,\"subscribed\":[]}"));
}

TEST(the_status_says_how_many_may_be_under_way_as_configured_and_as_the_broker_allows)
{
    NEEDS_MOSQUITTO();
    static const struct {
        unsigned asked, allowed, window;
    } rows[] = {{300, 0, 300}, {300, 150, 150}, {0, 0, 64}, {5, 20, 5}};
    for (size_t i = 0; i < array_size(rows); i++) {
        cleanup_free char *configuration =
            str_printf("allow_anonymous true\nmax_inflight_messages %u\n", rows[i].allowed);
        cleanup_free char *window = str_printf("\"window\":%u,", rows[i].window);
        cleanup(uplink_rig_free_p) struct uplink_rig *rig = uplink_rig_new(configuration);
        mosquitto_start(&rig->broker);
        uplink_rig_open(rig, (struct uplink_options){.window = rows[i].asked});
        UNTIL(&rig->cloud, uplink_rig_is(rig, "up"));
        CHECK(strstr(rig->last, window));
    }
}

TEST(cutting_disconnects_until_it_is_restored)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = rig_up((struct uplink_options){0});
    CHECK_INT(kill(rig->broker.pid, SIGSTOP), 0);
    uplink_rig_send(rig, 10); /* under way when it is cut */
    const char *answer = uplink_rig_ask(rig, "$gatehouse/ctl/uplink/cut", "{\"name\":\"cloud\"}");
    CHECK(strstr(answer, "\"state\":\"down\"") && strstr(answer, "\"reason\":\"cut on request\""));
    UNTIL(&rig->cloud, rig->settled_count == 10);
    for (unsigned i = 0; i < 10; i++)
        CHECK_INT(rig->settled[i], NOT_CONNECTED);
    CHECK_INT(kill(rig->broker.pid, SIGCONT), 0);
    CHECK_INT(cloud_rig_logged(&rig->cloud, "uplink cloud: cut on request"), 1);

    UNTIL(&rig->cloud, mosquitto_said(&rig->broker, "Client plant-1 ") >= 1); /* disconnected or closed */
    uplink_rig_send(rig, 1);
    UNTIL(&rig->cloud, rig->settled_count == 11);
    CHECK_INT(rig->settled[10], NOT_CONNECTED);
    CHECK_STR(rig->states, "connecting up down ");

    answer = uplink_rig_ask(rig, "$gatehouse/ctl/uplink/restore", "{\"name\":\"cloud\"}");
    CHECK(strstr(answer, "\"state\":\"connecting\""));
    UNTIL(&rig->cloud, uplink_rig_is(rig, "up"));
    uplink_rig_send(rig, 1);
    UNTIL(&rig->cloud, rig->settled_count == 12);
    CHECK_INT(rig->settled[11], 0);
}

TEST(restoring_at_once_after_cutting_connects_again)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = rig_up((struct uplink_options){0});
    (void)uplink_rig_ask(rig, "$gatehouse/ctl/uplink/cut", "{\"name\":\"cloud\"}");
    (void)uplink_rig_ask(rig, "$gatehouse/ctl/uplink/restore", "{\"name\":\"cloud\"}");
    UNTIL(&rig->cloud, uplink_rig_is(rig, "up"));
    CHECK_STR(rig->states, "connecting up down connecting up ");
    const char *answer = uplink_rig_ask(rig, "$gatehouse/ctl/uplink/restore", "{\"name\":\"cloud\"}");
    CHECK(strstr(answer, "\"state\":\"up\"")); /* which it is */
}

TEST(the_list_counts_what_was_sent_and_what_was_not)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = rig_up((struct uplink_options){0});
    uplink_rig_send(rig, 7);
    uplink_rig_publish(rig, "", 1, false);
    UNTIL(&rig->cloud, rig->settled_count == 8);
    const char *answer = uplink_rig_ask(rig, "$gatehouse/ctl/uplink/list", "");
    CHECK(strncmp(answer, "{\"uplinks\":[{\"name\":\"cloud\",", 28) == 0);
    CHECK(strstr(
        answer,
        "\"sent\":7,\"failed\":1,\"refused\":1,\"lastRefusal\":\"it has no topic\",\"bytes\":7,\"inFlight\":0,"
        "\"lastSuccess\":1"));
    CHECK(strstr(answer, "\"received\":0,\"lost\":0,\"looped\":0,\"subscribed\":[]}]}"));
}

TEST(a_command_for_nobody_is_refused)
{
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = uplink_rig_new(OPEN);
    uplink_rig_open(rig, (struct uplink_options){0});
    CHECK(strstr(uplink_rig_ask(rig, "$gatehouse/ctl/uplink/cut", "{\"name\":\"moon\"}"), "\"code\":404"));
    CHECK(strstr(uplink_rig_ask(rig, "$gatehouse/ctl/uplink/cut", "{}"), "\"code\":400"));
    CHECK(strstr(uplink_rig_ask(rig, "$gatehouse/ctl/uplink/restore", "moon"), "\"code\":400"));
    char large[2000] = "{\"name\":\"cloud\",\"more\":\"";
    memset(large + strlen(large), 'x', 1500);
    memcpy(large + strlen(large), "\"}", 3);
    CHECK(strstr(uplink_rig_ask(rig, "$gatehouse/ctl/uplink/cut", large), "\"code\":400"));
    CHECK(!strstr(rig->last, "cut on request"));
}

TEST(stopping_says_down_and_settles_what_is_under_way)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = rig_up((struct uplink_options){0});
    CHECK_INT(kill(rig->broker.pid, SIGSTOP), 0);
    uplink_rig_send(rig, 100);
    cloud_rig_turn(&rig->cloud, clock_mono(&cloud_rig_clock), "", __FILE__, __LINE__);
    uplink_rig_close(rig);
    CHECK_INT(rig->settled_count, 100);
    CHECK_INT(rig->settled[0], NOT_CONNECTED);
    UNTIL(&rig->cloud, strstr(rig->last, "\"reason\":\"the gateway stops\""));
}

TEST(wrong_options_are_refused_with_a_line_in_the_log)
{
    static const struct uplink_options wrong[] = {
        {.name = "", .uri = "mqtt://x"},    {.name = NULL, .uri = "mqtt://x"},
        {.name = "a/b", .uri = "mqtt://x"}, {.name = "+", .uri = "mqtt://x"},
        {.name = "good", .uri = "tcp://x"},
    };
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = uplink_rig_new(OPEN);
    for (size_t i = 0; i < array_size(wrong); i++) {
        CHECK_INT(uplinks_new(&rig->uplinks, rig->bus, &wrong[i], 1), -EINVAL);
        CHECK_INT(cloud_rig_logged(&rig->cloud, "expected "), (int64_t)i + 1);
    }
    const struct uplink_options twice[] = {{.name = "a", .uri = "mqtt://x"},
                                           {.name = "a", .uri = "mqtt://y"}};
    CHECK_INT(uplinks_new(&rig->uplinks, rig->bus, twice, 2), -EINVAL);
}

TEST(two_uplinks_go_their_own_ways)
{
    NEEDS_MOSQUITTO();
    cleanup(uplink_rig_free_p) struct uplink_rig *rig = uplink_rig_new(OPEN);
    char other[64];
    (void)snprintf(other, sizeof other, "mqtt://127.0.0.1:%u", cloud_rig_free_port());
    mosquitto_start(&rig->broker);
    const struct uplink_options both[] = {
        {.name = "nowhere", .uri = other, .pause_max = 10},
        {.name = "cloud", .uri = rig->uri, .client_id = "plant-1", .pause_max = 10}};
    CHECK_INT(uplinks_new(&rig->uplinks, rig->bus, both, 2), 0);
    UNTIL(&rig->cloud, uplink_rig_is(rig, "up"));
    uplink_rig_send(rig, 10);
    UNTIL(&rig->cloud, rig->settled_count == 10);
    for (unsigned i = 0; i < 10; i++)
        CHECK_INT(rig->settled[i], 0);
    const char *answer = uplink_rig_ask(rig, "$gatehouse/ctl/uplink/list", "");
    CHECK(strstr(answer, "{\"name\":\"nowhere\"") && strstr(answer, "\"sent\":10"));
}
