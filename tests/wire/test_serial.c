#include "wire/serial.h"

#include "rig/test.h"

/* A node, a gateway, and a line between them that may lose frames. */
struct end {
    struct wire_serial link;
    struct scene *scene;
    uint8_t got[4096];
    size_t got_len;
    unsigned opened, closed;
    int reason;
    bool busy;
    char serial[WIRE_SERIAL_NAME_MAX + 1], log[64];
};

struct scene {
    struct end node, gateway;
    uint32_t now;
    unsigned frames, lose_every; /* one in so many, at random; 0: none */
    uint32_t chance;
};

static bool on_data(struct wire_serial *link, const uint8_t *bytes, size_t len)
{
    struct end *end = (struct end *)(void *)link;
    if (end->busy)
        return false;
    memcpy(end->got + end->got_len, bytes, len);
    end->got_len += len;
    return true;
}

static void on_opened(struct wire_serial *link, const char *serial)
{
    struct end *end = (struct end *)(void *)link;
    end->opened++;
    memcpy(end->serial, serial, strlen(serial) + 1);
}

static void on_closed(struct wire_serial *link, enum wire_serial_reason reason)
{
    struct end *end = (struct end *)(void *)link;
    end->closed++;
    end->reason = (int)reason;
}

static void on_log(struct wire_serial *link, const char *text, size_t len)
{
    struct end *end = (struct end *)(void *)link;
    memcpy(end->log, text, len);
    end->log[len] = '\0';
}

static const struct wire_serial_events events = {on_opened, on_data, on_closed, on_log};

static void scene_open(struct scene *scene)
{
    *scene = (struct scene){.now = UINT32_MAX - 700}; /* time wraps */
    wire_serial_init(&scene->node.link, &events, "A7");
    wire_serial_init(&scene->gateway.link, &events, NULL);
}

/* What one end has to say comes to the other, or is lost. */
static bool carry(struct scene *scene, struct end *from, struct end *to)
{
    size_t len;
    bool any = false;
    for (const uint8_t *out; (out = wire_serial_output(&from->link, &len, scene->now)); any = true) {
        scene->frames++;
        scene->chance = scene->chance * 1664525 + 1013904223;
        if (!scene->lose_every || (scene->chance >> 8) % scene->lose_every)
            wire_serial_input(&to->link, out, len, scene->now);
        wire_serial_wrote(&from->link, len, scene->now);
    }
    return any;
}

static void settle(struct scene *scene)
{
    for (int i = 0; i < 1000; i++)
        if (!carry(scene, &scene->node, &scene->gateway) && !carry(scene, &scene->gateway, &scene->node))
            return;
    FAIL("the line does not come to rest");
}

static void wait_ms(struct scene *scene, uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i += 50) {
        scene->now += 50;
        settle(scene);
    }
}

static void open_session(struct scene *scene, const char *nonce)
{
    wire_serial_open(&scene->node.link, (const uint8_t *)nonce, scene->now);
    settle(scene);
}

TEST(a_node_begins_a_session_with_its_serial)
{
    struct scene scene;
    scene_open(&scene);
    open_session(&scene, "abcdefgh");
    CHECK(scene.node.opened == 1 && scene.gateway.opened == 1);
    CHECK_STR(scene.gateway.serial, "A7");
    CHECK_INT(wire_serial_wait(&scene.node.link, scene.now), UINT32_MAX);
}

static void send_all(struct scene *scene, struct end *from, const uint8_t *bytes, size_t len)
{
    for (int i = 0; len && i < 10000; i++) {
        size_t n = wire_serial_send(&from->link, bytes, len, scene->now);
        bytes += n;
        len -= n;
        settle(scene);
        if (!n)
            wait_ms(scene, 50);
    }
    CHECK_INT(len, 0);
    wait_ms(scene, 2000);
}

TEST(all_bytes_come_once_and_in_order_though_frames_are_lost)
{
    uint8_t bytes[3000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 % 251 * (i % 5 != 0)); /* with zeros */
    for (unsigned every = 1; every <= 5; every++) {
        struct scene scene;
        scene_open(&scene);
        scene.lose_every = every == 1 ? 0 : every;
        open_session(&scene, "abcdefgh");
        wait_ms(&scene, 3000);
        send_all(&scene, &scene.node, bytes, sizeof bytes);
        send_all(&scene, &scene.gateway, bytes, sizeof bytes);
        CHECK_MEM(scene.gateway.got, scene.gateway.got_len, bytes, sizeof bytes);
        CHECK_MEM(scene.node.got, scene.node.got_len, bytes, sizeof bytes);
        CHECK(!scene.node.closed && !scene.gateway.closed);
    }
}

