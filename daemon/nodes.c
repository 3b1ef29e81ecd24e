#include "house.h"

#include "base/log.h"
#include "identity/audit.h"
#include "identity/permit.h"
#include "net/beacon.h"
#include "net/mdns.h"
#include "net/tls.h"

#include <string.h>
#include <unistd.h>

/* Pairing knows the keys; listeners ask for them, the broker asks who somebody is. Neither knows the other. */

static bool on_find(struct psk_keys *keys, const char *identity, uint8_t key[PSK_KEY_BYTES])
{
    struct house *house = container_of(keys, struct house, keys);
    return house->pairing && pairing_find(house->pairing, PAIRING_NETWORK, identity, key);
}

static bool on_find_by_cable(struct psk_keys *keys, const char *identity, uint8_t key[PSK_KEY_BYTES])
{
    struct house *house = container_of(keys, struct house, cable_keys);
    return house->pairing && pairing_find(house->pairing, PAIRING_CABLE, identity, key);
}

static bool on_find_at_bench(struct psk_keys *keys, const char *identity, uint8_t key[PSK_KEY_BYTES])
{
    struct house *house = container_of(keys, struct house, bench_keys);
    return house->pairing && pairing_find(house->pairing, PAIRING_BENCH, identity, key);
}

static void on_tried_by_cable(struct psk_keys *keys, const char *identity, const struct address *from,
                              bool known, bool good)
{
    struct house *house = container_of(keys, struct house, cable_keys);
    (void)from; /* a pair of sockets of ours */
    if (house->pairing)
        pairing_tried(house->pairing, PAIRING_CABLE, identity, "a cable", known, good);
}

static void on_tried_at_bench(struct psk_keys *keys, const char *identity, const struct address *from,
                              bool known, bool good)
{
    struct house *house = container_of(keys, struct house, bench_keys);
    (void)from;
    if (house->pairing)
        pairing_tried(house->pairing, PAIRING_BENCH, identity, "a cable", known, good);
}

static void on_tried(struct psk_keys *keys, const char *identity, const struct address *from, bool known,
                     bool good)
{
    struct house *house = container_of(keys, struct house, keys);
    char text[ADDRESS_TEXT_BYTES];
    address_text(from, text);
    char *port = strrchr(text, ':');
    if (port && (from->family == AF_INET || from->family == AF_INET6))
        *port = '\0'; /* another with every attempt */
    if (house->pairing)
        pairing_tried(house->pairing, PAIRING_NETWORK, identity, text, known, good);
}

/* Who is paired may do what the registry says of psk:SERIAL; who is being paired is not in there. */
static struct principal *on_who(struct broker_nodes *nodes, const char *identity)
{
    struct house *house = container_of(nodes, struct house, nodes);
    struct principal *who = house->pairing ? pairing_who(house->pairing, identity) : NULL;
    const struct registry_principal *registered = who ? registry_principal(house->registry, who->name) : NULL;
    if (!registered)
        return who;
    struct principal *permitted = NULL;
    if (registered->status == REGISTRY_ACTIVE) {
        permitted = permit_principal_new(house->registry, registered, &(const struct permit_origin){0});
        permitted->kind = PRINCIPAL_KEY;
        free(permitted->name);
        permitted->name = str_copy(who->name);
        permitted->client_id = str_copy(who->client_id);
    } else {
        log_info("node %s: is %s in the registry", who->name, registry_status_names[registered->status]);
    }
    (void)principal_unref(who);
    return permitted;
}

/* ---- the registry ---------------------------------------------------------------------------------------------------- */

static const char node_type[] = "stm32-node";
static const char node_policy_name[] = "ghn-node";
static const char node_policy[] =
    "{\"Version\":\"2012-10-17\",\"Statement\":["
    "{\"Sid\":\"Connect\",\"Effect\":\"Allow\",\"Action\":\"iot:Connect\","
    "\"Resource\":\"arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}\"},"
    "{\"Sid\":\"Speak\",\"Effect\":\"Allow\",\"Action\":[\"iot:Publish\",\"iot:RetainPublish\"],\"Resource\":["
    "\"arn:aws:iot:*:*:topic/dt/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topic/gh/nodes/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topic/cmd/${iot:Connection.Thing.ThingName}/*/reply\","
    "\"arn:aws:iot:*:*:topic/$aws/things/${iot:Connection.Thing.ThingName}/*\"]},"
    "{\"Sid\":\"Listen\",\"Effect\":\"Allow\",\"Action\":\"iot:Subscribe\",\"Resource\":["
    "\"arn:aws:iot:*:*:topicfilter/cmd/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topicfilter/gh/nodes/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/*\"]},"
    "{\"Sid\":\"Hear\",\"Effect\":\"Allow\",\"Action\":\"iot:Receive\",\"Resource\":["
    "\"arn:aws:iot:*:*:topic/cmd/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topic/gh/nodes/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topic/$aws/things/${iot:Connection.Thing.ThingName}/*\"]}]}";

