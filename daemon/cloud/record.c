#include "cloud/record.h"

#include "base/base64.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void put_payload(struct json_writer *w, const struct msg *msg)
{
    if (utf8_is_valid((const char *)msg->payload, msg->payload_len)) {
        json_key(w, "payload");
        json_put_string_n(w, (const char *)msg->payload, msg->payload_len);
        return;
    }
    size_t size = base64_size(msg->payload_len);
    char *text = arena_alloc(w->arena, size + 1);
    base64_write(text, msg->payload, msg->payload_len);
    json_key(w, "base64");
    json_put_string_n(w, text, size);
}

void record_put(struct json_writer *w, const struct link_publish *publish)
{
    const struct msg_record *record = publish->msg->record;
    json_begin_object(w);
    json_key(w, "topic");
    json_put_string(w, publish->topic);
    if (record) {
        json_key(w, "time");
        json_put_int(w, record->wall);
        json_key(w, "stream");
        json_put_string(w, record->stream);
        json_key(w, "seq");
        json_put_uint(w, record->seq);
    }
    put_payload(w, publish->msg);
    json_end_object(w);
}

/* ---- patterns ---------------------------------------------------------------------------------------------------- */

enum word { TOPIC, STREAM, SEQ, TIME, GATEWAY, UPLINK, YEAR, MONTH, DAY, HOUR, WORDS };

static const char *const words[WORDS] = {"${topic}",  "${stream}", "${seq}",   "${time}", "${gateway}",
                                         "${uplink}", "${year}",   "${month}", "${day}",  "${hour}"};

static enum word word_at(const char *text)
{
    enum word word = 0;
    while (word < WORDS && strncmp(text, words[word], strlen(words[word])) != 0)
        word++;
    return word;
}

const char *record_pattern_check(const char *pattern)
{
    for (const char *at = strstr(pattern, "${"); at; at = strstr(at + 1, "${"))
        if (word_at(at) == WORDS)
            return "${topic}, ${stream}, ${seq}, ${time}, ${gateway}, ${uplink}, ${year}, ${month}, ${day} or ${hour}";
    return NULL;
}

bool record_pattern_varies(const char *pattern)
{
    for (const char *at = strstr(pattern, "${"); at; at = strstr(at + 1, "${")) {
        enum word word = word_at(at);
        if (word != WORDS && word != GATEWAY && word != UPLINK)
            return true;
    }
    return false;
}

/* A part of the date, with two digits or, for the year, four. */
static char *date(struct arena *arena, enum word word, int64_t wall)
{
    time_t seconds = (time_t)(wall / 1000);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm))
        return arena_copy(arena, "-", 1);
    int part = word == MONTH ? tm.tm_mon + 1 : word == DAY ? tm.tm_mday : tm.tm_hour;
    return word == YEAR ? arena_printf(arena, "%04d", tm.tm_year + 1900) : arena_printf(arena, "%02d", part);
}

static const char *value_of(struct arena *arena, enum word word, const struct link_publish *publish,
                            const struct record_names *names)
{
    const struct msg_record *record = publish->msg->record;
    int64_t wall = record ? record->wall : names->now;
    switch (word) {
    case TOPIC: return publish->topic;
    case STREAM: return record ? record->stream : "-";
    case SEQ: return record ? arena_printf(arena, "%" PRIu64, record->seq) : "-";
    case TIME: return arena_printf(arena, "%" PRId64, wall);
    case GATEWAY: return names->gateway;
    case UPLINK: return names->uplink;
    case YEAR:
    case MONTH:
    case DAY:
    case HOUR: return date(arena, word, wall);
    case WORDS: break;
    }
    return "-";
}

struct text {
    struct arena *arena;
    char *bytes;
    size_t len, size;
};

static void add(struct text *text, const char *bytes, size_t len)
{
    if (text->len + len + 1 > text->size) {
        size_t size = 2 * text->size + len + 64;
        text->bytes = arena_grow(text->arena, text->bytes, text->size, size);
        text->size = size;
    }
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
    text->bytes[text->len] = '\0';
}

char *record_fill(struct arena *arena, const char *pattern, const struct link_publish *publish,
                  const struct record_names *names, record_escape *escape)
{
    /* The values have an arena of their own, so that the text grows in place. */
    struct arena scratch = {0};
    struct text text = {.arena = arena};
    add(&text, "", 0);
    for (const char *at = pattern; *at;) {
        enum word word = word_at(at);
        if (word == WORDS) {
            add(&text, at++, 1);
            continue;
        }
        const char *value = value_of(&scratch, word, publish, names);
        if (escape)
            value = escape(&scratch, value);
        add(&text, value, strlen(value));
        at += strlen(words[word]);
    }
    arena_done(&scratch);
    return text.bytes;
}
