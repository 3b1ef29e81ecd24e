/* A login with an authorizer "shop", whose questions a test sees and answers. */
#pragma once

#include "identity/login_private.h"
#include "rig/rig.h"

struct scene {
    struct rig *rig;
    struct registry *registry;
    struct login *login;
    struct login_asker asker;
    unsigned asked, forgotten;
    bool is_away;
    char number[LOGIN_NUMBER_BYTES], *question;
};

struct caller {
    struct login_request request;
    struct login_verdict verdict;
    unsigned calls;
    bool at_once;
};

void scene_init(struct scene *scene);
void scene_done(struct scene *scene);
/* With the password "pass". */
void call(struct scene *scene, struct caller *caller, const char *user, const char *client_id);
/* Of the last question; ' is ". */
void answer(struct scene *scene, const char *json);
/* As till-1. */
bool may_publish(struct principal *principal, const char *topic);

#define ALLOW_TOPIC(topic)                                                                                   \
    "{'Version':'2012-10-17','Statement':[{'Effect':'Allow','Action':['iot:Connect','iot:Publish'],"         \
    "'Resource':['arn:aws:iot:*:*:client/${iot:ClientId}','arn:aws:iot:*:*:topic/" topic "/*']}]}"
#define ALLOW ALLOW_TOPIC("shop")
#define YES_FOR(name, policy)                                                                                \
    "{'isAuthenticated':true,'principalId':'" name "','policyDocuments':[" policy "]"
#define YES YES_FOR("alice01", ALLOW)
