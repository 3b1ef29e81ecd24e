/* For tests of what talks to a cloud: a loop with the system's clock, since Paho's threads and a broker's process have no
 * other, and the log's lines. Nothing is asserted about times; what does not happen within a minute fails.
 *
 *      UNTIL(rig, rig->ups == 1);
 */
#pragma once

#include "base/loop.h"
#include "rig/test.h"

struct cloud_rig {
    struct loop *loop;
    char log[16384]; /* lines of notice and above */
    void (*each_turn)(void *self);
    void *self;
};

void cloud_rig_init(struct cloud_rig *rig);
void cloud_rig_done(struct cloud_rig *rig);

/* Turns the loop until the condition is true. */
#define UNTIL(rig, condition)                                                                                \
    do {                                                                                                     \
        int64_t begun_ = clock_mono(&cloud_rig_clock);                                                       \
        while (!(condition))                                                                                 \
            cloud_rig_turn((rig), begun_, #condition, __FILE__, __LINE__);                                   \
    } while (0)

extern const struct clock cloud_rig_clock;
void cloud_rig_turn(struct cloud_rig *rig, int64_t begun, const char *what, const char *file, int line);

/* A port of the loopback address that nobody listens on now. */
uint16_t cloud_rig_free_port(void);

/* How often the log says it. */
unsigned cloud_rig_logged(const struct cloud_rig *rig, const char *text);
