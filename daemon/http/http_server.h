/* The HTTP side of the house: doors where requests come in, and those who are there.
 *
 *      door ──▶ peer ──▶ rest ──▶ bus
 *
 * HTTP/1.1 with connections that stay (1.0: one request each). Requests on a connection are answered one after the other; what
 * a client sends ahead waits with the kernel and in one read. What a client may hold:
 *
 *      a connection        as many as connections_max in all; quiet for 60 s, it is closed
 *      a head              8 KiB; 10 s from its first byte
 *      a body              what the request may have; 20 s, and a second more for each 4 KiB that has come
 *      bodies of all       16 MiB; who comes then gets 503
 *      an answer           is waited for 30 s, then it is 503; what was asked may still happen
 *
 * Who comes by a TLS listener with ca= is who his certificate says, as over MQTT; where a listener takes passwords or tokens,
 * every request says who it is from (http_login.h). */
#pragma once

#include "bus/bus.h"
#include "http/rest.h"
#include "identity/principal.h"
#include "net/listener.h"

struct admission;
struct login;
struct http_server;

struct http_options {
    unsigned connections_max;
    size_t bodies_max; /* bytes that have come of unfinished requests; 0: 16 MiB */
    struct rest_options rest;
    struct admission *admission; /* who a certificate is; NULL: by its common name */
    struct login *login;         /* who a user or a token is; NULL: no listener takes them */
    struct tls_gate *gate;       /* asked in handshakes; NULL: nobody */
};

struct http_counters {
    uint64_t requests;     /* heads that came whole */
    uint64_t refused;      /* answered with 400 and above */
    uint64_t unauthorized; /* of these, with 403 */
    uint64_t timeouts;     /* closed because of a limit of time */
    uint64_t turned_away;  /* connections beyond connections_max */
    size_t connections, body_bytes;
};

struct http_server *http_server_new(struct bus *bus, const struct http_options *options);
/* Closes the doors and quiet connections; others end with the answer they wait for. */
void http_server_shutdown(struct http_server *server);
bool http_server_is_quiet(const struct http_server *server); /* no connection is left */
/* Nobody on the bus may hold a receipt any more. */
struct http_server *http_server_free(struct http_server *server);
define_cleanup(struct http_server *, http_server_free)

const struct http_counters *http_counters(const struct http_server *server);

/* Opens a door, which is the server's; *name is what to call it, as long as it is open. On failure *why (free it) says what
 * could not be done. */
int http_server_listen(struct http_server *server, const struct listener_uri *uri, const char **name,
                       char **why) must_check;
/* Reads certificates anew; those of a door that cannot are kept, and the log says why. */
void http_server_reload(struct http_server *server);
