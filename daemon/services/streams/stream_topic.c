#include "services/streams/stream_topic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum word { WORD_NONE, WORD_TOPIC, WORD_STREAM, WORD_SEQ };

static const char *const words[] = {
    [WORD_TOPIC] = "${topic}", [WORD_STREAM] = "${stream}", [WORD_SEQ] = "${seq}"};

static enum word word_at(const char *text)
{
    for (enum word word = WORD_TOPIC; word <= WORD_SEQ; word++)
        if (strncmp(text, words[word], strlen(words[word])) == 0)
            return word;
    return WORD_NONE;
}

const char *stream_topic_check(const char *pattern)
{
    if (!*pattern)
        return "a topic with ${topic}, ${stream} or ${seq}";
    if (strlen(pattern) > STREAM_PATTERN_MAX)
        return "at most 1000 characters";
    if (strpbrk(pattern, "+#"))
        return "a topic without the wildcards + and #";
    for (const char *p = strchr(pattern, '$'); p; p = strchr(p + 1, '$'))
        if (p[1] == '{' && !word_at(p))
            return "${topic}, ${stream} or ${seq}";
    return NULL;
}

struct text {
    char *at, *end;
    bool overrun;
};

static void add(struct text *text, const char *bytes, size_t len)
{
    if (len > (size_t)(text->end - text->at)) {
        text->overrun = true;
        return;
    }
    memcpy(text->at, bytes, len);
    text->at += len;
}

int stream_topic_make(char *buffer, size_t size, const char *pattern, const char *topic, size_t topic_len,
                      const char *stream)
{
    struct text text = {buffer, buffer + size_min(size, STREAM_TOPIC_MAX), false};
    for (const char *p = pattern; *p;) {
        enum word word = word_at(p);
        switch (word) {
        case WORD_NONE: add(&text, p++, 1); continue;
        case WORD_TOPIC: add(&text, topic, topic_len); break;
        case WORD_STREAM: add(&text, stream, strlen(stream)); break;
        case WORD_SEQ: add(&text, "", 1); break;
        }
        p += strlen(words[word]);
    }
    return text.overrun ? -EMSGSIZE : (int)(text.at - buffer);
}

int stream_topic_final(char *buffer, size_t size, const char *stored, size_t stored_len, uint64_t seq)
{
    char number[24];
    int digits = snprintf(number, sizeof number, "%" PRIu64, seq);
    struct text text = {buffer, buffer + size, false};
    for (size_t i = 0; i < stored_len; i++) {
        if (stored[i])
            add(&text, stored + i, 1);
        else
            add(&text, number, (size_t)digits);
    }
    add(&text, "", 1);
    return text.overrun ? -EMSGSIZE : (int)(text.at - buffer) - 1;
}
