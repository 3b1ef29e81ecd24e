/* Which shadows there are here: a pattern with + names those, too, that nobody changes any more.
 *
 * The shadow service is asked once after the start, page by page; what comes into being later is heard of. A page without
 * an answer is asked for again.
 */
#include "services/shadowsync/sync_pair.h"

#include "base/json_write.h"
#include "bus/topics.h"

#include <string.h>

enum { PAGE = 200, AGAIN = 30 * 1000 };

static void ask_page(struct shadowsync *all)
{
    struct sync_finder *finder = &all->finder;
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    if (finder->thing) {
        json_key(&w, "after");
        json_begin_object(&w);
        json_key(&w, "thing");
        json_put_string(&w, finder->thing);
        json_key(&w, "name");
        json_put_string(&w, finder->name);
        json_end_object(&w);
    }
    json_key(&w, "limit");
    json_put_int(&w, PAGE);
    json_end_object(&w);
    bus_ask(all->bus, TOPIC_CTL_SHADOW_LIST, json_writer_text(&w, NULL), finder->answers.filter);
    timer_start(all->loop, &finder->again, AGAIN);
    arena_done(&arena);
}

static void on_again(struct timer *timer)
{
    ask_page(container_of(timer, struct shadowsync, finder.again));
}

static void meet(struct shadowsync *all, const struct topic_piece *thing, const struct topic_piece *name)
{
    for (size_t i = 0; i < all->cloud_count; i++) {
        struct sync_group *group = cloud_group_of(&all->clouds[i], thing, name);
        if (group && !pair_find(group, thing, name)) {
            struct sync_pair *pair = pair_of(group, thing, name);
            if (pair)
                pair_changed_here(pair);
        }
    }
}

static void remember(struct sync_finder *finder, const char *thing, const char *name)
{
    free(finder->thing);
    free(finder->name);
    finder->thing = str_copy(thing);
    finder->name = str_copy(name);
}

static void on_page(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                    struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct sync_finder *finder = container_of(subscriber, struct sync_finder, ear);
    struct shadowsync *all = container_of(finder, struct shadowsync, finder);
    struct arena arena = {0};
    struct json *page;
    bool more = false;
    if (msg->origin != 0 || !timer_is_running(&finder->again) ||
        json_parse(&page, &arena, (const char *)msg->payload, msg->payload_len, NULL) != 0 ||
        !json_bool(json_get(page, "more"), &more)) {
        arena_done(&arena); /* a refusal: again, later */
        return;
    }
    timer_stop(all->loop, &finder->again);
    const char *thing = NULL, *name = "";
    json_for_each (row, json_get(page, "shadows")) {
        name = "";
        if (!json_text(json_get(row, "thing"), &arena, &thing))
            continue;
        (void)json_text(json_get(row, "name"), &arena, &name);
        const struct topic_piece a = {thing, strlen(thing)}, b = {name, strlen(name)};
        if (a.len <= SYNC_THING_MAX && b.len <= SYNC_NAME_MAX)
            meet(all, &a, &b);
    }
    if (more && thing) {
        remember(finder, thing, name);
        ask_page(all);
    }
    arena_done(&arena);
}

void sync_find_begin(struct shadowsync *all)
{
    bool has_pattern = false;
    for (size_t g = 0; g < all->group_count; g++)
        for (int i = 0; i < all->groups[g].pattern_count; i++)
            has_pattern |= !sync_pattern_is_plain(&all->groups[g].patterns[i]);
    all->finder.ear.deliver = on_page;
    all->finder.again.fire = on_again;
    if (!has_pattern)
        return;
    cleanup_free char *topic = str_printf(TOPIC_CTL_ANSWER_FORMAT, "sync");
    bus_subscribe_to(all->bus, &all->finder.answers, &all->finder.ear, topic);
    ask_page(all);
}

void sync_find_end(struct shadowsync *all)
{
    timer_stop(all->loop, &all->finder.again);
    if (all->finder.answers.subscriber)
        bus_unsubscribe(all->bus, &all->finder.answers);
    free(all->finder.thing);
    free(all->finder.name);
}
