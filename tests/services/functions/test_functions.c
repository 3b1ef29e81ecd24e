#include "services/functions/functions.h"

#include "base/log.h"
#include "rig/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A house with one plugin "p", whose host is the test's own child program: it says nothing on the bus, so the
 * test says it in its place. */
struct house {
    struct rig *rig;
    struct functions *functions;
    char dir[64];
    int doors_open;
    int door_fails; /* -errno */
    char socket[128];
    struct principal *principal;
};

static char logged[4096];

static void on_log(enum log_level level, const char *line)
{
    (void)level;
    size_t len = strlen(logged);
    (void)snprintf(logged + len, sizeof logged - len, "%s\n", line);
}

static int open_door(void *self, void **door, const char *socket_path, struct principal *principal,
                     char **why)
{
    struct house *house = self;
    if (house->door_fails) {
        *why = str_copy("no room for a door");
        return house->door_fails;
    }
    house->doors_open++;
    (void)snprintf(house->socket, sizeof house->socket, "%s", socket_path);
    house->principal = principal_ref(principal);
    *door = house;
    return 0;
}

static void close_door(void *self, void *door)
{
    struct house *house = self;
    CHECK(door == house);
    house->doors_open--;
}

static struct house *house_new_failing(const char *what, int door_fails)
{
    struct house *house = mem_new(struct house);
    logged[0] = '\0';
    log_capture(on_log);
    house->rig = rig_new();
    house->door_fails = door_fails;
    (void)snprintf(house->dir, sizeof house->dir, "/tmp/gatehouse-functions-XXXXXX");
    CHECK(mkdtemp(house->dir) != NULL);
    struct plugin_setting settings[] = {{"above", "30"}, {"note", "say \"hi\""}};
    struct plugin_options plugin = {
        .name = "p",
        .path = what,
        .publish = "alarm/#",
        .subscribe = "dt/+/env",
        .memory_max = 64 << 20,
        .settings = settings,
        .setting_count = array_size(settings),
    };
    struct functions_options options = {
        .runtime_dir = house->dir,
        .host_path = CHILD,
        .plugin_dir = "/usr/lib/plugins",
        .doors = {.self = house, .open = open_door, .close = close_door},
        .plugins = &plugin,
        .plugin_count = 1,
    };
    CHECK_INT(functions_new(&house->functions, house->rig->bus, &options), 0);
    return house;
}

static struct house *house_new(const char *what)
{
    return house_new_failing(what, 0);
}

static struct house *house_free(struct house *house)
{
    house->functions = functions_free(house->functions);
    CHECK_INT(house->doors_open, 0);
    house->principal = principal_unref(house->principal);
    house->rig = rig_free(house->rig);
    cleanup_free char *plugins = str_printf("%s/plugins", house->dir);
    CHECK_INT(rmdir(plugins), 0);
    CHECK_INT(rmdir(house->dir), 0);
    free(house);
    log_capture(NULL);
    return NULL;
}
define_cleanup(struct house *, house_free)

