#include "services/provision/provision_store.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static char *column(sqlite3_stmt *st, int i)
{
    return str_copy((const char *)sqlite3_column_text(st, i));
}

static int load_templates(struct store_db *db, struct provision_load *load)
{
    sqlite3_stmt *st =
        store_statement(db, "SELECT name, kind, description, body, enabled, hook, version, created, "
                            "modified FROM provisioning_template");
    int r;
    while ((r = store_step(db, st)) > 0) {
        struct provision_template_row *row = mem_new(struct provision_template_row);
        *row = (struct provision_template_row){
            .next = load->templates,
            .name = column(st, 0),
            .kind = sqlite3_column_int(st, 1),
            .description = column(st, 2),
            .body = column(st, 3),
            .enabled = sqlite3_column_int(st, 4) != 0,
            .hook = column(st, 5),
            .version = (uint32_t)sqlite3_column_int64(st, 6),
            .created_ms = sqlite3_column_int64(st, 7),
            .modified_ms = sqlite3_column_int64(st, 8),
        };
        load->templates = row;
    }
    return r;
}

static int load_tokens(struct store_db *db, struct provision_load *load)
{
    /* Backwards: the last one read is the first in the list. */
    sqlite3_stmt *st = store_statement(db, "SELECT token, certificate, claimant, expires, template, thing "
                                           "FROM provisioning_token ORDER BY expires DESC");
    int r;
    while ((r = store_step(db, st)) > 0) {
        struct provision_token_row *row = mem_new(struct provision_token_row);
        *row = (struct provision_token_row){
            .next = load->tokens,
            .token = column(st, 0),
            .certificate = column(st, 1),
            .claimant = column(st, 2),
            .expires_ms = sqlite3_column_int64(st, 3),
            .template = column(st, 4),
            .thing = column(st, 5),
        };
        load->tokens = row;
    }
    return r;
}

int provision_store_load(struct store_db *db, void *arg)
{
    struct provision_load *load = arg;
    int r = load_templates(db, load);
    if (r == 0)
        r = load_tokens(db, load);
    if (r != 0)
        return r;
    sqlite3_stmt *st = store_statement(db, "SELECT code FROM registration_code");
    r = store_step(db, st);
    if (r > 0)
        load->code = column(st, 0);
    return r < 0 ? r : 0;
}

/* ---- writing -------------------------------------------------------------------------------------------------------- */

struct write {
    struct work work;
    int (*write)(struct store_db *db, const struct write *write);
    struct receipt *receipt;
    struct provision_template_row template;
    struct provision_token_row token;
};

static void write_run(struct work *work, void *db)
{
    const struct write *write = container_of(work, struct write, work);
    work->r = write->write(db, write);
}

static void write_done(struct work *work)
{
    struct write *write = container_of(work, struct write, work);
    if (work->r < 0)
        log_error("state.db: provisioning: %s", strerror(-work->r));
    receipt_settle(write->receipt, work->r);
    free(write->template.name);
    free(write->template.description);
    free(write->template.body);
    free(write->template.hook);
    free(write->token.token);
    free(write->token.certificate);
    free(write->token.claimant);
    free(write->token.template);
    free(write->token.thing);
    free(write);
}

static void submit(struct store *store, const struct write *write, struct receipt *receipt)
{
    struct write *copy = mem_new(struct write);
    *copy = *write;
    copy->work = (struct work){.run = write_run, .done = write_done};
    copy->receipt = receipt;
    receipt_hold(receipt);
    store_submit(store, &copy->work);
}

static void bind_text(sqlite3_stmt *st, int i, const char *text)
{
    if (text)
        (void)sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC);
    else
        (void)sqlite3_bind_null(st, i);
}

static int put_template(struct store_db *db, const struct write *write)
{
    const struct provision_template_row *row = &write->template;
    sqlite3_stmt *st = store_statement(
        db, "INSERT OR REPLACE INTO provisioning_template (name, kind, description, body, enabled, "
            "hook, version, created, modified) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    bind_text(st, 1, row->name);
    (void)sqlite3_bind_int(st, 2, row->kind);
    bind_text(st, 3, row->description);
    bind_text(st, 4, row->body);
    (void)sqlite3_bind_int(st, 5, row->enabled);
    bind_text(st, 6, row->hook);
    (void)sqlite3_bind_int64(st, 7, row->version);
    (void)sqlite3_bind_int64(st, 8, row->created_ms);
    (void)sqlite3_bind_int64(st, 9, row->modified_ms);
    return store_execute(db, st);
}

void provision_store_put_template(struct store *store, const struct provision_template_row *row,
                                  struct receipt *receipt)
{
    struct write write = {.write = put_template, .template = *row};
    write.template.name = str_copy(row->name);
    write.template.description = str_copy(row->description);
    write.template.body = str_copy(row->body);
    write.template.hook = str_copy(row->hook);
    submit(store, &write, receipt);
}

static int delete_template(struct store_db *db, const struct write *write)
{
    sqlite3_stmt *st = store_statement(db, "DELETE FROM provisioning_template WHERE name = ?1");
    bind_text(st, 1, write->template.name);
    return store_execute(db, st);
}

void provision_store_delete_template(struct store *store, const char *name, struct receipt *receipt)
{
    submit(store, &(struct write){.write = delete_template, .template.name = str_copy(name)}, receipt);
}

static int put_token(struct store_db *db, const struct write *write)
{
    const struct provision_token_row *row = &write->token;
    sqlite3_stmt *st = store_statement(
        db, "INSERT OR REPLACE INTO provisioning_token (token, certificate, claimant, expires, "
            "template, thing) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    bind_text(st, 1, row->token);
    bind_text(st, 2, row->certificate);
    bind_text(st, 3, row->claimant);
    (void)sqlite3_bind_int64(st, 4, row->expires_ms);
    bind_text(st, 5, row->template);
    bind_text(st, 6, row->thing);
    return store_execute(db, st);
}

void provision_store_put_token(struct store *store, const struct provision_token_row *row,
                               struct receipt *receipt)
{
    struct write write = {.write = put_token, .token = *row};
    write.token.token = str_copy(row->token);
    write.token.certificate = str_copy(row->certificate);
    write.token.claimant = str_copy(row->claimant);
    write.token.template = str_copy(row->template);
    write.token.thing = str_copy(row->thing);
    submit(store, &write, receipt);
}

static int delete_token(struct store_db *db, const struct write *write)
{
    sqlite3_stmt *st = store_statement(db, "DELETE FROM provisioning_token WHERE token = ?1");
    bind_text(st, 1, write->token.token);
    return store_execute(db, st);
}

void provision_store_delete_token(struct store *store, const char *token, struct receipt *receipt)
{
    submit(store, &(struct write){.write = delete_token, .token.token = str_copy(token)}, receipt);
}

static int put_code(struct store_db *db, const struct write *write)
{
    sqlite3_stmt *st = store_statement(db, "INSERT INTO registration_code (code) VALUES (?1)");
    bind_text(st, 1, write->token.token);
    return store_execute(db, st);
}

void provision_store_put_code(struct store *store, const char *code, struct receipt *receipt)
{
    submit(store, &(struct write){.write = put_code, .token.token = str_copy(code)}, receipt);
}
