/* Whatever is wrong is told: file, line, section, key, what was expected, what was found; all of it in one go. */
#include "config/config_rig.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define UPLINK   "[uplink cloud]\nuri = mqtt://c\n"
#define LISTENER "[listener l]\nuri = mqtt://127.0.0.1:1883?access=open\n"

static const struct {
    const char *text;
    const char *faults[6];
} cases[] = {
    /* the text */
    {"name = a\n", {"gatehouse.conf:1: expected a section first, for instance [gateway], found \"name\""}},
    {"[gateway\nname = a\n",
     {"gatehouse.conf:1: expected a section alone on its line, [KIND] or [KIND NAME], found \"[gateway\""}},
    {"[gateway]\nname\n",
     {"gatehouse.conf:2: expected [KIND NAME], KEY = VALUE, or a comment that begins with #, found \"name\""}},
    {"[gateway]\n  name = a\n",
     {"gatehouse.conf:2: expected a key or a section at the beginning of its line: an indented line goes on "
      "with the value above it, found \"name = a\""}},
    {"[gateway]\nname = f\xFCr\n",
     {"gatehouse.conf:2: expected text in UTF-8 without control characters, found \"name = f\\xfcr\""}},
    /* uplinks */
    {"[uplink a]\nuri = mqtt://h\nproxy = h:1\n",
     {"gatehouse.conf:3: [uplink a] proxy: expected http://[USER@]HOST:PORT, found \"h:1\""}},
    {"[uplink a]\nuri = mqtt://h\nproxy = http://h:1\nproxy-password-file = /x\n",
     {"gatehouse.conf:3: [uplink a] proxy: expected http://USER@HOST:PORT with the user whose password is in proxy-password-file, "
      "found \"http://h:1\""}},
    {"[uplink a]\nuri = mqtt://h\nalpn = x\n",
     {"gatehouse.conf:3: [uplink a] alpn: expected nothing: without TLS no protocol can be offered, found \"x\""}},
    {"[uplink a]\nuri = mqtt://h\nsession = durable\nclock = none\nwill-topic = a/#\n",
     {"gatehouse.conf:3: [uplink a] session: expected clean or persistent, found \"durable\"",
      "gatehouse.conf:5: [uplink a] will-topic: expected a topic without wildcards, found \"a/#\"",
      "gatehouse.conf:4: [uplink a] clock: expected wait or floor, found \"none\""}},
    {"[uplink a]\nuri = mqtt://h\n[downlink d]\nuplink = b\nfilter = a/+/#\ntopic = x/${3}\n",
     {"gatehouse.conf:4: [downlink d] uplink: expected the name of an [uplink], found \"b\"",
      "gatehouse.conf:6: [downlink d] topic: expected no ${N} for which the filter has no wildcard, found \"x/${3}\""}},
    {"[uplink a]\nuri = http://h/in\n[downlink d]\nuplink = a\nfilter = a/#\n",
     {"gatehouse.conf:4: [downlink d] uplink: expected the name of an [uplink] to mqtt:// or mqtts://, found \"a\""}},
    {"[jwt a]\naudience = x\n",
     {"gatehouse.conf:1: [jwt a]: expected one of the keys \"key\", \"secret\" and \"jwks\", found 0"}},
    {"[jwt a]\naudience = x\nkey = k\njwks = j\n",
     {"gatehouse.conf:1: [jwt a]: expected one of the keys \"key\", \"secret\" and \"jwks\", found 2"}},
    {"[jwt a]\nkey = k\n", {"gatehouse.conf:1: [jwt a]: expected a key \"audience\", found none"}},
    {"[jwt a]\naudience = x\nkey = k\nclient-id = mine\n",
     {"gatehouse.conf:4: [jwt a] client-id: expected any or subject, found \"mine\""}},
    {"[jwt a]\naudience = x\nkey = k\npolicies = 1 2 3 4 5 6 7 8 9 10 11\n",
     {"gatehouse.conf:4: [jwt a] policies: expected at most 10 names of policies with blanks between them, found "
      "\"1 2 3 4 5 6 7 8 9 10 11\""}},
    {"[listener a]\nuri = mqtt://127.0.0.1:0?auth=jwt\n",
     {"gatehouse.conf:2: [listener a] uri: auth: expected jwt only with a section [jwt NAME], found "
      "\"mqtt://127.0.0.1:0?auth=jwt\""}},
    {"[listener a]\nuri = mqtt://127.0.0.1:0?auth=authorizer:b\n[authorizer c]\n",
     {"gatehouse.conf:2: [listener a] uri: auth: expected authorizer:NAME with the name of an [authorizer], found "
      "\"mqtt://127.0.0.1:0?auth=authorizer:b\""}},
    {"[authorizer c]\ntimeout = 2m\n",
     {"gatehouse.conf:2: [authorizer c] timeout: expected a time (in seconds, or with s, m, h or d) from 1s to 1m, found \"2m\""}},
    {"[authorizer c]\nuri = http://shop.example/ask\n",
     {"gatehouse.conf:2: [authorizer c] uri: expected https://HOST[:PORT]/PATH, or http:// with a loopback address or localhost, found "
      "\"http://shop.example/ask\""}},
    {"[authorizer c]\nuri = http://127.0.0.1:80/ask\nca = /ca.pem\n",
     {"gatehouse.conf:3: [authorizer c] ca: expected nothing: only a uri with https:// has use for it, found \"/ca.pem\""}},
    {"[authorizer c]\ncertificate = /c.pem\nkey = /c.key\n",
     {"gatehouse.conf:2: [authorizer c] certificate: expected nothing: only a uri with https:// has use for it, found \"/c.pem\"",
      "gatehouse.conf:3: [authorizer c] key: expected nothing: only a uri with https:// has use for it, found \"/c.key\""}},
    {"[authorizer c]\nuri = https://shop.example/ask\ncertificate = /c.pem\n",
     {"gatehouse.conf:1: [authorizer c]: expected a key \"key\" with the private key of the certificate, found none"}},
    {"[authorizer c]\nuri = https://shop.example/ask\nkey = /c.key\n",
     {"gatehouse.conf:1: [authorizer c]: expected a key \"certificate\" with the certificate that the key is for, found none"}},
    /* sections */
    {"[gatway]\nname = a\n",
     {"gatehouse.conf:1: expected [gateway], [shadow], [listener NAME], [uplink NAME], [downlink NAME], [stream NAME], [route NAME], [sync NAME], "
      "[plugin NAME], [jwt NAME], [authorizer NAME] or [credentials NAME], found [gatway]"}},
    {"[unknown]\n",
     {"gatehouse.conf:1: expected [gateway], [shadow], [listener NAME], [uplink NAME], [downlink NAME], [stream NAME], [route NAME], [sync NAME], "
      "[plugin NAME], [jwt NAME], [authorizer NAME] or [credentials NAME], found [unknown]"}},
    {"[stream]\n",
     {"gatehouse.conf:1: expected a name of 1 to 64 letters, digits, _ or - behind the kind of section, found "
      "[stream]"}},
    {"[stream a/b]\n",
     {"gatehouse.conf:1: expected a name of 1 to 64 letters, digits, _ or - behind the kind of section, found "
      "[stream a/b]"}},
    {"[stream "
     "a1234567890123456789012345678901234567890123456789012345678901234]\n", /* 65 characters */
     {"gatehouse.conf:1: expected a name of 1 to 64 letters, digits, _ or - behind the kind of section, found "
      "[stream a1234567890123456789012345678901234567890123456789012345678901234]"}},
    {"[gateway main]\nname = a\n",
     {"gatehouse.conf:1: expected [gateway] without a name, found [gateway main]"}},
    {"[shadow pump]\n", {"gatehouse.conf:1: expected [shadow] without a name, found [shadow pump]"}},
    {"[shadow]\nhistory-age = 5s\n",
     {"gatehouse.conf:2: [shadow] history-age: expected a time (in seconds, or with s, m, h or d) from 1m to 36500d, "
      "found \"5s\""}},
    {"[stream a]\n[gateway]\n[stream a]\n",
     {"gatehouse.conf:3: [stream a]: expected once in a file, found it in line 1 already"}},
    /* keys */
    {"[gateway]\nnmae = a\n",
     {"gatehouse.conf:2: [gateway] nmae: unknown key: expected name, log, packet-max, inflight-max, subscriptions-max, topic-levels-max, alias-max, "
      "queue-max, queue-size, queues-size, queues-disk, queue-full, session-expiry, session-expiry-max, "
      "keepalive-max, profile, streams-disk, streams-reserve, streams-key, connections-max, shadow, names, ca, ca-key, server-key, node-key-age or mdns, found \"a\""}},
    {UPLINK "port = 8883\n",
     {"gatehouse.conf:3: [uplink cloud] port: unknown key: expected uri, client-id, username, password-file, "
      "ca, cert, key, keepalive, protocol, method, format, headers, authorization-file, proxy, batch-size, batch-bytes, "
      "batch-interval, connect-timeout, stall-timeout, ordered, connections, compress, path, rotate-size, rotate-time, disk-max, "
      "rate, burst, floor, live-share, day-budget, day-begins, "
      "alpn, proxy-password-file, window, session, session-expiry, will-topic, will-message, will-retain or clock, found \"8883\""}},
    {"[gateway]\nname = a\nname = b\n",
     {"gatehouse.conf:3: [gateway] name: expected once in a section, line 2 has it already, found \"b\""}},
    {"\n[listener l]\n", {"gatehouse.conf:2: [listener l]: expected a key \"uri\", found none"}},
    {"[uplink cloud]\n", {"gatehouse.conf:1: [uplink cloud]: expected a key \"uri\", found none"}},
    {"[route r]\n",
     {"gatehouse.conf:1: [route r]: expected a key \"filter\", found none",
      "gatehouse.conf:1: [route r]: expected a key \"stream\", found none"}},
    {"[plugin p]\nown = 1\n", {"gatehouse.conf:1: [plugin p]: expected a key \"path\", found none"}},
    {"[plugin p]\npath =\n",
     {"gatehouse.conf:2: [plugin p] path: expected a text of a length in bytes from 1 to 4000, found \"\""}},
    {"[listener l]\nuri =\n",
     {"gatehouse.conf:2: [listener l] uri: expected a text of a length in bytes from 1 to 4000, found \"\""}},
    /* values */
    {"[stream telemetry]\npriority = high\n",
     {"gatehouse.conf:2: [stream telemetry] priority: expected a whole number from 1 to 10, found \"high\""}},
    {"[stream s]\npriority = 11\n",
     {"gatehouse.conf:2: [stream s] priority: expected a whole number from 1 to 10, found \"11\""}},
    {"[stream s]\nsegment-size = 2G\n",
     {"gatehouse.conf:2: [stream s] segment-size: expected a size (in bytes, or with K, M, G or T) from 64K to "
      "1G, found \"2G\""}},
    {"[stream s]\nweight = 0\ndeadline = soon\nday-budget = lots\nwindow = 25:00-06:00\nlive-share = 91\n",
     {"gatehouse.conf:2: [stream s] weight: expected a whole number from 1 to 100, found \"0\"",
      "gatehouse.conf:3: [stream s] deadline: expected a time (in seconds, or with s, m, h or d) up to 30d, or 0 for "
      "none, found \"soon\"",
      "gatehouse.conf:4: [stream s] day-budget: expected a size (in bytes, or with K, M, G or T) up to 8T, or 0 for "
      "no limit, found \"lots\"",
      "gatehouse.conf:5: [stream s] window: expected at most 4 times of the day like 22:00-06:00, with blanks between "
      "them, found \"25:00-06:00\"",
      "gatehouse.conf:6: [stream s] live-share: expected a whole number from 1 to 90 (percent), or 0 for strictly in "
      "order, found \"91\""}},
    {UPLINK "rate = fast\nfloor = 0\nday-budget = 1M 11:5M\nday-begins = 24:00\n",
     {"gatehouse.conf:3: [uplink cloud] rate: expected a rate like 20kbit (bit, kbit, mbit or gbit a second) up to "
      "1000gbit, or 0 for no limit, found \"fast\"",
      "gatehouse.conf:4: [uplink cloud] floor: expected a whole number from 1 to 50 (percent), found \"0\"",
      "gatehouse.conf:5: [uplink cloud] day-budget: expected a size for all (200M) and sizes for priorities (9:20M), "
      "with blanks between them, each once, found \"1M 11:5M\"",
      "gatehouse.conf:6: [uplink cloud] day-begins: expected a time of the day from 00:00 to 23:59, found \"24:00\""}},
    {"[stream s]\nkeep = maybe\n",
     {"gatehouse.conf:2: [stream s] keep: expected yes or no, found \"maybe\""}},
    {"[gateway]\nsession-expiry = 1 week\n",
     {"gatehouse.conf:2: [gateway] session-expiry: expected a time (in seconds, or with s, m, h or d) from 0 to "
      "4294967295s, found \"1 week\""}},
    {"[gateway]\nlog = loud\n",
     {"gatehouse.conf:2: [gateway] log: expected error, warning, notice, info or debug, found \"loud\""}},
    {UPLINK "protocol = 3\n",
     {"gatehouse.conf:3: [uplink cloud] protocol: expected a whole number from 4 to 5, found \"3\""}},
    {UPLINK "keepalive = 2\n",
     {"gatehouse.conf:3: [uplink cloud] keepalive: expected a time (in seconds, or with s, m, h or d) from 5s to "
      "65535s, found \"2\""}},
    /* grammars of other rooms */
    {"[uplink cloud]\nuri = ftp://c\n",
     {"gatehouse.conf:2: [uplink cloud] uri: expected mqtt://HOST[:PORT], mqtts://HOST[:PORT], http://HOST[:PORT]/PATH, "
      "https://HOST[:PORT]/PATH, file:///FOLDER or plugin:NAME, found \"ftp://c\""}},
    {"[uplink p]\nuri = plugin:webhook\nclient-id = c\n",
     {"gatehouse.conf:2: [uplink p] uri: expected plugin:NAME, the name of a [plugin], found \"plugin:webhook\"",
      "gatehouse.conf:3: [uplink p] client-id: expected no such key for an uplink to plugin:, found \"c\""}},
    {"[uplink f]\nuri = file://folder\n",
     {"gatehouse.conf:2: [uplink f] uri: expected file:///FOLDER, found \"file://folder\""}},
    {"[uplink f]\nuri = file:///f\nformat = json\npath = ../${topic}\nconnections = 2\n",
     {"gatehouse.conf:3: [uplink f] format: expected ndjson, lines or length, found \"json\"",
      "gatehouse.conf:4: [uplink f] path: expected a path below the folder, without empty levels, . and .., found "
      "\"../${topic}\"",
      "gatehouse.conf:5: [uplink f] connections: expected no such key for an uplink to file:, found \"2\""}},
    {"[uplink f]\nuri = file:///f\npath = ../${topic}\n",
     {"gatehouse.conf:3: [uplink f] path: expected a path below the folder, without empty levels, . and .., found "
      "\"../${topic}\""}},
    {"[uplink f]\nuri = file:///f\npath = a/${topics}\n",
     {"gatehouse.conf:3: [uplink f] path: expected ${topic}, ${stream}, ${seq}, ${time}, ${gateway}, ${uplink}, ${year}, "
      "${month}, ${day} or ${hour}, found \"a/${topics}\""}},
    {"[uplink w]\nuri = http:///path\n",
     {"gatehouse.conf:2: [uplink w] uri: expected http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], no user in it, "
      "found \"http:///path\""}},
    {"[uplink w]\nuri = http://h/${topics}\n",
     {"gatehouse.conf:2: [uplink w] uri: expected ${topic}, ${stream}, ${seq}, ${time}, ${gateway}, ${uplink}, ${year}, "
      "${month}, ${day} or ${hour}, found \"http://h/${topics}\""}},
    {"[uplink w]\nuri = https://h/a\nmethod = GET\n",
     {"gatehouse.conf:3: [uplink w] method: expected POST, PUT or PATCH, found \"GET\""}},
    {"[uplink w]\nuri = https://h/a\nformat = xml\n",
     {"gatehouse.conf:3: [uplink w] format: expected json, ndjson or raw, found \"xml\""}},
    {"[uplink w]\nuri = https://h/a\nheaders = A: b | C\n",
     {"gatehouse.conf:3: [uplink w] headers: expected Name: value, several with \" | \" between them, at most 20, found "
      "\"A: b | C\""}},
    {"[uplink w]\nuri = https://h/a\nbatch-size = 501\nbatch-interval = 2h\nkeepalive = 10s\nconnections = 2\n",
     {"gatehouse.conf:3: [uplink w] batch-size: expected a whole number from 1 to 500, found \"501\"",
      "gatehouse.conf:4: [uplink w] batch-interval: expected a time (in milliseconds, or with ms, s, m or h) from 0 to 1h, "
      "found \"2h\"",
      "gatehouse.conf:5: [uplink w] keepalive: expected no such key for an uplink to https:, found \"10s\"",
      "gatehouse.conf:1: [uplink w]: expected a key \"ordered\" with no, since there is more than one connection, found "
      "none"}},
    {UPLINK "format = raw\n",
     {"gatehouse.conf:3: [uplink cloud] format: expected no such key for an uplink to mqtt:, found \"raw\""}},
    {"[uplink cloud]\nuri = mqtt://\n",
     {"gatehouse.conf:2: [uplink cloud] uri: expected a host behind ://, found \"mqtt://\""}},
    {"[uplink cloud]\nuri = mqtt://c:99999\n",
     {"gatehouse.conf:2: [uplink cloud] uri: expected a port from 1 to 65535 behind the host, and nothing more, "
      "found \"mqtt://c:99999\""}},
    {"[listener l]\nuri = mqtt://0.0.0.0:1883\n",
     {"gatehouse.conf:2: [listener l] uri: plain TCP: expected access=open (or mqtts:// with ca=), since nobody "
      "can prove who he is, found \"mqtt://0.0.0.0:1883\""}},
    {"[sync s]\n",
     {"gatehouse.conf:1: [sync s]: expected a key \"uplink\", found none",
      "gatehouse.conf:1: [sync s]: expected a key \"shadow\", found none"}},
    {UPLINK "[sync s]\nuplink = moon\nshadow = a/b/c\ndirection = left\npolicy = desired: mine\nburst = 1\n",
     {"gatehouse.conf:8: [sync s] burst: expected a whole number from 2 to 10000, found \"1\"",
      "gatehouse.conf:4: [sync s] uplink: expected the name of an [uplink], found \"moon\"",
      "gatehouse.conf:5: [sync s] shadow: expected THING or THING/NAME, each may be +; at most 64 with blanks between them, "
      "found \"a/b/c\"",
      "gatehouse.conf:6: [sync s] direction: expected both, up or down, found \"left\"",
      "gatehouse.conf:7: [sync s] policy: expected cloud, local, newest, max, min or union behind PATH:, found \"desired: "
      "mine\""}},
    {"[stream s]\n[route r]\nstream = s\nfilter = a/#/b\n",
     {"gatehouse.conf:4: [route r] filter: expected an MQTT topic filter, not a shared one, found \"a/#/b\""}},
    {"[stream s]\n[route r]\nstream = s\nfilter = $share/a/b\n",
     {"gatehouse.conf:4: [route r] filter: expected an MQTT topic filter, not a shared one, found "
      "\"$share/a/b\""}},
    {"[stream s]\n[route r]\nstream = s\nfilter = a\ntopic = x/${tpoic}\n",
     {"gatehouse.conf:5: [route r] topic: expected ${topic}, ${stream} or ${seq}, found \"x/${tpoic}\""}},
    {"[stream s]\n[route r]\nstream = s\nfilter = a\ntopic = x/+\n",
     {"gatehouse.conf:5: [route r] topic: expected a topic without the wildcards + and #, found \"x/+\""}},
    {"[plugin p]\npath = p.so\nsubscribe = a b/#/c\n",
     {"gatehouse.conf:3: [plugin p] subscribe: expected MQTT topic filters with blanks between them, found \"a "
      "b/#/c\""}},
    /* the whole */
    {"[stream s]\nuplink = cloud\n",
     {"gatehouse.conf:2: [stream s] uplink: expected the name of an [uplink], found \"cloud\""}},
    {"[route r]\nfilter = a\nstream = s\n",
     {"gatehouse.conf:3: [route r] stream: expected the name of a [stream], found \"s\""}},
    {UPLINK "password-file = p\n",
     {"gatehouse.conf:1: [uplink cloud]: expected a key \"username\" with the user whose password is in "
      "password-file, found none"}},
    {UPLINK "key = k\n",
     {"gatehouse.conf:1: [uplink cloud]: expected a key \"cert\" with the certificate that belongs to key, found "
      "none"}},
    /* all of it, in order of the steps */
    {"[gateway]\nlog = loud\ncolour = red\n[stream s]\nuplink = cloud\npriority = 0\nnonsense\n[route r]\n"
     "filter = a\nstream = t\n",
     {"gatehouse.conf:7: expected [KIND NAME], KEY = VALUE, or a comment that begins with #, found \"nonsense\"",
      "gatehouse.conf:3: [gateway] colour: unknown key: expected name, log, packet-max, inflight-max, subscriptions-max, topic-levels-max, alias-max, "
      "queue-max, queue-size, queues-size, queues-disk, queue-full, session-expiry, session-expiry-max, "
      "keepalive-max, profile, streams-disk, streams-reserve, streams-key, connections-max, shadow, names, ca, ca-key, server-key, node-key-age or mdns, found \"red\"",
      "gatehouse.conf:6: [stream s] priority: expected a whole number from 1 to 10, found \"0\"",
      "gatehouse.conf:2: [gateway] log: expected error, warning, notice, info or debug, found \"loud\"",
      "gatehouse.conf:5: [stream s] uplink: expected the name of an [uplink], found \"cloud\"",
      "gatehouse.conf:10: [route r] stream: expected the name of a [stream], found \"t\""}},
};

