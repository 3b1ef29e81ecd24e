#include "http/http_rig.h"

#include "store/folder.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* tests/ and daemon/ both have a folder http/: the daemon's headers are found by their names. */

static void on_slow(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                    struct receipt *receipt)
{
    (void)msg, (void)delivery;
    struct http_rig *rig = container_of(subscriber, struct http_rig, keeper);
    receipt_hold(receipt);
    rig->held[rig->held_count++] = receipt;
}

void http_rig_settle(struct http_rig *rig, int r)
{
    CHECK(rig->held_count > 0);
    receipt_settle(rig->held[0], r);
    rig->held_count--;
    memmove(rig->held, rig->held + 1, rig->held_count * sizeof *rig->held);
    rig_turn(rig->house);
}

struct http_options http_rig_options(void)
{
    return (struct http_options){
        .connections_max = GUESTS_MAX,
        .rest = {.payload_max = 1 << 20, .topic_len_max = 65535, .topic_levels_max = 128},
    };
}

struct http_rig *http_rig_new(const struct http_options *options)
{
    struct http_rig *rig = mem_new(struct http_rig);
    const struct http_options usual = http_rig_options();
    rig->house = rig_new();
    CHECK_INT(shadow_new(&rig->shadow, rig->house->bus, rig->house->store, &(struct shadow_options){0}), 0);
    rig->server = http_server_new(rig->house->bus, options ? options : &usual);
    rig->folder = folder_new();
    rig->path = str_printf("%s/http.sock", rig->folder);
    rig->keeper.deliver = on_slow;
    bus_subscribe_to(rig->house->bus, &rig->slow, &rig->keeper, "slow/#");
    struct listener_uri uri = {
        .scheme = LISTENER_UNIX, .access = LISTENER_FULL, .host = rig->path, .mode = 0600, .http = true};
    const char *name = NULL;
    char *why = NULL;
    if (http_server_listen(rig->server, &uri, &name, &why) < 0)
        FAIL("%s", why);
    return rig;
}

struct http_rig *http_rig_free(struct http_rig *rig)
{
    if (!rig)
        return NULL;
    for (unsigned i = 0; i < rig->guest_count; i++) {
        fd_close_p(&rig->guests[i].fd);
        free(rig->guests[i].in);
    }
    bus_unsubscribe(rig->house->bus, &rig->slow);
    rig->shadow = shadow_free(rig->shadow);
    rig->server = http_server_free(rig->server);
    rig->house = rig_free(rig->house);
    rig->folder = folder_free(rig->folder);
    free(rig->path);
    free(rig);
    return NULL;
}

/* ---- guests -------------------------------------------------------------------------------------------------------- */

struct guest *http_guest(struct http_rig *rig)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct guest *guest = &rig->guests[rig->guest_count++];
    CHECK(rig->guest_count <= GUESTS_MAX);
    *guest = (struct guest){.rig = rig, .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    guest->in = mem_new_bytes(GUEST_BYTES);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", rig->path);
    CHECK_INT(connect(guest->fd, (struct sockaddr *)&address, sizeof address), 0);
    rig_turn(rig->house);
    return guest;
}

void guest_send_bytes(struct guest *guest, const void *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(guest->fd, bytes, len, MSG_NOSIGNAL);
        CHECK(n > 0 || errno == EAGAIN);
        if (n > 0) {
            bytes = (const char *)bytes + n;
            len -= (size_t)n;
        }
        rig_turn(guest->rig->house);
    }
}

void guest_send(struct guest *guest, const char *text)
{
    guest_send_bytes(guest, text, strlen(text));
}

void guest_hang_up(struct guest *guest)
{
    fd_close_p(&guest->fd);
    rig_turn(guest->rig->house);
}

static void take(struct guest *guest)
{
    for (;;) {
        rig_turn(guest->rig->house);
        CHECK(guest->len < GUEST_BYTES - 1);
        ssize_t n = recv(guest->fd, guest->in + guest->len, GUEST_BYTES - 1 - guest->len, MSG_DONTWAIT);
        guest->ended |= n == 0;
        if (n <= 0)
            return;
        guest->len += (size_t)n;
        guest->in[guest->len] = '\0';
    }
}

static void drop(struct guest *guest, size_t len)
{
    guest->len -= len;
    memmove(guest->in, guest->in + len, guest->len + 1);
}

int guest_answer(struct guest *guest, bool has_body)
{
    take(guest);
    int status = 0;
    size_t body = 0;
    const char *end = strstr(guest->in, "\r\n\r\n"), *length = strstr(guest->in, "Content-Length: ");
    if (!end || sscanf(guest->in, "HTTP/1.1 %d", &status) != 1)
        return 0;
    size_t head = (size_t)(end - guest->in) + 4;
    if (length && length < end)
        CHECK_INT(sscanf(length, "Content-Length: %zu", &body), 1);
    if (!has_body)
        body = 0;
    if (guest->len < head + body)
        return 0;
    CHECK(head < sizeof guest->head && body < sizeof guest->body);
    (void)snprintf(guest->head, sizeof guest->head, "%.*s", (int)head, guest->in);
    (void)snprintf(guest->body, sizeof guest->body, "%.*s", (int)body, guest->in + head);
    drop(guest, head + body);
    return status;
}

void guest_check(struct guest *guest, int status, const char *text, const char *file, int line)
{
    int found = guest_answer(guest, true);
    if (found == status && strstr(guest->body, text))
        return;
    print_error("expected %d with %s, found %d: %s\n", status, text, found, found ? guest->body : guest->in);
    _fail(file, line);
}

int guest_rest(struct guest *guest)
{
    take(guest);
    return guest->len ? (int)guest->len : guest->ended ? -1 : 0;
}
