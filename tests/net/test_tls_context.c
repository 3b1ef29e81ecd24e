/* What a context offers besides letting in and refusing: which certificate is shown, which protocol is chosen, how long
 * records are, and whose sessions go on. */
#include "net/tls_rig.h"

#include "net/tls.h"

#include <errno.h>
#include <openssl/sslerr.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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
    scene->far.fd = -1;
    log_listen();
}

/* A connection whose handshake has not begun, instead of the one before. */
static void connect_anew(struct scene *scene, int version)
{
    recorder_done(&scene->recorder);
    far_done(&scene->far);
    scene->recorder = (struct recorder){0};
    scene->world->version = version;
    far_pair(&scene->far, scene->rig, scene->world, &scene->recorder);
}

static void scene_done(struct scene *scene)
{
    recorder_done(&scene->recorder);
    far_done(&scene->far);
    scene->world = tls_world_free(scene->world);
    scene->rig = net_rig_free(scene->rig);
}

static void use(struct scene *scene, const struct tls_options *options, SSL_CTX *before)
{
    SSL_CTX *context = NULL;
    char *why = NULL;
    if (tls_server_context(&context, options, before, &why) < 0)
        FAIL("%s", why);
    (void)tls_context_free(scene->world->server_context);
    scene->world->server_context = context;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* ---- which certificate --------------------------------------------------------------------------------------------- */

static void save(struct scene *scene, const char *common_name, const char *file)
{
    cleanup(identity_done) struct identity identity =
        identity_new(&scene->world->ca, common_name, strlen(common_name), 1000);
    identity_save(&identity, scene->world->folder, file);
}

static struct tls_files files_of(const struct scene *scene, const char *name)
{
    char *cert = str_printf("%s/%s.pem", scene->world->folder, name);
    char *key = str_printf("%s/%s.key", scene->world->folder, name);
    return (struct tls_files){cert, key};
}

static void files_done(struct tls_files *files)
{
    free(files->cert);
    free(files->key);
}

/* Who is shown to a client that asks for that name. */
static void check_shown(struct scene *scene, int version, const char *asked, const char *expected)
{
    connect_anew(scene, version);
    if (asked)
        CHECK(SSL_set_tlsext_host_name(scene->far.tls, asked));
    far_settle(&scene->far, scene->rig);
    CHECK(far_is_up(&scene->far));
    char name[64] = "";
    X509 *shown = SSL_get1_peer_certificate(scene->far.tls);
    CHECK(shown);
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, name, sizeof name);
    X509_free(shown);
    CHECK_STR(name, expected);
    CHECK_STR(conn_certificate_name(scene->recorder.conn),
              "pump-7"); /* clients are asked whichever is shown */
}

TEST(the_certificate_for_the_name_that_is_asked_for_is_shown_and_else_the_first)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene);
    save(&scene, "plant1.example", "one");
    save(&scene, "*.plant2.example", "two");
    cleanup(files_done) struct tls_files one = files_of(&scene, "one"), two = files_of(&scene, "two"),
                                         zero = files_of(&scene, "server");
    use(&scene,
        &(struct tls_options){.files = (struct tls_files[]){zero, one, two},
                              .count = 3,
                              .ca = tls_world_file(scene.world, "ca.pem")},
        NULL);
    for (size_t i = 0; i < array_size(versions); i++) {
        check_shown(&scene, versions[i], NULL, "gateway");
        check_shown(&scene, versions[i], "gateway", "gateway");
        check_shown(&scene, versions[i], "plant1.example", "plant1.example");
        check_shown(&scene, versions[i], "PLANT1.example", "plant1.example");
        check_shown(&scene, versions[i], "north.plant2.example", "*.plant2.example");
        check_shown(&scene, versions[i], "plant2.example", "gateway");
        check_shown(&scene, versions[i], "elsewhere.example", "gateway");
    }
}

