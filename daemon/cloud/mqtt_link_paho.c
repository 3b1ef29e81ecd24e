#include "cloud/mqtt_link_paho.h"

#include "base/utf8.h"
#include "cloud/mqtt_link_key.h"
#include "cloud/mqtt_link_socket.h"
#include "cloud/mqtt_link_tls.h"
#include "keys/key_uri.h"

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
 *   Receive Maximum is such a limit too, so the link asks what it is.
 * - The PUBACK of a message that arrives is sent when messageArrived returns, whatever it returns: 0 puts the message into
 *   a queue of Paho's without limit. So it is always taken, or dropped and counted.
 * - A proxy is asked for port 8080 when the URI has none, so it always has one.
 * - Without a proxy of ours it takes what the environment says in http_proxy or https_proxy.
 * - A SUBSCRIBE with one filter that is refused comes as a failure, one with several as a success. So it is one. */

enum { MAX_INFLIGHT = 1000, GIVE_UP_MIN = 5000, GIVE_UP_MAX = 20 * 1000 };
enum { ALPN_SIZE = 257 }; /* a byte with the length, the name, and a NUL: Paho copies it as a string */

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
        add_words(paho, "nobody listens there, or it is no TLS");
    if (!text && message && paho->proxy)
        add_words(paho, "it was to be reached through the proxy, which may have refused");
}

/* ---- Paho's threads ---------------------------------------------------------------------------------------------- */

/* Before the first message is sent. A connection that has lost its peer is noticed by the first message, or the first
 * PINGREQ, that is not acknowledged. */
static void say_up(struct paho *paho, bool session_present)
{
    unsigned give_up = paho->keepalive_s * 1500;
    give_up = give_up < GIVE_UP_MIN ? GIVE_UP_MIN : give_up > GIVE_UP_MAX ? GIVE_UP_MAX : give_up;
    link_sockets_tune(paho->peer_port, give_up);
    paho->session_present = session_present;
    inbox_post(paho->inbox, &paho->up);
}

static void on_connected(void *context, MQTTAsync_successData *data)
{
    say_up(context, data && data->alt.connect.sessionPresent);
}

static void on_connected5(void *context, MQTTAsync_successData5 *data)
{
    struct paho *paho = context;
    if (MQTTProperties_hasProperty(&data->properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM))
        paho->receive_max =
            (unsigned)MQTTProperties_getNumericValue(&data->properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM);
    if (MQTTProperties_hasProperty(&data->properties, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE))
        paho->packet_max = (uint32_t)MQTTProperties_getNumericValue(&data->properties,
                                                                    MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE);
    say_up(paho, data->alt.connect.sessionPresent);
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

static bool topic_is_good(const char *topic, size_t len)
{
    return len && !memchr(topic, '\0', len) && !memchr(topic, '+', len) && !memchr(topic, '#', len) &&
           utf8_is_valid(topic, len);
}

/* What the property says, as far as it can be: it comes from outside. */
static uint8_t hops_of(const MQTTAsync_message *message)
{
    for (int i = 0; i < message->properties.count; i++) {
        const MQTTProperty *property = &message->properties.array[i];
        const MQTTLenString *name = &property->value.data, *value = &property->value.value;
        unsigned hops = 0;
        if (property->identifier != MQTTPROPERTY_CODE_USER_PROPERTY ||
            name->len != sizeof MQTT_LINK_HOPS - 1 ||
            memcmp(name->data, MQTT_LINK_HOPS, (size_t)name->len) != 0)
            continue;
        for (int k = 0; k < value->len && hops < UINT8_MAX; k++) {
            unsigned digit = (unsigned char)value->data[k] - '0';
            if (digit > 9)
                return 0;
            hops = 10 * hops + digit;
        }
        return (uint8_t)(hops > UINT8_MAX - MSG_HOPS_CLOUD ? UINT8_MAX : hops + MSG_HOPS_CLOUD);
    }
    return 0;
}

static struct msg *msg_of(const struct paho *paho, const char *topic, size_t topic_len,
                          const MQTTAsync_message *message)
{
    size_t prefix_len = strlen(paho->prefix), len = prefix_len + topic_len;
    if (!topic_is_good(topic, topic_len) || len > MSG_TOPIC_MAX || message->payloadlen < 0)
        return NULL;
    char *full = malloc(len);
    struct msg *msg = NULL;
    if (full) {
        memcpy(full, paho->prefix, prefix_len);
        memcpy(full + prefix_len, topic, topic_len);
        msg = msg_new(full, len, message->payload, (size_t)message->payloadlen);
    }
    free(full);
    if (!msg)
        return NULL;
    msg->qos = (uint8_t)message->qos;
    msg->hops = hops_of(message);
    return msg;
}

static bool take(struct paho *paho, const char *topic, size_t topic_len, const MQTTAsync_message *message)
{
    if (atomic_load(&paho->arrivals) >= PAHO_ARRIVALS_MAX ||
        atomic_load(&paho->arrival_bytes) >= PAHO_ARRIVAL_BYTES_MAX)
        return false;
    struct paho_arrival *arrival = malloc(sizeof *arrival);
    struct msg *msg = arrival ? msg_of(paho, topic, topic_len, message) : NULL;
    if (!msg) {
        free(arrival);
        return false;
    }
    *arrival = (struct paho_arrival){.note = {.run = paho->arrived}, .paho = paho, .msg = msg};
    atomic_fetch_add(&paho->arrivals, 1);
    atomic_fetch_add(&paho->arrival_bytes, msg_cost(msg));
    inbox_post(paho->inbox, &arrival->note);
    return true;
}

void paho_arrival_taken(struct paho_arrival *arrival)
{
    atomic_fetch_sub(&arrival->paho->arrivals, 1);
    atomic_fetch_sub(&arrival->paho->arrival_bytes, msg_cost(arrival->msg));
}

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
    struct paho *paho = context;
    if (paho->prefix && !take(paho, topic, topic_len > 0 ? (size_t)topic_len : strlen(topic), message))
        atomic_fetch_add(&paho->lost, 1);
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
    const char *verdict = link_tls_verdict();
    if (verdict) {
        (void)snprintf(paho->tls, sizeof paho->tls, "%s", verdict);
        return 1;
    }
    if (!reason)
        reason = line;
    size_t reason_len = 0;
    while (reason + reason_len < end && !strchr(":\n", reason[reason_len]))
        reason_len++;
    (void)snprintf(paho->tls, sizeof paho->tls, "%.*s", (int)reason_len, reason);
    return 1;
}

