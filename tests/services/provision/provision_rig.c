#include "provision_rig.h"

#include <errno.h>
#include <stdio.h>

/* P-256, CN=press-0042, O=Plant A; and RSA of 1024 bits. */
const char good_csr[] = "-----BEGIN CERTIFICATE REQUEST-----\n"
                        "MIHjMIGJAgEAMCcxEzARBgNVBAMMCnByZXNzLTAwNDIxEDAOBgNVBAoMB1BsYW50\n"
                        "IEEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATyqA8RJrKKuGqAWHoW00QunOvy\n"
                        "0zrbNI9vapYm4bU/QzEZF3wqFS0neEANza3840YXuUj9zBA+YsuCpTzQnjo0oAAw\n"
                        "CgYIKoZIzj0EAwIDSQAwRgIhALVvfHT2uZhugUGaNQ8iygm+5Ub+J1l0B4qsgvTC\n"
                        "o1UDAiEA4VPzBm5TBpjCSo8kCTzd+AdpaAuuhfTPextGEJAlaCQ=\n"
                        "-----END CERTIFICATE REQUEST-----\n";
const char weak_csr[] = "-----BEGIN CERTIFICATE REQUEST-----\n"
                        "MIIBTjCBuAIBADAPMQ0wCwYDVQQDDAR3ZWFrMIGfMA0GCSqGSIb3DQEBAQUAA4GN\n"
                        "ADCBiQKBgQDElPvqrD7kZWcIljBcS4pLe6C9YQ4YiceICU0/JteUPFIGNoUoDSl7\n"
                        "3jd14RLG5qNkSBK4aZodaI7y2/H3pEh+a+8wBdIgd43fzxBDXXfQZelR3yCkuNIa\n"
                        "dgkmUVZdPqeWibq0DxJWyNtX4gO+x88lnUBJiKNQenAS6aaK+NRWhwIDAQABoAAw\n"
                        "DQYJKoZIhvcNAQELBQADgYEAJk1NZeRZI1Bg66EGbFo8lomDPteFyguYloTb0TZG\n"
                        "jwMbEbtDMD0aC0EIrao1ruosXMywoQrR9dvL90Btl7hxhrqczea9Qad7iGLdpm/b\n"
                        "1cPlj3z72C9KVAT55XobJZtKffrE61zrxjcew59oySKTmD7sEeJ3kFHuhbDw4/P8\n"
                        "WJ0=\n"
                        "-----END CERTIFICATE REQUEST-----\n";

static const int64_t start_s = 1760000000;

static int on_issue(void *issuer, struct x509_issued *ret, const struct x509_wish *wish, char **why)
{
    struct house *house = issuer;
    struct x509_wish dated = *wish;
    dated.not_before_s = start_s - 100;
    dated.not_after_s = start_s + 1000000;
    if (house->cannot_sign)
        return -EIO;
    return x509_issue(ret, house->signer, &dated, why);
}

static struct x509_signer *new_signer(const char *name)
{
    struct x509_issued issued = {0};
    struct x509_signer *signer = NULL;
    char *why = NULL;
    const struct x509_wish wish = {.usage = X509_AUTHORITY,
                                   .common_name = name,
                                   .not_before_s = start_s - 1000,
                                   .not_after_s = start_s + 10000000};
    if (x509_issue(&issued, NULL, &wish, &why) != 0 ||
        x509_signer_open(&signer, issued.pem, issued.key_pem, &why) != 0)
        FAIL("%s", why);
    x509_issued_done(&issued);
    return signer;
}

static void open_provision(struct house *house)
{
    const struct provision_options options = {.issue = on_issue,
                                              .issuer = house,
                                              .admission = house->admission,
                                              .audit = house->audit,
                                              .requests_max = 8,
                                              .tokens_max = 16,
                                              .rate = 1,
                                              .rate_burst = 12};
    CHECK_INT(provision_new(&house->provision, house->rig->bus, house->rig->store, house->registry, &options),
              0);
}

static void open_registry(struct house *house)
{
    CHECK_INT(registry_open(&house->registry, house->rig->loop, house->rig->store), 0);
    CHECK_INT(audit_new(&house->audit, house->rig->loop, house->rig->store, house->registry), 0);
    house->admission = admission_new(house->registry, house->audit);
}

