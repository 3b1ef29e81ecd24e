/* SUBSCRIBE, UNSUBSCRIBE and their answers. */
#include "wire/notation.h"
#include "wire/rows.h"

#include <stdio.h>

TEST(a_subscribe_is_read_in_every_version)
{
    static const struct row rows[] = {
        {"3.8.3-1", V3, CLIENT, "82 {000a ['a/b'] 01}", "SUBSCRIBE id=10; a/b q1"},
        {"3.8.3-1", V5, CLIENT, "82 {000a {} ['a/b'] 01}", "SUBSCRIBE id=10; a/b q1"},
        {"3.8.4-4", V3, CLIENT, "82 {ffff ['a/+/b'] 00 ['#'] 02}", "SUBSCRIBE id=65535; a/+/b q0; # q2"},
        {"5: 3.8.3.1", V5, CLIENT, "82 {0001 {} ['a'] 2e ['b'] 10}",
         "SUBSCRIBE id=1; a q2 no-local as-published handling=2; b q0 handling=1"},
        {"5: 3.8.2.1.2", V5, CLIENT, "82 {0001 {0b ffffff7f 26 ['a'] ['b']} ['a'] 00}",
         "SUBSCRIBE id=1 subscription-id=268435455 user:a=b; a q0"},
        {"5: 3.8.2.1.2", V5, CLIENT, "82 {0001 {0b 01} ['a'] 00}", "SUBSCRIBE id=1 subscription-id=1; a q0"},
        {"5: 4.8.2-1, -2", V5, CLIENT, "82 {0001 {} ['$share/g/a/#'] 01}", "SUBSCRIBE id=1; $share/g/a/# q1"},
        {"4.8.2, in 3.1.1 an agreement", V3, CLIENT, "82 {0001 ['$share/g/a'] 01}",
         "SUBSCRIBE id=1; $share/g/a q1"},
        {"31: 3.8, DUP says that it is sent again", V31, CLIENT, "8a {0001 ['a'] 01}",
         "SUBSCRIBE id=1; a q1"},
    };
    CHECK_ROWS(rows);
}

TEST(a_subscribe_that_is_not_well_formed_is_refused)
{
    static const char cut[] = "81 the packet is cut off";
    static const char bad[] = "81 a topic filter is cut off or not UTF-8";
    static const char flags[] = "81 reserved flags in the fixed header";
    static const struct row rows[] = {
        {"3.8.1-1", ALL, CLIENT, "80 {0001 ['a'] 00}", flags},
        {"3.8.1-1", ALL, CLIENT, "83 {0001 ['a'] 00}", flags},
        {"3.8.1-1", ALL, CLIENT, "86 {0001 ['a'] 00}", flags},
        {"3.8.1-1", V311 | V5, CLIENT, "8a {0001 ['a'] 00}", flags},
        {"311: 2.3.1-1, 5: 2.2.1-3", ALL, CLIENT, "82 {0000 {} ['a'] 00}", "82 packet identifier 0"},
        {"311: 3.8.3-3, 5: 3.8.3-2", V3, CLIENT, "82 {0001}", "82 no topic filter"},
        {"311: 3.8.3-3, 5: 3.8.3-2", V5, CLIENT, "82 {0001 {}}", "82 no topic filter"},
        {"3.8.2", ALL, CLIENT, "82 {}", cut},
        {"3.8.2", ALL, CLIENT, "82 {00}", cut},
        {"5: 2.2.2-1", V5, CLIENT, "82 {0001}", "81 the properties are cut off"},
        {"3.8.3-1", V3, CLIENT, "82 {0001 ['a']}", bad},
        {"3.8.3-1", V5, CLIENT, "82 {0001 {} ['a']}", bad},
        {"3.8.3-1", V3, CLIENT, "82 {0001 0005 'a/b' 00}", bad},
        {"3.8.3-1", V3, CLIENT, "82 {0001 ['a'] 00 00}", bad},
        {"311: 1.5.3-1, 5: 1.5.4-1", V5, CLIENT, "82 {0001 {} [ed bf bf] 00}", bad},
        {"311: 1.5.3-2, 5: 1.5.4-2", V3, CLIENT, "82 {0001 ['a' 00] 00}", bad},
        {"3.8", ALL, SERVER, "82 {0001 {} ['a'] 00}", "82 a packet that does not come from this side"},
    };
    CHECK_ROWS(rows);
}

