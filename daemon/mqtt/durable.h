/* Durable sessions: keeps state.db and the spool in step with what sessions are, and makes sessions of them at start.
 *
 *      session, subscriptions, will  ─▶ rows in state.db      (session_store.c)
 *      messages, packet ids          ─▶ records in the spool  (spool.c)
 *
 * A change is handed to the store and its receipt, if there is one, settles after the commit: CONNACK, SUBACK and
 * UNSUBACK wait for that. Changes are committed in the order they are made.
 */
#pragma once

#include "mqtt/peer.h"
#include "mqtt/session_store.h"
#include "mqtt/spool.h"

struct durable;

/* Opens the spool, reads everything back and makes the sessions. Blocks: before the loop turns. *ret is set even when
 * it fails half-way: end the sessions, then close it. */
int durable_open(struct durable **ret, struct broker *broker, struct store *store, struct seglogs *logs,
                 const struct spool_options *options) must_check;
/* After the sessions have ended. */
struct durable *durable_close(struct durable *durable);

struct spool *durable_spool(const struct durable *durable);
/* Makes the session durable: it has a number, by which the disk knows it; 0: a new one. */
void durable_name(struct durable *durable, struct session *session, uint64_t number);

void durable_unname(struct durable *durable, struct session *session);
struct session *durable_find(const struct durable *durable, uint64_t number);

/* The receipt may be NULL everywhere. away: its client is not connected (any more). */
void durable_put(struct durable *durable, const struct session *session, bool away, struct receipt *receipt);
void durable_remove(struct durable *durable, uint64_t number, struct receipt *receipt);
void durable_subscribe(struct durable *durable, uint64_t number, const char *filter, size_t len,
                       const struct subscription *options, struct receipt *receipt);
void durable_unsubscribe(struct durable *durable, uint64_t number, const char *filter, size_t len,
                         struct receipt *receipt);
/* Returns the will's number, with which it is removed: a newer one of the same client stays. */
uint64_t durable_put_will(struct durable *durable, const char *client_id, size_t len, struct msg *will,
                          uint32_t delay_s, struct receipt *receipt);
void durable_remove_will(struct durable *durable, const char *client_id, size_t len, uint64_t number);

/* The session's next message waits for the disk: it is pumped when something has been synced. */
void durable_wait(struct durable *durable, struct session *session);
