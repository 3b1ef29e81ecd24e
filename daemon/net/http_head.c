#include "net/http_head.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* From the first line to the last, each judged when it is complete. A head is parsed anew with every piece that comes: its
 * 8 KiB bound what a byte a packet can cost, and there is no state to keep.
 *
 * The request line is looked at before its end has come: who speaks TLS or MQTT to this port never sends an end of line,
 * and is to hear at once that he is wrong here. */

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct http_text text)
{
    size_t n = 0;
    while (n < text.len && is_token_char(text.at[n]))
        n++;
    return n && n == text.len;
}

static struct http_text text_between(const char *at, const char *end)
{
    return (struct http_text){at, (size_t)(end - at)};
}

static bool begins_with(struct http_text text, const char *word)
{
    return text.len >= strlen(word) && strncasecmp(text.at, word, strlen(word)) == 0;
}

bool http_text_is(struct http_text text, const char *word)
{
    return text.len == strlen(word) && memcmp(text.at, word, text.len) == 0;
}

bool http_text_is_like(struct http_text text, const char *word)
{
    return text.len == strlen(word) && begins_with(text, word);
}

static struct http_text trimmed(struct http_text text)
{
    while (text.len && (*text.at == ' ' || *text.at == '\t')) {
        text.at++;
        text.len--;
    }
    while (text.len && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static int refuse(const char **why, int status, const char *sentence)
{
    *why = sentence;
    return status;
}

/* ---- request line -------------------------------------------------------------------------------------------------- */

static int check_request_line(struct http_text line, const char **why)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.at[i] < ' ' || line.at[i] > '~')
            return refuse(why, 400, "expected a line METHOD TARGET HTTP/1.1");
    return 0;
}

