/* PROXY headers from any bytes: the same however they come in pieces, never longer than what is there, and never a
 * fault or an address out of nothing. */
#include "net/proxy.h"

#include <errno.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct proxy_header whole, part;
    size_t wanted = 0;
    int r = proxy_parse(&whole, data, len, &wanted);
    must(r == -EPROTO ? whole.why && *whole.why : !whole.why);
    must(r <= (int)size_min(len, PROXY_MAX_BYTES) && (r >= PROXY_FIXED_BYTES || r <= 0));
    if (r == 0)
        must(wanted > len && wanted <= PROXY_MAX_BYTES);

    int in_pieces = 0;
    for (size_t have = 0; have <= len && in_pieces == 0; have++) {
        in_pieces = proxy_parse(&part, data, have, &wanted);
        if (in_pieces == 0)
            must(wanted > have);
    }
    must(in_pieces == r);
    must(memcmp(&whole.from, &part.from, sizeof whole.from) == 0);
    must(whole.from.family == AF_UNSPEC || whole.from.family == AF_INET || whole.from.family == AF_INET6);
    must(whole.from.family == AF_UNSPEC || r > 0);
    char text[ADDRESS_TEXT_BYTES];
    address_text(&whole.from, text);
    return 0;
}
