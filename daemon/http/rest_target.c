#include "http/rest_target.h"

#include "wire/mqtt.h"

#include <string.h>

/* The path is cut at its slashes before anything is decoded. Decoded pieces are put one behind the other into the room,
 * which is as large as the largest head. */

struct parse {
    struct rest_target *target;
    char *room;
    size_t at; /* in the room */
    const char *why;
};

static int refuse(struct parse *parse, int status, const char *sentence)
{
    parse->why = sentence;
    return status;
}

/* ---- decoding ------------------------------------------------------------------------------------------------------ */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode(struct parse *parse, struct http_text text, struct http_text *ret)
{
    char *begin = parse->room + parse->at, *to = begin;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '%') {
            int high = text.len - i > 2 ? hex_of(text.at[i + 1]) : -1;
            int low = text.len - i > 2 ? hex_of(text.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return refuse(parse, 400, "expected two hexadecimal digits behind %");
            c = (char)(high << 4 | low);
            i += 2;
        }
        *to++ = c;
    }
    *ret = (struct http_text){begin, (size_t)(to - begin)};
    parse->at += ret->len;
    return 0;
}

/* [a-zA-Z0-9:_-]+ */
static bool is_name(struct http_text text, size_t max)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' ||
              c == '_' || c == '-'))
            return false;
    }
    return text.len >= 1 && text.len <= max;
}

/* ---- values -------------------------------------------------------------------------------------------------------- */

static int take_thing(struct parse *parse, struct http_text text)
{
    int r = decode(parse, text, &parse->target->thing);
    if (r == 0 && !is_name(parse->target->thing, REST_THING_MAX))
        return refuse(parse, 400, "Invalid thing name");
    return r;
}

static int take_name(struct parse *parse, struct http_text text)
{
    if (!is_name(text, REST_NAME_MAX))
        return refuse(parse, 400, "Invalid shadow name");
    parse->target->name = text;
    return 0;
}

static int take_page_size(struct parse *parse, struct http_text text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] < '0' || text.at[i] > '9')
            return refuse(parse, 400, "Invalid pageSize");
    if (text.len < 1 || text.len > 3 ||
        *text.at == '0') /* which numbers are good is said where pages are made */
        return refuse(parse, 400, "Invalid pageSize");
    parse->target->page_size = text;
    return 0;
}

static int take_next_token(struct parse *parse, struct http_text text)
{
    if (text.len > REST_TOKEN_MAX || !wire_utf8_is_valid(text.at, text.len))
        return refuse(parse, 400, "Invalid nextToken");
    parse->target->next_token = text;
    return 0;
}

static int take_qos(struct parse *parse, struct http_text text)
{
    if (!http_text_is(text, "0") && !http_text_is(text, "1"))
        return refuse(parse, 400, "expected qos=0 or qos=1");
    parse->target->qos = (uint8_t)(*text.at - '0');
    return 0;
}

static int take_retain(struct parse *parse, struct http_text text)
{
    if (!http_text_is(text, "true") && !http_text_is(text, "false"))
        return refuse(parse, 400, "expected retain=true or retain=false");
    parse->target->retain = http_text_is(text, "true");
    return 0;
}

static int take_topic(struct parse *parse, struct http_text text)
{
    struct http_text *topic = &parse->target->topic;
    int r = decode(parse, text, topic);
    if (r == 0 && (!wire_utf8_is_valid(topic->at, topic->len) || !wire_topic_is_valid(topic->at, topic->len)))
        return refuse(parse, 400, "expected a topic in UTF-8, without + and # and control characters");
    return r;
}

/* ---- query --------------------------------------------------------------------------------------------------------- */

struct query_key {
    const char *name;
    int (*take)(struct parse *parse, struct http_text value);
    const char *twice;
};

enum { KEYS_MAX = 2 };

static const struct query_key shadow_keys[KEYS_MAX] = {{"name", take_name, "expected one name"}};
static const struct query_key list_keys[KEYS_MAX] = {
    {"pageSize", take_page_size, "expected one pageSize"},
    {"nextToken", take_next_token, "expected one nextToken"},
};
static const struct query_key no_keys[KEYS_MAX];
static const struct query_key publish_keys[KEYS_MAX] = {
    {"qos", take_qos, "expected one qos"},
    {"retain", take_retain, "expected one retain"},
};

