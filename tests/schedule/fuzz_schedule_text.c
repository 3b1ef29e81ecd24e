/* KEY=VALUE in a line each, as keys of streams and uplinks: taken or refused with what was expected; what is refused changes
 * nothing, and what was taken and can be written is read again as the same. */
#include "schedule/schedule_text.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool truth)
{
    if (!truth)
        abort();
}

static void check_rules(const struct schedule_rules *rules)
{
    must(rules->priority <= SCHEDULE_PRIORITIES && rules->weight <= SCHEDULE_WEIGHT_MAX);
    must(rules->live_share <= 90 && rules->window_count <= SCHEDULE_WINDOWS && rules->deadline >= 0);
    struct schedule_rules again = *rules;
    char text[SCHEDULE_WINDOWS_TEXT];
    schedule_windows_write(rules, text);
    must(schedule_rules_set(&again, "window", text) == NULL);
    must(memcmp(&again, rules, sizeof again) == 0);
}

static void check_link(const struct schedule_link *link)
{
    must(link->floor <= 50 && link->live <= 99 && link->day_begins < 24 * 60);
    for (unsigned i = 0; i <= SCHEDULE_PRIORITIES; i++)
        must(link->class_day_bytes[i] <= (uint64_t)8 << 40);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct schedule_rules rules;
    struct schedule_link link;
    char text[4096];
    if (len >= sizeof text)
        return 0;
    memset(&rules, 0, sizeof rules);
    memset(&link, 0, sizeof link);
    memcpy(text, data, len);
    text[len] = '\0';
    for (char *line = text, *end; line; line = end) {
        end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        char *value = strchr(line, '=');
        if (!value)
            continue;
        *value++ = '\0';
        struct schedule_rules rules_before = rules;
        struct schedule_link link_before = link;
        if (schedule_rules_set(&rules, line, value))
            must(memcmp(&rules, &rules_before, sizeof rules) == 0);
        else
            check_rules(&rules);
        if (schedule_link_set(&link, line, value))
            must(memcmp(&link, &link_before, sizeof link) == 0);
        else
            check_link(&link);
    }
    return 0;
}
