/* What people and nodes say when a node is paired: sticker codes, QR texts, identities, documents. Pure functions.
 *
 *      sticker    QTH5-GKR5-WXFC-1V1Z            15 characters and one to check them
 *      QR         GHN1:SERIAL:CODE:MODEL
 *      identity   pair:SERIAL   n:SERIAL:GENERATION   cable:SERIAL (not over a network)
 */
#pragma once

#include "base/base.h"

enum {
    PAIR_SERIAL_MAX = 24,
    PAIR_CODE_CHARS = 15, /* without the one that checks them */
    PAIR_KEY_BYTES = 32,
    PAIR_WORD_MAX = 32, /* model, firmware, a reason */
    PAIR_IDENTITY_MAX = 64,
    PAIR_DOCUMENT_MAX = 1024,
};

/* 1 to 24 letters, digits, '_' and '-'. */
bool pair_serial_is_valid(const char *serial, size_t len);

/* Reads a code as a person types it: case is ignored, hyphens and blanks dropped, O is 0, I and L are 1. Gives the 15 characters
 * (terminated) and the one behind them. False: that is not 16 characters of the alphabet. */
bool pair_code_read(const char *text, size_t len, char code[PAIR_CODE_CHARS + 1], char *check);
/* The character that checks the 15, of the SHA-256 of "gh-code|" and them: its first byte. */
char pair_code_check(uint8_t first_byte);
/* What goes into SHA-256 for that, and the salt of scrypt; terminated. */
enum { PAIR_CODE_HASHED = 8 + PAIR_CODE_CHARS, PAIR_SALT_MAX = 11 + PAIR_SERIAL_MAX };
void pair_code_hashed(const char code[PAIR_CODE_CHARS + 1], char ret[PAIR_CODE_HASHED + 1]);
size_t pair_salt(const char *serial, char ret[PAIR_SALT_MAX + 1]);

/* Parts of a QR text, not terminated. */
struct pair_qr {
    const char *serial, *code, *model;
    size_t serial_len, code_len, model_len;
};
bool pair_qr_read(const char *text, size_t len, struct pair_qr *ret);

enum pair_role { PAIR_ROLE_PAIRING, PAIR_ROLE_NODE, PAIR_ROLE_CABLE };
struct pair_identity {
    enum pair_role role;
    char serial[PAIR_SERIAL_MAX + 1];
    int64_t generation; /* of a node */
};
bool pair_identity_read(const char *text, size_t len, struct pair_identity *ret);

/* gh/pair/SERIAL/hello, as far as we want it. "" for a word that is not said. */
struct pair_hello {
    char model[PAIR_WORD_MAX + 1], firmware[PAIR_WORD_MAX + 1];
};
/* NULL, or what was expected. Of the payload. */
const char *pair_hello_read(const char *text, size_t len, struct pair_hello *ret);
/* …/commit: the generation; 0: it is none. */
int64_t pair_commit_read(const char *text, size_t len);
/* …/refuse: why, "" when nothing is said that could be repeated. */
void pair_refuse_read(const char *text, size_t len, char reason[PAIR_WORD_MAX + 1]);

/* The serial in gh/pair/SERIAL/…; false: there is none that is valid. */
bool pair_topic_serial(const char *topic, size_t len, char serial[PAIR_SERIAL_MAX + 1]);