static int take_pair(struct parse *parse, const struct query_key *keys, unsigned *seen, struct http_text pair)
{
    const char *end = pair.at + pair.len;
    const char *mark = pair.len ? memchr(pair.at, '=', pair.len) : NULL;
    struct http_text key = {pair.at, (size_t)((mark ? mark : end) - pair.at)};
    struct http_text value = {mark ? mark + 1 : end, mark ? (size_t)(end - mark - 1) : 0};
    for (unsigned i = 0; i < KEYS_MAX && keys[i].name; i++) {
        if (!http_text_is(key, keys[i].name))
            continue;
        if (*seen & 1u << i)
            return refuse(parse, 400, keys[i].twice);
        *seen |= 1u << i;
        int r = decode(parse, value, &value);
        return r == 0 ? keys[i].take(parse, value) : r;
    }
    return 0;
}

static int take_query(struct parse *parse, const struct query_key *keys, struct http_text query)
{
    unsigned seen = 0;
    while (query.len) {
        const char *end = memchr(query.at, '&', query.len);
        struct http_text pair = {query.at, end ? (size_t)(end - query.at) : query.len};
        int r = take_pair(parse, keys, &seen, pair);
        if (r != 0)
            return r;
        size_t step = pair.len + (end != NULL);
        query = (struct http_text){query.at + step, query.len - step};
    }
    return 0;
}

/* ---- path ---------------------------------------------------------------------------------------------------------- */

static bool take_prefix(struct http_text *path, const char *prefix)
{
    size_t len = strlen(prefix);
    if (path->len < len || memcmp(path->at, prefix, len) != 0)
        return false;
    *path = (struct http_text){path->at + len, path->len - len};
    return true;
}

static bool take_suffix(struct http_text *path, const char *suffix)
{
    size_t len = strlen(suffix);
    if (path->len < len || memcmp(path->at + path->len - len, suffix, len) != 0)
        return false;
    path->len -= len;
    return true;
}

static bool is_one_segment(struct http_text text)
{
    return text.len && !memchr(text.at, '/', text.len);
}

struct method {
    const char *name;
    enum rest_verb verb;
};

/* A kind of path: what is done there, and what its query may say. */
struct place {
    struct method methods[3];
    const char *allow; /* their names */
    int (*take)(struct parse *parse, struct http_text part);
    const struct query_key *keys;
};

static const struct place shadow_place = {
    {{"GET", REST_GET_SHADOW}, {"POST", REST_UPDATE_SHADOW}, {"DELETE", REST_DELETE_SHADOW}},
    "GET, POST, DELETE",
    take_thing,
    shadow_keys,
};
static const struct place list_place = {{{"GET", REST_LIST_SHADOWS}}, "GET", take_thing, list_keys};
static const struct place publish_place = {{{"POST", REST_PUBLISH}}, "POST", take_topic, publish_keys};

static int take_nothing(struct parse *parse, struct http_text part)
{
    (void)parse, (void)part;
    return 0;
}

static const struct place metrics_place = {{{"GET", REST_METRICS}}, "GET", take_nothing, no_keys};

/* Where it is; *part is what of the path varies. NULL: nowhere. */
static const struct place *find_place(struct http_text path, struct http_text *part)
{
    *part = path;
    if (take_prefix(part, "/things/") && take_suffix(part, "/shadow") && is_one_segment(*part))
        return &shadow_place;
    *part = path;
    if (take_prefix(part, "/api/things/shadow/ListNamedShadowsForThing/") && is_one_segment(*part))
        return &list_place;
    if (http_text_is(path, "/metrics"))
        return &metrics_place;
    *part = path;
    return take_prefix(part, "/topics/") ? &publish_place : NULL;
}

static int take_all(struct parse *parse, const struct http_head *head, const char **allow)
{
    struct http_text part;
    const struct place *place = find_place(head->path, &part);
    if (!place)
        return refuse(parse, 404,
                      "expected /things/THING/shadow, /api/things/shadow/ListNamedShadowsForThing/THING, "
                      "/topics/TOPIC or /metrics");
    const struct method *method = NULL;
    for (size_t i = 0; i < array_size(place->methods) && place->methods[i].name; i++)
        if (http_text_is(head->method, place->methods[i].name))
            method = &place->methods[i];
    if (!method) {
        *allow = place->allow;
        return refuse(parse, 405, "Method not allowed");
    }
    parse->target->verb = method->verb;
    int r = place->take(parse, part);
    return r == 0 ? take_query(parse, place->keys, head->query) : r;
}

int rest_target_parse(struct rest_target *ret, const struct http_head *head, char room[REST_ROOM],
                      const char **allow, const char **why)
{
    struct parse parse = {.target = ret, .room = room};
    *ret = (struct rest_target){0};
    *allow = NULL;
    int r = take_all(&parse, head, allow);
    if (r != 0)
        *why = parse.why;
    return r;
}
