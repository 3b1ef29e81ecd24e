#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug"};
static const char journal_prefix[] = {'3', '4', '5', '6', '7'}; /* sd-daemon(3) */

static enum log_level limit = LOG_LEVEL_INFO;
static void (*captured)(enum log_level level, const char *line);

void log_set_level(enum log_level level)
{
    limit = level;
}

int log_level_from_text(const char *text)
{
    for (size_t i = 0; i < array_size(level_names); i++)
        if (strcmp(text, level_names[i]) == 0)
            return (int)i;
    return -EINVAL;
}

void log_capture(void (*sink)(enum log_level level, const char *line))
{
    captured = sink;
}

void log_line(enum log_level level, const char *format, ...)
{
    if (level > limit)
        return;

    char line[LINE_MAX_BYTES];
    int head = 0;
    if (!captured) {
        if (getenv("JOURNAL_STREAM"))
            head = snprintf(line, sizeof line, "<%c>", journal_prefix[level]);
        else
            head = snprintf(line, sizeof line, "%s: ", level_names[level]);
    }

    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + head, sizeof line - (size_t)head - 1, format, args);
    va_end(args);
    size_t len = size_min((size_t)head + (n > 0 ? (size_t)n : 0), sizeof line - 2);

    /* What a peer sent may be in the line: it must stay one line and must not speak to a terminal. */
    for (size_t i = (size_t)head; i < len; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';

    line[len] = '\0';
    if (captured) {
        captured(level, line);
        return;
    }
    line[len] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len + 1); /* one write: lines of threads do not mix */
    (void)written;
}
