/* bench_load: puts a load on an MQTT broker, checks every message, and prints one line of JSON.
 *
 * Here are the options and the line; plan.c knows the workloads, traffic.c runs them, tally.c checks.
 */
#include "bench/frame.h"
#include "bench/traffic.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { CLEAN = 0, CANNOT_RUN = 1, USAGE = 2, FOUND_FAULTS = 3 };

static int usage(FILE *out)
{
    char names[256];

    plan_names(names, sizeof(names));
    fprintf(
        out,
        "usage: bench_load WORK --to mqtt[s]://HOST:PORT | unix:///PATH [OPTION]...\n"
        "WORK is one of %s\n"
        "  --clients N     publishers (fan-in, wildcards), receivers (fan-out), pairs, or connections (idle)\n"
        "  --window N      closed loop: messages a publisher has on the way\n"
        "  --rate N        open loop: messages a second, all publishers together\n"
        "  --size BYTES    of the payload, at least 16\n"
        "  --qos 0|1|2     of publishers and subscribers\n"
        "  --mqtt 3|5      3.1.1 or 5.0\n"
        "  --filters N     subscriptions in all (wildcards, idle)\n"
        "  --seconds S     how long to publish or to hold the connections (1)\n"
        "  --messages N    stop after so many instead\n"
        "  --limit S       give up after so long in all (seconds + 60)\n"
        "  --pid PID       the broker's, to measure what it costs\n"
        "  --tls FOLDER    certificates for mqtts://HOST:PORT, as bench_certificates makes them\n"
        "  --durable       the subscribers' sessions outlive their connections\n"
        "offline prints a line when all is acknowledged, reads \"URI PID\" of the broker, perhaps another, from its\n"
        "input, lets the receivers come back there, and prints the second line.\n"
        "exit: 0 all messages came once and in order, 1 could not run, 2 usage, 3 some did not\n",
        names);
    return out == stdout ? CLEAN : USAGE;
}

static void print_number(const char *name, uint64_t value)
{
    printf(",\"%s\":%llu", name, (unsigned long long)value);
}

static void print_idle(const struct plan *plan, const struct outcome *o)
{
    printf(",\"connections\":%u,\"filters\":%u,\"opening_s\":%.3f,\"held_s\":%.3f", plan->clients,
           plan->filters / plan->clients * plan->clients, o->opening_s, o->seconds);
    if (plan->pid > 0)
        printf(
            ",\"opening_cpu_s\":%.6f,\"held_cpu_s\":%.6f,\"pss_before\":%ld,\"pss_open\":%ld,\"pss_after\":%ld"
            ",\"bytes_per_connection\":%.1f",
            o->opening_cpu_s, o->hold_cpu_s, o->pss_before, o->pss_open, o->pss_after,
            (double)(o->pss_open - o->pss_before) / plan->clients);
}

static void print_queued(const struct plan *plan, const struct outcome *o)
{
    printf("{\"work\":\"%s\"", plan->work);
    print_number("sent", o->sent);
    print_number("acked", o->acked);
    print_number("unacked", o->unacked);
    printf(",\"began\":%.6f,\"seconds\":%.4f,\"per_second\":%.0f,\"generator_cpu_s\":%.4f", o->began,
           o->seconds, o->seconds > 0 ? (double)o->acked / o->seconds : 0.0, o->generator_cpu_s);
    if (o->broker_cpu_s >= 0)
        printf(",\"broker_cpu_s\":%.6f,\"cpu_s_per_million\":%.4f", o->broker_cpu_s,
               o->acked ? o->broker_cpu_s * 1e6 / (double)o->acked : 0.0);
    printf("}\n");
    (void)fflush(stdout);
}

static void print_traffic(const struct plan *plan, const struct outcome *o)
{
    printf(",\"mqtt\":\"%s\",\"qos\":%u,\"size\":%u,\"clients\":%u,\"window\":%u,\"rate\":%g",
           plan->version == MQTT_5 ? "5.0" : "3.1.1", plan->qos, plan->size, plan->clients, plan->window,
           plan->rate);
    print_number("sent", o->sent);
    print_number("expected", o->expected);
    print_number("delivered", o->delivered);
    print_number("lost", o->expected - o->delivered);
    print_number("doubled", o->doubled);
    print_number("redelivered", o->redelivered);
    print_number("reordered", o->reordered);
    print_number("astray", o->astray);
    print_number("damaged", o->damaged);
    print_number("unacked", o->unacked);
    printf(",\"seconds\":%.4f,\"per_second\":%.0f,\"generator_cpu_s\":%.4f", o->seconds,
           o->seconds > 0 ? (double)o->delivered / o->seconds : 0.0, o->generator_cpu_s);
    if (plan->away)
        printf(",\"sessions_lost\":%u,\"recovery_cpu_s\":%.6f", o->sessions_lost, o->recovery_cpu_s);
    if (o->broker_cpu_s >= 0)
        printf(",\"broker_cpu_s\":%.6f,\"cpu_s_per_million\":%.4f", o->broker_cpu_s,
               o->delivered ? o->broker_cpu_s * 1e6 / (double)o->delivered : 0.0);
    if (plan->rate > 0 ||
        (plan->window == 1 && !plan->away)) /* with a deeper window it would only be the window's length */
        printf(",\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f", delays_us(&o->delays, 50),
               delays_us(&o->delays, 99), delays_us(&o->delays, 99.9), delays_us(&o->delays, 100));
}

