#include "base/log.h"
#include "mqtt/broker.h"
#include "rig/rig.h"
#include "services/functions/functions.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* A house with a broker, whose clock is moved by hand, and one plugin "p" in a real gatehouse-host. */
struct house {
    struct rig *rig;
    struct broker *broker;
    struct functions *functions;
    char dir[64];
};

static char logged[16384];

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
    cleanup_free char *path = str_copy(socket_path);
    struct listener_uri uri = {.scheme = LISTENER_UNIX, .access = LISTENER_NODE, .host = path, .mode = 0600};
    struct door *opened;
    int r = broker_open(house->broker, &opened, &uri, principal, why);
    if (r >= 0)
        *door = opened;
    return r;
}

static void close_door(void *self, void *door)
{
    (void)self;
    (void)door_close(door);
}

static struct house *house_new(const struct plugin_options *plugin)
{
    struct house *house = mem_new(struct house);
    logged[0] = '\0';
    log_capture(on_log);
    house->rig = rig_new();
    struct broker_options broker = broker_options();
    CHECK_INT(broker_new(&house->broker, house->rig->bus, &broker), 0);
    (void)snprintf(house->dir, sizeof house->dir, "/tmp/gatehouse-plugins-XXXXXX");
    CHECK(mkdtemp(house->dir) != NULL);
    struct functions_options options = {
        .runtime_dir = house->dir,
        .host_path = HOST,
        .plugin_dir = "/nowhere",
        .doors = {.self = house, .open = open_door, .close = close_door},
        .plugins = plugin,
        .plugin_count = 1,
    };
    CHECK_INT(functions_new(&house->functions, house->rig->bus, &options), 0);
    return house;
}

static struct house *house_free(struct house *house)
{
    house->functions = functions_free(house->functions);
    house->broker = broker_free(house->broker);
    house->rig = rig_free(house->rig);
    cleanup_free char *socket = str_printf("%s/plugins/p.sock", house->dir);
    cleanup_free char *plugins = str_printf("%s/plugins", house->dir);
    (void)unlink(socket);
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

static bool was_said(const struct house *house, const char *topic, const char *text)
{
    for (size_t i = 0; i < rig_count(house->rig, topic); i++)
        if (strcmp(rig_payload(house->rig, topic, i), text) == 0)
            return true;
    return false;
}

static void get_running(struct house *house)
{
    TURN_UNTIL(house, status_has(house, "\"running\""));
}

/* It has ended: starts the next one. */
static void start_again(struct house *house, int64_t delay)
{
    TURN_UNTIL(house, status_has(house, "\"backoff\""));
    rig_wait(house->rig, delay);
    get_running(house);
}

static const struct plugin_options hello = {
    .name = "p", .path = HELLO, .publish = "hello/answer rig/answer", .subscribe = "hello/ask"};
static const struct plugin_options unruly = {
    .name = "p", .path = UNRULY, .publish = "done/p", .subscribe = "work/p", .memory_max = 64 << 20};
static const struct plugin_setting label[] = {{"label", "sheep"}};
static const struct plugin_options counter = {.name = "p",
                                              .path = COUNTER,
                                              .publish = "count/out count/drop",
                                              .subscribe = "count/+",
                                              .settings = label,
                                              .setting_count = 1};

TEST(hello_answers)
{
    cleanup(house_free_p) struct house *house = house_new(&hello);
    get_running(house);
    rig_publish(house->rig, "hello/ask", "Is anybody there?");
    TURN_UNTIL(house, was_said(house, "hello/answer", "Is anybody there?"));
}

TEST(an_answer_goes_where_the_request_wants_it)
{
    cleanup(house_free_p) struct house *house = house_new(&hello);
    get_running(house);
    static const uint8_t bytes[] = "\x08\0\x0arig/answer\x09\0\2\1\2"; /* Response Topic, Correlation Data */
    struct msg_props props = {bytes, sizeof bytes - 1, 3, 10, 16, 2};
    cleanup(msg_unref_p) struct msg *request = msg_new_props("hello/ask", 9, &props, "here", 4);
    request->qos = 1;
    bus_publish(house->rig->bus, request, NULL);
    TURN_UNTIL(house, was_said(house, "rig/answer", "here"));
    CHECK_NO_MESSAGE(house->rig, "hello/answer");
}

TEST(a_plugin_that_crashes_gets_the_message_again)
{
    cleanup(house_free_p) struct house *house = house_new(&unruly);
    get_running(house);
    rig_publish(house->rig, "work/p", "boom");
    rig_publish(house->rig, "work/p", "and then");
    start_again(house, 1000);
    TURN_UNTIL(house, was_said(house, "done/p", "again boom"));
    CHECK(status_has(house, "\"reason\":\"killed by signal 11 (Segmentation fault)\""));
    TURN_UNTIL(house, rig_count(house->rig, "done/p") == 2);
    CHECK(strstr(rig_last(house->rig, "done/p"), "and then") != NULL);
}

TEST(messages_wait_for_a_plugin_that_is_away)
{
    cleanup(house_free_p) struct house *house = house_new(&unruly);
    get_running(house);
    rig_publish(house->rig, "work/p", "exit");
    TURN_UNTIL(house, status_has(house, "\"backoff\""));
    CHECK(status_has(house, "exited with status 7"));
    rig_publish(house->rig, "work/p", "patience");
    rig_wait(house->rig, 1000);
    TURN_UNTIL(house, status_has(house, "\"backoff\"")); /* "exit" once more */
    rig_wait(house->rig, 2000);
    TURN_UNTIL(house, status_has(house, "\"backoff\""));
    CHECK_NO_MESSAGE(house->rig, "done/p");
}

TEST(a_plugin_that_hangs_is_noticed_replaced_and_gets_the_message_again)
{
    cleanup(house_free_p) struct house *house = house_new(&unruly);
    get_running(house);
    rig_publish(house->rig, "work/p", "hang");
    rig_turn(house->rig);
    rig_wait(house->rig, 9000); /* 1.5 times its keep-alive */
    TURN_UNTIL(house, strstr(logged, "did not keep alive") || (rig_wait(house->rig, 100), false));
    TURN_UNTIL(house, status_has(house, "\"backoff\"") || (rig_wait(house->rig, 100), false));
    CHECK(status_has(house, "\"reason\":\"did not keep alive\""));
    rig_wait(house->rig, 1000);
    TURN_UNTIL(house, was_said(house, "done/p", "again hang"));
}

TEST(a_plugin_that_leaks_ends_at_its_limit_and_gets_the_message_again)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SKIP("a sanitizer needs more memory than any limit");
#else
    cleanup(house_free_p) struct house *house = house_new(&unruly);
    get_running(house);
    rig_publish(house->rig, "work/p", "leak");
    start_again(house, 1000);
    CHECK(status_has(house, "killed by signal 11"));
    TURN_UNTIL(house, was_said(house, "done/p", "again leak"));
#endif
}

