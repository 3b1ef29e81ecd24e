#include "net/tls_rig.h"

#include "net/tls.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/sslerr.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* One world with one connection whose handshake has not begun. */
struct scene {
    struct net_rig *rig;
    struct tls_world *world;
    struct recorder recorder;
    struct far far;
};

static void scene_begin(struct scene *scene)
{
    scene->rig = net_rig_new();
    scene->world = tls_world_new();
    log_listen();
}

static void scene_open(struct scene *scene)
{
    scene_begin(scene);
    far_pair(&scene->far, scene->rig, scene->world, &scene->recorder);
}

/* Another connection in the same world. */
static void scene_again(struct scene *scene)
{
    recorder_done(&scene->recorder);
    far_done(&scene->far);
    scene->recorder = (struct recorder){0};
    far_pair(&scene->far, scene->rig, scene->world, &scene->recorder);
}

static void scene_done(struct scene *scene)
{
    recorder_done(&scene->recorder);
    far_done(&scene->far);
    scene->world = tls_world_free(scene->world);
    scene->rig = net_rig_free(scene->rig);
}

/* ---- who is let in --------------------------------------------------------------------------------------------------- */

static void check_refused(struct scene *scene, const char *logged)
{
    for (int i = 0; i < 3; i++) { /* in TLS 1.3 the client may write before he knows */
        far_settle(&scene->far, scene->rig);
        if (far_is_up(&scene->far) && !scene->far.error)
            far_write(&scene->far, "let me in", 9);
    }
    CHECK_INT(scene->recorder.received, 0);
    CHECK_INT(scene->recorder.closed, 1);
    CHECK_INT(scene->recorder.why, -EPROTO);
    CHECK_INT(log_lines.count, 1);
    char line[600];
    (void)snprintf(line, sizeof line, "%s: TLS: %s", scene->recorder.peer, logged);
    CHECK_STR(log_lines.last, line);
}

/* A client with that certificate, or none. */
static void show(struct scene *scene, const struct identity *identity)
{
    SSL_certs_clear(scene->far.tls);
    if (!identity)
        return;
    CHECK(SSL_use_certificate(scene->far.tls, identity->certificate));
    CHECK(SSL_use_PrivateKey(scene->far.tls, identity->key));
}

TEST(a_client_without_a_certificate_is_refused)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < array_size(versions); i++) {
        cleanup(scene_done) struct scene scene = {0};
        scene_open(&scene);
        CHECK(SSL_set_max_proto_version(scene.far.tls, versions[i]));
        show(&scene, NULL);
        check_refused(&scene, "peer did not return a certificate");
        CHECK(scene.far.error); /* and is told */
    }
}

TEST(a_client_whom_another_authority_has_signed_is_refused)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene);
    cleanup(identity_done) struct identity other = identity_new(NULL, "authority", 9, 1000);
    cleanup(identity_done) struct identity stranger = identity_new(&other, "pump-7", 6, 1000);
    show(&scene, &stranger);
    check_refused(&scene, "certificate verify failed: certificate signature failure");
}

TEST(a_client_who_has_signed_himself_is_refused)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene);
    cleanup(identity_done) struct identity himself = identity_new(NULL, "pump-7", 6, 1000);
    show(&scene, &himself);
    check_refused(&scene, "certificate verify failed: self-signed certificate");
}

TEST(a_client_with_an_expired_certificate_is_refused)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene);
    cleanup(identity_done) struct identity old = identity_new(&scene.world->ca, "pump-7", 6, -1);
    show(&scene, &old);
    check_refused(&scene, "certificate verify failed: certificate has expired");
}

TEST(a_client_who_is_not_an_authority_cannot_sign_another)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene);
    cleanup(identity_done) struct identity forged = identity_new(&scene.world->client, "boss", 4, 1000);
    show(&scene, &forged);
    CHECK(SSL_add1_chain_cert(scene.far.tls, scene.world->client.certificate));
    check_refused(&scene, "certificate verify failed: invalid CA certificate");
}

TEST(versions_before_1_2_are_refused)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene);
    SSL_set_security_level(scene.far.tls, 0);
    CHECK(SSL_set_min_proto_version(scene.far.tls, TLS1_VERSION));
    CHECK(SSL_set_max_proto_version(scene.far.tls, TLS1_1_VERSION));
    check_refused(&scene, "unsupported protocol");
}

