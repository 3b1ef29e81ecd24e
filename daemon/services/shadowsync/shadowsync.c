/* The service: which uplinks and which shadows, and who is told what is heard.
 *
 *      the shadow service here ──▶ group ──┐
 *                                          ├──▶ pair ──▶ its round waits for it: an answer
 *      an uplink ──▶ cloud ──▶ group ──────┘           └▶ anything else: somebody has changed the document
 *
 * A shadow belongs to the first section of an uplink that names it.
 */
#include "services/shadowsync/shadowsync.h"

#include "base/json_write.h"
#include "base/log.h"
#include "bus/topics.h"
#include "services/shadowsync/sync_pair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* Who we are for the uplinks. */
#define WHO "sync"

/* ---- what is heard ----------------------------------------------------------------------------------------------- */

static bool group_matches(const struct sync_group *group, const struct topic_piece *thing,
                          const struct topic_piece *name)
{
    for (int i = 0; i < group->pattern_count; i++)
        if (sync_pattern_matches(&group->patterns[i], thing, name))
            return true;
    return false;
}

struct sync_group *cloud_group_of(const struct sync_cloud *cloud, const struct topic_piece *thing,
                                  const struct topic_piece *name)
{
    struct shadowsync *all = cloud->all;
    for (size_t i = 0; i < all->group_count; i++)
        if (all->groups[i].cloud == cloud && group_matches(&all->groups[i], thing, name))
            return &all->groups[i];
    return NULL;
}

/* Is it an answer that nobody of us could have asked for, or only whoever asked has to know? */
static bool is_nothing(enum sync_side side, const struct sync_topic *topic, bool is_ours)
{
    if (is_ours)
        return false;
    if (topic->verb == SYNC_GET) /* AWS IoT leaves out the token of some rejections */
        return topic->accepted || side == SYNC_HERE;
    return !topic->accepted;
}

/* answer: not needed for what happened here. */
static void was_changed(struct sync_group *group, enum sync_side side, const struct sync_topic *topic,
                        const struct sync_answer *answer)
{
    /* A deletion makes nobody known: there is nothing left to compare. */
    struct sync_pair *pair = topic->verb == SYNC_DELETE ? pair_find(group, &topic->thing, &topic->name)
                                                        : pair_of(group, &topic->thing, &topic->name);
    if (pair && side == SYNC_HERE)
        pair_changed_here(pair);
    else if (pair)
        pair_changed_there(pair, topic->verb == SYNC_DELETE ? -1 : answer->version);
}

static void hear(struct sync_group *group, enum sync_side side, const struct sync_topic *topic,
                 const struct msg *msg)
{
    const char *prefix = group->all->token_prefix, *payload = (const char *)msg->payload;
    bool may_be_ours = sync_answer_is_ours(prefix, payload, msg->payload_len);
    if (is_nothing(side, topic, may_be_ours))
        return;
    if (side == SYNC_HERE && !may_be_ours) { /* most of what is heard: who has changed what does not matter */
        was_changed(group, side, topic, NULL);
        return;
    }
    struct arena arena = {0};
    struct sync_answer answer;
    if (!sync_answer_read(&answer, &arena, prefix, topic, payload, msg->payload_len)) {
        arena_done(&arena);
        return;
    }
    struct sync_pair *pair = pair_find(group, &topic->thing, &topic->name);
    struct sync_round *round = pair ? pair->round : NULL;
    bool is_missing = side == SYNC_THERE && topic->verb == SYNC_GET && !topic->accepted &&
                      !answer.has_token && answer.code == 404;
    if (round && (round_awaits(round, side, answer.number) || (is_missing && round_reads_cloud(round))))
        round_answered(round, side, topic, &answer);
    else if (topic->accepted && topic->verb != SYNC_GET)
        was_changed(group, side, topic, &answer);
    arena_done(&arena);
}

static void on_here(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                    struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct sync_group *group = container_of(subscriber, struct sync_group, ear);
    struct sync_topic topic;
    if (msg->origin == 0 && sync_topic_parse(&topic, msg->topic, msg->topic_len) &&
        cloud_group_of(group->cloud, &topic.thing, &topic.name) == group)
        hear(group, SYNC_HERE, &topic, msg);
}

