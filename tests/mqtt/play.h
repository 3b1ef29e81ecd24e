/* Plays a case of a script against a broker in the same process, step by step. */
#pragma once

#include "mqtt/house.h"
#include "mqtt/script.h"

/* version: one of the case's. 0, or -EPROTO with *why (free it): which line, what was expected, what came instead, and
 * what the broker logged. */
int play(const struct script *script, const struct script_case *played, unsigned version, char **why)
    must_check;

/* Without a broker: encodes what would be sent, and finds the faults in a script that play() would find. What the house
 * cannot do yet is no fault. */
int play_check(const struct script *script, const struct script_case *played, unsigned version, char **why)
    must_check;

/* A conversation a piece at a time, for tests that do between the steps what a script cannot say. version: SCRIPT_…; lines
 * are steps of a case, which are played in that version's conversation. */
struct play *play_open(const struct house_options *options, unsigned version);
struct house *play_house(struct play *play);
int play_lines(struct play *play, const char *lines, char **why) must_check;
/* -EPROTO: somebody was told more than was expected. The play is gone either way. */
int play_close(struct play *play, char **why) must_check;