/* What a node says of itself is any printable text; what an attribute cannot have becomes '_'. */
static char *as_value(const char *text)
{
    char *value = str_copy(text);
    for (char *c = value; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,@/:#=[]-", *c))
            *c = '_';
    return value;
}

/* The thing with what the node has said of itself, which may be nothing. */
static int put_thing(struct registry *registry, const char *serial, const char *thing, const char *model,
                     const char *firmware, const struct registry_by *by)
{
    struct registry_attribute attributes[3];
    size_t count = 0;
    cleanup_free char *fw = as_value(firmware), *kind = as_value(model);
    if (*fw)
        attributes[count++] = (struct registry_attribute){"fw", fw};
    if (*kind)
        attributes[count++] = (struct registry_attribute){"model", kind};
    attributes[count++] = (struct registry_attribute){"serial", serial};
    const char *const searchable[] = {"serial", "model", "fw"};
    int r = registry_type(registry, node_type)
                ? 0
                : registry_type_create(registry, node_type, "Paired by its sticker", searchable, 3, by);
    const struct registry_thing_update update = {
        .type = node_type, .attributes = attributes, .count = count, .merge = true};
    if (r)
        return r;
    return registry_thing(registry, thing)
               ? registry_thing_update(registry, thing, &update, by)
               : registry_thing_create(registry, thing, node_type, attributes, count, by);
}

/* psk:SERIAL is that thing and no other, and ACTIVE. Its key is pairing's; none is in the registry. */
static int put_principal(struct registry *registry, const char *serial, const char *thing,
                         const struct registry_by *by)
{
    cleanup_free char *name = str_printf("psk:%s", serial);
    const struct registry_principal *principal = registry_principal(registry, name);
    int r = principal ? 0 : registry_key_put(registry, serial, (const uint8_t *)"", 0, by);
    principal = registry_principal(registry, name);
    while (!r && principal->thing_count && strcmp(principal->things[0].thing->key.text, thing) != 0) {
        cleanup_free char *other = str_copy(principal->things[0].thing->key.text);
        r = registry_detach_thing(registry, name, other, by);
    }
    if (!r && principal->status != REGISTRY_ACTIVE)
        r = registry_principal_set_status(registry, name, REGISTRY_ACTIVE, by);
    if (!r && !registry_policy(registry, node_policy_name))
        r = registry_policy_create(registry, node_policy_name, node_policy, strlen(node_policy), by);
    if (!r && !principal->policy_count) /* whoever gave it others keeps them */
        r = registry_attach_policy(registry, node_policy_name, name, by);
    if (!r && !principal->thing_count)
        r = registry_attach_thing(registry, name, thing, true, by);
    return r;
}

static void on_paired(void *ctx, const char *serial, const char *thing, const char *model,
                      const char *firmware)
{
    struct house *house = ctx;
    const struct registry_by by = {.who = "pairing"};
    int r = put_thing(house->registry, serial, thing, model, firmware, &by);
    if (r)
        log_warning("node %s: the registry does not take what it says of itself: %s", serial,
                    registry_why(house->registry));
    if (!registry_thing(house->registry, thing))
        return;
    r = put_principal(house->registry, serial, thing, &by); /* whatever it says: who it is has to be known */
    if (r)
        log_warning("node %s: the registry does not take it: %s", serial, registry_why(house->registry));
}

static void on_revoked(struct house *house, const char *serial)
{
    const struct registry_by by = {.who = "pairing"};
    cleanup_free char *name = str_printf("psk:%s", serial);
    if (registry_principal(house->registry, name) &&
        registry_principal_set_status(house->registry, name, REGISTRY_REVOKED, &by))
        log_warning("node %s: the registry does not take it: %s", serial, registry_why(house->registry));
}

static void on_expel(void *ctx, const char *principal, const char *why)
{
    struct house *house = ctx;
    (void)broker_expel(house->broker, PRINCIPAL_KEY, principal, why);
}

static void on_note(void *ctx, const char *who, const char *what, const char *object, const char *reason)
{
    struct house *house = ctx;
    if (strncmp(what, "refused/", 8) == 0)
        audit_refused(house->audit, who, what, object, reason);
    else
        audit_note(house->audit, who ? who : "gateway", what, object, reason);
    if (strcmp(what, "node/revoked") == 0)
        on_revoked(house, object);
}

void nodes_init(struct house *house)
{
    house->keys = (struct psk_keys){.find = on_find, .tried = on_tried};
    house->cable_keys = (struct psk_keys){.find = on_find_by_cable, .tried = on_tried_by_cable};
    house->bench_keys = (struct psk_keys){.find = on_find_at_bench, .tried = on_tried_at_bench};
    house->nodes = (struct broker_nodes){
        .keys = &house->keys, .cable = &house->cable_keys, .bench = &house->bench_keys, .who = on_who};
}

int open_pairing(struct house *house)
{
    const struct pairing_options options = {
        .ctx = house,
        .expel = on_expel,
        .note = on_note,
        .paired = on_paired,
        .sha256 = tls_sha256,
        .scrypt = tls_scrypt,
        .key_age_s = house->config.node_key_age_s,
    };
    return pairing_new(&house->pairing, house->bus, house->store, &options);
}

/* ---- on the network ------------------------------------------------------------------------------------------------------ */

static const char *on_fingerprint(void *self)
{
    struct house *house = self;
    char *why = NULL;
    const struct authority *authority = registrar_authority(house->registrar, &why);
    if (!authority)
        log_warning("mDNS: nothing is said of the gateway's authority: %s", why);
    free(why);
    return authority ? authority_id(authority) : NULL;
}

static void announce(struct house *house, const char *host, uint16_t port)
{
    char machine[65] = "";
    (void)gethostname(machine, sizeof machine - 1);
    machine[strcspn(machine, ".")] = '\0';
    const struct mdns_options options = {.where = *machine ? machine : house->config.name,
                                         .host = host,
                                         .port = port,
                                         .beside = strcmp(house->config.mdns, "yes") == 0,
                                         .fingerprint = on_fingerprint,
                                         .self = house};
    char *why = NULL;
    int r = mdns_open(&house->mdns, house->loop, &options, &why);
    if (r == MDNS_TAKEN)
        log_notice(
            "mDNS: another service of this machine answers on port 5353 (Avahi?), and can be told of the gateway by "
            "deploy/announce; mdns = yes answers beside it");
    else if (r < 0)
        log_warning("mDNS: nothing is announced: %s", why);
    free(why);
}

void nodes_authority_changed(struct house *house)
{
    if (house->mdns)
        mdns_refresh(house->mdns);
}

void nodes_listen(struct house *house, const struct listener_uri *uri, const char *name)
{
    if (uri->scheme == LISTENER_SERIAL) {
        pairing_listens(house->pairing, NULL, 0);
        return;
    }
    bool everywhere = strcmp(uri->host, "0.0.0.0") == 0 || strcmp(uri->host, "::") == 0;
    const char *colon = strrchr(name, ':');
    uint16_t port = colon ? (uint16_t)strtoul(colon + 1, NULL, 10) : uri->port;
    pairing_listens(house->pairing, everywhere ? NULL : uri->host, port);
    char *why = NULL;
    if (house->beacon_count < LISTENERS_MAX && beacon_open(&house->beacons[house->beacon_count], house->loop,
                                                           uri->host, port, house->config.name, &why) == 0)
        house->beacon_count++;
    if (why) /* nodes that know where it is, or are told by DNS-SD, come nevertheless */
        log_warning("nodes cannot ask where the gateway is: %s", why);
    free(why);
    if (!house->mdns && strcmp(house->config.mdns, "no") != 0 && !address_name_is_loopback(uri->host))
        announce(house, uri->host, port);
}

void nodes_close(struct house *house)
{
    house->mdns = mdns_close(house->mdns);
    while (house->beacon_count)
        (void)beacon_close(house->beacons[--house->beacon_count]);
}
