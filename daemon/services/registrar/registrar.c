#include "services/registrar/registrar.h"

#include "base/log.h"
#include "bus/topics.h"
#include "services/registrar/registrar_private.h"

#include <stdio.h>
#include <string.h>

enum { REQUEST_MAX = 128 * 1024, REFRESH_MS = 15 * 60 * 1000 };

static const char *const filters[] = {
    TOPIC_CTL_THING_FILTER,  TOPIC_CTL_TYPE_FILTER, TOPIC_CTL_GROUP_FILTER, TOPIC_CTL_CERT_FILTER,
    TOPIC_CTL_POLICY_FILTER, TOPIC_CTL_CA_FILTER,   TOPIC_CTL_AUDIT_FILTER, TOPIC_CTL_USER_FILTER,
};

static const struct registrar_request *const tables[] = {
    registrar_thing_requests, registrar_group_requests,  registrar_principal_requests,
    registrar_user_requests,  registrar_policy_requests, registrar_ca_requests};

/* ---- requests ------------------------------------------------------------------------------------------------------------- */

static void asked_free(struct asked *asked)
{
    (void)msg_unref(asked->msg);
    arena_done(&asked->arena);
    free(asked);
}

/* What it changed is on disk, or is not. */
static void on_settled(struct receipt *receipt, int r)
{
    struct asked *asked = container_of(receipt, struct asked, receipt);
    if (r < 0)
        asked_refuse(asked, 500, "it could not be written: %s; nothing has changed", strerror(-r));
    if (!asked->answered) {
        json_end_object(&asked->answer);
        const char *text = json_writer_text(&asked->answer, NULL);
        if (asked->has_secret)
            bus_reply_in_passing(asked->registrar->bus, asked->msg, text);
        else
            bus_reply(asked->registrar->bus, asked->msg, text);
    }
    asked_free(asked);
}

void asked_done(struct asked *asked)
{
    receipt_settle(&asked->receipt, 0);
}

static const struct registrar_request *find_request(const char *topic)
{
    static const char prefix[] = "$gatehouse/ctl/";
    const char *name = topic + strlen(prefix); /* only such topics are subscribed to */
    for (size_t i = 0; i < array_size(tables); i++)
        for (const struct registrar_request *request = tables[i]; request->topic; request++)
            if (strcmp(request->topic, name) == 0)
                return request;
    return NULL;
}

static bool is_listed(const char *names, const struct json *member)
{
    for (const char *at = names; *at; at += strspn(at, " ")) {
        size_t len = strcspn(at, " ");
        if (json_key_is(member, at, len))
            return true;
        at += len;
    }
    return false;
}

static bool read_request(struct asked *asked, const struct registrar_request *request)
{
    const struct msg *msg = asked->msg;
    struct json_error error = {.expected = "a smaller one"};
    if (msg->payload_len > REQUEST_MAX ||
        (msg->payload_len && json_parse(&asked->json, &asked->arena, (const char *)msg->payload,
                                        msg->payload_len, &error) != 0) ||
        (msg->payload_len && !json_is(asked->json, JSON_OBJECT))) {
        asked_refuse(asked, 400, "expected a JSON object");
        return false;
    }
    json_for_each (member, asked->json)
        if (!is_listed(request->members, member)) {
            asked_refuse(asked, 400, "\"%.*s\": expected %s", (int)size_min(member->key_len, 60), member->key,
                         *request->members ? request->members : "no members");
            return false;
        }
    return true;
}

static void on_request(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct registrar *registrar = container_of(subscriber, struct registrar, subscriber);
    const struct registrar_request *request = find_request(msg->topic);
    if (!request || msg->retain)
        return; /* as on any topic that nobody serves */
    struct asked *asked = mem_new(struct asked);
    asked->registrar = registrar;
    asked->msg = msg_ref(msg);
    arena_init(&asked->arena);
    json_writer_init(&asked->answer, &asked->arena);
    json_begin_object(&asked->answer);
    (void)snprintf(asked->who, sizeof asked->who, "%s", msg->from ? publisher_name(msg->from) : "gateway");
    receipt_init(&asked->receipt, on_settled);
    receipt_hold(&asked->receipt);
    asked->by = (struct registry_by){.who = asked->who, .receipt = &asked->receipt};
    if (read_request(asked, request))
        request->handle(asked);
    asked_done(asked);
}

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

/* Writing the list takes the disk's time: not for each device that is provisioned. */
static bool concerns_list(const struct registrar *registrar, const struct registry_change *change)
{
    if (change->kind != REGISTRY_PRINCIPAL || !registrar->authority)
        return false;
    const struct registry_principal *principal = change->object;
    bool is_own = principal->ca && strcmp(principal->ca, authority_id(registrar->authority)) == 0;
    switch (change->event) {
    case REGISTRY_CREATED: return is_own && principal->was_revoked;
    case REGISTRY_UPDATED:
        return is_own && (principal->status == REGISTRY_REVOKED || !registrar->nobody_revoked);
    default: return false; /* who is deleted stays as revoked as he is */
    }
}

