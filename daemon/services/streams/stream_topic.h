/* The topic a record has at the cloud, made from a route's template.
 *
 *      plant-1/${topic}/${seq}      ${topic}   the message's topic
 *                                   ${stream}  the stream's name
 *                                   ${seq}     the record's number in its stream
 *
 * The number is known only when the record has been written, so the stored topic has a zero byte in its place: no topic
 * contains one [MQTT-1.5.4-2], so nothing a publisher sends can be taken for it.
 *
 * A message that was republished before it became a record, because it came from a cloud, carries how often behind its topic: 0xff,
 * which no UTF-8 has, and a byte. So it is known to whoever gets it from there that it goes round (msg.hops).
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

/* Puts the hops behind a stored topic that is `len` long, if there are any; there is room for two bytes more. The length then. */
size_t stream_topic_add_hops(char *stored, size_t len, uint8_t hops);
/* How many there are; *len becomes the length without them. */
uint8_t stream_topic_hops(const char *stored, size_t *len);

/* A stored topic without its hops and with its number, terminated; its length, or -EMSGSIZE when it does not fit. 65,000 bytes are enough for
 * what stream_topic_make() made. */
int stream_topic_final(char *buffer, size_t size, const char *stored, size_t stored_len, uint64_t seq);
