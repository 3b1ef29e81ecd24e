#include "host/link.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SLOT_KEPT_MAX = 4096 }; /* larger buffers are given back when their publication is acknowledged */

_Static_assert(-ENOMEM < WIRE_IS_DOWN, "the errors of link_publish() must be told apart");

struct link {
    struct wire_client client;
    struct link_user *user;
    struct loop *loop;
    struct watch watch;
    struct timer timer; /* the client wants to be polled */
    struct task flush;
    struct wire_slot *slots;
    uint16_t slot_count;
    bool lost;
};

static const struct clock system_clock;

static uint32_t now_ms(void)
{
    return (uint32_t)clock_mono(&system_clock);
}

static struct link *link_of(struct wire_client *client)
{
    return container_of(client, struct link, client);
}

static void lose(struct link *link, const char *why)
{
    if (link->lost)
        return;
    link->lost = true;
    link->user->lost(link->user, why);
}

/* ---- the client's events ------------------------------------------------------------------------------- */

static void on_connected(struct wire_client *client, bool session_present)
{
    struct link *link = link_of(client);
    link->user->connected(link->user, session_present);
}

static bool on_message(struct wire_client *client, const struct wire_packet *publish)
{
    struct link *link = link_of(client);
    link->user->message(link->user, publish);
    return false;
}

static void on_published(struct wire_client *client, uint16_t packet_id, uint8_t reason)
{
    struct link *link = link_of(client);
    for (uint16_t i = 0; i < link->slot_count; i++) {
        struct wire_slot *slot = &link->slots[i];
        if (!slot->len && slot->size > SLOT_KEPT_MAX) {
            free(slot->buffer);
            slot->buffer = NULL;
            slot->size = 0;
        }
    }
    link->user->published(link->user, packet_id, reason);
}

static void on_subscribed(struct wire_client *client, uint16_t packet_id, const uint8_t *codes,
                          uint32_t count)
{
    struct link *link = link_of(client);
    link->user->subscribed(link->user, packet_id, count ? codes[0] : WIRE_UNSPECIFIED);
}

static void on_lost(struct wire_client *client, enum wire_client_loss why, uint8_t reason)
{
    struct link *link = link_of(client);
    char sentence[128];
    switch (why) {
    case WIRE_LOST_REFUSED:
        (void)snprintf(sentence, sizeof sentence, "the gateway refused the connection: %s",
                       wire_reason_text(reason));
        break;
    case WIRE_LOST_PROTOCOL:
        (void)snprintf(sentence, sizeof sentence, "the gateway does not speak MQTT: %s",
                       wire_reason_text(reason));
        break;
    case WIRE_LOST_SILENCE: (void)snprintf(sentence, sizeof sentence, "the gateway is silent"); break;
    case WIRE_LOST_DISCONNECTED:
        (void)snprintf(sentence, sizeof sentence, "the gateway ended the connection: %s",
                       wire_reason_text(reason));
        break;
    case WIRE_LOST_MEMORY: (void)snprintf(sentence, sizeof sentence, "the gateway does not read"); break;
    }
    lose(link, sentence);
}

/* ---- moving bytes -------------------------------------------------------------------------------------- */

static void plan(struct link *link)
{
    uint32_t wait = wire_client_poll(&link->client, now_ms());
    if (wait == UINT32_MAX)
        timer_stop(link->loop, &link->timer);
    else
        timer_start(link->loop, &link->timer, wait);
}

static void send_output(struct link *link)
{
    uint32_t len;
    const uint8_t *bytes = wire_client_output(&link->client, &len);
    ssize_t n = len ? send(link->watch.fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        lose(link, "the connection to the gateway is lost");
        return;
    }
    if (n > 0)
        wire_client_sent(&link->client, (uint32_t)n);
    bool rest = n < (ssize_t)len;
    if (loop_watch(link->loop, &link->watch, rest ? EPOLLIN | EPOLLOUT : EPOLLIN) < 0)
        lose(link, "no memory for the connection");
    else if (n > 0 && !rest)
        link->user->idle(link->user);
}

static void on_flush(struct task *task)
{
    struct link *link = container_of(task, struct link, flush);
    if (link->lost)
        return;
    plan(link);
    if (!link->lost)
        send_output(link);
}

void link_flush(struct link *link)
{
    on_flush(&link->flush);
}

static void flush_later(struct link *link)
{
    loop_at(link->loop, LOOP_FLUSH, &link->flush);
}

static void on_timer(struct timer *timer)
{
    flush_later(container_of(timer, struct link, timer));
}

static void on_ready(struct watch *watch, unsigned events)
{
    struct link *link = container_of(watch, struct link, watch);
    flush_later(link);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    uint32_t size;
    uint8_t *room = wire_client_room(&link->client, &size);
    ssize_t n = recv(watch->fd, room, size, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        lose(link, "the gateway has closed the connection");
        return;
    }
    wire_client_received(&link->client, (uint32_t)n, now_ms());
}

