#include "config/ini.h"

#include "base/utf8.h"
#include "config/ini_text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN_MAX = 100, FIRST_READ = 16 * 1024 };

char *ini_shown(const char *text, size_t len)
{
    static const char dots[] = "…";
    char shown[4 * SHOWN_MAX + sizeof dots];
    size_t at = 0, i = 0;
    while (i < len && i < SHOWN_MAX) {
        size_t n = utf8_sequence(text + i, text + len);
        if (!n || (uint8_t)text[i] < 0x20 || text[i] == 0x7f) {
            at += (size_t)snprintf(shown + at, sizeof shown - at, "\\x%02x", (uint8_t)text[i++]);
            continue;
        }
        memcpy(shown + at, text + i, n);
        at += n;
        i += n;
    }
    if (i < len) {
        memcpy(shown + at, dots, strlen(dots));
        at += strlen(dots);
    }
    return str_copy_n(shown, at);
}

/* ---- one file ---------------------------------------------------------------------------------------------------- */

struct reader {
    struct ini *ini;
    const char *path;
    struct ini_faults *faults;
    size_t section; /* an index: the sections move when one is added */
    enum { BEFORE_SECTIONS, IN_SECTION, IN_WRONG_SECTION } where;
    struct ini_entry *above; /* what an INI_MORE goes on with; NULL: with something wrong */
};

static void add_fault(struct reader *reader, char *sentence)
{
    reader->faults->add(reader->faults, sentence);
}

static bool is_same(const char *text, struct ini_piece piece)
{
    return strncmp(text, piece.text, piece.len) == 0 && !text[piece.len];
}

static struct ini_section *find_section(struct ini *ini, const struct ini_item *item)
{
    for (size_t i = 0; i < ini->count; i++)
        if (is_same(ini->sections[i].kind, item->kind) && is_same(ini->sections[i].name, item->name))
            return &ini->sections[i];
    return NULL;
}

static struct ini_section *add_section(struct ini *ini, const struct ini_item *item)
{
    struct ini_section *sections = realloc(ini->sections, (ini->count + 1) * sizeof *sections);
    if (!sections)
        abort();
    ini->sections = sections;
    struct ini_section *section = &sections[ini->count++];
    *section = (struct ini_section){.kind = str_copy_n(item->kind.text, item->kind.len),
                                    .name = str_copy_n(item->name.text, item->name.len)};
    return section;
}

static void on_section(struct reader *reader, const struct ini_item *item)
{
    struct ini_section *section = find_section(reader->ini, item);
    if (!section)
        section = add_section(reader->ini, item);
    else if (section->file == reader->path)
        add_fault(reader, str_printf("%s:%d: [%s%s%s]: expected once in a file, found it in line %d already",
                                     reader->path, item->line, section->kind, *section->name ? " " : "",
                                     section->name, section->line));
    section->file = reader->path;
    section->line = item->line;
    reader->section = (size_t)(section - reader->ini->sections);
    reader->where = IN_SECTION;
    reader->above = NULL;
}

static struct ini_entry *find_entry(struct ini_section *section, struct ini_piece key)
{
    for (size_t i = 0; i < section->count; i++)
        if (is_same(section->entries[i].key, key))
            return &section->entries[i];
    return NULL;
}

static struct ini_entry *add_entry(struct ini_section *section, struct ini_piece key)
{
    struct ini_entry *entries = realloc(section->entries, (section->count + 1) * sizeof *entries);
    if (!entries)
        abort();
    section->entries = entries;
    struct ini_entry *entry = &entries[section->count++];
    *entry = (struct ini_entry){.key = str_copy_n(key.text, key.len)};
    return entry;
}

static void on_entry(struct reader *reader, const struct ini_item *item)
{
    reader->above = NULL;
    if (reader->where == IN_WRONG_SECTION)
        return;
    if (reader->where == BEFORE_SECTIONS) {
        cleanup_free char *key = ini_shown(item->key.text, item->key.len);
        add_fault(reader, str_printf("%s:%d: expected a section first, for instance [gateway], found \"%s\"",
                                     reader->path, item->line, key));
        return;
    }
    struct ini_section *section = &reader->ini->sections[reader->section];
    struct ini_entry *entry = find_entry(section, item->key);
    if (entry && entry->file == reader->path) {
        cleanup_free char *value = ini_shown(item->value.text, item->value.len);
        add_fault(reader,
                  str_printf("%s:%d: [%s%s%s] %s: expected once in a section, line %d has it already, "
                             "found \"%s\"",
                             reader->path, item->line, section->kind, *section->name ? " " : "",
                             section->name, entry->key, entry->line, value));
        return;
    }
    if (!entry)
        entry = add_entry(section, item->key);
    free(entry->value);
    entry->value = str_copy_n(item->value.text, item->value.len);
    entry->file = reader->path;
    entry->line = item->line;
    reader->above = entry;
}

