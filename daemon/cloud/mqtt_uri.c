#include "cloud/mqtt_uri.h"

#include <string.h>

enum { PORT_MQTT = 1883, PORT_MQTTS = 8883, PORT_MAX = 65535, PORT_DIGITS = 5 };

static bool port_parse(unsigned *ret, const char *text)
{
    unsigned number = 0;
    size_t len = strspn(text, "0123456789");
    for (size_t i = 0; i < len && i < PORT_DIGITS; i++)
        number = number * 10 + (unsigned)(text[i] - '0');
    *ret = number;
    return len > 0 && len <= PORT_DIGITS && !text[len] && number >= 1 && number <= PORT_MAX;
}

/* HOST[:PORT] and nothing more. NULL, or what was expected. */
static const char *host_parse(struct mqtt_uri *uri, const char *text, unsigned port)
{
    const char *host = text, *end = text + strcspn(text, ":/?# \t@");
    uri->host_len = (size_t)(end - host);
    if (*host == '[') { /* an IPv6 address */
        end = strchr(++host, ']');
        if (!end)
            return "] behind an IPv6 address";
        uri->host_len = (size_t)(end++ - host);
    }
    uri->host = host;
    uri->port = port;
    if (!uri->host_len)
        return "a host behind ://";
    if (*end == ':')
        return port_parse(&uri->port, end + 1) ? NULL
                                               : "a port from 1 to 65535 behind the host, and nothing more";
    if (*end)
        return "HOST[:PORT] and nothing more behind ://";
    return port ? NULL : ":PORT behind the host";
}

const char *mqtt_uri_parse(struct mqtt_uri *ret, const char *text)
{
    *ret = (struct mqtt_uri){0};
    if (strncmp(text, "mqtt://", 7) == 0)
        return host_parse(ret, text + 7, PORT_MQTT);
    if (strncmp(text, "mqtts://", 8) == 0)
        return host_parse(ret, text + 8, PORT_MQTTS);
    return "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]";
}

const char *mqtt_proxy_parse(struct mqtt_uri *ret, const char *text)
{
    *ret = (struct mqtt_uri){0};
    if (strncmp(text, "http://", 7) != 0)
        return "http://[USER@]HOST:PORT";
    const char *host = text + 7, *at = strrchr(host, '@');
    if (at) {
        ret->user = host;
        ret->user_len = (size_t)(at - host);
        if (!ret->user_len || memchr(ret->user, ':', ret->user_len) || memchr(ret->user, '/', ret->user_len))
            return "a user before @, without its password, which has a file of its own";
        host = at + 1;
    }
    return host_parse(ret, host, 0);
}
