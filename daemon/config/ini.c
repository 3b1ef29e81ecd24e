#include "config/ini.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

/* inih calls back for every entry but does not say on which line; the reader it is given counts them. A continued value
 * comes as the same key again, line by line. */

struct reader {
    struct ini *ini;
    const char *path;
    FILE *file;
    int line;
    bool indented; /* the line began with a blank: it continues a value */
    char *why;
};

static char *read_line(char *text, int size, void *arg)
{
    struct reader *reader = arg;
    char *line = fgets(text, size, reader->file);
    if (!line)
        return NULL;
    reader->line++;
    reader->indented = *line == ' ' || *line == '\t';
    if (strlen(line) + 1 == (size_t)size && line[size - 2] != '\n' && !feof(reader->file)) {
        if (!reader->why)
            reader->why =
                str_printf("%s:%d: expected a line of at most %d bytes; put what is longer on lines of its "
                           "own that begin with a blank",
                           reader->path, reader->line, size - 2);
    }
    return line;
}

static struct ini_section *find_section(struct reader *reader, const char *title)
{
    const char *space = strpbrk(title, " \t");
    size_t kind_len = space ? (size_t)(space - title) : strlen(title);
    const char *name = space ? space + strspn(space, " \t") : "";

    struct ini *ini = reader->ini;
    for (size_t i = 0; i < ini->count; i++)
        if (strlen(ini->sections[i].kind) == kind_len &&
            strncmp(ini->sections[i].kind, title, kind_len) == 0 && strcmp(ini->sections[i].name, name) == 0)
            return &ini->sections[i];
    struct ini_section *sections = realloc(ini->sections, (ini->count + 1) * sizeof *sections);
    if (!sections)
        abort();
    ini->sections = sections;
    struct ini_section *section = &sections[ini->count++];
    *section = (struct ini_section){.kind = str_copy_n(title, kind_len),
                                    .name = str_copy(name),
                                    .file = reader->path,
                                    .line = reader->line};
    return section;
}

static struct ini_entry *find_entry(struct ini_section *section, const char *key)
{
    for (size_t i = 0; i < section->count; i++)
        if (strcmp(section->entries[i].key, key) == 0)
            return &section->entries[i];
    return NULL;
}

static int on_entry(void *arg, const char *title, const char *key, const char *value)
{
    struct reader *reader = arg;
    if (!*title) {
        if (!reader->why)
            reader->why = str_printf("%s:%d: %s: expected a section before it, for instance [gateway]",
                                     reader->path, reader->line, key);
        return 0;
    }
    struct ini_section *section = find_section(reader, title);
    struct ini_entry *entry = find_entry(section, key);
    if (entry && reader->indented) {
        char *joined = str_printf("%s %s", entry->value, value);
        free(entry->value);
        entry->value = joined;
        return 1;
    }
    if (entry && entry->file == reader->path) {
        if (!reader->why)
            reader->why = str_printf("%s:%d: %s: expected once in a section, but line %d has it already",
                                     reader->path, reader->line, key, entry->line);
        return 0;
    }
    if (!entry) {
        struct ini_entry *entries = realloc(section->entries, (section->count + 1) * sizeof *entries);
        if (!entries)
            abort();
        section->entries = entries;
        entry = &entries[section->count++];
        *entry = (struct ini_entry){.key = str_copy(key)};
    }
    free(entry->value);
    entry->value = str_copy(value);
    entry->file = reader->path;
    entry->line = reader->line;
    return 1;
}

int ini_read(struct ini *ini, const char *path, char **why)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        int r = -errno;
        *why = str_printf("%s: %s", path, strerror(-r));
        return r;
    }
    char **files = realloc(ini->files, (ini->file_count + 1) * sizeof *files);
    if (!files)
        abort();
    ini->files = files;
    files[ini->file_count] = str_copy(path);

    struct reader reader = {.ini = ini, .path = files[ini->file_count++], .file = file};
    int line = ini_parse_stream(read_line, &reader, on_entry, &reader);
    bool broken = ferror(file);
    (void)fclose(file);
    if (reader.why) {
        *why = reader.why;
        return -EINVAL;
    }
    if (broken || line < 0) {
        *why = str_printf("%s: cannot be read", path);
        return -EIO;
    }
    if (line > 0) {
        *why =
            str_printf("%s:%d: expected [section], key = value, or a comment that begins with #", path, line);
        return -EINVAL;
    }
    return 0;
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
    struct ini_entry *entry = find_entry(section, key);
    if (entry)
        entry->used = true;
    return entry;
}