TEST(subscription_options_outside_the_version_are_refused)
{
    static const char bits[] = "81 reserved subscription options are set";
    static const struct row rows[] = {
        {"311: 3.8.3-4", V3, CLIENT, "82 {0001 ['a'] 03}", "81 a subscription with QoS 3"},
        {"311: 3.8.3-4", V3, CLIENT, "82 {0001 ['a'] 04}", bits},
        {"311: 3.8.3-4", V3, CLIENT, "82 {0001 ['a'] 10}", bits},
        {"311: 3.8.3-4", V3, CLIENT, "82 {0001 ['a'] 80}", bits},
        {"5: 3.8.3.1, QoS 3", V5, CLIENT, "82 {0001 {} ['a'] 03}", "82 a subscription with QoS 3"},
        {"5: 3.8.3.1, Retain Handling 3", V5, CLIENT, "82 {0001 {} ['a'] 30}", "82 Retain Handling is 3"},
        {"5: 3.8.3-5", V5, CLIENT, "82 {0001 {} ['a'] 40}", bits},
        {"5: 3.8.3-5", V5, CLIENT, "82 {0001 {} ['a'] 80}", bits},
        {"5: 3.8.3-5, in the second", V5, CLIENT, "82 {0001 {} ['a'] 00 ['b'] c0}", bits},
        {"5: 3.8.3-4", V5, CLIENT, "82 {0001 {} ['$share/g/a'] 05}", "82 No Local on a shared subscription"},
        {"5: 3.8.2.1.2", V5, CLIENT, "82 {0001 {0b 00} ['a'] 00}",
         "82 Receive Maximum, Maximum Packet Size or Subscription Identifier is 0"},
        {"5: 3.8.2.1.2", V5, CLIENT, "82 {0001 {0b 01 0b 02} ['a'] 00}", "82 a property twice"},
    };
    CHECK_ROWS(rows);
}

/* One filter in SUBSCRIBE and UNSUBSCRIBE: refused or not. A $share filter without name or filter passes the decoder: it is
 * answered in SUBACK with 0x8F, where the others of the packet still count. */
TEST(filters_with_wildcards_amiss_are_refused_wherever_they_stand)
{
    static const struct {
        const char *filter;
        bool decodes, valid;
    } filters[] = {
        {"#", true, true},
        {"+", true, true},
        {"/", true, true},
        {"//", true, true},
        {"+/+", true, true},
        {"/+", true, true},
        {"a/+/#", true, true},
        {"+/#", true, true},
        {"/#", true, true},
        {"$SYS/#", true, true},
        {" ", true, true},
        {"", false, false},
        {"a/#/b", false, false},
        {"#/", false, false},
        {"#/a", false, false},
        {"#a", false, false},
        {"a#", false, false},
        {"a/b#", false, false},
        {"##", false, false},
        {"a/##", false, false},
        {"#+", false, false},
        {"+a", false, false},
        {"a+", false, false},
        {"++", false, false},
        {"a/+b/c", false, false},
        {"a/b+/c", false, false},
        {"+#", false, false},
        {"$share/g/a", true, true},
        {"$share/g/#", true, true},
        {"$share/g/+/a", true, true},
        {"$share/g//", true, true},
        {"$share/g/$SYS/a", true, true},
        {"$share/g/$share/h/a", true, true},
        {"$share", true, true},
        {"$shared/g", true, true},
        {"$share/", true, false},
        {"$share/g", true, false},
        {"$share/g/", true, false},
        {"$share//a", true, false},
        {"$share//", true, false},
        {"$share/+/a", true, false},
        {"$share/#/a", true, false},
        {"$share/g+/a", true, false},
        {"$share/#", true, false},
        {"$share/g/a#", false, false},
        {"$share/g/#/a", false, false},
        {"$share/g/+a", false, false},
    };
    static const struct {
        enum wire_version version;
        const char *before, *behind;
    } packets[] = {
        {WIRE_MQTT31, "82 {0001", "00}"},
        {WIRE_MQTT311, "82 {0001", "00}"},
        {WIRE_MQTT5, "82 {0001 {}", "00}"},
        {WIRE_MQTT31, "a2 {0001", "}"},
        {WIRE_MQTT311, "a2 {0001", "}"},
        {WIRE_MQTT5, "a2 {0001 {}", "}"},
        {WIRE_MQTT5, "82 {0001 {} ['a'] 00", "00}"},
    };
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        const char *filter = filters[i].filter;
        if (wire_filter_is_valid(filter, strlen(filter)) != filters[i].valid)
            FAIL("wire_filter_is_valid(%s)", filter);
        for (size_t k = 0; k < sizeof packets / sizeof packets[0]; k++) {
            char notation[128];
            uint8_t bytes[128];
            (void)snprintf(notation, sizeof notation, "%s ['%s'] %s", packets[k].before, filter,
                           packets[k].behind);
            size_t len = notation_bytes(notation, bytes, sizeof bytes);
            const char *result = row_result(bytes, len, packets[k].version, WIRE_FROM_CLIENT);
            const char *expected = filters[i].decodes ? bytes[0] == 0x82 ? "SUBSCRIBE" : "UNSUBSCRIBE"
                                                      : "81 a topic filter is empty or has a wildcard amiss";
            if (strncmp(result, expected, strlen(expected)) != 0)
                FAIL("version %d, %s is %s", packets[k].version, notation, result);
        }
    }
}

