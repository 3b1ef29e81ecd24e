#include "services/streams/stream_topic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum word { WORD_NONE, WORD_TOPIC, WORD_STREAM, WORD_SEQ };

static const struct {
    const char *text;
    size_t len;
} words[] = {
    [WORD_TOPIC] = {"${topic}", sizeof "${topic}" - 1},
    [WORD_STREAM] = {"${stream}", sizeof "${stream}" - 1},
    [WORD_SEQ] = {"${seq}", sizeof "${seq}" - 1},
};

static enum word word_at(const char *text)
{
    for (enum word word = WORD_TOPIC; word < array_size(words); word++)
        if (strncmp(text, words[word].text, words[word].len) == 0)
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
        enum word word = *p == '$' ? word_at(p) : WORD_NONE;
        /* What is no word goes on up to where one may begin. */
        size_t len = word == WORD_NONE ? 1 + strcspn(p + 1, "$") : words[word].len;
        switch (word) {
        case WORD_NONE: add(&text, p, len); break;
        case WORD_TOPIC: add(&text, topic, topic_len); break;
        case WORD_STREAM: add(&text, stream, strlen(stream)); break;
        case WORD_SEQ: add(&text, "", 1); break;
        }
        p += len;
    }
    return text.overrun ? -EMSGSIZE : (int)(text.at - buffer);
}

enum { HOPS_MARK = 0xff };

size_t stream_topic_add_hops(char *stored, size_t len, uint8_t hops)
{
    if (!hops)
        return len;
    stored[len] = (char)HOPS_MARK;
    stored[len + 1] = (char)hops;
    return len + 2;
}

uint8_t stream_topic_hops(const char *stored, size_t *len)
{
    if (*len < 2 || (uint8_t)stored[*len - 2] != HOPS_MARK)
        return 0;
    *len -= 2;
    return (uint8_t)stored[*len + 1];
}

int stream_topic_final(char *buffer, size_t size, const char *stored, size_t stored_len, uint64_t seq)
{
    char number[24];
    int digits = snprintf(number, sizeof number, "%" PRIu64, seq);
    struct text text = {buffer, buffer + size, false};
    (void)stream_topic_hops(stored, &stored_len);
    for (size_t i = 0; i < stored_len; i++) {
        if (stored[i])
            add(&text, stored + i, 1);
        else
            add(&text, number, (size_t)digits);
    }
    add(&text, "", 1);
    return text.overrun ? -EMSGSIZE : (int)(text.at - buffer) - 1;
}
