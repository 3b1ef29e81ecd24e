/* Permits: policies decide on a connection, and what changes in the registry holds for the next question. */
#include "identity/admission.h"
#include "identity/authority.h"

#include "base/utf8.h"
#include "rig/rig.h"
#include "store/folder.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct scene {
    struct rig *rig;
    struct registry *registry;
    struct audit *audit;
    struct admission *admission;
};

static struct scene scene_new(void)
{
    struct scene scene = {.rig = rig_new()};
    CHECK_INT(registry_open(&scene.registry, scene.rig->loop, scene.rig->store), 0);
    CHECK_INT(audit_new(&scene.audit, scene.rig->loop, scene.rig->store, scene.registry), 0);
    scene.admission = admission_new(scene.registry, scene.audit);
    return scene;
}

static void scene_done(struct scene *scene)
{
    store_quiesce(scene->rig->store);
    scene->admission = admission_free(scene->admission);
    scene->audit = audit_free(scene->audit);
    scene->registry = registry_close(scene->registry);
    scene->rig = rig_free(scene->rig);
}

static void add_policy(struct scene *scene, const char *name, const char *statements)
{
    cleanup_free char *text = str_printf("{\"Version\":\"2012-10-17\",\"Statement\":[%s]}", statements);
    for (char *c = text; *c; c++)
        *c = (char)(*c == '\'' ? '"' : *c);
    CHECK_INT(registry_policy_create(scene->registry, name, text, strlen(text), NULL), 0);
}

#define PLACE "arn:aws:iot:local:000000000000:"

/* A certificate with a thing of three attributes and a policy. */
static void add_press(struct scene *scene)
{
    struct registry_attribute hall[] = {{"hall", "7"}};
    const struct registry_certificate certificate = {.der = (const uint8_t *)"x", .der_len = 1, .id = ID_A};
    CHECK_INT(registry_thing_create(scene->registry, "press", NULL, hall, 1, NULL), 0);
    CHECK_INT(registry_certificate_register(scene->registry, &certificate, REGISTRY_ACTIVE, NULL), 0);
    CHECK_INT(registry_attach_thing(scene->registry, ID_A, "press", false, NULL), 0);
    add_policy(scene, "p",
               "{'Effect':'Allow','Action':'iot:Connect','Resource':'*'},"
               "{'Effect':'Allow','Action':['iot:Publish','iot:Receive'],'Resource':'" PLACE
               "topic/hall/${iot:Connection.Thing.Attributes[hall]}/*'},"
               "{'Effect':'Allow','Action':'iot:Publish','Resource':'" PLACE "topic/from/${aws:SourceIp}'},"
               "{'Effect':'Allow','Action':'iot:*','Resource':'" PLACE "topic/$gatehouse/*'}");
    CHECK_INT(registry_attach_policy(scene->registry, "p", ID_A, NULL), 0);
}

static struct principal *come(struct scene *scene, const char *client_id)
{
    const struct permit_origin origin = {.address = "10.0.0.7"};
    struct principal *principal =
        permit_principal_new(scene->registry, registry_principal(scene->registry, ID_A), &origin);
    const struct principal_connect connect = {.client_id = client_id, .client_id_len = strlen(client_id)};
    const char *why;
    CHECK(principal->permit->connect(principal->permit, &connect, &why));
    return principal;
}

static bool may(struct principal *principal, const char *topic)
{
    return policy_allows(principal, POLICY_PUBLISH, topic, strlen(topic));
}

TEST(decisions_know_the_thing_and_where_one_comes_from)
{
    struct scene scene = scene_new();
    add_press(&scene);
    struct principal *press = come(&scene, "press"), *other = come(&scene, "other");
    CHECK(may(press, "hall/7/x"));
    CHECK(!may(press, "hall/8/x"));
    CHECK(may(press, "from/10.0.0.7"));
    CHECK(!may(press, "from/10.0.0.8"));
    CHECK(!may(other, "hall/7/x")); /* it has no thing */
    CHECK(may(other, "from/10.0.0.7"));
    (void)principal_unref(press);
    (void)principal_unref(other);
    scene_done(&scene);
}

