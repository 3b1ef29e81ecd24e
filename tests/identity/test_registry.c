/* The registry: what is taken, what is refused, and that it is on disk. */
#include "identity/registry.h"

#include "rig/rig.h"
#include "store/folder.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define ID_C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define ANY                                                                                                  \
    "{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"iot:*\",\"Resource\":\"*\"}}"
#define NONE                                                                                                 \
    "{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"iot:*\",\"Resource\":\"*\"}}"

struct scene {
    struct rig *rig;
    struct registry *registry;
};

static struct scene scene_new(const char *db)
{
    struct scene scene = {.rig = db ? rig_new_at(db) : rig_new()};
    CHECK_INT(registry_open(&scene.registry, scene.rig->loop, scene.rig->store), 0);
    return scene;
}

static void scene_done(struct scene *scene)
{
    store_quiesce(scene->rig->store);
    scene->registry = registry_close(scene->registry);
    scene->rig = rig_free(scene->rig);
}

#define ADD_THING(scene, name)                                                                               \
    CHECK_INT(registry_thing_create((scene)->registry, (name), NULL, NULL, 0, NULL), 0)
static void add_certificate(struct scene *scene, const char *id)
{
    const struct registry_certificate certificate = {
        .der = (const uint8_t *)"der", .der_len = 3, .id = id, .subject = "CN = press"};
    CHECK_INT(registry_certificate_register(scene->registry, &certificate, REGISTRY_ACTIVE, NULL), 0);
}

#define ADD_POLICY(scene, name, text)                                                                        \
    CHECK_INT(registry_policy_create((scene)->registry, (name), (text), strlen(text), NULL), 0)

TEST(a_thing_has_what_it_was_created_with_and_is_created_again_without_a_fault)
{
    struct scene scene = scene_new(NULL);
    struct registry_attribute hall[] = {{"hall", "7"}, {"a", "1"}};
    CHECK_INT(registry_thing_create(scene.registry, "press-07", NULL, hall, 2, NULL), 0);
    const struct registry_thing *thing = registry_thing(scene.registry, "press-07");
    CHECK_INT((int64_t)thing->version, 1);
    CHECK_INT((int64_t)strlen(thing->id), 36);
    CHECK_STR(registry_attribute(&thing->attributes, "hall"), "7");
    CHECK(!registry_attribute(&thing->attributes, "b"));
    CHECK_INT(registry_thing_create(scene.registry, "press-07", NULL, hall, 2, NULL), 0);
    CHECK_INT(registry_thing_create(scene.registry, "press-07", NULL, hall, 1, NULL), REGISTRY_EXISTS);
    CHECK_INT(registry_thing_create(scene.registry, "press/07", NULL, NULL, 0, NULL), REGISTRY_INVALID);
    CHECK_INT(registry_thing_create(scene.registry, "p", "pump", NULL, 0, NULL), REGISTRY_NOT_FOUND);
    CHECK(strstr(registry_why(scene.registry), "pump"));
    struct registry_attribute blank[] = {{"hall", "7 8"}};
    CHECK_INT(registry_thing_create(scene.registry, "p", NULL, blank, 1, NULL), REGISTRY_INVALID);
    struct registry_attribute four[] = {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}};
    CHECK_INT(registry_thing_create(scene.registry, "p", NULL, four, 4, NULL), REGISTRY_INVALID);
    scene_done(&scene);
}

