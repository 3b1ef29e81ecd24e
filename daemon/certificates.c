#include "certificates.h"

#include "net/listener.h"
#include "net/tls.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Whose certificates are looked at: a key of a section, or an option. */
struct place {
    const struct config *config;
    const char *kind, *name, *key; /* kind NULL: --listen */
};

static void say(const struct place *place, const char *sentence)
{
    const struct ini *ini = &place->config->ini;
    for (size_t i = 0; place->kind && i < ini->count; i++) {
        struct ini_section *section = &ini->sections[i];
        if (strcmp(section->kind, place->kind) != 0 || strcmp(section->name, place->name) != 0)
            continue;
        const struct ini_entry *entry = ini_find(section, place->key);
        (void)fprintf(stderr, "gatehoused: %s:%d: [%s%s%s] %s: %s\n", entry ? entry->file : section->file,
                      entry ? entry->line : section->line, place->kind, *place->name ? " " : "", place->name,
                      place->key, sentence);
        return;
    }
    (void)fprintf(stderr, "gatehoused: --listen: %s\n", sentence);
}

static void on_found(void *self, const char *sentence)
{
    say(self, sentence);
}

static bool check(const struct place *place, const struct tls_options *options)
{
    return tls_check(options, (int64_t)time(NULL), on_found, (void *)(uintptr_t)place) == 0;
}

static bool check_listener(const struct place *place, const char *text)
{
    struct listener_uri uri;
    char *why = NULL;
    if (listener_uri_parse(&uri, text, &why) < 0) { /* said before */
        free(why);
        return false;
    }
    const struct tls_options options = {
        .files = uri.certs, .count = uri.cert_count, .folder = uri.folder, .ca = uri.ca, .crl = uri.crl};
    bool good = !listener_has_tls(&uri) || listener_has_psk(&uri) || check(place, &options);
    listener_uri_done(&uri);
    return good;
}

static bool check_uplink(const struct config *config, const struct config_uplink *uplink)
{
    const struct place place = {config, "uplink", uplink->name, "cert"};
    struct tls_files files = {uplink->cert, *uplink->key ? uplink->key : uplink->cert};
    const struct tls_options options = {.files = &files, .count = 1};
    return !*uplink->cert || check(&place, &options);
}

static bool check_authorizer(const struct config *config, const struct config_authorizer *authorizer)
{
    const struct place place = {config, "authorizer", authorizer->name, "certificate"};
    struct tls_files files = {authorizer->certificate, authorizer->key};
    const struct tls_options options = {.files = &files, .count = 1};
    return !*authorizer->certificate || check(&place, &options);
}

static bool check_authority(const struct config *config)
{
    const struct place place = {config, "gateway", "", "ca"};
    struct tls_files files = {config->ca, config->ca_key};
    const struct tls_options options = {.files = &files, .count = 1};
    return !*config->ca || check(&place, &options);
}

/* A key that the gateway makes a certificate for. */
static bool check_own_key(const struct config *config, const char *key, const char *path)
{
    const struct place place = {config, "gateway", "", key};
    struct tls_files files = {NULL, (char *)(uintptr_t)path};
    const struct tls_options options = {.files = &files, .count = 1};
    return !*path || check(&place, &options);
}

bool certificates_are_good(const struct config *config, const struct options *options)
{
    bool good = check_authority(config);
    good = (*config->ca || check_own_key(config, "ca-key", config->ca_key)) && good;
    good = check_own_key(config, "server-key", config->server_key) && good;
    for (size_t i = 0; i < options->listen_count; i++)
        good = check_listener(&(struct place){.config = config}, options->listen[i]) && good;
    for (size_t i = 0; !options->listen_count && i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];
        good =
            check_listener(&(struct place){config, "listener", listener->name, "uri"}, listener->uri) && good;
    }
    for (size_t i = 0; i < config->uplink_count; i++)
        good = check_uplink(config, &config->uplinks[i]) && good;
    for (size_t i = 0; i < config->authorizer_count; i++)
        good = check_authorizer(config, &config->authorizers[i]) && good;
    return good;
}
