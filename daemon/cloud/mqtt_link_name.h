/* Asks the system's resolver for a name, without anybody waiting for it.
 *
 * Paho resolves names itself, under its process-wide lock: while a resolver does not answer, every other link stands still,
 * and nothing can be stopped. So the name is asked for here first, and Paho only when there is an answer that will come
 * again. getaddrinfo() cannot be interrupted, so each question has a thread of its own that nobody joins: the loop forgets
 * the question, and the thread frees it when it ends.
 */
#pragma once

#include "base/worker.h"

struct link_name;

/* On the loop, with 0 or what is wrong, in words (valid during the call). The question is gone then. */
typedef void link_name_done(void *self, const char *wrong);

/* NULL, and nothing will be called: it is an address, or there is no thread to be had, and Paho may as well try. */
struct link_name *link_name_ask(struct inbox *inbox, const char *host, size_t host_len, link_name_done *done,
                                void *self);
/* Its answer is not wanted any more. NULL is accepted. The inbox may go afterwards, when it has been drained. */
void link_name_forget(struct link_name *name);
