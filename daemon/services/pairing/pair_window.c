#include "services/pairing/pair_inside.h"

#include "base/log.h"
#include "bus/topics.h"

#include <stdio.h>
#include <string.h>

/* A window is one code that was typed, as the key that it stands for, for one serial. Who asks without one is written down in
 * sixteen places: a flood of serials pushes out the oldest, and costs no more. */

enum { ASKED_JUST_NOW_MS = 60000 };

/* ---- windows --------------------------------------------------------------------------------------------------------- */

struct pair_window *pair_window_get(const struct pairing *pairing, const char *serial)
{
    list_for_each (link, &pairing->windows) {
        struct pair_window *window = list_entry(link, struct pair_window, link);
        if (strcmp(window->serial, serial) == 0)
            return window;
    }
    return NULL;
}

static void on_expired(struct timer *timer)
{
    struct pair_window *window = container_of(timer, struct pair_window, timer);
    pair_event(window->pairing, window->serial, "closed", "the time for the code is over", true);
    pair_window_close(window);
}

static void on_session_over(struct timer *timer)
{
    struct pair_window *window = container_of(timer, struct pair_window, session);
    pair_expel(window->pairing, "pair", window->serial, "pairing takes too long");
}

struct pair_window *pair_window_open(struct pairing *pairing, const char *serial, const char *thing,
                                     const uint8_t key[PAIR_KEY_BYTES])
{
    struct pair_window *window = pair_window_get(pairing, serial);
    if (!window) {
        window = mem_new(struct pair_window);
        window->pairing = pairing;
        window->timer.fire = on_expired;
        window->session.fire = on_session_over;
        (void)snprintf(window->serial, sizeof window->serial, "%s", serial);
        list_append(&pairing->windows, &window->link);
        pairing->window_count++;
    }
    (void)snprintf(window->thing, sizeof window->thing, "%s", thing);
    memcpy(window->key, key, PAIR_KEY_BYTES);
    window->failures = 0;
    window->at_cable = false;
    window->expires = loop_now(pairing->loop) + PAIR_WINDOW_MS;
    timer_start(pairing->loop, &window->timer, PAIR_WINDOW_MS);
    return window;
}

const struct pair_window *pair_window_rival(const struct pairing *pairing, const char *serial,
                                            const char *thing)
{
    list_for_each (link, &pairing->windows) {
        const struct pair_window *window = list_entry(link, struct pair_window, link);
        if (strcmp(window->thing, thing) == 0 && strcmp(window->serial, serial) != 0)
            return window;
    }
    return NULL;
}

struct pair_window *pair_window_at_cable(struct pairing *pairing, const char *serial, const char *thing)
{
    static const char text[] =
        "gh-cable-v1"; /* everybody knows it: the line is encrypted, the cable is the proof */
    uint8_t key[PAIR_KEY_BYTES];
    if (!pairing->options.sha256(text, sizeof text - 1, key))
        return NULL;
    struct pair_window *window = pair_window_open(pairing, serial, thing, key);
    window->at_cable = true;
    return window;
}

struct pair_window *pair_window_at_bench(struct pairing *pairing, const char *serial)
{
    const struct pair_node *node = pair_node_get(pairing, serial);
    const char *thing = node ? node->row.thing : serial;
    const struct pair_node *named = pair_node_of_thing(pairing, thing);
    if ((node && !pair_node_may_be_paired(node)) || (named && named != node) ||
        pairing->window_count == PAIR_WINDOWS_MAX || pair_window_rival(pairing, serial, thing))
        return NULL;
    pair_note(pairing, NULL, "node/approved", serial, "by a cable with pair=auto");
    return pair_window_at_cable(pairing, serial, thing);
}

void pair_window_failed(struct pair_window *window, const char *from)
{
    cleanup_free char *reason = NULL;
    if (++window->failures < PAIR_FAILURES_MAX) {
        reason = str_printf("%s has another code (%u of %d)", from, window->failures, PAIR_FAILURES_MAX);
        pair_event(window->pairing, window->serial, "wrong-code", reason, false);
        return;
    }
    reason = str_printf("%d times another code was tried, the last time by %s", PAIR_FAILURES_MAX, from);
    pair_event(window->pairing, window->serial, "closed", reason, true);
    pair_window_close(window);
}

