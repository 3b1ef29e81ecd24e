/* An authentication method for tests. The broker asks "the word?"; "swordfish" is right, "ask again" makes it ask "once
 * more?", anything else is refused. */
#pragma once

#include "mqtt/auth.h"

extern struct authenticator swordfish;
