/* The spool: what waits for sessions that outlive their connection, on disk.
 *
 *      message ─▶ gathered with all who are to get it ─▶ one record ─▶ synced with the turn's others ─▶ receipt settles
 *      then facts: session 7 has got number 12; …        one record a turn
 *
 * A message is written once, however many sessions wait for it. A place is what one session has of it: it is taken when the
 * message is queued and given up when it has been delivered. A record with places is alive; segments below the oldest
 * record that is alive go. Few that are left of much are written again at the end, so that one client that stays away does
 * not keep everything (see struct spool_options).
 *
 * A session's messages are numbered (index). The number is on disk, and a packet id is made of it, so that after a restart
 * a message is sent with the id that it had.
 *
 * Lives on the loop; the log's thread writes.
 */
#pragma once

#include "base/receipt.h"
#include "bus/mailbox.h"
#include "mqtt/spool_record.h"
#include "store/seglog.h"

struct spool;

/* A message's record. */
struct spooled;

/* What a session has of a record. */
struct spool_place {
    struct list link; /* in the record's */
    struct spooled *spooled;
    struct mail *mail;
    uint64_t session, index;
};

struct spool_options {
    uint64_t bytes_max;     /* of the log: beyond, no message is taken. 0: 1 GiB */
    uint64_t segment_bytes; /* 0: 4 MiB */
    /* Bytes that are not alive, beyond as many as are: then the oldest are written again. 0: 16 MiB; two segments at
     * least. */
    uint64_t waste_max;
};

struct spool_user {
    /* Records have been synced, or have failed, since the last call. */
    void (*settled)(struct spool_user *user);
};

/* Opens log "sessions" among logs. spool_recover() must be called once before anything else. */
int spool_open(struct spool **ret, struct loop *loop, struct seglogs *logs,
               const struct spool_options *options, struct spool_user *user) must_check;
/* The log must be quiet (seglogs_quiesce) and the mails be forgotten. */
struct spool *spool_close(struct spool *spool);

/* No more messages are taken: the disk's share is used up. */
bool spool_is_full(const struct spool *spool);

/* The record that is being gathered for this message, begun if it is not yet; *is_new says which. The receipt is held
 * until it is synced: 0 or −errno. The same message of one routing comes with the same receipt. */
struct spooled *spool_gather(struct spool *spool, struct msg *msg, struct receipt *receipt, bool *is_new);
/* Adds a place to what is being gathered. */
void spool_add(struct spool *spool, struct mail *mail, uint64_t session, uint64_t index);

/* Is the mail's record synced? One that failed is synced never: its publisher has been told, and the mail is to be
 * dropped. */
bool spool_is_synced(const struct mail *mail);
bool spool_has_failed(const struct mail *mail);

/* Delivered, or not to be delivered: the place is given up, with a fact on disk. The mail stays the caller's. */
void spool_done(struct spool *spool, struct mail *mail);
/* The same without a fact: the session has ended, or the mail has failed. */
void spool_forget(struct spool *spool, struct mail *mail);
/* PUBREC has come for the mail; the receipt (held) settles when that is synced: PUBREL may be sent then. */
void spool_received(struct spool *spool, const struct mail *mail, struct receipt *receipt);

/* A QoS 2 message of a durable session is known by its packet id until its PUBREL. The id goes into the record that is
 * being gathered, or into one of its own when nobody durable gets the message: the receipt (held) settles when synced. */
void spool_taken_with(struct spooled *spooled, uint64_t session, uint16_t packet_id);
struct spooled *spool_taken(struct spool *spool, uint64_t session, uint16_t packet_id,
                            struct receipt *receipt);
/* Is the id on disk, or on its way? It is not when the record has failed, or when the receipt had been refused before it
 * was written: a message that somebody did not take is sent again, and is to be published then. */
bool spool_has_taken(const struct spooled *spooled);
/* PUBREL: the receipt (held) settles when that is synced. The id is not written again; when it is synced, or when the
 * session ends, it is given up with spool_untake(). */
void spool_released(struct spool *spool, struct spooled *spooled, struct receipt *receipt);
void spool_untake(struct spool *spool, struct spooled *spooled);

/* Reading at start. A target that comes again replaces what was said about the same session and index before. Who keeps
 * something of `spooled` calls spool_restore() or spool_taken_with(). */
struct spool_reader {
    void (*target)(struct spool_reader *reader, struct spooled *spooled, struct msg *msg,
                   const struct spool_target *target);
    /* alone: the record is not that of the message */
    void (*taken)(struct spool_reader *reader, struct spooled *spooled, uint64_t session, uint16_t packet_id,
                  bool alone);
    void (*fact)(struct spool_reader *reader, enum spool_fact fact, uint64_t session, uint64_t value);
};
/* Blocks. wall_minus_mono turns births into the loop's time. */
int spool_recover(struct spool *spool, struct spool_reader *reader, int64_t wall_minus_mono) must_check;
/* A mail of a recovered record takes its place. */
void spool_restore(struct spooled *spooled, struct mail *mail, uint64_t session, uint64_t index);

struct spool_counters {
    uint64_t messages, failed, moved, damaged;
    uint64_t bytes, alive; /* of the log; of messages that somebody waits for */
};
void spool_counters(const struct spool *spool, struct spool_counters *ret);
