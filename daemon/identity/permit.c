#include "identity/permit.h"

#include "identity/policy_cache.h"
#include "identity/x509.h"

#include <string.h>

enum { REMEMBERED_MAX = 512, REMEMBERED_BYTES_MAX = 32 * 1024 };

struct permit {
    struct principal_permit permit;
    struct registry *registry;
    char *name;    /* of the principal */
    bool is_guest; /* and then not in the registry: */
    char *thing;   /* NULL: none */
    char *policy_names[REGISTRY_PRINCIPAL_POLICIES_MAX];
    size_t policy_name_count;
    struct policy *own[REGISTRY_PRINCIPAL_POLICIES_MAX];
    size_t own_count;

    char *client_id, *will_topic; /* NULL: not by MQTT; no will */
    size_t client_id_len, will_topic_len;
    bool is_persistent;
    uint8_t *der;
    size_t der_len;
    char *address, *host;

    uint64_t generation; /* of what is below; 0: nothing yet */
    struct policy **policies;
    size_t count;
    struct policy_context context;
    struct policy_cache cache;
};

/* ---- what is known about him -------------------------------------------------------------------------------------------- */

static void on_field(void *self, const char *key, const char *value, size_t len)
{
    policy_context_add(self, key, value, len);
}

static void know(struct policy_context *context, const char *key, const char *value)
{
    if (value)
        policy_context_add(context, key, value, strlen(value));
}

static void know_thing(struct policy_context *context, const struct registry_thing *thing)
{
    know(context, "iot:Connection.Thing.IsAttached", thing ? "true" : "false");
    if (!thing)
        return;
    know(context, "iot:Connection.Thing.ThingName", thing->key.text);
    if (thing->type)
        know(context, "iot:Connection.Thing.ThingTypeName", thing->type->key.text);
    for (size_t i = 0; i < thing->attributes.count; i++) {
        cleanup_free char *key =
            str_printf("iot:Connection.Thing.Attributes[%s]", thing->attributes.list[i].name);
        know(context, key, thing->attributes.list[i].value);
    }
}

static void know_origin(struct policy_context *context, const struct registry_principal *who,
                        const struct permit_origin *origin)
{
    know(context, "aws:SourceIp", origin->address);
    know(context, "iot:DomainName", origin->host);
    if (who->kind == REGISTRY_CERTIFICATE)
        know(context, "iot:CertificateId", who->key.text);
}

static void know_certificate(struct policy_context *context, const struct permit_origin *origin)
{
    if (origin->der)
        x509_each_field(origin->der, origin->der_len, on_field, context);
}

/* ---- a permit ----------------------------------------------------------------------------------------------------------- */

static void forget(struct permit *permit)
{
    for (size_t i = 0; i < permit->count; i++)
        (void)policy_unref(permit->policies[i]);
    free(permit->policies);
    permit->policies = NULL;
    permit->count = 0;
    policy_context_done(&permit->context);
    policy_context_init(&permit->context, NULL);
}

static void know_connect(struct permit *permit)
{
    struct policy_context *context = &permit->context;
    policy_context_add(context, "iot:ClientId", permit->client_id, permit->client_id_len);
    policy_context_add_key(context, "iot:ConnectAttributes");
    if (permit->is_persistent)
        know(context, "iot:ConnectAttributes", "PersistentConnect");
    if (!permit->will_topic)
        return;
    know(context, "iot:ConnectAttributes", "LastWill");
    cleanup_free char *arn =
        str_printf("%stopic/%.*s", POLICY_PLACE, (int)permit->will_topic_len, permit->will_topic);
    know(context, "iot:LastWillTopic", arn);
}

/* Of his own he has only the policies that he came with. */
static const struct registry_principal *as_if_registered(const struct permit *permit,
                                                         struct registry_principal *ret)
{
    *ret = (struct registry_principal){.kind = REGISTRY_USER, .status = REGISTRY_ACTIVE};
    for (size_t i = 0; i < permit->policy_name_count; i++) {
        struct registry_policy *policy = registry_policy(permit->registry, permit->policy_names[i]);
        if (policy)
            ret->policies[ret->policy_count++] = policy;
    }
    return ret;
}