static int64_t seconds(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

/* Turns until it is so; the clock of the house stands still meanwhile. */
#define TURN_UNTIL(house, condition)                                                                         \
    for (int64_t end_ = seconds() + 60; !(condition);) {                                                     \
        if (seconds() > end_)                                                                                \
            FAIL("it does not happen: " #condition "\n%s", logged);                                          \
        CHECK(loop_turn((house)->rig->loop, 0) >= 0);                                                        \
        (void)sched_yield();                                                                                 \
    }

#define STATUS "$gatehouse/status/plugins/p"

static bool status_has(const struct house *house, const char *text)
{
    const char *status = rig_last(house->rig, STATUS);
    return status && strstr(status, text);
}

static int64_t status_number(const struct house *house, const char *key)
{
    const char *status = rig_last(house->rig, STATUS);
    cleanup_free char *quoted = str_printf("\"%s\":", key);
    const char *at = status ? strstr(status, quoted) : NULL;
    return at ? strtoll(at + strlen(quoted), NULL, 10) : -1;
}

static void say_state(struct house *house, const char *state)
{
    cleanup_free char *text =
        str_printf("{\"state\":\"%s\",\"pid\":%d}", state, (int)status_number(house, "pid"));
    rig_publish(house->rig, "$gatehouse/plugins/p/state", text);
    rig_turn(house->rig);
}

static void get_running(struct house *house)
{
    TURN_UNTIL(house, status_has(house, "starting") && strstr(logged, "plugin p: up"));
    say_state(house, "ready");
    CHECK(status_has(house, "running"));
}

TEST(a_plugin_gets_a_door_of_its_own_and_its_configuration)
{
    cleanup(house_free_p) struct house *house = house_new("/a/stay");
    rig_turn(house->rig);
    CHECK_INT(house->doors_open, 1);
    cleanup_free char *socket = str_printf("%s/plugins/p.sock", house->dir);
    CHECK_STR(house->socket, socket);
    CHECK_STR(rig_last(house->rig, "$gatehouse/plugins/p/config"),
              "{\"above\":\"30\",\"note\":\"say \\\"hi\\\"\"}");
    CHECK_INT(house->principal->kind, PRINCIPAL_PLUGIN);
    CHECK_STR(house->principal->name, "p");
}

static bool may(const struct house *house, enum policy_action action, const char *topic)
{
    return policy_allows(house->principal, action, topic, strlen(topic));
}

TEST(a_plugin_may_do_what_its_section_says_and_speak_for_itself_only)
{
    cleanup(house_free_p) struct house *house = house_new("/a/stay");
    CHECK(may(house, POLICY_PUBLISH, "alarm/threshold"));
    CHECK(may(house, POLICY_SUBSCRIBE, "dt/+/env"));
    CHECK(may(house, POLICY_PUBLISH, "$gatehouse/plugins/p/state"));
    CHECK(may(house, POLICY_SUBSCRIBE, "$gatehouse/plugins/p/config"));
    CHECK(!may(house, POLICY_PUBLISH, "dt/a/env"));
    CHECK(!may(house, POLICY_SUBSCRIBE, "#"));
    CHECK(!may(house, POLICY_PUBLISH, "$gatehouse/plugins/q/state"));
    CHECK(!may(house, POLICY_PUBLISH, "$gatehouse/status/plugins/p"));
    CHECK(!may(house, POLICY_SUBSCRIBE, "$gatehouse/plugins/q/config"));
}

TEST(a_plugin_runs_when_its_host_says_so)
{
    cleanup(house_free_p) struct house *house = house_new("/a/stay");
    get_running(house);
    CHECK(status_number(house, "pid") > 1);
    CHECK_INT(status_number(house, "restarts"), 0);
    CHECK(status_has(house, "\"reason\":null"));
}

TEST(the_host_is_told_its_socket_name_limit_and_plugin)
{
    cleanup(house_free_p) struct house *house = house_new("know");
    TURN_UNTIL(house, status_has(house, "backoff"));
    CHECK(strstr(logged, "argument --socket\n") != NULL);
    CHECK(strstr(logged, house->socket) != NULL);
    CHECK(strstr(logged, "argument p\n") != NULL);
    CHECK(strstr(logged, "argument 67108864\n") != NULL);
    CHECK(strstr(logged, "argument /usr/lib/plugins/know\n") != NULL); /* a name without slash */
}

TEST(what_a_plugin_says_is_logged_with_its_name)
{
    cleanup(house_free_p) struct house *house = house_new("/a/exit");
    TURN_UNTIL(house, status_has(house, "backoff"));
    CHECK(strstr(logged, "plugin p: no use\n") != NULL);
    CHECK(status_has(house, "\"reason\":\"exited with status 3: no use\""));
}

TEST(a_plugin_that_ends_is_started_again_later_and_later)
{
    cleanup(house_free_p) struct house *house = house_new("/a/crash");
    static const int64_t delays[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    for (size_t i = 0; i < array_size(delays); i++) {
        TURN_UNTIL(house, status_has(house, "backoff") && status_number(house, "restarts") == (int64_t)i);
        CHECK(status_has(house, "Segmentation fault"));
        rig_wait(house->rig, delays[i] - 1);
        CHECK(status_has(house, "backoff"));
        CHECK_INT(status_number(house, "restarts"), (int64_t)i);
        rig_wait(house->rig, 1);
        CHECK_INT(status_number(house, "restarts"), (int64_t)i + 1);
    }
}

TEST(a_minute_of_running_makes_the_delay_short_again)
{
    cleanup(house_free_p) struct house *house = house_new("/a/stay");
    for (int i = 0; i < 3; i++) {
        get_running(house);
        CHECK_INT(kill((pid_t)status_number(house, "pid"), SIGKILL), 0);
        TURN_UNTIL(house, status_has(house, "backoff"));
        CHECK(status_has(house, "killed by signal 9"));
        logged[0] = '\0';
        rig_wait(house->rig, 1000 << i);
    }
    get_running(house);
    rig_wait(house->rig, 60000);
    CHECK_INT(kill((pid_t)status_number(house, "pid"), SIGKILL), 0);
    TURN_UNTIL(house, status_has(house, "backoff"));
    rig_wait(house->rig, 999);
    CHECK_INT(status_number(house, "restarts"), 3);
    rig_wait(house->rig, 1);
    CHECK_INT(status_number(house, "restarts"), 4);
}

TEST(a_plugin_that_does_not_keep_alive_is_ended_and_started_again)
{
    cleanup(house_free_p) struct house *house = house_new("/a/deaf");
    get_running(house);
    say_state(house, "lost");
    CHECK(status_has(house, "running")); /* it may be about to crash, which would be the better reason */
    rig_wait(house->rig, 1000);
    CHECK(status_has(house, "stopping"));
    rig_wait(house->rig, 2000); /* it is deaf */
    TURN_UNTIL(house, status_has(house, "backoff"));
    CHECK(status_has(house, "\"reason\":\"did not keep alive\""));
    rig_wait(house->rig, 1000);
    CHECK_INT(status_number(house, "restarts"), 1);
}

TEST(what_is_said_of_an_earlier_process_does_not_count)
{
    cleanup(house_free_p) struct house *house = house_new("/a/stay");
    get_running(house);
    rig_publish(house->rig, "$gatehouse/plugins/p/state", "{\"state\":\"lost\",\"pid\":1}");
    rig_publish(house->rig, "$gatehouse/plugins/p/state", "{\"state\":\"lost\"}");
    rig_publish(house->rig, "$gatehouse/plugins/p/state", "lost");
    rig_publish(house->rig, "$gatehouse/plugins/other/state", "{\"state\":\"lost\",\"pid\":1}");
    rig_publish(house->rig, "$gatehouse/plugins//state", "{\"state\":\"lost\",\"pid\":1}");
    rig_wait(house->rig, 5000);
    CHECK(status_has(house, "running"));
}

TEST(a_plugin_that_does_not_become_ready_is_ended)
{
    cleanup(house_free_p) struct house *house = house_new("/a/stay");
    TURN_UNTIL(house, strstr(logged, "plugin p: up"));
    rig_wait(house->rig, 15000);
    TURN_UNTIL(house, status_has(house, "backoff"));
    CHECK(status_has(house, "was not ready within 15 s"));
}

TEST(a_door_that_cannot_be_opened_is_tried_again)
{
    cleanup(house_free_p) struct house *house = house_new_failing("/a/stay", -EACCES);
    rig_turn(house->rig);
    CHECK(status_has(house, "backoff"));
    CHECK(status_has(house, "no room for a door"));
    house->door_fails = 0;
    rig_wait(house->rig, 1000);
    CHECK(status_has(house, "starting"));
    CHECK_INT(house->doors_open, 1);
}

TEST(the_door_stays_open_while_the_plugin_is_away)
{
    cleanup(house_free_p) struct house *house = house_new("/a/crash");
    TURN_UNTIL(house, status_has(house, "backoff"));
    CHECK_INT(house->doors_open, 1);
    rig_wait(house->rig, 1000);
    TURN_UNTIL(house, status_has(house, "backoff"));
    CHECK_INT(house->doors_open, 1);
}

TEST(the_list_of_plugins_is_an_answer)
{
    cleanup(house_free_p) struct house *house = house_new("/a/stay");
    get_running(house);
    const char *answer = rig_request(house->rig, "$gatehouse/ctl/plugin/list", "");
    cleanup_free char *expected = str_printf("{\"plugins\":[%s]}", rig_last(house->rig, STATUS));
    CHECK_STR(answer, expected);
}

TEST(a_restart_is_done_at_once_when_it_is_asked_for)
{
    cleanup(house_free_p) struct house *house = house_new("/a/stay");
    get_running(house);
    int64_t pid = status_number(house, "pid");
    CHECK_STR(rig_request(house->rig, "$gatehouse/ctl/plugin/restart", "{\"name\":\"p\"}"),
              "{\"name\":\"p\"}");
    TURN_UNTIL(house, status_has(house, "starting"));
    CHECK(status_number(house, "pid") != pid);
    CHECK(status_has(house, "\"reason\":\"restart was asked for\""));
}

TEST(a_restart_ends_the_delay)
{
    cleanup(house_free_p) struct house *house = house_new("/a/exit");
    TURN_UNTIL(house, status_has(house, "backoff"));
    CHECK_STR(rig_request(house->rig, "$gatehouse/ctl/plugin/restart", "{\"name\":\"p\"}"),
              "{\"name\":\"p\"}");
    CHECK_INT(status_number(house, "restarts"), 1);
}

TEST(a_restart_of_nobody_is_refused)
{
    cleanup(house_free_p) struct house *house = house_new("/a/stay");
    CHECK_STR(rig_request(house->rig, "$gatehouse/ctl/plugin/restart", "{\"name\":\"q\"}"),
              "{\"code\":404,\"message\":\"there is no plugin \\\"q\\\"\"}");
    CHECK(strstr(rig_request(house->rig, "$gatehouse/ctl/plugin/restart", "p"), "\"code\":400") != NULL);
    CHECK(strstr(rig_request(house->rig, "$gatehouse/ctl/plugin/restart", "{}"), "\"code\":400") != NULL);
}

TEST(stopping_ends_the_processes_and_starts_none)
{
    cleanup(house_free_p) struct house *house = house_new("/a/stay");
    get_running(house);
    functions_stop(house->functions);
    CHECK(!functions_are_quiet(house->functions));
    TURN_UNTIL(house, functions_are_quiet(house->functions));
    rig_turn(house->rig);
    CHECK(status_has(house, "stopped"));
    rig_wait(house->rig, 120000);
    CHECK(status_has(house, "stopped"));
    CHECK(functions_are_quiet(house->functions));
}

TEST(stopping_a_plugin_that_waits_for_its_next_start_is_quiet_at_once)
{
    cleanup(house_free_p) struct house *house = house_new("/a/exit");
    TURN_UNTIL(house, status_has(house, "backoff"));
    functions_stop(house->functions);
    CHECK(functions_are_quiet(house->functions));
    rig_wait(house->rig, 120000);
    CHECK(status_has(house, "stopped"));
}

static unsigned occurrences(const char *text, const char *of)
{
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, of)); at += strlen(of))
        n++;
    return n;
}

TEST(a_plugin_that_talks_too_much_does_not_fill_the_log)
{
    cleanup(house_free_p) struct house *house = house_new("/a/talk");
    TURN_UNTIL(house, occurrences(logged, "plugin p: line ") == 50);
    for (int i = 0; i < 20; i++) {
        rig_wait(house->rig, 10); /* it is listened to again, in the same second */
        (void)sched_yield();
    }
    CHECK_INT(occurrences(logged, "plugin p: line "), 50);
}
