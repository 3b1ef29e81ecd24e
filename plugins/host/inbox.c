#include "host/inbox.h"

#include "wire/mqtt.h"

#include <errno.h>
#include <string.h>

void inbox_init(struct inbox *inbox, void (*acknowledge)(struct inbox *inbox, uint16_t packet_id))
{
    *inbox = (struct inbox){.acknowledge = acknowledge};
    list_init(&inbox->items);
    list_init(&inbox->spent);
}

static void sweep(struct list *list)
{
    for (struct list *link; (link = list_pop(list));)
        free(list_entry(link, struct inbox_item, link));
}

void inbox_done(struct inbox *inbox)
{
    sweep(&inbox->items);
    sweep(&inbox->spent);
    inbox->count = inbox->qos0_count = 0;
}

/* Appends bytes and a NUL to what the item holds; NULL stays NULL. */
static const void *keep(char **at, const void *bytes, size_t len)
{
    char *copy = *at;
    if (len)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    *at = copy + len + 1;
    return copy;
}

int inbox_add(struct inbox *inbox, const struct wire_packet *publish)
{
    if (!publish->qos && inbox->qos0_count == INBOX_QOS0_MAX) {
        inbox->qos0_dropped++;
        return 0;
    }
    const struct wire_props *props = &publish->props;
    struct wire_text response = {0}, correlation = {0};
    bool has_response = wire_has(props, WIRE_RESPONSE_TOPIC);
    bool has_correlation = wire_has(props, WIRE_CORRELATION);
    if (has_response)
        response = props->response_topic;
    if (has_correlation)
        correlation = props->correlation;

    size_t len = (size_t)publish->topic.len + publish->payload_len + response.len + correlation.len + 4;
    struct inbox_item *item = calloc(1, sizeof *item + len);
    if (!item)
        return -ENOMEM;
    char *at = item->bytes;
    item->packet_id = publish->packet_id;
    item->message = (struct gh_message){
        .size = sizeof item->message,
        .qos = publish->qos,
        .retain = publish->retain,
        .again = publish->dup,
        .token = ++inbox->last_token,
        .topic = keep(&at, publish->topic.text, publish->topic.len),
        .topic_len = publish->topic.len,
        .payload = keep(&at, publish->payload, publish->payload_len),
        .payload_len = publish->payload_len,
        .response_topic = has_response ? keep(&at, response.text, response.len) : NULL,
        .response_topic_len = response.len,
        .correlation = has_correlation ? keep(&at, correlation.text, correlation.len) : NULL,
        .correlation_len = correlation.len,
    };
    list_append(&inbox->items, &item->link);
    inbox->count++;
    inbox->qos0_count += !publish->qos;
    return 0;
}

struct inbox_item *inbox_take(struct inbox *inbox)
{
    sweep(&inbox->spent);
    list_for_each (link, &inbox->items) {
        struct inbox_item *item = list_entry(link, struct inbox_item, link);
        if (item->state == INBOX_WAITING) {
            item->state = INBOX_HANDED;
            return item;
        }
    }
    return NULL;
}

void inbox_put_back(struct inbox_item *item)
{
    item->state = INBOX_WAITING;
    item->message.again = 1;
}

struct inbox_item *inbox_find(struct inbox *inbox, uint64_t token)
{
    list_for_each (link, &inbox->items) {
        struct inbox_item *item = list_entry(link, struct inbox_item, link);
        if (item->message.token == token)
            return item->state == INBOX_HANDED ? item : NULL;
    }
    return NULL;
}

static void remove_item(struct inbox *inbox, struct inbox_item *item)
{
    list_remove(&item->link);
    inbox->count--;
    inbox->qos0_count -= !item->message.qos;
    list_append(&inbox->spent, &item->link);
}

void inbox_settle(struct inbox *inbox, struct inbox_item *item)
{
    item->state = INBOX_DONE;
    /* QoS 0 has no acknowledgement that could come too early. */
    if (!item->message.qos) {
        remove_item(inbox, item);
        return;
    }
    list_for_each_safe (link, &inbox->items) {
        struct inbox_item *first = list_entry(link, struct inbox_item, link);
        if (!first->message.qos)
            continue;
        if (first->state != INBOX_DONE)
            return;
        if (!first->acknowledged)
            inbox->acknowledge(inbox, first->packet_id);
        remove_item(inbox, first);
    }
}

void inbox_give_up(struct inbox *inbox, struct inbox_item *item)
{
    item->acknowledged = true;
    inbox->acknowledge(inbox, item->packet_id);
}
