#include "mqtt/durable.h"

#include "base/log.h"
#include "mqtt/durable_load.h"

#include <errno.h>
#include <string.h>

/* A change carries copies of what it writes, because the session may go before the store's thread gets to it. */

struct change {
    struct work work;
    struct receipt *receipt;
    struct msg *will;
    char *owner;
    uint64_t number;
    int64_t away_since;
    uint32_t expiry_s, id, delay_s;
    uint8_t options;
    size_t len;
    char text[]; /* client id or filter */
};

/* ---- the store's thread ------------------------------------------------------------------------------------------ */

static void put_run(struct work *work, void *db)
{
    const struct change *change = container_of(work, struct change, work);
    const struct session_row row = {change->number,   change->text,       change->len,
                                    change->expiry_s, change->away_since, change->owner};
    work->r = session_store_put(db, &row);
}

static void remove_run(struct work *work, void *db)
{
    work->r = session_store_remove(db, container_of(work, struct change, work)->number);
}

static void subscribe_run(struct work *work, void *db)
{
    const struct change *change = container_of(work, struct change, work);
    const struct subscription_row row = {change->number, change->text, change->len, change->options,
                                         change->id};
    work->r = session_store_subscribe(db, &row);
}

static void unsubscribe_run(struct work *work, void *db)
{
    const struct change *change = container_of(work, struct change, work);
    work->r = session_store_unsubscribe(db, change->number, change->text, change->len);
}

static void put_will_run(struct work *work, void *db)
{
    const struct change *change = container_of(work, struct change, work);
    work->r =
        session_store_put_will(db, change->text, change->len, change->will, change->number, change->delay_s);
}

static void remove_will_run(struct work *work, void *db)
{
    const struct change *change = container_of(work, struct change, work);
    work->r = session_store_remove_will(db, change->text, change->len, change->number);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static void on_changed(struct work *work)
{
    struct change *change = container_of(work, struct change, work);
    if (work->r < 0)
        log_error("state.db: sessions: %s", strerror(-work->r));
    receipt_settle(change->receipt, work->r);
    (void)msg_unref(change->will);
    free(change->owner);
    free(change);
}

static struct change *change_new(void (*run)(struct work *work, void *db), uint64_t number, const char *text,
                                 size_t len, struct receipt *receipt)
{
    struct change *change = mem_new_bytes(sizeof *change + len);
    change->work.run = run;
    change->work.done = on_changed;
    change->receipt = receipt;
    change->number = number;
    change->len = len;
    if (len)
        memcpy(change->text, text, len);
    receipt_hold(receipt);
    return change;
}

void durable_put(struct durable *durable, const struct session *session, bool away, struct receipt *receipt)
{
    struct change *change =
        change_new(put_run, session->disk->number, session->key.text, session->key.len, receipt);
    change->expiry_s = session->expiry_s;
    change->owner = str_copy(session->owner);
    change->away_since = away ? loop_wall(durable->broker->loop) : 0;
    store_submit(durable->store, &change->work);
}

void durable_remove(struct durable *durable, uint64_t number, struct receipt *receipt)
{
    struct change *change = change_new(remove_run, number, NULL, 0, receipt);
    store_submit(durable->store, &change->work);
}

void durable_subscribe(struct durable *durable, uint64_t number, const char *filter, size_t len,
                       const struct subscription *options, struct receipt *receipt)
{
    struct change *change = change_new(subscribe_run, number, filter, len, receipt);
    change->options = options->qos;
    change->options |= options->no_local ? SUBSCRIPTION_NO_LOCAL : 0;
    change->options |= options->retain_as_published ? SUBSCRIPTION_RETAIN_AS_PUBLISHED : 0;
    change->id = options->id;
    store_submit(durable->store, &change->work);
}

void durable_unsubscribe(struct durable *durable, uint64_t number, const char *filter, size_t len,
                         struct receipt *receipt)
{
    struct change *change = change_new(unsubscribe_run, number, filter, len, receipt);
    store_submit(durable->store, &change->work);
}

uint64_t durable_put_will(struct durable *durable, const char *client_id, size_t len, struct msg *will,
                          uint32_t delay_s, struct receipt *receipt)
{
    uint64_t number = ++durable->last_will;
    struct change *change = change_new(put_will_run, number, client_id, len, receipt);
    change->will = msg_ref(will);
    change->delay_s = delay_s;
    store_submit(durable->store, &change->work);
    return number;
}

void durable_remove_will(struct durable *durable, const char *client_id, size_t len, uint64_t number)
{
    struct change *change = change_new(remove_will_run, number, client_id, len, NULL);
    store_submit(durable->store, &change->work);
}

/* ---- sessions by number ------------------------------------------------------------------------------------------ */

void durable_name(struct durable *durable, struct session *session, uint64_t number)
{
    struct on_disk *disk = session->disk = mem_new(struct on_disk);
    disk->session = session;
    disk->number = number ? number : ++durable->last_number;
    disk->key = (struct map_key){.text = (const char *)&disk->number, .len = sizeof disk->number};
    list_init(&disk->waiting);
    session->subscriber.origin = disk->number | SESSION_DURABLE;
    map_put(&durable->by_number, &disk->key);
}

void durable_unname(struct durable *durable, struct session *session)
{
    struct on_disk *disk = steal(session->disk);
    map_remove(&durable->by_number, &disk->key);
    list_remove(&disk->waiting);
    free(disk);
}

struct session *durable_find(const struct durable *durable, uint64_t number)
{
    struct map_key *key = map_get(&durable->by_number, (const char *)&number, sizeof number);
    return key ? container_of(key, struct on_disk, key)->session : NULL;
}

struct spool *durable_spool(const struct durable *durable)
{
    return durable->spool;
}

void durable_wait(struct durable *durable, struct session *session)
{
    if (!list_is_linked(&session->disk->waiting))
        list_append(&durable->waiting, &session->disk->waiting);
}

static void on_settled(struct spool_user *user)
{
    struct durable *durable = container_of(user, struct durable, user);
    struct list waiting;
    list_init(&waiting);
    list_splice(&waiting, &durable->waiting); /* whoever has to wait again does so
                                               for the next time */
    for (struct list *link; (link = list_pop(&waiting));)
        session_pump(list_entry(link, struct on_disk, waiting)->session);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

int durable_open(struct durable **ret, struct broker *broker, struct store *store, struct seglogs *logs,
                 const struct spool_options *options)
{
    struct durable *durable = mem_new(struct durable);
    durable->broker = broker;
    durable->store = store;
    durable->user.settled = on_settled;
    list_init(&durable->waiting);
    *ret = durable; /* from now on, for loading makes sessions */
    int r = spool_open(&durable->spool, broker->loop, logs, options, &durable->user);
    return r < 0 ? r : durable_load(durable);
}

struct durable *durable_close(struct durable *durable)
{
    if (!durable)
        return NULL;
    store_quiesce(durable->store);
    (void)spool_close(durable->spool);
    map_done(&durable->by_number);
    free(durable);
    return NULL;
}