TEST(every_fault_names_file_line_section_key_expected_and_found)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    for (size_t i = 0; i < array_size(cases); i++) {
        config_rig_take(rig, cases[i].text);
        CHECK_INT(rig->r, -EINVAL);
        for (size_t k = 0; k < array_size(cases[i].faults); k++)
            if (cases[i].faults[k])
                CHECK_STR(config_rig_fault(rig, k), cases[i].faults[k]);
            else
                CHECK(!config_rig_fault(rig, k));
    }
}

TEST(a_missing_file_is_a_fault)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    config_rig_load(rig);
    CHECK_INT(rig->r, -EINVAL);
    CHECK_STR(config_rig_fault(rig, 0),
              "gatehouse.conf: expected a file that can be read: No such file or directory");
    CHECK(!config_rig_fault(rig, 1));
}

TEST(a_folder_in_place_of_a_file_is_a_fault)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    config_rig_write(rig, "gatehouse.conf/x", "", 0);
    config_rig_load(rig);
    CHECK_STR(config_rig_fault(rig, 0), "gatehouse.conf: expected a file that can be read: Is a directory");
}

TEST(a_file_that_may_not_be_read_is_a_fault)
{
    if (geteuid() == 0)
        SKIP("root may read everything");
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    config_rig_write(rig, "gatehouse.conf", "", 0);
    cleanup_free char *path = str_printf("%s/gatehouse.conf", rig->folder);
    CHECK_INT(chmod(path, 0), 0);
    config_rig_load(rig);
    CHECK_STR(config_rig_fault(rig, 0),
              "gatehouse.conf: expected a file that can be read: Permission denied");
}

