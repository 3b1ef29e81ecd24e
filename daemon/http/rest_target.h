/* What a request is about: method, path and query, taken apart. The paths are those of AWS IoT's data endpoint.
 *
 *      GET POST DELETE  /things/THING/shadow[?name=NAME]
 *      GET              /api/things/shadow/ListNamedShadowsForThing/THING[?pageSize=N&nextToken=…]
 *      POST             /topics/TOPIC[?qos=0|1&retain=true|false]      TOPIC may be written with %2F or with slashes
 *      GET              /metrics                                       Prometheus asks there
 *
 * Parts are percent-decoded each for itself, so a %2F in a thing's name does not make it two. Other keys in the query are
 * for others and not looked at; a key that is given twice is refused. Pure: decoded texts lie in the room it is given. */
#pragma once

#include "net/http_head.h"

enum rest_verb {
    REST_GET_SHADOW,
    REST_UPDATE_SHADOW,
    REST_DELETE_SHADOW,
    REST_LIST_SHADOWS,
    REST_PUBLISH,
    REST_METRICS,
    REST_CREDENTIALS /* not from here: rest_credentials.c */
};

enum {
    REST_ROOM = HTTP_HEAD_MAX, /* decoding makes nothing longer */
    REST_THING_MAX = 128,      /* bytes [AWS IoT] */
    REST_NAME_MAX = 64,
    REST_TOKEN_MAX = 1024,
};

struct rest_target {
    enum rest_verb verb;
    struct http_text thing, name; /* name: empty for the classic shadow */
    struct http_text page_size;   /* one to three digits, or empty */
    struct http_text next_token;  /* as it was given, UTF-8 without control characters; .at NULL: not given */
    struct http_text topic;       /* fit to be published on */
    uint8_t qos;
    bool retain;
};

/* 0, or the status that refuses it (400, 404, 405) and *why. For 405, *allow: the methods that are there. */
int rest_target_parse(struct rest_target *ret, const struct http_head *head, char room[REST_ROOM],
                      const char **allow, const char **why) must_check;
