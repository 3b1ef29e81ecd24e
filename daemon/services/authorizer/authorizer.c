#include "services/authorizer/authorizer_http.h"

#include "bus/topics.h"
#include "identity/login.h"

#include <string.h>

struct authorizer {
    struct login_asker asker;
    struct bus *bus;
    struct login *login;
    struct subscriber subscriber;
    struct subscription answers;
    struct authorizer_http **servers;
    size_t count;
};

static const char *ask_on_bus(const struct authorizer *authorizer, const char *name, const char *number,
                              const char *json)
{
    cleanup_free char *topic = str_printf(TOPIC_AUTHORIZER_QUESTION_FORMAT, name);
    cleanup_free char *answer_topic = str_printf(TOPIC_AUTHORIZER_ANSWER_FORMAT, number);
    if (!bus_is_heard(authorizer->bus, topic, strlen(topic)))
        return "its authorizer is not there";
    bus_ask_in_passing(authorizer->bus, topic, json, answer_topic);
    return NULL;
}

static const char *on_ask(struct login_asker *asker, const char *name, const char *number, const char *json)
{
    struct authorizer *authorizer = container_of(asker, struct authorizer, asker);
    for (size_t i = 0; i < authorizer->count; i++)
        if (authorizer_http_is(authorizer->servers[i], name))
            return authorizer_http_ask(authorizer->servers[i], number, json);
    return ask_on_bus(authorizer, name, number, json);
}

static void on_forget(struct login_asker *asker, const char *number)
{
    struct authorizer *authorizer = container_of(asker, struct authorizer, asker);
    for (size_t i = 0; i < authorizer->count; i++)
        authorizer_http_forget(authorizer->servers[i], number);
}

static void on_answer(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct authorizer *authorizer = container_of(subscriber, struct authorizer, subscriber);
    login_answered(authorizer->login, strrchr(msg->topic, '/') + 1, (const char *)msg->payload,
                   msg->payload_len);
}

int authorizer_new(struct authorizer **ret, struct bus *bus, struct login *login,
                   const struct authorizer_server *servers, size_t count)
{
    struct authorizer *authorizer = mem_new(struct authorizer);
    authorizer->asker.ask = on_ask;
    authorizer->asker.forget = on_forget;
    authorizer->bus = bus;
    authorizer->login = login;
    authorizer->servers = mem_new_bytes((count + 1) * sizeof *authorizer->servers);
    while (authorizer->count < count) {
        const struct authorizer_server *server = &servers[authorizer->count];
        authorizer->servers[authorizer->count++] = authorizer_http_new(bus_loop(bus), login, server);
    }
    authorizer->subscriber.deliver = on_answer;
    bus_subscribe_to(bus, &authorizer->answers, &authorizer->subscriber, TOPIC_AUTHORIZER_ANSWER_FILTER);
    login_set_asker(login, &authorizer->asker);
    *ret = authorizer;
    return 0;
}

struct authorizer *authorizer_free(struct authorizer *authorizer)
{
    if (!authorizer)
        return NULL;
    login_set_asker(authorizer->login, NULL);
    bus_unsubscribe(authorizer->bus, &authorizer->answers);
    while (authorizer->count)
        (void)authorizer_http_free(authorizer->servers[--authorizer->count]);
    free(authorizer->servers);
    free(authorizer);
    return NULL;
}
