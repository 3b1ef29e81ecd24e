/* A connector: posts every record to a URL, one after the other.
 *
 *      [plugin hook]                         [uplink hook]
 *      path = webhook.so                     uri = plugin:hook
 *      url = https://example.com/in
 *      authorization = Bearer …              optional: that header's value
 *      timeout = 3000                        ms for one request, at most 4000
 *
 * What the answers mean:
 *
 *      2xx                        delivered
 *      400 413 415 422            never: this content is not wanted
 *      everything else, or none   again, and all behind it, so that their order stays
 *
 * A callback may take GH_CALLBACK_MAX_MS and no longer, so deliver() only copies, and tick() sends for a moment and
 * comes back. The same record may be sent twice: it has the same Gatehouse-Stream and Gatehouse-Seq then.
 */
#include <gatehouse_plugin.h>

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TICK_MS = 10, SENDING_MS = 500, TIMEOUT_MS = 3000, TIMEOUT_MAX_MS = 4000, HEADER_MAX = 1200 };

struct waiting {
    uint64_t token;
    struct curl_slist *headers;
    void *payload;
    size_t len;
};

static CURL *curl;
static const char *url;
static char *authorization; /* the whole header; NULL: none */
static long timeout_ms;
static struct waiting queue[GH_RECORDS_MAX]; /* a ring, oldest first */
static unsigned first, count;
static char reason[GH_REASON_MAX];

/* ---- one request ----------------------------------------------------------------------------------------------- */

/* The value cannot end its line: topics may hold anything. */
static struct curl_slist *add_header(struct curl_slist *list, const char *name, const char *value)
{
    char line[HEADER_MAX];
    size_t at = (size_t)snprintf(line, sizeof line, "%s: ", name);
    for (const char *c = value; *c && at + 4 < sizeof line; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7F || *c == '%')
            at += (size_t)snprintf(line + at, sizeof line - at, "%%%02X", (unsigned char)*c);
        else
            line[at++] = *c;
    }
    line[at] = '\0';
    return curl_slist_append(list, line);
}

static struct curl_slist *headers_of(const struct gh_record *record)
{
    char number[24];
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    list = add_header(list, "Content-Type", "application/octet-stream");
    list = add_header(list, "Gatehouse-Topic", record->topic);
    if (record->stream) {
        list = add_header(list, "Gatehouse-Stream", record->stream);
        (void)snprintf(number, sizeof number, "%" PRIu64, record->seq);
        list = add_header(list, "Gatehouse-Seq", number);
    }
    return authorization ? curl_slist_append(list, authorization) : list;
}

static size_t drop(char *bytes, size_t one, size_t len, void *self)
{
    (void)bytes, (void)self;
    return one * len;
}

static int32_t judge(CURLcode r, long status, const char *error)
{
    if (r != CURLE_OK) {
        (void)snprintf(reason, sizeof reason, "%.*s", GH_REASON_MAX - 1,
                       *error ? error : curl_easy_strerror(r));
        return GH_E_FAILED;
    }
    if (status >= 200 && status < 300)
        return GH_DONE;
    (void)snprintf(reason, sizeof reason, "the server answers %ld", status);
    return status == 400 || status == 413 || status == 415 || status == 422 ? GH_E_NEVER : GH_E_FAILED;
}

static int32_t post(const struct waiting *record)
{
    char error[CURL_ERROR_SIZE] = "";
    long status = 0;
    curl_easy_reset(curl); /* the connection stays */
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, record->headers);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, record->payload);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)record->len);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    CURLcode r = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    return judge(r, status, error);
}

/* ---- the queue ------------------------------------------------------------------------------------------------- */

static void settle_first(struct gh_host *host, int32_t result)
{
    struct waiting *record = &queue[first];
    (void)host->settle(host, record->token, result, result == GH_DONE ? NULL : reason);
    curl_slist_free_all(record->headers);
    free(record->payload);
    first = (first + 1) % GH_RECORDS_MAX;
    count--;
}

static void deliver(struct gh_host *host, const struct gh_record *const *records, int32_t *results,
                    const char **reasons, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        void *payload = count < GH_RECORDS_MAX ? malloc(records[i]->payload_len + 1) : NULL;
        if (!payload) {
            for (; i < n; i++) {
                results[i] = GH_E_MEMORY;
                reasons[i] = "there is no memory for it";
            }
            break;
        }
        memcpy(payload, records[i]->payload, records[i]->payload_len);
        queue[(first + count++) % GH_RECORDS_MAX] =
            (struct waiting){records[i]->token, headers_of(records[i]), payload, records[i]->payload_len};
        results[i] = GH_LATER;
    }
    (void)host->set_tick(host, TICK_MS);
}

static void tick(struct gh_host *host, uint64_t now)
{
    while (count) {
        int32_t result = post(&queue[first]);
        settle_first(host, result);
        while (count && result != GH_DONE && result != GH_E_NEVER)
            settle_first(host, result);
        if (host->now(host) - now > SENDING_MS)
            return;
    }
    (void)host->set_tick(host, 0);
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

/* As it is: a token may be long, and has a meaning in every character. */
static int32_t set_authorization(struct gh_host *host)
{
    static const char name[] = "Authorization: ";
    const char *value = host->config(host, "authorization");
    if (!value)
        return GH_DONE;
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7F) {
            host->log(host, GH_LOG_ERROR, "authorization: expected one line without control characters");
            return GH_E_INVALID;
        }
    authorization = malloc(sizeof name + strlen(value));
    if (!authorization)
        return GH_E_MEMORY;
    (void)snprintf(authorization, sizeof name + strlen(value), "%s%s", name, value);
    return GH_DONE;
}

static int32_t start(struct gh_host *host)
{
    const char *limit = host->config(host, "timeout");
    char *end = NULL;
    url = host->config(host, "url");
    timeout_ms = limit ? strtol(limit, &end, 10) : TIMEOUT_MS;
    if (!url || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)) {
        host->log(host, GH_LOG_ERROR, "url: expected http://… or https://…");
        return GH_E_INVALID;
    }
    if ((end && *end) || timeout_ms < 1 || timeout_ms > TIMEOUT_MAX_MS) {
        host->log(host, GH_LOG_ERROR, "timeout: expected a whole number of milliseconds from 1 to 4000");
        return GH_E_INVALID;
    }
    int32_t r = set_authorization(host);
    if (r != GH_DONE)
        return r;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return GH_E_FAILED;
    curl = curl_easy_init();
    return curl ? GH_DONE : GH_E_MEMORY;
}

static void stop(struct gh_host *host)
{
    (void)snprintf(reason, sizeof reason, "the plugin stops");
    while (count)
        settle_first(host, GH_E_BUSY);
    curl_easy_cleanup(curl);
    curl_global_cleanup();
    free(authorization);
}

GH_PLUGIN = {GH_PLUGIN_HEAD, .name = "webhook", .version = "1.0",  .start = start,
             .tick = tick,   .stop = stop,      .deliver = deliver};