TEST(what_changes_holds_for_the_next_question)
{
    struct scene scene = scene_new();
    add_press(&scene);
    struct principal *press = come(&scene, "press");
    CHECK(may(press, "hall/7/x"));
    struct registry_attribute hall[] = {{"hall", "8"}};
    const struct registry_thing_update update = {.attributes = hall, .count = 1};
    CHECK_INT(registry_thing_update(scene.registry, "press", &update, NULL), 0);
    CHECK(!may(press, "hall/7/x"));
    CHECK(may(press, "hall/8/x"));
    CHECK_INT(registry_group_create(scene.registry, "quarantine", NULL, NULL, NULL, NULL, 0, NULL), 0);
    add_policy(&scene, "no", "{'Effect':'Deny','Action':'iot:Publish','Resource':'*'}");
    CHECK_INT(registry_attach_policy(scene.registry, "no", "thinggroup/quarantine", NULL), 0);
    CHECK(may(press, "hall/8/x"));
    CHECK_INT(registry_group_add(scene.registry, "quarantine", "press", NULL), 0);
    CHECK(!may(press, "hall/8/x"));
    CHECK_INT(registry_group_remove(scene.registry, "quarantine", "press", NULL), 0);
    CHECK(may(press, "hall/8/x"));
    CHECK_INT(registry_principal_set_status(scene.registry, ID_A, REGISTRY_INACTIVE, NULL), 0);
    CHECK(!may(press, "hall/8/x"));
    CHECK_INT(registry_principal_delete(scene.registry, ID_A, true, NULL), 0);
    CHECK(!may(press, "hall/8/x"));
    (void)principal_unref(press);
    scene_done(&scene);
}

TEST(no_policy_opens_what_is_the_houses)
{
    struct scene scene = scene_new();
    add_press(&scene);
    struct principal *press = come(&scene, "press");
    CHECK(!may(press, "$gatehouse/ctl/thing/create"));
    CHECK(!may(press, "$gatehouse/status/gateway"));
    CHECK(!policy_allows(press, POLICY_RECEIVE, "$gatehouse/ctl/answer/x", 23));
    CHECK(may(press, "$gatehouse/streams/a/append"));
    (void)principal_unref(press);
    scene_done(&scene);
}

TEST(a_verdict_names_what_decided)
{
    struct scene scene = scene_new();
    add_press(&scene);
    struct policy_context context;
    struct policy_verdict verdict;
    const struct permit_origin origin = {0};
    struct policy_request request = {.action = IOT_PUBLISH, .name = "hall/7/x", .len = 8, .wall_ms = -1};
    const struct registry_principal *who = registry_principal(scene.registry, ID_A);
    CHECK_INT(permit_explain(who, &origin, "press", &request, &context, &verdict), POLICY_ALLOWED);
    CHECK_STR(verdict.policy->name, "p");
    CHECK_INT(verdict.statement, 1);
    policy_context_done(&context);
    CHECK_INT(permit_explain(who, &origin, NULL, &request, &context, &verdict), POLICY_IMPLICIT_DENY);
    CHECK(verdict.missing_count > 0);
    policy_context_done(&context);
    scene_done(&scene);
}

/* ---- admission --------------------------------------------------------------------------------------------------------------- */

struct seen {
    struct newcomer_handler handler;
    int count;
    bool pending;
};

static void on_newcomer(struct newcomer_handler *handler, const struct newcomer *newcomer)
{
    struct seen *seen = container_of(handler, struct seen, handler);
    seen->count++;
    seen->pending = newcomer->principal != NULL;
}

static const char *enter(struct scene *scene, const struct x509_issued *issued, bool strict)
{
    const struct permit_origin origin = {.der = issued->der, .der_len = issued->len};
    struct principal *principal = NULL;
    const char *why = NULL;
    int r = admission_enter(scene->admission, &origin, strict, &principal, &why);
    (void)principal_unref(principal);
    return r == 0 ? "in" : r == ADMISSION_UNKNOWN ? "unknown" : why;
}

