/* The interface between Gatehouse and a plugin.
 *
 * A plugin is a shared object that exports one symbol, gh_plugin. `gatehouse-host` loads it into a process of
 * its own and calls it; what it publishes and subscribes to goes through the gateway's bus like everybody's
 * messages, under the policy of its section in the configuration. A whole plugin:
 *
 *      static int32_t start(struct gh_host *host)
 *      {
 *          return host->subscribe(host, "hello/ask", 1);
 *      }
 *
 *      static int32_t message(struct gh_host *host, const struct gh_message *m)
 *      {
 *          return gh_answer(host, m, "hello/answer", m->payload, m->payload_len);
 *      }
 *
 *      GH_PLUGIN = {GH_PLUGIN_HEAD, .name = "hello", .version = "1.0", .start = start, .message = message};
 *
 * Compile with -fPIC -shared -fvisibility=hidden and nothing else of Gatehouse: this header is enough.
 *
 * Life. The process starts, connects, reads its configuration, and calls start(). Then message() or
 * messages(), tick() and ready() as things happen, and at the end stop(). A change of configuration ends the
 * process and begins a new one. A process that crashes, exits, uses more memory than it may or does not
 * return from a callback within GH_CALLBACK_MAX_MS is replaced by a new one (after 1 s, then 2 s, … 60 s),
 * which gets the messages that were not acknowledged once more.
 *
 * Threads. Everything is called on one thread, the one that called start(), never two things at once. The
 * functions of struct gh_host may be called on that thread only, from inside any callback. A plugin may have
 * other threads; they hand over their results to tick().
 *
 * Acknowledging. A message of QoS 1 is the gateway's to keep until the plugin has acknowledged it: when
 * message() returns GH_DONE, or later. Acknowledging before the effect is safe loses messages in a crash;
 * acknowledging after it may do the effect twice (gh_message.again is then 1). A plugin whose effect is
 * another message lets the one acknowledge the other: gh_publication.acknowledges, or gh_answer(). A message
 * that crashed the plugin GH_GIVE_UP_AFTER times in a row is acknowledged before it is handed over once more,
 * so that one message cannot keep a plugin from working for ever.
 *
 * Memory. Whatever a callback gets is valid until the callback returns. Whatever the plugin gives to a
 * function is copied before the function returns; only completion contexts are kept, untouched. Memory is
 * limited (memory-max in the configuration, 64 MiB unless set): malloc() returns NULL beyond.
 *
 * Evolution. The number GH_ABI is compared for equality. Every struct begins with its size as its author's
 * compiler saw it; members are only added at the end, under the same GH_ABI. Whoever reads a struct takes
 * members beyond its size as zero; GH_HAS() asks.
 *
 * ISO C17. Texts are UTF-8 and end with NUL, also where a length is given. Lengths are in bytes without the
 * NUL, times in milliseconds.
 */
#ifndef GATEHOUSE_PLUGIN_H
#define GATEHOUSE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GH_ABI 1u

/* Is the member inside the struct that the other side compiled? */
#define GH_HAS(pointer, type, member)                                                                        \
    ((pointer)->size >= offsetof(struct type, member) + sizeof(((struct type *)0)->member))

/* Results. Negative: it was not done. */
enum {
    GH_DONE = 0,
    GH_LATER = 1,        /* only from message(): the plugin acknowledges later */
    GH_E_INVALID = -1,   /* an argument is none: topic, filter, QoS, token */
    GH_E_BUSY = -2,      /* no room now; ready() is called when there is */
    GH_E_REFUSED = -3,   /* the plugin may not: policy, or the gateway said no */
    GH_E_TOO_LARGE = -4, /* longer than the gateway takes */
    GH_E_MEMORY = -5,    /* out of memory */
    GH_E_FAILED = -6,    /* everything else */
    GH_E_NEVER = -7      /* of a record: its content is not wanted, and will not be the next time */
};

/* Limits. */
enum {
    GH_CALLBACK_MAX_MS = 5000, /* a callback that takes longer is taken for hung */
    GH_UNACKNOWLEDGED_MAX =
        64, /* messages of QoS 1 handed over and not acknowledged; the others wait in the gateway */
    GH_PUBLISHING_MAX = 64, /* publications under way; beyond, publish() returns GH_E_BUSY */
    GH_SUBSCRIPTIONS_MAX = 64,
    GH_TOPIC_MAX = 1024, /* bytes of a topic or filter */
    GH_TICK_MIN_MS = 10,
    GH_GIVE_UP_AFTER = 4,
    GH_RECORDS_MAX = 64, /* records handed over and not settled */
    GH_REASON_MAX = 200  /* bytes of a reason; longer ones are cut */
};

