#include "secure_mbedtls.h"

#include <mbedtls/error.h>
#include <string.h>

static const int suites[] = {MBEDTLS_TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, 0};

/* ---- what mbedTLS asks for -------------------------------------------------------------------------------------------- */

static int on_random(void *ctx, unsigned char *bytes, size_t n)
{
    const secure_mbedtls *secure = ctx;
    return secure->port->random(bytes, n) < 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : 0;
}

static int on_send(void *ctx, const unsigned char *bytes, size_t n)
{
    secure_mbedtls *secure = ctx;
    int sent = secure->below->send(secure->below->ctx, bytes, n);
    return sent < 0 ? MBEDTLS_ERR_SSL_CONN_EOF : sent ? sent : MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int on_recv(void *ctx, unsigned char *bytes, size_t n)
{
    secure_mbedtls *secure = ctx;
    int got = secure->below->recv(secure->below->ctx, bytes, n);
    return got < 0 ? MBEDTLS_ERR_SSL_CONN_EOF : got ? got : MBEDTLS_ERR_SSL_WANT_READ;
}

static bool is_later(int r)
{
    return r == MBEDTLS_ERR_SSL_WANT_READ || r == MBEDTLS_ERR_SSL_WANT_WRITE;
}

/* ---- the stream ------------------------------------------------------------------------------------------------------- */

static int on_use(void *ctx, const char *identity, const uint8_t *key)
{
    secure_mbedtls *secure = ctx;
    size_t len = strlen(identity);
    if (len >= sizeof secure->identity)
        return -1;
    memcpy(secure->identity, identity, len + 1);
    memcpy(secure->key, key, sizeof secure->key);
    return 0;
}

static void end(secure_mbedtls *secure)
{
    mbedtls_ssl_free(&secure->ssl);
    mbedtls_ssl_config_free(&secure->config);
}

static int begin(secure_mbedtls *secure)
{
    mbedtls_ssl_config *config = &secure->config;
    mbedtls_ssl_config_init(config);
    mbedtls_ssl_init(&secure->ssl);
    int r = mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                        MBEDTLS_SSL_PRESET_DEFAULT);
    if (r == 0) {
        mbedtls_ssl_conf_rng(config, on_random, secure);
        mbedtls_ssl_conf_min_version(config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
        mbedtls_ssl_conf_ciphersuites(config, suites);
        r = mbedtls_ssl_conf_psk(config, secure->key, sizeof secure->key,
                                 (const unsigned char *)secure->identity, strlen(secure->identity));
    }
    if (r == 0)
        r = mbedtls_ssl_setup(&secure->ssl, config);
    if (r == 0)
        mbedtls_ssl_set_bio(&secure->ssl, secure, on_send, on_recv, NULL);
    else
        end(secure);
    return r;
}

static int on_open(void *ctx, const char *host, uint16_t port)
{
    secure_mbedtls *secure = ctx;
    secure->through = secure->gone = false;
    secure->alert = 0;
    if (begin(secure) != 0)
        return -1;
    if (secure->below->open(secure->below->ctx, host, port) < 0) {
        end(secure);
        return -1;
    }
    secure->open = true;
    return 0;
}

static int on_state(void *ctx)
{
    secure_mbedtls *secure = ctx;
    if (secure->through)
        return 1;
    int r = secure->gone ? -1 : secure->below->state(secure->below->ctx);
    if (r <= 0)
        return r;
    r = mbedtls_ssl_handshake(&secure->ssl);
    if (is_later(r))
        return 0;
    secure->through = r == 0;
    secure->gone = r != 0;
    secure->alert = r == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE ? secure->ssl.in_msg[1] : 0;
    return r == 0 ? 1 : -1;
}

static int on_stream_send(void *ctx, const uint8_t *bytes, size_t n)
{
    secure_mbedtls *secure = ctx;
    int r = secure->gone ? -1 : mbedtls_ssl_write(&secure->ssl, bytes, n);
    if (is_later(r))
        return 0;
    secure->gone = r < 0;
    return r < 0 ? -1 : r;
}

static int on_stream_recv(void *ctx, uint8_t *bytes, size_t n)
{
    secure_mbedtls *secure = ctx;
    int r = secure->gone ? -1 : mbedtls_ssl_read(&secure->ssl, bytes, n);
    if (is_later(r))
        return 0;
    secure->gone = r <= 0; /* 0 is the end */
    return r <= 0 ? -1 : r;
}

static void on_close(void *ctx)
{
    secure_mbedtls *secure = ctx;
    if (!secure->open)
        return;
    if (secure->through && !secure->gone)
        (void)mbedtls_ssl_close_notify(&secure->ssl);
    secure->below->close(secure->below->ctx);
    end(secure);
    secure->open = false;
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

void secure_mbedtls_init(secure_mbedtls *secure, const ghn_stream *below, const ghn_port *port)
{
    memset(secure, 0, sizeof *secure);
    secure->below = below;
    secure->port = port;
}

void secure_mbedtls_done(secure_mbedtls *secure)
{
    on_close(secure);
    ghn_wipe(secure->key, sizeof secure->key);
}

ghn_secure secure_mbedtls_of(secure_mbedtls *secure)
{
    return (ghn_secure){
        .stream = {on_open, on_state, on_stream_send, on_stream_recv, on_close, secure},
        .use = on_use,
        .ctx = secure,
    };
}

int secure_mbedtls_alert(const secure_mbedtls *secure)
{
    return secure->alert;
}
