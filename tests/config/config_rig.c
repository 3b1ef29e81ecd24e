#include "config/config_rig.h"

#include "store/folder.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

struct config_rig *config_rig_new(void)
{
    struct config_rig *rig = mem_new(struct config_rig);
    rig->folder = folder_new();
    return rig;
}

struct config_rig *config_rig_free(struct config_rig *rig)
{
    if (!rig)
        return NULL;
    config_done(&rig->config);
    rig->folder = folder_free(rig->folder);
    free(rig);
    return NULL;
}

void config_rig_write(struct config_rig *rig, const char *name, const void *bytes, size_t len)
{
    cleanup_free char *path = str_printf("%s/%s", rig->folder, name);
    for (char *slash = path + strlen(rig->folder) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
    }
    FILE *file = fopen(path, "wbe");
    CHECK(file);
    CHECK_INT((int64_t)fwrite(bytes, 1, len, file), (int64_t)len);
    CHECK_INT(fclose(file), 0);
}

void config_rig_load(struct config_rig *rig)
{
    cleanup_free char *path = str_printf("%s/gatehouse.conf", rig->folder);
    config_done(&rig->config);
    rig->r = config_load(&rig->config, path);
}

void config_rig_take(struct config_rig *rig, const char *text)
{
    config_rig_write(rig, "gatehouse.conf", text, strlen(text));
    config_rig_load(rig);
}

const char *config_rig_fault(struct config_rig *rig, size_t i)
{
    static char shown[2048];
    if (i >= rig->config.fault_count)
        return NULL;
    const char *fault = rig->config.faults[i];
    size_t len = strlen(rig->folder);
    if (strncmp(fault, rig->folder, len) == 0)
        fault += len + 1;
    (void)snprintf(shown, sizeof shown, "%s", fault);
    return shown;
}

bool config_rig_has(struct config_rig *rig, const char *text)
{
    for (size_t i = 0; i < rig->config.fault_count; i++)
        if (strstr(rig->config.faults[i], text))
            return true;
    return false;
}
