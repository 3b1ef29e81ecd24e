#include "services/provision/provisioning.h"

#include "base/json_write.h"
#include "base/log.h"
#include "bus/topics.h"

#include <errno.h>
#include <string.h>

/* Templates are kept as text and read when they are used: reading one takes tens of microseconds, and nothing has to be kept
 * twice. What is changed counts at once; the answer comes when it is on disk, and if it does not get there, the change is
 * undone as far as memory goes by reading the rows at the next start: until then the template is not used. */

static const char *const names_only[] = {"name", NULL};

static void template_free(struct provision *provision, struct provision_template *template)
{
    map_remove(&provision->templates, &template->key);
    free((char *)template->key.text);
    free(template->description);
    free(template->body);
    free(template->hook);
    free(template);
}

static struct provision_template *template_new(struct provision *provision, char *name)
{
    struct provision_template *template = mem_new(struct provision_template);
    template->key = (struct map_key){.text = name, .len = (uint32_t)strlen(name)};
    map_put(&provision->templates, &template->key);
    return template;
}

void provision_templates_load(struct provision *provision, struct provision_template_row *rows)
{
    for (struct provision_template_row *row = rows, *next; row; row = next) {
        next = row->next;
        struct provision_template *template = template_new(provision, row->name);
        template->kind = row->kind == TEMPLATE_JITP ? TEMPLATE_JITP : TEMPLATE_FLEET;
        template->description = row->description;
        template->body = row->body;
        template->hook = row->hook;
        template->enabled = row->enabled;
        template->version = row->version;
        template->created_ms = row->created_ms;
        template->modified_ms = row->modified_ms;
        free(row);
    }
}

void provision_templates_done(struct provision *provision)
{
    while (provision->templates.count)
        map_for_each(i, key, &provision->templates)
        {
            template_free(provision, container_of(key, struct provision_template, key));
            break;
        }
    map_done(&provision->templates);
}

struct provision_template *provision_template_find(struct provision *provision, const char *name, size_t len)
{
    struct map_key *key = map_get(&provision->templates, name, len);
    return key ? container_of(key, struct provision_template, key) : NULL;
}

/* The one that a command is about; NULL: refused. */
static struct provision_template *template_named(struct provision *provision, const struct msg *msg,
                                                 struct arena *arena, const struct json *request)
{
    const char *name;
    if (!provision_member(provision, msg, arena, request, "name", NULL, &name))
        return NULL;
    struct provision_template *template = provision_template_find(provision, name, strlen(name));
    if (!template)
        provision_refuse(provision, msg, 404, arena_printf(arena, "there is no template \"%.100s\"", name));
    return template;
}

/* ---- answers ------------------------------------------------------------------------------------------------------------ */

static void put_int(struct arena *arena, struct json *object, const char *key, int64_t value)
{
    json_append(object, key, strlen(key), json_new_int(arena, value));
}

static struct json *description_of(struct arena *arena, const struct provision_template *template, bool body)
{
    struct json *object = json_new(arena, JSON_OBJECT);
    (void)provision_put_text(arena, object, "name", template->key.text);
    (void)provision_put_text(arena, object, "type", template_kind_names[template->kind]);
    json_append(object, "enabled", 7, json_new(arena, template->enabled ? JSON_TRUE : JSON_FALSE));
    if (*template->hook)
        (void)provision_put_text(arena, object, "hook", template->hook);
    else
        json_append(object, "hook", 4, json_new(arena, JSON_NULL));
    (void)provision_put_text(arena, object, "description", template->description);
    put_int(arena, object, "version", template->version);
    put_int(arena, object, "created", template->created_ms);
    put_int(arena, object, "modified", template->modified_ms);
    if (body)
        (void)provision_put_text(arena, object, "body", template->body);
    return object;
}

static int by_name(const void *a, const void *b)
{
    const struct provision_template *const *x = a, *const *y = b;
    return strcmp((*x)->key.text, (*y)->key.text);
}

static void on_list(struct provision *provision, struct msg *msg, struct arena *arena,
                    const struct json *request)
{
    static const char *const none[] = {NULL};
    if (!provision_members_are_known(provision, msg, arena, request, none))
        return;
    struct provision_template **all =
        arena_alloc(arena, (provision->templates.count + 1) * sizeof(struct provision_template *));
    size_t count = 0;
    map_for_each(i, key, &provision->templates) all[count++] =
        container_of(key, struct provision_template, key);
    qsort(all, count, sizeof(struct provision_template *), by_name);
    struct json *answer = json_new(arena, JSON_OBJECT), *list = json_new(arena, JSON_ARRAY);
    for (size_t i = 0; i < count; i++)
        json_push(list, description_of(arena, all[i], false));
    json_append(answer, "templates", 9, list);
    provision_answer_command(provision, msg, arena, answer);
}

