#include "mqtt/house.h"

#include "mqtt/swordfish.h"
#include "store/seglog.h"
#include "store/store.h"

#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TURNS_MAX = 100000, READ_BYTES = 16 * 1024 };

/* ---- the keeper of slow/# ------------------------------------------------------------------------------------------ */

struct kept {
    struct list link;
    struct receipt *receipt;
};

struct house_keeper {
    struct subscriber subscriber;
    struct subscription subscription;
    struct list kept;
};

static void on_message(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)msg, (void)delivery;
    struct house_keeper *keeper = container_of(subscriber, struct house_keeper, subscriber);
    struct kept *kept = mem_new(struct kept);
    kept->receipt = receipt;
    receipt_hold(receipt);
    list_append(&keeper->kept, &kept->link);
}

bool house_settle(struct house *house, bool newest, int r)
{
    struct list *kept = &house->keeper->kept;
    if (list_is_empty(kept))
        return false;
    struct list *link = newest ? kept->prev : kept->next;
    struct kept *one = list_entry(link, struct kept, link);
    struct receipt *receipt = one->receipt;
    list_remove(link);
    free(one);
    receipt_settle(receipt, r);
    return true;
}

static void open_keeper(struct house *house)
{
    struct house_keeper *keeper = house->keeper = mem_new(struct house_keeper);
    keeper->subscriber.deliver = on_message;
    list_init(&keeper->kept);
    bus_subscribe_to(house->bus, &keeper->subscription, &keeper->subscriber, "slow/#");
}

static void close_keeper(struct house *house)
{
    while (house_settle(house, false, 0))
        ;
    bus_unsubscribe(house->bus, &house->keeper->subscription);
    free(house->keeper);
    house->keeper = NULL;
}

/* ---- the house ----------------------------------------------------------------------------------------------------- */

static void must(bool fine, const char *what)
{
    if (fine)
        return;
    perror(what);
    abort();
}

struct house_options house_options(void)
{
    return (struct house_options){.broker = broker_options()};
}

static void open_disk(struct house *house)
{
    cleanup_free char *logs = str_printf("%s/logs", house->folder);
    enum worker_mode mode = house->options.threads ? WORKER_THREAD : WORKER_INLINE;
    must(store_open(&house->store, house->loop, ":memory:", mode) == 0, "store_open");
    must(seglogs_open(&house->logs, house->loop, logs, mode) == 0, "seglogs_open");
    house->options.broker.store = house->store;
    house->options.broker.logs = house->logs;
}