TEST(attributes_are_merged_or_replaced_and_versions_are_compared)
{
    struct scene scene = scene_new(NULL);
    struct registry_attribute two[] = {{"a", "1"}, {"b", "2"}}, change[] = {{"b", ""}, {"c", "3"}};
    CHECK_INT(registry_thing_create(scene.registry, "t", NULL, two, 2, NULL), 0);
    struct registry_thing_update update = {
        .attributes = change, .count = 2, .merge = true, .expected_version = 2};
    CHECK_INT(registry_thing_update(scene.registry, "t", &update, NULL), REGISTRY_VERSION);
    update.expected_version = 1;
    CHECK_INT(registry_thing_update(scene.registry, "t", &update, NULL), 0);
    const struct registry_attributes *has = &registry_thing(scene.registry, "t")->attributes;
    CHECK_INT((int64_t)has->count, 2);
    CHECK_STR(registry_attribute(has, "a"), "1");
    CHECK_STR(registry_attribute(has, "c"), "3");
    update = (struct registry_thing_update){.attributes = two, .count = 1};
    CHECK_INT(registry_thing_update(scene.registry, "t", &update, NULL), 0);
    CHECK_INT((int64_t)has->count, 1);
    CHECK_INT((int64_t)registry_thing(scene.registry, "t")->version, 3);
    scene_done(&scene);
}

TEST(a_type_is_for_new_things_until_it_is_deprecated_and_goes_when_no_thing_has_it)
{
    struct scene scene = scene_new(NULL);
    CHECK_INT(registry_type_create(scene.registry, "pump", "turns", NULL, 0, NULL), 0);
    CHECK_INT(registry_thing_create(scene.registry, "p1", "pump", NULL, 0, NULL), 0);
    CHECK_INT(registry_type_delete(scene.registry, "pump", NULL), REGISTRY_INVALID);
    CHECK_INT(registry_type_deprecate(scene.registry, "pump", true, NULL), 0);
    CHECK_INT(registry_thing_create(scene.registry, "p2", "pump", NULL, 0, NULL), REGISTRY_INVALID);
    CHECK_INT(registry_type_delete(scene.registry, "pump", NULL), REGISTRY_IN_USE);
    CHECK_INT(registry_thing_update(scene.registry, "p1",
                                    &(struct registry_thing_update){.remove_type = true}, NULL),
              0);
    CHECK_INT(registry_type_delete(scene.registry, "pump", NULL), 0);
    scene_done(&scene);
}

TEST(a_thing_is_in_one_group_of_a_hierarchy)
{
    struct scene scene = scene_new(NULL);
    ADD_THING(&scene, "t");
    CHECK_INT(registry_group_create(scene.registry, "site", NULL, NULL, NULL, NULL, 0, NULL), 0);
    CHECK_INT(registry_group_create(scene.registry, "hall", "site", NULL, NULL, NULL, 0, NULL), 0);
    CHECK_INT(registry_group_create(scene.registry, "night", NULL, NULL, NULL, NULL, 0, NULL), 0);
    CHECK_INT(registry_group_create(scene.registry, "bad", "nowhere", NULL, NULL, NULL, 0, NULL),
              REGISTRY_NOT_FOUND);
    CHECK_INT(registry_group_add(scene.registry, "hall", "t", NULL), 0);
    CHECK_INT(registry_group_add(scene.registry, "hall", "t", NULL), 0);
    CHECK_INT(registry_group_add(scene.registry, "site", "t", NULL), REGISTRY_INVALID);
    CHECK_INT(registry_group_add(scene.registry, "night", "t", NULL), 0);
    CHECK_INT(registry_group_delete(scene.registry, "site", 0, NULL), REGISTRY_INVALID);
    CHECK_INT(registry_group_delete(scene.registry, "hall", 0, NULL), 0);
    CHECK_INT((int64_t)registry_thing(scene.registry, "t")->group_count, 1);
    CHECK_INT(registry_group_delete(scene.registry, "site", 0, NULL), 0);
    CHECK_INT(registry_group_create(scene.registry, "q", NULL, "thingName:(", NULL, NULL, 0, NULL),
              REGISTRY_INVALID);
    CHECK_INT(registry_group_create(scene.registry, "q", NULL, "thingName:t*", NULL, NULL, 0, NULL), 0);
    CHECK_INT(registry_group_add(scene.registry, "q", "t", NULL), REGISTRY_INVALID);
    scene_done(&scene);
}

