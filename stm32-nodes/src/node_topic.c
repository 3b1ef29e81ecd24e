#include "node_topic.h"

#include <string.h>

static const struct {
    const char *before, *behind; /* the thing's name */
} shapes[] = {
    [GHN_TOPIC_STATUS] = {"gh/nodes/", "/"},
    [GHN_TOPIC_SHADOW] = {"$aws/things/", "/shadow/"},
    [GHN_TOPIC_DATA] = {"dt/", "/"},
};

_Static_assert(GHN_TOPIC_SIZE > sizeof "$aws/things//shadow/update/rejected" + GHN_THING_MAX,
               "the longest fits");
_Static_assert(GHN_TOPIC_SIZE > sizeof "dt//" + GHN_THING_MAX + GHN_CHANNEL_MAX, "and so does a channel");

bool ghn_name_is_valid(const char *name, size_t max)
{
    size_t len = 0;
    if (!name)
        return false;
    for (; name[len]; len++) {
        char c = name[len];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' ||
                    c == '_' || c == '-';
        if (!fine || len == max)
            return false;
    }
    return len > 0;
}

size_t ghn_topic(char *topic, ghn_topic_kind kind, const char *thing, const char *last)
{
    const char *const parts[] = {shapes[kind].before, thing, shapes[kind].behind, last};
    size_t len = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t n = strlen(parts[i]);
        memcpy(topic + len, parts[i], n);
        len += n;
    }
    topic[len] = '\0';
    return len;
}

bool ghn_publish_fits(const ghn_config *config, ghn_topic_kind kind, const char *last, size_t payload_len)
{
    enum { AROUND = 9 }; /* fixed header, length of the topic, packet id */
    size_t topic_len =
        strlen(shapes[kind].before) + strlen(config->thing) + strlen(shapes[kind].behind) + strlen(last);
    return AROUND + topic_len + payload_len <= config->tx_size / 2;
}

int ghn_publish(ghn_node *node, ghn_topic_kind kind, const char *last, unsigned qos, bool retain,
                const char *payload, size_t payload_len)
{
    char topic[GHN_TOPIC_SIZE];
    struct wire_packet p = {.qos = (uint8_t)qos, .retain = retain, .payload = (const uint8_t *)payload};
    p.payload_len = (uint32_t)payload_len;
    p.topic = (struct wire_text){topic, (uint16_t)ghn_topic(topic, kind, node->config->thing, last)};
    return wire_client_publish(&node->mqtt, &p);
}
