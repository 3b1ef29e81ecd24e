/* What an administrator wrote about an uplink, of whatever kind, and what is wrong with it. Pure. */
#pragma once

#include "base/base.h"

/* What is added here is added to written() in services/uplink/uplink_set.c, too, which sees whether anything has changed. */
struct uplink_options {
    const char *name;                /* a topic level */
    const char *uri;                 /* mqtt:// mqtts:// http:// https:// file:// plugin: */
    const char *gateway;             /* its name */
    const char *ca, *cert, *key;     /* PEM files or NULL */
    const char *username, *password; /* or NULL */
    int64_t pause_max;               /* between attempts, ms; 0 for the kind's default */
    const char *proxy;               /* http://HOST:PORT, mqtt: http://[USER@]HOST:PORT; NULL: none */
    unsigned connect_timeout_s;      /* 0 for the kind's default */
    /* Without a clock that was set, certificates are looked at at the last time that is known. */
    bool trusts_floor;

    /* mqtt */
    const char *client_id;
    unsigned keepalive_s;       /* 0 for the default of 60 */
    int protocol;               /* 4 or 5; 0 for 5 */
    const char *alpn;           /* the protocol that is offered in TLS; NULL: none is */
    const char *proxy_password; /* of the proxy's user; NULL: none */
    unsigned window;            /* messages that are not acknowledged yet; 0 for the default of 64 */
    bool persistent;            /* the other side keeps what comes while we are away … */
    uint32_t session_expiry_s;  /* … for so long; 0 for the default of a day */
    const char *will_topic, *will_message; /* said there when we are gone without a word; NULL: nothing is */
    bool will_retain;

    unsigned stall_timeout_s; /* http, plugin: without a byte, or an answer; 0 for the default of 30 */

    /* http; 0 and NULL for defaults. The URI may have words of record.h in its path and query. */
    const char *method;        /* POST, PUT or PATCH */
    const char *format;        /* json, ndjson or raw: one record a request */
    const char *headers;       /* "Name: value | Name: value" */
    const char *authorization; /* value of that header */
    unsigned batch_records;    /* 1 to 500 */
    size_t batch_bytes;
    int64_t batch_interval; /* ms that what is less than a batch waits for more */
    unsigned connections; /* 1 to 8; more than one: without order */
    bool gzip;

    /* file: batches as above; format: ndjson, lines or length */
    const char *path;      /* of files below the folder, with words of record.h; NULL: ${topic} */
    uint64_t rotate_bytes; /* 0 for the default of 16 MiB */
    int64_t rotate_ms;     /* 0 for the default of an hour, negative: never */
    uint64_t disk_max;     /* bytes of all files of the folder; 0: no limit */
};

enum {
    UPLINK_MQTT = 1,
    UPLINK_HTTP = 2,
    UPLINK_FILE = 4,
    UPLINK_PLUGIN = 8,
    UPLINK_KINDS = UPLINK_MQTT | UPLINK_HTTP | UPLINK_FILE | UPLINK_PLUGIN,
};

/* Of which kind is an uplink with that URI; 0: of none. */
unsigned uplink_kind(const char *uri);
/* The kinds for which a key of the configuration says something; UPLINK_KINDS for one that nobody knows. */
unsigned uplink_key_kinds(const char *key);

/* NULL, or what was expected instead of this text. */
const char *uplink_uri_check(const char *uri);
/* The same for all texts, from the one with number *at on, which is 0 at first and then the next one's: NULL when there is
 * no more to say. *key: the text's key in the configuration. */
const char *uplink_options_check(const struct uplink_options *options, size_t *at, const char **key);
/* Certificates have a time: does whoever connects there have to know it? */
bool uplink_uri_needs_time(const char *uri);
