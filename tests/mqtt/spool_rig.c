#include "mqtt/spool_rig.h"

#include "mqtt/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what is held ------------------------------------------------------------------------------------------------ */

static void hold(struct spool_rig *rig, struct mail *mail, uint64_t session, uint64_t index)
{
    if (rig->held_count == rig->held_size) {
        rig->held_size = rig->held_size ? 2 * rig->held_size : 16;
        rig->held = realloc(rig->held, rig->held_size * sizeof *rig->held);
        CHECK(rig->held);
    }
    rig->held[rig->held_count++] = (struct held){session, index, mail};
    if (rig->next_index[session] <= index)
        rig->next_index[session] = index + 1;
}

static struct held *find(struct spool_rig *rig, uint64_t session, uint64_t index)
{
    for (size_t i = 0; i < rig->held_count; i++)
        if (rig->held[i].session == session && rig->held[i].index == index)
            return &rig->held[i];
    return NULL;
}

struct mail *rig_mail(struct spool_rig *rig, uint64_t session, uint64_t index)
{
    struct held *held = find(rig, session, index);
    return held ? held->mail : NULL;
}

static struct mail *let_go(struct spool_rig *rig, struct held *held)
{
    struct mail *mail = held->mail;
    *held = rig->held[--rig->held_count];
    return mail;
}

static struct taken *find_taken(struct spool_rig *rig, uint64_t session, uint16_t packet_id)
{
    for (size_t i = 0; i < rig->taken_count; i++)
        if (rig->taken[i].session == session && rig->taken[i].packet_id == packet_id)
            return &rig->taken[i];
    return NULL;
}

static void untake(struct spool_rig *rig, struct taken *taken)
{
    if (!taken)
        return;
    spool_untake(rig->spool, taken->spooled);
    *taken = rig->taken[--rig->taken_count];
}

static void take(struct spool_rig *rig, uint64_t session, uint16_t packet_id, struct spooled *spooled)
{
    CHECK(rig->taken_count < array_size(rig->taken));
    rig->taken[rig->taken_count++] = (struct taken){session, packet_id, spooled};
}

/* ---- reading back ------------------------------------------------------------------------------------------------ */

struct reading {
    struct spool_reader reader;
    struct spool_rig *rig;
};

static bool is_known(const struct spool_rig *rig, uint64_t session)
{
    return session > 0 && session < RIG_SESSIONS && !rig->nobody_is_known;
}

static void forget(struct spool_rig *rig, struct held *held)
{
    struct mail *mail = let_go(rig, held);
    spool_forget(rig->spool, mail);
    (void)mail_free(mail);
}

static void on_target(struct spool_reader *reader, struct spooled *spooled, struct msg *msg,
                      const struct spool_target *target)
{
    struct spool_rig *rig = container_of(reader, struct reading, reader)->rig;
    if (!is_known(rig, target->session))
        return;
    struct held *held = find(rig, target->session, target->index);
    if (held)
        forget(rig, held);
    const struct delivery delivery = {
        .qos = target->qos, .retain = target->retain, .id_count = target->id_count, .ids = target->ids};
    struct mail *mail = mail_new(msg, &delivery);
    mail->state = target->received ? MAIL_RECEIVED : 0;
    spool_restore(spooled, mail, target->session, target->index);
    hold(rig, mail, target->session, target->index);
}

static void on_taken(struct spool_reader *reader, struct spooled *spooled, uint64_t session,
                     uint16_t packet_id, bool alone)
{
    struct spool_rig *rig = container_of(reader, struct reading, reader)->rig;
    (void)alone;
    if (!is_known(rig, session))
        return;
    untake(rig, find_taken(rig, session, packet_id));
    spool_taken_with(spooled, session, packet_id);
    take(rig, session, packet_id, spooled);
}

static void on_fact(struct spool_reader *reader, enum spool_fact fact, uint64_t session, uint64_t value)
{
    struct spool_rig *rig = container_of(reader, struct reading, reader)->rig;
    struct held *held = fact == SPOOL_RELEASED ? NULL : find(rig, session, value);
    if (fact == SPOOL_DONE && held)
        forget(rig, held);
    else if (fact == SPOOL_RECEIVED && held)
        held->mail->state |= MAIL_RECEIVED;
    else if (fact == SPOOL_RELEASED)
        untake(rig, find_taken(rig, session, (uint16_t)value));
    CHECK(fact != SPOOL_TAKEN);
}

