/* What is known about who asks: the values of the keys that policies speak of.
 *
 *      iot:ClientId                           press-07
 *      iot:Connection.Thing.Attributes[hall]  7
 *      iot:Certificate.Subject.Organization   Plant A, Plant B          ....0  ....1  ....List
 *      iot:ConnectAttributes                  (known, and empty)
 *
 * Made once for a connection and made anew when the registry's data changes; HTTP requests have one without a client id
 * and without a thing. Keys are compared without regard to case (ASCII).
 *
 * A certificate's field may have several values, of which five count: the plain name is the first, and so is `.0`; `.1` is
 * the second; `.List` is all of them. Other keys are sets as a whole.
 */
#pragma once

#include "base/base.h"

struct policy_text {
    const char *text;
    size_t len;
};

/* Equal but for the case of ASCII letters, whatever the locale; U+0000 is a character. */
bool policy_same(const char *a, size_t a_len, const char *b, size_t b_len);

enum policy_key_kind {
    POLICY_KEY_PLAIN,
    POLICY_KEY_CERTIFICATE, /* iot:Certificate.… of a certificate's names */
    POLICY_KEY_TIME,        /* aws:CurrentTime: of the request, not of the context; ISO 8601 */
    POLICY_KEY_EPOCH,       /* aws:EpochTime: the same, in seconds */
};

enum { POLICY_WHOLE_LIST = -1, POLICY_CERTIFICATE_VALUES_MAX = 5, POLICY_SUBSTITUTE_MAX = 1024 };

/* A key as a policy names it, ready to be looked up. */
struct policy_key {
    struct policy_text name; /* as written */
    uint32_t base_len;       /* of it without .0, .List, … */
    uint32_t hash;           /* of that */
    int index;               /* which value; POLICY_WHOLE_LIST */
    enum policy_key_kind kind;
};

/* The text is not copied. */
struct policy_key policy_key_of(const char *text, size_t len);
bool policy_key_equal(const struct policy_key *a, const struct policy_key *b);
/* Whether the gateway ever gives a value to such a key; lint asks. */
bool policy_key_is_known(const struct policy_key *key);

struct policy_field {
    struct policy_text name;
    uint32_t hash;
    uint32_t count, size;
    struct policy_text *values;
};

/* A kilobyte or so: there is one for each connection. */
struct policy_context {
    struct policy_field *fields;
    size_t count, size;
    const char *place;
    size_t place_len;
};

/* What resources of this gateway begin with, when `place` is NULL. */
#define POLICY_PLACE "arn:aws:iot:local:000000000000:"

/* place: "arn:PARTITION:iot:REGION:ACCOUNT:", not copied. */
void policy_context_init(struct policy_context *context, const char *place);
void policy_context_done(struct policy_context *context);

/* One more value for a key; both are copied. A certificate's field appears in iot:Certificate.AvailableKeys, too. */
void policy_context_add(struct policy_context *context, const char *key, const char *value, size_t len);
/* A key that is known though it has no value: iot:ConnectAttributes of a plain connection. */
void policy_context_add_key(struct policy_context *context, const char *key);

/* The values that a condition sees: none when the key is missing or has none. Not for keys of time. */
size_t policy_context_values(const struct policy_context *context, const struct policy_key *key,
                             const struct policy_text **ret);
/* What is put in place of ${key}. False: it stays unresolved, because it has no value, or one of more than 1,024
 * characters, or because a certificate's value has one of * $ + ? # in it. */
bool policy_context_substitute(const struct policy_context *context, const struct policy_key *key,
                               struct policy_text *ret);
