/* The names a node types in every packet, and what they may be made of. */
#pragma once

#include "ghn/node.h"

/* $aws/things/THING/shadow/update/rejected is the longest. */
enum { GHN_TOPIC_SIZE = GHN_THING_MAX + 40, GHN_PUBLISH_OVERHEAD = 9 };

/* 1 to max of [a-zA-Z0-9:_-]. */
bool ghn_name_is_valid(const char *name, size_t max);

/* Each writes a topic into GHN_TOPIC_SIZE bytes and returns its length. */
size_t ghn_topic_node(char *topic, const char *thing, const char *what); /* gh/nodes/THING/WHAT */
size_t ghn_topic_shadow(char *topic, const char *thing,
                        const char *suffix); /* $aws/things/THING/shadow/SUFFIX */
size_t ghn_topic_data(char *topic, const char *thing, const char *channel); /* dt/THING/CHANNEL */
