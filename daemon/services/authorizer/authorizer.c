#include "services/authorizer/authorizer.h"

#include "bus/topics.h"
#include "identity/login.h"

#include <string.h>

struct authorizer {
    struct login_asker asker;
    struct bus *bus;
    struct login *login;
    struct subscriber subscriber;
    struct subscription answers;
};

static bool on_ask(struct login_asker *asker, const char *name, const char *number, const char *json)
{
    struct authorizer *authorizer = container_of(asker, struct authorizer, asker);
    cleanup_free char *topic = str_printf(TOPIC_AUTHORIZER_QUESTION_FORMAT, name);
    cleanup_free char *answer_topic = str_printf(TOPIC_AUTHORIZER_ANSWER_FORMAT, number);
    if (!bus_is_heard(authorizer->bus, topic, strlen(topic)))
        return false;
    bus_ask_in_passing(authorizer->bus, topic, json, answer_topic);
    return true;
}

static void on_answer(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct authorizer *authorizer = container_of(subscriber, struct authorizer, subscriber);
    login_answered(authorizer->login, strrchr(msg->topic, '/') + 1, (const char *)msg->payload,
                   msg->payload_len);
}

int authorizer_new(struct authorizer **ret, struct bus *bus, struct login *login)
{
    struct authorizer *authorizer = mem_new(struct authorizer);
    authorizer->asker.ask = on_ask;
    authorizer->bus = bus;
    authorizer->login = login;
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
    free(authorizer);
    return NULL;
}
