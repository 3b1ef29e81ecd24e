/* One request under way, for the files of REST. */
#pragma once

#include "http/rest.h"

enum {
    REST_SHADOW_BODY_MAX = 128 * 1024, /* [AWS IoT: the largest payload] */
    REST_OTHER_BODY_MAX = 8 * 1024,    /* GET and DELETE: nothing is made of it */
};

struct rest {
    struct bus *bus;
    struct rest_options options;
    struct subscriber subscriber;
    struct subscription answers;
    struct list waiting;    /* for an answer on the bus, oldest first */
    struct list publishing; /* waiting for their receipt */
};

struct rest_call {
    struct list link; /* in waiting or publishing, once it has been asked */
    struct rest *rest;
    struct rest_asker *asker; /* NULL: not asked yet, or nobody waits */
    enum rest_verb verb;
    uint8_t qos;
    bool retain;
    char *topic;    /* where the request is published */
    char *question; /* payload of a question about shadows, else NULL */

    char *answer_topic; /* of a shadow's request or a question; NULL for a publish */

    struct receipt receipt; /* of a publish */
};

extern const struct rest_answer rest_unavailable;
/* Tells the asker, and frees the call. */
void rest_answer(struct rest_call *call, const struct rest_answer *answer);
void rest_call_free(struct rest_call *call);
/* The request as the client's own; NULL: no memory. */
struct msg *rest_msg(const struct rest_call *call, const struct rest_asker *asker, const void *payload,
                     size_t len);

/* rest_shadow.c */
void rest_shadow_begin(struct rest_call *call, const struct rest_target *target, const char *id);
void rest_shadow_ask(struct rest_call *call, struct rest_asker *asker, const void *body, size_t len);
void rest_on_answer(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                    struct receipt *receipt);
/* rest_credentials.c: as rest_begin(), who may ask is known by his token. */
int rest_credentials_begin(struct rest_call **ret, struct rest *rest, const struct rest_asker *asker,
                           const struct http_head *head, const char **allow, const char **why) must_check;

/* May he ask that, and hear the answer? */
bool rest_shadow_allows(const struct rest_call *call, const struct principal *principal,
                        const struct rest_target *target);
