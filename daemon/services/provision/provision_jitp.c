#include "services/provision/provisioning.h"

#include "base/json_write.h"
#include "base/log.h"
#include "bus/topics.h"
#include "identity/x509.h"

#include <errno.h>
#include <string.h>

/* Newcomers: certificates of a registered authority that nobody has seen before, or that still wait.
 *
 *      came ─▶ registered, PENDING_ACTIVATION ─▶ the authority's template, if it has one: thing, policies, ACTIVE
 *                                            └▶ on disk ─▶ $aws/events/certificates/registered/CA
 *
 * The connection itself is refused; the device comes again. Without a template somebody else makes what is needed, after that
 * event, which is told again at each attempt. What could not be made is tried again at the next one. */

struct arrival {
    struct list link;
    struct provision *provision;
    struct receipt receipt;
    char *topic, *event;
};

static void arrival_free(struct arrival *arrival)
{
    list_remove(&arrival->link);
    free(arrival->topic);
    free(arrival->event);
    free(arrival);
}

static void on_kept(struct receipt *receipt, int r)
{
    struct arrival *arrival = container_of(receipt, struct arrival, receipt);
    if (r == 0)
        bus_say(arrival->provision->bus, arrival->topic, arrival->event, BUS_PASS);
    arrival_free(arrival);
}

static char *event_text(struct provision *provision, struct arena *arena, const char *id, const char *ca)
{
    int64_t now = loop_wall(provision->loop);
    struct json *event = json_new(arena, JSON_OBJECT);
    (void)provision_put_text(arena, event, "certificateId", id);
    (void)provision_put_text(arena, event, "caCertificateId", ca);
    json_append(event, "timestamp", 9, json_new_int(arena, now));
    (void)provision_put_text(arena, event, "certificateStatus", "PENDING_ACTIVATION");
    (void)provision_put_text(arena, event, "awsAccountId", "000000000000");
    const struct registry_principal *principal = registry_principal(provision->registry, id);
    (void)provision_put_text(
        arena, event, "certificateRegistrationTimestamp",
        arena_printf(arena, "%lld", (long long)(principal ? principal->created_ms : now)));
    return str_copy(json_write(arena, event, NULL));
}

/* ---- what a template may know of a certificate ------------------------------------------------------------------------------ */

static const struct {
    const char *field, *pseudo;
} fields[] = {
    {"iot:Certificate.Subject.Country", "AWS::IoT::Certificate::Country"},
    {"iot:Certificate.Subject.Organization", "AWS::IoT::Certificate::Organization"},
    {"iot:Certificate.Subject.OrganizationalUnit", "AWS::IoT::Certificate::OrganizationalUnit"},
    {"iot:Certificate.Subject.DistinguishedNameQualifier",
     "AWS::IoT::Certificate::DistinguishedNameQualifier"},
    {"iot:Certificate.Subject.State", "AWS::IoT::Certificate::StateName"},
    {"iot:Certificate.Subject.CommonName", "AWS::IoT::Certificate::CommonName"},
    {"iot:Certificate.Subject.SerialNumber", "AWS::IoT::Certificate::SerialNumber"},
};

struct pseudos {
    struct arena *arena;
    struct template_pseudo list[array_size(fields) + 1];
    size_t count;
};

/* Values come escaped as policies want them; a thing is not called "a\,b". */
static const char *unescaped(struct arena *arena, const char *value, size_t len)
{
    char *text = arena_alloc(arena, len + 1), *to = text;
    for (size_t i = 0; i < len; i++) {
        i += value[i] == '\\' && i + 1 < len;
        *to++ = value[i];
    }
    *to = '\0';
    return text;
}

/* Of several values of a field the first counts. */
static void on_field(void *self, const char *key, const char *value, size_t len)
{
    struct pseudos *pseudos = self;
    for (size_t i = 0; i < array_size(fields); i++) {
        if (strcmp(fields[i].field, key) != 0 || memchr(value, '\0', len))
            continue;
        for (size_t k = 0; k < pseudos->count; k++)
            if (pseudos->list[k].name == fields[i].pseudo)
                return;
        pseudos->list[pseudos->count++] =
            (struct template_pseudo){fields[i].pseudo, unescaped(pseudos->arena, value, len)};
        return;
    }
}

/* ---- provisioning ------------------------------------------------------------------------------------------------------------ */

