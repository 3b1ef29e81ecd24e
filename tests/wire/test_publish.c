/* PUBLISH and what acknowledges it. */
#include "wire/notation.h"
#include "wire/rows.h"

#include <stdio.h>

#define V40 "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"

TEST(a_publish_is_read_in_every_version_and_from_both_sides)
{
    static const struct row rows[] = {
        {"3.3.2-1", V3, BOTH, "30 {['a/b'] 'hello'}", "PUBLISH a/b q0 = hello"},
        {"3.3.2-1", V5, BOTH, "30 {['a/b'] {} 'hello'}", "PUBLISH a/b q0 = hello"},
        {"3.3.3, an empty payload", V3, BOTH, "31 {['a/b']}", "PUBLISH a/b q0 retain = "},
        {"3.3.3, an empty payload", V5, BOTH, "31 {['a/b'] {}}", "PUBLISH a/b q0 retain = "},
        {"3.3.1-1", V3, BOTH, "32 {['a'] 000a 'x'}", "PUBLISH a q1 id=10 = x"},
        {"3.3.1-1", V3, BOTH, "3a {['a'] 000a 'x'}", "PUBLISH a q1 dup id=10 = x"},
        {"3.3.1-1", V5, BOTH, "3d {['a'] ffff {} 'x'}", "PUBLISH a q2 dup retain id=65535 = x"},
        {"3.3.1-1", V5, BOTH, "34 {['a'] 0001 {} 00*4}", "PUBLISH a q2 id=1 = \\00\\00\\00\\00"},
        {"4.7.3-1, one character", V3, BOTH, "30 {['/'] 00}", "PUBLISH / q0 = \\00"},
        {"4.7.3, spaces and empty levels", V3, BOTH, "30 {['/ //a'] 'x'}", "PUBLISH /\\20//a q0 = x"},
        {"4.7.2, $ is an ordinary character here", V3, BOTH, "30 {['$SYS/a'] 'x'}", "PUBLISH $SYS/a q0 = x"},
        {"5: 3.3.2.3", V5, BOTH,
         "30 {['a'] {01 01 02 0000000a 03 ['text'] 08 ['r/s'] 09 [00ff] 26 ['k'] ['v'] 26 ['k'] ['w']} 'x'}",
         "PUBLISH a q0 payload-format=1 message-expiry=10 content-type=text response-topic=r/s"
         " correlation=\\00\\ff user:k=v user:k=w = x"},
        {"5: 3.3.2.3.4", V5, BOTH, "30 {['a'] {23 0005} 'x'}", "PUBLISH a q0 alias=5 = x"},
        {"5: 3.3.2.3.4, the alias instead of the topic", V5, BOTH, "30 {[] {23 0005} 'x'}",
         "PUBLISH  q0 alias=5 = x"},
        {"5: 3.3.4-4", V5, SERVER, "30 {['a'] {0b 05 0b ffffff7f} 'x'}",
         "PUBLISH a q0 subscription-id=5 subscription-id=268435455 = x"},
        {"5: 2.2.2, a length of two bytes", V5, BOTH, "30 {['a'] {26 ['k'] [76*120] 26 ['k'] []} 'x'}",
         "PUBLISH a q0 user:k=" V40 V40 V40 " user:k= = x"},
    };
    CHECK_ROWS(rows);
}

TEST(a_publish_with_impossible_flags_is_refused)
{
    static const struct row rows[] = {
        {"3.3.1-4", ALL, BOTH, "36 {['a'] 0001 00}", "81 PUBLISH with QoS 3"},
        {"3.3.1-4", ALL, BOTH, "3f {['a'] 0001 00}", "81 PUBLISH with QoS 3"},
        {"3.3.1-2", ALL, BOTH, "38 {['a'] 00}", "81 PUBLISH with DUP and QoS 0"},
        {"311: 2.3.1-1, 5: 2.2.1-3, -4", ALL, BOTH, "32 {['a'] 0000 00}",
         "82 PUBLISH with packet identifier 0"},
        {"311: 2.3.1-1, 5: 2.2.1-3, -4", ALL, BOTH, "34 {['a'] 0000 00}",
         "82 PUBLISH with packet identifier 0"},
    };
    CHECK_ROWS(rows);
}

