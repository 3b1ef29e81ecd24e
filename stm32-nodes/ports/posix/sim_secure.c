#include "sim_secure.h"

#include "ports/mbedtls/secure_mbedtls.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct sim_secure {
    ghn_identity identity;
    struct pages_file file;
    ghn_keys keys;
    struct line *line;
    ghn_stream below;
    secure_mbedtls tls;
    ghn_secure layer;
    bool quiet;
};

struct sim_secure *sim_secure_new(const char *identity, const char *pages, struct line *line,
                                  const char *device, const char **why)
{
    struct sim_secure *secure = calloc(1, sizeof *secure);
    *why = "no memory";
    if (secure && pages_file_identity(identity, &secure->identity) < 0) {
        *why = "expected a file with an identity page, as ghn-id makes it";
        free(secure);
        secure = NULL;
    }
    if (!secure)
        return NULL;
    pages_file_init(&secure->file, pages);
    ghn_keys_open(&secure->keys, &secure->file.pages);
    if (device) {
        line->is_serial = true;
        serial_stream_init(&line->serial, device, secure->identity.serial, &posix_port);
    }
    secure->line = line;
    secure->below = line_stream(line);
    secure_mbedtls_init(&secure->tls, &secure->below, &posix_port);
    secure->layer = secure_mbedtls_of(&secure->tls);
    return secure;
}

void sim_secure_free(struct sim_secure *secure)
{
    if (!secure)
        return;
    secure_mbedtls_done(&secure->tls);
    ghn_wipe(secure, sizeof *secure);
    free(secure);
}

const char *sim_secure_serial(const struct sim_secure *secure)
{
    return secure->identity.serial;
}

const ghn_secure *sim_secure_layer(const struct sim_secure *secure)
{
    return &secure->layer;
}

ghn_keys *sim_secure_keys(struct sim_secure *secure)
{
    return &secure->keys;
}

static void on_event(void *ctx, ghn_pair_event event, int32_t detail)
{
    const struct sim_secure *secure = ctx;
    const char *serial = secure->identity.serial;
    if (secure->quiet)
        return;
    switch (event) {
    case GHN_PAIR_ASKS: printf("%s asks attempt=%" PRId32 "\n", serial, detail); break;
    case GHN_PAIR_CONNECTED: printf("%s is known\n", serial); break;
    case GHN_PAIR_FAILED:
        printf("%s attempt failed handshake=%" PRId32 " alert=%d\n", serial, detail,
               secure_mbedtls_alert(&secure->tls));
        break;
    case GHN_PAIR_OFFERED: printf("%s offered generation=%" PRId32 "\n", serial, detail); break;
    case GHN_PAIR_KEPT: printf("%s paired thing=%s\n", serial, secure->keys.use.thing); break;
    case GHN_PAIR_REFUSED: printf("%s refused result=%" PRId32 "\n", serial, detail); break;
    }
}

static void wait_for_bytes(const struct sim_secure *secure, int wait, const sigset_t *while_waiting)
{
    struct pollfd pfd = {.fd = line_fd(secure->line), .events = line_events(secure->line)};
    int stream_wait = line_wait(secure->line);
    if (stream_wait >= 0 && stream_wait < wait)
        wait = stream_wait;
    struct timespec timeout = posix_port_timeout(wait);
    (void)ppoll(&pfd, pfd.events && pfd.fd >= 0 ? 1 : 0, &timeout, while_waiting);
}

bool sim_secure_pair(struct sim_secure *secure, const char *host, uint16_t port, bool quiet,
                     const volatile sig_atomic_t *stopped, const sigset_t *while_waiting)
{
    static uint8_t rx[GHN_PAIR_RX_MIN], tx[GHN_PAIR_TX_MIN];
    const ghn_pair_config config = {
        .identity = &secure->identity,
        .firmware = GATEHOUSE_VERSION,
        .cable = secure->line->is_serial,
        .host = host,
        .port = port,
        .rx = rx,
        .rx_size = sizeof rx,
        .tx = tx,
        .tx_size = sizeof tx,
        .ctx = secure,
        .on_event = on_event,
    };
    ghn_pair pair;
    secure->quiet = quiet;
    if (ghn_pair_init(&pair, &config, &posix_port, &secure->layer, &secure->keys) < 0)
        return false;
    while (!*stopped && pair.state == GHN_PAIR_TRYING) {
        int wait = ghn_pair_poll(&pair);
        if (pair.state == GHN_PAIR_TRYING)
            wait_for_bytes(secure, wait, while_waiting);
    }
    bool done = pair.state == GHN_PAIR_DONE;
    ghn_pair_stop(&pair);
    return done;
}
