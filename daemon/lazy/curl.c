#include "lazy/curl_table.h"

#include <errno.h>
#include <pthread.h>

/* Uplinks have workers' threads each, so the part is loaded once for whichever sends first. */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct curl_table *part;
static char *reason;

static void load(void)
{
    part = lazy_load("gatehouse-curl.so", "gatehouse_curl", &reason);
}

int post_curl_new(struct post_curl **ret, char **why)
{
    (void)pthread_once(&once, load);
    if (part)
        return part->new_curl(ret, why);
    *why = str_printf("libcurl %s", reason);
    return -ENOTSUP;
}

struct post_curl *post_curl_free(struct post_curl *curl)
{
    return curl ? part->free(curl) : NULL;
}

void post_curl_send(struct post_curl *curl, const struct post_request *request, struct post_reply *reply)
{
    part->send(curl, request, reply);
}

void post_curl_wake(struct post_curl *curl)
{
    part->wake(curl);
}
