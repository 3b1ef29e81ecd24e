/* gatehouse-host: runs one plugin in a process of its own.
 *
 * The gateway starts it (daemon/services/functions); by hand it is the way to try a plugin against a running
 * gateway. The limits are set here and not by the parent: this is the last place before foreign code.
 */
#include "base/log.h"
#include "host/host.h"
#include "host/object.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_BAD_PLUGIN = 78 };

/* Sanitizers reserve terabytes of address space, which the kernel counts as data. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static void usage(FILE *out)
{
    (void)fputs(
        "usage: gatehouse-host --socket PATH --name NAME [--memory-max BYTES] [--attempt N] PLUGIN.so\n"
        "\n"
        "  --socket PATH       where the gateway listens for this plugin\n"
        "  --name NAME         of its section in the configuration\n"
        "  --memory-max BYTES  0, the default: no limit\n"
        "  --attempt N         how many processes before this one ended too early, in a row\n",
        out);
}

static bool parse_number(const char *text, uint64_t *ret)
{
    char *end;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno;
}

/* -1: go on; else an exit status. */
static int parse_options(struct host_options *options, const char **plugin, int argc, char **argv)
{
    static const struct option known[] = {
        {"socket", required_argument, NULL, 's'},
        {"name", required_argument, NULL, 'n'},
        {"memory-max", required_argument, NULL, 'm'},
        {"attempt", required_argument, NULL, 'a'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    uint64_t attempt = 0;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        bool good = true;
        switch (option) {
        case 's': options->socket = optarg; break;
        case 'n': options->name = optarg; break;
        case 'm': good = parse_number(optarg, &options->memory_max); break;
        case 'a': good = parse_number(optarg, &attempt); break;
        case 'h': usage(stdout); return EXIT_SUCCESS;
        default: good = false; break;
        }
        if (!good) {
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    if (!options->socket || !options->name || optind != argc - 1) {
        usage(stderr);
        return EXIT_USAGE;
    }
    options->attempt = attempt < UINT_MAX ? (unsigned)attempt : UINT_MAX;
    *plugin = argv[optind];
    return -1;
}

static int set_limits(const struct host_options *options)
{
    /* A plugin that hangs does not notice that the gateway is gone. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -errno;
#ifdef SANITIZED
    (void)options;
#else
    struct rlimit data = {.rlim_cur = options->memory_max, .rlim_max = options->memory_max};
    if (options->memory_max && setrlimit(RLIMIT_DATA, &data) < 0)
        return -errno;
#endif
    return 0;
}

struct stopper {
    struct watch watch;
    struct host *host;
};

static void on_signal(struct watch *watch, unsigned events)
{
    (void)events;
    struct stopper *stopper = container_of(watch, struct stopper, watch);
    struct signalfd_siginfo info;
    if (read(watch->fd, &info, sizeof info) == (ssize_t)sizeof info)
        host_stop(stopper->host);
}

/* Before the plugin is loaded: its threads, if it has some, must not take the signals. */
static int block_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    (void)signal(SIGPIPE, SIG_IGN);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static int run(const struct host_options *options, const struct gh_plugin *plugin, int signals)
{
    cleanup(loop_free_p) struct loop *loop = NULL;
    cleanup(host_free_p) struct host *host = NULL;
    int r = loop_new(&loop, NULL);
    if (r == 0)
        r = host_new(&host, loop, plugin, options);
    if (r < 0) {
        log_error("cannot connect to %s: %s", options->socket, strerror(-r));
        return EXIT_FAILURE;
    }
    struct stopper stopper = {.watch = {.fd = signals, .ready = on_signal}, .host = host};
    r = loop_watch(loop, &stopper.watch, EPOLLIN);
    if (r == 0)
        r = loop_run(loop);
    loop_unwatch(loop, &stopper.watch);
    if (r < 0) {
        log_error("the loop: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    return r;
}

int main(int argc, char **argv)
{
    struct host_options options = {0};
    const char *path = NULL;
    int status = parse_options(&options, &path, argc, argv);
    if (status >= 0)
        return status;
    log_set_level(LOG_LEVEL_DEBUG); /* the gateway decides what is kept */
    (void)setvbuf(stdout, NULL, _IOLBF, 0);

    int r = set_limits(&options);
    cleanup(fd_close_p) int signals = -1;
    if (r == 0)
        r = signals = block_signals();
    if (r < 0) {
        log_error("cannot prepare the process: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    struct gh_plugin plugin;
    cleanup_free char *why = NULL;
    if (object_load(&plugin, path, &why) < 0) {
        log_error("%s", why);
        return EXIT_BAD_PLUGIN;
    }
    return run(&options, &plugin, signals);
}
