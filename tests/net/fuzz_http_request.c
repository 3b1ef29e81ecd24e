/* Heads of requests from any bytes: whatever part of them has come, they are judged the same; what is found in them lies in
 * them; and who asks for WebSocket gets one well-formed answer. */
#include "net/websocket_upgrade.h"

#include <errno.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool lies_in(struct http_text text, const uint8_t *bytes, size_t len)
{
    const char *begin = (const char *)bytes;
    return text.at >= begin && text.len <= len && text.at <= begin + len - text.len;
}

static void check_head(const struct http_head *head, const uint8_t *data, size_t used)
{
    must(used >= strlen("G / HTTP/1.0\r\n\r\n") && used <= HTTP_HEAD_MAX);
    must(memcmp(data + used - 4, "\r\n\r\n", 4) == 0);
    must(head->count <= HTTP_HEADERS_MAX && head->minor <= 9);
    must(head->method.len && lies_in(head->method, data, used));
    must(head->path.len && lies_in(head->query, data, used));
    must(http_text_is(head->path, "/") || http_text_is(head->path, "*") ||
         (lies_in(head->path, data, used) && *head->path.at == '/'));
    for (unsigned i = 0; i < head->count; i++) {
        struct http_text name = head->headers[i].name, value = head->headers[i].value;
        must(name.len && lies_in(name, data, used) && lies_in(value, data, used));
        must(!memchr(name.at, ' ', name.len) && !memchr(name.at, ':', name.len));
        must(!value.len || (*value.at != ' ' && value.at[value.len - 1] != ' '));
        must(!memchr(value.at, '\n', value.len) && !memchr(value.at, '\r', value.len));
    }
}

/* Parts of the bytes: all of a short head, some of a long one. */
static void check_parts(const uint8_t *data, size_t len, int r, size_t used)
{
    size_t step = len < 300 ? 1 : len / 37;
    for (size_t n = 0; n < len; n += step) {
        struct http_head head;
        size_t part_used = 0;
        const char *why = NULL;
        cleanup_free uint8_t *part = malloc(n ? n : 1); /* so that a sanitizer sees whoever reads on */
        memcpy(part, data, n);
        int part_r = http_head_parse(&head, part, n, &part_used, &why);
        must(part_r == -EAGAIN || (part_r == r && part_used == used));
        must(r != 0 || (part_r == 0) == (n >= used));
    }
}

static void ask(const struct http_head *head, const char *origins)
{
    struct websocket_site *site = websocket_site_new("/mqtt", origins, !origins);
    char answer[HTTP_REFUSAL_MAX];
    size_t len = 0;
    const char *why = NULL;
    int status = websocket_upgrade(site, head, answer, &len, &why);
    must(len > 0 && len <= sizeof answer);
    must(status == 0 ? !why : status >= 400 && status < 600 && why && *why);
    must(memmem(answer, len, status ? "\r\nConnection: close\r\n" : "\r\nSec-WebSocket-Accept: ", 21) !=
         NULL);
    must(memcmp(answer, status ? "HTTP/1.1 " : "HTTP/1.1 101 ", status ? 9 : 13) == 0);
    (void)websocket_site_unref(site);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct http_head head;
    size_t used = 0;
    const char *why = NULL;
    if (!len)
        return 0;
    int r = http_head_parse(&head, data, len, &used, &why);
    must(r == 0 || r == -EAGAIN || r == 400 || r == 431 || r == 505);
    must((r > 0) == (why != NULL) && (r == 0) == (used > 0));
    check_parts(data, len, r, used);
    if (r != 0)
        return 0;
    check_head(&head, data, used);
    ask(&head, NULL);
    ask(&head, "https://a.example,http://b:81");
    ask(&head, "*");
    return 0;
}
