#include "cloud/uplink_options.h"

#include "cloud/mqtt_link.h"

const char *uplink_uri_check(const char *uri)
{
    return mqtt_link_uri_check(uri);
}
