/* The service between two houses. */
#include "services/shadowsync/sync_rig.h"

#include <errno.h>

/* ---- both ways --------------------------------------------------------------------------------------------------- */

TEST(what_is_here_goes_to_the_cloud_and_what_is_there_comes)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("pump", NULL);
    update_here(rig, "pump", "{'reported':{'rpm':900}}");
    update_there(rig, "pump", "{'desired':{'rpm':1000}}");
    sync_rig_connect(rig);
    sync_rig_turn(rig);
    CHECK_STATE(rig->here, "pump", "{'desired':{'rpm':1000},'reported':{'rpm':900}}");
    CHECK_STATE(rig->there, "pump", "{'desired':{'rpm':1000},'reported':{'rpm':900}}");
    CHECK_MESSAGE(rig->here, "$aws/things/pump/shadow/update/delta", "\"state\":{\"rpm\":1000}");
}

TEST(changes_follow_at_once_in_both_directions)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("pump", NULL);
    sync_rig_connect(rig);
    sync_rig_turn(rig);
    update_here(rig, "pump", "{'reported':{'a':1,'o':{'x':1,'y':2}}}");
    sync_rig_turn(rig);
    CHECK_STATE(rig->there, "pump", "{'reported':{'a':1,'o':{'x':1,'y':2}}}");
    update_there(rig, "pump", "{'desired':{'l':[1,2]},'reported':{'o':{'x':null}}}");
    sync_rig_turn(rig);
    CHECK_STATE(rig->here, "pump", "{'desired':{'l':[1,2]},'reported':{'a':1,'o':{'y':2}}}");
    update_here(rig, "pump", "{'desired':null}");
    sync_rig_turn(rig);
    CHECK_STATE(rig->there, "pump", "{'reported':{'a':1,'o':{'y':2}}}");
}

TEST(a_change_here_costs_one_message_and_its_echo_none)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("pump", NULL);
    sync_rig_connect(rig);
    update_here(rig, "pump", "{'reported':{'a':1}}");
    sync_rig_turn(rig);
    uint64_t before = rig->sent_count;
    for (int i = 0; i < 10; i++) {
        cleanup_free char *state = str_printf("{'reported':{'a':%d}}", i + 2);
        update_here(rig, "pump", state);
        sync_rig_turn(rig);
    }
    CHECK_INT((int64_t)(rig->sent_count - before), 10);
    CHECK_STATE(rig->there, "pump", "{'reported':{'a':11}}");
    before = rig->sent_count;
    update_there(rig, "pump", "{'desired':{'b':1}}"); /* a get, and no word after it */
    sync_rig_turn(rig);
    CHECK_INT((int64_t)(rig->sent_count - before), 1);
}

TEST(updates_name_the_version_they_expect_and_only_what_changes)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("pump", NULL);
    sync_rig_connect(rig);
    update_here(rig, "pump", "{'reported':{'a':1,'b':1}}");
    sync_rig_turn(rig);
    CHECK_MESSAGE(
        rig->there, "$aws/things/pump/shadow/update",
        "{\"state\":{\"reported\":{\"a\":1,\"b\":1}},\"version\":0,\"clientToken\":\"gatehouse-sync-");
    update_here(rig, "pump", "{'reported':{'b':2}}");
    sync_rig_turn(rig);
    CHECK_MESSAGE(rig->there, "$aws/things/pump/shadow/update",
                  "{\"state\":{\"reported\":{\"b\":2}},\"version\":1,");
}

TEST(a_pattern_is_met_when_its_shadows_change)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("+/cfg lamp", NULL);
    sync_rig_connect(rig);
    sync_rig_turn(rig);
    update_here(rig, "a/cfg", "{'reported':{'v':1}}");
    update_there(rig, "b/cfg", "{'desired':{'v':2}}");
    update_here(rig, "lamp", "{'reported':{'on':true}}");
    update_here(rig, "a", "{'reported':{'v':3}}");
    update_there(rig, "b/other", "{'desired':{'v':4}}");
    sync_rig_turn(rig);
    CHECK_STATE(rig->there, "a/cfg", "{'reported':{'v':1}}");
    CHECK_STATE(rig->here, "b/cfg", "{'desired':{'v':2}}");
    CHECK_STATE(rig->there, "lamp", "{'reported':{'on':true}}");
    CHECK_STATE(rig->there, "a", "nothing");
    CHECK_STATE(rig->here, "b/other", "nothing");
    CHECK_INT(sync_number(rig, "shadows"), 3);
}

