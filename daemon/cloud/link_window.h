/* How much may be under way on a link, in bytes: as much as it carries in the time that a message may spend on its way.
 *
 * What is sent and not acknowledged stands in line before whatever is sent next. On a link with 20 kbit/s the half MiB that a
 * fast one needs would take three minutes, and a new record would come after all of it. So the rate at which
 * acknowledgements come back is measured, and the window is that rate times the delay that is aimed at: the line never
 * runs dry, and is never longer. A fast link is not held up: its rate is measured as higher as long as more fits.
 *
 *      window = rate × max(300 ms, shortest way + 200 ms), at least 512 bytes, at most what is asked for
 *
 * The shortest way is the least time that any message took on this connection: a satellite's half second is no line. It is
 * looked at anew every five minutes with a small window, so that a broker that has become slower is not taken for a line.
 * The rate is that between the sending of a message and its acknowledgement: the highest of the last five seconds, or, while
 * there is a line, that of the last one which stood in it. A window grows to twice what was under way at most: single messages,
 * which the first hop's buffer takes at once, say nothing of what a link carries.
 *
 * Pure: time is an argument, in ms.
 */
#pragma once

#include "base/base.h"

struct link_window {
    size_t max; /* bytes */
    size_t limit, used;
    int64_t line_since; /* a message stood in line; 0: the last one did not */
    int64_t calm_until; /* what is sent until then does not say that there is a line */
    size_t before_look; /* the limit to go back to; 0: it does not look */
    uint64_t delivered; /* bytes acknowledged so far */
    double rates[2];    /* bytes a ms: the highest of this span of time, and of the one before */
    int64_t span_began;
    int64_t shortest;    /* ms; 0: unknown */
    int64_t shortest_at; /* when it was measured, or looked for last */
    int64_t
        looking_since; /* the shortest way is measured, with a small window, by what is sent from then on; 0: it is not */
};

/* What a message remembers while it is under way. */
struct link_window_mark {
    size_t bytes;
    int64_t sent_at;
    uint64_t delivered;
    size_t used; /* with itself */
};

/* A new connection. The window has been zeroed, or what is still under way from the connection before will be done. */
void link_window_init(struct link_window *window, size_t max, int64_t now);
/* One message, whatever its size, fits when nothing is under way. */
bool link_window_has_room(const struct link_window *window);
void link_window_sent(struct link_window *window, struct link_window_mark *mark, size_t bytes, int64_t now);
/* acknowledged: by the other side; else it is forgotten, and says nothing about the link. */
void link_window_done(struct link_window *window, const struct link_window_mark *mark, bool acknowledged,
                      int64_t now);
