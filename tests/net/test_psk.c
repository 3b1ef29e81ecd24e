#include "net/door_rig.h"
#include "net/tls_rig.h"

#include "net/psk_gate.h"

#include <errno.h>
#include <openssl/sslerr.h>
#include <stdio.h>
#include <sys/socket.h>

/* One key, "n:pump:1"; and what was asked and tried. */
struct scene {
    struct net_rig *rig;
    struct psk_keys keys;
    struct psk_gate *gate;
    SSL_CTX *server, *client;
    struct recorder recorder;
    struct far far;
    unsigned good, wrong, unknown;
    char last[PSK_IDENTITY_MAX + 1];
};

static const uint8_t right_key[PSK_KEY_BYTES] = {1, 2, 3, 4};

/* What the far side shows. */
static struct {
    const char *identity;
    size_t len;
    uint8_t key[PSK_KEY_BYTES];
} shown;

static bool on_find(struct psk_keys *keys, const char *identity, uint8_t key[PSK_KEY_BYTES])
{
    (void)keys;
    if (strcmp(identity, "n:pump:1") != 0)
        return false;
    memcpy(key, right_key, PSK_KEY_BYTES);
    return true;
}

static void on_tried(struct psk_keys *keys, const char *identity, const struct address *from, bool known,
                     bool good)
{
    (void)from;
    struct scene *scene = container_of(keys, struct scene, keys);
    ++*(good ? &scene->good : known ? &scene->wrong : &scene->unknown);
    (void)snprintf(scene->last, sizeof scene->last, "%s", identity);
}

static int use_session(SSL *tls, const EVP_MD *md, const unsigned char **id, size_t *len, SSL_SESSION **ret)
{
    static const unsigned char aes[] = {0x13, 0x01}, chacha[] = {0x13, 0x03};
    *ret = NULL;
    if (md && EVP_MD_get_type(md) != NID_sha256)
        return 1;
    const SSL_CIPHER *cipher = SSL_CIPHER_find(tls, chacha);
    cipher = cipher ? cipher : SSL_CIPHER_find(tls, aes);
    SSL_SESSION *session = SSL_SESSION_new();
    CHECK(session && SSL_SESSION_set1_master_key(session, shown.key, PSK_KEY_BYTES) &&
          SSL_SESSION_set_cipher(session, cipher) &&
          SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION));
    *id = (const unsigned char *)shown.identity;
    *len = shown.len;
    *ret = session;
    return 1;
}

static unsigned use_key(SSL *tls, const char *hint, char *identity, unsigned identity_max, unsigned char *key,
                        unsigned max)
{
    (void)tls, (void)hint;
    CHECK(max >= PSK_KEY_BYTES);
    (void)snprintf(identity, identity_max, "%s", shown.identity);
    memcpy(key, shown.key, PSK_KEY_BYTES);
    return PSK_KEY_BYTES;
}

static void show(const char *identity, bool right)
{
    shown.identity = identity;
    shown.len = strlen(identity);
    memset(shown.key, 9, sizeof shown.key);
    if (right)
        memcpy(shown.key, right_key, sizeof right_key);
}

static void scene_begin(struct scene *scene, bool tls12)
{
    scene->rig = net_rig_new();
    scene->keys = (struct psk_keys){.find = on_find, .tried = on_tried};
    scene->gate = psk_gate_new(scene->rig->loop, &scene->keys);
    const struct tls_options options = {.psk = &scene->gate->tls, .psk_tls12 = tls12};
    char *why = NULL;
    CHECK_INT(tls_server_context(&scene->server, &options, NULL, &why), 0);
    scene->client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_psk_use_session_callback(scene->client, use_session);
    SSL_CTX_set_psk_client_callback(scene->client, use_key);
    show("n:pump:1", true);
    log_listen();
}

static void connect_again(struct scene *scene)
{
    int fds[2];
    recorder_done(&scene->recorder);
    if (scene->far.tls)
        far_done(&scene->far);
    scene->recorder = (struct recorder){0};
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    SSL *tls = tls_accept(scene->server);
    CHECK(tls);
    net_conn(scene->rig, &scene->recorder, fds[0], tls);
    far_init(&scene->far, scene->client, fds[1], false);
}

static void scene_open(struct scene *scene, bool tls12)
{
    scene_begin(scene, tls12);
    connect_again(scene);
}

static void scene_done(struct scene *scene)
{
    recorder_done(&scene->recorder);
    if (scene->far.tls)
        far_done(&scene->far);
    SSL_CTX_free(scene->client);
    (void)tls_context_free(scene->server);
    scene->rig = net_rig_free(scene->rig);
}

/* The alert that the far side was told; 0: none. */
static int try_once(struct scene *scene)
{
    connect_again(scene);
    far_settle(&scene->far, scene->rig);
    if (far_is_up(&scene->far) && !scene->far.error) {
        far_write(&scene->far, "x", 1);
        far_settle(&scene->far, scene->rig);
    }
    return scene->far.error ? scene->far.reason : 0;
}

