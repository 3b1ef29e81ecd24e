#include "net/cable.h"

#include "base/log.h"
#include "wire/serial.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

/* move() does whatever can be done and then sets what is waited for: it is called after everything that happens. Bytes for
 * the node are read from the pair only when they can be sent, so the kernel's buffer is the only queue; its end is read when
 * all before it was acknowledged. */

enum { AGAIN_MIN = 1000, READ = 512, LOG_A_SECOND = 10, SECOND_MS = 1000 };

struct cable {
    struct loop *loop;
    const char *path;
    speed_t speed;
    struct cable_user *user;
    struct wire_serial link;
    struct watch line, session;
    struct timer tick, again;
    int64_t pause; /* before the next look at the line */
    bool told;     /* that it is not there */
    uint8_t held[WIRE_SERIAL_PAYLOAD_MAX];
    size_t held_len; /* for the session, which does not read */
    int64_t second;
    unsigned lines;
};

static const struct {
    unsigned baud;
    speed_t speed;
} speeds[] = {{9600, B9600},     {19200, B19200},   {38400, B38400},   {57600, B57600},
              {115200, B115200}, {230400, B230400}, {460800, B460800}, {921600, B921600}};

static speed_t speed_of(unsigned baud)
{
    for (size_t i = 0; i < array_size(speeds); i++)
        if (speeds[i].baud == baud)
            return speeds[i].speed;
    return B0;
}

bool cable_baud_is_known(unsigned baud)
{
    return speed_of(baud) != B0;
}

static uint32_t now_of(const struct cable *cable)
{
    return (uint32_t)loop_now(cable->loop);
}

static void move(struct cable *cable);

/* ---- the session ---------------------------------------------------------------------------------------------------------- */

static void end_session(struct cable *cable)
{
    if (cable->session.fd < 0)
        return;
    loop_unwatch(cable->loop, &cable->session);
    fd_close_p(&cable->session.fd);
    cable->session.fd = -1;
    cable->held_len = 0;
}

/* Whoever is at the other end may say anything, as often as he likes. */
static bool may_log(struct cable *cable)
{
    int64_t second = loop_now(cable->loop) / SECOND_MS;
    if (cable->second != second)
        cable->lines = 0;
    cable->second = second;
    return cable->lines++ < LOG_A_SECOND;
}

static void on_opened(struct wire_serial *link, const char *serial)
{
    struct cable *cable = container_of(link, struct cable, link);
    int pair[2];
    end_session(cable);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        log_warning("serial://%s: no session: %s", cable->path, strerror(errno));
        wire_serial_close(link);
        return;
    }
    cable->session.fd = pair[0];
    if (may_log(cable))
        log_info("serial://%s: node %s is there", cable->path, serial);
    cable->user->came(cable->user, pair[1], serial);
}

static void on_closed(struct wire_serial *link, enum wire_serial_reason reason)
{
    struct cable *cable = container_of(link, struct cable, link);
    if (reason == WIRE_SERIAL_SILENT)
        log_info("serial://%s: node %s does not answer any more", cable->path, link->serial);
    end_session(cable);
}

