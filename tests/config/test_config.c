/* Good configurations: what the daemon gets of them. */
#include "config/config_rig.h"

#include <stdio.h>
#include <unistd.h>

static void check_good(struct config_rig *rig)
{
    for (size_t i = 0; i < rig->config.fault_count; i++)
        print_error("%s\n", rig->config.faults[i]);
    CHECK_INT(rig->r, 0);
    CHECK_INT((int64_t)rig->config.fault_count, 0);
}

static void drop_in(struct config_rig *rig, const char *name, const char *text)
{
    cleanup_free char *path = str_printf("gatehouse.conf.d/%s", name);
    config_rig_write(rig, path, text, strlen(text));
}

TEST(an_empty_file_is_the_defaults)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    config_rig_take(rig, "");
    check_good(rig);
    const struct config *config = &rig->config;
    CHECK_STR(config->name, "gateway");
    CHECK_STR(config->log_level, "info");
    CHECK_INT(config->packet_max, 1 << 20);
    CHECK_INT(config->inflight_max, 100);
    CHECK_INT(config->queue_max, 10000);
    CHECK_INT(config->session_expiry_s, 7 * 86400);
    CHECK_INT(config->connections_max, 10000);
    CHECK(config->shadow);
    CHECK_INT(config->shadow_cache_bytes, 16 << 20);
    CHECK_INT(config->shadow_history_count, 100);
    CHECK_INT(config->shadow_history_age_s, 30 * 86400);
    CHECK_INT(config->shadow_history_bytes, 256 << 10);
    CHECK_INT((int64_t)(config->listener_count + config->uplink_count + config->stream_count +
                        config->route_count + config->sync_count + config->plugin_count),
              0);
}

TEST(without_a_path_and_without_the_default_file_there_are_the_defaults)
{
    struct config config;
    if (access("/etc/gatehouse/gatehouse.conf", F_OK) == 0)
        SKIP("this machine has an /etc/gatehouse/gatehouse.conf");
    CHECK_INT(config_load(&config, NULL), 0);
    CHECK_STR(config.name, "gateway");
    config_done(&config);
}

