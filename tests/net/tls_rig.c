#include "net/tls_rig.h"

#include "net/tls.h"
#include "store/folder.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STEPS_MAX = 200000 };

/* ---- certificates -------------------------------------------------------------------------------------------------- */

struct identity identity_new(const struct identity *issuer, const void *name, size_t name_len, int days)
{
    static long serial = 1;
    struct identity made = {.key = EVP_EC_gen("P-256"), .certificate = X509_new()};
    CHECK(made.key && made.certificate);
    X509 *certificate = made.certificate;
    CHECK(X509_set_version(certificate, X509_VERSION_3));
    CHECK(ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++));
    CHECK(X509_gmtime_adj(X509_getm_notBefore(certificate), -10L * 86400));
    CHECK(X509_gmtime_adj(X509_getm_notAfter(certificate), (long)days * 86400));
    CHECK(X509_set_pubkey(certificate, made.key));
    X509_NAME *subject = X509_get_subject_name(certificate);
    if (name)
        CHECK(X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, (unsigned char *)name,
                                         (int)name_len, -1, 0));
    else
        CHECK(X509_NAME_add_entry_by_NID(subject, NID_organizationName, MBSTRING_UTF8,
                                         (unsigned char *)"nobody", -1, -1, 0));
    CHECK(X509_set_issuer_name(certificate, issuer ? X509_get_subject_name(issuer->certificate) : subject));
    X509_EXTENSION *basic = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
                                                issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    CHECK(basic && X509_add_ext(certificate, basic, -1));
    X509_EXTENSION_free(basic);
    CHECK(X509_sign(certificate, issuer ? issuer->key : made.key, EVP_sha256()));
    return made;
}

void identity_done(struct identity *identity)
{
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
    *identity = (struct identity){0};
}

static FILE *create(const char *folder, const char *name, const char *ending)
{
    cleanup_free char *path = str_printf("%s/%s%s", folder, name, ending);
    FILE *file = fopen(path, "we");
    CHECK(file);
    return file;
}

void identity_save(const struct identity *identity, const char *folder, const char *name)
{
    FILE *file = create(folder, name, ".pem");
    CHECK(PEM_write_X509(file, identity->certificate));
    CHECK_INT(fclose(file), 0);
    file = create(folder, name, ".key");
    CHECK(PEM_write_PrivateKey(file, identity->key, NULL, NULL, 0, NULL, NULL));
    CHECK_INT(fclose(file), 0);
}

struct tls_world *tls_world_new(void)
{
    struct tls_world *world = mem_new(struct tls_world);
    world->folder = folder_new();
    world->ca = identity_new(NULL, "authority", 9, 1000);
    world->server = identity_new(&world->ca, "gateway", 7, 1000);
    world->client = identity_new(&world->ca, "pump-7", 6, 1000);
    identity_save(&world->ca, world->folder, "ca");
    identity_save(&world->server, world->folder, "server");
    world->server_context = tls_world_server(world, true);
    world->client_context = SSL_CTX_new(TLS_client_method());
    CHECK(world->client_context);
    CHECK(SSL_CTX_use_certificate(world->client_context, world->client.certificate));
    CHECK(SSL_CTX_use_PrivateKey(world->client_context, world->client.key));
    CHECK(X509_STORE_add_cert(SSL_CTX_get_cert_store(world->client_context), world->ca.certificate));
    SSL_CTX_set_verify(world->client_context, SSL_VERIFY_PEER, NULL);
    return world;
}

struct tls_world *tls_world_free(struct tls_world *world)
{
    if (!world)
        return NULL;
    world->server_context = tls_context_free(world->server_context);
    SSL_CTX_free(world->client_context);
    identity_done(&world->ca);
    identity_done(&world->server);
    identity_done(&world->client);
    world->folder = folder_free(world->folder);
    free(world);
    return NULL;
}

const char *tls_world_file(const struct tls_world *world, const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", world->folder, name);
    return path;
}

SSL_CTX *tls_world_server(const struct tls_world *world, bool with_ca)
{
    struct tls_files files = {(char *)tls_world_file(world, "server.pem"),
                              (char *)tls_world_file(world, "server.key")};
    struct tls_options options = {
        .files = &files, .count = 1, .ca = with_ca ? tls_world_file(world, "ca.pem") : NULL};
    SSL_CTX *context = NULL;
    cleanup_free char *why = NULL;
    CHECK_INT(tls_server_context(&context, &options, NULL, &why), 0);
    return context;
}

/* ---- the far side -------------------------------------------------------------------------------------------------- */

