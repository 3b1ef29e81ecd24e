#include "net/psk_gate.h"

#include <string.h>
#include <sys/socket.h>

bool psk_identity_is_valid(const char *identity, size_t len)
{
    bool valid = len >= 1 && len <= PSK_IDENTITY_MAX;
    for (size_t i = 0; valid && i < len; i++) {
        char c = identity[i];
        valid = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' ||
                c == '_' || c == '-';
    }
    return valid;
}

/* ---- counting ------------------------------------------------------------------------------------------------------ */

/* Addresses and identities are in one list: an address begins with its length, which no identity does. */
static size_t who_of_address(char who[PSK_IDENTITY_MAX + 1], const struct address *from)
{
    size_t len = from->family == AF_INET ? 4 : from->family == AF_INET6 ? 8 : 0;
    who[0] = (char)len;
    memcpy(who + 1, &from->in6, len); /* or the IPv4 one at the same place */
    return len + 1;
}

static bool is_over(const struct psk_gate *gate, const struct psk_failures *failures)
{
    return !failures->since || loop_now(gate->loop) - failures->since >= PSK_GATE_WINDOW;
}

static struct psk_failures *find(struct psk_gate *gate, const char *who, size_t len)
{
    for (size_t i = 0; i < PSK_GATE_COUNTED; i++) {
        struct psk_failures *failures = &gate->failures[i];
        if (failures->len == len && memcmp(failures->who, who, len) == 0 && !is_over(gate, failures))
            return failures;
    }
    return NULL;
}

static struct psk_failures *oldest(struct psk_gate *gate)
{
    struct psk_failures *found = gate->failures;
    for (size_t i = 1; i < PSK_GATE_COUNTED; i++)
        if (gate->failures[i].since < found->since)
            found = &gate->failures[i];
    return found;
}

static void count(struct psk_gate *gate, const char *who, size_t len)
{
    struct psk_failures *failures = find(gate, who, len);
    if (!failures) {
        failures = oldest(gate);
        *failures = (struct psk_failures){.since = loop_now(gate->loop), .len = (uint8_t)len};
        failures->since += !failures->since; /* 0 says that nobody is there */
        memcpy(failures->who, who, len);
    }
    failures->count++;
}

static bool has_failed_often(struct psk_gate *gate, const char *who, size_t len)
{
    const struct psk_failures *failures = find(gate, who, len);
    return failures && failures->count >= PSK_GATE_FAILURES - 1; /* the next would be the fifth */
}

/* ---- what TLS asks ---------------------------------------------------------------------------------------------------- */

static struct psk_gate *gate_of(struct tls_psk *psk)
{
    return container_of(psk, struct psk_gate, tls);
}

static bool on_find(struct tls_psk *psk, const char *identity, uint8_t key[TLS_PSK_KEY_BYTES])
{
    struct psk_gate *gate = gate_of(psk);
    return gate->keys->find(gate->keys, identity, key);
}

static bool on_must_wait(struct tls_psk *psk, const char *identity, const struct address *from)
{
    struct psk_gate *gate = gate_of(psk);
    char who[PSK_IDENTITY_MAX + 1];
    return has_failed_often(gate, who, who_of_address(who, from)) ||
           (identity && has_failed_often(gate, identity, strlen(identity)));
}

static void on_tried(struct tls_psk *psk, const char *identity, const struct address *from, bool known,
                     bool good)
{
    struct psk_gate *gate = gate_of(psk);
    char who[PSK_IDENTITY_MAX + 1];
    if (!good) {
        count(gate, who, who_of_address(who, from));
        if (identity)
            count(gate, identity, strlen(identity));
    } else if (identity) {
        struct psk_failures *failures = find(gate, identity, strlen(identity));
        if (failures)
            *failures = (struct psk_failures){0};
    }
    if (identity)
        gate->keys->tried(gate->keys, identity, from, known, good);
}

static void on_gone(struct tls_psk *psk)
{
    (void)psk_gate_free(gate_of(psk));
}

struct psk_gate *psk_gate_new(struct loop *loop, struct psk_keys *keys)
{
    struct psk_gate *gate = mem_new(struct psk_gate);
    gate->tls =
        (struct tls_psk){.find = on_find, .must_wait = on_must_wait, .tried = on_tried, .gone = on_gone};
    gate->loop = loop;
    gate->keys = keys;
    return gate;
}

struct psk_gate *psk_gate_free(struct psk_gate *gate)
{
    free(gate);
    return NULL;
}
