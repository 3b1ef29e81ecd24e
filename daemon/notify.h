/* Telling the service manager how we are: systemd's notification protocol, sd_notify(3). Its library would bring six more
 * with it, for one datagram. */
#pragma once

#include <stdint.h>

/* "READY=1", "STOPPING=1", … Nothing happens when nobody listens. */
void notify(const char *state);
/* Within how many microseconds WATCHDOG=1 is expected, again and again; 0: it is not. */
uint64_t notify_watchdog_us(void);