/* ---- the uplink -------------------------------------------------------------------------------------------------- */

static void set_up(struct sync_cloud *cloud, bool is_up, const char *problem)
{
    char *copy = str_copy(problem);
    free(cloud->problem);
    cloud->problem = copy;
    if (cloud->is_up == is_up)
        return;
    cloud->is_up = is_up;
    log_info("sync: uplink %s: %s", cloud->uplink,
             is_up ? "shadows are compared" : "shadows are on their own");
    if (is_up)
        cloud_connected(cloud);
    else
        cloud_lost_sight(cloud);
}

static const struct json *our_subscriptions(const struct json *status)
{
    json_for_each (at, json_get(status, "subscribed"))
        if (json_text_is(json_get(at, "for"), WHO))
            return at;
    return NULL;
}

static void on_status(struct sync_cloud *cloud, const struct msg *msg)
{
    struct arena arena = {0};
    struct json *status;
    if (json_parse(&status, &arena, (const char *)msg->payload, msg->payload_len, NULL) == 0) {
        const struct json *ours = our_subscriptions(status);
        int64_t filters = 0, standing = 0, refused = 0;
        bool is_connected = json_text_is(json_get(status, "state"), "up");
        (void)json_int(json_get(ours, "filters"), 0, INT64_MAX, &filters);
        (void)json_int(json_get(ours, "standing"), 0, INT64_MAX, &standing);
        (void)json_int(json_get(ours, "refused"), 0, INT64_MAX, &refused);
        set_up(cloud, is_connected && filters > 0 && standing == filters,
               is_connected && refused ? "the cloud refuses the subscriptions" : NULL);
    }
    arena_done(&arena);
}

