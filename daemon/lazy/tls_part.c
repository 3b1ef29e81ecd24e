/* The only file of gatehouse-tls.so that is not in tests and tools. */
#include "lazy/tls_table.h"

extern const struct tls_table gatehouse_tls;

LAZY_EXPORTED const struct tls_table gatehouse_tls = {
    .part = LAZY_PART,
    .server_context = tls_server_context,
    .context_free = tls_context_free,
    .context_expires = tls_context_expires,
    .accept_context = tls_accept,
    .free = tls_free,
    .set_fd = tls_set_fd,
    .reason = tls_reason,
    .handshake = tls_handshake,
    .read = tls_read,
    .has_pending = tls_has_pending,
    .write = tls_write,
    .say_goodbye = tls_say_goodbye,
    .peer_name = tls_peer_name,
};