void pair_window_used(struct pair_window *window)
{
    timer_start(window->pairing->loop, &window->session, PAIR_SESSION_MS);
}

static void window_free(struct pair_window *window)
{
    struct pairing *pairing = window->pairing;
    timer_stop(pairing->loop, &window->timer);
    timer_stop(pairing->loop, &window->session);
    list_remove(&window->link);
    pairing->window_count--;
    explicit_bzero(window, sizeof *window);
    free(window);
}

void pair_window_close(struct pair_window *window)
{
    pair_expel(window->pairing, "pair", window->serial, "pairing is over");
    window_free(window);
}

/* ---- who asks ---------------------------------------------------------------------------------------------------------- */

static bool is_fresh(const struct pairing *pairing, const struct pair_asking *asking, int64_t ms)
{
    return asking->attempts && loop_now(pairing->loop) - asking->last < ms;
}

static struct pair_asking *place_for(struct pairing *pairing, const char *serial)
{
    struct pair_asking *oldest = pairing->asking;
    for (size_t i = 0; i < PAIR_ASKING_MAX; i++) {
        struct pair_asking *asking = &pairing->asking[i];
        if (asking->attempts && strcmp(asking->serial, serial) == 0)
            return asking;
        if (!asking->attempts || (oldest->attempts && asking->last < oldest->last))
            oldest = asking;
    }
    return oldest;
}

void pair_asked(struct pairing *pairing, const char *serial, const char *from, bool at_cable)
{
    struct pair_asking *asking = place_for(pairing, serial);
    bool known = is_fresh(pairing, asking, PAIR_WINDOW_MS) && strcmp(asking->serial, serial) == 0;
    if (!known)
        *asking = (struct pair_asking){.first = loop_now(pairing->loop)};
    (void)snprintf(asking->serial, sizeof asking->serial, "%s", serial);
    /* Whoever says on the network that he is it does not hide the one that somebody has in his hand. */
    if (at_cable || !asking->at_cable) {
        (void)snprintf(asking->from, sizeof asking->from, "%s", from);
        asking->at_cable = at_cable;
    }
    asking->last = loop_now(pairing->loop);
    asking->attempts++;
    if (!known)
        pair_event(pairing, serial, "asking", from, false);
}

bool pair_asks_by_cable(const struct pairing *pairing, const char *serial)
{
    for (size_t i = 0; i < PAIR_ASKING_MAX; i++)
        if (is_fresh(pairing, &pairing->asking[i], PAIR_WINDOW_MS) && pairing->asking[i].at_cable &&
            strcmp(pairing->asking[i].serial, serial) == 0)
            return true;
    return false;
}

void pair_asking_forget(struct pairing *pairing, const char *serial)
{
    for (size_t i = 0; i < PAIR_ASKING_MAX; i++)
        if (pairing->asking[i].attempts && strcmp(pairing->asking[i].serial, serial) == 0)
            pairing->asking[i] = (struct pair_asking){0};
}

static void put_asking(struct json_writer *w, const struct pairing *pairing, const struct pair_asking *asking)
{
    int64_t now = loop_now(pairing->loop);
    const struct pair_node *node = pair_node_get(pairing, asking->serial);
    json_begin_object(w);
    json_key(w, "serial");
    json_put_string(w, asking->serial);
    json_key(w, "from");
    json_put_string(w, asking->from);
    json_key(w, "cable");
    json_put_bool(w, asking->at_cable);
    json_key(w, "attempts");
    json_put_uint(w, asking->attempts);
    json_key(w, "since");
    json_put_int(w, (now - asking->first) / 1000);
    json_key(w, "last");
    json_put_int(w, (now - asking->last) / 1000);
    json_key(w, "known");
    json_put_bool(w, node && !pair_node_may_be_paired(node));
    json_end_object(w);
}

void pair_put_asking(struct json_writer *w, const struct pairing *pairing)
{
    json_begin_array(w);
    for (size_t i = 0; i < PAIR_ASKING_MAX; i++)
        if (is_fresh(pairing, &pairing->asking[i], PAIR_WINDOW_MS))
            put_asking(w, pairing, &pairing->asking[i]);
    json_end_array(w);
}

