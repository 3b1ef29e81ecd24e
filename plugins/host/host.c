#include "host/host.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* The plugin is called from the turn, the tick and the link's events, all of them callbacks of the loop:
 * never one inside another, except for the done() of a publication, which the gateway's answer brings. */

enum {
    CONFIG_WAIT_MS = 10000,
    LAST_WORDS_MS = 1000,
    RETRY_MS = 1000,  /* of a message that met GH_E_BUSY */
    HANDING_MS = 500, /* then the link gets its turn */
    INPUT_MAX = 16 * 1024 * 1024,
    INPUT_SHARE = 8 /* of the memory for the largest message */
};

static void on_acknowledge(struct inbox *inbox, uint16_t packet_id)
{
    link_acknowledge(container_of(inbox, struct host, inbox)->link, packet_id);
}

void host_fail(struct host *host)
{
    host->state = HOST_FAILED; /* nothing more is handed over in what is left of the turn */
    loop_stop(host->loop, EXIT_FAILURE);
}

void host_ask_for_turn(struct host *host)
{
    loop_at(host->loop, LOOP_HAND_OVER, &host->turn);
}

static int64_t now_ms(void)
{
    static const struct clock system_clock;
    return clock_mono(&system_clock);
}

/* ---- starting ------------------------------------------------------------------------------------------ */

static void start_plugin(struct host *host)
{
    timer_stop(host->loop, &host->limit);
    host->state = HOST_STARTED;
    int32_t r = host->plugin.start(&host->services);
    if (r < 0) {
        log_error("%s %s does not start: start() returned %" PRId32, host->plugin.name, host->plugin.version,
                  r);
        host_fail(host);
        return;
    }
    records_start(host);
}

/* Once the gateway has taken all subscriptions, nothing that is published from now on is missed. */
static void say_ready(struct host *host)
{
    if (host->said_ready || host->suback_waits)
        return;
    cleanup_free char *text = str_printf("{\"state\":\"ready\",\"pid\":%d}", (int)getpid());
    struct wire_packet packet = {
        .type = WIRE_PUBLISH,
        .version = WIRE_MQTT5,
        .qos = 1,
        .topic = {host->state_topic, (uint16_t)strlen(host->state_topic)},
        .payload = (const uint8_t *)text,
        .payload_len = (uint32_t)strlen(text),
    };
    host->said_ready = link_publish(host->link, &packet) > 0; /* else again, when a slot is free */
}

static void take_config(struct host *host, const struct wire_packet *publish)
{
    const char *text = (const char *)publish->payload;
    if (host->config_text) {
        if (strlen(host->config_text) == publish->payload_len &&
            memcmp(host->config_text, text, publish->payload_len) == 0)
            return;
        log_notice("the configuration has changed: begins anew");
        host_stop(host);
        return;
    }
    host->config_text = str_copy_n(text, publish->payload_len);
    struct json_error error;
    int r = json_parse(&host->config, &host->arena, host->config_text, publish->payload_len, &error);
    if (r > 0)
        log_error("%s: line %u, column %u: expected %s", host->config_topic, error.line, error.column,
                  error.expected);
    else if (r == 0 && !json_is(host->config, JSON_OBJECT))
        log_error("%s: expected an object", host->config_topic);
    if (r != 0 || !json_is(host->config, JSON_OBJECT)) {
        host_fail(host);
        return;
    }
    host->state = HOST_STARTING;
    host_ask_for_turn(host);
}

/* ---- handing over -------------------------------------------------------------------------------------- */

static const char *result_text(int32_t result)
{
    switch (result) {
    case GH_E_INVALID: return "not valid";
    case GH_E_REFUSED: return "refused";
    case GH_E_TOO_LARGE: return "too large";
    case GH_E_MEMORY: return "out of memory";
    default: return "failed";
    }
}

void host_settle(struct host *host, struct inbox_item *item, int32_t result)
{
    switch (result) {
    case GH_LATER: return;
    case GH_E_BUSY:
        inbox_put_back(item);
        host->stalled = true;
        timer_start(host->loop, &host->go_on, RETRY_MS);
        return;
    default: break;
    }
    if (result < 0) {
        host->failed++;
        log_warning("a message on %s could not be handled: %s", item->message.topic, result_text(result));
    }
    inbox_settle(&host->inbox, item);
}

/* The first message of this life has come again, and the processes before have crashed: it may be the reason. */
static bool must_be_given_up(struct host *host, const struct inbox_item *item)
{
    if (!item->message.qos || host->first_was_seen)
        return false;
    host->first_was_seen = true;
    return item->message.again && host->options->attempt >= GH_GIVE_UP_AFTER;
}