enum { GH_LOG_ERROR, GH_LOG_WARNING, GH_LOG_NOTICE, GH_LOG_INFO, GH_LOG_DEBUG };

/* A message that has come. */
struct gh_message {
    uint32_t size;
    uint8_t qos;    /* 0 or 1 */
    uint8_t retain; /* 1: it was kept on its topic and is sent because of a new subscription */
    uint8_t again;  /* 1: may have been handed over before, to this process or to one that ended */
    uint8_t reserved;
    uint64_t token; /* for acknowledge(); never 0, never twice in a life */
    const char *topic;
    const uint8_t *payload; /* any bytes; followed by a NUL that does not count */
    uint32_t topic_len;
    uint32_t payload_len;
    const char *response_topic; /* where an answer is expected; NULL: nowhere */
    const uint8_t *correlation; /* to be sent back with the answer; NULL: none */
    uint32_t response_topic_len;
    uint32_t correlation_len;
};

/* A message to publish. */
struct gh_publication {
    uint32_t size;
    uint8_t qos; /* 0 or 1 */
    uint8_t
        retain; /* 1: kept on its topic, for those who subscribe later; an empty payload takes the kept one back */
    uint8_t reserved[2];
    const char *topic;
    const void *payload;
    uint32_t payload_len;
    uint32_t correlation_len;
    const void *correlation; /* of the request that this answers */
    /* Called once, later and never from inside publish(): the gateway has it (QoS 1; for QoS 0: it is on its
     * way), or why not. Not called if the process ends before. NULL: nobody asks. */
    void (*done)(void *context, int32_t result);
    void *context;
    /* Token of a message that is acknowledged when the gateway has this one: its message() returns GH_LATER.
     * Needs QoS 1. 0: none. */
    uint64_t acknowledges;
};

/* A record that is to be delivered to wherever the plugin delivers: see gh_plugin.deliver. */
struct gh_record {
    uint32_t size;
    uint32_t topic_len;
    uint64_t token; /* for settle(); never 0, never twice in a life */
    const char *topic;
    const uint8_t *payload; /* any bytes; followed by a NUL that does not count */
    uint32_t payload_len;
    uint32_t reserved;
    const char *stream; /* NULL: of none, and then seq and time are 0 */
    uint64_t seq;       /* stream and seq together are one record's: what comes again has the same */
    int64_t time;       /* of its arrival, ms since 1970 as best known */
    const char *uplink; /* the section in the configuration whose uri is plugin:NAME */
};

/* What the gateway does for the plugin. `self` is the plugin's own; everything else is read only. Valid from
 * start() until stop() has returned. */
struct gh_host {
    uint32_t size;
    uint32_t abi;
    void *self;
    const char *name; /* of the section in the configuration: two plugins may be the same shared object */

    /* GH_DONE: queued. GH_E_BUSY, GH_E_INVALID, GH_E_TOO_LARGE, GH_E_MEMORY: not, and done() will not be called. */
    int32_t (*publish)(struct gh_host *host, const struct gh_publication *publication);

    /* Topic filter with + and #, QoS 0 or 1. Belongs into start(). A filter that the policy does not allow
     * ends the plugin with a line in the log, since it would wait for ever. */
    int32_t (*subscribe)(struct gh_host *host, const char *filter, uint8_t qos);

    /* For messages whose message() returned GH_LATER. result: as message() would have returned it.
     * GH_E_INVALID: no such message. Acknowledgements leave in the order of the messages: a message kept for
     * long keeps those behind it. */
    int32_t (*acknowledge)(struct gh_host *host, uint64_t token, int32_t result);

    /* tick() every so many milliseconds (at least GH_TICK_MIN_MS), 0: no more. Late ticks are not made up for. */
    int32_t (*set_tick)(struct gh_host *host, uint32_t interval_ms);

    /* The value of a key of the plugin's section, as text; NULL: not there. Valid until stop() has returned. */
    const char *(*config)(struct gh_host *host, const char *key);

