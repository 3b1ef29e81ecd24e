#include "house.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int house_fault(const char *what, const char *where, int r)
{
    log_error("%s %s: %s", what, where, strerror(-r));
    return r;
}

static char *choose_directory(const char *option, const char *variable, const char *fallback)
{
    const char *given = option ? option : getenv(variable);
    return str_copy(given && *given ? given : fallback);
}

static int make_directory(const char *path, mode_t mode)
{
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return house_fault("cannot make directory", path, -errno);
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) /* access() would speak of permissions */
        return house_fault("cannot use directory", path, -ENOTDIR);
    return access(path, R_OK | W_OK | X_OK) < 0 ? house_fault("cannot use directory", path, -errno) : 0;
}

/* Two daemons on one state would each believe to be the only writer. */
static int take_lock(struct house *house)
{
    cleanup_free char *path = str_printf("%s/lock", house->state);
    house->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (house->lock < 0)
        return house_fault("cannot open", path, -errno);
    if (flock(house->lock, LOCK_EX | LOCK_NB) < 0) {
        log_error("%s is in use by another gatehoused", house->state);
        return -EBUSY;
    }
    return 0;
}

int open_directories(struct house *house)
{
    house->state = choose_directory(house->options->state, "STATE_DIRECTORY", "./gatehouse-state");
    cleanup_free char *run = str_printf("%s/run", house->state);
    house->runtime = choose_directory(house->options->runtime, "RUNTIME_DIRECTORY", run);
    int r = make_directory(house->state, 0700);
    if (r >= 0)
        r = take_lock(house);
    if (r >= 0)
        r = make_directory(house->runtime, 0755);
    return r;
}