static void register_issued(struct scene *scene, const struct x509_issued *issued, const char *ca,
                            enum registry_status status)
{
    struct x509_facts facts;
    CHECK_INT(x509_facts(&facts, issued->der, issued->len, NULL), 0);
    const struct registry_certificate certificate = {.der = issued->der,
                                                     .der_len = issued->len,
                                                     .id = issued->id,
                                                     .ca = ca,
                                                     .subject = facts.subject,
                                                     .not_before_s = facts.not_before_s,
                                                     .not_after_s = facts.not_after_s};
    CHECK_INT(registry_certificate_register(scene->registry, &certificate, status, NULL), 0);
    x509_facts_done(&facts);
}

TEST(a_certificate_lets_in_as_the_registry_says)
{
    cleanup(folder_free_p) char *parent = folder_new();
    cleanup_free char *folder = str_printf("%s/identity", parent);
    struct scene scene = scene_new();
    int64_t now_s = registry_now(scene.registry) / 1000;
    struct authority *authority;
    char *why = NULL;
    CHECK_INT(
        authority_open(&authority, &(struct authority_options){.folder = folder, .name = "gw"}, now_s, &why),
        0);
    struct x509_issued one, old, young;
    const struct x509_wish wish = {.common_name = "press"};
    const struct x509_wish ended = {
        .common_name = "old", .not_before_s = now_s - 200, .not_after_s = now_s - 100};
    const struct x509_wish begins = {
        .common_name = "young", .not_before_s = now_s + 100, .not_after_s = now_s + 200};
    CHECK_INT(authority_issue(authority, &one, &wish, now_s, &why), 0);
    CHECK_INT(authority_issue(authority, &old, &ended, now_s, &why), 0);
    CHECK_INT(authority_issue(authority, &young, &begins, now_s, &why), 0);

    CHECK_STR(enter(&scene, &one, false), "unknown");
    CHECK_STR(enter(&scene, &one, true), "its certificate is not registered");
    size_t len;
    const uint8_t *der = x509_signer_der(authority_signer(authority), &len);
    const struct registry_certificate ca = {.der = der, .der_len = len, .id = authority_id(authority)};
    CHECK_INT(registry_ca_register(scene.registry, &ca, true, false, NULL, NULL, NULL), 0);
    CHECK_STR(enter(&scene, &one, false), "its certificate is not registered, though its authority is");

    struct seen seen = {.handler.came = on_newcomer};
    admission_set_newcomers(scene.admission, &seen.handler);
    const struct registry_ca_update registers = {.active = -1, .auto_registration = 1};
    CHECK_INT(registry_ca_update(scene.registry, authority_id(authority), &registers, NULL), 0);
    CHECK(admission_judge(scene.admission, one.der, one.len, NULL)); /* as far as CONNECT */
    CHECK_STR(enter(&scene, &one, true), "its certificate is new here and waits for its activation");
    CHECK_INT(seen.count, 1);
    register_issued(&scene, &one, authority_id(authority), REGISTRY_PENDING_ACTIVATION);
    CHECK_STR(enter(&scene, &one, true), "its certificate waits for its activation");
    CHECK(seen.count == 2 && seen.pending);
    CHECK_INT(registry_principal_set_status(scene.registry, one.id, REGISTRY_ACTIVE, NULL), 0);
    CHECK_STR(enter(&scene, &one, true), "in");
    CHECK(admission_judge(scene.admission, one.der, one.len, NULL));
    CHECK(!admission_judge(scene.admission, one.der, one.len, "certificate has expired"));
    CHECK_INT(registry_principal_set_status(scene.registry, one.id, REGISTRY_REVOKED, NULL), 0);
    CHECK_STR(enter(&scene, &one, false), "its certificate is REVOKED");
    CHECK(!admission_judge(scene.admission, one.der, one.len, NULL));
    CHECK(!admission_judge(scene.admission, (const uint8_t *)"junk", 4, NULL));

    register_issued(&scene, &old, NULL, REGISTRY_ACTIVE);
    register_issued(&scene, &young, NULL, REGISTRY_ACTIVE);
    CHECK_STR(enter(&scene, &old, true), "its certificate has expired");
    CHECK_STR(enter(&scene, &young, true), "its certificate is not valid yet");
    x509_issued_done(&one);
    x509_issued_done(&old);
    x509_issued_done(&young);
    (void)authority_close(authority);
    scene_done(&scene);
}