TEST(the_thing_of_a_connection_has_its_client_id_or_is_the_only_one)
{
    struct scene scene = scene_new(NULL);
    ADD_THING(&scene, "t1");
    ADD_THING(&scene, "t2");
    add_certificate(&scene, ID_A);
    add_certificate(&scene, ID_B);
    CHECK_INT(registry_attach_thing(scene.registry, ID_A, "t1", false, NULL), 0);
    CHECK_INT(registry_attach_thing(scene.registry, ID_A, "t2", true, NULL), REGISTRY_INVALID);
    CHECK_INT(registry_attach_thing(scene.registry, ID_B, "t2", true, NULL), 0);
    CHECK_INT(registry_attach_thing(scene.registry, ID_B, "t1", false, NULL), REGISTRY_INVALID);
    const struct registry_principal *a = registry_principal(scene.registry, ID_A);
    const struct registry_principal *b = registry_principal(scene.registry, ID_B);
    CHECK_STR(registry_thing_of(a, "t1", 2)->key.text, "t1");
    CHECK(!registry_thing_of(a, "t2", 2));
    CHECK_STR(registry_thing_of(b, "whoever", 7)->key.text, "t2");
    CHECK_INT(registry_thing_delete(scene.registry, "t1", 0, NULL), REGISTRY_IN_USE);
    CHECK_INT(registry_detach_thing(scene.registry, ID_A, "t1", NULL), 0);
    CHECK_INT(registry_thing_delete(scene.registry, "t1", 0, NULL), 0);
    scene_done(&scene);
}

TEST(policies_hold_for_a_principal_and_for_the_groups_of_its_thing)
{
    struct scene scene = scene_new(NULL);
    struct policy *found[REGISTRY_EFFECTIVE_MAX];
    ADD_THING(&scene, "t");
    add_certificate(&scene, ID_A);
    ADD_POLICY(&scene, "any", ANY);
    ADD_POLICY(&scene, "none", NONE);
    CHECK_INT(registry_group_create(scene.registry, "site", NULL, NULL, NULL, NULL, 0, NULL), 0);
    CHECK_INT(registry_group_create(scene.registry, "hall", "site", NULL, NULL, NULL, 0, NULL), 0);
    CHECK_INT(registry_group_add(scene.registry, "hall", "t", NULL), 0);
    CHECK_INT(registry_attach_thing(scene.registry, ID_A, "t", false, NULL), 0);
    CHECK_INT(
        registry_attach_policy(scene.registry, "any", "arn:aws:iot:local:000000000000:cert/" ID_A, NULL), 0);
    CHECK_INT(registry_attach_policy(scene.registry, "any", ID_A, NULL), 0);
    CHECK_INT(registry_attach_policy(scene.registry, "none", "thinggroup/site", NULL), 0);
    const struct registry_principal *a = registry_principal(scene.registry, ID_A);
    CHECK_INT((int64_t)registry_effective(a, NULL, found), 1);
    CHECK_INT((int64_t)registry_effective(a, registry_thing_of(a, "t", 1), found), 2);
    CHECK_INT(registry_policy_delete(scene.registry, "none", NULL), REGISTRY_IN_USE);
    CHECK_INT(registry_detach_policy(scene.registry, "none", "thinggroup/site", NULL), 0);
    CHECK_INT(registry_detach_policy(scene.registry, "none", "thinggroup/site", NULL), REGISTRY_NOT_FOUND);
    CHECK_INT((int64_t)registry_effective(a, registry_thing_of(a, "t", 1), found), 1);
    scene_done(&scene);
}