static void answer(struct mqtt_link_ask *ask, int r)
{
    ask->answer = r;
    inbox_post(ask->inbox, &ask->note);
}

static void on_success(void *context, MQTTAsync_successData *data)
{
    (void)data;
    answer(context, 0);
}

static void on_success5(void *context, MQTTAsync_successData5 *data)
{
    (void)data;
    answer(context, 0);
}

/* 3.1.1 refuses subscriptions only, with 0x80. */
static void on_failure(void *context, MQTTAsync_failureData *data)
{
    answer(context, data && data->code >= MQTTREASONCODE_UNSPECIFIED_ERROR ? data->code : -ENOTCONN);
}

static void on_failure5(void *context, MQTTAsync_failureData5 *data)
{
    bool refused = data && data->reasonCode >= MQTTREASONCODE_UNSPECIFIED_ERROR;
    answer(context, refused ? (int)data->reasonCode : -ENOTCONN);
}

/* ---- the worker's thread ----------------------------------------------------------------------------------------- */

static int add_session_expiry(MQTTProperties *properties, const struct paho *paho)
{
    MQTTProperty expiry = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL};
    expiry.value.integer4 = paho->session_expiry_s;
    return paho->persistent ? MQTTProperties_add(properties, &expiry) : 0;
}

static void set_protocol(struct paho *paho, MQTTAsync_connectOptions *options, MQTTProperties *properties)
{
    static const MQTTAsync_connectOptions options4 = MQTTAsync_connectOptions_initializer;
    static const MQTTAsync_connectOptions options5 = MQTTAsync_connectOptions_initializer5;
    /* A clean session, mostly: what is subscribed is said again, and what was not acknowledged is published again by
     * whoever it belongs to. A persistent one is for what the broker queues in the meantime. */
    if (paho->protocol == 5) {
        *options = options5;
        options->cleanstart = !paho->persistent;
        options->connectProperties = properties;
        options->onSuccess5 = on_connected5;
        options->onFailure5 = on_connect_failed5;
    } else {
        *options = options4;
        options->MQTTVersion = MQTTVERSION_3_1_1;
        options->cleansession = !paho->persistent;
        options->onSuccess = on_connected;
        options->onFailure = on_connect_failed;
    }
}

/* The list of protocols that are offered is one long: its length in a byte, and it. */
static void set_tls(struct paho *paho, MQTTAsync_SSLOptions *tls, uint8_t alpn[static ALPN_SIZE])
{
    tls->trustStore = paho->ca;
    tls->keyStore = paho->held ? link_key_file(paho->held) : paho->cert;
    tls->privateKey = paho->held ? link_key_file(paho->held) : paho->key;
    tls->privateKeyPassword = paho->held ? link_key_word(paho->held) : NULL;
    tls->enableServerCertAuth = 1;
    tls->verify = 1; /* the certificate is this host's */
    tls->ssl_error_cb = on_tls_error;
    tls->ssl_error_context = paho;
    size_t len = paho->alpn ? strlen(paho->alpn) : 0;
    if (len && len <= ALPN_SIZE - 2) {
        alpn[0] = (uint8_t)len;
        memcpy(alpn + 1, paho->alpn, len);
        tls->protos = alpn;
        tls->protos_len = (unsigned)len + 1;
    }
    link_tls_prepare();
    link_tls_set_time(paho->verify_time_s);
}