TEST(bytes_that_are_not_tls_are_refused)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *logged;
    } strangers[] = {
        {"\x10\x12\0\x04MQTT\x04\x02\0\x3c\0\x06pump-7", 20, "wrong version number"},
        {"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n", 33, "http request"},
        {"\x16\x03\x01\xff\xff\xff\xff\xff\xff\xff", 10, "packet length too long"},
    };
    for (size_t i = 0; i < array_size(strangers); i++) {
        cleanup(scene_done) struct scene scene = {0};
        scene_open(&scene);
        raw_write(scene.far.fd, strangers[i].bytes, strangers[i].len);
        net_turn(scene.rig);
        CHECK_INT(scene.recorder.received, 0);
        CHECK_INT(scene.recorder.closed, 1);
        CHECK_INT(scene.recorder.why, -EPROTO);
        CHECK(strstr(log_lines.last, strangers[i].logged));
    }
}

/* ---- time ------------------------------------------------------------------------------------------------------------ */

TEST(a_handshake_has_ten_seconds)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene);
    raw_write(scene.far.fd, "\x16\x03\x01", 3); /* it has begun */
    net_wait(scene.rig, 9999);
    CHECK_INT(scene.recorder.closed, 0);
    net_wait(scene.rig, 1);
    CHECK_INT(scene.recorder.closed, 1);
    CHECK_INT(scene.recorder.why, -ETIMEDOUT);
    CHECK(strstr(log_lines.last, ": TLS: no handshake within 10 s"));
}

TEST(whoever_has_shaken_hands_may_stay)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene);
    net_wait(scene.rig, 9999);
    far_settle(&scene.far, scene.rig);
    net_wait(scene.rig, 100000);
    CHECK_INT(scene.recorder.closed, 0);
}

TEST(a_client_who_leaves_during_the_handshake_is_logged_once)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene);
    raw_write(scene.far.fd, "\x16\x03\x01", 3);
    net_turn(scene.rig);
    fd_close_p(&scene.far.fd);
    net_turn(scene.rig);
    CHECK_INT(scene.recorder.closed, 1);
    CHECK_INT(scene.recorder.why, -ECONNRESET);
    CHECK_INT(log_lines.count, 1);
    CHECK(strstr(log_lines.last, ": TLS: closed during the handshake"));
}

/* ---- the user during the handshake ----------------------------------------------------------------------------------- */

TEST(output_waits_for_the_handshake)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene);
    conn_write(scene.recorder.conn, "welcome", 7);
    net_turn(scene.rig);
    CHECK_INT((int64_t)conn_pending(scene.recorder.conn), 7);
    far_settle(&scene.far, scene.rig);
    CHECK_MEM(scene.far.bytes, scene.far.len, "welcome", 7);
}

TEST(a_pause_does_not_hold_up_the_handshake)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene);
    conn_pause(scene.recorder.conn);
    far_settle(&scene.far, scene.rig);
    CHECK(far_is_up(&scene.far));
    conn_write(scene.recorder.conn, "welcome", 7);
    far_settle(&scene.far, scene.rig);
    CHECK_MEM(scene.far.bytes, scene.far.len, "welcome", 7);
}

TEST(a_connection_may_be_closed_during_the_handshake)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene);
    conn_write(scene.recorder.conn, "welcome", 7);
    net_turn(scene.rig);
    INSIDE(&scene.recorder, conn_close(scene.recorder.conn));
    net_turn(scene.rig);
    CHECK_INT(scene.recorder.closed, 1);
    CHECK_INT(scene.recorder.why, 0);
    uint8_t byte;
    CHECK_INT(raw_read(scene.far.fd, &byte, 1), 0);
}

/* ---- names ----------------------------------------------------------------------------------------------------------- */

static void check_name(const void *name, size_t len, const char *expected)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene);
    cleanup(identity_done) struct identity client = identity_new(&scene.world->ca, name, len, 1000);
    show(&scene, &client);
    CHECK(!conn_certificate_name(scene.recorder.conn)); /* not before it is verified */
    far_settle(&scene.far, scene.rig);
    CHECK_INT(scene.recorder.closed, 0);
    if (expected)
        CHECK_STR(conn_certificate_name(scene.recorder.conn), expected);
    else
        CHECK(!conn_certificate_name(scene.recorder.conn));
}

TEST(the_common_name_says_who_it_is)
{
    check_name("pump-7", 6, "pump-7");
    check_name("Förderpumpe", 12, "Förderpumpe");
}

TEST(a_name_with_a_zero_byte_is_none)
{
    check_name("admin\0.example", 14, NULL);
    check_name("admin\0", 6, NULL);
}

TEST(a_certificate_without_a_common_name_says_nothing)
{
    check_name(NULL, 0, NULL);
}

TEST(without_an_authority_nobody_is_asked_for_a_certificate)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene);
    scene.world->server_context = tls_context_free(scene.world->server_context);
    scene.world->server_context = tls_world_server(scene.world, false);
    far_pair(&scene.far, scene.rig, scene.world, &scene.recorder);
    far_settle(&scene.far, scene.rig);
    CHECK(far_is_up(&scene.far));
    CHECK(!conn_certificate_name(scene.recorder.conn));
}

