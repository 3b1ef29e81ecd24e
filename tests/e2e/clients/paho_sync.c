/* Paho C's synchronous client, driven from stdin. */
#include "driver.h"

#include <MQTTClient.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 60000, TIMEOUT_S = TIMEOUT_MS / 1000 };

static struct driver_options options;
static MQTTClient client;
static char client_id[256];

static void on_lost(void *context, char *cause)
{
    (void)context, (void)cause;
    driver_say("lost");
}

static int on_message(void *context, char *topic, int topic_len, MQTTClient_message *message)
{
    (void)context;
    driver_message(topic, topic_len, message->qos, message->retained, message->payload,
                   (size_t)message->payloadlen);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
    return 1;
}

/* A client object has its id for life. */
static bool be(const char *id)
{
    if (client && strcmp(id, client_id) == 0)
        return true;
    MQTTClient_destroy(&client);
    MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
    create.MQTTVersion = options.mqtt5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    int r =
        MQTTClient_createWithOptions(&client, options.uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &create);
    if (r == MQTTCLIENT_SUCCESS)
        r = MQTTClient_setCallbacks(client, NULL, on_lost, on_message, NULL);
    if (r != MQTTCLIENT_SUCCESS) {
        driver_say("failed create %d", r);
        return false;
    }
    strncpy(client_id, id, sizeof client_id - 1);
    return true;
}

static int connect5(MQTTClient_connectOptions *how)
{
    MQTTProperties properties = MQTTProperties_initializer;
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                           .value.integer4 = how->cleanstart ? 0 : UINT32_MAX};
    int r = MQTTProperties_add(&properties, &expiry);
    if (r < 0)
        return r;
    MQTTResponse response = MQTTClient_connect5(client, how, &properties, NULL);
    r = (int)response.reasonCode;
    MQTTProperties_free(&properties);
    MQTTResponse_free(response);
    return r;
}

static void do_connect(const struct driver_connect *wanted)
{
    if (!be(wanted->id))
        return;
    MQTTClient_connectOptions how = MQTTClient_connectOptions_initializer;
    MQTTClient_connectOptions how5 = MQTTClient_connectOptions_initializer5;
    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    MQTTClient_SSLOptions tls = MQTTClient_SSLOptions_initializer;
    if (options.mqtt5)
        how = how5;
    how.MQTTVersion = options.mqtt5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    *(options.mqtt5 ? &how.cleanstart : &how.cleansession) = wanted->clean;
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
    int r = options.mqtt5 ? connect5(&how) : MQTTClient_connect(client, &how);
    if (r != MQTTCLIENT_SUCCESS)
        driver_say("failed connect %d", r);
    else if (options.mqtt5)
        driver_say("connected ?"); /* the library tells it for 3.1.1 only */
    else
        driver_say("connected %d", how.returned.sessionPresent);
}

static void do_subscribe(const char *filter, int qos)
{
    if (!options.mqtt5) {
        int r = MQTTClient_subscribe(client, filter, qos); /* 0, or what was granted instead of qos */
        driver_say(r < 0 || r >= 0x80 ? "failed subscribe %d" : "subscribed %d", r ? r : qos);
        return;
    }
    MQTTResponse response = MQTTClient_subscribe5(client, filter, qos, NULL, NULL);
    int r = (int)response.reasonCode;
    MQTTResponse_free(response);
    driver_say(r < 0 || r >= 0x80 ? "failed subscribe %d" : "subscribed %d", r);
}

static void do_unsubscribe(const char *filter)
{
    int r;
    if (options.mqtt5) {
        MQTTResponse response = MQTTClient_unsubscribe5(client, filter, NULL);
        r = (int)response.reasonCode;
        MQTTResponse_free(response);
    } else {
        r = MQTTClient_unsubscribe(client, filter);
    }
    if (r < 0 || r >= 0x80)
        driver_say("failed unsubscribe %d", r);
    else
        driver_say("unsubscribed");
}

static void do_publish(const char *topic, int qos, bool retain, const void *payload, size_t len)
{
    MQTTClient_deliveryToken token;
    int r;
    if (options.mqtt5) {
        MQTTResponse response =
            MQTTClient_publish5(client, topic, (int)len, payload, qos, retain, NULL, &token);
        r = (int)response.reasonCode;
        MQTTResponse_free(response);
    } else {
        r = MQTTClient_publish(client, topic, (int)len, payload, qos, retain, &token);
    }
    if (r == MQTTCLIENT_SUCCESS && qos)
        r = MQTTClient_waitForCompletion(client, token, TIMEOUT_MS);
    if (r != MQTTCLIENT_SUCCESS)
        driver_say("failed publish %d", r);
    else
        driver_say("published");
}

static void do_disconnect(void)
{
    int r = options.mqtt5 ? MQTTClient_disconnect5(client, TIMEOUT_MS, MQTTREASONCODE_SUCCESS, NULL)
                          : MQTTClient_disconnect(client, TIMEOUT_MS);
    if (r != MQTTCLIENT_SUCCESS)
        driver_say("failed disconnect %d", r);
    else
        driver_say("disconnected");
}

int main(int argc, char **argv)
{
    if (!driver_options(&options, argc, argv))
        return 2;
    MQTTClient_init_options init = MQTTClient_init_options_initializer;
    init.do_openssl_init = 1;
    MQTTClient_global_init(&init);
    driver_run(&(struct driver){do_connect, do_subscribe, do_unsubscribe, do_publish, do_disconnect});
    MQTTClient_destroy(&client);
    return 0;
}