TEST(only_the_default_version_of_a_policy_counts)
{
    struct scene scene = scene_new(NULL);
    uint32_t number;
    ADD_POLICY(&scene, "p", ANY);
    const struct registry_policy *policy = registry_policy(scene.registry, "p");
    const struct policy *first = policy->compiled;
    CHECK_INT(registry_policy_add_version(scene.registry, "p", NONE, strlen(NONE), false, &number, NULL), 0);
    CHECK_INT(number, 2);
    CHECK(policy->compiled == first);
    uint64_t generation = registry_generation(scene.registry);
    CHECK_INT(registry_policy_set_default(scene.registry, "p", 2, NULL), 0);
    CHECK(registry_generation(scene.registry) != generation);
    CHECK(policy->compiled->statements[0].deny);
    CHECK_INT(registry_policy_delete_version(scene.registry, "p", 2, NULL), REGISTRY_IN_USE);
    for (int i = 3; i <= 5; i++)
        CHECK_INT(registry_policy_add_version(scene.registry, "p", ANY, strlen(ANY), false, NULL, NULL), 0);
    CHECK_INT(registry_policy_add_version(scene.registry, "p", ANY, strlen(ANY), false, NULL, NULL),
              REGISTRY_VERSIONS_LIMIT);
    CHECK_INT(registry_policy_delete_version(scene.registry, "p", 1, NULL), 0);
    CHECK_INT(registry_policy_add_version(scene.registry, "p", "{}", 2, false, NULL, NULL),
              REGISTRY_MALFORMED);
    CHECK_INT(registry_policy_delete(scene.registry, "p", NULL), REGISTRY_IN_USE);
    scene_done(&scene);
}

TEST(a_certificate_is_deleted_when_it_is_not_active_and_not_attached)
{
    struct scene scene = scene_new(NULL);
    add_certificate(&scene, ID_A);
    ADD_POLICY(&scene, "any", ANY);
    CHECK_INT(registry_attach_policy(scene.registry, "any", ID_A, NULL), 0);
    CHECK_INT(registry_principal_delete(scene.registry, ID_A, false, NULL), REGISTRY_STATE);
    CHECK_INT(registry_principal_set_status(scene.registry, ID_A, REGISTRY_PENDING_ACTIVATION, NULL),
              REGISTRY_INVALID);
    CHECK_INT(registry_principal_set_status(scene.registry, ID_A, REGISTRY_REVOKED, NULL), 0);
    CHECK_INT(registry_principal_delete(scene.registry, ID_A, false, NULL), REGISTRY_IN_USE);
    CHECK_INT(registry_principal_delete(scene.registry, ID_A, true, NULL), 0);
    CHECK_INT(registry_policy_delete(scene.registry, "any", NULL), 0);
    scene_done(&scene);
}

static size_t revoked_of(struct scene *scene, const char *ca, struct registry_revoked *ret)
{
    struct registry_revoked room[10];
    size_t count = registry_revoked(scene->registry, ca, room, array_size(room));
    *ret = room[0];
    return count;
}