TEST(a_shadow_that_was_met_is_compared_after_a_restart_without_having_changed)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("+", NULL);
    sync_rig_connect(rig);
    update_here(rig, "a", "{'reported':{'v':1}}");
    sync_rig_turn(rig);
    sync_rig_cut(rig);
    update_there(rig, "a", "{'desired':{'v':2}}");
    sync_rig_turn(rig);
    sync_rig_restart(rig);
    sync_rig_connect(rig);
    sync_rig_turn(rig);
    CHECK_STATE(rig->here, "a", "{'desired':{'v':2},'reported':{'v':1}}");
}

TEST(what_both_sides_did_while_the_link_was_cut_is_decided_by_the_policy)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig =
        sync_rig_for("p", "reported.total: max reported.tags: union reported.mode: newest");
    sync_rig_connect(rig);
    update_here(rig, "p",
                "{'desired':{'s':1},'reported':{'r':1,'total':1,'tags':['a'],'mode':'x','gone':1}}");
    sync_rig_turn(rig);
    sync_rig_cut(rig);
    update_here(rig, "p",
                "{'desired':{'s':2},'reported':{'r':2,'total':7,'tags':['a','h'],'mode':'old','gone':null}}");
    sync_rig_wait(rig, 5000);
    update_there(rig, "p", "{'desired':{'s':3},'reported':{'r':3,'total':5,'tags':['t'],'mode':'new'}}");
    sync_rig_wait(rig, 5000);
    sync_rig_connect(rig);
    sync_rig_turn(rig);
    static const char merged[] =
        "{'desired':{'s':3},'reported':{'r':2,'total':7,'tags':['h','t'],'mode':'new'}}";
    CHECK_STATE(rig->here, "p", merged);
    CHECK_STATE(rig->there, "p", merged);
    CHECK_INT(sync_number(rig, "conflicts"), 5);
    CHECK_INT(sync_number(rig, "behind"), 0);
    const char *told = rig_request(rig->here, "$gatehouse/ctl/sync/explain", "{\"thing\":\"p\"}");
    CHECK(strstr(told, "{\"path\":\"reported.total\",\"from\":\"local\",\"why\":\"rule\",\"rule\":\"max\"}"));
    CHECK(strstr(told,
                 "{\"path\":\"reported.gone\",\"from\":\"local\",\"why\":\"only change\",\"rule\":null}"));
    CHECK(strstr(told, "\"state\":\"equal\",\"problem\":null,\"lag\":0,"));
    CHECK(strstr(told, "\"conflicts\":5"));
}

TEST(an_explanation_outlives_a_restart_and_rounds_that_decided_nothing)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", NULL);
    sync_rig_connect(rig);
    update_here(rig, "p", "{'reported':{'r':1}}");
    sync_rig_turn(rig);
    sync_rig_restart(rig);
    sync_rig_wait(rig, 3600 * 1000);
    const char *told = rig_request(rig->here, "$gatehouse/ctl/sync/explain", "{\"thing\":\"p\"}");
    CHECK(strstr(told, "\"localVersion\":1,\"cloudVersion\":1,\"merged\":17600000"));
    CHECK(strstr(told, "\"merge\":{\"choices\":[{\"path\":\"\",\"from\":\"local\",\"why\":\"only change\""));
    CHECK(strstr(rig_request(rig->here, "$gatehouse/ctl/sync/explain", "{\"thing\":\"q\"}"), "\"code\":404"));
    CHECK(strstr(rig_request(rig->here, "$gatehouse/ctl/sync/explain", "p"), "\"code\":400"));
}

/* ---- differences, not events ------------------------------------------------------------------------------------- */

TEST(a_change_nobody_heard_of_is_found_by_comparing)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", NULL);
    sync_rig_connect(rig);
    update_here(rig, "p", "{'reported':{'r':1}}");
    sync_rig_turn(rig);
    update_there(rig, "p", "{'desired':{'d':1}}");
    rig_turn(rig->there);
    while (rig->down.count) /* lost */
        (void)msg_unref(rig->down.list[--rig->down.count]);
    sync_rig_turn(rig);
    CHECK_STATE(rig->here, "p", "{'reported':{'r':1}}");
    sync_rig_wait(rig, 15 * 60 * 1000 + 1000);
    CHECK_STATE(rig->here, "p", "{'desired':{'d':1},'reported':{'r':1}}");
}

