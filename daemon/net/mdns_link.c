#include "net/mdns_link.h"

#include <string.h>
#include <sys/random.h>

enum {
    PROBES = 3, /* RFC 6762, 8.1 */
    PROBE_MS = 250,
    ANNOUNCEMENTS = 2, /* 8.3 */
    SECOND_MS = 1000,
    SHARED_MS = 20, /* 6: others have the same record; so that not all answer at once */
    SHARED_SPREAD_MS = 100,
    MORE_MS = 400, /* 7.2: what the asker knows goes on */
    MORE_SPREAD_MS = 100
};

static int64_t some_of(int64_t ms)
{
    uint32_t random;
    return getrandom(&random, sizeof random, GRND_NONBLOCK) == (ssize_t)sizeof random ? random % (ms + 1) : 0;
}

/* ---- to all --------------------------------------------------------------------------------------------------------------- */

/* What was not said within the last second. */
static unsigned sayable(const struct mdns_link *link)
{
    unsigned bits = 0;
    for (unsigned k = 0; k < MDNS_SAYS_KINDS; k++)
        if (link->said[k] + SECOND_MS <= loop_now(link->loop))
            bits |= 1u << k;
    return bits;
}

static void say(struct mdns_link *link, unsigned bits)
{
    unsigned also = mdns_service_next(bits) & sayable(link);
    struct mdns_writer message;
    mdns_service_say(link->service, &link->addresses, bits, also, false, &message);
    for (unsigned k = 0; k < MDNS_SAYS_KINDS; k++)
        if ((bits | also) & 1u << k)
            link->said[k] = loop_now(link->loop);
    link->pending &= ~(bits | also);
    link->user->send(link->user, link, &message, NULL);
}

/* When the first of what is pending may be said. */
static int64_t next_pending(const struct mdns_link *link)
{
    int64_t next = INT64_MAX;
    for (unsigned k = 0; k < MDNS_SAYS_KINDS; k++)
        if (link->pending & 1u << k && link->said[k] + SECOND_MS < next)
            next = link->said[k] + SECOND_MS;
    return next;
}

static void on_answer(struct timer *timer)
{
    struct mdns_link *link = container_of(timer, struct mdns_link, answer);
    unsigned bits = link->pending & sayable(link);
    link->goes_on.ss_family = AF_UNSPEC;
    if (bits)
        say(link, bits);
    if (link->pending)
        timer_start(link->loop, timer, next_pending(link) - loop_now(link->loop));
}

static void say_later(struct mdns_link *link, unsigned bits, bool more)
{
    link->pending |= bits;
    if (!link->pending || timer_is_running(&link->answer))
        return; /* whoever waits for the first answer hears this one, too */
    int64_t delay = more                               ? MORE_MS + some_of(MORE_SPREAD_MS)
                    : link->pending & MDNS_SAYS_SHARED ? SHARED_MS + some_of(SHARED_SPREAD_MS)
                                                       : 0;
    int64_t allowed = next_pending(link) - loop_now(link->loop);
    timer_start(link->loop, &link->answer, delay > allowed ? delay : allowed);
}

/* ---- its life --------------------------------------------------------------------------------------------------------------- */

static void probe(struct mdns_link *link)
{
    struct mdns_writer message;
    mdns_service_probe(link->service, &link->addresses, &message);
    link->user->send(link->user, link, &message, NULL);
}

static void on_turn(struct timer *timer)
{
    struct mdns_link *link = container_of(timer, struct mdns_link, turn);
    if (link->state == MDNS_PROBING && link->step++ < PROBES) {
        probe(link);
        timer_start(link->loop, timer, PROBE_MS);
        return;
    }
    if (link->state == MDNS_PROBING) {
        link->state = MDNS_ANNOUNCING;
        link->step = 0;
    }
    say(link, MDNS_SAYS_ALL);
    if (++link->step < ANNOUNCEMENTS)
        timer_start(link->loop, timer, SECOND_MS);
    else
        link->state = MDNS_READY;
}

void mdns_link_init(struct mdns_link *link, struct loop *loop, struct mdns_user *user,
                    const struct mdns_service *service)
{
    *link = (struct mdns_link){
        .loop = loop, .user = user, .service = service, .turn.fire = on_turn, .answer.fire = on_answer};
    for (unsigned k = 0; k < MDNS_SAYS_KINDS; k++)
        link->said[k] = loop_now(loop) - SECOND_MS;
}

void mdns_link_done(struct mdns_link *link)
{
    timer_stop(link->loop, &link->turn);
    timer_stop(link->loop, &link->answer);
}

