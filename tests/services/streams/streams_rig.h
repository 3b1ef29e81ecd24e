/* Streams in a house of the rig, with a cloud of the test's making: a subscriber in the place of the uplinks that keeps
 * every record it is sent, with its receipt, until the test settles it.
 *
 *      const struct stream_options streams[] = {{.name = "s", .uplink = "cloud"}};
 *      cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(streams, 1, NULL, 0);
 *      rig_publish(rig->house, "$gatehouse/streams/s/append", "1");
 *      cloud_is_up(rig, "cloud");
 *      CHECK_STR(cloud_payload(rig, 0), "1");
 *      cloud_settle(rig, 0, 0);
 */
#pragma once

#include "rig/rig.h"
#include "services/streams/streams.h"

enum { STREAMS_RIG_MAX = 4, CLOUD_NOT_CONNECTED = 0x83 };

struct cloud_item {
    struct msg *msg;
    struct receipt *receipt; /* NULL: settled */
};

struct streams_rig {
    struct rig *house;
    char *folder;
    bool folder_is_ours;
    const struct seal_functions *(*seals)(char **why); /* NULL: nothing can be encrypted */
    struct seglogs *logs;
    struct streams *streams;
    struct stream_options options[STREAMS_RIG_MAX];
    struct route_options routes[STREAMS_RIG_MAX];
    size_t option_count, route_count;

    struct subscriber cloud;
    struct subscription cloud_subscription;
    bool takes_all; /* the cloud settles at once, with 0 */
    unsigned width; /* of payloads: spaces follow the number, so that fewer records are a file */
    struct cloud_item *items;
    size_t item_count, item_size;

    char warnings[4096]; /* of the log, since the rig was made */
    unsigned warning_count;
};

struct streams_rig *streams_rig_new(const struct stream_options *streams, size_t stream_count,
                                    const struct route_options *routes, size_t route_count);
/* Folder and database are given, and stay. */
struct streams_rig *streams_rig_new_at(const char *folder, const char *db,
                                       const struct stream_options *streams, size_t stream_count);
/* The same; what encrypts (identity/aead.h), with a device key in the folder. */
struct streams_rig *streams_rig_new_sealed(const char *folder, const char *db,
                                           const struct stream_options *streams, size_t stream_count,
                                           const struct seal_functions *(*seals)(char **why));
struct streams_rig *streams_rig_free(struct streams_rig *rig);
define_cleanup(struct streams_rig *, streams_rig_free)

/* Stops as the daemon does: what the cloud holds comes back unacknowledged, the streams go, the logs close. */
void streams_rig_stop(struct streams_rig *rig);
void streams_rig_start(struct streams_rig *rig);
static inline void streams_rig_restart(struct streams_rig *rig)
{
    streams_rig_stop(rig);
    streams_rig_start(rig);
}

/* Where the files of a test begin, from the oldest on: the number of the first record in the i-th. */
unsigned streams_rig_file(const struct streams_rig *rig, const char *stream, unsigned i);

/* Appends records with the payloads "FIRST", "FIRST+1", … to a stream, and turns. All are taken. */
void streams_rig_append(struct streams_rig *rig, const char *stream, unsigned first, unsigned count);

/* The uplink's status, said by the house; turns. */
void cloud_is_up(struct streams_rig *rig, const char *uplink);
void cloud_is_down(struct streams_rig *rig, const char *uplink);

/* The i-th record that came since the last cloud_forget(); its topic is what follows …/publish/. NULL beyond. */
const char *cloud_topic(const struct streams_rig *rig, size_t i);
const char *cloud_payload(const struct streams_rig *rig, size_t i);
size_t cloud_count(const struct streams_rig *rig);
size_t cloud_holds(const struct streams_rig *rig); /* not settled */

/* Settles one, or all that are held now, oldest first; turns. Those behind an i that is not held are not touched. */
void cloud_settle(struct streams_rig *rig, size_t i, int r);
void cloud_settle_all(struct streams_rig *rig, int r);
/* Forgets what came; nothing may be held. */
void cloud_forget(struct streams_rig *rig);

/* The payloads that came are FIRST, FIRST+1, … in this order, COUNT of them, beginning with the i-th. */
void cloud_check(const struct streams_rig *rig, size_t i, unsigned first, unsigned count);

/* A number of a stream in the answer of $gatehouse/ctl/stream/list, e.g. "cursor". */
/* Every account balances, by $gatehouse/ctl/stream/verify. */
void streams_rig_check_books(struct streams_rig *rig);

int64_t streams_rig_number(struct streams_rig *rig, const char *stream, const char *key);
