#include "services/provision/provisioning.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* All tokens live equally long, so those that end first are at the front of a list. How long is counted by the loop's clock:
 * a gateway that starts in 1970 and then learns the time does not end all of them at once. After a restart the wall clock says
 * what is left, and if it says more than an hour it is wrong, and it is an hour. */

static void token_free(struct provision *provision, struct provision_token *token)
{
    map_remove(&provision->tokens, &token->key);
    list_remove(&token->link);
    free((char *)token->key.text);
    free(token->claimant);
    free(token->template);
    free(token->thing);
    free(token);
}

static void age(struct provision *provision)
{
    timer_stop(provision->loop, &provision->ageing);
    if (list_is_empty(&provision->ages))
        return;
    const struct provision_token *first = list_entry(provision->ages.next, struct provision_token, link);
    int64_t left = first->ends - loop_now(provision->loop);
    timer_start(provision->loop, &provision->ageing, left > 0 ? left : 0);
}

/* AWS IoT: a certificate that was neither activated nor attached to anything in that time is deleted. */
static void drop_certificate(struct provision *provision, const char *id)
{
    const struct registry_principal *principal = registry_principal(provision->registry, id);
    static const struct registry_by by = {.who = "provisioning"};
    if (!principal || principal->status != REGISTRY_PENDING_ACTIVATION || principal->thing_count ||
        principal->policy_count)
        return;
    int r = registry_principal_delete(provision->registry, id, false, &by);
    if (r != 0)
        log_warning("provisioning: certificate %s was not provisioned in time and cannot be deleted: %s", id,
                    registry_why(provision->registry));
    else
        log_notice("provisioning: certificate %s was not provisioned in time: deleted", id);
}

static void on_age(struct timer *timer)
{
    enum { BUSY_AGAIN = 10000 };
    struct provision *provision = container_of(timer, struct provision, ageing);
    int64_t now = loop_now(provision->loop);
    list_for_each_safe (link, &provision->ages) {
        struct provision_token *token = list_entry(link, struct provision_token, link);
        if (token->ends > now)
            break;
        if (token->busy) { /* its request ends soon */
            token->ends = now + BUSY_AGAIN;
            continue;
        }
        provision->counters.expired += !token->template;
        if (!token->template)
            drop_certificate(provision, token->certificate);
        provision_store_delete_token(provision->store, token->key.text, NULL);
        token_free(provision, token);
    }
    age(provision);
}

static struct provision_token *add(struct provision *provision, char *text, const char *certificate,
                                   const char *claimant, int64_t ends, int64_t expires_ms)
{
    struct provision_token *token = mem_new(struct provision_token);
    token->key = (struct map_key){.text = text, .len = (uint32_t)strlen(text)};
    token->claimant = str_copy(claimant);
    token->ends = ends;
    token->expires_ms = expires_ms;
    memcpy(token->certificate, certificate, size_min(strlen(certificate) + 1, sizeof token->certificate));
    token->certificate[sizeof token->certificate - 1] = '\0';
    map_put(&provision->tokens, &token->key);
    list_append(&provision->ages, &token->link);
    return token;
}

void provision_tokens_load(struct provision *provision, struct provision_token_row *rows)
{
    int64_t now = loop_now(provision->loop), wall = loop_wall(provision->loop);
    provision->ageing.fire = on_age;
    for (struct provision_token_row *row = rows, *next; row; row = next) {
        next = row->next;
        int64_t left = row->expires_ms - wall;
        left = left < 0 ? 0 : (left > PROVISION_TOKEN_MS ? PROVISION_TOKEN_MS : left);
        struct provision_token *token =
            add(provision, row->token, row->certificate, row->claimant, now + left, row->expires_ms);
        token->template = row->template;
        token->thing = row->thing;
        free(row->certificate);
        free(row->claimant);
        free(row);
    }
    age(provision);
}

void provision_tokens_done(struct provision *provision)
{
    timer_stop(provision->loop, &provision->ageing);
    list_for_each_safe (link, &provision->ages)
        token_free(provision, list_entry(link, struct provision_token, link));
    map_done(&provision->tokens);
}

/* base64url [RFC 4648], without padding. */
static char *new_text(void)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t bytes[33] = {0};
    char *text = mem_new_bytes(PROVISION_TOKEN_CHARS + 2);
    if (getrandom(bytes, 32, 0) != 32)
        abort(); /* cannot be: the pool is ready when daemons are started */
    for (unsigned i = 0; i < sizeof bytes; i += 3) {
        uint32_t bits = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (unsigned k = 0; k < 4; k++)
            text[i / 3 * 4 + k] = digits[bits >> (18 - 6 * k) & 63];
    }
    text[PROVISION_TOKEN_CHARS] = '\0';
    return text;
}

static void store(struct provision *provision, const struct provision_token *token, struct receipt *receipt)
{
    const struct provision_token_row row = {
        .token = (char *)token->key.text,
        .certificate = (char *)token->certificate,
        .claimant = token->claimant,
        .template = token->template,
        .thing = token->thing,
        .expires_ms = token->expires_ms,
    };
    provision_store_put_token(provision->store, &row, receipt);
}

struct provision_token *provision_token_new(struct provision *provision, const char *certificate,
                                            const char *claimant, struct receipt *receipt)
{
    struct provision_token *token =
        add(provision, new_text(), certificate, claimant, loop_now(provision->loop) + PROVISION_TOKEN_MS,
            loop_wall(provision->loop) + PROVISION_TOKEN_MS);
    store(provision, token, receipt);
    if (!timer_is_running(&provision->ageing))
        age(provision);
    return token;
}

struct provision_token *provision_token_find(struct provision *provision, const struct json *text,
                                             const char *claimant)
{
    struct map_key *key = map_get(&provision->tokens, text->text, text->len);
    struct provision_token *token = key ? container_of(key, struct provision_token, key) : NULL;
    return token && strcmp(token->claimant, claimant) == 0 ? token : NULL;
}

void provision_token_used(struct provision *provision, struct provision_token *token, const char *template,
                          const char *thing, struct receipt *receipt)
{
    token->template = str_copy(template);
    token->thing = str_copy(thing);
    store(provision, token, receipt);
}

void provision_token_undo(struct provision *provision, struct provision_token *token)
{
    if (!token->template) {
        token_free(provision, token);
        age(provision);
        return;
    }
    free(steal(token->template));
    free(steal(token->thing));
}
