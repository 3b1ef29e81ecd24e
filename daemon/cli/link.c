#include "cli/link.h"

#include "base/json.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* There is no event loop: whoever waits for something turns the connection until it is over. What is waited for lies in
 * struct wait, and events that arrive meanwhile fill it in. */

enum { BUFFER_BYTES = 2 << 20, WINDOW = 16, FILTERS_MAX = 64, NO_LIMIT = 0 };
/* An acknowledgement may have to wait: for the disk, or for a subscriber whose queue is full. */
enum { ANSWER_MS = 10000, ACKNOWLEDGE_MS = 60000 };

#define ANSWER_TOPIC_FORMAT "$gatehouse/ctl/answer/%s"

struct wait {
    const char *topic;    /* an answer on this topic … */
    const char *rejected; /* … or on this one */
    const char *token;    /* with this clientToken */
    char *answer;
    bool was_rejected;

    bool subscribed; /* SUBACK came … */
    uint8_t code;    /* … with this as its worst */

    const struct listening *listening;
    bool is_enough;

    int readable_fd; /* -1: none */
    bool is_readable;
};

struct link {
    struct wire_client client; /* first: events find the link by it */
    int fd;
    struct wait wait;
    unsigned under_way; /* publications that are not acknowledged */
    bool lost, unmatched;
    uint32_t patience_ms; /* for an answer */
    uint8_t refusal;      /* of a publication, 0: none */
    sigset_t *signals;    /* those to be let in while waiting; NULL: as they are */
    struct wire_slot slots[WINDOW];
    uint16_t received[64];
    char id[64], answer_topic[96];
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static uint32_t now_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint32_t)((uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000);
}

/* ---- events --------------------------------------------------------------------------------------------------------- */

static bool is_topic(const struct wire_packet *publish, const char *topic)
{
    return topic && strlen(topic) == publish->topic.len &&
           memcmp(topic, publish->topic.text, publish->topic.len) == 0;
}

/* Answers on AWS topics reach everybody: ours carries our token. */
static bool has_token(const struct wire_packet *publish, const char *token)
{
    if (!token)
        return true;
    struct arena arena;
    arena_init(&arena);
    struct json *answer;
    bool ours =
        json_parse(&answer, &arena, (const char *)publish->payload, publish->payload_len, NULL) == 0 &&
        json_text_is(json_get(answer, "clientToken"), token);
    arena_done(&arena);
    return ours;
}

static void take_answer(struct wait *wait, const struct wire_packet *publish)
{
    bool rejected = is_topic(publish, wait->rejected);
    if (wait->answer || (!rejected && !is_topic(publish, wait->topic)) || !has_token(publish, wait->token))
        return;
    wait->answer = str_copy_n((const char *)publish->payload, publish->payload_len);
    wait->was_rejected = rejected;
}

static bool on_message(struct wire_client *client, const struct wire_packet *publish)
{
    struct link *link = (struct link *)client;
    struct wait *wait = &link->wait;
    const struct listening *listening = wait->listening;
    if (!listening)
        take_answer(wait, publish);
    else if (listening->retained_only && is_topic(publish, link->answer_topic))
        wait->is_enough = true;
    else if (!wait->is_enough && (publish->retain || !listening->retained_only))
        wait->is_enough = !listening->on_message(listening->self, publish);
    return true;
}

static void on_published(struct wire_client *client, uint16_t packet_id, uint8_t reason)
{
    (void)packet_id;
    struct link *link = (struct link *)client;
    link->under_way--;
    link->unmatched |= reason == WIRE_NO_MATCHING_SUBSCRIBERS;
    if (reason >= 0x80)
        link->refusal = reason;
}

static void on_subscribed(struct wire_client *client, uint16_t packet_id, const uint8_t *codes,
                          uint32_t count)
{
    (void)packet_id;
    struct wait *wait = &((struct link *)client)->wait;
    wait->subscribed = true;
    for (uint32_t i = 0; i < count; i++)
        if (codes[i] > wait->code)
            wait->code = codes[i];
}

