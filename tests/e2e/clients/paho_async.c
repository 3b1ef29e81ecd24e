/* Paho C's asynchronous client, driven from stdin. The library's thread says how things ended; whoever drives waits for
 * that before the next command, so nothing here is shared while it is written. */
#include "driver.h"

#include <MQTTAsync.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 60000, TIMEOUT_S = TIMEOUT_MS / 1000 };

static struct driver_options options;
static MQTTAsync client;
static char client_id[256];

/* ---- what the library says ------------------------------------------------------------------------------------------ */

static void on_lost(void *context, char *cause)
{
    (void)context, (void)cause;
    driver_say("lost");
}

/* A DISCONNECT of the server's: the library does not call it a lost connection. */
static void on_disconnected(void *context, MQTTProperties *properties, enum MQTTReasonCodes reason)
{
    (void)context, (void)properties, (void)reason;
    driver_say("lost");
}

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
    (void)context;
    driver_message(topic, topic_len, message->qos, message->retained, message->payload,
                   (size_t)message->payloadlen);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void on_failure(void *verb, MQTTAsync_failureData *data)
{
    driver_say("failed %s %d", (const char *)verb, data ? data->code : -1);
}

static void on_failure5(void *verb, MQTTAsync_failureData5 *data)
{
    driver_say("failed %s %d", (const char *)verb, data->reasonCode ? (int)data->reasonCode : data->code);
}

static void on_connected(void *verb, MQTTAsync_successData *data)
{
    (void)verb;
    driver_say("connected %d", data->alt.connect.sessionPresent);
}

static void on_connected5(void *verb, MQTTAsync_successData5 *data)
{
    (void)verb;
    driver_say("connected %d", data->alt.connect.sessionPresent);
}

static void on_subscribed(void *verb, MQTTAsync_successData *data)
{
    (void)verb;
    driver_say("subscribed %d", data->alt.qos);
}

static void on_subscribed5(void *verb, MQTTAsync_successData5 *data)
{
    (void)verb;
    driver_say("subscribed %d", (int)data->reasonCode);
}

static void on_done(void *verb, MQTTAsync_successData *data)
{
    (void)data;
    driver_say("%s", (const char *)verb);
}

static void on_done5(void *verb, MQTTAsync_successData5 *data)
{
    (void)data;
    driver_say("%s", (const char *)verb);
}

static MQTTAsync_responseOptions then(const char *verb, MQTTAsync_onSuccess *success,
                                      MQTTAsync_onSuccess5 *success5)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.context = (void *)verb;
    if (options.mqtt5) {
        response.onSuccess5 = success5;
        response.onFailure5 = on_failure5;
    } else {
        response.onSuccess = success;
        response.onFailure = on_failure;
    }
    return response;
}

static void begun(const char *verb, int r)
{
    if (r != MQTTASYNC_SUCCESS)
        driver_say("failed %s %d", verb, r);
}

/* ---- commands ------------------------------------------------------------------------------------------------------- */

/* A client object has its id for life. */
static bool be(const char *id)
{
    if (client && strcmp(id, client_id) == 0)
        return true;
    MQTTAsync_destroy(&client);
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.MQTTVersion = options.mqtt5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    int r = MQTTAsync_createWithOptions(&client, options.uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create);
    if (r == MQTTASYNC_SUCCESS)
        r = MQTTAsync_setCallbacks(client, NULL, on_lost, on_message, NULL);
    if (r == MQTTASYNC_SUCCESS)
        r = MQTTAsync_setDisconnected(client, NULL, on_disconnected);
    if (r != MQTTASYNC_SUCCESS) {
        driver_say("failed create %d", r);
        return false;
    }
    strncpy(client_id, id, sizeof client_id - 1);
    return true;
}

static void do_connect(const struct driver_connect *wanted)
{
    if (!be(wanted->id))
        return;
    MQTTAsync_connectOptions how = MQTTAsync_connectOptions_initializer;
    MQTTAsync_connectOptions how5 = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                           .value.integer4 = wanted->clean ? 0 : UINT32_MAX};
    if (options.mqtt5) {
        how = how5;
        how.cleanstart = wanted->clean;
        how.onSuccess5 = on_connected5;
        how.onFailure5 = on_failure5;
        if (MQTTProperties_add(&properties, &expiry) == 0)
            how.connectProperties = &properties;
    } else {
        how.MQTTVersion = MQTTVERSION_3_1_1;
        how.cleansession = wanted->clean;
        how.onSuccess = on_connected;
        how.onFailure = on_failure;
    }
    how.context = (void *)"connect";
    how.keepAliveInterval = wanted->keepalive_s;
    how.connectTimeout = TIMEOUT_S;
    if (wanted->will_topic) {
        will.topicName = wanted->will_topic;
        will.message = wanted->will_payload;
        will.qos = wanted->will_qos;
        will.retained = wanted->will_retain;
        how.will = &will;
    }
    if (options.ca) {
        tls.trustStore = options.ca;
        tls.keyStore = options.cert;
        tls.privateKey = options.key;
        tls.verify = 1;
        how.ssl = &tls;
    }
    begun("connect", MQTTAsync_connect(client, &how));
    MQTTProperties_free(&properties);
}

static void do_subscribe(const char *filter, int qos)
{
    MQTTAsync_responseOptions response = then("subscribe", on_subscribed, on_subscribed5);
    begun("subscribe", MQTTAsync_subscribe(client, filter, qos, &response));
}

static void do_unsubscribe(const char *filter)
{
    MQTTAsync_responseOptions response = then("unsubscribed", on_done, on_done5);
    begun("unsubscribe", MQTTAsync_unsubscribe(client, filter, &response));
}

static void do_publish(const char *topic, int qos, bool retain, const void *payload, size_t len)
{
    MQTTAsync_responseOptions response = then("published", on_done, on_done5);
    begun("publish", MQTTAsync_send(client, topic, (int)len, payload, qos, retain, &response));
}

static void do_disconnect(void)
{
    MQTTAsync_disconnectOptions how = MQTTAsync_disconnectOptions_initializer;
    MQTTAsync_disconnectOptions how5 = MQTTAsync_disconnectOptions_initializer5;
    if (options.mqtt5) {
        how = how5;
        how.onSuccess5 = on_done5;
        how.onFailure5 = on_failure5;
    } else {
        how.onSuccess = on_done;
        how.onFailure = on_failure;
    }
    how.timeout = TIMEOUT_MS;
    how.context = (void *)"disconnected";
    begun("disconnect", MQTTAsync_disconnect(client, &how));
}

int main(int argc, char **argv)
{
    if (!driver_options(&options, argc, argv))
        return 2;
    MQTTAsync_init_options init = MQTTAsync_init_options_initializer;
    init.do_openssl_init = 1;
    MQTTAsync_global_init(&init);
    driver_run(&(struct driver){do_connect, do_subscribe, do_unsubscribe, do_publish, do_disconnect});
    MQTTAsync_destroy(&client);
    return 0;
}
