/* What an administrator wrote about an uplink, of whatever kind, and what is wrong with it. Pure. */
#pragma once

#include "base/base.h"

struct uplink_options {
    const char *name; /* a topic level */
    const char *uri;  /* mqtt://HOST[:PORT], mqtts://HOST[:PORT] */
    const char *client_id;
    const char *ca, *cert, *key;     /* PEM files or NULL */
    const char *username, *password; /* or NULL */
    unsigned keepalive_s;            /* 0 for the default of 60 */
    int protocol;                    /* 4 or 5; 0 for 5 */
    int64_t pause_max;               /* between attempts, ms; 0 for the default of a minute */
};

/* NULL, or what was expected instead of this URI. */
const char *uplink_uri_check(const char *uri);
