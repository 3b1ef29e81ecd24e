#include "cloud/mqtt_link_tls.h"

#include "cloud/mqtt_link_key.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>

static _Thread_local long verdict;
static _Atomic int64_t at_time;

static void expect_name(SSL *ssl)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    const char *name =
        SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name); /* Paho has set it: the URI's host */
    uint8_t bytes[16];
    if (!name)
        return;
    if (inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1)
        (void)X509_VERIFY_PARAM_set1_ip_asc(param, name);
    else
        (void)SSL_set1_host(ssl, name);
}

static void on_info(const SSL *ssl, int where, int r)
{
    (void)r;
    if (where & SSL_CB_HANDSHAKE_START) {
        verdict = X509_V_OK;
        link_key_show((SSL *)ssl);
        expect_name((SSL *)ssl); /* OpenSSL hands out its own object, and only says const */
        int64_t time_s = atomic_load(&at_time);
        if (time_s)
            X509_VERIFY_PARAM_set_time(SSL_get0_param((SSL *)ssl), (time_t)time_s);
    } else if (where & SSL_CB_ALERT) {
        verdict = SSL_get_verify_result(ssl);
    }
}

/* Inside SSL_new(). Only Paho's contexts have an information callback: it says when it is one of its own. */
static void on_new(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
    (void)ptr, (void)data, (void)index, (void)argl, (void)argp;
    SSL *ssl = parent;
    SSL_CTX *context = SSL_get_SSL_CTX(ssl);
    if (context && SSL_CTX_get_info_callback(context))
        SSL_set_info_callback(ssl, on_info);
}

static void prepare(void)
{
    (void)SSL_get_ex_new_index(0, NULL, on_new, NULL, NULL);
}

void link_tls_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, prepare);
}

const char *link_tls_verdict(void)
{
    switch (verdict) {
    case X509_V_OK: return NULL;
    case X509_V_ERR_CERT_HAS_EXPIRED: return "its certificate, or one that vouches for it, has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "its certificate is not valid yet: it or the clock here is wrong";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return "its certificate is another host's";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: return "no CA that we trust vouches for its certificate";
    default: return X509_verify_cert_error_string(verdict);
    }
}

void link_tls_set_time(int64_t time_s)
{
    atomic_store(&at_time, time_s);
}
