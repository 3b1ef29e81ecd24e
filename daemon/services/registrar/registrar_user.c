/* ctl/user: people and programs that come with a password. What comes here is a hash; who asks has made it. */
#include "services/registrar/registrar_private.h"

#include "identity/password.h"

#include <string.h>

enum { PAGE = 250 };

static void put_user(struct json_writer *w, const struct registry_principal *user)
{
    struct password kept;
    bool good = password_parse(&kept, (const char *)user->secret, user->secret_len);
    put_text(w, "name", user->key.text + strlen("user:"));
    put_text(w, "status", registry_status_names[user->status]);
    put_text(w, "hash", !good ? "unknown" : kept.kind == PASSWORD_SCRYPT ? "scrypt" : "PBKDF2-SHA512");
    explicit_bzero(&kept, sizeof kept);
    put_things_and_policies(w, user);
    put_number(w, "created", user->created_ms);
    put_number(w, "modified", user->modified_ms);
}

static const struct registry_principal *find(struct asked *asked, const char *name)
{
    if (!name)
        return NULL;
    cleanup_free char *full = str_printf("user:%s", name);
    const struct registry_principal *user = registry_principal(asked->registrar->registry, full);
    if (!user)
        asked_refuse(asked, 404, "there is no user \"%.128s\"", name);
    return user;
}

static void on_list(struct asked *asked)
{
    struct registry_principal *page[PAGE];
    const char *after = NULL;
    json_key(&asked->answer, "users");
    json_begin_array(&asked->answer);
    for (size_t n; (n = registry_principals(asked->registrar->registry, after, page, PAGE)) > 0;
         after = page[n - 1]->key.text)
        for (size_t i = 0; i < n; i++) {
            if (page[i]->kind != REGISTRY_USER)
                continue;
            json_begin_object(&asked->answer);
            put_user(&asked->answer, page[i]);
            json_end_object(&asked->answer);
        }
    json_end_array(&asked->answer);
}

/* One that is there already only with `replace`: nobody's password is changed by mistake. */
static void on_put(struct asked *asked)
{
    const char *name = asked_text(asked, "name", true), *hash = asked_text(asked, "hash", true);
    bool replace = asked_bool(asked, "replace", false);
    struct registry *registry = asked->registrar->registry;
    struct password kept;
    if (hash && !password_parse(&kept, hash, strlen(hash)))
        asked_refuse(asked, 400, "hash: expected $scrypt$ln=N,r=N,p=N$SALT$HASH or $7$ROUNDS$SALT$HASH");
    if (asked->answered)
        return;
    cleanup_free char *full = str_printf("user:%s", name);
    bool there = registry_principal(registry, full) != NULL;
    if (there && !replace)
        asked_refuse(asked, 409, "there is a user \"%.128s\" already", name);
    else if (!there && replace)
        asked_refuse(asked, 404, "there is no user \"%.128s\"", name);
    else if (asked_is_good(asked, registry_user_put(registry, name, hash, &asked->by)))
        put_user(&asked->answer, registry_principal(registry, full));
}

/* ACTIVE or not: one that is not is disconnected and does not come in. */
static void on_status(struct asked *asked)
{
    const struct registry_principal *user = find(asked, asked_text(asked, "name", true));
    bool active = asked_bool(asked, "active", true);
    if (!asked->answered &&
        asked_is_good(asked, registry_principal_set_status(asked->registrar->registry, user->key.text,
                                                           active ? REGISTRY_ACTIVE : REGISTRY_INACTIVE,
                                                           &asked->by)))
        put_user(&asked->answer, user);
}

static void on_delete(struct asked *asked)
{
    const struct registry_principal *user = find(asked, asked_text(asked, "name", true));
    struct registry *registry = asked->registrar->registry;
    if (asked->answered)
        return;
    cleanup_free char *full = str_copy(user->key.text);
    if (asked_is_good(asked, registry_principal_set_status(registry, full, REGISTRY_INACTIVE, &asked->by)) &&
        asked_is_good(asked, registry_principal_delete(registry, full, true, &asked->by)))
        put_text(&asked->answer, "name", full + strlen("user:"));
}

const struct registrar_request registrar_user_requests[] = {
    {"user/list", on_list, ""},
    {"user/put", on_put, "name hash replace"},
    {"user/status", on_status, "name active"},
    {"user/delete", on_delete, "name"},
    {0},
};
