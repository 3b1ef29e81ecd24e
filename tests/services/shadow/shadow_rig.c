#include "shadow_rig.h"

#include <stdio.h>

struct shadow_rig *shadow_rig_new(const struct shadow_options *options)
{
    struct shadow_rig *rig = mem_new(struct shadow_rig);
    rig->house = rig_new();
    CHECK_INT(shadow_new(&rig->shadow, rig->house->bus, rig->house->store,
                         options ? options : &(struct shadow_options){0}),
              0);
    return rig;
}

struct shadow_rig *shadow_rig_free(struct shadow_rig *rig)
{
    if (!rig)
        return NULL;
    rig->shadow = shadow_free(rig->shadow);
    rig->house = rig_free(rig->house);
    free(rig);
    return NULL;
}

void shadow_rig_restart(struct shadow_rig *rig, const struct shadow_options *options)
{
    rig_turn(rig->house);
    rig->shadow = shadow_free(rig->shadow);
    rig_forget(rig->house);
    CHECK_INT(shadow_new(&rig->shadow, rig->house->bus, rig->house->store,
                         options ? options : &(struct shadow_options){0}),
              0);
}

struct asked {
    struct receipt receipt;
    int *settled;
};

static void on_settled(struct receipt *receipt, int r)
{
    struct asked *asked = container_of(receipt, struct asked, receipt);
    *asked->settled = r;
    free(asked);
}

void ask_as(struct shadow_rig *rig, uint64_t origin, const char *topic, const char *payload, int *settled)
{
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), payload, strlen(payload));
    msg->qos = settled != NULL;
    msg->origin = origin;
    msg->born = loop_now(rig->house->loop);
    if (!settled) {
        bus_publish(rig->house->bus, msg, NULL);
        return;
    }
    struct asked *asked = mem_new(struct asked);
    receipt_init(&asked->receipt, on_settled);
    asked->settled = settled;
    *settled = RIG_UNSETTLED;
    bus_publish(rig->house->bus, msg, &asked->receipt);
}

const char *answer_to(struct shadow_rig *rig, const char *topic, const char *payload)
{
    char accepted[512], rejected[512];
    (void)snprintf(accepted, sizeof accepted, "%s/accepted", topic);
    (void)snprintf(rejected, sizeof rejected, "%s/rejected", topic);
    rig_turn(rig->house);
    rig_forget(rig->house);
    ask(rig, topic, payload);
    rig_turn(rig->house);
    return rig_last(rig->house, rig_count(rig->house, accepted) ? accepted : rejected);
}

struct question {
    const char *sql;
    int64_t number;
};

static int ask_store(struct store_db *db, void *arg)
{
    struct question *question = arg;
    sqlite3_stmt *st = store_statement(db, question->sql);
    int r = store_step(db, st);
    if (r <= 0)
        return r;
    question->number = sqlite3_column_int64(st, 0);
    return 0;
}

int64_t number_in_store(struct shadow_rig *rig, const char *sql)
{
    struct question question = {.sql = sql};
    CHECK_INT(store_run_now(rig->house->store, ask_store, &question), 0);
    return question.number;
}

void change_store(struct shadow_rig *rig, const char *sql)
{
    (void)number_in_store(rig, sql);
}

void check_has(const char *text, const char *part, const char *file, int line)
{
    if (text && strstr(text, part))
        return;
    print_error("%s\n    does not contain %s\n", text ? text : "nothing", part);
    _fail(file, line);
}
