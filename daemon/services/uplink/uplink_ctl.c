#include "base/json.h"
#include "base/json_write.h"
#include "base/log.h"
#include "bus/topics.h"
#include "services/uplink/uplink_state.h"

#include <string.h>

/* What is asked of uplinks, and what they hear: the network came, the clock was set. */

enum { ASK_MAX = 1024, NEWS_MAX = 4096 };

struct uplink *uplink_find(struct uplinks *uplinks, const char *name)
{
    for (size_t i = 0; name && i < uplinks->count; i++)
        if (uplinks->all[i]->written && strcmp(uplinks->all[i]->name, name) == 0)
            return uplinks->all[i];
    return NULL;
}

static void put_refusal(struct json_writer *w, int code, const char *message)
{
    json_begin_object(w);
    json_key(w, "code");
    json_put_int(w, code);
    json_key(w, "message");
    json_put_string(w, message);
    json_end_object(w);
}

/* The uplink a request {"name":…} speaks of; NULL: the answer says why there is none. */
static struct uplink *find_asked(struct uplinks *uplinks, const struct msg *msg, struct arena *arena,
                                 struct json_writer *w)
{
    struct json *request;
    const char *name;
    if (msg->payload_len > ASK_MAX ||
        json_parse(&request, arena, (const char *)msg->payload, msg->payload_len, NULL) != 0 ||
        !json_text(json_get(request, "name"), arena, &name)) {
        put_refusal(w, 400, "expected {\"name\":\"…\"}, the name of an uplink");
        return NULL;
    }
    struct uplink *uplink = uplink_find(uplinks, name);
    if (!uplink)
        put_refusal(w, 404, arena_printf(arena, "there is no uplink \"%s\"", name));
    return uplink;
}

static void list_uplinks(struct uplinks *uplinks, struct json_writer *w)
{
    json_begin_object(w);
    json_key(w, "uplinks");
    json_begin_array(w);
    for (size_t i = 0; i < uplinks->count; i++)
        if (uplinks->all[i]->written)
            uplink_put(w, uplinks->all[i]);
    json_end_array(w);
    json_end_object(w);
}

static void command(struct uplinks *uplinks, const struct msg *msg, struct arena *arena,
                    struct json_writer *w)
{
    if (strcmp(msg->topic, TOPIC_CTL_UPLINK_LIST) == 0) {
        list_uplinks(uplinks, w);
        return;
    }
    struct uplink *uplink = find_asked(uplinks, msg, arena, w);
    if (!uplink)
        return;
    if (strcmp(msg->topic, TOPIC_CTL_UPLINK_CUT) == 0) {
        log_notice("uplink %s: cut on request", uplink->name);
        uplink->cut = true;
        if (uplink->link) /* else it is on the way, and will not connect */
            uplink_end(uplink, "cut on request");
    } else if (uplink->state != UPLINK_UP) {
        log_notice("uplink %s: restored on request", uplink->name);
        uplink->cut = false;
        if (!uplink->next) /* which connects when it has taken its place; the old one must go */
            uplink_begin(uplink);
    }
    uplink_put(w, uplink);
}

static void on_command(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct uplinks *uplinks = container_of(subscriber, struct uplinks, commands);
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    command(uplinks, msg, &arena, &w);
    bus_reply(uplinks->bus, msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

/* ---- news -------------------------------------------------------------------------------------------------------- */

/* Kinds that have nothing to look at only try again. */
static void on_network_came(struct uplinks *uplinks)
{
    for (size_t i = 0; i < uplinks->count; i++) {
        struct uplink *uplink = uplinks->all[i];
        if (!uplink->link || uplink->next || uplink->cut || uplink->waits_for_time)
            continue;
        if (uplink->link->kind->network_came)
            uplink->link->kind->network_came(uplink->link);
        else if (uplink->state == UPLINK_DOWN)
            uplink->link->kind->start(uplink->link);
    }
}

static void on_clock(struct uplinks *uplinks, bool set)
{
    uplinks->time_unknown = !set;
    for (size_t i = 0; i < uplinks->count; i++) {
        struct uplink *uplink = uplinks->all[i];
        if (set && uplink->link && uplink->link->kind->set_verify_time)
            uplink->link->kind->set_verify_time(uplink->link, 0);
        if (set && uplink->waits_for_time)
            uplink_begin(uplink);
    }
}

static void on_news(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                    struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct uplinks *uplinks = container_of(subscriber, struct uplinks, listener);
    struct arena arena = {0};
    struct json *news;
    bool set;
    if (msg->payload_len > NEWS_MAX ||
        json_parse(&news, &arena, (const char *)msg->payload, msg->payload_len, NULL) != 0)
        news = NULL;
    if (news && strcmp(msg->topic, TOPIC_STATUS_NETWORK) == 0 &&
        json_text_is(json_get(news, "changed"), "came"))
        on_network_came(uplinks);
    if (news && strcmp(msg->topic, TOPIC_STATUS_CLOCK) == 0 && json_bool(json_get(news, "set"), &set)) {
        (void)json_int(json_get(news, "floor"), 0, INT64_MAX, &uplinks->floor);
        on_clock(uplinks, set);
    }
    arena_done(&arena);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void uplink_ctl_init(struct uplinks *uplinks)
{
    struct bus *bus = uplinks->bus;
    uplinks->commands.deliver = on_command;
    bus_subscribe_to(bus, &uplinks->list, &uplinks->commands, TOPIC_CTL_UPLINK_LIST);
    bus_subscribe_to(bus, &uplinks->cut, &uplinks->commands, TOPIC_CTL_UPLINK_CUT);
    bus_subscribe_to(bus, &uplinks->restore, &uplinks->commands, TOPIC_CTL_UPLINK_RESTORE);
    uplinks->listener.deliver = on_news;
    bus_subscribe_to(bus, &uplinks->network, &uplinks->listener, TOPIC_STATUS_NETWORK);
    bus_subscribe_to(bus, &uplinks->clock, &uplinks->listener, TOPIC_STATUS_CLOCK);
    bus_send_retained(bus, &uplinks->clock); /* before the first of them connects */
}

void uplink_ctl_done(struct uplinks *uplinks)
{
    struct subscription *all[] = {&uplinks->list, &uplinks->cut, &uplinks->restore, &uplinks->network,
                                  &uplinks->clock};
    for (size_t i = 0; i < array_size(all); i++)
        bus_unsubscribe(uplinks->bus, all[i]);
}
