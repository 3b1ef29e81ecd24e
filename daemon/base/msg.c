#include "base/msg.h"

#include <string.h>

static char *add_record(struct msg *msg, char *at, const struct msg_record *from, size_t stream_size)
{
    struct msg_record *record = (struct msg_record *)at;
    *record = *from;
    record->stream = memcpy(record + 1, from->stream, stream_size);
    msg->record = record;
    return (char *)(record + 1) + stream_size;
}

static struct msg *make(const char *topic, size_t topic_len, const struct msg_record *record,
                        const struct msg_props *props, const void *payload, size_t payload_len)
{
    size_t props_len = props ? props->len : 0, stream_size = record ? strlen(record->stream) + 1 : 0;
    if (topic_len > MSG_TOPIC_MAX || payload_len > MSG_PAYLOAD_MAX || props_len > MSG_PAYLOAD_MAX)
        return NULL;
    struct msg *msg = malloc(sizeof *msg + (record ? sizeof *record + stream_size : 0) + topic_len + 1 +
                             props_len + payload_len + 1);
    if (!msg)
        return NULL;
    *msg = (struct msg){.refs = 1, .expiry_s = MSG_NO_EXPIRY};

    char *at = (char *)(msg + 1);
    if (record)
        at = add_record(msg, at, record, stream_size);
    msg->topic = at;
    msg->topic_len = (uint16_t)topic_len;
    memcpy(at, topic, topic_len);
    at += topic_len;
    *at++ = '\0';

    msg->props = (uint8_t *)at;
    msg->props_len = (uint32_t)props_len;
    if (props_len) {
        memcpy(at, props->bytes, props_len);
        if (props->response_at != SIZE_MAX) {
            msg->response_topic = at + props->response_at;
            msg->response_topic_len = (uint16_t)props->response_len;
        }
        if (props->correlation_at != SIZE_MAX) {
            msg->correlation = (uint8_t *)at + props->correlation_at;
            msg->correlation_len = (uint16_t)props->correlation_len;
        }
        at += props_len;
    }

    msg->payload = (uint8_t *)at;
    msg->payload_len = (uint32_t)payload_len;
    if (payload_len)
        memcpy(at, payload, payload_len);
    at[payload_len] = '\0';
    return msg;
}

struct msg *msg_new(const char *topic, size_t topic_len, const void *payload, size_t payload_len)
{
    return make(topic, topic_len, NULL, NULL, payload, payload_len);
}

struct msg *msg_new_props(const char *topic, size_t topic_len, const struct msg_props *props,
                          const void *payload, size_t payload_len)
{
    return make(topic, topic_len, NULL, props, payload, payload_len);
}

struct msg *msg_new_record(const char *topic, size_t topic_len, const struct msg_record *record,
                           const void *payload, size_t payload_len)
{
    return make(topic, topic_len, record, NULL, payload, payload_len);
}

struct msg *msg_ref(struct msg *msg)
{
    msg->refs++;
    return msg;
}

struct msg *msg_unref(struct msg *msg)
{
    if (msg && --msg->refs == 0) {
        if (msg->from)
            (void)publisher_unref(msg->from);
        if (msg->is_secret)
            explicit_bzero((void *)(uintptr_t)msg->payload, msg->payload_len);
        free(msg);
    }
    return NULL;
}

size_t msg_cost(const struct msg *msg)
{
    return sizeof *msg + (msg->record ? sizeof *msg->record : 0) + msg->topic_len + msg->props_len +
           msg->payload_len + 2;
}

uint32_t msg_expiry_left(const struct msg *msg, int64_t now)
{
    if (msg->expiry_s == MSG_NO_EXPIRY)
        return MSG_NO_EXPIRY;
    int64_t waited_s = (now - msg->born) / 1000;
    return waited_s >= (int64_t)msg->expiry_s ? 0 : (uint32_t)(msg->expiry_s - (waited_s > 0 ? waited_s : 0));
}

/* ---- publishers ------------------------------------------------------------------------------------------------ */

struct publisher *publisher_new(const char *client_id, size_t len, const char *principal)
{
    size_t principal_size = principal ? strlen(principal) + 1 : 0;
    struct publisher *publisher = mem_new_bytes(sizeof *publisher + len + 1 + principal_size);
    publisher->refs = 1;
    if (len)
        memcpy(publisher->client_id, client_id, len);
    if (principal)
        publisher->principal = memcpy(publisher->client_id + len + 1, principal, principal_size);
    return publisher;
}

struct publisher *publisher_ref(struct publisher *publisher)
{
    if (publisher)
        publisher->refs++;
    return publisher;
}

struct publisher *publisher_unref(struct publisher *publisher)
{
    if (publisher && --publisher->refs == 0)
        free(publisher);
    return NULL;
}

const char *publisher_name(const struct publisher *publisher)
{
    if (!publisher)
        return "";
    return publisher->principal ? publisher->principal : publisher->client_id;
}

bool msg_came_from(const struct msg *msg, const char *uplink)
{
    return msg->from && msg->from->is_uplink && strcmp(msg->from->client_id, uplink) == 0;
}
