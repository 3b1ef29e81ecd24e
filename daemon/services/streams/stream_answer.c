/* What the commands and requests have in common: the request's object, and what answers are made of. */
#include "services/streams/stream.h"

#include "base/utf8.h"

#include <string.h>

enum { REQUEST_MAX = 64 * 1024 };

void stream_put_number(struct json_writer *w, const char *key, uint64_t number)
{
    json_key(w, key);
    json_put_uint(w, number);
}

void stream_refuse(struct streams *streams, const struct msg *request, int code, const char *message)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "code");
    json_put_int(&w, code);
    json_key(&w, "message");
    json_put_string(&w, message);
    json_end_object(&w);
    bus_reply(streams->bus, request, json_writer_text(&w, NULL));
    arena_done(&arena);
}

void stream_put_ledger(struct json_writer *w, const struct ledger *l)
{
    stream_put_number(w, "start", l->start);
    stream_put_number(w, "delivered", l->delivered);
    stream_put_number(w, "expired", l->expired);
    stream_put_number(w, "evicted", l->evicted);
    stream_put_number(w, "deadLettered", l->dead);
    stream_put_number(w, "missing", l->missing);
}

void stream_put_payload(struct json_writer *w, const uint8_t *bytes, size_t len)
{
    if (utf8_is_valid((const char *)bytes, len)) {
        json_key(w, "payload");
        json_put_string_n(w, (const char *)bytes, len);
        return;
    }
    size_t size = (len + 2) / 3 * 4;
    char *text = arena_alloc(w->arena, size + 1);
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0, at = 0; i < len; i += 3, at += 4) {
        uint32_t group = (uint32_t)bytes[i] << 16 | (i + 1 < len ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (i + 2 < len ? bytes[i + 2] : 0);
        for (unsigned k = 0; k < 4; k++)
            text[at + k] = i + k > len ? '=' : digits[group >> (18 - 6 * k) & 63];
    }
    json_key(w, "base64");
    json_put_string_n(w, text, size);
}

struct stream *stream_of_topic(struct streams *streams, const struct msg *msg)
{
    static const char before[] = "$gatehouse/streams/";
    const char *name = msg->topic + strlen(before), *end = strchr(name, '/');
    cleanup_free char *copy = str_copy_n(name, (size_t)(end - name));
    struct stream *stream = streams_find(streams, copy);
    if (stream && !stream->deleting)
        return stream;
    stream_refuse_unknown(streams, msg, copy);
    return NULL;
}

struct json *stream_request(struct streams *streams, struct arena *arena, const struct msg *msg)
{
    struct json *json = NULL;
    struct json_error error;
    if (!msg->payload_len)
        return json_new(arena, JSON_OBJECT);
    int r = msg->payload_len > REQUEST_MAX
                ? JSON_INVALID
                : json_parse(&json, arena, (const char *)msg->payload, msg->payload_len, &error);
    if (r == 0 && json_is(json, JSON_OBJECT))
        return json;
    stream_refuse(streams, msg, 400, "expected a JSON object");
    return NULL;
}

bool stream_members_are_known(struct streams *streams, struct arena *arena, const struct msg *msg,
                              const struct json *json, const char *const *names)
{
    json_for_each (member, json) {
        size_t i = 0;
        while (names[i] && !json_key_is(member, names[i], strlen(names[i])))
            i++;
        if (names[i])
            continue;
        const char *list = names[0];
        for (size_t k = 1; names[k]; k++)
            list = arena_printf(arena, "%s%s%s", list, names[k + 1] ? ", " : " or ", names[k]);
        stream_refuse(streams, msg, 400,
                      arena_printf(arena, "expected %s, found a member \"%.*s\"", list,
                                   (int)size_min(member->key_len, 100), member->key));
        return false;
    }
    return true;
}
