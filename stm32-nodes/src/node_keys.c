#include "node_keys.h"

#include "ghn/json.h"
#include "ghn/pair.h"
#include "node_topic.h"

#include <string.h>

bool ghn_node_use_key(ghn_node *node, const char **host, uint16_t *port)
{
    const ghn_config *config = node->config;
    ghn_keys *keys = config->keys;
    char id[GHN_KEY_ID_SIZE];
    if (!ghn_keys_next(keys))
        return false;
    ghn_key_id(id, config->serial, keys->use.generation);
    if (*keys->use.host)
        *host = keys->use.host;
    if (keys->use.port)
        *port = keys->use.port;
    return config->secure->use(config->secure->ctx, id, keys->use.key) == 0;
}

bool ghn_node_take_key(ghn_node *node, const struct wire_packet *publish)
{
    const ghn_config *config = node->config;
    char topic[GHN_TOPIC_SIZE], text[32];
    size_t len = ghn_topic(topic, GHN_TOPIC_STATUS, config->thing, GHN_KEY_NEXT);
    if (len != publish->topic.len || memcmp(topic, publish->topic.text, len) != 0)
        return false;
    ghn_credentials next = config->keys->use; /* what the message does not say stays */
    int r = ghn_offer_read(&next, config->serial, (const char *)publish->payload, publish->payload_len);
    if (r == 0 && next.generation > config->keys->use.generation)
        r = ghn_keys_put(config->keys, &next);
    else
        r = GHN_INVALID;
    ghn_wipe(next.key, sizeof next.key);
    if (r < 0)
        return false; /* it will be said again */
    ghn_json_out out;
    ghn_json_begin(&out, text, sizeof text);
    ghn_json_put_int(&out, "gen", next.generation);
    int text_len = ghn_json_finish(&out);
    if (text_len > 0) /* if it does not fit, the first connection says the same */
        (void)ghn_publish(node, GHN_TOPIC_STATUS, GHN_KEY_COMMIT, 0, false, text, (size_t)text_len);
    return true;
}
