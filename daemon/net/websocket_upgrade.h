/* The opening handshake of WebSocket (RFC 6455, section 4.2; MQTT 5, section 6): may this request come in, and the
 * answer. Pure, apart from counting who refers to a site. */
#pragma once

#include "net/http_head.h"

/* Where WebSocket is spoken and for whom: shared by a listener and the connections that came through it. */
struct websocket_site {
    unsigned refs;
    char *path;
    char *origins; /* of pages that may come, with commas; "*": all; NULL: pages of the same host */
    size_t (*cut)(const uint8_t *bytes,
                  size_t len); /* output into packets: websocket_cut_mqtt(); NULL: not at all */
    bool loopback;             /* the listener's address is */
    bool closed;               /* the listener is: who is still here leaves because we go away */
};

struct websocket_site *websocket_site_new(const char *path, const char *origins, bool loopback);
struct websocket_site *websocket_site_ref(struct websocket_site *site);
struct websocket_site *websocket_site_unref(struct websocket_site *site);

/* 0: welcome; positive: the status that refuses the request, and *why. Either way *len bytes of answer are for the
 * client. */
int websocket_upgrade(const struct websocket_site *site, const struct http_head *head,
                      char answer[HTTP_REFUSAL_MAX], size_t *len, const char **why) must_check;

/* Is that a list of origins: SCHEME://HOST[:PORT] with commas between them, or *? */
bool websocket_origins_are_valid(const char *origins);
