/* Parts of the daemon that are loaded when they are needed: TLS, with OpenSSL, and the links to a cloud, with Paho and
 * OpenSSL, and with libcurl. A gateway without them starts in half the time and is a megabyte smaller.
 *
 *      gatehoused                                    gatehouse-tls.so
 *        channel.c ─▶ tls_read() in lazy/tls.c ─▶ gatehouse_tls.read ─▶ tls_read() in net/tls.c ─▶ libssl
 *
 * A function that is added to net/tls.h, identity/x509.h, identity/aead.h, identity/secret.h, cloud/mqtt_link_paho.h or cloud/post_curl.h is added here in three places: table, part, and the call
 * that is passed on. Until then gatehoused does not link ("multiple definition").
 *
 * The callers do not know: in the daemon the functions of net/tls.h, cloud/mqtt_link_paho.h and cloud/post_curl.h are the ones in this
 * folder, which pass the call on through the part's table. Tests and tools have the real ones linked in.
 *
 * A part has its own copy of base/, all of it pure but the log, whose lines it gives back to the daemon.
 */
#pragma once

#include "base/log.h"

/* What every part's table begins with. */
struct lazy_part {
    const char *version; /* of the daemon that it was built with */
    void (*log_to)(void (*sink)(enum log_level level, const char *line));
    void (*set_log_level)(enum log_level level);
};

#define LAZY_PART                                                                                            \
    {                                                                                                        \
        .version = GATEHOUSE_VERSION, .log_to = log_capture, .set_log_level = log_set_level                  \
    }
#define LAZY_EXPORTED __attribute__((visibility("default")))

/* The table of that name in that file, for as long as the process lives; NULL: *why (free it) says what is wrong. */
const void *lazy_load(const char *file, const char *symbol, char **why);