/* ---- audit ------------------------------------------------------------------------------------------------------------------- */

struct heard {
    struct audit_query query;
    char *json;
};

static void on_heard(struct audit_query *query, int r, const char *json)
{
    struct heard *heard = container_of(query, struct heard, query);
    heard->json = r < 0 ? NULL : str_copy(json);
}

static char *audited(struct scene *scene, const char *what, size_t max)
{
    struct heard heard = {.query = {.what = what, .max = max, .done = on_heard}};
    audit_ask(scene->audit, &heard.query);
    rig_turn(scene->rig);
    return heard.json;
}

static size_t rows_in(const char *json)
{
    size_t n = 0;
    for (const char *at = json; (at = strstr(at, "\"number\"")); at++)
        n++;
    return n;
}

TEST(changes_and_refusals_are_in_the_audit_log_and_repetitions_are_counted)
{
    struct scene scene = scene_new();
    const struct registry_by by = {.who = "operator:1000"};
    CHECK_INT(registry_thing_create(scene.registry, "t", NULL, NULL, 0, &by), 0);
    for (int i = 0; i < 5; i++)
        audit_refused(scene.audit, "press", "refused/publish", "a/b", "not authorized");
    cleanup_free char *all = audited(&scene, NULL, 0);
    CHECK_INT((int64_t)rows_in(all), 2);
    CHECK(strstr(all, "\"who\":\"operator:1000\",\"what\":\"thing/created\",\"object\":\"t\""));
    rig_wait(scene.rig, 61000);
    cleanup_free char *later = audited(&scene, "refused/", 0);
    CHECK_INT((int64_t)rows_in(later), 2);
    CHECK(strstr(later, "\"reason\":\"not authorized\",\"count\":4"));
    scene_done(&scene);
}

TEST(what_strangers_call_themselves_stays_one_column_of_whole_characters)
{
    struct scene scene = scene_new();
    char name[300];
    memset(name, 'a', 255);
    memcpy(name + 255, "\xc3\xa9tude", 7);
    for (int i = 0; i < 2; i++) {
        audit_refused(scene.audit, "press", "refused/connect", "a\1b\1c", "not registered");
        audit_refused(scene.audit, "press", "refused/publish", name, "not authorized");
    }
    rig_wait(scene.rig, 61000);
    cleanup_free char *all = audited(&scene, "refused/", 0);
    CHECK_INT((int64_t)rows_in(all), 4);
    static const char row[] = "\"object\":\"a\\u0001b\\u0001c\",\"reason\":\"not registered\",\"count\":1}";
    const char *first = strstr(all, row);
    CHECK(first && strstr(first + sizeof row - 1, row));
    CHECK(strstr(all, "aaa\",\"reason\":\"not authorized\""));
    CHECK(utf8_is_valid(all, strlen(all)));
    scene_done(&scene);
}

TEST(a_flood_of_refusals_is_counted_together)
{
    struct scene scene = scene_new();
    for (int i = 0; i < AUDIT_REFUSALS_A_MINUTE + 50; i++) {
        cleanup_free char *who = str_printf("10.0.0.%d", i);
        audit_refused(scene.audit, who, "refused/connect", "", "not registered");
    }
    rig_wait(scene.rig, 61000);
    cleanup_free char *all = audited(&scene, "refused/", 0);
    CHECK_INT((int64_t)rows_in(all), AUDIT_REFUSALS_A_MINUTE + 1);
    CHECK(strstr(
        all,
        "\"what\":\"refused/more\",\"object\":\"\",\"reason\":\"more than are listed one by one\",\"count\":50"));
    cleanup_free char *few = audited(&scene, "refused/", 3);
    CHECK_INT((int64_t)rows_in(few), 3);
    scene_done(&scene);
}
