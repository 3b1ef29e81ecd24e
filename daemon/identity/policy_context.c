/* A list of fields, found by hash and name: a connection has a dozen or two, and a decision that is remembered looks at
 * none. */
#include "identity/policy_context.h"

#include <string.h>

#define CERTIFICATE    "iot:Certificate."
#define AVAILABLE_KEYS "iot:Certificate.AvailableKeys"
#define SERIAL_NUMBER  "iot:Certificate.SerialNumber"

/* ---- keys ----------------------------------------------------------------------------------------------------------- */

static uint8_t small(char c)
{
    return (uint8_t)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool policy_same(const char *a, size_t a_len, const char *b, size_t b_len)
{
    if (a_len != b_len)
        return false;
    for (size_t i = 0; i < a_len; i++)
        if (small(a[i]) != small(b[i]))
            return false;
    return true;
}

static uint32_t hash_of(const char *text, size_t len)
{
    uint32_t hash =
        2166136261u; /* FNV-1a, of small letters; what is hashed here is written by administrators */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ small(text[i])) * 16777619u;
    return hash;
}

static bool is(const char *text, size_t len, const char *what)
{
    return policy_same(text, len, what, strlen(what));
}

static bool begins(const char *text, size_t len, const char *what)
{
    size_t what_len = strlen(what);
    return len >= what_len && policy_same(text, what_len, what, what_len);
}

static bool is_certificate_field(const char *text, size_t len)
{
    return begins(text, len, CERTIFICATE) && !is(text, len, AVAILABLE_KEYS);
}

struct policy_key policy_key_of(const char *text, size_t len)
{
    struct policy_key key = {.name = {text, len}, .index = POLICY_WHOLE_LIST};
    key.base_len = (uint32_t)len;
    if (is(text, len, "aws:CurrentTime")) {
        key.kind = POLICY_KEY_TIME;
    } else if (is(text, len, "aws:EpochTime")) {
        key.kind = POLICY_KEY_EPOCH;
    } else if (is_certificate_field(text, len)) {
        key.kind = POLICY_KEY_CERTIFICATE;
        key.index = 0;
        if (len > 5 && is(text + len - 5, 5, ".List")) {
            key.index = POLICY_WHOLE_LIST;
            key.base_len -= 5;
        } else if (len > 2 && text[len - 2] == '.' && text[len - 1] >= '0' && text[len - 1] <= '9') {
            key.index = text[len - 1] - '0';
            key.base_len -= 2;
        }
    }
    key.hash = hash_of(text, key.base_len);
    return key;
}

bool policy_key_equal(const struct policy_key *a, const struct policy_key *b)
{
    return a->hash == b->hash && a->index == b->index &&
           policy_same(a->name.text, a->base_len, b->name.text, b->base_len);
}

static const char *const known_keys[] = {
    "iot:ClientId",
    "aws:SourceIp",
    "iot:DomainName",
    "iot:CertificateId",
    "iot:Connection.Thing.ThingName",
    "iot:Connection.Thing.ThingTypeName",
    "iot:Connection.Thing.IsAttached",
    "iot:ConnectAttributes",
    "iot:LastWillTopic",
    "iot:IncludeSocketInformation",
    "aws:CurrentTime",
    "aws:EpochTime",
    AVAILABLE_KEYS,
    SERIAL_NUMBER,
};

static const char *const certificate_names[] = {
    "DistinguishedNameQualifier",
    "Country",
    "Organization",
    "OrganizationalUnit",
    "State",
    "CommonName",
    "SerialNumber",
    "Title",
    "Surname",
    "GivenName",
    "Initials",
    "Pseudonym",
    "GenerationQualifier",
    "AlternativeName.RFC822Name",
    "AlternativeName.DNSName",
    "AlternativeName.DirectoryName",
    "AlternativeName.UniformResourceIdentifier",
    "AlternativeName.IPAddress",
};

bool policy_key_is_known(const struct policy_key *key)
{
    static const char *const owners[] = {CERTIFICATE "Subject.", CERTIFICATE "Issuer."};
    static const char attributes[] = "iot:Connection.Thing.Attributes[";
    const char *text = key->name.text;
    size_t len = key->base_len;
    for (size_t i = 0; i < array_size(known_keys); i++)
        if (is(text, len, known_keys[i]))
            return true;
    if (begins(text, len, attributes))
        return len > sizeof attributes && text[len - 1] == ']';
    for (size_t k = 0; k < array_size(owners); k++) {
        size_t owner_len = strlen(owners[k]);
        for (size_t i = 0; begins(text, len, owners[k]) && i < array_size(certificate_names); i++)
            if (is(text + owner_len, len - owner_len, certificate_names[i]))
                return key->index < POLICY_CERTIFICATE_VALUES_MAX;
    }
    return false;
}

