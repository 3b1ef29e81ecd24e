/* CONNECT, CONNACK, AUTH, DISCONNECT and the pings. */
#include "wire/rows.h"

TEST(a_connect_is_read_in_every_version)
{
    static const struct row rows[] = {
        {"31: 3.1", ALL, CLIENT, "10 {['MQIsdp'] 03 02 000a ['pump']}",
         "CONNECT v3 clean keepalive=10 id=pump"},
        {"311: 3.1.2-1", ALL, CLIENT, "10 {['MQTT'] 04 02 003c ['pump']}",
         "CONNECT v4 clean keepalive=60 id=pump"},
        {"5: 3.1.2-1", ALL, CLIENT, "10 {['MQTT'] 05 02 003c {} ['pump']}",
         "CONNECT v5 clean keepalive=60 id=pump"},
        {"311: 3.1.2-4", ALL, CLIENT, "10 {['MQTT'] 04 00 0000 ['pump']}", "CONNECT v4 keepalive=0 id=pump"},
        {"5: 3.1.2-5", ALL, CLIENT, "10 {['MQTT'] 05 00 ffff {} ['pump']}",
         "CONNECT v5 keepalive=65535 id=pump"},
        {"3.1.3-6", ALL, CLIENT, "10 {['MQTT'] 04 02 0000 []}", "CONNECT v4 clean keepalive=0 id="},
        {"3.1.3-6", ALL, CLIENT, "10 {['MQTT'] 05 00 0000 {} []}", "CONNECT v5 keepalive=0 id="},
        {"311: 3.1.2-19, 21", ALL, CLIENT, "10 {['MQTT'] 04 c2 0001 ['p'] ['u'] ['secret']}",
         "CONNECT v4 clean keepalive=1 id=p username=u password=secret"},
        {"5: 3.1.2-17, 19", ALL, CLIENT, "10 {['MQTT'] 05 c2 0001 {} ['p'] ['u'] [00ff]}",
         "CONNECT v5 clean keepalive=1 id=p username=u password=\\00\\ff"},
        {"311: 3.1.2-18", ALL, CLIENT, "10 {['MQTT'] 04 82 0001 ['p'] []}",
         "CONNECT v4 clean keepalive=1 id=p username="},
        {"5: 3.1.2.9", ALL, CLIENT, "10 {['MQTT'] 05 42 0001 {} ['p'] ['token']}",
         "CONNECT v5 clean keepalive=1 id=p password=token"},
        {"311: 3.1.2-22", ALL, CLIENT, "10 {['MQTT'] 04 42 0001 ['p'] ['token']}",
         "81 a password without a user name"},
        {"31: 3.1", ALL, CLIENT, "10 {['MQIsdp'] 03 42 0001 ['p'] ['token']}",
         "81 a password without a user name"},
        {"31: 3.1, flags that promise too much", ALL, CLIENT, "10 {['MQIsdp'] 03 c2 0001 ['p']}",
         "CONNECT v3 clean keepalive=1 id=p"},
        {"31: 3.1, flags that promise too much", ALL, CLIENT, "10 {['MQIsdp'] 03 c2 0001 ['p'] ['u']}",
         "CONNECT v3 clean keepalive=1 id=p username=u"},
        {"3.1.3-1", ALL, CLIENT, "10 {['MQTT'] 04 f6 0001 ['p'] ['gone'] ['bye'] ['u'] ['s']}",
         "CONNECT v4 clean keepalive=1 id=p username=u password=s will q2 retain topic=gone payload=bye"},
        {"3.1.3-1", ALL, CLIENT, "10 {['MQIsdp'] 03 f6 0001 ['p'] ['gone'] ['bye'] ['u'] ['s']}",
         "CONNECT v3 clean keepalive=1 id=p username=u password=s will q2 retain topic=gone payload=bye"},
        {"3.1.3-1", ALL, CLIENT,
         "10 {['MQTT'] 05 ee 0001 {11 0000000a} ['p'] {18 00000005 03 ['text']} ['gone'] [0001] ['u'] ['s']}",
         "CONNECT v5 clean keepalive=1 id=p username=u password=s session-expiry=10"
         " will q1 retain topic=gone payload=\\00\\01 will-delay=5 content-type=text"},
        {"5: 3.1.2-9, an empty will payload", ALL, CLIENT, "10 {['MQTT'] 05 04 0001 {} ['p'] {} ['gone'] []}",
         "CONNECT v5 keepalive=1 id=p will q0 topic=gone payload="},
    };
    CHECK_ROWS(rows);
}

