/* The secure layer over mbedTLS 2.28: TLS 1.2 with ECDHE-PSK-CHACHA20-POLY1305 and nothing else. The gateway's listener has to allow
 * that: mqtts+psk://…?tls12=1. (mbedTLS 2 has no pre-shared keys in TLS 1.3.)
 *
 * mbedTLS takes its memory from the heap while a connection is up; everything else is in here.
 */
#pragma once

#include "ghn/page.h"
#include "ghn/secure.h"

#include <mbedtls/ssl.h>
#include <stdbool.h>

typedef struct secure_mbedtls {
    const ghn_stream *below;
    const ghn_port *port;
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
    char identity[64];
    uint8_t key[GHN_KEY_SIZE];
    bool open, through, gone;
    int alert; /* what ended the last handshake: an error of mbedTLS; 0: none */
} secure_mbedtls;

/* below and port outlive it. */
void secure_mbedtls_init(secure_mbedtls *secure, const ghn_stream *below, const ghn_port *port);
void secure_mbedtls_done(secure_mbedtls *secure);
/* The node's view of it; secure must stay where it is. */
ghn_secure secure_mbedtls_of(secure_mbedtls *secure);
/* The alert that the other side ended the last handshake with; 0: none, or not known. */
int secure_mbedtls_alert(const secure_mbedtls *secure);