void pair_put_windows(struct json_writer *w, const struct pairing *pairing)
{
    json_begin_array(w);
    list_for_each (link, &pairing->windows) {
        const struct pair_window *window = list_entry(link, struct pair_window, link);
        json_begin_object(w);
        json_key(w, "serial");
        json_put_string(w, window->serial);
        json_key(w, "thing");
        json_put_string(w, window->thing);
        json_key(w, "failures");
        json_put_uint(w, window->failures);
        json_key(w, "seconds");
        json_put_int(w, (window->expires - loop_now(pairing->loop)) / 1000);
        json_end_object(w);
    }
    json_end_array(w);
}

/* ---- who waits --------------------------------------------------------------------------------------------------------- */

static void watch_free(struct pair_watch *watch)
{
    timer_stop(watch->pairing->loop, &watch->timer);
    list_remove(&watch->link);
    watch->pairing->watch_count--;
    (void)msg_unref(watch->request);
    free(watch);
}

static void answer_watch(struct pair_watch *watch, const char *text)
{
    bus_reply(watch->pairing->bus, watch->request, text);
    watch_free(watch);
}

static void on_watch_over(struct timer *timer)
{
    answer_watch(container_of(timer, struct pair_watch, timer),
                 "{\"code\":404,\"message\":\"nothing has happened in that time\"}");
}

static char *event_text(struct arena *arena, const struct pairing *pairing, const char *serial,
                        const char *state, const char *reason)
{
    const struct pair_node *node = pair_node_get(pairing, serial);
    struct json_writer w;
    json_writer_init(&w, arena);
    json_begin_object(&w);
    json_key(&w, "serial");
    json_put_string(&w, serial);
    json_key(&w, "state");
    json_put_string(&w, state);
    json_key(&w, "thing");
    json_put_string(&w, node ? node->row.thing : NULL);
    json_key(&w, "reason");
    json_put_string(&w, reason);
    json_end_object(&w);
    return json_writer_text(&w, NULL);
}

bool pair_watch(struct pairing *pairing, struct msg *request, const char *serial, int64_t timeout)
{
    if (pairing->watch_count == PAIR_WATCHES_MAX)
        return false;
    for (size_t i = 0; !*serial && i < PAIR_ASKING_MAX; i++) {
        const struct pair_asking *asking = &pairing->asking[i];
        if (!is_fresh(pairing, asking, ASKED_JUST_NOW_MS) || pair_window_get(pairing, asking->serial))
            continue;
        struct arena arena;
        arena_init(&arena);
        bus_reply(pairing->bus, request, event_text(&arena, pairing, asking->serial, "asking", asking->from));
        arena_done(&arena);
        return true;
    }
    struct pair_watch *watch = mem_new(struct pair_watch);
    watch->pairing = pairing;
    watch->request = msg_ref(request);
    watch->timer.fire = on_watch_over;
    (void)snprintf(watch->serial, sizeof watch->serial, "%s", serial);
    list_append(&pairing->watches, &watch->link);
    pairing->watch_count++;
    timer_start(pairing->loop, &watch->timer, timeout);
    return true;
}

void pair_event(struct pairing *pairing, const char *serial, const char *state, const char *reason,
                bool is_end)
{
    bool asks = strcmp(state, "asking") == 0;
    log_line(asks ? LOG_LEVEL_INFO : LOG_LEVEL_NOTICE, "node %s: %s%s%s", serial, state, reason ? ": " : "",
             reason ? reason : "");
    cleanup_free char *what = str_printf("node/%s", state);
    if (!asks) /* anybody on the network can ask, with any serial */
        pair_note(pairing, NULL, what, serial, reason ? reason : "");
    struct arena arena;
    arena_init(&arena);
    char *text = event_text(&arena, pairing, serial, state, reason);
    cleanup_free char *topic = str_printf(TOPIC_STATUS_PAIRING_FORMAT, serial);
    bus_say(pairing->bus, topic, text, BUS_PASS);
    list_for_each_safe (link, &pairing->watches) {
        struct pair_watch *watch = list_entry(link, struct pair_watch, link);
        bool waits = *watch->serial ? is_end && strcmp(watch->serial, serial) == 0 : asks;
        if (waits)
            answer_watch(watch, text);
    }
    arena_done(&arena);
}

void pair_windows_close(struct pairing *pairing)
{
    list_for_each_safe (link, &pairing->windows)
        window_free(list_entry(link, struct pair_window, link));
    list_for_each_safe (link, &pairing->watches)
        watch_free(list_entry(link, struct pair_watch, link));
}
