/* A house for one test: a loop with a clock moved by hand, an in-memory store whose batches run in their phase of the
 * turn, a bus, and somebody who listens to everything.
 *
 *      cleanup(rig_free_p) struct rig *rig = rig_new();
 *      rig_publish(rig, "a/b", "1");
 *      rig_turn(rig);
 *      CHECK_MESSAGE(rig, "a/b", "1");
 */
#pragma once

#include "base/loop.h"
#include "bus/bus.h"
#include "rig/test.h"
#include "store/store.h"

struct rig {
    struct clock clock;
    struct loop *loop;
    struct store *store;
    struct bus *bus;
    struct rig_listener *listener;
};

struct rig *rig_new(void); /* starts at wall time 1,760,000,000 s */
struct rig *rig_new_at(const char *db); /* the same with a store in a file */
struct rig *rig_free(struct rig *rig);
define_cleanup(struct rig *, rig_free)

    /* Turns until nothing more happens by itself. */
    void rig_turn(struct rig *rig);
/* Moves the clock, a timer's due time at a time, and turns. */
void rig_wait(struct rig *rig, int64_t ms);

void rig_publish(struct rig *rig, const char *topic, const char *payload);
/* QoS 1 with a receipt: *settled becomes INT32_MIN until it settles, then r. */
void rig_publish_receipt(struct rig *rig, const char *topic, const char *payload, int *settled);
enum { RIG_UNSETTLED = INT32_MIN };
/* A request with a response topic; returns the answer's payload (valid until rig_forget()) or NULL. */
const char *rig_request(struct rig *rig, const char *topic, const char *payload);

/* What came out, oldest first, since the start or the last rig_forget(). */
size_t rig_count(const struct rig *rig, const char *topic);
const char *rig_last(const struct rig *rig, const char *topic); /* payload; NULL if none */
/* Topic of the i-th message on topics that match the filter, in order of arrival; NULL beyond. */
const char *rig_topic(const struct rig *rig, const char *filter, size_t i);
const char *rig_payload(const struct rig *rig, const char *filter, size_t i);
void rig_forget(struct rig *rig);

/* At least one message on the topic contains the text; there is none on the topic. */
#define CHECK_MESSAGE(rig, topic, text) rig_check_message((rig), (topic), (text), __FILE__, __LINE__)
#define CHECK_NO_MESSAGE(rig, topic)    CHECK_INT((int64_t)rig_count((rig), (topic)), 0)
void rig_check_message(const struct rig *rig, const char *topic, const char *text, const char *file,
                       int line);
