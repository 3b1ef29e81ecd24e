#include "base/log.h"
#include "bus/topics.h"
#include "services/uplink/uplink_state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Which uplinks there are, at the start and whenever the configuration has been read again.
 *
 *      as it was     nothing happens, its connection stays
 *      new           is made, and connects
 *      changed       a new link is made at once, so that what is wrong with it is told before anything happens; the old one
 *                    says goodbye, and when it has gone (on_off) the new one takes its place and connects
 *      gone          the same without a new link. What is left is a name that refuses: a stream that still leads there keeps
 *                    its records, as nobody would miss them else
 *
 * Topics, filters and counters stay with the name. Two connections of one name are never there at once: they have the same
 * client id, and the broker would end the older one again and again.
 */

enum { NAME_MAX_LEN = 64 };

static const char by_maps[] = "downlink"; /* who wants what the maps want */

static bool name_is_valid(const char *name)
{
    size_t len = name ? strlen(name) : 0;
    return len > 0 && len <= NAME_MAX_LEN && !strpbrk(name, "/+#");
}

/* Everything an administrator can write, as one text. */
static char *written(const struct uplink_options *o)
{
    const char *const texts[] = {o->uri,
                                 o->gateway,
                                 o->ca,
                                 o->cert,
                                 o->key,
                                 o->username,
                                 o->password,
                                 o->proxy,
                                 o->client_id,
                                 o->alpn,
                                 o->proxy_password,
                                 o->will_topic,
                                 o->will_message,
                                 o->method,
                                 o->format,
                                 o->headers,
                                 o->authorization,
                                 o->path};
    const int64_t numbers[] = {o->pause_max,
                               o->connect_timeout_s,
                               o->trusts_floor,
                               o->keepalive_s,
                               o->protocol,
                               o->window,
                               o->persistent,
                               o->session_expiry_s,
                               o->will_retain,
                               o->batch_records,
                               (int64_t)o->batch_bytes,
                               o->batch_interval,
                               o->stall_timeout_s,
                               o->connections,
                               o->gzip,
                               (int64_t)o->rotate_bytes,
                               o->rotate_ms,
                               (int64_t)o->disk_max};
    char *all = str_copy("");
    for (size_t i = 0; i < array_size(texts) + array_size(numbers); i++) {
        size_t k = i - array_size(texts);
        char *more = i < array_size(texts) ? str_printf("%s\n%s", all, texts[i] ? texts[i] : "\t")
                                           : str_printf("%s\n%" PRId64, all, numbers[k]);
        free(all);
        all = more;
    }
    return all;
}

/* Which kind serves that URI; one of them does. */
static size_t kind_of(const char *uri)
{
    size_t i = 0;
    while (i + 1 < uplink_kind_count() && !uplink_kinds[i]->serves(uri))
        i++;
    return i;
}

static int link_new(struct link **ret, struct uplink *uplink, const struct uplink_options *options)
{
    struct uplinks *uplinks = uplink->uplinks;
    size_t from = 0;
    const char *key, *expected = uplink_options_check(options, &from, &key);
    if (expected) {
        bool is_uri = strcmp(key, "uri") == 0;
        log_error("uplink %s: %s%sexpected %s%s%s%s", options->name, is_uri ? "" : key, is_uri ? "" : ": ",
                  expected, is_uri ? ", found \"" : "", is_uri ? options->uri : "", is_uri ? "\"" : "");
        return -EINVAL;
    }
    const struct link_house house = {bus_loop(uplinks->bus), uplinks->bus};
    cleanup_free char *receive = str_printf(TOPIC_CLOUD_RECEIVE_FORMAT, options->name, "");
    const struct link_events events = uplink_link_events(receive);
    size_t at = kind_of(options->uri);
    const struct link_kind *kind = uplink_kinds[at];
    if (kind->open && !uplinks->shared[at]) {
        int r = kind->open(&uplinks->shared[at], &house);
        if (r < 0) {
            log_error("uplink %s: the kind \"%s\" cannot begin: %s", options->name, kind->name, strerror(-r));
            return r;
        }
    }
    return kind->create(ret, uplinks->shared[at], &house, options, &events, uplink);
}

