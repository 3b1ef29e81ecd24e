#include "host/host.h"

#include "base/clock.h"
#include "base/json_write.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

/* Everything here is called by foreign code: arguments are checked, and structs may be shorter or longer than ours. */

static struct host *host_of(struct gh_host *services)
{
    return container_of(services, struct host, services);
}

static bool is_utf8_up_to(const char *text, size_t max)
{
    return text && strnlen(text, max + 1) <= max && wire_utf8_is_valid(text, strlen(text));
}

/* ---- publishing ---------------------------------------------------------------------------------------- */

static struct publication *free_publication(struct host *host)
{
    for (size_t i = 0; i < array_size(host->publications); i++)
        if (!host->publications[i].used)
            return &host->publications[i];
    return NULL;
}

static bool take_publication(struct gh_publication *ret, const struct gh_publication *given)
{
    if (!given || !GH_HAS(given, gh_publication, payload_len))
        return false;
    *ret = (struct gh_publication){0};
    memcpy(ret, given, size_min(given->size, sizeof *ret));
    return ret->qos <= 1 && is_utf8_up_to(ret->topic, GH_TOPIC_MAX) &&
           wire_topic_is_valid(ret->topic, strlen(ret->topic)) && (ret->payload || !ret->payload_len) &&
           (ret->correlation || !ret->correlation_len) && ret->correlation_len <= UINT16_MAX &&
           (!ret->acknowledges || ret->qos);
}

static int send_publication(struct host *host, const struct gh_publication *given)
{
    struct wire_packet packet = {
        .type = WIRE_PUBLISH,
        .version = WIRE_MQTT5,
        .qos = given->qos,
        .retain = given->retain != 0,
        .topic = {given->topic, (uint16_t)strlen(given->topic)},
        .payload = given->payload,
        .payload_len = given->payload_len,
    };
    if (given->correlation) {
        packet.props.correlation = (struct wire_text){given->correlation, (uint16_t)given->correlation_len};
        wire_set(&packet.props, WIRE_CORRELATION);
    }
    return link_publish(host->link, &packet);
}

static int32_t publish(struct gh_host *services, const struct gh_publication *asked)
{
    struct host *host = host_of(services);
    struct gh_publication given;
    if (!take_publication(&given, asked))
        return GH_E_INVALID;
    if (given.acknowledges && !inbox_find(&host->inbox, given.acknowledges))
        return GH_E_INVALID;
    struct publication *publication = free_publication(host);
    int r = publication ? send_publication(host, &given) : WIRE_BUSY;
    switch (r) {
    case WIRE_BUSY: host->wants_ready = true; return GH_E_BUSY;
    case WIRE_TOO_LONG: return GH_E_TOO_LARGE;
    case WIRE_IS_DOWN: return GH_E_FAILED;
    case -ENOMEM: return GH_E_MEMORY;
    default: break;
    }
    if (!given.qos && !given.done)
        return GH_DONE;
    *publication = (struct publication){
        .used = true,
        .packet_id = (uint16_t)r,
        .topic = given.qos ? strdup(given.topic) : NULL,
        .done = given.done,
        .context = given.context,
        .acknowledges = given.acknowledges,
    };
    host->publishing++;
    return GH_DONE;
}

static int32_t result_of(uint8_t reason)
{
    if (reason < 0x80)
        return GH_DONE;
    switch (reason) {
    case WIRE_NOT_AUTHORIZED: return GH_E_REFUSED;
    case WIRE_TOO_LARGE: return GH_E_TOO_LARGE;
    case WIRE_TOPIC_INVALID: return GH_E_INVALID;
    default: return GH_E_FAILED;
    }
}

static void finish(struct host *host, struct publication *publication, uint8_t reason)
{
    struct publication ended = *publication;
    *publication = (struct publication){0}; /* first: done() may publish */
    host->publishing--;
    int32_t result = result_of(reason);
    if (result < 0)
        log_warning("the gateway refused a message on %s: %s", ended.topic ? ended.topic : "?",
                    wire_reason_text(reason));
    free(ended.topic);
    struct inbox_item *item = ended.acknowledges ? inbox_find(&host->inbox, ended.acknowledges) : NULL;
    if (item)
        host_settle(host, item, result);
    if (ended.done)
        ended.done(ended.context, result);
}

