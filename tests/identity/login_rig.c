#include "login_rig.h"

#include <stdio.h>

static const char *on_ask(struct login_asker *asker, const char *authorizer, const char *number,
                          const char *json)
{
    struct scene *scene = container_of(asker, struct scene, asker);
    CHECK_STR(authorizer, "shop");
    if (scene->is_away)
        return "its authorizer is not there";
    scene->asked++;
    (void)snprintf(scene->number, sizeof scene->number, "%s", number);
    free(scene->question);
    scene->question = str_copy(json);
    return NULL;
}

static void on_forget(struct login_asker *asker, const char *number)
{
    struct scene *scene = container_of(asker, struct scene, asker);
    CHECK_STR(number, scene->number);
    scene->forgotten++;
}

void scene_init(struct scene *scene)
{
    *scene = (struct scene){.rig = rig_new(), .asker = {on_ask, on_forget}};
    CHECK_INT(registry_open(&scene->registry, scene->rig->loop, scene->rig->store), 0);
    scene->login = login_new(scene->rig->loop, scene->registry, NULL, WORKER_INLINE);
    login_add_authorizer(scene->login, "shop", 5000);
    login_set_asker(scene->login, &scene->asker);
}

void scene_done(struct scene *scene)
{
    free(scene->question);
    scene->login = login_free(scene->login);
    store_quiesce(scene->rig->store);
    scene->registry = registry_close(scene->registry);
    scene->rig = rig_free(scene->rig);
}

static void on_done(struct login_request *request, const struct login_verdict *verdict)
{
    struct caller *caller = container_of(request, struct caller, request);
    caller->verdict = *verdict;
    caller->calls++;
}

void call(struct scene *scene, struct caller *caller, const char *user, const char *client_id)
{
    *caller = (struct caller){.request.done = on_done};
    const struct login_credentials credentials = {.ways = LOGIN_AUTHORIZER,
                                                  .authorizer = "shop",
                                                  .user = user,
                                                  .user_len = strlen(user),
                                                  .password = (const uint8_t *)"pass",
                                                  .password_len = 4,
                                                  .client_id = client_id,
                                                  .client_id_len = strlen(client_id),
                                                  .address = "10.0.0.7"};
    caller->at_once = login_begin(scene->login, &caller->request, &credentials, &caller->verdict);
}

void answer(struct scene *scene, const char *json)
{
    cleanup_free char *text = str_copy(json);
    for (char *c = text; *c; c++)
        *c = (char)(*c == '\'' ? '"' : *c);
    login_answered(scene->login, scene->number, text, strlen(text));
}

bool may_publish(struct principal *principal, const char *topic)
{
    const struct principal_connect connect = {.client_id = "till-1", .client_id_len = 6};
    const char *why;
    CHECK(principal->permit->connect(principal->permit, &connect, &why));
    return policy_allows(principal, POLICY_PUBLISH, topic, strlen(topic));
}
