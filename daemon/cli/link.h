/* The command line's connection to the daemon: MQTT over the control socket.
 *
 * One thing at a time, waiting for its end; a command is a few of these. What goes wrong is said on stderr here, and the
 * return value is the exit code of the program.
 */
#pragma once

#include "base/base.h"
#include "wire/client.h"

enum { CLI_DONE = 0, CLI_REFUSED = 1, CLI_USAGE = 2, CLI_NO_DAEMON = 3 };

struct link;

/* runtime: the daemon's runtime directory; control.sock is in it. */
int link_open(struct link **ret, const char *runtime) must_check;
struct link *link_close(struct link *link);
define_cleanup(struct link *, link_close)

/* Publishes a request with a Response Topic and waits for the answer: *answer is its text (free it). */
int link_request(struct link *link, const char *topic, const char *payload, char **answer) must_check;

/* How long an answer is waited for, in place of 10 seconds. */
void link_be_patient(struct link *link, uint32_t ms);

/* Publishes on TOPIC and waits for the message on TOPIC/accepted or TOPIC/rejected that carries the clientToken which is
 * part of the payload. CLI_REFUSED with *answer: it is the rejection. */
int link_call(struct link *link, const char *topic, const char *payload, const char *token, char **answer)
    must_check;

/* Publishes; up to 16 messages of QoS 1 and 2 are under way at once. link_settle() waits until all are acknowledged, and
 * says CLI_REFUSED when one was refused. */
int link_publish(struct link *link, const char *topic, const void *payload, size_t len, unsigned qos,
                 bool retain) must_check;
int link_settle(struct link *link) must_check;

/* Keeps the connection alive until the descriptor can be read. */
int link_wait_readable(struct link *link, int fd) must_check;

struct listening {
    const char *const *filters;
    unsigned count, qos;
    bool no_retained;   /* not what is retained already */
    bool retained_only; /* only that, and then it ends */
    uint32_t limit_ms;  /* 0: none */
    /* Called for what comes until it returns false. stdout is flushed behind what came at once. */
    bool (*on_message)(void *self, const struct wire_packet *publish);
    void *self;
    bool is_late; /* set at the end: the limit was reached */
};

/* Ends with CLI_DONE by on_message(), SIGINT, SIGTERM, the limit, or behind the retained messages. */
int link_listen(struct link *link, struct listening *listening) must_check;
