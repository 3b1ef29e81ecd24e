#include "cloud/far_broker.h"

#include "rig/test.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct pipe_end {
    int fd;
    SSL *tls;
};

static ssize_t take(struct pipe_end *pipe, void *bytes, size_t len)
{
    return pipe->tls ? SSL_read(pipe->tls, bytes, (int)len) : recv(pipe->fd, bytes, len, 0);
}

static void give(struct pipe_end *pipe, const void *bytes, size_t len)
{
    if (pipe->tls)
        (void)SSL_write(pipe->tls, bytes, (int)len);
    else
        (void)!send(pipe->fd, bytes, len, MSG_NOSIGNAL);
}

static bool is_let_through(struct far_broker *broker, int fd)
{
    static const char yes[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    static const char no[] = "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
    char head[512] = "";
    size_t len = 0;
    while (len < sizeof head - 1 && !strstr(head, "\r\n\r\n")) {
        if (recv(fd, head + len, 1, 0) != 1)
            return false;
        head[++len] = '\0';
    }
    memcpy(broker->proxy_head, head, sizeof head);
    bool good = !broker->credentials || strstr(head, broker->credentials);
    broker->refused_by_proxy += !good;
    (void)!send(fd, good ? yes : no, (good ? sizeof yes : sizeof no) - 1, MSG_NOSIGNAL);
    return good;
}

static int on_alpn(SSL *tls, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                   unsigned in_len, void *argument)
{
    struct far_broker *broker = argument;
    int r = SSL_TLSEXT_ERR_NOACK;
    (void)tls;
    broker->offered[0] = '\0';
    for (unsigned at = 0; at < in_len; at += 1u + in[at]) {
        size_t len = strlen(broker->offered);
        (void)snprintf(broker->offered + len, sizeof broker->offered - len, "%.*s ", in[at], in + at + 1);
        if (broker->alpn && strlen(broker->alpn) == in[at] &&
            memcmp(broker->alpn, in + at + 1, in[at]) == 0) {
            *out = in + at + 1;
            *out_len = in[at];
            r = SSL_TLSEXT_ERR_OK;
        }
    }
    return r;
}

static bool read_connect(struct far_broker *broker, struct pipe_end *pipe)
{
    size_t len = 0;
    while (len < 2 || len < 2u + broker->connect[1]) { /* shorter than 128 bytes */
        ssize_t n = take(pipe, broker->connect + len, 1);
        if (n <= 0)
            return false;
        len += (size_t)n;
    }
    broker->connect_len = len;
    return true;
}

static void converse(struct far_broker *broker, struct pipe_end *pipe)
{
    if (!read_connect(broker, pipe))
        return;
    bool v5 = broker->connect[8] == 5; /* behind "MQTT" */
    const uint8_t answer[] = {0x20, v5 ? 3 : 2, broker->session_present, 0, 0};
    give(pipe, answer, v5 ? 5 : 4);
    uint8_t rest[256];
    while (take(pipe, rest, sizeof rest) > 0)
        continue;
}

static void serve(struct far_broker *broker, SSL_CTX *context, int fd)
{
    struct pipe_end pipe = {.fd = fd};
    if (broker->is_proxy && !is_let_through(broker, fd))
        return;
    if (context) {
        pipe.tls = SSL_new(context);
        CHECK(pipe.tls && SSL_set_fd(pipe.tls, fd));
        if (SSL_accept(pipe.tls) != 1) {
            SSL_free(pipe.tls);
            return;
        }
        const char *sni = SSL_get_servername(pipe.tls, TLSEXT_NAMETYPE_host_name);
        (void)snprintf(broker->sni, sizeof broker->sni, "%s", sni ? sni : "");
    }
    converse(broker, &pipe);
    SSL_free(pipe.tls);
}

static void *run(void *argument)
{
    struct far_broker *broker = argument;
    SSL_CTX *context = NULL;
    if (broker->cert) {
        context = SSL_CTX_new(TLS_server_method());
        CHECK(context && SSL_CTX_use_certificate_chain_file(context, broker->cert) == 1 &&
              SSL_CTX_use_PrivateKey_file(context, broker->key, SSL_FILETYPE_PEM) == 1);
        SSL_CTX_set_alpn_select_cb(context, on_alpn, broker);
    }
    for (int fd; (fd = accept(broker->door, NULL, NULL)) >= 0;) {
        serve(broker, context, fd);
        (void)close(fd);
    }
    SSL_CTX_free(context);
    return NULL;
}

void far_broker_start(struct far_broker *broker)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    broker->door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(broker->door >= 0 && bind(broker->door, (struct sockaddr *)&at, len) == 0 &&
          listen(broker->door, 8) == 0 && getsockname(broker->door, (struct sockaddr *)&at, &len) == 0);
    broker->port = ntohs(at.sin_port);
    CHECK_INT(pthread_create(&broker->thread, NULL, run, broker), 0);
}

/* The links are down: the connection that was served has ended. */
void far_broker_end(struct far_broker *broker)
{
    (void)shutdown(broker->door, SHUT_RDWR);
    CHECK_INT(pthread_join(broker->thread, NULL), 0);
    (void)close(broker->door);
}