/* ---- the context ---------------------------------------------------------------------------------------------------- */

void policy_context_init(struct policy_context *context, const char *place)
{
    *context = (struct policy_context){.place = place ? place : POLICY_PLACE};
    context->place_len = strlen(context->place);
}

void policy_context_done(struct policy_context *context)
{
    for (size_t i = 0; i < context->count; i++) {
        struct policy_field *field = &context->fields[i];
        for (uint32_t k = 0; k < field->count; k++)
            free((char *)field->values[k].text);
        free(field->values);
        free((char *)field->name.text);
    }
    free(context->fields);
    *context = (struct policy_context){0};
}

/* A list that is full becomes twice as long. */
static void *longer(void *list, size_t size, size_t new_size)
{
    void *bytes = mem_new_bytes(new_size);
    if (size)
        memcpy(bytes, list, size);
    free(list);
    return bytes;
}

static struct policy_text copy_of(const char *text, size_t len)
{
    char *copy = mem_new_bytes(len + 1);
    if (len)
        memcpy(copy, text, len);
    return (struct policy_text){copy, len};
}

static struct policy_field *find(const struct policy_context *context, const char *text, size_t len,
                                 uint32_t hash)
{
    for (size_t i = 0; i < context->count; i++) {
        struct policy_field *field = &context->fields[i];
        if (field->hash == hash && policy_same(field->name.text, field->name.len, text, len))
            return field;
    }
    return NULL;
}

static struct policy_field *field_of(struct policy_context *context, const char *key)
{
    size_t len = strlen(key);
    uint32_t hash = hash_of(key, len);
    struct policy_field *field = find(context, key, len, hash);
    if (field)
        return field;
    if (context->count == context->size) {
        size_t size = context->size ? 2 * context->size : 8;
        context->fields = longer(context->fields, context->size * sizeof *field, size * sizeof *field);
        context->size = size;
    }
    field = &context->fields[context->count++];
    *field = (struct policy_field){.name = copy_of(key, len), .hash = hash};
    return field;
}

static void add(struct policy_context *context, const char *key, const char *value, size_t len)
{
    struct policy_field *field = field_of(context, key);
    if (field->count == field->size) {
        uint32_t size = field->size ? 2 * field->size : 1;
        field->values =
            longer(field->values, field->size * sizeof *field->values, size * sizeof *field->values);
        field->size = size;
    }
    field->values[field->count++] = copy_of(value, len);
}

void policy_context_add(struct policy_context *context, const char *key, const char *value, size_t len)
{
    size_t key_len = strlen(key);
    if (is_certificate_field(key, key_len) && !find(context, key, key_len, hash_of(key, key_len)))
        add(context, AVAILABLE_KEYS, key, key_len);
    add(context, key, value, len);
}

void policy_context_add_key(struct policy_context *context, const char *key)
{
    (void)field_of(context, key);
}

size_t policy_context_values(const struct policy_context *context, const struct policy_key *key,
                             const struct policy_text **ret)
{
    const struct policy_field *field = find(context, key->name.text, key->base_len, key->hash);
    size_t count = field ? field->count : 0;
    if (key->kind == POLICY_KEY_CERTIFICATE)
        count = size_min(count, POLICY_CERTIFICATE_VALUES_MAX);
    if (key->index == POLICY_WHOLE_LIST) {
        *ret = count ? field->values : NULL;
        return count;
    }
    bool there = (size_t)key->index < count;
    *ret = there ? &field->values[key->index] : NULL;
    return there;
}

static size_t characters(const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((uint8_t)text[i] & 0xC0) != 0x80;
    return n;
}

bool policy_context_substitute(const struct policy_context *context, const struct policy_key *key,
                               struct policy_text *ret)
{
    const struct policy_text *values;
    if (!policy_context_values(context, key, &values))
        return false;
    if (values->len > POLICY_SUBSTITUTE_MAX && characters(values->text, values->len) > POLICY_SUBSTITUTE_MAX)
        return false;
    if (key->kind == POLICY_KEY_CERTIFICATE)
        for (size_t i = 0; i < values->len; i++)
            if (values->text[i] && strchr("*$+?#", values->text[i]))
                return false;
    *ret = *values;
    return true;
}
