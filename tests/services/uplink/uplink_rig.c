#include "services/uplink/uplink_rig.h"

#include <stdio.h>

static void on_heard(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct uplink_rig *rig = container_of(subscriber, struct uplink_rig, listener);
    const char *text = (const char *)msg->payload;
    if (strcmp(msg->topic, "rig/answer") == 0) {
        (void)snprintf(rig->answer, sizeof rig->answer, "%s", text);
        return;
    }
    if (!strstr(msg->topic, "/cloud/cloud"))
        return;
    const char *state = strstr(text, "\"state\":\"") + strlen("\"state\":\"");
    size_t len = strlen(rig->states);
    (void)snprintf(rig->states + len, sizeof rig->states - len, "%.*s ", (int)strcspn(state, "\""), state);
    (void)snprintf(rig->last, sizeof rig->last, "%s", text);
}

static void read_broker(void *self)
{
    struct uplink_rig *rig = self;
    mosquitto_read(&rig->broker);
}

struct uplink_rig *uplink_rig_new(const char *configuration)
{
    struct uplink_rig *rig = mem_new(struct uplink_rig);
    cloud_rig_init(&rig->cloud);
    rig->cloud.each_turn = read_broker;
    rig->cloud.self = rig;
    mosquitto_init(&rig->broker, configuration);
    (void)snprintf(rig->uri, sizeof rig->uri, "mqtt://127.0.0.1:%u", rig->broker.port);
    CHECK_INT(bus_new(&rig->bus, rig->cloud.loop, &(struct bus_options){0}), 0);
    rig->listener.deliver = on_heard;
    bus_subscribe_to(rig->bus, &rig->status, &rig->listener, "$gatehouse/status/#");
    bus_subscribe_to(rig->bus, &rig->answers, &rig->listener, "rig/answer");
    return rig;
}

struct uplink_rig *uplink_rig_free(struct uplink_rig *rig)
{
    if (!rig)
        return NULL;
    uplink_rig_close(rig);
    bus_unsubscribe(rig->bus, &rig->status);
    bus_unsubscribe(rig->bus, &rig->answers);
    rig->bus = bus_free(rig->bus);
    mosquitto_done(&rig->broker);
    cloud_rig_done(&rig->cloud);
    free(rig);
    return NULL;
}

void uplink_rig_open(struct uplink_rig *rig, struct uplink_options options)
{
    options.name = "cloud";
    if (!options.uri)
        options.uri = rig->uri;
    if (!options.client_id)
        options.client_id = "plant-1";
    options.pause_max = 20;
    CHECK_INT(uplinks_new(&rig->uplinks, rig->bus, &options, 1), 0);
}

void uplink_rig_close(struct uplink_rig *rig)
{
    rig->uplinks = uplinks_free(rig->uplinks);
}

/* ---- publishing -------------------------------------------------------------------------------------------------- */

struct letter {
    struct receipt receipt;
    struct uplink_rig *rig;
    unsigned number;
};

static void on_settled(struct receipt *receipt, int r)
{
    struct letter *letter = container_of(receipt, struct letter, receipt);
    letter->rig->settled[letter->number] = r;
    letter->rig->settled_count++;
    free(letter);
}

void uplink_rig_publish(struct uplink_rig *rig, const char *topic, uint8_t qos, bool retain)
{
    CHECK(rig->sent < UPLINK_RIG_MESSAGES);
    struct letter *letter = mem_new(struct letter);
    letter->rig = rig;
    letter->number = rig->sent++;
    rig->settled[letter->number] = UNSETTLED;
    receipt_init(&letter->receipt, on_settled);
    char payload[16];
    int len = snprintf(payload, sizeof payload, "%u", letter->number);
    cleanup_free char *full = str_printf("$gatehouse/cloud/cloud/publish/%s", topic);
    cleanup(msg_unref_p) struct msg *msg = msg_new(full, strlen(full), payload, (size_t)len);
    msg->qos = qos;
    msg->retain = retain;
    bus_publish(rig->bus, msg, &letter->receipt);
}

void uplink_rig_send(struct uplink_rig *rig, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char topic[16];
        (void)snprintf(topic, sizeof topic, "t/%u", rig->sent);
        uplink_rig_publish(rig, topic, 1, false);
    }
}

/* ---- what came of it --------------------------------------------------------------------------------------------- */

bool uplink_rig_is(const struct uplink_rig *rig, const char *state)
{
    cleanup_free char *text = str_printf("\"state\":\"%s\"", state);
    return strstr(rig->last, text) != NULL;
}

unsigned uplink_rig_received(struct uplink_rig *rig, unsigned i)
{
    cleanup_free char *topic = str_printf(", 't/%u', ", i);
    unsigned count = 0;
    for (const char *at = rig->broker.log; at && (at = strstr(at, "Received PUBLISH from plant-1 ")); at++) {
        const char *end = strchrnul(at, '\n');
        const char *found = strstr(at, topic);
        count += found && found < end;
    }
    return count;
}

const char *uplink_rig_ask(struct uplink_rig *rig, const char *topic, const char *payload)
{
    static const char answer_topic[] = "rig/answer";
    const struct msg_props props = {
        (const uint8_t *)answer_topic, strlen(answer_topic), 0, strlen(answer_topic), SIZE_MAX, 0};
    cleanup(msg_unref_p) struct msg *msg =
        msg_new_props(topic, strlen(topic), &props, payload, strlen(payload));
    rig->answer[0] = '\0';
    bus_publish(rig->bus, msg, NULL);
    UNTIL(&rig->cloud, rig->answer[0]);
    return rig->answer;
}
