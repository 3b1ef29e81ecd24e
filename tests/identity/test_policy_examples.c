/* The decision examples of the reference, from policy_examples.json: what AWS IoT policies decide, 1 to 113.
 *
 * Each block is a set of policies (their statements), what is known of who asks, and requests with their decisions. From 100
 * on they are situations: what of them policies decide is here, the rest is the broker's and the registry's. */
#include "policy_model.h"
#include "policy_rig.h"

#include "base/json_write.h"
#include "identity/policy_cache.h"

enum { EXAMPLES = 113 };

static struct arena arena;

static struct json *examples(void)
{
    size_t len;
    struct json *root;
    struct json_error error;
    arena_reset(&arena);
    char *text = policy_rig_read(POLICY_EXAMPLES, &len);
    char *kept = arena_copy(&arena, text, len);
    free(text);
    if (json_parse(&root, &arena, kept, len, &error) != 0)
        FAIL("%s:%u:%u: expected %s", POLICY_EXAMPLES, error.line, error.column, error.expected);
    return root;
}

static const char *text_of(const struct json *string)
{
    const char *text;
    CHECK(json_text(string, &arena, &text));
    return text;
}

static struct policy_rig *rig_of(const struct json *block)
{
    struct policy_rig *rig = policy_rig_new();
    json_for_each (statements, json_get(block, "policies"))
        policy_rig_add(rig, json_write(&arena, statements, NULL));
    json_for_each (key, json_get(block, "context")) {
        const char *name = arena_copy(&arena, key->key, key->key_len);
        policy_context_add_key(&rig->context, name);
        json_for_each (value, key)
            policy_context_add(&rig->context, name, value->text, value->len);
    }
    return rig;
}

TEST(the_examples_are_decided_as_the_reference_says)
{
    bool seen[EXAMPLES + 1] = {0};
    json_for_each (block, examples()) {
        cleanup(policy_rig_free_p) struct policy_rig *rig = rig_of(block);
        json_for_each (request, json_get(block, "requests")) {
            const struct json *action = request->first->next, *resource = action->next;
            int64_t number;
            CHECK(json_int(request->first, 1, EXAMPLES, &number));
            seen[number] = true;
            const char *decision = policy_rig_ask(rig, text_of(action), text_of(resource));
            if (!json_text_is(resource->next, decision))
                FAIL("%s, %d: %s on %s: %s", text_of(json_get(block, "title")), (int)number, text_of(action),
                     text_of(resource), decision);
            /* A statement decided, unless none applied. */
            CHECK_INT(rig->verdict.policy != NULL, rig->verdict.decision != POLICY_IMPLICIT_DENY);
        }
    }
    for (int i = 1; i <= EXAMPLES; i++)
        if (!seen[i])
            FAIL("example %d is missing", i);
    arena_done(&arena);
}

TEST(the_examples_are_decided_the_same_when_remembered)
{
    json_for_each (block, examples()) {
        cleanup(policy_rig_free_p) struct policy_rig *rig = rig_of(block);
        struct policy_cache cache;
        policy_cache_init(&cache, 4, 1024);
        for (int round = 0; round < 3; round++)
            json_for_each (row, json_get(block, "requests")) {
                struct policy_request request;
                const struct json *action = row->first->next;
                CHECK(policy_rig_request(&request, text_of(action), text_of(action->next)));
                enum policy_decision decision =
                    policy_cache_decide(&cache, 1, &rig->set, &rig->context, &request);
                CHECK(json_text_is(action->next->next, policy_decision_names[decision]));
            }
        policy_cache_clear(&cache);
    }
    arena_done(&arena);
}

TEST(the_model_decides_the_examples_as_well)
{
    json_for_each (block, examples()) {
        struct model_known known[MODEL_KNOWN_MAX];
        size_t known_count = 0;
        json_for_each (key, json_get(block, "context")) {
            struct model_known *row = &known[known_count++];
            *row = (struct model_known){.key = arena_copy(&arena, key->key, key->key_len)};
            json_for_each (value, key)
                row->values[row->count++] = text_of(value);
        }
        json_for_each (row, json_get(block, "requests")) {
            const struct json *action = row->first->next;
            const char *texts[RIG_POLICIES_MAX];
            size_t count = 0;
            json_for_each (statements, json_get(block, "policies"))
                texts[count++] = policy_rig_document(json_write(&arena, statements, NULL));
            const char *decision =
                model_decide(texts, count, known, known_count, text_of(action), text_of(action->next));
            if (!json_text_is(action->next->next, decision))
                FAIL("%s: %s on %s: %s", text_of(json_get(block, "title")), text_of(action),
                     text_of(action->next), decision);
            while (count)
                free((char *)texts[--count]);
        }
    }
    arena_done(&arena);
}
