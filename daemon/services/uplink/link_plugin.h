/* The kind "plugin" of uplinks: records go to a connector, a plugin that delivers them, over the bus.
 *
 *      $gatehouse/plugins/NAME/deliver/TOPIC       each record, with a response topic and correlation data
 *      $gatehouse/plugins/NAME/delivered/UPLINK    what became of it (plugin_answer.h)
 *      $gatehouse/status/plugins/NAME              whether the plugin is running
 *
 * While the plugin is not running the uplink is down. What it had not answered when it ended is sent to the next process.
 */
#pragma once

#include "cloud/link.h"

extern const struct link_kind link_plugin;