/* Paho copies all of it. */
static int connect_handle(struct paho *paho)
{
    MQTTAsync_connectOptions options;
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
    MQTTProperties properties = MQTTProperties_initializer;
    uint8_t alpn[ALPN_SIZE] = {0};
    set_protocol(paho, &options, &properties);
    options.context = paho;
    options.keepAliveInterval = (int)paho->keepalive_s;
    options.connectTimeout = (int)paho->connect_timeout_s;
    options.maxInflight = MAX_INFLIGHT;
    options.username = paho->username;
    options.password = paho->password;
    if (paho->will_topic) {
        will.topicName = paho->will_topic;
        will.message = paho->will_message ? paho->will_message : "";
        will.retained = paho->will_retain;
        will.qos = 1;
        options.will = &will;
    }
    if (paho->proxy && has_tls(paho))
        options.httpsProxy = paho->proxy;
    else
        options.httpProxy = paho->proxy;
    if (has_tls(paho)) {
        set_tls(paho, &tls, alpn);
        options.ssl = &tls;
    }
    int r = add_session_expiry(&properties, paho);
    if (r == 0)
        r = MQTTAsync_connect(paho->handle, &options);
    MQTTProperties_free(&properties);
    return r;
}

/* Paho would only say that TLS failed. */
static int check_files(struct paho *paho)
{
    bool elsewhere = paho->key && key_uri_is_elsewhere(paho->key);
    const char *const files[] = {paho->ca, paho->cert, elsewhere ? NULL : paho->key};
    for (size_t i = 0; i < array_size(files); i++)
        if (files[i] && access(files[i], R_OK) < 0) {
            int r = -errno;
            (void)snprintf(paho->reason, sizeof paho->reason, "cannot read %s: %s", files[i], strerror(-r));
            return r;
        }
    return elsewhere ? link_key_new(&paho->held, paho->cert, paho->key, paho->reason) : 0;
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
    paho->packet_max = 0;
    paho->session_present = false;

    paho->held = link_key_free(paho->held); /* of an attempt that came to nothing */
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
    paho->held = link_key_free(paho->held); /* no connection is left */
}

bool paho_is_stuck(const struct paho *paho)
{
    return link_sockets_abandon_stuck(paho->peer_port);
}

static MQTTAsync_responseOptions response_to(const struct paho *paho, struct mqtt_link_ask *ask)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.context = ask;
    if (paho->protocol == 5) {
        response.onSuccess5 = on_success5;
        response.onFailure5 = on_failure5;
    } else {
        response.onSuccess = on_success;
        response.onFailure = on_failure;
    }
    return response;
}

static int fault_of(int r)
{
    switch (r) {
    case MQTTASYNC_SUCCESS: return 0;
    case MQTTASYNC_BAD_UTF8_STRING: return -EILSEQ;
    case MQTTASYNC_DISCONNECTED: return -ENOTCONN;
    default: return -EIO;
    }
}

static void set_hops(MQTTProperties *properties, MQTTProperty *property, char *text, int len)
{
    enum { NAME_LEN = sizeof MQTT_LINK_HOPS - 1, ID = 1, LENGTH = 2 };
    static char name[] = MQTT_LINK_HOPS;
    *property = (MQTTProperty){.identifier = MQTTPROPERTY_CODE_USER_PROPERTY};
    property->value.data = (MQTTLenString){NAME_LEN, name};
    property->value.value = (MQTTLenString){len, text};
    *properties = (MQTTProperties){
        .count = 1, .max_count = 1, .length = ID + LENGTH + NAME_LEN + LENGTH + len, .array = property};
}

int paho_publish(struct paho *paho, struct mqtt_link_publish *publish)
{
    if (!paho->handle)
        return -ENOTCONN;
    MQTTAsync_responseOptions response = response_to(paho, &publish->ask);
    const struct msg *msg = publish->msg;
    char hops[4];
    MQTTProperty property; /* Paho copies it */
    if (msg->hops && paho->protocol == 5)
        set_hops(&response.properties, &property, hops,
                 snprintf(hops, sizeof hops, "%u", (unsigned)msg->hops));
    return fault_of(MQTTAsync_send(paho->handle, publish->topic, (int)msg->payload_len, msg->payload,
                                   publish->qos, msg->retain, &response));
}

int paho_subscribe(struct paho *paho, struct mqtt_link_subscribe *subscribe)
{
    if (!paho->handle)
        return -ENOTCONN;
    MQTTAsync_responseOptions response = response_to(paho, &subscribe->ask);
    return fault_of(subscribe->off ? MQTTAsync_unsubscribe(paho->handle, subscribe->filter, &response)
                                   : MQTTAsync_subscribe(paho->handle, subscribe->filter, 1, &response));
}
