#include "services/streams/streams_rig.h"

#include "base/json.h"
#include "base/log.h"
#include "store/folder.h"

#include <dirent.h>
#include <stdio.h>

static struct streams_rig *logged; /* whose log is captured */

static void on_log(enum log_level level, const char *line)
{
    if (!logged || level > LOG_LEVEL_WARNING)
        return;
    size_t len = strlen(logged->warnings);
    (void)snprintf(logged->warnings + len, sizeof logged->warnings - len, "%s\n", line);
    logged->warning_count++;
}

static void on_record(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery;
    struct streams_rig *rig = container_of(subscriber, struct streams_rig, cloud);
    if (rig->item_count == rig->item_size) {
        rig->item_size = rig->item_size ? 2 * rig->item_size : 256;
        rig->items = realloc(rig->items, rig->item_size * sizeof *rig->items);
    }
    bool holds = receipt && !rig->takes_all;
    rig->items[rig->item_count++] = (struct cloud_item){msg_ref(msg), holds ? receipt : NULL};
    if (holds)
        receipt_hold(receipt);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static struct streams_rig *rig_at(const char *folder, const char *db, const struct stream_options *streams,
                                  size_t stream_count)
{
    struct streams_rig *rig = mem_new(struct streams_rig);
    CHECK(stream_count <= STREAMS_RIG_MAX);
    memcpy(rig->options, streams, stream_count * sizeof *streams);
    rig->option_count = stream_count;
    rig->folder = folder ? str_copy(folder) : folder_new();
    rig->folder_is_ours = !folder;
    logged = rig;
    log_capture(on_log);
    rig->house = rig_new_at(db);
    rig->cloud.deliver = on_record;
    bus_subscribe_to(rig->house->bus, &rig->cloud_subscription, &rig->cloud, "$gatehouse/cloud/+/publish/#");
    return rig;
}

struct streams_rig *streams_rig_new(const struct stream_options *streams, size_t stream_count,
                                    const struct route_options *routes, size_t route_count)
{
    struct streams_rig *rig = rig_at(NULL, ":memory:", streams, stream_count);
    CHECK(route_count <= STREAMS_RIG_MAX);
    if (route_count)
        memcpy(rig->routes, routes, route_count * sizeof *routes);
    rig->route_count = route_count;
    streams_rig_start(rig);
    return rig;
}

struct streams_rig *streams_rig_new_at(const char *folder, const char *db,
                                       const struct stream_options *streams, size_t stream_count)
{
    return streams_rig_new_sealed(folder, db, streams, stream_count, NULL);
}

struct streams_rig *streams_rig_new_sealed(const char *folder, const char *db,
                                           const struct stream_options *streams, size_t stream_count,
                                           const struct seal_functions *(*seals)(char **why))
{
    struct streams_rig *rig = rig_at(folder, db, streams, stream_count);
    rig->seals = seals;
    streams_rig_start(rig);
    return rig;
}

void streams_rig_start(struct streams_rig *rig)
{
    cleanup_free char *logs = str_printf("%s/streams", rig->folder);
    cleanup_free char *key = str_printf("%s/device.key", rig->folder);
    CHECK_INT(seglogs_open(&rig->logs, rig->house->loop, logs, WORKER_INLINE), 0);
    if (rig->seals)
        seglogs_set_seal(rig->logs, &(struct seal_source){key, true, rig->seals});
    CHECK_INT(streams_new(&rig->streams, rig->house->bus, rig->logs, rig->house->store, rig->options,
                          rig->option_count, rig->routes, rig->route_count),
              0);
}

void streams_rig_stop(struct streams_rig *rig)
{
    for (size_t i = 0; i < rig->option_count; i++)
        if (rig->options[i].uplink)
            cloud_is_down(rig, rig->options[i].uplink);
    cloud_settle_all(rig, CLOUD_NOT_CONNECTED);
    rig->streams = streams_free(rig->streams);
    rig->logs = seglogs_close(rig->logs);
}

struct streams_rig *streams_rig_free(struct streams_rig *rig)
{
    if (!rig)
        return NULL;
    if (rig->streams)
        streams_rig_stop(rig);
    cloud_forget(rig);
    free(rig->items);
    bus_unsubscribe(rig->house->bus, &rig->cloud_subscription);
    rig->house = rig_free(rig->house);
    if (rig->folder_is_ours)
        rig->folder = folder_free(rig->folder);
    free(rig->folder);
    log_capture(NULL);
    logged = NULL;
    free(rig);
    return NULL;
}

/* ---- publishers -------------------------------------------------------------------------------------------------- */

void streams_rig_append(struct streams_rig *rig, const char *stream, unsigned first, unsigned count)
{
    cleanup_free char *topic = str_printf("$gatehouse/streams/%s/append", stream);
    cleanup_free int *settled = mem_new_bytes(count * sizeof *settled);
    for (unsigned i = 0; i < count; i++) {
        char payload[64];
        (void)snprintf(payload, sizeof payload, "%-*u", (int)rig->width, first + i);
        rig_publish_receipt(rig->house, topic, payload, &settled[i]);
    }
    rig_turn(rig->house);
    for (unsigned i = 0; i < count; i++)
        CHECK_INT(settled[i], 0);
}

/* ---- the cloud --------------------------------------------------------------------------------------------------- */

static void say(struct streams_rig *rig, const char *uplink, const char *status)
{
    cleanup_free char *topic = str_printf("$gatehouse/status/cloud/%s", uplink);
    bus_say(rig->house->bus, topic, status, BUS_KEEP);
    rig_turn(rig->house);
}

void cloud_is_up(struct streams_rig *rig, const char *uplink)
{
    say(rig, uplink, "{\"name\":\"any\",\"state\":\"up\"}");
}

void cloud_is_down(struct streams_rig *rig, const char *uplink)
{
    say(rig, uplink, "{\"name\":\"any\",\"state\":\"down\"}");
}

size_t cloud_count(const struct streams_rig *rig)
{
    return rig->item_count;
}

size_t cloud_holds(const struct streams_rig *rig)
{
    size_t count = 0;
    for (size_t i = 0; i < rig->item_count; i++)
        count += rig->items[i].receipt != NULL;
    return count;
}

const char *cloud_topic(const struct streams_rig *rig, size_t i)
{
    return i < rig->item_count ? strstr(rig->items[i].msg->topic, "/publish/") + strlen("/publish/") : NULL;
}

const char *cloud_payload(const struct streams_rig *rig, size_t i)
{
    return i < rig->item_count ? (const char *)rig->items[i].msg->payload : NULL;
}

static void settle(struct cloud_item *item, int r)
{
    struct receipt *receipt = item->receipt;
    item->receipt = NULL;
    receipt_settle(receipt, r);
}

void cloud_settle(struct streams_rig *rig, size_t i, int r)
{
    CHECK(i < rig->item_count && rig->items[i].receipt);
    settle(&rig->items[i], r);
    rig_turn(rig->house);
}

void cloud_settle_all(struct streams_rig *rig, int r)
{
    for (size_t i = 0, count = rig->item_count; i < count; i++)
        if (rig->items[i].receipt)
            settle(&rig->items[i], r);
    rig_turn(rig->house);
}

void cloud_forget(struct streams_rig *rig)
{
    CHECK_INT((int64_t)cloud_holds(rig), 0);
    for (size_t i = 0; i < rig->item_count; i++)
        (void)msg_unref(rig->items[i].msg);
    rig->item_count = 0;
    rig_forget(rig->house);
}

void cloud_check(const struct streams_rig *rig, size_t i, unsigned first, unsigned count)
{
    for (unsigned k = 0; k < count; k++) {
        char payload[64];
        (void)snprintf(payload, sizeof payload, "%-*u", (int)rig->width, first + k);
        CHECK_STR(cloud_payload(rig, i + k), payload);
    }
}

static int is_segment(const struct dirent *entry)
{
    return strstr(entry->d_name, ".seg") != NULL;
}

unsigned streams_rig_file(const struct streams_rig *rig, const char *stream, unsigned i)
{
    cleanup_free char *folder = str_printf("%s/streams/%s", rig->folder, stream);
    struct dirent **names;
    int n = scandir(folder, &names, is_segment, alphasort);
    CHECK(n > (int)i);
    unsigned first = (unsigned)strtoul(names[i]->d_name, NULL, 10);
    for (int k = 0; k < n; k++)
        free(names[k]);
    free(names);
    return first;
}

int64_t streams_rig_number(struct streams_rig *rig, const char *stream, const char *key)
{
    const char *answer = rig_request(rig->house, "$gatehouse/ctl/stream/list", "");
    CHECK(answer);
    struct arena memory = {0};
    struct json *list;
    int64_t number = -1;
    CHECK_INT(json_parse(&list, &memory, answer, strlen(answer), NULL), 0);
    json_for_each (at, json_get(list, "streams"))
        if (json_text_is(json_get(at, "name"), stream))
            (void)json_int(json_get(at, key), 0, INT64_MAX, &number);
    arena_done(&memory);
    return number;
}

void streams_rig_check_books(struct streams_rig *rig)
{
    const char *answer = rig_request(rig->house, "$gatehouse/ctl/stream/verify", "");
    CHECK(answer);
    if (strstr(answer, "\"balanced\":false") || !strstr(answer, "\"balanced\":true}"))
        CHECK_STR(answer, "balanced books");
}