TEST(a_connect_of_another_protocol_or_level_is_refused)
{
    static const struct row rows[] = {
        {"3.1.2-1", ALL, CLIENT, "10 {['MQTt'] 04 02 003c ['p']}", "81 CONNECT of another protocol"},
        {"3.1.2-1", ALL, CLIENT, "10 {['MQTTX'] 04 02 003c ['p']}", "81 CONNECT of another protocol"},
        {"3.1.2-1", ALL, CLIENT, "10 {[] 04 02 003c ['p']}", "81 CONNECT of another protocol"},
        {"3.1.2-1", ALL, CLIENT, "10 {['MQTT' 00] 04 02 003c ['p']}", "81 CONNECT is cut off"},
        {"3.1.2-2", ALL, CLIENT, "10 {['MQTT'] 03 02 003c ['p']}", "84 an unknown protocol level"},
        {"3.1.2-2", ALL, CLIENT, "10 {['MQTT'] 06 02 003c ['p']}", "84 an unknown protocol level"},
        {"3.1.2-2", ALL, CLIENT, "10 {['MQTT'] 00 02 003c ['p']}", "84 an unknown protocol level"},
        {"3.1.2-2", ALL, CLIENT, "10 {['MQIsdp'] 04 02 003c ['p']}", "84 an unknown protocol level"},
        {"3.1.2-2", ALL, CLIENT, "10 {['MQIsdp'] 05 02 003c {} ['p']}", "84 an unknown protocol level"},
        {"3.1.2-2, a bridge's bit", ALL, CLIENT, "10 {['MQTT'] 84 02 003c ['p']}",
         "84 an unknown protocol level"},
        {"3.1.2-2, whatever follows", ALL, CLIENT, "10 {['MQTT'] 7f}", "84 an unknown protocol level"},
        {"3.1.0-1", ALL, SERVER, "10 {['MQTT'] 04 02 003c ['p']}",
         "82 a packet that does not come from this side"},
    };
    CHECK_ROWS(rows);
}

TEST(connect_flags_that_contradict_each_other_are_refused)
{
    static const struct row rows[] = {
        {"3.1.2-3", ALL, CLIENT, "10 {['MQTT'] 04 03 003c ['p']}", "81 the reserved connect flag is set"},
        {"3.1.2-3", ALL, CLIENT, "10 {['MQTT'] 05 01 003c {} ['p']}", "81 the reserved connect flag is set"},
        {"3.1.2-3", ALL, CLIENT, "10 {['MQIsdp'] 03 03 003c ['p']}", "81 the reserved connect flag is set"},
        {"311: 3.1.2-13, 5: 3.1.2-11", ALL, CLIENT, "10 {['MQTT'] 04 0a 003c ['p']}",
         "81 will flags without a will"},
        {"311: 3.1.2-13, 5: 3.1.2-11", ALL, CLIENT, "10 {['MQTT'] 05 12 003c {} ['p']}",
         "81 will flags without a will"},
        {"311: 3.1.2-15, 5: 3.1.2-13", ALL, CLIENT, "10 {['MQTT'] 04 22 003c ['p']}",
         "81 will flags without a will"},
        {"311: 3.1.2-15, 5: 3.1.2-13", ALL, CLIENT, "10 {['MQTT'] 05 22 003c {} ['p']}",
         "81 will flags without a will"},
        {"311: 3.1.2-14, 5: 3.1.2-12", ALL, CLIENT, "10 {['MQTT'] 04 1e 003c ['p'] ['w'] []}",
         "81 a will with QoS 3"},
        {"311: 3.1.2-14, 5: 3.1.2-12", ALL, CLIENT, "10 {['MQTT'] 05 1e 003c {} ['p'] {} ['w'] []}",
         "81 a will with QoS 3"},
        {"311: 2.2.2-1, 5: 2.1.3-1", ALL, CLIENT, "11 {['MQTT'] 04 02 003c ['p']}",
         "81 reserved flags in the fixed header"},
        {"311: 2.2.2-1, 5: 2.1.3-1", ALL, CLIENT, "18 {['MQTT'] 05 02 003c {} ['p']}",
         "81 reserved flags in the fixed header"},
    };
    CHECK_ROWS(rows);
}

