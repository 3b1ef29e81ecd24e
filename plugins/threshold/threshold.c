/* Threshold: an alarm when a number in a message is too high or too low.
 *
 *      [plugin boiler]
 *      path = threshold.so
 *      subscribe = dt/+/env        what the gateway lets it do
 *      publish = alarm/#
 *      topic = dt/+/env            which messages
 *      field = temp                where the number is in the JSON payload, members joined by dots; none: the payload is it
 *      above = 30                  the limits: one of them, or both
 *      below = 5
 *      hysteresis = 1              how far back inside clears the alarm; 0 unless given
 *      for_s = 10                  how long beyond before it is an alarm; 0 unless given
 *      alarm = alarm/${1}          where to say it; ${1} to ${9} are what the wildcards stand for, ${topic} is the topic
 *      message = boiler ${1}       words for people; may be left out
 *
 * It says, once per crossing and topic, at QoS 1:
 *
 *      {"state":"raised","side":"above","topic":"dt/b1/env","field":"temp","value":31.5,"limit":30,"message":"boiler b1"}
 *
 * A message that caused an alarm is acknowledged when the gateway has the alarm. What is known of the sources
 * is forgotten when the process ends: an alarm that still holds is raised once more.
 *
 * JSON is read by the gateway's own module, linked in: a plugin needs the public header only, but may bring
 * what it likes, and that one is strict and fuzzed.
 */
#include "base/map.h"
#include "gatehouse_plugin.h"
#include "threshold/alarm.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PAYLOAD_MAX = 65536, SOURCES_MAX = 10000, NUMBER_MAX = 31, TICK_MS = 1000, FOR_MAX_S = 30 * 86400 };

struct threshold {
    struct rule rule;
    struct alarm_text text;
    struct map sources;
    struct arena arena; /* of one callback */
    uint64_t bad, homeless;
};

/* One topic that values come from. */
struct source {
    struct map_key key;
    struct rule_state state;
    char number[NUMBER_MAX + 1]; /* the last, as JSON */
    char topic[];
};

printf_like(3, 4) static void say(struct gh_host *host, int32_t level, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    host->log(host, level, line);
}

/* Is the count 1, 2, 4, 8, …? What goes wrong with every message is not said with every message. */
static bool is_worth_a_line(uint64_t count)
{
    return (count & (count - 1)) == 0;
}

/* ---- configuration ------------------------------------------------------------------------------------- */

static bool read_number(struct gh_host *host, const char *key, double fallback, double min, double max,
                        double *ret)
{
    const char *text = host->config(host, key);
    *ret = fallback;
    if (!text)
        return true;
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || *end || errno || !isfinite(value) || value < min || value > max) {
        say(host, GH_LOG_ERROR, "%s: expected a number%s, found \"%s\"", key,
            min > -HUGE_VAL ? " of 0 or more, within reason" : "", text);
        return false;
    }
    *ret = value;
    return true;
}

static bool read_pattern(struct gh_host *host, const char *key, const char *pattern, const char *filter)
{
    const char *bad;
    if (!pattern || alarm_pattern_is_valid(pattern, filter, &bad))
        return true;
    say(host, GH_LOG_ERROR, "%s: expected ${topic}, or ${1} to ${9} for a wildcard of %s, found \"%s\"", key,
        filter, bad);
    return false;
}

static bool read_config(struct gh_host *host, struct threshold *threshold)
{
    struct rule *rule = &threshold->rule;
    struct alarm_text *text = &threshold->text;
    const char *field = host->config(host, "field"), *alarm = host->config(host, "alarm");
    double for_s;
    text->topic = host->config(host, "topic");
    text->field = field ? field : "";
    text->alarm = alarm ? alarm : "alarm/threshold";
    text->message = host->config(host, "message");
    if (!text->topic) {
        say(host, GH_LOG_ERROR, "topic: expected a topic filter, found none");
        return false;
    }
    if (!read_number(host, "above", HUGE_VAL, -HUGE_VAL, HUGE_VAL, &rule->above) ||
        !read_number(host, "below", -HUGE_VAL, -HUGE_VAL, HUGE_VAL, &rule->below) ||
        !read_number(host, "hysteresis", 0, 0, HUGE_VAL, &rule->hysteresis) ||
        !read_number(host, "for_s", 0, 0, FOR_MAX_S, &for_s) ||
        !read_pattern(host, "alarm", text->alarm, text->topic) ||
        !read_pattern(host, "message", text->message, text->topic))
        return false;
    rule->for_ms = (uint64_t)(for_s * 1000);
    if (isinf(rule->above) && isinf(rule->below)) {
        say(host, GH_LOG_ERROR, "above, below: expected at least one of them, found none");
        return false;
    }
    if (rule->below > rule->above) {
        say(host, GH_LOG_ERROR, "below: expected at most above, found %g, which is more than %g", rule->below,
            rule->above);
        return false;
    }
    return true;
}

