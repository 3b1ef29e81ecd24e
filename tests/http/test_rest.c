/* What requests do on the bus, and what becomes their answer. */
#include "http/http_rig.h"

#include "base/json_write.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#define HOST " HTTP/1.1\r\nHost: h\r\n"

static int request(struct guest *guest, const char *method, const char *path, const char *body)
{
    cleanup_free char *text =
        str_printf("%s %s" HOST "Content-Length: %zu\r\n\r\n%s", method, path, strlen(body), body);
    guest_send(guest, text);
    return guest_answer(guest, true);
}

#define CHECK_REQUEST(guest, method, path, text, status, answer)                                             \
    do {                                                                                                     \
        CHECK_INT(request((guest), (method), (path), (text)), (status));                                     \
        CHECK_STR((guest)->body, (answer));                                                                  \
    } while (0)

/* ---- shadows ------------------------------------------------------------------------------------------------------- */

#define CFG      "/things/pump/shadow?name=cfg"
#define CFG_WAYS "$aws/things/pump/shadow/name/cfg"

TEST(a_shadow_is_made_read_changed_and_deleted)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    CHECK_REQUEST(guest, "GET", CFG, "", 404,
                  "{\"code\":404,\"message\":\"No shadow exists with name: 'cfg'\"}");
    CHECK_REQUEST(
        guest, "POST", CFG, "{\"state\":{\"desired\":{\"interval\":30}},\"clientToken\":\"r1\"}", 200,
        "{\"state\":{\"desired\":{\"interval\":30}},\"metadata\":{\"desired\":{\"interval\":{\"timestamp\":"
        "1760000000}}},\"version\":1,\"timestamp\":1760000000,\"clientToken\":\"r1\"}");
    CHECK_MESSAGE(rig->house, CFG_WAYS "/update/delta", "\"clientToken\":\"r1\"}");
    CHECK_MESSAGE(rig->house, CFG_WAYS "/update/documents", "{\"previous\":null,");
    CHECK_REQUEST(guest, "POST", CFG, "{\"state\":{\"desired\":{\"interval\":40}},\"version\":9}", 409,
                  "{\"code\":409,\"message\":\"Version conflict\",\"timestamp\":1760000000}");
    CHECK_REQUEST(
        guest, "GET", CFG, "", 200,
        "{\"state\":{\"desired\":{\"interval\":30},\"delta\":{\"interval\":30}},\"metadata\":{\"desired\":{"
        "\"interval\":{\"timestamp\":1760000000}}},\"version\":1,\"timestamp\":1760000000}");
    CHECK_REQUEST(guest, "DELETE", CFG, "", 200, "{\"version\":1,\"timestamp\":1760000000}");
    CHECK_REQUEST(guest, "DELETE", CFG, "", 404,
                  "{\"code\":404,\"message\":\"No shadow exists with name: 'cfg'\"}");
}

TEST(others_hear_of_what_changes_and_of_nothing_else)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    CHECK_INT(request(guest, "POST", "/things/pump/shadow", "{\"state\":{\"desired\":{\"a\":1.0}}}"), 200);
    CHECK_STR(rig_last(rig->house, "$aws/things/pump/shadow/update/accepted"), guest->body);
    CHECK(!strstr(guest->body, "clientToken"));
    CHECK_MESSAGE(rig->house, "$aws/things/pump/shadow/update/delta", "{\"a\":1.0}");
    CHECK_MESSAGE(rig->house, "$aws/things/pump/shadow/update/documents", "\"previous\":null");
    rig_forget(rig->house);
    CHECK_INT(request(guest, "POST", "/things/pump/shadow", "{}"), 400);
    CHECK_STR(guest->body,
              "{\"code\":400,\"message\":\"Missing required node: state\",\"timestamp\":1760000000}");
    CHECK_INT(request(guest, "GET", "/things/pump/shadow", ""), 200);
    CHECK_INT(request(guest, "GET", "/things/pump/shadow?name=x", ""), 404);
    CHECK(!rig_topic(rig->house, "$aws/things/+/shadow/+/rejected", 0));
    CHECK(!rig_topic(rig->house, "$aws/things/+/shadow/+/accepted", 0));
    CHECK(!rig_topic(rig->house, "$aws/things/+/shadow/name/+/+/rejected", 0));
    CHECK_INT(request(guest, "DELETE", "/things/pump/shadow", ""), 200);
    CHECK_STR(rig_last(rig->house, "$aws/things/pump/shadow/delete/accepted"), guest->body);
}

