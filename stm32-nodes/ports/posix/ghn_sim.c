/* ghn-sim: nodes as a process. Each is the env-sensor application on the node core, over TCP; this file is their board.
 *
 * It prints one line a fact, the thing's name first, then a word, then what belongs to it:
 *
 *      pump connected session=0
 *      pump ready
 *      pump telemetry seq=1 temperature=2098 humidity=4512
 *      pump delivered seq=1
 *      pump applied interval=250          (or: pump refused interval="often")
 *      pump desired version=4
 *      pump reported
 *      pump taken version=5
 *      pump lost reason=stream
 *      pump waiting ms=731
 *
 * and of a node that has an identity and no key yet, by its serial:
 *
 *      A7 asks attempt=1
 *      A7 attempt failed handshake=0 alert=20
 *      A7 is known
 *      A7 offered generation=1
 *      A7 paired thing=pump
 *
 * and at the end one line for all of them, which begins with "ghn-sim". The quickstart demo and the tests read these
 * lines.
 */
#include "apps/env-sensor/env_sensor.h"
#include "line.h"
#include "sim_secure.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, INFO_SIZE = 128, NODES_MAX = 100000 };

struct options {
    const char *host, *thing;
    const char *identity, *pages; /* NULL: plain TCP */
    const char *device;           /* a serial line in place of TCP */
    bool pair;                    /* its button is held */
    uint16_t port;
    uint32_t interval;
    uint32_t count;
    uint32_t seconds; /* 0: until a signal */
    struct tcp_faults faults;
    bool quiet;
};

struct tally {
    uint64_t taken, busy, delivered, lost;
};

