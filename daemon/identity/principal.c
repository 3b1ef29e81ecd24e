#include "identity/principal.h"

#include "base/topic.h"

#include <string.h>

enum { NODE_FILTERS_MAX = 8 };

/* What a node may do; %s is its name. */
static const char *const node_publish[] = {"dt/%s/#",          "gh/nodes/%s/#", "cmd/%s/+/reply",
                                           "$aws/things/%s/#", "$aws/rules/#",  NULL};
static const char *const node_subscribe[] = {"cmd/%s/#", "gh/nodes/%s/#", "$aws/things/%s/#", NULL};

static const char *const pairing_publish[] = {"gh/pair/%s/hello", "gh/pair/%s/commit", "gh/pair/%s/refuse",
                                              NULL};
static const char *const pairing_subscribe[] = {"gh/pair/%s/#", NULL};

/* What the house says on the topics of a thing, and to who asks to be provisioned; nobody else may, or a node could be fooled
 * about its own shadow, and a claimant be given somebody else's certificate. */
static const char *const answers_only[] = {
    "$aws/things/+/shadow/+/accepted",
    "$aws/things/+/shadow/+/rejected",
    "$aws/things/+/shadow/update/delta",
    "$aws/things/+/shadow/update/documents",
    "$aws/things/+/shadow/name/+/+/accepted",
    "$aws/things/+/shadow/name/+/+/rejected",
    "$aws/things/+/shadow/name/+/update/delta",
    "$aws/things/+/shadow/name/+/update/documents",
    "$aws/certificates/+/+/accepted",
    "$aws/certificates/+/+/rejected",
    "$aws/provisioning-templates/+/+/+/accepted",
    "$aws/provisioning-templates/+/+/+/rejected",
};

/* Names that a certificate cannot prove. */
static const char *const proven_otherwise[] = {"psk:", "pair:", "user:", "jwt:", "authorizer:"};

static struct principal *principal_new(enum principal_kind kind, const char *name)
{
    struct principal *principal = mem_new(struct principal);
    principal->refs = 1;
    principal->kind = kind;
    principal->name = str_copy(name);
    return principal;
}

struct principal *principal_new_unlimited(enum principal_kind kind, const char *name)
{
    struct principal *principal = principal_new(kind, name);
    principal->everything = true;
    return principal;
}

/* The patterns with the name in them. A name with a wildcard in it would widen them: such a node gets nothing. */
static char **fill_in(const char *const *patterns, const char *name)
{
    char **list = mem_new_bytes((NODE_FILTERS_MAX + 1) * sizeof *list);
    if (strpbrk(name, "+#/"))
        return list;
    for (size_t i = 0; patterns[i]; i++) {
        const char *gap = strstr(patterns[i], "%s");
        list[i] = gap ? str_printf("%.*s%s%s", (int)(gap - patterns[i]), patterns[i], name, gap + 2)
                      : str_copy(patterns[i]);
    }
    return list;
}

struct principal *principal_new_node(const char *name)
{
    struct principal *principal = principal_new(PRINCIPAL_CERTIFICATE, name);
    principal->publish = fill_in(node_publish, name);
    principal->subscribe = fill_in(node_subscribe, name);
    return principal;
}

struct principal *principal_new_paired(const char *serial, const char *thing)
{
    cleanup_free char *name = str_printf("psk:%s", serial);
    struct principal *principal = principal_new(PRINCIPAL_KEY, name);
    principal->publish = fill_in(node_publish, thing);
    principal->subscribe = fill_in(node_subscribe, thing);
    principal->client_id = str_copy(thing);
    return principal;
}

struct principal *principal_new_pairing(const char *serial)
{
    cleanup_free char *name = str_printf("pair:%s", serial);
    struct principal *principal = principal_new(PRINCIPAL_KEY, name);
    principal->publish = fill_in(pairing_publish, serial);
    principal->subscribe = fill_in(pairing_subscribe, serial);
    principal->client_id = str_printf("pair-%s", serial);
    return principal;
}

struct principal *principal_new_user(const char *id, const char *name, bool everything)
{
    struct principal *principal = principal_new_guest(id, name, everything);
    principal->id = str_copy(id);
    return principal;
}

struct principal *principal_new_guest(const char *id, const char *name, bool everything)
{
    struct principal *principal = principal_new(PRINCIPAL_USER, id);
    principal->everything = everything;
    principal->publish = everything ? NULL : fill_in(node_publish, name);
    principal->subscribe = everything ? NULL : fill_in(node_subscribe, name);
    return principal;
}

static bool is_proven_otherwise(const char *name)
{
    for (size_t i = 0; i < array_size(proven_otherwise); i++)
        if (strncmp(name, proven_otherwise[i], strlen(proven_otherwise[i])) == 0)
            return true;
    return false;
}

