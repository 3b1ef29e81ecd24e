#include "services/provision/provisioning.h"

#include "base/json_write.h"

#include <string.h>

/* Both formats are the same tree. */

struct json *provision_payload(struct arena *arena, const struct provision_request *request)
{
    const struct msg *msg = request->msg;
    struct json *json = NULL;
    if (!msg->payload_len)
        return json_new(arena, JSON_OBJECT);
    int r = request->format == PROVISION_CBOR
                ? cbor_parse(&json, arena, msg->payload, msg->payload_len, NULL)
                : json_parse(&json, arena, (const char *)msg->payload, msg->payload_len, NULL);
    return r == 0 && json->type == JSON_OBJECT ? json : NULL;
}

struct msg *provision_answer(const struct provision_request *request, const char *verdict,
                             struct arena *arena, const struct json *document)
{
    size_t len;
    const char *topic = arena_printf(arena, "%s/%s", request->msg->topic, verdict);
    const void *bytes = request->format == PROVISION_CBOR ? (const void *)cbor_write(arena, document, &len)
                                                          : (const void *)json_write(arena, document, &len);
    struct msg *answer = msg_new(topic, strlen(topic), bytes, len);
    if (!answer)
        return NULL;
    answer->qos = 1;
    answer->hops = (uint8_t)(request->msg->hops + 1);
    answer->only_for = request->msg->origin;
    answer->born = loop_now(request->provision->loop);
    return answer;
}

struct json *provision_put_text(struct arena *arena, struct json *object, const char *key, const char *text)
{
    struct json *value = json_new_string(arena, text, strlen(text));
    json_append(object, key, strlen(key), value);
    return value;
}
