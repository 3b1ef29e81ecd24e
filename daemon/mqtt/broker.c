#include "mqtt/broker.h"

#include "base/log.h"
#include "mqtt/durable.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { TAIL_SLACK = 16, HIGH_WATER = 256 * 1024 };

struct broker_options broker_options(void)
{
    return (struct broker_options){
        .packet_max = 1 << 20,
        .inflight_max = 100,
        .queue_max = 10000,
        .queue_bytes_max = (size_t)16 << 20,
        .session_expiry_s = 7 * 86400,
        .connections_max = 10000,
        .unsettled_max = 1000,
        .connect_timeout = 10000,
        .topic_levels_max = 128,
        .subscriptions_max = 10000,
        .filters_max = UINT_MAX, /* as many as a client may have subscriptions */
        .topic_len_max = UINT16_MAX,
        .queued_bytes_max = (size_t)256 << 20,
        .session_expiry_max_s = UINT32_MAX,
        .alias_max = 16,
        .qos_max = 2,
    };
}

/* AWS IoT Core's quotas and what its developer guide says about MQTT. */
void broker_options_aws(struct broker_options *options)
{
    options->packet_max = 149504;
    options->inflight_max = 100;
    options->subscriptions_max = 50;
    options->filters_max = 8;
    options->topic_levels_max = 8;
    options->topic_len_max = 256;
    options->session_expiry_s = options->session_expiry_max_s = 3600;
    options->keepalive_min_s = 30;
    options->keepalive_max_s = 1200;
    options->keepalive_forced = true;
    options->alias_max = 8;
    options->qos_max = 1;
    options->no_subscription_ids = options->no_parent = options->no_retained_by_wildcard = true;
    options->no_retain_on_dollar = options->no_dollar_client_ids = options->versions_share_no_session = true;
}

int broker_new(struct broker **ret, struct bus *bus, const struct broker_options *options)
{
    struct broker *broker = mem_new(struct broker);
    broker->bus = bus;
    broker->loop = bus_loop(bus);
    broker->options = *options;
    if (getrandom(&broker->seed, sizeof broker->seed, 0) != (ssize_t)sizeof broker->seed)
        broker->seed = 0; /* then only the connections of this run are told apart */
    broker->conn_limits =
        (struct conn_limits){.tail_max = options->packet_max + TAIL_SLACK, .high_water = HIGH_WATER};
    list_init(&broker->peers);
    list_init(&broker->last_words);
    slab_init(&broker->acks, sizeof(struct ack));

    list_init(&broker->doors);
    peak_init(&broker->peak, broker->loop);
    broker_status_open(broker);
    presence_watch(broker);
    if (options->store && options->logs) {
        const struct spool_options spool = {.bytes_max = options->spool_bytes_max};
        int r = durable_open(&broker->durable, broker, options->store, options->logs, &spool);
        if (r < 0) {
            (void)broker_free(broker);
            return r;
        }
    }
    *ret = broker;
    return 0;
}

void broker_shutdown(struct broker *broker)
{
    broker->stopping = true;
    list_for_each (link, &broker->doors) {
        struct door *door = list_entry(link, struct door, link);
        door->listener = listener_close(door->listener);
    }
    list_for_each_safe (link, &broker->peers)
        peer_close(list_entry(link, struct peer, link), WIRE_SHUTTING_DOWN, NULL);
}

bool broker_is_quiet(const struct broker *broker)
{
    return list_is_empty(&broker->peers);
}

/* In memory: on disk the durable ones stay. Who ends leaves the map, so they are gathered first. */
static void end_sessions(struct broker *broker)
{
    struct session **all = mem_new_bytes((broker->sessions.count + 1) * sizeof(struct session *));
    size_t count = 0;
    map_for_each(i, key, &broker->sessions) all[count++] = container_of(key, struct session, key);
    while (count)
        (void)session_end(all[--count], NULL);
    free(all);
    map_done(&broker->sessions);
}

/* Sessions go before peers: what waits in a mailbox may hold the receipt of a peer. */
struct broker *broker_free(struct broker *broker)
{
    if (!broker)
        return NULL;
    broker->closing = true;
    list_for_each (link, &broker->peers)
        peer_leave(list_entry(link, struct peer, link), false);
    end_sessions(broker);
    list_for_each_safe (link, &broker->peers)
        (void)peer_free(list_entry(link, struct peer, link));
    list_for_each_safe (link, &broker->doors)
        (void)door_close(list_entry(link, struct door, link));
    session_forget_last_words(broker);
    broker->durable = durable_close(broker->durable);

    sys_done(broker);
    registry_unwatch(&broker->registry);
    broker_status_close(broker);
    peak_done(&broker->peak);
    slab_done(&broker->acks);
    free(broker);
    return NULL;
}

const struct broker_counters *broker_counters(const struct broker *broker)
{
    return &broker->counters;
}

/* ---- doors ------------------------------------------------------------------------------------------------------- */

static void on_accepted(struct listener_user *user, struct listener *listener, struct endpoint *endpoint)
{
    struct door *door = container_of(user, struct door, user);
    int r = peer_new(door->broker, door, endpoint);
    if (r >= 0)
        return;
    listener_left(listener, &endpoint->from);
    log_warning("%s: a connection was refused: %s", door_name(door), strerror(-r));
}

static struct psk_keys *keys_for(const struct broker_nodes *nodes, const struct listener_uri *uri)
{
    if (!nodes || uri->scheme != LISTENER_SERIAL || uri->pair == LISTENER_PAIR_OFF)
        return nodes ? nodes->keys : NULL;
    return uri->pair == LISTENER_PAIR_ASK ? nodes->cable : nodes->bench;
}

int broker_open(struct broker *broker, struct door **ret, const struct listener_uri *uri,
                struct principal *everybody, char **why)
{
    struct door *door = mem_new(struct door);
    door->broker = broker;
    door->user.accepted = on_accepted;
    door->user.gate = broker->options.gate;
    door->user.keys = keys_for(broker->options.nodes, uri);
    if (listener_has_login(uri) && !broker->options.login) {
        *why = str_printf("%s: expected a gateway that knows users, since its auth= says so", uri->host);
        free(door);
        return -EINVAL;
    }
    int r = listener_open(&door->listener, broker->loop, uri, &door->user, why);
    if (r < 0) {
        free(door);
        return r;
    }
    if (everybody)
        door->everybody = principal_ref(everybody);
    else if (uri->access == LISTENER_OPEN)
        door->everybody = principal_new_unlimited(PRINCIPAL_OPEN, "anybody");
    else if (uri->scheme == LISTENER_UNIX && !listener_has_login(uri))
        door->everybody = principal_new_unlimited(PRINCIPAL_CONTROL, "local");
    list_append(&broker->doors, &door->link);
    *ret = door;
    return 0;
}

struct door *door_close(struct door *door)
{
    if (!door)
        return NULL;
    door->listener = listener_close(door->listener);
    list_for_each_safe (link, &door->broker->peers) {
        struct peer *peer = list_entry(link, struct peer, link);
        if (peer->door != door)
            continue;
        peer->door = NULL;
        peer_close(peer, WIRE_ADMINISTRATIVE, NULL);
    }
    list_remove(&door->link);
    (void)principal_unref(door->everybody);
    free(door);
    return NULL;
}

const char *door_name(const struct door *door)
{
    return door->listener ? listener_name(door->listener) : "closed";
}

int door_reload(struct door *door, char **why)
{
    return door->listener ? listener_reload(door->listener, why) : 0;
}