TEST(every_key_arrives)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    config_rig_take(
        rig,
        "[gateway]\nname = plant-1\nlog = debug\npacket-max = 2M\ninflight-max = 7\n"
        "queue-max = 8\nsession-expiry = 12h\nconnections-max = 9\nshadow = no\n"
        "[shadow]\ncache = 1M\nhistory-count = 0\nhistory-age = 2h\nhistory-size = 8K\n"
        "[listener a]\nuri = unix:///run/a.sock\n"
        "[uplink cloud]\nuri = mqtts://c.example:8883\nclient-id = id\nusername = me\n"
        "password-file = p\nca = ca.pem\ncert = c.pem\nkey = k.pem\nkeepalive = 5m\nprotocol = 5\n"
        "rate = 20kbit\nburst = 4K\nfloor = 20\nlive-share = 60\nday-budget = 200M 10:5M\nday-begins = 06:30\n"
        "[stream s]\nuplink = cloud\npriority = 1\nsegment-size = 64K\nmax-size = 2T\nkeep = yes\n"
        "weight = 7\ndeadline = 2m\nday-budget = 1M\nwindow = 22:00-06:00\nlive-share = 80\n"
        "[route r]\nfilter = dt/+/env\nstream = s\ntopic = p1/${topic}/${seq}\n"
        "[sync k]\nuplink = cloud\nshadow = + a/b\ndirection = up\npolicy = desired: local\n  reported.x: max\n"
        "rate = 5\nburst = 6\nevery = 7m\n"
        "[plugin p]\npath = p.so\npublish = a/#  b\nsubscribe = c\nmemory-max = 8M\n");
    check_good(rig);
    const struct config *config = &rig->config;
    CHECK_STR(config->name, "plant-1");
    CHECK_STR(config->log_level, "debug");
    CHECK_INT(config->packet_max, 2 << 20);
    CHECK_INT(config->inflight_max, 7);
    CHECK_INT(config->queue_max, 8);
    CHECK_INT(config->session_expiry_s, 43200);
    CHECK_INT(config->connections_max, 9);
    CHECK(!config->shadow);
    CHECK_INT(config->shadow_cache_bytes, 1 << 20);
    CHECK_INT(config->shadow_history_count, 0);
    CHECK_INT(config->shadow_history_age_s, 7200);
    CHECK_INT(config->shadow_history_bytes, 8 << 10);
    CHECK_INT((int64_t)config->listener_count, 1);
    CHECK_STR(config->listeners[0].name, "a");
    CHECK_STR(config->listeners[0].uri, "unix:///run/a.sock");
    CHECK_INT((int64_t)config->uplink_count, 1);
    const struct config_uplink *uplink = &config->uplinks[0];
    CHECK_STR(uplink->name, "cloud");
    CHECK_STR(uplink->uri, "mqtts://c.example:8883");
    CHECK_STR(uplink->client_id, "id");
    CHECK_STR(uplink->username, "me");
    CHECK_STR(uplink->password_file, "p");
    CHECK_STR(uplink->ca, "ca.pem");
    CHECK_STR(uplink->cert, "c.pem");
    CHECK_STR(uplink->key, "k.pem");
    CHECK_INT(uplink->keepalive_s, 300);
    CHECK_INT(uplink->protocol, 5);
    CHECK_INT((int64_t)uplink->link.rate, 20000);
    CHECK_INT((int64_t)uplink->link.burst_bytes, 4096);
    CHECK_INT(uplink->link.floor, 20);
    CHECK_INT(uplink->link.live, 60);
    CHECK_INT((int64_t)uplink->link.day_bytes, 200 << 20);
    CHECK_INT((int64_t)uplink->link.class_day_bytes[10], 5 << 20);
    CHECK_INT(uplink->link.day_begins, 390);
    CHECK(uplink->link.tls);
    CHECK_INT((int64_t)config->stream_count, 1);
    const struct config_stream *stream = &config->streams[0];
    CHECK_STR(stream->name, "s");
    CHECK_STR(stream->uplink, "cloud");
    CHECK_INT(stream->priority, 1);
    CHECK_INT(stream->segment_bytes, 65536);
    CHECK_INT(stream->max_bytes, 2ll << 40);
    CHECK(stream->keep);
    CHECK_INT(stream->rules.priority, 1);
    CHECK_INT(stream->rules.weight, 7);
    CHECK_INT(stream->rules.deadline, 120000);
    CHECK_INT((int64_t)stream->rules.day_bytes, 1 << 20);
    CHECK_INT((int64_t)stream->rules.window_count, 1);
    CHECK_INT(stream->rules.windows[0].from, 1320);
    CHECK_INT(stream->rules.live_share, 80);
    CHECK_INT((int64_t)config->route_count, 1);
    const struct config_route *route = &config->routes[0];
    CHECK_STR(route->name, "r");
    CHECK_STR(route->filter, "dt/+/env");
    CHECK_STR(route->stream, "s");
    CHECK_STR(route->topic, "p1/${topic}/${seq}");
    CHECK_INT((int64_t)config->sync_count, 1);
    const struct config_sync *sync = &config->syncs[0];
    CHECK_STR(sync->name, "k");
    CHECK_STR(sync->uplink, "cloud");
    CHECK_STR(sync->shadow, "+ a/b");
    CHECK_STR(sync->direction, "up");
    CHECK_STR(sync->policy, "desired: local reported.x: max");
    CHECK_INT(sync->rate, 5);
    CHECK_INT(sync->burst, 6);
    CHECK_INT(sync->every_s, 420);
    CHECK_INT((int64_t)config->plugin_count, 1);
    const struct config_plugin *plugin = &config->plugins[0];
    CHECK_STR(plugin->name, "p");
    CHECK_STR(plugin->path, "p.so");
    CHECK_STR(plugin->publish, "a/#  b");
    CHECK_STR(plugin->subscribe, "c");
    CHECK_INT(plugin->memory_bytes, 8 << 20);
}

