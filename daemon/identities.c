#include "house.h"

#include "base/json.h"
#include "base/log.h"
#include "bus/topics.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 64 * 1024 };

/* The registry, who is admitted by it, and who keeps it. */

static bool on_judge(struct tls_gate *gate, const uint8_t *der, size_t len, const char *problem)
{
    struct house *house = container_of(gate, struct house, gate);
    return admission_judge(house->admission, der, len, problem);
}

static void on_clock(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct house *house = container_of(subscriber, struct house, clock);
    struct arena arena;
    struct json *status;
    bool is_set;
    arena_init(&arena);
    if (json_parse(&status, &arena, (const char *)msg->payload, msg->payload_len, NULL) == 0 &&
        json_bool(json_get(status, "set"), &is_set))
        login_set_clock(house->login, is_set);
    arena_done(&arena);
}

/* A file with keys in it: at most FILE_MAX - 1 bytes. NULL, or what is wrong (free it). */
static char *read_file(const char *path, char text[FILE_MAX], size_t *len)
{
    FILE *file = fopen(path, "re");
    char *why = NULL;
    *len = file ? fread(text, 1, FILE_MAX, file) : 0;
    if (!file || ferror(file))
        why = str_copy(strerror(errno));
    else if (*len == FILE_MAX)
        why = str_printf("expected at most %d bytes", FILE_MAX - 1);
    if (file)
        (void)fclose(file);
    return why;
}

/* Again: it takes the place of the one that is there. */
static int read_token(struct house *house, size_t i, bool again)
{
    const struct config_jwt *jwt = &house->config.jwts[i];
    const struct login_tokens tokens = {
        .check = {jwt->audience, jwt->issuer, jwt->claim, jwt->leeway_s},
        .policies = jwt->policies,
        .only_own_client_id = strcmp(jwt->client_id, "subject") == 0,
    };
    enum jwt_source source = *jwt->key ? JWT_KEY : *jwt->secret ? JWT_SECRET : JWT_JWKS;
    const char *path = *jwt->key ? jwt->key : *jwt->secret ? jwt->secret : jwt->jwks;
    char text[FILE_MAX];
    size_t len;
    char *why = read_file(path, text, &len);
    int r = -EINVAL;
    if (!why)
        r = again ? login_renew_tokens(house->login, i, &tokens, source, text, len, &why)
                  : login_add_tokens(house->login, &tokens, source, text, len, &why);
    explicit_bzero(text, sizeof text);
    if (r < 0)
        log_error("[jwt %s]: %s: %s%s", jwt->name, path, why, again ? "; the keys stay as they were" : "");
    free(why);
    return r;
}

/* Who signs tokens: no start without, or a typing error would keep everybody out. */
static int open_tokens(struct house *house)
{
    int r = 0;
    for (size_t i = 0; r >= 0 && i < house->config.jwt_count; i++)
        r = read_token(house, i, false);
    if (r < 0 || !house->config.jwt_count)
        return r;
    house->clock.deliver = on_clock;
    bus_subscribe_to(house->bus, &house->clock_subscription, &house->clock, TOPIC_STATUS_CLOCK);
    return 0;
}

/* The keys that tokens for an authorizer are signed with. */
static int read_token_keys(struct house *house, const struct config_authorizer *one, bool again)
{
    struct login_token_key keys[LOGIN_TOKEN_KEYS_MAX];
    char *texts[LOGIN_TOKEN_KEYS_MAX], *why = NULL;
    size_t count = 0;
    cleanup_free char *list = str_copy(one->token_keys);
    const char *path = "";
    for (char *rest = list, *at; !why && (at = strsep(&rest, " \t"));) {
        if (!*at || count == LOGIN_TOKEN_KEYS_MAX)
            continue;
        path = at;
        texts[count] = mem_new_bytes(FILE_MAX);
        why = read_file(path, texts[count], &keys[count].len);
        keys[count].pem = texts[count];
        count++;
    }
    int r = why ? -EINVAL : login_set_token_keys(house->login, one->name, one->token_name, keys, count, &why);
    while (count)
        free(texts[--count]);
    if (r < 0)
        log_error("[authorizer %s] token-keys: %s: %s%s", one->name, path, why,
                  again ? "; the keys stay as they were" : "");
    free(why);
    return r;
}

