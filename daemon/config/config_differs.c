/* What a configuration that was read again says differently. */
#include "config/config.h"

#include <string.h>

static const struct ini_section *same_section(const struct ini *ini, const struct ini_section *section)
{
    for (size_t i = 0; i < ini->count; i++)
        if (strcmp(ini->sections[i].kind, section->kind) == 0 &&
            strcmp(ini->sections[i].name, section->name) == 0)
            return &ini->sections[i];
    return NULL;
}

static const char *value_in(const struct ini_section *section, const char *key)
{
    for (size_t i = 0; i < section->count; i++)
        if (strcmp(section->entries[i].key, key) == 0)
            return section->entries[i].value;
    return NULL;
}

/* Is everything in `a` in `b`, too? */
static bool is_within(const struct ini_section *a, const struct ini_section *b)
{
    for (size_t i = 0; b && i < a->count; i++) {
        const char *there = value_in(b, a->entries[i].key);
        if (!there || strcmp(there, a->entries[i].value) != 0)
            return false;
    }
    return b != NULL;
}

static bool is_listed(const char *const *kinds, const char *kind)
{
    while (*kinds && strcmp(*kinds, kind) != 0)
        kinds++;
    return *kinds;
}

static char *first_missing(const struct ini *a, const struct ini *b, const char *const *but_in)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct ini_section *section = &a->sections[i];
        if (!is_listed(but_in, section->kind) && !is_within(section, same_section(b, section)))
            return str_printf("[%s%s%s]", section->kind, *section->name ? " " : "", section->name);
    }
    return NULL;
}

char *config_differs(const struct config *a, const struct config *b, const char *const *but_in)
{
    char *title = first_missing(&a->ini, &b->ini, but_in);
    return title ? title : first_missing(&b->ini, &a->ini, but_in);
}
