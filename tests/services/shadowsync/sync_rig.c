#include "services/shadowsync/sync_rig.h"

#include "base/json_write.h"
#include "base/log.h"
#include "base/topic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char publish[] = "$gatehouse/cloud/cloud/publish/",
                  receive[] = "$gatehouse/cloud/cloud/receive/", status[] = "$gatehouse/status/cloud/cloud";

/* ---- the link ---------------------------------------------------------------------------------------------------- */

static void put(struct sync_queue *queue, struct msg *msg)
{
    if (queue->count == queue->size) {
        queue->size = queue->size ? 2 * queue->size : 16;
        queue->list = realloc(queue->list, queue->size * sizeof(struct msg *));
    }
    queue->list[queue->count++] = msg_ref(msg);
}

static struct msg *take(struct sync_queue *queue)
{
    if (!queue->count)
        return NULL;
    struct msg *msg = queue->list[0];
    memmove(queue->list, queue->list + 1, --queue->count * sizeof(struct msg *));
    return msg;
}

static void drop_all(struct sync_queue *queue)
{
    for (struct msg *msg; (msg = take(queue));)
        (void)msg_unref(msg);
}

static void say(struct rig *house, const char *topic, const void *payload, size_t len, uint64_t origin)
{
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), payload, len);
    msg->qos = 1;
    msg->origin = origin;
    msg->born = loop_now(house->loop);
    bus_publish(house->bus, msg, NULL);
}

static bool move(struct sync_queue *queue, struct rig *house, const char *prefix, uint64_t origin)
{
    cleanup(msg_unref_p) struct msg *msg = take(queue);
    if (!msg)
        return false;
    cleanup_free char *topic = str_printf("%s%s", prefix, msg->topic);
    say(house, topic, msg->payload, msg->payload_len, origin);
    return true;
}

bool sync_rig_move_up(struct sync_rig *rig)
{
    return move(&rig->up, rig->there, "", 77); /* the gateway is a client there */
}

bool sync_rig_move_down(struct sync_rig *rig)
{
    return move(&rig->down, rig->here, receive, 0);
}

static void on_here(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                    struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct sync_rig *rig = container_of(subscriber, struct sync_rig, ear_here);
    if (strncmp(msg->topic, "$aws/", 5) == 0) {
        if (rig->on_here)
            rig->on_here(rig->self, msg);
    } else if (strstr(msg->topic, "/subscribe/")) {
        (void)snprintf(rig->filters, sizeof rig->filters, "%s", (const char *)msg->payload);
    } else if (rig->is_up) {
        const char *topic = msg->topic + strlen(publish);
        cleanup(msg_unref_p) struct msg *sent = msg_new(topic, strlen(topic), msg->payload, msg->payload_len);
        put(&rig->up, sent);
        rig->sent_count++;
        (void)snprintf(rig->topic_there, sizeof rig->topic_there, "%s", topic);
    }
}

/* The uplink hears what it has subscribed to. */
static bool is_subscribed(const struct sync_rig *rig, const struct msg *msg)
{
    struct arena arena = {0};
    struct json *filters;
    bool found = false;
    if (json_parse(&filters, &arena, rig->filters, strlen(rig->filters), NULL) == 0)
        json_for_each (filter, filters)
            found |= topic_matches(filter->text, filter->len, msg->topic, msg->topic_len);
    arena_done(&arena);
    return found;
}

static void on_there(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct sync_rig *rig = container_of(subscriber, struct sync_rig, ear_there);
    if (rig->on_there)
        rig->on_there(rig->self, msg);
    if (rig->is_up && is_subscribed(rig, msg))
        put(&rig->down, msg);
}

static void say_status(struct sync_rig *rig)
{
    static const char
        up[] = "{\"name\":\"cloud\",\"state\":\"up\",\"subscribed\":[{\"for\":\"sync\",\"filters\":4,"
               "\"standing\":4,\"refused\":0}]}",
        down[] = "{\"name\":\"cloud\",\"state\":\"down\",\"subscribed\":[{\"for\":\"sync\",\"filters\":4,"
                 "\"standing\":0,\"refused\":0}]}";
    bus_say(rig->here->bus, status, rig->is_up ? up : down, BUS_KEEP);
}

