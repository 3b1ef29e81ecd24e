#include "ghn/keys.h"
#include "ghn/pair.h"
#include "rig/test.h"

#include <stdio.h>

/* Two pages of flash whose power may be cut: after `budget` bytes of erasing and programming nothing more happens. */
struct flash {
    uint8_t page[2][GHN_PAGE_SIZE];
    long budget; /* -1: no cut */
    bool is_cut;
    bool broken; /* a page that does not take what is written */
    ghn_pages pages;
};

static int on_read(void *ctx, unsigned page, uint8_t *bytes, size_t n)
{
    const struct flash *flash = ctx;
    memcpy(bytes, flash->page[page], n);
    return 0;
}

static bool spend(struct flash *flash)
{
    if (flash->budget == 0)
        flash->is_cut = true;
    else if (flash->budget > 0)
        flash->budget--;
    return !flash->is_cut;
}

static int on_write(void *ctx, unsigned page, const uint8_t *bytes, size_t n)
{
    struct flash *flash = ctx;
    for (size_t i = 0; i < n && spend(flash); i++)
        flash->page[page][i] = 0xff;
    for (size_t i = 0; i < n && spend(flash); i++)
        flash->page[page][i] = flash->broken ? 0 : bytes[i];
    return memcmp(flash->page[page], bytes, n) == 0 ? 0 : -1;
}

static void flash_init(struct flash *flash)
{
    memset(flash, 0xff, sizeof *flash);
    flash->budget = -1;
    flash->is_cut = flash->broken = false;
    flash->pages = (ghn_pages){on_read, on_write, flash};
}

static ghn_credentials credentials(uint32_t generation)
{
    ghn_credentials c = {.generation = generation, .port = 8884, .thing = "press-7", .host = "10.0.0.1"};
    memset(c.key, (int)generation, sizeof c.key);
    return c;
}

static void put(ghn_keys *keys, uint32_t generation)
{
    ghn_credentials c = credentials(generation);
    CHECK_INT(ghn_keys_put(keys, &c), 0);
}

static uint32_t next(ghn_keys *keys)
{
    return ghn_keys_next(keys) ? keys->use.generation : 0;
}

/* ---- pages ---------------------------------------------------------------------------------------------------------- */

TEST(the_check_sum_is_the_one_of_ieee_802_3)
{
    CHECK_INT(ghn_crc32((const uint8_t *)"123456789", 9), 0xcbf43926);
}

TEST(an_identity_page_is_read_as_it_was_written)
{
    uint8_t page[GHN_PAGE_SIZE];
    ghn_identity in = {.serial = "A7", .model = "stm32f405", .flags = 1}, out;
    memset(in.pairing_key, 7, sizeof in.pairing_key);
    CHECK_INT(ghn_identity_write(&in, page), 0);
    CHECK_INT(ghn_identity_read(&out, page), 0);
    CHECK_STR(out.serial, "A7");
    CHECK_STR(out.model, "stm32f405");
    CHECK_INT(out.flags, 1);
    CHECK_MEM(out.pairing_key, GHN_KEY_SIZE, in.pairing_key, GHN_KEY_SIZE);
    for (size_t i = 0; i < sizeof page; i++) { /* whichever bit has turned */
        page[i] ^= 0x10;
        CHECK_INT(ghn_identity_read(&out, page), GHN_INVALID);
        page[i] ^= 0x10;
    }
    (void)snprintf(in.serial, sizeof in.serial, "A 7");
    CHECK_INT(ghn_identity_write(&in, page), GHN_INVALID);
}