static void on_more(struct reader *reader, const struct ini_item *item)
{
    struct ini_entry *entry = reader->above;
    if (!entry)
        return;
    char *joined = str_printf("%s%s%.*s", entry->value, *entry->value ? " " : "", (int)item->value.len,
                              item->value.text);
    free(entry->value);
    entry->value = joined;
}

static void on_wrong(struct reader *reader, const struct ini_item *item)
{
    cleanup_free char *found = ini_shown(item->value.text, item->value.len);
    add_fault(reader, str_printf("%s:%d: expected %s, found \"%s\"", reader->path, item->line, item->expected,
                                 found));
    reader->above = NULL;
    if (item->section_is_wrong)
        reader->where = IN_WRONG_SECTION;
}

static const char *add_file(struct ini *ini, const char *path)
{
    char **files = realloc(ini->files, (ini->file_count + 1) * sizeof *files);
    if (!files)
        abort();
    ini->files = files;
    return files[ini->file_count++] = str_copy(path);
}

void ini_parse(struct ini *ini, const char *path, const char *text, size_t len, struct ini_faults *faults)
{
    struct reader reader = {.ini = ini, .path = add_file(ini, path), .faults = faults};
    struct ini_text lines;
    struct ini_item item;
    ini_text_init(&lines, text, len);
    while (ini_text_next(&lines, &item)) {
        switch (item.type) {
        case INI_SECTION: on_section(&reader, &item); break;
        case INI_ENTRY: on_entry(&reader, &item); break;
        case INI_MORE: on_more(&reader, &item); break;
        case INI_WRONG: on_wrong(&reader, &item); break;
        }
    }
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* The whole file; -EFBIG when it is longer than a configuration can be. */
static int read_whole(const char *path, char **ret, size_t *ret_len)
{
    cleanup(fd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    cleanup_free char *text = NULL;
    size_t len = 0, size = 0;
    for (;;) {
        if (len == size) {
            size = size ? 2 * size : FIRST_READ;
            char *grown = realloc(text, size);
            if (!grown)
                return -ENOMEM;
            text = grown;
        }
        ssize_t n = read(fd, text + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > INI_FILE_MAX)
            return -EFBIG;
    }
    *ret = steal(text);
    *ret_len = len;
    return 0;
}

void ini_read(struct ini *ini, const char *path, struct ini_faults *faults)
{
    cleanup_free char *text = NULL;
    size_t len = 0;
    int r = read_whole(path, &text, &len);
    if (r == -EFBIG)
        faults->add(faults, str_printf("%s: expected a file of at most %d bytes", path, INI_FILE_MAX));
    else if (r < 0)
        faults->add(faults, str_printf("%s: expected a file that can be read: %s", path, strerror(-r)));
    else
        ini_parse(ini, path, text, len, faults);
}

void ini_done(struct ini *ini)
{
    for (size_t i = 0; i < ini->count; i++) {
        struct ini_section *section = &ini->sections[i];
        for (size_t k = 0; k < section->count; k++) {
            free(section->entries[k].key);
            free(section->entries[k].value);
        }
        free(section->entries);
        free(section->kind);
        free(section->name);
    }
    for (size_t i = 0; i < ini->file_count; i++)
        free(ini->files[i]);
    free(ini->sections);
    free(ini->files);
    *ini = (struct ini){0};
}

struct ini_entry *ini_find(struct ini_section *section, const char *key)
{
    struct ini_entry *entry = find_entry(section, (struct ini_piece){key, strlen(key)});
    if (entry)
        entry->used = true;
    return entry;
}

/* ---- with drop-ins ----------------------------------------------------------------------------------------------- */

static int is_conf(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return *entry->d_name != '.' && dot && strcmp(dot, ".conf") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort(): the same order in every locale */
}

void ini_read_all(struct ini *ini, const char *path, struct ini_faults *faults)
{
    ini_read(ini, path, faults);
    cleanup_free char *dir = str_printf("%s.d", path);
    struct dirent **entries;
    int n = scandir(dir, &entries, is_conf, by_name);
    if (n < 0) {
        if (errno != ENOENT)
            faults->add(faults,
                        str_printf("%s: expected a folder that can be read: %s", dir, strerror(errno)));
        return;
    }
    for (int i = 0; i < n; i++) {
        cleanup_free char *file = str_printf("%s/%s", dir, entries[i]->d_name);
        ini_read(ini, file, faults);
        free(entries[i]);
    }
    free(entries);
}
