/* Principals: who somebody is, and what he may do.
 *
 * A principal is shared by reference by the connections that proved to be it. Its policy here is the small kind: lists
 * of topic filters to publish on and to subscribe to. Whoever came by an open listener or the control socket may do
 * everything; a node NAME may use its own topics:
 *
 *      publish      dt/NAME/#  gh/nodes/NAME/#  cmd/NAME/+/reply  $aws/things/NAME/# (requests)  $aws/rules/#
 *      subscribe    cmd/NAME/#  gh/nodes/NAME/#  $aws/things/NAME/#
 *
 * Whoever is in the registry has a permit in place of lists: his policies decide, and they may change while he is connected
 * (permit.h).
 */
#pragma once

#include "base/base.h"

enum principal_kind {
    PRINCIPAL_OPEN,
    PRINCIPAL_CONTROL,
    PRINCIPAL_CERTIFICATE,
    PRINCIPAL_KEY,
    PRINCIPAL_USER,
    PRINCIPAL_PLUGIN
};
/* To receive is to be delivered a message: with lists, what may be subscribed to, since the session of a client id may have been
 * another's. To retain what may be published, and a shadow by HTTP ("THING" or "THING/SHADOW") are asked of permits only. */
enum policy_action {
    POLICY_PUBLISH,
    POLICY_SUBSCRIBE,
    POLICY_RECEIVE,
    POLICY_RETAIN,
    POLICY_GET_SHADOW,
    POLICY_UPDATE_SHADOW,
    POLICY_DELETE_SHADOW,
    POLICY_LIST_SHADOWS
};

/* What is asked when somebody connects by MQTT. */
struct principal_connect {
    const char *client_id;
    size_t client_id_len;
    bool is_persistent, has_will, will_retain;
    const char *will_topic;
    size_t will_topic_len;
};

/* Of one connection; a member of what implements it. */
struct principal_permit {
    /* May he connect like this? From now on decisions know the client id. *why is a constant. */
    bool (*connect)(struct principal_permit *permit, const struct principal_connect *connect,
                    const char **why);
    bool (*allows)(struct principal_permit *permit, enum policy_action action, const char *name, size_t len);
    void (*done)(struct principal_permit *permit);
};

/* Whoever has his connection, and ends it when he may not stay. */
struct principal_end {
    void (*ended)(struct principal_end *end, const char *why);
};
/* Whoever looks after him while he is connected; done() with the last reference. */
struct principal_keeper {
    void (*done)(struct principal_keeper *keeper);
};

struct principal {
    unsigned refs;
    enum principal_kind kind;
    bool everything; /* no list is looked at */
    char *name;
    char *client_id; /* it has to come with; NULL: any */
    char **publish;  /* NULL-terminated lists of filters */
    char **subscribe;
    struct principal_permit *permit; /* NULL: the lists */
    char *id;                        /* of who is in the registry: his name there */
    int64_t ends_at;                 /* of the loop's time: his connections end then; 0: never */
    struct principal_end *end;       /* NULL: nobody can end it */
    struct principal_keeper *keeper; /* NULL: nobody */
};

/* May do everything. */
struct principal *principal_new_unlimited(enum principal_kind kind, const char *name);
/* A node by its certificate's common name: the topics above. */
struct principal *principal_new_node(const char *name);
/* A paired node by its key, "psk:SERIAL": the topics above of that thing, whose name is its client id. */
struct principal *principal_new_paired(const char *serial, const char *thing);
/* A user with a password, "user:NAME": everything, or the topics above of the node that is called as he is. id: his name in the
 * registry. */
struct principal *principal_new_user(const char *id, const char *name, bool everything);
/* Somebody with a token, "jwt:SUBJECT", who is not in the registry: the same. */
struct principal *principal_new_guest(const char *id, const char *name, bool everything);
/* One that is being paired, "pair:SERIAL" with the client id "pair-SERIAL": gh/pair/SERIAL/ and nothing else. */
struct principal *principal_new_pairing(const char *serial);
/* Lists of filters separated by blanks, as a plugin's section has them; NULL is an empty list. */
struct principal *principal_new_plugin(const char *name, const char *publish, const char *subscribe);
/* Somebody in the registry: id is his name there (NULL: he is not, but has policies), `name` what he is called. The permit becomes the principal's. */
struct principal *principal_new_registered(const char *id, const char *name, struct principal_permit *permit);
struct principal *principal_ref(struct principal *principal);
struct principal *principal_unref(struct principal *principal);
define_cleanup(struct principal *, principal_unref)

/* The name by which his messages are known to be his (publisher.principal); NULL: he has proven none. "psk:…", "pair:…",
 * "user:…" and "jwt:…" are names that keys, passwords and tokens prove: a thing or a certificate that is called so has none. */
const char *principal_proven_name(const struct principal *principal);

/* For POLICY_SUBSCRIBE the topic is a filter: allowed if one listed filter covers it. Topics of the house
 * ($gatehouse/ctl/#, $gatehouse/plugins/#, $gatehouse/status/# to publish on, …) are opened by no policy. */
bool policy_allows(const struct principal *principal, enum policy_action action, const char *topic,
                   size_t len);
/* May a request of his have that Response Topic? The house answers there in its own name, so it must be no topic on which the
 * house alone speaks. */
bool principal_may_be_answered(const struct principal *principal, const char *topic, size_t len);
