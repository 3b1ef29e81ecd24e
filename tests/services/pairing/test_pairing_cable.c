#include "services/pairing/pairing_rig.h"

/* The same by a cable, with the key that everybody knows. */
static bool handshake_by_cable(struct scene *scene, enum pairing_way way)
{
    uint8_t key[PAIRING_KEY_BYTES];
    bool known = pairing_find(scene->pairing, way, "cable:A7", key);
    pairing_tried(scene->pairing, way, "cable:A7", "a cable", known, known);
    rig_turn(scene->rig);
    return known;
}

TEST(a_node_on_a_cable_is_paired_when_it_is_approved)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    CHECK(strstr(ask(&scene, "node/approve", "{\"serial\":\"A7\"}"), "404")); /* it does not ask */
    CHECK(!handshake_by_cable(&scene, PAIRING_CABLE));
    CHECK(!handshake(&scene, "pair:A7")); /* somebody on the network, who says that he is it */
    CHECK(strstr(ask(&scene, "pair/list", ""), "\"from\":\"a cable\",\"cable\":true"));
    CHECK_STR(ask(&scene, "node/approve", "{\"serial\":\"A7\",\"thing\":\"press-7\"}"),
              "{\"serial\":\"A7\",\"thing\":\"press-7\",\"seconds\":600}");
    CHECK(!knows(&scene, "cable:A7")); /* not over a network, and neither as the key of a sticker */
    CHECK(!knows(&scene, "pair:A7"));
    CHECK(handshake_by_cable(&scene, PAIRING_CABLE));
    struct principal *who = pairing_who(scene.pairing, "cable:A7");
    CHECK_STR(who->name, "pair:A7");
    who = principal_unref(who);
    hello(&scene);
    CHECK(handshake(&scene, "n:A7:1"));
    CHECK(!handshake_by_cable(&scene, PAIRING_CABLE));
    CHECK(strstr(ask(&scene, "node/approve", "{\"serial\":\"A7\"}"), "409")); /* it is paired already */
}

TEST(on_a_bench_nobody_is_asked)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    CHECK(!handshake_by_cable(&scene, PAIRING_NETWORK));
    CHECK(handshake_by_cable(&scene, PAIRING_BENCH));
    hello(&scene);
    CHECK(handshake(&scene, "n:A7:1"));
    CHECK(
        !handshake_by_cable(&scene, PAIRING_BENCH)); /* a key it has is not replaced by whoever plugs it in */
}
