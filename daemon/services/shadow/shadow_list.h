/* Which shadows there are, for whoever asks.
 *
 *      $gatehouse/ctl/shadow/list      request {"after":{"thing":THING,"name":NAME},"limit":N}, all of it optional
 *
 * The answer has the shadows behind `after` in order of thing and name, at most N (100 unless given, 1000 at most), and says
 * whether there are more. With {"thing":THING,"pageSize":N,"nextToken":TOKEN} it has the names of that thing's named shadows,
 * as AWS IoT's ListNamedShadowsForThing. Read from the database: what is just being stored is not in it yet.
 */
#pragma once

#include "base/base.h"

struct bus;
struct store;
struct shadow_list;

struct shadow_list *shadow_list_new(struct bus *bus, struct store *store);
/* The store has been quiesced. */
struct shadow_list *shadow_list_free(struct shadow_list *list);