/* In memory where there is such a place: these tests sync very often. */
static char *new_folder(void)
{
    char *path = str_copy("/dev/shm/gatehouse-spool-XXXXXX");
    if (mkdtemp(path))
        return path;
    free(path);
    return folder_new();
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void on_settled(struct spool_user *user)
{
    container_of(user, struct spool_rig, user)->settled++;
}

void rig_open(struct spool_rig *rig)
{
    struct reading reading = {{.target = on_target, .taken = on_taken, .fact = on_fact}, rig};
    CHECK_INT(seglogs_open(&rig->logs, rig->loop, rig->path, rig->mode), 0);
    CHECK_INT(spool_open(&rig->spool, rig->loop, rig->logs, &rig->options, &rig->user), 0);
    int64_t wall_minus_mono = loop_wall(rig->loop) - loop_now(rig->loop);
    CHECK_INT(spool_recover(rig->spool, &reading.reader, wall_minus_mono), 0);
}

void rig_close(struct spool_rig *rig)
{
    while (rig->held_count)
        forget(rig, &rig->held[rig->held_count - 1]);
    while (rig->taken_count)
        untake(rig, &rig->taken[rig->taken_count - 1]);
    rig->spool = spool_close(rig->spool);
    rig->logs = seglogs_close(rig->logs);
    memset(rig->next_index, 0, sizeof rig->next_index);
}

void rig_restart(struct spool_rig *rig)
{
    rig_close(rig);
    rig_open(rig);
}

static void begin(struct spool_rig *rig, const struct spool_options *options, enum worker_mode mode,
                  char *path)
{
    rig->path = path;
    rig->options = *options;
    rig->mode = mode;
    rig->user.settled = on_settled;
    CHECK_INT(loop_new(&rig->loop, &rig->clock), 0);
    rig_open(rig);
}

void spool_rig_init_with(struct spool_rig *rig, const struct spool_options *options, enum worker_mode mode)
{
    *rig = (struct spool_rig){.folder = new_folder(),
                              .clock = {.by_hand = true, .mono = 1000000, .wall = 1760000000000}};
    begin(rig, options, mode, str_printf("%s/logs", rig->folder));
}

void spool_rig_init(struct spool_rig *rig, const struct spool_options *options)
{
    spool_rig_init_with(rig, options, WORKER_INLINE);
}

static void end(struct spool_rig *rig)
{
    rig_close(rig);
    rig->loop = loop_free(rig->loop);
    free(rig->held);
    free(rig->path);
    free(rig->state);
}

void spool_rig_done(struct spool_rig *rig)
{
    end(rig);
    folder_free(rig->folder);
}

void rig_turn(struct spool_rig *rig)
{
    do {
        while (loop_turn(rig->loop, 0) > 0)
            ;
        seglogs_quiesce(rig->logs);
    } while (loop_turn(rig->loop, 0) > 0);
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

static void copy_file(const char *from, const char *to)
{
    static uint8_t bytes[1 << 16];
    cleanup(fd_close_p) int in = open(from, O_RDONLY | O_CLOEXEC);
    cleanup(fd_close_p) int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(in >= 0 && out >= 0);
    for (ssize_t n; (n = read(in, bytes, sizeof bytes)) != 0;) {
        CHECK(n > 0);
        CHECK_INT(write(out, bytes, (size_t)n), n);
    }
}

static int is_segment(const struct dirent *entry)
{
    return *entry->d_name != '.';
}

char *rig_copy(const struct spool_rig *rig)
{
    char *folder = new_folder();
    cleanup_free char *logs = str_printf("%s/logs", folder);
    cleanup_free char *log = str_printf("%s/sessions", logs);
    CHECK_INT(mkdir(logs, 0700), 0);
    CHECK_INT(mkdir(log, 0700), 0);
    cleanup_free char *from = str_printf("%s/sessions", rig->path);
    struct dirent **names;
    int n = scandir(from, &names, is_segment, alphasort);
    CHECK(n >= 0);
    for (int i = 0; i < n; i++) {
        cleanup_free char *source = str_printf("%s/%s", from, names[i]->d_name);
        cleanup_free char *target = str_printf("%s/%s", log, names[i]->d_name);
        copy_file(source, target);
        free(names[i]);
    }
    free(names);
    return folder;
}

char *rig_state_in(const struct spool_rig *rig, const char *folder)
{
    struct spool_rig copy = {.clock = rig->clock};
    begin(&copy, &rig->options, WORKER_INLINE, str_printf("%s/logs", folder));
    char *state = str_copy(rig_state(&copy));
    end(&copy);
    return state;
}

char *rig_state_of_copy(struct spool_rig *rig)
{
    char *folder = rig_copy(rig);
    char *state = rig_state_in(rig, folder);
    folder_free(folder);
    return state;
}

/* ---- what sessions do -------------------------------------------------------------------------------------------- */

static void on_promise(struct receipt *receipt, int r)
{
    struct promise *promise = container_of(receipt, struct promise, receipt);
    struct spool_rig *rig = promise->rig;
    struct mail *mail;
    promise->r = r;
    switch (promise->what) {
    case PROMISED_NOTHING: break;
    case PROMISED_RECEIVED:
        mail = rig_mail(rig, promise->session, promise->value);
        if (mail)
            mail->state = r == 0 ? MAIL_RECEIVED : 0;
        break;
    case PROMISED_TAKEN:
        if (r < 0)
            untake(rig, find_taken(rig, promise->session, (uint16_t)promise->value));
        break;
    case PROMISED_RELEASED:
        if (r == 0)
            untake(rig, find_taken(rig, promise->session, (uint16_t)promise->value));
        break;
    }
}

static struct receipt *receipt_of(struct spool_rig *rig, struct promise *promise, enum promised what,
                                  uint64_t session, uint64_t value)
{
    if (!promise)
        return NULL;
    *promise =
        (struct promise){.r = RIG_UNSETTLED, .what = what, .rig = rig, .session = session, .value = value};
    receipt_init(&promise->receipt, on_promise);
    return &promise->receipt;
}

struct msg *rig_msg(const struct spool_rig *rig, const char *payload)
{
    struct msg *msg = msg_new("a/b", 3, payload, strlen(payload));
    CHECK(msg);
    msg->qos = 1;
    msg->born = loop_now(rig->loop);
    return msg;
}

static struct spooled *gather(struct spool_rig *rig, struct msg *msg, uint8_t qos, struct receipt *receipt,
                              const char *sessions)
{
    struct spooled *spooled = NULL;
    for (const char *at = sessions; *at; at++) {
        uint64_t session = (uint64_t)(*at - '0');
        bool is_new;
        struct spooled *gathered = spool_gather(rig->spool, msg, receipt, &is_new);
        CHECK_INT(is_new, spooled == NULL);
        CHECK(is_new || gathered == spooled);
        spooled = gathered;
        struct mail *mail = mail_new(msg, &(struct delivery){.qos = qos});
        uint64_t index = rig->next_index[session];
        hold(rig, mail, session, index);
        spool_add(rig->spool, mail, session, index);
    }
    return spooled;
}

void rig_publish_msg(struct spool_rig *rig, struct msg *msg, uint8_t qos, struct promise *promise,
                     const char *sessions)
{
    (void)gather(rig, msg, qos, receipt_of(rig, promise, PROMISED_NOTHING, 0, 0), sessions);
}

void rig_publish(struct spool_rig *rig, const char *payload, uint8_t qos, struct promise *promise,
                 const char *sessions)
{
    cleanup(msg_unref_p) struct msg *msg = rig_msg(rig, payload);
    rig_publish_msg(rig, msg, qos, promise, sessions);
}

void rig_publish_from(struct spool_rig *rig, const char *payload, struct promise *promise,
                      const char *sessions, uint64_t from, uint16_t packet_id)
{
    cleanup(msg_unref_p) struct msg *msg = rig_msg(rig, payload);
    msg->qos = 2;
    struct receipt *receipt = receipt_of(rig, promise, PROMISED_TAKEN, from, packet_id);
    struct spooled *spooled = gather(rig, msg, 2, receipt, sessions);
    spool_taken_with(spooled, from, packet_id);
    take(rig, from, packet_id, spooled);
}

void rig_done_with(struct spool_rig *rig, uint64_t session, uint64_t index)
{
    struct held *held = find(rig, session, index);
    CHECK(held);
    struct mail *mail = let_go(rig, held);
    spool_done(rig->spool, mail);
    (void)mail_free(mail);
}

void rig_receive(struct spool_rig *rig, uint64_t session, uint64_t index, struct promise *promise)
{
    struct mail *mail = rig_mail(rig, session, index);
    CHECK(mail);
    mail->state = MAIL_RECEIVING;
    spool_received(rig->spool, mail, receipt_of(rig, promise, PROMISED_RECEIVED, session, index));
}

void rig_take(struct spool_rig *rig, uint64_t session, uint16_t packet_id, struct promise *promise)
{
    struct receipt *receipt = receipt_of(rig, promise, PROMISED_TAKEN, session, packet_id);
    take(rig, session, packet_id, spool_taken(rig->spool, session, packet_id, receipt));
}

void rig_release(struct spool_rig *rig, uint64_t session, uint16_t packet_id, struct promise *promise)
{
    struct taken *taken = find_taken(rig, session, packet_id);
    CHECK(taken);
    spool_released(rig->spool, taken->spooled,
                   receipt_of(rig, promise, PROMISED_RELEASED, session, packet_id));
}

/* ---- what can be seen -------------------------------------------------------------------------------------------- */

static int by_place(const void *left, const void *right)
{
    const struct held *a = left, *b = right;
    if (a->session != b->session)
        return a->session < b->session ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static int by_id(const void *left, const void *right)
{
    const struct taken *a = left, *b = right;
    if (a->session != b->session)
        return a->session < b->session ? -1 : 1;
    return a->packet_id - b->packet_id;
}

static void say(struct spool_rig *rig, char *more)
{
    char *before = rig->state;
    rig->state = str_printf("%s%s%s", before, *before ? ", " : "", more);
    free(before);
    free(more);
}

const char *rig_state(struct spool_rig *rig)
{
    enum { SHOWN = 12 };
    if (rig->held_count)
        qsort(rig->held, rig->held_count, sizeof *rig->held, by_place);
    qsort(rig->taken, rig->taken_count, sizeof *rig->taken, by_id);
    free(rig->state);
    rig->state = str_copy("");
    for (size_t i = 0; i < rig->held_count; i++) {
        const struct held *held = &rig->held[i];
        const struct msg *msg = held->mail->msg;
        bool received = held->mail->state & (MAIL_RECEIVED | MAIL_RECEIVING);
        cleanup_free char *text = msg->payload_len > SHOWN
                                      ? str_printf("%c*%u", *msg->payload, (unsigned)msg->payload_len)
                                      : str_copy((const char *)msg->payload);
        say(rig, str_printf("%" PRIu64 "/%" PRIu64 " %s%s%s", held->session, held->index, text,
                            held->mail->qos == 2 ? " twice" : "", received ? " received" : ""));
    }
    for (size_t i = 0; i < rig->taken_count; i++)
        say(rig, str_printf("taken %" PRIu64 ":%u", rig->taken[i].session, rig->taken[i].packet_id));
    return rig->state;
}

struct spool_counters rig_counters(const struct spool_rig *rig)
{
    struct spool_counters counters;
    spool_counters(rig->spool, &counters);
    return counters;
}

size_t rig_segments(const struct spool_rig *rig)
{
    cleanup_free char *folder = str_printf("%s/sessions", rig->path);
    struct dirent **names;
    int n = scandir(folder, &names, is_segment, alphasort);
    CHECK(n >= 0);
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return (size_t)n;
}

static void nothing(struct work *work)
{
    (void)work;
}

/* The spool has the log open: a copy is read. */
const char *rig_kinds(struct spool_rig *rig)
{
    char *folder = rig_copy(rig);
    cleanup_free char *path = str_printf("%s/logs", folder);
    struct seglogs *logs;
    struct seglog *log;
    CHECK_INT(seglogs_open(&logs, rig->loop, path, WORKER_INLINE), 0);
    CHECK_INT(seglog_open(&log, logs, "sessions", NULL), 0);
    struct seglog_read read = {
        .from = seglog_first(log), .max_records = 4096, .max_bytes = 1 << 24, .work.done = nothing};
    seglog_read(log, &read);
    seglogs_quiesce(logs);
    CHECK(read.work.r >= 0 && read.work.r < 4096);
    free(rig->state);
    rig->state = mem_new_bytes((size_t)read.work.r + 1);
    for (int i = 0; i < read.work.r; i++)
        rig->state[i] = *read.records[i].topic;
    seglog_read_done(&read);
    logs = seglogs_close(logs);
    folder_free(folder);
    return rig->state;
}
