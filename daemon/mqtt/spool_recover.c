#include "mqtt/spool.h"

#include "base/log.h"
#include "mqtt/spool_log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Reading the log from its first record to its last. What nobody takes is given up at once. */

enum { READ_BYTES = 1024 * 1024, READ_RECORDS = 4096 };

struct recovery {
    struct spool *spool;
    struct spool_reader *reader;
    uint64_t unreadable;
};

static void on_read(struct work *work)
{
    (void)work;
}

static struct msg *message_of(const struct spool *spool, const struct spool_message *message,
                              const uint8_t *payload, size_t payload_len)
{
    struct msg_props props = {
        .bytes = message->props,
        .len = message->props_len,
        .response_at = message->response_at,
        .response_len = message->response_len,
        .correlation_at = message->correlation_at,
        .correlation_len = message->correlation_len,
    };
    struct msg *msg = msg_new_props(message->topic, message->topic_len, &props, payload, payload_len);
    if (!msg)
        return NULL;
    msg->qos = message->qos;
    msg->retain = message->retain;
    if (message->has_expiry)
        msg->expiry_s = message->expiry_s;
    msg->born = clock_was_set(message->born) ? message->born - spool->wall_minus_mono : loop_now(spool->loop);
    return msg;
}

static int take_message(struct recovery *recovery, uint64_t seq, const uint8_t *head, size_t head_len,
                        const uint8_t *payload, size_t payload_len)
{
    struct spool_message message;
    if (spool_get_head(&message, head, head_len) < 0 || payload_len > MSG_PAYLOAD_MAX) {
        recovery->unreadable++;
        return 0;
    }
    struct spool *spool = recovery->spool;
    cleanup(msg_unref_p) struct msg *msg = message_of(spool, &message, payload, payload_len);
    if (!msg)
        return -ENOMEM;
    struct spooled *spooled = spooled_new(spool, msg);
    spooled_keep(spooled, seq);
    spooled->writes++; /* not to be given up while its targets are read */
    struct spool_target target;
    uint32_t ids[UINT8_MAX];
    int r;
    for (size_t at = 0; (r = spool_target_next(&message, &at, &target, ids)) > 0;)
        recovery->reader->target(recovery->reader, spooled, msg, &target);
    if (r < 0)
        recovery->unreadable++;
    if (message.from_session)
        recovery->reader->taken(recovery->reader, spooled, message.from_session, message.from_id, false);
    spooled->writes--;
    spooled_release(spooled);
    return 0;
}

static void take_facts(struct recovery *recovery, uint64_t seq, const uint8_t *bytes, size_t len)
{
    enum spool_fact fact;
    uint64_t session, value;
    int r;
    for (size_t at = 0; (r = spool_fact_next(bytes, len, &at, &fact, &session, &value)) > 0;) {
        if (fact != SPOOL_TAKEN) {
            recovery->reader->fact(recovery->reader, fact, session, value);
            continue;
        }
        struct spooled *spooled = spooled_new(recovery->spool, NULL);
        spooled_keep(spooled, seq);
        recovery->reader->taken(recovery->reader, spooled, session, (uint16_t)value, true);
        spooled_release(spooled);
    }
    if (r < 0)
        recovery->unreadable++;
}

static int take_record(struct recovery *recovery, const struct seglog_record *record)
{
    const uint8_t *head = (const uint8_t *)record->topic;
    uint64_t head_len;
    size_t n;
    switch (record->topic_len ? *head : 0) {
    case 'M':
        return take_message(recovery, record->seq, head + 1, record->topic_len - 1, record->payload,
                            record->payload_len);
    case 'L':
        n = spool_get_number(record->payload, record->payload_len, &head_len);
        if (!n || head_len > record->payload_len - n)
            break;
        return take_message(recovery, record->seq, record->payload + n, (size_t)head_len,
                            record->payload + n + head_len, record->payload_len - n - (size_t)head_len);
    case 'F': take_facts(recovery, record->seq, record->payload, record->payload_len); return 0;
    default: break;
    }
    recovery->unreadable++;
    return 0;
}

int spool_recover(struct spool *spool, struct spool_reader *reader, int64_t wall_minus_mono)
{
    struct recovery recovery = {spool, reader, 0};
    struct seglog_read read = {
        .from = seglog_first(spool->log), .max_bytes = READ_BYTES, .max_records = READ_RECORDS};
    read.work.done = on_read;
    spool->wall_minus_mono = wall_minus_mono;
    int r;
    do {
        seglog_read(spool->log, &read);
        seglogs_quiesce(spool->logs);
        r = read.work.r;
        for (int i = 0; i < r; i++) {
            int fault = take_record(&recovery, &read.records[i]);
            read.from = read.records[i].seq + 1;
            if (fault < 0)
                r = fault;
        }
    } while (r > 0);
    seglog_read_done(&read);
    if (recovery.unreadable)
        log_error("sessions: %" PRIu64 " records cannot be read; the rest is served, the file is kept",
                  recovery.unreadable);
    return r;
}