TEST(a_folder_has_certificates_in_alphabetical_order)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene);
    cleanup_free char *folder = str_printf("%s/certs", scene.world->folder);
    CHECK_INT(mkdir(folder, 0700), 0);
    save(&scene, "b.example", "certs/b");
    save(&scene, "a.example", "certs/a");
    save(&scene, "c.example", "certs/c");
    use(&scene, &(struct tls_options){.folder = folder, .ca = tls_world_file(scene.world, "ca.pem")}, NULL);
    check_shown(&scene, 0, NULL, "a.example");
    check_shown(&scene, 0, "c.example", "c.example");
    check_shown(&scene, 0, "b.example", "b.example");

    char *why = NULL;
    SSL_CTX *context = NULL;
    CHECK_INT(unlink(tls_world_file(scene.world, "certs/b.key")), 0);
    CHECK_INT(tls_server_context(&context, &(struct tls_options){.folder = folder}, NULL, &why), -EINVAL);
    CHECK(strstr(why, "certs/b.key: expected a private key in PEM form"));
    free(why);
    CHECK_INT(tls_server_context(&context, &(struct tls_options){.folder = "/nowhere"}, NULL, &why), -EINVAL);
    CHECK_STR(why, "/nowhere: expected a folder with NAME.pem and NAME.key: No such file or directory");
    free(why);
    cleanup_free char *empty = str_printf("%s/empty", scene.world->folder);
    CHECK_INT(mkdir(empty, 0700), 0);
    CHECK_INT(tls_server_context(&context, &(struct tls_options){.folder = empty}, NULL, &why), -EINVAL);
    CHECK(strstr(why, "there is no NAME.pem"));
    free(why);
    CHECK(!context);
}

/* ---- protocols ----------------------------------------------------------------------------------------------------- */

#define LIST(text) (const uint8_t *)(text), sizeof(text) - 1

static const struct {
    enum tls_speaks speaks;
    const uint8_t *asked;
    unsigned asked_len;
    const char *chosen; /* "": none, and let in; NULL: refused */
} protocols[] = {
    {TLS_MQTT, NULL, 0, ""},
    {TLS_MQTT, LIST("\4mqtt"), "mqtt"},
    {TLS_MQTT, LIST("\16x-amzn-mqtt-ca"), "x-amzn-mqtt-ca"},
    {TLS_MQTT, LIST("\2h2\16x-amzn-mqtt-ca\4mqtt"), "mqtt"},
    {TLS_MQTT, LIST("\10http/1.1"), NULL},
    {TLS_MQTT, LIST("\4mqt7\2h2"), NULL},
    {TLS_MQTT, LIST("\5mqtt5"), NULL},
    {TLS_HTTP, NULL, 0, ""},
    {TLS_HTTP, LIST("\2h2\10http/1.1"), "http/1.1"},
    {TLS_HTTP, LIST("\2h2"), NULL},
    {TLS_HTTP, LIST("\4mqtt"), NULL},
    {TLS_HTTP, LIST("\16x-amzn-http-ca"), NULL},
    {TLS_REST, NULL, 0, ""},
    {TLS_REST, LIST("\16x-amzn-http-ca"), "x-amzn-http-ca"},
    {TLS_REST, LIST("\2h2\10http/1.1"), "http/1.1"},
    {TLS_REST, LIST("\16x-amzn-mqtt-ca"), NULL},
};

TEST(a_client_that_lists_protocols_gets_one_that_is_spoken_here_or_is_refused)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene);
    cleanup(files_done) struct tls_files server = files_of(&scene, "server");
    for (size_t i = 0; i < array_size(protocols) * array_size(versions); i++) {
        size_t row = i / array_size(versions);
        use(&scene, &(struct tls_options){.files = &server, .count = 1, .speaks = protocols[row].speaks},
            NULL);
        connect_anew(&scene, versions[i % array_size(versions)]);
        if (protocols[row].asked)
            CHECK_INT(SSL_set_alpn_protos(scene.far.tls, protocols[row].asked, protocols[row].asked_len), 0);
        far_settle(&scene.far, scene.rig);
        const unsigned char *chosen = NULL;
        unsigned len = 0;
        SSL_get0_alpn_selected(scene.far.tls, &chosen, &len);
        CHECK_INT(far_is_up(&scene.far), protocols[row].chosen ? 1 : 0);
        if (protocols[row].chosen) {
            CHECK_MEM(chosen ? chosen : (const uint8_t *)"", len, protocols[row].chosen,
                      strlen(protocols[row].chosen));
            continue;
        }
        CHECK_INT(scene.far.reason, SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
        CHECK_INT(scene.recorder.closed, 1);
        CHECK(strstr(log_lines.last, "no application protocol"));
    }
}

/* ---- records --------------------------------------------------------------------------------------------------------- */

