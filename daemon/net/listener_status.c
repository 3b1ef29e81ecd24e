#include "net/listener_status.h"

static void put(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_put_uint(w, value);
}

void listener_put_counters(const struct listener *listener, struct json_writer *w)
{
    if (!listener)
        return;
    struct listener_counters counted;
    listener_counters(listener, &counted);
    json_begin_object(w);
    json_key(w, "uri");
    json_put_string(w, listener_name(listener));
    put(w, "accepted", counted.accepted);
    put(w, "heldBack", counted.held_back);
    put(w, "refusedPerAddress", counted.refused_per_address);
    put(w, "refusedProxy", counted.refused_proxy);
    put(w, "exhausted", counted.exhausted);
    json_end_object(w);
}

void listener_put_certificate(const struct listener *listener, struct json_writer *w)
{
    int64_t expires = listener ? listener_expires(listener) : 0;
    if (!expires)
        return;
    json_begin_object(w);
    json_key(w, "listener");
    json_put_string(w, listener_name(listener));
    json_key(w, "expires");
    json_put_int(w, expires);
    json_end_object(w);
}