TEST(a_connect_with_a_bad_payload_is_refused)
{
    static const char cut[] = "81 the packet is cut off or a string in it is not UTF-8";
    static const struct row rows[] = {
        {"3.1.3-3", ALL, CLIENT, "10 {['MQTT'] 04 02 003c}", cut},
        {"3.1.3-3", ALL, CLIENT, "10 {['MQTT'] 05 02 003c {}}", cut},
        {"311: 1.5.3-1, 5: 1.5.4-1", ALL, CLIENT, "10 {['MQTT'] 04 02 003c [ff]}", cut},
        {"311: 1.5.3-2, 5: 1.5.4-2", ALL, CLIENT, "10 {['MQTT'] 05 02 003c {} ['p' 00]}", cut},
        {"3.1.3-4, longer than the packet", ALL, CLIENT, "10 {['MQTT'] 04 02 003c 0003 'pu'}", cut},
        {"311: 3.1.2-19, 5: 3.1.2-17", ALL, CLIENT, "10 {['MQTT'] 04 82 003c ['p']}", cut},
        {"311: 3.1.2-21, 5: 3.1.2-19", ALL, CLIENT, "10 {['MQTT'] 05 c2 003c {} ['p'] ['u']}", cut},
        {"5: 3.1.3-12", ALL, CLIENT, "10 {['MQTT'] 05 82 003c {} ['p'] [c0 80]}", cut},
        {"311: 3.1.2-18, 5: 3.1.2-16", ALL, CLIENT, "10 {['MQTT'] 04 02 003c ['p'] ['u']}",
         "81 bytes behind the end of the packet"},
        {"311: 3.1.2-20, 5: 3.1.2-18", ALL, CLIENT, "10 {['MQTT'] 05 82 003c {} ['p'] ['u'] ['s']}",
         "81 bytes behind the end of the packet"},
        {"311: 3.1.2-9, 5: 3.1.2-9", ALL, CLIENT, "10 {['MQTT'] 04 06 003c ['p']}", cut},
        {"311: 3.1.2-9, 5: 3.1.2-9", ALL, CLIENT, "10 {['MQTT'] 04 06 003c ['p'] ['w']}", cut},
        {"5: 3.1.2-9", ALL, CLIENT, "10 {['MQTT'] 05 06 003c {} ['p']}", "81 the properties are cut off"},
        {"5: 3.1.3-11", ALL, CLIENT, "10 {['MQTT'] 05 06 003c {} ['p'] {} [ed a0 80] []}", cut},
        {"4.7.3-1", ALL, CLIENT, "10 {['MQTT'] 04 06 003c ['p'] [] ['x']}",
         "90 the will's topic is empty or has a wildcard"},
        {"311: 4.7.1-1, 5: 4.7.0-1", ALL, CLIENT, "10 {['MQTT'] 05 06 003c {} ['p'] {} ['a/+'] []}",
         "90 the will's topic is empty or has a wildcard"},
        {"311: 4.7.1-1, 5: 4.7.0-1", ALL, CLIENT, "10 {['MQIsdp'] 03 06 003c ['p'] ['#'] []}",
         "90 the will's topic is empty or has a wildcard"},
        {"5: 2.2.2-1", ALL, CLIENT, "10 {['MQTT'] 05 02 003c}", "81 the properties are cut off"},
        {"5: 2.2.2", ALL, CLIENT, "10 {['MQTT'] 05 02 003c 05 11 00000001}",
         "81 the packet is cut off or a string in it is not UTF-8"},
        {"5: 2.2.2, beyond the end", ALL, CLIENT, "10 {['MQTT'] 05 02 003c 06 11 00000001}",
         "81 the properties are cut off"},
    };
    CHECK_ROWS(rows);
}