TEST(what_cannot_be_taken_comes_again)
{
    struct scene scene;
    scene_open(&scene);
    open_session(&scene, "abcdefgh");
    scene.gateway.busy = true;
    CHECK_INT(wire_serial_send(&scene.node.link, "x", 1, scene.now), 1);
    wait_ms(&scene, 1000);
    CHECK(!wire_serial_can_send(&scene.node.link));
    scene.gateway.busy = false;
    wait_ms(&scene, 1000);
    CHECK_MEM(scene.gateway.got, scene.gateway.got_len, "x", 1);
    CHECK(wire_serial_can_send(&scene.node.link));
}

TEST(who_is_not_answered_gives_up)
{
    struct scene scene;
    scene_open(&scene);
    open_session(&scene, "abcdefgh");
    scene.lose_every = 1;
    CHECK_INT(wire_serial_send(&scene.node.link, "x", 1, scene.now), 1);
    wait_ms(&scene, 12000);
    CHECK_INT(scene.node.closed, 1);
    CHECK_INT(scene.node.reason, WIRE_SERIAL_SILENT);
}

TEST(a_new_nonce_ends_what_was_and_the_same_is_a_repetition)
{
    struct scene scene;
    scene_open(&scene);
    open_session(&scene, "abcdefgh");
    open_session(&scene, "abcdefgh");
    CHECK(scene.gateway.opened == 1 && !scene.gateway.closed);
    open_session(&scene, "abcdefgi");
    CHECK(scene.gateway.opened == 2 && scene.gateway.closed == 1 &&
          scene.gateway.reason == WIRE_SERIAL_ANOTHER);
}

TEST(a_session_that_is_not_known_is_ended)
{
    struct scene scene;
    scene_open(&scene);
    open_session(&scene, "abcdefgh");
    wire_serial_init(&scene.gateway.link, &events, NULL); /* it was started again */
    CHECK_INT(wire_serial_send(&scene.node.link, "x", 1, scene.now), 1);
    settle(&scene);
    CHECK(scene.node.closed == 1 && scene.node.reason == WIRE_SERIAL_UNKNOWN);
    CHECK_INT(scene.gateway.got_len, 0);
}

TEST(an_end_is_told)
{
    struct scene scene;
    scene_open(&scene);
    open_session(&scene, "abcdefgh");
    wire_serial_close(&scene.node.link);
    settle(&scene);
    CHECK(scene.gateway.closed == 1 && scene.gateway.reason == WIRE_SERIAL_DONE);
}

TEST(who_is_not_there_is_asked_for_less_and_less_often)
{
    struct scene scene;
    scene_open(&scene);
    scene.lose_every = 1;
    open_session(&scene, "abcdefgh");
    wait_ms(&scene, 5000);
    CHECK(scene.frames >= 10 && scene.frames <= 11);
    wait_ms(&scene, 10000);
    CHECK(scene.frames <= 13);
    scene.lose_every = 0;
    wait_ms(&scene, 5000);
    CHECK_INT(scene.node.opened, 1);
}

TEST(what_is_no_frame_is_passed_over)
{
    struct scene scene;
    scene_open(&scene);
    wire_serial_input(&scene.gateway.link, (const uint8_t *)"U-Boot 2026.04\r\n", 16, scene.now);
    open_session(&scene, "abcdefgh"); /* which begins with a 0x00 */
    CHECK_INT(scene.gateway.opened, 1);
    uint8_t noise[2000];
    memset(noise, 0x55, sizeof noise);
    wire_serial_input(&scene.gateway.link, noise, sizeof noise, scene.now);
    scene.now += 1000;
    CHECK_INT(wire_serial_send(&scene.node.link, "x", 1, scene.now), 1);
    settle(&scene);
    CHECK_INT(scene.gateway.got_len, 1);
}

TEST(frames_are_as_they_are_written_down)
{
    struct scene scene;
    size_t len;
    scene_open(&scene);
    wire_serial_open(&scene.node.link, (const uint8_t *)"abcdefgh", scene.now);
    const uint8_t *out = wire_serial_output(&scene.node.link, &len, scene.now);
    /* 00, then COBS of 01 00 00 'a', 01 "abcdefgh" f0 "A7", CRC-32 of that, 00 */
    static const uint8_t expected[] = {0x00, 0x02, 0x01, 0x01, 0x12, 0x61, 0x01, 0x61, 0x62, 0x63, 0x64, 0x65,
                                       0x66, 0x67, 0x68, 0xf0, 0x41, 0x37, 0xca, 0x48, 0xac, 0x49, 0x00};
    CHECK_MEM(out, len, expected, sizeof expected);
}
