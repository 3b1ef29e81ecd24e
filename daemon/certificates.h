/* What --check finds wrong with certificates and keys; a start finds it with the listener, the authority or the uplink that wants them,
 * and takes one that has expired. */
#pragma once

#include "options.h"

#include "config/config.h"

/* What there is to say has been said, on stderr. Devices with keys are asked for them. */
bool certificates_are_good(const struct config *config, const struct options *options) must_check;