/* Part of it may have to wait; the next is not taken until it is gone. */
static bool flush_held(struct cable *cable)
{
    if (!cable->held_len)
        return true;
    ssize_t n = send(cable->session.fd, cable->held, cable->held_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        n = (ssize_t)cable->held_len; /* nobody reads any more; the end is seen in a moment */
    if (n > 0) {
        cable->held_len -= (size_t)n;
        memmove(cable->held, cable->held + n, cable->held_len);
    }
    return !cable->held_len;
}

static bool on_data(struct wire_serial *link, const uint8_t *bytes, size_t len)
{
    struct cable *cable = container_of(link, struct cable, link);
    if (cable->session.fd < 0 || !flush_held(cable))
        return false;
    memcpy(cable->held, bytes, len);
    cable->held_len = len;
    (void)flush_held(cable);
    return true;
}

static void on_log(struct wire_serial *link, const char *text, size_t len)
{
    struct cable *cable = container_of(link, struct cable, link);
    char line[WIRE_SERIAL_PAYLOAD_MAX + 1];
    if (!may_log(cable))
        return;
    for (size_t i = 0; i < len; i++)
        line[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : ' ';
    line[len] = '\0';
    log_info("node %s says: %s", *link->serial ? link->serial : cable->path, line);
}

/* ---- the line ---------------------------------------------------------------------------------------------------------------- */

/* What the device has not sent yet is dropped: the kernel would wait for it, half a minute if need be. */
static void close_line(struct cable *cable)
{
    if (cable->line.fd < 0)
        return;
    loop_unwatch(cable->loop, &cable->line);
    (void)tcflush(cable->line.fd, TCOFLUSH);
    fd_close_p(&cable->line.fd);
    cable->line.fd = -1;
}

static void lose_line(struct cable *cable, const char *why)
{
    if (!cable->told)
        log_warning("serial://%s: %s; it is looked for again", cable->path, why);
    cable->told = true;
    end_session(cable);
    timer_stop(cable->loop, &cable->tick);
    close_line(cable);
    timer_start(cable->loop, &cable->again, cable->pause);
    cable->pause = cable->pause * 2 < CABLE_AGAIN_MAX ? cable->pause * 2 : CABLE_AGAIN_MAX;
}

static void read_line(struct cable *cable)
{
    uint8_t bytes[READ];
    ssize_t n = read(cable->line.fd, bytes, sizeof bytes);
    if (n > 0)
        wire_serial_input(&cable->link, bytes, (size_t)n, now_of(cable));
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        lose_line(cable, n == 0 ? "the line is gone" : strerror(errno));
}

static void on_line(struct watch *watch, unsigned events)
{
    struct cable *cable = container_of(watch, struct cable, line);
    (void)events;
    read_line(cable);
    move(cable);
}

static void on_session(struct watch *watch, unsigned events)
{
    (void)events;
    move(container_of(watch, struct cable, session));
}

static void on_tick(struct timer *timer)
{
    move(container_of(timer, struct cable, tick));
}

static void take_from_session(struct cable *cable)
{
    uint8_t bytes[WIRE_SERIAL_PAYLOAD_MAX];
    if (cable->session.fd < 0 || !wire_serial_can_send(&cable->link))
        return;
    ssize_t n = recv(cable->session.fd, bytes, cable->link.mtu, MSG_DONTWAIT);
    if (n > 0) {
        (void)wire_serial_send(&cable->link, bytes, (size_t)n, now_of(cable));
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        end_session(cable);
        wire_serial_close(&cable->link);
    }
}

/* True: all of it. */
static bool write_line(struct cable *cable)
{
    size_t len;
    for (const uint8_t *bytes; (bytes = wire_serial_output(&cable->link, &len, now_of(cable)));) {
        ssize_t n = write(cable->line.fd, bytes, len);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            lose_line(cable, strerror(errno));
            return true;
        }
        if (n <= 0)
            return false;
        wire_serial_wrote(&cable->link, (size_t)n, now_of(cable));
    }
    return true;
}

static void watch_for(struct cable *cable, struct watch *watch, unsigned events)
{
    if (!events)
        loop_unwatch(cable->loop, watch); /* its end would wake us up all the time */
    else if (loop_watch(cable->loop, watch, events) < 0)
        lose_line(cable, "there are too many watches");
}

static void move(struct cable *cable)
{
    if (cable->line.fd < 0)
        return;
    if (cable->session.fd >= 0)
        (void)flush_held(cable);
    take_from_session(cable);
    bool written = write_line(cable);
    if (cable->session.fd >= 0)
        watch_for(cable, &cable->session,
                  (wire_serial_can_send(&cable->link) ? EPOLLIN : 0u) | (cable->held_len ? EPOLLOUT : 0u));
    if (cable->line.fd < 0)
        return;
    watch_for(cable, &cable->line, EPOLLIN | (written ? 0u : EPOLLOUT));
    uint32_t wait = written ? wire_serial_wait(&cable->link, now_of(cable)) : UINT32_MAX;
    if (wait == UINT32_MAX)
        timer_stop(cable->loop, &cable->tick);
    else
        timer_start(cable->loop, &cable->tick, wait);
}

static int set_up(const struct cable *cable, int fd)
{
    struct termios how;
    if (tcgetattr(fd, &how) < 0)
        return -errno;
    cfmakeraw(&how);
    how.c_cflag |= CLOCAL | CREAD;
    how.c_cflag &= ~(unsigned)(CSTOPB | CRTSCTS);
    if (cfsetspeed(&how, cable->speed) < 0 || tcsetattr(fd, TCSANOW, &how) < 0)
        return -errno;
    (void)ioctl(fd, TIOCEXCL);
    return 0;
}

static void open_line(struct cable *cable)
{
    const struct wire_serial_events events = {
        .opened = on_opened, .data = on_data, .closed = on_closed, .log = on_log};
    int fd = open(cable->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    int r = fd < 0 ? -errno : set_up(cable, fd);
    if (r < 0) {
        fd_close_p(&fd);
        lose_line(cable, strerror(-r));
        return;
    }
    wire_serial_init(&cable->link, &events, NULL);
    cable->line.fd = fd;
    if (cable->told)
        log_notice("serial://%s: the line is there", cable->path);
    cable->told = false;
    cable->pause = AGAIN_MIN;
    move(cable);
}

static void on_again(struct timer *timer)
{
    open_line(container_of(timer, struct cable, again));
}

/* ---- life ---------------------------------------------------------------------------------------------------------------------- */

int cable_open(struct cable **ret, struct loop *loop, const char *path, unsigned baud,
               struct cable_user *user)
{
    struct cable *cable = mem_new(struct cable);
    cable->loop = loop;
    cable->path = path;
    cable->speed = speed_of(baud);
    cable->user = user;
    cable->line = (struct watch){.fd = -1, .ready = on_line};
    cable->session = (struct watch){.fd = -1, .ready = on_session};
    cable->tick.fire = on_tick;
    cable->again.fire = on_again;
    cable->pause = AGAIN_MIN;
    open_line(cable);
    *ret = cable;
    return 0;
}

struct cable *cable_close(struct cable *cable)
{
    if (!cable)
        return NULL;
    end_session(cable);
    timer_stop(cable->loop, &cable->tick);
    timer_stop(cable->loop, &cable->again);
    close_line(cable);
    free(cable);
    return NULL;
}
