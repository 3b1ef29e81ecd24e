/* The topic a record has at the cloud, made from a route's template.
 *
 *      plant-1/${topic}/${seq}      ${topic}   the message's topic
 *                                   ${stream}  the stream's name
 *                                   ${seq}     the record's number in its stream
 *
 * The number is known only when the record has been written, so the stored topic has a zero byte in its place: no topic
 * contains one [MQTT-1.5.4-2], so nothing a publisher sends can be taken for it.
 *
 * Pure functions.
 */
#pragma once

#include "base/base.h"

/* A stored topic leaves room for its numbers and for what the uplink's topics begin with. */
enum { STREAM_TOPIC_MAX = 60000, STREAM_PATTERN_MAX = 1000 };

/* NULL, or what is wrong with a template: a sentence about `expected`. */
const char *stream_topic_check(const char *pattern);

/* The stored topic into buffer (not terminated); its length, or -EMSGSIZE when it is longer than `size` or
 * STREAM_TOPIC_MAX. The pattern has been checked. */
int stream_topic_make(char *buffer, size_t size, const char *pattern, const char *topic, size_t topic_len,
                      const char *stream);

/* A stored topic with its number, terminated; its length, or -EMSGSIZE when it does not fit. 65,000 bytes are enough for
 * what stream_topic_make() made. */
int stream_topic_final(char *buffer, size_t size, const char *stored, size_t stored_len, uint64_t seq);
