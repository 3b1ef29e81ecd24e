/* What was refused and why: how often each reason code of 0x80 and above (MQTT 5, section 2.4) was said, or would have been
 * to a client whose version has no word for it. Counted since the start. */
#pragma once

#include "base/json_write.h"

enum refused { REFUSED_CONNECT, REFUSED_PUBLISH, REFUSED_SUBSCRIBE, REFUSED_CONNECTION, REFUSED_KINDS };
enum { REFUSED_REASONS = 128 }; /* 0x80 to 0xff */

struct refusals {
    uint32_t counts[REFUSED_KINDS][REFUSED_REASONS];
};

/* Reasons below 0x80 are none and not counted. REFUSED_CONNECTION: one that was up was ended by us. */
void refusals_count(struct refusals *refusals, enum refused refused, uint8_t reason);
/* "connect", "publish", "subscribe", "connection". */
const char *refused_text(enum refused refused);
/* {"connect":{"not authorized":3},"publish":{},…}: only what has happened, by the standard's name of the reason. */
void refusals_put(const struct refusals *refusals, struct json_writer *w);