TEST(credentials_are_read_as_they_were_written)
{
    uint8_t page[GHN_PAGE_SIZE];
    ghn_credentials in = credentials(3), out;
    in.order = 0x12345678;
    CHECK_INT(ghn_credentials_write(&in, page), 0);
    CHECK_INT(ghn_credentials_read(&out, page), 0);
    CHECK_INT(out.order, 0x12345678);
    CHECK_INT(out.generation, 3);
    CHECK_INT(out.port, 8884);
    CHECK_STR(out.thing, "press-7");
    CHECK_STR(out.host, "10.0.0.1");
    CHECK_MEM(out.key, GHN_KEY_SIZE, in.key, GHN_KEY_SIZE);
    memset(page, 0xff, sizeof page);
    CHECK_INT(ghn_credentials_read(&out, page), GHN_INVALID);
    memset(in.thing, 'x', GHN_PAGE_THING_MAX);
    CHECK_INT(ghn_credentials_write(&in, page), 0); /* the longest */
    in.thing[0] = '/';
    CHECK_INT(ghn_credentials_write(&in, page), GHN_INVALID);
}

/* ---- keys ------------------------------------------------------------------------------------------------------------ */

TEST(an_empty_flash_has_no_key)
{
    struct flash flash;
    ghn_keys keys;
    flash_init(&flash);
    ghn_keys_open(&keys, &flash.pages);
    CHECK(!ghn_keys_are_there(&keys));
    CHECK_INT(next(&keys), 0);
}

TEST(a_new_key_is_tried_three_times_and_then_the_old_one_once)
{
    struct flash flash;
    ghn_keys keys;
    flash_init(&flash);
    ghn_keys_open(&keys, &flash.pages);
    put(&keys, 1);
    for (int i = 0; i < 9; i++)
        CHECK_INT(next(&keys), 1);
    put(&keys, 2);
    static const uint32_t expected[] = {2, 2, 2, 1, 2, 2, 2, 1, 2};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        CHECK_INT(next(&keys), expected[i]);
    ghn_keys_open(&keys, &flash.pages); /* a start begins anew */
    CHECK_INT(next(&keys), 2);
}

TEST(the_old_key_goes_when_the_new_one_has_worked)
{
    struct flash flash;
    ghn_keys keys;
    flash_init(&flash);
    ghn_keys_open(&keys, &flash.pages);
    put(&keys, 1);
    put(&keys, 2);
    for (int i = 0; i < 4; i++)
        (void)next(&keys);
    CHECK_INT(keys.use.generation, 1);
    ghn_keys_worked(&keys); /* the old one did: nothing goes */
    CHECK_INT(next(&keys), 2);
    ghn_keys_worked(&keys);
    ghn_keys_open(&keys, &flash.pages);
    for (int i = 0; i < 8; i++)
        CHECK_INT(next(&keys), 2);
    put(&keys, 3); /* in the page that is free now */
    CHECK_INT(next(&keys), 3);
}

TEST(order_goes_round)
{
    struct flash flash;
    ghn_keys keys;
    flash_init(&flash);
    ghn_credentials c = credentials(1);
    c.order = UINT32_MAX;
    CHECK_INT(ghn_credentials_write(&c, flash.page[1]), 0);
    ghn_keys_open(&keys, &flash.pages);
    put(&keys, 2);
    ghn_keys_open(&keys, &flash.pages);
    CHECK_INT(next(&keys), 2);
}

TEST(a_page_that_does_not_hold_is_said_and_the_key_stays)
{
    struct flash flash;
    ghn_keys keys;
    flash_init(&flash);
    ghn_keys_open(&keys, &flash.pages);
    put(&keys, 1);
    flash.broken = true;
    ghn_credentials c = credentials(2);
    CHECK_INT(ghn_keys_put(&keys, &c), GHN_STORAGE);
    CHECK_INT(next(&keys), 1);
    ghn_keys_open(&keys, &flash.pages);
    CHECK_INT(next(&keys), 1);
}

