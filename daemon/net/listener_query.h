/* What is behind ? in a listener's URI: a table of keys. For listener_uri.c. */
#pragma once

#include "net/listener.h"

/* What is judged when all keys are known. */
struct listener_query {
    bool open, full, node, policy, i_know;
};

/* at: "" or "?KEY=VALUE&…". */
int listener_query_take(struct listener_uri *uri, struct listener_query *query, const char *at, char **why)
    must_check;

/* Puts the sentence into *why; -EINVAL. */
printf_like(2, 3) int listener_uri_wrong(char **why, const char *format, ...);
