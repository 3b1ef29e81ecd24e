/* Requests and their answers as JSON, and what a refusal looks like. */
#pragma once

#include "base/json.h"
#include "cli/command.h"

/* Asks the daemon on a topic; *answer is in the arena. CLI_REFUSED when the answer says so: that has been said on stderr
 * and, with --json, the answer is on stdout. */
int ask_daemon(const struct call *call, struct link *link, struct arena *arena, const char *topic,
               const char *payload, struct json **answer) must_check;
/* The same with a link of its own. */
int ask_once(const struct call *call, struct arena *arena, const char *topic, const char *payload,
             struct json **answer) must_check;

/* An answer's text becomes a tree. CLI_REFUSED: it is not JSON. */
int answer_read(struct arena *arena, const char *text, struct json **answer) must_check;
/* CLI_REFUSED, as above, when the answer is {"code","message"}. */
int answer_judge(const struct call *call, struct arena *arena, const struct json *answer) must_check;

/* One line on stdout. */
void answer_print(const struct json *answer);
