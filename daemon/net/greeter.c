#include "net/greeter.h"

#include "base/log.h"
#include "net/proxy.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

enum { LIMIT_MS = 5000, WAITING_MAX = 1000 };

struct greeting {
    struct list link;
    struct greeter *greeter;
    struct watch watch;
    struct timer timer;
    struct address from;
    size_t len, wanted;
    uint8_t bytes[PROXY_MAX_BYTES];
};

/* Leaves the descriptor open. */
static void greeting_free(struct greeting *greeting)
{
    loop_unwatch(greeting->greeter->loop, &greeting->watch);
    timer_stop(greeting->greeter->loop, &greeting->timer);
    list_remove(&greeting->link);
    greeting->greeter->count--;
    free(greeting);
}

static void refuse(struct greeting *greeting, const char *why)
{
    char text[ADDRESS_TEXT_BYTES];
    address_text(&greeting->from, text);
    log_info("%s: %s: refused: %s", greeting->greeter->name, text, why);
    greeting->greeter->refused++;
    int fd = greeting->watch.fd;
    greeting_free(greeting);
    fd_close_p(&fd);
}

static void on_time_over(struct timer *timer)
{
    refuse(container_of(timer, struct greeting, timer), "no PROXY header within 5 s");
}

static void introduce(struct greeting *greeting, const struct proxy_header *header)
{
    struct greeter *greeter = greeting->greeter;
    struct endpoint endpoint = {.fd = greeting->watch.fd, .from = greeting->from};
    if (header->from.family != AF_UNSPEC)
        endpoint.from = header->from;
    greeting_free(greeting);
    greeter->introduced(greeter, &endpoint);
}

static void on_bytes(struct watch *watch, unsigned events)
{
    (void)events;
    struct greeting *greeting = container_of(watch, struct greeting, watch);
    for (;;) {
        size_t missing = greeting->wanted - greeting->len;
        ssize_t n = recv(watch->fd, greeting->bytes + greeting->len, missing, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            refuse(greeting, n == 0 ? "closed before the PROXY header" : strerror(errno));
            return;
        }
        greeting->len += (size_t)n;
        struct proxy_header header;
        int r = proxy_parse(&header, greeting->bytes, greeting->len, &greeting->wanted);
        if (r < 0) {
            refuse(greeting, header.why);
            return;
        }
        if (r > 0) {
            introduce(greeting, &header);
            return;
        }
    }
}

void greeter_init(struct greeter *greeter, struct loop *loop, const char *name,
                  void (*introduced)(struct greeter *greeter, struct endpoint *endpoint))
{
    *greeter = (struct greeter){.loop = loop, .name = name, .introduced = introduced};
    list_init(&greeter->waiting);
}

void greeter_done(struct greeter *greeter)
{
    list_for_each_safe (link, &greeter->waiting) {
        struct greeting *greeting = list_entry(link, struct greeting, link);
        int fd = greeting->watch.fd;
        greeting_free(greeting);
        fd_close_p(&fd);
    }
}

void greeter_take(struct greeter *greeter, int fd, const struct address *from)
{
    struct greeting *greeting = mem_new(struct greeting);
    greeting->greeter = greeter;
    greeting->from = *from;
    greeting->wanted = PROXY_FIXED_BYTES;
    greeting->watch = (struct watch){.fd = fd, .ready = on_bytes};
    greeting->timer.fire = on_time_over;
    list_append(&greeter->waiting, &greeting->link);
    greeter->count++;
    if (greeter->count > WAITING_MAX) {
        refuse(greeting, "too many that have not sent a PROXY header yet");
        return;
    }
    int r = loop_watch(greeter->loop, &greeting->watch, EPOLLIN);
    if (r < 0) {
        refuse(greeting, strerror(-r));
        return;
    }
    timer_start(greeter->loop, &greeting->timer, LIMIT_MS);
}
