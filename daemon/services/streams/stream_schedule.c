#include "services/streams/stream_schedule.h"

/* The next after `last`, in a circle, that is ready and whose priority is `best` (or is not, for the others). */
static int next_of(const struct schedule_stream *streams, size_t count, size_t last, unsigned best,
                   bool others)
{
    for (size_t n = 1; n <= count; n++) {
        size_t i = (last + n) % count;
        if (streams[i].ready && (streams[i].priority != best) == others)
            return (int)i;
    }
    return -1;
}

int schedule_next(struct schedule *schedule, const struct schedule_stream *streams, size_t count)
{
    unsigned best = 0;
    for (size_t i = 0; i < count; i++)
        if (streams[i].ready && (!best || streams[i].priority < best))
            best = streams[i].priority;
    if (!best)
        return -1;
    if (schedule->slot + 1 >= SCHEDULE_SLOTS) {
        int other = next_of(streams, count, schedule->last_others, best, true);
        if (other >= 0) {
            schedule->slot = 0;
            schedule->last_others = (size_t)other;
            return other;
        }
    } else {
        schedule->slot++;
    }
    int next = next_of(streams, count, schedule->last, best, false);
    schedule->last = (size_t)next;
    return next;
}
