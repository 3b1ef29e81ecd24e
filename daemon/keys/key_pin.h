/* A PIN from a file, for the moment that it is needed. */
#pragma once

#include "base/base.h"

enum { KEY_PIN_MAX = 255 };

/* source: what pin-source said. ret is "" when there is none; the caller wipes it. -EINVAL: *why (free it). */
int key_pin_read(char ret[KEY_PIN_MAX + 1], const char *source, char **why) must_check;
