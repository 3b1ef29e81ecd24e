#include "services/uplink/uplink_filters.h"

#include "base/log.h"
#include "base/topic.h"
#include "base/utf8.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

enum { ASKED_AT_ONCE = 8, FILTER_MAX_LEN = 60000, TEXT_MAX = 256 * 1024 };
enum { QUOTA_EXCEEDED = 0x97, PAYLOAD_FORMAT_INVALID = 0x99, TOPIC_FILTER_INVALID = 0x8F };

enum filter_state { WAITING, ASKING, STANDING, REFUSED };

struct filter {
    struct map_key key;
    struct uplink_filters *all;
    struct list link; /* in the queue */
    enum filter_state state;
    unsigned users;
    _Alignas(max_align_t) struct link_subscribe ask; /* and behind it the kind's part, and the text */
};

struct user {
    struct map_key key;
    struct filter **filters;
    size_t count;
};

static void pump(struct uplink_filters *all);

/* ---- one filter -------------------------------------------------------------------------------------------------- */

static void forget(struct filter *filter)
{
    list_remove(&filter->link);
    map_remove(&filter->all->filters, &filter->key);
    free(filter);
}

/* What has to be done for it now, if anything; it may be gone afterwards. */
static void consider(struct filter *filter)
{
    struct uplink_filters *all = filter->all;
    bool wanted = filter->users > 0;
    if (filter->state == ASKING)
        return;
    if (!wanted && filter->state != STANDING)
        forget(filter);
    else if (!all->is_up || wanted == (filter->state == STANDING) || filter->state == REFUSED)
        list_remove(&filter->link);
    else if (!list_is_linked(&filter->link))
        list_append(&all->queue, &filter->link);
}

static void on_answered(struct link_subscribe *ask, int r)
{
    struct filter *filter = container_of(ask, struct filter, ask);
    struct uplink_filters *all = filter->all;
    assert(filter->state == ASKING);
    all->asking--;
    all->changed = all->is_up; /* that it went down has been said */
    if (ask->off || r == -ENOTCONN)
        filter->state = WAITING; /* given back, or forgotten with the connection */
    else
        filter->state = r == 0 ? STANDING : REFUSED;
    if (filter->state == REFUSED && r > 0)
        log_warning("uplink %s: the broker refuses the subscription to %s: reason 0x%02x", all->name,
                    ask->filter, (unsigned)r);
    else if (filter->state == REFUSED)
        log_warning("uplink %s: cannot subscribe to %s: %s", all->name, ask->filter, strerror(-r));
    consider(filter);
    pump(all);
}

static void ask_broker(struct filter *filter)
{
    struct link *link = filter->all->link;
    filter->ask = (struct link_subscribe){
        .filter = filter->key.text, .off = filter->state == STANDING, .done = on_answered};
    if (link->kind->subscribe(link, &filter->ask) < 0)
        return; /* it is going down, and will be told */
    filter->state = ASKING;
    filter->all->asking++;
}

static void pump(struct uplink_filters *all)
{
    while (all->is_up && all->asking < ASKED_AT_ONCE) {
        struct list *link = list_pop(&all->queue);
        if (!link)
            break;
        ask_broker(list_entry(link, struct filter, link));
    }
    if (all->asking || !all->changed)
        return;
    all->changed = false;
    all->settled(all);
}

/* ---- lists of filters -------------------------------------------------------------------------------------------- */

static bool filter_is_good(const char *text, size_t len)
{
    if (!len || len > FILTER_MAX_LEN || memchr(text, '\0', len) || !utf8_is_valid(text, len))
        return false;
    const char *level;
    size_t level_len;
    for (size_t at = 0; topic_level(text, len, &at, &level, &level_len);) {
        bool many = memchr(level, '#', level_len) != NULL;
        if ((many || memchr(level, '+', level_len)) && level_len != 1)
            return false;
        if (many && level + 1 != text + len)
            return false;
    }
    return true;
}

static struct filter *filter_of(struct uplink_filters *all, const char *text, size_t len)
{
    struct map_key *key = map_get(&all->filters, text, len);
    if (key)
        return container_of(key, struct filter, key);
    size_t size = offsetof(struct filter, ask) + all->ask_size;
    struct filter *filter = mem_new_bytes(size + len + 1);
    char *copy = (char *)filter + size;
    memcpy(copy, text, len);
    filter->all = all;
    filter->key = (struct map_key){.text = copy, .len = (uint32_t)len};
    map_put(&all->filters, &filter->key);
    return filter;
}

static void take_back(struct user *user)
{
    for (size_t i = 0; i < user->count; i++) {
        user->filters[i]->users--;
        consider(user->filters[i]);
    }
    free(user->filters);
    user->filters = NULL;
    user->count = 0;
}

static struct user *user_of(struct uplink_filters *all, const char *name)
{
    size_t len = strlen(name);
    struct map_key *key = map_get(&all->users, name, len);
    if (key)
        return container_of(key, struct user, key);
    struct user *user = mem_new_bytes(sizeof *user + len + 1);
    char *copy = (char *)(user + 1);
    memcpy(copy, name, len);
    user->key = (struct map_key){.text = copy, .len = (uint32_t)len};
    map_put(&all->users, &user->key);
    return user;
}

