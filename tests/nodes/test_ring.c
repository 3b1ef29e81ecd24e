#include "ghn/ring.h"

#include "rig/test.h"

#include <stdlib.h>

static int put(ghn_ring *ring, const char *text)
{
    ghn_piece piece = {text, strlen(text)};
    return ghn_ring_put(ring, &piece, 1);
}

/* Takes the oldest record out as a string; "" when there is none. */
static const char *pull(ghn_ring *ring)
{
    static char text[128];
    size_t len = ghn_ring_first(ring);
    CHECK(len < sizeof text);
    if (len) {
        ghn_ring_copy(ring, 0, text, len);
        ghn_ring_drop(ring);
    }
    text[len] = '\0';
    return text;
}

TEST(records_come_out_in_the_order_they_went_in)
{
    uint8_t bytes[32];
    ghn_ring ring;
    ghn_ring_init(&ring, bytes, sizeof bytes, true);
    CHECK_STR(pull(&ring), "");
    CHECK_INT(put(&ring, "one"), 0);
    CHECK_INT(put(&ring, "three"), 0);
    CHECK_STR(pull(&ring), "one");
    CHECK_INT(put(&ring, "four"), 0);
    CHECK_STR(pull(&ring), "three");
    CHECK_STR(pull(&ring), "four");
    CHECK_STR(pull(&ring), "");
}

TEST(a_full_ring_drops_the_oldest_to_keep_the_newest)
{
    uint8_t bytes[12]; /* three records of two bytes */
    ghn_ring ring;
    ghn_ring_init(&ring, bytes, sizeof bytes, true);
    CHECK_INT(put(&ring, "aa"), 0);
    CHECK_INT(put(&ring, "bb"), 0);
    CHECK_INT(put(&ring, "cc"), 0);
    CHECK_INT(put(&ring, "dddd"), 0);
    CHECK_INT(ring.dropped, 2);
    CHECK_STR(pull(&ring), "cc");
    CHECK_STR(pull(&ring), "dddd");
}

TEST(a_full_ring_refuses_the_newest_to_keep_the_oldest)
{
    uint8_t bytes[8];
    ghn_ring ring;
    ghn_ring_init(&ring, bytes, sizeof bytes, false);
    CHECK_INT(put(&ring, "aa"), 0);
    CHECK_INT(put(&ring, "bb"), 0);
    CHECK_INT(put(&ring, "c"), GHN_BUSY);
    CHECK_INT(ring.dropped, 0);
    CHECK_STR(pull(&ring), "aa");
    CHECK_INT(put(&ring, "cc"), 0);
    CHECK_STR(pull(&ring), "bb");
    CHECK_STR(pull(&ring), "cc");
}

TEST(what_can_never_fit_drops_nothing)
{
    uint8_t bytes[8];
    ghn_ring ring;
    ghn_ring_init(&ring, bytes, sizeof bytes, true);
    CHECK_INT(put(&ring, "aa"), 0);
    CHECK_INT(put(&ring, "1234567"), GHN_TOO_LONG);
    CHECK_STR(pull(&ring), "aa");
    CHECK_INT(put(&ring, "123456"), 0);
    CHECK_STR(pull(&ring), "123456");
}

TEST(a_ring_without_memory_refuses_everything)
{
    ghn_ring ring;
    ghn_ring_init(&ring, NULL, 0, true);
    CHECK_INT(put(&ring, "a"), GHN_TOO_LONG);
    CHECK_INT(ghn_ring_first(&ring), 0);
}

TEST(records_of_every_length_survive_the_end_of_the_ring)
{
    enum { SIZE = 41 }; /* no multiple of any record: every way of running over the end comes up */
    uint8_t *bytes = malloc(SIZE);
    ghn_ring ring;
    char expected[64];
    unsigned in = 0, out = 0;
    ghn_ring_init(&ring, bytes, SIZE, false);
    while (out < 2000) {
        ghn_piece pieces[2] = {{"abcdefghijklmnop", in % 16}, {"!", 1}};
        if (ghn_ring_put(&ring, pieces, 2) == 0) {
            in++;
            continue;
        }
        memcpy(expected, "abcdefghijklmnop", out % 16);
        memcpy(expected + out % 16, "!", 2);
        CHECK_STR(pull(&ring), expected);
        out++;
    }
    free(bytes);
}
