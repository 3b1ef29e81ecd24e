#include "policy_rig.h"

#include <stdio.h>
#include <string.h>

struct policy_rig *policy_rig_new(void)
{
    struct policy_rig *rig = mem_new(struct policy_rig);
    policy_context_init(&rig->context, NULL);
    rig->set.policies = rig->policies;
    return rig;
}

struct policy_rig *policy_rig_free(struct policy_rig *rig)
{
    for (size_t i = 0; i < rig->set.count; i++)
        (void)policy_unref(rig->policies[i]);
    policy_context_done(&rig->context);
    free(rig);
    return NULL;
}

char *policy_rig_document(const char *statements)
{
    static const char head[] = "{\"Version\":\"2012-10-17\",\"Statement\":";
    size_t len = strlen(statements), most = sizeof head + 2 + len * (sizeof POLICY_PLACE + 1);
    char *text = mem_new_bytes(most), *at = text + sizeof head - 1;
    memcpy(text, head, sizeof head);
    for (const char *from = statements; *from; from++) {
        if (*from == '~' && at[-1] == '"') {
            memcpy(at, POLICY_PLACE, sizeof POLICY_PLACE);
            at += sizeof POLICY_PLACE - 1;
        } else {
            *at++ = *from == '\'' ? '"' : *from;
        }
    }
    *at = '}';
    return text;
}

void policy_rig_add(struct policy_rig *rig, const char *statements)
{
    cleanup_free char *document = policy_rig_document(statements);
    struct policy_error error;
    if (policy_compile(&rig->policies[rig->set.count], "p", document, strlen(document), &error) != 0)
        FAIL("line %u, column %u: %s", error.line, error.column, error.text);
    rig->set.count++;
}

void policy_rig_know(struct policy_rig *rig, const char *key, const char *value)
{
    policy_context_add(&rig->context, key, value, strlen(value));
}

bool policy_rig_request(struct policy_request *ret, const char *action, const char *resource)
{
    enum iot_action found = iot_action_find(action, strlen(action));
    if (found == IOT_ACTIONS)
        return false;
    const char *kind = iot_resource_kinds[iot_actions[found].resource];
    if (strncmp(resource, kind, strlen(kind)) != 0)
        return false;
    const char *name = resource + strlen(kind);
    *ret = (struct policy_request){.action = found, .name = name, .len = strlen(name), .wall_ms = -1};
    return true;
}

const char *policy_rig_ask_at(struct policy_rig *rig, const char *action, const char *resource,
                              int64_t wall_ms)
{
    struct policy_request request;
    if (!policy_rig_request(&request, action, resource))
        FAIL("no request: %s on %s", action, resource);
    request.wall_ms = wall_ms;
    return policy_decision_names[policy_decide(&rig->set, &rig->context, &request, &rig->verdict)];
}

const char *policy_rig_ask(struct policy_rig *rig, const char *action, const char *resource)
{
    return policy_rig_ask_at(rig, action, resource, -1);
}

char *policy_rig_read(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        FAIL("cannot open %s", path);
    (void)fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *text = mem_new_bytes((size_t)size + 1);
    *len = fread(text, 1, (size_t)size, file);
    (void)fclose(file);
    return text;
}
