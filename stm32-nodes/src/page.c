#include "ghn/page.h"

#include <stdbool.h>
#include <string.h>

enum { CRC_AT = GHN_PAGE_SIZE - 4, VERSION = 1 };

uint32_t ghn_crc32(const uint8_t *bytes, size_t len)
{
    uint32_t crc = 0xffffffffU;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xedb88320U & (0U - (crc & 1U)));
    }
    return ~crc;
}

void ghn_wipe(void *bytes, size_t len)
{
    volatile uint8_t *at = bytes;
    while (len--)
        *at++ = 0;
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void begin(uint8_t page[GHN_PAGE_SIZE], const char *magic)
{
    memset(page, 0xff, GHN_PAGE_SIZE);
    memcpy(page, magic, 4);
    page[4] = VERSION;
    page[7] = 0;
}

static void finish(uint8_t page[GHN_PAGE_SIZE])
{
    put32(page + CRC_AT, ghn_crc32(page, CRC_AT));
}

static bool is_good(const uint8_t page[GHN_PAGE_SIZE], const char *magic)
{
    return memcmp(page, magic, 4) == 0 && page[4] == VERSION &&
           get32(page + CRC_AT) == ghn_crc32(page, CRC_AT);
}

/* A text of that length, terminated; its characters are those of names, and '.' and ':' where a host is meant. */
static bool take_text(char *ret, const uint8_t *at, size_t len, size_t min, size_t max, const char *besides)
{
    if (len < min || len > max)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = (char)at[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                    c == '-' || (c && strchr(besides, c));
        if (!fine)
            return false;
        ret[i] = c;
    }
    ret[len] = '\0';
    return true;
}

/* ---- identity ------------------------------------------------------------------------------------------------------- */

int ghn_identity_read(ghn_identity *ret, const uint8_t page[GHN_PAGE_SIZE])
{
    size_t model_len = 0;
    if (!is_good(page, "GHID") || !take_text(ret->serial, page + 8, page[6], 1, GHN_SERIAL_MAX, ""))
        return GHN_INVALID;
    while (model_len < GHN_MODEL_MAX && page[96 + model_len] != 0xff && page[96 + model_len])
        model_len++;
    if (!take_text(ret->model, page + 96, model_len, 0, GHN_MODEL_MAX, ".+"))
        return GHN_INVALID;
    ret->flags = page[5];
    memcpy(ret->pairing_key, page + 32, GHN_KEY_SIZE);
    memcpy(ret->seed, page + 64, GHN_KEY_SIZE);
    memcpy(ret->image_key, page + 112, GHN_KEY_SIZE);
    return GHN_OK;
}

int ghn_identity_write(const ghn_identity *identity, uint8_t page[GHN_PAGE_SIZE])
{
    char checked[GHN_SERIAL_MAX + 1];
    size_t len = strlen(identity->serial);
    if (!take_text(checked, (const uint8_t *)identity->serial, len, 1, GHN_SERIAL_MAX, ""))
        return GHN_INVALID;
    begin(page, "GHID");
    page[5] = identity->flags;
    page[6] = (uint8_t)len;
    memcpy(page + 8, identity->serial, len);
    memcpy(page + 32, identity->pairing_key, GHN_KEY_SIZE);
    memcpy(page + 64, identity->seed, GHN_KEY_SIZE);
    memcpy(page + 96, identity->model, strlen(identity->model));
    memcpy(page + 112, identity->image_key, GHN_KEY_SIZE);
    finish(page);
    return GHN_OK;
}

/* ---- credentials ---------------------------------------------------------------------------------------------------- */

int ghn_credentials_read(ghn_credentials *ret, const uint8_t page[GHN_PAGE_SIZE])
{
    if (!is_good(page, "GHKY") || !take_text(ret->thing, page + 50, page[5], 1, GHN_PAGE_THING_MAX, ":") ||
        !take_text(ret->host, page + 114, page[6], 0, GHN_PAGE_HOST_MAX, ".:"))
        return GHN_INVALID;
    ret->order = get32(page + 8);
    ret->generation = get32(page + 12);
    memcpy(ret->key, page + 16, GHN_KEY_SIZE);
    ret->port = (uint16_t)(page[48] | page[49] << 8);
    return GHN_OK;
}

int ghn_credentials_write(const ghn_credentials *credentials, uint8_t page[GHN_PAGE_SIZE])
{
    char checked[GHN_PAGE_THING_MAX + 1];
    size_t thing_len = strlen(credentials->thing), host_len = strlen(credentials->host);
    if (!take_text(checked, (const uint8_t *)credentials->thing, thing_len, 1, GHN_PAGE_THING_MAX, ":") ||
        !take_text(checked, (const uint8_t *)credentials->host, host_len, 0, GHN_PAGE_HOST_MAX, ".:"))
        return GHN_INVALID;
    begin(page, "GHKY");
    page[5] = (uint8_t)thing_len;
    page[6] = (uint8_t)host_len;
    put32(page + 8, credentials->order);
    put32(page + 12, credentials->generation);
    memcpy(page + 16, credentials->key, GHN_KEY_SIZE);
    page[48] = (uint8_t)credentials->port;
    page[49] = (uint8_t)(credentials->port >> 8);
    memcpy(page + 50, credentials->thing, thing_len);
    memcpy(page + 114, credentials->host, host_len);
    finish(page);
    return GHN_OK;
}