TEST(who_has_the_key_is_let_in_and_has_the_identity_for_a_name)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene, false);
    far_settle(&scene.far, scene.rig);
    CHECK(far_is_up(&scene.far));
    CHECK_STR(SSL_get_version(scene.far.tls), "TLSv1.3");
    CHECK_STR(SSL_CIPHER_get_name(SSL_get_current_cipher(scene.far.tls)), "TLS_CHACHA20_POLY1305_SHA256");
    CHECK_STR(conn_certificate_name(scene.recorder.conn), "n:pump:1");
    CHECK_INT(scene.good, 1);
    CHECK_STR(scene.last, "n:pump:1");
    CHECK_INT(log_lines.count, 0);
}

TEST(records_to_a_node_hold_at_most_512_bytes)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene, false);
    far_settle(&scene.far, scene.rig);
    static uint8_t bytes[3000];
    pattern(bytes, sizeof bytes, 1);
    scene.far.record_max = 0;
    conn_write(scene.recorder.conn, bytes, sizeof bytes);
    far_settle(&scene.far, scene.rig);
    CHECK_MEM(scene.far.bytes, scene.far.len, bytes, sizeof bytes);
    CHECK(scene.far.record_max <= 512 + 17); /* kind of content, and the tag */
}

TEST(nothing_is_resumed)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene, false);
    far_settle(&scene.far, scene.rig);
    conn_write(scene.recorder.conn, "x", 1);
    far_settle(&scene.far, scene.rig);
    CHECK_INT(SSL_SESSION_has_ticket(SSL_get_session(scene.far.tls)), 0);
}

TEST(a_wrong_key_and_an_unknown_identity_are_told_the_same)
{
    static const char *const unknown[] = {"n:pump:2", "pair:nobody", "cable:pump", "x", "a b", "\xff\x01"};
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene, false);
    show("n:pump:1", false);
    int told = try_once(&scene);
    CHECK(told != 0);
    CHECK_INT(scene.wrong, 1);
    CHECK(strstr(log_lines.last, ": TLS: n:pump:1: its key is wrong"));
    for (size_t i = 0; i < array_size(unknown); i++) {
        show(unknown[i], true);
        memset(scene.gate->failures, 0, sizeof scene.gate->failures);
        CHECK_INT(try_once(&scene), told);
        CHECK(strstr(log_lines.last, "its identity is not known"));
        CHECK_INT(scene.recorder.received, 0);
    }
    CHECK_INT(scene.unknown, 4); /* and what cannot be an identity is nobody's */
    CHECK_INT(scene.good, 0);
}

TEST(the_same_over_tls_1_2)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene, true);
    CHECK(SSL_CTX_set_max_proto_version(scene.client, TLS1_2_VERSION));
    CHECK(SSL_CTX_set_cipher_list(scene.client, "ECDHE-PSK-CHACHA20-POLY1305"));
    CHECK_INT(try_once(&scene), 0);
    CHECK_STR(SSL_get_version(scene.far.tls), "TLSv1.2");
    CHECK_STR(conn_certificate_name(scene.recorder.conn), "n:pump:1");
    show("n:pump:1", false);
    int told = try_once(&scene);
    CHECK(told != 0);
    CHECK_INT(scene.wrong, 1);
    show("n:pump:2", false);
    CHECK_INT(try_once(&scene), told);
    CHECK_INT(scene.unknown, 1);
}

TEST(a_listener_with_tls_1_2_takes_1_3_first)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene, true);
    CHECK_INT(try_once(&scene), 0);
    CHECK_STR(SSL_get_version(scene.far.tls), "TLSv1.3");
}

TEST(tls_1_2_is_refused_unless_it_is_asked_for)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene, false);
    CHECK(SSL_CTX_set_max_proto_version(scene.client, TLS1_2_VERSION));
    CHECK_INT(try_once(&scene), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
}

TEST(keys_without_a_fresh_exchange_are_never_taken)
{
    static const char *const ciphers[] = {"PSK-CHACHA20-POLY1305", "PSK-AES128-GCM-SHA256",
                                          "RSA-PSK-AES128-GCM-SHA256", "DHE-PSK-CHACHA20-POLY1305"};
    for (size_t i = 0; i < array_size(ciphers); i++) {
        cleanup(scene_done) struct scene scene = {0};
        scene_begin(&scene, true);
        CHECK(SSL_CTX_set_max_proto_version(scene.client, TLS1_2_VERSION));
        CHECK(SSL_CTX_set_cipher_list(scene.client, ciphers[i]));
        CHECK(try_once(&scene) != 0);
        CHECK_INT(scene.good, 0);
    }
}