void mdns_link_start(struct mdns_link *link, int64_t delay)
{
    mdns_link_done(link);
    link->state = MDNS_PROBING;
    link->step = 0;
    link->pending = 0;
    timer_start(link->loop, &link->turn, delay + some_of(PROBE_MS));
}

void mdns_link_announce(struct mdns_link *link)
{
    if (link->state == MDNS_PROBING)
        return; /* it comes */
    link->state = MDNS_ANNOUNCING;
    link->step = 0;
    timer_start(link->loop, &link->turn, SECOND_MS);
}

void mdns_link_goodbye(struct mdns_link *link)
{
    if (link->state == MDNS_PROBING)
        return;
    struct mdns_writer message;
    mdns_service_say(link->service, &link->addresses, MDNS_SAYS_ALL & ~MDNS_SAYS_TYPES, 0, true, &message);
    link->user->send(link->user, link, &message, NULL);
}

/* ---- what comes in -------------------------------------------------------------------------------------------------------- */

static uint16_t port_of(const struct sockaddr_storage *from)
{
    return ntohs(from->ss_family == AF_INET ? ((const struct sockaddr_in *)(const void *)from)->sin_port
                                            : ((const struct sockaddr_in6 *)(const void *)from)->sin6_port);
}

static bool is_from(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family || port_of(a) != port_of(b))
        return false;
    const struct sockaddr_in *in_a = (const void *)a, *in_b = (const void *)b;
    const struct sockaddr_in6 *in6_a = (const void *)a, *in6_b = (const void *)b;
    return a->ss_family == AF_INET ? in_a->sin_addr.s_addr == in_b->sin_addr.s_addr
                                   : IN6_ARE_ADDR_EQUAL(&in6_a->sin6_addr, &in6_b->sin6_addr);
}

static bool may_answer(struct mdns_link *link)
{
    int64_t second = loop_now(link->loop) / SECOND_MS;
    if (link->second != second)
        link->answers = 0;
    link->second = second;
    return link->answers++ < MDNS_UNICAST_A_SECOND;
}

static void answer_alone(struct mdns_link *link, unsigned bits, const struct sockaddr_storage *to)
{
    struct mdns_writer message;
    if (!bits || !may_answer(link))
        return;
    mdns_service_say(link->service, &link->addresses, bits, mdns_service_next(bits), false, &message);
    link->user->send(link->user, link, &message, to);
}

static void on_query(struct mdns_link *link, struct mdns_message query, const struct sockaddr_storage *from)
{
    struct mdns_wanted wanted;
    mdns_service_asked(link->service, &link->addresses, query, &wanted);
    if (port_of(from) != MDNS_PORT) {
        struct mdns_writer message;
        unsigned bits = wanted.multicast | wanted.unicast;
        if (!bits || !may_answer(link))
            return;
        mdns_service_say_legacy(link->service, &link->addresses, bits, query, &message);
        link->user->send(link->user, link, &message, from);
        return;
    }
    if (!query.counts[MDNS_QUESTION] && is_from(&link->goes_on, from))
        link->pending &= ~mdns_service_known(link->service, &link->addresses, query);
    answer_alone(link, wanted.unicast, from);
    if (!wanted.multicast)
        return;
    link->goes_on.ss_family = AF_UNSPEC; /* somebody else waits for it as well */
    if (wanted.more && !link->pending)
        link->goes_on = *from;
    say_later(link, wanted.multicast, wanted.more);
}

static void on_response(struct mdns_link *link, struct mdns_message response)
{
    const struct mdns_user *user = link->user;
    if (!mdns_service_is_disputed(link->service, &link->addresses, user->machine, user->machine_count,
                                  response))
        return;
    if (link->state == MDNS_PROBING)
        link->user->disputed(link->user, link);
    else
        mdns_link_start(link, 0); /* whose it is, is found out again [RFC 6762, 9] */
}

void mdns_link_hear(struct mdns_link *link, const uint8_t *bytes, size_t len,
                    const struct sockaddr_storage *from)
{
    struct mdns_message message;
    if (!mdns_message_open(&message, bytes, len))
        return;
    const struct mdns_user *user = link->user;
    if (message.flags & MDNS_RESPONSE) {
        if (port_of(from) == MDNS_PORT)
            on_response(link, message);
    } else if (link->state != MDNS_PROBING) {
        on_query(link, message, from);
    } else if (mdns_service_must_yield(link->service, &link->addresses, user->machine, user->machine_count,
                                       message)) {
        link->step = 0;
        timer_start(link->loop, &link->turn, SECOND_MS); /* and then it is theirs, or nobody's */
    }
}
