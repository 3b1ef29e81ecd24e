#include "node_topic.h"

#include <string.h>

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

static size_t join(char *topic, const char *before, const char *thing, const char *between, const char *last)
{
    const char *const parts[] = {before, thing, between, last};
    size_t len = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t n = strlen(parts[i]);
        memcpy(topic + len, parts[i], n);
        len += n;
    }
    topic[len] = '\0';
    return len;
}

size_t ghn_topic_node(char *topic, const char *thing, const char *what)
{
    return join(topic, "gh/nodes/", thing, "/", what);
}

size_t ghn_topic_shadow(char *topic, const char *thing, const char *suffix)
{
    return join(topic, "$aws/things/", thing, "/shadow/", suffix);
}

size_t ghn_topic_data(char *topic, const char *thing, const char *channel)
{
    return join(topic, "dt/", thing, "/", channel);
}
