/* The names a node types in every packet, and publishing under them. */
#pragma once

#include "ghn/node.h"

typedef enum ghn_topic_kind {
    GHN_TOPIC_STATUS, /* gh/nodes/THING/LAST */
    GHN_TOPIC_SHADOW, /* $aws/things/THING/shadow/LAST */
    GHN_TOPIC_DATA    /* dt/THING/LAST */
} ghn_topic_kind;

/* $aws/things/THING/shadow/update/rejected is the longest. */
enum { GHN_TOPIC_SIZE = GHN_THING_MAX + 40 };

/* 1 to max of [a-zA-Z0-9:_-]. */
bool ghn_name_is_valid(const char *name, size_t max);

/* Writes a topic into GHN_TOPIC_SIZE bytes and returns its length. */
size_t ghn_topic(char *topic, ghn_topic_kind kind, const char *thing, const char *last);

/* Does a PUBLISH on this topic fit in one half of tx? */
bool ghn_publish_fits(const ghn_config *config, ghn_topic_kind kind, const char *last, size_t payload_len);

/* Publishes: as wire_client_publish(). */
int ghn_publish(ghn_node *node, ghn_topic_kind kind, const char *last, unsigned qos, bool retain,
                const char *payload, size_t payload_len);