TEST(what_was_revoked_is_listed_when_it_is_deleted_until_it_would_have_ended)
{
    cleanup(folder_free_p) char *folder = folder_new();
    cleanup_free char *db = str_printf("%s/state.db", folder);
    struct scene scene = scene_new(db);
    int64_t now_s = registry_now(scene.registry) / 1000;
    const struct registry_certificate certificate = {.der = (const uint8_t *)"der",
                                                     .der_len = 3,
                                                     .id = ID_A,
                                                     .ca = ID_B,
                                                     .serial = "0A17",
                                                     .not_after_s = now_s + 100};
    struct registry_revoked found;
    CHECK_INT(registry_certificate_register(scene.registry, &certificate, REGISTRY_ACTIVE, NULL), 0);
    add_certificate(&scene, ID_C); /* nobody here has signed it */
    CHECK_INT((int64_t)revoked_of(&scene, ID_B, &found), 0);
    CHECK_INT(registry_principal_set_status(scene.registry, ID_A, REGISTRY_REVOKED, NULL), 0);
    CHECK_INT(registry_principal_set_status(scene.registry, ID_C, REGISTRY_REVOKED, NULL), 0);
    CHECK_INT((int64_t)revoked_of(&scene, ID_B, &found), 1);
    CHECK_INT(registry_principal_delete(scene.registry, ID_A, false, NULL), 0);
    CHECK_INT(registry_principal_delete(scene.registry, ID_C, false, NULL), 0);
    CHECK_INT((int64_t)revoked_of(&scene, ID_A, &found), 0); /* another authority's list */
    rig_turn(scene.rig);
    scene_done(&scene);

    scene = scene_new(db);
    CHECK_INT((int64_t)revoked_of(&scene, ID_B, &found), 1);
    CHECK_STR(found.serial, "0A17");
    CHECK_STR(found.key.text, ID_A);
    scene.rig->clock.wall += 101 * 1000;
    CHECK_INT((int64_t)revoked_of(&scene, ID_B, &found), 0);
    scene.rig->clock.wall -= 101 * 1000;
    CHECK_INT((int64_t)revoked_of(&scene, ID_B, &found), 1);

    CHECK_INT(registry_certificate_register(scene.registry, &certificate, REGISTRY_ACTIVE, NULL), 0);
    CHECK(registry_principal(scene.registry, ID_A)->was_revoked);
    CHECK_INT((int64_t)revoked_of(&scene, ID_B, &found), 0);
    rig_turn(scene.rig);
    scene_done(&scene);
    scene = scene_new(db);
    CHECK_INT((int64_t)revoked_of(&scene, ID_B, &found), 0);
    CHECK(!registry_principal(scene.registry, ID_A)->was_revoked);
    CHECK_INT(registry_principal_set_status(scene.registry, ID_A, REGISTRY_INACTIVE, NULL), 0);
    CHECK_INT(registry_principal_delete(scene.registry, ID_A, false, NULL), 0); /* not revoked, not listed */
    CHECK_INT((int64_t)revoked_of(&scene, ID_B, &found), 0);
    scene_done(&scene);
}

TEST(what_was_revoked_is_forgotten_a_month_after_it_would_have_ended)
{
    cleanup(folder_free_p) char *folder = folder_new();
    cleanup_free char *db = str_printf("%s/state.db", folder);
    struct scene scene = scene_new(db);
    struct registry_certificate certificate = {.der = (const uint8_t *)"der",
                                               .der_len = 3,
                                               .id = ID_A,
                                               .ca = ID_B,
                                               .serial = "0A17",
                                               .not_after_s = registry_now(scene.registry) / 1000 + 100};
    CHECK_INT(registry_certificate_register(scene.registry, &certificate, REGISTRY_ACTIVE, NULL), 0);
    certificate.id = ID_C;
    certificate.not_after_s += 86400;
    CHECK_INT(registry_certificate_register(scene.registry, &certificate, REGISTRY_ACTIVE, NULL), 0);
    static const char *const ids[] = {ID_A, ID_C};
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(registry_principal_set_status(scene.registry, ids[i], REGISTRY_REVOKED, NULL), 0);
        CHECK_INT(registry_principal_delete(scene.registry, ids[i], false, NULL), 0);
    }
    scene.rig->clock.wall += INT64_C(30) * 86400 * 1000;
    registry_forget_expired(scene.registry);
    CHECK(registry_was_revoked(scene.registry, ID_A));
    scene.rig->clock.wall += 101 * 1000;
    registry_forget_expired(scene.registry);
    CHECK(!registry_was_revoked(scene.registry, ID_A));
    CHECK(registry_was_revoked(scene.registry, ID_C));
    rig_turn(scene.rig);
    scene_done(&scene);
    scene = scene_new(db);
    CHECK(!registry_was_revoked(scene.registry, ID_A));
    CHECK(registry_was_revoked(scene.registry, ID_C));
    scene_done(&scene);
}

/* ---- groups by query ---------------------------------------------------------------------------------------------------- */

struct found {
    struct registry_watcher watcher;
    char text[256]; /* "+press:pump-1 -idle:pump-1 " */
};

