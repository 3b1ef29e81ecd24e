/* Listener URIs from any bytes: whatever is taken can be taken again from its parts, whatever is refused says why. */
#include "net/listener.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* A URI whose parts are as they should be. */
static void check(const struct listener_uri *uri)
{
    must(uri->host && *uri->host);
    must(uri->mode <= 0777);
    must((uri->scheme == LISTENER_MQTTS) == (uri->cert && uri->key));
    must(uri->scheme == LISTENER_MQTTS || !uri->ca);
    if (uri->scheme == LISTENER_UNIX)
        must(*uri->host == '/' && strlen(uri->host) < sizeof((struct sockaddr_un *)0)->sun_path);
    else /* nobody is let in for nothing unless the text says so */
        must(uri->access == LISTENER_OPEN || uri->ca);
}

static const char *const schemes[] = {"mqtt", "mqtts", "unix"};
static const char *const accesses[] = {"node", "full", "open"};

static char *write_uri(const struct listener_uri *uri)
{
    if (uri->scheme == LISTENER_UNIX)
        return str_printf("unix://%s?access=%s&mode=%o", uri->host, accesses[uri->access], uri->mode);
    bool v6 = strchr(uri->host, ':');
    return str_printf("%s://%s%s%s:%u?access=%s&i-know=1%s%s%s%s%s%s", schemes[uri->scheme], v6 ? "[" : "",
                      uri->host, v6 ? "]" : "", uri->port, accesses[uri->access], uri->cert ? "&cert=" : "",
                      uri->cert ? uri->cert : "", uri->key ? "&key=" : "", uri->key ? uri->key : "",
                      uri->ca ? "&ca=" : "", uri->ca ? uri->ca : "");
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    cleanup_free char *text = str_copy_n((const char *)data, len), *why = NULL;
    struct listener_uri uri, again;
    if (listener_uri_parse(&uri, text, &why) < 0) {
        must(why && *why);
        return 0;
    }
    must(!why);
    check(&uri);
    cleanup_free char *written = write_uri(&uri);
    must(listener_uri_parse(&again, written, &why) == 0);
    must(uri.scheme == again.scheme && uri.access == again.access && uri.port == again.port &&
         uri.mode == again.mode);
    must(same(uri.host, again.host) && same(uri.cert, again.cert) && same(uri.key, again.key) &&
         same(uri.ca, again.ca));
    listener_uri_done(&uri);
    listener_uri_done(&again);
    return 0;
}
