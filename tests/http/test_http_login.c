/* Requests whose Authorization says who asks: let in and refused as over MQTT. */
#include "http/http_rig.h"

#include "base/base64.h"
#include "http/http_claim.h"
#include "identity/login.h"
#include "identity/password.h"
#include "identity/registry.h"

#include <stdio.h>

static const char secret[] = "0123456789abcdef0123456789abcdef";

static void base64url(char *to, const void *bytes, size_t len)
{
    base64_write(to, bytes, len);
    to[base64_size(len)] = '\0';
    to[strcspn(to, "=")] = '\0';
    for (char *c = to; *c; c++)
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
}

/* HS256 of the secret. */
static char *token_of(const char *payload)
{
    static const char head[] = "eyJhbGciOiJIUzI1NiJ9"; /* {"alg":"HS256"} */
    char text[256], said[512], signature[64];
    uint8_t mac[SECRET_HMAC_BYTES];
    base64url(text, payload, strlen(payload));
    (void)snprintf(said, sizeof said, "%s.%s", head, text);
    CHECK(secret_hmac(secret, strlen(secret), said, strlen(said), mac));
    base64url(signature, mac, sizeof mac);
    return str_printf("%s.%s", said, signature);
}

struct scene {
    struct http_rig *rig;
    struct registry *registry;
    struct login *login;
};

static void listen_at(struct scene *scene, unsigned auth, enum listener_access access)
{
    free(scene->rig->path);
    scene->rig->path = str_printf("%s/login.sock", scene->rig->folder);
    struct listener_uri uri = {.scheme = LISTENER_UNIX,
                               .access = access,
                               .auth = auth,
                               .host = scene->rig->path,
                               .mode = 0600,
                               .http = true};
    const char *name = NULL;
    char *why = NULL;
    if (http_server_listen(scene->rig->server, &uri, &name, &why) < 0)
        FAIL("%s", why);
}

static void scene_init(struct scene *scene, unsigned auth, enum listener_access access)
{
    const struct login_tokens tokens = {
        .check = {.audience = "plant", .issuer = "", .claim = "sub", .leeway_s = 60}, .policies = ""};
    struct password password = {.kind = PASSWORD_SCRYPT,
                                .cost = {4, 8, 1},
                                .salt = "salt",
                                .salt_len = PASSWORD_SALT_BYTES,
                                .hash_len = PASSWORD_HASH_BYTES};
    char kept[PASSWORD_TEXT_MAX], *why = NULL;
    scene->rig = http_rig_new(NULL);
    struct rig *house = scene->rig->house;
    CHECK_INT(registry_open(&scene->registry, house->loop, house->store), 0);
    scene->login = login_new(house->loop, scene->registry, NULL, WORKER_INLINE);
    login_set_clock(scene->login, true);
    CHECK_INT(login_add_tokens(scene->login, &tokens, JWT_SECRET, secret, strlen(secret), &why), 0);
    CHECK(secret_scrypt(password.cost, "open", 4, password.salt, password.salt_len, password.hash,
                        password.hash_len));
    password_write(&password, kept);
    CHECK_INT(registry_user_put(scene->registry, "alice", kept, NULL), 0);
    struct http_options options = http_rig_options();
    options.login = scene->login;
    scene->rig->server = http_server_free(scene->rig->server);
    scene->rig->server = http_server_new(house->bus, &options);
    listen_at(scene, auth, access);
}

static void scene_done(struct scene *scene)
{
    struct rig *house = scene->rig->house;
    scene->rig->server = http_server_free(scene->rig->server);
    scene->login = login_free(scene->login);
    store_quiesce(house->store);
    scene->registry = registry_close(scene->registry);
    scene->rig = http_rig_free(scene->rig);
}

/* Sends a publish as that user, or with that header. */
static void publish(struct guest *guest, const char *topic, const char *header)
{
    cleanup_free char *request =
        str_printf("POST /topics/%s HTTP/1.1\r\nHost: h\r\n%s%sContent-Length: 2\r\n\r\n42", topic, header,
                   *header ? "\r\n" : "");
    guest_send(guest, request);
}

static void publish_as(struct guest *guest, const char *topic, const char *pair)
{
    char text[256];
    base64_write(text, pair, strlen(pair));
    text[base64_size(strlen(pair))] = '\0';
    cleanup_free char *header = str_printf("Authorization: Basic %s", text);
    publish(guest, topic, header);
}

TEST(a_user_is_let_in_with_his_password_and_may_do_what_he_may_over_mqtt)
{
    struct scene scene;
    scene_init(&scene, LISTENER_AUTH_PASSWORD, LISTENER_NODE);
    struct guest *guest = http_guest(scene.rig);
    publish_as(guest, "dt/alice/t", "alice:open");
    CHECK_ANSWER(guest, 200, "OK");
    CHECK_MESSAGE(scene.rig->house, "dt/alice/t", "42");
    publish_as(guest, "dt/bob/t", "alice:open");
    CHECK_ANSWER(guest, 403, "");
    guest = http_guest(scene.rig); /* nobody read what it was sending */
    publish_as(guest, "dt/alice/t", "alice:open");
    CHECK_ANSWER(guest, 200, "OK");
    publish_as(guest, "dt/alice/t", "alice:shut"); /* every request says who asks */
    CHECK_ANSWER(guest, 401, "Unauthorized");
    CHECK(strstr(guest->head, "\r\nWWW-Authenticate: Basic realm=\"gatehouse\", charset=\"UTF-8\"\r\n"));
    guest = http_guest(scene.rig);
    publish(guest, "dt/alice/t", "");
    CHECK_ANSWER(guest, 401, "Unauthorized");
    guest = http_guest(scene.rig);
    publish_as(guest, "dt/alice/t", "nobody:open");
    CHECK_ANSWER(guest, 401, "Unauthorized");
    CHECK_INT((int64_t)rig_count(scene.rig->house, "dt/alice/t"), 2);
    scene_done(&scene);
}