/* ---- one uplink -------------------------------------------------------------------------------------------------- */

static void set_options(struct uplink *uplink, const struct uplink_options *options)
{
    free(uplink->uri);
    free(uplink->written);
    uplink->uri = str_copy(options->uri);
    uplink->written = written(options);
    uplink->needs_time = uplink_uri_needs_time(options->uri);
    uplink->trusts_floor = options->trusts_floor;
}

static void on_swap(struct timer *timer)
{
    struct uplink *uplink = container_of(timer, struct uplink, swap);
    if (uplink->link)
        uplink->link = uplink->link->kind->free(uplink->link);
    uplink->link = steal(uplink->next);
    uplink->filters.link = uplink->link;
    if (uplink->link && uplink->link->kind->subscribe)
        bus_send_retained(uplink->uplinks->bus, &uplink->requests); /* what another kind could not ask for */
    if (uplink->link && !uplink->cut)
        uplink_begin(uplink);
}

static int add(struct uplinks *uplinks, const struct uplink_options *options)
{
    struct uplink *uplink = mem_new(struct uplink);
    uplink->uplinks = uplinks;
    int r = link_new(&uplink->link, uplink, options);
    if (r < 0) {
        free(uplink);
        return r;
    }
    uplink->name = str_copy(options->name);
    uplink->publisher = publisher_new(options->name, strlen(options->name), NULL);
    uplink->publisher->is_uplink = true;
    uplink->swap.fire = on_swap;
    set_options(uplink, options);
    uplink_init_topics(uplink);
    struct uplink **all = realloc(uplinks->all, (uplinks->count + 1) * sizeof(struct uplink *));
    if (!all)
        abort();
    uplinks->all = all;
    all[uplinks->count++] = uplink;
    return 0;
}

static void leave(struct uplink *uplink, const char *reason)
{
    uplink_end(uplink, reason);
    if (!uplink->link->kind->says_off)
        timer_start(bus_loop(uplink->uplinks->bus), &uplink->swap, 0);
}

/* The new link takes the place of whatever is there, or of what was to take it. */
static void replace(struct uplink *uplink, const struct uplink_options *options, struct link *next)
{
    if (uplink->next)
        (void)uplink->next->kind->free(uplink->next);
    uplink->next = next;
    set_options(uplink, options);
    if (uplink->link)
        leave(uplink, "its configuration has changed");
    else
        timer_start(bus_loop(uplink->uplinks->bus), &uplink->swap, 0);
}

static void remove_uplink(struct uplink *uplink)
{
    free(uplink->written);
    uplink->written = NULL;
    if (uplink->next)
        uplink->next = uplink->next->kind->free(uplink->next);
    log_notice("uplink %s: is not configured any more", uplink->name);
    if (uplink->link)
        leave(uplink, "it is not configured any more");
}

static void uplink_done(struct uplink *uplink)
{
    struct uplinks *uplinks = uplink->uplinks;
    bus_unsubscribe(uplinks->bus, &uplink->messages);
    bus_unsubscribe(uplinks->bus, &uplink->requests);
    timer_stop(bus_loop(uplinks->bus), &uplink->swap);
    if (uplink->next)
        uplink->next = uplink->next->kind->free(uplink->next);
    if (uplink->link)
        uplink->link = uplink->link->kind->free(uplink->link);
    uplink_filters_done(&uplink->filters);
    uplink_maps_done(&uplink->maps);
    uplink_echo_done(&uplink->echo);
    (void)publisher_unref(uplink->publisher);
    free(uplink->name);
    free(uplink->uri);
    free(uplink->written);
    free(uplink->status_topic);
    free(uplink);
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static bool is_named(const struct uplink_options *options, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (options[i].name && strcmp(options[i].name, name) == 0)
            return true;
    return false;
}

static int check_names(const struct uplink_options *options, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!name_is_valid(options[i].name) || is_named(options, i, options[i].name)) {
            log_error("uplink \"%s\": expected a name of its own, 1 to %d characters without / + #",
                      options[i].name ? options[i].name : "", NAME_MAX_LEN);
            return -EINVAL;
        }
    return 0;
}

