#include "mqtt/refusals.h"

#include "wire/mqtt.h"

enum { FIRST_REASON = 0x80 };

static const char *const names[REFUSED_KINDS] = {[REFUSED_CONNECT] = "connect",
                                                 [REFUSED_PUBLISH] = "publish",
                                                 [REFUSED_SUBSCRIBE] = "subscribe",
                                                 [REFUSED_CONNECTION] = "connection"};

void refusals_count(struct refusals *refusals, enum refused refused, uint8_t reason)
{
    if (reason >= FIRST_REASON)
        refusals->counts[refused][reason - FIRST_REASON]++;
}

const char *refused_text(enum refused refused)
{
    return names[refused];
}

void refusals_put(const struct refusals *refusals, struct json_writer *w)
{
    json_begin_object(w);
    for (int kind = 0; kind < REFUSED_KINDS; kind++) {
        json_key(w, names[kind]);
        json_begin_object(w);
        for (unsigned i = 0; i < REFUSED_REASONS; i++) {
            if (!refusals->counts[kind][i])
                continue;
            json_key(w, wire_reason_text((uint8_t)(FIRST_REASON + i)));
            json_put_uint(w, refusals->counts[kind][i]);
        }
        json_end_object(w);
    }
    json_end_object(w);
}
