#include "threshold/alarm.h"

#include "base/json_write.h"
#include "base/topic.h"

#include <string.h>

enum { PIECES_MAX = 9 };

const struct json *alarm_number(struct arena *arena, const char *field, const char *payload, size_t len)
{
    struct json *value;
    if (json_parse(&value, arena, payload, len, NULL) != 0)
        return NULL;
    for (const char *at = field; value && *at;) {
        size_t n = strcspn(at, ".");
        value = json_get_n(value, at, n);
        at += n + (at[n] == '.');
    }
    double number;
    return json_double(value, &number) ? value : NULL;
}

/* Which wildcard ${…} stands for: 1 to 9, 0 for the whole topic, -1 for none. *behind is where it ends. */
static int placeholder(const char *at, const char **behind)
{
    static const char topic[] = "${topic}";
    if (strncmp(at, topic, sizeof topic - 1) == 0) {
        *behind = at + sizeof topic - 1;
        return 0;
    }
    if (at[2] < '1' || at[2] > '9' || at[3] != '}')
        return -1;
    *behind = at + 4;
    return at[2] - '0';
}

static int count_wildcards(const char *filter)
{
    int n = 0;
    for (const char *at = filter; *at; at++)
        n += *at == '+' || *at == '#';
    return n;
}

bool alarm_pattern_is_valid(const char *pattern, const char *filter, const char **bad)
{
    for (const char *at = pattern, *behind; (at = strstr(at, "${")); at = behind) {
        int n = placeholder(at, &behind);
        if (n < 0 || n > count_wildcards(filter)) {
            *bad = at;
            return false;
        }
    }
    return true;
}

static void put(struct arena *arena, char **text, size_t *len, const char *bytes, size_t count)
{
    *text = arena_grow(arena, *text, *text ? *len + 1 : 0, *len + count + 1);
    if (count)
        memcpy(*text + *len, bytes, count);
    *len += count;
    (*text)[*len] = '\0';
}

char *alarm_expand(struct arena *arena, const char *pattern, const char *filter, const char *topic,
                   size_t len)
{
    struct topic_piece pieces[PIECES_MAX];
    int count = topic_pieces(filter, topic, len, pieces, PIECES_MAX);
    char *text = NULL;
    size_t text_len = 0;
    while (*pattern) {
        const char *at = strstr(pattern, "${");
        size_t plain = at ? (size_t)(at - pattern) : strlen(pattern);
        put(arena, &text, &text_len, pattern, plain);
        pattern += plain;
        if (!at)
            break;
        int n = placeholder(at, &pattern);
        if (n == 0)
            put(arena, &text, &text_len, topic, len);
        else if (n <= count)
            put(arena, &text, &text_len, pieces[n - 1].text, pieces[n - 1].len);
    }
    if (!text)
        put(arena, &text, &text_len, "", 0);
    return text;
}

char *alarm_payload(struct arena *arena, const struct alarm_text *text, const struct rule *rule,
                    const struct rule_verdict *verdict, const char *topic, size_t topic_len,
                    const char *number, size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, arena);
    json_begin_object(&writer);
    json_key(&writer, "state");
    json_put_string(&writer, verdict->event == RULE_RAISED ? "raised" : "cleared");
    json_key(&writer, "side");
    json_put_string(&writer, verdict->side == RULE_ABOVE ? "above" : "below");
    json_key(&writer, "topic");
    json_put_string_n(&writer, topic, topic_len);
    json_key(&writer, "field");
    json_put_string(&writer, text->field);
    json_key(&writer, "value");
    json_put_raw(&writer, number, strlen(number));
    json_key(&writer, "limit");
    json_put_double(&writer, rule_limit(rule, verdict->side));
    if (text->message) {
        json_key(&writer, "message");
        json_put_string(&writer, alarm_expand(arena, text->message, text->topic, topic, topic_len));
    }
    json_end_object(&writer);
    return json_writer_text(&writer, len);
}
