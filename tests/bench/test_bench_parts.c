/* The parts of the load generator, each for itself. */
#include "bench/frame.h"
#include "bench/link.h"
#include "bench/tally.h"
#include "rig/test.h"

#include <errno.h>
#include <stdlib.h>

TEST(a_tally_tells_doubled_from_reordered)
{
    struct tally tally = {0};

    CHECK_INT(tally_add(&tally, 0), ARRIVED);
    CHECK_INT(tally_add(&tally, 2), ARRIVED);
    CHECK_INT(tally_add(&tally, 2), DOUBLED);
    CHECK_INT(tally_add(&tally, 1), REORDERED);
    CHECK_INT(tally_add(&tally, 1), DOUBLED);
    CHECK_INT(tally_add(&tally, 100000), ARRIVED);
    CHECK_INT(tally_add(&tally, 99999), REORDERED);
    CHECK_INT(tally.distinct, 5);
    CHECK_INT(tally.next, 100001);
    tally_done(&tally);
}

TEST(percentiles_are_right_to_three_percent)
{
    static struct delays delays;

    for (uint64_t us = 1; us <= 1000; us++)
        delays_add(&delays, us * 1000);
    CHECK(delays_us(&delays, 50) > 485 && delays_us(&delays, 50) < 515);
    CHECK(delays_us(&delays, 99) > 960 && delays_us(&delays, 99) < 1020);
    CHECK_INT(delays_us(&delays, 100), 1000);
}

TEST(a_frame_is_read_when_it_is_complete_and_not_before)
{
    struct bytes b = {0};
    struct frame frame;
    struct publish m;

    memset(put_publish(&b, MQTT_5, 1, "a/b", 7, 300), 'x', 300);
    for (size_t n = 0; n < b.len; n++)
        CHECK_INT(frame_read(&frame, b.data, n), 0);
    CHECK_INT(frame_read(&frame, b.data, b.len), 1);
    CHECK_INT(frame.size, b.len);
    CHECK_INT(frame_publish(&m, &frame, MQTT_5), 0);
    CHECK_MEM(m.topic, m.topic_len, "a/b", 3);
    CHECK_INT(m.id, 7);
    CHECK_INT(m.payload_len, 300);
    free(b.data);
}

TEST(a_length_of_five_bytes_is_not_mqtt)
{
    static const uint8_t endless[] = {0x30, 0xff, 0xff, 0xff, 0xff};
    struct frame frame;

    CHECK_INT(frame_read(&frame, endless, sizeof(endless)), -EPROTO);
}

TEST(the_receive_maximum_is_found_among_other_properties)
{
    static const uint8_t bytes[] = {0x20, 22,  0,    0, 19, 0x24, 1,   0x26, 0,    1,    'k',  0,
                                    1,    'v', 0x12, 0, 2,  'i',  'd', 0x21, 0x01, 0x02, 0x25, 1};
    struct frame frame;
    struct connack connack;

    CHECK_INT(frame_read(&frame, bytes, sizeof(bytes)), 1);
    CHECK_INT(frame_connack(&connack, &frame, MQTT_5), 0);
    CHECK_INT(connack.receive_maximum, 0x0102);
}