static void on_found(struct registry_watcher *watcher, const struct registry_change *change)
{
    struct found *found = container_of(watcher, struct found, watcher);
    size_t len = strlen(found->text);
    if (change->is_found)
        (void)snprintf(found->text + len, sizeof found->text - len, "%c%s:%s ",
                       change->event == REGISTRY_ATTACHED ? '+' : '-', change->name, change->other);
}

/* What was told since the last time. */
#define CHECK_FOUND(found, expected)                                                                         \
    do {                                                                                                     \
        CHECK_STR((found)->text, expected);                                                                  \
        (found)->text[0] = '\0';                                                                             \
    } while (0)

static int make_query_group(struct scene *scene, const char *name, const char *query)
{
    return registry_group_create(scene->registry, name, NULL, query, NULL, NULL, 0, NULL);
}

TEST(who_comes_into_a_group_by_query_and_who_leaves_it_is_told)
{
    cleanup(folder_free_p) char *folder = folder_new();
    cleanup_free char *db = str_printf("%s/state.db", folder);
    struct scene scene = scene_new(db);
    struct registry_attribute hall = {"hall", "7"};
    struct registry_thing_update update = {.attributes = &hall, .count = 1};
    CHECK_INT(registry_thing_create(scene.registry, "pump-1", NULL, &hall, 1, NULL), 0);
    rig_turn(scene.rig);
    scene_done(&scene);

    scene = scene_new(db);
    struct found found = {.watcher.changed = on_found};
    registry_watch(scene.registry, &found.watcher);
    CHECK_INT(make_query_group(&scene, "seven", "attributes.hall:7"), 0);
    CHECK_FOUND(&found, "+seven:pump-1 ");
    CHECK_INT(make_query_group(&scene, "away", "connectivity.connected:false AND thingGroupNames:line"), 0);
    CHECK_INT(registry_thing_create(scene.registry, "pump-2", NULL, NULL, 0, NULL), 0);
    CHECK_FOUND(&found, "");
    CHECK_INT(registry_thing_update(scene.registry, "pump-2", &update, NULL), 0);
    CHECK_FOUND(&found, "+seven:pump-2 ");
    hall.value = "8";
    CHECK_INT(registry_thing_update(scene.registry, "pump-1", &update, NULL), 0);
    CHECK_FOUND(&found, "-seven:pump-1 ");
    CHECK_INT(registry_thing_update(scene.registry, "pump-1", &update, NULL), 0);
    CHECK_FOUND(&found, "");
    CHECK_INT(registry_group_create(scene.registry, "line", NULL, NULL, NULL, NULL, 0, NULL), 0);
    CHECK_INT(registry_group_add(scene.registry, "line", "pump-1", NULL), 0);
    CHECK_FOUND(&found, "+away:pump-1 ");
    registry_thing_connected(scene.registry, "pump-1", true, NULL);
    CHECK_FOUND(&found, "-away:pump-1 ");
    registry_thing_connected(scene.registry, "pump-1", false, "CONNECTION_LOST");
    CHECK_FOUND(&found, "+away:pump-1 ");
    CHECK_INT(registry_group_delete(scene.registry, "line", 0, NULL), 0);
    CHECK_FOUND(&found, "-away:pump-1 ");
    CHECK_INT(registry_thing_delete(scene.registry, "pump-2", 0, NULL), 0);
    CHECK_FOUND(&found, "-seven:pump-2 ");
    CHECK_INT(registry_group_delete(scene.registry, "seven", 0, NULL), 0);
    CHECK_FOUND(&found, "");
    registry_unwatch(&found.watcher);
    scene_done(&scene);
}