static bool prepare(struct host *host, struct inbox_item *item)
{
    if (!must_be_given_up(host, item))
        return false;
    log_warning("a message on %s is handed over for the last time: %u processes have ended before",
                item->message.topic, host->options->attempt);
    inbox_give_up(&host->inbox, item);
    link_flush(host->link);
    return true;
}

/* Token and not item: the plugin may have acknowledged the message from inside, and then the item is gone. */
static void settle_token(struct host *host, uint64_t token, int32_t result)
{
    struct inbox_item *item = inbox_find(&host->inbox, token);
    if (item)
        host_settle(host, item, result);
}

static bool hand_over_one(struct host *host)
{
    struct inbox_item *item = inbox_take(&host->inbox);
    if (!item)
        return false;
    uint64_t token = item->message.token;
    (void)prepare(host, item);
    int32_t result = host->plugin.message ? host->plugin.message(&host->services, &item->message) : GH_DONE;
    settle_token(host, token, result);
    return true;
}

static bool hand_over_many(struct host *host)
{
    const struct gh_message *messages[GH_UNACKNOWLEDGED_MAX];
    uint64_t tokens[GH_UNACKNOWLEDGED_MAX];
    int32_t results[GH_UNACKNOWLEDGED_MAX] = {0};
    uint32_t count = 0;
    while (count < GH_UNACKNOWLEDGED_MAX) {
        struct inbox_item *item = inbox_take(&host->inbox);
        if (!item)
            break;
        tokens[count] = item->message.token;
        messages[count++] = &item->message;
        if (prepare(host, item))
            break; /* alone: the others must not go down with it */
    }
    if (!count)
        return false;
    host->plugin.messages(&host->services, messages, results, count);
    for (uint32_t i = 0; i < count; i++)
        settle_token(host, tokens[i], results[i]);
    return true;
}

static void hand_over(struct host *host)
{
    int64_t begun = now_ms();
    while (host->state == HOST_STARTED && !host->stalled) {
        if (!(host->plugin.messages ? hand_over_many(host) : hand_over_one(host)))
            return;
        if (now_ms() - begun > HANDING_MS) {
            timer_start(host->loop, &host->go_on, 0);
            return;
        }
    }
}

static void tell_of_room(struct host *host)
{
    if (!host->wants_ready || !services_have_room(host))
        return;
    host->wants_ready = host->stalled = false;
    if (host->plugin.ready)
        host->plugin.ready(&host->services);
}

static void on_turn(struct task *task)
{
    struct host *host = container_of(task, struct host, turn);
    if (host->state == HOST_STARTING)
        start_plugin(host);
    if (host->state != HOST_STARTED)
        return;
    tell_of_room(host);
    hand_over(host);
    if (host->state == HOST_STARTED)
        records_hand_over(host);
    say_ready(host);
}

static void on_go_on(struct timer *timer)
{
    struct host *host = container_of(timer, struct host, go_on);
    host->stalled = false;
    host_ask_for_turn(host);
}

static void on_tick(struct timer *timer)
{
    struct host *host = container_of(timer, struct host, tick);
    if (host->state != HOST_STARTED)
        return;
    timer_start(host->loop, &host->tick, host->tick_ms);
    if (host->plugin.tick)
        host->plugin.tick(&host->services, (uint64_t)now_ms());
}

/* ---- stopping ------------------------------------------------------------------------------------------ */

static void say_goodbye(struct host *host)
{
    link_disconnect(host->link);
    link_flush(host->link);
    loop_stop(host->loop, EXIT_SUCCESS);
}

static void stop_if_quiet(struct host *host)
{
    if (host->state == HOST_STOPPING && !link_under_way(host->link) && link_is_idle(host->link))
        say_goodbye(host);
}

void host_stop(struct host *host)
{
    if (host->state >= HOST_STOPPING)
        return;
    bool started = host->state == HOST_STARTED;
    host->state = HOST_STOPPING;
    if (started && host->plugin.stop)
        host->plugin.stop(&host->services);
    timer_start(host->loop, &host->limit, LAST_WORDS_MS);
    stop_if_quiet(host);
}

static void on_limit(struct timer *timer)
{
    struct host *host = container_of(timer, struct host, limit);
    if (host->state == HOST_STOPPING) {
        say_goodbye(host);
        return;
    }
    log_error("no configuration came on %s within %d s", host->config_topic, CONFIG_WAIT_MS / 1000);
    host_fail(host);
}

/* ---- the link's events --------------------------------------------------------------------------------- */