TEST(a_shared_filter_falls_into_its_name_and_its_filter)
{
    static const struct {
        const char *filter, *name, *inner; /* NULL: not shared */
    } filters[] = {
        {"$share/g/a/#", "g", "a/#"}, {"$share/g", "g", ""},  {"$share/", "", ""},
        {"$share//a", "", "a"},       {"$share/g/", "g", ""}, {"$share//", "", ""},
        {"$share/a/b/c", "a", "b/c"}, {"$share", NULL, NULL}, {"share/g/a", NULL, NULL},
        {"$Share/g/a", NULL, NULL},   {"", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        struct wire_text name = {0}, inner = {0};
        const char *filter = filters[i].filter;
        CHECK_INT(wire_filter_is_shared(filter, strlen(filter), &name, &inner), filters[i].name != NULL);
        if (!filters[i].name)
            continue;
        CHECK_MEM(name.text, name.len, filters[i].name, strlen(filters[i].name));
        CHECK_MEM(inner.text, inner.len, filters[i].inner, strlen(filters[i].inner));
    }
}

TEST(an_unsubscribe_is_read_in_every_version)
{
    static const char flags[] = "81 reserved flags in the fixed header";
    static const struct row rows[] = {
        {"3.10.3-1", V3, CLIENT, "a2 {000a ['a/b'] ['#']}", "UNSUBSCRIBE id=10; a/b; #"},
        {"3.10.3-1", V5, CLIENT, "a2 {000a {26 ['a'] ['b']} ['a/b']}", "UNSUBSCRIBE id=10 user:a=b; a/b"},
        {"31: 3.10, DUP says that it is sent again", V31, CLIENT, "aa {0001 ['a']}", "UNSUBSCRIBE id=1; a"},
        {"3.10.1-1", ALL, CLIENT, "a0 {0001 ['a']}", flags},
        {"3.10.1-1", ALL, CLIENT, "a3 {0001 ['a']}", flags},
        {"3.10.1-1", V311 | V5, CLIENT, "aa {0001 ['a']}", flags},
        {"311: 2.3.1-1, 5: 2.2.1-3", ALL, CLIENT, "a2 {0000 {} ['a']}", "82 packet identifier 0"},
        {"3.10.3-2", V3, CLIENT, "a2 {0001}", "82 no topic filter"},
        {"3.10.3-2", V5, CLIENT, "a2 {0001 {}}", "82 no topic filter"},
        {"3.10.3-1", V3, CLIENT, "a2 {0001 ['a'] 00}", "81 a topic filter is cut off or not UTF-8"},
        {"3.10.3-1", V5, CLIENT, "a2 {0001 {} [ff]}", "81 a topic filter is cut off or not UTF-8"},
        {"5: 2.2.2-1", V5, CLIENT, "a2 {0001}", "81 the properties are cut off"},
        {"3.10", ALL, SERVER, "a2 {0001 {} ['a']}", "82 a packet that does not come from this side"},
    };
    CHECK_ROWS(rows);
}

TEST(suback_codes_are_those_of_the_version)
{
    static const char reserved[] = "81 a SUBACK code that is reserved";
    static const struct row rows[] = {
        {"311: 3.9.3-1", V3, SERVER, "90 {000a 00 01 02}", "SUBACK id=10 00 01 02"},
        {"5: 3.9.3-1", V5, SERVER, "90 {000a {} 00 01 02 80}", "SUBACK id=10 00 01 02 80"},
        {"311: 3.9.3-2, others say it to 3.1, too", V3, SERVER, "90 {000a 80}", "SUBACK id=10 80"},
        {"5: 3.9.3-2", V5, SERVER, "90 {000a {} 83 87 8f 91 97 9e a1 a2}",
         "SUBACK id=10 83 87 8f 91 97 9e a1 a2"},
        {"5: 3.9.2.1", V5, SERVER, "90 {000a {1f ['no'] 26 ['a'] ['b']} 87}",
         "SUBACK id=10 87 reason-string=no user:a=b"},
        {"311: 3.9.3-2", V3, SERVER, "90 {000a 03}", reserved},
        {"311: 3.9.3-2", V3, SERVER, "90 {000a 00 7f}", reserved},
        {"311: 3.9.3-2", V3, SERVER, "90 {000a 87}", reserved},
        {"5: 3.9.3-2, no QoS", V5, SERVER, "90 {000a {} 03}", reserved},
        {"5: 3.9.3-2, a server may know more", V5, SERVER, "90 {000a {} af}", "SUBACK id=10 af"},
        {"3.9.3-1", V3, SERVER, "90 {000a}", "82 an acknowledgement without codes"},
        {"3.9.3-1", V5, SERVER, "90 {000a {}}", "82 an acknowledgement without codes"},
        {"5: 2.2.1-6", ALL, SERVER, "90 {0000 {} 00}", "82 packet identifier 0"},
        {"3.9.2", ALL, SERVER, "90 {}", "81 the packet is cut off"},
        {"5: 2.2.2-1", V5, SERVER, "90 {000a}", "81 the properties are cut off"},
        {"311: 2.2.2-1, 5: 2.1.3-1", ALL, SERVER, "92 {000a {} 00}", "81 reserved flags in the fixed header"},
        {"3.9", ALL, CLIENT, "90 {000a {} 00}", "82 a packet that does not come from this side"},
    };
    CHECK_ROWS(rows);
}

TEST(an_unsuback_has_codes_in_version_5_only)
{
    static const struct row rows[] = {
        {"311: 3.11.3", V3, SERVER, "b0 {000a}", "UNSUBACK id=10"},
        {"5: 3.11.3-1", V5, SERVER, "b0 {000a {} 00 11 87}", "UNSUBACK id=10 00 11 87"},
        {"5: 3.11.2.1", V5, SERVER, "b0 {000a {1f ['no'] 26 ['a'] ['b']} 80}",
         "UNSUBACK id=10 80 reason-string=no user:a=b"},
        {"311: 3.11.3", V3, SERVER, "b0 {000a 00}", "81 UNSUBACK with a payload"},
        {"5: 3.11.3-1", V5, SERVER, "b0 {000a {}}", "82 an acknowledgement without codes"},
        {"5: 2.2.2-1", V5, SERVER, "b0 {000a}", "81 the properties are cut off"},
        {"5: 2.2.1-6", ALL, SERVER, "b0 {0000 {} 00}", "82 packet identifier 0"},
        {"3.11.2", ALL, SERVER, "b0 {00}", "81 the packet is cut off"},
        {"311: 2.2.2-1, 5: 2.1.3-1", ALL, SERVER, "b2 {000a {} 00}", "81 reserved flags in the fixed header"},
        {"3.11", ALL, CLIENT, "b0 {000a {} 00}", "82 a packet that does not come from this side"},
    };
    CHECK_ROWS(rows);
}
