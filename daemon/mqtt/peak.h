/* Memory after a peak: the allocator keeps what connections have given back, for the next ones; a gateway needs it for other
 * things. When most of a peak's connections have gone, what is free goes back to the system, once, a second later: clients
 * that come back at once find it still there. The same a second after many have come, since their handshakes needed more
 * than they do, and ten seconds after the start.
 *
 * In the broker, because it knows all connections of all doors and what they had besides: peers, sessions, messages. */
#pragma once

#include "base/loop.h"

struct peak {
    struct loop *loop;
    struct timer timer;
    size_t now, before, highest; /* connections: now, when memory was given back, and the most since */
    uint64_t given_back; /* times */
};

void peak_init(struct peak *peak, struct loop *loop);
void peak_done(struct peak *peak);
/* There are so many connections now. */
void peak_note(struct peak *peak, size_t connections);