static void on_there(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct sync_cloud *cloud = container_of(subscriber, struct sync_cloud, ear);
    struct sync_topic topic;
    if (msg->origin != 0) /* nobody but the house speaks for the cloud */
        return;
    bool is_received =
        topic_matches(cloud->received.filter, strlen(cloud->received.filter), msg->topic, msg->topic_len);
    if (!is_received) {
        on_status(cloud, msg);
        return;
    }
    if (!sync_topic_parse(&topic, msg->topic + cloud->prefix_len, msg->topic_len - cloud->prefix_len))
        return;
    struct sync_group *group = cloud_group_of(cloud, &topic.thing, &topic.name);
    if (group)
        hear(group, SYNC_THERE, &topic, msg);
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static void on_command(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct shadowsync *all = container_of(subscriber, struct shadowsync, commands);
    if (strcmp(msg->topic, TOPIC_CTL_SYNC_LIST) == 0)
        sync_tell_list(all, msg);
    else
        sync_tell_explain(all, msg);
}

/* ---- wiring ------------------------------------------------------------------------------------------------------ */

static int wrong(const struct sync_options *options, const char *what, const char *expected)
{
    log_error("sync %s: %s: expected %s", options->name, what, expected);
    return -EINVAL;
}

static int group_init(struct sync_group *group, struct shadowsync *all, const struct sync_options *options)
{
    struct sync_pattern patterns[SYNC_PATTERNS_MAX];
    const char *expected, *at;
    group->all = all;
    group->name = str_copy(options->name);
    group->shadow = str_copy(options->shadow);
    group->policy_text = str_copy(options->policy ? options->policy : "");
    group->direction = options->direction;
    group->rate = options->rate ? options->rate : 30;
    group->burst = options->burst ? options->burst : 10;
    group->every = options->every ? options->every : 15 * 60 * 1000;
    if (group->rate < 1 || group->burst < 2 || group->every < PAUSE_MIN)
        return wrong(options, "rate, burst, every", "at least 1, 2 and one second");
    group->pattern_count = sync_patterns_parse(patterns, group->shadow);
    if (group->pattern_count < 0)
        return wrong(options, "shadow", "THING or THING/NAME");
    if (sync_policy_parse(&group->policy, &group->arena, group->policy_text, &expected, &at) < 0)
        return wrong(options, "policy", expected);
    size_t count = (size_t)group->pattern_count;
    group->patterns = mem_new_bytes(count * sizeof *group->patterns);
    memcpy(group->patterns, patterns, count * sizeof *group->patterns);
    group->subscriptions = mem_new_bytes(count * SYNC_FILTERS * sizeof *group->subscriptions);
    return 0;
}

static void group_listen(struct sync_group *group)
{
    struct arena arena = {0};
    group->ear.deliver = on_here;
    for (int i = 0; i < group->pattern_count * SYNC_FILTERS; i++)
        bus_subscribe_to(group->all->bus, &group->subscriptions[i], &group->ear,
                         sync_pattern_filter(&arena, &group->patterns[i / SYNC_FILTERS], i % SYNC_FILTERS));
    arena_done(&arena);
}

static struct sync_cloud *cloud_of(struct shadowsync *all, const char *uplink)
{
    for (size_t i = 0; i < all->cloud_count; i++)
        if (strcmp(all->clouds[i].uplink, uplink) == 0)
            return &all->clouds[i];
    struct sync_cloud *cloud = &all->clouds[all->cloud_count++];
    cloud->all = all;
    cloud->uplink = str_copy(uplink);
    list_init(&cloud->queue);
    return cloud;
}

static void cloud_listen(struct sync_cloud *cloud)
{
    struct bus *bus = cloud->all->bus;
    cleanup_free char *received = str_printf(TOPIC_CLOUD_RECEIVE_FORMAT, cloud->uplink, "#");
    cleanup_free char *status = str_printf(TOPIC_STATUS_CLOUD_FORMAT, cloud->uplink);
    cloud->prefix_len = strlen(received) - 1;
    cloud->ear.deliver = on_there;
    bus_subscribe_to(bus, &cloud->received, &cloud->ear, received);
    bus_subscribe_to(bus, &cloud->status, &cloud->ear, status);
    bus_send_retained(bus, &cloud->status);
}

/* All filters of all sections, in one list: the uplink takes the last one for the whole. */
static void cloud_subscribe(struct sync_cloud *cloud)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_array(&w);
    for (size_t g = 0; g < cloud->all->group_count; g++) {
        const struct sync_group *group = &cloud->all->groups[g];
        for (int i = 0; group->cloud == cloud && i < group->pattern_count * SYNC_FILTERS; i++)
            json_put_string(
                &w, sync_pattern_filter(&arena, &group->patterns[i / SYNC_FILTERS], i % SYNC_FILTERS));
    }
    json_end_array(&w);
    const char *topic = arena_printf(&arena, TOPIC_CLOUD_SUBSCRIBE_FORMAT, cloud->uplink, WHO);
    bus_say(cloud->all->bus, topic, json_writer_text(&w, NULL), BUS_PASS);
    arena_done(&arena);
}

/* ---- what is known from the start -------------------------------------------------------------------------------- */

static void add_plain(struct sync_group *group)
{
    for (int i = 0; i < group->pattern_count; i++) {
        const struct sync_pattern *pattern = &group->patterns[i];
        struct sync_topic topic = {.thing = pattern->thing, .name = {"", 0}};
        if (pattern->name.text)
            topic.name = pattern->name;
        if (sync_pattern_is_plain(pattern) &&
            cloud_group_of(group->cloud, &topic.thing, &topic.name) == group)
            (void)pair_of(group, &topic.thing, &topic.name);
    }
}

struct finding {
    struct sync_scan scan;
    struct sync_cloud *cloud;
};

/* On the store's thread, while the loop waits. */
static void on_found(struct sync_scan *scan, const char *thing, const char *name)
{
    struct finding *finding = container_of(scan, struct finding, scan);
    struct sync_topic topic = {.thing = {thing, strlen(thing)}, .name = {name, strlen(name)}};
    if (topic.thing.len > SYNC_THING_MAX || topic.name.len > SYNC_NAME_MAX)
        return;
    struct sync_group *group = cloud_group_of(finding->cloud, &topic.thing, &topic.name);
    if (group)
        (void)pair_of(group, &topic.thing, &topic.name);
}

