#include "mqtt/spool.h"

#include "mqtt/session.h"
#include "mqtt/spool_log.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Everything of a turn is submitted in its HAND_OVER: the record that is still being gathered, then the facts. So a fact
 * about a message never stands before the message.
 *
 * Facts say what need not be done again. One that is lost costs a repetition that the client recognises or, at QoS 1, has
 * to expect; where it has not to (QoS 2), somebody waits for the sync with a receipt. */

enum {
    SEGMENT_BYTES = 4 * 1024 * 1024,
    WASTE_MAX = 16 * 1024 * 1024,
    MOVE_BYTES = 256 * 1024, /* written again at a time */
    FACTS_MAX = 64 * 1024,   /* in one record */
};

/* A record under way. */
struct writing {
    struct seglog_append append;
    struct spool *spool;
    struct spooled *spooled; /* NULL: facts */
    struct receipt *receipt;
    struct list waiting; /* facts: struct wait */
    uint8_t *large;      /* payload of an 'L' and of facts, owned */
    char head[];         /* the log's topic */
};

/* Somebody waits for a fact. */
struct wait {
    struct list link;
    struct receipt *receipt; /* held; may be NULL */
    struct spooled *taken;   /* the fact is this one's record */
};

static void on_hand_over(struct task *task);
static void on_released(struct work *work);
static void finish_gathering(struct spool *spool);
static void write_facts(struct spool *spool);

/* ---- memory ------------------------------------------------------------------------------------------------------- */

uint8_t *spool_buffer_room(struct spool_buffer *buffer, size_t len)
{
    if (buffer->len + len > buffer->size) {
        size_t size = size_max(2 * buffer->size, buffer->len + len);
        uint8_t *bytes = realloc(buffer->bytes, size_max(size, 256));
        if (!bytes)
            abort();
        buffer->bytes = bytes;
        buffer->size = size_max(size, 256);
    }
    return buffer->bytes + buffer->len;
}

static void buffer_empty(struct spool_buffer *buffer)
{
    enum { KEEP = 64 * 1024 };
    buffer->len = 0;
    if (buffer->size > KEEP) {
        free(buffer->bytes);
        *buffer = (struct spool_buffer){0};
    }
}

struct spooled *spooled_new(struct spool *spool, struct msg *msg)
{
    struct spooled *spooled = mem_new(struct spooled);
    spooled->spool = spool;
    spooled->msg = msg ? msg_ref(msg) : NULL;
    list_init(&spooled->link);
    list_init(&spooled->places);
    return spooled;
}

static uint64_t cost(const struct spooled *spooled)
{
    return spooled->msg ? msg_cost(spooled->msg) : 0;
}

void spooled_keep(struct spooled *spooled, uint64_t seq)
{
    struct spool *spool = spooled->spool;
    if (spooled->state != SPOOLED_MOVING)
        spool->alive += cost(spooled);
    spooled->seq = seq;
    spooled->state = SPOOLED_KEPT;
    list_remove(&spooled->link);
    list_append(&spool->kept, &spooled->link);
}

