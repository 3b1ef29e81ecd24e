/* REST: a request becomes a message on the bus, what answers it becomes the response. What a client may do is what it may
 * do over MQTT; no service knows that it was asked this way.
 *
 *      GET POST DELETE /things/THING/shadow     the shadow's get, update, delete; answered by accepted or rejected
 *      GET …/ListNamedShadowsForThing/THING     $gatehouse/ctl/shadow/list
 *      GET /metrics                             $gatehouse/ctl/gateway/metrics
 *      POST /topics/TOPIC                       TOPIC; answered when all that was promised durable is on disk
 *      GET /credentials/NAME                    $gatehouse/credentials/NAME/get, on a server of its own
 *
 * Questions and requests to shadows have a Response Topic of ours: their answers come there and, but for what changes a
 * shadow, nowhere else. */
#pragma once

#include "base/receipt.h"
#include "bus/bus.h"
#include "http/rest_target.h"
#include "identity/principal.h"

struct rest;
struct rest_call;

struct rest_options {
    size_t payload_max; /* of a publish */
    size_t topic_len_max;
    unsigned topic_levels_max;
    bool no_retain_on_dollar; /* as the broker's */
    bool credentials;         /* GET /credentials/NAME is served (rest_credentials.c), and nothing else */
};

/* body NULL: an error, with `why` as its message. */
struct rest_answer {
    int status;
    const char *body;
    size_t len;
    const char *type; /* of the body; NULL: JSON */
    const char *why;
};

/* Who asks: embedded in what waits for the answer. The texts are its owner's. */
struct rest_asker {
    const struct principal *principal;
    struct publisher *publisher;
    uint64_t origin;
    const char *id; /* of the request; unguessable, for the answer comes to a topic with that name */
    /* Once a request, perhaps from inside rest_ask(). */
    void (*answered)(struct rest_asker *asker, const struct rest_answer *answer);
};

struct rest *rest_new(struct bus *bus, const struct rest_options *options);
/* Calls that are under way are forgotten: the bus and who is on it must hold no receipt any more. */
struct rest *rest_free(struct rest *rest);

/* The head has come: 0 and a call that waits for its body, or the status that refuses it and *why (and *allow for 405). */
int rest_begin(struct rest_call **ret, struct rest *rest, const struct rest_asker *asker,
               const struct http_head *head, const char **allow, const char **why) must_check;
/* So many bytes of body it takes. */
size_t rest_body_max(const struct rest_call *call);
/* With its body, which is not needed any more when this returns. The call is gone once it is answered. */
void rest_ask(struct rest_call *call, struct rest_asker *asker, const void *body, size_t len);
/* Nobody waits for the answer any more, or it is not asked at all. */
void rest_forget(struct rest_call *call);
