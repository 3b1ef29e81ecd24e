/* What the two halves of the client share: client.c speaks, client_input.c listens. */
#pragma once

#include "wire/client.h"

enum wire_version client_version(const struct wire_client *client);
/* The connection is of no more use: tells so, once. */
void client_lose(struct wire_client *client, enum wire_client_loss why, uint8_t reason);

/* Bytes free in the output. */
uint32_t client_space(const struct wire_client *client);
/* Says PUBACK, PUBREC, PUBREL or PUBCOMP, unless the connection is lost; without room for it, it becomes so. */
void client_put_ack(struct wire_client *client, enum wire_type type, uint16_t packet_id, uint8_t reason);

/* The slot of a message under way, NULL when there is none. */
struct wire_slot *client_slot_of(struct wire_client *client, uint16_t packet_id);
/* A message has arrived or was refused. */
void client_free_slot(struct wire_client *client, struct wire_slot *slot, uint8_t reason);
/* Sends what is due from the slots, oldest first, as far as window and output go. */
void client_send_slots(struct wire_client *client);