static void on_describe(struct provision *provision, struct msg *msg, struct arena *arena,
                        const struct json *request)
{
    if (!provision_members_are_known(provision, msg, arena, request, names_only))
        return;
    const struct provision_template *template = template_named(provision, msg, arena, request);
    if (template)
        provision_answer_command(provision, msg, arena, description_of(arena, template, true));
}

/* ---- changes ------------------------------------------------------------------------------------------------------------- */

static void on_failed(struct provision *provision, const char *name)
{
    struct provision_template *template = provision_template_find(provision, name, strlen(name));
    log_error("provisioning: template %s is not used until the next start, because it could not be stored",
              name);
    if (template)
        template->enabled = false;
}

static void put(struct provision *provision, struct msg *msg, struct arena *arena,
                struct provision_template *template)
{
    const struct provision_template_row row = {
        .name = (char *)template->key.text,
        .description = template->description,
        .body = template->body,
        .hook = template->hook,
        .kind = (int)template->kind,
        .enabled = template->enabled,
        .version = template->version,
        .created_ms = template->created_ms,
        .modified_ms = template->modified_ms,
    };
    struct provision_pending *pending = provision_pending_new(provision, msg, template->key.text);
    pending->failed = on_failed;
    pending->answer = str_copy(json_write(arena, description_of(arena, template, false), NULL));
    provision_store_put_template(provision->store, &row, &pending->receipt);
    receipt_settle(&pending->receipt, 0);
}

/* NULL, or why not. */
static const char *check(struct arena *arena, const char *name, enum template_kind kind, const char *body,
                         const char *hook)
{
    struct template template;
    struct policy_error error = {0};
    if (!template_name_is_valid(name, strlen(name)))
        return arena_printf(arena, "name: expected 1 to 36 letters, digits, _ or -, found \"%.100s\"", name);
    if (*hook && (kind != TEMPLATE_FLEET || !template_name_is_valid(hook, strlen(hook))))
        return arena_printf(arena,
                            kind == TEMPLATE_FLEET
                                ? "hook: expected 1 to 36 letters, digits, _ or -, found \"%.100s\""
                                : "hook: expected none for a template of this type, found \"%.100s\"",
                            hook);
    if (template_read(&template, arena, kind, body, strlen(body), &error) != 0)
        return arena_printf(arena, "body: line %u, column %u: %s", error.line, error.column, error.text);
    return NULL;
}

static bool kind_of(const char *name, enum template_kind *ret)
{
    for (int kind = TEMPLATE_FLEET; kind <= TEMPLATE_JITP; kind++)
        if (strcmp(name, template_kind_names[kind]) == 0) {
            *ret = (enum template_kind)kind;
            return true;
        }
    return false;
}

static void replace(char **text, const char *with)
{
    free(*text);
    *text = str_copy(with);
}

/* Makes a template, or with "replace" a new version of one. */
static void on_create(struct provision *provision, struct msg *msg, struct arena *arena,
                      const struct json *request)
{
    static const char *const names[] = {"name", "type",    "body",    "description",
                                        "hook", "enabled", "replace", NULL};
    const char *name, *type, *body, *description, *hook;
    enum template_kind kind;
    bool enabled = true, replaces = false;
    if (!provision_members_are_known(provision, msg, arena, request, names) ||
        !provision_member(provision, msg, arena, request, "name", NULL, &name) ||
        !provision_member(provision, msg, arena, request, "type", "FLEET_PROVISIONING", &type) ||
        !provision_member(provision, msg, arena, request, "body", NULL, &body) ||
        !provision_member(provision, msg, arena, request, "description", "", &description) ||
        !provision_member(provision, msg, arena, request, "hook", "", &hook))
        return;
    (void)json_bool(json_get(request, "enabled"), &enabled);
    (void)json_bool(json_get(request, "replace"), &replaces);
    if (!kind_of(type, &kind)) {
        provision_refuse(provision, msg, 400, "type: expected FLEET_PROVISIONING or JITP");
        return;
    }
    const char *why = check(arena, name, kind, body, hook);
    struct provision_template *template = provision_template_find(provision, name, strlen(name));
    int code = why ? 400 : 409;
    if (!why && template && !replaces)
        why = arena_printf(arena, "there is a template \"%s\" already", name);
    if (!why && template && template->kind != kind)
        why = arena_printf(arena, "the template \"%s\" is of type %s, which stays", name,
                           template_kind_names[template->kind]);
    if (!why && !template && provision->templates.count >= PROVISION_TEMPLATES_MAX)
        why = "there are 256 templates already";
    if (why) {
        provision_refuse(provision, msg, code, why);
        return;
    }
    int64_t now = loop_wall(provision->loop);
    if (!template) {
        template = template_new(provision, str_copy(name));
        template->kind = kind;
        template->created_ms = now;
    }
    template->modified_ms = now;
    template->version++;
    template->enabled = enabled;
    replace(&template->body, body);
    replace(&template->description, description);
    replace(&template->hook, hook);
    log_notice("provisioning: template %s: version %u", name, template->version);
    put(provision, msg, arena, template);
}