static void close_registry(struct house *house)
{
    house->provision = provision_free(house->provision);
    store_quiesce(house->rig->store);
    house->admission = admission_free(house->admission);
    house->audit = audit_free(house->audit);
    house->registry = registry_close(house->registry);
}

struct house *house_new(const char *db)
{
    struct house *house = mem_new(struct house);
    house->rig = db ? rig_new_at(db) : rig_new();
    house->signer = new_signer("gateway");
    open_registry(house);
    open_provision(house);
    return house;
}

struct house *house_free(struct house *house)
{
    if (!house)
        return NULL;
    close_registry(house);
    house->signer = x509_signer_close(house->signer);
    house->rig = rig_free(house->rig);
    free(house);
    return NULL;
}

void house_restart(struct house *house)
{
    rig_turn(house->rig);
    close_registry(house);
    open_registry(house);
    open_provision(house);
}

void house_turn(struct house *house)
{
    rig_turn(house->rig);
}

static void on_heard(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct device *device = container_of(subscriber, struct device, subscriber);
    if (!strstr(msg->topic, "/accepted") && !strstr(msg->topic, "/rejected"))
        return;
    device->heard++;
    (void)snprintf(device->topic, sizeof device->topic, "%s", msg->topic);
    CHECK(msg->payload_len < sizeof device->payload);
    memcpy(device->payload, msg->payload, msg->payload_len);
    device->payload[msg->payload_len] = '\0';
    device->len = msg->payload_len;
}

struct device *device_new(struct house *house, const char *client_id, const char *principal)
{
    static const char *const filters[] = {
        "$aws/certificates/+/+/+", "$aws/provisioning-templates/+/provision/+/+", "$aws/certificates/#"};
    struct device *device = mem_new(struct device);
    device->house = house;
    device->subscriber = (struct subscriber){.deliver = on_heard, .origin = bus_new_origin(house->rig->bus)};
    device->publisher = publisher_new(client_id, strlen(client_id), principal);
    for (size_t i = 0; i < array_size(filters); i++)
        bus_subscribe_to(house->rig->bus, &device->subscriptions[i], &device->subscriber, filters[i]);
    return device;
}

struct device *device_free(struct device *device)
{
    for (size_t i = 0; i < array_size(device->subscriptions); i++)
        bus_unsubscribe(device->house->rig->bus, &device->subscriptions[i]);
    (void)publisher_unref(device->publisher);
    free(device);
    return NULL;
}

bool device_asks(struct device *device, const char *topic, const void *payload, size_t len)
{
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), payload, len);
    msg->qos = 1;
    msg->origin = device->subscriber.origin;
    msg->from = publisher_ref(device->publisher);
    device->topic[0] = '\0';
    bus_publish(device->house->rig->bus, msg, NULL);
    rig_turn(device->house->rig);
    return strstr(device->topic, "/accepted") != NULL;
}

bool device_asks_text(struct device *device, const char *topic, const char *payload)
{
    return device_asks(device, topic, payload, strlen(payload));
}

const char *device_member(const struct device *device, const char *name)
{
    static char value[8192];
    struct arena arena = {0};
    struct json *json = NULL;
    const char *text = "";
    if (json_parse(&json, &arena, device->payload, device->len, NULL) == 0)
        (void)json_text(json_get(json, name), &arena, &text);
    (void)snprintf(value, sizeof value, "%s", text);
    arena_done(&arena);
    return value;
}

void make_template(struct house *house, const char *name, const char *body, const char *options)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_put_string(&w, body);
    const char *answer = rig_request(
        house->rig, "$gatehouse/ctl/template/create",
        arena_printf(&arena, "{\"name\":\"%s\",\"body\":%s%s}", name, json_writer_text(&w, NULL), options));
    if (!answer || strstr(answer, "\"code\""))
        FAIL("%s", answer ? answer : "no answer");
    arena_done(&arena);
}

char *csr_request(const char *pem)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "certificateSigningRequest");
    json_put_string(&w, pem);
    json_end_object(&w);
    char *text = str_copy(json_writer_text(&w, NULL));
    arena_done(&arena);
    return text;
}
