/* A spool with a folder of its own, and sessions that are nothing but their number: what they have is `held` and `taken`,
 * both while they live and after a restart, and rig_state() says it in one line. So what a spool must do is: the line is
 * the same before and after.
 *
 *      rig_publish(&rig, "a", 1, &promise, "12");      a message for sessions 1 and 2
 *      rig_turn(&rig);
 *      rig_done_with(&rig, 1, 0);                      session 1 has got its first message
 *      rig_restart(&rig);
 *      CHECK_STR(rig_state(&rig), "2/0 a");
 */
#pragma once

#include "mqtt/spool.h"
#include "rig/test.h"
#include "store/folder.h"

enum { RIG_SESSIONS = 10 /* 1 to 9 are known */, RIG_UNSETTLED = INT32_MIN };

struct held {
    uint64_t session, index;
    struct mail *mail;
};

struct taken {
    uint64_t session;
    uint16_t packet_id;
    struct spooled *spooled;
};

struct spool_rig {
    char *folder, *path; /* path: of the logs */
    struct clock clock;
    struct loop *loop;
    struct seglogs *logs;
    struct spool *spool;
    struct spool_options options;
    enum worker_mode mode;
    struct spool_user user;
    unsigned settled; /* calls of it */
    struct held *held;
    size_t held_count, held_size;
    struct taken taken[64];
    size_t taken_count;
    uint64_t next_index[RIG_SESSIONS];
    bool nobody_is_known;
    char *state;
};

/* Somebody who waits for the disk, and what it means for a session. */
enum promised { PROMISED_NOTHING, PROMISED_RECEIVED, PROMISED_TAKEN, PROMISED_RELEASED };

struct promise {
    struct receipt receipt;
    int r; /* RIG_UNSETTLED, 0, −errno */
    enum promised what;
    struct spool_rig *rig;
    uint64_t session, value; /* index or packet id */
};

void spool_rig_init(struct spool_rig *rig, const struct spool_options *options);
void spool_rig_init_with(struct spool_rig *rig, const struct spool_options *options, enum worker_mode mode);
void spool_rig_done(struct spool_rig *rig);

/* All mails are forgotten, the spool is closed; opened again it is read back. */
void rig_close(struct spool_rig *rig);
void rig_open(struct spool_rig *rig);
void rig_restart(struct spool_rig *rig);
/* What somebody finds who starts on a copy of the folder as it is now; free it. */
char *rig_state_of_copy(struct spool_rig *rig);
/* The files of the log are copied to a folder of their own. */
char *rig_copy(const struct spool_rig *rig);
/* What is found there. */
char *rig_state_in(const struct spool_rig *rig, const char *folder);

void rig_turn(struct spool_rig *rig); /* until nothing more happens */

struct msg *rig_msg(const struct spool_rig *rig, const char *payload);
/* Gives a message to sessions, a digit each; the promise may be NULL. */
void rig_publish(struct spool_rig *rig, const char *payload, uint8_t qos, struct promise *promise,
                 const char *sessions);
void rig_publish_msg(struct spool_rig *rig, struct msg *msg, uint8_t qos, struct promise *promise,
                     const char *sessions);
/* The same for a message that its publisher sent with QoS 2 and that packet id. */
void rig_publish_from(struct spool_rig *rig, const char *payload, struct promise *promise,
                      const char *sessions, uint64_t from, uint16_t packet_id);
struct mail *rig_mail(struct spool_rig *rig, uint64_t session, uint64_t index); /* NULL: no such */
void rig_done_with(struct spool_rig *rig, uint64_t session, uint64_t index);
void rig_receive(struct spool_rig *rig, uint64_t session, uint64_t index, struct promise *promise);
void rig_take(struct spool_rig *rig, uint64_t session, uint16_t packet_id, struct promise *promise);
void rig_release(struct spool_rig *rig, uint64_t session, uint16_t packet_id, struct promise *promise);

/* "1/0 a, 2/0 a received, taken 3:7": everything that is held, in the order of session and index; then what is taken. A
 * long payload is its first letter and its length. Valid until asked again. */
const char *rig_state(struct spool_rig *rig);

struct spool_counters rig_counters(const struct spool_rig *rig);
size_t rig_segments(const struct spool_rig *rig);
/* The records of the log: their kinds in order, "MMF". Valid until asked again. */
const char *rig_kinds(struct spool_rig *rig);
