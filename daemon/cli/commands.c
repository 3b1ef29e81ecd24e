/* The tables: every command and every option of the program. */
#include "cli/command.h"

const struct option_row option_rows[OPTIONS] = {
    [OPTION_RUNTIME] = {"runtime", '\0', "DIR", "the daemon's runtime directory, where control.sock is"},
    [OPTION_JSON] = {"json", '\0', NULL, "answer as JSON, a document a line"},
    [OPTION_HELP] = {"help", 'h', NULL, "say how it is used"},
    [OPTION_VERSION] = {"version", '\0', NULL, "print the version"},
    [OPTION_QOS] = {"qos", 'q', "QOS", "quality of service: 0, 1 or 2"},
    [OPTION_RETAIN] = {"retain", 'r', NULL,
                       "the daemon keeps it for later subscribers; an empty one takes it back"},
    [OPTION_STDIN] = {"stdin", 's', NULL, "the payload is all of standard input"},
    [OPTION_LINES] = {"lines", 'l', NULL, "a message for every line of standard input that is not empty"},
    [OPTION_COUNT] = {"count", 'n', "N", "end after N messages"},
    [OPTION_TIMEOUT] = {"timeout", 't', "SECONDS",
                        "end after that time; exit status 1 if --count was not reached"},
    [OPTION_RETAINED_ONLY] = {"retained-only", '\0', NULL, "show what is retained now, and end"},
    [OPTION_NO_RETAINED] = {"no-retained", '\0', NULL, "leave out what is retained already"},
    [OPTION_NAME] = {"name", '\0', "SHADOW", "a named shadow in place of the thing's classic one"},
};

const struct command commands[] = {
    {"status", NULL, "", 0, 0, 0, "Shows how the gateway is: clients, messages, streams, uplinks, plugins.",
     NULL, cmd_status},
    {"pub", NULL, "TOPIC [PAYLOAD]", 1, 2,
     option_bit(OPTION_QOS) | option_bit(OPTION_RETAIN) | option_bit(OPTION_STDIN) | option_bit(OPTION_LINES),
     "Publishes a message and waits until the daemon has acknowledged it.",
     "QoS is 1 unless given. Exit status 1: the daemon refused a message.", cmd_pub},
    {"sub", NULL, "FILTER...", 1, ARGUMENTS_MAX,
     option_bit(OPTION_QOS) | option_bit(OPTION_COUNT) | option_bit(OPTION_TIMEOUT) |
         option_bit(OPTION_RETAINED_ONLY) | option_bit(OPTION_NO_RETAINED),
     "Shows messages as they come, a line each: the topic, a blank, the payload.",
     "QoS is 0 unless given (2 with --retained-only): whoever reads slowly misses messages and slows nobody down.\n"
     "Bytes that are not printable UTF-8 are shown as \\xNN.\n"
     "With --json: {\"topic\",\"payload\",\"qos\",\"retain\"}; a payload that is not UTF-8 is \"base64\" in place of "
     "\"payload\".\n"
     "Ends with Ctrl-C, exit status 0.",
     cmd_sub},
    {"shadow", "get", "THING", 1, 1, option_bit(OPTION_NAME), "Shows a thing's shadow.", NULL,
     cmd_shadow_get},
    {"shadow", "update", "THING DOCUMENT", 2, 2, option_bit(OPTION_NAME), "Updates a thing's shadow.",
     "DOCUMENT is {\"state\":{\"desired\":{...}}}, as in a device's own update, with \"version\" if it must be that one.\n"
     "{\"desired\":{...}} alone will do; - reads it from standard input.",
     cmd_shadow_update},
    {"shadow", "delete", "THING", 1, 1, option_bit(OPTION_NAME), "Deletes a thing's shadow.", NULL,
     cmd_shadow_delete},
    {"stream", "list", "", 0, 0, 0, "Lists streams and what waits in them.", NULL, cmd_stream_list},
    {"plugin", "list", "", 0, 0, 0, "Lists plugins and how they are.", NULL, cmd_plugin_list},
    {"plugin", "restart", "NAME", 1, 1, 0, "Ends a plugin's process and starts a new one.", NULL,
     cmd_plugin_restart},
    {"uplink", "list", "", 0, 0, 0, "Lists uplinks and whether they are connected.", NULL, cmd_uplink_list},
    {"uplink", "cut", "NAME", 1, 1, 0,
     "Disconnects an uplink until it is restored; streams keep their records.", NULL, cmd_uplink_cut},
    {"uplink", "restore", "NAME", 1, 1, 0, "Connects an uplink again that was cut.", NULL,
     cmd_uplink_restore},
};

const size_t command_count = array_size(commands);
