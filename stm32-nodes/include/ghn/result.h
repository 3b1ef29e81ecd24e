/* What the node library's functions answer: 0 is done, positive is a refusal ("not now"), negative is a fault. */
#pragma once

enum ghn_result {
    GHN_OK = 0,
    GHN_BUSY = 1,        /* no room now: poll, and try again */
    GHN_INVALID = -1,    /* not JSON, not a name, not what the function asks for */
    GHN_TOO_LONG = -2,   /* will never fit in the buffer it was meant for */
    GHN_NO_ENTROPY = -3, /* the port gives no random numbers: the node refuses to connect */
    GHN_RANGE = -4,      /* a number that the type asked for cannot hold */
    GHN_STORAGE = -5     /* a page does not hold what was written */
};
