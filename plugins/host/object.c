#include "host/object.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

int object_check(struct gh_plugin *ret, const struct gh_plugin *plugin, char **why)
{
    /* size and abi were first from the first day: they may be read whatever follows. */
    if (plugin->abi != GH_ABI) {
        *why = str_printf("it was made for ABI %" PRIu32 ", this gateway has %u", plugin->abi, GH_ABI);
        return -EINVAL;
    }
    if (!GH_HAS(plugin, gh_plugin, start)) {
        *why = str_printf("its struct gh_plugin has %" PRIu32 " bytes, expected at least %zu", plugin->size,
                          offsetof(struct gh_plugin, start) + sizeof plugin->start);
        return -EINVAL;
    }
    struct gh_plugin copy = {0};
    memcpy(&copy, plugin, size_min(plugin->size, sizeof copy));
    if (!copy.start) {
        *why = str_copy("it has no start()");
        return -EINVAL;
    }
    if (copy.message && copy.messages) {
        *why = str_copy("it has message() and messages(), expected one of them");
        return -EINVAL;
    }
    if (!copy.name)
        copy.name = "?";
    if (!copy.version)
        copy.version = "?";
    *ret = copy;
    return 0;
}

int object_load(struct gh_plugin *ret, const char *path, char **why)
{
    /* RTLD_NOW: what is missing shows here, not in the middle of a message. */
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        *why = str_printf("cannot load the plugin: %s", dlerror()); /* which names the file */
        return -EINVAL;
    }
    const struct gh_plugin *plugin = dlsym(object, "gh_plugin");
    cleanup_free char *fault = NULL;
    if (!plugin)
        fault = str_copy("it does not export gh_plugin");
    else if (object_check(ret, plugin, &fault) == 0)
        return 0;
    *why = str_printf("%s is not a plugin for this gateway: %s", path, fault);
    (void)dlclose(object);
    return -EINVAL;
}