void services_published(struct host *host, uint16_t packet_id, uint8_t reason)
{
    for (size_t i = 0; i < array_size(host->publications); i++) {
        struct publication *publication = &host->publications[i];
        if (publication->used && publication->packet_id == packet_id) {
            finish(host, publication, reason);
            return;
        }
    }
}

void services_idle(struct host *host)
{
    for (size_t i = 0; i < array_size(host->publications); i++)
        if (host->publications[i].used && !host->publications[i].packet_id)
            finish(host, &host->publications[i], WIRE_SUCCESS);
}

bool services_have_room(const struct host *host)
{
    return host->publishing <= GH_PUBLISHING_MAX / 2 && link_is_idle(host->link);
}

/* ---- the others ---------------------------------------------------------------------------------------- */

static int32_t subscribe(struct gh_host *services, const char *filter, uint8_t qos)
{
    struct host *host = host_of(services);
    if (qos > 1 || !is_utf8_up_to(filter, GH_TOPIC_MAX) || !wire_filter_is_valid(filter, strlen(filter)) ||
        host->subscription_count == array_size(host->subscriptions))
        return GH_E_INVALID;
    int r = link_subscribe(host->link, filter, qos);
    if (r <= 0)
        return r == WIRE_BUSY ? GH_E_BUSY : GH_E_FAILED;
    host->subscriptions[host->subscription_count++] =
        (struct wanted){.filter = str_copy(filter), .packet_id = (uint16_t)r};
    host->suback_waits++;
    return GH_DONE;
}

static int32_t acknowledge(struct gh_host *services, uint64_t token, int32_t result)
{
    struct host *host = host_of(services);
    struct inbox_item *item = inbox_find(&host->inbox, token);
    if (!item || result == GH_LATER)
        return GH_E_INVALID;
    host_settle(host, item, result);
    return GH_DONE;
}

static int32_t set_tick(struct gh_host *services, uint32_t interval_ms)
{
    struct host *host = host_of(services);
    if (interval_ms && interval_ms < GH_TICK_MIN_MS)
        return GH_E_INVALID;
    host->tick_ms = interval_ms;
    if (interval_ms)
        timer_start(host->loop, &host->tick, interval_ms);
    else
        timer_stop(host->loop, &host->tick);
    return GH_DONE;
}

/* The gateway's settings are texts; a number or list that somebody has published as configuration is given as JSON. */
static const char *config(struct gh_host *services, const char *key)
{
    struct host *host = host_of(services);
    struct json *value = key ? json_get(host->config, key) : NULL;
    const char *text = NULL;
    if (value && value->type != JSON_STRING)
        text = json_write(&host->arena, value, NULL);
    else if (value)
        (void)json_text(value, &host->arena, &text);
    return text;
}

static void write_log(struct gh_host *services, int32_t level, const char *text)
{
    (void)services;
    if (level < GH_LOG_ERROR || level > GH_LOG_DEBUG)
        level = GH_LOG_INFO;
    log_line((enum log_level)level, "%s", text ? text : "");
}

static uint64_t now(struct gh_host *services)
{
    static const struct clock system_clock;
    (void)services;
    return (uint64_t)clock_mono(&system_clock);
}

static int32_t settle(struct gh_host *services, uint64_t token, int32_t result, const char *reason)
{
    return records_settle(host_of(services), token, result, reason);
}

void services_init(struct host *host)
{
    host->services = (struct gh_host){
        .size = sizeof host->services,
        .abi = GH_ABI,
        .name = host->options->name,
        .publish = publish,
        .subscribe = subscribe,
        .acknowledge = acknowledge,
        .set_tick = set_tick,
        .config = config,
        .log = write_log,
        .now = now,
        .settle = settle,
    };
}

void services_done(struct host *host)
{
    for (size_t i = 0; i < array_size(host->publications); i++)
        free(host->publications[i].topic);
    for (unsigned i = 0; i < host->subscription_count; i++)
        free(host->subscriptions[i].filter);
}