static void on_too_long(struct wire_client *client, uint32_t packet_len)
{
    (void)client;
    (void)fprintf(stderr, "gatehouse: a message of %u bytes is left out: more than %d\n", packet_len,
                  BUFFER_BYTES);
}

static void on_lost(struct wire_client *client, enum wire_client_loss why, uint8_t reason)
{
    ((struct link *)client)->lost = true;
    const char *text = reason ? wire_reason_text(reason) : (why == WIRE_LOST_SILENCE ? "no answer" : NULL);
    (void)fprintf(stderr, "gatehouse: the daemon ended the connection%s%s\n", text ? ": " : "",
                  text ? text : "");
}

/* ---- waiting -------------------------------------------------------------------------------------------------------- */

static uint32_t pending_output(const struct link *link)
{
    uint32_t size;
    (void)wire_client_output(&link->client, &size);
    return size;
}

static bool send_bytes(struct link *link)
{
    uint32_t size;
    const uint8_t *bytes = wire_client_output(&link->client, &size);
    ssize_t n = send(link->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0)
        wire_client_sent(&link->client, (uint32_t)n);
    return n >= 0 || errno == EAGAIN || errno == EINTR;
}

static bool receive_bytes(struct link *link)
{
    uint32_t size;
    uint8_t *room = wire_client_room(&link->client, &size);
    if (!size)
        return true; /* we must send first */
    ssize_t n = recv(link->fd, room, size, MSG_DONTWAIT);
    if (n > 0)
        wire_client_received(&link->client, (uint32_t)n, now_ms());
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool move_bytes(struct link *link, uint32_t pause)
{
    uint32_t room;
    (void)wire_client_room(&link->client, &room);
    struct pollfd fds[] = {
        {.fd = link->fd, .events = (short)((room ? POLLIN : 0) | (pending_output(link) ? POLLOUT : 0))},
        {.fd = link->wait.readable_fd, .events = POLLIN},
    };
    struct timespec limit = {pause / 1000, (long)(pause % 1000) * 1000000};
    if (ppoll(fds, 2, pause == UINT32_MAX ? NULL : &limit, link->signals) <= 0)
        return true;
    link->wait.is_readable = fds[1].revents != 0;
    bool good = !(fds[0].revents & POLLOUT) || send_bytes(link);
    if (good && fds[0].revents & (POLLIN | POLLHUP | POLLERR))
        good = receive_bytes(link);
    if (!good && !link->lost) {
        (void)fputs("gatehouse: the daemon closed the connection\n", stderr);
        link->lost = true;
    }
    return good;
}

enum outcome { OVER, LATE, LOST };

/* Turns until is_over(). */
static enum outcome turn(struct link *link, bool (*is_over)(const struct link *link), uint32_t limit_ms)
{
    uint32_t begin = now_ms();
    while (!link->lost && !is_over(link)) {
        uint32_t now = now_ms();
        uint32_t pause = wire_client_poll(&link->client, now);
        if (link->lost)
            break;
        if (limit_ms && now - begin >= limit_ms)
            return LATE;
        if (limit_ms && limit_ms - (now - begin) < pause)
            pause = limit_ms - (now - begin);
        if (link->wait.listening && fflush(stdout) == EOF)
            return LATE; /* nobody can hear what comes any more */
        if (!move_bytes(link, pause))
            break;
    }
    return link->lost ? LOST : OVER;
}

/* For what the daemon has to do in that time. */
static int turn_until(struct link *link, bool (*is_over)(const struct link *link), uint32_t limit_ms)
{
    switch (turn(link, is_over, limit_ms)) {
    case OVER: return CLI_DONE;
    case LATE: (void)fprintf(stderr, "gatehouse: no answer within %u s\n", limit_ms / 1000); break;
    case LOST: break;
    }
    return CLI_NO_DAEMON;
}

static bool is_up(const struct link *link)
{
    return link->client.state == WIRE_CLIENT_UP;
}

static bool is_subscribed(const struct link *link)
{
    return link->wait.subscribed;
}

static bool is_settled(const struct link *link)
{
    return !link->under_way && !pending_output(link);
}

static bool has_room(const struct link *link)
{
    return link->under_way < WINDOW && !pending_output(link);
}

static bool is_answered(const struct link *link)
{
    return link->wait.answer || link->unmatched;
}

static bool is_sent(const struct link *link)
{
    return !pending_output(link);
}

static bool is_readable(const struct link *link)
{
    return link->wait.is_readable;
}

static bool is_enough(const struct link *link)
{
    return link->wait.is_enough || interrupted;
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int r = -errno;
        (void)close(fd);
        return r;
    }
    return fd;
}

