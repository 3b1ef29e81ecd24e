#include "house.h"

#include "base/log.h"
#include "services/credentials/credentials.h"
#include "settings.h"

#include <errno.h>
#include <string.h>

/* Temporary credentials, and the door at a loopback address where functions get them: nothing else is served there, and a token is
 * asked for. What a function gets to know of it is in its environment, as in a container at AWS. */

struct house_credentials {
    struct credential_set *set;
    struct http_server *http;
    const char *door; /* http://127.0.0.1:PORT */
    struct way {
        char *uri, *token;
        const char *environment[3];
    } * ways; /* one for each [credentials], in their order */
    size_t count;
};

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

static int open_set(struct house_credentials *credentials, struct house *house)
{
    const struct config *config = &house->config;
    cleanup_free struct credential_options *all =
        mem_new_bytes((config->credentials_count + 1) * sizeof *all);
    for (size_t i = 0; i < config->credentials_count; i++) {
        const struct config_credentials *one = &config->credentials[i];
        all[i] = (struct credential_options){.name = one->name,
                                             .endpoint = one->endpoint,
                                             .role_alias = one->role_alias,
                                             .thing = or_null(one->thing),
                                             .cert = one->cert,
                                             .key = one->key,
                                             .ca = or_null(one->ca)};
    }
    const struct credentials_options options = {all, config->credentials_count, house->audit};
    return credential_set_new(&credentials->set, house->bus, &options);
}

static int open_server(struct house_credentials *credentials, struct house *house)
{
    struct http_options options = settings_http(&house->config);
    options.rest.credentials = true;
    credentials->http = http_server_new(house->bus, &options);
    struct listener_uri uri;
    char *why = NULL;
    int r = listener_uri_parse(&uri, "http://127.0.0.1:0?access=open", &why);
    if (r >= 0) {
        r = http_server_listen(credentials->http, &uri, &credentials->door, &why);
        listener_uri_done(&uri);
    }
    if (r < 0)
        log_error("credentials: %s", why);
    free(why);
    return r;
}

static void make_ways(struct house_credentials *credentials, const struct config *config)
{
    credentials->ways = mem_new_bytes((config->credentials_count + 1) * sizeof *credentials->ways);
    for (size_t i = 0; i < config->credentials_count; i++) {
        const char *name = config->credentials[i].name;
        struct way *way = &credentials->ways[credentials->count++];
        way->uri =
            str_printf("AWS_CONTAINER_CREDENTIALS_FULL_URI=%s/credentials/%s", credentials->door, name);
        way->token =
            str_printf("AWS_CONTAINER_AUTHORIZATION_TOKEN=%s", credential_set_token(credentials->set, name));
        way->environment[0] = way->uri;
        way->environment[1] = way->token;
    }
}

int open_credentials(struct house *house)
{
    if (!house->config.credentials_count)
        return 0;
    house->credentials = mem_new(struct house_credentials);
    int r = open_set(house->credentials, house);
    if (r >= 0)
        r = open_server(house->credentials, house);
    if (r < 0)
        return r;
    make_ways(house->credentials, &house->config);
    log_notice("credentials: functions get them at %s", house->credentials->door);
    return 0;
}

const char *const *credentials_environment(const struct house *house, const char *name)
{
    for (size_t i = 0; house->credentials && i < house->credentials->count; i++)
        if (strcmp(house->config.credentials[i].name, name) == 0)
            return house->credentials->ways[i].environment;
    return NULL;
}

void credentials_stop(struct house *house)
{
    if (house->credentials && house->credentials->http)
        http_server_shutdown(house->credentials->http);
}

bool credentials_are_quiet(const struct house *house)
{
    return !house->credentials || !house->credentials->http || http_server_is_quiet(house->credentials->http);
}

void credentials_close(struct house *house)
{
    struct house_credentials *credentials = steal(house->credentials);
    if (!credentials)
        return;
    (void)http_server_free(credentials->http);
    (void)credential_set_free(credentials->set);
    for (size_t i = 0; i < credentials->count; i++) {
        explicit_bzero(credentials->ways[i].token, strlen(credentials->ways[i].token));
        free(credentials->ways[i].uri);
        free(credentials->ways[i].token);
    }
    free(credentials->ways);
    free(credentials);
}