static void set_enabled(struct provision *provision, struct msg *msg, struct arena *arena,
                        const struct json *request, bool enabled)
{
    if (!provision_members_are_known(provision, msg, arena, request, names_only))
        return;
    struct provision_template *template = template_named(provision, msg, arena, request);
    if (!template)
        return;
    template->enabled = enabled;
    template->modified_ms = loop_wall(provision->loop);
    put(provision, msg, arena, template);
}

static void on_enable(struct provision *provision, struct msg *msg, struct arena *arena,
                      const struct json *request)
{
    set_enabled(provision, msg, arena, request, true);
}

static void on_disable(struct provision *provision, struct msg *msg, struct arena *arena,
                       const struct json *request)
{
    set_enabled(provision, msg, arena, request, false);
}

static const struct registry_ca *ca_with(const struct provision *provision, const char *template)
{
    struct registry_ca *all[32];
    const char *after = NULL;
    for (size_t n; (n = registry_cas(provision->registry, after, all, array_size(all)));
         after = all[n - 1]->key.text)
        for (size_t i = 0; i < n; i++)
            if (all[i]->template_name && strcmp(all[i]->template_name, template) == 0)
                return all[i];
    return NULL;
}

static void on_delete(struct provision *provision, struct msg *msg, struct arena *arena,
                      const struct json *request)
{
    if (!provision_members_are_known(provision, msg, arena, request, names_only))
        return;
    struct provision_template *template = template_named(provision, msg, arena, request);
    const struct registry_ca *ca = template ? ca_with(provision, template->key.text) : NULL;
    if (ca)
        provision_refuse(provision, msg, 409, arena_printf(arena, "the authority %s uses it", ca->key.text));
    if (!template || ca)
        return;
    struct provision_pending *pending = provision_pending_new(provision, msg, template->key.text);
    struct json *answer = json_new(arena, JSON_OBJECT);
    (void)provision_put_text(arena, answer, "name", template->key.text);
    pending->answer = str_copy(json_write(arena, answer, NULL));
    log_notice("provisioning: template %s: deleted", template->key.text);
    template_free(provision, template);
    provision_store_delete_template(provision->store, pending->name, &pending->receipt);
    receipt_settle(&pending->receipt, 0);
}

static void on_status(struct provision *provision, struct msg *msg, struct arena *arena,
                      const struct json *request)
{
    static const char *const none[] = {NULL};
    if (!provision_members_are_known(provision, msg, arena, request, none))
        return;
    const struct provision_counters *counters = &provision->counters;
    int64_t waiting = 0;
    list_for_each (link, &provision->ages)
        waiting += !list_entry(link, struct provision_token, link)->template;
    struct json *answer = json_new(arena, JSON_OBJECT);
    put_int(arena, answer, "templates", (int64_t)provision->templates.count);
    put_int(arena, answer, "waiting", waiting);
    put_int(arena, answer, "created", (int64_t)counters->created);
    put_int(arena, answer, "provisioned", (int64_t)counters->provisioned);
    put_int(arena, answer, "justInTime", (int64_t)counters->just_in_time);
    put_int(arena, answer, "rejected", (int64_t)counters->rejected);
    put_int(arena, answer, "expired", (int64_t)counters->expired);
    provision_answer_command(provision, msg, arena, answer);
}

void provision_template_commands(struct provision *provision)
{
    provision_command_add(provision, TOPIC_CTL_PROVISIONING_STATUS, on_status);
    provision_command_add(provision, TOPIC_CTL_TEMPLATE_LIST, on_list);
    provision_command_add(provision, TOPIC_CTL_TEMPLATE_DESCRIBE, on_describe);
    provision_command_add(provision, TOPIC_CTL_TEMPLATE_CREATE, on_create);
    provision_command_add(provision, TOPIC_CTL_TEMPLATE_ENABLE, on_enable);
    provision_command_add(provision, TOPIC_CTL_TEMPLATE_DISABLE, on_disable);
    provision_command_add(provision, TOPIC_CTL_TEMPLATE_DELETE, on_delete);
}
