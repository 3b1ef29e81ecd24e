#include "identity/attempts.h"

#include "base/map.h"

enum { SETS = 256, WAYS = 4 };

struct attempt {
    int64_t until; /* when all of them are forgotten; 0: nobody */
    uint32_t hash; /* seeded: nobody can aim at a slot */
};

void attempts_init(struct attempts *attempts, unsigned burst, int64_t step)
{
    *attempts = (struct attempts){.burst = burst, .step = step};
}

void attempts_done(struct attempts *attempts)
{
    free(attempts->slots);
    attempts->slots = NULL;
}

static struct attempt *find(const struct attempts *attempts, uint32_t hash)
{
    struct attempt *set = &attempts->slots[hash % SETS * WAYS];
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].hash == hash && set[i].until)
            return &set[i];
    return NULL;
}

static struct attempt *oldest(const struct attempts *attempts, uint32_t hash)
{
    struct attempt *set = &attempts->slots[hash % SETS * WAYS], *found = set;
    for (size_t i = 1; i < WAYS; i++)
        if (set[i].until < found->until)
            found = &set[i];
    *found = (struct attempt){.hash = hash};
    return found;
}

void attempts_failed(struct attempts *attempts, const char *who, size_t len, int64_t now)
{
    if (!attempts->slots)
        attempts->slots = mem_new_bytes(SETS * WAYS * sizeof *attempts->slots);
    uint32_t hash = map_hash(who, len);
    struct attempt *attempt = find(attempts, hash);
    if (!attempt)
        attempt = oldest(attempts, hash);
    int64_t most = now + attempts->step * (attempts->burst + 1); /* who goes on does not wait for ever */
    attempt->until = (attempt->until > now ? attempt->until : now) + attempts->step;
    if (attempt->until > most)
        attempt->until = most;
}

bool attempts_are_too_many(const struct attempts *attempts, const char *who, size_t len, int64_t now)
{
    const struct attempt *attempt = attempts->slots ? find(attempts, map_hash(who, len)) : NULL;
    return attempt && attempt->until - now > attempts->step * (attempts->burst - 1);
}
