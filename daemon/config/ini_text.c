#include "config/ini_text.h"

#include "base/utf8.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct ini_piece trimmed(const char *from, const char *to)
{
    while (from < to && is_blank(*from))
        from++;
    while (to > from && is_blank(to[-1]))
        to--;
    return (struct ini_piece){from, (size_t)(to - from)};
}

static bool is_text(struct ini_piece line)
{
    for (size_t i = 0; i < line.len; i++)
        if (((uint8_t)line.text[i] < 0x20 && line.text[i] != '\t') || line.text[i] == 0x7f)
            return false;
    return utf8_is_valid(line.text, line.len);
}

void ini_text_init(struct ini_text *text, const char *bytes, size_t len)
{
    static const char mark[] = "\xEF\xBB\xBF";
    *text = (struct ini_text){.at = bytes, .end = bytes + len};
    if (len >= strlen(mark) && memcmp(bytes, mark, strlen(mark)) == 0)
        text->at += strlen(mark);
}

static void wrong(struct ini_text *text, struct ini_item *item, struct ini_piece found, const char *expected)
{
    item->type = INI_WRONG;
    item->value = found;
    item->expected = expected;
    text->above = INI_ABOVE_WRONG;
}

static void take_section(struct ini_text *text, struct ini_item *item, struct ini_piece line)
{
    const char *end = line.text + line.len;
    struct ini_piece title = {line.text, 0};
    if (end[-1] == ']')
        title = trimmed(line.text + 1, end - 1);
    if (!title.len || memchr(title.text, ']', title.len) || memchr(title.text, '[', title.len)) {
        wrong(text, item, line, "a section alone on its line, [KIND] or [KIND NAME]");
        item->section_is_wrong = true;
        return;
    }
    const char *space = title.text;
    while (space < title.text + title.len && !is_blank(*space))
        space++;
    item->type = INI_SECTION;
    item->kind = (struct ini_piece){title.text, (size_t)(space - title.text)};
    item->name = trimmed(space, title.text + title.len);
    text->above = INI_ABOVE_NOTHING;
}

static void take_entry(struct ini_text *text, struct ini_item *item, struct ini_piece line)
{
    const char *equals = memchr(line.text, '=', line.len);
    struct ini_piece key = {line.text, 0};
    if (equals)
        key = trimmed(line.text, equals);
    if (!key.len) {
        wrong(text, item, line, "[KIND NAME], KEY = VALUE, or a comment that begins with #");
        return;
    }
    item->type = INI_ENTRY;
    item->key = key;
    item->value = trimmed(equals + 1, line.text + line.len);
    text->above = INI_ABOVE_VALUE;
}

/* One line with something on it. False: it says nothing. */
static bool take_line(struct ini_text *text, struct ini_item *item, struct ini_piece line, bool is_indented)
{
    bool is_comment = *line.text == '#' || *line.text == ';';
    if (is_comment || (is_indented && text->above == INI_ABOVE_WRONG))
        return false;
    if (!is_text(line)) {
        wrong(text, item, line, "text in UTF-8 without control characters");
    } else if (is_indented && text->above == INI_ABOVE_VALUE) {
        item->type = INI_MORE;
        item->value = line;
    } else if (is_indented) {
        wrong(
            text, item, line,
            "a key or a section at the beginning of its line: an indented line goes on with the value above it");
    } else if (*line.text == '[') {
        take_section(text, item, line);
    } else {
        take_entry(text, item, line);
    }
    return true;
}

bool ini_text_next(struct ini_text *text, struct ini_item *ret)
{
    while (text->at < text->end) {
        const char *begin = text->at;
        const char *end = memchr(begin, '\n', (size_t)(text->end - begin));
        if (!end)
            end = text->end;
        text->at = end < text->end ? end + 1 : end;
        text->line++;

        struct ini_piece line = trimmed(begin, end);
        *ret = (struct ini_item){.line = text->line};
        if (memchr(begin, '\0', (size_t)(end - begin))) {
            wrong(text, ret, (struct ini_piece){begin, (size_t)(end - begin)}, "text, not a binary file");
            text->at = text->end;
            return true;
        }
        if (line.len && take_line(text, ret, line, line.text > begin))
            return true;
    }
    return false;
}
