#include "mqtt/alias.h"

#include "base/map.h"

#include <string.h>

/* The first topics get the aliases and keep them: clients that ask for aliases have few topics, and changing what an alias
 * stands for costs the topic's bytes again. */

struct sent {
    struct map_key key; /* the topic, behind this */
    uint16_t alias;
};

struct aliases {
    struct map sent;
    struct sent *last; /* what was given last */
    char **received;   /* [alias - 1] */
    uint16_t received_max;
};

static struct aliases *make(struct aliases **aliases)
{
    if (!*aliases)
        *aliases = mem_new(struct aliases);
    return *aliases;
}

struct aliases *aliases_free(struct aliases *aliases)
{
    if (!aliases)
        return NULL;
    map_for_each(i, key, &aliases->sent) free(container_of(key, struct sent, key));
    map_done(&aliases->sent);
    for (unsigned i = 0; i < aliases->received_max; i++)
        free(aliases->received[i]);
    free(aliases->received);
    free(aliases);
    return NULL;
}

bool aliases_receive(struct aliases **ret, uint16_t max, uint16_t alias, struct wire_text *topic)
{
    struct aliases *aliases = make(ret);
    if (!aliases->received) {
        aliases->received = mem_new_bytes(max * sizeof *aliases->received);
        aliases->received_max = max;
    }
    char **known = &aliases->received[alias - 1];
    if (topic->len) {
        free(*known);
        *known = str_copy_n(topic->text, topic->len);
        return true;
    }
    if (!*known)
        return false;
    *topic = (struct wire_text){*known, (uint16_t)strlen(*known)};
    return true;
}

uint16_t aliases_send(struct aliases **ret, uint16_t max, const char *topic, size_t len, bool *known)
{
    struct aliases *aliases = make(ret);
    struct map_key *key = map_get(&aliases->sent, topic, len);
    *known = key != NULL;
    if (key)
        return container_of(key, struct sent, key)->alias;
    if (aliases->sent.count >= max)
        return 0;
    struct sent *sent = mem_new_bytes(sizeof *sent + len);
    memcpy(sent + 1, topic, len);
    sent->key = (struct map_key){.text = (char *)(sent + 1), .len = (uint32_t)len};
    sent->alias = (uint16_t)(aliases->sent.count + 1);
    map_put(&aliases->sent, &sent->key);
    aliases->last = sent;
    return sent->alias;
}

void aliases_take_back(struct aliases *aliases)
{
    struct sent *sent = steal(aliases->last);
    map_remove(&aliases->sent, &sent->key);
    free(sent);
}