TEST(an_update_may_come_with_its_terminator)
{
    static const char update[] = "{\"state\":{\"reported\":{\"a\":1}},\"clientToken\":\"c\"}";
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    cleanup_free char *head =
        str_printf("POST /things/pump/shadow" HOST "Content-Length: %zu\r\n\r\n", sizeof update);
    guest_send(guest, head);
    guest_send_bytes(guest, update, sizeof update);
    CHECK_ANSWER(guest, 200, "\"clientToken\":\"c\"");
}

static const struct {
    const char *body;
    int status;
    const char *message;
} unfit[] = {
    {"", 400, "Invalid JSON"},
    {"{not json", 400, "Invalid JSON"},
    {"[{\"state\":{}}]", 400, "Invalid JSON"},
    {"{\"state\":{\"reported\":{\"a\":\"\xff\"}}}", 415, "Unsupported documented encoding"},
    {"{\"state\":{},\"clientToken\":12}", 400, "Invalid clientToken"},
    {"{\"state\":{},\"clientToken\":null}", 400, "Invalid clientToken"},
    {"{\"state\":{},\"clientToken\":\"0123456789012345678901234567890123456789012345678901234567890123X\"}",
     400, "Invalid clientToken"},
};

TEST(an_update_that_is_not_well_formed_gets_the_refusal_of_the_service)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    for (size_t i = 0; i < array_size(unfit); i++) {
        CHECK_INT(request(guest, "POST", "/things/pump/shadow", unfit[i].body), unfit[i].status);
        CHECK(strstr(guest->body, unfit[i].message));
        CHECK(strstr(guest->body, "\"timestamp\":1760000000}"));
    }
    CHECK_NOTHING(guest);
}

TEST(what_others_are_told_is_not_taken_for_the_answer)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    rig_publish(rig->house, "$aws/things/pump/shadow/update",
                "{\"state\":{},\"version\":7,\"clientToken\":\"t\"}");
    rig_publish(rig->house, "$aws/things/pump/shadow/update/rejected", "{\"code\":418}");
    rig_publish(rig->house, "$aws/things/pump/shadow/update/accepted", "{\"clientToken\":\"\"}");
    rig_publish(rig->house, "$aws/things/pump/shadow/update/accepted", "no object");
    rig_publish(rig->house, "$aws/things/pumpe/shadow/update/accepted", "{\"clientToken\":\"u\"}");
    rig_publish(rig->house, "$aws/things/pump/shadow/update/accepted/x", "{\"clientToken\":\"u\"}");
    CHECK_INT(request(guest, "POST", "/things/pump/shadow", "{\"state\":{},\"clientToken\":\"u\"}"), 200);
    CHECK(strstr(guest->body, "\"version\":1,"));
    CHECK_NOTHING(guest);
}

TEST(requests_with_the_same_token_get_their_answers_in_their_order)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guests[5];
    for (size_t i = 0; i < array_size(guests); i++)
        guests[i] = http_guest(rig);
    const char *body = "{\"state\":{},\"clientToken\":\"same\"}";
    cleanup_free char *text =
        str_printf("POST /things/pump/shadow" HOST "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    for (size_t i = 0; i < array_size(guests); i++) /* all in one turn */
        CHECK_INT(send(guests[i]->fd, text, strlen(text), MSG_NOSIGNAL), (int64_t)strlen(text));
    unsigned seen = 0;
    for (size_t i = 0; i < array_size(guests); i++) {
        unsigned version = 0;
        CHECK_INT(guest_answer(guests[i], true), 200);
        CHECK_INT(sscanf(strstr(guests[i]->body, "\"version\":"), "\"version\":%u", &version), 1);
        CHECK(version >= 1 && version <= array_size(guests) && !(seen & 1u << version));
        seen |= 1u << version;
        CHECK_NOTHING(guests[i]);
    }
}

TEST(nobody_listens_when_nothing_is_asked)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    size_t before = bus_counters(rig->house->bus)->subscriptions;
    struct guest *guest = http_guest(rig);
    CHECK_INT(request(guest, "GET", CFG, ""), 404);
    CHECK_INT(request(guest, "GET", "/api/things/shadow/ListNamedShadowsForThing/pump", ""), 200);
    CHECK_INT((int64_t)bus_counters(rig->house->bus)->subscriptions, (int64_t)before);
}

/* ---- lists --------------------------------------------------------------------------------------------------------- */

#define LIST "/api/things/shadow/ListNamedShadowsForThing/"

