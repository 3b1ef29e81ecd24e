/* Arbitrary bytes as what the spool's log says. The first byte chooses: a head, facts, or the payload of a large record.
 * What decodes is written again, and what was written decodes to the same. */
#include "mqtt/spool_record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { HEAD, FACTS, LARGE, KINDS, LEN_MAX = 256 * 1024 };

static void expect(bool holds)
{
    if (!holds)
        abort();
}

static bool same_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
    return a_len == b_len && (!a_len || memcmp(a, b, a_len) == 0);
}

/* Without a packet id to be recognised, or without properties, what would belong to them says nothing. */
static bool same_message(const struct spool_message *a, const struct spool_message *b)
{
    bool same = a->qos == b->qos && a->retain == b->retain && a->has_expiry == b->has_expiry &&
                a->expiry_s == b->expiry_s && a->born == b->born && a->from_session == b->from_session &&
                (!a->from_session || a->from_id == b->from_id) && a->target_count == b->target_count;
    if (!same || !same_bytes(a->topic, a->topic_len, b->topic, b->topic_len) ||
        !same_bytes(a->props, a->props_len, b->props, b->props_len))
        return false;
    return !a->props_len || (a->response_at == b->response_at && a->correlation_at == b->correlation_at &&
                             (a->response_at == SIZE_MAX || a->response_len == b->response_len) &&
                             (a->correlation_at == SIZE_MAX || a->correlation_len == b->correlation_len));
}

static bool same_target(const struct spool_target *a, const struct spool_target *b)
{
    return a->session == b->session && a->index == b->index && a->qos == b->qos && a->retain == b->retain &&
           a->received == b->received &&
           same_bytes(a->ids, a->id_count * sizeof *a->ids, b->ids, b->id_count * sizeof *b->ids);
}

static void expect_places(const struct spool_message *message)
{
    expect(message->response_at == SIZE_MAX ||
           message->response_at + message->response_len <= message->props_len);
    expect(message->correlation_at == SIZE_MAX ||
           message->correlation_at + message->correlation_len <= message->props_len);
}

/* The targets as they are written; *r is what the last one said. */
static uint8_t *write_targets(const struct spool_message *message, size_t *len, int *r)
{
    struct spool_target target;
    uint32_t ids[UINT8_MAX];
    uint8_t *out = NULL;
    size_t size = *len = 0;
    for (size_t at = 0; (*r = spool_target_next(message, &at, &target, ids)) > 0;) {
        size_t max = spool_target_max(&target);
        if (*len + max > size) {
            size = 2 * (*len + max);
            out = realloc(out, size);
            expect(out != NULL);
        }
        size_t n = spool_put_target(out + *len, &target);
        expect(n <= max);
        *len += n;
    }
    return out;
}

static void expect_same_targets(const struct spool_message *message, const struct spool_message *again)
{
    struct spool_target a, b;
    uint32_t a_ids[UINT8_MAX], b_ids[UINT8_MAX];
    size_t at = 0, again_at = 0;
    while (spool_target_next(message, &at, &a, a_ids) > 0) {
        expect(spool_target_next(again, &again_at, &b, b_ids) == 1);
        expect(same_target(&a, &b));
    }
    expect(spool_target_next(again, &again_at, &b, b_ids) == 0);
}

static void try_head(const uint8_t *bytes, size_t len)
{
    struct spool_message message, again;
    if (spool_get_head(&message, bytes, len) < 0)
        return;
    expect_places(&message);
    size_t targets_len;
    int r;
    uint8_t *targets = write_targets(&message, &targets_len, &r);
    size_t max = spool_head_max(&message) + targets_len;
    uint8_t *head = malloc(max);
    expect(head != NULL);
    size_t n = spool_put_head(head, &message, targets, targets_len);
    expect(n <= max);
    expect(spool_get_head(&again, head, n) == 0);
    expect(same_message(&message, &again));
    expect_same_targets(&message, &again);
    free(targets);
    free(head);
}

static void try_facts(const uint8_t *bytes, size_t len)
{
    enum spool_fact fact, fact_again;
    uint64_t session, value, session_again, value_again;
    for (size_t at = 0; spool_fact_next(bytes, len, &at, &fact, &session, &value) > 0;) {
        uint8_t out[SPOOL_FACT_MAX];
        size_t n = spool_put_fact(out, fact, session, value), out_at = 0;
        expect(n <= sizeof out);
        expect(spool_fact_next(out, n, &out_at, &fact_again, &session_again, &value_again) == 1);
        expect(fact == fact_again && session == session_again && value == value_again && out_at == n);
    }
}

static void try_large(const uint8_t *bytes, size_t len)
{
    uint64_t head_len;
    size_t n = spool_get_number(bytes, len, &head_len);
    expect(n <= len);
    if (n && head_len <= len - n)
        try_head(bytes + n, (size_t)head_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (!len || len > LEN_MAX)
        return 0;
    uint8_t *bytes = malloc(len - 1 + (len == 1)); /* exactly as long, for the sanitizer */
    expect(bytes != NULL);
    memcpy(bytes, data + 1, len - 1);
    switch (*data % KINDS) {
    case HEAD: try_head(bytes, len - 1); break;
    case FACTS: try_facts(bytes, len - 1); break;
    case LARGE: try_large(bytes, len - 1); break;
    default: break;
    }
    free(bytes);
    return 0;
}
