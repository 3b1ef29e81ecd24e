/* When state.db itself is synced: not by a start, but before the first write of each. The program is linked with --wrap, so
 * that our fsync() is counted and fails when a test says so; SQLite's own calls are not ours. */
#include "base/log.h"
#include "rig/test.h"
#include "store/folder.h"
#include "store/store.h"

#include <errno.h>
#include <unistd.h>

int __real_fsync(int fd);
int __wrap_fsync(int fd);

static unsigned syncs;
static int failing; /* errno of the calls to come */

int __wrap_fsync(int fd)
{
    syncs++;
    if (!failing)
        return __real_fsync(fd);
    errno = failing;
    return -1;
}

struct rig {
    char *folder, *path;
    struct clock clock;
    struct loop *loop;
    struct store *store;
};

static void rig_open(struct rig *rig)
{
    CHECK_INT(store_open(&rig->store, rig->loop, rig->path, WORKER_INLINE), 0);
}

static void rig_init(struct rig *rig)
{
    syncs = 0;
    failing = 0;
    *rig = (struct rig){.folder = folder_new(), .clock = {.by_hand = true}};
    rig->path = str_printf("%s/state.db", rig->folder);
    CHECK_INT(loop_new(&rig->loop, &rig->clock), 0);
    rig_open(rig);
}

static void rig_done(struct rig *rig)
{
    rig->store = store_close(rig->store);
    rig->loop = loop_free(rig->loop);
    free(rig->path);
    folder_free(rig->folder);
    log_capture(NULL);
}

static int look(struct store_db *db, void *arg)
{
    (void)arg;
    int r = store_step(db, store_statement(db, "SELECT count(*) FROM migration"));
    return r < 0 ? r : 0;
}

static int change(struct store_db *db, void *arg)
{
    (void)arg;
    return store_execute(db, store_statement(db, "CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY)"));
}

TEST(a_start_waits_for_no_disk_and_its_first_write_does_once)
{
    cleanup(rig_done) struct rig rig;
    rig_init(&rig);
    CHECK_INT(store_run_now(rig.store, look, NULL), 0);
    CHECK_INT(syncs, 0);
    CHECK_INT(store_run_now(rig.store, change, NULL), 0);
    CHECK_INT(syncs, 2); /* the file and its folder */
    CHECK_INT(store_run_now(rig.store, change, NULL), 0);
    CHECK_INT(syncs, 2);
}

TEST(the_next_start_does_it_again_since_this_one_may_end_too_early)
{
    cleanup(rig_done) struct rig rig;
    rig_init(&rig);
    rig.store = store_close(rig.store);
    CHECK_INT(syncs, 0);
    rig_open(&rig);
    CHECK_INT(store_run_now(rig.store, change, NULL), 0);
    CHECK_INT(syncs, 2);
}

static unsigned complaints;

static void on_line(enum log_level level, const char *line)
{
    complaints += level == LOG_LEVEL_ERROR && strstr(line, "fsync: ");
}

TEST(nothing_is_written_to_a_file_that_cannot_be_synced)
{
    cleanup(rig_done) struct rig rig;
    rig_init(&rig);
    complaints = 0;
    log_capture(on_line);
    failing = EIO;
    CHECK_INT(store_run_now(rig.store, change, NULL), -EIO);
    CHECK_INT(store_run_now(rig.store, change, NULL), -EIO);
    CHECK_INT(complaints, 1);
    CHECK_INT(store_run_now(rig.store, look, NULL), 0);
    failing = 0;
    CHECK_INT(store_run_now(rig.store, change, NULL), 0);
}