static void forget_user(struct uplink_filters *all, struct user *user)
{
    take_back(user);
    map_remove(&all->users, &user->key);
    free(user);
}

/* 0, or the reason code. What is in the list already costs nothing, so at most as many as it names are new. */
static int check(const struct uplink_filters *all, const char *name, const struct json *list)
{
    size_t fresh = 0;
    if (!json_is(list, JSON_ARRAY))
        return PAYLOAD_FORMAT_INVALID;
    json_for_each (at, list) {
        if (at->type != JSON_STRING)
            return PAYLOAD_FORMAT_INVALID;
        if (!filter_is_good(at->text, at->len))
            return TOPIC_FILTER_INVALID;
        fresh += !map_get(&all->filters, at->text, at->len);
    }
    bool is_known = map_get(&all->users, name, strlen(name)) != NULL;
    return all->filters.count + fresh > UPLINK_FILTERS_MAX ||
                   (!is_known && all->users.count >= UPLINK_USERS_MAX)
               ? QUOTA_EXCEEDED
               : 0;
}

static void replace(struct uplink_filters *all, const char *name, const struct json *list)
{
    struct user *user = user_of(all, name), before = *user;
    user->filters = mem_new_bytes((list->len + 1) * sizeof(struct filter *));
    user->count = 0;
    json_for_each (at, list) {
        struct filter *filter = filter_of(all, at->text, at->len);
        filter->users++;
        user->filters[user->count++] = filter;
        consider(filter);
    }
    take_back(&before); /* last, so that what is in both lists stays subscribed */
    if (!user->count)
        forget_user(all, user);
}

int uplink_filters_set(struct uplink_filters *all, const char *name, const char *text, size_t len)
{
    size_t name_len = strlen(name);
    if (!name_len || name_len > UPLINK_USER_NAME_MAX)
        return QUOTA_EXCEEDED;
    if (len > TEXT_MAX)
        return QUOTA_EXCEEDED;
    struct arena arena = {0};
    struct json *list = NULL;
    int r = 0;
    if (len == 0)
        list = json_new(&arena, JSON_ARRAY);
    else if (json_parse(&list, &arena, text, len, NULL) != 0)
        r = PAYLOAD_FORMAT_INVALID;
    if (r == 0)
        r = check(all, name, list);
    if (r == 0) {
        replace(all, name, list);
        all->changed = true;
        pump(all);
    }
    arena_done(&arena);
    return r;
}

/* ---- the link ---------------------------------------------------------------------------------------------------- */

/* consider() may take the filter out of the map, which moves others: so they are listed first. */
static void consider_all(struct uplink_filters *all, bool start_over)
{
    size_t count = 0;
    struct filter **list = mem_new_bytes((all->filters.count + 1) * sizeof(struct filter *));
    map_for_each(i, key, &all->filters) list[count++] = container_of(key, struct filter, key);
    for (size_t i = 0; i < count; i++) {
        if (start_over &&
            list[i]->state != ASKING) /* its answer, that there is no connection, is still to come */
            list[i]->state = WAITING;
        consider(list[i]);
    }
    free(list);
}

void uplink_filters_up(struct uplink_filters *all)
{
    if (!all->link->kind->subscribe) /* what is wanted waits for a link of another kind */
        return;
    all->is_up = true;
    consider_all(all, false);
    pump(all);
}

void uplink_filters_down(struct uplink_filters *all)
{
    all->is_up = false;
    all->changed = false; /* whoever says that it is down says this, too */
    consider_all(all, true);
}

void uplink_filters_init(struct uplink_filters *all, struct link *link, size_t ask_size, const char *name,
                         void (*settled)(struct uplink_filters *filters))
{
    *all = (struct uplink_filters){.link = link, .ask_size = ask_size, .name = name, .settled = settled};
    list_init(&all->queue);
}

static void free_all(struct map *map, void (*release)(struct map_key *key))
{
    map_for_each(i, key, map) release(key);
    map_done(map);
}

static void release_user(struct map_key *key)
{
    struct user *user = container_of(key, struct user, key);
    free(user->filters);
    free(user);
}

static void release_filter(struct map_key *key)
{
    free(container_of(key, struct filter, key));
}

void uplink_filters_done(struct uplink_filters *all)
{
    assert(!all->asking);
    free_all(&all->users, release_user);
    free_all(&all->filters, release_filter);
}

/* ---- status ------------------------------------------------------------------------------------------------------ */

static void put_count(struct json_writer *w, const char *key, const struct user *user,
                      enum filter_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < user->count; i++)
        n += user->filters[i]->state == state;
    json_key(w, key);
    json_put_uint(w, n);
}

void uplink_filters_put(struct json_writer *w, const struct uplink_filters *all)
{
    json_begin_array(w);
    map_for_each(i, key, &all->users)
    {
        const struct user *user = container_of(key, struct user, key);
        json_begin_object(w);
        json_key(w, "for");
        json_put_string_n(w, key->text, key->len);
        json_key(w, "filters");
        json_put_uint(w, user->count);
        put_count(w, "standing", user, STANDING);
        put_count(w, "refused", user, REFUSED);
        json_end_object(w);
    }
    json_end_array(w);
}