static void say_unreachable(const char *path, int r)
{
    const char *hint = "";
    if (r == -ENOENT || r == -ECONNREFUSED)
        hint = "\nIs gatehoused running? Its runtime directory is given with --runtime or GATEHOUSE_RUNTIME.";
    else if (r == -EACCES)
        hint = "\nThe socket is for the user and the group that gatehoused runs as.";
    (void)fprintf(stderr, "gatehouse: cannot reach the daemon at %s: %s%s\n", path, strerror(-r), hint);
}

static void client_init(struct link *link)
{
    struct wire_client_config config = {
        .connect = {.version = WIRE_MQTT5,
                    .clean_start = true,
                    .keepalive_s = 60,
                    .client_id = {link->id, (uint16_t)strlen(link->id)}},
        .events = {.message = on_message,
                   .published = on_published,
                   .subscribed = on_subscribed,
                   .too_long = on_too_long,
                   .lost = on_lost},
        .in = mem_new_bytes(BUFFER_BYTES),
        .in_size = BUFFER_BYTES,
        .out = mem_new_bytes(BUFFER_BYTES),
        .out_size = BUFFER_BYTES,
        .slots = link->slots,
        .slot_count = WINDOW,
        .received = link->received,
        .received_size = array_size(link->received),
    };
    /* Zeroed memory of this size costs nothing until it is used. */
    for (size_t i = 0; i < WINDOW; i++)
        link->slots[i] = (struct wire_slot){.buffer = mem_new_bytes(BUFFER_BYTES), .size = BUFFER_BYTES};
    wire_client_init(&link->client, &config);
}

int link_open(struct link **ret, const char *runtime)
{
    cleanup_free char *path = str_printf("%s/control.sock", runtime);
    int fd = connect_to(path);
    if (fd < 0) {
        say_unreachable(path, fd);
        return CLI_NO_DAEMON;
    }
    struct link *link = mem_new(struct link);
    link->patience_ms = ANSWER_MS;
    link->fd = fd;
    link->wait.readable_fd = -1;
    (void)snprintf(link->id, sizeof link->id, "cli-%d-%u", (int)getpid(), now_ms());
    (void)snprintf(link->answer_topic, sizeof link->answer_topic, ANSWER_TOPIC_FORMAT, link->id);
    client_init(link);
    wire_client_begin(&link->client, now_ms());
    int code = turn_until(link, is_up, ANSWER_MS);
    if (code != CLI_DONE) {
        link->lost = true;
        (void)link_close(link);
        return code;
    }
    *ret = link;
    return CLI_DONE;
}

struct link *link_close(struct link *link)
{
    if (!link)
        return NULL;
    if (!link->lost) {
        wire_client_disconnect(&link->client, WIRE_SUCCESS);
        (void)turn(link, is_sent, ANSWER_MS);
    }
    (void)close(link->fd);
    for (size_t i = 0; i < WINDOW; i++)
        free(link->slots[i].buffer);
    free(link->client.config.in);
    free(link->client.config.out);
    free(link->wait.answer);
    free(link);
    return NULL;
}