TEST(there_are_at_most_a_hundred_groups_by_query)
{
    struct scene scene = scene_new(NULL);
    for (int i = 0; i < 101; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "g%d", i);
        CHECK_INT(make_query_group(&scene, name, "attributes.hall:7"), i < 100 ? 0 : REGISTRY_LIMIT);
    }
    CHECK_INT(registry_group_delete(scene.registry, "g7", 0, NULL), 0);
    CHECK_INT(make_query_group(&scene, "again", "attributes.hall:7"), 0);
    scene_done(&scene);
}

/* ---- on disk ------------------------------------------------------------------------------------------------------------ */

struct told {
    struct receipt receipt;
    int r;
};

static void on_told(struct receipt *receipt, int r)
{
    container_of(receipt, struct told, receipt)->r = r;
}

static struct registry_by told_init(struct told *told)
{
    receipt_init(&told->receipt, on_told);
    told->r = RIG_UNSETTLED;
    return (struct registry_by){.who = "test", .receipt = &told->receipt};
}

TEST(everything_is_there_after_a_restart)
{
    cleanup(folder_free_p) char *folder = folder_new();
    cleanup_free char *db = str_printf("%s/state.db", folder);
    struct scene scene = scene_new(db);
    struct registry_attribute hall[] = {{"hall", "7"}};
    const char *searchable[] = {"hall"};
    CHECK_INT(registry_type_create(scene.registry, "press", "it presses", searchable, 1, NULL), 0);
    CHECK_INT(registry_thing_create(scene.registry, "t", "press", hall, 1, NULL), 0);
    cleanup_free char *id = str_copy(registry_thing(scene.registry, "t")->id);
    CHECK_INT(registry_group_create(scene.registry, "z-site", NULL, NULL, "d", hall, 1, NULL), 0);
    CHECK_INT(registry_group_create(scene.registry, "hall", "z-site", NULL, NULL, NULL, 0, NULL), 0);
    CHECK_INT(registry_group_add(scene.registry, "hall", "t", NULL), 0);
    add_certificate(&scene, ID_A);
    CHECK_INT(registry_attach_thing(scene.registry, ID_A, "t", true, NULL), 0);
    CHECK_INT(registry_key_put(scene.registry, "4711", (const uint8_t *)"\0\1\2", 3, NULL), 0);
    ADD_POLICY(&scene, "any", ANY);
    CHECK_INT(registry_policy_add_version(scene.registry, "any", NONE, strlen(NONE), true, NULL, NULL), 0);
    CHECK_INT(registry_attach_policy(scene.registry, "any", ID_A, NULL), 0);
    CHECK_INT(registry_attach_policy(scene.registry, "any", "thinggroup/z-site", NULL), 0);
    CHECK_INT(registry_ca_register(
                  scene.registry,
                  &(struct registry_certificate){.der = (const uint8_t *)"ca", .der_len = 2, .id = ID_B},
                  true, true, "press", NULL, NULL),
              0);
    struct told told;
    struct registry_by by = told_init(&told);
    CHECK_INT(registry_principal_set_status(scene.registry, ID_A, REGISTRY_INACTIVE, &by), 0);
    CHECK_INT(told.r, RIG_UNSETTLED);
    rig_turn(scene.rig);
    CHECK_INT(told.r, 0);
    scene_done(&scene);

    scene = scene_new(db);
    const struct registry_thing *thing = registry_thing(scene.registry, "t");
    CHECK_STR(thing->id, id);
    CHECK_STR(thing->type->key.text, "press");
    CHECK_STR(thing->type->searchable[0], "hall");
    CHECK_STR(registry_attribute(&thing->attributes, "hall"), "7");
    CHECK_STR(thing->groups[0]->parent->key.text, "z-site");
    CHECK_INT((int64_t)thing->groups[0]->parent->children, 1);
    const struct registry_principal *a = registry_principal(scene.registry, ID_A);
    CHECK_INT(a->status, REGISTRY_INACTIVE);
    CHECK(a->things[0].exclusive);
    CHECK_STR(a->subject, "CN = press");
    CHECK_STR(a->policies[0]->key.text, "any");
    CHECK_INT((int64_t)a->policies[0]->targets, 2);
    CHECK(a->policies[0]->compiled->statements[0].deny);
    const struct registry_principal *key = registry_principal(scene.registry, "psk:4711");
    CHECK_MEM(key->secret, key->secret_len, "\0\1\2", 3);
    CHECK_STR(registry_ca(scene.registry, ID_B)->template_name, "press");
    CHECK_INT(registry_thing_delete(scene.registry, "t", 0, NULL), REGISTRY_IN_USE);
    scene_done(&scene);
}