static void quiesce_disk(struct house *house)
{
    if (!house->store)
        return;
    store_quiesce(house->store);
    seglogs_quiesce(house->logs);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void open_broker(struct house *house)
{
    static struct authenticator *const authenticators[] = {&swordfish, NULL};
    struct house_options *options = &house->options;
    options->broker.authenticators = options->swordfish ? authenticators : NULL;
    must(bus_new(&house->bus, house->loop, &(struct bus_options){.store = house->store}) == 0, "bus_new");
    open_keeper(house);
    must(broker_new(&house->broker, house->bus, &options->broker) == 0, "broker_new");
    if (options->node)
        house->everybody = principal_new_node(options->node);
    else if (options->publish || options->subscribe)
        house->everybody = principal_new_plugin("plugin", options->publish, options->subscribe);
    else
        house->everybody = principal_new_unlimited(PRINCIPAL_OPEN, "anybody");
    cleanup_free char *text = options->websocket ? str_copy("ws://127.0.0.1:0/mqtt?access=open")
                                                 : str_printf("unix://%s?mode=0600", house->path);
    struct listener_uri uri;
    char *why = NULL;
    int r = listener_uri_parse(&uri, text, &why);
    must(r == 0, why ? why : "listener_uri_parse");
    r = broker_open(house->broker, &house->door, &uri, house->everybody, &why);
    must(r == 0, why ? why : "broker_open");
    listener_uri_done(&uri);
    if (options->websocket) { /* "ws://127.0.0.1:PORT/mqtt" */
        const char *colon = strchr(door_name(house->door) + strlen("ws:"), ':');
        house->port = (uint16_t)(colon ? strtoul(colon + 1, NULL, 10) : 0);
    }
    free(why);
}

static void close_broker(struct house *house)
{
    while (house_settle(house, false, 0)) /* receipts belong to peers and sessions */
        ;
    house->broker = broker_free(house->broker);
    close_keeper(house);
    house->bus = bus_free(house->bus);
    house->everybody = principal_unref(house->everybody);
    house->door = NULL;
}

/* A socket's file costs a write to the disk's journal where /tmp is on a disk: memory is a hundred times quicker. */
static void make_folder(struct house *house)
{
    static const char *const places[] = {"/dev/shm", "/tmp"};
    bool made = false;
    for (size_t i = 0; i < array_size(places) && !made; i++) {
        (void)snprintf(house->folder, sizeof house->folder, "%s/gatehouse-mqtt-XXXXXX", places[i]);
        made = mkdtemp(house->folder) != NULL;
    }
    must(made, "mkdtemp");
}

struct house *house_new(const struct house_options *options)
{
    struct house *house = mem_new(struct house);
    house->options = *options;
    house->clock = (struct clock){.by_hand = true, .mono = 1000000, .wall = 1760000000000};
    make_folder(house);
    (void)snprintf(house->path, sizeof house->path, "%s/mqtt", house->folder);
    for (int i = 0; i < HOUSE_CLIENTS; i++)
        house->clients[i].fd = -1;
    must(loop_new(&house->loop, &house->clock) == 0, "loop_new");
    if (options->store)
        open_disk(house);
    open_broker(house);
    return house;
}

struct house *house_free(struct house *house)
{
    quiesce_disk(house);
    close_broker(house);
    quiesce_disk(house);
    house->logs = seglogs_close(house->logs);
    house->store = store_close(house->store);
    house->loop = loop_free(house->loop);
    for (int i = 0; i < HOUSE_CLIENTS; i++)
        house_forget(house, (char)('A' + i));
    must(nftw(house->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0, house->folder);
    free(house);
    return NULL;
}

void house_restart(struct house *house)
{
    house_turn(house);
    quiesce_disk(house);
    close_broker(house);
    quiesce_disk(house);
    for (int i = 0; i < HOUSE_CLIENTS; i++)
        house_forget(house, (char)('A' + i));
    (void)unlink(house->path);
    open_broker(house);
}

/* ---- clients ------------------------------------------------------------------------------------------------------- */

static struct house_client *client_of(struct house *house, char who)
{
    return &house->clients[who - 'A'];
}

void house_connect(struct house *house, char who)
{
    struct house_client *client = client_of(house, who);
    if (client->fd >= 0)
        return;
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in tcp = {.sin_family = AF_INET, .sin_port = htons(house->port)};
    memcpy(local.sun_path, house->path, sizeof house->path);
    tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool ws = house->options.websocket;
    client->fd = socket(ws ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(client->fd >= 0, "socket");
    int r = ws ? connect(client->fd, (struct sockaddr *)&tcp, sizeof tcp)
               : connect(client->fd, (struct sockaddr *)&local, sizeof local);
    must(r == 0 || errno == EINPROGRESS, "connect");
    if (ws) /* or a small piece behind another waits for its acknowledgement */
        (void)setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    client->ended = false;
}

/* As much of what is to be sent as the broker takes now; true when something went. */
static bool client_flush(struct house_client *client)
{
    if (!client->out_len || client->ended)
        return false;
    ssize_t n = send(client->fd, client->out, client->out_len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN)
        n = (ssize_t)client->out_len; /* nobody is there to read it: fetching says so */
    if (n <= 0)
        return false;
    client->out_len -= (size_t)n;
    memmove(client->out, client->out + n, client->out_len);
    return true;
}

void house_send(struct house *house, char who, const void *bytes, size_t len)
{
    house_connect(house, who);
    struct house_client *client = client_of(house, who);
    client->out = realloc(client->out, client->out_len + len + 1);
    must(client->out != NULL, "realloc");
    memcpy(client->out + client->out_len, bytes, len);
    client->out_len += len;
    (void)client_flush(client);
}

void house_hang_up(struct house *house, char who)
{
    house_turn(house);
    house_forget(house, who);
}

void house_forget(struct house *house, char who)
{
    struct house_client *client = client_of(house, who);
    if (client->fd >= 0)
        (void)close(client->fd);
    free(client->in);
    free(client->out);
    *client = (struct house_client){.fd = -1};
}

void house_take(struct house *house, char who, size_t len)
{
    struct house_client *client = client_of(house, who);
    client->in_len -= len;
    memmove(client->in, client->in + len, client->in_len);
}

static bool client_fetch(struct house_client *client)
{
    if (client->fd < 0 || client->ended)
        return false;
    if (client->in_size - client->in_len < READ_BYTES) {
        client->in_size = client->in_len + 2 * READ_BYTES;
        client->in = realloc(client->in, client->in_size);
        must(client->in != NULL, "realloc");
    }
    ssize_t n = recv(client->fd, client->in + client->in_len, READ_BYTES, 0);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0)
        client->ended = true;
    else
        client->in_len += (size_t)n;
    return true;
}

/* What TCP was given comes a moment later, from a soft interrupt: gives that the chance. */
static void breathe(const struct house *house)
{
    struct pollfd fds[HOUSE_CLIENTS];
    for (int i = 0; i < HOUSE_CLIENTS; i++)
        fds[i] = (struct pollfd){.fd = house->clients[i].ended ? -1 : house->clients[i].fd, .events = POLLIN};
    (void)poll(fds, HOUSE_CLIENTS, 5);
}

void house_turn(struct house *house)
{
    bool busy = true;
    int breaths = house->options.websocket ? 2 : 0;
    for (int turns = 0; busy || breaths--; turns++) {
        must(turns < TURNS_MAX, "the loop does not come to rest");
        if (!busy)
            breathe(house);
        busy = loop_turn(house->loop, 0) > 0;
        if (!busy && house->options.threads && !house->disk_is_slow) {
            quiesce_disk(house);
            busy = loop_turn(house->loop, 0) > 0;
        }
        for (int i = 0; i < HOUSE_CLIENTS; i++) {
            busy |= client_flush(&house->clients[i]);
            busy |= client_fetch(&house->clients[i]);
        }
    }
}

void house_wait(struct house *house, int64_t ms)
{
    house_turn(house);
    for (int64_t step; ms > 0; ms -= step) {
        step = ms > 1000000 ? ms / 1000 : ms > 1000 ? 100 : 1;
        if (step > ms)
            step = ms;
        clock_move(&house->clock, step);
        house_turn(house);
    }
}