/* ---- sessions -------------------------------------------------------------------------------------------------------- */

static SSL_SESSION *session_of(struct scene *scene)
{
    far_settle(&scene->far, scene->rig);
    CHECK(far_is_up(&scene->far));
    CHECK(!SSL_session_reused(scene->far.tls));
    return SSL_get1_session(scene->far.tls);
}

TEST(a_session_is_resumed_and_still_says_who_it_is)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < array_size(versions); i++) {
        cleanup(scene_done) struct scene scene = {0};
        scene_begin(&scene);
        scene.world->version = versions[i];
        far_pair(&scene.far, scene.rig, scene.world, &scene.recorder);
        SSL_SESSION *session = session_of(&scene);
        scene_again(&scene);
        CHECK(SSL_set_session(scene.far.tls, session));
        SSL_SESSION_free(session);
        far_settle(&scene.far, scene.rig);
        CHECK(far_is_up(&scene.far));
        CHECK(SSL_session_reused(scene.far.tls));
        CHECK_STR(conn_certificate_name(scene.recorder.conn), "pump-7");
        CHECK_INT(scene.recorder.closed, 0);
    }
}

TEST(a_session_of_an_earlier_context_is_shaken_hands_anew)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene);
    SSL_SESSION *session = session_of(&scene);
    scene.world->server_context = tls_context_free(scene.world->server_context);
    scene.world->server_context = tls_world_server(scene.world, true);
    scene_again(&scene);
    CHECK(SSL_set_session(scene.far.tls, session));
    SSL_SESSION_free(session);
    far_settle(&scene.far, scene.rig);
    CHECK(far_is_up(&scene.far));
    CHECK(!SSL_session_reused(scene.far.tls));
    CHECK_STR(conn_certificate_name(scene.recorder.conn), "pump-7");
}

/* ---- files ----------------------------------------------------------------------------------------------------------- */

static void put(const struct tls_world *world, const char *name, const char *text)
{
    FILE *file = fopen(tls_world_file(world, name), "we");
    CHECK(file);
    CHECK(fputs(text, file) >= 0);
    CHECK_INT(fclose(file), 0);
}

#define KEY "expected a private key in PEM form, without a passphrase: "
#define MISMATCH "expected the certificate's private key: "

TEST(a_file_that_will_not_do_is_named_with_what_was_expected)
{
    cleanup(tls_world_free_p) struct tls_world *world = tls_world_new();
    identity_save(&world->client, world->folder, "client");
    put(world, "rubbish", "this is not PEM\n");
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    identity_save(&(struct identity){rsa, world->server.certificate}, world->folder, "rsa");
    EVP_PKEY_free(rsa);
    FILE *file = fopen(tls_world_file(world, "locked.key"), "we");
    CHECK(file);
    CHECK(PEM_write_PrivateKey(file, world->server.key, EVP_aes_128_cbc(), NULL, 0, NULL, (void *)"secret"));
    CHECK_INT(fclose(file), 0);
    static const struct {
        const char *cert, *key, *ca, *file, *said;
    } cases[] = {
        {"none", "server.key", "ca.pem", "none",
         "expected a certificate chain in PEM form: No such file or directory"},
        {"rubbish", "server.key", "ca.pem", "rubbish", "expected a certificate chain in PEM form: "},
        {"server.pem", "none", "ca.pem", "none", KEY "No such file or directory"},
        {"server.pem", "rubbish", "ca.pem", "rubbish", KEY},
        {"server.pem", "server.pem", "ca.pem", "server.pem", KEY},
        {"server.pem", "locked.key", "ca.pem", "locked.key", KEY},
        {"server.pem", "client.key", "ca.pem", "client.key", MISMATCH},
        {"server.pem", "rsa.key", "ca.pem", "rsa.key", MISMATCH},
        {"server.pem", "server.key", "none", "none",
         "expected certificates of authorities in PEM form: No such file or directory"},
        {"server.pem", "server.key", "rubbish", "rubbish",
         "expected certificates of authorities in PEM form: "},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        cleanup_free char *why = NULL;
        SSL_CTX *context = NULL;
        struct tls_files files = {(char *)tls_world_file(world, cases[i].cert),
                                  (char *)tls_world_file(world, cases[i].key)};
        struct tls_options options = {.files = &files, .count = 1, .ca = tls_world_file(world, cases[i].ca)};
        CHECK_INT(tls_server_context(&context, &options, NULL, &why), -EINVAL);
        CHECK(!context);
        char said[1024];
        (void)snprintf(said, sizeof said, "%s: %s", tls_world_file(world, cases[i].file), cases[i].said);
        why[size_min(strlen(why), strlen(said))] = '\0'; /* what follows is in OpenSSL's words */
        CHECK_STR(why, said);
    }
}
