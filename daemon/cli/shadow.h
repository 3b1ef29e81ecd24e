/* What the commands about shadows share: whose shadow it is. The thing is the first argument. */
#pragma once

#include "cli/command.h"

/* CLI_USAGE when the thing or --name is none, and that has been said. */
int shadow_check_names(const struct call *call) must_check;
/* $aws/things/THING/shadow[/name/NAME]/ACTION. Free it. */
char *shadow_topic(const struct call *call, const char *action) must_check;
