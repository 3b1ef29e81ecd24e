#include "cloud/post_curl.h"

#include "keys/key.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zlib.h>

/* A multi handle around one easy handle, because only that can be woken. Names are resolved on libcurl's own threads; one
 * that hangs is left behind (QUICK_EXIT), or a broken resolver would keep the daemon from ending. */

enum { WAIT_MS = 60 * 1000, KEEP_S = 118, WINDOW_BITS_GZIP = 15 + 16 };

struct post_curl {
    CURLM *multi;
    CURL *easy;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode global;

static void init(void)
{
    global = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int post_curl_new(struct post_curl **ret, char **why)
{
    (void)pthread_once(&once, init);
    if (global != CURLE_OK) {
        *why = str_printf("libcurl cannot begin: %s", curl_easy_strerror(global));
        return -ENOTSUP;
    }
    struct post_curl *curl = mem_new(struct post_curl);
    curl->multi = curl_multi_init();
    curl->easy = curl_easy_init();
    if (!curl->multi || !curl->easy) {
        *why = str_copy("libcurl has no memory");
        (void)post_curl_free(curl);
        return -ENOMEM;
    }
    *ret = curl;
    return 0;
}

struct post_curl *post_curl_free(struct post_curl *curl)
{
    if (!curl)
        return NULL;
    curl_easy_cleanup(curl->easy);
    (void)curl_multi_cleanup(curl->multi);
    free(curl);
    return NULL;
}

void post_curl_wake(struct post_curl *curl)
{
    (void)curl_multi_wakeup(curl->multi);
}

/* ---- the answer -------------------------------------------------------------------------------------------------- */

struct receiving {
    const struct post_request *request;
    struct post_reply *reply;
};

static size_t on_body(char *bytes, size_t one, size_t len, void *self)
{
    struct receiving *receiving = self;
    struct post_reply *reply = receiving->reply;
    size_t all = one * len, room = receiving->request->answer_max - reply->body_len, n = size_min(all, room);
    if (n < all) /* the rest is not waited for: it may have no end */
        reply->cut = true;
    if (n) {
        bool fits = receiving->request->secret && reply->body;
        size_t size = receiving->request->secret ? receiving->request->answer_max : reply->body_len + n;
        char *grown = fits ? reply->body : realloc(reply->body, size);
        if (!grown)
            return 0;
        memcpy(grown + reply->body_len, bytes, n);
        reply->body = grown;
        reply->body_len += n;
    }
    return reply->cut ? 0 : all;
}

static size_t on_header(char *line, size_t one, size_t len, void *self)
{
    static const char name[] = "retry-after:";
    struct post_reply *reply = ((struct receiving *)self)->reply;
    size_t all = one * len, at = strlen(name);
    if (all > 5 && memcmp(line, "HTTP/", 5) == 0) /* of a 100, or a proxy's, before */
        reply->retry_after[0] = '\0';
    if (all <= at || strncasecmp(line, name, at) != 0)
        return all;
    while (at < all && line[at] == ' ')
        at++;
    size_t n = 0;
    while (at < all && line[at] != '\r' && line[at] != '\n' && n + 1 < sizeof reply->retry_after)
        reply->retry_after[n++] = line[at++];
    reply->retry_after[n] = '\0';
    return all;
}

/* ---- the request ------------------------------------------------------------------------------------------------- */

/* NULL: it is sent as it is. */
static void *pack(const struct post_request *request, size_t *len)
{
    z_stream stream = {0};
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS_GZIP, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        return NULL;
    uLong bound = deflateBound(&stream, request->body_len);
    void *packed = malloc(bound);
    stream.next_in = (Bytef *)(uintptr_t)request->body;
    stream.avail_in = (uInt)request->body_len;
    stream.next_out = packed;
    stream.avail_out = (uInt)bound;
    if (packed && deflate(&stream, Z_FINISH) != Z_STREAM_END) {
        free(packed);
        packed = NULL;
    }
    *len = stream.total_out;
    (void)deflateEnd(&stream);
    return packed;
}

static struct curl_slist *headers_of(const struct post_request *request, bool packed)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* or a body waits a second for a 100 */
    for (size_t i = 0; request->headers && request->headers[i]; i++)
        list = curl_slist_append(list, request->headers[i]);
    return packed ? curl_slist_append(list, "Content-Encoding: gzip") : list;
}

/* Before each handshake: a certificate whose key may be in a token. What is wrong is in the reply's words. */
static CURLcode on_context(CURL *easy, void *context, void *self)
{
    (void)easy;
    const struct receiving *receiving = self;
    const struct post_request *request = receiving->request;
    struct post_reply *reply = receiving->reply;
    EVP_PKEY *key = NULL;
    char *why = NULL;
    if (SSL_CTX_use_certificate_chain_file(context, request->cert) != 1)
        (void)snprintf(reply->reason, sizeof reply->reason, "%s: expected a certificate chain in PEM form",
                       request->cert);
    else if (key_load(&key, request->key, &why) < 0)
        (void)snprintf(reply->reason, sizeof reply->reason, "%s", why);
    else if (SSL_CTX_use_PrivateKey(context, key) != 1 || SSL_CTX_check_private_key(context) != 1)
        (void)snprintf(reply->reason, sizeof reply->reason, "%s: expected the private key of %s",
                       request->key, request->cert);
    EVP_PKEY_free(key);
    free(why);
    ERR_clear_error();
    return *reply->reason ? CURLE_SSL_CERTPROBLEM : CURLE_OK;
}

static void set_tls(CURL *easy, const struct receiving *receiving)
{
    const struct post_request *request = receiving->request;
    struct stat found;
    bool is_folder = request->ca && stat(request->ca, &found) == 0 && S_ISDIR(found.st_mode);
    if (is_folder) /* and no file of the system's besides */
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    if (request->ca)
        (void)curl_easy_setopt(easy, is_folder ? CURLOPT_CAPATH : CURLOPT_CAINFO, request->ca);
    if (request->cert && request->key) { /* wherever it is */
        (void)curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_context);
        (void)curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, (void *)(uintptr_t)receiving);
    } else if (request->cert) {
        (void)curl_easy_setopt(easy, CURLOPT_SSLCERT, request->cert);
        (void)curl_easy_setopt(easy, CURLOPT_SSLKEY, request->cert);
    }
}

