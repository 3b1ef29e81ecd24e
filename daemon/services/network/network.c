#include "services/network/network.h"

#include "base/json_write.h"
#include "base/log.h"
#include "bus/topics.h"
#include "net/netwatch.h"

#include <string.h>

struct network {
    struct bus *bus;
    struct netwatch *watch;
    bool online;
    int64_t since; /* wall ms */
    uint64_t changes;
};

static void say(const struct network *network, const struct netwatch_news *news)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "state");
    json_put_string(&w, network->online ? "up" : "down");
    json_key(&w, "since");
    json_put_int(&w, network->since);
    json_key(&w, "changed");
    json_put_string(&w, news->came ? "came" : news->went ? "went" : NULL);
    json_key(&w, "what");
    json_put_string(&w, news->what);
    json_key(&w, "changes");
    json_put_uint(&w, network->changes);
    json_end_object(&w);
    bus_say(network->bus, TOPIC_STATUS_NETWORK, json_writer_text(&w, NULL), BUS_KEEP);
    arena_done(&arena);
}

static void on_changed(void *self, const struct netwatch_news *news)
{
    struct network *network = self;
    if (news->online != network->online || !network->since)
        network->since = loop_wall(bus_loop(network->bus));
    network->online = news->online;
    if (news->came || news->went) {
        network->changes++;
        log_info("network: %s %s", news->what, news->came ? "came" : "went");
    }
    say(network, news);
}

int network_new(struct network **ret, struct bus *bus)
{
    cleanup(network_free_p) struct network *network = mem_new(struct network);
    network->bus = bus;
    int r = netwatch_new(&network->watch, bus_loop(bus), on_changed, network);
    if (r < 0) {
        /* A sandbox without netlink: links then come back when their pauses are over, as everywhere else. */
        log_warning("network: cannot watch interfaces: %s", strerror(-r));
        on_changed(network, &(struct netwatch_news){.online = true});
    }
    *ret = steal(network);
    return 0;
}

struct network *network_free(struct network *network)
{
    if (!network)
        return NULL;
    network->watch = netwatch_free(network->watch);
    free(network);
    return NULL;
}
