#include "cloud/mqtt_link_paho.h"

#include <MQTTAsync.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Read beside Paho 1.3.12:
 * - MQTTAsync_destroy() calls onFailure for everything it has not answered, and leaks topic and payload of what was queued
 *   but not yet written (MQTTAsync_NULLPublishCommands): nothing mostly, as sending to a lost connection is refused at
 *   once; the link's window, in bytes too, bounds it.
 * - A DISCONNECT from the broker is told to the `disconnected` callback only, not as a lost connection.
 * - maxInflight must be larger than any window of ours: at its own limit Paho advances once a second. The broker's
 *   Receive Maximum is such a limit too, so the link asks what it is. */

enum { CONNECT_TIMEOUT_S = 20, MAX_INFLIGHT = 1000 };

static bool has_tls(const struct paho *paho)
{
    return strncmp(paho->uri, "mqtts:", 6) == 0;
}

static void add_words(struct paho *paho, const char *words)
{
    size_t len = strlen(paho->reason);
    (void)snprintf(paho->reason + len, sizeof paho->reason - len, " (%s)", words);
}

static void end(struct paho *paho)
{
    if (paho->over)
        return;
    paho->over = true;
    if (paho->tls[0])
        add_words(paho, paho->tls);
    inbox_post(paho->inbox, &paho->ended);
}

/* What Paho knows: a code of its own (negative), or what the broker said, and sometimes a sentence. */
static void explain(struct paho *paho, int code, const char *message)
{
    static const char *const refusals[] = {
        [1] = "unacceptable protocol version", [2] = "client id rejected", [3] = "server unavailable",
        [4] = "bad user name or password",     [5] = "not authorized",
    };
    if (paho->over)
        return;
    const char *text = NULL;
    if (code > 0 && paho->protocol == 5)
        text = MQTTReasonCode_toString((enum MQTTReasonCodes)code);
    else if (code > 0 && (size_t)code < array_size(refusals))
        text = refusals[code];
    if (text)
        (void)snprintf(paho->reason, sizeof paho->reason, "the broker refused: %s", text);
    else
        (void)snprintf(paho->reason, sizeof paho->reason, "cannot connect: %s",
                       message ? message : "the name or the network cannot be reached");
    if (!text && message && has_tls(paho) && !paho->tls[0]) /* Paho does not say which */
        add_words(paho, "nobody listens there, it is no TLS, or the certificate is another host's");
}

/* ---- Paho's threads ---------------------------------------------------------------------------------------------- */

static void on_connected(void *context, MQTTAsync_successData *data)
{
    struct paho *paho = context;
    (void)data;
    inbox_post(paho->inbox, &paho->up);
}

static void on_connected5(void *context, MQTTAsync_successData5 *data)
{
    struct paho *paho = context;
    if (MQTTProperties_hasProperty(&data->properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM))
        paho->receive_max =
            (unsigned)MQTTProperties_getNumericValue(&data->properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM);
    inbox_post(paho->inbox, &paho->up);
}

static void on_connect_failed(void *context, MQTTAsync_failureData *data)
{
    explain(context, data->code, data->message);
    end(context);
}

static void on_connect_failed5(void *context, MQTTAsync_failureData5 *data)
{
    explain(context, data->code, data->message);
    end(context);
}

static void on_lost(void *context, char *cause)
{
    struct paho *paho = context;
    (void)cause; /* always NULL */
    if (!paho->over)
        (void)snprintf(paho->reason, sizeof paho->reason, "the connection was lost");
    end(paho);
}

static void on_disconnected(void *context, MQTTProperties *properties, enum MQTTReasonCodes code)
{
    struct paho *paho = context;
    (void)properties;
    const char *text = MQTTReasonCode_toString(code);
    if (!paho->over)
        (void)snprintf(paho->reason, sizeof paho->reason, "the broker disconnected: %s",
                       text ? text : "unknown reason");
    end(paho);
}

/* Nothing has been subscribed; a broker that sends all the same is not listened to. */
static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
    (void)context, (void)topic_len;
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

/* THREAD:error:CODE:LIBRARY:FUNCTION:REASON:FILE:LINE:DATA. The first is the cause, and its reason says it. */
static int on_tls_error(const char *line, size_t len, void *context)
{
    struct paho *paho = context;
    if (paho->tls[0])
        return 1;
    const char *end = line + len, *reason = line;
    for (int i = 0; i < 5 && reason; i++) {
        reason = memchr(reason, ':', (size_t)(end - reason));
        reason = reason ? reason + 1 : NULL;
    }
    if (!reason)
        reason = line;
    size_t reason_len = 0;
    while (reason + reason_len < end && !strchr(":\n", reason[reason_len]))
        reason_len++;
    (void)snprintf(paho->tls, sizeof paho->tls, "%.*s", (int)reason_len, reason);
    return 1;
}

static void answer(struct mqtt_link_publish *publish, int r, struct inbox *inbox)
{
    publish->answer = r;
    inbox_post(inbox, &publish->note);
}

static void on_published(void *context, MQTTAsync_successData *data)
{
    struct mqtt_link_publish *publish = context;
    (void)data;
    answer(publish, 0, publish->inbox);
}

