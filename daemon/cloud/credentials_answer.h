/* What AWS IoT's credential provider answers: temporary credentials, or why there are none. Pure: every byte is the server's.
 *
 *      200 {"credentials":{"accessKeyId":"ASIA…","secretAccessKey":"…","sessionToken":"…","expiration":"2026-01-18T09:18:06Z"}}
 *      403 {"message":"…"}
 */
#pragma once

#include "base/base.h"

enum { CREDENTIALS_ANSWER_MAX = 32 * 1024, CREDENTIALS_TEXT_MAX = 8192, CREDENTIALS_WHY_BYTES = 200 };

struct credentials {
    char *access_key, *secret_key, *token;
    char expiration[24]; /* as it was sent */
    int64_t ends;        /* the same, ms since 1970 */
};

/* 0, or -EINVAL and what was expected. */
int credentials_parse(struct credentials *ret, const char *body, size_t len, char why[CREDENTIALS_WHY_BYTES])
    must_check;
void credentials_done(struct credentials *credentials); /* they are wiped */

/* The server's sentence in a refusal, printable; "" when it says none. */
void credentials_refusal(char ret[CREDENTIALS_WHY_BYTES], const char *body, size_t len);

/* 2026-01-18T09:18:06Z in ms since 1970; -1: it is none. */
int64_t credentials_time(const char *text, size_t len);

/* After how many ms they are asked for again, of so many that they are good for: when a tenth of it or five minutes are left, whichever
 * is earlier, less a twentieth by chance (random: any number), and never before half of it. */
int64_t credentials_renew_after(int64_t life, uint32_t random);
