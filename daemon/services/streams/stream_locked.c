/* Streams that could not be opened at the start: the device key is missing or another one, or a file is not to be had.
 *
 * Nothing of them is touched, neither files nor books. Whoever brings a record is refused, so that he keeps it, and whoever asks is told why.
 * The other streams go on. The next start tries again.
 */
#include "services/streams/stream.h"

#include "base/log.h"
#include "bus/topics.h"

#include <errno.h>
#include <string.h>

struct locked {
    struct list link; /* in streams->locked */
    struct subscriber direct;
    struct subscription direct_subscription;
    char *name;
    const char *why;
    int r;
};

static const char *sentence(int r)
{
    switch (r) {
    case -ENOKEY: return "it is not open: the device key is missing; nothing of it was changed";
    case -EKEYREJECTED:
        return "it is not open: it was encrypted with another key than the device key; nothing of it was changed";
    case -ELIBACC:
        return "it is not open: its newest file is packed, and libzstd (libzstd.so.1), which it needs, is not here; "
               "nothing of it was changed";
    default: return "it is not open: its files cannot be opened; the gateway's log says why";
    }
}

void locked_refuse(const struct locked *locked, struct receipt *receipt)
{
    receipt_hold(receipt);
    receipt_settle(receipt, locked->r);
}

static void on_direct(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)msg, (void)delivery;
    locked_refuse(container_of(subscriber, struct locked, direct), receipt);
}

static void say_status(struct streams *streams, const struct locked *locked)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "name");
    json_put_string(&w, locked->name);
    json_key(&w, "state");
    json_put_string(&w, "alarm");
    json_key(&w, "reason");
    json_put_string(&w, locked->why);
    json_key(&w, "since");
    json_put_int(&w, loop_wall(bus_loop(streams->bus)));
    stream_put_number(&w, "damaged", 0);
    stream_put_number(&w, "missing", 0);
    json_end_object(&w);
    cleanup_free char *topic = str_printf(TOPIC_STATUS_STREAM_FORMAT, locked->name);
    bus_say(streams->bus, topic, json_writer_text(&w, NULL), BUS_KEEP);
    arena_done(&arena);
}

void locked_add(struct streams *streams, const char *name, int r)
{
    struct locked *locked = mem_new(struct locked);
    locked->name = str_copy(name);
    locked->why = sentence(r);
    locked->r = r;
    locked->direct.deliver = on_direct;
    list_append(&streams->locked, &locked->link);
    cleanup_free char *topic = str_printf(TOPIC_STREAM_APPEND_FORMAT, name);
    bus_subscribe_to(streams->bus, &locked->direct_subscription, &locked->direct, topic);
    log_error("stream %s: %s; what comes for it is refused", name, locked->why);
    say_status(streams, locked);
}

struct locked *locked_find(const struct streams *streams, const char *name)
{
    list_for_each (link, &streams->locked) {
        struct locked *locked = list_entry(link, struct locked, link);
        if (strcmp(locked->name, name) == 0)
            return locked;
    }
    return NULL;
}

void locked_put(struct json_writer *w, const struct streams *streams)
{
    json_key(w, "locked");
    json_begin_array(w);
    list_for_each (link, &streams->locked) {
        const struct locked *locked = list_entry(link, struct locked, link);
        json_begin_object(w);
        json_key(w, "name");
        json_put_string(w, locked->name);
        json_key(w, "reason");
        json_put_string(w, locked->why);
        json_end_object(w);
    }
    json_end_array(w);
}

void stream_refuse_unknown(struct streams *streams, const struct msg *msg, const char *name)
{
    const struct locked *locked = locked_find(streams, name);
    cleanup_free char *why = locked ? str_printf("stream %s: %s", name, locked->why)
                                    : str_printf("there is no stream \"%s\"", name);
    stream_refuse(streams, msg, locked ? 503 : 404, why);
}

void locked_done(struct streams *streams)
{
    for (struct list *link; (link = list_pop(&streams->locked));) {
        struct locked *locked = list_entry(link, struct locked, link);
        bus_unsubscribe(streams->bus, &locked->direct_subscription);
        free(locked->name);
        free(locked);
    }
}