TEST(a_file_in_place_of_the_folder_of_drop_ins_is_a_fault)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    config_rig_write(rig, "gatehouse.conf.d", "", 0);
    config_rig_take(rig, LISTENER);
    CHECK_STR(config_rig_fault(rig, 0),
              "gatehouse.conf.d: expected a folder that can be read: Not a directory");
}

TEST(a_folder_among_the_drop_ins_is_a_fault)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    config_rig_write(rig, "gatehouse.conf.d/10-a.conf/x", "", 0);
    config_rig_take(rig, LISTENER);
    CHECK_STR(config_rig_fault(rig, 0),
              "gatehouse.conf.d/10-a.conf: expected a file that can be read: Is a directory");
}

TEST(a_binary_file_is_one_fault)
{
    static const char bytes[] = "\x7f"
                                "ELF\x02\x01\x01\0\0\0\n\0\0\n\0\0\n";
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    config_rig_write(rig, "gatehouse.conf", bytes, sizeof bytes - 1);
    config_rig_load(rig);
    CHECK_STR(
        config_rig_fault(rig, 0),
        "gatehouse.conf:1: expected text, not a binary file, found \"\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\"");
    CHECK(!config_rig_fault(rig, 1));
}

TEST(a_file_that_is_too_long_for_a_configuration_is_a_fault)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    cleanup_free char *text = mem_new_bytes(INI_FILE_MAX + 1);
    memset(text, '\n', INI_FILE_MAX + 1);
    config_rig_write(rig, "gatehouse.conf", text, INI_FILE_MAX + 1);
    config_rig_load(rig);
    CHECK_STR(config_rig_fault(rig, 0), "gatehouse.conf: expected a file of at most 1048576 bytes");

    config_rig_write(rig, "gatehouse.conf", text, INI_FILE_MAX);
    config_rig_load(rig);
    CHECK_INT(rig->r, 0);
}

