#include "mqtt/durable_load.h"

#include "base/log.h"

#include <string.h>

/* At start: sessions from state.db, then what waited for them from the spool.
 *
 * The spool's log is read from front to back. A target may come twice, because records are written again; it is known
 * by session and index, and the later one counts. When all is read, each session's mails are put in order. Which of
 * them were under way is not on disk, but they were the first ones: as many as the window is wide are treated so. Those
 * behind may have been sent, too, when the last acknowledgements are not on disk, so all are sent with DUP, which says
 * no more than that. Not so what came when the client had gone: that was never sent, and may expire. */

struct entry {
    struct map_key key; /* of the place */
    uint64_t place[2];  /* session's number, index */
    struct session *session;
    struct mail *mail;
};

struct load {
    struct durable *durable;
    struct session_loader rows;
    struct spool_reader reader;
    struct map entries;
    struct list restored; /* struct restored */
    struct list wills;    /* struct lonely_will */
    int64_t wall;
};

struct restored {
    struct list link;
    uint64_t number;
    struct session *session; /* NULL: it has ended */
    int64_t waited;          /* ms since its client went */
    bool was_here;           /* when we were not any more */
};

/* The will of a client without a durable session, or one that was being published. */
struct lonely_will {
    struct list link;
    struct msg *will;
    uint64_t number;
    size_t len;
    char client_id[];
};

/* ---- rows: on the store's thread, while the loop waits ----------------------------------------------------------- */

static void on_session(struct session_loader *rows, const struct session_row *row)
{
    struct load *load = container_of(rows, struct load, rows);
    struct broker *broker = load->durable->broker;
    struct restored *restored = mem_new(struct restored);
    restored->number = row->number;
    list_append(&load->restored, &restored->link);
    if (!row->expiry_s) /* was to end with the connection, and that has ended */
        return;
    restored->session = session_new(broker, row->client_id, row->client_id_len, row->expiry_s, row->number);
    restored->session->owner = str_copy(row->owner);
    restored->was_here = !row->away_since;
    /* A clock that went back, or was not set, says nothing about how long he was away: nothing is destroyed because it
     * is 1970, or was. */
    if (!clock_was_set(row->away_since))
        return;
    restored->session->disk->away_since = row->away_since;
    if (row->away_since < load->wall)
        restored->waited = load->wall - row->away_since;
}

static void on_subscription(struct session_loader *rows, const struct subscription_row *row)
{
    struct load *load = container_of(rows, struct load, rows);
    struct session *session = durable_find(load->durable, row->session);
    if (!session)
        return;
    const struct subscription options = {
        .qos = row->options & SUBSCRIPTION_QOS,
        .no_local = row->options & SUBSCRIPTION_NO_LOCAL,
        .retain_as_published = row->options & SUBSCRIPTION_RETAIN_AS_PUBLISHED,
        .id = row->id,
    };
    struct subscription *subscription;
    (void)session_subscribe(session, row->filter, row->filter_len, &options, &subscription);
}

