#include "beside.h"

#include "base/base.h"

#include <libgen.h>
#include <limits.h>
#include <unistd.h>

char *find_beside(const char *relative, const char *installed)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = '\0';
        char *path = str_printf("%s/%s", dirname(self), relative);
        if (access(path, F_OK) == 0)
            return path;
        free(path);
    }
    return str_copy(installed);
}