static struct uplink *find_ever(struct uplinks *uplinks, const char *name)
{
    for (size_t i = 0; i < uplinks->count; i++)
        if (strcmp(uplinks->all[i]->name, name) == 0)
            return uplinks->all[i];
    return NULL;
}

/* The links of those that have changed: next[i] of options[i]. Nothing has happened yet when one cannot be made. */
static int make_links(struct uplinks *uplinks, const struct uplink_options *options, size_t count,
                      struct link **next)
{
    for (size_t i = 0; i < count; i++) {
        struct uplink *uplink = find_ever(uplinks, options[i].name);
        cleanup_free char *now = written(&options[i]);
        if (!uplink || (uplink->written && strcmp(uplink->written, now) == 0))
            continue;
        int r = link_new(&next[i], uplink, &options[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

int uplinks_apply(struct uplinks *uplinks, const struct uplink_options *options, size_t count)
{
    struct link **next = mem_new_bytes((count + 1) * sizeof(struct link *));
    size_t before = uplinks->count;
    int r = check_names(options, count);
    if (r == 0)
        r = make_links(uplinks, options, count, next);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (!find_ever(uplinks, options[i].name))
            r = add(uplinks, &options[i]);
    if (r < 0) {
        for (size_t i = 0; i < count; i++)
            if (next[i])
                (void)next[i]->kind->free(next[i]);
        while (uplinks->count > before)
            uplink_done(uplinks->all[--uplinks->count]);
        free(next);
        return r;
    }
    for (size_t i = 0; i < before; i++)
        if (uplinks->all[i]->written && !is_named(options, count, uplinks->all[i]->name))
            remove_uplink(uplinks->all[i]);
    for (size_t i = 0; i < count; i++)
        if (next[i]) {
            log_notice("uplink %s: its configuration has changed", options[i].name);
            replace(find_ever(uplinks, options[i].name), &options[i], next[i]);
        }
    for (size_t i = before; i < uplinks->count; i++)
        uplink_begin(uplinks->all[i]);
    free(next);
    return 0;
}

void uplinks_set_maps(struct uplinks *uplinks, const struct uplink_map_options *options, size_t count)
{
    for (size_t i = 0; i < uplinks->count; i++) {
        struct uplink *uplink = uplinks->all[i];
        bool had = uplink->maps.count > 0;
        uplink_maps_set(&uplink->maps, uplink->name, options, count);
        cleanup_free char *list = uplink_maps_filters(&uplink->maps);
        if (!had && !uplink->maps.count)
            continue;
        int r = uplink_filters_set(&uplink->filters, by_maps, list, strlen(list));
        if (r > 0)
            log_error("uplink %s: the filters of its downlinks are refused: reason 0x%02x", uplink->name,
                      (unsigned)r);
    }
}

int uplinks_new(struct uplinks **ret, struct bus *bus, const struct uplink_options *options, size_t count)
{
    cleanup(uplinks_free_p) struct uplinks *uplinks = mem_new(struct uplinks);
    uplinks->bus = bus;
    uplink_ctl_init(uplinks);
    int r = uplinks_apply(uplinks, options, count);
    if (r < 0)
        return r;
    *ret = steal(uplinks);
    return 0;
}

struct uplinks *uplinks_free(struct uplinks *uplinks)
{
    if (!uplinks)
        return NULL;
    uplink_ctl_done(uplinks);
    for (size_t i = 0; i < uplinks->count; i++)
        if (uplinks->all[i]->link)
            uplink_end(uplinks->all[i], "the gateway stops"); /* together, then each is waited for */
    for (size_t i = 0; i < uplinks->count; i++)
        uplink_done(uplinks->all[i]);
    for (size_t i = 0; i < uplink_kind_count(); i++)
        if (uplinks->shared[i])
            uplink_kinds[i]->close(uplinks->shared[i]);
    free(uplinks->all);
    free(uplinks);
    return NULL;
}