TEST(records_are_as_short_as_the_client_asks)
{
    static const struct {
        uint8_t asked;
        size_t most;
    } lengths[] = {{TLSEXT_max_fragment_length_512, 512},
                   {TLSEXT_max_fragment_length_1024, 1024},
                   {TLSEXT_max_fragment_length_4096, 4096}};
    enum { OVERHEAD = 64, BYTES = 20000 };
    static uint8_t bytes[BYTES];
    pattern(bytes, sizeof bytes, 7);
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene);
    for (size_t i = 0; i < array_size(lengths) * array_size(versions); i++) {
        size_t row = i / array_size(versions);
        connect_anew(&scene, versions[i % array_size(versions)]);
        CHECK(SSL_set_tlsext_max_fragment_length(scene.far.tls, lengths[row].asked));
        far_settle(&scene.far, scene.rig);
        CHECK(far_is_up(&scene.far));
        scene.far.record_max = 0;
        conn_write(scene.recorder.conn, bytes, sizeof bytes);
        far_settle(&scene.far, scene.rig);
        CHECK_MEM(scene.far.bytes, scene.far.len, bytes, sizeof bytes);
        CHECK(scene.far.record_max >= lengths[row].most);
        CHECK(scene.far.record_max <= lengths[row].most + OVERHEAD);
    }
}

/* ---- sessions --------------------------------------------------------------------------------------------------------- */

/* Is a session that is begun now resumed with a context made after it? */
static bool is_resumed(struct scene *scene, int version, const struct tls_options *afterwards, bool keep)
{
    connect_anew(scene, version);
    far_settle(&scene->far, scene->rig);
    CHECK(far_is_up(&scene->far));
    SSL_SESSION *session = SSL_get1_session(scene->far.tls);
    use(scene, afterwards, keep ? scene->world->server_context : NULL);
    connect_anew(scene, version);
    CHECK(SSL_set_session(scene->far.tls, session));
    SSL_SESSION_free(session);
    far_settle(&scene->far, scene->rig);
    CHECK(far_is_up(&scene->far));
    CHECK_STR(conn_certificate_name(scene->recorder.conn), "pump-7");
    return SSL_session_reused(scene->far.tls);
}

TEST(sessions_go_on_across_a_new_certificate_but_not_across_new_authorities)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene);
    cleanup(files_done) struct tls_files server = files_of(&scene, "server"),
                                         other = files_of(&scene, "other");
    save(&scene, "gateway", "other");
    cleanup(identity_done) struct identity more = identity_new(NULL, "another authority", 17, 1000);
    identity_save(&more, scene.world->folder, "more");
    cleanup_free char *ca = str_printf("%s/ca.pem", scene.world->folder);
    cleanup_free char *both = str_printf("%s/both.pem", scene.world->folder);
    cleanup_free char *join = str_printf("cat %s %s/more.pem > %s", ca, scene.world->folder, both);
    CHECK_INT(system(join), 0);
    struct tls_options same = {.files = &server, .count = 1, .ca = ca};
    struct tls_options renewed = {.files = &other, .count = 1, .ca = ca};
    struct tls_options widened = {.files = &server, .count = 1, .ca = both};
    for (size_t i = 0; i < array_size(versions); i++) {
        use(&scene, &same, NULL);
        CHECK(is_resumed(&scene, versions[i], &same, true));
        CHECK(is_resumed(&scene, versions[i], &renewed, true));
        CHECK(!is_resumed(&scene, versions[i], &widened, true));
        CHECK(!is_resumed(&scene, versions[i], &same, false));
    }
}

TEST(a_session_of_another_host_of_the_listener_is_resumed)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_begin(&scene);
    save(&scene, "plant1.example", "one");
    cleanup(files_done) struct tls_files one = files_of(&scene, "one"), zero = files_of(&scene, "server");
    use(&scene,
        &(struct tls_options){.files = (struct tls_files[]){zero, one},
                              .count = 2,
                              .ca = tls_world_file(scene.world, "ca.pem")},
        NULL);
    for (size_t i = 0; i < array_size(versions); i++) {
        check_shown(&scene, versions[i], "plant1.example", "plant1.example");
        SSL_SESSION *session = SSL_get1_session(scene.far.tls);
        connect_anew(&scene, versions[i]);
        CHECK(SSL_set_tlsext_host_name(scene.far.tls, "plant1.example"));
        CHECK(SSL_set_session(scene.far.tls, session));
        SSL_SESSION_free(session);
        far_settle(&scene.far, scene.rig);
        CHECK(far_is_up(&scene.far));
        CHECK(SSL_session_reused(scene.far.tls));
        CHECK_STR(conn_certificate_name(scene.recorder.conn), "pump-7");
    }
}