struct sim_node {
    env_sensor sensor;
    env_board board;
    struct line line;
    ghn_stream stream;
    char thing[GHN_THING_MAX + 1];
    int32_t temperature, humidity;
    struct sim_secure *secure; /* NULL: plain TCP */
    uint32_t due_at;
    bool was_ready;
    const struct options *options;
    struct tally *tally;
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

__attribute__((format(printf, 2, 3))) static void say(const struct sim_node *node, const char *format, ...)
{
    va_list args;
    if (node->options->quiet)
        return;
    printf("%s ", node->thing);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* ---- the board ------------------------------------------------------------------------------------------------------- */

/* A step of at most `most` up or down. */
static int32_t wander(int32_t most)
{
    return (int32_t)(random() % (2 * most + 1)) - most;
}

static void measure(void *ctx, int32_t setpoint, env_reading *reading)
{
    struct sim_node *node = ctx;
    node->temperature += (setpoint - node->temperature) / 16 + wander(5);
    node->humidity += (4500 - node->humidity) / 16 + wander(20);
    *reading = (env_reading){node->temperature, node->humidity};
}

static void on_telemetry(void *ctx, const env_reading *reading, int result)
{
    struct sim_node *node = ctx;
    if (result == 0) {
        node->tally->taken++;
        say(node, "telemetry seq=%" PRIu32 " temperature=%" PRId32 " humidity=%" PRId32,
            node->sensor.node.seq, reading->temperature, reading->humidity);
    } else {
        node->tally->busy++;
        say(node, "telemetry not taken result=%d", result);
    }
}

static void on_desired(void *ctx, const char *key, const ghn_json *value, bool applied)
{
    say(ctx, "%s %s=%.*s", applied ? "applied" : "refused", key, (int)value->len, value->text);
}

static const char *reason_text(int32_t reason)
{
    switch ((enum ghn_lost)reason) {
    case GHN_LOST_STREAM: return "stream";
    case GHN_LOST_ENTROPY: return "entropy";
    case GHN_LOST_REFUSED: return "refused";
    case GHN_LOST_SILENT: return "silent";
    case GHN_LOST_PROTOCOL: return "protocol";
    case GHN_LOST_CLOSED: return "closed";
    case GHN_LOST_REKEYED: return "rekeyed";
    case GHN_NOT_LOST: break;
    }
    return "unknown";
}

static void on_state(void *ctx, ghn_event event, int32_t detail)
{
    struct sim_node *node = ctx;
    switch (event) {
    case GHN_CONNECTED: say(node, "connected session=%" PRId32, detail); break;
    case GHN_READY:
        node->was_ready = true;
        say(node, "ready");
        break;
    case GHN_LOST:
        node->tally->lost += detail != GHN_LOST_CLOSED;
        say(node, "lost reason=%s", reason_text(detail));
        break;
    case GHN_WAITING: say(node, "waiting ms=%" PRId32, detail); break;
    case GHN_DELIVERED:
        node->tally->delivered++;
        say(node, "delivered seq=%" PRId32, detail);
        break;
    case GHN_DESIRED: say(node, "desired version=%" PRId32, detail); break;
    case GHN_DESIRED_OLD: say(node, "passed over version=%" PRId32, detail); break;
    case GHN_REPORTED: say(node, "reported"); break;
    case GHN_REPORT_TAKEN: say(node, "taken version=%" PRId32, detail); break;
    case GHN_REPORT_REFUSED: say(node, "report refused code=%" PRId32, detail); break;
    case GHN_PACKET_TOO_LONG: say(node, "packet too long bytes=%" PRId32, detail); break;
    case GHN_DROPPED: say(node, "dropped records=%" PRId32, detail); break;
    }
}

/* ---- options --------------------------------------------------------------------------------------------------------- */

static void usage(FILE *out)
{
    fprintf(
        out,
        "usage: ghn-sim --thing NAME [--host HOST] [--port PORT] [--interval MS] [--count N] [--seconds S]\n"
        "               [--fault drop=MS,delay=MS] [--speed N] [--quiet]\n"
        "       ghn-sim --identity FILE --keys FILE [--pair] [--host HOST --port PORT | --serial DEVICE] ...\n"
        "\n"
        "Simulated STM32 nodes: the portable node core and the env-sensor application over TCP.\n"
        "\n"
        "  --identity FILE  a node that is to be paired: its identity page, made by ghn-id\n"
        "  --keys FILE      where it keeps the keys that the gateway gives it\n"
        "  --pair           its button is held: it is paired although it has a key\n"
        "  --serial DEVICE  it hangs on a serial line: no code is needed, the gateway approves it\n"
        "  --thing NAME     name of the thing; with --count, NAME-1, NAME-2, ...\n"
        "  --host, --port   the gateway (127.0.0.1, 1883)\n"
        "  --interval MS    between two measurements, 10 to 3600000 (1000)\n"
        "  --count N        so many nodes (1)\n"
        "  --seconds S      end after S seconds; status 1 if a node was never ready\n"
        "  --fault          drop=MS: cut the connection about every MS ms; delay=MS: what arrives is read later\n"
        "  --speed N        its clock runs N times as fast, 1 to 100 (1): for tests that wait for a node which waits\n"
        "  --quiet          print the last line only\n");
}

__attribute__((format(printf, 1, 2), noreturn)) static void fail(const char *format, ...)
{
    va_list args;
    fputs("ghn-sim: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs(" (see --help)\n", stderr);
    exit(EXIT_USAGE);
}

static uint32_t number(const char *option, const char *text, uint32_t least, uint32_t most)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < least || value > most)
        fail("%s: expected a number from %" PRIu32 " to %" PRIu32 ", found \"%s\"", option, least, most,
             text);
    return (uint32_t)value;
}

static void read_faults(struct tcp_faults *faults, char *text)
{
    static char drop[] = "drop", delay[] = "delay";
    char *const names[] = {drop, delay, NULL};
    char *value;
    while (*text) {
        int which = getsubopt(&text, names, &value);
        if (which < 0 || !value)
            fail("--fault: expected drop=MS or delay=MS, found \"%s\"",
                 value ? value : "a name without a value");
        *(which ? &faults->delay : &faults->drop) = number("--fault", value, 1, 3600 * 1000);
    }
}

static void read_options(struct options *o, int argc, char **argv)
{
    static const struct option options[] = {
        {"host", required_argument, NULL, 'h'},
        {"port", required_argument, NULL, 'p'},
        {"thing", required_argument, NULL, 't'},
        {"interval", required_argument, NULL, 'i'},
        {"count", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'},
        {"fault", required_argument, NULL, 'f'},
        {"speed", required_argument, NULL, 'x'},
        {"quiet", no_argument, NULL, 'q'},
        {"identity", required_argument, NULL, 'd'},
        {"keys", required_argument, NULL, 'k'},
        {"pair", no_argument, NULL, 'b'},
        {"serial", required_argument, NULL, 'l'},
        {"help", no_argument, NULL, '?' + 0x100},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){.host = "127.0.0.1", .port = 1883, .interval = 1000, .count = 1};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'h': o->host = optarg; break;
        case 'p': o->port = (uint16_t)number("--port", optarg, 1, 65535); break;
        case 't': o->thing = optarg; break;
        case 'i': o->interval = number("--interval", optarg, ENV_INTERVAL_MIN, ENV_INTERVAL_MAX); break;
        case 'n': o->count = number("--count", optarg, 1, NODES_MAX); break;
        case 's': o->seconds = number("--seconds", optarg, 1, 1000 * 1000); break;
        case 'f': read_faults(&o->faults, optarg); break;
        case 'x': posix_port_speed = number("--speed", optarg, 1, 100); break;
        case 'q': o->quiet = true; break;
        case 'd': o->identity = optarg; break;
        case 'k': o->pages = optarg; break;
        case 'b': o->pair = true; break;
        case 'l': o->device = optarg; break;
        case '?' + 0x100: usage(stdout); exit(0);
        default: usage(stderr); exit(EXIT_USAGE);
        }
    }
    if (optind < argc)
        fail("what is \"%s\"?", argv[optind]);
    if (!o->identity != !o->pages)
        fail("--identity and --keys: expected both or none");
    if (o->identity && (o->thing || o->count != 1))
        fail("--identity: expected without --thing, which the gateway says, and without --count");
    if (o->device && !o->identity)
        fail("--serial: expected with --identity");
    if (!o->identity && (!o->thing || o->pair))
        fail(o->pair ? "--pair: expected with --identity" : "--thing is missing");
}

