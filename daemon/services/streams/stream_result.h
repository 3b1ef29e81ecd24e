/* What a receipt's result means to an exporter, and how it is said. The only table of it.
 *
 *      0                   delivered
 *      0x90 0x95 0x99      never: this record will not be taken however often it is sent
 *      everything else     again: it passes, or somebody can change it (a policy, a quota, a cable)
 *
 * Pure functions.
 */
#pragma once

#include "base/base.h"

enum result_kind { RESULT_DELIVERED, RESULT_AGAIN, RESULT_NEVER };
enum { RESULT_TEXT_MAX = 256 };

/* r: 0, an MQTT 5 reason code from 0x80 on, or −errno. */
enum result_kind result_kind(int r);

/* In words, into a buffer of RESULT_TEXT_MAX bytes, which is returned: "packet too large (0x95)"; and what is known besides, if
 * that is not NULL. */
const char *result_text(char *buffer, int r, const char *besides);
