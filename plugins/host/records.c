#include "host/records.h"

#include "base/json_write.h"
#include "base/log.h"
#include "base/utf8.h"
#include "host/host.h"

#include <string.h>

void records_init(struct host *host)
{
    inbox_init(&host->records.inbox, NULL); /* QoS 0 is not acknowledged */
}

void records_done(struct host *host)
{
    inbox_done(&host->records.inbox);
    free(host->records.prefix);
}

void records_start(struct host *host)
{
    if (!host->plugin.deliver)
        return;
    cleanup_free char *filter = str_printf("$gatehouse/plugins/%s/deliver/#", host->options->name);
    host->records.prefix = str_copy_n(filter, strlen(filter) - 1);
    if (host->services.subscribe(&host->services, filter, 0) < 0) {
        log_error("cannot subscribe to %s", filter);
        host_fail(host);
    }
}

int records_add(struct host *host, const struct wire_packet *publish)
{
    const char *prefix = host->records.prefix;
    size_t len = prefix ? strlen(prefix) : 0;
    if (!prefix || publish->topic.len <= len || memcmp(publish->topic.text, prefix, len) != 0)
        return 0;
    int r = inbox_add(&host->records.inbox, publish);
    return r < 0 ? r : 1;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static const char *word_of(int32_t result)
{
    return result == GH_DONE ? "delivered" : result == GH_E_NEVER ? "never" : "again";
}

static void answer(struct host *host, const struct gh_message *message, int32_t result, const char *reason)
{
    if (!message->response_topic)
        return;
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "result");
    json_put_string(&w, word_of(result));
    if (reason) {
        json_key(&w, "reason");
        json_put_string_n(&w, reason, utf8_cut(reason, strlen(reason), GH_REASON_MAX));
    }
    json_end_object(&w);
    size_t len;
    const char *text = json_writer_text(&w, &len);
    struct wire_packet packet = {
        .type = WIRE_PUBLISH,
        .version = WIRE_MQTT5,
        .topic = {message->response_topic, (uint16_t)message->response_topic_len},
        .payload = (const uint8_t *)text,
        .payload_len = (uint32_t)len,
    };
    if (message->correlation) {
        packet.props.correlation =
            (struct wire_text){(const char *)message->correlation, (uint16_t)message->correlation_len};
        wire_set(&packet.props, WIRE_CORRELATION);
    }
    if (link_publish(host->link, &packet) < 0) /* the uplink asks again */
        log_warning("no room to say what became of a record");
    arena_done(&arena);
}

int32_t records_settle(struct host *host, uint64_t token, int32_t result, const char *reason)
{
    struct inbox_item *item = inbox_find(&host->records.inbox, token);
    if (!item || result == GH_LATER)
        return GH_E_INVALID;
    answer(host, &item->message, result, reason);
    inbox_settle(&host->records.inbox, item);
    host_ask_for_turn(host); /* there is room for another one */
    return GH_DONE;
}

/* ---- handing over ------------------------------------------------------------------------------------------------ */

static const char *text_of(const struct json *about, const char *key, struct arena *arena)
{
    const char *text = NULL;
    (void)json_text(json_get(about, key), arena, &text);
    return text;
}

/* The correlation data is a JSON object that says whose record it is. */
static void make_record(struct gh_record *record, const struct gh_message *message, size_t prefix_len,
                        struct arena *arena)
{
    struct json *about = NULL;
    int64_t seq = 0;
    if (json_parse(&about, arena, (const char *)message->correlation, message->correlation_len, NULL) != 0)
        about = NULL;
    *record = (struct gh_record){
        .size = sizeof *record,
        .token = message->token,
        .topic = message->topic + prefix_len,
        .topic_len = message->topic_len - (uint32_t)prefix_len,
        .payload = message->payload,
        .payload_len = message->payload_len,
        .stream = text_of(about, "stream", arena),
        .uplink = text_of(about, "uplink", arena),
    };
    (void)json_int(json_get(about, "seq"), 0, INT64_MAX, &seq);
    (void)json_int(json_get(about, "time"), INT64_MIN, INT64_MAX, &record->time);
    record->seq = (uint64_t)seq;
    if (!record->uplink)
        record->uplink = "";
}

/* How many more the plugin may have. */
static uint32_t room_of(const struct host *host)
{
    uint32_t room = GH_RECORDS_MAX;
    list_for_each (link, &host->records.inbox.items)
        room -= list_entry(link, struct inbox_item, link)->state == INBOX_HANDED;
    return room;
}

void records_hand_over(struct host *host)
{
    struct gh_record records[GH_RECORDS_MAX];
    const struct gh_record *pointers[GH_RECORDS_MAX];
    uint64_t tokens[GH_RECORDS_MAX];
    int32_t results[GH_RECORDS_MAX] = {0};
    const char *reasons[GH_RECORDS_MAX] = {0};
    struct arena arena = {0};
    uint32_t count = 0, room = room_of(host);
    for (struct inbox_item *item; count < room && (item = inbox_take(&host->records.inbox)); count++) {
        make_record(&records[count], &item->message, strlen(host->records.prefix), &arena);
        pointers[count] = &records[count];
        tokens[count] = item->message.token;
    }
    if (count)
        host->plugin.deliver(&host->services, pointers, results, reasons, count);
    for (uint32_t i = 0; i < count; i++)
        (void)records_settle(host, tokens[i], results[i], reasons[i]);
    arena_done(&arena);
}