TEST(a_message_that_always_crashes_is_given_up_in_the_end)
{
    cleanup(house_free_p) struct house *house = house_new(&unruly);
    get_running(house);
    rig_publish(house->rig, "work/p", "always");
    rig_publish(house->rig, "work/p", "next");
    for (int64_t delay = 1000; delay <= 16000; delay *= 2) {
        TURN_UNTIL(house, status_has(house, "\"backoff\""));
        CHECK_NO_MESSAGE(house->rig, "done/p");
        rig_wait(house->rig, delay);
    }
    TURN_UNTIL(house, rig_count(house->rig, "done/p") == 1);
    CHECK(strstr(rig_last(house->rig, "done/p"), "next") != NULL);
    CHECK(strstr(logged, "handed over for the last time: 4 processes have ended before") != NULL);
    get_running(house);
}

TEST(messages_come_in_batches_and_are_acknowledged_later_in_any_order)
{
    cleanup(house_free_p) struct house *house = house_new(&counter);
    get_running(house);
    for (int i = 0; i < 300; i++) /* several windows */
        rig_publish(house->rig, "count/in", "x");
    TURN_UNTIL(house, was_said(house, "count/out", "300 of sheep"));
}

TEST(a_plugin_that_publishes_too_fast_is_told_and_goes_on)
{
    cleanup(house_free_p) struct house *house = house_new(&counter);
    get_running(house);
    rig_publish(house->rig, "count/flood", "1000");
    TURN_UNTIL(house, was_said(house, "count/out", "flood of 1000, was busy"));
    CHECK_INT((int64_t)rig_count(house->rig, "count/drop"), 1000);
}

TEST(a_plugin_may_not_publish_what_its_section_does_not_say)
{
    cleanup(house_free_p) struct house *house = house_new(&counter);
    get_running(house);
    rig_publish(house->rig, "count/forbidden", "");
    TURN_UNTIL(house, was_said(house, "count/out", "refused"));
    CHECK_NO_MESSAGE(house->rig, "not/mine");
    CHECK(strstr(logged, "plugin p: the gateway refused a message on not/mine: not authorized") != NULL);
}