/* ---- subscribing ---------------------------------------------------------------------------------------------------- */

static int subscribe(struct link *link, const struct wire_filter *filters, unsigned count)
{
    link->wait.subscribed = false;
    link->wait.code = 0;
    if (wire_client_subscribe(&link->client, filters, count) < 0) {
        (void)fputs("gatehouse: the filters are too long for one request\n", stderr);
        return CLI_USAGE;
    }
    int code = turn_until(link, is_subscribed, ANSWER_MS);
    if (code == CLI_DONE && link->wait.code >= 0x80) {
        (void)fprintf(stderr, "gatehouse: subscribing: %s\n", wire_reason_text(link->wait.code));
        return CLI_REFUSED;
    }
    return code;
}

static struct wire_filter filter_of(const char *text, unsigned qos)
{
    return (struct wire_filter){.filter = {text, (uint16_t)strlen(text)}, .qos = (uint8_t)qos};
}

/* ---- publishing ----------------------------------------------------------------------------------------------------- */

static struct wire_packet publication(const char *topic, const void *payload, size_t len, unsigned qos,
                                      bool retain)
{
    return (struct wire_packet){.topic = {topic, (uint16_t)strlen(topic)},
                                .payload = payload,
                                .payload_len = (uint32_t)len,
                                .qos = (uint8_t)qos,
                                .retain = retain};
}

static int publish_when_there_is_room(struct link *link, const struct wire_packet *publish)
{
    int id = 0;
    while ((id = wire_client_publish(&link->client, publish)) == WIRE_BUSY) {
        int code = turn_until(link, has_room, ACKNOWLEDGE_MS);
        if (code != CLI_DONE)
            return code;
    }
    if (id < 0) {
        (void)fprintf(stderr, "gatehouse: the message is too long: %u bytes\n", publish->payload_len);
        return CLI_REFUSED;
    }
    link->under_way += publish->qos > 0;
    return CLI_DONE;
}

int link_publish(struct link *link, const char *topic, const void *payload, size_t len, unsigned qos,
                 bool retain)
{
    if (len > BUFFER_BYTES) {
        (void)fprintf(stderr, "gatehouse: the message is too long: %zu bytes\n", len);
        return CLI_REFUSED;
    }
    struct wire_packet publish = publication(topic, payload, len, qos, retain);
    return publish_when_there_is_room(link, &publish);
}

int link_settle(struct link *link)
{
    int code = turn_until(link, is_settled, ACKNOWLEDGE_MS);
    if (code == CLI_DONE && link->refusal) {
        (void)fprintf(stderr, "gatehouse: refused: %s\n", wire_reason_text(link->refusal));
        link->refusal = 0;
        return CLI_REFUSED;
    }
    return code;
}

int link_wait_readable(struct link *link, int fd)
{
    link->wait.readable_fd = fd;
    link->wait.is_readable = false;
    enum outcome outcome = turn(link, is_readable, NO_LIMIT);
    link->wait.readable_fd = -1;
    return outcome == OVER ? CLI_DONE : CLI_NO_DAEMON;
}

void link_be_patient(struct link *link, uint32_t ms)
{
    link->patience_ms = ms;
}

/* ---- requests ------------------------------------------------------------------------------------------------------- */

/* Publishes and waits for the acknowledgement and the answer. */
static int ask(struct link *link, const struct wire_packet *publish, char **answer)
{
    link->unmatched = false;
    int code = publish_when_there_is_room(link, publish);
    if (code == CLI_DONE)
        code = link_settle(link);
    if (code == CLI_DONE)
        code = turn_until(link, is_answered, link->patience_ms);
    if (code != CLI_DONE)
        return code;
    if (!link->wait.answer) {
        (void)fprintf(stderr, "gatehouse: nobody answers on %s\n", publish->topic.text);
        return CLI_REFUSED;
    }
    *answer = steal(link->wait.answer);
    return link->wait.was_rejected ? CLI_REFUSED : CLI_DONE;
}