TEST(a_section_without_keys_is_there)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    config_rig_take(rig, "[stream local]\n[stream other]\n");
    check_good(rig);
    CHECK_INT((int64_t)rig->config.stream_count, 2);
    CHECK_STR(rig->config.streams[0].uplink, "");
    CHECK_INT(rig->config.streams[0].priority, 5);
    CHECK_INT(rig->config.streams[1].max_bytes, 256 << 20);
    CHECK(!rig->config.streams[1].keep);
}

TEST(names_of_64_characters_are_kept_apart)
{
    static const char text[] = "[stream a23456789012345678901234567890123456789012345678901234567890123x]\n"
                               "[stream a23456789012345678901234567890123456789012345678901234567890123y]\n";
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    config_rig_take(rig, text);
    check_good(rig);
    CHECK_INT((int64_t)rig->config.stream_count, 2);
    CHECK_INT((int64_t)strlen(rig->config.streams[1].name), 64);
}

TEST(a_long_value_goes_on_in_indented_lines)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    config_rig_take(rig, "[plugin p]\npath = p.so\nsubscribe = a/+\n    b/+\n\tc/+\n");
    check_good(rig);
    CHECK_STR(rig->config.plugins[0].subscribe, "a/+ b/+ c/+");
}

TEST(a_line_of_forty_thousand_bytes_is_taken_whole)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    cleanup_free char *filter = mem_new_bytes(40001);
    memset(filter, 'x', 40000);
    cleanup_free char *text = str_printf("[stream s]\n[route r]\nstream = s\nfilter = %s\n", filter);
    config_rig_take(rig, text);
    check_good(rig);
    CHECK_STR(rig->config.routes[0].filter, filter);
}

TEST(drop_ins_are_read_in_order_of_name_and_the_last_word_counts)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    drop_in(rig, "90-last.conf", "[gateway]\nname = last\n");
    drop_in(rig, "10-first.conf", "[gateway]\nname = first\nlog = error\n[stream extra]\n");
    drop_in(rig, "B.conf", "[gateway]\nqueue-max = 2\n"); /* behind the digits and before the small letters */
    drop_in(rig, "a.conf", "[gateway]\nqueue-max = 3\n");
    config_rig_take(rig, "[gateway]\nname = main\nlog = info\ninflight-max = 5\nqueue-max = 1\n");
    check_good(rig);
    CHECK_STR(rig->config.name, "last");
    CHECK_STR(rig->config.log_level, "error");
    CHECK_INT(rig->config.inflight_max, 5);
    CHECK_INT(rig->config.queue_max, 3);
    CHECK_INT((int64_t)rig->config.stream_count, 1);
}

TEST(a_drop_in_adds_to_a_section_of_the_file)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    drop_in(rig, "1.conf", "[uplink cloud]\nclient-id = plant-7\n");
    config_rig_take(rig, "[uplink cloud]\nuri = mqtt://c\n");
    check_good(rig);
    CHECK_INT((int64_t)rig->config.uplink_count, 1);
    CHECK_STR(rig->config.uplinks[0].uri, "mqtt://c");
    CHECK_STR(rig->config.uplinks[0].client_id, "plant-7");
}

TEST(other_files_beside_the_drop_ins_are_not_read)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    drop_in(rig, "10-a.conf.bak", "nonsense");
    drop_in(rig, "README", "nonsense");
    drop_in(rig, ".10-hidden.conf", "nonsense");
    drop_in(rig, "conf", "nonsense");
    config_rig_take(rig, "");
    check_good(rig);
}

TEST(a_plugins_own_keys_are_its_own)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    config_rig_take(rig,
                    "[plugin threshold]\npath = threshold.so\nabove = 30 ; degrees\nfield = temperature\n");
    check_good(rig);
    const struct ini_section *section = rig->config.plugins[0].section;
    CHECK_INT((int64_t)section->count, 3);
    CHECK_STR(section->entries[1].key, "above");
    CHECK_STR(section->entries[1].value, "30 ; degrees");
    CHECK(config_plugin_owns("above"));
    CHECK(!config_plugin_owns("path"));
    CHECK(!config_plugin_owns("memory-max"));
}

