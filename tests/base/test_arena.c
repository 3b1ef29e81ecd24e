#include "base/arena.h"

#include "rig/test.h"

TEST(pieces_of_an_arena_are_aligned_and_do_not_overlap)
{
    struct arena arena;
    arena_init(&arena);
    char *before = NULL;
    for (size_t size = 1; size < 300; size++) { /* of size 0 may stand where the next one does */
        char *p = arena_alloc(&arena, size);
        CHECK_INT((int64_t)((uintptr_t)p % ARENA_ALIGN), 0);
        CHECK(p != before);
        memset(p, (int)size, size);
        if (before && size > 1)
            CHECK_INT((uint8_t)before[size - 2], (uint8_t)(size - 1));
        before = p;
    }
    arena_done(&arena);
}

TEST(a_piece_larger_than_a_chunk_leaves_the_first_chunk_in_use)
{
    struct arena arena;
    arena_init(&arena);
    char *first = arena_alloc(&arena, 8);
    char *large = arena_alloc(&arena, 1000000);
    memset(large, 1, 1000000);
    char *second = arena_alloc(&arena, 8);
    CHECK(second > first && second - first < 100);
    arena_done(&arena);
}

TEST(growing_the_last_piece_keeps_it_in_place_and_any_piece_keeps_its_bytes)
{
    struct arena arena;
    arena_init(&arena);
    char *p = arena_grow(&arena, NULL, 0, 4);
    memcpy(p, "abc", 4);
    CHECK(arena_grow(&arena, p, 4, 100) == p);
    CHECK_STR(p, "abc");
    (void)arena_alloc(&arena, 1);
    char *moved = arena_grow(&arena, p, 100, 200);
    CHECK(moved != p);
    CHECK_STR(moved, "abc");
    arena_done(&arena);
}

TEST(a_reset_arena_begins_in_the_chunk_it_kept)
{
    struct arena arena;
    arena_init(&arena);
    char *first = arena_alloc(&arena, 10);
    for (int i = 0; i < 100; i++)
        (void)arena_alloc(&arena, 5000);
    arena_reset(&arena);
    struct arena_chunk *kept = arena.chunks;
    char *again = arena_alloc(&arena, 10);
    CHECK(kept && arena.chunks == kept);
    for (int i = 0; i < 5; i++)
        (void)arena_alloc(&arena, 5000);
    CHECK(arena.chunks == kept); /* one ordinary chunk, and nothing of the peak */
    (void)first, (void)again;
    arena_done(&arena);
}

TEST(printing_into_an_arena_is_as_long_as_it_needs)
{
    struct arena arena;
    arena_init(&arena);
    CHECK_STR(arena_printf(&arena, "%s-%d", "a", 7), "a-7");
    char *wide = arena_printf(&arena, "%100000d", 1);
    CHECK_INT((int64_t)strlen(wide), 100000);
    CHECK_STR(arena_copy(&arena, "xyz", 2), "xy");
    arena_done(&arena);
}
