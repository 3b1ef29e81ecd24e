#include "cloud/mqtt_link_name.h"

#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

/* Who is the second to say that it has no more use for the question frees it. The thread says ANSWERED before it posts,
 * and the loop, which must not take the inbox away before that note is in it, then waits for POSTED: a few instructions. */
enum state { ASKED, ANSWERED, POSTED, FORGOTTEN };

enum { STACK = 256 * 1024 };

struct link_name {
    struct note note;
    struct inbox *inbox;
    link_name_done *done;
    void *self;
    _Atomic int state;
    int r;
    char host[];
};

static int resolve(const char *host, int flags)
{
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_flags = flags, .ai_socktype = SOCK_STREAM};
    int r = getaddrinfo(host, NULL, &hints, &found);
    if (r == 0)
        freeaddrinfo(found);
    return r;
}

static void on_answer(struct note *note)
{
    struct link_name *name = container_of(note, struct link_name, note);
    if (name->done)
        name->done(name->self, name->r == 0 ? NULL : gai_strerror(name->r));
    while (atomic_load(&name->state) != POSTED)
        (void)sched_yield();
    free(name);
}

static void *run(void *argument)
{
    struct link_name *name = argument;
    name->r = resolve(name->host, AI_ADDRCONFIG);
    int expected = ASKED;
    if (!atomic_compare_exchange_strong(&name->state, &expected, ANSWERED)) {
        free(name);
        return NULL;
    }
    inbox_post(name->inbox, &name->note);
    atomic_store(&name->state, POSTED);
    return NULL;
}

struct link_name *link_name_ask(struct inbox *inbox, const char *host, size_t host_len, link_name_done *done,
                                void *self)
{
    struct link_name *name = mem_new_bytes(sizeof *name + host_len + 1);
    memcpy(name->host, host, host_len);
    name->inbox = inbox;
    name->note.run = on_answer;
    name->done = done;
    name->self = self;
    pthread_attr_t attributes;
    pthread_t thread;
    if (resolve(name->host, AI_NUMERICHOST) == 0 || pthread_attr_init(&attributes) != 0) {
        free(name);
        return NULL;
    }
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attributes, STACK);
    int r = pthread_create(&thread, &attributes, run, name);
    (void)pthread_attr_destroy(&attributes);
    if (r == 0)
        return name;
    free(name);
    return NULL;
}

void link_name_forget(struct link_name *name)
{
    if (!name)
        return;
    name->done = NULL;
    int expected = ASKED;
    if (atomic_compare_exchange_strong(&name->state, &expected, FORGOTTEN))
        return;
    while (atomic_load(&name->state) != POSTED)
        (void)sched_yield();
}