void far_init(struct far *ret, SSL_CTX *context, int fd, bool accepts)
{
    *ret = (struct far){
        .fd = fd, .tls = SSL_new(context), .in = BIO_new(BIO_s_mem()), .out = BIO_new(BIO_s_mem())};
    CHECK(ret->tls && ret->in && ret->out);
    SSL_set_bio(ret->tls, ret->in, ret->out);
    if (accepts)
        SSL_set_accept_state(ret->tls);
    else
        SSL_set_connect_state(ret->tls);
}

void far_pair(struct far *ret, struct net_rig *rig, struct tls_world *world, struct recorder *recorder)
{
    int fds[2];
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    SSL *tls = tls_accept(world->server_context);
    CHECK(tls);
    net_conn(rig, recorder, fds[0], tls);
    far_init(ret, world->client_context, fds[1], false);
    if (world->version)
        CHECK(SSL_set_max_proto_version(ret->tls, world->version));
}

void far_done(struct far *far)
{
    if (far->tls)
        SSL_set_shutdown(far->tls, SSL_SENT_SHUTDOWN); /* else the session would count as broken */
    SSL_free(far->tls);
    free(far->bytes);
    fd_close_p(&far->fd);
    ERR_clear_error();
}

bool far_is_up(const struct far *far)
{
    return SSL_is_init_finished(far->tls);
}

/* Looks at the heads of records in what comes. */
static void note_records(struct far *far, const uint8_t *bytes, size_t len)
{
    while (len) {
        if (far->left) {
            size_t n = size_min(len, far->left);
            far->left -= n;
            bytes += n;
            len -= n;
            continue;
        }
        far->head[far->head_len++] = *bytes++;
        len--;
        if (far->head_len < sizeof far->head)
            continue;
        far->head_len = 0;
        far->left = (size_t)(far->head[3] << 8 | far->head[4]);
        if (far->head[0] == SSL3_RT_APPLICATION_DATA) {
            far->records++;
            far->record_max = size_max(far->record_max, far->left);
        }
    }
}

static bool bring_in(struct far *far)
{
    uint8_t bytes[4096];
    ssize_t n = raw_read(far->fd, bytes, far->piece ? size_min(far->piece, sizeof bytes) : sizeof bytes);
    if (n == 0)
        far->ended = true;
    if (n <= 0)
        return false;
    size_t skipped = size_min(far->skip, (size_t)n);
    far->skip -= skipped;
    note_records(far, bytes + skipped, (size_t)n - skipped);
    CHECK_INT(BIO_write(far->in, bytes + skipped, (int)((size_t)n - skipped)),
              (int64_t)((size_t)n - skipped));
    return true;
}

static bool bring_out(struct far *far)
{
    char *bytes;
    long len = BIO_get_mem_data(far->out, &bytes);
    if (len <= 0)
        return false;
    size_t wanted = far->piece ? size_min(far->piece, (size_t)len) : (size_t)len;
    ssize_t n = send(far->fd, bytes, wanted, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n <= 0)
        return false;
    uint8_t scrap[65536];
    for (size_t left = (size_t)n; left;) {
        int taken = BIO_read(far->out, scrap, (int)size_min(left, sizeof scrap));
        CHECK(taken > 0);
        left -= (size_t)taken;
    }
    return true;
}

static bool decrypt(struct far *far)
{
    uint8_t bytes[16384];
    ERR_clear_error();
    int n = SSL_read(far->tls, bytes, sizeof bytes); /* does the handshake, too */
    if (n > 0) {
        far->bytes = realloc(far->bytes, far->len + (size_t)n);
        memcpy(far->bytes + far->len, bytes, (size_t)n);
        far->len += (size_t)n;
        return true;
    }
    int error = SSL_get_error(far->tls, n);
    if (error == SSL_ERROR_ZERO_RETURN)
        far->goodbye = true;
    else if (error != SSL_ERROR_WANT_READ) {
        far->error = error;
        far->reason = ERR_GET_REASON(ERR_peek_last_error());
    }
    return false;
}

bool far_step(struct far *far)
{
    bool moved = !far->deaf && !far->ended && bring_in(far);
    while (!far->error && decrypt(far))
        moved = true;
    return bring_out(far) || moved;
}

void far_settle(struct far *far, struct net_rig *rig)
{
    for (int i = 0; i < STEPS_MAX; i++) {
        net_turn(rig);
        if (!far_step(far)) {
            net_turn(rig);
            if (!far_step(far))
                return;
        }
    }
    FAIL("the far side does not come to rest");
}

void far_write(struct far *far, const void *bytes, size_t len)
{
    ERR_clear_error();
    CHECK_INT(SSL_write(far->tls, bytes, (int)len), (int64_t)len);
}

void far_clog(struct far *far, int fd)
{
    static const uint8_t filler[4096];
    for (size_t size = sizeof filler; size; size = size == 1 ? 0 : 1) /* with large ones, then what is left */
        for (ssize_t n; (n = send(fd, filler, size, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0;)
            far->skip += (size_t)n;
}
