/* The table of gatehouse-tls.so: the functions of net/tls.h, identity/x509.h, identity/aead.h and identity/secret.h. */
#pragma once

#include "identity/aead.h"
#include "identity/secret.h"
#include "identity/x509.h"
#include "lazy/lazy.h"
#include "net/tls.h"

struct tls_table {
    struct lazy_part part;
    __typeof__(tls_server_context) *server_context;
    __typeof__(tls_context_free) *context_free;
    __typeof__(tls_context_expires) *context_expires;
    __typeof__(tls_check) *check;
    __typeof__(tls_accept) *accept_context;
    __typeof__(tls_free) *free;
    __typeof__(tls_set_fd) *set_fd;
    __typeof__(tls_reason) *reason;
    __typeof__(tls_sha256) *sha256;
    __typeof__(tls_scrypt) *scrypt;
    __typeof__(tls_handshake) *handshake;
    __typeof__(tls_read) *read;
    __typeof__(tls_has_pending) *has_pending;
    __typeof__(tls_write) *write;
    __typeof__(tls_say_goodbye) *say_goodbye;
    __typeof__(tls_peer_name) *peer_name;
    __typeof__(tls_peer_der) *peer_der;
    __typeof__(tls_server_name) *server_name;

    __typeof__(x509_from_pem) *x509_from_pem;
    __typeof__(x509_to_pem) *x509_to_pem;
    __typeof__(x509_facts) *x509_facts;
    __typeof__(x509_is_issued_by) *x509_is_issued_by;
    __typeof__(x509_is_of_key) *x509_is_of_key;
    __typeof__(x509_each_field) *x509_each_field;
    __typeof__(x509_signer_open) *x509_signer_open;
    __typeof__(x509_signer_close) *x509_signer_close;
    __typeof__(x509_signer_der) *x509_signer_der;
    __typeof__(x509_issue) *x509_issue;
    __typeof__(x509_issued_done) *x509_issued_done;
    __typeof__(x509_revocation_list) *x509_revocation_list;

    __typeof__(aead_functions) *aead_functions;

    __typeof__(secret_scrypt) *secret_scrypt;
    __typeof__(secret_pbkdf2_sha512) *secret_pbkdf2_sha512;
    __typeof__(secret_hmac) *secret_hmac;
    __typeof__(secret_key_from_pem) *secret_key_from_pem;
    __typeof__(secret_key_from_numbers) *secret_key_from_numbers;
    __typeof__(secret_key_free) *secret_key_free;
    __typeof__(secret_key_algorithm) *secret_key_algorithm;
    __typeof__(secret_key_verify) *secret_key_verify;
};

/* Loaded with the first call; NULL: *why (free it) says what is wrong. */
const struct tls_table *lazy_tls(char **why);