TEST(a_publish_without_a_topic_name_is_refused)
{
    static const char cut[] = "81 PUBLISH is cut off or its topic is not UTF-8";
    static const char wildcard[] = "90 PUBLISH on a topic with a wildcard";
    static const struct row rows[] = {
        {"4.7.3-1", ALL, BOTH, "30 {[] {} 'x'}", "82 PUBLISH without a topic"},
        {"5: 3.3.2.3.4, other properties do not help", V5, BOTH, "30 {[] {01 01} 'x'}",
         "82 PUBLISH without a topic"},
        {"3.3.2-2", ALL, BOTH, "30 {['a/+'] {} 'x'}", wildcard},
        {"3.3.2-2", ALL, BOTH, "30 {['#'] {} 'x'}", wildcard},
        {"3.3.2-2, anywhere in a level", ALL, BOTH, "30 {['a#b'] {} 'x'}", wildcard},
        {"3.3.2-2, anywhere in a level", ALL, BOTH, "30 {['a+/b'] {} 'x'}", wildcard},
        {"3.3.2-2, with an alias, too", V5, BOTH, "30 {['a/+'] {23 0001} 'x'}", wildcard},
        {"3.3.2-1", ALL, BOTH, "30 {}", cut},
        {"3.3.2-1", ALL, BOTH, "30 {00}", cut},
        {"3.3.2-1, longer than the packet", ALL, BOTH, "30 {0005 'a/b'}", cut},
        {"3.3.2-1, no packet identifier", ALL, BOTH, "32 {['a']}", cut},
        {"3.3.2-1, half a packet identifier", ALL, BOTH, "32 {['a'] 00}", cut},
        {"311: 1.5.3-2, 5: 1.5.4-2", ALL, BOTH, "30 {['a' 00 'b'] {}}", cut},
        {"311: 1.5.3-1, 5: 1.5.4-1, a surrogate", ALL, BOTH, "30 {['a' ed a0 80] {}}", cut},
        {"311: 1.5.3-1, 5: 1.5.4-1, overlong", ALL, BOTH, "30 {['a' c0 af] {}}", cut},
        {"311: 1.5.3-1, 5: 1.5.4-1, cut", ALL, BOTH, "30 {['a' e2 82] {}}", cut},
        {"5: 2.2.2-1", V5, BOTH, "30 {['a']}", "81 the properties are cut off"},
        {"5: 2.2.2", V5, BOTH, "30 {['a'] 02 01}", "81 the properties are cut off"},
    };
    CHECK_ROWS(rows);
}

TEST(a_publish_names_aliases_and_subscriptions_by_the_rules)
{
    static const struct row rows[] = {
        {"5: 3.3.2-8", V5, BOTH, "30 {['a'] {23 0000} 'x'}", "94 Topic Alias is 0"},
        {"5: 3.3.2-8", V5, BOTH, "30 {[] {23 0000} 'x'}", "94 Topic Alias is 0"},
        {"5: 3.3.4-6", V5, CLIENT, "30 {['a'] {0b 05} 'x'}",
         "82 PUBLISH of a client with a Subscription Identifier"},
        {"5: 3.3.2.3.8", V5, SERVER, "30 {['a'] {0b 00} 'x'}",
         "82 Receive Maximum, Maximum Packet Size or Subscription Identifier is 0"},
        {"5: 3.3.2-14", V5, BOTH, "30 {['a'] {08 ['r/#']} 'x'}",
         "82 Response Topic has a wildcard or is empty"},
        {"5: 3.3.2-14", V5, BOTH, "30 {['a'] {08 ['+/r']} 'x'}",
         "82 Response Topic has a wildcard or is empty"},
        {"5: 4.7.3-1", V5, BOTH, "30 {['a'] {08 []} 'x'}", "82 Response Topic has a wildcard or is empty"},
    };
    CHECK_ROWS(rows);
}

TEST(acknowledgements_have_two_bytes_and_in_version_5_perhaps_more)
{
    static const struct row rows[] = {
        {"311: 2.3.1-6, 5: 2.2.1-5", ALL, BOTH, "40 {000a}", "PUBACK id=10 00"},
        {"311: 2.3.1-6, 5: 2.2.1-5", ALL, BOTH, "50 {000a}", "PUBREC id=10 00"},
        {"3.6.1-1", ALL, BOTH, "62 {000a}", "PUBREL id=10 00"},
        {"311: 4.3.3-2, 5: 4.3.3-11", ALL, BOTH, "70 {ffff}", "PUBCOMP id=65535 00"},
        {"5: 3.4.2.1", V5, BOTH, "40 {000a 00}", "PUBACK id=10 00"},
        {"5: 3.4.2-1", V5, BOTH, "40 {000a 97}", "PUBACK id=10 97"},
        {"5: 3.4.2.2", V5, BOTH, "40 {000a 10 {}}", "PUBACK id=10 10"},
        {"5: 3.4.2.2", V5, BOTH, "40 {000a 80 {1f ['no'] 26 ['a'] ['b']}}",
         "PUBACK id=10 80 reason-string=no user:a=b"},
        {"5: 3.5.2.2", V5, BOTH, "50 {000a 91 {1f ['no']}}", "PUBREC id=10 91 reason-string=no"},
        {"5: 3.6.2.2", V5, BOTH, "62 {000a 92 {1f ['no']}}", "PUBREL id=10 92 reason-string=no"},
        {"5: 3.7.2.2", V5, BOTH, "70 {000a 92 {1f ['no']}}", "PUBCOMP id=10 92 reason-string=no"},
    };
    CHECK_ROWS(rows);
}