/* ---- running --------------------------------------------------------------------------------------------------------- */

static void init_node(struct sim_node *node, const struct options *o, struct tally *tally, uint32_t number)
{
    static const char info[] = "{\"model\":\"simulated\",\"fw\":\"" GATEHOUSE_VERSION "\"}";
    const char *thing = node->secure ? sim_secure_keys(node->secure)->use.thing : o->thing;
    int len = o->count > 1 ? snprintf(node->thing, sizeof node->thing, "%s-%" PRIu32, thing, number)
                           : snprintf(node->thing, sizeof node->thing, "%s", thing);
    node->options = o;
    node->tally = tally;
    node->temperature = 2000;
    node->humidity = 4500;
    node->board = (env_board){
        .measure = measure,
        .on_telemetry = on_telemetry,
        .on_desired = on_desired,
        .on_state = on_state,
        .ctx = node,
    };
    if (node->secure) {
        node->board.keys = sim_secure_keys(node->secure);
        node->board.secure = sim_secure_layer(node->secure);
        node->board.serial = sim_secure_serial(node->secure);
        node->stream = node->board.secure->stream;
    } else {
        tcp_stream_init(&node->line.tcp, &o->faults);
        node->stream = line_stream(&node->line);
    }
    if (len < 0 || (size_t)len >= sizeof node->thing ||
        env_sensor_init(&node->sensor, node->thing, o->host, o->port, info, o->interval, &node->board,
                        &posix_port, &node->stream) < 0)
        fail("--thing: expected 1 to %d of letters, digits, ':', '_' and '-', found \"%s\"", GHN_THING_MAX,
             node->thing);
    node->due_at = posix_port.now_ms();
}

