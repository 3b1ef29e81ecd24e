/* MQTT 5 properties: each in each packet, from a table of the test's own (MQTT 5, table 2-4 and the sections on values). */
#include "wire/notation.h"
#include "wire/rows.h"

#include <stdio.h>

enum place {
    CONNECT_,
    CONNACK_,
    PUBLISH_,
    WILL_,
    PUBACK_,
    PUBREC_,
    PUBREL_,
    PUBCOMP_,
    SUBSCRIBE_,
    SUBACK_,
    UNSUBSCRIBE_,
    UNSUBACK_,
    DISCONNECT_,
    AUTH_,
    PLACES
};

/* The bytes around the properties: {PROPERTIES} goes between. */
static const struct {
    const char *name, *before, *behind;
    unsigned sides;
} places[PLACES] = {
    [CONNECT_] = {"CONNECT", "10 {['MQTT'] 05 02 0000", "['p']}", CLIENT},
    [CONNACK_] = {"CONNACK", "20 {00 00", "}", SERVER},
    [PUBLISH_] = {"PUBLISH", "30 {['a']", "'x'}", BOTH},
    [WILL_] = {"a will", "10 {['MQTT'] 05 06 0000 {} ['p']", "['w'] ['x']}", CLIENT},
    [PUBACK_] = {"PUBACK", "40 {0001 80", "}", BOTH},
    [PUBREC_] = {"PUBREC", "50 {0001 80", "}", BOTH},
    [PUBREL_] = {"PUBREL", "62 {0001 92", "}", BOTH},
    [PUBCOMP_] = {"PUBCOMP", "70 {0001 92", "}", BOTH},
    [SUBSCRIBE_] = {"SUBSCRIBE", "82 {0001", "['a'] 00}", CLIENT},
    [SUBACK_] = {"SUBACK", "90 {0001", "00}", SERVER},
    [UNSUBSCRIBE_] = {"UNSUBSCRIBE", "a2 {0001", "['a']}", CLIENT},
    [UNSUBACK_] = {"UNSUBACK", "b0 {0001", "00}", SERVER},
    [DISCONNECT_] = {"DISCONNECT", "e0 {80", "}", BOTH},
    [AUTH_] = {"AUTH", "f0 {18", "}", BOTH},
};

#define IN(place)  (1u << place##_)
#define MESSAGE    (IN(PUBLISH) | IN(WILL))
#define ACKS       (IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP) | IN(SUBACK) | IN(UNSUBACK))
#define EVERYWHERE ((1u << PLACES) - 1)

static const struct {
    unsigned id, legal;
    const char *value, *other, *said; /* with two values that are fine; what the line says of the first */
    const char *bad, *refusal;        /* with a value that is not, if there is one, and the reason it gets */
} rows[] = {
    {0x01, MESSAGE, "01 01", "01 00", "payload-format=1", "01 02", "82"},
    {0x02, MESSAGE, "02 00000000", "02 ffffffff", "message-expiry=0", NULL, NULL},
    {0x03, MESSAGE, "03 ['t']", "03 []", "content-type=t", "03 [ff]", "81"},
    {0x08, MESSAGE, "08 ['r']", "08 ['/']", "response-topic=r", "08 ['+']", "82"},
    {0x09, MESSAGE, "09 [ff]", "09 []", "correlation=\\ff", NULL, NULL},
    {0x0b, IN(PUBLISH) | IN(SUBSCRIBE), "0b 8001", "0b 01", "subscription-id=128", "0b 00", "82"},
    {0x11, IN(CONNECT) | IN(CONNACK) | IN(DISCONNECT), "11 ffffffff", "11 00000000",
     "session-expiry=4294967295", NULL, NULL},
    {0x12, IN(CONNACK), "12 ['p']", "12 []", "assigned-id=p", "12 [c0 80]", "81"},
    {0x13, IN(CONNACK), "13 0100", "13 0000", "server-keepalive=256", NULL, NULL},
    {0x15, IN(CONNECT) | IN(CONNACK) | IN(AUTH), "15 ['m']", "15 []", "auth-method=m", "15 [00]", "81"},
    {0x16, IN(CONNECT) | IN(CONNACK) | IN(AUTH), "16 [00]", "16 []", "auth-data=\\00", NULL, NULL},
    {0x17, IN(CONNECT), "17 00", "17 01", "request-problem=0", "17 02", "82"},
    {0x18, IN(WILL), "18 01020304", "18 00000000", "will-delay=16909060", NULL, NULL},
    {0x19, IN(CONNECT), "19 01", "19 00", "request-response=1", "19 ff", "82"},
    {0x1a, IN(CONNACK), "1a ['r']", "1a []", "response-info=r", "1a [ed a0 80]", "81"},
    {0x1c, IN(CONNACK) | IN(DISCONNECT), "1c ['s']", "1c []", "server-reference=s", "1c [80]", "81"},
    {0x1f, ACKS | IN(CONNACK) | IN(DISCONNECT) | IN(AUTH), "1f ['no']", "1f []", "reason-string=no",
     "1f [fe]", "81"},
    {0x21, IN(CONNECT) | IN(CONNACK), "21 ffff", "21 0001", "receive-max=65535", "21 0000", "82"},
    {0x22, IN(CONNECT) | IN(CONNACK), "22 0000", "22 ffff", "alias-max=0", NULL, NULL},
    {0x23, IN(PUBLISH), "23 ffff", "23 0001", "alias=65535", "23 0000", "94"},
    {0x24, IN(CONNACK), "24 01", "24 00", "qos-max=1", "24 02", "82"},
    {0x25, IN(CONNACK), "25 00", "25 01", "retain=0", "25 02", "82"},
    {0x26, EVERYWHERE, "26 ['k'] ['v']", "26 [] []", "user:k=v", "26 ['k'] [00]", "81"},
    {0x27, IN(CONNECT) | IN(CONNACK), "27 00000001", "27 ffffffff", "packet-max=1", "27 00000000", "82"},
    {0x28, IN(CONNACK), "28 00", "28 01", "wildcards=0", "28 02", "82"},
    {0x29, IN(CONNACK), "29 00", "29 01", "subscription-ids=0", "29 02", "82"},
    {0x2a, IN(CONNACK), "2a 00", "2a 01", "shared=0", "2a 02", "82"},
};

