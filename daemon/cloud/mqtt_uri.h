/* Addresses of brokers and of proxies on the way to them, as people write them. Pure functions. */
#pragma once

#include "base/base.h"

struct mqtt_uri {
    const char *host; /* into the text; of an IPv6 address what is in [ ] */
    size_t host_len;
    const char *user; /* NULL: none */
    size_t user_len;
    unsigned port; /* the scheme's when none is written */
};

/* mqtt://HOST[:PORT] or mqtts://HOST[:PORT]. NULL, or what was expected instead. */
const char *mqtt_uri_parse(struct mqtt_uri *ret, const char *text);

/* http://[USER@]HOST:PORT. The password has no place here: it comes from a file. */
const char *mqtt_proxy_parse(struct mqtt_uri *ret, const char *text);