TEST(acknowledgements_that_are_not_well_formed_are_refused)
{
    static const char cut[] = "81 the packet is cut off or a string in it is not UTF-8";
    static const char zero[] = "82 an acknowledgement of packet identifier 0";
    static const char behind[] = "81 bytes behind the end of the packet";
    static const char flags[] = "81 reserved flags in the fixed header";
    static const char amiss[] = "82 a reason code that does not belong in this packet";
    static const struct row rows[] = {
        {"3.4.2", ALL, BOTH, "40 {}", cut},
        {"3.4.2", ALL, BOTH, "40 {00}", cut},
        {"311: 2.3.1-1, 5: 2.2.1-3", ALL, BOTH, "40 {0000}", zero},
        {"311: 2.3.1-1, 5: 2.2.1-3", ALL, BOTH, "50 {0000}", zero},
        {"311: 2.3.1-1, 5: 2.2.1-3", ALL, BOTH, "62 {0000}", zero},
        {"311: 2.3.1-1, 5: 2.2.1-3", ALL, BOTH, "70 {0000}", zero},
        {"311: 3.4.2", V3, BOTH, "40 {000a 00}", behind},
        {"311: 3.5.2", V3, BOTH, "50 {000a 00}", behind},
        {"311: 3.6.2", V3, BOTH, "62 {000a 00}", behind},
        {"311: 3.7.2", V3, BOTH, "70 {000a 00}", behind},
        {"5: 3.4.2", V5, BOTH, "40 {000a 00 {} 00}", behind},
        {"5: 3.4.2", V5, BOTH, "40 {000a 00 03 1f ['ab']}", "81 a property is cut off or not well-formed"},
        {"5: 3.4.2", V5, BOTH, "40 {000a 00 06 1f ['ab']}", "81 the properties are cut off"},
        {"311: 2.2.2-1, 5: 2.1.3-1", ALL, BOTH, "42 {000a}", flags},
        {"311: 2.2.2-1, 5: 2.1.3-1", ALL, BOTH, "58 {000a}", flags},
        {"3.6.1-1", ALL, BOTH, "60 {000a}", flags},
        {"3.6.1-1", ALL, BOTH, "63 {000a}", flags},
        {"3.6.1-1", ALL, BOTH, "66 {000a}", flags},
        {"3.6.1-1", V311 | V5, BOTH, "6a {000a}", flags},
        {"31: 2.1, DUP says that it is sent again", V31, BOTH, "6a {000a}", "PUBREL id=10 00"},
        {"311: 2.2.2-1, 5: 2.1.3-1", ALL, BOTH, "71 {000a}", flags},
        {"5: 3.4.2-1, of another packet", V5, CLIENT, "40 {000a 92}", amiss},
        {"5: 3.4.2-1, of no packet", V5, CLIENT, "40 {000a 01}", amiss},
        {"5: 3.5.2-1", V5, CLIENT, "50 {000a 92}", amiss},
        {"5: 3.6.2-1", V5, CLIENT, "62 {000a 80}", amiss},
        {"5: 3.7.2-1", V5, CLIENT, "70 {000a 97}", amiss},
        {"5: 3.7.2-1, a server may know more", V5, SERVER, "70 {000a 97}", "PUBCOMP id=10 97"},
    };
    CHECK_ROWS(rows);
}

/* Reasons of each packet, from the tables of the standard (3.4.2.1, 3.5.2.1, 3.6.2.1, 3.7.2.1, 3.14.2.1, 3.15.2.1), as far
 * as a client may say them. 0x10 is a server's, but bridges say it, too. */
TEST(a_client_may_say_the_reasons_of_a_packet_and_no_others)
{
    static const struct {
        const char *before, *behind;
        uint8_t reasons[24];
        size_t count;
    } packets[] = {
        {"40 {0001", "}", {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}, 9},
        {"50 {0001", "}", {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}, 9},
        {"62 {0001", "}", {0x00, 0x92}, 2},
        {"70 {0001", "}", {0x00, 0x92}, 2},
        {"e0 {",
         "}",
         {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99},
         14},
        {"f0 {", "{15 ['m']}}", {0x18, 0x19}, 2},
    };
    for (size_t i = 0; i < sizeof packets / sizeof packets[0]; i++)
        for (unsigned reason = 0; reason < 256; reason++) {
            char notation[64];
            uint8_t bytes[32];
            (void)snprintf(notation, sizeof notation, "%s %02x %s", packets[i].before, reason,
                           packets[i].behind);
            size_t len = notation_bytes(notation, bytes, sizeof bytes);
            bool belongs = memchr(packets[i].reasons, (int)reason, packets[i].count) != NULL;
            const char *result = row_result(bytes, len, WIRE_MQTT5, WIRE_FROM_CLIENT);
            if (belongs != (strncmp(result, "82 ", 3) != 0))
                FAIL("%s is %s", notation, result);
        }
}
