#include "services/pairing/pairing_rig.h"

#include "base/log.h"
#include "net/tls.h"

#include <stdio.h>

static void on_delivery(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                        struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct scene *scene = container_of(subscriber, struct scene, node);
    bool is_offer = strstr(msg->topic, "/offer") != NULL;
    ++*(is_offer ? &scene->offers : &scene->nexts);
    (void)snprintf(scene->got[!is_offer], sizeof scene->got[0], "%s", (const char *)msg->payload);
}

static void on_expel(void *ctx, const char *principal, const char *why)
{
    struct scene *scene = ctx;
    CHECK(why);
    (void)snprintf(scene->expelled, sizeof scene->expelled, "%s", principal);
    scene->expelled_count++;
}

static void on_note(void *ctx, const char *who, const char *what, const char *object, const char *reason)
{
    struct scene *scene = ctx;
    (void)who;
    (void)snprintf(scene->noted, sizeof scene->noted, "%s %s %s", what, object, reason);
}

static void on_paired(void *ctx, const char *serial, const char *thing, const char *model,
                      const char *firmware)
{
    struct scene *scene = ctx;
    (void)snprintf(scene->told, sizeof scene->told, "%s %s %s %s", serial, thing, model, firmware);
}

/* Not scrypt, which takes half a second; test_pair_text has that. */
static bool quick_scrypt(const char *password, const char *salt, uint8_t ret[32])
{
    cleanup_free char *both = str_printf("%s%s", password, salt);
    return tls_sha256(both, strlen(both), ret);
}

void quiet(enum log_level level, const char *line)
{
    (void)level;
    CHECK(!strstr(line, "\"key\""));
}

void scene_start(struct scene *scene, const char *db)
{
    const struct pairing_options options = {.ctx = scene,
                                            .expel = on_expel,
                                            .note = on_note,
                                            .paired = on_paired,
                                            .sha256 = tls_sha256,
                                            .scrypt = quick_scrypt,
                                            .mode = WORKER_INLINE,
                                            .key_age_s = 90 * 86400};
    scene->rig = db ? rig_new_at(db) : rig_new();
    CHECK_INT(pairing_new(&scene->pairing, scene->rig->bus, scene->rig->store, &options), 0);
    pairing_listens(scene->pairing, "10.0.0.1", 8884);
    scene->node.deliver = on_delivery;
    scene->node.origin = bus_new_origin(scene->rig->bus);
    bus_subscribe_to(scene->rig->bus, &scene->offer, &scene->node, "gh/pair/A7/offer");
    bus_subscribe_to(scene->rig->bus, &scene->next, &scene->node, "gh/nodes/press-7/key/next");
}

void scene_open(struct scene *scene)
{
    *scene = (struct scene){0};
    log_capture(quiet);
    scene_start(scene, NULL);
}

void scene_stop(struct scene *scene)
{
    bus_unsubscribe(scene->rig->bus, &scene->offer);
    bus_unsubscribe(scene->rig->bus, &scene->next);
    store_quiesce(scene->rig->store);
    scene->pairing = pairing_free(scene->pairing);
    scene->rig = rig_free(scene->rig);
}

void scene_done(struct scene *scene)
{
    if (scene->rig)
        scene_stop(scene);
    log_capture(NULL);
}

/* The node, or somebody who says that he is `principal`. */
void say_as(struct scene *scene, const char *principal, const char *topic, const char *payload)
{
    struct publisher *from = publisher_new("somebody", 8, principal);
    struct msg *msg = msg_new(topic, strlen(topic), payload, strlen(payload));
    msg->from = from; /* goes with the message */
    msg->origin = scene->node.origin;
    msg->qos = 1;
    bus_publish(scene->rig->bus, msg, NULL);
    (void)msg_unref(msg);
    rig_turn(scene->rig);
}

void hello(struct scene *scene)
{
    say_as(scene, "pair:A7", "gh/pair/A7/hello", "{\"v\":1,\"model\":\"stm32f405\",\"fw\":\"1.0.0\"}");
}

const char *ask(struct scene *scene, const char *what, const char *payload)
{
    cleanup_free char *topic = str_printf("$gatehouse/ctl/%s", what);
    const char *answer = rig_request(scene->rig, topic, payload);
    CHECK(answer);
    return answer;
}

void type_code(struct scene *scene)
{
    const char *answer =
        ask(scene, "pair/code", "{\"serial\":\"A7\",\"code\":\"" CODE "\",\"thing\":\"press-7\"}");
    CHECK_STR(answer, "{\"serial\":\"A7\",\"thing\":\"press-7\",\"seconds\":600}");
}

/* A handshake with that identity and the right key. */
bool handshake(struct scene *scene, const char *identity)
{
    uint8_t key[PAIRING_KEY_BYTES];
    bool known = pairing_find(scene->pairing, PAIRING_NETWORK, identity, key);
    pairing_tried(scene->pairing, PAIRING_NETWORK, identity, "10.0.0.7", known, known);
    rig_turn(scene->rig);
    return known;
}

void wrong_key(struct scene *scene, const char *identity)
{
    uint8_t key[PAIRING_KEY_BYTES];
    pairing_tried(scene->pairing, PAIRING_NETWORK, identity, "10.0.0.9",
                  pairing_find(scene->pairing, PAIRING_NETWORK, identity, key), false);
    rig_turn(scene->rig);
}

void pair(struct scene *scene)
{
    type_code(scene);
    CHECK(handshake(scene, "pair:A7"));
    hello(scene);
    CHECK(handshake(scene, "n:A7:1"));
}

bool knows(struct scene *scene, const char *identity)
{
    uint8_t key[PAIRING_KEY_BYTES];
    return pairing_find(scene->pairing, PAIRING_NETWORK, identity, key);
}
