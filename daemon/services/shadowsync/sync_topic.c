#include "services/shadowsync/sync_topic.h"

#include <string.h>

static const char things[] = "$aws/things/";
static const char *const verbs[] = {[SYNC_GET] = "get", [SYNC_UPDATE] = "update", [SYNC_DELETE] = "delete"};

/* ---- patterns ---------------------------------------------------------------------------------------------------- */

static bool is_plus(const struct topic_piece *piece)
{
    return piece->len == 1 && *piece->text == '+';
}

static bool name_is_good(const struct topic_piece *piece, size_t max)
{
    if (is_plus(piece))
        return true;
    for (size_t i = 0; i < piece->len; i++) {
        char c = piece->text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' ||
              c == '_' || c == '-' || (c == '$' && i == 0)))
            return false;
    }
    return piece->len && piece->len <= max;
}

static bool parse_pattern(struct sync_pattern *ret, const char *text, size_t len)
{
    const char *slash = memchr(text, '/', len);
    ret->thing = (struct topic_piece){text, slash ? (size_t)(slash - text) : len};
    ret->name = (struct topic_piece){NULL, 0};
    if (slash)
        ret->name = (struct topic_piece){slash + 1, len - ret->thing.len - 1};
    return name_is_good(&ret->thing, SYNC_THING_MAX) && *text != '$' &&
           (!slash || name_is_good(&ret->name, SYNC_NAME_MAX));
}

int sync_patterns_parse(struct sync_pattern patterns[SYNC_PATTERNS_MAX], const char *text)
{
    int count = 0;
    while (*(text += strspn(text, " \t\n"))) {
        size_t len = strcspn(text, " \t\n");
        if (count == SYNC_PATTERNS_MAX || !parse_pattern(&patterns[count++], text, len))
            return -1;
        text += len;
    }
    return count ? count : -1;
}

static bool fits(const struct topic_piece *pattern, const struct topic_piece *piece)
{
    return is_plus(pattern) ||
           (pattern->len == piece->len && memcmp(pattern->text, piece->text, piece->len) == 0);
}

bool sync_pattern_matches(const struct sync_pattern *pattern, const struct topic_piece *thing,
                          const struct topic_piece *name)
{
    return fits(&pattern->thing, thing) && (pattern->name.text != NULL) == (name->len > 0) &&
           (!name->len || fits(&pattern->name, name));
}

bool sync_pattern_is_plain(const struct sync_pattern *pattern)
{
    return !is_plus(&pattern->thing) && !(pattern->name.text && is_plus(&pattern->name));
}

char *sync_pattern_filter(struct arena *arena, const struct sync_pattern *pattern, int i)
{
    /* not update/+: delta and documents would come, too, and say nothing more */
    static const char *const answers[SYNC_FILTERS] = {"get/+", "update/accepted", "update/rejected",
                                                      "delete/+"};
    return arena_printf(arena, "%s%.*s/shadow%s%.*s/%s", things, (int)pattern->thing.len, pattern->thing.text,
                        pattern->name.text ? "/name/" : "", (int)pattern->name.len,
                        pattern->name.text ? pattern->name.text : "", answers[i]);
}

/* ---- topics ------------------------------------------------------------------------------------------------------ */

static bool is(const struct topic_piece *piece, const char *text)
{
    return piece->len == strlen(text) && memcmp(piece->text, text, piece->len) == 0;
}

bool sync_topic_parse(struct sync_topic *ret, const char *topic, size_t len)
{
    struct topic_piece pieces[4] = {{"", 0}, {"", 0}, {"", 0}, {"", 0}};
    bool named = topic_pieces("$aws/things/+/shadow/name/+/+/+", topic, len, pieces, 4) == 4;
    if (!named) {
        if (topic_pieces("$aws/things/+/shadow/+/+", topic, len, pieces, 3) != 3)
            return false;
        pieces[3] = pieces[2];
        pieces[2] = pieces[1];
        pieces[1] = (struct topic_piece){"", 0};
    }
    *ret = (struct sync_topic){.thing = pieces[0], .name = pieces[1], .accepted = is(&pieces[3], "accepted")};
    if (!ret->accepted && !is(&pieces[3], "rejected"))
        return false;
    if (!ret->thing.len || ret->thing.len > SYNC_THING_MAX || (named && !ret->name.len) ||
        ret->name.len > SYNC_NAME_MAX)
        return false;
    for (size_t i = 0; i < array_size(verbs); i++)
        if (is(&pieces[2], verbs[i])) {
            ret->verb = (enum sync_verb)i;
            return true;
        }
    return false;
}

char *sync_topic_request(struct arena *arena, const char *thing, const char *name, enum sync_verb verb)
{
    return arena_printf(arena, "%s%s/shadow%s%s/%s", things, thing, *name ? "/name/" : "", name, verbs[verb]);
}
