/* Acknowledged means kept, for state.db: a process writes and is killed at some moment, again and again, on the same file.
 * Every item that was done with 0 is there afterwards, and the file passes SQLite's own check. */
#include "rig/test.h"
#include "store/folder.h"
#include "store/store.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 30, IN_FLIGHT = 8 };

struct writer;
struct slot {
    struct work work;
    struct writer *writer;
    int k;
};
struct writer {
    struct store *store;
    struct slot slots[IN_FLIGHT];
    int next, pipe;
};

static int create_table(struct store_db *db, void *arg)
{
    (void)arg;
    return store_execute(
        db, store_statement(db, "CREATE TABLE IF NOT EXISTS t (k INTEGER PRIMARY KEY, v INTEGER)"));
}

/* Two rows that belong together. */
static void insert(struct work *work, void *db)
{
    struct slot *slot = container_of(work, struct slot, work);
    for (int i = 0; i < 2; i++) {
        sqlite3_stmt *s = store_statement(db, "INSERT INTO t VALUES (?, ?)");
        sqlite3_bind_int(s, 1, slot->k * 2 + i);
        sqlite3_bind_int(s, 2, slot->k);
        work->r = store_execute(db, s);
        if (work->r < 0)
            return;
    }
}

static void on_inserted(struct work *work);

static void insert_next(struct slot *slot)
{
    slot->k = slot->writer->next++;
    slot->work.run = insert;
    slot->work.done = on_inserted;
    store_submit(slot->writer->store, &slot->work);
}

static void on_inserted(struct work *work)
{
    struct slot *slot = container_of(work, struct slot, work);
    if (work->r != 0 || write(slot->writer->pipe, &slot->k, sizeof slot->k) != sizeof slot->k)
        _exit(2);
    insert_next(slot);
}

static void run_child(const char *path, int first, int pipe)
{
    static struct writer writer;
    struct loop *loop;
    writer.next = first;
    writer.pipe = pipe;
    if (loop_new(&loop, NULL) < 0 || store_open(&writer.store, loop, path, WORKER_THREAD) < 0 ||
        store_run_now(writer.store, create_table, NULL) < 0)
        _exit(1);
    for (int i = 0; i < IN_FLIGHT; i++) {
        writer.slots[i].writer = &writer;
        insert_next(&writer.slots[i]);
    }
    for (;;)
        if (loop_turn(loop, -1) < 0)
            _exit(3);
}

static int count_pair(struct store_db *db, void *arg)
{
    sqlite3_stmt *s = store_statement(db, "SELECT count(*) FROM t WHERE v = ?");
    sqlite3_bind_int(s, 1, *(int *)arg);
    int r = store_step(db, s);
    return r < 0 ? r : sqlite3_column_int(s, 0);
}

static int count_halves(struct store_db *db, void *arg)
{
    (void)arg;
    sqlite3_stmt *s =
        store_statement(db, "SELECT count(*) FROM (SELECT v FROM t GROUP BY v HAVING count(*) != 2)");
    int r = store_step(db, s);
    return r < 0 ? r : sqlite3_column_int(s, 0);
}

static int is_sound(struct store_db *db, void *arg)
{
    (void)arg;
    sqlite3_stmt *s = store_statement(db, "PRAGMA integrity_check(1)");
    int r = store_step(db, s);
    return r < 0 ? r : strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0;
}

TEST(whatever_was_done_is_kept_when_the_process_is_killed_at_any_moment)
{
    cleanup(folder_free_p) char *folder = folder_new();
    cleanup_free char *path = str_printf("%s/state.db", folder);
    struct clock clock = {.by_hand = true};
    unsigned seed = 815;
    size_t total = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int ends[2];
        CHECK_INT(pipe(ends), 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            (void)close(ends[0]);
            run_child(path, round * 100000, ends[1]);
        }
        (void)close(ends[1]);
        int done[4096], n = 0, wanted = rand_r(&seed) % 100;
        while (n < wanted && read(ends[0], &done[n], sizeof done[n]) == sizeof done[n])
            n++;
        CHECK_INT(kill(pid, SIGKILL), 0);
        while (n < 4096 && read(ends[0], &done[n], sizeof done[n]) == sizeof done[n])
            n++;
        (void)close(ends[0]);
        CHECK_INT(waitpid(pid, NULL, 0), pid);

        struct loop *loop;
        struct store *store;
        CHECK_INT(loop_new(&loop, &clock), 0);
        CHECK_INT(store_open(&store, loop, path, WORKER_INLINE), 0);
        CHECK_INT(store_run_now(store, create_table, NULL), 0);
        for (int i = 0; i < n; i++)
            CHECK_INT(store_run_now(store, count_pair, &done[i]), 2);
        CHECK_INT(store_run_now(store, count_halves, NULL), 0);
        CHECK_INT(store_run_now(store, is_sound, NULL), 1);
        store = store_close(store);
        loop = loop_free(loop);
        total += (size_t)n;
    }
    CHECK(total > ROUNDS * 20);
}
