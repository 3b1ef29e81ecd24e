/* Rows of state.db: templates, tokens, the registration code. What is written settles the receipt when it is on disk. */
#pragma once

#include "base/receipt.h"
#include "store/store.h"

struct provision_template_row {
    struct provision_template_row *next;
    char *name, *description, *body, *hook;
    int kind;
    bool enabled;
    uint32_t version;
    int64_t created_ms, modified_ms;
};

struct provision_token_row {
    struct provision_token_row *next;
    char *token, *certificate, *claimant, *template, *thing; /* template, thing: NULL, not used yet */
    int64_t expires_ms;
};

/* What there is, tokens in order of their end. The caller's to free. */
struct provision_load {
    struct provision_template_row *templates;
    struct provision_token_row *tokens;
    char *code; /* NULL: none */
};
/* For store_run_now(). */
int provision_store_load(struct store_db *db, void *load) must_check;

/* The texts are copied. */
void provision_store_put_template(struct store *store, const struct provision_template_row *row,
                                  struct receipt *receipt);
void provision_store_delete_template(struct store *store, const char *name, struct receipt *receipt);
void provision_store_put_token(struct store *store, const struct provision_token_row *row,
                               struct receipt *receipt);
void provision_store_delete_token(struct store *store, const char *token, struct receipt *receipt);
void provision_store_put_code(struct store *store, const char *code, struct receipt *receipt);
