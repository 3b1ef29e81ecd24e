/* Identities, codes, QR texts, documents and topics of pairing: the first byte says which. */
#include "services/pairing/pair_text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    char *text = malloc(size); /* exactly as long: a read beyond it is seen */
    if (!text)
        return 0;
    size_t len = size - 1;
    memcpy(text, data + 1, len);
    struct pair_identity identity;
    struct pair_qr qr;
    struct pair_hello hello;
    char code[PAIR_CODE_CHARS + 1], check, word[PAIR_WORD_MAX + 1], serial[PAIR_SERIAL_MAX + 1];
    switch (*data % 7) {
    case 0:
        if (pair_identity_read(text, len, &identity)) {
            must(pair_serial_is_valid(identity.serial, strlen(identity.serial)));
            must((identity.role == PAIR_ROLE_NODE) == (identity.generation > 0));
        }
        break;
    case 1:
        if (pair_code_read(text, len, code, &check))
            must(strlen(code) == PAIR_CODE_CHARS && check);
        break;
    case 2:
        if (pair_qr_read(text, len, &qr))
            must(qr.model + qr.model_len <= text + len && qr.code_len);
        break;
    case 3:
        if (!pair_hello_read(text, len, &hello))
            must(strlen(hello.model) <= PAIR_WORD_MAX && strlen(hello.firmware) <= PAIR_WORD_MAX);
        break;
    case 4: must(pair_commit_read(text, len) >= 0); break;
    case 5: pair_refuse_read(text, len, word); break;
    default:
        if (pair_topic_serial(text, len, serial))
            must(pair_serial_is_valid(serial, strlen(serial)));
        break;
    }
    free(text);
    return 0;
}
