#include "mqtt/play.h"
#include "rig/test.h"

#include <stdio.h>

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static struct script parsed(const char *text)
{
    struct script script;
    char *why = NULL;
    if (script_parse(&script, "t", text, strlen(text), &why) < 0)
        FAIL("%s", why);
    return script;
}

TEST(a_script_that_cannot_be_read_names_its_line)
{
    static const struct {
        const char *text, *why;
    } faults[] = {
        {"A connects\n", "t:1: a script begins with a case"},
        {"case\n", "t:1: a case needs a name"},
        {"case x\n  A connects\n", "t:2: a case says what it is played as before its steps"},
        {"case x\n  5.0\n", "t:1: a case without steps"},
        {"case x\n  5.0 3.1.0-1\n", "t:2: a case says what it is played as"},
        {"case x\n  5.0 MQTT-1 x\n", "t:2: a statement's number"},
        {"case x\n  5.0\n  A connects\n  5.0 MQTT-1\n", "t:4: what a case shows stands before its steps"},
        {"case x\n  5.0\n  A jumps\n", "t:3: connects, resumes, subscribes"},
        {"case x\n  5.0\n  jump\n", "t:3: this is no step"},
        {"case x\n  5.0\n  A> quickly\n", "t:3: a packet is expected"},
        {"case x\n  5.0\n  A> raw 1\n", "t:3: bytes are written with two digits each"},
        {"case x\n  5.0\n  A> raw xy\n", "t:3: bytes are written in hexadecimal"},
        {"case x\n  5.0\n  A> raw 30 ( 00\n", "t:3: a bracket is not closed"},
        {"case x\n  5.0\n  A> raw\n", "t:3: bytes are expected"},
        {"case x\n  5.0\n  A> PUBLISH \"a\n", "t:3: a text without its closing quote"},
        {"case x\n  5.0\n  A> PUBLISH \"a\\q\"\n", "t:3: in texts there are"},
        {"case x\n  5.0\n  A> PUBLISH \"a\"*b\n", "t:3: a number is expected behind *"},
        {"case x\n  5.0\n  A< PUBLISH a ... b\n", "t:3: nothing comes behind ..."},
        {"case x\n  5.0\n  A< ended\n", "t:3: a reason code is expected"},
        {"case x\n  5.0\n  A< closed now\n", "t:3: something is left"},
        {"case x\n  5.0\n  wait 5\n", "t:3: a time like 1500ms or 90s"},
        {"case x\n  5.0\n  settle first 0\n", "t:3: oldest or newest"},
    };
    for (size_t i = 0; i < array_size(faults); i++) {
        struct script script;
        cleanup_free char *why = NULL;
        CHECK(script_parse(&script, "t", faults[i].text, strlen(faults[i].text), &why) < 0);
        if (strncmp(why, faults[i].why, strlen(faults[i].why)) != 0)
            FAIL("%s\nsays: %s\nexpected: %s", faults[i].text, why, faults[i].why);
    }
}

TEST(brackets_put_lengths_before_what_stands_in_them)
{
    struct script script = parsed("case x\n  5.0\n  A> raw 30 ( [ \"a/b\" ] 2a ) # a comment\n"
                                  "  A> raw ( \"x\"*200 ) [ ]\n");
    const struct script_step *steps = script.cases[0].steps;
    static const uint8_t first[] = {0x30, 6, 0, 3, 'a', '/', 'b', 0x2A};
    CHECK_MEM(steps[0].bytes, steps[0].len, first, sizeof first);
    CHECK_INT(steps[1].len, 2 + 200 + 2);
    CHECK_INT(steps[1].bytes[0], 0xC8);
    CHECK_INT(steps[1].bytes[1], 0x01);
    script_done(&script);
}

TEST(texts_have_escapes_and_repetitions)
{
    struct script script =
        parsed("case x\n  5.0\n  A> PUBLISH \"\\x00\\xff\\\"\\\\\\n\" \"ab\"*3 user=k=v \"#\"\n");
    const struct script_fields *fields = &script.cases[0].steps[0].fields;
    CHECK_INT(fields->count, 4);
    CHECK_MEM(fields->list[0].value, fields->list[0].len, "\0\xFF\"\\\n", 5);
    CHECK_MEM(fields->list[1].value, fields->list[1].len, "ababab", 6);
    CHECK_STR(fields->list[2].key, "user");
    CHECK_STR(fields->list[2].value, "k=v");
    CHECK_STR(fields->list[3].value, "#");
    script_done(&script);
}

TEST(a_case_says_in_which_versions_it_and_its_steps_are_played)
{
    struct script script =
        parsed("case x\n  3.1.1 MQTT-3.1.0-1 MQTT-3.1.0-2\n  5.0 MQTT-3.1.0-1\n  with packet-max=9\n"
               "  A connects\n  5.0 A< closed\n  3.x wait 1500ms\n");
    const struct script_case *one = &script.cases[0];
    CHECK_INT(one->versions, SCRIPT_311 | SCRIPT_5);
    CHECK_INT(one->options.count, 1);
    CHECK_INT(one->count, 3);
    CHECK_INT(one->steps[0].versions, SCRIPT_31 | SCRIPT_311 | SCRIPT_5);
    CHECK_INT(one->steps[1].versions, SCRIPT_5);
    CHECK_INT(one->steps[2].versions, SCRIPT_31 | SCRIPT_311);
    CHECK_INT(one->steps[2].number, 1500);
    script_done(&script);
}

/* ---- playing ------------------------------------------------------------------------------------------------------- */

/* Plays steps as MQTT 5; what went wrong, to be freed, or NULL. */
static char *played(const char *steps)
{
    cleanup_free char *text = str_printf("case x\n5.0\n%s", steps);
    struct script script = parsed(text);
    char *why = NULL;
    int r = play(&script, &script.cases[0], SCRIPT_5, &why);
    CHECK_INT(r < 0, why != NULL);
    script_done(&script);
    return why;
}