/* NULL: done; else why not. */
static const char *provision_by(struct provision *provision, struct arena *arena,
                                const struct newcomer *newcomer, const char *body,
                                const struct registry_by *by)
{
    struct pseudos pseudos = {
        .arena = arena, .list = {{"AWS::IoT::Certificate::Id", newcomer->id}}, .count = 1};
    x509_each_field(newcomer->der, newcomer->der_len, on_field, &pseudos);
    const struct template_input input = {.pseudo = pseudos.list, .pseudo_count = pseudos.count};
    struct template template;
    struct template_plan plan;
    struct policy_error error = {0};
    struct provision_fault fault;
    const char *why = NULL;
    if (template_read(&template, arena, TEMPLATE_JITP, body, strlen(body), &error) != 0)
        return arena_printf(arena, "the template cannot be read: %s", error.text);
    if (template_evaluate(&plan, arena, &template, &input, &why) != 0)
        return why;
    if (!provision_apply(provision->registry, arena, &plan, newcomer->id, by, &fault))
        return fault.text;
    provision->counters.just_in_time++;
    log_notice("provisioning: certificate %s is the thing %s, by the template of its authority %s",
               newcomer->id, plan.thing ? plan.thing : "(none)", newcomer->ca->key.text);
    return NULL;
}

/* The body of its template; NULL: it has none, or *why says what is wrong with it. */
static const char *template_of(struct provision *provision, const struct registry_ca *ca, const char **why)
{
    *why = NULL;
    if (!ca->template_name)
        return ca->template_body;
    const struct provision_template *template =
        provision_template_find(provision, ca->template_name, strlen(ca->template_name));
    if (!template || template->kind != TEMPLATE_JITP)
        *why = "its template is not there";
    else if (!template->enabled)
        *why = "its template is not enabled";
    return *why ? NULL : template->body;
}

/* NULL: registered; else why not. */
static const char *register_newcomer(struct provision *provision, const struct newcomer *newcomer,
                                     const struct registry_by *by)
{
    struct x509_facts facts;
    int r = x509_facts(&facts, newcomer->der, newcomer->der_len, NULL);
    if (r < 0)
        return strerror(-r);
    const struct registry_certificate certificate = {
        .der = newcomer->der,
        .der_len = newcomer->der_len,
        .id = newcomer->id,
        .ca = newcomer->ca->key.text,
        .subject = facts.subject,
        .serial = facts.serial,
        .not_before_s = facts.not_before_s,
        .not_after_s = facts.not_after_s,
    };
    const char *why = NULL;
    if (facts.key_is_weak)
        why =
            "expected a key of RSA 2048 or more, P-256, P-384 or P-521, and a signature with SHA-256 or better";
    else if (registry_certificate_register(provision->registry, &certificate, REGISTRY_PENDING_ACTIVATION,
                                           by))
        why = registry_why(provision->registry);
    x509_facts_done(&facts);
    return why;
}

static void on_came(struct newcomer_handler *handler, const struct newcomer *newcomer)
{
    struct provision *provision = container_of(handler, struct provision, newcomers);
    const struct registry_ca *ca = newcomer->ca;
    if (!ca || !ca->active || !ca->auto_registration)
        return; /* one of our own that waits for its token to be used, or nobody who registers by himself */
    struct arena arena = {0};
    struct arrival *arrival = mem_new(struct arrival);
    arrival->provision = provision;
    arrival->topic = str_printf(TOPIC_EVENT_REGISTERED_FORMAT, ca->key.text);
    receipt_init(&arrival->receipt, on_kept);
    receipt_hold(&arrival->receipt);
    list_append(&provision->arrivals, &arrival->link);
    const struct registry_by by = {.who = arena_printf(&arena, "authority:%s", ca->key.text),
                                   .receipt = &arrival->receipt};
    const char *why = newcomer->principal ? NULL : register_newcomer(provision, newcomer, &by), *body = NULL;
    if (!why) {
        arrival->event = event_text(provision, &arena, newcomer->id, ca->key.text);
        body = template_of(provision, ca, &why);
    }
    if (body)
        why = provision_by(provision, &arena, newcomer, body, &by);
    if (why) {
        log_warning("provisioning: certificate %s is not provisioned: %s", newcomer->id, why);
        audit_refused(provision->options.audit, by.who, "refused/provision", newcomer->id, why);
    }
    if (arrival->event)
        receipt_settle(&arrival->receipt, 0);
    else
        arrival_free(arrival); /* it was not registered: there is nothing to wait for, and nothing to tell */
    arena_done(&arena);
}

void provision_jitp_init(struct provision *provision)
{
    provision->newcomers.came = on_came;
    if (provision->options.admission)
        admission_set_newcomers(provision->options.admission, &provision->newcomers);
}

void provision_jitp_done(struct provision *provision)
{
    if (provision->options.admission)
        admission_set_newcomers(provision->options.admission, NULL);
    list_for_each_safe (link, &provision->arrivals)
        arrival_free(list_entry(link, struct arrival, link));
}
