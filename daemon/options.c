#include "options.h"

#include "net/listener.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void usage(FILE *out)
{
    (void)fputs(
        "usage: gatehoused [--config FILE] [--state DIR] [--runtime DIR] [--listen URI]... [--check] [--version]\n"
        "\n"
        "  --config FILE   configuration; default /etc/gatehouse/gatehouse.conf if it exists\n"
        "  --state DIR     what must survive; default $STATE_DIRECTORY, else ./gatehouse-state\n"
        "  --runtime DIR   sockets; default $RUNTIME_DIRECTORY, else STATE/run\n"
        "  --listen URI    in place of the configured listeners; may be given several times:\n"
        "                  mqtt://HOST:PORT?access=open   mqtts://HOST:PORT?cert=&key=&ca=   unix:///PATH\n"
        "                  ws://HOST:PORT/mqtt?access=open   wss://HOST:PORT/mqtt?cert=&key=&ca=&origin=\n"
        "                  http://HOST:PORT?access=open   https://HOST:PORT?cert=&key=&ca=   unix:///PATH?http=1\n"
        "  --check         check the configuration and exit: 0 it is good, 78 it is not\n"
        "  --version       print the version and exit\n",
        out);
}

int options_parse(struct options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'},  {"state", required_argument, NULL, 's'},
        {"runtime", required_argument, NULL, 'r'}, {"listen", required_argument, NULL, 'l'},
        {"check", no_argument, NULL, 'k'},         {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 'c': options->config = optarg; break;
        case 's': options->state = optarg; break;
        case 'r': options->runtime = optarg; break;
        case 'l':
            if (options->listen_count == LISTENERS_MAX) {
                (void)fprintf(stderr, "gatehoused: expected at most %d --listen\n", LISTENERS_MAX);
                return EXIT_USAGE;
            }
            options->listen[options->listen_count++] = optarg;
            break;
        case 'k': options->check = true; break;
        case 'v': (void)puts("gatehoused " GATEHOUSE_VERSION); return EXIT_STOPPED;
        case 'h': usage(stdout); return EXIT_STOPPED;
        default: usage(stderr); return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "gatehoused: unexpected argument %s\n", argv[optind]);
        usage(stderr);
        return EXIT_USAGE;
    }
    return -1;
}

bool options_listeners_are_good(const struct options *options)
{
    bool good = true;
    for (size_t i = 0; i < options->listen_count; i++) {
        struct listener_uri uri;
        char *why = NULL;
        if (listener_uri_parse(&uri, options->listen[i], &why) < 0) {
            (void)fprintf(stderr, "gatehoused: --listen: %s, found \"%s\"\n", why,
                          strstr(options->listen[i], "pin-value") ? "a PIN" : options->listen[i]);
            free(why);
            good = false;
        } else {
            listener_uri_done(&uri);
        }
    }
    return good;
}