static void expect(struct link *link, const char *topic, const char *rejected, const char *token)
{
    free(link->wait.answer);
    link->wait = (struct wait){.topic = topic, .rejected = rejected, .token = token, .readable_fd = -1};
}

int link_request(struct link *link, const char *topic, const char *payload, char **answer)
{
    struct wire_filter filter = filter_of(link->answer_topic, 1);
    int code = subscribe(link, &filter, 1);
    if (code != CLI_DONE)
        return code;
    struct wire_packet publish = publication(topic, payload, strlen(payload), 1, false);
    publish.props.response_topic = filter.filter;
    wire_set(&publish.props, WIRE_RESPONSE_TOPIC);
    expect(link, link->answer_topic, NULL, NULL);
    code = ask(link, &publish, answer);
    expect(link, NULL, NULL, NULL);
    return code;
}

int link_call(struct link *link, const char *topic, const char *payload, const char *token, char **answer)
{
    cleanup_free char *accepted = str_printf("%s/accepted", topic);
    cleanup_free char *rejected = str_printf("%s/rejected", topic);
    struct wire_filter filters[] = {filter_of(accepted, 1), filter_of(rejected, 1)};
    int code = subscribe(link, filters, 2);
    if (code != CLI_DONE)
        return code;
    struct wire_packet publish = publication(topic, payload, strlen(payload), 1, false);
    expect(link, accepted, rejected, token);
    code = ask(link, &publish, answer);
    expect(link, NULL, NULL, NULL);
    return code;
}

/* ---- listening ------------------------------------------------------------------------------------------------------ */

/* Retained messages come before anything that is published later: when our own comes back, all of them have been here. At
 * QoS 1, because QoS 0 may overtake. */
static int publish_end_mark(struct link *link)
{
    struct wire_packet mark = publication(link->answer_topic, "", 0, 1, false);
    return publish_when_there_is_room(link, &mark);
}

static int listen_until_enough(struct link *link, struct listening *listening)
{
    struct wire_filter filters[FILTERS_MAX + 1];
    unsigned count = 0;
    if (listening->count > FILTERS_MAX) {
        (void)fprintf(stderr, "gatehouse: expected at most %d filters\n", FILTERS_MAX);
        return CLI_USAGE;
    }
    for (; count < listening->count; count++) {
        filters[count] = filter_of(listening->filters[count], listening->qos);
        filters[count].retain_handling = listening->no_retained ? 2 : 0;
    }
    if (listening->retained_only)
        filters[count++] = filter_of(link->answer_topic, 1);
    int code = subscribe(link, filters, count);
    if (code == CLI_DONE && listening->retained_only)
        code = publish_end_mark(link);
    if (code != CLI_DONE)
        return code;
    enum outcome outcome = turn(link, is_enough, listening->limit_ms);
    listening->is_late = outcome == LATE;
    return outcome == LOST ? CLI_NO_DAEMON : CLI_DONE;
}

int link_listen(struct link *link, struct listening *listening)
{
    /* Signals come in only while we wait, so none is missed between looking and waiting. */
    sigset_t blocked, before;
    struct sigaction action = {.sa_handler = on_signal}, old_int, old_term;
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGINT);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &blocked, &before);
    (void)sigaction(SIGINT, &action, &old_int);
    (void)sigaction(SIGTERM, &action, &old_term);
    link->signals = &before;

    expect(link, NULL, NULL, NULL);
    link->wait.listening = listening;
    int code = listen_until_enough(link, listening);
    link->wait.listening = NULL;

    link->signals = NULL;
    (void)sigaction(SIGINT, &old_int, NULL);
    (void)sigaction(SIGTERM, &old_term, NULL);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return code;
}
