/* Two houses with a shadow service each, and between them a link that does what the test says. Here shadowsync runs; there
 * is the cloud. Both clocks are moved together.
 *
 *      here: bus ── $gatehouse/cloud/cloud/publish/… ──▶ up ──▶ bus: there
 *            bus ◀── $gatehouse/cloud/cloud/receive/… ── down ◀── $aws/things/…
 *
 * Messages wait in `up` and `down` until they are moved, one by one, or are dropped by a cut.
 */
#pragma once

#include "rig/rig.h"
#include "services/shadow/shadow.h"
#include "services/shadowsync/shadowsync.h"

struct sync_queue {
    struct msg **list;
    size_t count, size;
};

struct sync_rig {
    struct rig *here, *there;
    struct shadow *shadow_here, *shadow_there;
    struct shadowsync *sync;
    struct sync_options options[4];
    size_t option_count;

    struct subscriber ear_here, ear_there;
    struct subscription sent, asked, answers, answers_there;
    char filters[4096]; /* what was asked for, as JSON */
    struct sync_queue up, down;
    bool is_up;
    uint64_t sent_count;   /* messages that went into `up` */
    char topic_there[256]; /* of the last one, without the uplink's part */

    void (*on_here)(void *self, const struct msg *msg); /* every answer of the shadow service, in order */
    void (*on_there)(void *self, const struct msg *msg);
    void *self;
    bool is_forgetful; /* what was heard is not kept */
};

/* Up to four sections; uplink and missing names are filled in. The link is cut. */
struct sync_rig *sync_rig_new(const struct sync_options *options, size_t count);
struct sync_rig *sync_rig_free(struct sync_rig *rig);
define_cleanup(struct sync_rig *, sync_rig_free)
/* One section for everything, with a bucket that is never empty. */
struct sync_rig *sync_rig_for(const char *shadow, const char *policy);

/* As after a restart of the gateway; the cloud stays. */
void sync_rig_restart(struct sync_rig *rig);

void sync_rig_connect(struct sync_rig *rig);
/* What is under way is lost. */
void sync_rig_cut(struct sync_rig *rig);

/* One message over the link; false: there is none. */
bool sync_rig_move_up(struct sync_rig *rig);
bool sync_rig_move_down(struct sync_rig *rig);
/* Until nothing more happens by itself. */
void sync_rig_turn(struct sync_rig *rig);
/* The same while time passes. */
void sync_rig_wait(struct sync_rig *rig, int64_t ms);

/* An update by somebody else: {"state":…} with ' for ". */
void update_here(struct sync_rig *rig, const char *shadow, const char *state);
void update_there(struct sync_rig *rig, const char *shadow, const char *state);
void delete_here(struct sync_rig *rig, const char *shadow);
void delete_there(struct sync_rig *rig, const char *shadow);

/* The state of a shadow, THING or THING/NAME, with ' for "; "nothing" when there is none. Free it. */
char *state_of(struct rig *house, const char *shadow);
/* Is it that, whatever the order of its members? */
bool state_is(struct rig *house, const char *shadow, const char *expected);
#define CHECK_STATE(house, shadow, expected)                                                                 \
    do {                                                                                                     \
        cleanup_free char *state_ = state_of((house), (shadow));                                             \
        CHECK_STR(state_, (expected));                                                                       \
    } while (0)

/* The answer to $gatehouse/ctl/sync/list, or the number in it behind "key". */
const char *sync_list(struct sync_rig *rig);
int64_t sync_number(struct sync_rig *rig, const char *key);