TEST(a_token_is_let_in_where_tokens_are_taken)
{
    struct scene scene;
    scene_init(&scene, LISTENER_AUTH_JWT | LISTENER_AUTH_PASSWORD, LISTENER_NODE);
    cleanup_free char *good = token_of("{\"sub\":\"press-07\",\"aud\":\"plant\",\"exp\":2000000000}");
    cleanup_free char *old = token_of("{\"sub\":\"press-07\",\"aud\":\"plant\",\"exp\":1000000000}");
    cleanup_free char *header = str_printf("Authorization: bearer %s", good);
    cleanup_free char *expired = str_printf("Authorization: Bearer %s", old);
    struct guest *guest = http_guest(scene.rig);
    publish(guest, "dt/press-07/t", header);
    CHECK_ANSWER(guest, 200, "OK");
    publish(guest, "dt/press-08/t", header);
    CHECK_ANSWER(guest, 403, "");
    guest = http_guest(scene.rig);
    publish_as(guest, "dt/alice/t", "alice:open");
    CHECK_ANSWER(guest, 200, "OK");
    publish(guest, "dt/press-07/t", expired);
    CHECK_ANSWER(guest, 401, "Unauthorized");
    CHECK(strstr(guest->head, "Bearer realm=\"gatehouse\"\r\n"));
    scene_done(&scene);
}

TEST(a_way_in_that_a_listener_does_not_take_is_none)
{
    struct scene scene;
    scene_init(&scene, LISTENER_AUTH_JWT, LISTENER_FULL);
    publish_as(http_guest(scene.rig), "dt/alice/t", "alice:open");
    CHECK_ANSWER(&scene.rig->guests[0], 401, "Unauthorized");
    publish(http_guest(scene.rig), "dt/alice/t", "Authorization: AWS4-HMAC-SHA256 Credential=x");
    CHECK_ANSWER(&scene.rig->guests[1], 401, "Unauthorized");
    publish(http_guest(scene.rig), "dt/alice/t", "Authorization: Basic !");
    CHECK_ANSWER(&scene.rig->guests[2], 400, "expected USER:PASSWORD in base64 behind Basic");
    publish(http_guest(scene.rig), "dt/alice/t", "Authorization: Bearer a\r\nAuthorization: Bearer b");
    CHECK_ANSWER(&scene.rig->guests[3], 400, "expected Authorization once");
    scene_done(&scene);
}

TEST(who_fails_too_often_has_to_wait)
{
    struct scene scene;
    scene_init(&scene, LISTENER_AUTH_PASSWORD, LISTENER_FULL);
    unsigned refused = 0, told_to_wait = 0;
    for (int i = 0; i < 14; i++) {
        struct guest *guest = http_guest(scene.rig);
        publish_as(guest, "t", "alice:guess");
        int status = guest_answer(guest, true);
        refused += status == 401;
        told_to_wait += status == 429;
    }
    CHECK_INT(refused, 10);
    CHECK_INT(told_to_wait, 4);
    scene_done(&scene);
}

TEST(what_is_sent_ahead_waits_while_a_password_is_looked_at)
{
    struct scene scene;
    scene_init(&scene, LISTENER_AUTH_PASSWORD, LISTENER_FULL);
    struct guest *guest = http_guest(scene.rig);
    guest_send(guest, "POST /topics/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                      "Authorization: Basic YWxpY2U6b3Blbg==\r\nContent-Length: 2\r\n\r\n");
    CHECK_INT(guest_answer(guest, false), 100);
    guest_send(
        guest,
        "42"
        "POST /topics/b HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YWxpY2U6b3Blbg==\r\n"
        "Transfer-Encoding: chunked\r\n\r\n1\r\n7\r\n0\r\n\r\n"
        "GET /things/pump/shadow HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YWxpY2U6c2h1dA==\r\n\r\n");
    CHECK_ANSWER(guest, 200, "OK");
    CHECK_ANSWER(guest, 200, "OK");
    CHECK_ANSWER(guest, 401, "Unauthorized");
    CHECK_MESSAGE(scene.rig->house, "a", "42");
    CHECK_MESSAGE(scene.rig->house, "b", "7");
    guest_send(
        guest,
        "GET /things/pump/shadow HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YWxpY2U6b3Blbg==\r\n\r\n");
    CHECK_ANSWER(guest, 404, "No shadow exists");
    scene_done(&scene);
}

TEST(who_leaves_while_his_password_is_looked_at_is_forgotten)
{
    struct scene scene;
    scene_init(&scene, LISTENER_AUTH_PASSWORD, LISTENER_FULL);
    struct guest *guest = http_guest(scene.rig);
    publish_as(guest, "t", "alice:open");
    guest_hang_up(guest);
    guest = http_guest(scene.rig);
    publish_as(guest, "t", "alice:open"); /* and the server ends */
    scene_done(&scene);
}
