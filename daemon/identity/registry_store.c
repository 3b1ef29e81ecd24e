#include "base/json_write.h"
#include "identity/registry_private.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

/* Rows on their way to state.db. A change gathers them as statements with their values, copied, so that what runs on the
 * store's thread sees no object of the registry:
 *
 *      write ── row ── row ── row        INSERT OR REPLACE INTO thing …  │ "press-07" │ "9c1b…" │ NULL │ …
 */

enum { VALUES_MAX = 12 };

struct value {
    enum { VALUE_NULL, VALUE_INT, VALUE_TEXT, VALUE_BLOB } type;
    int64_t number;
    char *bytes;
    size_t len;
};

struct row {
    struct row *next;
    const char *sql; /* a literal: the store keeps statements by its address */
    unsigned count;
    struct value values[VALUES_MAX];
};

struct registry_write {
    struct work work;
    struct registry *registry;
    struct receipt *receipt;
    struct row *first, **last;
};

struct registry_write *registry_write_new(void)
{
    struct registry_write *write = mem_new(struct registry_write);
    write->last = &write->first;
    return write;
}

static struct row *row_new(struct registry_write *write, const char *sql)
{
    struct row *row = mem_new(struct row);
    row->sql = sql;
    *write->last = row;
    write->last = &row->next;
    return row;
}

static void row_text(struct row *row, const char *text)
{
    struct value *value = &row->values[row->count++];
    if (text)
        *value = (struct value){.type = VALUE_TEXT, .bytes = str_copy(text), .len = strlen(text)};
}

static void row_int(struct row *row, int64_t number)
{
    row->values[row->count++] = (struct value){.type = VALUE_INT, .number = number};
}

static void row_blob(struct row *row, const uint8_t *bytes, size_t len)
{
    struct value *value = &row->values[row->count++];
    if (bytes)
        *value =
            (struct value){.type = VALUE_BLOB, .bytes = str_copy_n((const char *)bytes, len), .len = len};
}

static void write_free(struct registry_write *write)
{
    for (struct row *row = write->first, *next; row; row = next) {
        next = row->next;
        for (unsigned i = 0; i < row->count; i++)
            free(row->values[i].bytes);
        free(row);
    }
    free(write);
}

/* ---- on the store's thread --------------------------------------------------------------------------------------------- */

static void bind(sqlite3_stmt *st, int column, const struct value *value)
{
    switch (value->type) {
    case VALUE_NULL: (void)sqlite3_bind_null(st, column); break;
    case VALUE_INT: (void)sqlite3_bind_int64(st, column, value->number); break;
    case VALUE_TEXT: (void)sqlite3_bind_text(st, column, value->bytes, (int)value->len, SQLITE_STATIC); break;
    case VALUE_BLOB: (void)sqlite3_bind_blob(st, column, value->bytes, (int)value->len, SQLITE_STATIC); break;
    }
}

static void run_write(struct work *work, void *db)
{
    struct registry_write *write = container_of(work, struct registry_write, work);
    work->r = 0;
    for (struct row *row = write->first; row && work->r == 0; row = row->next) {
        sqlite3_stmt *st = store_statement(db, row->sql);
        for (unsigned i = 0; i < row->count; i++)
            bind(st, (int)i + 1, &row->values[i]);
        work->r = store_execute(db, st);
    }
}

static void done_write(struct work *work)
{
    struct registry_write *write = container_of(work, struct registry_write, work);
    struct registry *registry = write->registry;
    if (work->r < 0)
        log_error("registry: a change could not be written: %s", strerror(-work->r));
    if (work->r < 0 && !registry->stale) {
        registry->stale = true;
        store_submit(registry->store, &registry->reading.work);
    }
    receipt_settle(write->receipt, work->r);
    write_free(write);
}