    /* One line into the gateway's log, under the plugin's name. */
    void (*log)(struct gh_host *host, int32_t level, const char *text);

    /* Milliseconds of a clock that only goes forward and stands still for nobody. */
    uint64_t (*now)(struct gh_host *host);

    /* For records whose result was GH_LATER: result and reason as deliver() would have given them.
     * GH_E_INVALID: no such record. */
    int32_t (*settle)(struct gh_host *host, uint64_t token, int32_t result, const char *reason);
};

/* What the plugin is. All callbacks but start() may be NULL, message() and messages() not both given. */
struct gh_plugin {
    uint32_t size;
    uint32_t abi;
    const char *name; /* of the product, for the log */
    const char *version;

    /* Reads the configuration, subscribes, sets the tick. Negative ends the process; the gateway tries again later. */
    int32_t (*start)(struct gh_host *host);

    /* GH_DONE: acknowledged. GH_LATER: the plugin will. GH_E_BUSY: handed over again when there is room for
     * publishing (or within a second), and nothing behind it before. Any other: counted, logged, and
     * acknowledged, since it would not be better the next time. */
    int32_t (*message)(struct gh_host *host, const struct gh_message *message);

    /* The same for all that have come together, at most GH_UNACKNOWLEDGED_MAX: results[i], zero at first, is
     * what message() would have returned for messages[i]. */
    void (*messages)(struct gh_host *host, const struct gh_message *const *messages, int32_t *results,
                     uint32_t count);

    void (*tick)(struct gh_host *host, uint64_t now_ms);

    /* After publish() returned GH_E_BUSY: there is room again. */
    void (*ready)(struct gh_host *host);

    /* The end is wanted. Publications made here still leave if the gateway takes them within a second; what
     * is not acknowledged comes again in the next life. Not called after a crash. */
    void (*stop)(struct gh_host *host);

    /* A connector: [uplink …] with uri = plugin:NAME. All records that have come together, in order, at most
     * GH_RECORDS_MAX that are not settled. results[i], zero at first, and reasons[i], NULL at first and copied
     * when this returns, say what became of records[i]:
     *
     *      GH_DONE       delivered: it is the other side's now
     *      GH_LATER      settle() says it, before the uplink's stall-timeout is over
     *      GH_E_NEVER    refused for good: it becomes a dead letter, with the reason
     *      any other     again: kept, and handed over anew after a pause, with all behind it; the reason is shown
     *
     * What is not settled when the process ends is handed over to the next one. */
    void (*deliver)(struct gh_host *host, const struct gh_record *const *records, int32_t *results,
                    const char **reasons, uint32_t count);
};

#if defined(__GNUC__)
#define GH_EXPORT __attribute__((visibility("default")))
#else
#define GH_EXPORT
#endif

/* The one exported symbol. */
extern GH_EXPORT const struct gh_plugin gh_plugin;
#define GH_PLUGIN      GH_EXPORT const struct gh_plugin gh_plugin
#define GH_PLUGIN_HEAD .size = sizeof(struct gh_plugin), .abi = GH_ABI

/* Publishes at QoS 1. */
static inline int32_t gh_say(struct gh_host *host, const char *topic, const void *payload, size_t payload_len)
{
    struct gh_publication p = {.size = sizeof p, .qos = 1, .topic = topic, .payload = payload};
    if (payload_len > UINT32_MAX)
        return GH_E_TOO_LARGE;
    p.payload_len = (uint32_t)payload_len;
    return host->publish(host, &p);
}

/* Answers a message: on its response topic if it has one, else on `topic`. The message is acknowledged when
 * the gateway has the answer. The result is what message() returns. */
static inline int32_t gh_answer(struct gh_host *host, const struct gh_message *message, const char *topic,
                                const void *payload, size_t payload_len)
{
    struct gh_publication p = {.size = sizeof p, .qos = 1, .payload = payload};
    int32_t r;
    if (payload_len > UINT32_MAX)
        return GH_E_TOO_LARGE;
    p.payload_len = (uint32_t)payload_len;
    p.topic = message->response_topic ? message->response_topic : topic;
    p.correlation = message->correlation;
    p.correlation_len = message->correlation_len;
    p.acknowledges = message->token;
    r = host->publish(host, &p);
    return r == GH_DONE ? GH_LATER : r;
}

#ifdef __cplusplus
}
#endif

#endif