/* ---- sources ------------------------------------------------------------------------------------------- */

static struct source *find_source(struct gh_host *host, struct threshold *threshold,
                                  const struct gh_message *m)
{
    struct map_key *key = map_get(&threshold->sources, m->topic, m->topic_len);
    if (key)
        return container_of(key, struct source, key);
    struct source *source = NULL;
    if (threshold->sources.count < SOURCES_MAX)
        source = calloc(1, sizeof *source + m->topic_len + 1);
    if (!source) {
        if (is_worth_a_line(++threshold->homeless))
            say(host, GH_LOG_WARNING, "too many topics: %s is not looked at (%" PRIu64 " messages so far)",
                m->topic, threshold->homeless);
        return NULL;
    }
    memcpy(source->topic, m->topic, m->topic_len);
    source->key = (struct map_key){.text = source->topic, .len = m->topic_len};
    map_put(&threshold->sources, &source->key);
    return source;
}

static void keep_number(struct source *source, const struct json *number, double value)
{
    if (number->len <= NUMBER_MAX)
        (void)snprintf(source->number, sizeof source->number, "%.*s", (int)number->len, number->text);
    else
        (void)snprintf(source->number, sizeof source->number, "%.17g", value);
}

/* Publishes the alarm, if it is one, and takes the new state over only if that was possible: else the same
 * message, or the next tick, decides again. */
static int32_t apply(struct gh_host *host, struct source *source, const struct rule_verdict *verdict,
                     uint64_t token)
{
    struct threshold *threshold = host->self;
    if (verdict->event != RULE_NOTHING) {
        size_t len, topic_len = source->key.len;
        char *payload = alarm_payload(&threshold->arena, &threshold->text, &threshold->rule, verdict,
                                      source->topic, topic_len, source->number, &len);
        struct gh_publication alarm = {
            .size = sizeof alarm,
            .qos = 1,
            .topic = alarm_expand(&threshold->arena, threshold->text.alarm, threshold->text.topic,
                                  source->topic, topic_len),
            .payload = payload,
            .payload_len = (uint32_t)len,
            .acknowledges = token,
        };
        int32_t r = host->publish(host, &alarm);
        if (r < 0)
            return r;
    }
    source->state = verdict->state;
    return verdict->event == RULE_NOTHING ? GH_DONE : GH_LATER;
}

/* ---- callbacks ----------------------------------------------------------------------------------------- */

static int32_t message(struct gh_host *host, const struct gh_message *m)
{
    struct threshold *threshold = host->self;
    arena_reset(&threshold->arena);
    const struct json *number = NULL;
    double value;
    if (m->payload_len <= PAYLOAD_MAX)
        number =
            alarm_number(&threshold->arena, threshold->text.field, (const char *)m->payload, m->payload_len);
    if (!number || !json_double(number, &value)) {
        if (is_worth_a_line(++threshold->bad))
            say(host, GH_LOG_WARNING, "a message on %s has no number%s%s (%" PRIu64 " like it so far)",
                m->topic, *threshold->text.field ? " at " : "", threshold->text.field, threshold->bad);
        return GH_DONE; /* it would not be better the next time */
    }
    struct source *source = find_source(host, threshold, m);
    if (!source)
        return GH_DONE;
    keep_number(source, number, value);
    struct rule_verdict verdict = rule_judge(&threshold->rule, source->state, value, host->now(host));
    return apply(host, source, &verdict, m->token);
}

static void tick(struct gh_host *host, uint64_t now_ms)
{
    struct threshold *threshold = host->self;
    arena_reset(&threshold->arena);
    map_for_each(i, key, &threshold->sources)
    {
        struct source *source = container_of(key, struct source, key);
        struct rule_verdict verdict = rule_wait(&threshold->rule, source->state, now_ms);
        (void)apply(host, source, &verdict, 0);
    }
}

static void stop(struct gh_host *host)
{
    struct threshold *threshold = host->self;
    map_for_each(i, key, &threshold->sources)
    {
        free(container_of(key, struct source, key));
    }
    map_done(&threshold->sources);
    arena_done(&threshold->arena);
    free(threshold);
    host->self = NULL;
}

static int32_t start(struct gh_host *host)
{
    struct threshold *threshold = host->self = mem_new(struct threshold);
    if (!read_config(host, threshold)) {
        stop(host);
        return GH_E_INVALID;
    }
    if (threshold->rule.for_ms)
        (void)host->set_tick(host, TICK_MS);
    return host->subscribe(host, threshold->text.topic, 1);
}

GH_PLUGIN = {
    GH_PLUGIN_HEAD,     .name = "threshold", .version = "1.0", .start = start,
    .message = message, .tick = tick,        .stop = stop,
};
