#include "base/topic.h"

#include <string.h>

bool topic_level(const char *topic, size_t len, size_t *at, const char **level, size_t *level_len)
{
    if (*at > len)
        return false;
    const char *begin = topic + *at;
    const char *end = memchr(begin, '/', len - *at);
    *level = begin;
    *level_len = end ? (size_t)(end - begin) : len - *at;
    *at += *level_len + 1;
    return true;
}

static bool is(const char *level, size_t len, char wildcard)
{
    return len == 1 && *level == wildcard;
}

bool topic_matches(const char *filter, size_t filter_len, const char *topic, size_t topic_len)
{
    if (topic_len && *topic == '$' && filter_len && (*filter == '+' || *filter == '#'))
        return false;
    const char *f, *t;
    size_t fn, tn;
    for (size_t fa = 0, ta = 0;;) {
        if (!topic_level(filter, filter_len, &fa, &f, &fn))
            return ta > topic_len; /* both at their end */
        if (is(f, fn, '#'))
            return true; /* the parent too: the topic may be at its end */
        if (!topic_level(topic, topic_len, &ta, &t, &tn))
            return false;
        if (!is(f, fn, '+') && (fn != tn || memcmp(f, t, fn) != 0))
            return false;
    }
}

bool topic_covers(const char *wide, size_t wide_len, const char *narrow, size_t narrow_len)
{
    if (narrow_len && *narrow == '$' && wide_len && (*wide == '+' || *wide == '#'))
        return false;
    const char *w, *n;
    size_t wn, nn;
    for (size_t wa = 0, na = 0;;) {
        if (!topic_level(wide, wide_len, &wa, &w, &wn))
            return na > narrow_len;
        if (is(w, wn, '#'))
            return true;
        if (!topic_level(narrow, narrow_len, &na, &n, &nn))
            return false;
        if (is(n, nn, '#'))
            return false;
        if (!is(w, wn, '+') && (wn != nn || memcmp(w, n, wn) != 0))
            return false;
    }
}

int topic_pieces(const char *pattern, const char *topic, size_t topic_len, struct topic_piece *pieces,
                 int max)
{
    size_t pattern_len = strlen(pattern);
    int count = 0;
    const char *p, *t;
    size_t pn, tn;
    for (size_t pa = 0, ta = 0;;) {
        if (!topic_level(pattern, pattern_len, &pa, &p, &pn))
            return ta > topic_len ? count : -1;
        if (is(p, pn, '#')) {
            if (count < max)
                pieces[count] = ta > topic_len ? (struct topic_piece){topic + topic_len, 0}
                                               : (struct topic_piece){topic + ta, topic_len - ta};
            return count + 1;
        }
        if (!topic_level(topic, topic_len, &ta, &t, &tn))
            return -1;
        if (is(p, pn, '+')) {
            if (count < max)
                pieces[count] = (struct topic_piece){t, tn};
            count++;
        } else if (pn != tn || memcmp(p, t, pn) != 0) {
            return -1;
        }
    }
}
