/* Plays a case of a script against a broker in the same process, step by step. */
#pragma once

#include "mqtt/script.h"

/* version: one of the case's. 0, or -EPROTO with *why (free it): which line, what was expected, what came instead, and
 * what the broker logged. */
int play(const struct script *script, const struct script_case *played, unsigned version, char **why)
    must_check;

/* Without a broker: encodes what would be sent, and finds the faults in a script that play() would find. What the house
 * cannot do yet is no fault. */
int play_check(const struct script *script, const struct script_case *played, unsigned version, char **why)
    must_check;
