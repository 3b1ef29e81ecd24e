#include "cloud/link_window.h"

enum {
    LEAST = 512,
    BEGIN = 1536,
    AIM = 300,        /* ms on the way … */
    AIM_BEYOND = 200, /* … or so much more than the shortest */
    SPAN = 2500,      /* two of them are looked at */
    LOOK_EVERY = 5 * 60 * 1000,
};

void link_window_init(struct link_window *window, size_t max, int64_t now)
{
    *window = (struct link_window){.max = max, .used = window->used, .span_began = now, .shortest_at = now};
    window->limit = size_min(BEGIN, max);
}

bool link_window_has_room(const struct link_window *window)
{
    return window->used < window->limit;
}

void link_window_sent(struct link_window *window, struct link_window_mark *mark, size_t bytes, int64_t now)
{
    window->used += bytes;
    *mark = (struct link_window_mark){bytes, now, window->delivered, window->used};
}

static void take_rate(struct link_window *window, double rate, int64_t now)
{
    if (now - window->span_began >= SPAN) {
        window->rates[1] = now - window->span_began < 2 * SPAN ? window->rates[0] : 0;
        window->rates[0] = 0;
        window->span_began = now;
    }
    if (rate > window->rates[0])
        window->rates[0] = rate;
}

static bool is_due(const struct link_window *window, int64_t now)
{
    return now - window->shortest_at >= LOOK_EVERY;
}

/* What was sent before the window was small stood in line, and does not count. */
static void take_way(struct link_window *window, int64_t sent_at, int64_t way, int64_t now)
{
    bool looked = window->looking_since && sent_at >= window->looking_since;
    if (looked || !window->shortest || way < window->shortest) {
        window->shortest = way;
        window->shortest_at = now;
        window->looking_since = 0;
        if (window->before_look) { /* all that comes now comes at once, and is no line */
            window->limit = window->before_look;
            window->calm_until = now + 2 * way;
        }
        window->before_look = 0;
    } else if (is_due(window, now)) {
        if (!window->before_look)
            window->before_look = window->limit;
        window->limit = size_min(LEAST, window->max);
        if (!window->looking_since && window->used <= window->limit)
            window->looking_since = now;
    }
}

static double largest(double a, double b)
{
    return a > b ? a : b;
}

/* Who stood in line has measured the link, and nothing else has: a lone message goes as fast as the first hop takes it. So a
 * window grows only as far as it is used and while there is no line, and when what was sent since a line was seen stood in it,
 * too, that is what the link carries. */
static void set_limit(struct link_window *window, const struct link_window_mark *mark, double rate,
                      int64_t way, int64_t now)
{
    int64_t aim = window->shortest + AIM_BEYOND > AIM ? window->shortest + AIM_BEYOND : AIM;
    bool is_line = way > aim && mark->sent_at > window->calm_until;
    if (is_line && window->line_since && mark->sent_at >= window->line_since)
        window->rates[0] = window->rates[1] = rate;
    if (!is_line || !window->line_since || mark->sent_at >= window->line_since)
        window->line_since = is_line ? now : 0;
    double limit = largest(window->rates[0], window->rates[1]) * (double)aim;
    double proved = is_line ? 0 : 2.0 * (double)mark->used;
    proved = largest((double)window->limit, proved);
    limit = largest(limit < proved ? limit : proved, LEAST);
    window->limit = limit > (double)window->max ? window->max : (size_t)limit;
}

void link_window_done(struct link_window *window, const struct link_window_mark *mark, bool acknowledged,
                      int64_t now)
{
    window->used -= mark->bytes;
    if (!acknowledged || mark->delivered > window->delivered) /* of the connection before */
        return;
    int64_t way = now > mark->sent_at ? now - mark->sent_at : 1;
    window->delivered += mark->bytes;
    double rate = (double)(window->delivered - mark->delivered) / (double)way;
    take_rate(window, rate, now);
    take_way(window, mark->sent_at, way, now);
    if (!is_due(window, now))
        set_limit(window, mark, rate, way, now);
}