TEST(what_cannot_be_written_is_taken_back_and_said)
{
    struct scene scene = scene_new(NULL);
    ADD_THING(&scene, "before");
    rig_turn(scene.rig);
    struct told told;
    struct registry_by by = told_init(&told);
    store_fail_next_commit(scene.rig->store, -ENOSPC);
    CHECK_INT(registry_thing_create(scene.registry, "lost", NULL, NULL, 0, &by), 0);
    CHECK(loop_turn(scene.rig->loop, 0) >= 0);
    CHECK(loop_turn(scene.rig->loop, 0) >= 0);
    CHECK_INT(told.r, -ENOSPC);
    CHECK_INT(registry_thing_create(scene.registry, "now", NULL, NULL, 0, NULL), REGISTRY_BUSY);
    rig_turn(scene.rig);
    CHECK(!registry_thing(scene.registry, "lost"));
    CHECK(registry_thing(scene.registry, "before"));
    ADD_THING(&scene, "lost");
    scene_done(&scene);
}

/* ---- a certificate's bytes, and who hears of changes ----------------------------------------------------------------------- */

struct asked {
    struct registry_der request;
    int r;
    uint8_t *der;
    size_t len;
};

static void on_der(struct registry_der *request, int r, uint8_t *der, size_t len)
{
    struct asked *asked = container_of(request, struct asked, request);
    asked->r = r;
    asked->der = der;
    asked->len = len;
}

TEST(the_bytes_of_a_certificate_are_on_disk)
{
    struct scene scene = scene_new(NULL);
    add_certificate(&scene, ID_A);
    struct asked a = {.request.done = on_der}, b = {.request.done = on_der};
    registry_certificate_der(scene.registry, ID_A, &a.request);
    registry_certificate_der(scene.registry, ID_B, &b.request);
    rig_turn(scene.rig);
    CHECK_MEM(a.der, a.len, "der", 3);
    CHECK_INT(b.r, REGISTRY_NOT_FOUND);
    free(a.der);
    scene_done(&scene);
}

struct heard {
    struct registry_watcher watcher;
    char text[400];
};

static void on_changed(struct registry_watcher *watcher, const struct registry_change *change)
{
    struct heard *heard = container_of(watcher, struct heard, watcher);
    size_t len = strlen(heard->text);
    (void)snprintf(heard->text + len, sizeof heard->text - len, "%d%d %.8s %.8s;", (int)change->kind,
                   (int)change->event, change->name, change->other ? change->other : "");
}

TEST(changes_are_told_to_who_watches)
{
    struct scene scene = scene_new(NULL);
    struct heard heard = {.watcher.changed = on_changed};
    registry_watch(scene.registry, &heard.watcher);
    ADD_THING(&scene, "t");
    add_certificate(&scene, ID_A);
    CHECK_INT(registry_attach_thing(scene.registry, ID_A, "t", false, NULL), 0);
    CHECK_INT(registry_attach_thing(scene.registry, ID_A, "t", false, NULL), 0); /* no change */
    CHECK_INT(registry_principal_set_status(scene.registry, ID_A, REGISTRY_REVOKED, NULL), 0);
    registry_unwatch(&heard.watcher);
    ADD_THING(&scene, "silent");
    CHECK_STR(heard.text, "00 t ;30 aaaaaaaa ;33 aaaaaaaa t;31 aaaaaaaa ;");
    scene_done(&scene);
}