TEST(named_shadows_are_listed_in_pages)
{
    static const char *const names[] = {"net", "alarm", "cfg"};
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    CHECK_REQUEST(guest, "GET", LIST "pump", "", 200, "{\"results\":[],\"timestamp\":1760000000}");
    CHECK_INT(request(guest, "POST", "/things/pump/shadow", "{\"state\":{}}"), 200);
    CHECK_INT(request(guest, "POST", "/things/pumpe/shadow?name=x", "{\"state\":{}}"), 200);
    for (size_t i = 0; i < array_size(names); i++) {
        cleanup_free char *path = str_printf("/things/pump/shadow?name=%s", names[i]);
        CHECK_INT(request(guest, "POST", path, "{\"state\":{}}"), 200);
    }
    CHECK_REQUEST(guest, "GET", LIST "pump", "", 200,
                  "{\"results\":[\"alarm\",\"cfg\",\"net\"],\"timestamp\":1760000000}");
    CHECK_REQUEST(guest, "GET", LIST "pump?pageSize=2", "", 200,
                  "{\"results\":[\"alarm\",\"cfg\"],\"nextToken\":\"Y2Zn\",\"timestamp\":1760000000}");
    CHECK_REQUEST(guest, "GET", LIST "pump?pageSize=2&nextToken=Y2Zn", "", 200,
                  "{\"results\":[\"net\"],\"timestamp\":1760000000}");
    CHECK_REQUEST(guest, "GET", LIST "pump?pageSize=101", "", 400,
                  "{\"code\":400,\"message\":\"Invalid pageSize\"}");
    CHECK_REQUEST(guest, "GET", LIST "pump?nextToken=%22%5c", "", 400,
                  "{\"code\":400,\"message\":\"Invalid nextToken\"}");
}

TEST(the_server_says_how_it_is)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    CHECK_INT(request(guest, "GET", CFG, ""), 404);
    CHECK_INT(request(guest, "GET", "/things/pump/shadow", ""), 404);
    const char *status = rig_request(rig->house, "$gatehouse/ctl/http/status", "");
    cleanup_free char *expected =
        str_printf("{\"connections\":1,\"bodyBytes\":0,\"requests\":2,\"refused\":2,\"unauthorized\":0,"
                   "\"timeouts\":0,\"turnedAway\":0,\"listeners\":[{\"uri\":\"unix://%s\",\"accepted\":1,"
                   "\"heldBack\":0,\"refusedPerAddress\":0,\"refusedProxy\":0,\"exhausted\":0}],"
                   "\"certificates\":[]}",
                   rig->path);
    CHECK_STR(status, expected);
}

/* Who answers for the metrics. */
struct teller {
    struct subscriber ear;
    struct subscription asked;
    struct bus *bus;
    const char *answer;
};

static void on_asked(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct teller *teller = container_of(subscriber, struct teller, ear);
    bus_reply(teller->bus, msg, teller->answer);
}

TEST(figures_are_text_and_their_refusal_is_an_error)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    struct teller teller = {
        .ear.deliver = on_asked, .bus = rig->house->bus, .answer = "# TYPE a gauge\na 1\n"};
    bus_subscribe_to(teller.bus, &teller.asked, &teller.ear, "$gatehouse/ctl/gateway/metrics");
    CHECK_REQUEST(guest, "GET", "/metrics", "", 200, "# TYPE a gauge\na 1\n");
    CHECK(strstr(guest->head, "text/plain; version=0.0.4"));
    teller.answer = "{\"code\":429,\"message\":\"too many requests at once\"}";
    CHECK_REQUEST(guest, "GET", "/metrics", "", 429, teller.answer);
    CHECK(strstr(guest->head, "x-amzn-ErrorType: ThrottlingException"));
    bus_unsubscribe(teller.bus, &teller.asked);
}

/* ---- publishing ---------------------------------------------------------------------------------------------------- */

TEST(a_publish_is_a_message_on_the_bus)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    CHECK_INT(request(guest, "POST", "/topics/dt%2Fpump/env?qos=1&retain=true", "{\"temp\":21}"), 200);
    CHECK(strstr(guest->body, "{\"message\":\"OK\",\"traceId\":\""));
    CHECK_STR(rig_last(rig->house, "dt/pump/env"), "{\"temp\":21}");
    CHECK_INT((int64_t)bus_counters(rig->house->bus)->retained, 1);
    CHECK_INT(request(guest, "POST", "/topics/dt/pump/env", ""), 200);
    CHECK_STR(rig_last(rig->house, "dt/pump/env"), "");
    CHECK_INT((int64_t)bus_counters(rig->house->bus)->retained, 1);
}

