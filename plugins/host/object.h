/* The shared object: loaded, and checked before anything of it is called. */
#pragma once

#include "base/base.h"
#include "gatehouse_plugin.h"

/* Loads path and finds gh_plugin in it; *ret is a copy, whose members beyond the object's own size are zero.
 * The object stays loaded until the process ends. -EINVAL with a sentence in *why (free it). */
int object_load(struct gh_plugin *ret, const char *path, char **why) must_check;

/* Is it a plugin that we can call? 0, or -EINVAL with a sentence. For object_load(), and for tests. */
int object_check(struct gh_plugin *ret, const struct gh_plugin *plugin, char **why) must_check;