/* One life: it has key 1, is given key 2, uses it. The power goes at any byte of it. */
TEST(a_power_cut_at_any_byte_leaves_a_key_that_works)
{
    bool done = false;
    for (long cut = 0; !done; cut++) {
        struct flash flash;
        ghn_keys keys;
        flash_init(&flash);
        ghn_keys_open(&keys, &flash.pages);
        put(&keys, 1);
        flash.budget = cut;
        ghn_credentials c = credentials(2);
        bool told = ghn_keys_put(&keys, &c) == 0; /* the gateway hears of it only then */
        if (told && ghn_keys_next(&keys))
            ghn_keys_worked(&keys);
        done = !flash.is_cut;

        flash.budget = -1; /* power is back */
        flash.is_cut = false;
        ghn_keys_open(&keys, &flash.pages);
        CHECK(ghn_keys_are_there(&keys));
        uint32_t first = next(&keys);
        if (told)
            CHECK_INT(first, 2);
        else
            CHECK(first == 1 || first == 2); /* whole, though it could not say so any more */
        if (first == 2 && !told) { /* the gateway may still take only the old one: it comes to that, too */
            (void)next(&keys), (void)next(&keys);
            CHECK_INT(next(&keys), 1);
        }
        put(&keys, 9); /* and another can be stored */
        CHECK_INT(next(&keys), 9);
    }
}

/* ---- offers ----------------------------------------------------------------------------------------------------------- */

#define HEX "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static int offer(const char *text, ghn_credentials *ret)
{
    memset(ret, 0, sizeof *ret);
    return ghn_offer_read(ret, "A7", text, strlen(text));
}

TEST(an_offer_is_read)
{
    ghn_credentials c;
    CHECK_INT(offer("{\"v\":1,\"gen\":12,\"id\":\"n:A7:12\",\"key\":\"" HEX
                    "\",\"thing\":\"press-7\",\"host\":\"10.0.0.1\","
                    "\"port\":8884,\"time\":1760000000}",
                    &c),
              0);
    CHECK_INT(c.generation, 12);
    CHECK_INT(c.key[1], 0x11);
    CHECK_INT(c.key[31], 0xff);
    CHECK_STR(c.thing, "press-7");
    CHECK_STR(c.host, "10.0.0.1");
    CHECK_INT(c.port, 8884);
}

TEST(what_is_no_offer_for_this_node_is_not_taken)
{
    static const char *const wrong[] = {
        "",
        "[]",
        "{}",
        "{\"v\":2,\"gen\":1,\"id\":\"n:A7:1\",\"key\":\"" HEX "\"}",
        "{\"v\":1,\"gen\":0,\"id\":\"n:A7:0\",\"key\":\"" HEX "\"}",
        "{\"v\":1,\"gen\":1,\"id\":\"n:A8:1\",\"key\":\"" HEX "\"}",
        "{\"v\":1,\"gen\":1,\"id\":\"n:A7:2\",\"key\":\"" HEX "\"}",
        "{\"v\":1,\"gen\":1,\"id\":\"n:A7:1\",\"key\":\"" HEX "0\"}",
        "{\"v\":1,\"gen\":1,\"id\":\"n:A7:1\",\"key\":\"0011\"}",
        "{\"v\":1,\"gen\":1,\"id\":\"n:A7:1\",\"key\":\"g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}",
        "{\"v\":1,\"gen\":1,\"id\":\"n:A7:1\",\"key\":\"" HEX "\",\"port\":65536}",
        "{\"v\":1,\"gen\":1,\"id\":\"n:A7:1\",\"key\":\"" HEX "\",\"thing\":7}",
    };
    ghn_credentials c;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (offer(wrong[i], &c) != GHN_INVALID)
            FAIL("%s is taken", wrong[i]);
}

TEST(an_identity_of_a_key_is_spelled)
{
    char id[GHN_KEY_ID_SIZE];
    ghn_key_id(id, "A7", 1);
    CHECK_STR(id, "n:A7:1");
    ghn_key_id(id, "123456789012345678901234", UINT32_MAX);
    CHECK_STR(id, "n:123456789012345678901234:4294967295");
}
