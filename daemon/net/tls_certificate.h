/* Certificates that a listener shows: loading one with its key, and what it is for. For net's own files, and on the other side of
 * lazy/ like tls.c. */
#pragma once

#include "net/tls.h"

typedef struct x509_st X509;
struct ssl_ctx_st;

/* Puts it into the context, beside one of another kind that is there. -EINVAL: *why (free it) names the file. */
int tls_certificate_load(struct ssl_ctx_st *context, const struct tls_files *files, char **why) must_check;
/* The first certificate of a PEM file; NULL: *why. X509_free() it. */
X509 *tls_certificate_read(const char *path, char **why) must_check;

/* NAME.pem and NAME.key of a folder, in alphabetical order, at most so many. -EINVAL: *why. */
enum { TLS_CERTIFICATES_MAX = 256 };
int tls_certificate_folder(struct tls_files **ret, size_t *count, const char *folder, char **why) must_check;
void tls_certificate_folder_free(struct tls_files *files, size_t count);

/* All the names and addresses that it is for, sorted, each with a blank behind it; free it. */
char *tls_certificate_names(const X509 *certificate) must_check;
/* What kind of key it has, as OpenSSL counts them: one of each fits in a context. */
int tls_certificate_kind(const X509 *certificate);

/* -EINVAL and the sentence `PATH: expected EXPECTED: what OpenSSL says`. */
int tls_certificate_wrong(char **why, const char *path, const char *expected);