static int find_pairs(struct shadowsync *all)
{
    for (size_t i = 0; i < all->group_count; i++)
        add_plain(&all->groups[i]);
    for (size_t i = 0; i < all->cloud_count; i++) {
        struct finding finding = {.scan = {.uplink = all->clouds[i].uplink, .found = on_found},
                                  .cloud = &all->clouds[i]};
        int r = store_run_now(all->store, sync_store_scan, &finding.scan);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static int make_token_prefix(struct shadowsync *all)
{
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return -errno;
    (void)snprintf(all->token_prefix, sizeof all->token_prefix, "gatehouse-sync-%016" PRIx64 "-", random);
    return 0;
}

int shadowsync_new(struct shadowsync **ret, struct bus *bus, struct store *store,
                   const struct sync_options *options, size_t count)
{
    cleanup(shadowsync_free_p) struct shadowsync *all = mem_new(struct shadowsync);
    all->bus = bus;
    all->loop = bus_loop(bus);
    all->store = store;
    all->groups = mem_new_bytes((count + 1) * sizeof *all->groups);
    all->clouds = mem_new_bytes((count + 1) * sizeof *all->clouds);
    int r = make_token_prefix(all);
    for (size_t i = 0; i < count && r >= 0; i++) {
        struct sync_group *group = &all->groups[all->group_count++];
        group->cloud = cloud_of(all, options[i].uplink);
        r = group_init(group, all, &options[i]);
    }
    if (r >= 0)
        r = find_pairs(all);
    if (r < 0)
        return r;
    for (size_t i = 0; i < all->group_count; i++)
        group_listen(&all->groups[i]);
    for (size_t i = 0; i < all->cloud_count; i++) {
        cloud_listen(&all->clouds[i]);
        cloud_subscribe(&all->clouds[i]);
    }
    all->commands.deliver = on_command;
    bus_subscribe_to(bus, &all->list, &all->commands, TOPIC_CTL_SYNC_LIST);
    bus_subscribe_to(bus, &all->explain, &all->commands, TOPIC_CTL_SYNC_EXPLAIN);
    sync_find_begin(all);
    *ret = steal(all);
    return 0;
}

static void unlisten(struct bus *bus, struct subscription *subscription)
{
    if (subscription->subscriber)
        bus_unsubscribe(bus, subscription);
}

static void group_done(struct sync_group *group)
{
    struct sync_pair **pairs = pairs_of(group);
    for (size_t i = 0; pairs[i]; i++)
        pair_free(pairs[i]);
    free(pairs);
    map_done(&group->pairs);
    arena_done(&group->arena);
    free(group->name);
    free(group->shadow);
    free(group->policy_text);
    free(group->patterns);
    free(group->subscriptions);
}

struct shadowsync *shadowsync_free(struct shadowsync *all)
{
    if (!all)
        return NULL;
    for (size_t i = 0; i < all->cloud_count; i++) {
        unlisten(all->bus, &all->clouds[i].received);
        unlisten(all->bus, &all->clouds[i].status);
    }
    for (size_t i = 0; i < all->group_count; i++)
        for (int k = 0; all->groups[i].subscriptions && k < all->groups[i].pattern_count * SYNC_FILTERS; k++)
            unlisten(all->bus, &all->groups[i].subscriptions[k]);
    unlisten(all->bus, &all->list);
    unlisten(all->bus, &all->explain);
    sync_find_end(all);
    for (size_t i = 0; i < all->cloud_count; i++) {
        all->clouds[i].is_up = false;
        cloud_lost_sight(&all->clouds[i]);
    }
    store_quiesce(all->store); /* rounds that wait for it end now */
    for (size_t i = 0; i < all->group_count; i++)
        group_done(&all->groups[i]);
    for (size_t i = 0; i < all->cloud_count; i++) {
        free(all->clouds[i].uplink);
        free(all->clouds[i].problem);
    }
    free(all->groups);
    free(all->clouds);
    free(all);
    return NULL;
}
