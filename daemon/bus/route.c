#include "bus/route.h"

#include "base/map.h"
#include "bus/share.h"

#include <string.h>

/* Topics have up to 64 KiB, and a route as many targets as there are subscribers: the number of routes alone bounds nothing. */
enum { ROUTES_MAX = 4096, ROUTES_BYTES_MAX = 8 << 20 /* the cache starts anew beyond */ };

static size_t bytes_of(const struct route *route)
{
    return sizeof *route + route->key.len + route->size * sizeof *route->targets +
           route->id_size * sizeof *route->ids;
}

static void release_shares(struct route *route)
{
    for (size_t i = 0; i < route->count; i++)
        route->targets[i].share = bus_share_unref(route->targets[i].share);
}

static void route_done(struct route *route)
{
    release_shares(route);
    free(route->targets);
    free(route->ids);
    route->targets = NULL;
    route->ids = NULL;
    route->count = route->size = route->id_count = route->id_size = 0;
}

void routes_done(struct routes *routes)
{
    map_for_each(i, key, &routes->cached)
    {
        struct route *route = container_of(key, struct route, key);
        route_done(route);
        free(route);
    }
    map_done(&routes->cached);
    routes->last = NULL;
    routes->bytes = 0;
}

/* A growing list of pointers. */
struct pointers {
    void **at;
    size_t count, size;
};

static void pointers_add(struct pointers *pointers, void *pointer)
{
    if (pointers->count == pointers->size) {
        pointers->size = pointers->size ? 2 * pointers->size : 64;
        void **at = realloc(pointers->at, pointers->size * sizeof *at);
        if (!at)
            abort();
        pointers->at = at;
    }
    pointers->at[pointers->count++] = pointer;
}

/* All that matched, the subscriptions to be grouped by subscriber. */
struct matches {
    struct trie_visitor visitor;
    struct pointers found, shares;
};

static void on_match(struct trie_visitor *visitor, struct subscription *subscription)
{
    pointers_add(&container_of(visitor, struct matches, visitor)->found, subscription);
}

static void on_match_shared(struct trie_visitor *visitor, struct share *share)
{
    pointers_add(&container_of(visitor, struct matches, visitor)->shares, share);
}

static void add_id(struct route *route, uint32_t id)
{
    if (route->id_count == route->id_size) {
        route->id_size = route->id_size ? 2 * route->id_size : 4;
        uint32_t *ids = realloc(route->ids, route->id_size * sizeof *ids);
        if (!ids)
            abort();
        route->ids = ids;
    }
    route->ids[route->id_count++] = id;
}

static void terms_add(struct terms *terms, const struct subscription *s)
{
    terms->any = true;
    terms->retain_as_published |= s->retain_as_published;
    terms->id_count += s->id != 0;
    if (s->qos > terms->qos)
        terms->qos = s->qos;
}

static void add_ids(struct route *route, const struct target *target, const struct pointers *found,
                    bool no_local)
{
    for (size_t i = 0; i < found->count; i++) {
        const struct subscription *s = found->at[i];
        if (s->subscriber == target->subscriber && s->id && s->no_local == no_local)
            add_id(route, s->id);
    }
}

/* First each subscriber once, with what its subscriptions add up to; then the identifiers, subscriber by subscriber; then
 * the groups. */
static void route_fill(struct route *route, const struct matches *matches)
{
    const struct pointers *found = &matches->found;
    size_t all = found->count + matches->shares.count;
    release_shares(route);
    route->count = route->id_count = 0;
    if (all > route->size) {
        free(route->targets);
        route->targets = mem_new_bytes(all * sizeof *route->targets);
        route->size = all;
    }
    for (size_t i = 0; i < found->count; i++) {
        const struct subscription *s = found->at[i];
        if (!s->subscriber->mark) {
            route->targets[route->count++] = (struct target){.subscriber = s->subscriber};
            s->subscriber->mark = (unsigned)route->count;
        }
        struct target *target = &route->targets[s->subscriber->mark - 1];
        terms_add(&target->all, s);
        if (!s->no_local)
            terms_add(&target->own, s);
    }
    for (size_t t = 0; t < route->count; t++) {
        struct target *target = &route->targets[t];
        target->subscriber->mark = 0;
        target->first_id = (uint32_t)route->id_count;
        if (target->all.id_count) {
            add_ids(route, target, found, false);
            add_ids(route, target, found, true);
        }
    }
    for (size_t i = 0; i < matches->shares.count; i++)
        route->targets[route->count++] = (struct target){.share = bus_share_ref(matches->shares.at[i])};
}

static bool is_route_of(const struct route *route, const struct msg *msg)
{
    return route->key.len == msg->topic_len && memcmp(route->key.text, msg->topic, msg->topic_len) == 0;
}

static struct route *route_new(struct routes *routes, const struct msg *msg)
{
    struct route *route = mem_new_bytes(sizeof *route + msg->topic_len);
    memcpy(route + 1, msg->topic, msg->topic_len);
    route->key.text = (char *)(route + 1);
    route->key.len = msg->topic_len;
    map_put(&routes->cached, &route->key);
    routes->bytes += bytes_of(route);
    return route;
}

struct route *routes_find(struct routes *routes, const struct msg *msg)
{
    struct route *last = routes->last; /* who publishes mostly publishes again */
    if (last && last->generation == routes->generation && is_route_of(last, msg))
        return last;
    struct map_key *key = map_get(&routes->cached, msg->topic, msg->topic_len);
    struct route *route = key ? container_of(key, struct route, key) : NULL;
    if (route && route->generation == routes->generation) {
        routes->last = route;
        return route;
    }
    if (routes->bytes > ROUTES_BYTES_MAX || (!route && routes->cached.count >= ROUTES_MAX)) {
        routes_done(routes);
        route = NULL;
    }
    if (!route)
        route = route_new(routes, msg);
    routes->last = route;
    routes->bytes -= bytes_of(route);
    struct matches matches = {.visitor = {on_match, on_match_shared}};
    trie_match(routes->trie, msg->topic, msg->topic_len, &matches.visitor);
    route_fill(route, &matches);
    routes->bytes += bytes_of(route);
    free(matches.found.at);
    free(matches.shares.at);
    route->generation = routes->generation;
    return route;
}

/* ---- without a route --------------------------------------------------------------------------------------------- */

struct ear {
    struct trie_visitor visitor;
    bool hears;
};

static void on_ear(struct trie_visitor *visitor, struct subscription *subscription)
{
    (void)subscription;
    container_of(visitor, struct ear, visitor)->hears = true;
}

static void on_ear_shared(struct trie_visitor *visitor, struct share *share)
{
    (void)share;
    container_of(visitor, struct ear, visitor)->hears = true;
}

/* Topics that nobody hears would push others out of the cache. */
bool routes_has_listener(struct routes *routes, const char *topic, size_t topic_len)
{
    struct map_key *key = map_get(&routes->cached, topic, topic_len);
    struct route *route = key ? container_of(key, struct route, key) : NULL;
    if (route && route->generation == routes->generation)
        return route->count > 0;
    struct ear ear = {.visitor = {on_ear, on_ear_shared}};
    trie_match(routes->trie, topic, topic_len, &ear.visitor);
    return ear.hears;
}
