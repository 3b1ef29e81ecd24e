/* Topic aliases of one connection, both ways [MQTT 5, 3.3.2.3.4]: a number in place of a topic. They end with the
 * connection. */
#pragma once

#include "wire/mqtt.h"

struct aliases;

struct aliases *aliases_free(struct aliases *aliases);

/* From the client: learns what alias stands for when there is a topic, else sets the topic, which stays until the alias is
 * learnt anew. false: it was never learnt. 1 ≤ alias ≤ max. Makes *aliases when it is NULL. */
bool aliases_receive(struct aliases **aliases, uint16_t max, uint16_t alias, struct wire_text *topic);

/* To the client: the alias of a topic; 0: it has none, and none of the `max` is left. *known: the client has learnt it, so
 * the topic may be left out. If it is not and the message is not sent after all, aliases_take_back(). */
uint16_t aliases_send(struct aliases **aliases, uint16_t max, const char *topic, size_t len, bool *known);
void aliases_take_back(struct aliases *aliases);
