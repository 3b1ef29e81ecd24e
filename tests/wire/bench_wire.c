/* What the codec costs a packet: nanoseconds to frame and decode, to encode whole, and to encode the head alone, which is
 * what the broker does when it shares a payload. Not a test.
 *
 *      bench_wire [CASE [COUNT]]        one case alone, for a profiler: bench_wire 'q1 256 v5 decode' 10000
 *
 * The best of several rounds of COUNT packets is shown: what is slower was something else on this machine. */
#include "wire/mqtt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 9, PACKET_MAX = 512 };

struct sample {
    const char *name;
    struct wire_packet packet;
    uint8_t bytes[PACKET_MAX];
    size_t len;
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The compiler must not see that it is the same packet every time, nor that nobody wants the result. */
static void *opaque(void *p)
{
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static void decode(struct sample *s)
{
    struct wire_frame frame;
    struct wire_packet packet;
    const char *why;
    const uint8_t *bytes = opaque(s->bytes);
    must(wire_frame(bytes, s->len, PACKET_MAX, &frame) == 1);
    must(wire_decode(&packet, &frame, s->packet.version, WIRE_FROM_CLIENT, &why) == 0);
    (void)opaque(&packet);
}

static void encode(struct sample *s)
{
    uint8_t out[PACKET_MAX];
    must(wire_encode(out, sizeof out, opaque(&s->packet)) == s->len);
    (void)opaque(out);
}

static void encode_head(struct sample *s)
{
    uint8_t out[PACKET_MAX];
    size_t id_at;
    must(wire_encode_publish_head(out, sizeof out, opaque(&s->packet), &id_at) != 0);
    (void)opaque(out);
}

static const char *only;
static unsigned long count = 500000;

static void measure(struct sample *s, const char *what, void (*run)(struct sample *))
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s %s", s->name, what);
    if (only && strcmp(only, name) != 0)
        return;
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t from = now_ns();
        for (unsigned long i = 0; i < count; i++)
            run(s);
        uint64_t took = now_ns() - from;
        best = took < best ? took : best;
    }
    printf("%-24s %8.1f ns\n", name, (double)best / (double)count);
}

static struct sample sample(const char *name, enum wire_version version, uint8_t qos, uint32_t payload_len)
{
    static const uint8_t payload[PACKET_MAX];
    struct sample s = {.name = name};
    s.packet = (struct wire_packet){.type = WIRE_PUBLISH,
                                    .version = version,
                                    .qos = qos,
                                    .packet_id = qos ? 4711 : 0,
                                    .topic = {"dt/plant1/line4/env", 19},
                                    .payload = payload,
                                    .payload_len = payload_len};
    return s;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        only = argv[1];
    if (argc > 2)
        count = strtoul(argv[2], NULL, 10);
    static uint8_t extra[64];
    struct sample samples[] = {
        sample("q0 64 v4", WIRE_MQTT311, 0, 64),       sample("q0 64 v5", WIRE_MQTT5, 0, 64),
        sample("q1 256 v4", WIRE_MQTT311, 1, 256),     sample("q1 256 v5", WIRE_MQTT5, 1, 256),
        sample("q1 256 v5 props", WIRE_MQTT5, 1, 256),
    };
    struct wire_props *props = &samples[4].packet.props;
    props->message_expiry = 60;
    props->content_type = (struct wire_text){"application/json", 16};
    wire_set(props, WIRE_MESSAGE_EXPIRY);
    wire_set(props, WIRE_CONTENT_TYPE);
    props->extra = extra;
    props->extra_len = (uint32_t)wire_put_user(extra, 0, sizeof extra, (struct wire_text){"unit", 4},
                                               (struct wire_text){"degree", 6});
    for (size_t i = 0; count && i < sizeof samples / sizeof samples[0]; i++) {
        struct sample *s = &samples[i];
        s->len = wire_encode(s->bytes, sizeof s->bytes, &s->packet);
        must(s->len != 0);
        measure(s, "decode", decode);
        measure(s, "encode", encode);
        measure(s, "head", encode_head);
    }
    return 0;
}
