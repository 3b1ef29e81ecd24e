#include "net/beacon.h"

#include "base/json_write.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { QUESTIONS_A_TURN = 16, SECOND_MS = 1000 };

struct beacon {
    struct loop *loop;
    struct watch watch;
    char *answer;
    size_t answer_len;
    int64_t second; /* that is being counted */
    unsigned answers;
};

static const char question[] = "GHN1?";

bool beacon_is_question(const uint8_t *bytes, size_t len)
{
    size_t head = sizeof question - 1;
    bool good = len > head && len - head <= BEACON_SERIAL_MAX && memcmp(bytes, question, head) == 0;
    for (size_t i = head; good && i < len; i++) {
        char c = (char)bytes[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
               c == '-';
    }
    return good;
}

static bool may_answer(struct beacon *beacon)
{
    int64_t second = loop_now(beacon->loop) / SECOND_MS;
    if (beacon->second != second)
        beacon->answers = 0;
    beacon->second = second;
    return beacon->answers++ < BEACON_ANSWERS_A_SECOND;
}

static void on_question(struct watch *watch, unsigned events)
{
    (void)events;
    struct beacon *beacon = container_of(watch, struct beacon, watch);
    for (int i = 0; i < QUESTIONS_A_TURN; i++) {
        uint8_t bytes[64]; /* longer ones are cut off, and so are none */
        struct sockaddr_storage from;
        socklen_t from_len = sizeof from;
        ssize_t n =
            recvfrom(watch->fd, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
        if (n < 0)
            return;
        if (beacon_is_question(bytes, (size_t)n) && may_answer(beacon)) /* lost, it is asked again */
            (void)sendto(watch->fd, beacon->answer, beacon->answer_len, MSG_DONTWAIT | MSG_NOSIGNAL,
                         (struct sockaddr *)&from, from_len);
    }
}

static void make_answer(struct beacon *beacon, const char *gateway, uint16_t port)
{
    struct arena arena;
    arena_init(&arena);
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "gateway");
    json_put_string_n(&w, gateway, size_min(strlen(gateway), BEACON_NAME_MAX));
    json_key(&w, "port");
    json_put_uint(&w, port);
    json_end_object(&w);
    beacon->answer = str_copy(json_writer_text(&w, &beacon->answer_len));
    arena_done(&arena);
}

static int bind_to(const char *host, uint16_t port, int *ret)
{
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_PASSIVE}, *found;
    (void)snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, service, &hints, &found) != 0)
        return -EINVAL;
    int fd = socket(found->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), off = 0;
    int r = fd < 0 ? -errno : 0;
    if (fd >= 0 && found->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (fd >= 0 && bind(fd, found->ai_addr, found->ai_addrlen) < 0) {
        r = -errno;
        (void)close(fd);
    }
    freeaddrinfo(found);
    *ret = fd;
    return r;
}

int beacon_open(struct beacon **ret, struct loop *loop, const char *host, uint16_t port, const char *gateway,
                char **why)
{
    int fd, r = bind_to(host, port, &fd);
    if (r < 0) {
        *why = str_printf("udp://%s:%u: %s", host, port, r == -EINVAL ? "expected an address" : strerror(-r));
        return r;
    }
    struct beacon *beacon = mem_new(struct beacon);
    beacon->loop = loop;
    beacon->watch = (struct watch){.fd = fd, .ready = on_question};
    make_answer(beacon, gateway, port);
    r = loop_watch(loop, &beacon->watch, EPOLLIN);
    if (r < 0) {
        *why = str_printf("udp://%s:%u: %s", host, port, strerror(-r));
        (void)beacon_close(beacon);
        return r;
    }
    *ret = beacon;
    return 0;
}

struct beacon *beacon_close(struct beacon *beacon)
{
    if (!beacon)
        return NULL;
    loop_unwatch(beacon->loop, &beacon->watch);
    fd_close_p(&beacon->watch.fd);
    free(beacon->answer);
    free(beacon);
    return NULL;
}