TEST(what_goes_as_written_is_fine)
{
    cleanup_free char *why = played("A connects clean\n"
                                    "A subscribes id=1 sub-id=1 a qos=1\n"
                                    "A subscribes id=2 sub-id=2 +\n"
                                    "A> PUBLISH a \"x y\" qos=1 id=0x07 user=k=1 user=k=2\n"
                                    "A<~ PUBACK id=7\n"
                                    "A<~ PUBLISH a \"x y\" qos=1 id=$m user=k=1 user=k=2 sub-id=2 sub-id=1\n"
                                    "A> PUBACK id=$m\n"
                                    "A< nothing\n"
                                    "A> DISCONNECT\n"
                                    "A< closed\n");
    if (why)
        FAIL("%s", why);
}

TEST(what_does_not_go_as_written_is_told)
{
    static const struct {
        const char *steps, *why;
    } faults[] = {
        {"A> CONNECT clean\nA< PINGRESP\n", "CONNACK rc=0 "},
        {"A> CONNECT clean\nA< CONNACK rc=0\n", "is not expected"},
        {"A> CONNECT clean\nA< CONNACK rc=0 receive-max=7 ...\n", "receive-max is different"},
        {"A> CONNECT clean\nA< CONNACK rc=0 without=receive-max ...\n", "without is different"},
        {"A> CONNECT clean\nA< CONNACK rc=0 session-present ...\n", "session-present is different"},
        {"A> CONNECT clean\nA< CONNACK rc=0x87 ...\n", "rc is different"},
        {"A resumes\n", "there is no session"},
        {"A connects session-expiry=9\nA> close\nA connects\n", "there is a session already"},
        {"A connects clean\nA< PINGRESP\n", "nothing came"},
        {"A connects clean\nA> PINGREQ\n", "A< PINGRESP came"},
        {"A connects clean\nA> PINGREQ\nA< nothing\n", "A< PINGRESP came"},
        {"A connects clean\nA< closed\n", "the connection is still open"},
        {"A connects clean\nA> raw 00 00\nA< nothing\n", "DISCONNECT rc=0x81 "},
        {"A connects clean\nA> raw 00 00\nA< DISCONNECT rc=0x81\n", "the broker has closed A's connection"},
        {"A connects clean\nA> raw 00 00\nA< DISCONNECT rc=0x81\nA< nothing\n", "the broker has closed"},
        {"A connects clean\nA> raw 00 00\nA< ended 0x82\n", "rc is different"},
        {"A connects clean\nA> PINGREQ\nA< raw d0 01\n", "d0 00 came"},
        {"A connects clean\nA subscribes a\nA> PUBLISH a x\nA< PUBLISH a y\n", "payload is different"},
        {"A connects clean\nA subscribes a\nA> PUBLISH a x\nA< PUBLISH a\n", "payload is not expected"},
        {"A connects clean\nA subscribes a\nA> PUBLISH a x\nA< PUBLISH a x retain\n", "retain is different"},
        {"A connects clean\nA subscribes a\nA> PUBLISH a x expiry=9\nA< PUBLISH a x\n",
         "expiry is not expected"},
        {"A connects clean\nA subscribes a\nA> PUBLISH a x user=a=1 user=a=2\nA< PUBLISH a x user=a=2 user=a=1\n",
         "user is different"},
        {"A connects clean\nA subscribes a qos=1\nA> PUBLISH a x\nA> PUBLISH a y\nA<~ PUBLISH a x\nA<~ PUBLISH a z\n",
         "payload is different"},
        {"A connects clean\nA> SUBSCRIBE id=1 a b\nA< SUBACK id=1 0\n", "code is not expected"},
        {"A connects clean\nA> SUBSCRIBE id=1 a b qos=1\nA< SUBACK id=1 1 0\n", "code is different"},
        {"A connects clean\nA> SUBSCRIBE id=1 a\nA< SUBACK id=$x 0\nA> SUBSCRIBE id=2 a\nA< SUBACK id=$x 0\n",
         "id is different"},
        {"A connects clean\nA> SUBSCRIBE id=1 a\nA< SUBACK id=$x 0\nA> SUBSCRIBE id=1 a\nA< SUBACK id=$y!x 0\n",
         "id is different"},
        {"A connects clean\nA> PUBACK id=$x\n", "has no value yet"},
        {"A connects clean\nA> PUBLISH a x colour=red\n", "no such field"},
        {"A connects clean\nA> PUBLISHED a x\n", "PUBLISHED is no packet"},
        {"settle oldest 0\n", "nothing waits to be settled"},
        {"with colour=red\nA connects\n", "no such option"},
    };
    for (size_t i = 0; i < array_size(faults); i++) {
        cleanup_free char *why = played(faults[i].steps);
        if (!why || !strstr(why, faults[i].why))
            FAIL("%ssays: %s\nexpected: %s", faults[i].steps, why ? why : "nothing", faults[i].why);
    }
}

TEST(a_script_can_be_checked_without_a_broker)
{
    struct script script =
        parsed("case x\n5.0\nwith feature=of-tomorrow\nA connects\nA< SUBACK id=$m 0\nA> PUBACK id=$m\n"
               "case y\n5.0\nA> PUBLISH a colour=red\n");
    cleanup_free char *why = NULL;
    CHECK_INT(play_check(&script, &script.cases[0], SCRIPT_5, &why), 0);
    CHECK(play_check(&script, &script.cases[1], SCRIPT_5, &why) < 0);
    CHECK(strstr(why, "no such field") != NULL);
    script_done(&script);
}
