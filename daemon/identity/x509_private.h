/* For the files that know OpenSSL's X.509. */
#pragma once

#include "identity/x509.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

X509 *x509_parse(const uint8_t *der, size_t len);
/* Puts the sentence into *why (which may be NULL) with OpenSSL's word for it; -EINVAL. */
int x509_wrong(char **why, const char *expected);
int64_t x509_time(const ASN1_TIME *time);
bool x509_key_is_weak(const EVP_PKEY *key);
bool x509_id(const X509 *certificate, char ret[X509_ID_BYTES]);

/* x509_signer.c */
struct x509_signer {
    X509 *certificate;
    EVP_PKEY *key;
    char *chain; /* PEM: the certificate and what came behind it; NULL: it is a root and clients have it */
    uint8_t *der;
    size_t der_len;
};