static const struct {
    int r;
    const char *qos;
    int status;
    const char *text;
} outcomes[] = {
    {0, "1", 200, "\"message\":\"OK\""},
    {0x97, "1", 503, "There is no room for the message"},
    {-ENOSPC, "1", 503, "There is no room for the message"},
    {0x83, "1", 503, "The message was refused by who should keep it"},
    {-EIO, "1", 500, "Internal service failure"},
    {-EIO, "0", 200, "\"message\":\"OK\""},
};

TEST(a_publish_is_answered_when_what_was_promised_is_kept)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    for (size_t i = 0; i < array_size(outcomes); i++) {
        cleanup_free char *path = str_printf("/topics/slow/a?qos=%s", outcomes[i].qos);
        CHECK_INT(request(guest, "POST", path, "x"), 0);
        CHECK_NOTHING(guest);
        http_rig_settle(rig, outcomes[i].r);
        CHECK_ANSWER(guest, outcomes[i].status, outcomes[i].text);
    }
}

TEST(a_publish_keeps_to_the_limits_of_mqtt)
{
    struct http_options options = http_rig_options();
    options.rest = (struct rest_options){
        .payload_max = 10, .topic_len_max = 20, .topic_levels_max = 3, .no_retain_on_dollar = true};
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(&options);
    struct guest *guest = http_guest(rig);
    CHECK_INT(request(guest, "POST", "/topics/a/b/12345678901234567", "0123456789"), 400);
    CHECK_INT(request(http_guest(rig), "POST", "/topics/a/b/1234567890123456", "0123456789"), 200);
    CHECK_INT(request(http_guest(rig), "POST", "/topics/a/b/c/d", "x"), 400);
    CHECK_INT(request(http_guest(rig), "POST", "/topics/a", "01234567890"), 413);
    CHECK_INT(request(http_guest(rig), "POST", "/topics/$aws/x?retain=true", ""), 400);
    CHECK_INT(request(http_guest(rig), "POST", "/topics/$aws/x", ""), 200);
}

/* ---- who may ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *request;
    bool allowed;
} node_pump[] = {
    {"GET /things/pump/shadow", true},
    {"POST /things/pump/shadow?name=cfg", true},
    {"DELETE /things/pump/shadow", true},
    {"GET " LIST "pump", true},
    {"POST /topics/dt/pump/x", true},
    {"POST /topics/$aws/things/pump/shadow/update", true},
    {"GET /things/valve/shadow", false},
    {"POST /things/valve/shadow", false},
    {"DELETE /things/pumpe/shadow?name=pump", false},
    {"GET " LIST "valve", false},
    {"POST /topics/dt/valve/x", false},
    {"POST /topics/$aws/things/pump/shadow/update/accepted", false},
    {"POST /topics/$gatehouse/ctl/shadow/list", false},
};

/* Who only reads a shadow, by topics. */
static const struct {
    const char *request;
    bool allowed;
} reader[] = {
    {"GET /things/pump/shadow", true},     {"POST /things/pump/shadow", false},
    {"DELETE /things/pump/shadow", false}, {"GET /things/pump/shadow?name=cfg", false},
    {"GET " LIST "pump", false},
};

static bool may(struct http_rig *rig, struct principal *principal, const char *line)
{
    struct rest *rest = rest_new(rig->house->bus, &(struct rest_options){1000, 1000, 100, false});
    struct rest_asker asker = {.principal = principal, .id = "1"};
    struct http_head head;
    struct rest_call *call = NULL;
    size_t used;
    const char *why = NULL, *allow = NULL;
    cleanup_free char *text = str_printf("%s" HOST "\r\n", line);
    CHECK_INT(http_head_parse(&head, text, strlen(text), &used, &why), 0);
    int status = rest_begin(&call, rest, &asker, &head, &allow, &why);
    if (status == 0)
        rest_forget(call);
    else
        CHECK_INT(status, 403);
    (void)rest_free(rest);
    return status == 0;
}

TEST(a_request_needs_what_it_would_need_over_mqtt)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    cleanup(principal_unref_p) struct principal *node = principal_new_node("pump");
    cleanup(principal_unref_p) struct principal *plugin =
        principal_new_plugin("reader", "$aws/things/+/shadow/get", "$aws/things/+/shadow/get/accepted");
    for (size_t i = 0; i < array_size(node_pump); i++)
        if (may(rig, node, node_pump[i].request) != node_pump[i].allowed)
            FAIL("%s", node_pump[i].request);
    for (size_t i = 0; i < array_size(reader); i++)
        if (may(rig, plugin, reader[i].request) != reader[i].allowed)
            FAIL("%s", reader[i].request);
}