/* A node with an identity has its key, or gets it now. */
static bool have_key(struct sim_node *node, const struct options *o, const sigset_t *while_waiting)
{
    const char *why;
    tcp_stream_init(&node->line.tcp, &o->faults);
    node->secure = sim_secure_new(o->identity, o->pages, &node->line, o->device, &why);
    if (!node->secure)
        fail("--identity: %s", why);
    if (!o->pair && ghn_keys_are_there(sim_secure_keys(node->secure)))
        return true;
    return sim_secure_pair(node->secure, o->host, o->port, o->quiet, &stopped, while_waiting);
}

/* Lets a node work, and says what to wait for until it wants to work again. */
static void turn(struct sim_node *node, struct pollfd *pfd)
{
    int wait = env_sensor_poll(&node->sensor);
    int stream_wait = line_wait(&node->line);
    if (stream_wait >= 0 && stream_wait < wait)
        wait = stream_wait;
    node->due_at = posix_port.now_ms() + (uint32_t)wait;
    pfd->events = line_events(&node->line);
    pfd->fd = pfd->events ? line_fd(&node->line) : -1;
}

static void run(struct sim_node *nodes, struct pollfd *pfds, const struct options *o,
                const sigset_t *while_waiting)
{
    uint32_t begin = posix_port.now_ms();
    while (!stopped) {
        uint32_t now = posix_port.now_ms();
        int32_t wait = INT32_MAX;
        if (o->seconds) {
            if (now - begin >= o->seconds * 1000)
                break;
            wait = (int32_t)(o->seconds * 1000 - (now - begin));
        }
        for (uint32_t i = 0; i < o->count; i++) {
            if (pfds[i].revents || (int32_t)(now - nodes[i].due_at) >= 0)
                turn(&nodes[i], &pfds[i]);
            int32_t until_due = (int32_t)(nodes[i].due_at - now);
            wait = until_due < wait ? until_due : wait;
        }
        wait = wait < 0 ? 0 : wait;
        struct timespec timeout = posix_port_timeout(wait);
        if (ppoll(pfds, o->count, &timeout, while_waiting) < 0) {
            for (uint32_t i = 0; i < o->count; i++)
                pfds[i].revents = 0;
        }
    }
}

int main(int argc, char **argv)
{
    struct options o;
    struct tally tally = {0};
    uint32_t never_ready = 0;
    uint32_t seed = 0;
    read_options(&o, argc, argv);
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* others read along */
    (void)posix_port.random((uint8_t *)&seed, sizeof seed);
    srandom(seed);

    /* The signals are let in only while waiting, so that none comes between the look at `stopped` and the wait. */
    sigset_t blocked, while_waiting;
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGINT);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &blocked, &while_waiting);
    (void)sigdelset(&while_waiting, SIGINT);
    (void)sigdelset(&while_waiting, SIGTERM);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);

    struct sim_node *nodes = calloc(o.count, sizeof *nodes);
    struct pollfd *pfds = calloc(o.count, sizeof *pfds);
    if (!nodes || !pfds)
        fail("--count: no memory for so many nodes");
    if (o.identity && !have_key(&nodes[0], &o, &while_waiting))
        return EXIT_FAILURE;
    for (uint32_t i = 0; i < o.count; i++) {
        init_node(&nodes[i], &o, &tally, i + 1);
        pfds[i].fd = -1;
    }
    run(nodes, pfds, &o, &while_waiting);
    for (uint32_t i = 0; i < o.count; i++) {
        ghn_close(&nodes[i].sensor.node);
        never_ready += !nodes[i].was_ready;
        sim_secure_free(nodes[i].secure);
    }
    printf("ghn-sim nodes=%" PRIu32 " never_ready=%" PRIu32 " taken=%" PRIu64 " not_taken=%" PRIu64
           " delivered=%" PRIu64 " lost=%" PRIu64 "\n",
           o.count, never_ready, tally.taken, tally.busy, tally.delivered, tally.lost);
    free(pfds);
    free(nodes);
    return o.seconds && !stopped && never_ready ? EXIT_FAILURE : EXIT_SUCCESS;
}
