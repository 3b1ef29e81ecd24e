/* A conversation with a broker in this process, in the words of the conformance scripts (script.h), with whatever else a
 * test has to do between the lines.
 *
 *      struct talk talk;
 *      talk_begin(&talk, &options);
 *      TALK(&talk, "A connects session-expiry=100", "A subscribes a qos=1");
 *      store_fail_next_commit(talk.house->store, -EIO);
 *      TALK(&talk, "A> SUBSCRIBE id=1 b qos=1", "A< SUBACK id=1 0x80");
 *      talk_end(&talk);
 */
#pragma once

#include "mqtt/house.h"
#include "rig/test.h"

struct talk {
    struct play *play;
    struct house *house;
};

/* Options with a disk. */
struct house_options talk_options(void);
/* MQTT 5; options: NULL for the above. */
void talk_begin(struct talk *talk, const struct house_options *options);
void talk_begin_old(struct talk *talk, const struct house_options *options); /* MQTT 3.1.1 */
/* Nobody may have been told more than was expected. */
void talk_end(struct talk *talk);

#define TALK(talk, ...) talk_lines((talk), __FILE__, __LINE__, (const char *const[]){__VA_ARGS__, NULL})
void talk_lines(struct talk *talk, const char *file, int line, const char *const *lines);
/* One, made of parts. */
#define TALKF(talk, ...) talk_line((talk), __FILE__, __LINE__, str_printf(__VA_ARGS__))
void talk_line(struct talk *talk, const char *file, int line, char *text);