TEST(comparing_what_is_equal_costs_one_message_and_writes_nothing)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", NULL);
    sync_rig_connect(rig);
    update_here(rig, "p", "{'reported':{'r':1}}");
    sync_rig_turn(rig);
    struct store_counters before, after;
    uint64_t sent = rig->sent_count;
    store_counters(rig->here->store, &before);
    sync_rig_wait(rig, 15 * 60 * 1000 + 1000);
    store_counters(rig->here->store, &after);
    CHECK_INT((int64_t)(rig->sent_count - sent), 1);
    CHECK_INT(rig_count(rig->here, "$aws/things/p/shadow/update"), 1);
    CHECK(after.failures == before.failures);
}

TEST(a_message_of_the_cloud_that_a_client_made_up_is_not_believed)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("p", NULL);
    sync_rig_connect(rig);
    update_here(rig, "p", "{'reported':{'r':1}}");
    sync_rig_turn(rig);
    uint64_t sent = rig->sent_count;
    static const char topic[] = "$gatehouse/cloud/cloud/receive/$aws/things/p/shadow/update/accepted",
                      status[] = "$gatehouse/status/cloud/cloud", payload[] = "{\"version\":99}",
                      down[] = "{\"state\":\"down\"}";
    cleanup(msg_unref_p) struct msg *lie = msg_new(topic, strlen(topic), payload, strlen(payload));
    cleanup(msg_unref_p) struct msg *rumour = msg_new(status, strlen(status), down, strlen(down));
    lie->origin = rumour->origin = 5;
    bus_publish(rig->here->bus, lie, NULL);
    bus_publish(rig->here->bus, rumour, NULL);
    sync_rig_turn(rig);
    CHECK_INT((int64_t)(rig->sent_count - sent), 0);
    CHECK(strstr(sync_list(rig), "\"connected\":true"));
    lie->origin = 0;
    bus_publish(rig->here->bus, lie, NULL);
    sync_rig_turn(rig);
    CHECK_INT((int64_t)(rig->sent_count - sent), 1);
}

/* ---- deleting ---------------------------------------------------------------------------------------------------- */

TEST(a_document_deleted_on_one_side_is_deleted_on_the_other)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("+ p/+", NULL);
    sync_rig_connect(rig);
    update_here(rig, "a", "{'reported':{'r':1}}");
    update_here(rig, "p/n", "{'reported':{'r':1}}");
    sync_rig_turn(rig);
    CHECK_INT(sync_number(rig, "shadows"), 2);
    delete_here(rig, "a");
    delete_there(rig, "p/n");
    sync_rig_turn(rig);
    CHECK_STATE(rig->there, "a", "nothing");
    CHECK_STATE(rig->here, "p/n", "nothing");
    CHECK_INT(sync_number(rig, "shadows"), 0);
    update_here(rig, "a", "{'reported':{'r':2}}"); /* and can be made again */
    sync_rig_turn(rig);
    CHECK_STATE(rig->there, "a", "{'reported':{'r':2}}");
}

TEST(a_changed_document_survives_its_deletion_on_the_other_side)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_for("a", NULL);
    sync_rig_connect(rig);
    update_here(rig, "a", "{'reported':{'r':1},'desired':{'d':1}}");
    sync_rig_turn(rig);
    sync_rig_cut(rig);
    delete_here(rig, "a");
    update_there(rig, "a", "{'desired':{'d':2}}");
    sync_rig_turn(rig);
    sync_rig_connect(rig);
    sync_rig_turn(rig);
    CHECK_STATE(rig->here, "a", "{'desired':{'d':2},'reported':{'r':1}}");
    CHECK_STATE(rig->there, "a", "{'desired':{'d':2},'reported':{'r':1}}");
}

/* ---- one way ----------------------------------------------------------------------------------------------------- */