static void on_will(struct session_loader *rows, const char *client_id, size_t len, struct msg *will,
                    uint64_t number, uint32_t delay_s)
{
    struct load *load = container_of(rows, struct load, rows);
    struct session *session = session_find(load->durable->broker, client_id, len);
    if (number > load->durable->last_will)
        load->durable->last_will = number;
    if (session && !session->will) { /* the newest comes first; older ones were being published */
        session_set_will(session, will, delay_s)->number = number;
        (void)msg_unref(will);
        return;
    }
    struct lonely_will *lonely = mem_new_bytes(sizeof *lonely + len);
    lonely->will = will;
    lonely->number = number;
    lonely->len = len;
    memcpy(lonely->client_id, client_id, len);
    list_prepend(&load->wills, &lonely->link);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static struct entry *find(struct load *load, uint64_t session, uint64_t index)
{
    uint64_t place[2] = {session, index};
    struct map_key *key = map_get(&load->entries, (const char *)place, sizeof place);
    return key ? container_of(key, struct entry, key) : NULL;
}

static void forget(struct load *load, struct entry *entry)
{
    map_remove(&load->entries, &entry->key);
    spool_forget(load->durable->spool, entry->mail);
    (void)mail_free(entry->mail);
    free(entry);
}

static void on_target(struct spool_reader *reader, struct spooled *spooled, struct msg *msg,
                      const struct spool_target *target)
{
    struct load *load = container_of(reader, struct load, reader);
    struct session *session = durable_find(load->durable, target->session);
    if (target->session > load->durable->last_number)
        load->durable->last_number = target->session;
    if (!session)
        return;
    struct entry *entry = find(load, target->session, target->index);
    if (entry)
        forget(load, entry);
    const struct delivery delivery = {
        .qos = target->qos, .retain = target->retain, .id_count = target->id_count, .ids = target->ids};
    struct mail *mail = mail_new(msg, &delivery);
    if (!mail)
        abort();
    mail->state = target->received ? MAIL_RECEIVED : 0;
    spool_restore(spooled, mail, target->session, target->index);
    if (target->index >= session->disk->next_index)
        session->disk->next_index = target->index + 1;

    entry = mem_new(struct entry);
    entry->session = session;
    entry->mail = mail;
    entry->place[0] = target->session;
    entry->place[1] = target->index;
    entry->key = (struct map_key){.text = (const char *)entry->place, .len = sizeof entry->place};
    map_put(&load->entries, &entry->key);
}

/* An id that is alone was written when everybody had the message. One that came with it says that durable sessions have
 * it; whoever keeps it elsewhere (a stream, the retained messages) may not. */
static void on_taken(struct spool_reader *reader, struct spooled *spooled, uint64_t number,
                     uint16_t packet_id, bool alone)
{
    struct load *load = container_of(reader, struct load, reader);
    struct session *session = durable_find(load->durable, number);
    if (!session)
        return;
    session_forget_received(session, packet_id); /* written again */
    (void)session_receive(session, packet_id);
    struct received *received = session_received(session, packet_id);
    received->spooled = spooled;
    received->is_uncertain = !alone;
    spool_taken_with(spooled, number, packet_id);
}

static void on_fact(struct spool_reader *reader, enum spool_fact fact, uint64_t number, uint64_t value)
{
    struct load *load = container_of(reader, struct load, reader);
    struct entry *entry = fact == SPOOL_RELEASED ? NULL : find(load, number, value);
    struct session *session;
    switch (fact) {
    case SPOOL_DONE:
        if (entry)
            forget(load, entry);
        break;
    case SPOOL_RECEIVED:
        if (entry)
            entry->mail->state |= MAIL_RECEIVED;
        break;
    case SPOOL_RELEASED:
        session = durable_find(load->durable, number);
        if (session)
            session_forget_received(session, (uint16_t)value);
        break;
    case SPOOL_TAKEN: break; /* on_taken() */
    }
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

static int by_place(const void *left, const void *right)
{
    const struct entry *a = *(struct entry *const *)left, *b = *(struct entry *const *)right;
    if (a->place[0] != b->place[0])
        return a->place[0] < b->place[0] ? -1 : 1;
    return a->place[1] < b->place[1] ? -1 : a->place[1] > b->place[1];
}

/* A time is rounded to ms on two clocks, and again whenever its record is written anew. What came about when the client went may
 * have been sent. */
enum { ABOUT_MS = 100 };

static bool came_when_client_was_away(const struct load *load, const struct entry *entry)
{
    const struct loop *loop = load->durable->broker->loop;
    int64_t away_since = entry->session->disk->away_since;
    return away_since && entry->mail->msg->born + loop_wall(loop) - loop_now(loop) > away_since + ABOUT_MS;
}

static void put_in_order(struct load *load)
{
    size_t count = 0;
    struct entry **entries = mem_new_bytes((load->entries.count + 1) * sizeof *entries);
    map_for_each(i, key, &load->entries) entries[count++] = container_of(key, struct entry, key);
    map_done(&load->entries);
    qsort(entries, count, sizeof(struct entry *), by_place);
    for (size_t i = 0; i < count; i++) {
        session_take_back(entries[i]->session, entries[i]->mail, came_when_client_was_away(load, entries[i]));
        free(entries[i]);
    }
    free(entries);
}

static void begin_waiting(struct load *load)
{
    for (struct list *link; (link = list_pop(&load->wills));) {
        struct lonely_will *lonely = list_entry(link, struct lonely_will, link);
        session_publish_will(load->durable->broker, lonely->client_id, lonely->len, lonely->will,
                             lonely->number);
        (void)msg_unref(lonely->will);
        free(lonely);
    }
    for (struct list *link; (link = list_pop(&load->restored));) {
        struct restored *restored = list_entry(link, struct restored, link);
        if (!restored->session)
            durable_remove(load->durable, restored->number, NULL);
        else if (restored->was_here)
            durable_put(load->durable, restored->session, true, NULL);
        if (restored->session)
            session_restore(restored->session, restored->waited);
        free(restored);
    }
}

int durable_load(struct durable *durable)
{
    struct loop *loop = durable->broker->loop;
    struct load load = {
        .durable = durable,
        .rows = {.session = on_session, .subscription = on_subscription, .will = on_will},
        .reader = {.target = on_target, .taken = on_taken, .fact = on_fact},
        .wall = loop_wall(loop),
    };
    list_init(&load.restored);
    list_init(&load.wills);
    int r = store_run_now(durable->store, session_store_load, &load.rows);
    if (load.rows.last_number > durable->last_number)
        durable->last_number = load.rows.last_number;
    if (r >= 0)
        r = spool_recover(durable->spool, &load.reader, loop_wall(loop) - loop_now(loop));
    put_in_order(&load);
    begin_waiting(&load);
    return r;
}
