#include "services/provision/provisioning.h"

#include "base/json_write.h"

#include <assert.h>
#include <string.h>

/* What all commands have in common: the request is a JSON object of strings and truths, the answer another one, or
 * {"code","message"}. */

static void on_command(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct provision_command *command = container_of(subscriber, struct provision_command, subscriber);
    struct arena arena = {0};
    struct json *request = NULL;
    if (!msg->payload_len)
        request = json_new(&arena, JSON_OBJECT);
    else if (msg->payload_len > PROVISION_COMMAND_MAX ||
             json_parse(&request, &arena, (const char *)msg->payload, msg->payload_len, NULL) != 0 ||
             request->type != JSON_OBJECT)
        request = NULL;
    if (request)
        command->run(command->provision, msg, &arena, request);
    else
        provision_refuse(command->provision, msg, 400, "expected a JSON object");
    arena_done(&arena);
}

void provision_command_add(struct provision *provision, const char *topic,
                           void (*run)(struct provision *provision, struct msg *msg, struct arena *arena,
                                       const struct json *request))
{
    assert(provision->command_count < PROVISION_COMMANDS_MAX);
    struct provision_command *command = &provision->commands[provision->command_count++];
    *command =
        (struct provision_command){.subscriber.deliver = on_command, .provision = provision, .run = run};
    bus_subscribe_to(provision->bus, &command->subscription, &command->subscriber, topic);
}

void provision_commands_done(struct provision *provision)
{
    for (size_t i = 0; i < provision->command_count; i++)
        bus_unsubscribe(provision->bus, &provision->commands[i].subscription);
}

void provision_refuse(struct provision *provision, const struct msg *request, int code, const char *message)
{
    struct arena arena = {0};
    struct json *answer = json_new(&arena, JSON_OBJECT);
    json_append(answer, "code", 4, json_new_int(&arena, code));
    (void)provision_put_text(&arena, answer, "message", message);
    bus_reply(provision->bus, request, json_write(&arena, answer, NULL));
    arena_done(&arena);
}

void provision_answer_command(struct provision *provision, const struct msg *request, struct arena *arena,
                              const struct json *answer)
{
    bus_reply(provision->bus, request, json_write(arena, answer, NULL));
}

/* ---- waiting for the disk --------------------------------------------------------------------------------------------- */

static void pending_free(struct provision_pending *pending)
{
    list_remove(&pending->link);
    (void)msg_unref(pending->request);
    free(pending->answer);
    free(pending->name);
    free(pending);
}

static void on_settled(struct receipt *receipt, int r)
{
    struct provision_pending *pending = container_of(receipt, struct provision_pending, receipt);
    if (r != 0) {
        if (pending->failed)
            pending->failed(pending->provision, pending->name);
        provision_refuse(pending->provision, pending->request, 500, "it could not be stored");
    } else {
        bus_reply(pending->provision->bus, pending->request, pending->answer);
    }
    pending_free(pending);
}

struct provision_pending *provision_pending_new(struct provision *provision, struct msg *request,
                                                const char *name)
{
    struct provision_pending *pending = mem_new(struct provision_pending);
    pending->provision = provision;
    pending->request = msg_ref(request);
    pending->name = str_copy(name);
    receipt_init(&pending->receipt, on_settled);
    receipt_hold(&pending->receipt);
    list_append(&provision->pending, &pending->link);
    return pending;
}

/* ---- members ------------------------------------------------------------------------------------------------------------- */

bool provision_member(struct provision *provision, const struct msg *msg, struct arena *arena,
                      const struct json *request, const char *name, const char *otherwise, const char **ret)
{
    const struct json *member = json_get(request, name);
    *ret = otherwise;
    if ((!member && otherwise) || json_text(member, arena, ret))
        return true;
    provision_refuse(provision, msg, 400, arena_printf(arena, "%s: expected a string", name));
    return false;
}

bool provision_members_are_known(struct provision *provision, const struct msg *msg, struct arena *arena,
                                 const struct json *request, const char *const *names)
{
    json_for_each (member, request) {
        size_t i = 0;
        while (names[i] && !json_key_is(member, names[i], strlen(names[i])))
            i++;
        if (names[i])
            continue;
        const char *list = names[0] ? names[0] : "nothing";
        for (size_t k = 1; names[0] && names[k]; k++)
            list = arena_printf(arena, "%s%s%s", list, names[k + 1] ? ", " : " or ", names[k]);
        provision_refuse(provision, msg, 400,
                         arena_printf(arena, "expected %s, found a member \"%.*s\"", list,
                                      (int)size_min(member->key_len, 100), member->key));
        return false;
    }
    return true;
}