TEST(up_makes_the_clouds_document_ours)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_new(
        &(struct sync_options){.shadow = "+", .direction = SYNC_UP, .rate = 60000, .burst = 10000}, 1);
    sync_rig_connect(rig);
    update_here(rig, "a", "{'reported':{'r':1}}");
    update_there(rig, "only-there", "{'desired':{'d':1}}");
    sync_rig_turn(rig);
    update_there(rig, "a", "{'desired':{'d':1},'reported':{'r':2}}");
    sync_rig_turn(rig);
    CHECK_STATE(rig->here, "a", "{'reported':{'r':1}}");
    CHECK_STATE(rig->there, "a", "{'reported':{'r':1}}");
    CHECK_STATE(rig->there, "only-there", "{'desired':{'d':1}}"); /* we never had one to take its place */
    CHECK_STATE(rig->here, "only-there", "nothing");
    update_here(rig, "only-there", "{'reported':{'r':1}}");
    sync_rig_turn(rig);
    CHECK_STATE(rig->there, "only-there", "{'reported':{'r':1}}");
    delete_here(rig, "a");
    sync_rig_turn(rig);
    CHECK_STATE(rig->there, "a", "nothing");
}

TEST(down_makes_ours_the_clouds_and_a_stubborn_device_is_told_slowly)
{
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_new(
        &(struct sync_options){.shadow = "a", .direction = SYNC_DOWN, .rate = 60, .burst = 5}, 1);
    sync_rig_connect(rig);
    update_there(rig, "a", "{'desired':{'d':1}}");
    sync_rig_turn(rig);
    CHECK_STATE(rig->here, "a", "{'desired':{'d':1}}");
    size_t before = rig_count(rig->here, "$aws/things/a/shadow/update");
    enum { CHANGES = 100 };
    for (int i = 0; i < CHANGES; i++) {
        update_here(rig, "a", "{'desired':{'d':7}}");
        sync_rig_wait(rig, 100);
    }
    size_t ours = rig_count(rig->here, "$aws/things/a/shadow/update") - before - CHANGES;
    CHECK(ours >= 3 && ours <= 5 + 10 + 1);
    sync_rig_wait(rig, 10 * 1000);
    CHECK_STATE(rig->here, "a", "{'desired':{'d':1}}");
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

TEST(a_shadow_belongs_to_the_first_section_that_names_it)
{
    const struct sync_options options[] = {{.name = "one", .shadow = "a", .direction = SYNC_UP},
                                           {.name = "all", .shadow = "+"}};
    cleanup(sync_rig_free_p) struct sync_rig *rig = sync_rig_new(options, 2);
    sync_rig_connect(rig);
    update_here(rig, "a", "{'reported':{'r':1}}");
    update_here(rig, "b", "{'reported':{'r':1}}");
    sync_rig_turn(rig);
    update_there(rig, "a", "{'desired':{'d':1}}");
    update_there(rig, "b", "{'desired':{'d':1}}");
    sync_rig_turn(rig);
    CHECK_STATE(rig->here, "a", "{'reported':{'r':1}}");
    CHECK_STATE(rig->here, "b", "{'desired':{'d':1},'reported':{'r':1}}");
    const char *list = sync_list(rig);
    CHECK(strstr(
        list,
        "{\"name\":\"one\",\"uplink\":\"cloud\",\"shadow\":\"a\",\"direction\":\"up\",\"connected\":true,"
        "\"problem\":null,\"shadows\":1,"));
    CHECK(strstr(
        list,
        "{\"name\":\"all\",\"uplink\":\"cloud\",\"shadow\":\"+\",\"direction\":\"both\",\"connected\":true,"
        "\"problem\":null,\"shadows\":1,"));
}

TEST(wrong_options_are_refused)
{
    static const struct sync_options wrong[] = {
        {.name = "n", .uplink = "u", .shadow = ""},
        {.name = "n", .uplink = "u", .shadow = "a#"},
        {.name = "n", .uplink = "u", .shadow = "a", .policy = "desired"},
        {.name = "n", .uplink = "u", .shadow = "a", .burst = 1},
        {.name = "n", .uplink = "u", .shadow = "a", .rate = -1},
    };
    cleanup(rig_free_p) struct rig *rig = rig_new();
    for (size_t i = 0; i < array_size(wrong); i++) {
        struct shadowsync *sync = NULL;
        CHECK_INT(shadowsync_new(&sync, rig->bus, rig->store, &wrong[i], 1), -EINVAL);
        CHECK(!sync);
    }
}