void registry_submit(struct registry *registry, struct registry_write *write, const struct registry_by *by)
{
    write->registry = registry;
    write->receipt = by ? by->receipt : NULL;
    receipt_hold(write->receipt);
    write->work = (struct work){.run = run_write, .done = done_write};
    store_submit(registry->store, &write->work);
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

static void row_attributes(struct row *row, const struct registry_attributes *attributes)
{
    struct arena arena;
    arena_init(&arena);
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    for (size_t i = 0; i < attributes->count; i++) {
        json_key(&w, attributes->list[i].name);
        json_put_string(&w, attributes->list[i].value);
    }
    json_end_object(&w);
    row_text(row, json_writer_text(&w, NULL));
    arena_done(&arena);
}

void registry_write_thing(struct registry_write *write, const struct registry_thing *thing)
{
    struct row *row =
        row_new(write, "INSERT OR REPLACE INTO thing (name, id, type, attributes, version, created) "
                       "VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    row_text(row, thing->key.text);
    row_text(row, thing->id);
    row_text(row, thing->type ? thing->type->key.text : NULL);
    row_attributes(row, &thing->attributes);
    row_int(row, (int64_t)thing->version);
    row_int(row, thing->created_ms);
}

void registry_write_type(struct registry_write *write, const struct registry_type *type)
{
    struct row *row = row_new(
        write, "INSERT OR REPLACE INTO thing_type (name, id, description, searchable, created, deprecated) "
               "VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    row_text(row, type->key.text);
    row_text(row, type->id);
    row_text(row, type->description);
    struct arena arena;
    arena_init(&arena);
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_array(&w);
    for (size_t i = 0; i < type->searchable_count; i++)
        json_put_string(&w, type->searchable[i]);
    json_end_array(&w);
    row_text(row, json_writer_text(&w, NULL));
    arena_done(&arena);
    row_int(row, type->created_ms);
    if (type->deprecated_ms)
        row_int(row, type->deprecated_ms);
    else
        row_text(row, NULL);
}

void registry_write_group(struct registry_write *write, const struct registry_group *group)
{
    struct row *row =
        row_new(write, "INSERT OR REPLACE INTO thing_group (name, id, parent, description, query, "
                       "attributes, version, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    row_text(row, group->key.text);
    row_text(row, group->id);
    row_text(row, group->parent ? group->parent->key.text : NULL);
    row_text(row, group->description);
    row_text(row, group->query);
    row_attributes(row, &group->attributes);
    row_int(row, (int64_t)group->version);
    row_int(row, group->created_ms);
}

void registry_write_member(struct registry_write *write, const char *thing, const char *group, bool is_member)
{
    struct row *row = row_new(
        write, is_member ? "INSERT OR REPLACE INTO thing_group_member (thing, thing_group) VALUES (?1, ?2)"
                         : "DELETE FROM thing_group_member WHERE thing = ?1 AND thing_group = ?2");
    row_text(row, thing);
    row_text(row, group);
}

void registry_write_principal(struct registry_write *write, const struct registry_principal *principal)
{
    struct row *row = row_new(
        write,
        "INSERT OR REPLACE INTO principal (name, kind, status, created, modified, ca, subject, serial, "
        "not_before_s, not_after_s, secret) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
    row_text(row, principal->key.text);
    row_int(row, principal->kind);
    row_int(row, principal->status);
    row_int(row, principal->created_ms);
    row_int(row, principal->modified_ms);
    row_text(row, principal->ca);
    row_text(row, principal->subject);
    row_text(row, principal->serial);
    row_int(row, principal->not_before_s);
    row_int(row, principal->not_after_s);
    row_blob(row, principal->secret, principal->secret_len);
}

void registry_write_der(struct registry_write *write, const char *id, const uint8_t *der, size_t len)
{
    struct row *row = row_new(write, "INSERT OR REPLACE INTO certificate (id, der) VALUES (?1, ?2)");
    row_text(row, id);
    row_blob(row, der, len);
}

void registry_write_link(struct registry_write *write, const char *principal, const char *thing,
                         bool attached, bool exclusive)
{
    struct row *row = row_new(
        write,
        attached ? "INSERT OR REPLACE INTO thing_principal (principal, thing, exclusive) VALUES (?1, ?2, ?3)"
                 : "DELETE FROM thing_principal WHERE principal = ?1 AND thing = ?2");
    row_text(row, principal);
    row_text(row, thing);
    if (attached)
        row_int(row, exclusive);
}

void registry_write_ca(struct registry_write *write, const struct registry_ca *ca)
{
    struct row *row = row_new(
        write, "INSERT OR REPLACE INTO authority (id, active, auto_registration, subject, template_name, "
               "template_body, not_before_s, not_after_s, created, modified, der) "
               "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
    row_text(row, ca->key.text);
    row_int(row, ca->active);
    row_int(row, ca->auto_registration);
    row_text(row, ca->subject);
    row_text(row, ca->template_name);
    row_text(row, ca->template_body);
    row_int(row, ca->not_before_s);
    row_int(row, ca->not_after_s);
    row_int(row, ca->created_ms);
    row_int(row, ca->modified_ms);
    row_blob(row, ca->der, ca->der_len);
}

void registry_write_policy(struct registry_write *write, const struct registry_policy *policy)
{
    struct row *row =
        row_new(write, "INSERT OR REPLACE INTO policy (name, default_version, last_version, created) "
                       "VALUES (?1, ?2, ?3, ?4)");
    row_text(row, policy->key.text);
    row_int(row, policy->default_version);
    row_int(row, policy->last_version);
    row_int(row, policy->created_ms);
}

void registry_write_version(struct registry_write *write, const char *policy,
                            const struct registry_policy_version *version)
{
    struct row *row =
        row_new(write, "INSERT OR REPLACE INTO policy_version (policy, version, created, document) "
                       "VALUES (?1, ?2, ?3, ?4)");
    row_text(row, policy);
    row_int(row, version->number);
    row_int(row, version->created_ms);
    row_text(row, version->document);
}

void registry_write_no_version(struct registry_write *write, const char *policy, uint32_t version)
{
    struct row *row = row_new(write, "DELETE FROM policy_version WHERE policy = ?1 AND version = ?2");
    row_text(row, policy);
    row_int(row, version);
}

void registry_write_attachment(struct registry_write *write, const char *target, const char *policy,
                               bool attached)
{
    struct row *row =
        row_new(write, attached ? "INSERT OR REPLACE INTO policy_attachment (target, policy) VALUES (?1, ?2)"
                                : "DELETE FROM policy_attachment WHERE target = ?1 AND policy = ?2");
    row_text(row, target);
    row_text(row, policy);
}

void registry_write_revoked(struct registry_write *write, const struct registry_revoked *revoked)
{
    struct row *row = row_new(write, "INSERT OR REPLACE INTO revoked (id, ca, serial, at_s, not_after_s) "
                                     "VALUES (?1, ?2, ?3, ?4, ?5)");
    row_text(row, revoked->key.text);
    row_text(row, revoked->ca);
    row_text(row, revoked->serial);
    row_int(row, revoked->at_s);
    row_int(row, revoked->not_after_s);
}

void registry_write_not_revoked(struct registry_write *write, const char *id)
{
    row_text(row_new(write, "DELETE FROM revoked WHERE id = ?1"), id);
}

void registry_write_gone(struct registry_write *write, enum registry_kind kind, const char *name)
{
    static const struct gone {
        enum registry_kind kind;
        const char *sql;
    } all[] = {
        {REGISTRY_THING, "DELETE FROM thing WHERE name = ?1"},
        {REGISTRY_THING, "DELETE FROM thing_group_member WHERE thing = ?1"},
        {REGISTRY_TYPE, "DELETE FROM thing_type WHERE name = ?1"},
        {REGISTRY_GROUP, "DELETE FROM thing_group WHERE name = ?1"},
        {REGISTRY_GROUP, "DELETE FROM thing_group_member WHERE thing_group = ?1"},
        {REGISTRY_GROUP, "DELETE FROM policy_attachment WHERE target = 'thinggroup/' || ?1"},
        {REGISTRY_PRINCIPAL, "DELETE FROM principal WHERE name = ?1"},
        {REGISTRY_PRINCIPAL, "DELETE FROM certificate WHERE id = ?1"},
        {REGISTRY_PRINCIPAL, "DELETE FROM thing_principal WHERE principal = ?1"},
        {REGISTRY_PRINCIPAL, "DELETE FROM policy_attachment WHERE target = ?1"},
        {REGISTRY_CA, "DELETE FROM authority WHERE id = ?1"},
        {REGISTRY_POLICY, "DELETE FROM policy WHERE name = ?1"},
        {REGISTRY_POLICY, "DELETE FROM policy_version WHERE policy = ?1"},
    };
    for (size_t i = 0; i < array_size(all); i++)
        if (all[i].kind == kind)
            row_text(row_new(write, all[i].sql), name);
}

/* ---- a certificate's bytes ------------------------------------------------------------------------------------------------ */

struct registry_der_private {
    struct work work;
    struct registry_der *request;
    char *id;
    uint8_t *der;
    size_t len;
};

static void run_der(struct work *work, void *db)
{
    struct registry_der_private *item = container_of(work, struct registry_der_private, work);
    sqlite3_stmt *st = store_statement(db, "SELECT der FROM certificate WHERE id = ?1");
    (void)sqlite3_bind_text(st, 1, item->id, -1, SQLITE_STATIC);
    int r = store_step(db, st);
    work->r = r < 0 ? r : r == 0 ? REGISTRY_NOT_FOUND : 0;
    if (r <= 0)
        return;
    item->len = (size_t)sqlite3_column_bytes(st, 0);
    item->der = malloc(item->len + 1);
    if (!item->der)
        work->r = -ENOMEM;
    else if (item->len)
        memcpy(item->der, sqlite3_column_blob(st, 0), item->len);
}

static void done_der(struct work *work)
{
    struct registry_der_private *item = container_of(work, struct registry_der_private, work);
    item->request->done(item->request, work->r, item->der, item->len);
    free(item->id);
    free(item);
}

void registry_certificate_der(struct registry *registry, const char *id, struct registry_der *request)
{
    struct registry_der_private *item = mem_new(struct registry_der_private);
    item->work = (struct work){.run = run_der, .done = done_der};
    item->request = request;
    item->id = str_copy(id);
    request->private = item;
    store_submit(registry->store, &item->work);
}
