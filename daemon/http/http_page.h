/* Requests that a page in a browser makes. Every page that somebody at the plant visits can have his browser send requests
 * here, with what it wants in them, and a browser that has the certificate of who sits before it shows that, too. Nothing
 * that is served here is for pages, so none may come in.
 *
 * A browser says so in Origin, but for GET of a page's own host; and on a loopback address that host may be a name of the
 * page's own that was made to point there (DNS rebinding). So there the request's Host must be a loopback name. Pure. */
#pragma once

#include "net/http_head.h"

/* loopback: the request came in at a loopback address. */
bool http_is_from_page(const struct http_head *head, bool loopback);
