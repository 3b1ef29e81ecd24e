/* For tests of HTTP: a small house with the shadow service and a server behind a Unix socket, and clients' sockets, all in
 * this thread and with a clock that is moved by hand.
 *
 *      cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
 *      struct guest *guest = http_guest(rig);
 *      guest_send(guest, "GET /things/pump/shadow HTTP/1.1\r\nHost: h\r\n\r\n");
 *      CHECK_ANSWER(guest, 404, "No shadow exists");      the next answer; the house has turned
 *      CHECK_NOTHING(guest);                              nothing more has come, and the connection is there
 */
#pragma once

#include "http/http_server.h"
#include "rig/rig.h"
#include "services/shadow/shadow.h"

enum { GUESTS_MAX = 16, GUEST_BYTES = 1 << 20 };

struct guest {
    struct http_rig *rig;
    int fd;
    char *in; /* what has come and was not looked at, terminated */
    size_t len;
    bool ended;
    char head[1024]; /* of the last answer, and its body */
    char body[64 * 1024];
};

struct http_rig {
    struct rig *house;
    struct shadow *shadow;
    struct http_server *server;
    char *folder, *path;
    struct guest guests[GUESTS_MAX];
    unsigned guest_count;
    struct subscriber keeper; /* of slow/#: holds receipts */
    struct subscription slow;
    struct receipt *held[8];
    unsigned held_count;
};

struct http_options http_rig_options(void);
struct http_rig *http_rig_new(const struct http_options *options); /* NULL: those above */
struct http_rig *http_rig_free(struct http_rig *rig);
define_cleanup(struct http_rig *, http_rig_free)

/* The oldest receipt of a message on slow/# settles. */
void http_rig_settle(struct http_rig *rig, int r);

struct guest *http_guest(struct http_rig *rig);
/* Sends and turns. */
void guest_send(struct guest *guest, const char *text);
void guest_send_bytes(struct guest *guest, const void *bytes, size_t len);
void guest_hang_up(struct guest *guest);
/* Takes what has come; the next whole answer is cut off into head and body: its status, 0 when there is none. */
int guest_answer(struct guest *guest, bool has_body);

#define CHECK_ANSWER(guest, status, text) guest_check((guest), (status), (text), __FILE__, __LINE__)
void guest_check(struct guest *guest, int status, const char *text, const char *file, int line);
#define CHECK_NOTHING(guest) CHECK_INT(guest_rest(guest), 0)
#define CHECK_END(guest)     CHECK_INT(guest_rest(guest), -1)
/* Bytes that are there; -1: none, and none will come. */
int guest_rest(struct guest *guest);
