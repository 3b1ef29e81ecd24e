/* Enhanced authentication [MQTT 5, 4.12]: the hook by which an authentication method is plugged in.
 *
 *      CONNECT (method, data) ─▶ step ─▶ CONTINUE: AUTH (data) ─▶ client ─▶ AUTH (data) ─▶ step ─▶ …
 *                                   └──▶ DONE: CONNACK       └──▶ a reason code: refused
 *
 * A connection that gave a method may begin again later (AUTH 0x19); its principal then changes with the last step.
 */
#pragma once

#include "base/base.h"

struct principal;

enum { AUTH_DONE = 0, AUTH_CONTINUE = 1 }; /* else a reason code of 0x80 and above */

/* What a step says back. */
struct auth_answer {
    uint8_t *data; /* to be sent to the client; allocated, the broker frees it; NULL: none */
    size_t len;
    struct principal *principal; /* AUTH_DONE: who it is; a reference that the broker takes over */
};

struct authenticator {
    const char *method; /* Authentication Method */
    /* One step. *state is the exchange's own: NULL in its first step. data: what the client sent, may be empty. Does not
     * block. */
    int (*step)(struct authenticator *authenticator, void **state, const uint8_t *data, size_t len,
                struct auth_answer *answer);
    /* The exchange is over, or its connection is gone; state is not NULL. */
    void (*forget)(struct authenticator *authenticator, void *state);
};
