#include "mqtt/swordfish.h"

#include "identity/principal.h"
#include "wire/mqtt.h"

#include <string.h>

static bool is(const uint8_t *data, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(data, word, len) == 0;
}

static int ask(struct auth_answer *answer, const char *question)
{
    answer->len = strlen(question);
    answer->data = (uint8_t *)str_copy(question);
    return AUTH_CONTINUE;
}

static int step(struct authenticator *authenticator, void **state, const uint8_t *data, size_t len,
                struct auth_answer *answer)
{
    (void)authenticator;
    if (!*state) {
        *state = mem_new(int);
        return ask(answer, "the word?");
    }
    if (is(data, len, "ask again"))
        return ask(answer, "once more?");
    if (!is(data, len, "swordfish"))
        return WIRE_NOT_AUTHORIZED;
    answer->principal = principal_new_unlimited(PRINCIPAL_OPEN, "who knows the word");
    return AUTH_DONE;
}

static void forget(struct authenticator *authenticator, void *state)
{
    (void)authenticator;
    free(state);
}

struct authenticator swordfish = {.method = "swordfish", .step = step, .forget = forget};
