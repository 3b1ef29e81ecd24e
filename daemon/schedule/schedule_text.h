/* Rules and links as they are written in gatehouse.conf.
 *
 *      [stream telemetry]                       [uplink cloud]
 *      priority = 5                             rate = 20kbit
 *      weight = 10                              burst = 4K
 *      deadline = 30s                           floor = 13
 *      day-budget = 20M                         live-share = 70
 *      window = 22:00-06:00 12:00-13:00         day-budget = 200M 9:20M 10:5M    all together, then of priorities
 *      live-share = 70                          day-begins = 06:00
 *
 * Pure functions; nothing is set when the text is not good.
 */
#pragma once

#include "base/json_write.h"
#include "schedule/schedule.h"

/* Sets what is called `key` from its text. NULL; or what was expected: "a whole number from 1 to 10". */
const char *schedule_rules_set(struct schedule_rules *rules, const char *key, const char *text);
const char *schedule_link_set(struct schedule_link *link, const char *key, const char *text);

/* Are there such keys? */
bool schedule_rules_has(const char *key);
bool schedule_link_has(const char *key);

/* As they are written; "" when there is none. */
enum { SCHEDULE_WINDOWS_TEXT = SCHEDULE_WINDOWS * 12 };
void schedule_windows_write(const struct schedule_rules *rules, char buffer[SCHEDULE_WINDOWS_TEXT]);

/* All of a link as members of an object that has begun: rate, burst, floor, liveShare, dayBudget, dayBegins, tls. Their values are
 * those that schedule_link_set() takes, as numbers and texts. */
void schedule_link_put(const struct schedule_link *link, struct json_writer *writer);
