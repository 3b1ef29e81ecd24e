#include "ghn/keys.h"

#include <string.h>

static bool load(ghn_keys *keys, unsigned page, ghn_credentials *ret)
{
    uint8_t bytes[GHN_PAGE_SIZE];
    bool good = keys->pages->read(keys->pages->ctx, page, bytes, sizeof bytes) == 0 &&
                ghn_credentials_read(ret, bytes) == 0;
    ghn_wipe(bytes, sizeof bytes);
    return good;
}

void ghn_keys_open(ghn_keys *keys, const ghn_pages *pages)
{
    uint32_t order = 0;
    memset(keys, 0, sizeof *keys);
    keys->pages = pages;
    for (unsigned page = 0; page < 2; page++) {
        if (!load(keys, page, &keys->use))
            continue;
        if (!keys->have || (int32_t)(keys->use.order - order) > 0)
            keys->newest = (uint8_t)page;
        order = keys->use.order;
        keys->have |= (uint8_t)(1U << page);
    }
    keys->in_use = keys->newest;
    if (keys->have)
        (void)load(keys, keys->newest, &keys->use);
}

bool ghn_keys_are_there(const ghn_keys *keys)
{
    return keys->have != 0;
}

int ghn_keys_put(ghn_keys *keys, ghn_credentials *credentials)
{
    uint8_t bytes[GHN_PAGE_SIZE];
    ghn_credentials newest;
    unsigned page = keys->have ? 1U - keys->newest : 0;
    credentials->order = keys->have && load(keys, keys->newest, &newest) ? newest.order + 1 : 1;
    int r = ghn_credentials_write(credentials, bytes);
    if (r == 0 && keys->pages->write(keys->pages->ctx, page, bytes, sizeof bytes) < 0)
        r = GHN_STORAGE;
    ghn_wipe(bytes, sizeof bytes);
    ghn_wipe(&newest, sizeof newest);
    if (r == GHN_STORAGE)
        keys->have &= (uint8_t) ~(1U << page); /* whatever it held */
    if (r < 0)
        return r;
    keys->newest = keys->in_use = (uint8_t)page;
    keys->have |= (uint8_t)(1U << page);
    keys->use = *credentials;
    keys->tries = 0;
    return GHN_OK;
}

bool ghn_keys_next(ghn_keys *keys)
{
    unsigned other = 1U - keys->newest;
    bool has_other = keys->have & 1U << other;
    if (!keys->have)
        return false;
    bool old = has_other && keys->tries % (GHN_NEW_TRIES + 1) == GHN_NEW_TRIES;
    keys->tries = (uint8_t)((keys->tries + 1) % (GHN_NEW_TRIES + 1));
    keys->in_use = (uint8_t)(old ? other : keys->newest);
    return load(keys, keys->in_use, &keys->use);
}

void ghn_keys_worked(ghn_keys *keys)
{
    uint8_t blank[GHN_PAGE_SIZE];
    unsigned other = 1U - keys->newest;
    keys->tries = 0;
    if (keys->in_use != keys->newest || !(keys->have & 1U << other))
        return;
    memset(blank, 0xff, sizeof blank);
    if (keys->pages->write(keys->pages->ctx, other, blank, sizeof blank) == 0)
        keys->have &= (uint8_t) ~(1U << other);
}

void ghn_key_id(char *ret, const char *serial, uint32_t generation)
{
    char digits[10];
    size_t n = 0, len = strlen(serial);
    do
        digits[n++] = (char)('0' + generation % 10);
    while (generation /= 10);
    memcpy(ret, "n:", 2);
    memcpy(ret + 2, serial, len);
    ret += 2 + len;
    *ret++ = ':';
    while (n)
        *ret++ = digits[--n];
    *ret = '\0';
}
