/* Device shadows: a JSON document for every thing, and any number of named ones, for devices that are away. Topics and
 * documents are AWS IoT's:
 *
 *      $aws/things/THING/shadow[/name/NAME]/get | update | delete               requests
 *                                          /VERB/accepted | /VERB/rejected      answers
 *                                          /update/delta | /update/documents    what an update led to
 *
 * The interface is these topics; this header has only the constructor. A change is committed before it is told: the
 * receipt of its request is held, and delta, documents and accepted (in this order) are published, after the commit. When
 * the commit fails the answer is 500 and the receipt gets the fault: nothing was kept. A get that fails has only the answer.
 *
 * Requests to one shadow are done in their order; those that come while it is being saved share the next commit.
 * Documents in use stay in memory; nothing is read at start, so a hundred thousand shadows open like ten.
 *
 * Each change is written down with it: what it replaced, who made it, when. $gatehouse/ctl/shadow/{log,at,diff,blame}
 * answer from that, and …/revert makes a former state the present one, by an update like any other.
 *
 * What is in memory is limited. A request beyond the limits is answered at once with 429 Too many requests.
 */
#pragma once

#include "base/base.h"

struct shadow;
struct bus;
struct store;
struct store_check;

/* 0 is the default, everywhere. */
struct shadow_options {
    size_t cache_bytes;  /* of documents nobody is working on: 16 MiB; the one used longest ago goes first */
    size_t requests_max; /* not yet answered: 16384 */
    size_t request_bytes_max;      /* of those: 16 MiB */
    size_t requests_of_client_max; /* of one connection to one thing: 10 [AWS IoT quota] */
    size_t named_max;              /* named shadows of a thing: 64 */
    size_t document_bytes_max;     /* of one shadow's state: 8192 [AWS IoT quota, at most 30720] */
    unsigned levels_max;           /* of its nesting: 8 [AWS IoT quota] */

    bool no_history;
    size_t history_count; /* versions that are kept of a shadow: 100 */
    size_t history_age_s; /* and for how long: 30 days */
    size_t history_bytes; /* and their records at most: 256 KiB */
};

enum { SHADOW_HISTORY_COUNT = 100, SHADOW_HISTORY_AGE_S = 30 * 24 * 3600, SHADOW_HISTORY_BYTES = 256 * 1024 };

struct shadow_counters {
    uint64_t requests, rejected, faults; /* faults: requests that got 500 */
    uint64_t loads, saves, evicted;
    size_t cached, cached_bytes; /* shadows in memory now */
    size_t waiting;              /* requests not yet answered now */
};

/* Neither bus nor store are owned; the store must outlive what shadow_free() submits and waits for. */
int shadow_new(struct shadow **ret, struct bus *bus, struct store *store,
               const struct shadow_options *options) must_check;
/* Waits for the store. Requests that were not answered by then get a fault: their publishers send them again. */
struct shadow *shadow_free(struct shadow *shadow);
define_cleanup(struct shadow *, shadow_free)

/* For store_open_checked(): documents in which there is garbage. The start that saves what there is of a damaged file does
 * without them and names them. Records of the past need no check: a past ends where one cannot be read. */
extern const struct store_check shadow_store_check;

const struct shadow_counters *shadow_counters(const struct shadow *shadow);
