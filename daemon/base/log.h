/* The log: one line a fact, to the journal or to stderr.
 *
 * Under systemd (JOURNAL_STREAM is set) lines carry the priority prefix that the journal understands; elsewhere they
 * begin with the level's name. A line names what was being attempted and what came of it:
 *
 *      log_error("state.db: commit: %s", strerror(-r));
 *
 * May be called from every thread. What a peer sent wrong is logged at info at most.
 */
#pragma once

#include "base/base.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* What is not at least this important is not written; INFO at first. */
void log_set_level(enum log_level level);
/* The level of that name ("error", "warning", "notice", "info", "debug"), or -EINVAL. */
int log_level_from_text(const char *text);

/* In tests: counts and keeps the last line instead of writing it. NULL restores stderr. */
void log_capture(void (*sink)(enum log_level level, const char *line));

void log_line(enum log_level level, const char *format, ...) printf_like(2, 3);

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