TEST(a_client_without_a_key_is_refused)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene, false);
    SSL_CTX_set_psk_use_session_callback(scene.client, NULL);
    SSL_CTX_set_psk_client_callback(scene.client, NULL);
    CHECK(try_once(&scene) != 0);
    CHECK_INT(scene.good + scene.wrong + scene.unknown, 0);
}

TEST(from_the_fifth_failure_in_a_minute_on_an_answer_waits)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene, false);
    show("n:pump:1", false);
    for (int i = 0; i < 4; i++)
        CHECK(try_once(&scene) != 0);
    CHECK_INT(try_once(&scene), 0); /* nothing is said yet */
    CHECK_INT(scene.wrong, 4);
    CHECK_INT(scene.recorder.closed, 0);
    net_wait(scene.rig, PSK_GATE_WAIT - 1);
    far_settle(&scene.far, scene.rig);
    CHECK_INT(scene.wrong, 4);
    net_wait(scene.rig, 1);
    far_settle(&scene.far, scene.rig);
    CHECK_INT(scene.wrong, 5);
    CHECK(scene.far.error);

    show("n:pump:1", true); /* the right key waits, too, and is then good */
    connect_again(&scene);
    far_settle(&scene.far, scene.rig);
    CHECK(!far_is_up(&scene.far));
    net_wait(scene.rig, PSK_GATE_WAIT);
    far_settle(&scene.far, scene.rig);
    CHECK(far_is_up(&scene.far));
    net_wait(scene.rig, PSK_GATE_WINDOW); /* and a minute later nobody does */
    CHECK_INT(try_once(&scene), 0);
    CHECK(far_is_up(&scene.far));
}

TEST(failures_are_counted_by_identity_whatever_the_address)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene, false);
    struct tls_psk *psk = &scene.gate->tls;
    struct address from = {.family = AF_INET};
    for (int i = 0; i < 4; i++) {
        from.in.s_addr = htonl(0x0a000001 + (uint32_t)i);
        psk->tried(psk, "n:pump:1", &from, true, false);
    }
    from.in.s_addr = htonl(0x0a000099);
    CHECK(psk->must_wait(psk, "n:pump:1", &from));
    CHECK(!psk->must_wait(psk, "n:pump:2", &from));
    psk->tried(psk, "n:pump:1", &from, true, true);
    CHECK(!psk->must_wait(psk, "n:pump:1", &from));
}

TEST(a_flood_of_names_takes_no_more_memory)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene, false);
    struct tls_psk *psk = &scene.gate->tls;
    for (uint32_t i = 0; i < 5000; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "n:%u:1", i);
        struct address from = {.family = AF_INET6};
        memcpy(&from.in6, &i, sizeof i);
        psk->tried(psk, name, &from, false, false);
        net_wait(scene.rig, 1);
        CHECK(!psk->must_wait(psk, name, &from));
    }
}

TEST(a_handshake_that_fails_after_its_listener_has_closed_finds_what_it_asks)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene, false);
    scene.server = tls_context_free(scene.server);
    far_settle(&scene.far, scene.rig);
    CHECK(far_is_up(&scene.far));
}

/* ---- the listener ------------------------------------------------------------------------------------------------------ */

TEST(a_listener_without_anybody_who_has_keys_does_not_open)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    CHECK_INT(door_open(&door, "mqtts+psk://127.0.0.1:0"), -EINVAL);
    CHECK(strstr(door.why, "expected a gateway that pairs nodes"));
}

TEST(a_listener_for_nodes_accepts_with_tls_and_keeps_its_keys_at_a_reload)
{
    struct scene scene = {.keys = {.find = on_find, .tried = on_tried}};
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    door.user.keys = &scene.keys;
    door_must_open(&door, "mqtts+psk://127.0.0.1:0?tls12=1");
    CHECK(strncmp(listener_name(door.listener), "mqtts+psk://127.0.0.1:", 22) == 0);
    CHECK_INT(listener_expires(door.listener), 0);
    CHECK_INT(listener_reload(door.listener, &door.why), 0);
    cleanup(fd_close_p) int guest = knock_tcp(&door);
    CHECK(guest >= 0);
    net_turn_until(door.rig, &door.count);
    CHECK(door.tls[0]);
    door.tls[0] = tls_free(door.tls[0]);
}

TEST(an_identity_is_what_can_be_written_down)
{
    CHECK(psk_identity_is_valid("n:QTH5-GKR5_x:12", 16));
    CHECK(!psk_identity_is_valid("", 0));
    CHECK(!psk_identity_is_valid("a b", 3));
    CHECK(!psk_identity_is_valid("a\0b", 3));
    char longest[PSK_IDENTITY_MAX + 1];
    memset(longest, 'x', sizeof longest);
    CHECK(psk_identity_is_valid(longest, PSK_IDENTITY_MAX));
    CHECK(!psk_identity_is_valid(longest, PSK_IDENTITY_MAX + 1));
}
