#include "base/log.h"

#include "rig/test.h"

#include <stdio.h>

static char last[4096];

static void sink(enum log_level level, const char *line)
{
    (void)level;
    (void)snprintf(last, sizeof last, "%s", line);
}

TEST(a_line_stays_one_line_whatever_a_peer_sent)
{
    log_capture(sink);
    log_info("client \"%s\" refused", "a\nb\x1b[31m");
    log_capture(NULL);
    CHECK_STR(last, "client \"a?b?[31m\" refused");
}

TEST(a_line_that_is_too_long_is_cut)
{
    static char text[8000];
    memset(text, 'x', sizeof text - 1);
    log_capture(sink);
    log_info("%s", text);
    log_capture(NULL);
    CHECK(strlen(last) > 1000 && strlen(last) < 2048);
}

TEST(what_is_less_important_than_the_level_is_not_written)
{
    last[0] = '\0';
    log_capture(sink);
    log_debug("quiet");
    CHECK_STR(last, "");
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("loud");
    log_set_level(LOG_LEVEL_INFO);
    log_capture(NULL);
    CHECK_STR(last, "loud");
    CHECK_INT(log_level_from_text("warning"), LOG_LEVEL_WARNING);
    CHECK(log_level_from_text("loud") < 0);
}
