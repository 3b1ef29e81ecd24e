/* TLS under Paho: what OpenSSL found wrong with a broker's certificate, and at what time it is looked at.
 *
 * Paho tells only that the verification failed, and compares names by itself, afterwards and without a word. So every
 * connection that Paho's contexts make is met when its handshake begins (OpenSSL tells when an SSL is made), and OpenSSL is
 * given the name: a certificate of another host's is then one of its own failures, with a code like the others.
 */
#pragma once

#include "base/base.h"

/* Before the first connection, and again as often as one likes. */
void link_tls_prepare(void);

/* In Paho's ssl_error_cb: what was wrong with the certificate of the connection that failed last on this thread, in words;
 * NULL: nothing was. */
const char *link_tls_verdict(void);

/* The time (seconds since 1970) at which certificates are to be valid, for all connections from now on; 0: now. For a
 * gateway that does not know the time but knows one that has passed. */
void link_tls_set_time(int64_t time_s);
