#include "store/store.h"

#include "store/store_db.h"
#include "store/store_salvage.h"

#include <sys/stat.h>

/* The loop's side: the worker, and the database that is the worker's. */
struct store {
    struct worker *worker;
    char *path;
    struct store_db db;
    struct work distrust;
    bool is_distrusted;
};

int store_open(struct store **ret, struct loop *loop, const char *path, enum worker_mode mode)
{
    return store_open_checked(ret, loop, path, mode, NULL);
}

int store_open_checked(struct store **ret, struct loop *loop, const char *path, enum worker_mode mode,
                       const struct store_check *const *checks)
{
    static const struct worker_ops ops = {
        .begin = store_db_begin, .run = store_db_run, .commit = store_db_commit, .idle = store_db_idle};

    struct store *store = mem_new(struct store);
    store->path = str_copy(path);
    int r = store_db_open(&store->db, store->path, checks);
    if (r == 0) {
        r = worker_new(&store->worker, loop, "store", &ops, &store->db, mode);
        if (r < 0)
            store_db_close(&store->db, true);
    }
    if (r < 0) {
        free(store->path);
        free(store);
        return r;
    }
    *ret = store;
    return 0;
}

struct store *store_close(struct store *store)
{
    if (!store)
        return NULL;
    store->worker = worker_free(store->worker);
    store_db_close(&store->db, true);
    free(store->path);
    free(store);
    return NULL;
}

void store_submit(struct store *store, struct work *work)
{
    worker_submit(store->worker, work);
}

void store_quiesce(struct store *store)
{
    worker_quiesce(store->worker);
}

static void distrust_run(struct work *work, void *resource)
{
    (void)work;
    store_db_distrust(resource);
}

static void on_distrusted(struct work *work)
{
    (void)work;
}

void store_distrust(struct store *store)
{
    if (store->is_distrusted)
        return;
    store->is_distrusted = true;
    store->distrust = (struct work){.run = distrust_run, .done = on_distrusted};
    store_submit(store, &store->distrust);
}

struct run_now {
    struct work work;
    int (*run)(struct store_db *db, void *arg);
    void *arg;
};

static void run_now(struct work *work, void *resource)
{
    struct run_now *now = container_of(work, struct run_now, work);
    struct store_db *db = resource;
    db->is_for_once = true;
    work->r = now->run(db, now->arg);
    db->is_for_once = false;
}

static void on_run_now_done(struct work *work)
{
    (void)work;
}

int store_run_now(struct store *store, int (*run)(struct store_db *db, void *arg), void *arg)
{
    struct run_now now = {.work = {.run = run_now, .done = on_run_now_done}, .run = run, .arg = arg};
    store_submit(store, &now.work);
    store_quiesce(store);
    store_db_forget(&store->db);
    return now.work.r;
}

void store_counters(const struct store *store, struct store_counters *ret)
{
    const struct store_db *db = &store->db;
    struct stat st;
    *ret = (struct store_counters){
        .batches = atomic_load_explicit(&db->batches, memory_order_relaxed),
        .items = atomic_load_explicit(&db->items, memory_order_relaxed),
        .failures = atomic_load_explicit(&db->failures, memory_order_relaxed),
        .damaged = atomic_load_explicit(&db->is_damaged, memory_order_relaxed),
        .bytes = db->fd >= 0 && fstat(db->fd, &st) == 0 ? (uint64_t)st.st_size : 0,
    };
}

void store_reports(const struct store *store, void (*found)(void *self, const char *report), void *self)
{
    if (store->db.fd >= 0)
        (void)store_each_report(store->path, found, self);
}

void store_fail_next_commit(struct store *store, int fault)
{
    atomic_store_explicit(&store->db.fail_next_commit, fault, memory_order_relaxed);
}