/* ---- what the host wants ------------------------------------------------------------------------------- */

/* The client takes the first free slot; here it gets the room it needs. */
static bool make_room(struct link *link, size_t need)
{
    for (uint16_t i = 0; i < link->slot_count; i++) {
        struct wire_slot *slot = &link->slots[i];
        if (slot->len)
            continue;
        if (slot->size >= need)
            return true;
        uint8_t *buffer = realloc(slot->buffer, need);
        if (!buffer)
            return false;
        slot->buffer = buffer;
        slot->size = (uint32_t)need;
        return true;
    }
    return true; /* none is free: the client will say so */
}

int link_publish(struct link *link, const struct wire_packet *publish)
{
    if (link->lost)
        return WIRE_IS_DOWN;
    size_t need = wire_publish_head_max(publish) + publish->payload_len;
    if (need > LINK_OUTPUT_MAX)
        return WIRE_TOO_LONG;
    if (publish->qos && !make_room(link, need))
        return -ENOMEM;
    int r = wire_client_publish(&link->client, publish);
    flush_later(link);
    return r;
}

int link_subscribe(struct link *link, const char *filter, uint8_t qos)
{
    struct wire_filter wanted = {.filter = {filter, (uint16_t)strlen(filter)}, .qos = qos};
    flush_later(link);
    return wire_client_subscribe(&link->client, &wanted, 1);
}

void link_acknowledge(struct link *link, uint16_t packet_id)
{
    wire_client_acknowledge(&link->client, packet_id, WIRE_SUCCESS);
    flush_later(link);
}

void link_disconnect(struct link *link)
{
    wire_client_disconnect(&link->client, WIRE_SUCCESS);
    flush_later(link);
}

unsigned link_under_way(const struct link *link)
{
    unsigned n = 0;
    for (uint16_t i = 0; i < link->slot_count; i++)
        n += link->slots[i].len != 0;
    return n;
}

bool link_is_idle(const struct link *link)
{
    uint32_t len;
    (void)wire_client_output(&link->client, &len);
    return len == 0;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        int r = -errno;
        (void)close(fd);
        return r;
    }
    return fd;
}

static struct wire_text text(const char *s)
{
    return (struct wire_text){s, (uint16_t)strlen(s)};
}

static void init_client(struct link *link, const struct link_options *options, uint8_t *in, uint8_t *out)
{
    struct wire_client_config config = {
        .connect =
            {
                .version = WIRE_MQTT5,
                .clean_start = false,
                .keepalive_s = LINK_KEEPALIVE_S,
                .client_id = text(options->client_id),
                .has_will = true,
                .will = {.topic = text(options->will_topic), .payload = text(options->will), .qos = 1},
            },
        .events =
            {
                .connected = on_connected,
                .message = on_message,
                .published = on_published,
                .subscribed = on_subscribed,
                .lost = on_lost,
            },
        .in = in,
        .out = out,
        .in_size = options->input_max,
        .out_size = LINK_OUTPUT_MAX,
        .slots = link->slots,
        .slot_count = link->slot_count,
    };
    struct wire_props *props = &config.connect.props;
    props->session_expiry = LINK_SESSION_EXPIRY_S;
    props->receive_max = options->window;
    props->packet_max = options->input_max;
    wire_set(props, WIRE_SESSION_EXPIRY);
    wire_set(props, WIRE_RECEIVE_MAX);
    wire_set(props, WIRE_PACKET_MAX);
    wire_client_init(&link->client, &config);
}

int link_open(struct link **ret, struct loop *loop, const struct link_options *options,
              struct link_user *user)
{
    int fd = connect_to(options->path);
    if (fd < 0)
        return fd;
    cleanup(link_close_p) struct link *link = mem_new(struct link);
    link->user = user;
    link->loop = loop;
    link->watch = (struct watch){.fd = fd, .ready = on_ready};
    link->timer.fire = on_timer;
    link->flush.run = on_flush;
    link->slot_count = options->window;
    link->slots = mem_new_bytes(options->window * sizeof *link->slots);
    uint8_t *in = malloc(options->input_max), *out = malloc(LINK_OUTPUT_MAX);
    init_client(link, options, in, out);
    if (!in || !out)
        return -ENOMEM;
    int r = loop_watch(loop, &link->watch, EPOLLIN);
    if (r < 0)
        return r;
    wire_client_begin(&link->client, now_ms());
    flush_later(link);
    *ret = steal(link);
    return 0;
}

struct link *link_close(struct link *link)
{
    if (!link)
        return NULL;
    loop_unwatch(link->loop, &link->watch);
    timer_stop(link->loop, &link->timer);
    loop_forget(&link->flush);
    fd_close_p(&link->watch.fd);
    for (uint16_t i = 0; i < link->slot_count; i++)
        free(link->slots[i].buffer);
    free(link->slots);
    free(link->client.config.in);
    free(link->client.config.out);
    free(link);
    return NULL;
}
