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
    [OPTION_COUNT] = {"count", 'n', "N", "end after N messages or changes"},
    [OPTION_TIMEOUT] = {"timeout", 't', "SECONDS",
                        "end after that time; exit status 1 if --count was not reached"},
    [OPTION_RETAINED_ONLY] = {"retained-only", '\0', NULL, "show what is retained now, and end"},
    [OPTION_NO_RETAINED] = {"no-retained", '\0', NULL, "leave out what is retained already"},
    [OPTION_NAME] = {"name", '\0', "SHADOW", "a named shadow in place of the thing's classic one"},
};

const struct command commands[] = {
    {"status", NULL, "", 0, 0, 0, "Shows how the gateway is: clients, messages, streams, uplinks, plugins.",
     NULL, cmd_status},
    {"metrics", NULL, "", 0, 0, 0, "Shows all figures in Prometheus' text format.",
     "What was dropped, refused and delayed, by reason, and how full everything is; http and https listeners have the same\n"
     "at /metrics.",
     cmd_metrics},
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
    {"shadow", "list", "THING", 1, 1, 0, "Lists the names of a thing's named shadows.", NULL,
     cmd_shadow_list},
    {"shadow", "log", "THING", 1, 1, option_bit(OPTION_NAME) | option_bit(OPTION_COUNT),
     "Shows what changed, who changed it, and when; the newest first.", "20 changes unless --count is given.",
     cmd_shadow_log},
    {"shadow", "at", "THING VERSION", 2, 2, option_bit(OPTION_NAME), "Shows a shadow as it was.", NULL,
     cmd_shadow_at},
    {"shadow", "diff", "THING VERSION VERSION", 3, 3, option_bit(OPTION_NAME),
     "Shows what is different in the second version.", NULL, cmd_shadow_diff},
    {"shadow", "blame", "THING [PATH]", 1, 2, option_bit(OPTION_NAME),
     "Shows who wrote each value that is there now.",
     "PATH is reported.net.ip or, for names with a dot, /reported/net/ip. Without it all values are shown.",
     cmd_shadow_blame},
    {"shadow", "revert", "THING VERSION", 2, 2, option_bit(OPTION_NAME),
     "Makes a shadow what it was in that version.",
     "It is an update like any other: the shadow gets a new version, and devices their delta.",
     cmd_shadow_revert},
    {"shadow", "watch", "THING", 1, 1,
     option_bit(OPTION_NAME) | option_bit(OPTION_COUNT) | option_bit(OPTION_TIMEOUT),
     "Shows changes as they happen.",
     "With --json: the documents before and after each, or {\"deleted\":true,...}. Ends with Ctrl-C, exit status 0.",
     cmd_shadow_watch},
    {"shadow", "sync", "[THING]", 0, 1, 0, "Shows how shadows get along with the cloud's.",
     "With THING: for each of its shadows what the last merge took from where, and by which rule of the [sync] section.",
     cmd_shadow_sync},
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
