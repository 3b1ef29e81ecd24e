/* The only file of gatehouse-tls.so that is not in tests and tools. */
#include "lazy/tls_table.h"

extern const struct tls_table gatehouse_tls;

LAZY_EXPORTED const struct tls_table gatehouse_tls = {
    .part = LAZY_PART,
    .server_context = tls_server_context,
    .context_free = tls_context_free,
    .context_expires = tls_context_expires,
    .check = tls_check,
    .accept_context = tls_accept,
    .free = tls_free,
    .set_fd = tls_set_fd,
    .reason = tls_reason,
    .sha256 = tls_sha256,
    .scrypt = tls_scrypt,
    .handshake = tls_handshake,
    .read = tls_read,
    .has_pending = tls_has_pending,
    .write = tls_write,
    .say_goodbye = tls_say_goodbye,
    .peer_name = tls_peer_name,
    .peer_der = tls_peer_der,
    .server_name = tls_server_name,
    .x509_from_pem = x509_from_pem,
    .x509_to_pem = x509_to_pem,
    .x509_facts = x509_facts,
    .x509_is_issued_by = x509_is_issued_by,
    .x509_is_of_key = x509_is_of_key,
    .x509_each_field = x509_each_field,
    .x509_signer_open = x509_signer_open,
    .x509_signer_close = x509_signer_close,
    .x509_signer_der = x509_signer_der,
    .x509_issue = x509_issue,
    .x509_issued_done = x509_issued_done,
    .x509_revocation_list = x509_revocation_list,
    .aead_functions = aead_functions,
};
