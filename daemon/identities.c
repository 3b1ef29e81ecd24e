#include "house.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

/* The registry, who is admitted by it, and who keeps it. */

static bool on_judge(struct tls_gate *gate, const uint8_t *der, size_t len, const char *problem)
{
    struct house *house = container_of(gate, struct house, gate);
    return admission_judge(house->admission, der, len, problem);
}

int open_registry(struct house *house)
{
    int r = registry_open(&house->registry, house->loop, house->store);
    if (r >= 0)
        r = audit_new(&house->audit, house->loop, house->store, house->registry);
    if (r < 0)
        return house_fault("registry", "cannot be read", r);
    house->admission = admission_new(house->registry, house->audit);
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