void house_reload_keys(struct house *house)
{
    for (size_t i = 0; i < house->config.jwt_count; i++)
        (void)read_token(house, i, true);
    for (size_t i = 0; i < house->config.authorizer_count; i++)
        if (*house->config.authorizers[i].token_name)
            (void)read_token_keys(house, &house->config.authorizers[i], true);
}

int open_registry(struct house *house)
{
    int r = registry_open(&house->registry, house->loop, house->store);
    if (r >= 0)
        r = audit_new(&house->audit, house->loop, house->store, house->registry);
    if (r < 0)
        return house_fault("registry", "cannot be read", r);
    house->admission = admission_new(house->registry, house->audit);
    house->login = login_new(house->loop, house->registry, house->audit, WORKER_THREAD);
    r = open_tokens(house);
    if (r < 0)
        return r;
    house->gate.judge = on_judge;
    return 0;
}

/* The server's certificate is another one: who shows it reads it again. */
static void on_server_changed(void *self)
{
    struct house *house = self;
    house_reload_doors(house);
    nodes_authority_changed(house);
    log_notice("the gateway's certificate is another one, and is shown from now on");
}

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

enum { NAMES_MAX = 64 };

int open_authorizers(struct house *house)
{
    struct authorizer_server servers[CONFIG_AUTHORIZERS_MAX];
    size_t count = 0;
    int r = 0;
    for (size_t i = 0; r >= 0 && i < house->config.authorizer_count; i++) {
        const struct config_authorizer *one = &house->config.authorizers[i];
        int64_t limit = one->timeout_s * 1000;
        login_add_authorizer(house->login, one->name, limit);
        if (*one->token_name)
            r = read_token_keys(house, one, false);
        if (*one->uri)
            servers[count++] = (struct authorizer_server){.name = one->name,
                                                          .uri = one->uri,
                                                          .ca = or_null(one->ca),
                                                          .cert = or_null(one->certificate),
                                                          .key = or_null(one->key),
                                                          .limit = limit};
    }
    if (r < 0)
        return r;
    return house->config.authorizer_count
               ? authorizer_new(&house->authorizer, house->bus, house->login, servers, count)
               : 0;
}

int open_registrar(struct house *house)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    cleanup_free char *list = str_copy(house->config.names);
    for (char *rest = list, *at; (at = strsep(&rest, " \t"));)
        if (*at && count < NAMES_MAX)
            names[count++] = at;
    cleanup_free char *folder = str_printf("%s/identity", house->state);
    const struct registrar_options options = {
        .registry = house->registry,
        .audit = house->audit,
        .folder = folder,
        .name = house->config.name,
        .ca = or_null(house->config.ca),
        .ca_key = or_null(house->config.ca_key),
        .server_key = or_null(house->config.server_key),
        .names = names,
        .name_count = count,
        .server_changed = on_server_changed,
        .self = house,
    };
    return registrar_new(&house->registrar, house->bus, &options);
}

/* Devices that come for the first time get certificates of the gateway's own authority, which is made with the first one. */
static int on_issue(void *issuer, struct x509_issued *ret, const struct x509_wish *wish, char **why)
{
    struct house *house = issuer;
    struct authority *authority = registrar_authority(house->registrar, why);
    return authority ? authority_issue(authority, ret, wish, loop_wall(house->loop) / 1000, why) : -EIO;
}

static const char *on_issuer_id(void *issuer)
{
    struct house *house = issuer;
    const struct authority *authority = registrar_authority(house->registrar, NULL);
    return authority ? authority_id(authority) : NULL;
}

int open_provision(struct house *house)
{
    const struct provision_options options = {
        .issue = on_issue,
        .issuer_id = on_issuer_id,
        .issuer = house,
        .admission = house->admission,
        .audit = house->audit,
    };
    return provision_new(&house->provision, house->bus, house->store, house->registry, &options);
}

int house_fill_in_certificate(struct house *house, struct listener_uri *uri)
{
    char *why = NULL;
    const struct authority *authority = registrar_authority(house->registrar, &why);
    if (!authority) {
        log_error("cannot listen: the gateway's own certificate: %s", why);
        free(why);
        return -EINVAL;
    }
    uri->certs[0].cert = str_copy(authority_server_path(authority));
    uri->certs[0].key = str_copy(authority_server_key_path(authority));
    uri->cert_count = 1;
    return 0;
}
