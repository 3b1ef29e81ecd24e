#include "services/uplink/uplink_maps.h"

#include "base/json_write.h"
#include "base/log.h"
#include "base/topic.h"
#include "bus/topics.h"

#include <errno.h>
#include <string.h>

enum { PIECES = 9, PATTERN_MAX = 1000 };

struct uplink_map {
    char *name, *filter, *topic;
};

/* ---- templates --------------------------------------------------------------------------------------------------- */

static int wildcards_of(const char *filter)
{
    int count = 0;
    for (const char *at = filter; *at; at++)
        count += *at == '+' || *at == '#';
    return count;
}

/* The word at `at`: 0 for ${topic}, 1 to 9 for a piece, -1 for none. *len: how long it is. */
static int word_at(const char *at, size_t *len)
{
    static const char topic[] = "${topic}";
    if (strncmp(at, topic, sizeof topic - 1) == 0) {
        *len = sizeof topic - 1;
        return 0;
    }
    *len = 4;
    return at[0] == '$' && at[1] == '{' && at[2] >= '1' && at[2] <= '9' && at[3] == '}' ? at[2] - '0' : -1;
}

const char *uplink_map_check(const char *filter, const char *topic)
{
    if (!*topic)
        return "a topic, with ${topic} or ${1} to ${9}";
    if (strlen(topic) > PATTERN_MAX)
        return "at most 1000 characters";
    if (strpbrk(topic, "+#"))
        return "a topic without the wildcards + and #";
    int most = wildcards_of(filter);
    for (const char *at = strstr(topic, "${"); at; at = strstr(at + 1, "${")) {
        size_t len;
        int word = word_at(at, &len);
        if (word < 0)
            return "${topic} or ${1} to ${9}";
        if (word > most)
            return "no ${N} for which the filter has no wildcard";
    }
    return NULL;
}

struct text {
    char bytes[MSG_TOPIC_MAX];
    size_t len;
    bool overrun;
};

static void add(struct text *text, const char *bytes, size_t len)
{
    if (len > sizeof text->bytes - text->len) {
        text->overrun = true;
        return;
    }
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
}

static void fill(struct text *text, const char *pattern, const char *topic, size_t topic_len,
                 const struct topic_piece *pieces)
{
    for (const char *at = pattern; *at;) {
        size_t len;
        int word = word_at(at, &len);
        if (word == 0)
            add(text, topic, topic_len);
        else if (word > 0)
            add(text, pieces[word - 1].text, pieces[word - 1].len);
        else
            add(text, at, len = 1);
        at += len;
    }
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static void apply(const struct uplink_map *map, struct bus *bus, const struct msg *msg, const char *topic,
                  size_t topic_len)
{
    struct topic_piece pieces[PIECES] = {0};
    if (!topic_matches(map->filter, strlen(map->filter), topic, topic_len) ||
        topic_pieces(map->filter, topic, topic_len, pieces, PIECES) < 0)
        return;
    struct text *text = mem_new(struct text);
    fill(text, map->topic, topic, topic_len, pieces);
    struct msg *made = NULL;
    if (!text->overrun && text->len)
        made = msg_new(text->bytes, text->len, msg->payload, msg->payload_len);
    free(text);
    if (!made) {
        log_warning("downlink %s: no topic, or no memory, for what came on %.*s", map->name, (int)topic_len,
                    topic);
        return;
    }
    made->qos = msg->qos;
    made->born = msg->born;
    made->hops = (uint8_t)(msg->hops + 1);
    made->from = publisher_ref(msg->from);
    bus_publish(bus, made, NULL);
    (void)msg_unref(made);
}

void uplink_maps_apply(const struct uplink_maps *maps, struct bus *bus, const struct msg *msg)
{
    for (size_t i = 0; i < maps->count; i++)
        apply(&maps->all[i], bus, msg, msg->topic + maps->prefix_len, msg->topic_len - maps->prefix_len);
}

/* ---- which there are --------------------------------------------------------------------------------------------- */

void uplink_maps_done(struct uplink_maps *maps)
{
    for (size_t i = 0; i < maps->count; i++) {
        free(maps->all[i].name);
        free(maps->all[i].filter);
        free(maps->all[i].topic);
    }
    free(maps->all);
    *maps = (struct uplink_maps){0};
}

void uplink_maps_set(struct uplink_maps *maps, const char *uplink, const struct uplink_map_options *options,
                     size_t count)
{
    uplink_maps_done(maps);
    cleanup_free char *prefix = str_printf(TOPIC_CLOUD_RECEIVE_FORMAT, uplink, "");
    maps->prefix_len = strlen(prefix);
    maps->all = mem_new_bytes((count + 1) * sizeof *maps->all);
    for (size_t i = 0; i < count; i++)
        if (strcmp(options[i].uplink, uplink) == 0)
            maps->all[maps->count++] = (struct uplink_map){
                str_copy(options[i].name), str_copy(options[i].filter), str_copy(options[i].topic)};
}

char *uplink_maps_filters(const struct uplink_maps *maps)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_array(&w);
    for (size_t i = 0; i < maps->count; i++)
        json_put_string(&w, maps->all[i].filter);
    json_end_array(&w);
    char *list = str_copy(json_writer_text(&w, NULL));
    arena_done(&arena);
    return list;
}
