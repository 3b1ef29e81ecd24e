/* Addresses of brokers and proxies from any bytes: what is taken points into the text, and says the same when it is written from its
 * parts; what is refused says what was expected. */
#include "cloud/mqtt_uri.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check(const struct mqtt_uri *uri, const char *text)
{
    const char *end = text + strlen(text);
    must(uri->host > text && uri->host_len && uri->host + uri->host_len <= end);
    must(!memchr(uri->host, '/', uri->host_len) || uri->host[-1] == '[');
    must(uri->port >= 1 && uri->port <= 65535);
    must(!uri->user || (uri->user > text && uri->user_len && uri->user + uri->user_len < uri->host));
}

static void check_same(const struct mqtt_uri *a, const struct mqtt_uri *b)
{
    must(a->port == b->port && a->host_len == b->host_len && memcmp(a->host, b->host, a->host_len) == 0);
    must(a->user_len == b->user_len && (!a->user_len || memcmp(a->user, b->user, a->user_len) == 0));
}

static char *write_parts(const struct mqtt_uri *uri, const char *scheme)
{
    bool bracketed = uri->host[-1] == '[';
    return str_printf("%s%.*s%s%s%.*s%s:%u", scheme, (int)uri->user_len, uri->user ? uri->user : "",
                      uri->user ? "@" : "", bracketed ? "[" : "", (int)uri->host_len, uri->host,
                      bracketed ? "]" : "", uri->port);
}

static void try_one(const char *(*parse)(struct mqtt_uri *ret, const char *text), const char *text,
                    const char *scheme)
{
    struct mqtt_uri uri, again;
    const char *expected = parse(&uri, text);
    if (expected) {
        must(*expected);
        return;
    }
    check(&uri, text);
    cleanup_free char *written = write_parts(&uri, scheme);
    must(!parse(&again, written));
    check_same(&uri, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 4096)
        return 0;
    cleanup_free char *text = str_copy_n((const char *)data, len);
    try_one(mqtt_uri_parse, text, strncmp(text, "mqtts:", 6) == 0 ? "mqtts://" : "mqtt://");
    try_one(mqtt_proxy_parse, text, "http://");
    return 0;
}