/* /path?query, or the same behind scheme and host as proxies write it, or * for the server itself. */
static bool take_target(struct http_head *head, struct http_text target)
{
    if (begins_with(target, "http://") || begins_with(target, "https://")) {
        const char *end = target.at + target.len;
        const char *host = (const char *)memchr(target.at, ':', target.len) + strlen("://");
        const char *path = host;
        while (path < end && *path != '/' && *path != '?')
            path++;
        if (path == host)
            return false;
        target = text_between(path, end);
    } else if (http_text_is(target, "*")) {
        head->path = target;
        head->query = text_between(target.at + 1, target.at + 1);
        return true;
    } else if (!target.len || *target.at != '/') {
        return false;
    }
    const char *end = target.at + target.len;
    const char *mark = target.len ? memchr(target.at, '?', target.len) : NULL;
    head->path = text_between(target.at, mark ? mark : end);
    head->query = text_between(mark ? mark + 1 : end, end);
    if (!head->path.len)
        head->path = (struct http_text){"/", 1};
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int take_version(struct http_head *head, struct http_text version, const char **why)
{
    if (version.len != strlen("HTTP/1.1") || memcmp(version.at, "HTTP/", 5) != 0 ||
        !is_digit(version.at[5]) || version.at[6] != '.' || !is_digit(version.at[7]))
        return refuse(why, 400, "expected a line METHOD TARGET HTTP/1.1");
    if (version.at[5] != '1')
        return refuse(why, 505, "expected HTTP/1.1");
    head->minor = (unsigned)(version.at[7] - '0');
    return 0;
}

static int take_request_line(struct http_head *head, struct http_text line, const char **why)
{
    int r = check_request_line(line, why);
    if (r != 0)
        return r;
    const char *end = line.at + line.len;
    const char *first = memchr(line.at, ' ', line.len);
    const char *second = first ? memchr(first + 1, ' ', (size_t)(end - first - 1)) : NULL;
    if (!second)
        return refuse(why, 400, "expected a line METHOD TARGET HTTP/1.1");
    head->method = text_between(line.at, first);
    if (!is_token(head->method))
        return refuse(why, 400, "expected a method made of letters");
    r = take_version(head, text_between(second + 1, end), why);
    if (r != 0)
        return r;
    return take_target(head, text_between(first + 1, second))
               ? 0
               : refuse(why, 400, "expected a target that begins with /");
}

/* ---- header fields ------------------------------------------------------------------------------------------------- */

static int take_header(struct http_head *head, struct http_text line, const char **why)
{
    const char *colon = memchr(line.at, ':', line.len);
    struct http_text name = text_between(line.at, colon ? colon : line.at);
    if (!is_token(name))
        return refuse(why, 400, "expected header lines NAME: VALUE");
    struct http_text value = trimmed(text_between(colon + 1, line.at + line.len));
    for (size_t i = 0; i < value.len; i++)
        if (((unsigned char)value.at[i] < ' ' && value.at[i] != '\t') || value.at[i] == 0x7f)
            return refuse(why, 400, "expected headers without control characters");
    if (head->count == HTTP_HEADERS_MAX)
        return refuse(why, 431, "expected at most 64 headers");
    head->headers[head->count++] = (struct http_header){name, value};
    return 0;
}

static int check_host(const struct http_head *head, const char **why)
{
    struct http_text host;
    unsigned count = http_head_find(head, "Host", &host);
    return count == 1 || (count == 0 && head->minor == 0) ? 0 : refuse(why, 400, "expected one header Host");
}

/* The next line without its end, the cursor behind it. -EAGAIN: it is not complete. */
static int next_line(const char **at, const char *end, bool is_request_line, struct http_text *line,
                     const char **why)
{
    const char *feed = memchr(*at, '\n', (size_t)(end - *at));
    const char *line_end = feed ? feed : end;
    bool returned = line_end > *at && line_end[-1] == '\r';
    *line = text_between(*at, line_end - returned);
    int r = is_request_line ? check_request_line(*line, why) : 0;
    if (r != 0)
        return r;
    if (!feed)
        return -EAGAIN;
    if (!returned)
        return refuse(why, 400, "expected lines that end with CR LF");
    *at = feed + 1;
    return 0;
}

int http_head_parse(struct http_head *ret, const void *bytes, size_t len, size_t *used, const char **why)
{
    const char *at = bytes, *end = at + size_min(len, HTTP_HEAD_MAX);
    bool begun = false;
    int r;
    ret->count = 0;
    for (;;) {
        struct http_text line;
        r = next_line(&at, end, !begun, &line, why);
        if (r == -EAGAIN && len >= HTTP_HEAD_MAX)
            return refuse(why, 431, "expected a head of at most 8 KiB");
        if (r != 0)
            return r;
        if (!line.len && begun)
            break;
        if (!line.len) /* before the request line: RFC 9112, section 2.2 */
            continue;
        r = begun ? take_header(ret, line, why) : take_request_line(ret, line, why);
        if (r != 0)
            return r;
        begun = true;
    }
    r = check_host(ret, why);
    if (r == 0)
        *used = (size_t)(at - (const char *)bytes);
    return r;
}

/* ---- what a head says ---------------------------------------------------------------------------------------------- */

unsigned http_head_find(const struct http_head *head, const char *name, struct http_text *ret)
{
    unsigned count = 0;
    for (unsigned i = 0; i < head->count; i++)
        if (http_text_is_like(head->headers[i].name, name) && !count++)
            *ret = head->headers[i].value;
    return count;
}

bool http_list_next(struct http_text *list, struct http_text *item)
{
    while (list->len) {
        const char *end = list->at + list->len;
        const char *comma = memchr(list->at, ',', list->len);
        *item = trimmed(text_between(list->at, comma ? comma : end));
        *list = text_between(comma ? comma + 1 : end, end);
        if (item->len) /* empty ones do not count: RFC 9110, section 5.6.1 */
            return true;
    }
    return false;
}

bool http_head_has(const struct http_head *head, const char *name, const char *word)
{
    for (unsigned i = 0; i < head->count; i++) {
        if (!http_text_is_like(head->headers[i].name, name))
            continue;
        struct http_text list = head->headers[i].value, item;
        while (http_list_next(&list, &item))
            if (http_text_is_like(item, word))
                return true;
    }
    return false;
}

/* ---- refusals ------------------------------------------------------------------------------------------------------ */

static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {200, "OK"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

const char *http_phrase(int status)
{
    for (size_t i = 0; i < array_size(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "";
}

size_t http_refusal(char answer[HTTP_REFUSAL_MAX], int status, const char *headers, const char *why)
{
    int n = snprintf(answer, HTTP_REFUSAL_MAX,
                     "HTTP/1.1 %d %s\r\n%sConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
                     "Content-Length: %zu\r\n\r\n%s\n",
                     status, http_phrase(status), headers, strlen(why) + 1, why);
    assert(n > 0 && n < HTTP_REFUSAL_MAX);
    return (size_t)n;
}