/* A certificate is taken apart only for a policy that asks for what is in it: that takes a tenth of a handshake, and a kilobyte. */
static bool ask_certificate(const struct permit *permit)
{
    for (size_t i = 0; i < permit->count; i++)
        if (permit->policies[i]->may_ask_certificate)
            return true;
    return false;
}

static void find_anew(struct permit *permit)
{
    forget(permit);
    permit->generation = registry_generation(permit->registry);
    struct registry_principal guest;
    const struct registry_principal *who = permit->is_guest
                                               ? as_if_registered(permit, &guest)
                                               : registry_principal(permit->registry, permit->name);
    if (!who || who->status != REGISTRY_ACTIVE)
        return; /* no policies: nothing is allowed */
    const struct permit_origin origin = {permit->der, permit->der_len, permit->address, permit->host};
    know_origin(&permit->context, who, &origin);
    const struct registry_thing *thing = NULL;
    if (permit->is_guest) /* by HTTP, too, where others have no client id that names one */
        thing = permit->thing ? registry_thing(permit->registry, permit->thing) : NULL;
    else if (permit->client_id)
        thing = registry_thing_of(who, permit->client_id, permit->client_id_len);
    if (permit->client_id)
        know_connect(permit);
    if (permit->client_id || permit->is_guest)
        know_thing(&permit->context, thing);
    struct policy *found[REGISTRY_EFFECTIVE_MAX];
    permit->count = registry_effective(who, thing, found);
    permit->policies = mem_new_bytes((permit->count + permit->own_count) * sizeof(struct policy *));
    for (size_t i = 0; i < permit->count; i++)
        permit->policies[i] = policy_ref(found[i]);
    for (size_t i = 0; i < permit->own_count; i++)
        permit->policies[permit->count++] = policy_ref(permit->own[i]);
    if (ask_certificate(permit))
        know_certificate(&permit->context, &origin);
}

static bool decide(struct permit *permit, enum iot_action action, const char *name, size_t len)
{
    if (permit->generation != registry_generation(permit->registry))
        find_anew(permit);
    const struct policy_set set = {permit->policies, permit->count};
    const struct policy_request request = {
        .action = action, .name = name, .len = len, .wall_ms = registry_now(permit->registry)};
    return policy_cache_decide(&permit->cache, permit->generation, &set, &permit->context, &request) ==
           POLICY_ALLOWED;
}

static bool on_allows(struct principal_permit *base, enum policy_action action, const char *name, size_t len)
{
    static const enum iot_action actions[] = {[POLICY_PUBLISH] = IOT_PUBLISH,
                                              [POLICY_SUBSCRIBE] = IOT_SUBSCRIBE,
                                              [POLICY_RECEIVE] = IOT_RECEIVE,
                                              [POLICY_RETAIN] = IOT_RETAIN_PUBLISH,
                                              [POLICY_GET_SHADOW] = IOT_GET_THING_SHADOW,
                                              [POLICY_UPDATE_SHADOW] = IOT_UPDATE_THING_SHADOW,
                                              [POLICY_DELETE_SHADOW] = IOT_DELETE_THING_SHADOW,
                                              [POLICY_LIST_SHADOWS] = IOT_LIST_NAMED_SHADOWS_FOR_THING};
    return decide(container_of(base, struct permit, permit), actions[action], name, len);
}

static bool on_connect(struct principal_permit *base, const struct principal_connect *connect,
                       const char **why)
{
    struct permit *permit = container_of(base, struct permit, permit);
    free(permit->client_id);
    free(permit->will_topic);
    permit->client_id = str_copy_n(connect->client_id, connect->client_id_len);
    permit->client_id_len = connect->client_id_len;
    permit->is_persistent = connect->is_persistent;
    permit->will_topic = connect->has_will ? str_copy_n(connect->will_topic, connect->will_topic_len) : NULL;
    permit->will_topic_len = connect->will_topic_len;
    permit->generation = 0;

    *why = "no policy lets it connect with this client id";
    if (!decide(permit, IOT_CONNECT, connect->client_id, connect->client_id_len))
        return false;
    *why = "may not publish on the topic of its will";
    if (connect->has_will && !decide(permit, IOT_PUBLISH, connect->will_topic, connect->will_topic_len))
        return false;
    *why = "may not retain its will";
    return !connect->will_retain ||
           decide(permit, IOT_RETAIN_PUBLISH, connect->will_topic, connect->will_topic_len);
}