static void on_published5(void *context, MQTTAsync_successData5 *data)
{
    struct mqtt_link_publish *publish = context;
    (void)data;
    answer(publish, 0, publish->inbox);
}

static void on_publish_failed(void *context, MQTTAsync_failureData *data)
{
    struct mqtt_link_publish *publish = context;
    (void)data;
    answer(publish, -ENOTCONN, publish->inbox);
}

static void on_publish_failed5(void *context, MQTTAsync_failureData5 *data)
{
    struct mqtt_link_publish *publish = context;
    bool refused = data->reasonCode >= MQTTREASONCODE_UNSPECIFIED_ERROR;
    answer(publish, refused ? (int)data->reasonCode : -ENOTCONN, publish->inbox);
}

/* ---- the worker's thread ----------------------------------------------------------------------------------------- */

static int connect_handle(struct paho *paho)
{
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    MQTTAsync_connectOptions options5 = MQTTAsync_connectOptions_initializer5;
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    /* A clean session: nothing is subscribed, and what was not acknowledged is published again by whoever it belongs to.
     * An old one at the broker would only be in the way. */
    if (paho->protocol == 5) {
        options = options5;
        options.cleanstart = 1;
        options.onSuccess5 = on_connected5;
        options.onFailure5 = on_connect_failed5;
    } else {
        options.MQTTVersion = MQTTVERSION_3_1_1;
        options.cleansession = 1;
        options.onSuccess = on_connected;
        options.onFailure = on_connect_failed;
    }
    options.context = paho;
    options.keepAliveInterval = (int)paho->keepalive_s;
    options.connectTimeout = CONNECT_TIMEOUT_S;
    options.maxInflight = MAX_INFLIGHT;
    options.username = paho->username;
    options.password = paho->password;
    if (has_tls(paho)) {
        tls.trustStore = paho->ca;
        tls.keyStore = paho->cert;
        tls.privateKey = paho->key;
        tls.enableServerCertAuth = 1;
        tls.verify = 1; /* the certificate is this host's */
        tls.ssl_error_cb = on_tls_error;
        tls.ssl_error_context = paho;
        options.ssl = &tls;
    }
    return MQTTAsync_connect(paho->handle, &options);
}

/* Paho would only say that TLS failed. */
static int check_files(struct paho *paho)
{
    const char *const files[] = {paho->ca, paho->cert, paho->key};
    for (size_t i = 0; i < array_size(files); i++)
        if (files[i] && access(files[i], R_OK) < 0) {
            int r = -errno;
            (void)snprintf(paho->reason, sizeof paho->reason, "cannot read %s: %s", files[i], strerror(-r));
            return r;
        }
    return 0;
}

int paho_open(struct paho *paho)
{
    MQTTAsync_createOptions create = MQTTAsync_createOptions_initializer;
    create.MQTTVersion = paho->protocol == 5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    create.maxBufferedMessages = MAX_INFLIGHT;
    paho->handle = NULL;
    paho->over = false;
    paho->reason[0] = paho->tls[0] = '\0';
    paho->receive_max = 0;

    int r = check_files(paho);
    if (r < 0)
        return r;
    r = MQTTAsync_createWithOptions(&paho->handle, paho->uri, paho->client_id, MQTTCLIENT_PERSISTENCE_NONE,
                                    NULL, &create);
    if (r == MQTTASYNC_SUCCESS)
        r = MQTTAsync_setCallbacks(paho->handle, paho, on_lost, on_message, NULL);
    if (r == MQTTASYNC_SUCCESS && paho->protocol == 5)
        r = MQTTAsync_setDisconnected(paho->handle, paho, on_disconnected);
    if (r == MQTTASYNC_SUCCESS)
        r = connect_handle(paho);
    if (r == MQTTASYNC_SUCCESS)
        return 0;
    const char *text = MQTTAsync_strerror(r);
    (void)snprintf(paho->reason, sizeof paho->reason, "cannot begin to connect: %s", text ? text : "?");
    return -EINVAL;
}

void paho_close(struct paho *paho)
{
    if (paho->handle)
        MQTTAsync_destroy(&paho->handle);
    paho->handle = NULL;
}

int paho_publish(struct paho *paho, struct mqtt_link_publish *publish)
{
    if (!paho->handle)
        return -ENOTCONN;
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.context = publish;
    if (paho->protocol == 5) {
        response.onSuccess5 = on_published5;
        response.onFailure5 = on_publish_failed5;
    } else {
        response.onSuccess = on_published;
        response.onFailure = on_publish_failed;
    }
    const struct msg *msg = publish->msg;
    int r = MQTTAsync_send(paho->handle, publish->topic, (int)msg->payload_len, msg->payload, publish->qos,
                           msg->retain, &response);
    switch (r) {
    case MQTTASYNC_SUCCESS: return 0;
    case MQTTASYNC_BAD_UTF8_STRING: return -EILSEQ;
    case MQTTASYNC_DISCONNECTED: return -ENOTCONN;
    default: return -EIO;
    }
}
