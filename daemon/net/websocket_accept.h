/* What proves that a server has understood a WebSocket request: SHA-1 of the key and a fixed text, in base64 (RFC 6455,
 * section 1.3). Nothing secret depends on SHA-1 here, and for it alone libcrypto would have to be loaded. For net's own
 * files; pure. */
#pragma once

#include <stddef.h>

enum { WEBSOCKET_KEY_LEN = 24, WEBSOCKET_ACCEPT_LEN = 28 };

void websocket_accept_of(const char key[WEBSOCKET_KEY_LEN], char accept[WEBSOCKET_ACCEPT_LEN + 1]);