/* In place of those he had. */
static void take_own(struct permit *permit, struct policy *const *own, size_t count)
{
    while (permit->own_count)
        (void)policy_unref(permit->own[--permit->own_count]);
    for (size_t i = 0; i < count && i < REGISTRY_PRINCIPAL_POLICIES_MAX; i++)
        permit->own[permit->own_count++] = policy_ref(own[i]);
}

static void on_done(struct principal_permit *base)
{
    struct permit *permit = container_of(base, struct permit, permit);
    forget(permit);
    policy_context_done(&permit->context);
    policy_cache_clear(&permit->cache);
    free(permit->name);
    free(permit->thing);
    for (size_t i = 0; i < permit->policy_name_count; i++)
        free(permit->policy_names[i]);
    take_own(permit, NULL, 0);
    free(permit->client_id);
    free(permit->will_topic);
    free(permit->der);
    free(permit->address);
    free(permit->host);
    free(permit);
}

static struct permit *permit_new(struct registry *registry, const char *name,
                                 const struct permit_origin *origin)
{
    struct permit *permit = mem_new(struct permit);
    permit->permit = (struct principal_permit){.connect = on_connect, .allows = on_allows, .done = on_done};
    permit->registry = registry;
    permit->name = str_copy(name);
    if (origin->der)
        permit->der = (uint8_t *)str_copy_n((const char *)origin->der, origin->der_len);
    permit->der_len = origin->der_len;
    permit->address = str_copy(origin->address);
    permit->host = str_copy(origin->host);
    policy_context_init(&permit->context, NULL);
    policy_cache_init(&permit->cache, REMEMBERED_MAX, REMEMBERED_BYTES_MAX);
    return permit;
}

struct principal *permit_principal_new(struct registry *registry, const struct registry_principal *who,
                                       const struct permit_origin *origin)
{
    struct permit *permit = permit_new(registry, who->key.text, origin);
    const char *name = who->thing_count == 1 ? who->things[0].thing->key.text : who->key.text;
    struct principal *principal = principal_new_registered(who->key.text, name, &permit->permit);
    if (who->kind == REGISTRY_USER)
        principal->kind = PRINCIPAL_USER;
    return principal;
}

struct principal *permit_guest_new(struct registry *registry, const struct permit_guest *guest,
                                   const struct permit_origin *origin)
{
    struct permit *permit = permit_new(registry, guest->name, origin);
    permit->is_guest = true;
    permit->thing = str_copy(guest->thing);
    for (size_t i = 0; i < guest->policy_count && i < REGISTRY_PRINCIPAL_POLICIES_MAX; i++)
        permit->policy_names[permit->policy_name_count++] = str_copy(guest->policies[i]);
    take_own(permit, guest->own, guest->own_count);
    struct principal *principal = principal_new_registered(NULL, guest->name, &permit->permit);
    principal->kind = PRINCIPAL_USER;
    return principal;
}

void permit_guest_renew(struct principal *principal, struct policy *const *own, size_t own_count)
{
    struct permit *permit = container_of(principal->permit, struct permit, permit);
    take_own(permit, own, own_count);
    policy_cache_clear(&permit->cache);
    permit->generation = 0; /* all is found anew */
}

enum policy_decision permit_explain(const struct registry_principal *who, const struct permit_origin *origin,
                                    const char *client_id, const struct policy_request *request,
                                    struct policy_context *context, struct policy_verdict *verdict)
{
    policy_context_init(context, NULL);
    know_origin(context, who, origin);
    know_certificate(context, origin);
    const struct registry_thing *thing = NULL;
    if (client_id) {
        thing = registry_thing_of(who, client_id, strlen(client_id));
        know(context, "iot:ClientId", client_id);
        policy_context_add_key(context, "iot:ConnectAttributes");
        know_thing(context, thing);
    }
    struct policy *found[REGISTRY_EFFECTIVE_MAX];
    const struct policy_set set = {found, registry_effective(who, thing, found)};
    return policy_decide(&set, context, request, verdict);
}