static bool is_clean(const struct outcome *o)
{
    return o->delivered == o->expected && !o->doubled && !o->reordered && !o->astray && !o->damaged &&
           !o->unacked;
}

/* Reads a number that must be the whole word; false if it is not one. */
static bool number(double *ret, const char *text)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || !(value >= 0) || value > 1e12)
        return false;
    *ret = value;
    return true;
}

static const struct option options[] = {
    {"to", required_argument, NULL, 't'},      {"clients", required_argument, NULL, 'c'},
    {"window", required_argument, NULL, 'w'},  {"rate", required_argument, NULL, 'r'},
    {"size", required_argument, NULL, 's'},    {"qos", required_argument, NULL, 'q'},
    {"mqtt", required_argument, NULL, 'v'},    {"filters", required_argument, NULL, 'f'},
    {"seconds", required_argument, NULL, 'd'}, {"messages", required_argument, NULL, 'n'},
    {"limit", required_argument, NULL, 'l'},   {"pid", required_argument, NULL, 'p'},
    {"tls", required_argument, NULL, 'T'},     {"durable", no_argument, NULL, 'D'},
    {"help", no_argument, NULL, 'h'},          {0},
};

/* 0, or what is wrong. Giving a window takes the rate away and the other way round; messages, the seconds. */
static const char *set(struct plan *plan, int option, const char *text)
{
    double value = 0;

    switch (option) {
    case 't': plan->uri = text; return NULL;
    case 'T': plan->tls = text; return NULL;
    case 'D': plan->durable = true; return NULL;
    }
    if (!number(&value, text))
        return "a number is expected";
    switch (option) {
    case 'c': plan->clients = (unsigned)value; break;
    case 'w':
        plan->window = (unsigned)value;
        plan->rate = 0;
        break;
    case 'r':
        plan->rate = value;
        plan->window = 0;
        break;
    case 's': plan->size = (unsigned)value; break;
    case 'q': plan->qos = (unsigned)value; break;
    case 'v':
        if (value != 3 && value != 5)
            return "3 (for 3.1.1) or 5 is expected";
        plan->version = value == 5 ? MQTT_5 : MQTT_311;
        break;
    case 'f': plan->filters = (unsigned)value; break;
    case 'd': plan->seconds = value; break;
    case 'n':
        plan->messages = (uint64_t)value;
        plan->seconds = 0;
        break;
    case 'l': plan->limit_s = value; break;
    case 'p': plan->pid = (pid_t)value; break;
    }
    return NULL;
}

/* Where those who were away shall come back to; false if nobody says it. */
static bool ask_where(char *uri, size_t size, pid_t *pid)
{
    char line[256], where[200];
    int number_read = 0;

    if (!fgets(line, sizeof(line), stdin) || sscanf(line, "%199s %d", where, &number_read) < 1)
        return false;
    (void)snprintf(uri, size, "%s", where);
    *pid = number_read;
    return true;
}

static int run(const struct plan *plan)
{
    static struct outcome outcome;
    char uri[200];
    pid_t pid;
    bool is_alright = true;

    struct traffic *traffic = traffic_new(plan, &outcome);
    traffic_run(traffic);
    if (plan->shape == APPEND) {
        print_queued(plan, &outcome);
        traffic_free(traffic);
        return outcome.unacked ? FOUND_FAULTS : CLEAN;
    }
    if (plan->away) {
        print_queued(plan, &outcome);
        if (!ask_where(uri, sizeof(uri), &pid)) {
            fputs("bench_load: \"URI PID\" was expected on the standard input\n", stderr);
            traffic_free(traffic);
            return CANNOT_RUN;
        }
        traffic_come_back(traffic, uri, pid);
    }
    traffic_free(traffic);

    printf("{\"work\":\"%s\"", plan->work);
    if (plan->shape == IDLE) {
        print_idle(plan, &outcome);
    } else {
        print_traffic(plan, &outcome);
        is_alright = is_clean(&outcome);
    }
    printf("}\n");
    return is_alright ? CLEAN : FOUND_FAULTS;
}

int main(int argc, char **argv)
{
    struct plan plan;
    struct rlimit files;
    const char *wrong = NULL;
    int option, index = 0;

    if (argc < 2 || strcmp(argv[1], "--help") == 0)
        return usage(argc < 2 ? stderr : stdout);
    if (plan_init(&plan, argv[1]) < 0) {
        fprintf(stderr, "bench_load: there is no workload \"%s\"\n", argv[1]);
        return usage(stderr);
    }
    plan.seconds = 1;
    argc--, argv++;
    while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
        if (option == 'h')
            return usage(stdout);
        if (option == '?')
            return usage(stderr);
        wrong = set(&plan, option, optarg);
        if (wrong) {
            fprintf(stderr, "bench_load: --%s %s: %s\n", options[index].name, optarg, wrong);
            return USAGE;
        }
    }
    wrong = optind < argc ? "one workload at a time" : !plan.uri ? "--to is missing" : plan_lay_out(&plan);
    if (wrong) {
        fprintf(stderr, "bench_load: %s\n", wrong);
        return USAGE;
    }
    if (plan.limit_s <= 0)
        plan.limit_s = plan.seconds + 60;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    return run(&plan);
}
