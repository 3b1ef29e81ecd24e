/* Conformance scripts: conversations with a broker as text, so that whoever knows the specification can read and write
 * them.
 *
 *      case A second CONNECT ends the connection
 *        3.1.1 MQTT-3.1.0-2          is played as MQTT 3.1.1, and shows this statement of its specification
 *        5.0   MQTT-3.1.0-2          and once more as MQTT 5.0
 *        with packet-max=1000        an option of the broker (house.h)
 *        A connects clean            A> CONNECT id=a clean       A< CONNACK rc=0 ...
 *        A> CONNECT clean            sent
 *        5.0 A< DISCONNECT rc=0x82   comes, exactly this; only in the conversation of that version (3.x: 3.1 and 3.1.1)
 *        A< closed                   the broker has closed, and sent nothing else
 *
 * Connections are named A to Z and opened when they first send. The broker has read and answered one step before the
 * next begins; what is to come in one piece stands in one raw step. What is sent or expected is one of
 *
 *      A> PACKET FIELDS        A< PACKET FIELDS        packet_text.h says how; "..." behind them: others may be there
 *                              A<~ PACKET FIELDS       in any order with its neighbours that begin the same way
 *      A> raw 30 ( [ "a/b" ] 2a )  A< raw d0 00        bytes in hexadecimal and texts in quotes; ( ) has its length before
 *                                                      it as a variable byte integer, [ ] in two bytes
 *      A> open                 A< closed               open: the connection alone
 *      A> close                A< nothing              close: without a word
 *                              A< ended 0x82           5.0: DISCONNECT with that reason, and closed; 3.x: closed
 *                              A< head "text"          bytes up to an empty line, with that text among them
 *
 * Other steps: `A connects FIELDS`, `A resumes FIELDS` (the same with session-present), `A subscribes FIELDS`, `wait
 * 1500ms` and `wait 90s` (the clock is moved by hand), `shutdown`, `restart` (the broker ends and a new one begins on
 * the same store), `settle oldest|newest CODE` (somebody who keeps messages on slow/# says how it went).
 *
 * Values are words, or texts in quotes with \xNN, \n, \" and \\; "x"*100 repeats. $name stands for a value: what came
 * when it was first expected; $name!other must be another value then. * is whatever comes. # begins a comment.
 */
#pragma once

#include "base/arena.h"

enum { SCRIPT_31 = 1, SCRIPT_311 = 2, SCRIPT_5 = 4 }; /* bits */

enum script_value { SCRIPT_TEXT, SCRIPT_ANYTHING, SCRIPT_VARIABLE };

struct script_field {
    const char *key; /* "" when only a value was written */
    const char *value;
    size_t len;
    enum script_value kind;
    bool quoted;
};

struct script_fields {
    struct script_field *list;
    size_t count;
    bool open; /* "...": more may be there */
};

enum script_verb {
    SEND_PACKET,
    SEND_RAW,
    SEND_OPEN,
    SEND_CLOSE,
    EXPECT_PACKET,
    EXPECT_ANY_ORDER,
    EXPECT_RAW,
    EXPECT_CLOSED,
    EXPECT_NOTHING,
    EXPECT_ENDED,
    EXPECT_HEAD,
    CONNECTS,
    RESUMES,
    SUBSCRIBES,
    WAIT,
    SHUTDOWN,
    RESTART,
    SETTLE
};

struct script_step {
    int line;
    unsigned versions; /* in whose conversations it happens */
    enum script_verb verb;
    char who;           /* 'A' to 'Z'; 0 when it is the house's */
    const char *packet; /* "CONNECT", … */
    struct script_fields fields;
    const uint8_t *bytes; /* raw, and the text of EXPECT_HEAD */
    size_t len;
    int64_t number;   /* milliseconds; reason */
    bool newest;      /* SETTLE */
    const char *text; /* as it was written */
};

struct script_case {
    const char *name;
    int line;
    unsigned versions; /* it is played as */
    struct script_fields options;
    struct script_step *steps;
    size_t count;
};

struct script {
    struct arena arena;
    const char *name;
    struct script_case *cases;
    size_t count;
};

/* name is for messages. On -EINVAL *why (free it) names line and what was expected; the script is done already. */
int script_parse(struct script *ret, const char *name, const char *text, size_t len, char **why) must_check;
void script_done(struct script *script);

/* A whole number in decimal or 0x hexadecimal; false when it is not one or larger than max. */
bool script_number(const char *text, size_t len, uint64_t max, uint64_t *ret);