static void on_changed(struct registry_watcher *watcher, const struct registry_change *change)
{
    struct registrar *registrar = container_of(watcher, struct registrar, watcher);
    registrar_say_event(registrar, change);
    if (concerns_list(registrar, change))
        loop_at(bus_loop(registrar->bus), LOOP_HAND_OVER, &registrar->crl);
}

static void refresh_later(struct registrar *registrar)
{
    timer_start(bus_loop(registrar->bus), &registrar->refresh, REFRESH_MS);
}

static void on_refresh(struct timer *timer)
{
    struct registrar *registrar = container_of(timer, struct registrar, refresh);
    char *why = NULL;
    int r = authority_refresh(registrar->authority, registry_now(registrar->registry) / 1000, &why);
    if (r < 0)
        log_error("the gateway's certificate stays as it is: %s", why);
    if (r > 0 && registrar->options.server_changed)
        registrar->options.server_changed(registrar->options.self);
    free(why);
    registry_forget_expired(registrar->registry);
    refresh_later(registrar);
}

/* Its own certificates are known as those of any authority, so that what it signed and nobody registered is refused. */
static void register_own_authority(struct registrar *registrar)
{
    if (registry_ca(registrar->registry, authority_id(registrar->authority)))
        return;
    struct x509_facts facts;
    size_t len;
    const uint8_t *der = x509_signer_der(authority_signer(registrar->authority), &len);
    if (x509_facts(&facts, der, len, NULL) < 0)
        return;
    const struct registry_certificate certificate = {.der = der,
                                                     .der_len = len,
                                                     .id = facts.id,
                                                     .subject = facts.subject,
                                                     .not_before_s = facts.not_before_s,
                                                     .not_after_s = facts.not_after_s};
    if (registry_ca_register(registrar->registry, &certificate, true, false, NULL, NULL, NULL))
        log_error("the gateway's own authority cannot be registered: %s", registry_why(registrar->registry));
    x509_facts_done(&facts);
}

struct authority *registrar_authority(struct registrar *registrar, char **why)
{
    if (registrar->authority) {
        register_own_authority(registrar); /* after a rotation it is another one */
        return registrar->authority;
    }
    const struct authority_options options = {.folder = registrar->folder,
                                              .name = registrar->name,
                                              .ca = registrar->options.ca,
                                              .ca_key = registrar->options.ca_key,
                                              .server_key = registrar->options.server_key,
                                              .names = (const char *const *)registrar->names,
                                              .name_count = registrar->options.name_count};
    int64_t now_s = registry_now(registrar->registry) / 1000;
    if (authority_open(&registrar->authority, &options, now_s, why) < 0)
        return NULL;
    register_own_authority(registrar);
    refresh_later(registrar);
    return registrar->authority;
}

int registrar_new(struct registrar **ret, struct bus *bus, const struct registrar_options *options)
{
    struct registrar *registrar = mem_new(struct registrar);
    registrar->bus = bus;
    registrar->options = *options;
    registrar->registry = options->registry;
    registrar->folder = str_copy(options->folder);
    registrar->name = str_copy(options->name);
    registrar->names = mem_new_bytes((options->name_count + 1) * sizeof *registrar->names);
    for (size_t i = 0; i < options->name_count; i++)
        registrar->names[i] = str_copy(options->names[i]);
    registrar->refresh.fire = on_refresh;
    registrar->crl.run = registrar_write_crl;
    registrar->subscriber.deliver = on_request;
    registrar->watcher.changed = on_changed;
    registry_watch(registrar->registry, &registrar->watcher);
    for (size_t i = 0; i < array_size(filters); i++)
        bus_subscribe_to(bus, &registrar->subscriptions[registrar->subscription_count++],
                         &registrar->subscriber, filters[i]);
    *ret = registrar;
    return 0;
}

struct registrar *registrar_free(struct registrar *registrar)
{
    if (!registrar)
        return NULL;
    while (registrar->subscription_count)
        bus_unsubscribe(registrar->bus, &registrar->subscriptions[--registrar->subscription_count]);
    registry_unwatch(&registrar->watcher);
    timer_stop(bus_loop(registrar->bus), &registrar->refresh);
    loop_forget(&registrar->crl);
    (void)authority_close(registrar->authority);
    for (size_t i = 0; i < registrar->options.name_count; i++)
        free(registrar->names[i]);
    free(registrar->names);
    free(registrar->folder);
    free(registrar->name);
    free(registrar);
    return NULL;
}
