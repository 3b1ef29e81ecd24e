/* A kind of uplink: what services/uplink wants of whoever takes records away.
 *
 *      services/uplink ──publish──▶ struct link of some kind ──▶ a broker, a server, a folder, a plugin
 *                      ◀───done────                              took it, or why not
 *
 * The general part has the topics, the status, cut and restore. A kind has the connection, if there is such a thing, and
 * whatever waits before it. Another kind is
 *
 *      1. a struct that begins with a struct link,
 *      2. one struct link_kind, whose functions find that struct with container_of(),
 *      3. a row in the table of kinds in services/uplink/uplink.c, and a scheme in uplink_uri_check().
 *
 * Everything runs on the loop; what blocks is on a worker of the kind's own.
 */
#pragma once

#include "base/base.h"
#include "base/msg.h"
#include "cloud/uplink_options.h"

struct bus;
struct loop;
struct link_kind;

struct link {
    const struct link_kind *kind;
};

/* Where links live. The bus is for kinds outside of cloud/, which does not know it. */
struct link_house {
    struct loop *loop;
    struct bus *bus;
};

/* On the loop, and not from inside create(). May call everything but free(). */
struct link_events {
    void (*on_up)(void *self);
    /* It was up and is no more, or an attempt failed. Not for stop(). Before the publications it takes with it are done.
     * The text is valid during the call. */
    void (*on_down)(void *self, const char *reason);
    /* It was down, and what is published now is tried: it will be up, or down again. */
    void (*on_probe)(void *self);
    /* Received. The receiver refs it to keep it. Its topic begins with receive_prefix. */
    void (*on_message)(void *self, struct msg *msg);
    const char *receive_prefix;
    /* After stop(): nothing is under way any more, and free() does not wait. Of kinds that say so (says_off). */
    void (*on_off)(void *self);
};

/* A message on its way out. Whoever publishes allocates kind->publish_size bytes, which begin with this; what is behind
 * it is the kind's. */
struct link_publish {
    struct msg *msg;   /* the owner holds a reference until done */
    const char *topic; /* at the other side, NUL-terminated; stays until done */
    uint8_t qos;       /* 0 or 1 */
    /* 0: the other side has it. A refusal (an MQTT 5 reason code, 0x80 and above): of these 0x90 (topic), 0x95 (too large) and
     * 0x99 (content) are about this message and will not be better the next time. −errno: -ENOTCONN when it was or went
     * down. reason: a sentence for who looks why, or NULL. Not called from inside publish(). May publish again. */
    void (*done)(struct link_publish *publish, int r, const char *reason);
};

/* The same with kind->subscribe_size. */
struct link_subscribe {
    const char *filter; /* NUL-terminated, valid; stays until done */
    bool off;           /* unsubscribe */
    void (*done)(struct link_subscribe *subscribe, int r);
};

struct link_kind {
    const char *name; /* as the status says it */
    bool (*serves)(const char *uri);
    size_t publish_size, subscribe_size;
    bool says_off; /* free() would wait before on_off(); without, it never waits */

    /* What all links of the kind share; made before the first and freed after the last. Both may be NULL. */
    int (*open)(void **shared, const struct link_house *house);
    void (*close)(void *shared);

    /* Options, which have been checked, are copied. The link is off. -EINVAL when something is wrong with them
     * all the same, which has been logged. */
    int (*create)(struct link **ret, void *shared, const struct link_house *house,
                  const struct uplink_options *options, const struct link_events *events, void *self);
    /* Stops. What is not done is done with -ENOTCONN. */
    struct link *(*free)(struct link *link);

    /* Begins, now. While it waits between attempts: tries now and begins with the shortest pause again. */
    void (*start)(struct link *link);
    /* Ends, and stays so. What is not done will be, with -ENOTCONN. */
    void (*stop)(struct link *link);
    bool (*is_up)(const struct link *link);
    /* The network came back, or one more way into it: tries now instead of waiting on, and looks whether the connection
     * there is still is one. NULL: there is none. */
    void (*network_came)(struct link *link);
    /* When the other side's certificates are to be valid (seconds since 1970), from the next attempt on; 0: now. NULL: it
     * has none. */
    void (*set_verify_time)(struct link *link, int64_t time_s);

    /* Takes the publication until done(). -ENOTCONN: not up; -ENOBUFS: too much is waiting; -EILSEQ: no topic for the
     * other side; -EMSGSIZE: more than that takes. */
    int (*publish)(struct link *link, struct link_publish *publish);
    /* Takes the item until done(). -ENOTCONN: not up. NULL: the other side has nothing to say. */
    int (*subscribe)(struct link *link, struct link_subscribe *subscribe);
    /* How many publications it is good to have under way at once. NULL: what its user thinks. */
    unsigned (*window)(const struct link *link);
    /* Received messages that were dropped. NULL: none ever. */
    uint64_t (*lost)(const struct link *link);
};

/* The kinds of this room. */
extern const struct link_kind link_mqtt; /* link_mqtt.c over mqtt_link.h */
extern const struct link_kind link_http; /* link_http.c: batches, libcurl */
extern const struct link_kind link_file; /* link_file.c over archive.h */