TEST(a_plugin_that_may_not_subscribe_says_so_and_ends)
{
    struct plugin_options options = hello;
    options.subscribe = "hello/other";
    cleanup(house_free_p) struct house *house = house_new(&options);
    TURN_UNTIL(house, status_has(house, "\"backoff\""));
    CHECK(status_has(house, "exited with status 1: may not subscribe to hello/ask: not authorized"));
}

TEST(a_plugin_that_cannot_be_loaded_says_why)
{
    struct plugin_options options = hello;
    options.path = "missing.so";
    cleanup(house_free_p) struct house *house = house_new(&options);
    TURN_UNTIL(house, status_has(house, "\"backoff\""));
    CHECK(status_has(house, "exited with status 78: cannot load the plugin: /nowhere/missing.so:"));
}

TEST(a_restart_lets_the_plugin_say_its_last_words)
{
    cleanup(house_free_p) struct house *house = house_new(&counter);
    get_running(house);
    CHECK(rig_request(house->rig, "$gatehouse/ctl/plugin/restart", "{\"name\":\"p\"}") != NULL);
    TURN_UNTIL(house, status_has(house, "\"restarts\":1"));
    CHECK(was_said(house, "count/out", "goodbye"));
    CHECK(status_has(house, "restart was asked for"));
    get_running(house);
}

TEST(stopping_is_quiet_when_the_hosts_have_said_goodbye)
{
    cleanup(house_free_p) struct house *house = house_new(&counter);
    get_running(house);
    functions_stop(house->functions);
    TURN_UNTIL(house, functions_are_quiet(house->functions));
    CHECK(was_said(house, "count/out", "goodbye"));
    CHECK(!was_said(house, "$gatehouse/plugins/p/state", "lost"));
}

static const struct plugin_setting settings[] = {
    {"topic", "dt/+/env"}, {"field", "temp"}, {"above", "30"}, {"hysteresis", "1"}, {"alarm", "alarm/${1}"}};
static const struct plugin_options threshold = {.name = "p",
                                                .path = THRESHOLD,
                                                .publish = "alarm/#",
                                                .subscribe = "dt/+/env",
                                                .settings = settings,
                                                .setting_count = array_size(settings)};

TEST(threshold_raises_and_clears_an_alarm_per_topic)
{
    cleanup(house_free_p) struct house *house = house_new(&threshold);
    get_running(house);
    static const char *const values[] = {"{\"temp\":29}",   "{\"temp\":31.5}", "{\"temp\":40}", "no number",
                                         "{\"temp\":29.5}", "{\"temp\":28}",   "{\"temp\":27}"};
    for (size_t i = 0; i < array_size(values); i++)
        rig_publish(house->rig, "dt/b1/env", values[i]);
    rig_publish(house->rig, "dt/b2/env", "{\"temp\":50}");
    TURN_UNTIL(house, rig_count(house->rig, "alarm/b2") == 1);
    CHECK_INT((int64_t)rig_count(house->rig, "alarm/b1"), 2);
    CHECK_STR(
        rig_payload(house->rig, "alarm/b1", 0),
        "{\"state\":\"raised\",\"side\":\"above\",\"topic\":\"dt/b1/env\",\"field\":\"temp\",\"value\":31.5,"
        "\"limit\":30}");
    CHECK_STR(
        rig_payload(house->rig, "alarm/b1", 1),
        "{\"state\":\"cleared\",\"side\":\"above\",\"topic\":\"dt/b1/env\",\"field\":\"temp\",\"value\":28,"
        "\"limit\":30}");
    CHECK(strstr(logged, "plugin p: a message on dt/b1/env has no number at temp") != NULL);
}

static void check_bad_setting(const char *key, const char *value, const char *expected)
{
    struct plugin_setting changed[array_size(settings)];
    memcpy(changed, settings, sizeof settings);
    for (size_t i = 0; i < array_size(changed); i++)
        if (strcmp(changed[i].key, key) == 0)
            changed[i].value = value;
    struct plugin_options options = threshold;
    options.settings = changed;
    cleanup(house_free_p) struct house *house = house_new(&options);
    TURN_UNTIL(house, status_has(house, "\"backoff\""));
    cleanup_free char *reason = str_printf("exited with status 1: %s", expected);
    if (!status_has(house, reason))
        FAIL("%s\ndoes not say %s", rig_last(house->rig, STATUS), reason);
}

TEST(threshold_says_what_is_wrong_with_its_settings)
{
    check_bad_setting("above", "hot", "above: expected a number, found \\\"hot\\\"");
    check_bad_setting("hysteresis", "-1",
                      "hysteresis: expected a number of 0 or more, within reason, found \\\"-1\\\"");
    check_bad_setting("alarm", "alarm/${2}", "alarm: expected ${topic}, or ${1} to ${9}");
}