static bool is_get(const struct post_request *request)
{
    return strcmp(request->method, "GET") == 0;
}

static void set_request(CURL *easy, const struct receiving *receiving)
{
    const struct post_request *request = receiving->request;
    curl_easy_reset(easy); /* connections stay */
    (void)curl_easy_setopt(easy, CURLOPT_URL, request->url);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, is_get(request) ? CURLOPT_HTTPGET : CURLOPT_POST, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "gatehouse/" GATEHOUSE_VERSION);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY,
                           request->proxy ? request->proxy : ""); /* none from the environment */
    if (request->username) {
        (void)curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        (void)curl_easy_setopt(easy, CURLOPT_USERNAME, request->username);
        (void)curl_easy_setopt(easy, CURLOPT_PASSWORD, request->password ? request->password : "");
    }
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)KEEP_S);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_limit);
    (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)request->stall_limit_s);
    set_tls(easy, receiving);
}

static CURLcode perform(struct post_curl *curl, const atomic_bool *abort_asked)
{
    int running = 1;
    if (curl_multi_add_handle(curl->multi, curl->easy) != CURLM_OK)
        return CURLE_FAILED_INIT;
    CURLcode r = CURLE_ABORTED_BY_CALLBACK;
    while (!(abort_asked && atomic_load(abort_asked))) {
        if (curl_multi_perform(curl->multi, &running) != CURLM_OK) {
            r = CURLE_FAILED_INIT;
            break;
        }
        if (!running) {
            int left;
            const CURLMsg *done = curl_multi_info_read(curl->multi, &left);
            r = done ? done->data.result : CURLE_FAILED_INIT;
            break;
        }
        (void)curl_multi_poll(curl->multi, NULL, 0, WAIT_MS, NULL);
    }
    (void)curl_multi_remove_handle(curl->multi, curl->easy);
    return r;
}

static void judge(struct post_curl *curl, CURLcode r, const char *error, struct post_reply *reply)
{
    long status = 0, connect = 0;
    (void)curl_easy_getinfo(curl->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(curl->easy, CURLINFO_HTTP_CONNECTCODE, &connect);
    if (r == CURLE_OK || (r == CURLE_WRITE_ERROR && reply->cut)) {
        reply->status = (int)status;
        return;
    }
    if (connect >= 300) { /* the proxy's, and it went no further */
        reply->status = (int)connect;
        return;
    }
    if (*reply->reason) /* ours */
        return;
    /* A status whose body never came to its end says nothing for sure. */
    (void)snprintf(reply->reason, sizeof reply->reason, "%.*s", POST_REASON_MAX - 1,
                   *error ? error : curl_easy_strerror(r));
}

void post_curl_send(struct post_curl *curl, const struct post_request *request, struct post_reply *reply)
{
    *reply = (struct post_reply){0};
    struct receiving receiving = {request, reply};
    char error[CURL_ERROR_SIZE] = "";
    size_t packed_len = 0;
    void *packed = request->gzip ? pack(request, &packed_len) : NULL;
    struct curl_slist *headers = headers_of(request, packed != NULL);
    set_request(curl->easy, &receiving);
    (void)curl_easy_setopt(curl->easy, CURLOPT_HTTPHEADER, headers);
    if (!is_get(request)) {
        (void)curl_easy_setopt(curl->easy, CURLOPT_POSTFIELDS, packed ? packed : request->body);
        (void)curl_easy_setopt(curl->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t)(packed ? packed_len : request->body_len));
    }
    (void)curl_easy_setopt(curl->easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(curl->easy, CURLOPT_WRITEDATA, &receiving);
    (void)curl_easy_setopt(curl->easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(curl->easy, CURLOPT_HEADERDATA, &receiving);
    (void)curl_easy_setopt(curl->easy, CURLOPT_ERRORBUFFER, error);
    CURLcode r = perform(curl, request->abort);
    judge(curl, r, error, reply);
    (void)curl_easy_setopt(curl->easy, CURLOPT_ERRORBUFFER, NULL); /* ours are gone after this */
    (void)curl_easy_setopt(curl->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    free(packed);
}