void spooled_release(struct spooled *spooled)
{
    if (!list_is_empty(&spooled->places) || spooled->from_session || spooled->writes ||
        spooled->state == SPOOLED_GATHERING)
        return;
    struct spool *spool = spooled->spool;
    if (spooled->state == SPOOLED_KEPT || spooled->state == SPOOLED_MOVING) {
        spool->alive -= cost(spooled);
        loop_at(spool->loop, LOOP_HAND_OVER, &spool->hand_over); /* space may come back */
    }
    list_remove(&spooled->link);
    (void)msg_unref(spooled->msg);
    free(spooled);
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

int spool_open(struct spool **ret, struct loop *loop, struct seglogs *logs,
               const struct spool_options *options, struct spool_user *user)
{
    struct spool *spool = mem_new(struct spool);
    spool->loop = loop;
    spool->logs = logs;
    spool->user = user;
    spool->options = *options;
    if (!spool->options.bytes_max)
        spool->options.bytes_max = UINT64_C(1) << 30;
    if (!spool->options.segment_bytes)
        spool->options.segment_bytes = SEGMENT_BYTES;
    if (!spool->options.waste_max)
        spool->options.waste_max = WASTE_MAX;
    if (spool->options.waste_max < 2 * spool->options.segment_bytes) /* less cannot be reached by moving */
        spool->options.waste_max = 2 * spool->options.segment_bytes;
    spool->hand_over.run = on_hand_over;
    spool->release.work.done = on_released;
    list_init(&spool->kept);
    list_init(&spool->waiting);
    const struct seglog_options log_options = {.segment_bytes = spool->options.segment_bytes};
    int r = seglog_open(&spool->log, logs, "sessions", &log_options);
    if (r < 0) {
        free(spool);
        return r;
    }
    *ret = spool;
    return 0;
}

struct spool *spool_close(struct spool *spool)
{
    if (!spool)
        return NULL;
    spool->user = NULL;
    finish_gathering(
        spool); /* what was said last. No space is given back: that the mails are forgotten says nothing */
    write_facts(spool);
    seglogs_quiesce(spool->logs);
    loop_forget(&spool->hand_over);
    for (struct list *link; (link = list_pop(&spool->kept));) {
        struct spooled *spooled = list_entry(link, struct spooled, link);
        (void)msg_unref(spooled->msg);
        free(spooled);
    }
    spool->log = seglog_close(spool->log);
    free(spool->targets.bytes);
    free(spool->facts.bytes);
    free(spool);
    return NULL;
}

bool spool_is_full(const struct spool *spool)
{
    return seglog_bytes(spool->log) >= spool->options.bytes_max;
}

void spool_counters(const struct spool *spool, struct spool_counters *ret)
{
    *ret = spool->counters;
    ret->bytes = seglog_bytes(spool->log);
    ret->alive = spool->alive;
    ret->damaged = seglog_damaged(spool->log);
}

/* ---- writing ----------------------------------------------------------------------------------------------------------- */

static void settle_waiting(struct list *waiting, int r, uint64_t seq)
{
    for (struct list *link; (link = list_pop(waiting));) {
        struct wait *wait = list_entry(link, struct wait, link);
        struct spooled *taken = wait->taken;
        if (taken) {
            taken->writes--;
            if (r == 0)
                spooled_keep(taken, seq);
            else if (taken->state != SPOOLED_MOVING)
                taken->state = SPOOLED_FAILED;
            else
                taken->state = SPOOLED_KEPT;
            spooled_release(taken);
        }
        receipt_settle(wait->receipt, r);
        free(wait);
    }
}

static void on_message_written(struct writing *writing, int r)
{
    struct spool *spool = writing->spool;
    struct spooled *spooled = writing->spooled;
    bool moved = spooled->state == SPOOLED_MOVING;
    if (moved)
        spool->moving--;
    if (r == 0)
        spooled_keep(spooled, writing->append.record.seq);
    else
        spooled->state = moved ? SPOOLED_KEPT : SPOOLED_FAILED;
    if (r == 0 && moved)
        spool->counters.moved++;
    else if (r == 0)
        spool->counters.messages++;
    else
        spool->counters.failed++;
    receipt_settle(writing->receipt, r);
    spooled->writes--; /* not before: who is told may give the record up */
    spooled_release(spooled);
}

static void on_written(struct work *work)
{
    struct writing *writing = container_of(work, struct writing, append.work);
    struct spool *spool = writing->spool;
    if (writing->spooled)
        on_message_written(writing, work->r);
    else
        settle_waiting(&writing->waiting, work->r, writing->append.record.seq);
    bool written = work->r == 0;
    free(writing->large);
    free(writing);
    spool->under_way--;
    if (!spool->user)
        return;
    if (written) /* space may come back, and more be moved; after a fault that waits for whoever comes next */
        loop_at(spool->loop, LOOP_HAND_OVER, &spool->hand_over);
    spool->user->settled(spool->user);
}

static struct writing *writing_new(struct spool *spool, size_t head_len)
{
    struct writing *writing = mem_new_bytes(sizeof *writing + head_len);
    writing->spool = spool;
    spool->under_way++;
    list_init(&writing->waiting);
    writing->append.work.done = on_written;
    writing->append.record.wall = loop_wall(spool->loop);
    writing->append.record.topic = writing->head;
    return writing;
}

static struct spool_message describe(const struct spooled *spooled, uint32_t target_count)
{
    const struct msg *msg = spooled->msg;
    struct spool_message message = {
        .qos = msg->qos,
        .retain = msg->retain,
        .has_expiry = msg->expiry_s != MSG_NO_EXPIRY,
        .expiry_s = msg->expiry_s,
        .born = msg->born + loop_wall(spooled->spool->loop) - loop_now(spooled->spool->loop),
        .from_session = spooled->is_released ? 0 : spooled->from_session,
        .from_id = spooled->from_id,
        .props = msg->props,
        .props_len = msg->props_len,
        .response_at = SIZE_MAX,
        .correlation_at = SIZE_MAX,
        .topic = msg->topic,
        .topic_len = msg->topic_len,
        .target_count = target_count,
    };
    if (msg->response_topic) {
        message.response_at = (size_t)((const uint8_t *)msg->response_topic - msg->props);
        message.response_len = msg->response_topic_len;
    }
    if (msg->correlation) {
        message.correlation_at = (size_t)(msg->correlation - msg->props);
        message.correlation_len = msg->correlation_len;
    }
    if (message.born < 0)
        message.born = 0;
    return message;
}

/* The head goes where a record's topic goes; one that is too long for that goes in front of the payload. */
static void write_message(struct spool *spool, struct spooled *spooled, const struct spool_buffer *targets,
                          uint32_t target_count, struct receipt *receipt)
{
    struct msg *msg = spooled->msg;
    struct spool_message message = describe(spooled, target_count);
    size_t head_max = spool_head_max(&message) + targets->len;
    bool large = head_max > SPOOL_HEAD_MAX;
    struct writing *writing = writing_new(spool, large ? 1 : 1 + head_max);
    struct seglog_record *record = &writing->append.record;
    writing->spooled = spooled;
    writing->receipt = receipt;
    spooled->writes++;
    if (large) {
        uint8_t number[10];
        uint8_t *head = mem_new_bytes(head_max);
        size_t head_len = spool_put_head(head, &message, targets->bytes, targets->len);
        size_t number_len = spool_put_number(number, head_len);
        writing->large = mem_new_bytes(number_len + head_len + msg->payload_len);
        memcpy(writing->large, number, number_len);
        memcpy(writing->large + number_len, head, head_len);
        memcpy(writing->large + number_len + head_len, msg->payload, msg->payload_len);
        free(head);
        writing->head[0] = 'L';
        record->topic_len = 1;
        record->payload = writing->large;
        record->payload_len = number_len + head_len + msg->payload_len;
    } else {
        writing->head[0] = 'M';
        record->topic_len =
            1 + spool_put_head((uint8_t *)writing->head + 1, &message, targets->bytes, targets->len);
        record->payload = msg->payload;
        record->payload_len = msg->payload_len;
    }
    seglog_append(spool->log, &writing->append);
}

static void write_facts(struct spool *spool)
{
    if (!spool->facts.len)
        return;
    struct writing *writing = writing_new(spool, 1);
    writing->head[0] = 'F';
    writing->append.record.topic_len = 1;
    writing->large = mem_new_bytes(spool->facts.len);
    memcpy(writing->large, spool->facts.bytes, spool->facts.len);
    writing->append.record.payload = writing->large;
    writing->append.record.payload_len = spool->facts.len;
    list_splice(&writing->waiting, &spool->waiting);
    buffer_empty(&spool->facts);
    seglog_append(spool->log, &writing->append);
}

static void finish_gathering(struct spool *spool)
{
    struct spooled *spooled = steal(spool->gathering);
    if (!spooled)
        return;
    spooled->state = SPOOLED_WRITING;
    if (spool->receipt && spool->receipt->r != 0) /* somebody refused: its publisher sends it again, to all */
        spooled->from_session = 0;
    write_message(spool, spooled, &spool->targets, spool->target_count, steal(spool->receipt));
    buffer_empty(&spool->targets);
    spool->target_count = 0;
}

/* ---- space ----------------------------------------------------------------------------------------------------------- */

/* Everything below may go. Records under way are above all that are kept; when none is kept, they decide, and their
 * numbers are not known yet. */
static uint64_t first_needed(const struct spool *spool)
{
    if (!list_is_empty(&spool->kept))
        return list_entry(spool->kept.next, struct spooled, link)->seq;
    return spool->under_way ? 0 : seglog_next(spool->log);
}

static void on_released(struct work *work)
{
    struct spool *spool = container_of(work, struct spool, release.work);
    spool->releasing = false;
    if (spool->user)
        loop_at(spool->loop, LOOP_HAND_OVER, &spool->hand_over);
}

static void give_space_back(struct spool *spool)
{
    uint64_t first = first_needed(spool);
    if (spool->releasing || first <= spool->released ||
        seglog_bytes(spool->log) <= spool->options.segment_bytes)
        return;
    spool->releasing = true;
    spool->released = spool->release.before = first;
    seglog_release(spool->log, &spool->release);
}

static void move(struct spool *spool, struct spooled *spooled)
{
    spooled->state = SPOOLED_MOVING;
    if (!spooled->msg) {
        struct wait *wait = mem_new(struct wait);
        wait->taken = spooled;
        spooled->writes++;
        uint8_t *out = spool_buffer_room(&spool->facts, SPOOL_FACT_MAX);
        spool->facts.len += spool_put_fact(out, SPOOL_TAKEN, spooled->from_session, spooled->from_id);
        list_append(&spool->waiting, &wait->link);
        return;
    }
    struct spool_buffer targets = {0};
    uint32_t count = 0;
    list_for_each (link, &spooled->places) {
        const struct spool_place *place = list_entry(link, struct spool_place, link);
        const struct mail *mail = place->mail;
        struct spool_target target = {.session = place->session,
                                      .index = place->index,
                                      .qos = mail->qos,
                                      .retain = mail->retain,
                                      .received = mail->state & (MAIL_RECEIVED | MAIL_RECEIVING),
                                      .id_count = mail->id_count,
                                      .ids = mail->ids};
        targets.len += spool_put_target(spool_buffer_room(&targets, spool_target_max(&target)), &target);
        count++;
    }
    spool->moving++;
    write_message(spool, spooled, &targets, count, NULL);
    free(targets.bytes);
}

/* Few are left of much: the oldest are written again, a piece at a time, until enough can go. */
static void move_oldest(struct spool *spool)
{
    uint64_t bytes = seglog_bytes(spool->log);
    if (spool->moving || spool->releasing || bytes < 2 * spool->alive + spool->options.waste_max)
        return;
    uint64_t moved = 0;
    list_for_each_safe (link, &spool->kept) {
        struct spooled *spooled = list_entry(link, struct spooled, link);
        if (moved >= MOVE_BYTES)
            break;
        if (spooled->state != SPOOLED_KEPT || (!spooled->msg && spooled->is_released))
            continue;
        moved += cost(spooled) + 64;
        move(spool, spooled);
    }
}

static void on_hand_over(struct task *task)
{
    struct spool *spool = container_of(task, struct spool, hand_over);
    finish_gathering(spool);
    give_space_back(spool);
    move_oldest(spool);
    write_facts(spool);
}

/* ---- messages ---------------------------------------------------------------------------------------------------------- */

struct spooled *spool_gather(struct spool *spool, struct msg *msg, struct receipt *receipt, bool *is_new)
{
    *is_new = !spool->gathering || spool->gathering->msg != msg || spool->receipt != receipt;
    if (!*is_new)
        return spool->gathering;
    finish_gathering(spool);
    if (spool->facts.len > FACTS_MAX)
        write_facts(spool);
    spool->gathering = spooled_new(spool, msg);
    spool->receipt = receipt;
    receipt_hold(receipt);
    loop_at(spool->loop, LOOP_HAND_OVER, &spool->hand_over);
    return spool->gathering;
}

static void take_place(struct spooled *spooled, struct mail *mail, uint64_t session, uint64_t index)
{
    struct spool_place *place = mem_new(struct spool_place);
    place->spooled = spooled;
    place->mail = mail;
    place->session = session;
    place->index = index;
    list_append(&spooled->places, &place->link);
    mail->place = place;
}

void spool_add(struct spool *spool, struct mail *mail, uint64_t session, uint64_t index)
{
    assert(spool->gathering);
    struct spool_target target = {.session = session,
                                  .index = index,
                                  .qos = mail->qos,
                                  .retain = mail->retain,
                                  .id_count = mail->id_count,
                                  .ids = mail->ids};
    uint8_t *out = spool_buffer_room(&spool->targets, spool_target_max(&target));
    spool->targets.len += spool_put_target(out, &target);
    spool->target_count++;
    take_place(spool->gathering, mail, session, index);
}

void spool_restore(struct spooled *spooled, struct mail *mail, uint64_t session, uint64_t index)
{
    take_place(spooled, mail, session, index);
}

bool spool_is_synced(const struct mail *mail)
{
    uint8_t state = mail->place->spooled->state;
    return state == SPOOLED_KEPT || state == SPOOLED_MOVING;
}

bool spool_has_failed(const struct mail *mail)
{
    return mail->place->spooled->state == SPOOLED_FAILED;
}

/* ---- facts -------------------------------------------------------------------------------------------------------------- */

static void note(struct spool *spool, enum spool_fact fact, uint64_t session, uint64_t value,
                 struct receipt *receipt, struct spooled *taken)
{
    /* It may be about what is being gathered, which is to stay one record: so not before that. */
    if (!spool->gathering && spool->facts.len + SPOOL_FACT_MAX > FACTS_MAX)
        write_facts(spool);
    spool->facts.len +=
        spool_put_fact(spool_buffer_room(&spool->facts, SPOOL_FACT_MAX), fact, session, value);
    if (receipt || taken) {
        struct wait *wait = mem_new(struct wait);
        wait->receipt = receipt;
        wait->taken = taken;
        receipt_hold(receipt);
        list_append(&spool->waiting, &wait->link);
    }
    loop_at(spool->loop, LOOP_HAND_OVER, &spool->hand_over);
}

static void give_up_place(struct mail *mail)
{
    struct spool_place *place = steal(mail->place);
    struct spooled *spooled = place->spooled;
    list_remove(&place->link);
    free(place);
    spooled_release(spooled);
}

void spool_done(struct spool *spool, struct mail *mail)
{
    const struct spool_place *place = mail->place;
    if (place->spooled->state != SPOOLED_FAILED)
        note(spool, SPOOL_DONE, place->session, place->index, NULL, NULL);
    give_up_place(mail);
}

void spool_forget(struct spool *spool, struct mail *mail)
{
    (void)spool;
    give_up_place(mail);
}

void spool_received(struct spool *spool, const struct mail *mail, struct receipt *receipt)
{
    note(spool, SPOOL_RECEIVED, mail->place->session, mail->place->index, receipt, NULL);
}

void spool_taken_with(struct spooled *spooled, uint64_t session, uint16_t packet_id)
{
    spooled->from_session = session;
    spooled->from_id = packet_id;
}

bool spool_has_taken(const struct spooled *spooled)
{
    return spooled->from_session && spooled->state != SPOOLED_FAILED;
}

struct spooled *spool_taken(struct spool *spool, uint64_t session, uint16_t packet_id,
                            struct receipt *receipt)
{
    struct spooled *spooled = spooled_new(spool, NULL);
    spool_taken_with(spooled, session, packet_id);
    spooled->state = SPOOLED_WRITING;
    spooled->writes++;
    note(spool, SPOOL_TAKEN, session, packet_id, receipt, spooled);
    return spooled;
}

void spool_released(struct spool *spool, struct spooled *spooled, struct receipt *receipt)
{
    spooled->is_released = true;
    note(spool, SPOOL_RELEASED, spooled->from_session, spooled->from_id, receipt, NULL);
}

void spool_untake(struct spool *spool, struct spooled *spooled)
{
    (void)spool;
    spooled->from_session = 0;
    spooled_release(spooled);
}
