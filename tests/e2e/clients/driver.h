/* What the remote-controlled clients of tests/e2e/test_clients.py share: one command a line on stdin, one answer a line.
 *
 *      connect ID CLEAN KEEPALIVE [WILL-TOPIC WILL-PAYLOAD QOS RETAIN]     connected SESSION-PRESENT
 *      subscribe FILTER QOS                                                subscribed QOS
 *      unsubscribe FILTER                                                  unsubscribed
 *      publish TOPIC QOS RETAIN [PAYLOAD]                                  published, when it is acknowledged
 *      fill TOPIC QOS SIZE                                                 the same, with bytes 0, 1, … 250, 0, …
 *      disconnect                                                          disconnected
 *
 * SESSION-PRESENT is 0, 1, or ? when the library does not tell. Between them, whenever it happens: `message TOPIC QOS
 * RETAIN SIZE PAYLOAD`, of more than 100 bytes `sum=N` in place of the payload; `lost`; and `failed WHAT CODE` in place of
 * an answer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct driver_options {
    const char *uri; /* as the library wants it */
    bool mqtt5;
    const char *ca, *cert, *key; /* NULL: no TLS */
};

struct driver_connect {
    const char *id;
    bool clean;
    int keepalive_s;
    const char *will_topic; /* NULL: none */
    const char *will_payload;
    int will_qos;
    bool will_retain;
};

/* What a library is driven by: each answers with driver_say(), at once or later. */
struct driver {
    void (*connect)(const struct driver_connect *options);
    void (*subscribe)(const char *filter, int qos);
    void (*unsubscribe)(const char *filter);
    void (*publish)(const char *topic, int qos, bool retain, const void *payload, size_t len);
    void (*disconnect)(void);
};

/* argv: URI VERSION [CA CERT KEY]. False: wrong usage, said so. */
bool driver_options(struct driver_options *options, int argc, char **argv);
/* Until stdin ends. */
void driver_run(const struct driver *driver);

/* One line, from any thread. */
void driver_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void driver_message(const char *topic, int topic_len, int qos, bool retain, const void *payload, size_t len);
