/* What commands about the registry have in common. */
#pragma once

#include "cli/ask.h"
#include "cli/print.h"

/* An object with the arguments as members, in their order; begins the arena. */
struct json *registry_request(const struct call *call, struct arena *arena, const char *const *members);
/* NULL sets nothing. */
void registry_set(struct arena *arena, struct json *object, const char *key, const char *value);
int registry_ask(const struct call *call, struct arena *arena, const char *topic, const struct json *request,
                 struct json **answer) must_check;
/* Asks and says "ARGUMENT: done"; or shows the answer. */
int registry_do(const struct call *call, const char *topic, const char *const *members, const char *done);
int registry_show(const struct call *call, const char *topic, const char *const *members);
/* An object or array of texts in a line; NULL: there is nothing in it. */
const char *registry_flat(struct arena *arena, const struct json *json);
/* A file's text, or standard input's for "-". CLI_REFUSED: it cannot be read, and that has been said. */
int registry_read_file(struct arena *arena, const char *path, char **ret) must_check;