void sync_rig_connect(struct sync_rig *rig)
{
    rig->is_up = true;
    say_status(rig);
}

void sync_rig_cut(struct sync_rig *rig)
{
    rig->is_up = false;
    drop_all(&rig->up);
    drop_all(&rig->down);
    say_status(rig);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void open_sync(struct sync_rig *rig)
{
    CHECK_INT(shadow_new(&rig->shadow_here, rig->here->bus, rig->here->store, &(struct shadow_options){0}),
              0);
    int r = shadowsync_new(&rig->sync, rig->here->bus, rig->here->store, rig->options, rig->option_count);
    if (r == -EIO) /* a commit was made to fail: the gateway does not start, and is started again */
        r = shadowsync_new(&rig->sync, rig->here->bus, rig->here->store, rig->options, rig->option_count);
    CHECK_INT(r, 0);
}

static void on_log(enum log_level level, const char *line)
{
    (void)level, (void)line; /* what is told is asked for with sync_list() */
}

struct sync_rig *sync_rig_new(const struct sync_options *options, size_t count)
{
    log_capture(on_log);
    struct sync_rig *rig = mem_new(struct sync_rig);
    CHECK(count <= array_size(rig->options));
    for (size_t i = 0; i < count; i++) {
        rig->options[i] = options[i];
        rig->options[i].uplink = "cloud";
        if (!rig->options[i].name)
            rig->options[i].name = "plant";
    }
    rig->option_count = count;
    rig->here = rig_new();
    rig->there = rig_new();
    CHECK_INT(shadow_new(&rig->shadow_there, rig->there->bus, rig->there->store, &(struct shadow_options){0}),
              0);
    rig->ear_here.deliver = on_here;
    rig->ear_there.deliver = on_there;
    bus_subscribe_to(rig->here->bus, &rig->sent, &rig->ear_here, "$gatehouse/cloud/cloud/publish/#");
    bus_subscribe_to(rig->here->bus, &rig->asked, &rig->ear_here, "$gatehouse/cloud/cloud/subscribe/sync");
    bus_subscribe_to(rig->here->bus, &rig->answers, &rig->ear_here, "$aws/things/#");
    bus_subscribe_to(rig->there->bus, &rig->answers_there, &rig->ear_there, "$aws/things/#");
    open_sync(rig);
    sync_rig_turn(rig);
    return rig;
}

struct sync_rig *sync_rig_for(const char *shadow, const char *policy)
{
    return sync_rig_new(
        &(struct sync_options){.shadow = shadow, .policy = policy, .rate = 60 * 1000, .burst = 10000}, 1);
}

struct sync_rig *sync_rig_free(struct sync_rig *rig)
{
    if (!rig)
        return NULL;
    rig->sync = shadowsync_free(rig->sync);
    rig->shadow_here = shadow_free(rig->shadow_here);
    rig->shadow_there = shadow_free(rig->shadow_there);
    bus_unsubscribe(rig->here->bus, &rig->sent);
    bus_unsubscribe(rig->here->bus, &rig->asked);
    bus_unsubscribe(rig->here->bus, &rig->answers);
    bus_unsubscribe(rig->there->bus, &rig->answers_there);
    drop_all(&rig->up);
    drop_all(&rig->down);
    free(rig->up.list);
    free(rig->down.list);
    rig->here = rig_free(rig->here);
    rig->there = rig_free(rig->there);
    log_capture(NULL);
    free(rig);
    return NULL;
}

void sync_rig_restart(struct sync_rig *rig)
{
    bool was_up = rig->is_up;
    sync_rig_cut(rig);
    rig->sync = shadowsync_free(rig->sync);
    rig->shadow_here = shadow_free(rig->shadow_here);
    open_sync(rig);
    if (was_up)
        sync_rig_connect(rig);
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

void sync_rig_turn(struct sync_rig *rig)
{
    bool moved;
    do {
        rig_turn(rig->here);
        moved = sync_rig_move_up(rig);
        rig_turn(rig->there);
        moved |= sync_rig_move_down(rig);
        if (rig->is_forgetful) {
            rig_forget(rig->here);
            rig_forget(rig->there);
        }
    } while (moved);
}

void sync_rig_wait(struct sync_rig *rig, int64_t ms)
{
    sync_rig_turn(rig);
    for (int64_t step; ms > 0; ms -= step) {
        step = ms > 100000 ? ms / 100 : (ms > 100 ? 100 : ms);
        clock_move(&rig->here->clock, step);
        clock_move(&rig->there->clock, step);
        sync_rig_turn(rig);
    }
}

/* ---- shadows ----------------------------------------------------------------------------------------------------- */

static char *swapped(const char *text, char from, char to)
{
    char *copy = str_copy(text);
    for (char *at = copy; *at; at++)
        if (*at == from)
            *at = to;
    return copy;
}

static char *topic_of(const char *shadow, const char *verb)
{
    const char *slash = strchr(shadow, '/');
    return slash ? str_printf("$aws/things/%.*s/shadow/name/%s/%s", (int)(slash - shadow), shadow, slash + 1,
                              verb)
                 : str_printf("$aws/things/%s/shadow/%s", shadow, verb);
}

static void request(struct rig *house, const char *shadow, const char *verb, const char *payload)
{
    cleanup_free char *topic = topic_of(shadow, verb);
    say(house, topic, payload, strlen(payload), 0);
}

static void update(struct rig *house, const char *shadow, const char *state)
{
    cleanup_free char *json = swapped(state, '\'', '"');
    cleanup_free char *payload = str_printf("{\"state\":%s}", json);
    request(house, shadow, "update", payload);
}

void update_here(struct sync_rig *rig, const char *shadow, const char *state)
{
    update(rig->here, shadow, state);
}

void update_there(struct sync_rig *rig, const char *shadow, const char *state)
{
    update(rig->there, shadow, state);
}

void delete_here(struct sync_rig *rig, const char *shadow)
{
    request(rig->here, shadow, "delete", "");
}

void delete_there(struct sync_rig *rig, const char *shadow)
{
    request(rig->there, shadow, "delete", "");
}

char *state_of(struct rig *house, const char *shadow)
{
    cleanup_free char *accepted = topic_of(shadow, "get/accepted");
    rig_turn(house);
    size_t before = rig_count(house, accepted);
    request(house, shadow, "get", "");
    rig_turn(house);
    if (rig_count(house, accepted) == before)
        return str_copy("nothing");
    struct arena arena = {0};
    struct json *doc;
    const char *text = rig_last(house, accepted);
    CHECK_INT(json_parse(&doc, &arena, text, strlen(text), NULL), 0);
    struct json *state = json_get(doc, "state");
    (void)json_remove(state, "delta", 5);
    char *result = swapped(json_write(&arena, state, NULL), '"', '\'');
    arena_done(&arena);
    return result;
}

bool state_is(struct rig *house, const char *shadow, const char *expected)
{
    struct arena arena = {0};
    cleanup_free char *state = state_of(house, shadow), *found = swapped(state, '\'', '"'),
                      *wanted = swapped(expected, '\'', '"');
    struct json *a, *b;
    bool is_so = json_parse(&a, &arena, found, strlen(found), NULL) == 0 &&
                 json_parse(&b, &arena, wanted, strlen(wanted), NULL) == 0 && json_equal(a, b);
    arena_done(&arena);
    return is_so;
}

const char *sync_list(struct sync_rig *rig)
{
    const char *answer = rig_request(rig->here, "$gatehouse/ctl/sync/list", "{}");
    CHECK(answer);
    return answer;
}

int64_t sync_number(struct sync_rig *rig, const char *key)
{
    cleanup_free char *name = str_printf("\"%s\":", key);
    const char *at = strstr(sync_list(rig), name);
    CHECK(at);
    return strtoll(at + strlen(name), NULL, 10);
}