const char *principal_proven_name(const struct principal *principal)
{
    const char *name = principal->name;
    switch (principal->kind) {
    case PRINCIPAL_KEY: return name;
    case PRINCIPAL_USER:
        if (!principal->id || strcmp(principal->id, name) == 0)
            return name;
        return is_proven_otherwise(name) ? NULL : name; /* he is called as his thing */
    case PRINCIPAL_CERTIFICATE:
    case PRINCIPAL_PLUGIN: return is_proven_otherwise(name) ? NULL : name;
    case PRINCIPAL_OPEN:
    case PRINCIPAL_CONTROL: break;
    }
    return NULL;
}

static char **split(const char *filters)
{
    size_t count = 0;
    for (const char *at = filters ? filters : ""; *(at += strspn(at, " \t")); at += strcspn(at, " \t"))
        count++;
    char **list = mem_new_bytes((count + 1) * sizeof *list);
    const char *at = filters;
    for (size_t i = 0; i < count; i++) {
        at += strspn(at, " \t");
        size_t len = strcspn(at, " \t");
        list[i] = str_copy_n(at, len);
        at += len;
    }
    return list;
}

struct principal *principal_new_plugin(const char *name, const char *publish, const char *subscribe)
{
    struct principal *principal = principal_new(PRINCIPAL_PLUGIN, name);
    principal->publish = split(publish);
    principal->subscribe = split(subscribe);
    return principal;
}

struct principal *principal_new_registered(const char *id, const char *name, struct principal_permit *permit)
{
    struct principal *principal = principal_new(PRINCIPAL_CERTIFICATE, name);
    principal->id = str_copy(id);
    principal->permit = permit;
    return principal;
}

struct principal *principal_ref(struct principal *principal)
{
    principal->refs++;
    return principal;
}

static void list_free(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

struct principal *principal_unref(struct principal *principal)
{
    if (principal && --principal->refs == 0) {
        if (principal->keeper)
            principal->keeper->done(principal->keeper);
        list_free(principal->publish);
        list_free(principal->subscribe);
        if (principal->permit)
            principal->permit->done(principal->permit);
        free(principal->id);
        free(principal->name);
        free(principal->client_id);
        free(principal);
    }
    return NULL;
}

static bool is_answer(const char *topic, size_t len)
{
    for (size_t i = 0; i < array_size(answers_only); i++)
        if (topic_matches(answers_only[i], strlen(answers_only[i]), topic, len))
            return true;
    return false;
}

static bool begins_with(const char *topic, size_t len, const char *prefix)
{
    size_t n = strlen(prefix);
    return len >= n && memcmp(topic, prefix, n) == 0;
}

/* What no policy opens: commands and their answers, what hooks are asked and answer, what plugins are told (passwords may be in
 * their settings) and say, answers on their way to REST, credentials, and what only the house says. */
static bool is_of_the_house(enum policy_action action, const char *topic, size_t len)
{
    static const char *const closed[] = {"$gatehouse/ctl/",         "$gatehouse/provisioning/",
                                         "$gatehouse/plugins/",     "$gatehouse/rest/",
                                         "$gatehouse/authorizers/", "$gatehouse/credentials/"};
    for (size_t i = 0; i < array_size(closed); i++)
        if (begins_with(topic, len, closed[i]))
            return true;
    return (action == POLICY_PUBLISH || action == POLICY_RETAIN) &&
           (is_answer(topic, len) || begins_with(topic, len, "$gatehouse/status/") ||
            begins_with(topic, len, "$aws/events/"));
}

bool principal_may_be_answered(const struct principal *principal, const char *topic, size_t len)
{
    static const char from_cloud[] =
        "$gatehouse/cloud/+/receive/#"; /* what is not from anybody is the cloud's */
    return principal->everything || principal->kind == PRINCIPAL_PLUGIN ||
           !(is_of_the_house(POLICY_PUBLISH, topic, len) ||
             topic_matches(from_cloud, sizeof from_cloud - 1, topic, len));
}

bool policy_allows(const struct principal *principal, enum policy_action action, const char *topic,
                   size_t len)
{
    if (principal->everything)
        return true;
    if (principal->permit)
        return !(len && *topic == '$' && is_of_the_house(action, topic, len)) &&
               principal->permit->allows(principal->permit, action, topic, len);
    if (action > POLICY_RECEIVE)
        return true;
    if (action == POLICY_PUBLISH && len && *topic == '$' && is_answer(topic, len))
        return false;
    char **list = action == POLICY_PUBLISH ? principal->publish : principal->subscribe;
    for (size_t i = 0; list && list[i]; i++) {
        size_t filter_len = strlen(list[i]);
        if (action == POLICY_SUBSCRIBE ? topic_covers(list[i], filter_len, topic, len)
                                       : topic_matches(list[i], filter_len, topic, len))
            return true;
    }
    return false;
}