TEST(an_uplinks_address_has_a_host_and_perhaps_a_port)
{
    static const char *const good[] = {
        "mqtt://a",           "mqtt://a:1",      "mqtts://b.example.org:65535", "mqtt://127.0.0.1:1883",
        "mqtts://[::1]:8883", "mqtt://[fe80::1]"};
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    for (size_t i = 0; i < array_size(good); i++) {
        cleanup_free char *text = str_printf("[uplink c]\nuri = %s\n", good[i]);
        config_rig_take(rig, text);
        check_good(rig);
    }
    static const char *const bad[] = {"a",          "tcp://a",        "mqtt://",     "mqtt://:1883",
                                      "mqtt://a:",  "mqtt://a:0",     "mqtt://a:x",  "mqtt://a:123456",
                                      "mqtt://a/b", "mqtt://a:1883/", "mqtt://[::1", "mqtt://[::1]1883",
                                      "MQTT://a",   "mqtt://a b"};
    for (size_t i = 0; i < array_size(bad); i++) {
        cleanup_free char *text = str_printf("[uplink c]\nuri = %s\n", bad[i]);
        config_rig_take(rig, text);
        if (rig->r == 0)
            FAIL("%s is taken", bad[i]);
        CHECK_INT((int64_t)rig->config.fault_count, 1);
    }
}

/* ---- what is written about it ------------------------------------------------------------------------------------ */

static char *read_text(const char *path)
{
    static char text[65536];
    FILE *file = fopen(path, "re");
    if (!file)
        FAIL("%s is missing", path);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    return text;
}

TEST(the_installed_file_is_good_also_with_its_examples_taken_in)
{
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    char *text = read_text(ROOT "/deploy/gatehouse.conf");
    config_rig_take(rig, text);
    check_good(rig);

    /* An example is "# key = value" or "# [section]"; other comments are sentences. */
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        size_t key = strspn(line + 2, "abcdefghijklmnopqrstuvwxyz-");
        if (strncmp(line, "# ", 2) == 0 &&
            (line[2] == '[' || (key && strncmp(line + 2 + key, " = ", 3) == 0)))
            memmove(line, line + 2, strlen(line + 2) + 1);
    }
    config_rig_take(rig, text);
    check_good(rig);
    CHECK_INT((int64_t)rig->config.stream_count, 2);
    CHECK_INT((int64_t)rig->config.route_count, 2);
    CHECK_INT((int64_t)rig->config.plugin_count, 1);
}

/* The keys of a kind of section, as the sentence about an unknown one lists them: "a, b or c". */
static char *keys_of(struct config_rig *rig, const char *kind)
{
    cleanup_free char *text =
        str_printf("[%s%s]\nno-such-key = 1\n", kind, strcmp(kind, "gateway") == 0 ? "" : " x");
    config_rig_take(rig, text);
    for (size_t i = 0; i < rig->config.fault_count; i++) {
        const char *list = strstr(rig->config.faults[i], "unknown key: expected ");
        if (list) {
            list += strlen("unknown key: expected ");
            return str_copy_n(list, (size_t)(strstr(list, ", found") - list));
        }
    }
    return NULL;
}

TEST(every_key_is_described_in_the_schema)
{
    static const char *const kinds[] = {"gateway", "listener", "uplink", "stream", "route"};
    cleanup(config_rig_free_p) struct config_rig *rig = config_rig_new();
    char *schema = read_text(ROOT "/schema/gatehouse.conf.md");
    for (size_t i = 0; i < array_size(kinds); i++) {
        cleanup_free char *keys = keys_of(rig, kinds[i]);
        CHECK(keys);
        cleanup_free char *heading = str_printf("\n## `[%s", kinds[i]);
        const char *chapter = strstr(schema, heading);
        if (!chapter)
            FAIL("[%s] has no chapter", kinds[i]);
        const char *end = strstr(chapter + 1, "\n## ");
        for (char *key = keys, *next; *key; key = next) {
            size_t len = strcspn(key, ", ");
            next = key + len + strspn(key + len, ", ");
            if (strncmp(next, "or ", 3) == 0)
                next += 3;
            cleanup_free char *row = str_printf("\n| `%.*s` |", (int)len, key);
            const char *found = strstr(chapter, row);
            if (!found || (end && found > end))
                FAIL("[%s] %.*s is not described", kinds[i], (int)len, key);
        }
    }
}
