/* The table of gatehouse-tls.so: the functions of net/tls.h. */
#pragma once

#include "lazy/lazy.h"
#include "net/tls.h"

struct tls_table {
    struct lazy_part part;
    __typeof__(tls_server_context) *server_context;
    __typeof__(tls_context_free) *context_free;
    __typeof__(tls_context_expires) *context_expires;
    __typeof__(tls_accept) *accept_context;
    __typeof__(tls_free) *free;
    __typeof__(tls_set_fd) *set_fd;
    __typeof__(tls_reason) *reason;
    __typeof__(tls_handshake) *handshake;
    __typeof__(tls_read) *read;
    __typeof__(tls_has_pending) *has_pending;
    __typeof__(tls_write) *write;
    __typeof__(tls_say_goodbye) *say_goodbye;
    __typeof__(tls_peer_name) *peer_name;
};