enum { ROWS = sizeof rows / sizeof rows[0] };

/* AUTH needs a method whatever else it says, and data need one everywhere. */
static const char *company(enum place place, unsigned id)
{
    bool needs_method = id != WIRE_AUTH_METHOD && (place == AUTH_ || id == WIRE_AUTH_DATA);
    return needs_method ? "15 ['m']" : "";
}

/* What becomes of a packet with these bytes as its properties. */
static const char *result_in(enum place place, enum wire_side side, const char *props)
{
    static char notation[4096];
    static uint8_t bytes[4096];
    int n =
        snprintf(notation, sizeof notation, "%s %s %s", places[place].before, props, places[place].behind);
    CHECK(n > 0 && (size_t)n < sizeof notation);
    size_t len = notation_bytes(notation, bytes, sizeof bytes);
    return row_result(bytes, len, WIRE_MQTT5, side);
}

static const char *result_with(enum place place, enum wire_side side, unsigned id, const char *first,
                               const char *second)
{
    char props[1024];
    (void)snprintf(props, sizeof props, "{%s %s %s}", company(place, id), first, second);
    return result_in(place, side, props);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Properties that a packet has from one side only. */
static bool is_one_sided(enum place place, enum wire_side side, unsigned id)
{
    return (id == WIRE_SUBSCRIPTION_ID && place == PUBLISH_ &&
            side == WIRE_FROM_CLIENT) || /* [MQTT-3.3.4-6] */
           (id == WIRE_SESSION_EXPIRY && place == DISCONNECT_ &&
            side == WIRE_FROM_SERVER); /* [MQTT-3.14.2-2] */
}

/* Calls visit for every property in every packet and from every side from which that packet comes. */
static void for_all(void (*visit)(size_t row, enum place place, enum wire_side side))
{
    for (size_t i = 0; i < ROWS; i++)
        for (unsigned place = 0; place < PLACES; place++)
            for (unsigned side = WIRE_FROM_CLIENT; side <= WIRE_FROM_SERVER; side++)
                if (places[place].sides >> side & 1)
                    visit(i, (enum place)place, (enum wire_side)side);
}

static void complain(size_t row, enum place place, enum wire_side side, const char *result)
{
    FAIL("property %02x in %s from side %d is: %s", rows[row].id, places[place].name, side, result);
}

static void check_place(size_t i, enum place place, enum wire_side side)
{
    const char *result = result_with(place, side, rows[i].id, rows[i].value, "");
    bool fine;
    if (!(rows[i].legal >> place & 1))
        fine = strcmp(result, "81 a property that does not belong in this packet") == 0;
    else if (is_one_sided(place, side, rows[i].id))
        fine = begins(result, "82 ");
    else
        fine = strstr(result, rows[i].said) != NULL;
    if (!fine)
        complain(i, place, side, result);
}

TEST(a_property_is_read_where_it_belongs_and_malformed_elsewhere)
{
    for_all(check_place);
}

static void check_other_value(size_t i, enum place place, enum wire_side side)
{
    if (!(rows[i].legal >> place & 1) || is_one_sided(place, side, rows[i].id))
        return;
    const char *result = result_with(place, side, rows[i].id, rows[i].other, "");
    if (result[0] < 'A' || strstr(result, rows[i].said))
        complain(i, place, side, result);
    if (!rows[i].bad)
        return;
    result = result_with(place, side, rows[i].id, rows[i].bad, "");
    if (!begins(result, rows[i].refusal))
        complain(i, place, side, result);
}

TEST(a_value_out_of_range_is_refused)
{
    for_all(check_other_value);
}

static void check_twice(size_t i, enum place place, enum wire_side side)
{
    if (!(rows[i].legal >> place & 1) || is_one_sided(place, side, rows[i].id))
        return;
    bool many = rows[i].id == WIRE_USER_PROPERTY || (rows[i].id == WIRE_SUBSCRIPTION_ID && place == PUBLISH_);
    const char *result = result_with(place, side, rows[i].id, rows[i].value, rows[i].other);
    if (many ? strstr(result, rows[i].said) == NULL : strcmp(result, "82 a property twice") != 0)
        complain(i, place, side, result);
    result = result_with(place, side, rows[i].id, rows[i].value, rows[i].value);
    if (many ? strstr(result, rows[i].said) == NULL : strcmp(result, "82 a property twice") != 0)
        complain(i, place, side, result);
}

TEST(a_property_comes_once_but_for_user_properties_and_identifiers_of_a_server)
{
    for_all(check_twice);
}

static void check_cut(size_t i, enum place place, enum wire_side side)
{
    if (!(rows[i].legal >> place & 1) || is_one_sided(place, side, rows[i].id))
        return;
    uint8_t bytes[64];
    size_t len = notation_bytes(rows[i].value, bytes, sizeof bytes);
    for (size_t cut = 1; cut < len; cut++) {
        char hex[160];
        int n = 0;
        for (size_t k = 0; k < cut; k++)
            n += snprintf(hex + n, sizeof hex - (size_t)n, "%02x ", bytes[k]);
        const char *result = result_with(place, side, rows[i].id, hex, "");
        if (strcmp(result, "81 a property is cut off or not well-formed") != 0)
            complain(i, place, side, result);
    }
}

TEST(a_property_that_is_cut_off_by_the_length_of_all_is_malformed)
{
    for_all(check_cut);
}

TEST(an_unknown_property_is_malformed)
{
    for (unsigned id = 0; id < 256; id++) {
        bool known = false;
        for (size_t i = 0; i < ROWS; i++)
            known |= rows[i].id == id;
        for (unsigned place = 0; place < PLACES && !known; place++) {
            char props[64];
            (void)snprintf(props, sizeof props, "{%s %02x 00000000000000000000}",
                           company((enum place)place, id), id);
            enum wire_side side = places[place].sides & CLIENT ? WIRE_FROM_CLIENT : WIRE_FROM_SERVER;
            const char *result = result_in((enum place)place, side, props);
            if (strcmp(result, "81 an unknown property") != 0)
                FAIL("property %02x in %s is: %s", id, places[place].name, result);
        }
    }
}

TEST(the_length_of_properties_is_checked)
{
    static const struct row lengths[] = {
        {"5: 2.2.2-1", V5, BOTH, "30 {['a'] 00 'x'}", "PUBLISH a q0 = x"},
        {"5: 2.2.2, beyond the end", V5, BOTH, "30 {['a'] 03 01 01}", "81 the properties are cut off"},
        {"5: 2.2.2, far beyond the end", V5, BOTH, "30 {['a'] ffffff7f 01 01}",
         "81 the properties are cut off"},
        {"5: 1.5.5, cut", V5, BOTH, "30 {['a'] 80}", "81 the properties are cut off"},
        {"5: 1.5.5, five bytes", V5, BOTH, "30 {['a'] 8080808000 'x'}", "81 the properties are cut off"},
        {"5: 1.5.5, five bytes", V5, BOTH, "30 {['a'] ffffffff7f 'x'}", "81 the properties are cut off"},
        {"5: 1.5.5-1", V5, BOTH, "30 {['a'] 8000 'x'}", "81 the properties are cut off"},
        {"5: 1.5.5-1", V5, BOTH, "30 {['a'] 828000 0101 'x'}", "81 the properties are cut off"},
        {"5: 1.5.5, five bytes", V5, SERVER, "30 {['a'] {0b 8080808001} 'x'}",
         "81 a property is cut off or not well-formed"},
        {"5: 1.5.5, five bytes", V5, CLIENT, "82 {0001 {0b ffffffff7f} ['a'] 00}",
         "81 a property is cut off or not well-formed"},
        {"5: 1.5.5-1", V5, CLIENT, "82 {0001 {0b 8100} ['a'] 00}",
         "81 a property is cut off or not well-formed"},
        {"5: 1.5.7-1", V5, BOTH, "30 {['a'] {26 [ff] ['v']} 'x'}",
         "81 a property is cut off or not well-formed"},
        {"5: 1.5.7-1", V5, BOTH, "30 {['a'] {26 ['k']} 'x'}", "81 a property is cut off or not well-formed"},
        {"5: 3.1.2.11.10", V5, CLIENT, "10 {['MQTT'] 05 02 0000 {16 ['d']} ['p']}",
         "82 Authentication Data without Authentication Method"},
        {"5: 3.1.2.11.10", V5, CLIENT, "10 {['MQTT'] 05 02 0000 {16 ['d'] 15 ['m']} ['p']}",
         "CONNECT v5 clean keepalive=0 id=p auth-method=m auth-data=d"},
    };
    CHECK_ROWS(lengths);
}

TEST(the_first_subscription_identifier_is_the_one_in_the_struct)
{
    uint8_t bytes[64];
    struct wire_frame frame;
    struct wire_packet packet;
    const char *why;
    size_t len = notation_bytes("30 {['a'] {0b 07 0b 08 01 00 0b 09}}", bytes, sizeof bytes);
    CHECK_INT(wire_frame(bytes, len, SIZE_MAX, &frame), 1);
    CHECK_INT(wire_decode(&packet, &frame, WIRE_MQTT5, WIRE_FROM_SERVER, &why), 0);
    CHECK_INT(packet.props.subscription_id, 7);
    uint32_t id, at = 0, expected = 7;
    for (; wire_subscription_id_next(&packet.props, &at, &id); expected++)
        CHECK_INT(id, expected);
    CHECK_INT(expected, 10);
}

TEST(properties_of_a_message_are_forwarded_unaltered_and_in_their_order)
{
    static const struct {
        const char *props, *forwarded;
        int response_at, correlation_at; /* -1: absent */
    } cases[] = {
        {"", "", -1, -1},
        {"01 01 26 ['k'] ['v'] 26 ['k'] ['w'] 03 ['t']", "01 01 26 ['k'] ['v'] 26 ['k'] ['w'] 03 ['t']", -1,
         -1},
        {"26 ['k'] ['v'] 02 00000001 26 ['k'] ['w']", "26 ['k'] ['v'] 26 ['k'] ['w']", -1, -1},
        {"23 0001 08 ['r/s'] 09 [00] 01 00", "08 ['r/s'] 09 [00] 01 00", 3, 9},
        {"09 ['c'] 02 ffffffff 08 ['r'] 0b 05", "09 ['c'] 08 ['r']", 7, 3},
        {"02 00000001", "", -1, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char notation[256];
        uint8_t bytes[256], forwarded[256], expected[256];
        (void)snprintf(notation, sizeof notation, "30 {['a'] {%s}}", cases[i].props);
        size_t len = notation_bytes(notation, bytes, sizeof bytes);
        struct wire_frame frame;
        struct wire_packet packet;
        const char *why;
        CHECK_INT(wire_frame(bytes, len, SIZE_MAX, &frame), 1);
        CHECK_INT(wire_decode(&packet, &frame, WIRE_MQTT5, WIRE_FROM_SERVER, &why), 0);
        size_t response_at, correlation_at;
        size_t n = wire_props_forwardable(&packet.props, forwarded, &response_at, &correlation_at);
        size_t wanted = notation_bytes(cases[i].forwarded, expected, sizeof expected);
        CHECK_MEM(forwarded, n, expected, wanted);
        CHECK_INT((int64_t)response_at, cases[i].response_at < 0 ? (int64_t)SIZE_MAX : cases[i].response_at);
        CHECK_INT((int64_t)correlation_at,
                  cases[i].correlation_at < 0 ? (int64_t)SIZE_MAX : cases[i].correlation_at);
    }
}