/* At QoS 0, so that it comes even when the window is full of messages of the previous life. */
static void on_connected(struct link_user *user, bool session_present)
{
    (void)session_present;
    struct host *host = container_of(user, struct host, user);
    host->state = HOST_CONFIGURING;
    int r = link_subscribe(host->link, host->config_topic, 0);
    host->subscriptions[host->subscription_count++] =
        (struct wanted){.filter = str_copy(host->config_topic), .packet_id = r > 0 ? (uint16_t)r : 0};
    host->suback_waits++;
}

static void on_message(struct link_user *user, const struct wire_packet *publish)
{
    struct host *host = container_of(user, struct host, user);
    if (strlen(host->config_topic) == publish->topic.len &&
        memcmp(host->config_topic, publish->topic.text, publish->topic.len) == 0) {
        if (publish->qos)
            link_acknowledge(host->link, publish->packet_id);
        take_config(host, publish);
        return;
    }
    int record = records_add(host, publish);
    if (record < 0 || (!record && inbox_add(&host->inbox, publish) < 0)) {
        log_error("no memory for a message of %" PRIu32 " bytes", publish->payload_len);
        host_fail(host);
        return;
    }
    host_ask_for_turn(host);
}

static void on_published(struct link_user *user, uint16_t packet_id, uint8_t reason)
{
    struct host *host = container_of(user, struct host, user);
    services_published(host, packet_id, reason);
    host_ask_for_turn(host);
    stop_if_quiet(host);
}

static void on_subscribed(struct link_user *user, uint16_t packet_id, uint8_t code)
{
    struct host *host = container_of(user, struct host, user);
    for (unsigned i = 0; i < host->subscription_count; i++) {
        struct wanted *wanted = &host->subscriptions[i];
        if (wanted->packet_id != packet_id)
            continue;
        if (code >= 0x80) {
            log_error("may not subscribe to %s: %s", wanted->filter, wire_reason_text(code));
            host_fail(host);
        }
        wanted->packet_id = 0;
        host->suback_waits--;
    }
    host_ask_for_turn(host);
}

static void on_idle(struct link_user *user)
{
    struct host *host = container_of(user, struct host, user);
    services_idle(host);
    if (host->wants_ready)
        timer_start(host->loop, &host->go_on, 0); /* the turn's HAND_OVER is over: the next one's */
    stop_if_quiet(host);
}

static void on_lost(struct link_user *user, const char *why)
{
    struct host *host = container_of(user, struct host, user);
    if (host->state == HOST_STOPPING) {
        loop_stop(host->loop, EXIT_SUCCESS);
        return;
    }
    log_error("%s", why);
    host_fail(host);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

int host_new(struct host **ret, struct loop *loop, const struct gh_plugin *plugin,
             const struct host_options *options)
{
    cleanup(host_free_p) struct host *host = mem_new(struct host);
    host->plugin = *plugin;
    host->options = options;
    host->loop = loop;
    host->user = (struct link_user){.connected = on_connected,
                                    .message = on_message,
                                    .published = on_published,
                                    .subscribed = on_subscribed,
                                    .idle = on_idle,
                                    .lost = on_lost};
    host->config_topic = str_printf("$gatehouse/plugins/%s/config", options->name);
    host->state_topic = str_printf("$gatehouse/plugins/%s/state", options->name);
    host->will = str_printf("{\"state\":\"lost\",\"pid\":%d}", (int)getpid());
    host->turn.run = on_turn;
    host->go_on.fire = on_go_on;
    host->tick.fire = on_tick;
    host->limit.fire = on_limit;
    inbox_init(&host->inbox, on_acknowledge);
    records_init(host);
    services_init(host);

    uint64_t share = options->memory_max ? options->memory_max / INPUT_SHARE : INPUT_MAX;
    struct link_options link_options = {
        .path = options->socket,
        .client_id = options->name,
        .will_topic = host->state_topic,
        .will = host->will,
        .input_max = share < INPUT_MAX ? (uint32_t)share : INPUT_MAX,
        .window = GH_UNACKNOWLEDGED_MAX,
    };
    int r = link_open(&host->link, loop, &link_options, &host->user);
    if (r < 0)
        return r;
    timer_start(loop, &host->limit, CONFIG_WAIT_MS);
    *ret = steal(host);
    return 0;
}

struct host *host_free(struct host *host)
{
    if (!host)
        return NULL;
    loop_forget(&host->turn);
    timer_stop(host->loop, &host->go_on);
    timer_stop(host->loop, &host->tick);
    timer_stop(host->loop, &host->limit);
    host->link = link_close(host->link);
    services_done(host);
    inbox_done(&host->inbox);
    records_done(host);
    arena_done(&host->arena);
    free(host->config_text);
    free(host->config_topic);
    free(host->state_topic);
    free(host->will);
    free(host);
    return NULL;
}
