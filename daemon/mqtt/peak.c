#include "mqtt/peak.h"

#include "base/give_back.h"
#include "net/conn.h"

enum {
    SMALLEST = 200 /* connections worth the trouble */,
    MOST = 4 /* three of four have gone */,
    WAIT_MS = 1000,
    SETTLED_MS = 10000 /* after the start: those who were there before have come back, and nobody waits for a page */
};

static void on_time(struct timer *timer)
{
    struct peak *peak = container_of(timer, struct peak, timer);
    peak->before = peak->highest = peak->now;
    peak->given_back++;
    conn_give_back();
    memory_give_back();
}

void peak_init(struct peak *peak, struct loop *loop)
{
    *peak = (struct peak){.loop = loop, .timer.fire = on_time};
    timer_start(loop, &peak->timer, SETTLED_MS);
}

void peak_done(struct peak *peak)
{
    timer_stop(peak->loop, &peak->timer);
}

void peak_note(struct peak *peak, size_t connections)
{
    peak->now = connections;
    if (connections > peak->highest)
        peak->highest = connections;
    bool many_came = connections >= peak->before + SMALLEST;
    bool most_went = peak->highest >= SMALLEST && connections <= peak->highest / MOST;
    if ((many_came || most_went) && !timer_is_running(&peak->timer))
        timer_start(peak->loop, &peak->timer, WAIT_MS);
}