TEST(a_connack_is_read_as_its_version_says_it)
{
    static const struct row rows[] = {
        {"311: 3.2.2-1, 5: 3.2.2-2", V3, SERVER, "20 {00 00}", "CONNACK 00"},
        {"5: 3.2.2-2", V5, SERVER, "20 {00 00 {}}", "CONNACK 00"},
        {"311: 3.2.2-2, 5: 3.2.2-3", V311, SERVER, "20 {01 00}", "CONNACK 00 present"},
        {"31: 3.2, this byte is not used", V31, SERVER, "20 {01 00}", "CONNACK 00"},
        {"31: 3.2, this byte is not used", V31, SERVER, "20 {ff 00}", "CONNACK 00"},
        {"5: 3.2.2-3", V5, SERVER, "20 {01 00 {}}", "CONNACK 00 present"},
        {"311: 3.2.2-5", V3, SERVER, "20 {00 05}", "CONNACK 05"},
        {"5: 3.2.2-7", V5, SERVER, "20 {00 87 {}}", "CONNACK 87"},
        {"5: 3.2.2-8", V5, SERVER, "20 {00 a1 {}}", "CONNACK a1"},
        {"5: 3.2.2-1", V5, SERVER, "20 {02 00 {}}", "81 reserved CONNACK flags are set"},
        {"5: 3.2.2-1", V5, SERVER, "20 {80 00 {}}", "81 reserved CONNACK flags are set"},
        {"311: 3.2.2.1", V311, SERVER, "20 {02 00}", "81 reserved CONNACK flags are set"},
        {"311: 2.2.2-1, 5: 2.1.3-1", ALL, SERVER, "22 {00 00 {}}", "81 reserved flags in the fixed header"},
        {"311: 3.2.2", V3, SERVER, "20 {00 00 00}", "81 bytes behind the end of the packet"},
        {"5: 3.2.2", V5, SERVER, "20 {00 00 {} 00}", "81 bytes behind the end of the packet"},
        {"5: 2.2.2-1", V5, SERVER, "20 {00 00}", "81 the properties are cut off"},
        {"3.2.0-1", ALL, SERVER, "20 {}", "81 the packet is cut off or a string in it is not UTF-8"},
        {"3.2", ALL, CLIENT, "20 {00 00 {}}", "82 a packet that does not come from this side"},
        {"5: 3.2.2.3", V5, SERVER,
         "20 {00 00 {11 0000ffff 21 0014 24 01 25 00 27 00010000 12 ['pump'] 22 0008 1f ['fine'] 26 ['a'] ['b']"
         " 28 00 29 00 2a 00 13 001e 1a ['reply/pump'] 1c ['other'] 15 ['SCRAM'] 16 [00ff]}}",
         "CONNACK 00 session-expiry=65535 server-keepalive=30 receive-max=20 alias-max=8 qos-max=1 retain=0"
         " packet-max=65536 wildcards=0 subscription-ids=0 shared=0 assigned-id=pump auth-method=SCRAM"
         " auth-data=\\00\\ff response-info=reply/pump server-reference=other reason-string=fine user:a=b"},
    };
    CHECK_ROWS(rows);
}

TEST(a_disconnect_may_leave_out_its_reason_in_version_5)
{
    static const char amiss[] = "82 a reason code that does not belong in this packet";
    static const struct row rows[] = {
        {"3.14", V3, CLIENT, "e0 {}", "DISCONNECT 00"},
        {"5: 3.14.2.1", V5, BOTH, "e0 {}", "DISCONNECT 00"},
        {"5: 3.14.2.1", V5, BOTH, "e0 {00}", "DISCONNECT 00"},
        {"5: 3.14.2.1", V5, BOTH, "e0 {82}", "DISCONNECT 82"},
        {"5: 3.14.2.2", V5, BOTH, "e0 {00 {}}", "DISCONNECT 00"},
        {"5: 3.14.2.1", V5, CLIENT, "e0 {04 {}}", "DISCONNECT 04"},
        {"5: 3.14.2.2", V5, CLIENT, "e0 {00 {11 00000000}}", "DISCONNECT 00 session-expiry=0"},
        {"5: 3.14.2-2", V5, SERVER, "e0 {00 {11 00000000}}",
         "82 DISCONNECT of a server with Session Expiry Interval"},
        {"5: 3.14.2.2", V5, SERVER, "e0 {9c {1c ['other:1883'] 1f ['moved'] 26 ['a'] ['b'] 26 ['a'] ['c']}}",
         "DISCONNECT 9c server-reference=other:1883 reason-string=moved user:a=b user:a=c"},
        {"5: 3.14.2-1, only a server says so", V5, CLIENT, "e0 {8b}", amiss},
        {"5: 3.14.2-1, only a server says so", V5, CLIENT, "e0 {87}", amiss},
        {"5: 3.14.2-1, of no packet", V5, CLIENT, "e0 {01}", amiss},
        {"5: 3.14.2-1, of another packet", V5, CLIENT, "e0 {18}", amiss},
        {"5: 3.14.2-1, a server may know more", V5, SERVER, "e0 {af}", "DISCONNECT af"},
        {"311: 3.14.1-1, 5: 3.14.1-1", ALL, CLIENT, "e1 {}", "81 reserved flags in the fixed header"},
        {"311: 3.14.1-1, 5: 3.14.1-1", ALL, CLIENT, "e2 {}", "81 reserved flags in the fixed header"},
        {"311: 3.14", V3, CLIENT, "e0 {00}", "81 DISCONNECT with a body"},
        {"311: 3.14, a server only closes", V3, SERVER, "e0 {}",
         "82 a packet that does not come from this side"},
        {"5: 3.14", V5, BOTH, "e0 {00 {} 00}", "81 bytes behind the end of the packet"},
        {"5: 3.14", V5, BOTH, "e0 {00 04 1f ['ab']}", "81 a property is cut off or not well-formed"},
        {"5: 3.14", V5, BOTH, "e0 {00 06 1f ['ab']}", "81 the properties are cut off"},
    };
    CHECK_ROWS(rows);
}