TEST(a_long_value_is_cut_in_the_sentence_about_it)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    char text[5000] = "[gateway]\nlog = ";
    memset(text + strlen(text), 'x', 4000);
    config_rig_take(rig, text);
    CHECK(config_rig_has(rig, "log: expected "));
    CHECK(config_rig_has(rig, "xxx…\""));
    CHECK(strlen(config_rig_fault(rig, 0)) < 300);
}

TEST(after_a_hundred_faults_the_rest_is_not_told)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    char text[4000] = "[gateway]\n";
    for (size_t i = 0; i < 500; i++)
        memcpy(text + strlen(text), "what\n", sizeof "what\n");
    config_rig_take(rig, text);
    CHECK_INT((int64_t)rig->config.fault_count, 101);
    CHECK_STR(config_rig_fault(rig, 100), "and more that is not told here");
}

TEST(more_listeners_than_there_is_room_for_are_a_fault)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    char *text = str_copy("");
    for (int i = 0; i < CONFIG_LISTENERS_MAX + 1; i++) {
        char *longer =
            str_printf("%s[listener l%d]\nuri = mqtt://127.0.0.1:%d?access=open\n", text, i, i + 1);
        free(text);
        text = longer;
    }
    config_rig_take(rig, text);
    free(text);
    CHECK_STR(config_rig_fault(rig, 0), "expected at most 64 listeners, found 65");
    CHECK(!config_rig_fault(rig, 1));
}

TEST(a_fault_in_a_drop_in_names_the_drop_in)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    static const char drop_in[] = "\n[gateway]\nlog = loud\n";
    config_rig_write(rig, "gatehouse.conf.d/50-log.conf", drop_in, strlen(drop_in));
    config_rig_take(rig, "[gateway]\nlog = info\n");
    CHECK_STR(config_rig_fault(rig, 0),
              "gatehouse.conf.d/50-log.conf:3: [gateway] log: expected error, warning, "
              "notice, info or debug, found \"loud\"");
}