TEST(auth_carries_a_method_and_exists_in_version_5_only)
{
    static const char amiss[] = "82 a reason code that does not belong in this packet";
    static const char no_method[] = "82 AUTH without Authentication Method";
    static const struct row rows[] = {
        {"5: 4.12.0-2", V5, BOTH, "f0 {18 {15 ['SCRAM'] 16 ['data']}}",
         "AUTH 18 auth-method=SCRAM auth-data=data"},
        {"5: 4.12.1-1", V5, BOTH, "f0 {19 {15 ['SCRAM']}}", "AUTH 19 auth-method=SCRAM"},
        {"5: 3.15.2.1", V5, SERVER, "f0 {}", "AUTH 00"},
        {"5: 3.15.2.1", V5, SERVER, "f0 {00 {15 ['SCRAM']}}", "AUTH 00 auth-method=SCRAM"},
        {"5: 3.15.2.2", V5, BOTH, "f0 {18 {15 ['m'] 1f ['step'] 26 ['a'] ['b']}}",
         "AUTH 18 auth-method=m reason-string=step user:a=b"},
        {"5: 3.15.2-1, only a server says so", V5, CLIENT, "f0 {}", amiss},
        {"5: 3.15.2-1, only a server says so", V5, CLIENT, "f0 {00 {15 ['SCRAM']}}", amiss},
        {"5: 3.15.2-1", V5, CLIENT, "f0 {87 {15 ['SCRAM']}}", amiss},
        {"5: 3.15.2.2.2", V5, BOTH, "f0 {18 {}}", no_method},
        {"5: 3.15.2.2.2", V5, BOTH, "f0 {19}", no_method},
        {"5: 3.15.2.2.3", V5, BOTH, "f0 {18 {16 ['data']}}",
         "82 Authentication Data without Authentication Method"},
        {"5: 3.15.1-1", V5, BOTH, "f2 {18 {15 ['SCRAM']}}", "81 reserved flags in the fixed header"},
        {"5: 3.15", V5, BOTH, "f0 {18 {15 ['m']} 00}", "81 bytes behind the end of the packet"},
        {"311: 2.2.1", V3, BOTH, "f0 {}", "82 a packet that does not come from this side"},
    };
    CHECK_ROWS(rows);
}

TEST(pings_have_no_body_and_one_direction_each)
{
    static const struct row rows[] = {
        {"3.12", ALL, CLIENT, "c0 {}", "PINGREQ"},
        {"3.13", ALL, SERVER, "d0 {}", "PINGRESP"},
        {"3.12", ALL, SERVER, "c0 {}", "82 a packet that does not come from this side"},
        {"3.13", ALL, CLIENT, "d0 {}", "82 a packet that does not come from this side"},
        {"3.12.1", ALL, CLIENT, "c0 {00}", "81 bytes behind the end of the packet"},
        {"3.13.1", ALL, SERVER, "d0 {00}", "81 bytes behind the end of the packet"},
        {"311: 2.2.2-1, 5: 2.1.3-1", ALL, CLIENT, "c2 {}", "81 reserved flags in the fixed header"},
        {"311: 2.2.2-1, 5: 2.1.3-1", ALL, SERVER, "d8 {}", "81 reserved flags in the fixed header"},
    };
    CHECK_ROWS(rows);
}
